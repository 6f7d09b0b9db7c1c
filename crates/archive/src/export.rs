//! Objects out of the archive as Part 10 files, byte for byte.

use std::path::{Path, PathBuf};

use dokuei_database::{AuditEvent, AuditOutcome, InstanceRow};
use dokuei_domain::{Actor, FacilityId, SopInstanceUid, StudyUid};
use tokio::io::AsyncWriteExt as _;

use crate::{Archive, ArchiveError, blob_key, visible_study};

/// What to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Study(StudyUid),
    Instance(SopInstanceUid),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExportSummary {
    pub files: Vec<PathBuf>,
    pub bytes: u64,
}

impl Archive {
    /// Writes each object to `{directory}/{SOP Instance UID}.dcm`. A file appears under its name only when it is whole and its data set has the hash it was
    /// received with. `progress` is called after each file.
    pub async fn export(
        &self,
        actor: &Actor,
        facility: &FacilityId,
        what: &What,
        directory: &Path,
        now: dokuei_domain::Timestamp,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<ExportSummary, ArchiveError> {
        let instances = self.find(actor, facility, what).await?;
        tokio::fs::create_dir_all(directory).await.map_err(|source| write_error(directory, source))?;
        let mut summary = ExportSummary { files: Vec::with_capacity(instances.len()), bytes: 0 };
        for instance in &instances {
            let path = directory.join(format!("{}.dcm", instance.sop_instance));
            summary.bytes += self.export_one(instance, &path).await?;
            summary.files.push(path);
            progress(summary.files.len(), instances.len());
        }
        let subject = match what {
            What::Study(uid) => uid.to_string(),
            What::Instance(uid) => uid.to_string(),
        };
        let event =
            AuditEvent::new(now, actor, "archive.export", AuditOutcome::Success).facility(facility).subject(subject);
        let mut tx = self.database.write().await?;
        tx.audit(event.detail(format!("{} objects", summary.files.len())));
        tx.commit().await?;
        Ok(summary)
    }

    async fn find(&self, actor: &Actor, facility: &FacilityId, what: &What) -> Result<Vec<InstanceRow>, ArchiveError> {
        let mut tx = self.database.read().await?;
        match what {
            What::Study(uid) => {
                let found = tx.study_by_uid(facility, uid).await?;
                let study = visible_study(&mut tx, actor, found).await?;
                Ok(tx.instances_of_study(study.pk).await?)
            }
            What::Instance(uid) => {
                let instance = tx.instance_by_uid(facility, uid).await?.ok_or(ArchiveError::NotFound)?;
                let found = tx.study_by_pk(instance.study).await?;
                visible_study(&mut tx, actor, found).await.map(|_| vec![instance])
            }
        }
    }

    async fn export_one(&self, instance: &InstanceRow, path: &Path) -> Result<u64, ArchiveError> {
        let key = blob_key(instance)?;
        let offset = u64::try_from(instance.dataset_offset).unwrap_or(u64::MAX);
        if self.store.payload_sha256(&key, offset).await? != instance.dataset_sha256 {
            return Err(ArchiveError::Corrupt(instance.sop_instance.to_string()));
        }
        let mut reader = self.store.open(&key).await?;
        let size = reader.size();
        let partial = path.with_extension("dcm.part");
        let mut file = tokio::fs::File::create(&partial).await.map_err(|source| write_error(&partial, source))?;
        while let Some(chunk) = reader.next_chunk().await? {
            file.write_all(&chunk).await.map_err(|source| write_error(&partial, source))?;
        }
        file.sync_all().await.map_err(|source| write_error(&partial, source))?;
        tokio::fs::rename(&partial, path).await.map_err(|source| write_error(path, source))?;
        Ok(size)
    }
}

fn write_error(path: &Path, source: std::io::Error) -> ArchiveError {
    ArchiveError::Write { path: path.display().to_string(), source }
}
