//! Moving a damaged blob out of the way, and back.

use std::io;
use std::path::PathBuf;

use super::directory::sync;
use super::staging::rename_without_replacing;
use super::{FileStore, parent_of};
use crate::{BlobKey, StoreError};

impl FileStore {
    /// Moves the blob below `damaged/`, durably; gives the name it has there, or `None` when there is none.
    pub(crate) fn set_aside(&self, key: &BlobKey, label: &str) -> Result<Option<String>, StoreError> {
        let name = crate::repair::aside_name(key, label);
        match self.rename_durably(self.path(key), self.root.join(&name)) {
            Ok(()) => Ok(Some(name)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(StoreError::writing("set damaged blob aside", Some(key), cause)),
        }
    }

    /// Undoes [`Self::set_aside`], unless the key has a blob again.
    pub(crate) fn put_back(&self, key: &BlobKey, name: &str) -> Result<(), StoreError> {
        self.rename_durably(self.root.join(name), self.path(key))
            .map_err(|cause| StoreError::writing("put damaged blob back", Some(key), cause))
    }

    fn rename_durably(&self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        self.directories.ensure(parent_of(&to))?;
        rename_without_replacing(&from, &to)?;
        // The new name first: a crash in between leaves two names, never none.
        sync(parent_of(&to))?;
        sync(parent_of(&from))
    }

    /// Whether the directory is the store and not the empty place where it should be mounted.
    pub(crate) fn answers(&self) -> Result<(), StoreError> {
        let failed = |cause| StoreError::writing("look for image store", None, cause);
        if std::fs::metadata(&self.staging).map_err(failed)?.is_dir() {
            return Ok(());
        }
        Err(failed(io::ErrorKind::NotADirectory.into()))
    }
}
