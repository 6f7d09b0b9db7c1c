//! Finding every committed blob.

use std::fs;
use std::io;
use std::path::Path;

use tokio::sync::mpsc::Sender;

use super::{FileStore, SHARD_DIGITS};
use crate::{BlobKey, StoreError};

type Entry = Result<(BlobKey, u64), StoreError>;

/// The caller has dropped its end.
struct NobodyListens;

impl FileStore {
    /// Sends every blob whose key begins with `prefix` and comes after `after`, in the order of keys.
    pub(crate) fn list(&self, prefix: &str, after: &str, to: &Sender<Entry>) {
        let listing = Listing { prefix, after, to };
        let _ = listing
            .facts(&self.root.join("facts/v1"))
            .and_then(|()| listing.reports(&self.root.join("reports/v1")))
            .and_then(|()| listing.instances(&self.root.join("v1")));
    }
}

struct Listing<'a> {
    prefix: &'a str,
    after: &'a str,
    to: &'a Sender<Entry>,
}

impl Listing<'_> {
    fn instances(&self, root: &Path) -> Result<(), NobodyListens> {
        for facility in self.names(root)? {
            let start = format!("v1/{facility}/");
            if !self.may_hold(&start) {
                continue;
            }
            let shards = root.join(&facility);
            for shard in self.names(&shards)? {
                if !self.may_hold(&format!("{start}{shard}")) {
                    continue;
                }
                let directory = shards.join(&shard);
                for name in self.names(&directory)? {
                    // A blob in a directory that is not its own would be listed, but not found.
                    let in_its_place = name.get(..SHARD_DIGITS) == Some(shard.as_str());
                    self.blob(&directory.join(&name), &format!("{start}{name}"), in_its_place)?;
                }
            }
        }
        Ok(())
    }

    fn facts(&self, root: &Path) -> Result<(), NobodyListens> {
        for facility in self.names(root)? {
            let start = format!("facts/v1/{facility}/");
            if !self.may_hold(&start) {
                continue;
            }
            let directory = root.join(&facility);
            for name in self.names(&directory)? {
                self.blob(&directory.join(&name), &format!("{start}{name}"), true)?;
            }
        }
        Ok(())
    }

    fn reports(&self, root: &Path) -> Result<(), NobodyListens> {
        for facility in self.names(root)? {
            let start = format!("reports/v1/{facility}/");
            if !self.may_hold(&start) {
                continue;
            }
            let versions = root.join(&facility);
            for version in self.names(&versions)? {
                let start = format!("{start}{version}/");
                if !self.may_hold(&start) {
                    continue;
                }
                let directory = versions.join(&version);
                for name in self.names(&directory)? {
                    self.blob(&directory.join(&name), &format!("{start}{name}"), true)?;
                }
            }
        }
        Ok(())
    }

    /// Whether keys that begin with `start` can match the prefix and come after `after`.
    fn may_hold(&self, start: &str) -> bool {
        let wanted = start.starts_with(self.prefix) || self.prefix.starts_with(start);
        wanted && (start > self.after || self.after.starts_with(start))
    }

    fn blob(&self, path: &Path, key: &str, in_its_place: bool) -> Result<(), NobodyListens> {
        if !key.starts_with(self.prefix) || key <= self.after {
            return Ok(());
        }
        let Some(key) = BlobKey::parse(key).ok().filter(|_| in_its_place) else {
            tracing::warn!(path = %path.display(), "a file in the image store is not ours and is passed over");
            return Ok(());
        };
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => self.send(Ok((key, metadata.len()))),
            Ok(_) => {
                tracing::warn!(path = %path.display(), "an entry in the image store is not a regular file and is passed over");
                Ok(())
            }
            // Removed since the directory was read.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => self.send(Err(StoreError::reading("list blobs", &key, cause))),
        }
    }

    /// The names in a directory, ordered as the keys below them are: a `/` follows each, so `A-B` comes before `A`.
    fn names(&self, directory: &Path) -> Result<Vec<String>, NobodyListens> {
        match read_names(directory) {
            Ok(names) => Ok(names),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            Err(cause) => {
                self.send(Err(StoreError::writing("list blobs", None, cause)))?;
                Ok(Vec::new())
            }
        }
    }

    fn send(&self, entry: Entry) -> Result<(), NobodyListens> {
        self.to.blocking_send(entry).map_err(|_| NobodyListens)
    }
}

fn read_names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        match entry?.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => {
                tracing::warn!(path = %directory.join(name).display(), "a file in the image store is not ours and is passed over")
            }
        }
    }
    names.sort_by(|one, other| one.bytes().chain([b'/']).cmp(other.bytes().chain([b'/'])));
    Ok(names)
}
