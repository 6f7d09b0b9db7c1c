//! What the operator may turn.

use dokuei_domain::AeTitle;

/// Cost of one password hash (RFC 9106): the defaults are those OWASP gives for argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// Settings of [`crate::Access`]. Times are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// The node's own AE title; an association that calls another one is refused.
    pub called_aet: AeTitle,
    /// What an authenticator shows above the code.
    pub node_name: String,
    /// A session ends when it is not used for this long.
    pub session_idle_seconds: i64,
    /// A session ends at this age, used or not.
    pub session_absolute_seconds: i64,
    /// Failed attempts within the window after which an account waits.
    pub failures_per_account: u32,
    /// Failed attempts within the window after which an address waits. Behind a proxy, everybody who comes through it shares one.
    pub failures_per_address: u32,
    pub failure_window_seconds: i64,
    pub password_cost: PasswordCost,
    /// How many passwords are hashed and keys made at once: each hash takes `password_cost.memory_kib`.
    pub parallel_hashes: usize,
    /// How long a signing certificate is valid.
    pub certificate_days: i64,
    /// How long the token of a granted re-enrolment can be used.
    pub enrolment_token_seconds: i64,
    /// One-time sign-in links exist; in the demonstration only.
    pub sign_in_links: bool,
}

impl AccessSettings {
    /// The defaults for a node of this AE title.
    pub fn new(called_aet: AeTitle) -> Self {
        Self {
            called_aet,
            node_name: "Dokuei".to_owned(),
            session_idle_seconds: 30 * 60,
            session_absolute_seconds: 12 * 3600,
            failures_per_account: 5,
            failures_per_address: 30,
            failure_window_seconds: 15 * 60,
            password_cost: PasswordCost::default(),
            parallel_hashes: 4,
            certificate_days: 5 * 365 + 1,
            enrolment_token_seconds: 24 * 3600,
            sign_in_links: false,
        }
    }
}
