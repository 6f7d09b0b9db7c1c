//! From the bytes of one object to an acknowledged instance: staged, made durable, indexed, answered; and from instances to a settled study.
//!
//! [`Ingest::begin`] gives an [`Incoming`] that takes the data set as it arrives; [`Incoming::finish`] returns only when the blob is durable **and** its
//! facts are committed, together with all other objects that wait at that moment. What cannot be told apart safely (one UID with two contents, a study of
//! two patients) is kept in quarantine and refused; nothing is overwritten.
//!
//! Where an object belongs is one pure function, `filing::decide`; `filer` carries it out. A study whose birth date or sex contradict its patient is taken and
//! held for a person (`holds`); what a rejection note names is hidden, before or after it came (`rejection`).
//!
//! What it is not: it knows no DIMSE and no HTTP; adapters map [`IngestError`] to their status. It opens no reading case: that a study has settled is told
//! to `worklist` by an event.
//!
//! To add a source of objects: admit the peer, fill an [`Origin`], and use the three calls. To add evidence that a study is complete: `completeness.rs`.
//! To add a reason for keeping objects aside: a variant of [`QuarantineReason`], its place in `filing`, and its words in `web`.

mod adopt;
mod committer;
mod completeness;
mod error;
mod expected;
mod facts;
mod filer;
mod filing;
mod holds;
mod identity;
mod import;
mod incoming;
mod procedure_steps;
mod quarantine;
mod rebuild;
mod receptions;
mod rejection;
mod search;
mod set_aside;
mod settle;
mod space;
mod studies;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use dokuei_database::Database;
use dokuei_domain::{
    Actor, AeTitle, Ambient, SopClassUid, SopInstanceUid, StudyPk, TransferSyntaxUid, patient::FacilityIssuer,
};
use dokuei_image_store::ImageStore;

pub use adopt::{Adoption, AdoptionSummary, NotAdopted};
pub use error::{IngestError, QuarantineReason};
pub use import::{ImportError, ImportOptions, ImportProgress, ImportSummary, NotImported};
pub use incoming::{Incoming, Stored};
pub use procedure_steps::ProcedureStepError;
pub use quarantine::{NotReleasable, QuarantineDetail, StoredVersion};
pub use rebuild::{RebuildProgress, RebuildSummary};
pub use search::{FoundStudies, StudySearch};
pub use set_aside::{MOST_BYTES as MOST_SET_ASIDE_BYTES, MOST_OBJECTS as MOST_SET_ASIDE_OBJECTS};
pub use space::{SpaceReport, SpaceWatch, directory_free_bytes};

/// Who sends, over which association.
#[derive(Debug, Clone)]
pub struct Origin {
    pub facility: FacilityIssuer,
    pub calling: AeTitle,
    pub called: AeTitle,
    pub address: IpAddr,
    /// The calling AE title sends studies to be read (role *reading* or *both*), not priors only.
    pub opens_case: bool,
    /// Distinguishes associations of this process.
    pub association: u64,
}

impl Origin {
    pub fn actor(&self) -> Actor {
        Actor::Peer { facility: self.facility.facility.clone(), calling: self.calling.clone() }
    }
}

/// What the sender says of an object before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
}

/// How objects are received.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// A study settles when nothing came for this long and no association that sent parts of it is open.
    pub settle_quiet_seconds: i64,
    /// While something that was listed has not come, or a procedure step is in progress, it settles only after this long: incomplete, and saying so.
    pub settle_patience_seconds: i64,
    /// The longest object that is accepted, in bytes.
    pub max_object_bytes: u64,
    /// Objects are refused while the store has less free space than this, in bytes.
    pub low_water_bytes: u64,
}

/// The use case. Cheap to share.
pub struct Ingest {
    database: Database,
    store: ImageStore,
    ambient: Ambient,
    settings: IngestSettings,
    space: SpaceWatch,
    filer: Arc<filer::Filer>,
    committer: committer::Committer,
    /// Names this process to other nodes.
    node: String,
    /// Studies of which an open association has sent parts.
    under_way: Mutex<HashMap<StudyPk, HashSet<u64>>>,
}

impl Ingest {
    pub fn new(database: Database, store: ImageStore, ambient: Ambient, settings: IngestSettings) -> Arc<Self> {
        let filer = filer::Filer::new(database.clone(), ambient.clone(), settings.settle_quiet_seconds);
        let filer = Arc::new(filer);
        let committer = committer::Committer::new(Arc::clone(&filer));
        let space = SpaceWatch::new(store.clone(), settings.low_water_bytes);
        let node = ambient.new_uuid().simple().to_string();
        Arc::new(Self {
            database,
            store,
            ambient,
            settings,
            space,
            filer,
            committer,
            node,
            under_way: Mutex::default(),
        })
    }

    /// The watch over the disks that reception fills.
    pub fn space(&self) -> &SpaceWatch {
        &self.space
    }

    fn note_under_way(&self, study: StudyPk, association: u64) {
        self.lock_under_way().entry(study).or_default().insert(association);
    }

    fn is_under_way(&self, study: StudyPk) -> bool {
        self.lock_under_way().contains_key(&study)
    }

    fn lock_under_way(&self) -> std::sync::MutexGuard<'_, HashMap<StudyPk, HashSet<u64>>> {
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
