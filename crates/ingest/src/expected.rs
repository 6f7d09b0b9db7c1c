//! What others say a study consists of: the lists of procedure steps and of availability notifications. How they count as evidence stands in `settle.rs`.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{AuditEvent, AuditOutcome, Completeness, DatabaseError, StudyState, WriteTx};
use dokuei_dataset::normalized::AvailabilityNotification;
use dokuei_domain::{Actor, FacilityId, JobId, SopInstanceUid, StudyPk, StudyUid, Timestamp};

use crate::{Ingest, IngestError, Origin, committer::settle_job};

/// The source of what availability notifications list.
pub(crate) const AVAILABILITY: &str = "availability";

impl Ingest {
    /// Keeps what a source says a study consists of, in place of what it said before. The study need not be known yet.
    pub async fn expect(
        &self,
        facility: &FacilityId,
        study: &StudyUid,
        source: &str,
        instances: &[SopInstanceUid],
    ) -> Result<(), IngestError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.expected_clear(facility, study, source).await?;
        tx.expected_add(facility, study, source, instances).await?;
        self.renew_expectation(&mut tx, facility, study, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// An Instance Availability Notification (PS3.4 annex R): another system holds these objects of a study, so that they should come here too. What it calls
    /// unavailable is not waited for. Later notifications add to earlier ones.
    pub async fn notify_availability(
        &self,
        origin: &Origin,
        notification: &AvailabilityNotification,
    ) -> Result<(), IngestError> {
        let (facility, actor) = (&origin.facility.facility, origin.actor());
        can(&actor, Action::SendObjects, Resource::Facility(facility)).map_err(|_| IngestError::Denied)?;
        let (exist, gone): (Vec<_>, Vec<_>) = notification.instances.iter().partition(|instance| instance.exists);
        let uids = |listed: Vec<&dokuei_dataset::normalized::ListedInstance>| {
            listed.into_iter().map(|instance| instance.sop_instance.clone()).collect::<Vec<_>>()
        };
        let (exist, gone) = (uids(exist), uids(gone));
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.expected_add(facility, &notification.study, AVAILABILITY, &exist).await?;
        tx.expected_remove(facility, &notification.study, AVAILABILITY, &gone).await?;
        self.renew_expectation(&mut tx, facility, &notification.study, now).await?;
        let detail = format!("{} objects exist, {} are unavailable", exist.len(), gone.len());
        let event = AuditEvent::new(now, &actor, "availability.notify", AuditOutcome::Success);
        tx.audit(event.subject(&notification.study).detail(detail));
        tx.commit().await?;
        Ok(())
    }

    /// A SOP Instance UID of ours, for what a peer creates here without naming it.
    pub fn new_instance_uid(&self) -> SopInstanceUid {
        SopInstanceUid::new(self.ambient.new_uid())
    }

    /// How complete a study is by what others list, and on what it settled last.
    pub async fn completeness(&self, actor: &Actor, study: StudyPk) -> Result<(Completeness, String), IngestError> {
        let row = self.study(actor, study).await?;
        let mut read = self.database.read().await?;
        let completeness = read.study_completeness(&row.facility, &row.uid).await?;
        Ok((completeness, read.study_evidence(study).await?.unwrap_or_default()))
    }

    /// Writes the expected number to the study, if it is here, and has it looked at: it may be complete now.
    pub(crate) async fn renew_expectation(
        &self,
        tx: &mut WriteTx,
        facility: &FacilityId,
        study: &StudyUid,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let Some(row) = tx.study_by_uid(facility, study).await? else { return Ok(()) };
        let completeness = tx.study_completeness(facility, study).await?;
        tx.study_expect(row.pk, &completeness).await?;
        if row.state == StudyState::Receiving {
            tx.job_enqueue(settle_job(JobId(self.ambient.new_uuid()), row.pk, now, now)).await?;
        }
        Ok(())
    }
}
