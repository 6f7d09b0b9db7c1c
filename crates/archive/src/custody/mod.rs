//! That what was stored stays stored: every blob is read again within a month, index and store are compared both ways, a second copy is kept, and what is
//! damaged is shown, and repaired from the other copy.
//!
//! Three walks, each a row with a lease in the database, so that of several nodes one walks and another goes on where it was:
//!
//! * `scrub`: reads and hashes every blob, here and in the copy, twice in the time that is promised, so that what arrives behind the walk is reached in time;
//! * `reconcile`: blobs that the index lacks are handed to [`UnindexedBlobs`] (adopted, never deleted), rows whose blob is missing become damages;
//! * `copy`: brings new blobs to the second place.
//!
//! They are slow on purpose and give way to reception. None of them pays with an index on the table that reception writes: they walk its primary key, whose
//! order is that of arrival. A place that does not answer ends a turn with its reason; it never makes a thousand blobs look damaged.
//!
//! To add a kind of blob: a `CustodyKind` in `database`, a stage in `scrub` and in `copy`.

mod copy;
mod examine;
mod pace;
mod reconcile;
mod repair;
mod scrub;
mod status;
mod turn;

use std::sync::Arc;

use dokuei_database::{
    AuditEvent, AuditOutcome, BlobPlace, CustodyBlob, DamageKind, Database, DatabaseError, NewBlobDamage, WriteTx,
};
use dokuei_domain::{Actor, Ambient, FacilityId, Timestamp};
use dokuei_image_store::{BlobKey, ImageStore, StoreError, StoreOptions};
use dokuei_jobs::Periodic;

use copy::CopyPlace;

pub use reconcile::ReconcileSummary;
pub use repair::{Outcome, RepairError};
pub use scrub::ScrubSummary;
pub use status::{CopyStatus, ReconcileStatus, ScrubStatus, StorageStatus};

/// How blobs are looked after.
#[derive(Debug, Clone)]
pub struct CustodySettings {
    /// Every blob is read again within this many days.
    pub scrub_days: u32,
    /// The walks read at most this much in a second, a quarter of it while objects arrive; 0: as fast as it goes.
    pub bytes_per_second: u64,
    /// Index and store are compared as a whole this often, in days.
    pub reconcile_full_days: u32,
    /// Where the second copy is kept.
    pub copy: Option<CopyTarget>,
    /// The second copy leaves this much of its place free, in bytes.
    pub copy_low_water_bytes: u64,
    /// Names this node in leases. A name that a restarted node keeps lets it go on at once.
    pub worker: String,
    /// Nobody else files objects into this index, so that blobs from before the start of this process are in nobody's hands.
    pub only_node: bool,
}

/// The place of the second copy.
#[derive(Debug, Clone)]
pub struct CopyTarget {
    pub url: String,
    pub options: StoreOptions,
}

/// Takes blobs that the index lacks; given by the binary, as filing them is another use case's work. Errors are for the log.
#[async_trait::async_trait]
pub trait UnindexedBlobs: Send + Sync {
    /// Begins a walk over blobs and facts that were written since `since`; over all of them without it.
    async fn begin(&self, since: Option<Timestamp>) -> Result<Box<dyn AdoptionWalk>, String>;
}

/// A blob that could not be adopted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAdoptable {
    pub key: BlobKey,
    pub reason: String,
}

/// One walk; see [`UnindexedBlobs`].
#[async_trait::async_trait]
pub trait AdoptionWalk: Send {
    /// Takes the next blob in the order of keys; gives those that turned out not to be adoptable.
    async fn take(&mut self, key: &BlobKey, size: u64) -> Result<Vec<NotAdoptable>, String>;
    /// Files what waits. Gives how many blobs became part of the index, and the last ones that did not.
    async fn finish(self: Box<Self>) -> Result<(u64, Vec<NotAdoptable>), String>;
}

/// Why a walk or a question ended early.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    #[error("the index is not available")]
    Index(#[source] DatabaseError),
    #[error("the image store does not answer")]
    Store(#[source] StoreError),
    #[error("the second copy does not answer")]
    Copy(#[source] StoreError),
    #[error("{0}")]
    CopyPlace(String),
    #[error(
        "none of the {rows} objects received around {around} is in the store; is it the right one, and is it mounted?"
    )]
    WrongStore { rows: usize, around: String },
    #[error("blobs that the index lacks were not adopted: {0}")]
    Adoption(String),
}

impl From<DatabaseError> for CustodyError {
    fn from(error: DatabaseError) -> Self {
        Self::Index(error)
    }
}

impl CustodyError {
    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            text.push_str(": ");
            text.push_str(&source.to_string());
            cause = source.source();
        }
        text
    }
}

/// The use case. Cheap to share.
pub struct Custody {
    database: Database,
    store: ImageStore,
    copy: Option<CopyPlace>,
    ambient: Ambient,
    settings: CustodySettings,
    unindexed: Arc<dyn UnindexedBlobs>,
    receiving: Arc<dyn Fn() -> bool + Send + Sync>,
    started_at: Timestamp,
}

impl Custody {
    /// `receiving` says whether objects are arriving at this moment. Opens nothing: a second copy that is down delays nobody.
    pub fn new(
        database: Database,
        store: ImageStore,
        ambient: Ambient,
        settings: CustodySettings,
        unindexed: Arc<dyn UnindexedBlobs>,
        receiving: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Arc<Self> {
        let copy = settings.copy.clone().map(CopyPlace::new);
        let started_at = ambient.now();
        Arc::new(Self { database, store, copy, ambient, settings, unindexed, receiving, started_at })
    }

    /// The walks.
    pub fn periodics(self: &Arc<Self>) -> Vec<Arc<dyn Periodic>> {
        let mut walks: Vec<Arc<dyn Periodic>> =
            vec![Arc::new(reconcile::Reconciler::new(Arc::clone(self))), Arc::new(scrub::Scrubber(Arc::clone(self)))];
        if self.copy.is_some() {
            walks.push(Arc::new(copy::Copier(Arc::clone(self))));
        }
        walks
    }

    fn pace(&self) -> pace::Pace {
        pace::Pace::new(self.settings.bytes_per_second, Arc::clone(&self.receiving))
    }

    /// Records a damage with its audit row, once. `who` found it.
    async fn report(&self, tx: &mut WriteTx, who: &Actor, damage: &Damage<'_>) -> Result<bool, DatabaseError> {
        let now = self.ambient.now();
        let new = NewBlobDamage {
            id: self.ambient.new_uuid(),
            blob_key: damage.key.as_str(),
            place: damage.place,
            kind: damage.kind,
            facility: damage.facility(),
            subject: damage.subject,
            expected_sha256: damage.expected,
            found_sha256: damage.found,
            detail: &damage.detail,
            found_at: now,
        };
        if !tx.damage_report(&new).await? {
            return Ok(false);
        }
        tracing::error!(
            blob.key = %damage.key, place = damage.place.as_str(), kind = damage.kind.as_str(), detail = damage.detail,
            "a stored blob is damaged; see the storage page"
        );
        let event = AuditEvent::new(now, who, "blob.damage", AuditOutcome::Failed).facility(damage.facility());
        let subject = if damage.subject.is_empty() { damage.key.as_str() } else { damage.subject };
        let (kind, place) = (damage.kind.as_str(), damage.place.as_str());
        tx.audit(event.subject(subject).detail(format!("{kind} in the {place}: {} ({})", damage.detail, damage.key)));
        Ok(true)
    }
}

/// A damage as it was found.
#[derive(Debug, Clone)]
struct Damage<'a> {
    key: &'a BlobKey,
    place: BlobPlace,
    kind: DamageKind,
    subject: &'a str,
    expected: Option<[u8; 32]>,
    found: Option<[u8; 32]>,
    detail: String,
}

impl<'a> Damage<'a> {
    fn of(blob: &'a CustodyBlob, key: &'a BlobKey, place: BlobPlace, fault: examine::Fault) -> Self {
        let examine::Fault { kind, found, detail } = fault;
        Self { key, place, kind, subject: &blob.subject, expected: Some(blob.sha256), found, detail }
    }

    fn facility(&self) -> &'a FacilityId {
        self.key.facility()
    }
}

/// The smallest version 7 UUID of an instant.
fn first_uuid_at(at: Timestamp) -> uuid::Uuid {
    let millis = u128::try_from(at.micros() / 1_000).unwrap_or(0);
    uuid::Uuid::from_u128(millis << 80)
}

/// When a version 7 UUID was made.
fn made_at(id: uuid::Uuid) -> Timestamp {
    let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(0);
    Timestamp(millis.saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
