//! Objects that were kept but are part of no study: the sender was told, the office decides.

use dokuei_domain::{FacilityId, Timestamp};

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
    pub id: uuid::Uuid,
    pub facility: &'a FacilityId,
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

/// A quarantined object as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    pub id: uuid::Uuid,
    pub facility: FacilityId,
    pub sop_instance: String,
    pub study: String,
    pub reason: String,
    pub detail: String,
    pub blob_key: String,
    pub calling_aet: String,
    pub received_at: Timestamp,
    pub state: String,
}

statements! {
    QUARANTINE_INSERT = "INSERT INTO quarantined_objects (id, facility_id, sop_instance_uid, study_uid, reason, detail, blob_key, size_bytes, \
                         dataset_sha256, calling_aet, received_at, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'held') \
                         ON CONFLICT DO NOTHING";
    QUARANTINE_HELD = "SELECT id, facility_id, sop_instance_uid, study_uid, reason, detail, blob_key, calling_aet, received_at, state \
                       FROM quarantined_objects WHERE state = 'held' ORDER BY received_at DESC LIMIT $1";
}

impl WriteTx {
    /// Adds an object to quarantine; `false` when the same content is held already.
    pub async fn quarantine_insert(&mut self, object: &NewQuarantinedObject<'_>) -> Result<bool, DatabaseError> {
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
        Ok(self.execute(QUARANTINE_INSERT, values).await? == 1)
    }
}

impl ReadTx {
    /// Objects in quarantine that wait for a decision, newest first.
    pub async fn quarantine_held(&mut self, limit: u32) -> Result<Vec<QuarantineRow>, DatabaseError> {
        self.rows(QUARANTINE_HELD, args![limit]).await?.iter().map(quarantine_row).collect()
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
        calling_aet: row.text("calling_aet")?,
        received_at: row.time("received_at")?,
        state: row.text("state")?,
    })
}
