//! SQLite and PostgreSQL behind one set of functions; the only crate that sees SQL.
//!
//! A [`Database`] gives a [`ReadTx`] or a [`WriteTx`]; the repositories are `impl` blocks on these, one file per part of the schema, object first and verb
//! second (`study_find`, `job_claim`). Every write goes through one [`WriteTx`] that use cases share, so that a fact, its audit row and the work it causes
//! commit together.
//!
//! It decides nothing: a guarded update reports how many rows it changed and the use case says what that means. Absent rows are `None`; a stored value that
//! does not convert is an *inconsistency*.
//!
//! To add a repository function: write the statement in the file's `statements!` block in SQL that both databases understand (`$1` parameters, integers for
//! times, no functions of the clock), and the function below it. Tests prepare every listed statement on both databases; the contract suite in
//! `src/tests` runs on both. To change the schema: add a migration of the same number to both folders.

mod accounts;
mod approvals;
mod audit;
mod bench_seed;
mod case_entries;
mod cases;
mod certificates;
mod commitments;
mod connect;
mod custody;
mod damages;
mod deliveries;
mod delivery_commitments;
mod drafts;
mod error;
mod expected;
mod facilities;
mod filing;
mod filing_known;
mod holds;
mod index;
mod jobs;
mod patient_names;
mod peer_certificates;
mod procedure_steps;
mod quarantine;
mod rejections;
mod reports;
mod requests;
mod sessions;
mod sqlite_writer;
mod statements;
mod transaction;
mod value;
mod workitems;

pub use accounts::{AccountRow, ReaderRow};
pub use approvals::ApprovalRow;
pub use audit::{AuditEvent, AuditOutcome, AuditRow};
pub use case_entries::{CaseEntryRow, CaseReportRow, CaseSelection, CaseStudyRow, OpenWorkitemRow, ReaderSelection};
pub use cases::{CaseHead, CaseImages, NewCase, StudyForCase};
pub use certificates::CertificateRow;
pub use commitments::{
    CommitmentRow, CommitmentState, CommitmentTargetRow, CommittedInstance, NewCommitment, commitment_job_key,
};
pub use connect::Database;
pub use custody::{CustodyBlob, CustodyKind, CustodyTaskRow, NotCopied, QuarantineToKeep};
pub use damages::{BlobDamageRow, BlobPlace, DamageCounts, DamageKind, DamageState, NewBlobDamage};
pub use deliveries::{
    AttemptOutcome, AttemptRow, AttemptStart, BegunAttempt, DeliveryRow, DeliverySelection, DeliveryState,
    DeliveryTargetRow, NewAttempt, delivery_job_key,
};
pub use delivery_commitments::DeliveryCommitmentRow;
pub use drafts::{DraftRow, ReportTexts};
pub use error::{DatabaseError, DatabaseErrorKind};
pub use expected::Completeness;
pub use facilities::{FacilityRow, PeerRole, PeerRow, ReturnTargetRow};
pub use filing::{BirthDateAndSex, FilingContext, FilingKey, KnownSeries, KnownStudy, ProvisionalOwner, StudyOwner};
pub use filing_known::FurtherInstance;
pub use holds::{HoldDecision, NamedVersion, NewStudyHold, StudyHoldRow};
pub use index::{InstanceRow, KnownInstance, NewInstance, PatientRow, SeriesRow, StudyReceived, StudyRow, StudyState};
pub use jobs::{JobRow, NewJob};
pub use patient_names::StudySelection;
pub use peer_certificates::{FacilityTransport, PeerCertificateRow};
pub use procedure_steps::{NewProcedureStep, ProcedureStepRow};
pub use quarantine::{NewQuarantinedObject, QuarantineInsertion, QuarantineRow, QuarantineState, RefusedObjectsRow};
pub use rejections::MissedRejection;
pub use reports::{
    NewReportVersion, ReportFileKind, ReportFileRow, ReportOpeningRow, ReportVersionRow, RestoredCase, RestoredWorkitem,
};
pub use requests::ReadingRequestRow;
pub use sessions::{FailureKey, SessionRow};
pub use transaction::{ReadTx, WriteTx};
pub use workitems::{ReaderLoadRow, WorkitemRow};

/// Every statement of the crate.
#[cfg(test)]
const ALL_STATEMENTS: &[&[statements::Statement]] = &[
    audit::STATEMENTS,
    bench_seed::STATEMENTS,
    filing::STATEMENTS,
    filing_known::STATEMENTS,
    holds::STATEMENTS,
    rejections::STATEMENTS,
    index::patients::STATEMENTS,
    index::studies::STATEMENTS,
    index::series::STATEMENTS,
    index::instances::STATEMENTS,
    quarantine::STATEMENTS,
    jobs::STATEMENTS,
    accounts::STATEMENTS,
    approvals::STATEMENTS,
    certificates::STATEMENTS,
    facilities::STATEMENTS,
    peer_certificates::STATEMENTS,
    sessions::STATEMENTS,
    cases::STATEMENTS,
    case_entries::STATEMENTS,
    workitems::STATEMENTS,
    requests::STATEMENTS,
    drafts::STATEMENTS,
    reports::STATEMENTS,
    custody::STATEMENTS,
    damages::STATEMENTS,
    deliveries::STATEMENTS,
    commitments::STATEMENTS,
    delivery_commitments::STATEMENTS,
    expected::STATEMENTS,
    procedure_steps::STATEMENTS,
    patient_names::STATEMENTS,
];

#[cfg(test)]
mod tests;
