//! One staged file: written, hashed, and either committed or removed. Everything here blocks.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{CWD, FallocateFlags, FlockOperation, RenameFlags};
use rustix::io::Errno;

use super::directory::sync;
use super::{FileStore, STAGING_DIRECTORIES, finished, parent_of, staging_directory};
use crate::{BlobKey, PayloadDigest, Receipt, StoreError};

pub(crate) struct StagingFile {
    store: Arc<FileStore>,
    key: BlobKey,
    path: PathBuf,
    file: File,
    size: u64,
    reserved: u64,
    payload_size: u64,
    digest: Context,
    renamed: bool,
}

impl fmt::Debug for StagingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagingFile").field("key", &self.key).field("size", &self.size).finish_non_exhaustive()
    }
}

impl FileStore {
    /// Creates a staged file that begins with `head`.
    pub(crate) fn stage(
        self: &Arc<Self>,
        key: BlobKey,
        head: &[u8],
        whole_size: Option<u64>,
    ) -> Result<StagingFile, StoreError> {
        let failed = |key: &BlobKey, cause: io::Error| StoreError::writing("stage blob", Some(key), cause);
        let (path, file) = self.create_staging_file("part").map_err(|cause| failed(&key, cause))?;
        // Tells sweeps, also those of other processes, that this file has a living writer. A file system without locks leaves it to the age.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut staging = StagingFile {
            store: Arc::clone(self),
            key,
            path,
            file,
            size: 0,
            reserved: 0,
            payload_size: 0,
            digest: Context::new(&SHA256),
            renamed: false,
        };
        if let Some(bytes) = whole_size {
            staging.reserve(bytes).map_err(|cause| failed(&staging.key, cause))?;
        }
        staging.append(head).map_err(|cause| failed(&staging.key, cause))?;
        Ok(staging)
    }

    fn create_staging_file(&self, extension: &str) -> io::Result<(PathBuf, File)> {
        loop {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let name = format!("{:x}-{number:x}.{extension}", std::process::id());
            let path = staging_directory(&self.staging, number).join(name);
            match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path) {
                // A dead process with our number left it, or one in another container: take the next.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|file| (path, file)),
            }
        }
    }

    pub(crate) fn sweep_staging(&self, older_than: Duration) -> Result<u64, StoreError> {
        let failed = |cause: io::Error| StoreError::writing("sweep staging area", None, cause);
        let now = self.file_system_time().map_err(failed)?;
        let mut removed = 0;
        let of_writers = (0..STAGING_DIRECTORIES).map(|number| staging_directory(&self.staging, number));
        // An earlier version staged in the folder above.
        for directory in of_writers.chain([self.staging.clone()]) {
            for entry in fs::read_dir(directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                match remove_if_abandoned(&path, now, older_than) {
                    Ok(true) => removed += 1,
                    Ok(false) => {}
                    // Committed or removed since the directory was read.
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                    Err(cause) => return Err(failed(cause)),
                }
            }
        }
        Ok(removed)
    }

    /// What the clock that stamps our files says now: for a network file system that is the server's.
    fn file_system_time(&self) -> io::Result<SystemTime> {
        let (path, file) = self.create_staging_file("clock")?;
        let time = file.metadata().and_then(|metadata| metadata.modified());
        fs::remove_file(path)?;
        time
    }
}

fn remove_if_abandoned(path: &Path, now: SystemTime, older_than: Duration) -> io::Result<bool> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    if !metadata.is_file() || age < older_than || has_living_writer(&file) {
        return Ok(false);
    }
    fs::remove_file(path)?;
    Ok(true)
}

fn has_living_writer(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

impl StagingFile {
    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.append(chunk).map_err(|cause| StoreError::writing("write blob", Some(&self.key), cause))?;
        self.digest.update(chunk);
        self.payload_size += chunk.len() as u64;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Room for `bytes` bytes, so that the disk is found full now and not at the end. Where the file system cannot reserve, nothing happens.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => self.reserved = bytes,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(cause) => return Err(cause.into()),
        }
        Ok(())
    }

    pub(crate) fn payload_digest(&self) -> PayloadDigest {
        PayloadDigest { sha256: finished(self.digest.clone()), size: self.payload_size }
    }

    pub(crate) fn commit(self) -> Result<Receipt, StoreError> {
        let (receipt, directory) = self.name()?;
        sync(&directory).map_err(|cause| StoreError::writing("commit blob", Some(&receipt.key), cause))?;
        Ok(receipt)
    }

    /// All of a commit but the sync of the directory, which is given.
    pub(crate) fn name(mut self) -> Result<(Receipt, PathBuf), StoreError> {
        let directory =
            self.sync_and_rename().map_err(|cause| StoreError::writing("commit blob", Some(&self.key), cause))?;
        let PayloadDigest { sha256, size } = self.payload_digest();
        let receipt = Receipt { key: self.key.clone(), size: self.size, payload_sha256: sha256, payload_size: size };
        Ok((receipt, directory))
    }

    fn sync_and_rename(&mut self) -> io::Result<PathBuf> {
        if self.reserved > self.size {
            self.file.set_len(self.size)?;
        }
        let path = self.store.path(&self.key);
        let directory = parent_of(&path);
        self.store.directories.ensure(directory)?;
        // Data before name: a name that survives a power loss always has its bytes.
        self.file.sync_data()?;
        rename_without_replacing(&self.path, &path)?;
        self.renamed = true;
        Ok(directory.to_owned())
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(cause) = fs::remove_file(&self.path) {
            tracing::warn!(blob.key = %self.key, error = %cause, "staged file was not removed, the next sweep will try again");
        }
    }
}

pub(super) fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems know only the plain rename, which replaces.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_and_unlink(from, to),
        result => Ok(result?),
    }
}

/// The same promise by a hard link. A crash between both leaves the blob complete and one name in the staging area for the sweep.
fn link_and_unlink(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    if let Err(cause) = fs::remove_file(from) {
        tracing::warn!(error = %cause, "staged name of a committed blob was not removed, the next sweep will try again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_for_simple_file_systems_does_not_replace_either() {
        let place = tempfile::tempdir().unwrap();
        let (first, second, target) =
            (place.path().join("first"), place.path().join("second"), place.path().join("target"));
        fs::write(&first, "first").unwrap();
        fs::write(&second, "second").unwrap();

        link_and_unlink(&first, &target).unwrap();
        assert_eq!(link_and_unlink(&second, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(rename_without_replacing(&second, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);

        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert!(!first.exists());
        assert!(second.exists());
    }
}
