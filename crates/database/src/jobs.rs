//! The table of background work: leases, fences and a dead list. `dokuei-jobs` runs what stands here.

use dokuei_domain::{JobId, Timestamp, event::Event};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// Work to enqueue.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub queue: &'static str,
    /// JSON that the queue's handler understands.
    pub payload: String,
    /// While a job of the same queue and key waits, a second one is not added. One that is already running does not count: it may have read too early.
    pub dedup_key: Option<String>,
    pub run_at: Timestamp,
    pub max_attempts: u32,
    pub now: Timestamp,
}

impl NewJob {
    /// The job that carries an event to its handler.
    pub fn event(id: JobId, event: &Event, now: Timestamp) -> Self {
        let payload = serde_json::to_string(event).unwrap_or_default();
        Self { id, queue: event.queue(), payload, dedup_key: None, run_at: now, max_attempts: 50, now }
    }

    #[must_use]
    pub fn dedup(mut self, key: impl ToString) -> Self {
        self.dedup_key = Some(key.to_string());
        self
    }

    #[must_use]
    pub fn at(mut self, run_at: Timestamp) -> Self {
        self.run_at = run_at;
        self
    }
}

/// A job as claimed or listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    pub id: JobId,
    pub queue: String,
    pub payload: String,
    pub dedup_key: Option<String>,
    pub state: String,
    /// Counts claims; a claim is fenced by it.
    pub attempt: i64,
    pub max_attempts: i64,
    pub run_at: Timestamp,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
}

statements! {
    JOB_INSERT = "INSERT INTO jobs (id, queue, payload, dedup_key, state, attempt, max_attempts, run_at, created_at) \
                  VALUES ($1, $2, $3, $4, 'ready', 0, $5, $6, $7) ON CONFLICT DO NOTHING";
    /// An earlier time wins when a waiting job is asked for again.
    JOB_PULL_FORWARD = "UPDATE jobs SET run_at = $3 WHERE queue = $1 AND dedup_key = $2 AND state = 'ready' AND run_at > $3";
    /// Ready and due, or running with an expired lease; never beside a running one of the same key, whether its lease has expired or not: that one goes first.
    JOB_CLAIM =
        "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_by = $1, lease_until = $2 WHERE id IN ( \
           SELECT j.id FROM jobs j WHERE ((j.state = 'ready' AND j.run_at <= $3) OR (j.state = 'running' AND j.lease_until <= $3)) \
           AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.queue = j.queue AND r.dedup_key = j.dedup_key AND r.state = 'running' AND r.id <> j.id) \
           ORDER BY j.run_at LIMIT $4) \
         RETURNING id, queue, payload, dedup_key, state, attempt, max_attempts, run_at, last_error, created_at",
        "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_by = $1, lease_until = $2 WHERE id IN ( \
           SELECT j.id FROM jobs j WHERE ((j.state = 'ready' AND j.run_at <= $3) OR (j.state = 'running' AND j.lease_until <= $3)) \
           AND NOT EXISTS (SELECT 1 FROM jobs r WHERE r.queue = j.queue AND r.dedup_key = j.dedup_key AND r.state = 'running' AND r.id <> j.id) \
           ORDER BY j.run_at LIMIT $4 FOR UPDATE SKIP LOCKED) \
         RETURNING id, queue, payload, dedup_key, state, attempt, max_attempts, run_at, last_error, created_at";
    JOB_EXTEND = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND attempt = $2 AND state = 'running'";
    JOB_DONE = "UPDATE jobs SET state = 'done', finished_at = $3, lease_until = NULL, lease_by = NULL, last_error = NULL \
                WHERE id = $1 AND attempt = $2 AND state = 'running'";
    /// Back to the queue; where a younger job of the same key already waits, this one has nothing left to do.
    JOB_RETRY = "UPDATE jobs SET state = CASE WHEN EXISTS (SELECT 1 FROM jobs o WHERE o.queue = jobs.queue AND o.dedup_key = jobs.dedup_key \
                 AND o.state = 'ready') THEN 'done' ELSE 'ready' END, run_at = $3, last_error = $4, lease_until = NULL, lease_by = NULL \
                 WHERE id = $1 AND attempt = $2 AND state = 'running'";
    JOB_DEAD = "UPDATE jobs SET state = 'dead', finished_at = $3, last_error = $4, lease_until = NULL, lease_by = NULL \
                WHERE id = $1 AND attempt = $2 AND state = 'running'";
    /// A graceful stop gives its claims back, so that a restart need not wait for leases.
    JOB_RELEASE_ALL = "UPDATE jobs SET lease_until = $2 WHERE lease_by = $1 AND state = 'running'";
    JOB_REVIVE = "UPDATE jobs SET state = 'ready', attempt = 0, run_at = $2, finished_at = NULL WHERE id = $1 AND state = 'dead' \
                  AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.queue = jobs.queue AND o.dedup_key = jobs.dedup_key AND o.state = 'ready')";
    JOB_LIST = "SELECT id, queue, payload, dedup_key, state, attempt, max_attempts, run_at, last_error, created_at FROM jobs \
                WHERE state <> 'done' ORDER BY created_at DESC LIMIT $1";
    JOB_NEXT_DUE = "SELECT MIN(CASE WHEN state = 'ready' THEN run_at ELSE lease_until END) AS due FROM jobs WHERE state IN ('ready', 'running')";
    JOB_UNFINISHED = "SELECT COUNT(*) AS waiting FROM jobs WHERE state = 'running' OR (state = 'ready' AND run_at <= $1)";
    JOB_PURGE = "DELETE FROM jobs WHERE state = 'done' AND finished_at < $1";
}

fn read_row(row: &Row) -> Result<JobRow, DatabaseError> {
    Ok(JobRow {
        id: JobId(row.uuid("id")?),
        queue: row.text("queue")?,
        payload: row.text("payload")?,
        dedup_key: row.get("dedup_key")?,
        state: row.text("state")?,
        attempt: row.get("attempt")?,
        max_attempts: row.get("max_attempts")?,
        run_at: row.time("run_at")?,
        last_error: row.get("last_error")?,
        created_at: row.time("created_at")?,
    })
}

impl WriteTx {
    /// Enqueues work; it becomes visible with the fact that caused it. Gives `false` when one of the same key already waits; that one is pulled forward if
    /// the new one is due earlier.
    pub async fn job_enqueue(&mut self, job: NewJob) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                JOB_INSERT,
                args![
                    job.id,
                    job.queue,
                    job.payload,
                    job.dedup_key.clone(),
                    i64::from(job.max_attempts),
                    job.run_at,
                    job.now
                ],
            )
            .await?
            == 1;
        if !added {
            self.execute(JOB_PULL_FORWARD, args![job.queue, job.dedup_key, job.run_at]).await?;
        }
        self.wake_jobs_on_commit();
        Ok(added)
    }

    /// Claims up to `limit` due jobs. A claimed job is the worker's until `lease_until`; finishing it later with an old attempt changes nothing.
    pub async fn job_claim(
        &mut self,
        worker: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<JobRow>, DatabaseError> {
        self.rows(JOB_CLAIM, args![worker, lease_until, now, limit]).await?.iter().map(read_row).collect()
    }

    /// Prolongs a claim. `false`: the claim was lost and the work must stop.
    pub async fn job_extend(&mut self, id: JobId, attempt: i64, lease_until: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(JOB_EXTEND, args![id, attempt, lease_until]).await? == 1)
    }

    pub async fn job_done(&mut self, id: JobId, attempt: i64, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(JOB_DONE, args![id, attempt, now]).await? == 1)
    }

    pub async fn job_retry(
        &mut self,
        id: JobId,
        attempt: i64,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(JOB_RETRY, args![id, attempt, run_at, error]).await? == 1)
    }

    pub async fn job_dead(
        &mut self,
        id: JobId,
        attempt: i64,
        now: Timestamp,
        error: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(JOB_DEAD, args![id, attempt, now, error]).await? == 1)
    }

    pub async fn job_release_all(&mut self, worker: &str, now: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(JOB_RELEASE_ALL, args![worker, now]).await
    }

    /// Puts a dead job back; `false` when it is not dead or one of its key already waits.
    pub async fn job_revive(&mut self, id: JobId, now: Timestamp) -> Result<bool, DatabaseError> {
        self.wake_jobs_on_commit();
        Ok(self.execute(JOB_REVIVE, args![id, now]).await? == 1)
    }

    /// Removes finished jobs older than `before`.
    pub async fn job_purge(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(JOB_PURGE, args![before]).await
    }
}

impl ReadTx {
    /// Jobs that are not done, newest first.
    pub async fn job_list(&mut self, limit: u32) -> Result<Vec<JobRow>, DatabaseError> {
        self.rows(JOB_LIST, args![limit]).await?.iter().map(read_row).collect()
    }

    /// When the next job becomes due or the next lease expires.
    pub async fn job_next_due(&mut self) -> Result<Option<Timestamp>, DatabaseError> {
        self.one(JOB_NEXT_DUE, args![]).await?.optional_time("due")
    }

    /// Jobs that are running or due now.
    pub async fn job_unfinished(&mut self, now: Timestamp) -> Result<i64, DatabaseError> {
        self.one(JOB_UNFINISHED, args![now]).await?.get("waiting")
    }
}
