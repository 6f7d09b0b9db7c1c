//! C-FIND as its requestor (PS3.7 9.1.2): matches arrive one by one, and can be stopped.

use bytes::Bytes;
use dokuei_domain::{SopClassUid, TransferSyntaxUid};
use tokio::time::Instant;

use super::{Association, AssociationError, incoming::Awaited};
use crate::{
    ProtocolError, Status, StatusClass, Waiting,
    command::{CommandField, CommandSet, element},
};

/// Matches that [`Association::find_all`] keeps, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct FindOperation {
    /// An accepted context of the information model, see [`Association::context_of`].
    pub context_id: u8,
    pub sop_class: SopClassUid,
    /// 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// The keys, encoded in the context's transfer syntax.
    pub identifier: Vec<u8>,
}

/// All matches of a query, up to a limit.
#[derive(Clone, Debug)]
pub struct FindReply {
    /// Encoded in the context's transfer syntax.
    pub identifiers: Vec<Bytes>,
    /// Success, the reason of a failure, or [`Status::CANCEL`] when the peer stopped at our limit.
    pub status: Status,
    /// Error Comment (0000,0902), when there is one.
    pub comment: Option<String>,
    /// The peer did not support all keys (FF01).
    pub unsupported_keys: bool,
    /// There may be more matches than the limit, or than fit into 64 MiB.
    pub truncated: bool,
}

/// A query under way. Take matches until there are no more, or [`cancel`](Self::cancel); one that is dropped before takes its association along.
#[derive(Debug)]
pub struct Query<'a> {
    association: &'a mut Association,
    awaited: Awaited,
    end: Option<(Status, Option<String>)>,
    unsupported_keys: bool,
}

impl Association {
    /// The first accepted context of a SOP class, with its transfer syntax.
    pub fn context_of(&self, sop_class: &SopClassUid) -> Option<(u8, &TransferSyntaxUid)> {
        let of_class = self.contexts().iter().filter(|context| context.abstract_syntax == *sop_class);
        of_class.filter_map(|context| Some((context.id, context.transfer_syntax.as_ref().ok()?))).next()
    }

    /// Begins a query.
    pub async fn find(&mut self, operation: &FindOperation) -> Result<Query<'_>, AssociationError> {
        let context_id = operation.context_id;
        let message_id = self.begin(context_id)?;
        let request = CommandField::C_FIND_RQ;
        let command = CommandSet::new(request)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, operation.sop_class.as_str())
            .with_u16(element::MESSAGE_ID, message_id)
            .with_u16(element::PRIORITY, operation.priority)
            .with_data_set(true);
        let sent = self.sender.write_message(context_id, &command.encode(), Some(&operation.identifier)).await;
        self.settle(sent.map_err(AssociationError::from)).await?;
        let awaited = Awaited { context_id, message_id, request };
        Ok(Query { association: self, awaited, end: None, unsupported_keys: false })
    }

    /// Asks and collects at most `limit` matches; the peer is told to stop when there are more.
    pub async fn find_all(&mut self, operation: &FindOperation, limit: usize) -> Result<FindReply, AssociationError> {
        let mut query = self.find(operation).await?;
        let mut identifiers = Vec::new();
        let mut truncated = false;
        let mut bytes = 0_usize;
        while let Some(identifier) = query.next().await? {
            bytes = bytes.saturating_add(identifier.len());
            if identifiers.len() == limit || bytes > MOST_BYTES {
                truncated = true;
                query.cancel().await?;
                break;
            }
            identifiers.push(identifier);
        }
        let unsupported_keys = query.unsupported_keys;
        let (status, comment) = query.end.clone().unwrap_or((Status::PROCESSING_FAILURE, None));
        Ok(FindReply { identifiers, status, comment, unsupported_keys, truncated })
    }
}

impl Query<'_> {
    /// The next match; `None` when there are no more, see [`status`](Self::status).
    pub async fn next(&mut self) -> Result<Option<Bytes>, AssociationError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let deadline = Instant::now() + self.association.timeouts.response;
        let answer = async {
            let message = self.association.incoming.response(self.awaited, Some(deadline)).await?;
            let status = message.command.status().map_err(ProtocolError::from)?;
            Ok((status, message))
        };
        let answer = answer.await;
        let (status, message) = self.association.settle(answer).await?;
        if status.class() == StatusClass::Pending {
            self.unsupported_keys |= status == Status::PENDING_WARNING;
            return Ok(Some(message.data_set.unwrap_or_default()));
        }
        let comment = message.command.text(element::ERROR_COMMENT);
        self.end = Some((status, (!comment.is_empty()).then_some(comment)));
        Ok(None)
    }

    /// Tells the peer to stop (C-CANCEL, PS3.7 9.3.2.3) and reads past the matches that are on their way.
    pub async fn cancel(&mut self) -> Result<(), AssociationError> {
        if self.end.is_some() {
            return Ok(());
        }
        let command = CommandSet::new(CommandField::C_CANCEL_RQ)
            .with_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, self.awaited.message_id)
            .with_data_set(false);
        let sent = self.association.sender.write_command(self.awaited.context_id, &command.encode()).await;
        self.association.settle(sent.map_err(AssociationError::from)).await?;
        // A peer that does not know cancelling goes on to its end, but not for ever.
        let deadline = Instant::now() + self.association.timeouts.response;
        while self.next().await?.is_some() {
            if Instant::now() > deadline {
                return self.association.settle(Err(AssociationError::Timeout(Waiting::Response))).await;
            }
        }
        Ok(())
    }

    /// The final status, once there are no more matches.
    pub fn status(&self) -> Option<Status> {
        self.end.as_ref().map(|(status, _)| *status)
    }

    /// The peer does not support all keys and said so (FF01).
    pub fn unsupported_keys(&self) -> bool {
        self.unsupported_keys
    }
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        // Its matches would be taken for the answer to the next request.
        self.association.ended |= self.end.is_none();
    }
}
