//! What a facility does with its own studies: looks at them, says that all was sent, withdraws one.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{AuditEvent, AuditOutcome, NewJob, StudyRow, StudyState};
use dokuei_domain::{Actor, JobId, StudyPk, event::Event};

use crate::{
    Ingest, IngestError,
    facts::{Fact, StudyWithdrawn},
};

impl Ingest {
    /// The actor's facility's studies, latest first; all facilities' for the office and administrators.
    pub async fn studies(&self, actor: &Actor, limit: u32) -> Result<Vec<StudyRow>, IngestError> {
        match actor.facility() {
            Some(facility) => allow(actor, Action::ViewOwnStudies, Resource::Facility(facility))?,
            None => allow(actor, Action::ViewOffice, Resource::Node)?,
        }
        Ok(self.database.read().await?.study_list(actor.facility(), limit).await?)
    }

    /// One study. Another facility's is reported as absent.
    pub async fn study(&self, actor: &Actor, study: StudyPk) -> Result<StudyRow, IngestError> {
        let row = self.database.read().await?.study_by_pk(study).await?.ok_or(IngestError::NoSuchStudy)?;
        let action = if actor.facility().is_some() { Action::ViewOwnStudies } else { Action::ViewOffice };
        allow(actor, action, Resource::Facility(&row.facility)).map_err(|_| IngestError::NoSuchStudy)?;
        Ok(row)
    }

    /// 送信完了: the facility says that nothing more comes. The study settles at once.
    pub async fn declare_complete(&self, actor: &Actor, study: StudyPk) -> Result<(), IngestError> {
        let row = self.study(actor, study).await?;
        allow(actor, Action::DeclareComplete, Resource::Facility(&row.facility))?;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.study_declare_complete(study, now).await? {
            return Err(IngestError::NoSuchStudy);
        }
        let event = AuditEvent::new(now, actor, "study.declare_complete", AuditOutcome::Success);
        tx.audit(event.facility(&row.facility).subject(&row.uid).detail(format!("{} instances", row.instance_count)));
        tx.commit().await?;
        if row.state == StudyState::Receiving {
            self.settle_now(study, now, now, actor, "the facility declared it complete").await?;
        }
        Ok(())
    }

    /// 取消: wrong patient or wrong study. It is hidden at every door and kept for the audit; `worklist` closes its case.
    pub async fn withdraw(&self, actor: &Actor, study: StudyPk, reason: &str) -> Result<(), IngestError> {
        let row = self.study(actor, study).await?;
        allow(actor, Action::WithdrawStudy, Resource::Facility(&row.facility))?;
        let now = self.ambient.now();
        // First the fact: were the index lost right after this call, the study must not come back. A facility that gets no answer has still said it.
        let fact = StudyWithdrawn { study: row.uid.clone(), reason: reason.to_owned(), by: actor.label(), at_us: now };
        self.keep_fact(&row.facility, &Fact::StudyWithdrawn(fact)).await?;
        let mut tx = self.database.write().await?;
        if !tx.study_withdraw(study, reason, now).await? {
            // Withdrawn before: what was asked for holds.
            return Ok(());
        }
        let event = Event::StudyWithdrawn { study, facility: row.facility.clone() };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(study)).await?;
        let audit = AuditEvent::new(now, actor, "study.withdraw", AuditOutcome::Success);
        tx.audit(audit.facility(&row.facility).subject(&row.uid).detail(reason));
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) fn allow(actor: &Actor, action: Action, resource: Resource<'_>) -> Result<(), IngestError> {
    can(actor, action, resource).map_err(|_| IngestError::Denied)
}
