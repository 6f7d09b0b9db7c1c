//! What belongs to the node and to no use case: whether it can work, the jobs that were given up, and housekeeping.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_access::Access;
use dokuei_database::{AuditEvent, AuditOutcome, Database};
use dokuei_dimse::NodeTls;
use dokuei_domain::{Actor, Ambient, JobId};
use dokuei_image_store::ImageStore;
use dokuei_jobs::Periodic;
use dokuei_web::{DeadJob, Operations};

pub(crate) struct NodeOperations {
    pub(crate) database: Database,
    pub(crate) store: ImageStore,
    pub(crate) ambient: Ambient,
    pub(crate) tls: Option<Arc<NodeTls>>,
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

    fn attention(&self) -> Vec<&'static str> {
        let tls = self.tls.as_ref().and_then(|tls| tls.trouble());
        tls.map(|_| "DICOM over TLS: `dokuei doctor` and the log say why").into_iter().collect()
    }

    async fn dead_jobs(&self, _: &Actor) -> Result<Vec<DeadJob>, String> {
        let listed = async { self.database.read().await?.job_list(1000).await };
        let jobs = listed.await.map_err(|error| error.chain())?;
        Ok(jobs
            .into_iter()
            .filter(|job| job.state == "dead")
            .map(|job| DeadJob {
                id: job.id,
                queue: job.queue,
                ended_at: Some(job.run_at),
                error: job.last_error.unwrap_or_default(),
            })
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

/// Forgets what nobody needs any more: finished jobs of a week ago, ended sessions and used one-time tokens.
pub(crate) struct Housekeeping {
    pub(crate) database: Database,
    pub(crate) access: Arc<Access>,
    pub(crate) ambient: Ambient,
}

const FINISHED_JOBS_SECONDS: i64 = 7 * 24 * 3600;

#[async_trait]
impl Periodic for Housekeeping {
    fn name(&self) -> &'static str {
        "housekeeping"
    }

    fn every_seconds(&self) -> i64 {
        3600
    }

    async fn run(&self) -> Result<(), String> {
        let purged = async {
            let mut tx = self.database.write().await?;
            tx.job_purge(self.ambient.now().plus_seconds(-FINISHED_JOBS_SECONDS)).await?;
            tx.commit().await
        };
        purged.await.map_err(|error| error.chain())?;
        self.access.purge().await.map_err(|error| error.to_string())
    }
}
