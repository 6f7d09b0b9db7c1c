//! Directories whose entries must survive power loss.
//!
//! A name is durable when its directory has been synced after the name was given. A commit does that itself; those who commit many blobs at once give them
//! their names first and sync each directory once ([`Named`](crate::Named)).

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many directories are remembered as durable before the memory is emptied; forgetting costs one sync each.
const REMEMBERED_DIRECTORIES: usize = 4096;

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Created and recorded in a synced parent since this process began. That a directory exists is not enough: another thread may have
    /// created it a moment ago and not yet synced its parent.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default() }
    }

    /// Makes `directory`, which lies below the root, and all between exist durably.
    pub(super) fn ensure(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root || self.durable().contains(directory) {
            return Ok(());
        }
        let parent = super::parent_of(directory);
        self.ensure(parent)?;
        match DirBuilder::new().mode(0o750).create(directory) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
            _ => sync(parent)?,
        }
        let mut durable = self.durable();
        if durable.len() >= REMEMBERED_DIRECTORIES {
            durable.clear();
        }
        durable.insert(directory.to_owned());
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // A panic elsewhere leaves the set whole.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the root of a store exist; what is above it is created but is the administrator's.
pub(super) fn create_root(root: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(root)?;
    root.parent().map_or(Ok(()), sync)
}

/// Makes the names that `directory` holds now durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_once_and_remembered_within_bounds() {
        let place = tempfile::tempdir().unwrap();
        let directories = Directories::new(place.path().to_owned());
        directories.ensure(&place.path().join("v1/HOSP1/0199a2")).unwrap();
        directories.ensure(&place.path().join("v1/HOSP1/0199a3")).unwrap();
        assert!(place.path().join("v1/HOSP1/0199a2").is_dir());
        assert_eq!(directories.durable().len(), 4);

        directories.durable().extend((0..REMEMBERED_DIRECTORIES).map(|number| PathBuf::from(number.to_string())));
        directories.ensure(&place.path().join("v1/HOSP1/0199a4")).unwrap();
        assert!(directories.durable().len() <= REMEMBERED_DIRECTORIES);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("v1"), "x").unwrap();
        let directories = Directories::new(place.path().to_owned());
        assert_eq!(
            directories.ensure(&place.path().join("v1/HOSP1")).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
    }
}
