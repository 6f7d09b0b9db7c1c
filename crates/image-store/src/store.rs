//! The one handle that the rest of the node holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::file::FileStore;
use crate::s3::{Address, Limits, S3Credentials, S3Store};
use crate::{BlobKey, BlobReader, Receipt, StagedBlob, StoreError, StoreErrorKind};

/// A place that keeps blobs. Cheap to clone; all clones are the same place.
#[derive(Clone, Debug)]
pub struct ImageStore {
    pub(crate) backend: Backend,
}

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    File(Arc<FileStore>),
    S3(Arc<S3Store>),
}

/// What a store needs besides its address.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// For `s3://`: who we are there. `None`: what the environment says (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, a web identity, the machine's role).
    pub credentials: Option<S3Credentials>,
    /// For `s3://`: a directory of this machine for what memory has no room for while it waits to be sent; without it the system's temporary one.
    pub overflow: Option<PathBuf>,
}

impl ImageStore {
    /// As [`Self::connect_with`] with what the environment and the system give.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, StoreOptions::default()).await
    }

    /// Opens the store at `url`.
    ///
    /// `file:///absolute/path` keeps blobs in a directory, which is created when it is not there; `%XX` in the path is decoded. Its file system must
    /// support rename and fsync.
    ///
    /// `s3://bucket/prefix` keeps them in a bucket, which must be there. After a `?`: `endpoint=https://host:port` for a server that is not Amazon's,
    /// `region`, `path_style=true|false` (true when there is an endpoint), and `unencrypted=allowed` when an `http://` endpoint is no loopback address.
    ///
    /// # Errors
    /// [`StoreErrorKind::InvalidKey`] for any other address; otherwise as the directory or the bucket cannot be used.
    pub async fn connect_with(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        if !url.starts_with("file://") {
            let address = Address::parse(url)?;
            let overflow = options.overflow.unwrap_or_else(std::env::temp_dir);
            return Self::on_s3(address, options.credentials, overflow, Limits::default()).await;
        }
        let root = crate::file::root_from_url(url)?;
        let store = in_background("open image store", None, move || FileStore::open(root)).await?;
        Ok(Self { backend: Backend::File(Arc::new(store)) })
    }

    pub(crate) async fn on_s3(
        address: Address,
        credentials: Option<S3Credentials>,
        overflow: PathBuf,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let store = S3Store::open(address, credentials, overflow, limits).await?;
        Ok(Self { backend: Backend::S3(Arc::new(store)) })
    }

    /// Begins a blob whose first bytes are `head`. Nothing is visible to readers until [`StagedBlob::commit`]; dropping the guard removes the bytes.
    ///
    /// The head is ours (the Part 10 header) and is left out of the hash of the payload. Each staged blob may occupy one thread of the runtime's
    /// blocking pool until it is committed or dropped: callers bound how many they hold, and hold at most one per connection.
    pub async fn stage(&self, key: BlobKey, head: Bytes) -> Result<StagedBlob, StoreError> {
        self.stage_with_hint(key, head, None).await
    }

    /// As [`Self::stage`], and reserves room for `whole_size` bytes, so that a full disk is known before they are sent.
    /// The hint may be wrong in both directions; a caller that has it from a peer caps it first.
    pub async fn stage_with_hint(
        &self,
        key: BlobKey,
        head: Bytes,
        whole_size: Option<u64>,
    ) -> Result<StagedBlob, StoreError> {
        match &self.backend {
            Backend::File(store) => StagedBlob::on_file(Arc::clone(store), key, head, whole_size).await,
            Backend::S3(store) => StagedBlob::on_s3(Arc::clone(store), key, head).await,
        }
    }

    /// As [`Self::stage`], but what goes to a file system is written by the calling thread: the calls of the staged blob block while the disk works.
    ///
    /// For tasks that have a thread to block, such as the associations of the DICOM listener: no other thread is woken for each chunk, and the bytes are hashed
    /// and copied while they are in that core's cache.
    pub async fn stage_here(&self, key: BlobKey, head: Bytes) -> Result<StagedBlob, StoreError> {
        match &self.backend {
            Backend::File(store) => StagedBlob::on_file_here(store, key, &head),
            Backend::S3(_) => self.stage(key, head).await,
        }
    }

    /// Opens a committed blob.
    pub async fn open(&self, key: &BlobKey) -> Result<BlobReader, StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted) = (Arc::clone(store), key.clone());
                let (file, size) = in_background("open blob", Some(key), move || store.open_blob(&wanted)).await?;
                BlobReader::on_file(key.clone(), size, file)
            }
            Backend::S3(store) => {
                let (reader, size) = store.open_blob(key).await?;
                Ok(BlobReader::on_s3(key.clone(), size, reader))
            }
        }
    }

    /// The whole blob in memory.
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`] when it has more than `limit` bytes; nothing is read then.
    pub async fn read_to_vec(&self, key: &BlobKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        let mut reader = self.open(key).await?;
        let capacity = match usize::try_from(reader.size()) {
            Ok(size) if reader.size() <= limit => size,
            _ => {
                let cause = format!("blob has {} bytes, at most {limit} are read here", reader.size());
                return Err(StoreError::new(StoreErrorKind::TooLarge, "read blob", Some(key)).because(cause));
            }
        };
        let mut bytes = Vec::with_capacity(capacity);
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads the blob again and hashes what follows `payload_offset` (the length of its head), for comparison with [`Receipt::payload_sha256`].
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] when the blob ends before `payload_offset`.
    pub async fn payload_sha256(&self, key: &BlobKey, payload_offset: u64) -> Result<[u8; 32], StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted) = (Arc::clone(store), key.clone());
                in_background("verify blob", Some(key), move || store.payload_sha256(&wanted, payload_offset)).await
            }
            Backend::S3(store) => store.payload_sha256(key, payload_offset).await,
        }
    }

    /// Stores a small object durably; all of it is payload.
    ///
    /// # Errors
    /// [`StoreErrorKind::AlreadyExists`] when the key is taken, also by the same bytes.
    pub async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<Receipt, StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted) = (Arc::clone(store), key.clone());
                in_background("store blob", Some(&key), move || {
                    let size = u64::try_from(bytes.len()).ok();
                    let mut staging = store.stage(wanted, &[], size)?;
                    staging.write(&bytes)?;
                    staging.commit()
                })
                .await
            }
            Backend::S3(store) => {
                let mut staged = StagedBlob::on_s3(Arc::clone(store), key, Bytes::new()).await?;
                staged.write(bytes).await?;
                staged.commit().await
            }
        }
    }

    /// Every committed blob whose key begins with `prefix` (`""` for all), in the order of keys. Must be called inside a Tokio runtime.
    ///
    /// A blob committed before the call is listed; one committed during it may be or not. Memory is bounded by one directory.
    pub fn list(&self, prefix: &str) -> BlobList {
        self.list_after(prefix, "")
    }

    /// As [`Self::list`], from the first key that comes after `after` on (`""` for the beginning), which need not be a key itself: a walk that was
    /// interrupted goes on where it was, and one that wants what is new begins there.
    pub fn list_after(&self, prefix: &str, after: &str) -> BlobList {
        let (sender, receiver) = mpsc::channel(256);
        match &self.backend {
            Backend::File(store) => {
                let (store, prefix, after) = (Arc::clone(store), prefix.to_owned(), after.to_owned());
                spawn_blocking(move || store.list(&prefix, &after, &sender));
            }
            Backend::S3(store) => {
                let (store, prefix, after) = (Arc::clone(store), prefix.to_owned(), after.to_owned());
                tokio::spawn(async move { store.list(&prefix, &after, &sender).await });
            }
        }
        BlobList { entries: receiver }
    }

    pub async fn exists(&self, key: &BlobKey) -> Result<bool, StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted) = (Arc::clone(store), key.clone());
                in_background("look for blob", Some(key), move || store.exists(&wanted)).await
            }
            Backend::S3(store) => store.exists(key).await,
        }
    }

    /// Removes a blob; it is no error when there is none. Only for objects that were never acknowledged to anybody, such as the files of a
    /// signing attempt that failed. An image for which a sender holds a success status is never removed.
    pub async fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let (store, wanted) = (Arc::clone(store), key.clone());
                in_background("delete blob", Some(key), move || store.delete(&wanted)).await
            }
            Backend::S3(store) => store.delete(key).await,
        }
    }

    /// Removes what processes left staged when they died, if it was last written more than `older_than` ago. What a living process is
    /// writing stays, however old; in a bucket, where other nodes' writers cannot be seen, whatever is less than a day old. Returns how many were removed.
    pub async fn sweep_staging(&self, older_than: Duration) -> Result<u64, StoreError> {
        match &self.backend {
            Backend::File(store) => {
                let store = Arc::clone(store);
                in_background("sweep staging area", None, move || store.sweep_staging(older_than)).await
            }
            Backend::S3(store) => store.sweep_staging(older_than).await,
        }
    }

    /// Bytes that can still be stored; `None` when the place does not tell.
    pub async fn free_bytes(&self) -> Option<u64> {
        match &self.backend {
            Backend::File(store) => {
                let store = Arc::clone(store);
                spawn_blocking(move || store.free_bytes()).await.ok().flatten()
            }
            Backend::S3(_) => None,
        }
    }
}

/// The blobs that [`ImageStore::list`] found.
#[derive(Debug)]
pub struct BlobList {
    entries: mpsc::Receiver<Result<(BlobKey, u64), StoreError>>,
}

impl BlobList {
    /// The next key and the size of its blob in bytes; `None` after the last. After an error the list may go on with other directories:
    /// a caller that must see everything stops.
    pub async fn next(&mut self) -> Result<Option<(BlobKey, u64)>, StoreError> {
        self.entries.recv().await.transpose()
    }
}

/// Runs file operations off the runtime's workers.
pub(crate) async fn in_background<T: Send + 'static>(
    operation: &'static str,
    key: Option<&BlobKey>,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => Err(StoreError::new(StoreErrorKind::Internal, operation, key).because(cause)),
    }
}
