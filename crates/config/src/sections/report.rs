use dokuei_domain::AeTitle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The return of signed reports to the hospitals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportSection {
    /// Application entity title with which this node calls a hospital.
    #[schemars(with = "String")]
    pub calling_ae_title: AeTitle,
    /// Seconds until a hospital's system must have answered the connection and the association request.
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_seconds: u32,
    /// Seconds until a hospital's system must have answered an object.
    #[schemars(range(min = 1, max = 3_600))]
    pub response_timeout_seconds: u32,
    /// Seconds before the second attempt of a delivery; each further pause is twice the one before.
    #[schemars(range(min = 1, max = 86_400))]
    pub back_off_base_seconds: u32,
    /// Longest pause in seconds between two attempts.
    #[schemars(range(min = 1, max = 86_400))]
    pub back_off_cap_seconds: u32,
    /// Attempts after which a delivery waits for a person.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_attempts: u32,
}

impl Default for ReportSection {
    fn default() -> Self {
        Self {
            calling_ae_title: crate::default_ae_title(),
            connect_timeout_seconds: 10,
            response_timeout_seconds: 60,
            back_off_base_seconds: 30,
            back_off_cap_seconds: 1_800,
            max_attempts: 50,
        }
    }
}

impl ReportSection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        if self.back_off_cap_seconds < self.back_off_base_seconds {
            problems.push(Problem::new(
                "report.back_off_cap_seconds",
                "must not be shorter than report.back_off_base_seconds",
            ));
        }
    }
}
