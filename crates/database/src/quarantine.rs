//! Objects that were kept but are part of no study: the sender was told, the office decides. And a count of what was refused without being kept.

use dokuei_domain::{FacilityId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    index::size,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// An object that was kept aside.
#[derive(Debug, Clone)]
pub struct NewQuarantinedObject<'a> {
    pub id: Uuid,
    pub facility: &'a FacilityId,
    /// As the sender wrote it; empty when it says none.
    pub sop_instance: &'a str,
    pub study: &'a str,
    /// A stable word: `same_uid_other_content`, …
    pub reason: &'a str,
    /// A sentence for a person.
    pub detail: &'a str,
    pub blob_key: &'a str,
    pub size_bytes: u64,
    pub dataset_sha256: [u8; 32],
    pub calling_aet: &'a str,
    pub received_at: Timestamp,
}

/// What became of an attempt to keep an object aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineInsertion {
    Added,
    /// It is there under our own key: an earlier commit went through although its answer was lost.
    Ours,
    /// The same content waits already, or was rejected before: nobody is asked twice.
    SameContentKnown,
}

/// How a quarantined object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineState {
    Held,
    Released,
    Rejected,
}

impl QuarantineState {
    pub const ALL: [Self; 3] = [Self::Held, Self::Released, Self::Rejected];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Rejected => "rejected",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A quarantined object as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub sop_instance: String,
    pub study: String,
    pub reason: String,
    pub detail: String,
    pub blob_key: String,
    pub size_bytes: i64,
    pub dataset_sha256: [u8; 32],
    pub calling_aet: String,
    pub received_at: Timestamp,
    pub state: QuarantineState,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub decision_reason: Option<String>,
}

/// Objects of one sender that were refused for one reason and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedObjectsRow {
    pub facility: FacilityId,
    pub calling_aet: String,
    pub reason: String,
    pub last_detail: String,
    pub object_count: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

macro_rules! quarantine_sql {
    ($which:literal) => {
        concat!(
            "SELECT id, facility_id, sop_instance_uid, study_uid, reason, detail, blob_key, size_bytes, dataset_sha256, calling_aet, received_at, \
             state, decided_by, decided_at, decision_reason FROM quarantined_objects ",
            $which
        )
    };
}

statements! {
    QUARANTINE_INSERT = "INSERT INTO quarantined_objects (id, facility_id, sop_instance_uid, study_uid, reason, detail, blob_key, size_bytes, \
                         dataset_sha256, calling_aet, received_at, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'held') \
                         ON CONFLICT DO NOTHING";
    QUARANTINE_SAME_CONTENT = "SELECT blob_key FROM quarantined_objects WHERE facility_id = $1 AND sop_instance_uid = $2 AND dataset_sha256 = $3 \
                               AND state IN ('held', 'rejected') ORDER BY CASE WHEN blob_key = $4 THEN 0 ELSE 1 END LIMIT 1";
    QUARANTINE_HELD = quarantine_sql!("WHERE state = 'held' ORDER BY received_at DESC, id DESC LIMIT $1");
    QUARANTINE_LIST = quarantine_sql!("ORDER BY received_at DESC, id DESC LIMIT $1");
    QUARANTINE_BY_ID = quarantine_sql!("WHERE id = $1");
    QUARANTINE_DECIDE = "UPDATE quarantined_objects SET state = $2, decided_by = $3, decided_at = $4, decision_reason = $5 \
                         WHERE id = $1 AND state = 'held'";
    /// `$2` is a list `,unreadable,missing_uid,`.
    QUARANTINE_USAGE = "SELECT COUNT(*) AS objects, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM quarantined_objects \
                        WHERE state = 'held' AND facility_id = $1 AND REPLACE($2, ',' || reason || ',', '') <> $2";
    REFUSED_OBJECTS_ADD =
        "INSERT INTO refused_objects (facility_id, calling_aet, reason, last_detail, object_count, first_at, last_at) VALUES ($1, $2, $3, $4, 1, $5, $5) \
         ON CONFLICT (facility_id, calling_aet, reason) DO UPDATE SET object_count = refused_objects.object_count + 1, last_detail = $4, last_at = $5";
    REFUSED_OBJECTS_SINCE = "SELECT facility_id, calling_aet, reason, last_detail, object_count, first_at, last_at FROM refused_objects \
                             WHERE last_at >= $1 ORDER BY last_at DESC LIMIT $2";
}

impl WriteTx {
    /// Adds an object to quarantine, unless the same content waits there or was rejected.
    pub async fn quarantine_insert(
        &mut self,
        object: &NewQuarantinedObject<'_>,
    ) -> Result<QuarantineInsertion, DatabaseError> {
        let same = args![object.facility, object.sop_instance, object.dataset_sha256, object.blob_key];
        if let Some(row) = self.optional(QUARANTINE_SAME_CONTENT, same).await? {
            let ours = row.text("blob_key")? == object.blob_key;
            return Ok(if ours { QuarantineInsertion::Ours } else { QuarantineInsertion::SameContentKnown });
        }
        let values = args![
            object.id,
            object.facility,
            object.sop_instance,
            object.study,
            object.reason,
            object.detail,
            object.blob_key,
            size(object.size_bytes),
            object.dataset_sha256,
            object.calling_aet,
            object.received_at
        ];
        if self.execute(QUARANTINE_INSERT, values).await? == 1 {
            return Ok(QuarantineInsertion::Added);
        }
        // Another node was faster with the same content, or the blob is known under its key.
        let ours = self.blob_is_indexed(object.blob_key).await?;
        Ok(if ours { QuarantineInsertion::Ours } else { QuarantineInsertion::SameContentKnown })
    }

    /// Records a decision. `false`: somebody has decided already.
    pub async fn quarantine_decide(
        &mut self,
        id: Uuid,
        state: QuarantineState,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(QUARANTINE_DECIDE, args![id, state.as_str(), by, now, reason]).await? == 1)
    }

    /// Counts an object that was refused and not kept.
    pub async fn refused_objects_add(
        &mut self,
        facility: &FacilityId,
        calling_aet: &str,
        reason: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(REFUSED_OBJECTS_ADD, args![facility, calling_aet, reason, detail, now]).await.map(drop)
    }
}

impl ReadTx {
    /// Objects in quarantine that wait for a decision, newest first.
    pub async fn quarantine_held(&mut self, limit: u32) -> Result<Vec<QuarantineRow>, DatabaseError> {
        self.rows(QUARANTINE_HELD, args![limit]).await?.iter().map(quarantine_row).collect()
    }

    /// All that ever were in quarantine, newest first.
    pub async fn quarantine_list(&mut self, limit: u32) -> Result<Vec<QuarantineRow>, DatabaseError> {
        self.rows(QUARANTINE_LIST, args![limit]).await?.iter().map(quarantine_row).collect()
    }

    pub async fn quarantine_object(&mut self, id: Uuid) -> Result<Option<QuarantineRow>, DatabaseError> {
        self.optional(QUARANTINE_BY_ID, args![id]).await?.as_ref().map(quarantine_row).transpose()
    }

    /// How many objects and bytes of a facility wait for one of these reasons.
    pub async fn quarantine_usage(
        &mut self,
        facility: &FacilityId,
        reasons: &[&str],
    ) -> Result<(i64, i64), DatabaseError> {
        let row = self.one(QUARANTINE_USAGE, args![facility, format!(",{},", reasons.join(",,"))]).await?;
        Ok((row.get("objects")?, row.get("bytes")?))
    }

    /// What was refused and not kept, latest first.
    pub async fn refused_objects_since(
        &mut self,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<RefusedObjectsRow>, DatabaseError> {
        let rows = self.rows(REFUSED_OBJECTS_SINCE, args![since, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(RefusedObjectsRow {
                    facility: row.facility("facility_id")?,
                    calling_aet: row.text("calling_aet")?,
                    reason: row.text("reason")?,
                    last_detail: row.text("last_detail")?,
                    object_count: row.get("object_count")?,
                    first_at: row.time("first_at")?,
                    last_at: row.time("last_at")?,
                })
            })
            .collect()
    }
}

fn quarantine_row(row: &Row) -> Result<QuarantineRow, DatabaseError> {
    Ok(QuarantineRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        sop_instance: row.text("sop_instance_uid")?,
        study: row.text("study_uid")?,
        reason: row.text("reason")?,
        detail: row.text("detail")?,
        blob_key: row.text("blob_key")?,
        size_bytes: row.get("size_bytes")?,
        dataset_sha256: row.hash("dataset_sha256")?,
        calling_aet: row.text("calling_aet")?,
        received_at: row.time("received_at")?,
        state: row.parsed("state", QuarantineState::parse)?,
        decided_by: row.get("decided_by")?,
        decided_at: row.optional_time("decided_at")?,
        decision_reason: row.get("decision_reason")?,
    })
}
