//! One object on its way in.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_database::{AuditEvent, AuditOutcome};
use dokuei_dataset::{
    Body, HeadError, HeadLimits, HeadReader, RejectionNoteReader,
    part10::{self, FileMeta, Receipt},
    rejection_note,
};
use dokuei_domain::{Actor, BlobId, FacilityId, InstanceId, StudyUid, facts::InstanceFacts};
use dokuei_image_store::{BlobKey, StagedBlob};

use crate::{
    Ingest, IngestError, ObjectHead, Origin, QuarantineReason,
    filing::{Candidate, Filed},
    set_aside,
    space::UnderWay,
};

/// An object that is being received. Dropping it removes what was staged.
pub struct Incoming {
    ingest: Arc<Ingest>,
    origin: Origin,
    object: ObjectHead,
    id: InstanceId,
    header_length: u64,
    received: u64,
    head: HeadReader,
    /// Why no head can be read any more. The bytes are taken all the same, for the office.
    broken: Option<HeadError>,
    /// Reads along when the object may be a rejection note.
    note: Option<RejectionNoteReader>,
    staged: StagedBlob,
    _under_way: UnderWay,
}

/// Who waits for the disk.
#[derive(Clone, Copy)]
enum Thread {
    /// A thread of the runtime's blocking pool.
    Pool,
    Callers,
}

/// An acknowledged object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    New {
        id: InstanceId,
        study: StudyUid,
    },
    /// The facility had sent the same bytes before; nothing changed.
    AlreadyStored {
        id: InstanceId,
    },
    /// A report of ours coming back; the signed original is already kept.
    OwnReport,
}

impl Ingest {
    /// Prepares to receive an object: its key is fixed before the first byte.
    ///
    /// # Errors
    ///
    /// [`IngestError::OutOfSpace`] below the low-water mark, [`IngestError::Store`] when nothing can be staged.
    pub async fn begin(self: &Arc<Self>, origin: &Origin, object: ObjectHead) -> Result<Incoming, IngestError> {
        self.begin_on(Thread::Pool, origin, object).await
    }

    /// As [`Self::begin`], for callers that have a thread to block: what goes to a file system is written by the thread that calls.
    pub async fn begin_here(self: &Arc<Self>, origin: &Origin, object: ObjectHead) -> Result<Incoming, IngestError> {
        self.begin_on(Thread::Callers, origin, object).await
    }

    async fn begin_on(
        self: &Arc<Self>,
        thread: Thread,
        origin: &Origin,
        object: ObjectHead,
    ) -> Result<Incoming, IngestError> {
        let under_way = self.space.admit().await.ok_or(IngestError::OutOfSpace)?;
        let id = InstanceId(self.ambient.new_uuid());
        let facility = &origin.facility;
        let header = part10::build_header(&FileMeta {
            sop_class: object.sop_class.clone(),
            sop_instance: object.sop_instance.clone(),
            transfer_syntax: object.transfer_syntax.clone(),
            source_ae_title: Some(origin.calling.clone()),
            receipt: Some(Receipt {
                facility: facility.facility.clone(),
                issuer: facility.issuer.clone(),
                received_at: self.ambient.now(),
                opens_case: origin.opens_case,
            }),
        });
        let header_length = header.len() as u64;
        let key = BlobKey::instance(&facility.facility, BlobId(id.0));
        let header = Bytes::from(header);
        let staged = match thread {
            Thread::Pool => self.store.stage(key, header).await?,
            Thread::Callers => self.store.stage_here(key, header).await?,
        };
        let head = HeadReader::new(&object.transfer_syntax, HeadLimits::default());
        let may_reject = rejection_note::may_be_rejection_note(&object.sop_class);
        let note = may_reject.then(|| RejectionNoteReader::new(&object.transfer_syntax));
        Ok(Incoming {
            ingest: Arc::clone(self),
            origin: origin.clone(),
            object,
            id,
            header_length,
            received: 0,
            head,
            broken: None,
            note,
            staged,
            _under_way: under_way,
        })
    }

    /// The association has ended: what it sent may settle after the quiet time, counted from now.
    pub async fn association_ended(&self, association: u64) {
        let ended: Vec<_> = {
            let mut under_way = self.lock_under_way();
            for associations in under_way.values_mut() {
                associations.remove(&association);
            }
            let ended =
                under_way.iter().filter(|(_, associations)| associations.is_empty()).map(|(study, _)| *study).collect();
            under_way.retain(|_, associations| !associations.is_empty());
            ended
        };
        if let Err(error) = self.arm_settle(&ended).await {
            tracing::warn!(error = error.chain(), "studies were not armed to settle; the reconciler will find them");
        }
    }

    /// Records a refusal, so that the office can see which facility's object was not taken.
    pub async fn audit_refusal(&self, origin: &Origin, object: &ObjectHead, error: &IngestError) {
        let event = AuditEvent::new(self.ambient.now(), &origin.actor(), "instance.receive", AuditOutcome::Refused);
        self.record(event.subject(&object.sop_instance).detail(with_causes(error))).await;
    }

    /// Records what an association did; `orderly` when it was released and refused nothing.
    pub async fn record_association(&self, origin: &Origin, orderly: bool, detail: &str) {
        let outcome = if orderly { AuditOutcome::Success } else { AuditOutcome::Failed };
        let event = AuditEvent::new(self.ambient.now(), &origin.actor(), "association.end", outcome);
        self.record(event.subject(format!("{}@{}", origin.calling, origin.address)).detail(detail)).await;
    }

    /// Records that somebody who is not a peer asked for an association. `facility` is the one that it may concern.
    pub async fn record_refused_association(&self, who: &str, facility: Option<&FacilityId>, reason: &str) {
        let mut event = AuditEvent::new(
            self.ambient.now(),
            &Actor::System("receiver"),
            "association.request",
            AuditOutcome::Refused,
        );
        if let Some(facility) = facility {
            event = event.facility(facility);
        }
        self.record(event.subject(who).detail(reason)).await;
    }

    pub(crate) async fn record(&self, event: AuditEvent) {
        let recorded = async {
            let mut tx = self.database.write().await?;
            tx.audit(event);
            tx.commit().await
        };
        if let Err(error) = recorded.await {
            tracing::error!(error = error.chain(), "an event of reception was not recorded");
        }
    }
}

impl Incoming {
    /// Takes the next bytes of the data set.
    ///
    /// # Errors
    ///
    /// [`IngestError::TooLarge`], [`IngestError::NotADataSet`] when it cannot be read and is too long to be kept for the office, or the store's failure. The
    /// caller drops the object and answers the error after the sender has finished it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), IngestError> {
        self.received += bytes.len() as u64;
        self.ingest.space.received(bytes.len());
        let limit = self.ingest.settings.max_object_bytes;
        if self.received > limit {
            return Err(IngestError::TooLarge { limit });
        }
        if self.broken.is_none() {
            self.broken = self.head.push(&bytes).err();
        }
        if let Some(broken) = &self.broken
            && self.received > set_aside::LONGEST
        {
            let error = IngestError::NotADataSet(broken.clone());
            let (reason, detail) = (QuarantineReason::Unreadable.as_str(), with_causes(&error));
            Box::pin(self.ingest.count_refusal(&self.origin, reason, &detail)).await;
            return Err(error);
        }
        if let Some(note) = &mut self.note {
            note.push(&bytes);
        }
        self.staged.write(bytes).await?;
        Ok(())
    }

    /// Makes the object durable and files it. When this returns `Ok`, neither kill -9 nor power loss takes the object away.
    pub async fn finish(self) -> Result<Stored, IngestError> {
        let Self { ingest, origin, object, id, header_length, received, head, broken, note, staged, _under_way } = self;
        let facts = match facts_of(head, broken, &object) {
            Ok(facts) => facts,
            Err(error) => {
                // Off the way of every object, whose future stays small.
                Box::pin(ingest.set_aside(&origin, &object, id, staged, received, &error)).await;
                return Err(error);
            }
        };
        let named = staged.commit_named().await?;
        let receipt = named.receipt().clone();
        let candidate = Candidate {
            id,
            facility: origin.facility.clone(),
            facts,
            blob_key: receipt.key.clone(),
            size_bytes: receipt.size,
            dataset_offset: header_length,
            dataset_sha256: receipt.payload_sha256,
            calling: origin.calling.to_string(),
            received_at: ingest.ambient.now(),
            opens_case: origin.opens_case,
            rejection_note: note.and_then(crate::rejection::read),
            released: false,
        };
        let study_uid = candidate.facts.study.clone();
        match ingest.committer.file(candidate, named).await? {
            Filed::New { study } => {
                ingest.note_under_way(study, origin.association);
                Ok(Stored::New { id, study: study_uid })
            }
            Filed::AlreadyStored { id, study } => {
                discard(&ingest, &receipt.key).await;
                ingest.note_under_way(study, origin.association);
                Ok(Stored::AlreadyStored { id })
            }
            // The blob stays unindexed: it costs little, and it may differ from what we signed.
            Filed::OwnReport => Ok(Stored::OwnReport),
            Filed::Quarantined(reason) => Err(IngestError::Quarantined(reason)),
            Filed::AlreadyQuarantined(reason) => {
                discard(&ingest, &receipt.key).await;
                Err(IngestError::Quarantined(reason))
            }
        }
    }
}

/// What the index keeps of the object.
fn facts_of(head: HeadReader, broken: Option<HeadError>, object: &ObjectHead) -> Result<InstanceFacts, IngestError> {
    if let Some(error) = broken {
        return Err(IngestError::NotADataSet(error));
    }
    let head = head.finish().map_err(IngestError::NotADataSet)?;
    let facts = head.facts(&object.transfer_syntax).map_err(IngestError::Unfileable)?;
    agree(object, &facts)?;
    within_limits(&facts)?;
    if let Body::Broken(error) = &head.body {
        // PS3.4 B.2.3 lets us store what was sent; what cannot be shown later has its reason here.
        tracing::warn!(sop_instance = %facts.sop_instance, %error, "the object's pixel data is broken; stored as sent");
    }
    Ok(facts)
}

fn agree(object: &ObjectHead, facts: &InstanceFacts) -> Result<(), IngestError> {
    if facts.sop_instance != object.sop_instance {
        return Err(IngestError::SopInstanceMismatch);
    }
    if facts.sop_class != object.sop_class {
        return Err(IngestError::SopClassMismatch);
    }
    Ok(())
}

/// VR LO allows 64 characters (PS3.5 6.2). Senders exceed that; what is part of a key of the index must stay bounded all the same.
pub(crate) fn within_limits(facts: &InstanceFacts) -> Result<(), IngestError> {
    const LIMIT: usize = 256;
    for (field, text) in [("Patient ID", &facts.patient.id), ("Issuer of Patient ID", &facts.patient.issuer)] {
        if text.len() > LIMIT {
            return Err(IngestError::TooLong { field, limit: LIMIT });
        }
    }
    Ok(())
}

/// Removes a blob of which a copy with the same content is committed under another key.
pub(crate) async fn discard(ingest: &Ingest, key: &BlobKey) {
    let indexed = async { ingest.database.read().await?.blob_is_indexed(key.as_str()).await };
    if !matches!(indexed.await, Ok(false)) {
        return;
    }
    if let Err(error) = ingest.store.delete(key).await {
        tracing::warn!(%error, "a second copy of a stored object was not removed; it does no harm");
    }
}

/// The error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
