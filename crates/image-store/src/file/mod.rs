//! Blobs as files below one directory.
//!
//! ```text
//! {root}/staging/{0–f}/{process}-{number}.part     being received; never listed, removed when its writer dies
//! {root}/v1/{facility}/{first 6 hex digits}/{uuid} instances
//! {root}/reports/v1/{facility}/{version}/{file}    signed reports
//! {root}/facts/v1/{facility}/{uuid}                what was decided about instances
//! {root}/damaged/{key}.{label}                     set aside by a repair; never listed, never removed by us
//! ```
//!
//! The one difference between key and path is the directory of six hex digits: for a version 7 UUID that is 4.7 hours of arrival, which keeps
//! directories small (ext4 fills one at some ten million names) while objects that arrive together share one directory, and its sync.

mod aside;
mod directory;
mod list;
mod staging;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use aws_lc_rs::digest::{Context, SHA256};

use self::directory::Directories;
pub(crate) use self::directory::sync;
pub(crate) use self::staging::StagingFile;
use crate::{BlobKey, BlobKeyParts, StoreError, StoreErrorKind};

const READ_BYTES: usize = 256 * 1024;

/// Several, because a directory has one lock, and a file system gives the files of one directory room in one place.
const STAGING_DIRECTORIES: u64 = 16;

/// Digits of the UUID that name an instance's directory.
const SHARD_DIGITS: usize = 6;

#[derive(Debug)]
pub(crate) struct FileStore {
    root: PathBuf,
    staging: PathBuf,
    directories: Directories,
    next_number: AtomicU64,
}

/// The directory that a `file:` URL means.
pub(crate) fn root_from_url(url: &str) -> Result<PathBuf, StoreError> {
    let refuse =
        |cause: &str| StoreError::new(StoreErrorKind::InvalidKey, "open image store", None).because(cause.to_owned());
    let Some(path) = url.strip_prefix("file://") else {
        return Err(refuse("address of the image store must begin with file://"));
    };
    if !path.starts_with('/') {
        return Err(refuse("path of the image store must be absolute: file:///var/lib/dokuei/image-store"));
    }
    let bytes = percent_decode(path.as_bytes())
        .ok_or_else(|| refuse("'%' in the address of the image store must be written %25"))?;
    if bytes.contains(&0) {
        return Err(refuse("path of the image store contains a zero byte"));
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let digit = |digit: Option<&u8>| {
                digit.and_then(|&digit| char::from(digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
            };
            decoded.push(digit(rest.next())? * 16 + digit(rest.next())?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

impl FileStore {
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let staging = root.join("staging");
        let directories = Directories::new(root.clone());
        let all_staging =
            || (0..STAGING_DIRECTORIES).try_for_each(|number| directories.ensure(&staging_directory(&staging, number)));
        match directory::create_root(&root).and_then(|()| all_staging()) {
            Ok(()) => Ok(Self { root, staging, directories, next_number: AtomicU64::new(0) }),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "open image store", None)
                    .because("its path is a file, not a directory"))
            }
            Err(cause) => Err(StoreError::writing("open image store", None, cause)),
        }
    }

    pub(crate) fn open_blob(&self, key: &BlobKey) -> Result<(File, u64), StoreError> {
        let failed = |cause| StoreError::reading("open blob", key, cause);
        let file = File::open(self.path(key)).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(StoreError::new(StoreErrorKind::Corrupt, "open blob", Some(key)).because("not a regular file"));
        }
        Ok((file, metadata.len()))
    }

    pub(crate) fn payload_sha256(&self, key: &BlobKey, payload_offset: u64) -> Result<[u8; 32], StoreError> {
        let failed = |cause| StoreError::reading("verify blob", key, cause);
        let (mut file, size) = self.open_blob(key)?;
        if size < payload_offset {
            let cause = format!("blob has {size} bytes, its head alone should have {payload_offset}");
            return Err(StoreError::new(StoreErrorKind::Corrupt, "verify blob", Some(key)).because(cause));
        }
        file.seek(SeekFrom::Start(payload_offset)).map_err(failed)?;
        let mut digest = Context::new(&SHA256);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(finished(digest)),
                Ok(read) => digest.update(buffer.get(..read).unwrap_or_default()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(failed(cause)),
            }
        }
    }

    pub(crate) fn exists(&self, key: &BlobKey) -> Result<bool, StoreError> {
        self.path(key).try_exists().map_err(|cause| StoreError::reading("look for blob", key, cause))
    }

    pub(crate) fn delete(&self, key: &BlobKey) -> Result<(), StoreError> {
        let path = self.path(key);
        let failed = |cause| StoreError::writing("delete blob", Some(key), cause);
        match fs::remove_file(&path) {
            Ok(()) => directory::sync(parent_of(&path)).map_err(failed),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(failed(cause)),
        }
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let answer = rustix::fs::statvfs(&self.root).ok()?;
        answer.f_bavail.checked_mul(answer.f_frsize)
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        match key.parts() {
            BlobKeyParts::Instance { facility, blob } => {
                let name = blob.0.hyphenated().to_string();
                let shard = name.get(..SHARD_DIGITS).unwrap_or_default();
                self.root.join("v1").join(facility.as_str()).join(shard).join(&name)
            }
            BlobKeyParts::ReportFile { .. } | BlobKeyParts::Fact { .. } => self.root.join(key.as_str()),
        }
    }
}

fn staging_directory(staging: &Path, number: u64) -> PathBuf {
    staging.join(format!("{:x}", number % STAGING_DIRECTORIES))
}

/// The directory of a path that [`FileStore::path`] made; those always have one.
fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn finished(digest: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
