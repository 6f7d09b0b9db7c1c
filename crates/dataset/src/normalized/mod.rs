//! The data sets of the normalized services this node takes part in: what arrives is read into plain structs, what leaves is written, in either of the two
//! little endian encodings (a context of these services has no other).
//!
//! What is read is bounded before it is kept: references are counted, values have a longest length, and elements that are not named here are skipped unread.
//! Texts that only say something to people are not read at all, so no character set is involved.
//!
//! To add one: a file with its struct, read by a `walk::Visitor` and, if we send it, written with `put::Put`.

mod availability;
mod commitment;
mod procedure_step;
mod put;
mod walk;

pub use availability::{AvailabilityNotification, ListedInstance};
pub use commitment::{CommitmentRequest, CommitmentResult, FailedReference};
pub use procedure_step::{ProcedureStepAttributes, ProcedureStepState};

use dokuei_domain::uid::UidError;

use crate::{tag::Tag, tokenizer::TokenError};

/// Storage Commitment Push Model SOP Class (PS3.4 J.3).
pub const STORAGE_COMMITMENT_PUSH: &str = "1.2.840.10008.1.20.1";
/// Its only instance, well known (PS3.4 J.3.5).
pub const STORAGE_COMMITMENT_PUSH_INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Modality Performed Procedure Step SOP Class (PS3.4 F.7).
pub const MODALITY_PERFORMED_PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";
/// Instance Availability Notification SOP Class (PS3.4 R.3).
pub const INSTANCE_AVAILABILITY_NOTIFICATION: &str = "1.2.840.10008.5.1.4.33";

/// Most objects that one data set may name. A study of 24,000 images fits four times.
pub const MOST_REFERENCES: usize = 100_000;

/// Why a data set was not understood. Says which element, never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NormalizedError {
    #[error("the data set is not what its transfer syntax says")]
    Structure(#[from] TokenError),
    #[error("the transfer syntax is not a plain little endian one")]
    TransferSyntax,
    #[error("{0} is missing")]
    Missing(Tag),
    #[error("{0} has no value")]
    Empty(Tag),
    #[error("{0} holds a value that it cannot have")]
    Invalid(Tag),
    #[error("{0} holds something that is no UID")]
    NotAUid(Tag, #[source] UidError),
    #[error("{0} is there twice")]
    Repeated(Tag),
    #[error("more than {limit} objects are listed")]
    TooMany { limit: usize },
}
