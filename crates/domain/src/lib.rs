//! The vocabulary of Dokuei: identifiers, people, patients, study facts, roles, the workitem state machine and the events by which use
//! cases tell each other what happened.
//!
//! What it is not: it does no I/O, has no async and owns no clock. Time and randomness come in through [`Ambient`]. It knows neither SQL
//! nor DICOM encodings; `dataset` turns bytes into [`facts::InstanceFacts`], `database` turns rows into these types.
//!
//! To add the next thing: one file per notion, a constructor that refuses what is not valid, and a test beside it.

pub mod actor;
pub mod ae_title;
pub mod ambient;
pub mod event;
pub mod facts;
pub mod hours;
pub mod id;
pub mod name_search;
pub mod patient;
pub mod person_name;
pub mod priority;
pub mod uid;
pub mod workitem;

pub use actor::{Actor, Role};
pub use ae_title::AeTitle;
pub use ambient::{Ambient, Clock, Entropy, Timestamp};
pub use id::{
    AccountId, BlobId, CaseId, DeliveryId, FacilityId, InstanceId, JobId, PatientPk, ReportVersionId, SeriesPk, StudyPk,
};
pub use person_name::PersonName;
pub use priority::Priority;
pub use uid::{SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid, Uid};
