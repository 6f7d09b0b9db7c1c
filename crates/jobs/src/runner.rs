//! The worker: claims, runs, extends, finishes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dokuei_database::{Database, DatabaseError, JobRow};
use dokuei_domain::{Ambient, Timestamp};
use futures::FutureExt as _;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{Backoff, Handler, Outcome, Periodic};

/// After a soft stop, how long a handler may go on before its [`JobContext::cancel`] is cancelled.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the runner works.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// Names this process in leases.
    pub worker: String,
    /// Jobs run at the same time. One slow recipient holds one place, not all.
    pub concurrency: usize,
    pub lease_seconds: i64,
    /// The table is looked at at least this often: other processes enqueue too.
    pub poll: Duration,
    pub backoff: Backoff,
}

impl RunnerSettings {
    pub fn new(worker: impl Into<String>) -> Self {
        Self {
            worker: worker.into(),
            concurrency: 16,
            lease_seconds: 20,
            poll: Duration::from_secs(1),
            backoff: Backoff { base_seconds: 2, cap_seconds: 600 },
        }
    }
}

/// What a handler may know of its run.
#[derive(Clone)]
pub struct JobContext {
    pub attempt: i64,
    pub max_attempts: i64,
    /// Cancelled when the node must stop now or the lease was lost; a handler between two steps may look at it.
    pub cancel: CancellationToken,
}

/// Runs handlers and reconcilers until told to stop.
#[derive(Clone)]
pub struct Runner {
    database: Database,
    ambient: Ambient,
    handlers: Arc<HashMap<&'static str, Arc<dyn Handler>>>,
    periodics: Arc<Vec<Arc<dyn Periodic>>>,
    settings: RunnerSettings,
}

impl Runner {
    pub fn new(
        database: Database,
        ambient: Ambient,
        handlers: Vec<Arc<dyn Handler>>,
        periodics: Vec<Arc<dyn Periodic>>,
        settings: RunnerSettings,
    ) -> Self {
        let handlers = handlers.into_iter().map(|handler| (handler.queue(), handler)).collect();
        Self { database, ambient, handlers: Arc::new(handlers), periodics: Arc::new(periodics), settings }
    }

    /// Works until `soft` is cancelled, then lets running jobs finish; `hard` interrupts them. Leases that are still held are given back.
    pub async fn run(&self, soft: CancellationToken, hard: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.concurrency));
        let mut running = JoinSet::new();
        let mut reconcilers = JoinSet::new();
        for periodic in self.periodics.iter() {
            reconcilers.spawn(self.clone().run_periodic(Arc::clone(periodic), soft.clone()));
        }
        let wakeup = self.database.job_wakeup();
        let interrupt = hard.child_token();
        while !soft.is_cancelled() {
            // Registered before the look, so that a commit in between is not missed.
            let mut woken = std::pin::pin!(wakeup.notified());
            woken.as_mut().enable();
            let claimed = match self.claim(places.available_permits()).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::error!(error = error.chain(), "jobs cannot be claimed");
                    Vec::new()
                }
            };
            let found_work = !claimed.is_empty();
            for job in claimed {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let runner = self.clone();
                let cancel = interrupt.child_token();
                running.spawn(async move {
                    runner.run_one(job, cancel).await;
                    drop(place);
                });
            }
            while running.try_join_next().is_some() {}
            if found_work && places.available_permits() > 0 {
                continue;
            }
            tokio::select! {
                () = soft.cancelled() => {}
                () = woken => {}
                _ = running.join_next(), if !running.is_empty() => {}
                () = tokio::time::sleep(self.settings.poll) => {}
            }
        }
        // What can be interrupted is told so in time to record it; what cannot has until the hard stop.
        let told = async {
            tokio::time::sleep(PATIENCE).await;
            interrupt.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = async { while running.join_next().await.is_some() {} } => {}
            () = told => {}
            () = hard.cancelled() => running.abort_all(),
        }
        reconcilers.abort_all();
        if let Err(error) = self.release_all().await {
            tracing::warn!(error = error.chain(), "job leases were not given back; they expire by themselves");
        }
    }

    /// Runs what is due, and what that causes to be due, until nothing is. For tests that drive time by hand.
    pub async fn run_until_idle(&self) -> Result<(), DatabaseError> {
        loop {
            for periodic in self.periodics.iter() {
                if let Err(error) = periodic.run().await {
                    tracing::error!(name = periodic.name(), error, "reconciler failed");
                }
            }
            let claimed = self.claim(self.settings.concurrency).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            for job in claimed {
                self.run_one(job, CancellationToken::new()).await;
            }
        }
    }

    async fn run_periodic(self, periodic: Arc<dyn Periodic>, soft: CancellationToken) {
        let every = Duration::from_secs(u64::try_from(periodic.every_seconds()).unwrap_or(60).max(1));
        loop {
            let run = std::panic::AssertUnwindSafe(periodic.run()).catch_unwind().await;
            match run {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(name = periodic.name(), error, "reconciler failed"),
                Err(_) => tracing::error!(name = periodic.name(), "reconciler panicked"),
            }
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<JobRow>, DatabaseError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let now = self.ambient.now();
        // A look first: taking the writer's lock every second for nothing would disturb those who receive.
        let due = self.database.read().await?.job_next_due().await?;
        if due.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let mut tx = self.database.write().await?;
        let claimed = tx.job_claim(&self.settings.worker, now, self.lease_end(now), limit).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    fn lease_end(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(self.settings.lease_seconds)
    }

    async fn run_one(&self, job: JobRow, cancel: CancellationToken) {
        let span = tracing::info_span!("job", job.id = %job.id, job.queue = job.queue, job.attempt = job.attempt);
        async {
            let outcome = self.handle(&job, &cancel).await;
            if let Err(error) = self.finish(&job, outcome).await {
                tracing::error!(
                    error = error.chain(),
                    "the end of the job was not recorded; its lease will expire and it runs again"
                );
            }
        }
        .instrument(span)
        .await;
    }

    /// Runs the handler while keeping the lease alive.
    async fn handle(&self, job: &JobRow, cancel: &CancellationToken) -> Outcome {
        let Some(handler) = self.handlers.get(job.queue.as_str()) else {
            return Outcome::Fail { reason: format!("no handler for the queue '{}' in this version", job.queue) };
        };
        let context = JobContext { attempt: job.attempt, max_attempts: job.max_attempts, cancel: cancel.clone() };
        let work = std::panic::AssertUnwindSafe(handler.run(job, &context)).catch_unwind();
        // Both are polled together: a beat that waits for the database's writer must not keep the handler from giving it back.
        tokio::select! {
            ended = work => ended.unwrap_or_else(|_| Outcome::retry("the handler panicked")),
            never = self.keep_lease(job, cancel) => never,
        }
    }

    /// Prolongs the lease for as long as it is polled; cancels the handler when the lease is lost.
    async fn keep_lease(&self, job: &JobRow, cancel: &CancellationToken) -> Outcome {
        let beat = Duration::from_secs(u64::try_from(self.settings.lease_seconds / 3).unwrap_or(1).max(1));
        loop {
            tokio::time::sleep(beat).await;
            match self.extend(job).await {
                Ok(true) => {}
                Ok(false) => cancel.cancel(),
                Err(error) => tracing::warn!(error = error.chain(), "the lease was not prolonged"),
            }
        }
    }

    async fn extend(&self, job: &JobRow) -> Result<bool, DatabaseError> {
        let mut tx = self.database.write().await?;
        let held = tx.job_extend(job.id, job.attempt, self.lease_end(self.ambient.now())).await?;
        tx.commit().await?;
        Ok(held)
    }

    async fn finish(&self, job: &JobRow, outcome: Outcome) -> Result<(), DatabaseError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let recorded = match outcome {
            Outcome::Done => tx.job_done(job.id, job.attempt, now).await?,
            Outcome::Retry { after_seconds, reason } if job.attempt < job.max_attempts => {
                let jitter = self.ambient.random::<1>()[0];
                let delay = after_seconds
                    .map_or_else(|| self.settings.backoff.delay_millis(job.attempt, jitter), |seconds| seconds * 1_000);
                // A handler that names the time expected to come back, and has said what there was to say.
                if after_seconds.is_some() {
                    tracing::debug!(reason, delay_ms = delay, "job comes back");
                } else {
                    tracing::warn!(reason, delay_ms = delay, "job will be tried again");
                }
                tx.job_retry(job.id, job.attempt, now.plus_millis(delay), &reason).await?
            }
            Outcome::Retry { reason, .. } | Outcome::Fail { reason } => {
                tracing::error!(reason, "job is dead; see `dokuei jobs list`");
                tx.job_dead(job.id, job.attempt, now, &reason).await?
            }
        };
        tx.commit().await?;
        if !recorded {
            tracing::warn!("the job's lease had passed to another worker; this run counts for nothing");
        }
        Ok(())
    }

    async fn release_all(&self) -> Result<(), DatabaseError> {
        let mut tx = self.database.write().await?;
        tx.job_release_all(&self.settings.worker, self.ambient.now()).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests;
