//! Group commit: all objects that wait at one moment share one transaction, and so one sync of the database's log.

use std::collections::HashSet;

use dokuei_database::{Database, DatabaseError, DatabaseErrorKind, NewInstance, NewJob, NewQuarantinedObject, WriteTx};
use dokuei_domain::{
    Ambient, InstanceId, JobId, PatientPk, SeriesPk, StudyPk, Timestamp, facts::InstanceFacts, patient::FacilityIssuer,
};
use dokuei_image_store::BlobKey;
use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::{IngestError, QuarantineReason, settle};

/// A durable blob that is to become an instance.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: InstanceId,
    pub(crate) facility: FacilityIssuer,
    pub(crate) facts: InstanceFacts,
    pub(crate) blob_key: BlobKey,
    pub(crate) size_bytes: u64,
    pub(crate) dataset_offset: u64,
    pub(crate) dataset_sha256: [u8; 32],
    pub(crate) calling: String,
    pub(crate) received_at: Timestamp,
    pub(crate) opens_case: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filed {
    New { study: StudyPk },
    AlreadyStored { id: InstanceId, study: StudyPk },
    OwnReport,
    Quarantined(QuarantineReason),
    AlreadyQuarantined(QuarantineReason),
}

struct Waiting {
    candidate: Candidate,
    answer: oneshot::Sender<Result<Filed, DatabaseError>>,
}

/// The handle of the committing task.
#[derive(Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Waiting>,
}

const LARGEST_GROUP: usize = 256;

impl Committer {
    pub(crate) fn start(database: Database, ambient: Ambient, quiet_seconds: i64) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Waiting>(LARGEST_GROUP);
        let filer = Filer { database, ambient, quiet_seconds };
        tokio::spawn(async move {
            let mut group = Vec::new();
            while waiting.recv_many(&mut group, LARGEST_GROUP).await > 0 {
                let filed =
                    std::panic::AssertUnwindSafe(filer.file_group(std::mem::take(&mut group))).catch_unwind().await;
                if filed.is_err() {
                    // The senders of this group are told to try again; those after it must not pay for it.
                    tracing::error!("filing a group of objects panicked");
                }
            }
        });
        Self { queue }
    }

    /// Files one candidate; returns when the transaction that holds it is committed.
    pub(crate) async fn file(&self, candidate: Candidate) -> Result<Filed, IngestError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { candidate, answer }).await.map_err(|_| IngestError::NotFiled)?;
        Ok(answered.await.map_err(|_| IngestError::NotFiled)??)
    }
}

pub(crate) struct Filer {
    pub(crate) database: Database,
    pub(crate) ambient: Ambient,
    pub(crate) quiet_seconds: i64,
}

impl Filer {
    async fn file_group(&self, group: Vec<Waiting>) {
        let (candidates, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.candidate, waiting.answer)).unzip();
        match self.file_all(&candidates).await {
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
                    let alone = self.file_all(std::slice::from_ref(candidate)).await;
                    let _ = answer.send(alone.map(|filed| filed[0]));
                }
            }
        }
    }

    /// Files the candidates in one transaction; one result for each.
    pub(crate) async fn file_all(&self, candidates: &[Candidate]) -> Result<Vec<Filed>, DatabaseError> {
        let mut tx = self.database.write().await?;
        let mut filed = Vec::with_capacity(candidates.len());
        let mut touched = HashSet::new();
        for candidate in candidates {
            let outcome = self.file_one(&mut tx, candidate).await?;
            match outcome {
                Filed::New { study } => {
                    touched.insert(study);
                }
                // Sent before as a prior, now to be read.
                Filed::AlreadyStored { study, .. }
                    if candidate.opens_case && tx.study_reopen_for_reading(study).await? =>
                {
                    touched.insert(study);
                }
                _ => {}
            }
            filed.push(outcome);
        }
        let now = self.ambient.now();
        for study in touched {
            let id = JobId(self.ambient.new_uuid());
            tx.job_enqueue(settle_job(id, study, now, now.plus_seconds(self.quiet_seconds))).await?;
        }
        tx.commit().await?;
        Ok(filed)
    }

    async fn file_one(&self, tx: &mut WriteTx, candidate: &Candidate) -> Result<Filed, DatabaseError> {
        let Candidate { facility, facts, .. } = candidate;
        if let Some(known) = tx.instance_known(&facility.facility, &facts.sop_instance).await? {
            if known.id == candidate.id {
                // Our own row: an earlier commit went through although its answer was lost. The blob is the instance.
                return Ok(Filed::New { study: known.study });
            }
            if known.dataset_sha256 == candidate.dataset_sha256 {
                return Ok(Filed::AlreadyStored { id: known.id, study: known.study });
            }
            return self.quarantine(tx, candidate, QuarantineReason::SameUidOtherContent).await;
        }
        if tx.report_file_known(&facility.facility, &facts.sop_instance).await? {
            return Ok(Filed::OwnReport);
        }
        let identity = facility.identify(&facts.patient, &facts.study);
        let existing_study = tx.study_owner(&facility.facility, &facts.study).await?;
        if tx.study_is_withdrawn(&facility.facility, &facts.study).await? {
            return self.quarantine(tx, candidate, QuarantineReason::StudyWithdrawn).await;
        }
        let new_patient = PatientPk(self.ambient.new_uuid());
        let now = candidate.received_at;
        // Looked up before anything is inserted, so that a quarantined object leaves no empty study behind.
        let known_patient = tx.patient_find(&facility.facility, &identity).await?;
        if existing_study.is_some_and(|(_, owner)| Some(owner) != known_patient) {
            return self.quarantine(tx, candidate, QuarantineReason::StudyOfAnotherPatient).await;
        }
        if let Some(owner) = tx.series_owner(&facility.facility, &facts.series).await?
            && existing_study.map(|(study, _)| study) != Some(owner)
        {
            return self.quarantine(tx, candidate, QuarantineReason::SeriesOfAnotherStudy).await;
        }
        let patient = match known_patient {
            Some(patient) => patient,
            None => {
                tx.patient_find_or_insert(
                    new_patient,
                    &facility.facility,
                    &identity,
                    &facts.patient,
                    facts.charset_repaired,
                    now,
                )
                .await?
            }
        };
        let new_study = StudyPk(self.ambient.new_uuid());
        let (study, owner) =
            tx.study_find_or_insert(new_study, &facility.facility, patient, facts, candidate.opens_case, now).await?;
        let new_series = SeriesPk(self.ambient.new_uuid());
        let (series, series_study, series_is_new) =
            tx.series_find_or_insert(new_series, &facility.facility, study, facts).await?;
        if owner != patient || series_study != study {
            // Another node inserted them between our look and our insert.
            let reason = if owner == patient {
                QuarantineReason::SeriesOfAnotherStudy
            } else {
                QuarantineReason::StudyOfAnotherPatient
            };
            return self.quarantine(tx, candidate, reason).await;
        }
        let key = candidate.blob_key.as_str();
        let instance = NewInstance {
            id: candidate.id,
            facility: &facility.facility,
            facts,
            blob_key: key,
            size_bytes: candidate.size_bytes,
            dataset_offset: candidate.dataset_offset,
            dataset_sha256: candidate.dataset_sha256,
            calling_aet: &candidate.calling,
            received_at: now,
        };
        if !tx.instance_insert(study, series, &instance).await? {
            let known = tx.instance_known(&facility.facility, &facts.sop_instance).await?;
            return match known {
                Some(known) if known.dataset_sha256 == candidate.dataset_sha256 => {
                    Ok(Filed::AlreadyStored { id: known.id, study: known.study })
                }
                _ => self.quarantine(tx, candidate, QuarantineReason::SameUidOtherContent).await,
            };
        }
        tx.study_received(study, series, series_is_new, candidate.opens_case, &facts.body_part, now).await?;
        Ok(Filed::New { study })
    }

    async fn quarantine(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        reason: QuarantineReason,
    ) -> Result<Filed, DatabaseError> {
        let facts = &candidate.facts;
        let object = NewQuarantinedObject {
            id: candidate.id.0,
            facility: &candidate.facility.facility,
            sop_instance: facts.sop_instance.as_str(),
            study: facts.study.as_str(),
            reason: reason.as_str(),
            detail: reason.sentence(),
            blob_key: candidate.blob_key.as_str(),
            size_bytes: candidate.size_bytes,
            dataset_sha256: candidate.dataset_sha256,
            calling_aet: &candidate.calling,
            received_at: candidate.received_at,
        };
        // Not added but under our key: an earlier commit went through although its answer was lost.
        let ours = tx.quarantine_insert(&object).await? || tx.blob_is_indexed(object.blob_key).await?;
        Ok(if ours { Filed::Quarantined(reason) } else { Filed::AlreadyQuarantined(reason) })
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
