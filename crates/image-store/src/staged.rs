//! A blob that is being received.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::file::{FileStore, StagingFile, sync};
use crate::s3::{S3Store, S3Writer};
use crate::{BlobKey, StoreError, StoreErrorKind};

/// Chunks on their way to the disk. The memory of one staged blob is this many of the caller's chunks.
const CHUNKS_IN_FLIGHT: usize = 8;

/// Proof that a blob is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub key: BlobKey,
    /// Bytes of the whole blob, head included.
    pub size: u64,
    /// SHA-256 of the bytes that follow the head.
    pub payload_sha256: [u8; 32],
    /// How many bytes follow the head.
    pub payload_size: u64,
}

/// A blob with its bytes durable and its name given. It must not be acknowledged before [`Self::make_durable`].
#[derive(Debug)]
#[must_use = "the name is not durable yet"]
pub struct Named {
    receipt: Receipt,
    /// To be synced; `None` when nothing is left to do.
    directory: Option<PathBuf>,
}

impl Named {
    /// What will be proof.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Makes the names of all durable. Blocks the calling thread while the disk works.
    pub fn make_durable<'a>(names: impl IntoIterator<Item = &'a Self>) -> Result<(), StoreError> {
        let mut synced: Vec<&Path> = Vec::new();
        for Self { receipt, directory } in names {
            let Some(directory) = directory.as_deref().filter(|directory| !synced.contains(directory)) else {
                continue;
            };
            sync(directory).map_err(|cause| StoreError::writing("commit blob", Some(&receipt.key), cause))?;
            synced.push(directory);
        }
        Ok(())
    }
}

/// Size and hash of the bytes that followed the head so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadDigest {
    pub sha256: [u8; 32],
    pub size: u64,
}

/// Bytes that nobody can read yet. [`Self::commit`] makes them a blob; dropping the guard removes them.
///
/// After an error the staged blob is dead: every later call fails too, and its bytes are gone.
#[derive(Debug)]
pub struct StagedBlob {
    key: BlobKey,
    inner: Staged,
}

#[derive(Debug)]
enum Staged {
    /// Written by a thread of the blocking pool.
    File(FileWriter),
    /// Written by the caller's thread; `None` after a failure.
    Here(Option<Box<StagingFile>>),
    S3(Box<S3Writer>),
}

impl StagedBlob {
    pub(crate) async fn on_file(
        store: Arc<FileStore>,
        key: BlobKey,
        head: Bytes,
        whole_size: Option<u64>,
    ) -> Result<Self, StoreError> {
        let writer = FileWriter::start(store, key.clone(), head, whole_size).await?;
        Ok(Self { key, inner: Staged::File(writer) })
    }

    /// A staged file whose calls block the caller's thread.
    pub(crate) fn on_file_here(store: &Arc<FileStore>, key: BlobKey, head: &[u8]) -> Result<Self, StoreError> {
        let staging = store.stage(key.clone(), head, None)?;
        Ok(Self { key, inner: Staged::Here(Some(Box::new(staging))) })
    }

    pub(crate) async fn on_s3(store: Arc<S3Store>, key: BlobKey, head: Bytes) -> Result<Self, StoreError> {
        let writer = S3Writer::start(store, &key, &head).await?;
        Ok(Self { key, inner: Staged::S3(Box::new(writer)) })
    }

    pub fn key(&self) -> &BlobKey {
        &self.key
    }

    /// Appends `chunk`. Waits while the disk is slower than the sender; an error may belong to an earlier chunk.
    ///
    /// A chunk that is a slice of a larger buffer keeps that buffer in memory until it is written.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        match &mut self.inner {
            Staged::File(writer) => writer.write(&self.key, chunk).await,
            Staged::Here(staging) => {
                let written = alive(staging, "write blob", &self.key)?.write(&chunk);
                if written.is_err() {
                    // Its bytes go with it.
                    *staging = None;
                }
                written
            }
            Staged::S3(writer) => writer.write(&self.key, chunk).await,
        }
    }

    /// Size and hash of what was written so far. With it a caller can tell that it has these bytes already and drop the staged blob,
    /// without paying for a commit.
    pub async fn payload_digest(&mut self) -> Result<PayloadDigest, StoreError> {
        match &mut self.inner {
            Staged::File(writer) => writer.payload_digest(&self.key).await,
            Staged::Here(staging) => Ok(alive(staging, "hash blob", &self.key)?.payload_digest()),
            Staged::S3(writer) => writer.payload_digest(&self.key),
        }
    }

    /// Makes the blob durable and visible: data synced, final name given, directory synced; or acknowledged by the S3 server.
    ///
    /// When the returned future is dropped half way the blob may appear or not; if it appears it is complete. The same holds for an error
    /// other than [`StoreErrorKind::AlreadyExists`]: durability is not promised, and the caller must not acknowledge.
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyExists`] when there is a blob under this key; it stays as it was, and the staged bytes are removed.
    pub async fn commit(self) -> Result<Receipt, StoreError> {
        match self.inner {
            Staged::File(writer) => writer.commit(&self.key).await,
            Staged::Here(Some(staging)) => staging.commit(),
            Staged::Here(None) => Err(dead("commit blob", &self.key)),
            Staged::S3(writer) => writer.commit(&self.key).await,
        }
    }

    /// As [`Self::commit`], but the name may still be lost to a power failure until [`Named::make_durable`]: whoever commits several blobs at once pays
    /// for one sync of their directory instead of one each. The same errors.
    pub async fn commit_named(self) -> Result<Named, StoreError> {
        match self.inner {
            Staged::Here(Some(staging)) => {
                let (receipt, directory) = staging.name()?;
                Ok(Named { receipt, directory: Some(directory) })
            }
            _ => self.commit().await.map(|receipt| Named { receipt, directory: None }),
        }
    }

    /// Removes the bytes as dropping does, and returns when they are gone.
    pub async fn discard(self) {
        match self.inner {
            Staged::File(writer) => writer.discard().await,
            Staged::Here(staging) => drop(staging),
            Staged::S3(writer) => writer.discard().await,
        }
    }
}

fn alive<'a>(
    staging: &'a mut Option<Box<StagingFile>>,
    operation: &'static str,
    key: &BlobKey,
) -> Result<&'a mut StagingFile, StoreError> {
    staging.as_deref_mut().ok_or_else(|| dead(operation, key))
}

fn dead(operation: &'static str, key: &BlobKey) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, operation, Some(key)).because("staged blob has failed before")
}

enum Command {
    Write(Bytes),
    Digest(oneshot::Sender<PayloadDigest>),
    Commit,
}

/// The asynchronous end of one blocking thread that owns the staged file. The thread ends with the file committed, or removes it.
#[derive(Debug)]
struct FileWriter {
    commands: mpsc::Sender<Command>,
    /// `None` once its result has been taken.
    thread: Option<JoinHandle<Result<Option<Receipt>, StoreError>>>,
}

impl FileWriter {
    async fn start(
        store: Arc<FileStore>,
        key: BlobKey,
        head: Bytes,
        whole_size: Option<u64>,
    ) -> Result<Self, StoreError> {
        let (commands, mut received) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let (ready, is_ready) = oneshot::channel();
        let name = key.clone();
        let thread = spawn_blocking(move || {
            let mut staging = store.stage(name, &head, whole_size)?;
            drop(head);
            // Nobody waits any more: the file goes with `staging`.
            if ready.send(()).is_err() {
                return Ok(None);
            }
            while let Some(command) = received.blocking_recv() {
                match command {
                    Command::Write(chunk) => staging.write(&chunk)?,
                    Command::Digest(answer) => {
                        let _ = answer.send(staging.payload_digest());
                    }
                    Command::Commit => return staging.commit().map(Some),
                }
            }
            Ok(None)
        });
        let mut writer = Self { commands, thread: Some(thread) };
        match is_ready.await {
            Ok(()) => Ok(writer),
            Err(_) => Err(writer.failure("stage blob", &key).await),
        }
    }

    async fn write(&mut self, key: &BlobKey, chunk: Bytes) -> Result<(), StoreError> {
        if chunk.is_empty() {
            return Ok(());
        }
        match self.commands.send(Command::Write(chunk)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure("write blob", key).await),
        }
    }

    async fn payload_digest(&mut self, key: &BlobKey) -> Result<PayloadDigest, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Digest(answer)).await.is_ok()
            && let Ok(digest) = answered.await
        {
            return Ok(digest);
        }
        Err(self.failure("hash blob", key).await)
    }

    async fn commit(mut self, key: &BlobKey) -> Result<Receipt, StoreError> {
        // A thread that has already failed takes no more commands, but still holds the reason.
        let _ = self.commands.send(Command::Commit).await;
        match self.join("commit blob", key).await? {
            Some(receipt) => Ok(receipt),
            None => Err(StoreError::new(StoreErrorKind::Internal, "commit blob", Some(key))),
        }
    }

    async fn discard(self) {
        let Self { commands, thread } = self;
        drop(commands);
        if let Some(thread) = thread {
            let _ = thread.await;
        }
    }

    /// Why the thread stopped taking commands.
    async fn failure(&mut self, operation: &'static str, key: &BlobKey) -> StoreError {
        match self.join(operation, key).await {
            Err(error) => error,
            Ok(_) => StoreError::new(StoreErrorKind::Internal, operation, Some(key)),
        }
    }

    async fn join(&mut self, operation: &'static str, key: &BlobKey) -> Result<Option<Receipt>, StoreError> {
        let Some(thread) = self.thread.take() else {
            return Err(dead(operation, key));
        };
        match thread.await {
            Ok(result) => result,
            Err(cause) => Err(StoreError::new(StoreErrorKind::Internal, operation, Some(key)).because(cause)),
        }
    }
}
