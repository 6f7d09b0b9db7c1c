//! Sessions, one-time sign-in links and the failed attempts that the rate limit counts. Tokens are stored as SHA-256 only.

use dokuei_domain::{AccountId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

/// A session that was not ended; its age is for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub account: AccountId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub address: String,
}

/// What a failed attempt is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKey<'a> {
    Account(&'a str),
    Address(&'a str),
}

/// The advisory lock under which attempts are counted and entered on PostgreSQL; any number that nobody else uses.
const SIGN_IN_LOCK: i64 = 0x646f_6b75_6569_0001;

statements! {
    SESSION_INSERT = "INSERT INTO sessions (token_hash, account_id, created_at, last_seen_at, address) VALUES ($1, $2, $3, $3, $4)";
    SESSION_FIND = "SELECT account_id, created_at, last_seen_at, address FROM sessions WHERE token_hash = $1 AND ended_at IS NULL";
    SESSION_TOUCH = "UPDATE sessions SET last_seen_at = $2 WHERE token_hash = $1 AND ended_at IS NULL AND last_seen_at < $2";
    SESSION_END = "UPDATE sessions SET ended_at = $2 WHERE token_hash = $1 AND ended_at IS NULL";
    SESSION_END_ALL = "UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL";
    SESSION_PURGE = "DELETE FROM sessions WHERE created_at < $1";
    LINK_INSERT = "INSERT INTO sign_in_links (token_hash, account_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    LINK_USE = "UPDATE sign_in_links SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING account_id";
    LINK_PURGE = "DELETE FROM sign_in_links WHERE expires_at < $1";
    /// SQLite has one writer anyway; on PostgreSQL attempts are counted and entered one after the other.
    FAILURE_LOCK = "SELECT $1", "SELECT pg_advisory_xact_lock($1)";
    FAILURE_INSERT = "INSERT INTO sign_in_failures (id, account_id, address, failed_at) VALUES ($1, $2, $3, $4)";
    FAILURES_BY_ACCOUNT = "SELECT failed_at FROM sign_in_failures WHERE account_id = $1 AND failed_at > $2 ORDER BY failed_at DESC LIMIT $3";
    FAILURES_BY_ADDRESS = "SELECT failed_at FROM sign_in_failures WHERE address = $1 AND failed_at > $2 ORDER BY failed_at DESC LIMIT $3";
    FAILURES_FORGIVE = "DELETE FROM sign_in_failures WHERE account_id = $1";
    FAILURE_DELETE = "DELETE FROM sign_in_failures WHERE id = $1";
    FAILURES_PURGE = "DELETE FROM sign_in_failures WHERE failed_at < $1";
}

impl ReadTx {
    pub async fn session_find(&mut self, token_hash: &[u8; 32]) -> Result<Option<SessionRow>, DatabaseError> {
        let Some(row) = self.optional(SESSION_FIND, args![token_hash]).await? else { return Ok(None) };
        Ok(Some(SessionRow {
            account: row.account("account_id")?,
            created_at: row.time("created_at")?,
            last_seen_at: row.time("last_seen_at")?,
            address: row.text("address")?,
        }))
    }

    /// When the youngest failures after `since` happened, youngest first, at most `limit`.
    pub async fn sign_in_failures(
        &mut self,
        key: FailureKey<'_>,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Timestamp>, DatabaseError> {
        let rows = match key {
            FailureKey::Account(account) => self.rows(FAILURES_BY_ACCOUNT, args![account, since, limit]).await?,
            FailureKey::Address(address) => self.rows(FAILURES_BY_ADDRESS, args![address, since, limit]).await?,
        };
        rows.iter().map(|row| row.time("failed_at")).collect()
    }
}

impl WriteTx {
    pub async fn session_insert(
        &mut self,
        token_hash: &[u8; 32],
        account: &AccountId,
        address: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(SESSION_INSERT, args![token_hash, account, now, address]).await.map(drop)
    }

    /// Remembers that the session was used; an ended one stays ended.
    pub async fn session_touch(&mut self, token_hash: &[u8; 32], now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(SESSION_TOUCH, args![token_hash, now]).await? == 1)
    }

    pub async fn session_end(&mut self, token_hash: &[u8; 32], now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(SESSION_END, args![token_hash, now]).await? == 1)
    }

    /// Ends every session of an account and gives their number.
    pub async fn session_end_all(&mut self, account: &AccountId, now: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(SESSION_END_ALL, args![account, now]).await
    }

    /// Removes sessions that began before `before`, ended or not.
    pub async fn session_purge(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(SESSION_PURGE, args![before]).await
    }

    pub async fn sign_in_link_insert(
        &mut self,
        token_hash: &[u8; 32],
        account: &AccountId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(LINK_INSERT, args![token_hash, account, now, expires_at]).await.map(drop)
    }

    /// Uses up a link and gives its account. `None`: unknown, used or expired.
    pub async fn sign_in_link_use(
        &mut self,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<AccountId>, DatabaseError> {
        self.optional(LINK_USE, args![token_hash, now]).await?.map(|row| row.account("account_id")).transpose()
    }

    pub async fn sign_in_link_purge(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(LINK_PURGE, args![before]).await
    }

    /// Lets one transaction at a time count failures and enter one.
    pub async fn sign_in_failures_lock(&mut self) -> Result<(), DatabaseError> {
        self.rows(FAILURE_LOCK, args![SIGN_IN_LOCK]).await.map(drop)
    }

    /// `account` is a key for counting, not necessarily an account's id.
    pub async fn sign_in_failure_insert(
        &mut self,
        id: Uuid,
        account: &str,
        address: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(FAILURE_INSERT, args![id, account, address, now]).await.map(drop)
    }

    /// Takes one entry back.
    pub async fn sign_in_failure_withdraw(&mut self, id: Uuid) -> Result<(), DatabaseError> {
        self.execute(FAILURE_DELETE, args![id]).await.map(drop)
    }

    /// Forgets the failures counted under an account.
    pub async fn sign_in_failures_forgive(&mut self, account: &str) -> Result<u64, DatabaseError> {
        self.execute(FAILURES_FORGIVE, args![account]).await
    }

    pub async fn sign_in_failures_purge(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(FAILURES_PURGE, args![before]).await
    }
}
