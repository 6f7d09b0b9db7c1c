//! One word for where a case stands.

use dokuei_domain::workitem::WorkitemState;
use serde::Serialize;

/// Where a case stands, as lists show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Open, and nobody was chosen.
    Waiting,
    /// Open, and expected to be taken by somebody.
    Assigned,
    /// Claimed.
    Reading,
    /// Signed; the return is not finished, or the facility has no system that reports are sent to.
    Signed,
    /// Every recipient has accepted the latest version.
    Returned,
    /// At least one recipient of the latest version has not got it, and will not without a person.
    DeliveryFailed,
    /// The facility took it back (取消).
    Withdrawn,
}

impl CaseState {
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Assigned,
        Self::Reading,
        Self::Signed,
        Self::Returned,
        Self::DeliveryFailed,
        Self::Withdrawn,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Reading => "reading",
            Self::Signed => "signed",
            Self::Returned => "returned",
            Self::DeliveryFailed => "delivery_failed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether a reader has something to do before it can be returned.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Assigned | Self::Reading)
    }

    pub const fn japanese(self) -> &'static str {
        match self {
            Self::Waiting => "読影待ち",
            Self::Assigned => "割当済",
            Self::Reading => "読影中",
            Self::Signed => "確定",
            Self::Returned => "返送済",
            Self::DeliveryFailed => "返送失敗",
            Self::Withdrawn => "取消",
        }
    }

    pub const fn english(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Reading => "being read",
            Self::Signed => "signed",
            Self::Returned => "returned",
            Self::DeliveryFailed => "return failed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What the state of a case follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateFacts {
    pub withdrawn: bool,
    /// State of the open workitem, and whether a reader was chosen for it.
    pub open_workitem: Option<(WorkitemState, bool)>,
    pub report_versions: i64,
    /// Recipients of the latest version.
    pub deliveries: i64,
    pub deliveries_accepted: i64,
    pub deliveries_failed: i64,
}

/// Derives the state. Withdrawal outweighs everything, an open workitem (an addendum is being written) the return of the version before it. A case that is
/// neither signed nor has an open workitem should not exist; it shows as waiting, because it needs a person.
pub fn case_state(facts: StateFacts) -> CaseState {
    if facts.withdrawn {
        return CaseState::Withdrawn;
    }
    match facts.open_workitem {
        Some((WorkitemState::InProgress, _)) => return CaseState::Reading,
        Some((WorkitemState::Scheduled, true)) => return CaseState::Assigned,
        Some((WorkitemState::Scheduled, false)) => return CaseState::Waiting,
        Some((WorkitemState::Completed | WorkitemState::Canceled, _)) | None => {}
    }
    if facts.report_versions <= 0 {
        CaseState::Waiting
    } else if facts.deliveries_failed > 0 {
        CaseState::DeliveryFailed
    } else if facts.deliveries > 0 && facts.deliveries_accepted >= facts.deliveries {
        CaseState::Returned
    } else {
        CaseState::Signed
    }
}

#[cfg(test)]
mod tests {
    use super::{CaseState::*, *};

    const SCHEDULED: Option<(WorkitemState, bool)> = Some((WorkitemState::Scheduled, false));
    const ASSIGNED: Option<(WorkitemState, bool)> = Some((WorkitemState::Scheduled, true));
    const CLAIMED: Option<(WorkitemState, bool)> = Some((WorkitemState::InProgress, true));
    const TAKEN_UNASSIGNED: Option<(WorkitemState, bool)> = Some((WorkitemState::InProgress, false));

    /// Deliveries as (recipients, accepted, failed).
    const NOBODY: (i64, i64, i64) = (0, 0, 0);
    const UNDER_WAY: (i64, i64, i64) = (2, 1, 0);
    const ACCEPTED: (i64, i64, i64) = (2, 2, 0);
    const FAILED: (i64, i64, i64) = (2, 1, 1);

    #[test]
    fn every_cell_of_the_table() {
        // One row per open workitem and number of versions; columns: no recipient, under way, accepted by all, failed for one.
        let table = [
            (SCHEDULED, 0, [Waiting, Waiting, Waiting, Waiting]),
            (ASSIGNED, 0, [Assigned, Assigned, Assigned, Assigned]),
            (CLAIMED, 0, [Reading, Reading, Reading, Reading]),
            (TAKEN_UNASSIGNED, 0, [Reading, Reading, Reading, Reading]),
            (None, 0, [Waiting, Waiting, Waiting, Waiting]),
            (SCHEDULED, 1, [Waiting, Waiting, Waiting, Waiting]),
            (ASSIGNED, 1, [Assigned, Assigned, Assigned, Assigned]),
            (CLAIMED, 2, [Reading, Reading, Reading, Reading]),
            (TAKEN_UNASSIGNED, 2, [Reading, Reading, Reading, Reading]),
            (None, 1, [Signed, Signed, Returned, DeliveryFailed]),
            (None, 2, [Signed, Signed, Returned, DeliveryFailed]),
        ];
        let mut seen = std::collections::HashSet::new();
        for (open_workitem, report_versions, row) in table {
            for (deliveries, expected) in [NOBODY, UNDER_WAY, ACCEPTED, FAILED].into_iter().zip(row) {
                for withdrawn in [false, true] {
                    let facts = StateFacts {
                        withdrawn,
                        open_workitem,
                        report_versions,
                        deliveries: deliveries.0,
                        deliveries_accepted: deliveries.1,
                        deliveries_failed: deliveries.2,
                    };
                    let state = case_state(facts);
                    assert_eq!(state, if withdrawn { Withdrawn } else { expected }, "{facts:?}");
                    seen.insert(state);
                }
            }
        }
        assert_eq!(seen.len(), CaseState::ALL.len(), "each state is reached");
    }
}
