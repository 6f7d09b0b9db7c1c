//! Drafts of reports: one per case, saved as typed, numbered so that a stale editor cannot overwrite a younger text.

use dokuei_domain::{AccountId, CaseId, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A draft as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    pub findings: String,
    pub impression: String,
    pub recommendation: String,
    /// Counts saves, from 1.
    pub version: i64,
    /// Who saved it last.
    pub author: AccountId,
    pub saved_at: Timestamp,
}

/// The three texts of a report, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportTexts<'a> {
    pub findings: &'a str,
    pub impression: &'a str,
    pub recommendation: &'a str,
}

statements! {
    DRAFT_FIND = "SELECT findings, impression, recommendation, version, author, saved_at FROM drafts WHERE case_id = $1";
    DRAFT_INSERT = "INSERT INTO drafts (case_id, findings, impression, recommendation, version, author, saved_at) \
                    VALUES ($1, $2, $3, $4, 1, $5, $6) ON CONFLICT (case_id) DO NOTHING";
    DRAFT_UPDATE = "UPDATE drafts SET findings = $2, impression = $3, recommendation = $4, version = version + 1, author = $5, saved_at = $6 \
                    WHERE case_id = $1 AND version = $7";
}

fn read_row(row: &Row) -> Result<DraftRow, DatabaseError> {
    Ok(DraftRow {
        findings: row.text("findings")?,
        impression: row.text("impression")?,
        recommendation: row.text("recommendation")?,
        version: row.get("version")?,
        author: row.account("author")?,
        saved_at: row.time("saved_at")?,
    })
}

impl ReadTx {
    pub async fn draft_find(&mut self, case: CaseId) -> Result<Option<DraftRow>, DatabaseError> {
        self.optional(DRAFT_FIND, args![case]).await?.as_ref().map(read_row).transpose()
    }
}

impl WriteTx {
    /// Saves over the version that the editor had (0: there was none) and gives the new one; nothing when the stored draft is another.
    pub async fn draft_save(
        &mut self,
        case: CaseId,
        base_version: i64,
        texts: ReportTexts<'_>,
        author: &AccountId,
        now: Timestamp,
    ) -> Result<Option<i64>, DatabaseError> {
        let saved = if base_version == 0 {
            self.execute(DRAFT_INSERT, args![case, texts.findings, texts.impression, texts.recommendation, author, now])
                .await?
        } else {
            let values = args![case, texts.findings, texts.impression, texts.recommendation, author, now, base_version];
            self.execute(DRAFT_UPDATE, values).await?
        };
        Ok((saved == 1).then_some(base_version + 1))
    }
}
