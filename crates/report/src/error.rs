//! Why something about a report was refused or failed.

use dokuei_access::{Denied, SignInError};
use dokuei_database::{AuditOutcome, DatabaseError};
use dokuei_dataset::objects::ObjectError;
use dokuei_image_store::StoreError;
use dokuei_report_pdf::ReportPdfError;

use crate::{Draft, ReportFileKind, manifest::ManifestError, signature::SignatureError};

/// What an adapter does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportErrorKind {
    /// Answered like something that does not exist.
    Denied,
    NotFound,
    /// The state of the case does not allow it.
    Refused,
    /// Somebody else saved meanwhile.
    Conflict,
    /// What was typed must be changed first.
    Invalid,
    /// Password or code.
    Credentials,
    /// May work later with nothing changed.
    Unavailable,
    /// A fault of ours, or damaged data: a person has to look.
    Internal,
}

/// An error of this crate. Nothing was changed, except where the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("there is no such case, report or delivery")]
    NotFound,
    #[error("the facility has withdrawn the study")]
    Withdrawn,
    #[error(
        "the case is not yours any more: the claim has expired or was given back; claim it again, the draft is kept"
    )]
    ClaimLost,
    /// Another editor saved over the version this one began with.
    #[error("the draft was changed elsewhere meanwhile (version {})", stored.version)]
    Conflict { stored: Box<Draft> },
    #[error("the report has no text: write findings or an impression")]
    Empty,
    #[error("{field} is too long, shorten it (the limit is {limit})")]
    TooLong { field: &'static str, limit: usize },
    #[error("{field} contains the control character U+{:04X}, remove it", u32::from(*character))]
    ControlCharacter { field: &'static str, character: char },
    /// `expected` is known when the facility said how many will come; otherwise images are still arriving.
    #[error("the study is incomplete: {received} of {} images; confirm to sign nevertheless", expected.map_or_else(|| "an unknown number of".to_owned(), |expected| expected.to_string()))]
    IncompleteNotConfirmed { received: i64, expected: Option<i64> },
    #[error("the case has no images to report on")]
    NoImages,
    #[error("account, password or code is wrong")]
    WrongCredentials,
    #[error("this code has been used already; wait for the next one")]
    ReplayedCode,
    #[error("too many failed attempts; try again in {retry_after_seconds} s")]
    TooManyAttempts { retry_after_seconds: i64 },
    /// No certificate, an expired one, a disabled account, or the check itself failed.
    #[error(transparent)]
    CannotUnlock(SignInError),
    #[error("character {character} (U+{:04X}) in {field} cannot be printed, write it with another character", u32::from(*character))]
    MissingGlyph { character: char, field: &'static str },
    #[error("invisible character U+{:04X} in {field} cannot be printed, remove it", u32::from(*character))]
    InvisibleCharacter { character: char, field: &'static str },
    #[error("laying out the page took too long; try again")]
    PrintTimedOut,
    #[error("cannot print the report")]
    Print(#[source] ReportPdfError),
    #[error("cannot make the DICOM object of the report")]
    Object(#[source] ObjectError),
    #[error("cannot sign the report")]
    Signature(#[source] SignatureError),
    #[error("cannot read or write the report's manifest")]
    Manifest(#[source] ManifestError),
    /// The frozen file is not what was signed.
    #[error("the stored {} of the report is damaged; restore it from a backup", kind.as_str())]
    Damaged { kind: ReportFileKind },
    #[error("images kept arriving while the report was being signed; sign again")]
    ImagesKeptArriving,
    /// The version may or may not have been stored.
    #[error("whether the report was signed is not known; look at the case before signing again")]
    OutcomeUnknown(#[source] DatabaseError),
    #[error("the delivery is accepted already; there is nothing to send")]
    AlreadyAccepted,
    #[error("a fault of this program: {0}")]
    Internal(&'static str),
    #[error("cannot store or read the report's files")]
    Store(#[from] StoreError),
    #[error("cannot read or change what is stored about reports")]
    Database(#[from] DatabaseError),
}

impl ReportError {
    pub fn kind(&self) -> ReportErrorKind {
        match self {
            Self::Denied(_) => ReportErrorKind::Denied,
            Self::NotFound => ReportErrorKind::NotFound,
            Self::Withdrawn
            | Self::ClaimLost
            | Self::IncompleteNotConfirmed { .. }
            | Self::NoImages
            | Self::ImagesKeptArriving
            | Self::AlreadyAccepted => ReportErrorKind::Refused,
            Self::Conflict { .. } => ReportErrorKind::Conflict,
            Self::Empty
            | Self::TooLong { .. }
            | Self::ControlCharacter { .. }
            | Self::MissingGlyph { .. }
            | Self::InvisibleCharacter { .. } => ReportErrorKind::Invalid,
            Self::CannotUnlock(SignInError::Database(_)) => ReportErrorKind::Unavailable,
            Self::CannotUnlock(SignInError::Crypto(_)) => ReportErrorKind::Internal,
            Self::WrongCredentials | Self::ReplayedCode | Self::TooManyAttempts { .. } | Self::CannotUnlock(_) => {
                ReportErrorKind::Credentials
            }
            Self::PrintTimedOut | Self::OutcomeUnknown(_) | Self::Store(_) | Self::Database(_) => {
                ReportErrorKind::Unavailable
            }
            Self::Print(_)
            | Self::Object(_)
            | Self::Signature(_)
            | Self::Manifest(_)
            | Self::Damaged { .. }
            | Self::Internal(_) => ReportErrorKind::Internal,
        }
    }

    pub(crate) fn audit_outcome(&self) -> AuditOutcome {
        match self.kind() {
            ReportErrorKind::Unavailable | ReportErrorKind::Internal => AuditOutcome::Failed,
            _ => AuditOutcome::Refused,
        }
    }

    /// With its causes in one line, for logs.
    pub fn chain(&self) -> String {
        with_causes(self)
    }
}

impl From<SignInError> for ReportError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::WrongCredentials => Self::WrongCredentials,
            SignInError::ReplayedCode => Self::ReplayedCode,
            SignInError::TooManyAttempts { retry_after_seconds } => Self::TooManyAttempts { retry_after_seconds },
            other => Self::CannotUnlock(other),
        }
    }
}

impl From<ReportPdfError> for ReportError {
    fn from(error: ReportPdfError) -> Self {
        match error {
            ReportPdfError::MissingGlyph { character, field } => Self::MissingGlyph { character, field },
            ReportPdfError::InvisibleCharacter { character, field } => Self::InvisibleCharacter { character, field },
            ReportPdfError::TooLong { field, limit } => Self::TooLong { field, limit },
            other => Self::Print(other),
        }
    }
}

impl From<ObjectError> for ReportError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::EmptyReport => Self::Empty,
            ObjectError::NoEvidence => Self::NoImages,
            other => Self::Object(other),
        }
    }
}

impl From<SignatureError> for ReportError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<ManifestError> for ReportError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

/// An error and its causes, separated by colons.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}
