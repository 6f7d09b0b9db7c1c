//! What one administrator asks for and another one must grant.

use std::fmt;

use dokuei_domain::{AccountId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A request in whatever state it is.
#[derive(Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    pub id: Uuid,
    /// `reenrol`, for now the only kind.
    pub kind: String,
    pub account: AccountId,
    pub reason: String,
    pub requested_by: String,
    pub requested_at: Timestamp,
    pub granted_by: Option<String>,
    pub granted_at: Option<Timestamp>,
    pub used_at: Option<Timestamp>,
    pub refused_by: Option<String>,
    pub refused_at: Option<Timestamp>,
}

impl fmt::Debug for ApprovalRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalRow")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("account", &self.account)
            .field("requested_by", &self.requested_by)
            .field("granted_by", &self.granted_by)
            .field("used_at", &self.used_at)
            .field("refused_by", &self.refused_by)
            .finish_non_exhaustive()
    }
}

statements! {
    APPROVAL_INSERT = "INSERT INTO approvals (id, kind, account_id, reason, requested_by, requested_at) VALUES ($1, $2, $3, $4, $5, $6)";
    APPROVAL_FIND = "SELECT id, kind, account_id, reason, requested_by, requested_at, granted_by, granted_at, used_at, refused_by, refused_at \
                     FROM approvals WHERE id = $1";
    APPROVAL_BY_TOKEN = "SELECT id, kind, account_id, reason, requested_by, requested_at, granted_by, granted_at, used_at, refused_by, refused_at \
                         FROM approvals WHERE token_hash = $1";
    /// Neither used nor refused; a granted one whose token has expired is still listed, so that somebody sees it.
    APPROVAL_OPEN = "SELECT id, kind, account_id, reason, requested_by, requested_at, granted_by, granted_at, used_at, refused_by, refused_at \
                     FROM approvals WHERE used_at IS NULL AND refused_at IS NULL ORDER BY requested_at LIMIT 1000";
    APPROVAL_WAITING = "SELECT COUNT(*) AS waiting FROM approvals WHERE account_id = $1 AND granted_at IS NULL AND refused_at IS NULL";
    /// Two people: never the one who asked.
    APPROVAL_GRANT = "UPDATE approvals SET granted_by = $2, granted_at = $3, token_hash = $4 WHERE id = $1 AND requested_by <> $2 \
                      AND granted_at IS NULL AND refused_at IS NULL";
    APPROVAL_REFUSE = "UPDATE approvals SET refused_by = $2, refused_at = $3 WHERE id = $1 AND used_at IS NULL AND refused_at IS NULL";
    APPROVAL_USE = "UPDATE approvals SET used_at = $2 WHERE id = $1 AND granted_at > $3 AND used_at IS NULL AND refused_at IS NULL";
    APPROVAL_CLOSE_OTHERS = "UPDATE approvals SET refused_by = $3, refused_at = $4 WHERE account_id = $1 AND id <> $2 \
                             AND used_at IS NULL AND refused_at IS NULL";
}

fn read_row(row: &Row) -> Result<ApprovalRow, DatabaseError> {
    Ok(ApprovalRow {
        id: row.uuid("id")?,
        kind: row.text("kind")?,
        account: row.account("account_id")?,
        reason: row.text("reason")?,
        requested_by: row.text("requested_by")?,
        requested_at: row.time("requested_at")?,
        granted_by: row.get("granted_by")?,
        granted_at: row.optional_time("granted_at")?,
        used_at: row.optional_time("used_at")?,
        refused_by: row.get("refused_by")?,
        refused_at: row.optional_time("refused_at")?,
    })
}

impl ReadTx {
    pub async fn approval_find(&mut self, id: Uuid) -> Result<Option<ApprovalRow>, DatabaseError> {
        self.optional(APPROVAL_FIND, args![id]).await?.as_ref().map(read_row).transpose()
    }

    pub async fn approval_by_token(&mut self, token_hash: &[u8; 32]) -> Result<Option<ApprovalRow>, DatabaseError> {
        self.optional(APPROVAL_BY_TOKEN, args![token_hash]).await?.as_ref().map(read_row).transpose()
    }

    /// Requests that wait for a second administrator or for their token to be used, oldest first.
    pub async fn approval_open(&mut self) -> Result<Vec<ApprovalRow>, DatabaseError> {
        self.rows(APPROVAL_OPEN, args![]).await?.iter().map(read_row).collect()
    }

    /// Whether a request for this account waits for a second administrator.
    pub async fn approval_waiting(&mut self, account: &AccountId) -> Result<bool, DatabaseError> {
        Ok(self.one(APPROVAL_WAITING, args![account]).await?.get::<i64>("waiting")? > 0)
    }
}

impl WriteTx {
    pub async fn approval_insert(
        &mut self,
        id: Uuid,
        kind: &str,
        account: &AccountId,
        reason: &str,
        requested_by: &AccountId,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(APPROVAL_INSERT, args![id, kind, account, reason, requested_by, now]).await.map(drop)
    }

    /// `false`: there is no such request, it was decided before, or `by` is the one who asked.
    pub async fn approval_grant(
        &mut self,
        id: Uuid,
        by: &AccountId,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(APPROVAL_GRANT, args![id, by, now, token_hash]).await? == 1)
    }

    /// Refuses a request or takes back a grant that was not used.
    pub async fn approval_refuse(&mut self, id: Uuid, by: &AccountId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(APPROVAL_REFUSE, args![id, by, now]).await? == 1)
    }

    /// Uses a grant that is younger than `granted_after`. `false`: it is older, used, or refused.
    pub async fn approval_use(
        &mut self,
        id: Uuid,
        granted_after: Timestamp,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(APPROVAL_USE, args![id, now, granted_after]).await? == 1)
    }

    /// Closes all other open requests for an account.
    pub async fn approval_close_others(
        &mut self,
        account: &AccountId,
        except: Uuid,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, DatabaseError> {
        self.execute(APPROVAL_CLOSE_OTHERS, args![account, except, by, now]).await
    }
}
