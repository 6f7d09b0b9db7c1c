//! The way back to a peer: N-EVENT-REPORT (PS3.7 10.1.1) on the association that it opened, between its messages.
//!
//! Both sides may have one operation under way (an asynchronous operations window of 1 and 1), so that our request and a request of the peer can cross.

use std::time::Duration;

use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{Admission, ServerConfig, StoreService, dispatch::Conversation, opening::AcceptedContext};
use crate::{
    ProtocolError, Status,
    command::{CommandField, CommandSet, element},
    fault::Fault,
};

/// Events that wait for their turn on one association; who sends more waits.
const QUEUE: usize = 8;

/// Why an event was not answered on this association.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    #[error("the association has ended; send the event on a new one")]
    Gone,
    #[error("the peer did not answer the event in time")]
    TimedOut,
    #[error("the peer is no user of this service; events go to users only")]
    NotUser,
}

/// Reaches the peer of one association, on the presentation context of the request that it was given with. Cheap to clone; it may outlive the association.
#[derive(Clone, Debug)]
pub struct PeerLink {
    queue: mpsc::Sender<Box<OutgoingEvent>>,
    context_id: u8,
    transfer_syntax: TransferSyntaxUid,
    peer_is_scu: bool,
    /// For the turn and the response together.
    limit: Duration,
}

impl PeerLink {
    /// Sends an N-EVENT-REPORT-RQ when no message is under way, and gives the status of its response. `data_set` is encoded in
    /// [`transfer_syntax`](Self::transfer_syntax), of even length; empty means none.
    ///
    /// The turn comes after the response to the request that is being handled: a service must not wait for this inside `handle`, but in a task of its own.
    pub async fn event_report(
        &self,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        type_id: u16,
        data_set: Vec<u8>,
    ) -> Result<Status, LinkError> {
        if !self.peer_is_scu {
            return Err(LinkError::NotUser);
        }
        let command = CommandSet::new(CommandField::N_EVENT_REPORT_RQ)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, sop_class.as_str())
            .with_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance.as_str())
            .with_u16(element::EVENT_TYPE_ID, type_id)
            .with_data_set(!data_set.is_empty());
        let (reply, answer) = oneshot::channel();
        let event = Box::new(OutgoingEvent { context_id: self.context_id, command, data_set, reply });
        let exchange = async {
            self.queue.send(event).await.map_err(|_| LinkError::Gone)?;
            answer.await.map_err(|_| LinkError::Gone)?
        };
        timeout(self.limit, exchange).await.unwrap_or(Err(LinkError::TimedOut))
    }

    /// How the data set of an event must be encoded.
    pub fn transfer_syntax(&self) -> &TransferSyntaxUid {
        &self.transfer_syntax
    }
}

/// An event that waits for its turn.
#[derive(Debug)]
pub(super) struct OutgoingEvent {
    context_id: u8,
    command: CommandSet,
    data_set: Vec<u8>,
    reply: oneshot::Sender<Result<Status, LinkError>>,
}

/// The event that was sent and is not answered yet.
struct Awaited {
    context_id: u8,
    message_id: u16,
    deadline: Instant,
    /// Taken when the peer was too slow. Its answer may still come.
    reply: Option<oneshot::Sender<Result<Status, LinkError>>>,
}

/// The conversation's end of all links of one association.
pub(super) struct Link {
    queue: mpsc::Receiver<Box<OutgoingEvent>>,
    sender: mpsc::Sender<Box<OutgoingEvent>>,
    awaited: Option<Awaited>,
    last_message_id: u16,
}

/// What a link asks the conversation to do.
pub(super) enum LinkTurn {
    Send(Box<OutgoingEvent>),
    Overdue,
}

impl Link {
    pub(super) fn new() -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        Self { queue, sender, awaited: None, last_message_id: 0 }
    }

    pub(super) fn to_peer(&self, context: &AcceptedContext, config: &ServerConfig) -> PeerLink {
        PeerLink {
            queue: self.sender.clone(),
            context_id: context.id,
            transfer_syntax: context.transfer_syntax.clone(),
            peer_is_scu: context.peer_is_scu,
            limit: config.idle_timeout.saturating_add(config.dimse_timeout),
        }
    }

    /// The next thing to do. Can be dropped and called again without loss.
    pub(super) async fn turn(&mut self) -> LinkTurn {
        match &self.awaited {
            Some(Awaited { deadline, reply: Some(_), .. }) => {
                tokio::time::sleep_until(*deadline).await;
                LinkTurn::Overdue
            }
            // A peer that did not answer gets no more questions.
            Some(_) => std::future::pending().await,
            None => loop {
                match self.queue.recv().await {
                    Some(event) if event.reply.is_closed() => {}
                    Some(event) => return LinkTurn::Send(event),
                    // We hold a sender ourselves.
                    None => std::future::pending().await,
                }
            },
        }
    }
}

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    pub(super) async fn take_turn(&mut self, turn: LinkTurn) -> Result<(), Fault> {
        let event = match turn {
            LinkTurn::Send(event) => event,
            LinkTurn::Overdue => {
                tracing::warn!("the peer does not answer an event; no more are sent on this association");
                self.link.queue.close();
                while self.link.queue.try_recv().is_ok() {}
                if let Some(reply) = self.link.awaited.as_mut().and_then(|awaited| awaited.reply.take()) {
                    let _ = reply.send(Err(LinkError::TimedOut));
                }
                return Ok(());
            }
        };
        let OutgoingEvent { context_id, command, data_set, reply } = *event;
        self.link.last_message_id = self.link.last_message_id.wrapping_add(1).max(1);
        let message_id = self.link.last_message_id;
        let command = command.with_u16(element::MESSAGE_ID, message_id);
        let deadline = Instant::now() + self.config.dimse_timeout;
        self.link.awaited = Some(Awaited { context_id, message_id, deadline, reply: Some(reply) });
        self.counts.events += 1;
        tracing::debug!(context = context_id, message_id, "event");
        self.sender
            .write_message(context_id, &command.encode(), (!data_set.is_empty()).then_some(data_set.as_slice()))
            .await
    }

    /// A response of the peer: it must be the one to our event.
    pub(super) async fn event_answered(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        has_data_set: bool,
    ) -> Result<(), Fault> {
        let field = command.command_field().map_err(ProtocolError::from)?;
        let answers = command.message_id_being_responded_to().map_err(ProtocolError::from)?;
        let fits = |awaited: &Awaited| {
            field == CommandField::N_EVENT_REPORT_RQ.response()
                && awaited.context_id == context.id
                && awaited.message_id == answers
        };
        if !self.link.awaited.as_ref().is_some_and(fits) {
            return Err(ProtocolError::UnexpectedResponse(field.0).into());
        }
        let status = command.status().map_err(ProtocolError::from)?;
        if has_data_set {
            self.read_past(context.id).await?;
        }
        tracing::debug!(context = context.id, %status, "event answered");
        if let Some(reply) = self.link.awaited.take().and_then(|awaited| awaited.reply) {
            let _ = reply.send(Ok(status));
        }
        Ok(())
    }
}
