//! What a person does with objects that were kept aside: looks at both versions, releases one into the archive, or rejects it.
//!
//! Release files the object as if it came now, under the rules that hold for every object, except that a person has looked: it may join a study in spite of
//! another birth date or sex, and a withdrawn study, where it is as hidden as the rest. What can never be put right by looking stays refused:
//!
//! * other content of a UID that is stored: two contents of one UID cannot both be shown, and signed reports name the UID. The facility sends the right one
//!   under a UID of its own (and a rejection note for the wrong one); here it is rejected;
//! * a study of another patient, a series of another study: filing it would mix two patients or two studies;
//! * objects that cannot be read or have no legal UIDs: nothing could find or show them.
//!
//! Rejected objects stay in the store, for the audit, and are shown nowhere. The same content sent again is refused without asking again.

use dokuei_access::{Action, Resource};
use dokuei_database::{
    AuditEvent, AuditOutcome, FilingKey, QuarantineRow, QuarantineState, RefusedObjectsRow, StudyRow,
};
use dokuei_domain::{Actor, InstanceId, Timestamp, facts::InstanceFacts};
use dokuei_image_store::BlobKey;
use uuid::Uuid;

use crate::{
    Ingest, IngestError, QuarantineReason,
    adopt::read_candidate,
    filing::{Candidate, Decision, Filed, decide},
    studies::allow,
};

/// Objects listed at once.
const LISTED: u32 = 500;
/// How long refusals that left nothing behind are shown.
const REFUSALS_SECONDS: i64 = 7 * 24 * 3600;
/// Attempts at one release when other nodes are faster.
const ATTEMPTS: usize = 5;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// An object in quarantine beside what it is in conflict with.
#[derive(Debug, Clone)]
pub struct QuarantineDetail {
    pub row: QuarantineRow,
    /// What the object says of itself; `None` when it cannot be read.
    pub object: Option<InstanceFacts>,
    /// The study of the same facility that it is in conflict with, or would join.
    pub study: Option<StudyRow>,
    /// The stored object of the same UID.
    pub stored: Option<StoredVersion>,
    /// Why it cannot be released as things stand; `None` when it can.
    pub not_releasable: Option<NotReleasable>,
}

/// The object that has the UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    pub id: InstanceId,
    pub dataset_sha256: [u8; 32],
}

/// Why a quarantined object cannot be filed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleasable {
    #[error("{}", .0.sentence())]
    Conflict(QuarantineReason),
    #[error("it is a report that was signed here")]
    OwnReport,
    /// The reason is for a person.
    #[error("it cannot be filed: {0}")]
    Unreadable(String),
}

impl Ingest {
    /// Objects that were kept aside and wait for a decision, for the office.
    pub async fn quarantine(&self, actor: &Actor) -> Result<Vec<QuarantineRow>, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        Ok(self.database.read().await?.quarantine_held(LISTED).await?)
    }

    /// All that were kept aside lately, decided or not.
    pub async fn quarantine_history(&self, actor: &Actor) -> Result<Vec<QuarantineRow>, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        Ok(self.database.read().await?.quarantine_list(LISTED).await?)
    }

    /// What was refused in the last week and could not be kept, counted by sender and reason.
    pub async fn refusals(&self, actor: &Actor) -> Result<Vec<RefusedObjectsRow>, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        let since = self.ambient.now().plus_seconds(-REFUSALS_SECONDS);
        Ok(self.database.read().await?.refused_objects_since(since, LISTED).await?)
    }

    /// One object with what it is in conflict with.
    pub async fn quarantine_detail(&self, actor: &Actor, id: Uuid) -> Result<QuarantineDetail, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        let mut tx = self.database.read().await?;
        let row = tx.quarantine_object(id).await?.ok_or(IngestError::NotInQuarantine)?;
        let mut candidate = match self.quarantined_candidate(&row, row.received_at).await {
            Ok(candidate) => candidate,
            Err(reason) => {
                let not_releasable = Some(NotReleasable::Unreadable(reason));
                return Ok(QuarantineDetail { row, object: None, study: None, stored: None, not_releasable });
            }
        };
        candidate.facility.aliases = tx.facility_aliases(&row.facility).await?;
        let facts = &candidate.facts;
        let identity = candidate.identity();
        let known = tx
            .filing_context(FilingKey {
                facility: &row.facility,
                sop_instance: &facts.sop_instance,
                study: &facts.study,
                series: &facts.series,
                identity: &identity,
            })
            .await?;
        let in_conflict = known
            .instance
            .as_ref()
            .map(|instance| instance.study)
            .or(known.study.as_ref().map(|study| study.pk))
            .or(known.series.map(|series| series.study));
        let study = match in_conflict {
            Some(study) => tx.study_by_pk(study).await?,
            None => None,
        };
        let not_releasable = match decide(&known, &candidate) {
            Decision::Quarantine(reason) => Some(NotReleasable::Conflict(reason)),
            Decision::OwnReport => Some(NotReleasable::OwnReport),
            _ => None,
        };
        let stored = known
            .instance
            .filter(|instance| instance.id != candidate.id)
            .map(|instance| StoredVersion { id: instance.id, dataset_sha256: instance.dataset_sha256 });
        Ok(QuarantineDetail { row, object: Some(candidate.facts), study, stored, not_releasable })
    }

    /// Files a quarantined object, if that is possible now. The sender's failure status stands: it is not told.
    ///
    /// # Errors
    ///
    /// [`IngestError::NotReleasable`] with the reason, [`IngestError::AlreadyDecided`], [`IngestError::ReasonMissing`].
    pub async fn quarantine_release(&self, actor: &Actor, id: Uuid, reason: &str) -> Result<(), IngestError> {
        let released = self.try_release(actor, id, reason).await;
        self.audit_denial(actor, "quarantine.release", id, &released).await;
        released
    }

    async fn try_release(&self, actor: &Actor, id: Uuid, reason: &str) -> Result<(), IngestError> {
        allow(actor, Action::DecideQuarantine, Resource::Node)?;
        let reason = given_reason(reason)?;
        let row = self.held(id).await?;
        let now = self.ambient.now();
        // It is part of the archive from now on: what was signed before has not seen it.
        let candidate = self.quarantined_candidate(&row, now).await;
        let mut candidate =
            candidate.map_err(|reason| IngestError::NotReleasable(NotReleasable::Unreadable(reason)))?;
        candidate.facility.aliases = self.database.read().await?.facility_aliases(&row.facility).await?;
        for _ in 0..ATTEMPTS {
            let mut tx = self.database.write().await?;
            let candidates = std::slice::from_ref(&candidate);
            let Some(group) = self.filer.file_all_in(&mut tx, candidates).await? else { continue };
            match group.outcomes.first() {
                Some(Filed::New { .. } | Filed::AlreadyStored { .. }) => {}
                Some(Filed::Quarantined(reason) | Filed::AlreadyQuarantined(reason)) => {
                    return Err(IngestError::NotReleasable(NotReleasable::Conflict(*reason)));
                }
                Some(Filed::OwnReport) | None => return Err(IngestError::NotReleasable(NotReleasable::OwnReport)),
            }
            if !tx.quarantine_decide(id, QuarantineState::Released, &actor.label(), reason, now).await? {
                return Err(IngestError::AlreadyDecided);
            }
            let event = AuditEvent::new(now, actor, "quarantine.release", AuditOutcome::Success);
            tx.audit(event.facility(&row.facility).subject(subject(&row)).detail(format!("{}: {reason}", row.reason)));
            tx.commit().await?;
            self.filer.remember(group.armed);
            tracing::info!(sop_instance.uid = row.sop_instance, facility.id = %row.facility, "released from quarantine");
            return Ok(());
        }
        Err(IngestError::NotFiled)
    }

    /// Keeps the object for the audit and shows it nowhere.
    ///
    /// # Errors
    ///
    /// [`IngestError::AlreadyDecided`], [`IngestError::ReasonMissing`].
    pub async fn quarantine_reject(&self, actor: &Actor, id: Uuid, reason: &str) -> Result<(), IngestError> {
        let rejected = self.try_reject(actor, id, reason).await;
        self.audit_denial(actor, "quarantine.reject", id, &rejected).await;
        rejected
    }

    async fn try_reject(&self, actor: &Actor, id: Uuid, reason: &str) -> Result<(), IngestError> {
        allow(actor, Action::DecideQuarantine, Resource::Node)?;
        let reason = given_reason(reason)?;
        let row = self.held(id).await?;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.quarantine_decide(id, QuarantineState::Rejected, &actor.label(), reason, now).await? {
            return Err(IngestError::AlreadyDecided);
        }
        let event = AuditEvent::new(now, actor, "quarantine.reject", AuditOutcome::Success);
        tx.audit(event.facility(&row.facility).subject(subject(&row)).detail(format!("{}: {reason}", row.reason)));
        Ok(tx.commit().await?)
    }

    async fn held(&self, id: Uuid) -> Result<QuarantineRow, IngestError> {
        let row = self.database.read().await?.quarantine_object(id).await?.ok_or(IngestError::NotInQuarantine)?;
        if row.state == QuarantineState::Held { Ok(row) } else { Err(IngestError::AlreadyDecided) }
    }

    /// The object as it would be filed; the reason of a failure is for a person.
    async fn quarantined_candidate(&self, row: &QuarantineRow, filed_at: Timestamp) -> Result<Candidate, String> {
        let key = BlobKey::parse(&row.blob_key).map_err(|error| error.to_string())?;
        let size = u64::try_from(row.size_bytes).unwrap_or_default();
        let candidate = read_candidate(&self.store, &key, size).await?;
        if candidate.dataset_sha256 != row.dataset_sha256 {
            return Err("the stored bytes are not those that came; run `dokuei storage scrub`".to_owned());
        }
        if candidate.facts.sop_instance.as_str() != row.sop_instance {
            return Err("its data set says another SOP Instance UID than its sender".to_owned());
        }
        crate::incoming::within_limits(&candidate.facts).map_err(|error| error.to_string())?;
        Ok(Candidate { released: true, received_at: filed_at, ..candidate })
    }

    /// Who tries what is not allowed is written down.
    pub(crate) async fn audit_denial<T>(
        &self,
        actor: &Actor,
        action: &'static str,
        id: Uuid,
        result: &Result<T, IngestError>,
    ) {
        if let Err(error @ (IngestError::Denied | IngestError::NotReleasable(_))) = result {
            let event = AuditEvent::new(self.ambient.now(), actor, action, AuditOutcome::Refused);
            self.record(event.subject(id).detail(crate::incoming::with_causes(error))).await;
        }
    }
}

fn subject(row: &QuarantineRow) -> String {
    if row.sop_instance.is_empty() { row.id.to_string() } else { row.sop_instance.clone() }
}

/// A decision needs a reason that others can read.
pub(crate) fn given_reason(reason: &str) -> Result<&str, IngestError> {
    let reason = reason.trim();
    let is_given = !reason.is_empty() && reason.chars().count() <= LONGEST_REASON;
    if is_given { Ok(reason) } else { Err(IngestError::ReasonMissing { limit: LONGEST_REASON }) }
}
