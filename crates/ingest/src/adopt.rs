//! From the store to the index: blobs that the index lacks, read back from their own bytes and filed as they were filed then.
//!
//! One walk serves three callers: `dokuei rebuild-index` (everything), the reconciler at start (what came since it last looked) and on its timer. It may run
//! beside reception: filing is idempotent by the identifier of the blob, so an object whose filing is in flight is filed once whoever comes first.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_database::{AuditEvent, AuditOutcome, NewJob, NewQuarantinedObject};
use dokuei_dataset::{HeadLimits, HeadReader, Progress, RejectionNoteReader, part10, rejection_note};
use dokuei_domain::{Actor, FacilityId, InstanceId, JobId, StudyUid, Timestamp, event::Event, patient::FacilityIssuer};
use dokuei_image_store::{BlobKey, BlobKeyParts, BlobReader, ImageStore};

use crate::{
    Ingest, IngestError,
    facts::{Facts, Quarantined, StudyWithdrawn},
    filer::Filer,
    filing::{Candidate, Filed},
    incoming::with_causes,
};

const GROUP: usize = 64;
const CHUNK: usize = 256 * 1024;
const WHO: Actor = Actor::System("adopt");

/// What became of the blobs that a walk took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct AdoptionSummary {
    pub added: u64,
    /// The same content of the same facility under another key, and reports of ours that came back.
    pub second_copies: u64,
    pub quarantined: u64,
    /// Studies whose 取消 the index had lost.
    pub withdrawn: u64,
}

/// A blob that stays where it is and out of the index; the reason is for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAdopted {
    pub key: BlobKey,
    pub reason: String,
}

/// A walk over blobs that the index may lack. Give it every such blob in the order of keys, then call [`Self::finish`].
pub struct Adoption {
    ingest: Arc<Ingest>,
    filer: Arc<Filer>,
    facts: Facts,
    group: Vec<Candidate>,
    summary: AdoptionSummary,
    not_adopted: Vec<NotAdopted>,
}

impl Adoption {
    /// Reads the facts written since `since` (all of them without it) that say what belongs where.
    ///
    /// # Errors
    ///
    /// [`IngestError::Store`] when the store cannot be listed.
    pub async fn begin(ingest: Arc<Ingest>, since: Option<Timestamp>) -> Result<Self, IngestError> {
        let mut facts = Facts::load(&ingest.store, since).await?;
        let unreadable = std::mem::take(&mut facts.unreadable);
        let filer = Arc::clone(&ingest.filer);
        Ok(Self {
            ingest,
            filer,
            facts,
            group: Vec::with_capacity(GROUP),
            summary: AdoptionSummary::default(),
            not_adopted: unreadable.into_iter().map(|(key, reason)| NotAdopted { key, reason }).collect(),
        })
    }

    /// Takes an instance's blob of `size` bytes; `false` when the index has it already. Reads the whole blob otherwise.
    pub async fn take(&mut self, key: &BlobKey, size: u64) -> Result<bool, IngestError> {
        if self.ingest.database.read().await?.blob_is_indexed(key.as_str()).await? {
            return Ok(false);
        }
        let BlobKeyParts::Instance { blob, .. } = key.parts() else { return Ok(false) };
        let mark = self.facts.quarantined.get(blob).cloned();
        if let Some(mark) = mark.as_ref().filter(|mark| mark.state != "released") {
            Box::pin(self.set_aside(key, size, mark)).await?;
            return Ok(true);
        }
        let mut candidate = match Box::pin(read_candidate(&self.ingest.store, key, size)).await {
            Ok(candidate) => candidate,
            Err(reason) => {
                self.not_adopted.push(NotAdopted { key: key.clone(), reason });
                return Ok(true);
            }
        };
        if let Some(mark) = mark {
            candidate.released = true;
            // As it was filed then: what was signed before has not seen it.
            candidate.received_at = mark.decided_at_us.unwrap_or(candidate.received_at);
        }
        let study = (candidate.facility.facility.clone(), candidate.facts.study.clone());
        if self.facts.withdrawn.get(&study).is_some_and(|withdrawn| withdrawn.at_us <= candidate.received_at) {
            // It came after the 取消, and is kept aside as it was then.
            Box::pin(self.file()).await?;
            Box::pin(self.withdraw(&study.0, &study.1)).await?;
        }
        self.group.push(candidate);
        if self.group.len() == GROUP {
            Box::pin(self.file()).await?;
        }
        Ok(true)
    }

    /// What was not adopted since the last call.
    pub fn drain_not_adopted(&mut self) -> Vec<NotAdopted> {
        std::mem::take(&mut self.not_adopted)
    }

    pub fn summary(&self) -> AdoptionSummary {
        self.summary
    }

    /// Files what waits and withdraws again what was withdrawn. [`Self::drain_not_adopted`] once more afterwards.
    pub async fn finish(&mut self) -> Result<AdoptionSummary, IngestError> {
        Box::pin(self.file()).await?;
        let studies: Vec<_> = self.facts.withdrawn.keys().cloned().collect();
        for (facility, study) in studies {
            Box::pin(self.withdraw(&facility, &study)).await?;
        }
        Ok(self.summary)
    }

    async fn file(&mut self) -> Result<(), IngestError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = std::mem::take(&mut self.group);
        // In the order of receipt, so that the patient and the study are named by what came first, as they were then.
        group.sort_by_key(|candidate| candidate.received_at);
        let mut tx = self.filer.database.write().await?;
        for candidate in &mut group {
            tx.facility_ensure(&candidate.facility, candidate.received_at).await?;
            // What the facility calls itself besides its issuer is no fact of the blob.
            candidate.facility.aliases = tx.facility_aliases(&candidate.facility.facility).await?;
        }
        tx.commit().await?;
        let filed = match self.filer.file_all(&group).await {
            Ok(filed) => filed.into_iter().map(Ok).collect(),
            // One object that the database does not take must not keep the others out.
            Err(error) if error.kind != dokuei_database::DatabaseErrorKind::Unavailable => {
                let mut alone = Vec::with_capacity(group.len());
                for candidate in &group {
                    let filed = self.filer.file_all(std::slice::from_ref(candidate)).await;
                    alone.push(filed.map(|filed| filed[0]));
                }
                alone
            }
            Err(error) => return Err(error.into()),
        };
        for (candidate, filed) in group.into_iter().zip(filed) {
            match filed {
                Ok(Filed::New { .. }) => self.summary.added += 1,
                Ok(Filed::AlreadyStored { .. } | Filed::OwnReport) => self.summary.second_copies += 1,
                Ok(Filed::Quarantined(_) | Filed::AlreadyQuarantined(_)) => self.summary.quarantined += 1,
                Err(error) => {
                    self.not_adopted.push(NotAdopted { key: candidate.blob_key, reason: error.chain() });
                }
            }
        }
        Ok(())
    }

    /// Puts an object back into quarantine without asking where it would belong today.
    async fn set_aside(&mut self, key: &BlobKey, size: u64, mark: &Quarantined) -> Result<(), IngestError> {
        let (facility, dataset_offset) = match read_header(&self.ingest.store, key, size).await {
            Ok(Header { facility, dataset_offset, .. }) => (facility, dataset_offset),
            Err(reason) => {
                self.not_adopted.push(NotAdopted { key: key.clone(), reason });
                return Ok(());
            }
        };
        let object = NewQuarantinedObject {
            id: mark.blob.0,
            facility: &facility.facility,
            sop_instance: &mark.sop_instance,
            study: &mark.study,
            reason: &mark.reason,
            detail: &mark.detail,
            blob_key: key.as_str(),
            size_bytes: size,
            dataset_sha256: mark.dataset_sha256,
            calling_aet: &mark.calling,
            received_at: mark.received_at_us,
        };
        match self.ingest.store.payload_sha256(key, dataset_offset).await {
            Ok(found) if found == mark.dataset_sha256 => {}
            Ok(_) => {
                let reason = "its hash is not the one it had when it was kept aside".to_owned();
                self.not_adopted.push(NotAdopted { key: key.clone(), reason });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let mut tx = self.filer.database.write().await?;
        tx.facility_ensure(&facility, mark.received_at_us).await?;
        tx.quarantine_insert(&object).await?;
        let (by, reason) = (mark.decided_by.as_deref(), mark.decision_reason.as_deref());
        tx.quarantine_restore(object.id, &mark.state, by, mark.decided_at_us, reason).await?;
        tx.commit().await?;
        self.summary.quarantined += 1;
        Ok(())
    }

    async fn withdraw(&mut self, facility: &FacilityId, study: &StudyUid) -> Result<(), IngestError> {
        let Some(fact) = self.facts.withdrawn.get(&(facility.clone(), study.clone())) else { return Ok(()) };
        if self.ingest.restore_withdrawal(facility, fact).await? {
            self.summary.withdrawn += 1;
        }
        Ok(())
    }
}

impl Ingest {
    /// Withdraws a study again as the fact says; `false` when the index has no such study or it is withdrawn already.
    async fn restore_withdrawal(&self, facility: &FacilityId, fact: &StudyWithdrawn) -> Result<bool, IngestError> {
        let Some(row) = self.database.read().await?.study_by_uid(facility, &fact.study).await? else {
            return Ok(false);
        };
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if !tx.study_withdraw(row.pk, &fact.reason, fact.at_us).await? {
            return Ok(false);
        }
        let event = Event::StudyWithdrawn { study: row.pk, facility: facility.clone() };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(row.pk)).await?;
        let audit = AuditEvent::new(now, &WHO, "study.withdraw", AuditOutcome::Success);
        tx.audit(
            audit.facility(facility).subject(&row.uid).detail(format!("as {} did before the index was lost", fact.by)),
        );
        tx.commit().await?;
        Ok(true)
    }
}

/// What stands before the data set.
struct Header {
    meta: part10::ReadMeta,
    facility: FacilityIssuer,
    received_at: Timestamp,
    opens_case: bool,
    dataset_offset: u64,
    /// The first bytes of the blob, header included.
    first: Bytes,
    reader: BlobReader,
}

async fn read_header(store: &ImageStore, key: &BlobKey, size: u64) -> Result<Header, String> {
    let reader = store.open(key).await.map_err(|error| with_causes(&error))?;
    let first = reader.read_range(0, at_most(size)).await.map_err(|error| with_causes(&error))?;
    let (mut meta, dataset_offset) = part10::parse_header(&first).map_err(|error| with_causes(&error))?;
    let receipt = meta.receipt.take().ok_or("the file does not say which facility sent it")?;
    if key.facility() != &receipt.facility {
        return Err(format!("the file says facility {}, its key says {}", receipt.facility, key.facility()));
    }
    Ok(Header {
        meta,
        facility: FacilityIssuer { facility: receipt.facility, issuer: receipt.issuer, aliases: Vec::new() },
        received_at: receipt.received_at,
        opens_case: receipt.opens_case,
        dataset_offset: dataset_offset as u64,
        first,
        reader,
    })
}

/// Reads the facts of a blob back from its bytes; the reason of a failure is for a person.
pub(crate) async fn read_candidate(store: &ImageStore, key: &BlobKey, size: u64) -> Result<Candidate, String> {
    let BlobKeyParts::Instance { blob, .. } = key.parts() else {
        return Err("the key is not an instance's".to_owned());
    };
    let Header { meta, facility, received_at, opens_case, dataset_offset, first, reader } =
        read_header(store, key, size).await?;
    let mut head = HeadReader::new(&meta.transfer_syntax, HeadLimits::default());
    let may_reject = meta.sop_class.as_ref().is_some_and(rejection_note::may_be_rejection_note);
    let mut note = may_reject.then(|| RejectionNoteReader::new(&meta.transfer_syntax));
    let in_first = usize::try_from(dataset_offset).unwrap_or(usize::MAX).min(first.len());
    let (mut offset, mut chunk) = (dataset_offset, first.slice(in_first..));
    while !chunk.is_empty() {
        if let Some(note) = &mut note {
            note.push(&chunk);
        }
        if head.push(&chunk).map_err(|error| with_causes(&error))? == Progress::Done {
            break;
        }
        offset += chunk.len() as u64;
        chunk = if offset < size {
            reader.read_range(offset, at_most(size - offset)).await.map_err(|error| with_causes(&error))?
        } else {
            Bytes::new()
        };
    }
    let head = head.stop().map_err(|error| with_causes(&error))?;
    let facts = head.facts(&meta.transfer_syntax).map_err(|error| with_causes(&error))?;
    let dataset_sha256 = store.payload_sha256(key, dataset_offset).await.map_err(|error| with_causes(&error))?;
    Ok(Candidate {
        id: InstanceId(blob.0),
        facility,
        facts,
        blob_key: key.clone(),
        size_bytes: size,
        dataset_offset,
        dataset_sha256,
        calling: meta.source_ae_title.map(|title| title.to_string()).unwrap_or_default(),
        received_at,
        opens_case,
        rejection_note: note.and_then(crate::rejection::read),
        released: false,
    })
}

fn at_most(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK)
}
