//! Claiming a case, keeping it, giving it back, and what happens when nothing is heard of who has it.

use dokuei_access::Action;
use dokuei_database::{WorkitemRow, WriteTx};
use dokuei_domain::{
    AccountId, Actor, CaseId, Timestamp,
    uid::Uid,
    workitem::{Discontinuation, Refusal, WorkitemState, change_state},
};

use crate::{Subject, Worklist, WorklistError, assignment::lacking};

/// Characters of a reason for giving a case back.
const REASON_LIMIT: usize = 400;

/// Claims that one run of the reconciler looks at; the next run takes the rest.
const EXPIRED_AT_ONCE: u32 = 200;

/// A case in the hands of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub case: CaseId,
    /// SOP Instance UID of the claimed workitem.
    pub workitem: String,
    /// The claim ends by itself then, unless it is kept.
    pub expires_at: Timestamp,
    /// The same Transaction UID had claimed it before; nothing but the expiry was changed.
    pub repeated: bool,
}

impl Worklist {
    /// Claims the case's open workitem: SCHEDULED → IN PROGRESS (PS3.4 CC.2.1). Of any number of concurrent claims exactly one wins.
    ///
    /// A reader may claim what is assigned to them, what nobody was chosen for, and what the chosen one did not take in time; for the latter two the skills must
    /// fit. The same Transaction UID from the same reader succeeds again, so that a lost response does not orphan a claim.
    pub async fn claim(&self, actor: &Actor, case: CaseId, transaction_uid: &str) -> Result<Claim, WorklistError> {
        let result = self.claim_unaudited(actor, case, transaction_uid).await;
        self.audited(actor, "case.claim", Subject::Case(case), result).await
    }

    async fn claim_unaudited(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
    ) -> Result<Claim, WorklistError> {
        let reader = reader_of(actor)?;
        let given = transaction_uid_of(transaction_uid)?;
        let now = self.ambient.now();
        let expires_at = self.settings.claim_end(now);
        let mut tx = self.database.write().await?;
        let (head, open) = self.locked(&mut tx, actor, Action::ClaimCase, case).await?;
        let open = open.ok_or(Refusal::MayNoLongerBeUpdated)?;
        let held = tx.workitem_held(case, reader, given.as_str()).await?.map(|_| given.as_str());
        match change_state(open.state, WorkitemState::InProgress, held, Some(given.as_str())) {
            Ok(_) => {}
            Err(Refusal::AlreadyInProgress) => return Err(already_claimed(&open, reader)),
            Err(refusal) => return Err(refusal.into()),
        }
        if held.is_some() {
            tx.workitem_keep(case, reader, given.as_str(), expires_at).await?;
            tx.commit().await?;
            return Ok(Claim { case, workitem: open.uid, expires_at, repeated: true });
        }
        self.may_take(&mut tx, &open, reader, now).await?;
        if !tx.workitem_claim(&open.uid, reader, given.as_str(), now, Some(expires_at)).await? {
            return Err(Refusal::AlreadyInProgress.into());
        }
        tx.audit(self.success(actor, "case.claim", &head.facility, case).detail(format!("workitem {}", open.uid)));
        tx.commit().await?;
        Ok(Claim { case, workitem: open.uid, expires_at, repeated: false })
    }

    /// Claims a case anew that the same reader holds under another Transaction UID (another browser, a page that was closed): the old workitem is canceled and
    /// its replacement claimed in one transaction. The draft stays; the old page can neither save nor sign.
    pub async fn take_over(&self, actor: &Actor, case: CaseId, transaction_uid: &str) -> Result<Claim, WorklistError> {
        let result = self.take_over_unaudited(actor, case, transaction_uid).await;
        self.audited(actor, "case.take_over", Subject::Case(case), result).await
    }

    async fn take_over_unaudited(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
    ) -> Result<Claim, WorklistError> {
        let reader = reader_of(actor)?;
        let given = transaction_uid_of(transaction_uid)?;
        let now = self.ambient.now();
        let expires_at = self.settings.claim_end(now);
        let mut tx = self.database.write().await?;
        let (head, open) = self.locked(&mut tx, actor, Action::ClaimCase, case).await?;
        let open = open.ok_or(Refusal::MayNoLongerBeUpdated)?;
        match &open.performer {
            None => return Err(Refusal::NotInProgress.into()),
            Some(performer) if performer != reader => return Err(already_claimed(&open, reader)),
            Some(_) => {}
        }
        if tx.workitem_held(case, reader, given.as_str()).await?.is_some() {
            return Ok(Claim {
                case,
                workitem: open.uid,
                expires_at: open.claim_expires_at.unwrap_or(expires_at),
                repeated: true,
            });
        }
        let why = (Discontinuation::Unspecified, "taken over by the same reader");
        let canceled = tx.workitem_cancel_open(case, now, why).await?.ok_or(Refusal::MayNoLongerBeUpdated)?;
        let replacement = self.ambient.new_uid();
        tx.workitem_insert(replacement.as_str(), case, Some(&canceled), now).await?;
        if !tx.workitem_claim(replacement.as_str(), reader, given.as_str(), now, Some(expires_at)).await? {
            return Err(Refusal::AlreadyInProgress.into());
        }
        let detail = format!("workitem {canceled} replaced by {replacement}");
        tx.audit(self.success(actor, "case.take_over", &head.facility, case).detail(detail));
        tx.commit().await?;
        Ok(Claim { case, workitem: replacement.to_string(), expires_at, repeated: false })
    }

    /// Prolongs a claim and says until when. A success leaves no audit row: it comes every minute from every open page.
    pub async fn keep_claim(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
    ) -> Result<Timestamp, WorklistError> {
        let result = self.keep_claim_unaudited(actor, case, transaction_uid).await;
        self.audited(actor, "case.keep_claim", Subject::Case(case), result).await
    }

    async fn keep_claim_unaudited(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
    ) -> Result<Timestamp, WorklistError> {
        let reader = reader_of(actor)?;
        let given = transaction_uid_of(transaction_uid)?;
        let expires_at = self.settings.claim_end(self.ambient.now());
        let mut tx = self.database.write().await?;
        let (_, open) = self.locked(&mut tx, actor, Action::ClaimCase, case).await?;
        if !tx.workitem_keep(case, reader, given.as_str(), expires_at).await? {
            return Err(not_held(open.as_ref(), reader));
        }
        tx.commit().await?;
        Ok(expires_at)
    }

    /// Gives a claimed case back: the workitem is canceled and its replacement scheduled in one transaction. The draft stays on the case.
    ///
    /// `reason` is for the next reader and the office, (0074,1238); it may be empty.
    pub async fn release(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
        reason: &str,
    ) -> Result<(), WorklistError> {
        let result = self.release_unaudited(actor, case, transaction_uid, reason.trim()).await;
        self.audited(actor, "case.release", Subject::Case(case), result).await
    }

    async fn release_unaudited(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
        reason: &str,
    ) -> Result<(), WorklistError> {
        if reason.chars().count() > REASON_LIMIT {
            return Err(WorklistError::TooLong { field: "reason", limit: REASON_LIMIT });
        }
        let reader = reader_of(actor)?;
        let given = transaction_uid_of(transaction_uid)?;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let (head, open) = self.locked(&mut tx, actor, Action::ClaimCase, case).await?;
        let why = (
            Discontinuation::Unspecified,
            if reason.is_empty() { Discontinuation::Unspecified.code().1 } else { reason },
        );
        let Some(canceled) = tx.workitem_cancel_held(case, reader, given.as_str(), now, why).await? else {
            return Err(not_held(open.as_ref(), reader));
        };
        let replacement = self.replace(&mut tx, case, &canceled, now).await?;
        let detail = format!("workitem {canceled} replaced by {replacement}");
        tx.audit(self.success(actor, "case.release", &head.facility, case).detail(detail));
        tx.commit().await?;
        Ok(())
    }

    /// Ends claims that were not kept: each is canceled as expired and replaced in one transaction. Gives how many.
    pub(crate) async fn expire_claims(&self) -> Result<usize, WorklistError> {
        let now = self.ambient.now();
        let expired = self.database.read().await?.workitem_expired(now, EXPIRED_AT_ONCE).await?;
        let mut ended = 0;
        for (uid, case) in expired {
            if self.expire_claim(&uid, case, now).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }

    async fn expire_claim(&self, uid: &str, case: CaseId, now: Timestamp) -> Result<bool, WorklistError> {
        let actor = Actor::System("expire_claims");
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? {
            return Ok(false);
        }
        let head = tx.case_head(case).await?.ok_or(WorklistError::CaseNotFound(case))?;
        // Looked at again under the lock: it may have been kept, released or signed since it was listed.
        if head.withdrawn_at.is_some() || !tx.workitem_cancel_expired(uid, now).await? {
            return Ok(false);
        }
        let replacement = self.replace(&mut tx, case, uid, now).await?;
        let detail = format!("workitem {uid} replaced by {replacement}");
        tx.audit(self.success(&actor, "case.claim_expired", &head.facility, case).detail(detail));
        tx.commit().await?;
        tracing::info!(case.id = %case, workitem.uid = uid, "claim expired");
        Ok(true)
    }

    async fn may_take(
        &self,
        tx: &mut WriteTx,
        open: &WorkitemRow,
        reader: &AccountId,
        now: Timestamp,
    ) -> Result<(), WorklistError> {
        let facts = tx.reader_find(reader).await?.filter(|facts| facts.disabled_at.is_none());
        let facts = facts.ok_or_else(|| WorklistError::ReaderNotFound(reader.clone()))?;
        if let Some(assigned) = &open.assigned_reader {
            if assigned == reader {
                return Ok(());
            }
            let free_at = self.settings.pickup_end(open.assigned_at.unwrap_or(open.created_at));
            if now < free_at {
                return Err(WorklistError::AssignedToOther { reader: assigned.clone(), free_at });
            }
        }
        let missing = lacking(&tx.case_modalities(open.case).await?, &facts.modalities);
        if missing.is_empty() { Ok(()) } else { Err(WorklistError::LacksSkill(missing)) }
    }
}

fn reader_of(actor: &Actor) -> Result<&AccountId, WorklistError> {
    actor.account().ok_or(WorklistError::OnlyReaders)
}

fn transaction_uid_of(text: &str) -> Result<Uid, WorklistError> {
    Uid::parse(text).map_err(WorklistError::TransactionUid)
}

fn already_claimed(open: &WorkitemRow, reader: &AccountId) -> WorklistError {
    match &open.performer {
        Some(by) if by != reader => WorklistError::ClaimedByOther { by: by.clone() },
        _ => Refusal::AlreadyInProgress.into(),
    }
}

/// Why a claim cannot be acted on, when no workitem has this reader and Transaction UID.
fn not_held(open: Option<&WorkitemRow>, reader: &AccountId) -> WorklistError {
    match open {
        None => Refusal::MayNoLongerBeUpdated.into(),
        Some(open) if open.state == WorkitemState::Scheduled => Refusal::NotInProgress.into(),
        Some(open) => match &open.performer {
            Some(by) if by != reader => WorklistError::ClaimedByOther { by: by.clone() },
            _ => Refusal::WrongTransactionUid.into(),
        },
    }
}
