//! Why an object was not accepted.

use dokuei_database::DatabaseError;
use dokuei_dataset::{FactsError, HeadError};
use dokuei_image_store::StoreError;

/// Why an object is kept aside instead of being filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineReason {
    /// The facility has sent this SOP Instance UID before, with other content.
    SameUidOtherContent,
    /// The study exists under another patient of the same facility.
    StudyOfAnotherPatient,
    /// The series exists in another study.
    SeriesOfAnotherStudy,
    /// The facility has withdrawn the study (取消) and goes on sending.
    StudyWithdrawn,
}

impl QuarantineReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameUidOtherContent => "same_uid_other_content",
            Self::StudyOfAnotherPatient => "study_of_another_patient",
            Self::SeriesOfAnotherStudy => "series_of_another_study",
            Self::StudyWithdrawn => "study_withdrawn",
        }
    }

    /// What it means, for a person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::SameUidOtherContent => {
                "an object with this SOP Instance UID is stored already and its content differs"
            }
            Self::StudyOfAnotherPatient => "the study is filed under another patient of this facility",
            Self::SeriesOfAnotherStudy => "the series is filed in another study",
            Self::StudyWithdrawn => "the facility has withdrawn the study",
        }
    }
}

/// Why an object was refused. Adapters map the kind to a status; the text is for logs and the sender's error comment.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("the image store is short of space; nothing was stored")]
    OutOfSpace,
    #[error("the image store failed")]
    Store(#[source] StoreError),
    #[error("the index is not available")]
    Index(#[source] DatabaseError),
    #[error("the object is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the data set cannot be understood")]
    NotADataSet(#[source] HeadError),
    #[error("the data set cannot be filed")]
    Unfileable(#[source] FactsError),
    #[error("{field} has more than {limit} bytes")]
    TooLong { field: &'static str, limit: usize },
    #[error("the data set's SOP Class UID differs from the command's")]
    SopClassMismatch,
    #[error("the data set's SOP Instance UID differs from the command's")]
    SopInstanceMismatch,
    #[error("kept in quarantine: {}", .0.sentence())]
    Quarantined(QuarantineReason),
    #[error("not allowed")]
    Denied,
    #[error("there is no such study")]
    NoSuchStudy,
    /// The index could not be written or the node is stopping; whether the facts were committed is not known.
    #[error("the object was not filed; send it again")]
    NotFiled,
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        if error.kind == dokuei_image_store::StoreErrorKind::OutOfSpace { Self::OutOfSpace } else { Self::Store(error) }
    }
}

impl From<DatabaseError> for IngestError {
    fn from(error: DatabaseError) -> Self {
        Self::Index(error)
    }
}
