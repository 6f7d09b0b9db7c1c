//! Stored objects on their way out: what a study holds, one object's bytes, and whole studies as files, byte for byte as received.
//!
//! Every call takes an actor and asks `access` with the facility of the object; what the actor may not see is reported as absent.
//!
//! What it is not (yet): query and retrieve over DIMSE, priors and retention come with their own rooms here.

mod commitment;
pub mod custody;
mod export;
mod stack;

use dokuei_access::{Action, Resource, can};
use dokuei_database::{Database, DatabaseError, InstanceRow, ReadTx, SeriesRow, StudyRow, StudyState};
use dokuei_domain::{Actor, InstanceId, StudyPk};
use dokuei_image_store::{BlobKey, ImageStore, StoreError};

pub use commitment::{
    AskForCommitment, CommitmentError, CommitmentExchangeError, CommitmentPeer, CommitmentSettings, Commitments,
    ResultLink, UndeliveredResult, reason as failure_reason,
};
pub use export::{ExportSummary, What};

/// Why nothing was given out.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("there is no such object")]
    NotFound,
    #[error("the index is not available")]
    Index(#[source] DatabaseError),
    #[error("the image store failed")]
    Store(#[source] StoreError),
    #[error("the stored object {0} is not what was received: its hash differs")]
    Corrupt(String),
    #[error("the index has no usable key for the object {0}; run `dokuei rebuild-index`")]
    BadKey(InstanceId),
    #[error("cannot write {path}")]
    Write {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the object has {size} bytes, more than the {limit} that can be shown")]
    TooLarge { size: u64, limit: u64 },
}

impl From<DatabaseError> for ArchiveError {
    fn from(error: DatabaseError) -> Self {
        Self::Index(error)
    }
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A series with its instances in the order of a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesEntry {
    pub series: SeriesRow,
    pub instances: Vec<InstanceRow>,
}

/// The use case.
pub struct Archive {
    database: Database,
    store: ImageStore,
}

impl Archive {
    pub fn new(database: Database, store: ImageStore) -> Self {
        Self { database, store }
    }

    /// The study and its series, lowest series number first.
    pub async fn series_of_study(
        &self,
        actor: &Actor,
        study: StudyPk,
    ) -> Result<(StudyRow, Vec<SeriesEntry>), ArchiveError> {
        let mut tx = self.database.read().await?;
        let found = tx.study_by_pk(study).await?;
        let row = visible_study(&mut tx, actor, found).await?;
        let series = tx.series_of_study(study).await?;
        let instances = tx.instances_of_study(study).await?;
        Ok((row, stack::arrange(series, instances)))
    }

    /// The whole Part 10 file of one instance, up to `limit` bytes.
    pub async fn instance_file(&self, actor: &Actor, id: InstanceId, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut tx = self.database.read().await?;
        let instance = tx.instance_by_id(id).await?.ok_or(ArchiveError::NotFound)?;
        let found = tx.study_by_pk(instance.study).await?;
        visible_study(&mut tx, actor, found).await?;
        drop(tx);
        let size = u64::try_from(instance.size_bytes).unwrap_or(u64::MAX);
        if size > limit {
            return Err(ArchiveError::TooLarge { size, limit });
        }
        Ok(self.store.read_to_vec(&blob_key(&instance)?, limit).await?)
    }
}

/// The study, if the actor may see it: a withdrawn one is hidden at every door, and a reader sees no case that another reader has claimed.
async fn visible_study(tx: &mut ReadTx, actor: &Actor, study: Option<StudyRow>) -> Result<StudyRow, ArchiveError> {
    let study = study.filter(|study| study.state != StudyState::Withdrawn).ok_or(ArchiveError::NotFound)?;
    let allowed = if actor.facility().is_some() {
        can(actor, Action::ViewOwnStudies, Resource::Facility(&study.facility))
    } else {
        let claimed_by = tx.study_claimed_by(study.pk).await?;
        can(actor, Action::ViewCase, Resource::Case { facility: &study.facility, claimed_by: claimed_by.as_ref() })
    };
    allowed.map(|()| study).map_err(|_| ArchiveError::NotFound)
}

fn blob_key(instance: &InstanceRow) -> Result<BlobKey, ArchiveError> {
    BlobKey::parse(&instance.blob_key).map_err(|_| ArchiveError::BadKey(instance.id))
}
