//! Data sets that a service gets whole: within a limit for each and one for all associations together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Admission, StoreService,
    dispatch::{Conversation, Drain},
};
use crate::fault::Fault;

/// Data sets up to this many bytes count nothing: most have some hundred.
const FREE: usize = 64 * 1024;
/// One permit of the shared budget, in bytes.
const UNIT: usize = 64 * 1024;

/// Memory for data sets, shared by all associations of a server.
#[derive(Clone, Debug)]
pub(super) struct CollectBudget(Arc<Semaphore>);

impl CollectBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS))))
    }
}

/// A whole data set, with its share of the budget.
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    pub(super) share: Option<OwnedSemaphorePermit>,
}

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    /// Puts the data set of the current message together. `None` when it is longer than `most` or the server has no memory left for it; it is read past
    /// then, and the association goes on.
    pub(super) async fn collect(&mut self, context_id: u8, most: usize) -> Result<Option<Collected>, Fault> {
        let mut bytes = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        let mut refused = None;
        loop {
            let fragment = self.next_data(context_id).await?;
            if let Some(drained) = &mut refused {
                Drain::add(drained, &fragment.data)?;
            } else if bytes.len() + fragment.data.len() > most
                || !self.share_covers(&mut share, bytes.len() + fragment.data.len())
            {
                (bytes, share) = (BytesMut::new(), None);
                refused = Some(Drain::new(self.config));
            } else if fragment.last && bytes.is_empty() {
                return Ok(Some(Collected { bytes: fragment.data, share }));
            } else {
                bytes.extend_from_slice(&fragment.data);
            }
            if fragment.last {
                return Ok(refused.is_none().then(|| Collected { bytes: bytes.freeze(), share }));
            }
        }
    }

    fn share_covers(&self, share: &mut Option<OwnedSemaphorePermit>, length: usize) -> bool {
        let needed = length.saturating_sub(FREE).div_ceil(UNIT);
        let more = needed.saturating_sub(share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if more == 0 {
            return true;
        }
        let Ok(more) = u32::try_from(more) else { return false };
        let Ok(permit) = self.budget.0.clone().try_acquire_many_owned(more) else { return false };
        match share {
            Some(share) => share.merge(permit),
            None => *share = Some(permit),
        }
        true
    }
}
