//! Sessions: who is behind a token, and until when.

use dokuei_database::{AccountRow, AuditOutcome, DatabaseError};
use dokuei_domain::{AccountId, Actor, FacilityId, Role, Timestamp};

use crate::{Access, AccessError, Language, one_time};

/// Somebody signed in, with the rights the account has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub actor: Actor,
    pub account: AccountId,
    pub role: Role,
    pub facility: Option<FacilityId>,
    pub display_name: String,
    pub language: Language,
    pub began_at: Timestamp,
}

impl Session {
    pub(crate) fn of(account: &AccountRow, began_at: Timestamp) -> Self {
        Self {
            actor: actor_of(account),
            account: account.id.clone(),
            role: account.role,
            facility: account.facility.clone(),
            display_name: account.display_name.clone(),
            language: Language::parse(&account.language).unwrap_or_default(),
            began_at,
        }
    }
}

pub(crate) fn actor_of(account: &AccountRow) -> Actor {
    Actor::Account { id: account.id.clone(), role: account.role, facility: account.facility.clone() }
}

/// How often a session's last use is written: a page with a hundred images is one use.
const TOUCH_SECONDS: i64 = 60;
/// Ended sessions, used links and old failures are kept this long beyond their use, for whoever looks into an incident.
const KEEP_SECONDS: i64 = 30 * 24 * 3600;

impl Access {
    /// Who a token stands for. `None` when it is unknown, ended, idle for too long, too old, or its account is disabled; role and facility are read anew
    /// each time.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, AccessError> {
        let Some(hash) = one_time::token_hash(token) else { return Ok(None) };
        let mut read = self.db.read().await?;
        let Some(row) = read.session_find(&hash).await? else { return Ok(None) };
        let now = self.ambient.now();
        let idle = now.seconds_since(row.last_seen_at);
        let age = now.seconds_since(row.created_at);
        if idle >= self.settings.session_idle_seconds || age >= self.settings.session_absolute_seconds {
            return Ok(None);
        }
        let Some(account) = read.account_find(&row.account).await?.filter(|account| account.disabled_at.is_none())
        else {
            return Ok(None);
        };
        drop(read);
        if idle >= TOUCH_SECONDS {
            // A writer that is busy elsewhere is no reason to turn somebody away.
            if let Err(error) = self.touch(&hash, now).await {
                tracing::warn!(error = error.chain(), "cannot write that a session was used");
            }
        }
        Ok(Some(Session::of(&account, row.created_at)))
    }

    async fn touch(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<(), DatabaseError> {
        let mut tx = self.db.write().await?;
        tx.session_touch(token_hash, now).await?;
        tx.commit().await
    }

    /// Ends a session. A token that stands for none is no error: the person is signed out either way.
    pub async fn sign_out(&self, token: &str) -> Result<(), AccessError> {
        let Some(hash) = one_time::token_hash(token) else { return Ok(()) };
        let mut tx = self.db.write().await?;
        let Some(row) = tx.session_find(&hash).await? else { return Ok(()) };
        tx.session_end(&hash, self.ambient.now()).await?;
        if let Some(account) = tx.account_find(&row.account).await? {
            tx.audit(self.event(&actor_of(&account), "sign_out", AuditOutcome::Success).subject(&account.id));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes what no longer matters: sessions, links and failures long past. To be run now and then, by any process.
    pub async fn purge(&self) -> Result<(), AccessError> {
        let now = self.ambient.now();
        let longest = self.settings.session_absolute_seconds.max(self.settings.failure_window_seconds);
        let before = now.plus_seconds(-longest).plus_seconds(-KEEP_SECONDS);
        let mut tx = self.db.write().await?;
        let sessions = tx.session_purge(before).await?;
        let links = tx.sign_in_link_purge(before).await?;
        let failures = tx.sign_in_failures_purge(before).await?;
        tx.commit().await?;
        tracing::debug!(sessions, links, failures, "purged old sessions");
        Ok(())
    }
}
