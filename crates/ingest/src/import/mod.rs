//! Files of a folder or of a CD into the archive, by the same rules as what comes by C-STORE.
//!
//! A second run over the same folder passes over what is stored already: it compares hashes and writes nothing. So an import that was interrupted is
//! simply started again, and no record of its progress is kept anywhere.

mod probe;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use dokuei_database::DatabaseError;
use dokuei_domain::SopInstanceUid;
use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::probe::{LOOKED_AT, Probe, probe, uids};
use self::walk::{Found, walk};
use crate::incoming::with_causes;
use crate::{Ingest, IngestError, ObjectHead, Origin, Stored};

/// Files in flight: they share the syncs of store and index, and each costs a few chunks of memory.
const AT_ONCE: usize = 8;
const CHUNK: usize = 256 * 1024;
/// Refused files that are named one by one; beyond that they are counted by reason.
const NAMED: usize = 1000;
/// How often a file is tried when the store or the index is away, with a growing pause before each.
const PAUSES_SECONDS: [u64; 5] = [1, 2, 4, 8, 15];

/// What is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// A folder, or one file.
    pub path: PathBuf,
    /// Take every file of the folder although there is a DICOMDIR.
    pub ignore_dicomdir: bool,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Files found so far; the walk goes on while they are imported.
    pub found: u64,
    pub done: u64,
}

/// A file that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotImported {
    pub file: String,
    pub reason: String,
}

/// What became of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportSummary {
    /// The folder's DICOMDIR said which files.
    pub by_dicomdir: bool,
    pub stored: u64,
    /// Passed over, because the facility has sent or imported the same bytes before.
    pub already_stored: u64,
    /// Reports of ours; the signed original is kept.
    pub own_reports: u64,
    /// Not DICOM, or a directory of it; passed over.
    pub not_dicom: u64,
    pub refused: u64,
    /// Refused files by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The first thousand of them.
    pub not_imported: Vec<NotImported>,
    /// Data set bytes of what was stored.
    pub bytes: u64,
    /// It was told to stop, or store or index went away; starting it again goes on.
    pub interrupted: bool,
}

/// Why there was no import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

enum Outcome {
    Stored {
        bytes: u64,
    },
    AlreadyStored,
    OwnReport,
    NotDicom,
    Refused {
        kind: String,
        detail: String,
    },
    /// Not the file's fault; nothing else will go better now.
    Unavailable {
        kind: String,
        detail: String,
    },
}

impl Ingest {
    /// Takes the files; `progress` is told after each. When `stop` is ready no further file is begun, and those in flight are finished.
    ///
    /// # Errors
    /// Only when the path cannot be read at all; everything else is in the summary.
    pub async fn import(
        self: &Arc<Self>,
        origin: &Origin,
        options: &ImportOptions,
        stop: impl Future<Output = ()>,
        mut progress: impl FnMut(ImportProgress),
    ) -> Result<ImportSummary, ImportError> {
        let (sender, mut found) = mpsc::channel(1024);
        let (root, ignore) = (options.path.clone(), options.ignore_dicomdir);
        let has_dicomdir = !ignore && walk::dicomdir_of(&root).is_some();
        let walking = tokio::task::spawn_blocking(move || walk(&root, ignore, &sender));
        let mut summary = ImportSummary { by_dicomdir: has_dicomdir, ..ImportSummary::default() };
        let (mut begun, mut done, mut walked_all) = (0, 0, false);
        let mut in_flight: JoinSet<(PathBuf, Outcome)> = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let takes_more = !walked_all && !summary.interrupted && in_flight.len() < AT_ONCE;
            tokio::select! {
                biased;
                () = &mut stop, if !summary.interrupted => summary.interrupted = true,
                Some(ended) = in_flight.join_next() => {
                    done += 1;
                    match ended {
                        Ok((path, outcome)) => summary.count(&path, outcome),
                        Err(error) => summary.count(Path::new("?"), Outcome::refused("a fault of ours", error.to_string())),
                    }
                    progress(ImportProgress { found: begun + found.len() as u64, done });
                }
                next = found.recv(), if takes_more => match next {
                    Some(Found::File(path)) => {
                        begun += 1;
                        let (ingest, origin) = (Arc::clone(self), origin.clone());
                        in_flight.spawn(async move {
                            let outcome = ingest.import_file(&origin, &path).await;
                            (path, outcome)
                        });
                    }
                    Some(Found::Missing(name)) => {
                        summary.count(Path::new(&name), Outcome::refused("named by the DICOMDIR, but not there", ""));
                    }
                    Some(Found::Unreadable { path, reason }) => {
                        summary.count(&path, Outcome::refused("cannot be read", reason));
                    }
                    None => walked_all = true,
                },
                else => break,
            }
            if in_flight.is_empty() && (walked_all || summary.interrupted) {
                break;
            }
        }
        // Ends the walk, if it still goes on.
        drop(found);
        let walked = walking.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        self.association_ended(origin.association).await;
        self.record_import(origin, &summary).await;
        walked.map_err(|source| ImportError::Read { path: options.path.clone(), source })?;
        Ok(summary)
    }

    async fn record_import(&self, origin: &Origin, summary: &ImportSummary) {
        let detail = format!(
            "import: {} stored, {} stored before, {} refused{}",
            summary.stored,
            summary.already_stored,
            summary.refused,
            if summary.interrupted { ", interrupted" } else { "" }
        );
        self.record_association(origin, summary.refused == 0 && !summary.interrupted, &detail).await;
    }

    async fn import_file(self: &Arc<Self>, origin: &Origin, path: &Path) -> Outcome {
        let mut pauses = PAUSES_SECONDS.iter();
        loop {
            match self.try_file(origin, path).await {
                // Another process may hold SQLite's writer for long; a store restarts.
                Outcome::Unavailable { .. } if let Some(seconds) = pauses.next() => {
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_file(self: &Arc<Self>, origin: &Origin, path: &Path) -> Outcome {
        match self.open_and_take(origin, path).await {
            Ok(outcome) => outcome,
            Err(cause) => Outcome::refused("cannot be read", cause.to_string()),
        }
    }

    async fn open_and_take(self: &Arc<Self>, origin: &Origin, path: &Path) -> std::io::Result<Outcome> {
        let mut file = File::open(path).await?;
        let length = file.metadata().await?.len();
        let mut first = Vec::new();
        (&mut file).take(LOOKED_AT as u64).read_to_end(&mut first).await?;
        let (transfer_syntax, in_header, offset) = match probe(&first) {
            Probe::Object { transfer_syntax, sop_class, sop_instance, offset } => {
                (transfer_syntax, sop_class.zip(sop_instance), offset)
            }
            Probe::Directory { .. } | Probe::NotDicom => return Ok(Outcome::NotDicom),
            Probe::Damaged(detail) => return Ok(Outcome::refused("the header of the file is damaged", detail)),
        };
        let data_set = first.get(offset..).unwrap_or_default();
        // Where header and data set disagree the data set is the object; the header is written anew anyway.
        let Some((sop_class, sop_instance)) = uids(data_set, &transfer_syntax).or(in_header) else {
            return Ok(Outcome::refused(
                "it does not say what object it is",
                "no usable SOP Class or SOP Instance UID",
            ));
        };
        let object = ObjectHead { sop_class, sop_instance, transfer_syntax };
        let mut source = Source { file, first: Bytes::from(first), offset, length, rest_begun: false };
        match self.is_stored(origin, &object.sop_instance, &mut source).await? {
            Ok(true) => return Ok(Outcome::AlreadyStored),
            Ok(false) => {}
            Err(error) => return Ok(Outcome::of(&IngestError::from(error))),
        }
        Ok(match self.take(origin, object.clone(), &mut source).await? {
            Ok(Stored::New { .. }) => Outcome::Stored { bytes: source.data_set_bytes() },
            Ok(Stored::AlreadyStored { .. }) => Outcome::AlreadyStored,
            Ok(Stored::OwnReport) => Outcome::OwnReport,
            Err(error) => {
                let outcome = Outcome::of(&error);
                if matches!(outcome, Outcome::Refused { .. }) {
                    self.audit_refusal(origin, &object, &error).await;
                }
                outcome
            }
        })
    }

    /// Whether exactly these bytes are stored, and for the same purpose. Reads the file at most, and only when its length is right.
    async fn is_stored(
        &self,
        origin: &Origin,
        uid: &SopInstanceUid,
        source: &mut Source,
    ) -> std::io::Result<Result<bool, DatabaseError>> {
        let known = async {
            let mut tx = self.database.read().await?;
            let Some(instance) = tx.instance_by_uid(&origin.facility.facility, uid).await? else { return Ok(None) };
            // A prior that is now to be read must open its case.
            let opened =
                !origin.opens_case || tx.study_by_pk(instance.study).await?.is_some_and(|study| study.opens_case);
            Ok(opened.then_some(instance))
        };
        let instance = match known.await {
            Ok(Some(instance)) => instance,
            Ok(None) => return Ok(Ok(false)),
            Err(error) => return Ok(Err(error)),
        };
        let bytes = instance.size_bytes.saturating_sub(instance.dataset_offset);
        if u64::try_from(bytes).ok() != Some(source.data_set_bytes()) {
            return Ok(Ok(false));
        }
        source.rewind().await?;
        let mut digest = Context::new(&SHA256);
        while let Some(chunk) = source.next_chunk().await? {
            digest.update(&chunk);
        }
        Ok(Ok(digest.finish().as_ref() == instance.dataset_sha256.as_slice()))
    }

    /// The three steps of every reception. The outer error is the file's.
    async fn take(
        self: &Arc<Self>,
        origin: &Origin,
        object: ObjectHead,
        source: &mut Source,
    ) -> std::io::Result<Result<Stored, IngestError>> {
        source.rewind().await?;
        let mut incoming = match self.begin(origin, object).await {
            Ok(incoming) => incoming,
            Err(error) => return Ok(Err(error)),
        };
        while let Some(chunk) = source.next_chunk().await? {
            if let Err(error) = incoming.write(chunk).await {
                return Ok(Err(error));
            }
        }
        Ok(incoming.finish().await)
    }
}

/// A file's data set, in chunks and as often as needed.
struct Source {
    file: File,
    /// The first bytes of the file, already read.
    first: Bytes,
    /// Where the data set begins.
    offset: usize,
    length: u64,
    rest_begun: bool,
}

impl Source {
    fn data_set_bytes(&self) -> u64 {
        self.length.saturating_sub(self.offset as u64)
    }

    async fn rewind(&mut self) -> std::io::Result<()> {
        self.rest_begun = false;
        self.file.seek(std::io::SeekFrom::Start(self.first.len() as u64)).await.map(drop)
    }

    async fn next_chunk(&mut self) -> std::io::Result<Option<Bytes>> {
        if !self.rest_begun {
            self.rest_begun = true;
            return Ok(Some(self.first.slice(self.offset.min(self.first.len())..)));
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        (&mut self.file).take(CHUNK as u64).read_to_end(&mut chunk).await?;
        Ok(if chunk.is_empty() { None } else { Some(chunk.into()) })
    }
}

impl Outcome {
    fn refused(kind: &str, detail: impl Into<String>) -> Self {
        Self::Refused { kind: kind.to_owned(), detail: detail.into() }
    }

    fn of(error: &IngestError) -> Self {
        let (kind, detail) = (error.to_string(), with_causes(error));
        match error {
            IngestError::OutOfSpace | IngestError::Store(_) | IngestError::Index(_) | IngestError::NotFiled => {
                Self::Unavailable { kind, detail }
            }
            _ => Self::Refused { kind, detail },
        }
    }
}

impl ImportSummary {
    fn count(&mut self, path: &Path, outcome: Outcome) {
        let (kind, detail) = match outcome {
            Outcome::Stored { bytes } => {
                self.stored += 1;
                self.bytes += bytes;
                return;
            }
            Outcome::AlreadyStored => return self.already_stored += 1,
            Outcome::OwnReport => return self.own_reports += 1,
            Outcome::NotDicom => return self.not_dicom += 1,
            Outcome::Refused { kind, detail } => (kind, detail),
            Outcome::Unavailable { kind, detail } => {
                self.interrupted = true;
                (kind, detail)
            }
        };
        self.refused += 1;
        let reason = if detail.is_empty() { kind.clone() } else { detail };
        *self.reasons.entry(kind).or_default() += 1;
        if self.not_imported.len() < NAMED {
            self.not_imported.push(NotImported { file: path.display().to_string(), reason });
        }
    }
}
