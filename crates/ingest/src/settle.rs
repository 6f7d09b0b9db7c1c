//! When a study is complete enough to be read.
//!
//! DICOM says nothing of the kind, so it is concluded from evidence; `completeness.rs` weighs it. What decided is kept with the study and in the audit trail. A
//! later image reopens reception; it settles again and `worklist` is told again.

use std::sync::Arc;

use dokuei_database::{AuditEvent, AuditOutcome, DatabaseError, NewJob, StudyState};
use dokuei_domain::{Actor, JobId, StudyPk, Timestamp, event::Event};
use dokuei_jobs::{Handler, JobContext, JobRow, Outcome, Periodic};

use crate::{
    Ingest,
    committer::settle_job,
    completeness::{Reception, Verdict, judge},
    facts::KeepQuarantine,
    receptions::Receptions,
    rejection::RejectionReconciler,
};

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
        vec![
            Arc::new(SettleReconciler(Arc::clone(self))),
            Arc::new(Receptions(Arc::clone(self))),
            Arc::new(StagingSweep(Arc::clone(self))),
            Arc::new(crate::search::NameTokens(Arc::clone(self))),
            Arc::new(KeepQuarantine(Arc::clone(self))),
            Arc::new(RejectionReconciler(Arc::clone(self))),
        ]
    }

    pub(crate) async fn arm_settle(&self, studies: &[StudyPk]) -> Result<(), DatabaseError> {
        if studies.is_empty() {
            return Ok(());
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for study in studies {
            tx.reception_end(*study, &self.node).await?;
            // What is listed may be complete now; otherwise there is nothing to see before the quiet time has passed.
            let wait = if tx.study_is_expected(*study).await? { 0 } else { self.settings.settle_quiet_seconds };
            let id = JobId(self.ambient.new_uuid());
            tx.job_enqueue(settle_job(id, *study, now, now.plus_seconds(wait))).await?;
        }
        tx.commit().await
    }

    /// Settles the study if the evidence is enough; otherwise says when to look again.
    async fn settle(&self, study: StudyPk) -> Result<(), DatabaseError> {
        self.filer.disarm(study);
        let now = self.ambient.now();
        let mut read = self.database.read().await?;
        let Some(row) = read.study_by_pk(study).await? else { return Ok(()) };
        if row.state != StudyState::Receiving {
            return Ok(());
        }
        let completeness = read.study_completeness(&row.facility, &row.uid).await?;
        drop(read);
        let reception = Reception {
            last_received_at: row.last_received_at,
            declared: row.declared_complete_at.is_some(),
            under_way: self.is_under_way(study) || self.is_under_way_elsewhere(study).await?,
            completeness,
            quiet_seconds: self.settings.settle_quiet_seconds,
            patience_seconds: self.settings.settle_patience_seconds,
        };
        match judge(&reception, now) {
            Verdict::Settle(evidence) => {
                // Guarded by what was looked at: an image that came meanwhile arms the next look itself.
                self.settle_now(study, row.last_received_at, now, &Actor::System("settle"), &evidence).await.map(drop)
            }
            Verdict::LookAgain(at) => {
                let mut tx = self.database.write().await?;
                if completeness.listed > 0 {
                    tx.study_expect(study, &completeness).await?;
                }
                tx.job_enqueue(settle_job(JobId(self.ambient.new_uuid()), study, now, at)).await?;
                tx.commit().await
            }
        }
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
        let completeness = tx.study_completeness(&row.facility, &row.uid).await?;
        tx.study_expect(study, &completeness).await?;
        tx.study_set_evidence(study, evidence).await?;
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
