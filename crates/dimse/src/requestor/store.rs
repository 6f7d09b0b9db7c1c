//! C-STORE as its requestor: the data set streams out piece by piece.

use bytes::{BufMut, BytesMut};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout, timeout_at},
};

use super::{Association, AssociationError, incoming::Awaited};
use crate::{
    ProtocolError, Status, Waiting,
    command::{CommandField, CommandSet, element},
    wire::{DATA_HEADER, Sender, data_header, put_command},
};

/// When the peer hangs up while we send, its reason may already be on the way.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// One object to store (PS3.7 9.1.1.1).
#[derive(Clone, Debug)]
pub struct StoreOperation {
    /// An accepted context, see [`Association::context_for`].
    pub context_id: u8,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    /// 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// AE title and message ID of the C-MOVE that causes this.
    pub move_originator: Option<(AeTitle, u16)>,
}

impl StoreOperation {
    /// Medium priority, of our own accord.
    pub fn new(context_id: u8, sop_class: SopClassUid, sop_instance: SopInstanceUid) -> Self {
        Self { context_id, sop_class, sop_instance, priority: 0, move_originator: None }
    }
}

impl Association {
    /// Sends one object. `data_set` gives the bytes of the data set in the context's transfer syntax, without file meta information. When `length` is
    /// known, a source that gives more or less fails and the object is never completed at the peer.
    pub async fn store(
        &mut self,
        operation: &StoreOperation,
        data_set: &mut (dyn AsyncRead + Send + Unpin),
        length: Option<u64>,
    ) -> Result<Status, AssociationError> {
        let context_id = operation.context_id;
        let message_id = self.begin(context_id)?;
        let mut command = CommandSet::new(CommandField::C_STORE_RQ)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, operation.sop_class.as_str())
            .with_u16(element::MESSAGE_ID, message_id)
            .with_u16(element::PRIORITY, operation.priority)
            .with_uid(element::AFFECTED_SOP_INSTANCE_UID, operation.sop_instance.as_str())
            .with_data_set(true);
        if let Some((title, message)) = &operation.move_originator {
            command = command
                .with_text(element::MOVE_ORIGINATOR_AE_TITLE, title.as_str())
                .with_u16(element::MOVE_ORIGINATOR_MESSAGE_ID, *message);
        }
        let result = self.exchange(context_id, message_id, &command.encode(), data_set, length).await;
        self.settle(result).await
    }

    /// Sends while listening: a peer that gives up says so in the middle of the object.
    async fn exchange(
        &mut self,
        context_id: u8,
        message_id: u16,
        command: &[u8],
        data_set: &mut (dyn AsyncRead + Send + Unpin),
        length: Option<u64>,
    ) -> Result<Status, AssociationError> {
        let limit = self.timeouts.response;
        let sending = send_message(&mut self.sender, context_id, command, data_set, length);
        let awaited = Awaited { context_id, message_id, request: CommandField::C_STORE_RQ };
        let receiving = self.incoming.response(awaited, None);
        tokio::pin!(sending, receiving);
        let response = tokio::select! {
            biased;
            early = &mut receiving => {
                // A response before the end of the data set is unusual; the message must be completed all the same.
                let response = early?;
                sending.await?;
                response
            }
            sent = &mut sending => match sent {
                Ok(()) => {
                    let response = timeout_at(Instant::now() + limit, receiving).await;
                    response.map_err(|_| AssociationError::Timeout(Waiting::Response))??
                }
                Err(error @ (AssociationError::Closed | AssociationError::Connection(_))) => {
                    return match timeout(LAST_WORDS, receiving).await {
                        Ok(Err(fault)) => Err(fault.into()),
                        Ok(Ok(_)) | Err(_) => Err(error),
                    };
                }
                Err(error) => return Err(error),
            },
        };
        Ok(response.command.status().map_err(ProtocolError::from)?)
    }
}

/// Writes command and data set. The headers stand in front of the data in the same buffer, so that each piece is one write; the next piece is read
/// before the current one leaves, because the last fragment must say that it is the last.
async fn send_message(
    sender: &mut Sender,
    context_id: u8,
    command: &[u8],
    data_set: &mut (dyn AsyncRead + Send + Unpin),
    length: Option<u64>,
) -> Result<(), AssociationError> {
    let max_fragment = sender.max_fragment;
    let mut current = BytesMut::with_capacity(command.len() + 2 * DATA_HEADER + max_fragment);
    put_command(&mut current, context_id, command, max_fragment);
    let mut header_at = current.len();
    let mut size = read_fragment(data_set, &mut current, max_fragment).await?;
    let mut total = to_u64(size);
    let mut next = BytesMut::new();
    loop {
        next.clear();
        let next_size = if size < max_fragment { 0 } else { read_fragment(data_set, &mut next, max_fragment).await? };
        let last = next_size == 0;
        total += to_u64(next_size);
        if let Some(expected) = length
            && (total > expected || (last && total < expected))
        {
            return Err(AssociationError::SourceLength { expected, actual: total });
        }
        if let Some(header) = current.get_mut(header_at..header_at + DATA_HEADER) {
            header.copy_from_slice(&data_header(context_id, false, last, size));
        }
        sender.write(&current).await?;
        if last {
            return Ok(());
        }
        std::mem::swap(&mut current, &mut next);
        (header_at, size) = (0, next_size);
    }
}

/// Appends room for a header and up to `most` bytes. Fewer only at the end of the source.
async fn read_fragment(
    source: &mut (dyn AsyncRead + Send + Unpin),
    into: &mut BytesMut,
    most: usize,
) -> Result<usize, AssociationError> {
    into.reserve(DATA_HEADER + most);
    into.put_bytes(0, DATA_HEADER);
    let mut size = 0;
    while size < most {
        match source.read_buf(&mut (&mut *into).limit(most - size)).await.map_err(AssociationError::Source)? {
            0 => break,
            read => size += read,
        }
    }
    Ok(size)
}

fn to_u64(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
