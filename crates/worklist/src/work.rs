//! What happens without anybody asking: the events that the worklist listens to, and the reconcilers beside them.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_domain::event::Event;
use dokuei_jobs::{Handler, JobContext, JobRow, Outcome, Periodic};

use crate::{Worklist, WorklistError};

impl Worklist {
    /// The handlers of `study_settled`, `study_withdrawn` and `case_needs_assignment`.
    pub fn handlers(self: &Arc<Self>) -> Vec<Arc<dyn Handler>> {
        let queue = |queue| Arc::new(Listener { worklist: Arc::clone(self), queue }) as Arc<dyn Handler>;
        ["study_settled", "study_withdrawn", "case_needs_assignment"].map(queue).into()
    }

    /// Expire claims, choose readers for whom none was chosen, and find what events have missed.
    pub fn periodics(self: &Arc<Self>) -> Vec<Arc<dyn Periodic>> {
        let reconciler = |task| Arc::new(Reconciler { worklist: Arc::clone(self), task }) as Arc<dyn Periodic>;
        [Task::ExpireClaims, Task::AssignWaiting, Task::CatchUp].map(reconciler).into()
    }
}

struct Listener {
    worklist: Arc<Worklist>,
    queue: &'static str,
}

#[async_trait]
impl Handler for Listener {
    fn queue(&self) -> &'static str {
        self.queue
    }

    async fn run(&self, job: &JobRow, _: &JobContext) -> Outcome {
        let event: Event = match serde_json::from_str(&job.payload) {
            Ok(event) => event,
            Err(error) => return Outcome::Fail { reason: format!("the event cannot be read: {error}") },
        };
        let done = match event {
            Event::StudySettled { study, .. } => self.worklist.study_settled(study).await,
            Event::StudyWithdrawn { study, .. } => self.worklist.study_withdrawn(study).await,
            Event::CaseNeedsAssignment { case } => self.worklist.assign_waiting(case).await,
            other => return Outcome::Fail { reason: format!("{} is not for the worklist", other.queue()) },
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(WorklistError::Database(error)) => Outcome::retry(error.chain()),
            Err(refusal) => Outcome::Fail { reason: refusal.to_string() },
        }
    }
}

#[derive(Clone, Copy)]
enum Task {
    ExpireClaims,
    AssignWaiting,
    CatchUp,
}

struct Reconciler {
    worklist: Arc<Worklist>,
    task: Task,
}

#[async_trait]
impl Periodic for Reconciler {
    fn name(&self) -> &'static str {
        match self.task {
            Task::ExpireClaims => "expire_claims",
            Task::AssignWaiting => "assign_waiting_cases",
            Task::CatchUp => "catch_up_cases",
        }
    }

    fn every_seconds(&self) -> i64 {
        match self.task {
            Task::ExpireClaims => 20,
            Task::AssignWaiting | Task::CatchUp => 60,
        }
    }

    async fn run(&self) -> Result<(), String> {
        let done = match self.task {
            Task::ExpireClaims => self.worklist.expire_claims().await.map(drop),
            Task::AssignWaiting => self.worklist.assign_all_waiting().await,
            Task::CatchUp => self.worklist.catch_up().await,
        };
        done.map_err(|error| error.chain())
    }
}
