//! The files of a folder or of a medium with a DICOMDIR. Everything here blocks; what is found goes through a bounded channel, so memory is that of one
//! folder's names. No path that is given out leads out of the root.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use dokuei_dataset::dicomdir::{DicomdirReader, FileReference};
use tokio::sync::mpsc::Sender;

use super::probe::{LOOKED_AT, Probe, probe};

/// Something to look at, or to report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    File(PathBuf),
    /// Named by the DICOMDIR, but not there or not below the root; the name as it is written.
    Missing(String),
    /// A folder or a DICOMDIR that cannot be read to its end.
    Unreadable {
        path: PathBuf,
        reason: String,
    },
}

/// The receiver has gone.
struct NobodyListens;

type Walked = Result<(), NobodyListens>;

/// Sends what is below `root`, a folder or a single file. With a DICOMDIR in the folder only what that names, unless it is to be ignored.
///
/// # Errors
/// When `root` itself cannot be read.
pub(super) fn walk(root: &Path, ignore_dicomdir: bool, to: &Sender<Found>) -> io::Result<()> {
    let root = root.canonicalize()?;
    let walk = Walk { root: &root, to };
    if !root.is_dir() {
        let _ = walk.send(Found::File(root.clone()));
        return Ok(());
    }
    fs::read_dir(&root)?;
    let _ = match dicomdir_of(&root) {
        Some(path) if !ignore_dicomdir => walk.directory_records(&path),
        _ => walk.folder(&root),
    };
    Ok(())
}

/// The DICOMDIR of a medium: in its uppermost folder (PS3.10 8.6), in whatever case the file system shows it.
pub(super) fn dicomdir_of(root: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(root).ok()?.flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| plain_name(name) == "dicomdir"))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// A name without what file systems add to it or change in it: case, a version (`;1`, ISO 9660), a lone dot at the end.
fn plain_name(name: &str) -> String {
    let name = name.split_once(';').map_or(name, |(name, _)| name);
    name.trim_end_matches('.').to_ascii_lowercase()
}

struct Walk<'a> {
    root: &'a Path,
    to: &'a Sender<Found>,
}

impl Walk<'_> {
    fn folder(&self, folder: &Path) -> Walked {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let names = match names(&folder) {
                Ok(names) => names,
                Err(cause) => {
                    self.send(Found::Unreadable { path: folder, reason: cause.to_string() })?;
                    continue;
                }
            };
            let mut inner = Vec::new();
            for name in names {
                let path = folder.join(name);
                match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => inner.push(path),
                    Ok(metadata) if metadata.is_file() => self.send(Found::File(path))?,
                    // A link to a file of this folder is that file, which is found by itself; all others lead elsewhere, or in a circle.
                    Ok(_) => {}
                    Err(cause) => self.send(Found::Unreadable { path, reason: cause.to_string() })?,
                }
            }
            folders.extend(inner.into_iter().rev());
        }
        Ok(())
    }

    /// What the DICOMDIR names. One that cannot be read to its end is reported, and then every file is taken: better those twice than some not at all.
    fn directory_records(&self, dicomdir: &Path) -> Walked {
        match self.named_by(dicomdir)? {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.send(Found::Unreadable { path: dicomdir.to_owned(), reason })?;
                self.folder(self.root)
            }
        }
    }

    fn named_by(&self, dicomdir: &Path) -> Result<Result<(), String>, NobodyListens> {
        let mut places = Places { root: self.root, folders: HashMap::new() };
        let mut buffer = vec![0; LOOKED_AT];
        let opened = File::open(dicomdir).and_then(|mut file| Ok((read_full(&mut file, &mut buffer)?, file)));
        let (mut length, mut file) = match opened {
            Ok(opened) => opened,
            Err(cause) => return Ok(Err(cause.to_string())),
        };
        let Probe::Directory { transfer_syntax, offset: mut begin } = probe(buffer.get(..length).unwrap_or_default())
        else {
            return Ok(Err("it is not a DICOMDIR".to_owned()));
        };
        let mut reader = DicomdirReader::new(&transfer_syntax);
        while length > 0 {
            let pushed = reader.push(buffer.get(begin..length).unwrap_or_default());
            for reference in reader.found() {
                self.send(match places.find(&reference) {
                    Some(path) => Found::File(path),
                    None => Found::Missing(reference.components.join("/")),
                })?;
            }
            if let Err(error) = pushed {
                return Ok(Err(error.to_string()));
            }
            begin = 0;
            length = match read_full(&mut file, &mut buffer) {
                Ok(length) => length,
                Err(cause) => return Ok(Err(cause.to_string())),
            };
        }
        Ok(reader.finish().map_err(|error| error.to_string()))
    }

    fn send(&self, found: Found) -> Walked {
        self.to.blocking_send(found).map_err(|_| NobodyListens)
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(length)
}

fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// How many folders' names are remembered at once.
const REMEMBERED_FOLDERS: usize = 16;

/// Finds the files that a DICOMDIR means.
struct Places<'a> {
    root: &'a Path,
    /// Real names by plain name, of folders that were looked into lately.
    folders: HashMap<PathBuf, HashMap<String, std::ffi::OsString>>,
}

impl Places<'_> {
    fn find(&mut self, reference: &FileReference) -> Option<PathBuf> {
        let mut path = self.root.to_owned();
        for component in &reference.components {
            if component.is_empty() || component == "." || component == ".." || component.contains(['/', '\0']) {
                return None;
            }
            let exact = path.join(component);
            path = if fs::symlink_metadata(&exact).is_ok() { exact } else { self.like(&path, component)? };
        }
        // A link on the medium may lead anywhere.
        let real = path.canonicalize().ok()?;
        (real.starts_with(self.root) && real.is_file()).then_some(real)
    }

    fn like(&mut self, folder: &Path, component: &str) -> Option<PathBuf> {
        if !self.folders.contains_key(folder) {
            if self.folders.len() >= REMEMBERED_FOLDERS {
                self.folders.clear();
            }
            // Of two names that differ only in case the first one counts.
            let names = names(folder).ok()?.into_iter().rev();
            let by_plain_name = names.filter_map(|name| Some((plain_name(name.to_str()?), name))).collect();
            self.folders.insert(folder.to_owned(), by_plain_name);
        }
        let name = self.folders.get(folder)?.get(&plain_name(component))?;
        Some(folder.join(name))
    }
}
