//! Reading one blob again and saying whether it is what was stored.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use dokuei_database::{CustodyBlob, CustodyKind, DamageKind};
use dokuei_dataset::part10;
use dokuei_image_store::{BlobKey, BlobReader, ImageStore, StagedBlob, StoreError, StoreErrorKind};

use super::pace::Pace;

/// Longest header that is looked through for its end.
const LONGEST_HEAD: usize = 256 * 1024;

/// What reading found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Sound {
        /// Of our own header.
        head: [u8; 32],
    },
    Damaged(Fault),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: DamageKind,
    pub(super) found: Option<[u8; 32]>,
    /// For a person.
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn new(kind: DamageKind, found: Option<[u8; 32]>, detail: impl Into<String>) -> Self {
        Self { kind, found, detail: detail.into() }
    }
}

/// Reads the whole blob and compares sizes and hashes.
///
/// # Errors
///
/// The place as a whole does not answer: nothing is known of the blob.
pub(super) async fn examine(
    store: &ImageStore,
    key: &BlobKey,
    blob: &CustodyBlob,
    pace: &Pace,
) -> Result<Verdict, StoreError> {
    match read(store, key, blob, pace, None).await {
        Ok(Read::Sound { head, .. }) => Ok(Verdict::Sound { head }),
        Ok(Read::Faulty(fault)) => Ok(Verdict::Damaged(fault)),
        Err(Failed::Reading(error)) => blame(store, error).await.map(Verdict::Damaged),
        // Nothing is written here.
        Err(Failed::Writing(error)) => Err(error),
    }
}

/// A blob that was read.
pub(super) enum Read {
    Sound { head: [u8; 32], staged: Option<StagedBlob> },
    Faulty(Fault),
}

/// Which side of a copy failed.
pub(super) enum Failed {
    Reading(StoreError),
    Writing(StoreError),
}

/// Whether an error is the blob's or its place's.
pub(super) async fn blame(store: &ImageStore, error: StoreError) -> Result<Fault, StoreError> {
    if error.kind == StoreErrorKind::OutOfSpace {
        return Err(error);
    }
    store.answers().await?;
    let cause = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(match error.kind {
        StoreErrorKind::NotFound => Fault::new(DamageKind::Missing, None, "there is no such blob"),
        StoreErrorKind::Corrupt => Fault::new(DamageKind::Altered, None, cause),
        _ => Fault::new(DamageKind::Unreadable, None, format!("{}: {cause}", error.kind)),
    })
}

/// Reads a blob, and stages what it reads in `into` if that is given. What is staged is sound when this returns [`Read::Sound`], and not committed.
pub(super) async fn read(
    from: &ImageStore,
    key: &BlobKey,
    blob: &CustodyBlob,
    pace: &Pace,
    into: Option<&ImageStore>,
) -> Result<Read, Failed> {
    let mut reader = from.open(key).await.map_err(Failed::Reading)?;
    let size = u64::try_from(blob.size_bytes).unwrap_or(0);
    if reader.size() != size {
        let detail = format!("the blob has {} bytes, it should have {size}", reader.size());
        return Ok(Read::Faulty(Fault::new(DamageKind::Altered, None, detail)));
    }
    let head = match head_of(&reader, key, blob).await.map_err(Failed::Reading)? {
        Ok(head) => head,
        Err(fault) => return Ok(Read::Faulty(fault)),
    };
    let mut staged = match into {
        Some(into) => Some(into.stage_with_hint(key.clone(), head.clone(), Some(size)).await.map_err(Failed::Writing)?),
        None => None,
    };
    let (mut digest, mut rest_of_head) = (Context::new(&SHA256), head.len());
    while let Some(chunk) = reader.next_chunk().await.map_err(Failed::Reading)? {
        pace.spent(chunk.len() as u64).await;
        let skipped = rest_of_head.min(chunk.len());
        rest_of_head -= skipped;
        let payload = chunk.slice(skipped..);
        digest.update(&payload);
        if let Some(staged) = &mut staged {
            staged.write(payload).await.map_err(Failed::Writing)?;
        }
    }
    let found = finished(digest);
    if found != blob.sha256 {
        let detail = "its hash is not that of what was received";
        return Ok(Read::Faulty(Fault::new(DamageKind::Altered, Some(found), detail)));
    }
    if let Some(staged) = &mut staged {
        let written = staged.payload_digest().await.map_err(Failed::Writing)?;
        if written.sha256 != found {
            let error = std::io::Error::other("what was written is not what was read");
            return Err(Failed::Writing(damaged_on_the_way(key, error)));
        }
    }
    Ok(Read::Sound { head: sha256(&head), staged })
}

fn damaged_on_the_way(key: &BlobKey, cause: std::io::Error) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Internal,
        operation: "copy blob",
        key: Some(key.clone()),
        source: Some(Box::new(cause)),
    }
}

/// The bytes before the hashed ones, checked: by their hash where it is known, otherwise by what they must say.
async fn head_of(reader: &BlobReader, key: &BlobKey, blob: &CustodyBlob) -> Result<Result<Bytes, Fault>, StoreError> {
    let fault = |detail: String| Ok(Err(Fault::new(DamageKind::HeadAltered, None, detail)));
    if blob.kind == CustodyKind::ReportFile {
        return Ok(Ok(Bytes::new()));
    }
    let first = reader.read_range(0, LONGEST_HEAD).await?;
    let (meta, end) = match part10::parse_header(&first) {
        Ok(parsed) => parsed,
        Err(error) => return fault(format!("its header is damaged: {error}")),
    };
    let expected = blob.dataset_offset.and_then(|offset| usize::try_from(offset).ok());
    if expected.is_some_and(|expected| expected != end) {
        return fault(format!("its header ends at byte {end} and should end at {}", expected.unwrap_or_default()));
    }
    let head = first.slice(..end);
    match blob.head_sha256 {
        Some(known) if known == sha256(&head) => return Ok(Ok(head)),
        Some(_) => return fault("its header is not the one that was written".to_owned()),
        None => {}
    }
    // What lies in quarantine may name no object, or an impossible one.
    let names_another = blob.kind == CustodyKind::Instance
        && meta.sop_instance.as_ref().is_some_and(|uid| uid.as_str() != blob.subject);
    let facility_differs = meta.receipt.as_ref().is_none_or(|receipt| &receipt.facility != key.facility());
    if names_another || facility_differs {
        return fault("its header names another object or facility".to_owned());
    }
    Ok(Ok(head))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    digest.update(bytes);
    finished(digest)
}

fn finished(digest: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    bytes
}
