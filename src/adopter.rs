//! Hands blobs that `archive` finds outside of the index to `ingest`, which files them; the two do not know each other.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_archive::custody::{AdoptionWalk, NotAdoptable, UnindexedBlobs};
use dokuei_domain::Timestamp;
use dokuei_image_store::BlobKey;
use dokuei_ingest::{Adoption, Ingest, IngestError, NotAdopted};

pub(crate) struct IngestAdopter(pub(crate) Arc<Ingest>);

struct Walk(Adoption);

#[async_trait]
impl UnindexedBlobs for IngestAdopter {
    async fn begin(&self, since: Option<Timestamp>) -> Result<Box<dyn AdoptionWalk>, String> {
        let adoption = Adoption::begin(Arc::clone(&self.0), since).await.map_err(in_words)?;
        Ok(Box::new(Walk(adoption)))
    }
}

#[async_trait]
impl AdoptionWalk for Walk {
    async fn take(&mut self, key: &BlobKey, size: u64) -> Result<Vec<NotAdoptable>, String> {
        self.0.take(key, size).await.map_err(in_words)?;
        Ok(self.refused())
    }

    async fn finish(mut self: Box<Self>) -> Result<(u64, Vec<NotAdoptable>), String> {
        let summary = self.0.finish().await.map_err(in_words)?;
        Ok((summary.added + summary.quarantined, self.refused()))
    }
}

impl Walk {
    fn refused(&mut self) -> Vec<NotAdoptable> {
        let refused = self.0.drain_not_adopted();
        refused.into_iter().map(|NotAdopted { key, reason }| NotAdoptable { key, reason }).collect()
    }
}

fn in_words(error: IngestError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
