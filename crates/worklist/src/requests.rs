//! What a facility asks: question, call-back number, physician, urgency.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{AuditEvent, AuditOutcome, ReadingRequestRow};
use dokuei_domain::{Actor, CaseId, Priority, StudyPk, Timestamp};

use crate::{Subject, Worklist, WorklistError};

const QUESTION_LIMIT: usize = 4_000;
const CALLBACK_LIMIT: usize = 64;
const PHYSICIAN_LIMIT: usize = 128;

/// A request as the facility types it. Texts may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewRequest {
    pub clinical_question: String,
    pub callback_number: String,
    pub requesting_physician: String,
    pub priority: Priority,
}

/// What a request led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestEntered {
    /// The study's case, if it is open already.
    pub case: Option<CaseId>,
    /// When the case is due now.
    pub due_at: Option<Timestamp>,
}

impl Worklist {
    /// Adds a request to a study, before or after its case is opened. The latest one counts; its urgency becomes the case's, due as if the case had been opened
    /// with it.
    pub async fn enter_request(
        &self,
        actor: &Actor,
        study: StudyPk,
        request: NewRequest,
    ) -> Result<RequestEntered, WorklistError> {
        let result = self.enter_request_unaudited(actor, study, request).await;
        self.audited(actor, "request.enter", Subject::Study(study), result).await
    }

    async fn enter_request_unaudited(
        &self,
        actor: &Actor,
        study: StudyPk,
        request: NewRequest,
    ) -> Result<RequestEntered, WorklistError> {
        within("clinical question", &request.clinical_question, QUESTION_LIMIT)?;
        within("call-back number", &request.callback_number, CALLBACK_LIMIT)?;
        within("requesting physician", &request.requesting_physician, PHYSICIAN_LIMIT)?;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        // The lock keeps a case from being opened between the look and the request, with the urgency of before.
        if !tx.case_study_lock(study).await? {
            return Err(WorklistError::StudyNotFound(study));
        }
        let facts = tx.case_study_facts(study).await?.ok_or(WorklistError::StudyNotFound(study))?;
        can(actor, Action::EnterRequest, Resource::Facility(&facts.facility))?;
        if facts.withdrawn_at.is_some() {
            return Err(WorklistError::Withdrawn);
        }
        tx.request_insert(&ReadingRequestRow {
            id: self.ambient.new_uuid(),
            facility: facts.facility.clone(),
            study,
            clinical_question: request.clinical_question.trim().to_owned(),
            callback_number: request.callback_number.trim().to_owned(),
            requesting_physician: request.requesting_physician.trim().to_owned(),
            priority: request.priority,
            entered_by: actor.label(),
            entered_at: now,
        })
        .await?;
        let event = AuditEvent::new(now, actor, "request.enter", AuditOutcome::Success);
        tx.audit(event.facility(&facts.facility).subject(study).detail(request.priority.as_str()));

        let mut entered = RequestEntered { case: facts.case, due_at: None };
        if let Some(case) = facts.case
            && tx.case_lock(case).await?
        {
            let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
            let priority = tx.case_requested_priority(case).await?.unwrap_or_default();
            let due_at = self.settings.due_at(priority, head.opened_at);
            entered.due_at = Some(head.due_at);
            // A signed report keeps the time it was measured by.
            if head.report_versions == 0 && tx.case_set_priority(case, priority, due_at).await? {
                entered.due_at = Some(due_at);
                let detail = format!("{} to {}", head.priority.as_str(), priority.as_str());
                tx.audit(self.success(actor, "case.priority", &head.facility, case).detail(detail));
            }
        }
        tx.commit().await?;
        Ok(entered)
    }

    /// The request that counts for a study, for the facility's page.
    pub async fn latest_request(
        &self,
        actor: &Actor,
        study: StudyPk,
    ) -> Result<Option<ReadingRequestRow>, WorklistError> {
        let result = self.latest_request_unaudited(actor, study).await;
        self.audited(actor, "request.view", Subject::Study(study), result).await
    }

    async fn latest_request_unaudited(
        &self,
        actor: &Actor,
        study: StudyPk,
    ) -> Result<Option<ReadingRequestRow>, WorklistError> {
        let mut tx = self.database.read().await?;
        let facts = tx.case_study_facts(study).await?.ok_or(WorklistError::StudyNotFound(study))?;
        can(actor, Action::ViewOwnStudies, Resource::Facility(&facts.facility))?;
        Ok(tx.request_latest(study).await?)
    }
}

fn within(field: &'static str, text: &str, limit: usize) -> Result<(), WorklistError> {
    if text.chars().count() > limit { Err(WorklistError::TooLong { field, limit }) } else { Ok(()) }
}
