use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// Sign-in and sessions in the web.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSection {
    /// Minutes without a request after which a session ends.
    #[schemars(range(min = 1, max = 1_440))]
    pub session_idle_minutes: u32,
    /// Hours after which a session ends in any case.
    #[schemars(range(min = 1, max = 168))]
    pub session_absolute_hours: u32,
    /// Failed sign-ins of one account or from one address within `sign_in_window_minutes`, after which further ones are refused.
    #[schemars(range(min = 1, max = 1_000))]
    pub sign_in_attempts: u32,
    /// Minutes for which failed sign-ins count.
    #[schemars(range(min = 1, max = 1_440))]
    pub sign_in_window_minutes: u32,
}

impl Default for AccessSection {
    fn default() -> Self {
        Self { session_idle_minutes: 20, session_absolute_hours: 12, sign_in_attempts: 10, sign_in_window_minutes: 15 }
    }
}

impl AccessSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        if self.session_idle_minutes > self.session_absolute_hours.saturating_mul(60) {
            problems.push(Problem::new(
                "access.session_idle_minutes",
                "must not be longer than access.session_absolute_hours",
            ));
        }
    }
}
