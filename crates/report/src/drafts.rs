//! Drafts: saved as typed, fenced by the claim, never overwritten by a stale editor.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{DraftRow, ReportTexts};
use dokuei_domain::{AccountId, Actor, CaseId, Role, Timestamp};

use crate::{ReportError, ReportErrorKind, Reports};

/// A stored draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub findings: String,
    pub impression: String,
    pub recommendation: String,
    /// Counts saves, from 1; give it as the base of the next one.
    pub version: i64,
    /// Who saved it last.
    pub author: AccountId,
    pub saved_at: Timestamp,
}

impl From<DraftRow> for Draft {
    fn from(row: DraftRow) -> Self {
        let DraftRow { findings, impression, recommendation, version, author, saved_at } = row;
        Self { findings, impression, recommendation, version, author, saved_at }
    }
}

/// What is to be saved, exactly as typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DraftText {
    pub findings: String,
    pub impression: String,
    pub recommendation: String,
}

impl DraftText {
    fn as_texts(&self) -> ReportTexts<'_> {
        ReportTexts { findings: &self.findings, impression: &self.impression, recommendation: &self.recommendation }
    }
}

impl Reports {
    /// The draft of a case, for whoever may see the case.
    pub async fn draft(&self, actor: &Actor, case: CaseId) -> Result<Option<Draft>, ReportError> {
        let result = self.try_draft(actor, case).await;
        if let Err(error) = &result {
            self.audit_refusal(actor, "draft.read", case, error).await;
        }
        result
    }

    async fn try_draft(&self, actor: &Actor, case: CaseId) -> Result<Option<Draft>, ReportError> {
        let mut read = self.database.read().await?;
        let head = read.case_head(case).await?.ok_or(ReportError::NotFound)?;
        let performer = read.workitem_open(case).await?.and_then(|workitem| workitem.performer);
        // What is not signed is between the reader and the office.
        if actor.facility().is_some() {
            return Err(ReportError::NotFound);
        }
        can(actor, Action::ViewCase, Resource::Case { facility: &head.facility, claimed_by: performer.as_ref() })?;
        Ok(read.draft_find(case).await?.map(Draft::from))
    }

    /// Saves the draft of a case that the actor has claimed, over the version the editor began with (0: there was none), and gives the new version.
    ///
    /// # Errors
    /// [`ReportError::ClaimLost`] when the claim is not theirs any more; [`ReportError::Conflict`] with the stored text when another editor saved
    /// meanwhile. Saving the stored text again succeeds, so that a lost answer does no harm.
    pub async fn save_draft(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
        text: DraftText,
        base_version: i64,
    ) -> Result<i64, ReportError> {
        let result = self.try_save_draft(actor, case, transaction_uid, &text, base_version).await;
        match &result {
            // What the editor shows and the reader repairs is no matter for the trail; it would fill with autosaves.
            Err(error) if !matches!(error.kind(), ReportErrorKind::Invalid | ReportErrorKind::Conflict) => {
                self.audit_refusal(actor, "draft.save", case, error).await;
            }
            _ => {}
        }
        result
    }

    async fn try_save_draft(
        &self,
        actor: &Actor,
        case: CaseId,
        transaction_uid: &str,
        text: &DraftText,
        base_version: i64,
    ) -> Result<i64, ReportError> {
        check_texts(text.as_texts(), self.settings.max_text_bytes)?;
        let mut tx = self.database.write().await?;
        if !tx.case_lock(case).await? {
            return Err(ReportError::NotFound);
        }
        let head = tx.case_head(case).await?.ok_or(ReportError::NotFound)?;
        let Actor::Account { id: reader, role: Role::Reader, .. } = actor else {
            can(actor, Action::WriteDraft, Resource::Case { facility: &head.facility, claimed_by: None })?;
            return Err(ReportError::ClaimLost);
        };
        if head.withdrawn_at.is_some() {
            return Err(ReportError::Withdrawn);
        }
        if tx.workitem_held(case, reader, transaction_uid).await?.is_none() {
            return Err(ReportError::ClaimLost);
        }
        can(actor, Action::WriteDraft, Resource::Case { facility: &head.facility, claimed_by: Some(reader) })?;
        if let Some(version) = tx.draft_save(case, base_version, text.as_texts(), reader, self.ambient.now()).await? {
            tx.commit().await?;
            return Ok(version);
        }
        let stored = tx.draft_find(case).await?.map(Draft::from).ok_or(ReportError::NotFound)?;
        let same = (&stored.findings, &stored.impression, &stored.recommendation)
            == (&text.findings, &text.impression, &text.recommendation);
        if same && stored.author == *reader {
            Ok(stored.version)
        } else {
            Err(ReportError::Conflict { stored: Box::new(stored) })
        }
    }
}

/// Length, and no control character but those of lines and tabs: what cannot be printed or sent must not be found out when it is signed.
pub(crate) fn check_texts(texts: ReportTexts<'_>, limit: usize) -> Result<(), ReportError> {
    let fields =
        [("findings", texts.findings), ("impression", texts.impression), ("recommendation", texts.recommendation)];
    for (field, text) in fields {
        if text.len() > limit {
            return Err(ReportError::TooLong { field, limit });
        }
        if let Some(character) = text.chars().find(|&c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(ReportError::ControlCharacter { field, character });
        }
    }
    Ok(())
}
