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

mod audit;
mod connect;
mod error;
mod index;
mod jobs;
mod statements;
mod transaction;
mod value;

pub use audit::{AuditEvent, AuditOutcome, AuditRow};
pub use connect::Database;
pub use error::{DatabaseError, DatabaseErrorKind};
pub use index::{
    InstanceRow, KnownInstance, NewInstance, NewQuarantinedObject, PatientRow, QuarantineRow, SeriesRow, StudyRow, StudyState,
};
pub use jobs::{JobRow, NewJob};
pub use transaction::{ReadTx, WriteTx};

/// Every statement of the crate.
#[cfg(test)]
const ALL_STATEMENTS: &[&[statements::Statement]] = &[audit::STATEMENTS, index::STATEMENTS, jobs::STATEMENTS];

#[cfg(test)]
mod tests;
