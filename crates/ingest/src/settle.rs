//! When a study is complete enough to be read.
//!
//! DICOM says nothing of the kind, so it is concluded: nothing came for the quiet time and no association that sent parts of it is open, or the facility
//! says 送信完了. A later image reopens reception; it settles again and `worklist` is told again.

use std::sync::Arc;

use dokuei_database::{AuditEvent, AuditOutcome, DatabaseError, NewJob, StudyState};
use dokuei_domain::{Actor, JobId, StudyPk, Timestamp, event::Event};
use dokuei_jobs::{Handler, JobContext, JobRow, Outcome, Periodic};

use crate::{Ingest, committer::settle_job};

pub(crate) const QUEUE: &str = "settle_study";

#[derive(serde::Deserialize)]
struct Payload {
    study: StudyPk,
}

impl Ingest {
    /// The background work of reception.
    pub fn handlers(self: &Arc<Self>) -> Vec<Arc<dyn Handler>> {
        vec![Arc::new(Settle(Arc::clone(self)))]
    }

    pub fn periodics(self: &Arc<Self>) -> Vec<Arc<dyn Periodic>> {
        vec![Arc::new(SettleReconciler(Arc::clone(self))), Arc::new(StagingSweep(Arc::clone(self)))]
    }

    pub(crate) async fn arm_settle(&self, studies: &[StudyPk]) -> Result<(), DatabaseError> {
        if studies.is_empty() {
            return Ok(());
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for study in studies {
            let id = JobId(self.ambient.new_uuid());
            tx.job_enqueue(settle_job(id, *study, now, now.plus_seconds(self.settings.settle_quiet_seconds))).await?;
        }
        tx.commit().await
    }

    /// Settles the study if it is quiet; otherwise says when to look again.
    async fn settle(&self, study: StudyPk) -> Result<(), DatabaseError> {
        let now = self.ambient.now();
        let quiet = self.settings.settle_quiet_seconds;
        let Some(row) = self.database.read().await?.study_by_pk(study).await? else { return Ok(()) };
        if row.state != StudyState::Receiving {
            return Ok(());
        }
        let due = row.last_received_at.plus_seconds(quiet);
        let under_way = self.is_under_way(study);
        if due > now || under_way {
            let again = if under_way { now.plus_seconds(quiet.max(1)) } else { due };
            let mut tx = self.database.write().await?;
            tx.job_enqueue(settle_job(JobId(self.ambient.new_uuid()), study, now, again)).await?;
            return tx.commit().await;
        }
        self.settle_now(study, now.plus_seconds(-quiet), now, &Actor::System("settle"), "no image for the quiet time")
            .await
            .map(drop)
    }

    /// Settles and tells `worklist`, in one transaction. `false` when something came after `quiet_since`.
    pub(crate) async fn settle_now(
        &self,
        study: StudyPk,
        quiet_since: Timestamp,
        now: Timestamp,
        actor: &Actor,
        evidence: &str,
    ) -> Result<bool, DatabaseError> {
        let mut tx = self.database.write().await?;
        if !tx.study_settle(study, quiet_since, now).await? {
            return Ok(false);
        }
        let Some(row) = tx.study_by_pk(study).await? else { return Ok(false) };
        let event = Event::StudySettled { study, facility: row.facility.clone() };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(study)).await?;
        let audit = AuditEvent::new(now, actor, "study.settle", AuditOutcome::Success);
        tx.audit(
            audit
                .facility(&row.facility)
                .subject(&row.uid)
                .detail(format!("{} instances; {evidence}", row.instance_count)),
        );
        tx.commit().await?;
        tracing::info!(study.uid = %row.uid, facility.id = %row.facility, study.instances = row.instance_count, "study settled");
        Ok(true)
    }
}

struct Settle(Arc<Ingest>);

#[async_trait::async_trait]
impl Handler for Settle {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    async fn run(&self, job: &JobRow, _: &JobContext) -> Outcome {
        let payload: Payload = match serde_json::from_str(&job.payload) {
            Ok(payload) => payload,
            Err(error) => return Outcome::Fail { reason: format!("the payload does not parse: {error}") },
        };
        match self.0.settle(payload.study).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::retry(error.chain()),
        }
    }
}

/// Arms studies that receive nothing any more and for which no job waits.
struct SettleReconciler(Arc<Ingest>);

#[async_trait::async_trait]
impl Periodic for SettleReconciler {
    fn name(&self) -> &'static str {
        "settle"
    }

    fn every_seconds(&self) -> i64 {
        60
    }

    async fn run(&self) -> Result<(), String> {
        let ingest = &self.0;
        let before = ingest.ambient.now().plus_seconds(-ingest.settings.settle_quiet_seconds);
        let found = async { ingest.database.read().await?.studies_unsettled(before, 1000).await };
        let studies = found.await.map_err(|error| error.chain())?;
        for study in studies {
            ingest.settle(study).await.map_err(|error| error.chain())?;
        }
        Ok(())
    }
}

/// Removes what crashes left in staging. Nothing there was ever acknowledged.
struct StagingSweep(Arc<Ingest>);

#[async_trait::async_trait]
impl Periodic for StagingSweep {
    fn name(&self) -> &'static str {
        "staging_sweep"
    }

    fn every_seconds(&self) -> i64 {
        3600
    }

    async fn run(&self) -> Result<(), String> {
        let a_day = std::time::Duration::from_secs(24 * 3600);
        let removed = self.0.store.sweep_staging(a_day).await.map_err(|error| error.to_string())?;
        if removed > 0 {
            tracing::info!(removed, "removed unfinished objects of an earlier run");
        }
        Ok(())
    }
}
