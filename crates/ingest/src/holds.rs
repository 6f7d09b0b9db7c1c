//! Studies that contradict the patient whose ID they name: stored and acknowledged, but nothing is read before a person has said who it is.

use dokuei_access::{Action, Resource};
use dokuei_database::{AuditEvent, AuditOutcome, HoldDecision, NewJob, StudyHoldRow, StudyState};
use dokuei_domain::{Actor, JobId, PatientPk, event::Event};
use uuid::Uuid;

use crate::{
    Ingest, IngestError,
    facts::{Fact, StudyWithdrawn},
    quarantine::given_reason,
    studies::allow,
};

/// Holds listed at once.
const LISTED: u32 = 500;

impl Ingest {
    /// Studies that wait for a decision, with both versions of the patient.
    pub async fn held_studies(&self, actor: &Actor) -> Result<Vec<StudyHoldRow>, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        Ok(self.database.read().await?.study_holds_open(LISTED).await?)
    }

    pub async fn held_study(&self, actor: &Actor, hold: Uuid) -> Result<StudyHoldRow, IngestError> {
        allow(actor, Action::ViewOffice, Resource::Node)?;
        self.database.read().await?.study_hold(hold).await?.ok_or(IngestError::NoSuchStudy)
    }

    /// Ends a hold. *Same person*: the study goes on as it is. *Another person*: it gets a patient of its own, without priors, never merged. *Rejected*: it
    /// is hidden as a withdrawn study is.
    ///
    /// # Errors
    ///
    /// [`IngestError::AlreadyDecided`], [`IngestError::ReasonMissing`].
    pub async fn decide_hold(
        &self,
        actor: &Actor,
        hold: Uuid,
        decision: HoldDecision,
        reason: &str,
    ) -> Result<(), IngestError> {
        let decided = self.try_decide_hold(actor, hold, decision, reason).await;
        self.audit_denial(actor, "study.identity", hold, &decided).await;
        decided
    }

    async fn try_decide_hold(
        &self,
        actor: &Actor,
        hold: Uuid,
        decision: HoldDecision,
        reason: &str,
    ) -> Result<(), IngestError> {
        allow(actor, Action::DecideQuarantine, Resource::Node)?;
        let reason = given_reason(reason)?;
        let now = self.ambient.now();
        let row = self.database.read().await?.study_hold(hold).await?.ok_or(IngestError::NoSuchStudy)?;
        if row.decision.is_some() {
            return Err(IngestError::AlreadyDecided);
        }
        let (study, facility) = (row.study, &row.facility);
        if decision == HoldDecision::Rejected {
            // As with 取消: a study that was taken out must not come back with a lost index.
            let fact = StudyWithdrawn {
                study: row.study_uid.clone(),
                reason: reason.to_owned(),
                by: actor.label(),
                at_us: now,
            };
            self.keep_fact(facility, &Fact::StudyWithdrawn(fact)).await?;
        }
        let mut tx = self.database.write().await?;
        if !tx.study_hold_decide(hold, study, decision, &actor.label(), reason, now).await? {
            return Err(IngestError::AlreadyDecided);
        }
        let event = match decision {
            HoldDecision::Rejected => {
                tx.study_withdraw(study, reason, now).await?;
                Event::StudyWithdrawn { study, facility: facility.clone() }
            }
            HoldDecision::AnotherPerson => {
                tx.study_move_to_own_patient(study, PatientPk(self.ambient.new_uuid()), now).await?;
                Event::StudySettled { study, facility: facility.clone() }
            }
            HoldDecision::SamePerson => Event::StudySettled { study, facility: facility.clone() },
        };
        // One that is still being received is told of when it settles.
        let settled = tx.study_by_pk(study).await?.is_some_and(|study| study.state != StudyState::Receiving);
        if settled {
            tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(study)).await?;
        }
        let audit = AuditEvent::new(now, actor, "study.identity", AuditOutcome::Success);
        tx.audit(audit.facility(facility).subject(&row.study_uid).detail(format!("{}: {reason}", decision.as_str())));
        tx.commit().await?;
        tracing::info!(study.uid = %row.study_uid, facility.id = %facility, decision = decision.as_str(), "held study decided");
        Ok(())
    }
}
