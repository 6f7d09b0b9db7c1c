//! An accepted association: messages come in, one at a time, and are answered.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Admission, AssociationCounts, AssociationInfo, Handlers, NormalizedOperation, ObjectInFlight, ServerConfig,
    StoreService,
    collect::CollectBudget,
    link::{Link, LinkTurn},
    opening::AcceptedContext,
};
use crate::{
    ProtocolError, Status, Waiting,
    command::{CommandField, CommandSet, MAX_COMMAND_LENGTH},
    fault::Fault,
    wire::{Fragment, Receiver, Sender, Unit},
};

/// An association that is silent for so long gives its read buffer back.
const KEEP_BUFFER: Duration = Duration::from_secs(2);

/// The state of one accepted association. It outlives [`Conversation::run`], which may be dropped at any point.
pub(super) struct Conversation<'a, A: Admission, S> {
    pub(super) handlers: &'a Handlers<A, S>,
    pub(super) config: &'a ServerConfig,
    pub(super) soft_stop: &'a CancellationToken,
    pub(super) receiver: &'a mut Receiver,
    pub(super) sender: &'a mut Sender,
    pub(super) contexts: Vec<AcceptedContext>,
    pub(super) info: &'a AssociationInfo,
    pub(super) session: Arc<A::Session>,
    pub(super) counts: AssociationCounts,
    /// Set while the data set of an object is being received.
    pub(super) in_flight: Option<ObjectInFlight>,
    /// The way back to the peer, and the event that it has not answered yet.
    pub(super) link: Link,
    /// What came while a query was answered.
    pub(super) queued: VecDeque<Next>,
    pub(super) budget: &'a CollectBudget,
}

/// How an association ends without anybody's fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OrderlyEnd {
    /// The peer asked for release; it has not been answered yet.
    Released,
    /// The server stops and no message is under way.
    Stopped,
}

/// What to do next.
pub(super) enum Next {
    Command { context: AcceptedContext, command: CommandSet },
    End(OrderlyEnd),
}

enum Woken {
    Unit(Unit),
    Link(LinkTurn),
    Stopped,
}

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    /// Works until the peer releases, something goes wrong or the server stops.
    pub(super) async fn run(&mut self) -> Result<OrderlyEnd, Fault> {
        loop {
            match self.next_command().await? {
                Next::Command { context, command } => self.dispatch(context, command).await?,
                Next::End(end) => return Ok(end),
            }
        }
    }

    async fn dispatch(&mut self, context: AcceptedContext, command: CommandSet) -> Result<(), Fault> {
        let field = command.command_field().map_err(ProtocolError::from)?;
        let has_data_set = command.has_data_set().map_err(ProtocolError::from)?;
        match field {
            // What it cancels has ended already, and a cancel is not answered (PS3.7 9.3.2.3).
            CommandField::C_CANCEL_RQ if !has_data_set => Ok(()),
            field if field.is_response() => self.event_answered(&context, &command, has_data_set).await,
            CommandField::C_STORE_RQ => self.store(&context, &command, has_data_set).await,
            CommandField::C_ECHO_RQ if context.peer_is_scu && is_verification(&context) => {
                if has_data_set {
                    self.read_past(context.id).await?;
                }
                self.counts.echoes += 1;
                self.respond(&context, &command, Status::SUCCESS).await
            }
            CommandField::C_FIND_RQ => self.find(&context, &command, has_data_set).await,
            field => match NormalizedOperation::of(field) {
                Some(operation) => self.normalized(&context, &command, operation, has_data_set).await,
                None => {
                    if has_data_set {
                        self.read_past(context.id).await?;
                    }
                    self.counts.other_requests += 1;
                    self.respond(&context, &command, Status::UNRECOGNIZED_OPERATION).await
                }
            },
        }
    }

    /// Whether requests on this context are for a service, rather than for storage or verification.
    pub(super) fn is_service(&self, context: &AcceptedContext) -> bool {
        !is_verification(context) && !self.handlers.policy.stores(&context.accepted_as)
    }

    pub(super) async fn respond(
        &mut self,
        context: &AcceptedContext,
        request: &CommandSet,
        status: Status,
    ) -> Result<(), Fault> {
        let response = request.response(status).map_err(ProtocolError::from)?;
        tracing::debug!(context = context.id, status = %status, "response");
        self.sender.write_command(context.id, &response.encode()).await
    }

    /// The next fragment of the data set that belongs to the command just read.
    pub(super) async fn next_data(&mut self, context_id: u8) -> Result<Fragment, Fault> {
        match self.receiver.next_within(self.config.dimse_timeout, Waiting::RestOfMessage).await? {
            Unit::Fragment(fragment) => {
                self.check_context(context_id, &fragment)?;
                if fragment.command {
                    return Err(ProtocolError::UnexpectedCommand.into());
                }
                self.counts.data_set_bytes += u64::try_from(fragment.data.len()).unwrap_or(0);
                Ok(fragment)
            }
            other => Err(other.unexpected()),
        }
    }

    /// Reads the data set of a message that will be refused, so that what follows can be understood.
    pub(super) async fn read_past(&mut self, context_id: u8) -> Result<(), Fault> {
        let mut drained = Drain::new(self.config);
        loop {
            let fragment = self.next_data(context_id).await?;
            drained.add(&fragment.data)?;
            if fragment.last {
                return Ok(());
            }
        }
    }

    /// Waits for the peer to begin a message, for an event to send, or for the stop of the server.
    async fn wait_for_message(&mut self) -> Result<Woken, Fault> {
        let now = Instant::now();
        let receiver = &mut *self.receiver;
        let first = async {
            let soon = KEEP_BUFFER.min(self.config.idle_timeout);
            match receiver.next_within(soon, Waiting::NextMessage).await {
                Err(Fault::Timeout(_)) => {
                    receiver.release_buffer();
                    receiver.next_until(now + self.config.idle_timeout, Waiting::NextMessage).await
                }
                other => other,
            }
        };
        tokio::select! {
            biased;
            () = self.soft_stop.cancelled() => Ok(Woken::Stopped),
            turn = self.link.turn() => Ok(Woken::Link(turn)),
            unit = first => unit.map(Woken::Unit),
        }
    }

    async fn next_command(&mut self) -> Result<Next, Fault> {
        if let Some(next) = self.queued.pop_front() {
            return Ok(next);
        }
        loop {
            match self.wait_for_message().await? {
                Woken::Stopped => return Ok(Next::End(OrderlyEnd::Stopped)),
                Woken::Link(turn) => self.take_turn(turn).await?,
                Woken::Unit(Unit::ReleaseRequest) => return Ok(Next::End(OrderlyEnd::Released)),
                Woken::Unit(Unit::Fragment(fragment)) => {
                    let (context, command) = self.command_from(fragment).await?;
                    return Ok(Next::Command { context, command });
                }
                Woken::Unit(other) => return Err(other.unexpected()),
            }
        }
    }

    /// The command set that begins with this fragment.
    pub(super) async fn command_from(&mut self, first: Fragment) -> Result<(AcceptedContext, CommandSet), Fault> {
        let context = self.contexts.iter().find(|context| context.id == first.context_id);
        let context = context.ok_or(ProtocolError::UnacceptedContext(first.context_id))?.clone();
        let bytes = self.whole_command(first).await?;
        let command = CommandSet::parse(bytes).map_err(ProtocolError::from)?;
        tracing::debug!(context = context.id, ?command, "request");
        Ok((context, command))
    }

    /// Puts a command set together, within the DIMSE timeout from its first fragment on.
    async fn whole_command(&mut self, first: Fragment) -> Result<Bytes, Fault> {
        let context_id = first.context_id;
        let deadline = Instant::now() + self.config.dimse_timeout;
        let mut fragment = first;
        let mut collected = BytesMut::new();
        loop {
            self.check_context(context_id, &fragment)?;
            if !fragment.command {
                return Err(ProtocolError::UnexpectedDataSet.into());
            }
            if collected.len() + fragment.data.len() > MAX_COMMAND_LENGTH {
                return Err(ProtocolError::CommandTooLong { limit: MAX_COMMAND_LENGTH }.into());
            }
            if fragment.last && collected.is_empty() {
                return Ok(fragment.data);
            }
            collected.extend_from_slice(&fragment.data);
            if fragment.last {
                return Ok(collected.freeze());
            }
            fragment = match self.receiver.next_until(deadline, Waiting::RestOfMessage).await? {
                Unit::Fragment(fragment) => fragment,
                other => return Err(other.unexpected()),
            };
        }
    }

    fn check_context(&self, expected: u8, fragment: &Fragment) -> Result<(), ProtocolError> {
        let got = fragment.context_id;
        if got == expected {
            Ok(())
        } else if self.contexts.iter().any(|context| context.id == got) {
            Err(ProtocolError::InterleavedContext { expected, got })
        } else {
            Err(ProtocolError::UnacceptedContext(got))
        }
    }
}

fn is_verification(context: &AcceptedContext) -> bool {
    context.abstract_syntax.as_str() == dicom_dictionary_std::uids::VERIFICATION
}

/// Counts what is read past of one object.
pub(super) struct Drain {
    limit: u64,
    seen: u64,
}

impl Drain {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self { limit: config.max_drained_bytes, seen: 0 }
    }

    pub(super) fn add(&mut self, data: &Bytes) -> Result<(), ProtocolError> {
        self.seen = self.seen.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if self.seen > self.limit { Err(ProtocolError::RefusedObjectTooLong { limit: self.limit }) } else { Ok(()) }
    }
}
