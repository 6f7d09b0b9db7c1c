//! Signing in: rate limit, password, second factor, and the session that follows.

use der::zeroize::Zeroizing;
use dokuei_database::{AccountRow, AuditEvent, AuditOutcome, FailureKey, WriteTx};
use dokuei_domain::{AccountId, Actor, Timestamp};
use uuid::Uuid;

use crate::{
    Access, AccessError, Session, SignInError,
    error::CryptoError,
    one_time::{self, TypedCode},
    password,
};

/// A session just begun. The token is for the cookie; it is not stored and cannot be had again.
#[derive(Clone)]
pub struct SignedIn {
    pub token: String,
    pub session: Session,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Where credentials are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The sign-in page. A recovery code may stand for the TOTP.
    SignIn,
    /// Within a session, before something that needs the person once more. Recovery codes do not count, and failures are counted apart, so that a
    /// stranger at the sign-in page cannot keep a reader from signing.
    StepUp(&'static str),
}

impl Door {
    const fn action(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::StepUp(action) => action,
        }
    }

    fn failure_key(self, account: &AccountId) -> String {
        match self {
            Self::SignIn => account.as_str().to_owned(),
            Self::StepUp(_) => step_up_key(account),
        }
    }
}

fn step_up_key(account: &AccountId) -> String {
    format!("{account}/step-up")
}

/// Credentials that were right. The transaction has used up the code and forgiven the failures; what follows from it goes in there too.
pub(crate) struct Verified {
    pub(crate) account: AccountRow,
    pub(crate) with_recovery_code: bool,
    pub(crate) tx: WriteTx,
}

impl Access {
    /// Begins a session with password and a TOTP or recovery code. `address` is the client's, for the rate limit and the audit.
    pub async fn sign_in(
        &self,
        account: &str,
        password: &str,
        code: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        let Verified { account, with_recovery_code, mut tx } =
            self.verify(account, password, code, address, Door::SignIn).await?;
        let detail = if with_recovery_code {
            let left = tx.recovery_codes_left(&account.id).await?;
            format!("from {} with a recovery code; {left} left", bounded(address))
        } else {
            format!("from {}", bounded(address))
        };
        self.begin_session(tx, account, address, "sign_in", detail).await
    }

    /// Begins a session with a one-time link.
    pub async fn sign_in_with_link(&self, token: &str, address: &str) -> Result<SignedIn, SignInError> {
        const ACTION: &str = "sign_in.link";
        let now = self.ambient.now();
        let address = bounded(address);
        let refuse = |detail: &str| stranger(now, ACTION, "unknown", format!("from {address}: {detail}"));
        let Some(hash) = one_time::token_hash(token).filter(|_| self.settings.sign_in_links) else {
            return self.refused(refuse("no link of ours"), SignInError::LinkInvalid).await;
        };
        let mut tx = self.db.write().await?;
        let Some(id) = tx.sign_in_link_use(&hash, now).await? else {
            drop(tx);
            return self.refused(refuse("unknown, used or expired"), SignInError::LinkInvalid).await;
        };
        match tx.account_lock(&id).await? {
            Some(account) if account.disabled_at.is_none() => {
                self.begin_session(tx, account, address, ACTION, format!("from {address}")).await
            }
            _ => {
                drop(tx);
                self.refused(
                    stranger(now, ACTION, id.as_str(), format!("from {address}: disabled")),
                    SignInError::Disabled,
                )
                .await
            }
        }
    }

    /// Makes a one-time sign-in link's token, in demo mode only.
    pub async fn sign_in_link_create(&self, account: &AccountId, lifetime_seconds: i64) -> Result<String, AccessError> {
        if !self.settings.sign_in_links {
            return Err(AccessError::LinksNotAllowed);
        }
        let now = self.ambient.now();
        let (token, hash) = one_time::new_token(&self.ambient);
        let mut tx = self.db.write().await?;
        if tx.account_find(account).await?.is_none() {
            return Err(AccessError::UnknownAccount(account.clone()));
        }
        tx.sign_in_link_insert(&hash, account, now, now.plus_seconds(lifetime_seconds)).await?;
        tx.audit(self.success(&Actor::CommandLine, "sign_in_link.create").subject(account));
        tx.commit().await?;
        Ok(token)
    }

    async fn begin_session(
        &self,
        mut tx: WriteTx,
        account: AccountRow,
        address: &str,
        action: &'static str,
        detail: String,
    ) -> Result<SignedIn, SignInError> {
        let now = self.ambient.now();
        let (token, hash) = one_time::new_token(&self.ambient);
        tx.session_insert(&hash, &account.id, bounded(address), now).await?;
        let session = Session::of(&account, now);
        tx.audit(
            AuditEvent::new(now, &session.actor, action, AuditOutcome::Success).subject(&account.id).detail(detail),
        );
        tx.commit().await?;
        Ok(SignedIn { token, session })
    }

    /// Checks rate limit, password and code, in this order, and audits every refusal. On success nothing is committed yet.
    pub(crate) async fn verify(
        &self,
        typed_account: &str,
        password: &str,
        code: &str,
        address: &str,
        door: Door,
    ) -> Result<Verified, SignInError> {
        let address = bounded(address);
        let known = match AccountId::parse(typed_account.trim()) {
            Ok(id) => self.db.read().await?.account_find(&id).await?,
            Err(_) => None,
        };
        // What names no account may be a password in the wrong field: it is counted under its hash and written nowhere.
        let (counted, subject) = match &known {
            Some(account) => (door.failure_key(&account.id), account.id.to_string()),
            None => (
                format!("?{}", hex::encode(one_time::sha256(&[typed_account.trim().as_bytes()]))),
                "unknown".to_owned(),
            ),
        };
        let refusal =
            |detail: &str| stranger(self.ambient.now(), door.action(), &subject, format!("from {address}: {detail}"));
        let attempt = match self.reserve_attempt(&counted, address, door).await? {
            Attempt::Counted(id) => id,
            Attempt::Wait(retry_after_seconds) => {
                return self
                    .refused(refusal("too many attempts"), SignInError::TooManyAttempts { retry_after_seconds })
                    .await;
            }
        };

        let too_long = password.len() > password::MAXIMUM_BYTES;
        let secret = Zeroizing::new(if too_long { String::new() } else { password.to_owned() });
        let stored = known.as_ref().map(|account| account.password_hash.clone());
        let right = self.bench.verify(secret, stored).await? && !too_long;
        let Some(account) = known.filter(|_| right) else {
            return self.refused(refusal("wrong account or password"), SignInError::WrongCredentials).await;
        };
        if account.disabled_at.is_some() {
            return self.refused(refusal("disabled"), SignInError::Disabled).await;
        }
        let code = match one_time::read_code(&account.id, code) {
            TypedCode::Totp(code) => self.totp_step(&account, &code)?.map(UsableCode::Step),
            TypedCode::Recovery(hash) => Some(UsableCode::Recovery(hash)).filter(|_| door == Door::SignIn),
            TypedCode::Nothing => None,
        };
        let Some(code) = code else {
            return self.refused(refusal("wrong code"), SignInError::WrongCredentials).await;
        };

        let mut tx = self.db.write().await?;
        let used = match tx.account_lock(&account.id).await? {
            // Disabled or enrolled anew while the password was being checked.
            Some(now) if now.disabled_at.is_some() || now.password_hash != account.password_hash => {
                Err(SignInError::WrongCredentials)
            }
            Some(_) => self.use_code(&mut tx, &account.id, code).await?,
            None => Err(SignInError::WrongCredentials),
        };
        if let Err(error) = used {
            if matches!(error, SignInError::ReplayedCode) {
                // Nobody guessed: somebody signs twice within one code's half minute, and must not be locked out for it.
                tx.sign_in_failure_withdraw(attempt).await?;
            }
            tx.audit(refusal(&error.to_string()));
            tx.commit().await?;
            return Err(error);
        }
        tx.sign_in_failures_forgive(&counted).await?;
        Ok(Verified { account, with_recovery_code: matches!(code, UsableCode::Recovery(_)), tx })
    }

    fn totp_step(&self, account: &AccountRow, code: &str) -> Result<Option<i64>, CryptoError> {
        let secret = self.keys.open_totp_secret(&account.id, &account.totp_secret)?;
        let totp = one_time::totp(&secret, &account.id, &self.settings.node_name)?;
        Ok(one_time::matching_step(&totp, code, self.ambient.now()))
    }

    async fn use_code(
        &self,
        tx: &mut WriteTx,
        account: &AccountId,
        code: UsableCode,
    ) -> Result<Result<(), SignInError>, SignInError> {
        Ok(match code {
            UsableCode::Step(step) if tx.account_use_totp_step(account, step).await? => Ok(()),
            UsableCode::Step(_) => Err(SignInError::ReplayedCode),
            UsableCode::Recovery(hash) if tx.recovery_code_use(account, &hash, self.ambient.now()).await? => Ok(()),
            UsableCode::Recovery(hash) if tx.recovery_code_known(account, &hash).await? => {
                Err(SignInError::ReplayedCode)
            }
            UsableCode::Recovery(_) => Err(SignInError::WrongCredentials),
        })
    }

    /// Enters the attempt as a failure before it is judged, so that attempts made at once are all counted; success forgives it. An attempt that must wait
    /// is not counted and does not prolong the wait.
    async fn reserve_attempt(&self, counted: &str, address: &str, door: Door) -> Result<Attempt, SignInError> {
        let now = self.ambient.now();
        let settings = &self.settings;
        let since = now.plus_seconds(-settings.failure_window_seconds);
        let mut tx = self.db.write().await?;
        tx.sign_in_failures_lock().await?;
        let mut wait = None;
        let mut limits = vec![(FailureKey::Account(counted), settings.failures_per_account)];
        // At the step-up door somebody is signed in: strangers at the same address must not keep them from signing.
        if matches!(door, Door::SignIn) && !shared_by_many(address) {
            limits.push((FailureKey::Address(address), settings.failures_per_address));
        }
        for (key, limit) in limits {
            let failures = tx.sign_in_failures(key, since, limit.max(1)).await?;
            if u32::try_from(failures.len()).is_ok_and(|count| count >= limit.max(1)) {
                // Free again when the oldest of them leaves the window.
                let free_at =
                    failures.last().map_or(now, |oldest| oldest.plus_seconds(settings.failure_window_seconds));
                let micros = free_at.0.saturating_sub(now.0).max(1);
                wait = wait.max(Some(micros.saturating_add(999_999) / 1_000_000));
            }
        }
        if let Some(seconds) = wait {
            return Ok(Attempt::Wait(seconds));
        }
        let id = self.ambient.new_uuid();
        tx.sign_in_failure_insert(id, counted, address, now).await?;
        tx.commit().await?;
        Ok(Attempt::Counted(id))
    }

    /// Forgets the failures of an account at both doors.
    pub(crate) async fn forgive(tx: &mut WriteTx, account: &AccountId) -> Result<(), AccessError> {
        tx.sign_in_failures_forgive(account.as_str()).await?;
        tx.sign_in_failures_forgive(&step_up_key(account)).await?;
        Ok(())
    }

    async fn refused<T>(&self, event: AuditEvent, error: SignInError) -> Result<T, SignInError> {
        let mut tx = self.db.write().await?;
        tx.audit(event);
        tx.commit().await?;
        Err(error)
    }
}

/// Behind a proxy on this machine everybody has its address: a limit by address would let a stranger lock all readers out. The limit by account holds.
fn shared_by_many(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

enum Attempt {
    /// Under this id, as a failure until it succeeds.
    Counted(Uuid),
    /// Seconds until the next attempt is judged.
    Wait(i64),
}

#[derive(Clone, Copy)]
enum UsableCode {
    Step(i64),
    Recovery([u8; 32]),
}

/// A refusal of somebody who has not shown who they are.
fn stranger(now: Timestamp, action: &'static str, subject: &str, detail: String) -> AuditEvent {
    AuditEvent::new(now, &Actor::System("sign_in"), action, AuditOutcome::Refused).subject(subject).detail(detail)
}

/// An address as it is stored and audited; the longest real one is shorter.
pub(crate) fn bounded(address: &str) -> &str {
    let end = address.char_indices().map(|(at, c)| at + c.len_utf8()).take(64).last().unwrap_or(0);
    address.get(..end).unwrap_or_default()
}
