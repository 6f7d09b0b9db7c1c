//! Reading a committed blob.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::task::spawn_blocking;

use crate::s3::{ReadFailure, S3Reader};
use crate::{BlobKey, StoreError, StoreErrorKind};

/// Bytes that [`BlobReader::next_chunk`] gives at most.
const CHUNK_BYTES: usize = 256 * 1024;

/// An open blob: read it from the beginning to the end (as chunks or through [`AsyncRead`]), or any range of it.
///
/// Both ways end with an error, not with a quiet end, when the store gives fewer bytes than the blob had when it was opened.
#[derive(Debug)]
pub struct BlobReader {
    key: BlobKey,
    size: u64,
    delivered: u64,
    inner: Reader,
}

#[derive(Debug)]
enum Reader {
    File { ranged: Arc<File>, sequential: tokio::fs::File },
    S3(Box<S3Reader>),
}

impl BlobReader {
    pub(crate) fn on_file(key: BlobKey, size: u64, file: File) -> Result<Self, StoreError> {
        let second = file.try_clone().map_err(|cause| StoreError::reading("open blob", &key, cause))?;
        let mut sequential = tokio::fs::File::from_std(second);
        sequential.set_max_buf_size(CHUNK_BYTES);
        Ok(Self { key, size, delivered: 0, inner: Reader::File { ranged: Arc::new(file), sequential } })
    }

    pub(crate) fn on_s3(key: BlobKey, size: u64, reader: S3Reader) -> Self {
        Self { key, size, delivered: 0, inner: Reader::S3(Box::new(reader)) }
    }

    pub fn key(&self) -> &BlobKey {
        &self.key
    }

    /// Bytes of the whole blob, head included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes of the blob, at most 256 KiB; `None` at its end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let wanted = usize::try_from(self.size - self.delivered).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        if let Reader::S3(reader) = &mut self.inner {
            // Straight from the answer, and with a failure of the server as such.
            return match std::future::poll_fn(|context| reader.poll_chunk(context, wanted)).await {
                Some(Ok(chunk)) => {
                    self.delivered += chunk.len() as u64;
                    Ok(Some(chunk))
                }
                Some(Err(failure)) => Err(failure.on("read blob", &self.key)),
                None => Err(ReadFailure::EndsEarly.on("read blob", &self.key)),
            };
        }
        let mut chunk = BytesMut::with_capacity(wanted);
        self.read_buf(&mut chunk).await.map_err(|cause| StoreError::reading("read blob", &self.key, cause))?;
        Ok(Some(chunk.freeze()))
    }

    /// The bytes from `offset` on, `len` of them or as many as there are before the end. Independent of sequential reading.
    /// The range is held in memory: the caller bounds `len`.
    pub async fn read_range(&self, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let available = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(available);
        match &self.inner {
            Reader::File { ranged, .. } => {
                let file = Arc::clone(ranged);
                let read = spawn_blocking(move || {
                    let mut bytes = BytesMut::zeroed(len);
                    file.read_exact_at(&mut bytes, offset).map(|()| bytes.freeze())
                });
                match read.await {
                    Ok(result) => result.map_err(|cause| StoreError::reading("read range of blob", &self.key, cause)),
                    Err(cause) => {
                        Err(StoreError::new(StoreErrorKind::Internal, "read range of blob", Some(&self.key))
                            .because(cause))
                    }
                }
            }
            Reader::S3(reader) => {
                let read = reader.read_range(offset, len).await;
                read.map_err(|failure| failure.on("read range of blob", &self.key))
            }
        }
    }
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 || this.delivered == this.size {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let sequential = match &mut this.inner {
            Reader::File { sequential, .. } => sequential,
            Reader::S3(reader) => {
                let wanted = usize::try_from(this.size - this.delivered).unwrap_or(usize::MAX).min(buffer.remaining());
                return match std::task::ready!(reader.poll_chunk(context, wanted)) {
                    Some(Ok(chunk)) => {
                        buffer.put_slice(&chunk);
                        this.delivered += chunk.len() as u64;
                        Poll::Ready(Ok(()))
                    }
                    Some(Err(failure)) => Poll::Ready(Err(io::Error::other(failure.on("read blob", &this.key)))),
                    None => Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "blob is shorter than when it was opened",
                    ))),
                };
            }
        };
        match Pin::new(sequential).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let read = buffer.filled().len() - before;
                if read == 0 && this.delivered < this.size {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "blob is shorter than when it was opened",
                    )));
                }
                this.delivered = this.delivered.saturating_add(read as u64).min(this.size);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}
