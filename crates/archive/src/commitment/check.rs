//! Reading the objects of a request again.

use std::collections::HashMap;

use dokuei_database::{CommitmentRow, CommittedInstance, DatabaseError};
use dokuei_dataset::objects::InstanceReference;
use dokuei_image_store::{BlobKey, StoreErrorKind};
use dokuei_jobs::{JobContext, Outcome};

use super::{Commitments, reason, references, with_causes};

/// References looked up in one statement.
const BATCH: usize = 256;
/// After so many attempts at a store that cannot be read, the peer is told so.
const STORE_ATTEMPTS: i64 = 8;

/// What a check has come to.
pub(super) enum Checked {
    /// Reasons in the order of the references; zero is committed.
    Whole(Vec<InstanceReference>, Vec<u16>),
    /// The job has to come back.
    NotYet(Outcome),
}

impl Commitments {
    /// Goes on where the last run stopped. What is found is kept after every batch.
    pub(super) async fn check(&self, row: &CommitmentRow, context: &JobContext) -> Result<Checked, DatabaseError> {
        let Some((requested, outcome)) = self.database.read().await?.commitment_work(row.id).await? else {
            return Ok(Checked::NotYet(Outcome::Done));
        };
        let Some(references) = references(&requested) else {
            let reason = "the row of the request cannot be read".to_owned();
            return Ok(Checked::NotYet(Outcome::Fail { reason }));
        };
        let mut reasons = reasons_of(&outcome);
        while reasons.len() < references.len() {
            let batch = references.get(reasons.len()..).unwrap_or_default();
            let batch = batch.get(..batch.len().min(BATCH)).unwrap_or_default();
            let uids: Vec<&str> = batch.iter().map(|reference| reference.sop_instance.as_str()).collect();
            let found = self.database.read().await?.commitment_instances(&row.facility, &uids).await?;
            let found: HashMap<&str, &CommittedInstance> =
                found.iter().map(|instance| (instance.sop_instance.as_str(), instance)).collect();
            for reference in batch {
                if context.cancel.is_cancelled() {
                    self.keep_progress(row, &reasons).await?;
                    let reason = "the node is stopping; the check goes on later".to_owned();
                    return Ok(Checked::NotYet(Outcome::Retry { after_seconds: Some(0), reason }));
                }
                match self.judge(reference, found.get(reference.sop_instance.as_str()).copied()).await {
                    Ok(reason) => reasons.push(reason),
                    Err(unreadable) if context.attempt < STORE_ATTEMPTS => {
                        self.keep_progress(row, &reasons).await?;
                        return Ok(Checked::NotYet(Outcome::retry(unreadable)));
                    }
                    Err(unreadable) => {
                        tracing::error!(error = unreadable, sop_instance.uid = %reference.sop_instance, "an object cannot be committed");
                        reasons.push(reason::RESOURCE_LIMITATION);
                    }
                }
            }
            self.keep_progress(row, &reasons).await?;
        }
        Ok(Checked::Whole(references, reasons))
    }

    /// Zero, or why the object is not committed. An error says that it cannot be known now.
    async fn judge(&self, reference: &InstanceReference, found: Option<&CommittedInstance>) -> Result<u16, String> {
        let Some(instance) = found else { return Ok(reason::NO_SUCH_OBJECT_INSTANCE) };
        if instance.sop_class != reference.sop_class {
            return Ok(reason::CLASS_INSTANCE_CONFLICT);
        }
        let damaged = |what: &str| {
            tracing::error!(sop_instance.uid = %reference.sop_instance, blob.key = instance.blob_key, "a stored object is damaged: {what}");
            Ok(reason::PROCESSING_FAILURE)
        };
        let Ok(key) = BlobKey::parse(&instance.blob_key) else { return damaged("the index has no usable key for it") };
        let offset = u64::try_from(instance.dataset_offset).unwrap_or(u64::MAX);
        match self.store.payload_sha256(&key, offset).await {
            Ok(hash) if hash == instance.dataset_sha256 => Ok(0),
            Ok(_) => damaged("its hash differs from that of what was received"),
            Err(error) => match error.kind {
                StoreErrorKind::NotFound => damaged("it is not in the store"),
                StoreErrorKind::Corrupt | StoreErrorKind::TooLarge | StoreErrorKind::InvalidKey => {
                    damaged("it cannot be read")
                }
                StoreErrorKind::Unavailable
                | StoreErrorKind::OutOfSpace
                | StoreErrorKind::AlreadyExists
                | StoreErrorKind::Internal => Err(with_causes(&error)),
            },
        }
    }

    async fn keep_progress(&self, row: &CommitmentRow, reasons: &[u16]) -> Result<(), DatabaseError> {
        let mut tx = self.database.write().await?;
        tx.commitment_progress(row.id, &outcome_of(reasons)).await?;
        tx.commit().await
    }
}

pub(super) fn outcome_of(reasons: &[u16]) -> Vec<u8> {
    reasons.iter().flat_map(|reason| reason.to_le_bytes()).collect()
}

pub(super) fn reasons_of(outcome: &[u8]) -> Vec<u16> {
    outcome.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect()
}
