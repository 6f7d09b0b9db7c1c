//! The job of a request, and the reconciler beside it.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_database::DatabaseError;
use dokuei_domain::DeliveryId;
use dokuei_jobs::{Handler, JobContext, JobRow, Outcome, Periodic};
use serde::Deserialize;
use uuid::Uuid;

use super::{Commitments, QUEUE, asking};

/// Requests that one run of the reconciler looks at; the next run takes the rest.
const AT_ONCE: u32 = 500;

#[derive(Deserialize)]
struct Payload {
    commitment: Uuid,
}

impl Commitments {
    pub fn handlers(self: &Arc<Self>) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(Commit(Arc::clone(self))), Arc::new(Ask(Arc::clone(self)))]
    }

    pub fn periodics(self: &Arc<Self>) -> Vec<Arc<dyn Periodic>> {
        vec![Arc::new(Reconcile(Arc::clone(self)))]
    }

    /// Says that the associations of this process are still open, and gives a job to every unfinished request that has none, of others and of our own.
    async fn reconcile(&self) -> Result<(), DatabaseError> {
        self.enqueue_questions(AT_ONCE).await?;
        let open: Vec<Uuid> = self.lock_links().keys().copied().collect();
        let missing = self.database.read().await?.commitments_without_job(QUEUE, AT_ONCE).await?;
        if open.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for id in open {
            tx.commitment_link(id, &self.node, self.link_end(now, true)).await?;
        }
        for id in missing {
            self.enqueue(&mut tx, id, now).await?;
        }
        tx.commit().await
    }
}

struct Commit(Arc<Commitments>);

#[async_trait]
impl Handler for Commit {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    async fn run(&self, job: &JobRow, context: &JobContext) -> Outcome {
        let Ok(Payload { commitment }) = serde_json::from_str(&job.payload) else {
            return Outcome::Fail { reason: "the job does not say which commitment".to_owned() };
        };
        self.0.work_on(commitment, context).await.unwrap_or_else(|error| Outcome::retry(error.chain()))
    }
}

#[derive(Deserialize)]
struct Question {
    delivery: DeliveryId,
}

struct Ask(Arc<Commitments>);

#[async_trait]
impl Handler for Ask {
    fn queue(&self) -> &'static str {
        asking::QUEUE
    }

    async fn run(&self, job: &JobRow, context: &JobContext) -> Outcome {
        let Ok(Question { delivery }) = serde_json::from_str(&job.payload) else {
            return Outcome::Fail { reason: "the job does not say which delivery".to_owned() };
        };
        self.0.ask(delivery, context).await.unwrap_or_else(|error| Outcome::retry(error.chain()))
    }
}

struct Reconcile(Arc<Commitments>);

#[async_trait]
impl Periodic for Reconcile {
    fn name(&self) -> &'static str {
        "storage_commitments"
    }

    fn every_seconds(&self) -> i64 {
        super::LINK_SECONDS / 3
    }

    async fn run(&self) -> Result<(), String> {
        self.0.reconcile().await.map_err(|error| error.chain())
    }
}
