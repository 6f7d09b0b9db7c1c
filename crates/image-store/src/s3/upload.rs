//! A blob on its way into the bucket.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    Attributes, Error as S3Error, ObjectStore as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::part::{Part, Sendable};
use super::{PART_BYTES, S3Store, WRITER, errors};
use crate::{BlobKey, PayloadDigest, Receipt, StoreError, StoreErrorKind};

/// How many parts S3 allows.
const MOST_PARTS: usize = 10_000;

/// The far end of a staged blob.
pub(crate) struct S3Writer {
    store: Arc<S3Store>,
    path: Path,
    /// Our name in the object's metadata.
    name: String,
    digest: Context,
    payload_size: u64,
    size: u64,
    part: Part,
    /// Begun with the first full part.
    upload: Option<Upload>,
    failed: bool,
}

impl std::fmt::Debug for S3Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Writer").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Whose object is under our key.
enum Owner {
    Nobody,
    Us,
    SomebodyElse,
}

pub(super) fn finished(digest: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

impl S3Writer {
    /// Nothing is sent before the first part is full or the blob is committed.
    pub(crate) async fn start(store: Arc<S3Store>, key: &BlobKey, head: &[u8]) -> Result<Self, StoreError> {
        let mut writer = Self {
            path: store.path(key),
            name: store.new_writer_name(),
            digest: Context::new(&SHA256),
            payload_size: 0,
            size: 0,
            part: Part::new(&store.pool),
            upload: None,
            failed: false,
            store,
        };
        writer.append("stage blob", key, head).await?;
        Ok(writer)
    }

    pub(crate) async fn write(&mut self, key: &BlobKey, chunk: Bytes) -> Result<(), StoreError> {
        self.alive("write blob", key)?;
        self.digest.update(&chunk);
        self.payload_size += chunk.len() as u64;
        let written = self.append("write blob", key, &chunk).await;
        if written.is_err() {
            self.give_up();
        }
        written
    }

    pub(crate) fn payload_digest(&self, key: &BlobKey) -> Result<PayloadDigest, StoreError> {
        self.alive("hash blob", key)?;
        Ok(PayloadDigest { sha256: finished(self.digest.clone()), size: self.payload_size })
    }

    pub(crate) async fn commit(mut self, key: &BlobKey) -> Result<Receipt, StoreError> {
        self.alive("commit blob", key)?;
        if self.upload.is_some() {
            self.commit_parts(key).await?;
        } else {
            let whole = self.part.take().await.map_err(|cause| overflow_failed("commit blob", key, cause))?;
            self.put(key, whole.payload.clone()).await?;
        }
        Ok(Receipt {
            key: key.clone(),
            size: self.size,
            payload_sha256: finished(self.digest.clone()),
            payload_size: self.payload_size,
        })
    }

    pub(crate) async fn discard(mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }

    fn alive(&self, operation: &'static str, key: &BlobKey) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::new(StoreErrorKind::Internal, operation, Some(key))
                .because("staged blob has failed before"));
        }
        Ok(())
    }

    /// What was sent goes now, not when the caller lets go.
    fn give_up(&mut self) {
        self.failed = true;
        self.upload = None;
        self.part = Part::new(&self.store.pool);
    }

    async fn append(&mut self, operation: &'static str, key: &BlobKey, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            if self.part.len() == PART_BYTES {
                self.send_part(operation, key).await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.part.append(now).await.map_err(|cause| overflow_failed(operation, key, cause))?;
            self.size += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Begins to send the part; the next one fills meanwhile.
    async fn send_part(&mut self, operation: &'static str, key: &BlobKey) -> Result<(), StoreError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Upload::begin(&self.store, &self.path, &self.name, operation, key).await?),
        };
        upload.arrived(operation, key).await?;
        let part = self.part.take().await.map_err(|cause| overflow_failed(operation, key, cause))?;
        upload.send(part, operation, key)
    }

    async fn commit_parts(&mut self, key: &BlobKey) -> Result<(), StoreError> {
        if self.part.len() > 0 {
            self.send_part("commit blob", key).await?;
        }
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        upload.arrived("commit blob", key).await?;
        if !matches!(self.owner().await, Ok(Owner::Nobody)) {
            // Also when the server does not say: better an object sent again than one replaced.
            upload.abort().await;
            self.is_taken(key).await?;
            return Err(StoreError::new(StoreErrorKind::Unavailable, "commit blob", Some(key)));
        }
        let parts = upload.parts.clone();
        let Err(cause) = self.store.completer.complete_multipart(&self.path, &upload.id, parts).await else {
            upload.completed();
            return Ok(());
        };
        // A completion that is tried again after its answer was lost finds its upload gone, or its object there.
        match self.owner().await {
            Ok(Owner::Us) => {
                upload.completed();
                Ok(())
            }
            Ok(Owner::SomebodyElse) => {
                upload.abort().await;
                Err(taken(key))
            }
            Ok(Owner::Nobody) | Err(_) => {
                upload.abort().await;
                Err(errors::writing("commit blob", Some(key), cause))
            }
        }
    }

    async fn is_taken(&self, key: &BlobKey) -> Result<(), StoreError> {
        match self.owner().await {
            Ok(Owner::Nobody) => Ok(()),
            Ok(_) => Err(taken(key)),
            Err(cause) => Err(errors::writing("commit blob", Some(key), cause)),
        }
    }

    /// One conditional PUT, again where it is certain that the one before did nothing.
    async fn put(&self, key: &BlobKey, payload: PutPayload) -> Result<(), StoreError> {
        let until = Instant::now() + self.store.limits.retrying;
        let mut pause = self.store.limits.backoff;
        loop {
            let options = PutOptions { attributes: self.attributes(), ..PutOptions::from(PutMode::Create) };
            let Err(cause) = self.store.sender.put_opts(&self.path, payload.clone(), options).await else {
                return Ok(());
            };
            let error = errors::writing("commit blob", Some(key), cause);
            if !matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::AlreadyExists) {
                return Err(error);
            }
            match self.owner().await {
                Ok(Owner::Us) => return Ok(()),
                Ok(Owner::SomebodyElse) => return Err(taken(key)),
                Ok(Owner::Nobody) if Instant::now() < until => {}
                // Refused because of a writer that has not finished or has failed: nobody has the key, but this was not stored.
                Ok(Owner::Nobody) if error.kind == StoreErrorKind::AlreadyExists => {
                    return Err(StoreError { kind: StoreErrorKind::Unavailable, ..error });
                }
                Ok(Owner::Nobody) | Err(_) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn owner(&self) -> Result<Owner, S3Error> {
        match self.store.look(&self.path).await {
            Ok(found) if found.writer.as_deref() == Some(&self.name) && found.size == self.size => Ok(Owner::Us),
            Ok(_) => Ok(Owner::SomebodyElse),
            Err(S3Error::NotFound { .. }) => Ok(Owner::Nobody),
            Err(cause) => Err(cause),
        }
    }

    fn attributes(&self) -> Attributes {
        attributes(&self.name)
    }
}

fn attributes(name: &str) -> Attributes {
    Attributes::from_iter([(WRITER, name.to_owned())])
}

fn taken(key: &BlobKey) -> StoreError {
    StoreError::new(StoreErrorKind::AlreadyExists, "commit blob", Some(key))
}

/// The local disk that takes what memory has no room for.
fn overflow_failed(operation: &'static str, key: &BlobKey, cause: std::io::Error) -> StoreError {
    StoreError::writing(operation, Some(key), cause)
}

/// A multipart upload that has begun. Aborted when dropped before it was completed.
struct Upload {
    store: Arc<S3Store>,
    path: Path,
    id: String,
    parts: Vec<PartId>,
    sending: JoinSet<Result<PartId, S3Error>>,
    ended: bool,
}

impl Upload {
    async fn begin(
        store: &Arc<S3Store>,
        path: &Path,
        name: &str,
        operation: &'static str,
        key: &BlobKey,
    ) -> Result<Self, StoreError> {
        let options = PutMultipartOptions::from(attributes(name));
        let id = store.sender.create_multipart_opts(path, options).await;
        let id = id.map_err(|cause| errors::writing(operation, Some(key), cause))?;
        store.lock_under_way().insert(id.clone());
        Ok(Self {
            store: Arc::clone(store),
            path: path.clone(),
            id,
            parts: Vec::new(),
            sending: JoinSet::new(),
            ended: false,
        })
    }

    fn send(&mut self, part: Sendable, operation: &'static str, key: &BlobKey) -> Result<(), StoreError> {
        let number = self.parts.len();
        if number >= MOST_PARTS {
            return Err(StoreError::new(StoreErrorKind::TooLarge, operation, Some(key))
                .because("S3 takes at most 10,000 parts of 8 MiB"));
        }
        let (store, path, id) = (Arc::clone(&self.store), self.path.clone(), self.id.clone());
        self.sending.spawn(async move {
            // Holds its memory until it has arrived.
            store.sender.put_part(&path, &id, number, part.payload.clone()).await
        });
        Ok(())
    }

    /// Waits for the part that is being sent.
    async fn arrived(&mut self, operation: &'static str, key: &BlobKey) -> Result<(), StoreError> {
        while let Some(ended) = self.sending.join_next().await {
            match ended {
                Ok(Ok(part)) => self.parts.push(part),
                Ok(Err(cause)) => return Err(errors::writing(operation, Some(key), cause)),
                Err(cause) => {
                    return Err(StoreError::new(StoreErrorKind::Internal, operation, Some(key)).because(cause));
                }
            }
        }
        Ok(())
    }

    fn completed(mut self) {
        self.ended = true;
    }

    async fn abort(mut self) {
        self.ended = true;
        self.sending.shutdown().await;
        abort(&self.store, &self.path, &self.id).await;
    }
}

async fn abort(store: &S3Store, path: &Path, id: &String) {
    if let Err(error) = store.sender.abort_multipart(path, id).await {
        tracing::debug!(object = %path, %error, "an unfinished upload was not aborted, the next sweep will try again");
    }
    store.lock_under_way().remove(id);
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.ended {
            self.store.lock_under_way().remove(&self.id);
            return;
        }
        self.sending.abort_all();
        let (store, path, id) = (Arc::clone(&self.store), self.path.clone(), self.id.clone());
        // Without a runtime the process is ending; the sweep finds the upload tomorrow.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&store, &path, &id).await });
        }
    }
}
