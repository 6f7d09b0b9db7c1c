use dokuei_domain::Priority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;

/// Reading cases: when they open, how long they may take, how long a claim holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorklistSection {
    /// Seconds without new images after the sender's last association, after which a study counts as complete and its case opens.
    #[schemars(range(min = 0, max = 86_400))]
    pub settle_quiet_seconds: u32,
    /// Seconds without new images after which a case opens although images that the modality (MPPS) or another system (IAN) has listed have not come, or the
    /// modality has not finished. Never shorter than settle_quiet_seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub settle_patience_seconds: u32,
    /// Minutes after which a claim made in the web and not worked on expires, so that another reader can take the case.
    #[schemars(range(min = 1, max = 10_080))]
    pub claim_minutes: u32,
    /// Minutes after which a case that its chosen reader has not claimed is free for other readers.
    #[schemars(range(min = 1, max = 10_080))]
    pub pickup_minutes: u32,
    /// Minutes from the opening of a case until its report is due, for 緊急.
    #[schemars(range(min = 1, max = 10_080))]
    pub emergency_minutes: u32,
    /// Minutes until due, for 至急.
    #[schemars(range(min = 1, max = 10_080))]
    pub urgent_minutes: u32,
    /// Hours until due, for 通常.
    #[schemars(range(min = 1, max = 720))]
    pub routine_hours: u32,
}

impl Default for WorklistSection {
    fn default() -> Self {
        Self {
            settle_quiet_seconds: 60,
            settle_patience_seconds: 300,
            claim_minutes: 120,
            pickup_minutes: 30,
            emergency_minutes: 60,
            urgent_minutes: 240,
            routine_hours: 24,
        }
    }
}

impl WorklistSection {
    /// Seconds from the opening of a case until its report is due.
    pub fn turnaround_seconds(&self, priority: Priority) -> u32 {
        match priority {
            Priority::Emergency => self.emergency_minutes.saturating_mul(60),
            Priority::Urgent => self.urgent_minutes.saturating_mul(60),
            Priority::Routine => self.routine_hours.saturating_mul(3_600),
        }
    }

    pub(crate) fn validate(&self, problems: &mut Vec<Problem>) {
        let [emergency, urgent, routine] = Priority::ALL.map(|priority| self.turnaround_seconds(priority));
        if emergency > urgent {
            problems
                .push(Problem::new("worklist.emergency_minutes", "must not be longer than worklist.urgent_minutes"));
        }
        if urgent > routine {
            problems.push(Problem::new("worklist.urgent_minutes", "must not be longer than worklist.routine_hours"));
        }
    }
}
