//! The index from the blobs alone.
//!
//! Every blob is a complete Part 10 file whose header says which facility sent it, when, and for what, and beside the images lie the facts that are part of
//! none of them; so the index can be made again without any other record. Blobs that the index has are passed over.

use std::sync::Arc;

use crate::{Ingest, NotAdopted, adopt::Adoption};

/// How far a rebuild has come, reported now and then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    pub seen: u64,
    pub added: u64,
}

/// What a rebuild found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RebuildSummary {
    pub seen: u64,
    pub added: u64,
    pub already_indexed: u64,
    /// The same content of the same facility under another key, and reports of ours that came back.
    pub second_copies: u64,
    pub quarantined: u64,
    /// Studies that were withdrawn (取消) before.
    pub withdrawn: u64,
    /// Blobs that could not be read, with the reason; they stay where they are. At most a thousand are named.
    pub unreadable: Vec<String>,
    /// How many there are in all.
    pub unreadable_count: u64,
}

/// Reasons that a summary holds: a store that is damaged as a whole must not fill the memory.
const REASONS: usize = 1000;

impl Ingest {
    /// Walks all instance blobs and indexes those that the index lacks. May run beside a working node.
    pub async fn rebuild_index(
        self: &Arc<Self>,
        mut progress: impl FnMut(RebuildProgress),
    ) -> Result<RebuildSummary, crate::IngestError> {
        let mut summary = RebuildSummary::default();
        let mut adoption = Adoption::begin(Arc::clone(self), None).await?;
        let mut blobs = self.store.list("v1/");
        while let Some((key, size)) = blobs.next().await? {
            summary.seen += 1;
            if !adoption.take(&key, size).await? {
                summary.already_indexed += 1;
            }
            summary.note(adoption.drain_not_adopted());
            if summary.seen.is_multiple_of(100) {
                progress(RebuildProgress { seen: summary.seen, added: adoption.summary().added });
            }
        }
        let adopted = adoption.finish().await?;
        summary.note(adoption.drain_not_adopted());
        summary.added = adopted.added;
        summary.second_copies = adopted.second_copies;
        summary.quarantined = adopted.quarantined;
        summary.withdrawn = adopted.withdrawn;
        progress(RebuildProgress { seen: summary.seen, added: summary.added });
        Ok(summary)
    }
}

impl RebuildSummary {
    fn note(&mut self, not_adopted: Vec<NotAdopted>) {
        for NotAdopted { key, reason } in not_adopted {
            self.unreadable_count += 1;
            if self.unreadable.len() < REASONS {
                self.unreadable.push(format!("{key}: {reason}"));
            }
        }
    }
}
