//! Reading cases from the settled study to the reader's claim: opening, urgency, assignment, claims, withdrawal, and the lists that show all of it.
//!
//! A case holds a chain of workitems, at most one of them open, with the states of the Unified Procedure Step (PS3.4 CC.1.1). A workitem is never given to a
//! second reader: release and expiry cancel it and schedule its replacement in the same transaction, and the draft stays on the case. Every door asks
//! `dokuei_access::can`; every change and every refusal leaves an audit row.
//!
//! What it is not: it writes no reports and sends nothing (`report`), receives nothing (`ingest`), and holds no SQL (`database`). The Transaction UID of a
//! claim comes in with each call and is compared by the database; nothing here stores, returns or logs it.
//!
//! To add the next thing: one file per use case with an `impl Worklist` block; whoever changes a case begins with `Worklist::locked`. A rule of assignment goes
//! into [`assignment`] as a new [`Reason`]; work that an event causes goes into `work`, with a reconciler beside it.

mod assigning;
pub mod assignment;
mod claims;
mod entry;
mod error;
mod listing;
mod opening;
mod reason;
mod requests;
mod settings;
mod state;
mod work;

pub use claims::Claim;
pub use dokuei_database::{CaseReportRow, CaseStudyRow, PatientRow, ReadingRequestRow, WorkitemRow};
pub use entry::{CaseDetail, Person, WorklistEntry};
pub use error::WorklistError;
pub use listing::{WorklistFilter, WorklistView};
pub use reason::{Basis, Reason};
pub use requests::{NewRequest, RequestEntered};
pub use settings::{Turnaround, WorklistSettings};
pub use state::{CaseState, StateFacts, case_state};

use dokuei_access::{Action, Resource, can};
use dokuei_database::{AuditEvent, AuditOutcome, CaseHead, Database, NewJob, ReadTx, WorkitemRow as Workitem, WriteTx};
use dokuei_domain::{Actor, Ambient, CaseId, FacilityId, JobId, StudyPk, Timestamp, event::Event};

/// The use cases of the worklist.
#[derive(Clone)]
pub struct Worklist {
    database: Database,
    ambient: Ambient,
    settings: WorklistSettings,
}

/// What an audit row is about.
#[derive(Clone, Copy)]
enum Subject {
    Case(CaseId),
    Study(StudyPk),
    Lists,
}

impl Worklist {
    pub fn new(database: Database, ambient: Ambient, settings: WorklistSettings) -> Self {
        Self { database, ambient, settings }
    }

    /// Takes the case for this transaction, asks whether the actor may do this to it, and refuses withdrawn ones.
    ///
    /// The open workitem comes with it. Whether somebody else's claim is in the way is for the caller to say: the answer names who has it.
    async fn locked(
        &self,
        tx: &mut WriteTx,
        actor: &Actor,
        action: Action,
        case: CaseId,
    ) -> Result<(CaseHead, Option<Workitem>), WorklistError> {
        if !tx.case_lock(case).await? {
            return Err(WorklistError::CaseNotFound(case));
        }
        let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        can(actor, action, Resource::Case { facility: &head.facility, claimed_by: None })?;
        if head.withdrawn_at.is_some() {
            return Err(WorklistError::Withdrawn);
        }
        let open = tx.workitem_open(case).await?;
        Ok((head, open))
    }

    /// Schedules the workitem that stands for a canceled one, and asks for a reader.
    async fn replace(
        &self,
        tx: &mut WriteTx,
        case: CaseId,
        canceled: &str,
        now: Timestamp,
    ) -> Result<String, WorklistError> {
        let uid = self.ambient.new_uid();
        tx.workitem_insert(uid.as_str(), case, Some(canceled), now).await?;
        self.ask_for_assignment(tx, case, now).await?;
        Ok(uid.to_string())
    }

    async fn ask_for_assignment(&self, tx: &mut WriteTx, case: CaseId, now: Timestamp) -> Result<(), WorklistError> {
        let event = Event::CaseNeedsAssignment { case };
        let job = NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(case);
        tx.job_enqueue(job).await?;
        Ok(())
    }

    fn success(&self, actor: &Actor, action: &'static str, facility: &FacilityId, case: CaseId) -> AuditEvent {
        AuditEvent::new(self.ambient.now(), actor, action, AuditOutcome::Success).facility(facility).subject(case)
    }

    /// Passes the result on; a refusal is written to the audit trail first. Its transaction has changed nothing and is gone.
    async fn audited<T>(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: Subject,
        result: Result<T, WorklistError>,
    ) -> Result<T, WorklistError> {
        let Err(refusal) = &result else { return result };
        if let WorklistError::Database(_) = refusal {
            return result;
        }
        let mut event =
            AuditEvent::new(self.ambient.now(), actor, action, AuditOutcome::Refused).detail(refusal.to_string());
        let mut tx = self.database.write().await?;
        event = match subject {
            Subject::Lists => event,
            Subject::Case(case) => about(event.subject(case), facility_of_case(&mut tx, case).await?),
            Subject::Study(study) => about(event.subject(study), facility_of_study(&mut tx, study).await?),
        };
        tx.audit(event);
        tx.commit().await?;
        result
    }
}

fn about(event: AuditEvent, facility: Option<FacilityId>) -> AuditEvent {
    match facility {
        Some(facility) => event.facility(&facility),
        None => event,
    }
}

async fn facility_of_case(tx: &mut ReadTx, case: CaseId) -> Result<Option<FacilityId>, WorklistError> {
    Ok(tx.case_head(case).await?.map(|head| head.facility))
}

async fn facility_of_study(tx: &mut ReadTx, study: StudyPk) -> Result<Option<FacilityId>, WorklistError> {
    Ok(tx.case_study_facts(study).await?.map(|facts| facts.facility))
}

#[cfg(test)]
mod tests;
