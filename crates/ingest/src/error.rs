//! Why an object was not accepted.

use dokuei_database::DatabaseError;
use dokuei_dataset::{FactsError, HeadError};
use dokuei_image_store::StoreError;

use crate::quarantine::NotReleasable;

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
    /// Birth date or sex contradict what the study's first object says of the patient.
    PatientFactsDiffer,
    /// The data set names no SOP Class, SOP Instance, Study or Series Instance UID.
    MissingUid,
    /// One of these is not a UID.
    IllegalUid,
    /// An identifying value breaks its bounds.
    IllegalValue,
    /// It is no data set in the transfer syntax that was agreed on.
    Unreadable,
    /// The data set's UIDs are not those of the command it came with.
    DisagreesWithCommand,
}

impl QuarantineReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameUidOtherContent => "same_uid_other_content",
            Self::StudyOfAnotherPatient => "study_of_another_patient",
            Self::SeriesOfAnotherStudy => "series_of_another_study",
            Self::StudyWithdrawn => "study_withdrawn",
            Self::PatientFactsDiffer => "patient_facts_differ",
            Self::MissingUid => "missing_uid",
            Self::IllegalUid => "illegal_uid",
            Self::IllegalValue => "illegal_value",
            Self::Unreadable => "unreadable",
            Self::DisagreesWithCommand => "disagrees_with_command",
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
            Self::PatientFactsDiffer => "birth date or sex of the patient differ from the other objects of the study",
            Self::MissingUid => "the data set lacks a UID that it is filed by",
            Self::IllegalUid => "a UID of the data set breaks the rules",
            Self::IllegalValue => "an identifying value of the data set is too long",
            Self::Unreadable => "it is not a data set in the transfer syntax that was agreed on",
            Self::DisagreesWithCommand => "the UIDs of the data set are not those that the sender announced",
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
    #[error("there is no such object in quarantine")]
    NotInQuarantine,
    #[error("somebody has decided already")]
    AlreadyDecided,
    #[error("give a reason of at most {limit} characters")]
    ReasonMissing { limit: usize },
    #[error("it stays in quarantine")]
    NotReleasable(#[source] NotReleasable),
    /// The index could not be written or the node is stopping; whether the facts were committed is not known.
    #[error("the object was not filed; send it again")]
    NotFiled,
}

impl IngestError {
    /// Why the object is kept for the office, if its own bytes are the cause.
    pub(crate) fn unfileable(&self) -> Option<QuarantineReason> {
        match self {
            Self::NotADataSet(_) => Some(QuarantineReason::Unreadable),
            Self::Unfileable(FactsError::Missing { .. }) => Some(QuarantineReason::MissingUid),
            Self::Unfileable(FactsError::Malformed { .. }) => Some(QuarantineReason::IllegalUid),
            Self::TooLong { .. } => Some(QuarantineReason::IllegalValue),
            Self::SopClassMismatch | Self::SopInstanceMismatch => Some(QuarantineReason::DisagreesWithCommand),
            _ => None,
        }
    }
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
