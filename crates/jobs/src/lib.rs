//! Durable background work: claims rows of the job table, runs their handlers under a lease, retries with back-off, and keeps a dead list.
//!
//! A job is a row written in the transaction of the fact that causes it (`WriteTx::job_enqueue`). A claim is fenced by the row's attempt number: a worker
//! that lost its lease cannot finish the job. Handlers run at least once and are idempotent. No transaction is open while a handler runs.
//! Beside the queues stand [`Periodic`] reconcilers: no input, may run at any time, so that a lost event is found.
//!
//! What it is not: it knows no handler and no DICOM. To add work: implement [`Handler`] in the use case's crate and hand it to [`Runner::new`] in the binary.

mod backoff;
mod runner;

pub use backoff::Backoff;
pub use dokuei_database::{JobRow, NewJob};
pub use runner::{JobContext, Runner, RunnerSettings};

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Try again, after the queue's back-off or the time given. The reason is for a person.
    Retry {
        after_seconds: Option<i64>,
        reason: String,
    },
    /// No use in trying again: goes to the dead list with its reason.
    Fail {
        reason: String,
    },
}

impl Outcome {
    /// A retry after the usual back-off.
    pub fn retry(reason: impl ToString) -> Self {
        Self::Retry { after_seconds: None, reason: reason.to_string() }
    }
}

/// Runs the jobs of one queue. Called at least once for each job; a second run of the same job must change nothing.
#[async_trait::async_trait]
pub trait Handler: Send + Sync {
    fn queue(&self) -> &'static str;
    async fn run(&self, job: &JobRow, context: &JobContext) -> Outcome;
}

/// A reconciler on a timer. The error is for the log.
#[async_trait::async_trait]
pub trait Periodic: Send + Sync {
    fn name(&self) -> &'static str;
    fn every_seconds(&self) -> i64;
    async fn run(&self) -> Result<(), String>;
}
