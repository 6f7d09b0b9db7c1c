//! C-FIND (PS3.7 9.1.2, 9.3.2): one identifier in, any number out, until the service has no more or the peer cancels.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dokuei_domain::{SopClassUid, TransferSyntaxUid};
use tokio::sync::mpsc;

use super::{
    Admission, StoreService,
    collect::Collected,
    dispatch::{Conversation, Next, OrderlyEnd},
    opening::AcceptedContext,
};
use crate::{
    ProtocolError, Status,
    command::{CommandField, CommandSet},
    fault::Fault,
    wire::Unit,
};

/// Identifiers that may wait for the peer to take them.
const AHEAD: usize = 16;
/// Requests that may wait for the end of a query.
const MOST_QUEUED: usize = 8;

/// One C-FIND request on an accepted presentation context.
#[derive(Clone, Debug)]
pub struct FindRequest {
    pub context_id: u8,
    /// What the context was negotiated for: the information model.
    pub abstract_syntax: SopClassUid,
    /// How identifiers are encoded, of the request and of the responses.
    pub transfer_syntax: TransferSyntaxUid,
    pub message_id: u16,
    /// Affected SOP Class UID.
    pub sop_class: SopClassUid,
    /// 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// Whole, at most [`max_identifier_bytes`](super::ServerConfig::max_identifier_bytes) long; not looked into.
    pub identifier: Bytes,
}

/// Takes the matches of one query.
#[derive(Debug)]
pub struct FindAnswers {
    queue: mpsc::Sender<(Status, Vec<u8>)>,
}

impl FindAnswers {
    /// One match, encoded in the context's transfer syntax, of even length (FF00). Waits while the peer is slow.
    pub async fn found(&self, identifier: Vec<u8>) {
        self.put(Status::PENDING, identifier).await;
    }

    /// One match, of a query with optional keys that this service does not support (FF01).
    pub async fn found_with_unsupported_keys(&self, identifier: Vec<u8>) {
        self.put(Status::PENDING_WARNING, identifier).await;
    }

    async fn put(&self, status: Status, identifier: Vec<u8>) {
        // The other end lives as long as the service's future is polled.
        let _ = self.queue.send((status, identifier)).await;
    }
}

/// Answers C-FIND requests of the SOP classes that the [`ContextPolicy`](crate::ContextPolicy) accepts.
#[async_trait]
pub trait QueryService<S>: Send + Sync + 'static {
    /// Gives every match to `answers` and returns the final status: success, or why not (PS3.4 C.4.1.1.4). When the peer cancels or goes away, the future is
    /// dropped at its next await.
    async fn find(&self, session: &Arc<S>, request: FindRequest, answers: &FindAnswers) -> Status;
}

/// Offers nothing.
#[async_trait]
impl<S: Send + Sync + 'static> QueryService<S> for () {
    async fn find(&self, _session: &Arc<S>, _request: FindRequest, _answers: &FindAnswers) -> Status {
        Status::UNRECOGNIZED_OPERATION
    }
}

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    pub(super) async fn find(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        has_data_set: bool,
    ) -> Result<(), Fault> {
        let collected = match has_data_set {
            true => self.collect(context.id, self.config.max_identifier_bytes).await?.ok_or(Status::OUT_OF_RESOURCES),
            false => Err(Status::CANNOT_UNDERSTAND),
        };
        let checked = self.check_find(context, command);
        match checked {
            Ok(_) => self.counts.queries += 1,
            Err(_) => self.counts.other_requests += 1,
        }
        let status = match checked.and_then(|request| Ok((request, collected?))) {
            // The share of the server's memory is held until the service has answered.
            Ok((request, Collected { bytes: identifier, share: _share })) => {
                self.answer_query(context, command, FindRequest { identifier, ..request }).await?
            }
            Err(status) => Some(status),
        };
        match status {
            Some(status) => self.respond(context, command, status).await,
            None => Ok(()),
        }
    }

    /// Runs the service and listens meanwhile. Gives the final status; `None` when the peer wants no answer any more.
    async fn answer_query(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        request: FindRequest,
    ) -> Result<Option<Status>, Fault> {
        let message_id = request.message_id;
        let (queue, mut found) = mpsc::channel(AHEAD);
        let answers = FindAnswers { queue };
        let (service, session) = (&*self.handlers.query, Arc::clone(&self.session));
        let work = service.find(&session, request, &answers);
        tokio::pin!(work);
        let status = loop {
            let listening = self.may_listen();
            tokio::select! {
                biased;
                // A node that stops lets no query hold it up; the peer may ask again.
                () = self.soft_stop.cancelled() => return Ok(Some(Status::OUT_OF_RESOURCES)),
                unit = self.receiver.next(), if listening => match self.heard_during_query(context, message_id, unit?).await? {
                    Heard::Cancel => return Ok(Some(Status::CANCEL)),
                    Heard::Release => return Ok(None),
                    Heard::Other => {}
                },
                Some((status, identifier)) = found.recv() => {
                    self.respond_pending(context, command, status, &identifier).await?;
                }
                status = &mut work => break status,
            }
        };
        while let Ok((status, identifier)) = found.try_recv() {
            self.respond_pending(context, command, status, &identifier).await?;
        }
        Ok(Some(status))
    }

    async fn respond_pending(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        status: Status,
        identifier: &[u8],
    ) -> Result<(), Fault> {
        let response = command.response(status).map_err(ProtocolError::from)?.with_data_set(true);
        self.sender.write_message(context.id, &response.encode(), Some(identifier)).await
    }

    /// Whether what comes next can be read: a data set that must wait stays in the socket.
    fn may_listen(&self) -> bool {
        let is_whole = match self.queued.back() {
            None => true,
            Some(Next::Command { command, .. }) => command.has_data_set() == Ok(false),
            Some(Next::End(_)) => false,
        };
        is_whole && self.queued.len() < MOST_QUEUED
    }

    /// A peer that sends the next request before it has its answers (PS3.7 9.1.2 does not let it) is served afterwards. One that releases has lost its interest.
    async fn heard_during_query(
        &mut self,
        of_query: &AcceptedContext,
        message_id: u16,
        unit: Unit,
    ) -> Result<Heard, Fault> {
        let first = match unit {
            Unit::Fragment(fragment) => fragment,
            Unit::ReleaseRequest => {
                self.queued.push_back(Next::End(OrderlyEnd::Released));
                return Ok(Heard::Release);
            }
            other => return Err(other.unexpected()),
        };
        let (context, command) = self.command_from(first).await?;
        let field = command.command_field().map_err(ProtocolError::from)?;
        let has_data_set = command.has_data_set().map_err(ProtocolError::from)?;
        if field == CommandField::C_CANCEL_RQ && !has_data_set {
            let of_this = context.id == of_query.id && command.message_id_being_responded_to() == Ok(message_id);
            return Ok(if of_this { Heard::Cancel } else { Heard::Other });
        }
        if field.is_response() {
            self.event_answered(&context, &command, has_data_set).await?;
        } else {
            self.queued.push_back(Next::Command { context, command });
        }
        Ok(Heard::Other)
    }

    /// What needs no knowledge of the service.
    fn check_find(&self, context: &AcceptedContext, command: &CommandSet) -> Result<FindRequest, Status> {
        if !context.peer_is_scu || !self.is_service(context) {
            return Err(Status::UNRECOGNIZED_OPERATION);
        }
        Ok(FindRequest {
            context_id: context.id,
            abstract_syntax: context.abstract_syntax.clone(),
            transfer_syntax: context.transfer_syntax.clone(),
            message_id: command.message_id().map_err(|_| Status::MISTYPED_ARGUMENT)?,
            sop_class: command.sop_class().ok_or(Status::SOP_CLASS_NOT_SUPPORTED)?,
            priority: command.priority(),
            identifier: Bytes::new(),
        })
    }
}

enum Heard {
    Cancel,
    Release,
    Other,
}
