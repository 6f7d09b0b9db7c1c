//! The index from the blobs alone.
//!
//! Every blob is a complete Part 10 file whose header says which facility sent it, when, and for what; so the index can be made again without any other
//! record. Blobs that the index has are passed over: the same walk adopts what a restored database lacks.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_dataset::{HeadLimits, HeadReader, Progress, part10};
use dokuei_domain::{InstanceId, patient::FacilityIssuer};
use dokuei_image_store::{BlobKey, BlobKeyParts, ImageStore};

use crate::{
    Ingest,
    committer::{Candidate, Filed, Filer},
    incoming::with_causes,
};

/// How far a rebuild has come, reported now and then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    pub seen: u64,
    pub added: u64,
}

/// What a rebuild found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RebuildSummary {
    pub seen: u64,
    pub added: u64,
    pub already_indexed: u64,
    /// The same content of the same facility under another key.
    pub second_copies: u64,
    pub quarantined: u64,
    /// Blobs that could not be read, with the reason; they stay where they are.
    pub unreadable: Vec<String>,
}

const GROUP: usize = 64;
const CHUNK: usize = 256 * 1024;

impl Ingest {
    /// Walks all instance blobs and indexes those that the index lacks. May run beside a working node.
    pub async fn rebuild_index(
        self: &Arc<Self>,
        mut progress: impl FnMut(RebuildProgress),
    ) -> Result<RebuildSummary, crate::IngestError> {
        let filer = Filer {
            database: self.database.clone(),
            ambient: self.ambient.clone(),
            quiet_seconds: self.settings.settle_quiet_seconds,
        };
        let mut summary = RebuildSummary::default();
        let mut group = Vec::with_capacity(GROUP);
        let mut blobs = self.store.list("v1/");
        while let Some((key, size)) = blobs.next().await? {
            summary.seen += 1;
            if self.database.read().await?.blob_is_indexed(key.as_str()).await? {
                summary.already_indexed += 1;
            } else {
                match read_candidate(&self.store, &key, size).await {
                    Ok(candidate) => group.push(candidate),
                    Err(reason) => summary.unreadable.push(format!("{}: {reason}", key.as_str())),
                }
            }
            if group.len() == GROUP {
                file(&filer, &mut group, &mut summary).await?;
            }
            if summary.seen.is_multiple_of(100) {
                progress(RebuildProgress { seen: summary.seen, added: summary.added });
            }
        }
        file(&filer, &mut group, &mut summary).await?;
        progress(RebuildProgress { seen: summary.seen, added: summary.added });
        Ok(summary)
    }
}

async fn file(
    filer: &Filer,
    group: &mut Vec<Candidate>,
    summary: &mut RebuildSummary,
) -> Result<(), crate::IngestError> {
    if group.is_empty() {
        return Ok(());
    }
    // In the order of receipt, so that of two contents of one UID the first one is filed, as it was then.
    group.sort_by_key(|candidate| candidate.received_at);
    let mut tx = filer.database.write().await?;
    for candidate in group.iter_mut() {
        tx.facility_ensure(&candidate.facility, candidate.received_at).await?;
        // What the facility calls itself besides its issuer is no fact of the blob.
        candidate.facility.aliases = tx.facility_aliases(&candidate.facility.facility).await?;
    }
    tx.commit().await?;
    let filed = match filer.file_all(group).await {
        Ok(filed) => filed.into_iter().map(Ok).collect(),
        // One object that the database does not take must not keep the others out.
        Err(_) => {
            let mut alone = Vec::with_capacity(group.len());
            for candidate in group.iter() {
                alone.push(filer.file_all(std::slice::from_ref(candidate)).await.map(|filed| filed[0]));
            }
            alone
        }
    };
    for (candidate, filed) in group.iter().zip(filed) {
        match filed {
            Ok(Filed::New { .. }) => summary.added += 1,
            Ok(Filed::AlreadyStored { .. } | Filed::OwnReport) => summary.second_copies += 1,
            Ok(Filed::Quarantined(_) | Filed::AlreadyQuarantined(_)) => summary.quarantined += 1,
            Err(error) => summary.unreadable.push(format!("{}: {}", candidate.blob_key.as_str(), error.chain())),
        }
    }
    group.clear();
    Ok(())
}

/// Reads the facts of a blob back from its bytes; the reason of a failure is for a person.
async fn read_candidate(store: &ImageStore, key: &BlobKey, size: u64) -> Result<Candidate, String> {
    let reader = store.open(key).await.map_err(|error| with_causes(&error))?;
    let first = reader.read_range(0, at_most(size)).await.map_err(|error| with_causes(&error))?;
    let (meta, dataset_offset) = part10::parse_header(&first).map_err(|error| with_causes(&error))?;
    let receipt = meta.receipt.ok_or("the file does not say which facility sent it")?;
    let BlobKeyParts::Instance { blob, .. } = key.parts() else {
        return Err("the key is not an instance's".to_owned());
    };
    if key.facility() != &receipt.facility {
        return Err(format!("the file says facility {}, its key says {}", receipt.facility, key.facility()));
    }
    let mut head = HeadReader::new(&meta.transfer_syntax, HeadLimits::default());
    let (mut offset, mut chunk) = (dataset_offset as u64, first.slice(dataset_offset..));
    while !chunk.is_empty() {
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
    let dataset_sha256 = store.payload_sha256(key, dataset_offset as u64).await.map_err(|error| with_causes(&error))?;
    Ok(Candidate {
        id: InstanceId(blob.0),
        facility: FacilityIssuer { facility: receipt.facility, issuer: receipt.issuer, aliases: Vec::new() },
        facts,
        blob_key: key.clone(),
        size_bytes: size,
        dataset_offset: dataset_offset as u64,
        dataset_sha256,
        calling: meta.source_ae_title.map(|title| title.to_string()).unwrap_or_default(),
        received_at: receipt.received_at,
        opens_case: receipt.opens_case,
    })
}

fn at_most(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK)
}
