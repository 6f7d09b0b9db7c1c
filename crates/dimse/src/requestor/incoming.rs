//! What an acceptor sends: responses to our requests, and events (N-EVENT-REPORT-RQ) that may come between.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::NegotiatedContext;
use crate::{
    ProtocolError, Waiting,
    command::{CommandField, CommandSet, MAX_COMMAND_LENGTH},
    fault::Fault,
    wire::{Fragment, Receiver, Unit},
};

/// The longest data set of a response or event that is taken.
pub(super) const MAX_DATA_SET: usize = 32 << 20;
/// Events that wait to be looked at. An acceptor waits for the answer to each, so that there is never more than one; see `PeerLink`.
const MAX_EVENTS: usize = 4;

/// A whole message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) context_id: u8,
    pub(super) command: CommandSet,
    pub(super) data_set: Option<Bytes>,
}

/// Which response is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) context_id: u8,
    pub(super) message_id: u16,
    /// The field of the request.
    pub(super) request: CommandField,
}

/// The receiving half of an association.
pub(super) struct Incoming {
    pub(super) receiver: Receiver,
    pub(super) contexts: Vec<NegotiatedContext>,
    /// Not answered yet.
    pub(super) events: VecDeque<Message>,
    /// Longest silence inside a message.
    limit: Duration,
}

impl Incoming {
    pub(super) fn new(receiver: Receiver, limit: Duration) -> Self {
        Self { receiver, contexts: Vec::new(), events: VecDeque::new(), limit }
    }

    /// The response to one of our requests. It must begin before the deadline, if there is one; events on the way are kept for later.
    pub(super) async fn response(&mut self, awaited: Awaited, deadline: Option<Instant>) -> Result<Message, Fault> {
        loop {
            let unit = match deadline {
                Some(deadline) => self.receiver.next_until(deadline, Waiting::Response).await?,
                None => self.receiver.next().await?,
            };
            let message = self.message_from(unit).await?;
            let field = message.command.command_field().map_err(ProtocolError::from)?;
            if field == CommandField::N_EVENT_REPORT_RQ {
                self.keep_event(message)?;
                continue;
            }
            let (expected, got) = (awaited.context_id, message.context_id);
            if expected != got {
                return Err(ProtocolError::InterleavedContext { expected, got }.into());
            }
            let answers = message.command.message_id_being_responded_to();
            if field != awaited.request.response() || answers.map_err(ProtocolError::from)? != awaited.message_id {
                return Err(ProtocolError::UnexpectedMessage(field.0).into());
            }
            return Ok(message);
        }
    }

    fn keep_event(&mut self, event: Message) -> Result<(), ProtocolError> {
        if self.events.len() >= MAX_EVENTS {
            return Err(ProtocolError::UnexpectedMessage(CommandField::N_EVENT_REPORT_RQ.0));
        }
        self.events.push_back(event);
        Ok(())
    }

    /// The whole message that begins with this unit.
    pub(super) async fn message_from(&mut self, unit: Unit) -> Result<Message, Fault> {
        let Unit::Fragment(first) = unit else { return Err(unit.unexpected()) };
        let context_id = first.context_id;
        if !self.contexts.iter().any(|context| context.id == context_id && context.transfer_syntax.is_ok()) {
            return Err(ProtocolError::UnacceptedContext(context_id).into());
        }
        let too_long = ProtocolError::CommandTooLong { limit: MAX_COMMAND_LENGTH };
        let command = self.collect(Some(first), context_id, true, MAX_COMMAND_LENGTH, too_long).await?;
        let command = CommandSet::parse(command).map_err(ProtocolError::from)?;
        // Peers are known that leave the element out of responses without a data set.
        let data_set = match command.has_data_set() {
            Ok(true) => {
                let too_long = ProtocolError::DataSetTooLong { limit: MAX_DATA_SET };
                Some(self.collect(None, context_id, false, MAX_DATA_SET, too_long).await?)
            }
            Ok(false) | Err(_) => None,
        };
        Ok(Message { context_id, command, data_set })
    }

    /// Puts a command set or data set together.
    async fn collect(
        &mut self,
        mut first: Option<Fragment>,
        context_id: u8,
        command: bool,
        most: usize,
        too_long: ProtocolError,
    ) -> Result<Bytes, Fault> {
        let mut collected = BytesMut::new();
        loop {
            let fragment = match first.take() {
                Some(fragment) => fragment,
                None => match self.receiver.next_within(self.limit, Waiting::RestOfMessage).await? {
                    Unit::Fragment(fragment) => fragment,
                    other => return Err(other.unexpected()),
                },
            };
            if fragment.context_id != context_id {
                let (expected, got) = (context_id, fragment.context_id);
                return Err(ProtocolError::InterleavedContext { expected, got }.into());
            }
            match (command, fragment.command) {
                (true, false) => return Err(ProtocolError::UnexpectedDataSet.into()),
                (false, true) => return Err(ProtocolError::UnexpectedCommand.into()),
                _ => {}
            }
            if collected.len() + fragment.data.len() > most {
                return Err(too_long.into());
            }
            collected.extend_from_slice(&fragment.data);
            if fragment.last {
                return Ok(collected.freeze());
            }
        }
    }
}
