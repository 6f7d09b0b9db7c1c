//! Reports: drafts, signed versions, their return to the hospital, and the proof that nothing was changed.
//!
//! [`Reports`] is the use case. A draft belongs to a case and is saved as typed; signing freezes it into a version of four files (a structured report, the
//! printed page in a DICOM envelope, a manifest, a signature over the manifest) that are never touched again; each version goes to the facility's recipients
//! through a ledger that says of every attempt what became of it. [`Reports::verify`] proves a version, [`Reports::rebuild`] brings versions back from the
//! store alone.
//!
//! What it is not: it claims and assigns no case (worklist), asks nobody to sign in (access), and knows no page and no socket. It never changes a version;
//! what must be corrected is succeeded by the next number.
//!
//! To add a channel of return: a queue and handler beside `delivery.rs`, rows in the same ledger. To add a fact to what is signed: the next format in
//! `manifest.rs`, with a sample in `testdata/`. To add a check: a line in `verify.rs` and a flipped byte in its test.

mod delivery;
mod drafts;
mod error;
mod facts;
mod freeze;
mod keys;
pub mod manifest;
mod page;
mod prepare;
mod read;
mod rebuild;
mod sending;
mod settings;
mod sign;
pub mod signature;
mod verify;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

pub use dokuei_database::{
    AttemptOutcome, AttemptRow, AttemptStart, DeliveryRow, DeliverySelection, DeliveryState, DeliveryTargetRow,
    ReportFileKind, ReportFileRow, ReportOpeningRow, ReportVersionRow,
};
pub use drafts::{Draft, DraftText};
pub use error::{ReportError, ReportErrorKind};
pub use keys::KeyHolder;
pub use read::{Delivery, ReportDownload, ReportVersionDetail};
pub use rebuild::RebuildSummary;
pub use settings::ReportSettings;
pub use sign::{SignRequest, SignedVersion};
pub use verify::{Check, Verification};

use dokuei_access::Access;
use dokuei_database::{AuditEvent, Database};
use dokuei_domain::{Actor, Ambient};
use dokuei_image_store::ImageStore;
use dokuei_jobs::{Handler, Periodic};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Pages laid out at the same time; each takes a core and some tens of megabytes.
const PAGES_AT_ONCE: usize = 2;

/// The use case. Share it in an [`Arc`].
pub struct Reports {
    database: Database,
    store: ImageStore,
    ambient: Ambient,
    keys: Arc<dyn KeyHolder>,
    /// The certificate of the node's authority, DER.
    authority_der: Vec<u8>,
    settings: Arc<ReportSettings>,
    printing: Arc<Semaphore>,
    /// Deliveries under way to each recipient, of this process.
    under_way: Mutex<HashMap<Uuid, usize>>,
}

impl Reports {
    /// With readers' keys kept by `access`.
    pub fn new(
        database: Database,
        store: ImageStore,
        ambient: Ambient,
        access: Arc<Access>,
        settings: ReportSettings,
    ) -> Arc<Self> {
        let authority_der = access.authority_der().to_vec();
        Self::with_keys(database, store, ambient, access, authority_der, settings)
    }

    /// With keys kept elsewhere, under certificates of the authority given as DER.
    pub fn with_keys(
        database: Database,
        store: ImageStore,
        ambient: Ambient,
        keys: Arc<dyn KeyHolder>,
        authority_der: Vec<u8>,
        settings: ReportSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            database,
            store,
            ambient,
            keys,
            authority_der,
            settings: Arc::new(settings),
            printing: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
            under_way: Mutex::default(),
        })
    }

    /// The queues this crate works on.
    pub fn handlers(self: &Arc<Self>) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(delivery::Deliver(Arc::clone(self))), Arc::new(delivery::ReportSigned(Arc::clone(self)))]
    }

    /// The reconcilers beside them.
    pub fn periodics(self: &Arc<Self>) -> Vec<Arc<dyn Periodic>> {
        vec![Arc::new(delivery::Reconcile(Arc::clone(self)))]
    }

    /// Writes down that somebody was refused something, or that it failed. A failure to do so is logged: the refusal stands anyhow.
    async fn audit_refusal(&self, actor: &Actor, action: &'static str, subject: impl ToString, error: &ReportError) {
        let mut event = AuditEvent::new(self.ambient.now(), actor, action, error.audit_outcome())
            .subject(subject)
            .detail(error.to_string());
        if let ReportError::Denied(denied) = error {
            event.facility = denied.facility.clone().or(event.facility);
        }
        let written = async {
            let mut tx = self.database.write().await?;
            tx.audit(event);
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(error = error.chain(), action, "a refusal could not be written to the audit trail");
        }
    }
}

impl std::fmt::Debug for Reports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reports").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
