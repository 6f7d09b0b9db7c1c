//! What is known of the blobs themselves: when each was last read again, whether it has a second copy, and what is wrong with it.
//!
//! Walks go along keys that exist anyway (`instances.id` is in the order of arrival), so that reception pays for no index of theirs. A walk is a row with a
//! lease: of several nodes one walks, and another goes on where it was.

use dokuei_domain::{FacilityId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// What a blob is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CustodyKind {
    Instance,
    /// An object in quarantine, held or rejected.
    Quarantined,
    ReportFile,
}

/// A blob that the index vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyBlob {
    pub kind: CustodyKind,
    /// Of the instance or the quarantined object; of a report file, its version.
    pub id: Uuid,
    pub blob_key: String,
    /// SOP Instance UID, or the report version.
    pub subject: String,
    pub size_bytes: i64,
    /// Where the hashed bytes begin; `None`: behind the header, wherever that ends.
    pub dataset_offset: Option<i64>,
    pub sha256: [u8; 32],
    /// Of the bytes before `dataset_offset`; `None` until the blob was first read again.
    pub head_sha256: Option<[u8; 32]>,
    pub verified_at: Option<Timestamp>,
    pub copied_at: Option<Timestamp>,
}

/// Where a walk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyTaskRow {
    pub name: String,
    /// JSON that the walk understands; empty before the first step.
    pub progress: String,
    pub lease_by: Option<String>,
    pub lease_until: Option<Timestamp>,
    pub last_run_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

/// Blobs of a part of the index that have no second copy yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotCopied {
    pub count: i64,
    pub bytes: i64,
    pub oldest_received_at: Option<Timestamp>,
}

/// A quarantined object whose present state does not lie in the store yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineToKeep {
    pub id: Uuid,
    pub facility: FacilityId,
    pub sop_instance: String,
    pub study: String,
    pub dataset_sha256: [u8; 32],
    pub calling_aet: String,
    pub received_at: Timestamp,
    pub state: String,
    pub reason: String,
    pub detail: String,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub decision_reason: Option<String>,
}

statements! {
    QUARANTINE_TO_KEEP = "SELECT id, facility_id, sop_instance_uid, study_uid, dataset_sha256, calling_aet, received_at, state, reason, detail, decided_by, decided_at, decision_reason FROM quarantined_objects \
                          WHERE kept_state IS NULL OR kept_state <> state ORDER BY id LIMIT $1";
    QUARANTINE_KEPT = "UPDATE quarantined_objects SET kept_state = $2 WHERE id = $1 AND state = $2";
    /// What the store says of an object that was just put back: the decision, and that it need not be written down again.
    QUARANTINE_RESTORE = "UPDATE quarantined_objects SET state = $2, decided_by = $3, decided_at = $4, decision_reason = $5, kept_state = $2 \
                          WHERE id = $1 AND state = 'held'";
    CUSTODY_INSTANCES = "SELECT id, blob_key, sop_instance_uid AS subject, size_bytes, dataset_offset, dataset_sha256 AS sha256, head_sha256, verified_at, copied_at \
                         FROM instances WHERE id > $1 ORDER BY id LIMIT $2";
    CUSTODY_INSTANCES_NOT_COPIED = "SELECT id, blob_key, sop_instance_uid AS subject, size_bytes, dataset_offset, dataset_sha256 AS sha256, head_sha256, \
                         verified_at, copied_at FROM instances WHERE id > $1 AND copied_at IS NULL ORDER BY id LIMIT $2";
    CUSTODY_INSTANCE = "SELECT id, blob_key, sop_instance_uid AS subject, size_bytes, dataset_offset, dataset_sha256 AS sha256, head_sha256, verified_at, copied_at \
                         FROM instances WHERE blob_key = $1";
    /// What was released is an instance and walked as such.
    CUSTODY_QUARANTINED = "SELECT q.id, q.blob_key, q.sop_instance_uid AS subject, q.size_bytes, CAST(NULL AS BIGINT) AS dataset_offset, q.dataset_sha256 AS sha256, \
                         c.head_sha256, c.verified_at, c.copied_at FROM quarantined_objects q LEFT JOIN custody_blobs c ON c.blob_key = q.blob_key \
                         WHERE q.blob_key > $1 AND q.state <> 'released' ORDER BY q.blob_key LIMIT $2";
    CUSTODY_QUARANTINED_ONE = "SELECT q.id, q.blob_key, q.sop_instance_uid AS subject, q.size_bytes, CAST(NULL AS BIGINT) AS dataset_offset, q.dataset_sha256 AS sha256, \
                         c.head_sha256, c.verified_at, c.copied_at FROM quarantined_objects q LEFT JOIN custody_blobs c ON c.blob_key = q.blob_key \
                         WHERE q.blob_key = $1";
    CUSTODY_REPORT_FILES = "SELECT f.report_version_id AS id, f.blob_key, f.kind AS subject, f.size_bytes, CAST(0 AS BIGINT) AS dataset_offset, f.sha256, \
                         c.head_sha256, c.verified_at, c.copied_at FROM report_files f LEFT JOIN custody_blobs c ON c.blob_key = f.blob_key \
                         WHERE f.blob_key > $1 ORDER BY f.blob_key LIMIT $2";
    CUSTODY_REPORT_FILE = "SELECT f.report_version_id AS id, f.blob_key, f.kind AS subject, f.size_bytes, CAST(0 AS BIGINT) AS dataset_offset, f.sha256, \
                         c.head_sha256, c.verified_at, c.copied_at FROM report_files f LEFT JOIN custody_blobs c ON c.blob_key = f.blob_key \
                         WHERE f.blob_key = $1";
    CUSTODY_INSTANCE_VERIFIED = "UPDATE instances SET verified_at = $2, head_sha256 = COALESCE(head_sha256, $3) WHERE id = $1";
    CUSTODY_INSTANCE_COPIED = "UPDATE instances SET copied_at = $2, head_sha256 = COALESCE(head_sha256, $3) WHERE id = $1";
    CUSTODY_BLOB_VERIFIED = "INSERT INTO custody_blobs (blob_key, verified_at, head_sha256) VALUES ($1, $2, $3) ON CONFLICT (blob_key) DO UPDATE \
                             SET verified_at = $2, head_sha256 = COALESCE(custody_blobs.head_sha256, $3)";
    CUSTODY_BLOB_COPIED = "INSERT INTO custody_blobs (blob_key, copied_at, head_sha256) VALUES ($1, $2, $3) ON CONFLICT (blob_key) DO UPDATE \
                           SET copied_at = $2, head_sha256 = COALESCE(custody_blobs.head_sha256, $3)";
    CUSTODY_COPIES_FORGET_INSTANCES = "UPDATE instances SET copied_at = NULL WHERE id IN \
                           (SELECT id FROM instances WHERE id > $1 AND copied_at IS NOT NULL ORDER BY id LIMIT $2)";
    CUSTODY_COPIES_FORGET_BLOBS = "UPDATE custody_blobs SET copied_at = NULL WHERE copied_at IS NOT NULL";
    CUSTODY_NOT_COPIED = "SELECT COUNT(*) AS blobs, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes, MIN(received_at) AS oldest FROM instances \
                          WHERE id > $1 AND copied_at IS NULL";
    /// A part of the index in the order of arrival, for comparison with the store.
    CUSTODY_WINDOW = "SELECT id, blob_key, size_bytes FROM instances WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    CUSTODY_WINDOW_QUARANTINED = "SELECT id, blob_key, size_bytes FROM quarantined_objects WHERE id > $1 AND id <= $2 ORDER BY id";
    CUSTODY_REPORTS_KNOWN = "SELECT COUNT(*) AS known FROM report_versions WHERE id = $1";
    TASK_ENSURE = "INSERT INTO custody_tasks (name, progress) VALUES ($1, '') ON CONFLICT DO NOTHING";
    /// Free, abandoned, or our own from before.
    TASK_TAKE = "UPDATE custody_tasks SET lease_by = $2, lease_until = $4 WHERE name = $1 AND (lease_until IS NULL OR lease_until <= $3 OR lease_by = $2)";
    TASK_KEEP = "UPDATE custody_tasks SET lease_until = $3, progress = $4, last_run_at = $5 WHERE name = $1 AND lease_by = $2";
    TASK_RELEASE = "UPDATE custody_tasks SET lease_by = NULL, lease_until = NULL, progress = $3, last_run_at = $4, last_error = $5 WHERE name = $1 AND lease_by = $2";
    TASK_FIND = "SELECT name, progress, lease_by, lease_until, last_run_at, last_error FROM custody_tasks WHERE name = $1";
}

fn blob_row(kind: CustodyKind, row: &Row) -> Result<CustodyBlob, DatabaseError> {
    let id = row.uuid("id")?;
    let subject = if kind == CustodyKind::ReportFile { id.to_string() } else { row.text("subject")? };
    Ok(CustodyBlob {
        kind,
        id,
        blob_key: row.text("blob_key")?,
        subject,
        size_bytes: row.get("size_bytes")?,
        dataset_offset: row.get("dataset_offset")?,
        sha256: row.hash("sha256")?,
        head_sha256: optional_hash(row, "head_sha256")?,
        verified_at: row.optional_time("verified_at")?,
        copied_at: row.optional_time("copied_at")?,
    })
}

fn blobs(kind: CustodyKind, rows: &[Row]) -> Result<Vec<CustodyBlob>, DatabaseError> {
    rows.iter().map(|row| blob_row(kind, row)).collect()
}

impl ReadTx {
    /// Up to `limit` instances after `after`, in the order of arrival.
    pub async fn custody_instances(&mut self, after: Uuid, limit: u32) -> Result<Vec<CustodyBlob>, DatabaseError> {
        blobs(CustodyKind::Instance, &self.rows(CUSTODY_INSTANCES, args![after, limit]).await?)
    }

    /// As [`Self::custody_instances`], without those that have a second copy.
    pub async fn custody_instances_not_copied(
        &mut self,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<CustodyBlob>, DatabaseError> {
        blobs(CustodyKind::Instance, &self.rows(CUSTODY_INSTANCES_NOT_COPIED, args![after, limit]).await?)
    }

    /// Up to `limit` objects in quarantine whose key comes after `after`.
    pub async fn custody_quarantined(&mut self, after: &str, limit: u32) -> Result<Vec<CustodyBlob>, DatabaseError> {
        blobs(CustodyKind::Quarantined, &self.rows(CUSTODY_QUARANTINED, args![after, limit]).await?)
    }

    /// Up to `limit` files of signed reports whose key comes after `after`.
    pub async fn custody_report_files(&mut self, after: &str, limit: u32) -> Result<Vec<CustodyBlob>, DatabaseError> {
        blobs(CustodyKind::ReportFile, &self.rows(CUSTODY_REPORT_FILES, args![after, limit]).await?)
    }

    /// The blob of this key, whatever it is.
    pub async fn custody_blob(&mut self, blob_key: &str) -> Result<Option<CustodyBlob>, DatabaseError> {
        for (statement, kind) in [
            (CUSTODY_INSTANCE, CustodyKind::Instance),
            (CUSTODY_QUARANTINED_ONE, CustodyKind::Quarantined),
            (CUSTODY_REPORT_FILE, CustodyKind::ReportFile),
        ] {
            if let Some(row) = self.optional(statement, args![blob_key]).await? {
                return blob_row(kind, &row).map(Some);
            }
        }
        Ok(None)
    }

    /// Instances after `after` that have no second copy. Reads every instance after it: `after` is recent.
    pub async fn custody_not_copied(&mut self, after: Uuid) -> Result<NotCopied, DatabaseError> {
        let row = self.one(CUSTODY_NOT_COPIED, args![after]).await?;
        Ok(NotCopied {
            count: row.get("blobs")?,
            bytes: row.get("bytes")?,
            oldest_received_at: row.optional_time("oldest")?,
        })
    }

    /// Identifier, key and size of up to `limit` instances between `after` and `before` (both excluded), and of the quarantined objects among them.
    /// The flag says that there may be more: then the last one is where the window ends.
    pub async fn custody_window(
        &mut self,
        after: Uuid,
        before: Uuid,
        limit: u32,
    ) -> Result<(Vec<(Uuid, String, i64)>, bool), DatabaseError> {
        let read = |row: &Row| Ok((row.uuid("id")?, row.text("blob_key")?, row.get("size_bytes")?));
        let rows = self.rows(CUSTODY_WINDOW, args![after, before, limit]).await?;
        let mut window = rows.iter().map(read).collect::<Result<Vec<_>, DatabaseError>>()?;
        let full = u32::try_from(window.len()).unwrap_or(u32::MAX) >= limit;
        let last = window.last().filter(|_| full).map_or(before, |(id, ..)| *id);
        let quarantined = self.rows(CUSTODY_WINDOW_QUARANTINED, args![after, last]).await?;
        window.extend(quarantined.iter().map(read).collect::<Result<Vec<_>, DatabaseError>>()?);
        window.sort();
        window.dedup();
        Ok((window, full))
    }

    /// Quarantined objects whose state does not lie in the store yet.
    pub async fn quarantine_to_keep(&mut self, limit: u32) -> Result<Vec<QuarantineToKeep>, DatabaseError> {
        let read = |row: &Row| {
            Ok(QuarantineToKeep {
                id: row.uuid("id")?,
                facility: row.facility("facility_id")?,
                sop_instance: row.text("sop_instance_uid")?,
                study: row.text("study_uid")?,
                dataset_sha256: row.hash("dataset_sha256")?,
                calling_aet: row.text("calling_aet")?,
                received_at: row.time("received_at")?,
                state: row.text("state")?,
                reason: row.text("reason")?,
                detail: row.text("detail")?,
                decided_by: row.get("decided_by")?,
                decided_at: row.optional_time("decided_at")?,
                decision_reason: row.get("decision_reason")?,
            })
        };
        self.rows(QUARANTINE_TO_KEEP, args![limit]).await?.iter().map(read).collect()
    }

    pub async fn custody_report_known(&mut self, version: Uuid) -> Result<bool, DatabaseError> {
        Ok(self.one(CUSTODY_REPORTS_KNOWN, args![version]).await?.get::<i64>("known")? > 0)
    }

    pub async fn custody_task(&mut self, name: &str) -> Result<Option<CustodyTaskRow>, DatabaseError> {
        let Some(row) = self.optional(TASK_FIND, args![name]).await? else { return Ok(None) };
        Ok(Some(CustodyTaskRow {
            name: row.text("name")?,
            progress: row.text("progress")?,
            lease_by: row.get("lease_by")?,
            lease_until: row.optional_time("lease_until")?,
            last_run_at: row.optional_time("last_run_at")?,
            last_error: row.get("last_error")?,
        }))
    }
}

impl WriteTx {
    /// The blob was read and is what it should be. `head` is remembered if none was.
    pub async fn custody_verified(
        &mut self,
        blob: &CustodyBlob,
        at: Timestamp,
        head: &[u8; 32],
    ) -> Result<(), DatabaseError> {
        match blob.kind {
            CustodyKind::Instance => self.execute(CUSTODY_INSTANCE_VERIFIED, args![blob.id, at, head]).await,
            _ => self.execute(CUSTODY_BLOB_VERIFIED, args![&blob.blob_key, at, head]).await,
        }
        .map(drop)
    }

    /// The blob has a second copy since `at`; `None`: it has none (any more).
    pub async fn custody_copied(
        &mut self,
        blob: &CustodyBlob,
        at: Option<Timestamp>,
        head: Option<[u8; 32]>,
    ) -> Result<(), DatabaseError> {
        let head = head.map(|head| head.to_vec());
        match blob.kind {
            CustodyKind::Instance => self.execute(CUSTODY_INSTANCE_COPIED, args![blob.id, at, head]).await,
            _ => self.execute(CUSTODY_BLOB_COPIED, args![&blob.blob_key, at, head]).await,
        }
        .map(drop)
    }

    /// Forgets that up to `limit` instances after `after` have a second copy; gives how many. With none left, call [`Self::custody_copies_forget_others`].
    pub async fn custody_copies_forget(&mut self, after: Uuid, limit: u32) -> Result<u64, DatabaseError> {
        self.execute(CUSTODY_COPIES_FORGET_INSTANCES, args![after, limit]).await
    }

    pub async fn custody_copies_forget_others(&mut self) -> Result<u64, DatabaseError> {
        self.execute(CUSTODY_COPIES_FORGET_BLOBS, args![]).await
    }

    /// The fact that says so lies in the store.
    pub async fn quarantine_kept(&mut self, id: Uuid, state: &str) -> Result<(), DatabaseError> {
        self.execute(QUARANTINE_KEPT, args![id, state]).await.map(drop)
    }

    /// Gives an object that was put back into quarantine the state that the store remembers.
    pub async fn quarantine_restore(
        &mut self,
        id: Uuid,
        state: &str,
        decided_by: Option<&str>,
        decided_at: Option<Timestamp>,
        reason: Option<&str>,
    ) -> Result<(), DatabaseError> {
        self.execute(QUARANTINE_RESTORE, args![id, state, decided_by, decided_at, reason]).await.map(drop)
    }

    /// Takes a walk until `until`, and gives where it is; `None` while another worker has it.
    pub async fn custody_task_take(
        &mut self,
        name: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<CustodyTaskRow>, DatabaseError> {
        self.execute(TASK_ENSURE, args![name]).await?;
        if self.execute(TASK_TAKE, args![name, worker, now, until]).await? == 0 {
            return Ok(None);
        }
        self.custody_task(name).await
    }

    /// Records where the walk is and prolongs the lease; `false`: another worker has it now, and this one must stop.
    pub async fn custody_task_keep(
        &mut self,
        name: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        progress: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(TASK_KEEP, args![name, worker, until, progress, now]).await? == 1)
    }

    /// Ends a turn; the reason of a failure is for a person.
    pub async fn custody_task_release(
        &mut self,
        name: &str,
        worker: &str,
        now: Timestamp,
        progress: &str,
        error: Option<&str>,
    ) -> Result<(), DatabaseError> {
        self.execute(TASK_RELEASE, args![name, worker, progress, now, error]).await.map(drop)
    }
}

pub(crate) fn optional_hash(row: &Row, column: &'static str) -> Result<Option<[u8; 32]>, DatabaseError> {
    let Some(bytes) = row.get::<Option<Vec<u8>>>(column)? else { return Ok(None) };
    bytes
        .try_into()
        .map(Some)
        .map_err(|_| DatabaseError::inconsistent(column, format!("column {column} does not hold 32 bytes")))
}
