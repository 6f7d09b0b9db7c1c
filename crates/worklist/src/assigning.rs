//! Choosing a reader for an open workitem: by the node when it asks for one, by the office at any time before it is claimed.

use dokuei_access::Action;
use dokuei_database::{AuditEvent, AuditOutcome, ReadTx, ReaderLoadRow, WorkitemRow};
use dokuei_domain::{
    AccountId, Actor, CaseId, Timestamp,
    hours::OnDutyHours,
    workitem::{Refusal, WorkitemState},
};

use crate::{
    Reason, Subject, Worklist, WorklistError,
    assignment::{CaseNeeds, Decision, ReaderFacts, decide, lacking},
    reason,
};

/// Cases that one run of the reconciler looks at, the most urgent first.
const WAITING_AT_ONCE: u32 = 200;

impl Worklist {
    /// Assigns the case to a reader chosen by a person, or lets the node choose again. Refused while somebody is reading it.
    ///
    /// A person may choose a reader who lacks a skill or is off duty; the reasons say so.
    pub async fn assign(
        &self,
        actor: &Actor,
        case: CaseId,
        reader: Option<AccountId>,
    ) -> Result<Decision, WorklistError> {
        let result = self.assign_unaudited(actor, case, reader).await;
        self.audited(actor, "case.assign", Subject::Case(case), result).await
    }

    async fn assign_unaudited(
        &self,
        actor: &Actor,
        case: CaseId,
        reader: Option<AccountId>,
    ) -> Result<Decision, WorklistError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let (head, open) = self.locked(&mut tx, actor, Action::AssignCase, case).await?;
        let open = open.ok_or(Refusal::MayNoLongerBeUpdated)?;
        if let Some(by) = &open.performer {
            return Err(WorklistError::ClaimedByOther { by: by.clone() });
        }
        let decision = match reader {
            None => self.decide_for(&mut tx, &open, now).await?.0,
            Some(reader) => {
                let facts = tx.reader_find(&reader).await?.filter(|facts| facts.disabled_at.is_none());
                let facts = facts.ok_or_else(|| WorklistError::ReaderNotFound(reader.clone()))?;
                let lacking = lacking(&tx.case_modalities(case).await?, &facts.modalities);
                let reason = Reason::ChosenBy { reader: reader.clone(), by: actor.label(), lacking };
                Decision { reader: Some(reader), reasons: vec![reason] }
            }
        };
        let reasons = reason::to_json(&decision.reasons);
        let (expected, chosen) = (open.assigned_reader.as_ref(), decision.reader.as_ref());
        if !tx.workitem_assign(&open.uid, expected, chosen, now, &reasons).await? {
            return Err(Refusal::AlreadyInProgress.into());
        }
        tx.audit(self.success(actor, "case.assign", &head.facility, case).detail(detail(&open, &decision)));
        tx.commit().await?;
        Ok(decision)
    }

    /// Chooses a reader for a case that has none, or whose reader can no longer sign in. Does nothing otherwise; may be run at any time.
    pub(crate) async fn assign_waiting(&self, case: CaseId) -> Result<(), WorklistError> {
        let now = self.ambient.now();
        // A look first: most runs find nothing to change, and the writer's lock is everybody's.
        let mut read = self.database.read().await?;
        if self.decision_to_store(&mut read, case, now).await?.is_none() {
            return Ok(());
        }
        drop(read);

        let actor = Actor::System("assign");
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? {
            return Ok(());
        }
        let Some((open, decision)) = self.decision_to_store(&mut tx, case, now).await? else { return Ok(()) };
        let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        let reasons = reason::to_json(&decision.reasons);
        let (expected, chosen) = (open.assigned_reader.as_ref(), decision.reader.as_ref());
        if !tx.workitem_assign(&open.uid, expected, chosen, now, &reasons).await? {
            return Ok(());
        }
        let outcome = if decision.reader.is_some() { AuditOutcome::Success } else { AuditOutcome::Failed };
        let event = AuditEvent::new(now, &actor, "case.assign", outcome).facility(&head.facility).subject(case);
        tx.audit(event.detail(detail(&open, &decision)));
        tx.commit().await?;
        match &decision.reader {
            Some(reader) => tracing::info!(case.id = %case, reader.id = %reader, "case assigned"),
            None => tracing::warn!(case.id = %case, "no reader is eligible for the case"),
        }
        Ok(())
    }

    /// Chooses a reader for every case that waits for one. One case that fails does not hold up the others.
    pub(crate) async fn assign_all_waiting(&self) -> Result<(), WorklistError> {
        let waiting = self.database.read().await?.workitem_without_reader(WAITING_AT_ONCE).await?;
        let mut failed = Ok(());
        for case in waiting {
            if let Err(error) = self.assign_waiting(case).await {
                tracing::error!(case.id = %case, error = error.chain(), "case cannot be assigned");
                failed = Err(error);
            }
        }
        failed
    }

    /// The decision for a case that needs one, unless it is what stands there already.
    async fn decision_to_store(
        &self,
        tx: &mut ReadTx,
        case: CaseId,
        now: Timestamp,
    ) -> Result<Option<(WorkitemRow, Decision)>, WorklistError> {
        let Some(open) = tx.workitem_open(case).await? else { return Ok(None) };
        if open.state != WorkitemState::Scheduled {
            return Ok(None);
        }
        let (decision, readers) = self.decide_for(tx, &open, now).await?;
        if let Some(assigned) = &open.assigned_reader
            && readers.iter().any(|reader| reader.account == *assigned && !reader.disabled)
        {
            return Ok(None);
        }
        let unchanged = decision.reader == open.assigned_reader
            && open.assignment_reasons.as_deref() == Some(&reason::to_json(&decision.reasons));
        Ok((!unchanged).then_some((open, decision)))
    }

    async fn decide_for(
        &self,
        tx: &mut ReadTx,
        open: &WorkitemRow,
        now: Timestamp,
    ) -> Result<(Decision, Vec<ReaderLoadRow>), WorklistError> {
        let needs =
            CaseNeeds { modalities: tx.case_modalities(open.case).await?, gave_back: open.previous_performer.clone() };
        let readers = tx.reader_loads().await?;
        let facts: Vec<ReaderFacts> = readers.iter().map(reader_facts).collect();
        Ok((decide(&needs, &facts, self.settings.local(now)), readers))
    }
}

fn reader_facts(row: &ReaderLoadRow) -> ReaderFacts {
    let hours = OnDutyHours::parse(&row.hours);
    if hours.is_err() {
        tracing::warn!(reader.id = %row.account, "the reader's on-duty hours cannot be read; the reader counts as off duty");
    }
    ReaderFacts {
        account: row.account.clone(),
        modalities: row.modalities.clone(),
        accepting: row.accepting && !row.disabled,
        hours: hours.ok(),
        open_cases: row.open_workitems,
        last_assigned_at: row.last_assigned_at,
    }
}

fn detail(open: &WorkitemRow, decision: &Decision) -> String {
    let reason = decision.reasons.first().map(Reason::english).unwrap_or_default();
    format!("workitem {}: {reason}", open.uid)
}
