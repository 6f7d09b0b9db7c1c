//! What one use case tells another. An event is written as a job row in the transaction of the fact it reports and handled at least once.

use serde::{Deserialize, Serialize};

use crate::{CaseId, FacilityId, ReportVersionId, StudyPk};

/// Versioned by its tag: a changed meaning gets a new name, old names stay readable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// ingest → worklist: nothing more is expected for this study for now.
    StudySettled { study: StudyPk, facility: FacilityId },
    /// ingest → worklist: the facility withdrew the study (取消).
    StudyWithdrawn { study: StudyPk, facility: FacilityId },
    /// worklist → worklist: the case has an open workitem that nobody was chosen for, or may need another reader.
    CaseNeedsAssignment { case: CaseId },
    /// report → report: a version was signed and its ledger rows exist.
    ReportSigned { report_version: ReportVersionId, case: CaseId },
}

impl Event {
    /// The job queue that handles it.
    pub const fn queue(&self) -> &'static str {
        match self {
            Self::StudySettled { .. } => "study_settled",
            Self::StudyWithdrawn { .. } => "study_withdrawn",
            Self::CaseNeedsAssignment { .. } => "case_needs_assignment",
            Self::ReportSigned { .. } => "report_signed",
        }
    }
}
