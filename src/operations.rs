//! What the pages show of the node itself: whether it can work, and the jobs that were given up.

use async_trait::async_trait;
use dokuei_database::{AuditEvent, AuditOutcome, Database};
use dokuei_domain::{Actor, Ambient, JobId};
use dokuei_image_store::ImageStore;
use dokuei_web::{DeadJob, Operations};

pub(crate) struct NodeOperations {
    pub(crate) database: Database,
    pub(crate) store: ImageStore,
    pub(crate) ambient: Ambient,
}

#[async_trait]
impl Operations for NodeOperations {
    async fn ready(&self) -> Result<(), String> {
        self.database.read().await.map_err(|error| error.chain())?;
        match self.store.free_bytes().await {
            Some(0) => Err("the image store is full".to_owned()),
            _ => Ok(()),
        }
    }

    async fn dead_jobs(&self, _: &Actor) -> Result<Vec<DeadJob>, String> {
        let listed = async { self.database.read().await?.job_list(1000).await };
        let jobs = listed.await.map_err(|error| error.chain())?;
        Ok(jobs
            .into_iter()
            .filter(|job| job.state == "dead")
            .map(|job| DeadJob { id: job.id, queue: job.queue, ended_at: Some(job.run_at), error: job.last_error.unwrap_or_default() })
            .collect())
    }

    async fn retry_dead_job(&self, actor: &Actor, job: JobId) -> Result<bool, String> {
        let now = self.ambient.now();
        let revived = async {
            let mut tx = self.database.write().await?;
            let revived = tx.job_revive(job, now).await?;
            tx.audit(AuditEvent::new(now, actor, "job.retry", AuditOutcome::Success).subject(job));
            tx.commit().await?;
            Ok::<_, dokuei_database::DatabaseError>(revived)
        };
        revived.await.map_err(|error| error.chain())
    }
}
