//! Storage commitment (PS3.4 annex J): what peers have asked for, what was found, and where the result goes.
//!
//! References are kept as one text and their outcome as two bytes each: a request of 24,000 objects is one row, and checking it is resumed where it stopped.

use dokuei_domain::{AeTitle, FacilityId, SopClassUid, SopInstanceUid, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitmentState {
    /// The stored objects are being read again.
    Checking,
    /// The result is known and on its way.
    Answering,
    /// The result is known, but nobody said where it should go: it waits for the peer's next association or for an address.
    Waiting,
    /// The result is known and could not be delivered.
    Failed,
    /// The peer has confirmed that it received the result.
    Answered,
}

impl CommitmentState {
    pub const ALL: [Self; 5] = [Self::Checking, Self::Answering, Self::Waiting, Self::Failed, Self::Answered];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Answering => "answering",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Answered => "answered",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A request as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub calling: AeTitle,
    pub transaction: String,
    pub requested_sha256: [u8; 32],
    pub instance_count: i64,
    /// Objects that are not committed; `None` until all were looked at.
    pub failed_count: Option<i64>,
    pub state: CommitmentState,
    pub requested_at: Timestamp,
    pub checked_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub last_error: Option<String>,
    pub link_node: String,
    pub link_until: Timestamp,
}

/// A request that comes in.
#[derive(Debug, Clone)]
pub struct NewCommitment<'a> {
    pub id: Uuid,
    pub facility: &'a FacilityId,
    pub calling: &'a AeTitle,
    pub transaction: &'a str,
    /// One reference a line.
    pub requested: Vec<u8>,
    pub requested_sha256: [u8; 32],
    pub instance_count: i64,
    pub link_node: &'a str,
    pub link_until: Timestamp,
    pub now: Timestamp,
}

/// A stored object that somebody asks about, with what is needed to read it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedInstance {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub blob_key: String,
    pub dataset_offset: i64,
    pub dataset_sha256: [u8; 32],
}

/// Where results for one AE title go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentTargetRow {
    pub calling: AeTitle,
    pub host: String,
    pub port: u16,
    /// It is reached over TLS.
    pub tls: bool,
}

macro_rules! columns {
    () => {
        "id, facility_id, calling_aet, transaction_uid, requested_sha256, instance_count, failed_count, state, requested_at, checked_at, answered_at, \
         last_error, link_node, link_until"
    };
}

statements! {
    COMMITMENT_INSERT =
        "INSERT INTO storage_commitments (id, facility_id, calling_aet, transaction_uid, requested, requested_sha256, instance_count, state, \
         outcome, requested_at, link_node, link_until) VALUES ($1, $2, $3, $4, $5, $6, $7, 'checking', $8, $9, $10, $11) \
         ON CONFLICT (facility_id, calling_aet, transaction_uid) DO NOTHING";
    COMMITMENT_FIND = concat!("SELECT ", columns!(), " FROM storage_commitments WHERE id = $1");
    COMMITMENT_BY_TRANSACTION = concat!(
        "SELECT ", columns!(), " FROM storage_commitments WHERE facility_id = $1 AND calling_aet = $2 AND transaction_uid = $3"
    );
    COMMITMENT_WORK = "SELECT requested, outcome FROM storage_commitments WHERE id = $1";
    COMMITMENT_LIST = concat!(
        "SELECT ", columns!(), " FROM storage_commitments WHERE (CAST($1 AS BIGINT) = 0 OR state <> 'answered') \
         ORDER BY requested_at DESC, id DESC LIMIT $2"
    );
    /// What a peer has asked for and not been told.
    COMMITMENT_UNANSWERED_OF = concat!(
        "SELECT ", columns!(), " FROM storage_commitments WHERE facility_id = $1 AND calling_aet = $2 AND state <> 'answered' \
         ORDER BY requested_at LIMIT $3"
    );
    COMMITMENT_UNANSWERED_COUNT =
        "SELECT COUNT(*) AS unanswered FROM storage_commitments WHERE facility_id = $1 AND calling_aet = $2 AND state <> 'answered'";
    /// Unfinished, or finished but for an address that is known by now; and no job waits or runs.
    COMMITMENT_WITHOUT_JOB =
        "SELECT c.id FROM storage_commitments c WHERE (c.state IN ('checking', 'answering') OR (c.state = 'waiting' AND ( \
           EXISTS (SELECT 1 FROM commitment_targets t WHERE t.facility_id = c.facility_id AND t.calling_aet = c.calling_aet) \
           OR EXISTS (SELECT 1 FROM return_targets r WHERE r.facility_id = c.facility_id AND r.called_aet = c.calling_aet AND r.disabled_at IS NULL)))) \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.queue = $1 AND j.dedup_key = lower(hex(c.id)) AND j.state IN ('ready', 'running')) \
         ORDER BY c.requested_at LIMIT $2",
        "SELECT c.id FROM storage_commitments c WHERE (c.state IN ('checking', 'answering') OR (c.state = 'waiting' AND ( \
           EXISTS (SELECT 1 FROM commitment_targets t WHERE t.facility_id = c.facility_id AND t.calling_aet = c.calling_aet) \
           OR EXISTS (SELECT 1 FROM return_targets r WHERE r.facility_id = c.facility_id AND r.called_aet = c.calling_aet AND r.disabled_at IS NULL)))) \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.queue = $1 AND j.dedup_key = replace(CAST(c.id AS TEXT), '-', '') \
         AND j.state IN ('ready', 'running')) ORDER BY c.requested_at LIMIT $2";
    COMMITMENT_PROGRESS = "UPDATE storage_commitments SET outcome = $2 WHERE id = $1 AND state = 'checking'";
    COMMITMENT_CHECKED = "UPDATE storage_commitments SET outcome = $2, failed_count = $3, state = 'answering', checked_at = $4 WHERE id = $1 AND state = 'checking'";
    /// The objects are read anew: what was true at the last result need not be now.
    COMMITMENT_CHECK_AGAIN =
        "UPDATE storage_commitments SET state = 'checking', outcome = $2, failed_count = NULL, checked_at = NULL, answered_at = NULL, last_error = NULL, \
         link_node = $3, link_until = $4 WHERE id = $1";
    COMMITMENT_ANSWERED = "UPDATE storage_commitments SET state = 'answered', answered_at = $2, last_error = NULL WHERE id = $1 AND state <> 'answered'";
    COMMITMENT_NOT_ANSWERED = "UPDATE storage_commitments SET state = $2, last_error = $3 WHERE id = $1 AND state NOT IN ('answered', 'checking')";
    COMMITMENT_LINK = "UPDATE storage_commitments SET link_node = $2, link_until = $3 WHERE id = $1";
    COMMITMENT_RELINK =
        "UPDATE storage_commitments SET link_node = $2, link_until = $3, state = CASE WHEN state IN ('waiting', 'failed') THEN 'answering' ELSE state END \
         WHERE id = $1 AND state <> 'answered'";
    COMMITMENT_UNLINK = "UPDATE storage_commitments SET link_until = 0 WHERE id = $1 AND link_node = $2";
    /// A job that was given up is not beside one that works.
    COMMITMENT_CLEAR_DEAD = "UPDATE jobs SET state = 'done', finished_at = $3 WHERE queue = $1 AND dedup_key = $2 AND state = 'dead'";
    /// Hidden objects do not exist for who asks; those in quarantine are in no study. Our own reports, should they come back, are kept as they were signed.
    /// The UIDs come as a JSON array.
    COMMITMENT_INSTANCES =
        "SELECT i.sop_class_uid, i.sop_instance_uid, i.blob_key, i.dataset_offset, i.dataset_sha256 FROM json_each($2) u \
         JOIN instances i ON i.facility_id = $1 AND i.sop_instance_uid = u.value JOIN studies s ON s.id = i.study_pk \
         WHERE s.state <> 'withdrawn' AND i.rejected_at IS NULL \
         UNION ALL SELECT f.sop_class_uid, f.sop_instance_uid, f.blob_key, CAST(0 AS BIGINT) AS dataset_offset, f.sha256 AS dataset_sha256 FROM json_each($2) u \
         JOIN report_files f ON f.sop_instance_uid = u.value JOIN report_versions v ON v.id = f.report_version_id WHERE v.facility_id = $1",
        "SELECT i.sop_class_uid, i.sop_instance_uid, i.blob_key, i.dataset_offset, i.dataset_sha256 \
         FROM json_array_elements_text(CAST($2 AS json)) AS u(value) \
         JOIN instances i ON i.facility_id = $1 AND i.sop_instance_uid = u.value JOIN studies s ON s.id = i.study_pk \
         WHERE s.state <> 'withdrawn' AND i.rejected_at IS NULL \
         UNION ALL SELECT f.sop_class_uid, f.sop_instance_uid, f.blob_key, CAST(0 AS BIGINT) AS dataset_offset, f.sha256 AS dataset_sha256 \
         FROM json_array_elements_text(CAST($2 AS json)) AS u(value) \
         JOIN report_files f ON f.sop_instance_uid = u.value JOIN report_versions v ON v.id = f.report_version_id WHERE v.facility_id = $1";
    COMMITMENT_TARGET_SET =
        "INSERT INTO commitment_targets (facility_id, calling_aet, host, port, tls, set_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (facility_id, calling_aet) DO UPDATE SET host = excluded.host, port = excluded.port, tls = excluded.tls, set_at = excluded.set_at";
    COMMITMENT_TARGET_REMOVE = "DELETE FROM commitment_targets WHERE facility_id = $1 AND calling_aet = $2";
    COMMITMENT_TARGET_LIST = "SELECT calling_aet, host, port, tls FROM commitment_targets WHERE facility_id = $1 ORDER BY calling_aet";
    /// What was set for the title, else where reports go to the same title.
    COMMITMENT_TARGET_OF =
        "SELECT calling_aet, host, port, tls FROM (SELECT 0 AS place, t.calling_aet, t.host, t.port, t.tls FROM commitment_targets t \
           WHERE t.facility_id = $1 AND t.calling_aet = $2 UNION ALL \
         SELECT 1 AS place, r.called_aet, r.host, r.port, r.tls FROM return_targets r \
           WHERE r.facility_id = $1 AND r.called_aet = $2 AND r.disabled_at IS NULL) found ORDER BY place, host, port LIMIT 1";
}

/// The dedup key of a commitment's job.
pub fn commitment_job_key(commitment: Uuid) -> String {
    commitment.simple().to_string()
}

fn read_row(row: &Row) -> Result<CommitmentRow, DatabaseError> {
    Ok(CommitmentRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        calling: row.parsed("calling_aet", |text| AeTitle::parse(text).ok())?,
        transaction: row.text("transaction_uid")?,
        requested_sha256: row.hash("requested_sha256")?,
        instance_count: row.get("instance_count")?,
        failed_count: row.get("failed_count")?,
        state: row.parsed("state", CommitmentState::parse)?,
        requested_at: row.time("requested_at")?,
        checked_at: row.optional_time("checked_at")?,
        answered_at: row.optional_time("answered_at")?,
        last_error: row.get("last_error")?,
        link_node: row.text("link_node")?,
        link_until: row.time("link_until")?,
    })
}

fn read_target(row: &Row) -> Result<CommitmentTargetRow, DatabaseError> {
    Ok(CommitmentTargetRow {
        calling: row.parsed("calling_aet", |text| AeTitle::parse(text).ok())?,
        host: row.text("host")?,
        port: u16::try_from(row.get::<i64>("port")?)
            .map_err(|_| DatabaseError::inconsistent("port", "column port holds no port number"))?,
        tls: row.flag("tls")?,
    })
}

impl ReadTx {
    pub async fn commitment_find(&mut self, id: Uuid) -> Result<Option<CommitmentRow>, DatabaseError> {
        self.optional(COMMITMENT_FIND, args![id]).await?.as_ref().map(read_row).transpose()
    }

    pub async fn commitment_by_transaction(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
        transaction: &str,
    ) -> Result<Option<CommitmentRow>, DatabaseError> {
        let found = self.optional(COMMITMENT_BY_TRANSACTION, args![facility, calling, transaction]).await?;
        found.as_ref().map(read_row).transpose()
    }

    /// What was asked for, one reference a line, and what was found of it so far, two bytes each.
    pub async fn commitment_work(&mut self, id: Uuid) -> Result<Option<(Vec<u8>, Vec<u8>)>, DatabaseError> {
        let Some(row) = self.optional(COMMITMENT_WORK, args![id]).await? else { return Ok(None) };
        Ok(Some((row.get("requested")?, row.get("outcome")?)))
    }

    /// Requests, newest first.
    pub async fn commitment_list(
        &mut self,
        unanswered_only: bool,
        limit: u32,
    ) -> Result<Vec<CommitmentRow>, DatabaseError> {
        self.rows(COMMITMENT_LIST, args![i64::from(unanswered_only), limit]).await?.iter().map(read_row).collect()
    }

    /// A peer's requests whose result it has not got, oldest first.
    pub async fn commitment_unanswered_of(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
        limit: u32,
    ) -> Result<Vec<CommitmentRow>, DatabaseError> {
        self.rows(COMMITMENT_UNANSWERED_OF, args![facility, calling, limit]).await?.iter().map(read_row).collect()
    }

    /// How many a peer has asked for and not been told.
    pub async fn commitment_unanswered_count(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
    ) -> Result<i64, DatabaseError> {
        self.one(COMMITMENT_UNANSWERED_COUNT, args![facility, calling]).await?.get("unanswered")
    }

    pub async fn commitments_without_job(&mut self, queue: &str, limit: u32) -> Result<Vec<Uuid>, DatabaseError> {
        let rows = self.rows(COMMITMENT_WITHOUT_JOB, args![queue, limit]).await?;
        rows.iter().map(|row| row.uuid("id")).collect()
    }

    /// Those of the facility's stored objects that have one of these UIDs and are not hidden, in any order.
    pub async fn commitment_instances(
        &mut self,
        facility: &FacilityId,
        uids: &[&str],
    ) -> Result<Vec<CommittedInstance>, DatabaseError> {
        let uids = serde_json::to_string(uids).unwrap_or_default();
        let rows = self.rows(COMMITMENT_INSTANCES, args![facility, uids]).await?;
        let read = |row: &Row| {
            Ok(CommittedInstance {
                sop_class: row.parsed("sop_class_uid", |text| SopClassUid::parse(text).ok())?,
                sop_instance: row.parsed("sop_instance_uid", |text| SopInstanceUid::parse(text).ok())?,
                blob_key: row.text("blob_key")?,
                dataset_offset: row.get("dataset_offset")?,
                dataset_sha256: row.hash("dataset_sha256")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The addresses that were set for a facility's AE titles.
    pub async fn commitment_target_list(
        &mut self,
        facility: &FacilityId,
    ) -> Result<Vec<CommitmentTargetRow>, DatabaseError> {
        self.rows(COMMITMENT_TARGET_LIST, args![facility]).await?.iter().map(read_target).collect()
    }

    /// Where results for an AE title go: the address that was set, else that of a return target with the same title.
    pub async fn commitment_target_of(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
    ) -> Result<Option<CommitmentTargetRow>, DatabaseError> {
        self.optional(COMMITMENT_TARGET_OF, args![facility, calling]).await?.as_ref().map(read_target).transpose()
    }
}

impl WriteTx {
    /// `false`: the peer has used this transaction UID before.
    pub async fn commitment_insert(&mut self, new: &NewCommitment<'_>) -> Result<bool, DatabaseError> {
        let values = args![
            new.id,
            new.facility,
            new.calling,
            new.transaction,
            new.requested.clone(),
            new.requested_sha256,
            new.instance_count,
            Vec::new(),
            new.now,
            new.link_node,
            new.link_until
        ];
        Ok(self.execute(COMMITMENT_INSERT, values).await? == 1)
    }

    /// Keeps how far the check has come.
    pub async fn commitment_progress(&mut self, id: Uuid, outcome: &[u8]) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_PROGRESS, args![id, outcome]).await? == 1)
    }

    /// The result is known.
    pub async fn commitment_checked(
        &mut self,
        id: Uuid,
        outcome: &[u8],
        failed: i64,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_CHECKED, args![id, outcome, failed, now]).await? == 1)
    }

    /// The same request came again: everything is read anew.
    pub async fn commitment_check_again(
        &mut self,
        id: Uuid,
        link_node: &str,
        link_until: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_CHECK_AGAIN, args![id, Vec::new(), link_node, link_until]).await? == 1)
    }

    pub async fn commitment_answered(&mut self, id: Uuid, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_ANSWERED, args![id, now]).await? == 1)
    }

    /// The result has not reached the peer; `state` says whether it is tried again, and `error` why not yet.
    pub async fn commitment_not_answered(
        &mut self,
        id: Uuid,
        state: CommitmentState,
        error: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_NOT_ANSWERED, args![id, state.as_str(), error]).await? == 1)
    }

    /// The association that can carry the result is open, on this node, at least until then.
    pub async fn commitment_link(&mut self, id: Uuid, node: &str, until: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_LINK, args![id, node, until]).await? == 1)
    }

    /// The peer has come back: what it has not been told can be told now.
    pub async fn commitment_relink(&mut self, id: Uuid, node: &str, until: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_RELINK, args![id, node, until]).await? == 1)
    }

    /// Takes what was given up off the dead list: the request is worked on again.
    pub async fn commitment_clear_dead_jobs(
        &mut self,
        queue: &str,
        id: Uuid,
        now: Timestamp,
    ) -> Result<u64, DatabaseError> {
        self.execute(COMMITMENT_CLEAR_DEAD, args![queue, commitment_job_key(id), now]).await
    }

    /// The association has ended.
    pub async fn commitment_unlink(&mut self, id: Uuid, node: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_UNLINK, args![id, node]).await? == 1)
    }

    /// Sets the address, in place of an earlier one.
    pub async fn commitment_target_set(
        &mut self,
        facility: &FacilityId,
        target: &CommitmentTargetRow,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let CommitmentTargetRow { calling, host, port, tls } = target;
        let values = args![facility, calling, host, i64::from(*port), i64::from(*tls), now];
        self.execute(COMMITMENT_TARGET_SET, values).await.map(drop)
    }

    pub async fn commitment_target_remove(
        &mut self,
        facility: &FacilityId,
        calling: &AeTitle,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(COMMITMENT_TARGET_REMOVE, args![facility, calling]).await? == 1)
    }
}
