//! Blobs as objects in a bucket of an S3-compatible server.
//!
//! ```text
//! s3://{bucket}/{prefix}/{key}      the key is the blob's key, character for character
//! ```
//!
//! * Invisible until commit: an object of up to [`PART_BYTES`] is one conditional PUT; a longer one is a multipart upload, which nobody sees
//!   before it is completed.
//! * Written once: PUT and the completion carry `If-None-Match: *`. A server that knows the condition for PUT only is asked with HEAD before the
//!   completion; what is left is two writers of one key in the same moment, and keys are UUIDs of which each writer makes its own.
//! * Durable: when the server has acknowledged. What that means is the server's promise (three places at Amazon, erasure coding at others).
//! * An answer that was lost says nothing. Each staged blob has a name of its own in its metadata; HEAD tells whether the object is ours.
//!   What stays unknown is an error, so nobody acknowledges it, and it becomes visible whole or not at all.
//! * Memory: see `part`. Retries are bounded by time, because a sender waits for the answer.
//!
//! A server must know conditional PUT (Amazon, MinIO, Ceph 19, Garage, R2 do); `dokuei doctor` tries.

mod address;
mod errors;
mod part;
mod read;
mod sweep;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{
    Attribute, BackoffConfig, ClientOptions, GetOptions, HeaderMap, HeaderValue, ObjectStore as _, ObjectStoreExt as _,
    RetryConfig,
};
use tokio::sync::mpsc::Sender;

pub(crate) use address::Address;
pub(crate) use read::{ReadFailure, S3Reader};
pub(crate) use upload::S3Writer;

use crate::{BlobKey, StoreError, StoreErrorKind};
use part::{Memory, Pool};

/// Larger than the 5 MiB that S3 wants of every part but the last; 10,000 parts make 78 GiB.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;

/// Where a repair keeps what it found damaged; see `repair`.
const ASIDE: &str = "damaged/";

/// The metadata that says which staged blob an object was.
const WRITER: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("dokuei-writer"));

/// What may come from the environment: who we are and where, nothing about how.
const FROM_ENVIRONMENT: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
];

/// Who we are to an S3 server.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key: String,
    pub secret_key: String,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Bounds of time and memory. The defaults give a sender its answer within a minute, be it that the store is away, and fit a node limited to 256 MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For one try of a request that carries a part: 8 MiB in this time must be possible while others send too.
    pub(crate) attempt: Duration,
    /// For each wait for an answer, or for more of it.
    pub(crate) answer: Duration,
    /// No try begins later than this after the first.
    pub(crate) retrying: Duration,
    pub(crate) backoff: Duration,
    pub(crate) memory: Memory,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            retrying: Duration::from_secs(10),
            backoff: Duration::from_millis(100),
            memory: Memory::OfProcess,
        }
    }
}

pub(crate) struct S3Store {
    address: Address,
    limits: Limits,
    sender: AmazonS3,
    /// As `sender`, and every request carries `If-None-Match: *`: the client offers no conditional completion by itself.
    completer: AmazonS3,
    /// An answer may take as long as its reader likes, as long as it goes on.
    reader: AmazonS3,
    sweeper: sweep::Sweeper,
    pool: Arc<Pool>,
    /// Names this process among the writers; see [`WRITER`].
    process: String,
    next_number: AtomicU64,
    /// Multipart uploads of this process, which no sweep may abort.
    under_way: Mutex<HashSet<String>>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What an object says about itself.
struct Found {
    size: u64,
    e_tag: Option<String>,
    writer: Option<String>,
}

impl S3Store {
    /// Prepares the clients and asks the bucket once.
    pub(crate) async fn open(
        address: Address,
        credentials: Option<S3Credentials>,
        overflow: PathBuf,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let failed = |cause| errors::writing("open image store", None, cause);
        let whole = ClientOptions::new()
            .with_connect_timeout(limits.answer.min(Duration::from_secs(5)))
            .with_timeout(limits.attempt);
        let mut condition = HeaderMap::new();
        condition.insert("if-none-match", HeaderValue::from_static("*"));
        let piecewise = whole.clone().with_timeout_disabled().with_read_timeout(limits.answer);
        let client = |options: ClientOptions| builder(&address, credentials.as_ref(), limits, options).build();
        let mut nonce = [0; 8];
        // Only distinguishes processes; no decision depends on it.
        if aws_lc_rs::rand::fill(&mut nonce).is_err() {
            return Err(StoreError::new(StoreErrorKind::Internal, "open image store", None)
                .because("the system gives no random numbers"));
        }
        let store = Self {
            sender: client(whole.clone()).map_err(failed)?,
            completer: client(whole.clone().with_default_headers(condition)).map_err(failed)?,
            reader: client(piecewise).map_err(failed)?,
            sweeper: sweep::Sweeper::new(&whole.with_allow_http(address.is_unencrypted())).map_err(failed)?,
            pool: Pool::new(limits.memory, overflow),
            process: format!("{:016x}", u64::from_ne_bytes(nonce)),
            next_number: AtomicU64::new(0),
            under_way: Mutex::default(),
            address,
            limits,
        };
        store.is_there("open image store", None).await?;
        Ok(store)
    }

    fn path(&self, key: &BlobKey) -> Path {
        self.named(key.as_str())
    }

    /// Our prefix and our names need no encoding, so the object is called exactly so.
    fn named(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.address.prefix))
    }

    /// Fails when the bucket cannot be listed.
    pub(crate) async fn is_there(&self, operation: &'static str, key: Option<&BlobKey>) -> Result<(), StoreError> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let listed = self.reader.list_paginated(Some(&self.address.prefix), options).await;
        listed.map(drop).map_err(|cause| errors::writing(operation, key, cause))
    }

    async fn look(&self, path: &Path) -> Result<Found, object_store::Error> {
        let found = self.reader.get_opts(path, GetOptions::new().with_head(true)).await?;
        let writer = found.attributes.get(&WRITER).map(|value| value.to_string());
        Ok(Found { size: found.meta.size, e_tag: found.meta.e_tag, writer })
    }

    pub(crate) async fn open_blob(self: &Arc<Self>, key: &BlobKey) -> Result<(S3Reader, u64), StoreError> {
        let path = self.path(key);
        match self.look(&path).await {
            Ok(found) => Ok((S3Reader::new(Arc::clone(self), path, found.e_tag, found.size), found.size)),
            Err(cause) => Err(self.not_read("open blob", key, cause).await),
        }
    }

    pub(crate) async fn exists(&self, key: &BlobKey) -> Result<bool, StoreError> {
        match self.look(&self.path(key)).await {
            Ok(_) => Ok(true),
            Err(cause) => match self.not_read("look for blob", key, cause).await {
                error if error.kind == StoreErrorKind::NotFound => Ok(false),
                error => Err(error),
            },
        }
    }

    /// HEAD has the same answer for a missing object and a missing bucket; the second must not look like lost images.
    async fn not_read(&self, operation: &'static str, key: &BlobKey, cause: object_store::Error) -> StoreError {
        let error = errors::reading(operation, key, cause);
        if error.kind != StoreErrorKind::NotFound {
            return error;
        }
        self.is_there(operation, Some(key)).await.err().unwrap_or(error)
    }

    pub(crate) async fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        match self.sender.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(errors::writing("delete blob", Some(key), cause)),
        }
    }

    /// Sends every blob whose key begins with `prefix` and comes after `after`, in the order in which the server lists, which is that of keys.
    pub(crate) async fn list(&self, prefix: &str, after: &str, to: &Sender<Result<(BlobKey, u64), StoreError>>) {
        let from = format!("{}{prefix}", self.address.prefix);
        let offset = (!after.is_empty()).then(|| format!("{}{after}", self.address.prefix));
        let mut options = PaginatedListOptions { offset, ..PaginatedListOptions::default() };
        loop {
            let page = match self.reader.list_paginated(Some(&from), options).await {
                Ok(page) => page,
                Err(cause) => {
                    let _ = to.send(Err(errors::writing("list blobs", None, cause))).await;
                    return;
                }
            };
            for object in page.result.objects {
                let name = object.location.as_ref().strip_prefix(self.address.prefix.as_str());
                match name.and_then(|name| BlobKey::parse(name).ok()) {
                    Some(key) => {
                        if to.send(Ok((key, object.size))).await.is_err() {
                            return;
                        }
                    }
                    None if name.is_some_and(|name| name.starts_with(ASIDE)) => {}
                    None => {
                        tracing::warn!(object = %object.location, "an object in the image store is not ours and is passed over");
                    }
                }
            }
            match page.page_token {
                Some(token) => options = PaginatedListOptions { page_token: Some(token), ..Default::default() },
                None => return,
            }
        }
    }

    /// Copies the damaged object away and removes it; `None` when there is none.
    pub(crate) async fn set_aside(&self, key: &BlobKey, label: &str) -> Result<Option<String>, StoreError> {
        let name = crate::repair::aside_name(key, label);
        match self.move_object(&self.path(key), &self.named(&name)).await {
            Ok(()) => Ok(Some(name)),
            Err(object_store::Error::NotFound { .. }) => {
                self.is_there("set damaged blob aside", Some(key)).await?;
                Ok(None)
            }
            Err(cause) => Err(errors::writing("set damaged blob aside", Some(key), cause)),
        }
    }

    pub(crate) async fn put_back(&self, key: &BlobKey, name: &str) -> Result<(), StoreError> {
        let failed = |cause| errors::writing("put damaged blob back", Some(key), cause);
        // A commit that failed without an answer may have stored the good blob all the same; that one stays.
        if self.exists(key).await? {
            return Ok(());
        }
        self.move_object(&self.named(name), &self.path(key)).await.map_err(failed)
    }

    /// First copied, then removed: what stops half way leaves both.
    async fn move_object(&self, from: &Path, to: &Path) -> Result<(), object_store::Error> {
        self.sender.copy(from, to).await?;
        self.sender.delete(from).await
    }

    pub(crate) async fn payload_sha256(
        self: &Arc<Self>,
        key: &BlobKey,
        payload_offset: u64,
    ) -> Result<[u8; 32], StoreError> {
        let (reader, size) = self.open_blob(key).await?;
        if size < payload_offset {
            let cause = format!("blob has {size} bytes, its head alone should have {payload_offset}");
            return Err(StoreError::new(StoreErrorKind::Corrupt, "verify blob", Some(key)).because(cause));
        }
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut chunks = std::pin::pin!(reader.chunks_from(payload_offset));
        while let Some(chunk) = chunks.next().await {
            digest.update(&chunk.map_err(|failure| failure.on("verify blob", key))?);
        }
        Ok(upload::finished(digest))
    }

    pub(crate) async fn sweep_staging(&self, older_than: Duration) -> Result<u64, StoreError> {
        self.sweeper.sweep(self, older_than).await
    }

    fn new_writer_name(&self) -> String {
        format!("{}-{}", self.process, self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    fn lock_under_way(&self) -> MutexGuard<'_, HashSet<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn builder(
    address: &Address,
    credentials: Option<&S3Credentials>,
    limits: Limits,
    options: ClientOptions,
) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for name in FROM_ENVIRONMENT {
        if let (Ok(key), Ok(value)) = (name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>(), std::env::var(name)) {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder
        .with_client_options(options)
        .with_allow_http(address.is_unencrypted())
        .with_bucket_name(&address.bucket)
        .with_virtual_hosted_style_request(!address.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig { init_backoff: limits.backoff, max_backoff: limits.retrying / 4, base: 2.0 },
            max_retries: 8,
            retry_timeout: limits.retrying,
        });
    if let Some(endpoint) = address.client_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &address.region {
        builder = builder.with_region(region);
    }
    if let Some(credentials) = credentials {
        // Only what was given here: a session token of the environment belongs to other keys.
        builder = builder.with_credentials(Arc::new(object_store::StaticCredentialProvider::new(
            object_store::aws::AwsCredential {
                key_id: credentials.access_key.clone(),
                secret_key: credentials.secret_key.clone(),
                token: None,
            },
        )));
    }
    builder
}
