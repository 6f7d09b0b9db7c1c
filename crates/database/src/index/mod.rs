//! The index of what was received: patients, studies, series, instances, each in its room. What decides where a new object goes is read in `filing`.
//!
//! What a rejection note hides is left out of every list and look-up here; who must see it all the same (the decision on a further copy, custody of blobs)
//! asks for it by a name that says so.

pub(crate) mod instances;
pub(crate) mod patients;
pub(crate) mod series;
pub(crate) mod studies;

pub use instances::{InstanceRow, KnownInstance, NewInstance};
pub use patients::PatientRow;
pub use series::SeriesRow;
pub use studies::{StudyReceived, StudyRow, StudyState};

pub(crate) use patients::patient_row;

pub(crate) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
