//! Group commit: all objects that wait at one moment share one sync of their directory and one transaction, and so one sync of the database's log.

use std::sync::{Arc, Mutex, PoisonError};

use dokuei_database::{DatabaseError, DatabaseErrorKind, NewJob};
use dokuei_domain::{JobId, StudyPk, Timestamp};
use dokuei_image_store::Named;
use tokio::sync::oneshot;

use crate::{
    IngestError,
    filer::Filer,
    filing::{Candidate, Filed},
    incoming::with_causes,
    settle,
};

struct Waiting {
    candidate: Candidate,
    blob: Named,
    answer: oneshot::Sender<Result<Filed, DatabaseError>>,
}

/// Files together what waits together. Whoever comes when nobody files, leads: it files for all that wait at that moment, on its own thread, and whoever has
/// come meanwhile leads next. No task stands in between that would have to be woken.
pub(crate) struct Committer {
    filer: Arc<Filer>,
    waiting: Mutex<Vec<Waiting>>,
    lead: tokio::sync::Mutex<()>,
}

const LARGEST_GROUP: usize = 256;

impl Committer {
    pub(crate) fn new(filer: Arc<Filer>) -> Self {
        Self { filer, waiting: Mutex::default(), lead: tokio::sync::Mutex::default() }
    }

    /// Makes the name of one candidate's blob durable and files it; returns when the transaction that holds it is committed.
    ///
    /// When the caller is dropped while it leads, its group is told [`IngestError::NotFiled`]: whether the transaction was committed is not known then.
    pub(crate) async fn file(&self, candidate: Candidate, blob: Named) -> Result<Filed, IngestError> {
        let (answer, mut answered) = oneshot::channel();
        self.lock_waiting().push(Waiting { candidate, blob, answer });
        let _leading = tokio::select! {
            biased;
            filed = &mut answered => return Ok(filed.map_err(|_| IngestError::NotFiled)??),
            leading = self.lead.lock() => leading,
        };
        loop {
            let group = self.next_group();
            if group.is_empty() {
                // The leader before has filed ours too.
                return Ok(answered.await.map_err(|_| IngestError::NotFiled)??);
            }
            self.filer.file_group(group).await;
            match answered.try_recv() {
                Ok(filed) => return Ok(filed?),
                Err(oneshot::error::TryRecvError::Closed) => return Err(IngestError::NotFiled),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
        }
    }

    fn next_group(&self) -> Vec<Waiting> {
        let mut waiting = self.lock_waiting();
        let count = waiting.len().min(LARGEST_GROUP);
        waiting.drain(..count).collect()
    }

    fn lock_waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filer {
    async fn file_group(&self, group: Vec<Waiting>) {
        // One sync for all that wait, and before the index knows of any.
        if let Err(error) = Named::make_durable(group.iter().map(|waiting| &waiting.blob)) {
            // Dropping the answers tells every sender to try again.
            tracing::error!(
                error = with_causes(&error),
                objects = group.len(),
                "the names of new blobs are not durable"
            );
            return;
        }
        let (candidates, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.candidate, waiting.answer)).unzip();
        match self.file_waiting(&candidates).await {
            Ok(filed) => {
                for (answer, filed) in answers.into_iter().zip(filed) {
                    // A sender that has gone meanwhile will send again and be told that the object is stored.
                    let _ = answer.send(Ok(filed));
                }
            }
            Err(error) if error.kind == DatabaseErrorKind::Unavailable => {
                // Dropping the answers tells every sender to try again; trying each object alone would only make them wait longer.
                tracing::error!(error = error.chain(), objects = candidates.len(), "the index is not available");
            }
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    objects = candidates.len(),
                    "the group was not committed; trying each object alone"
                );
                for (candidate, answer) in candidates.iter().zip(answers) {
                    let alone = Box::pin(self.file_all(std::slice::from_ref(candidate))).await;
                    let _ = answer.send(alone.map(|filed| filed[0]));
                }
            }
        }
    }

    /// Files what needs no decision in one round trip, and the rest by decision; one result for each.
    async fn file_waiting(&self, candidates: &[Candidate]) -> Result<Vec<Filed>, DatabaseError> {
        let mut outcomes = self.file_further(candidates).await?;
        let rest: Vec<Candidate> = candidates
            .iter()
            .zip(&outcomes)
            .filter(|(_, done)| done.is_none())
            .map(|(candidate, _)| candidate.clone())
            .collect();
        if !rest.is_empty() {
            let mut decided = Box::pin(self.file_all(&rest)).await?.into_iter();
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                *outcome = decided.next();
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| outcome.ok_or_else(|| DatabaseError::raced("file a group of objects")))
            .collect()
    }
}

pub(crate) fn settle_job(id: JobId, study: StudyPk, now: Timestamp, run_at: Timestamp) -> NewJob {
    NewJob {
        id,
        queue: settle::QUEUE,
        payload: serde_json::json!({ "study": study }).to_string(),
        dedup_key: Some(study.to_string()),
        run_at,
        max_attempts: 50,
        now,
    }
}
