//! The state machine of a reading workitem: the Unified Procedure Step (PS3.4 CC.1.1), plus the one refusal of our own that keeps a workitem
//! from ever being given to a second reader.

use serde::{Deserialize, Serialize};

/// Procedure Step State (0074,1000).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum WorkitemState {
    #[serde(rename = "SCHEDULED")]
    Scheduled,
    #[serde(rename = "IN PROGRESS")]
    InProgress,
    #[serde(rename = "COMPLETED")]
    Completed,
    #[serde(rename = "CANCELED")]
    Canceled,
}

impl WorkitemState {
    pub const ALL: [Self; 4] = [Self::Scheduled, Self::InProgress, Self::Completed, Self::Canceled];

    /// The value of (0074,1000).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// Why a requested change is refused; the codes are those of PS3.4 Table CC.2.1-2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the workitem is already completed or canceled")]
    MayNoLongerBeUpdated,
    #[error("the transaction UID is missing or is not the one that claimed the workitem")]
    WrongTransactionUid,
    #[error("the workitem is already in progress")]
    AlreadyInProgress,
    #[error("a workitem may only be made SCHEDULED when it is created")]
    OnlyCreateSchedules,
    #[error("the workitem is already completed")]
    AlreadyCompleted,
    #[error("the workitem is already canceled")]
    AlreadyCanceled,
    #[error("the workitem is not in progress; claim it first")]
    NotInProgress,
}

impl Refusal {
    /// The DIMSE status.
    pub const fn status(self) -> u16 {
        match self {
            Self::MayNoLongerBeUpdated => 0xC300,
            Self::WrongTransactionUid => 0xC301,
            Self::AlreadyInProgress => 0xC302,
            Self::OnlyCreateSchedules => 0xC303,
            Self::AlreadyCompleted => 0xB306,
            Self::AlreadyCanceled => 0xB304,
            Self::NotInProgress => 0xC310,
        }
    }
}

/// Decides a Change UPS State request (PS3.4 CC.2.1). `held` is the Transaction UID of the claim, `given` the requestor's.
///
/// The state is looked at before the Transaction UID where the answer does not depend on it, as in PS3.4 Table CC.1.1-2. One deviation, documented
/// there as ours: a repeated claim with the same Transaction UID succeeds, so that a lost response does not orphan a claim.
pub fn change_state(
    current: WorkitemState,
    requested: WorkitemState,
    held: Option<&str>,
    given: Option<&str>,
) -> Result<WorkitemState, Refusal> {
    use WorkitemState::{Canceled, Completed, InProgress, Scheduled};
    if requested == Scheduled {
        return Err(Refusal::OnlyCreateSchedules);
    }
    let Some(given) = given.filter(|uid| !uid.is_empty()) else {
        return Err(Refusal::WrongTransactionUid);
    };
    match (current, requested) {
        (Scheduled, InProgress) => Ok(InProgress),
        (InProgress, InProgress) if held == Some(given) => Ok(InProgress),
        (InProgress, InProgress) => Err(Refusal::AlreadyInProgress),
        (Scheduled, Completed | Canceled) => Err(Refusal::NotInProgress),
        (Completed | Canceled, InProgress) => Err(Refusal::MayNoLongerBeUpdated),
        (InProgress | Completed | Canceled, Completed | Canceled) if held != Some(given) => {
            Err(Refusal::WrongTransactionUid)
        }
        (InProgress, Completed | Canceled) => Ok(requested),
        (Completed, Completed) => Err(Refusal::AlreadyCompleted),
        (Canceled, Canceled) => Err(Refusal::AlreadyCanceled),
        (Completed, Canceled) | (Canceled, Completed) => Err(Refusal::MayNoLongerBeUpdated),
        (_, Scheduled) => Err(Refusal::OnlyCreateSchedules),
    }
}

/// Discontinuation reasons (CID 9300) that this node uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discontinuation {
    /// (110513,DCM) the reader gave the case back, or no better reason was given.
    Unspecified,
    /// (110533,DCM) the claim was not kept alive.
    Expired,
    /// (110514,DCM) the facility withdrew the study.
    IncorrectWorklistEntry,
    /// (110530,DCM) handed over.
    AssignmentRejected,
}

impl Discontinuation {
    /// Code value and meaning, scheme DCM.
    pub const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::Unspecified => ("110513", "Discontinued for unspecified reason"),
            Self::Expired => ("110533", "Workitem expired"),
            Self::IncorrectWorklistEntry => ("110514", "Incorrect worklist entry selected"),
            Self::AssignmentRejected => ("110530", "Assignment rejected by assigned resource"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WorkitemState::*, *};

    #[test]
    fn every_cell_of_the_table() {
        let (a, b) = (Some("1.1"), Some("1.2"));
        let cells = [
            (Scheduled, InProgress, None, a, Ok(InProgress)),
            (Scheduled, InProgress, None, None, Err(Refusal::WrongTransactionUid)),
            (Scheduled, InProgress, None, Some(""), Err(Refusal::WrongTransactionUid)),
            (Scheduled, Scheduled, None, a, Err(Refusal::OnlyCreateSchedules)),
            (Scheduled, Completed, None, a, Err(Refusal::NotInProgress)),
            (Scheduled, Canceled, None, a, Err(Refusal::NotInProgress)),
            (InProgress, InProgress, a, b, Err(Refusal::AlreadyInProgress)),
            (InProgress, InProgress, a, a, Ok(InProgress)),
            (InProgress, Completed, a, a, Ok(Completed)),
            (InProgress, Completed, a, b, Err(Refusal::WrongTransactionUid)),
            (InProgress, Canceled, a, a, Ok(Canceled)),
            (InProgress, Canceled, a, None, Err(Refusal::WrongTransactionUid)),
            (InProgress, Scheduled, a, a, Err(Refusal::OnlyCreateSchedules)),
            (Completed, InProgress, a, a, Err(Refusal::MayNoLongerBeUpdated)),
            (Completed, Completed, a, a, Err(Refusal::AlreadyCompleted)),
            (Completed, Completed, a, b, Err(Refusal::WrongTransactionUid)),
            (Completed, Canceled, a, a, Err(Refusal::MayNoLongerBeUpdated)),
            (Canceled, InProgress, a, b, Err(Refusal::MayNoLongerBeUpdated)),
            (Canceled, Canceled, a, a, Err(Refusal::AlreadyCanceled)),
            (Canceled, Completed, a, a, Err(Refusal::MayNoLongerBeUpdated)),
        ];
        for (current, requested, held, given, expected) in cells {
            assert_eq!(change_state(current, requested, held, given), expected, "{current:?} -> {requested:?}");
        }
    }
}
