//! Modality Performed Procedure Step, as the one who keeps it (PS3.4 F.7.2): what the modality has done, and so what is to come.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{AuditEvent, AuditOutcome, DatabaseError, NewProcedureStep, WriteTx};
use dokuei_dataset::normalized::{NormalizedError, ProcedureStepAttributes, ProcedureStepState};
use dokuei_domain::{SopInstanceUid, StudyUid, Timestamp};

use crate::{Ingest, Origin};

/// Why a step was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProcedureStepError {
    #[error("the facility has a procedure step with this UID")]
    Duplicate,
    #[error("there is no such procedure step")]
    Unknown,
    #[error("the procedure step is completed or discontinued and may no longer be updated")]
    Final,
    #[error("the attributes do not make a procedure step")]
    Attributes(#[source] NormalizedError),
    #[error("not allowed")]
    Denied,
    #[error("the index is not available")]
    Index(#[from] DatabaseError),
}

impl Ingest {
    /// N-CREATE: a step begins. `uid`: what the modality calls it; without one it gets a UID of ours. Gives the UID.
    pub async fn procedure_step_create(
        &self,
        origin: &Origin,
        uid: Option<SopInstanceUid>,
        attributes: &ProcedureStepAttributes,
    ) -> Result<SopInstanceUid, ProcedureStepError> {
        let (facility, actor) = (&origin.facility.facility, origin.actor());
        can(&actor, Action::SendObjects, Resource::Facility(facility)).map_err(|_| ProcedureStepError::Denied)?;
        attributes.check_creation().map_err(ProcedureStepError::Attributes)?;
        let uid = uid.unwrap_or_else(|| SopInstanceUid::new(self.ambient.new_uid()));
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let new = NewProcedureStep {
            facility,
            uid: &uid,
            calling: &origin.calling,
            step_id: &text(&attributes.step_id),
            station: &text(&attributes.station),
            modality: &text(&attributes.modality),
            started: &format!("{} {}", text(&attributes.start_date), text(&attributes.start_time)),
            studies: &attributes.studies,
            now,
        };
        if !tx.procedure_step_insert(&new).await? {
            return Err(ProcedureStepError::Duplicate);
        }
        self.keep_list(&mut tx, origin, &uid, &attributes.studies, attributes, now).await?;
        let event = AuditEvent::new(now, &actor, "procedure_step.create", AuditOutcome::Success).subject(&uid);
        tx.audit(event.detail(format!("{} of {} studies", new.modality, attributes.studies.len())));
        tx.commit().await?;
        Ok(uid)
    }

    /// N-SET: a step goes on or ends. What it lists takes the place of what it listed before.
    pub async fn procedure_step_set(
        &self,
        origin: &Origin,
        uid: &SopInstanceUid,
        attributes: &ProcedureStepAttributes,
    ) -> Result<(), ProcedureStepError> {
        let (facility, actor) = (&origin.facility.facility, origin.actor());
        can(&actor, Action::SendObjects, Resource::Facility(facility)).map_err(|_| ProcedureStepError::Denied)?;
        let state = attributes.state.unwrap_or(ProcedureStepState::InProgress);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let ended = format!("{} {}", text(&attributes.end_date), text(&attributes.end_time)).trim().to_owned();
        let discontinuation = match (&attributes.discontinuation_code, &attributes.discontinuation_scheme) {
            (Some(code), scheme) => format!("{code} {}", text(scheme)).trim().to_owned(),
            (None, _) => String::new(),
        };
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let step = tx.procedure_step_lock(facility, uid).await?.ok_or(ProcedureStepError::Unknown)?;
        let changed = tx.procedure_step_change(facility, uid, state.as_str(), &ended, &discontinuation, now).await?;
        if !changed {
            return Err(ProcedureStepError::Final);
        }
        let listed = self.keep_list(&mut tx, origin, uid, &step.studies, attributes, now).await?;
        let mut detail = state.as_str().to_owned();
        if let Some(listed) = listed {
            detail.push_str(&format!(", {listed} objects"));
        }
        if !discontinuation.is_empty() {
            detail.push_str(&format!(", reason {discontinuation}"));
        }
        // Against PS3.4 Table F.7.2-1, but what the step lists is true all the same.
        if state.is_final() && ended.is_empty() {
            detail.push_str(", without end date and time");
        }
        tx.audit(AuditEvent::new(now, &actor, "procedure_step.set", AuditOutcome::Success).subject(uid).detail(detail));
        tx.commit().await?;
        Ok(())
    }

    /// Keeps the objects of the performed series as expected, if any were given, and has the studies looked at. A step of several studies does not say which
    /// object belongs to which: each study waits for all of them, wherever they arrive.
    async fn keep_list(
        &self,
        tx: &mut WriteTx,
        origin: &Origin,
        step: &SopInstanceUid,
        studies: &[StudyUid],
        attributes: &ProcedureStepAttributes,
        now: Timestamp,
    ) -> Result<Option<usize>, DatabaseError> {
        let facility = &origin.facility.facility;
        for study in studies {
            if let Some(instances) = &attributes.instances {
                tx.expected_clear(facility, study, step.as_str()).await?;
                tx.expected_add(facility, study, step.as_str(), instances).await?;
            }
            self.renew_expectation(tx, facility, study, now).await?;
        }
        Ok(attributes.instances.as_ref().map(Vec::len))
    }
}
