//! Reading an object.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use object_store::path::Path;
use object_store::{Error as S3Error, GetOptions, GetRange, GetResult, ObjectStore as _};

use super::{S3Store, errors};
use crate::{BlobKey, StoreError, StoreErrorKind};

/// How often an answer may break without having brought a byte.
const BARREN_ANSWERS: u32 = 3;

/// Why a read ended; becomes a [`StoreError`] where operation and key are known.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    Server(S3Error),
    EndsEarly,
    Changed,
}

impl ReadFailure {
    pub(crate) fn on(self, operation: &'static str, key: &BlobKey) -> StoreError {
        match self {
            Self::Server(cause) => errors::reading(operation, key, cause),
            Self::EndsEarly => StoreError::new(StoreErrorKind::Corrupt, operation, Some(key))
                .because("blob is shorter than when it was opened"),
            Self::Changed => StoreError::new(StoreErrorKind::Corrupt, operation, Some(key))
                .because("blob is another than when it was opened"),
        }
    }
}

/// An object as it was when it was opened; asked for by its version, so that no mixture is ever read.
pub(crate) struct S3Reader {
    store: Arc<S3Store>,
    path: Path,
    e_tag: Option<String>,
    size: u64,
    /// Begun with the first sequential read. The lock makes the reader `Sync`; nothing ever waits for it.
    sequential: Mutex<Option<BoxStream<'static, Result<Bytes, ReadFailure>>>>,
    rest: Bytes,
}

impl std::fmt::Debug for S3Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Reader").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

struct Position {
    store: Arc<S3Store>,
    path: Path,
    e_tag: Option<String>,
    next: u64,
    end: u64,
    answer: Option<BoxStream<'static, Result<Bytes, S3Error>>>,
    barren: u32,
}

impl S3Reader {
    pub(super) fn new(store: Arc<S3Store>, path: Path, e_tag: Option<String>, size: u64) -> Self {
        Self { store, path, e_tag, size, sequential: Mutex::new(None), rest: Bytes::new() }
    }

    /// Everything from `offset` to the end; an answer that breaks is asked for again from where it broke.
    pub(super) fn chunks_from(&self, offset: u64) -> impl Stream<Item = Result<Bytes, ReadFailure>> + Send + use<> {
        let start = Position {
            store: Arc::clone(&self.store),
            path: self.path.clone(),
            e_tag: self.e_tag.clone(),
            next: offset,
            end: self.size,
            answer: None,
            barren: 0,
        };
        futures::stream::try_unfold(start, |mut position| async move {
            Ok(position.next_chunk().await?.map(|chunk| (chunk, position)))
        })
    }

    /// At most `limit` of the next bytes; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Option<Result<Bytes, ReadFailure>>> {
        if self.rest.is_empty() {
            let fresh = || self.chunks_from(0).boxed();
            let mut sequential = self.sequential.lock().unwrap_or_else(PoisonError::into_inner);
            let stream = sequential.get_or_insert_with(fresh);
            match std::task::ready!(Pin::new(stream).poll_next(context)) {
                Some(Ok(chunk)) => {
                    drop(sequential);
                    self.rest = chunk;
                }
                other => return Poll::Ready(other),
            }
        }
        let taken = self.rest.split_to(self.rest.len().min(limit));
        Poll::Ready(Some(Ok(taken)))
    }

    pub(crate) async fn read_range(&self, offset: u64, len: usize) -> Result<Bytes, ReadFailure> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let range = GetRange::Bounded(offset..offset.saturating_add(len as u64));
        let options = GetOptions { range: Some(range), if_match: self.e_tag.clone(), ..GetOptions::default() };
        let answer = self.store.reader.get_opts(&self.path, options).await.map_err(ReadFailure::Server)?;
        same_version(&self.e_tag, &answer)?;
        let bytes = answer.bytes().await.map_err(ReadFailure::Server)?;
        if bytes.len() == len { Ok(bytes) } else { Err(ReadFailure::EndsEarly) }
    }
}

/// Not every server knows the condition that the request carries.
fn same_version(opened: &Option<String>, answer: &GetResult) -> Result<(), ReadFailure> {
    let changed = opened.is_some() && answer.meta.e_tag.is_some() && answer.meta.e_tag != *opened;
    if changed { Err(ReadFailure::Changed) } else { Ok(()) }
}

impl Position {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, ReadFailure> {
        while self.next < self.end {
            let answer = match &mut self.answer {
                Some(answer) => answer,
                none => {
                    let range = GetRange::Bounded(self.next..self.end);
                    let options =
                        GetOptions { range: Some(range), if_match: self.e_tag.clone(), ..GetOptions::default() };
                    let begun = self.store.reader.get_opts(&self.path, options).await.map_err(ReadFailure::Server)?;
                    same_version(&self.e_tag, &begun)?;
                    none.insert(begun.into_stream())
                }
            };
            match answer.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.next += chunk.len() as u64;
                    self.barren = 0;
                    return Ok(Some(chunk));
                }
                Some(Err(cause)) => {
                    self.answer = None;
                    self.barren += 1;
                    if self.barren > BARREN_ANSWERS {
                        return Err(ReadFailure::Server(cause));
                    }
                }
                None => return Err(ReadFailure::EndsEarly),
            }
        }
        Ok(None)
    }
}
