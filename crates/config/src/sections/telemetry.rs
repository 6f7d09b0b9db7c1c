use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// What the node says about its work. It says UIDs, never names or IDs of patients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, for single parts as in `info,dokuei_dimse=debug`.
    pub log_level: String,
    /// `text` for people, `json` for a log collector: one object per line. Both go to standard error.
    pub log_format: LogFormat,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self { log_level: "info".into(), log_format: LogFormat::Text }
    }
}

impl TelemetrySection {
    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        let known = |level: &str| {
            ["off", "error", "warn", "info", "debug", "trace"].contains(&level.to_ascii_lowercase().as_str())
        };
        let legal = |directive: &str| known(directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim());
        if !self.log_level.split(',').all(legal) {
            problems.push(Problem::new(
                "telemetry.log_level",
                "must be error, warn, info, debug or trace, for single parts as in info,dokuei_dimse=debug",
            ));
        }
    }
}
