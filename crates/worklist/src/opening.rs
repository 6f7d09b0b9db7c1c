//! From the study to the case: opening it when the study settles, withdrawing it when the facility does, and opening it again for images that came too late.

use dokuei_database::{CaseHead, NewCase, ReadTx};
use dokuei_domain::{Actor, CaseId, StudyPk, Timestamp, workitem::Discontinuation};

use crate::{Worklist, WorklistError};

/// Studies or cases that one run of the reconciler looks at; the next run takes the rest.
const MISSED_AT_ONCE: u32 = 200;

impl Worklist {
    /// What a settled study leads to: a case, or its signed case opened again because images came later. May run any number of times.
    pub(crate) async fn study_settled(&self, study: StudyPk) -> Result<(), WorklistError> {
        match self.open_case(study).await? {
            Some(case) => {
                self.restore_case(case).await?;
                self.note_late_images(case).await
            }
            None => Ok(()),
        }
    }

    /// Opens a case if the study asks for one and has none. Gives the case that existed before.
    async fn open_case(&self, study: StudyPk) -> Result<Option<CaseId>, WorklistError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        // A withdrawal or a request of the same moment waits for us, or we see what it wrote.
        if !tx.case_study_lock(study).await? {
            return Err(WorklistError::StudyNotFound(study));
        }
        let facts = tx.case_study_facts(study).await?.ok_or(WorklistError::StudyNotFound(study))?;
        if facts.case.is_some() {
            return Ok(facts.case);
        }
        if !facts.opens_case || facts.held || facts.withdrawn_at.is_some() {
            return Ok(None);
        }
        let id = CaseId(self.ambient.new_uuid());
        let priority = facts.requested_priority.unwrap_or_default();
        let due_at = self.settings.due_at(priority, now);
        let (facility, patient) = (&facts.facility, facts.patient);
        if !tx.case_insert(&NewCase { id, study, facility, patient, priority, opened_at: now, due_at }).await? {
            // Somebody else opened one; what we wrote goes with the transaction.
            return Ok(None);
        }
        let workitem = self.ambient.new_uid();
        tx.workitem_insert(workitem.as_str(), id, None, now).await?;
        self.ask_for_assignment(&mut tx, id, now).await?;
        let actor = Actor::System("study_settled");
        let detail = format!("study {study}, {}, workitem {workitem}", priority.as_str());
        tx.audit(self.success(&actor, "case.open", facility, id).detail(detail));
        tx.commit().await?;
        tracing::info!(case.id = %id, study.id = %study, facility.id = %facility, "case opened");
        Ok(None)
    }

    /// Images came to a signed case which its latest report has not seen: the case says so, and is put before a reader again. Signing then makes the next
    /// version. May run any number of times.
    async fn note_late_images(&self, case: CaseId) -> Result<(), WorklistError> {
        let mut read = self.database.read().await?;
        if unseen_images(&mut read, case).await?.is_none() {
            return Ok(());
        }
        drop(read);

        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? {
            return Ok(());
        }
        let Some((head, unseen)) = unseen_images(&mut tx, case).await? else { return Ok(()) };
        let noted = tx.case_set_images_added(case, unseen.latest).await?;
        let (changed, workitem) = match tx.workitem_open(case).await? {
            Some(open) => (tx.workitem_set_added(case, unseen.count).await?, open.uid),
            None => {
                let workitem = self.ambient.new_uid();
                tx.workitem_insert_reverify(workitem.as_str(), case, unseen.count, now).await?;
                tx.case_renew_due(case, self.settings.due_at(head.priority, now)).await?;
                self.ask_for_assignment(&mut tx, case, now).await?;
                (true, workitem.to_string())
            }
        };
        if !noted && !changed {
            return Ok(());
        }
        let detail = format!("{} images since version {}, workitem {workitem}", unseen.count, head.report_versions);
        tx.audit(
            self.success(&Actor::System("study_settled"), "case.images_added", &head.facility, case).detail(detail),
        );
        tx.commit().await?;
        tracing::warn!(case.id = %case, images.added = unseen.count, "images came after the report was signed");
        Ok(())
    }

    /// What a withdrawn study leads to: its case is withdrawn and the open workitem canceled, claimed or not. A report that exists stays. May run any number of
    /// times.
    pub(crate) async fn study_withdrawn(&self, study: StudyPk) -> Result<(), WorklistError> {
        let case = self.database.read().await?.case_of_study(study).await?;
        match case {
            Some(case) => self.withdraw_case(case).await,
            None => Ok(()),
        }
    }

    async fn withdraw_case(&self, case: CaseId) -> Result<(), WorklistError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? || !tx.case_withdraw(case, now).await? {
            return Ok(());
        }
        let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        let why = Discontinuation::IncorrectWorklistEntry;
        let canceled = tx.workitem_cancel_open(case, now, (why, why.code().1)).await?;
        let detail = match (&canceled, head.report_versions) {
            (Some(workitem), 0) => format!("workitem {workitem} canceled"),
            (Some(workitem), versions) => format!("workitem {workitem} canceled; {versions} signed versions stay"),
            (None, versions) => format!("no open workitem; {versions} signed versions stay"),
        };
        tx.audit(self.success(&Actor::System("study_withdrawn"), "case.withdraw", &head.facility, case).detail(detail));
        tx.commit().await?;
        tracing::info!(case.id = %case, "case withdrawn");
        Ok(())
    }

    /// Images came to a study that only rejection notes had emptied: its case is to be read after all. One that is signed stays signed; that it has new
    /// images is noted on it. May run any number of times.
    async fn restore_case(&self, case: CaseId) -> Result<(), WorklistError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? || !tx.case_restore(case).await? {
            return Ok(());
        }
        let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        let latest = tx.workitem_history(case, 1).await?.pop();
        if head.report_versions == 0 && latest.as_ref().is_none_or(|workitem| workitem.state.is_final()) {
            let replaces = latest.map(|workitem| workitem.uid);
            tx.workitem_insert(self.ambient.new_uid().as_str(), case, replaces.as_deref(), now).await?;
            self.ask_for_assignment(&mut tx, case, now).await?;
        }
        let actor = Actor::System("study_settled");
        tx.audit(
            self.success(&actor, "case.restore", &head.facility, case).detail("images came that are not rejected"),
        );
        tx.commit().await?;
        tracing::info!(case.id = %case, "case restored");
        Ok(())
    }

    /// Finds what events have missed: settled studies without a case, withdrawn studies with an open one, cases whose study came back, late images that
    /// nobody noted. One that fails does not hold up the others.
    pub(crate) async fn catch_up(&self) -> Result<(), WorklistError> {
        let mut read = self.database.read().await?;
        let missing = read.case_missing(MISSED_AT_ONCE).await?;
        let withdrawn = read.case_to_withdraw(MISSED_AT_ONCE).await?;
        let restored = read.case_to_restore(MISSED_AT_ONCE).await?;
        let late = read.case_with_unseen_images(MISSED_AT_ONCE).await?;
        drop(read);
        let mut outcome = Ok(());
        let mut keep = |result: Result<(), WorklistError>| {
            if let Err(error) = result {
                tracing::error!(error = error.chain(), "a case cannot be brought up to date");
                outcome = Err(error);
            }
        };
        for study in missing {
            keep(self.open_case(study).await.map(drop));
        }
        for case in withdrawn {
            keep(self.withdraw_case(case).await);
        }
        for case in restored {
            keep(self.restore_case(case).await);
        }
        for case in late {
            keep(self.note_late_images(case).await);
        }
        outcome
    }
}

/// Images that the latest report has not seen.
struct Unseen {
    count: i64,
    /// When the last one came; always after the signature.
    latest: Timestamp,
}

/// What came after the latest signature, or is there beyond what was signed over: an image that was received just before a signature may have been filed just
/// after it. `None`: nothing, or the case is withdrawn or was never signed.
async fn unseen_images(tx: &mut ReadTx, case: CaseId) -> Result<Option<(CaseHead, Unseen)>, WorklistError> {
    let Some(head) = tx.case_head(case).await? else { return Ok(None) };
    let (Some(signed_at), None) = (head.last_signed_at, head.withdrawn_at) else { return Ok(None) };
    let images = tx.case_images(case, signed_at).await?;
    let count = images.later.max(images.count - head.last_signed_instances.unwrap_or(images.count));
    if count <= 0 {
        return Ok(None);
    }
    let latest = images.latest.unwrap_or(signed_at).max(signed_at.plus_millis(1));
    Ok(Some((head, Unseen { count, latest })))
}
