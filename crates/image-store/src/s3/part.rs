//! The bytes of one part while they wait to be sent.
//!
//! All blobs of all stores of a process share one bounded pool of memory. Nobody waits for it: what the pool has no room for goes to a nameless file on the local
//! disk until it is sent, so that a hundred slow senders cannot keep a quick one out, and nobody holds memory while it waits for more.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is taken from the pool in pieces of this size.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

/// What waits in memory at most, in all stores of a process, and how many parts may be read back from the disk besides.
const BYTES_OF_PROCESS: usize = 64 * 1024 * 1024;
const FROM_DISK_OF_PROCESS: usize = 4;

/// Whose bounds a store keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Memory {
    /// Shared with the other stores of the process: a second copy must not double what the node needs.
    OfProcess,
    #[cfg(test)]
    Own { bytes: usize, from_disk: usize },
}

#[derive(Clone, Debug)]
struct Bounds {
    blocks: Arc<Semaphore>,
    from_disk: Arc<Semaphore>,
}

impl Bounds {
    fn new(bytes: usize, from_disk: usize) -> Self {
        Self { blocks: Arc::new(Semaphore::new(bytes / BLOCK_BYTES)), from_disk: Arc::new(Semaphore::new(from_disk)) }
    }

    fn of(memory: Memory) -> Self {
        static OF_PROCESS: OnceLock<Bounds> = OnceLock::new();
        match memory {
            Memory::OfProcess => OF_PROCESS.get_or_init(|| Self::new(BYTES_OF_PROCESS, FROM_DISK_OF_PROCESS)).clone(),
            #[cfg(test)]
            Memory::Own { bytes, from_disk } => Self::new(bytes, from_disk),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    blocks: Arc<Semaphore>,
    /// How many parts may be read back from the disk at once. A place is held only while its part is being sent, which has a time limit.
    from_disk: Arc<Semaphore>,
    overflow: PathBuf,
    next_number: AtomicU64,
}

impl Pool {
    /// Overflow files are made in this directory.
    pub(super) fn new(memory: Memory, overflow: PathBuf) -> Arc<Self> {
        let Bounds { blocks, from_disk } = Bounds::of(memory);
        Arc::new(Self { blocks, from_disk, overflow, next_number: AtomicU64::new(0) })
    }

    async fn overflow_file(&self) -> std::io::Result<File> {
        tokio::fs::create_dir_all(&self.overflow).await?;
        loop {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let path = self.overflow.join(format!("{:x}-{number:x}.part", std::process::id()));
            match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path).await {
                // Left by a dead process in the moment before its name went.
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(cause),
                Ok(file) => {
                    // Without a name: it goes with the process, whatever happens to that.
                    tokio::fs::remove_file(&path).await?;
                    return Ok(file);
                }
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Part {
    pool: Arc<Pool>,
    full: Vec<Bytes>,
    last: BytesMut,
    permits: Option<OwnedSemaphorePermit>,
    overflow: Option<(File, usize)>,
    len: usize,
}

/// A part in the form in which it is sent, with what it occupies; dropped when it has arrived.
#[derive(Debug)]
pub(super) struct Sendable {
    pub(super) payload: PutPayload,
    _memory: Option<OwnedSemaphorePermit>,
    _read_back: Option<OwnedSemaphorePermit>,
}

impl Part {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::clone(pool), full: Vec::new(), last: BytesMut::new(), permits: None, overflow: None, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies: a chunk may be a small slice that keeps a large buffer alive.
    pub(super) async fn append(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            if let Some((file, length)) = &mut self.overflow {
                file.write_all(bytes).await?;
                *length += bytes.len();
                self.len += bytes.len();
                return Ok(());
            }
            let room = self.last.capacity() - self.last.len();
            if room == 0 && !self.take_block() {
                self.overflow = Some((self.pool.overflow_file().await?, 0));
                continue;
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.extend_from_slice(now);
            self.len += now.len();
            bytes = later;
        }
        Ok(())
    }

    fn take_block(&mut self) -> bool {
        let Ok(permit) = Arc::clone(&self.pool.blocks).try_acquire_owned() else { return false };
        match &mut self.permits {
            Some(held) => held.merge(permit),
            None => self.permits = Some(permit),
        }
        let filled = std::mem::replace(&mut self.last, BytesMut::with_capacity(BLOCK_BYTES));
        if !filled.is_empty() {
            self.full.push(filled.freeze());
        }
        true
    }

    /// Everything in memory, and an empty part in its place.
    pub(super) async fn take(&mut self) -> std::io::Result<Sendable> {
        let Self { pool, mut full, last, permits, overflow, .. } = std::mem::replace(self, Self::new(&self.pool));
        if !last.is_empty() {
            full.push(last.freeze());
        }
        let mut read_back = None;
        if let Some((mut file, length)) = overflow {
            // Closed only when the store is gone, and then nothing is sent.
            read_back = Arc::clone(&pool.from_disk).acquire_owned().await.ok();
            // What is still on its way to the file belongs to the part.
            file.flush().await?;
            file.rewind().await?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).await?;
            full.push(bytes.into());
        }
        Ok(Sendable { payload: full.into_iter().collect(), _memory: permits, _read_back: read_back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(sendable: &Sendable) -> Vec<u8> {
        sendable.payload.iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[tokio::test]
    async fn a_part_is_what_was_appended_with_and_without_room_in_memory() {
        let place = tempfile::tempdir().unwrap();
        let bytes = crate::conformance::noise(5 * BLOCK_BYTES + 77);
        for memory in [0, BLOCK_BYTES, 3 * BLOCK_BYTES, 100 * BLOCK_BYTES] {
            let pool = Pool::new(Memory::Own { bytes: memory, from_disk: 1 }, place.path().join("overflow"));
            let mut part = Part::new(&pool);
            for chunk in bytes.chunks(50_000) {
                part.append(chunk).await.unwrap();
            }
            assert_eq!(part.len(), bytes.len());
            assert_eq!(pool.blocks.available_permits(), (memory / BLOCK_BYTES).saturating_sub(6));

            let sendable = part.take().await.unwrap();
            assert!(bytes_of(&sendable) == bytes, "{memory}");
            assert_eq!(part.len(), 0);
            assert_eq!(pool.from_disk.available_permits(), usize::from(memory > 5 * BLOCK_BYTES));
            drop(sendable);
            assert_eq!(
                (pool.blocks.available_permits(), pool.from_disk.available_permits()),
                (memory / BLOCK_BYTES, 1)
            );
        }
        assert_eq!(std::fs::read_dir(place.path().join("overflow")).unwrap().count(), 0, "overflow has no name");
    }

    #[tokio::test]
    async fn a_part_that_is_given_up_gives_its_memory_back() {
        let pool = Pool::new(Memory::Own { bytes: 4 * BLOCK_BYTES, from_disk: 1 }, std::env::temp_dir());
        let mut part = Part::new(&pool);
        part.append(&[1; 3 * BLOCK_BYTES]).await.unwrap();
        assert_eq!(pool.blocks.available_permits(), 1);
        drop(part);
        assert_eq!(pool.blocks.available_permits(), 4);
    }
}
