//! Instances: one blob each.

use dokuei_domain::{
    FacilityId, InstanceId, SeriesPk, SopClassUid, SopInstanceUid, StudyPk, Timestamp, TransferSyntaxUid,
    facts::InstanceFacts,
};

use super::size;
use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A blob that became an instance.
#[derive(Debug, Clone)]
pub struct NewInstance<'a> {
    pub id: InstanceId,
    pub facility: &'a FacilityId,
    pub facts: &'a InstanceFacts,
    pub blob_key: &'a str,
    pub size_bytes: u64,
    pub dataset_offset: u64,
    pub dataset_sha256: [u8; 32],
    pub calling_aet: &'a str,
    pub received_at: Timestamp,
}

/// What the index already knows of a SOP instance of one facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstance {
    pub id: InstanceId,
    pub dataset_sha256: [u8; 32],
    pub study: StudyPk,
}

/// An instance with what is needed to find, show and send it.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRow {
    pub id: InstanceId,
    pub facility: FacilityId,
    pub study: StudyPk,
    pub series: SeriesPk,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
    pub number: Option<i64>,
    pub frames: i64,
    pub rows: Option<i64>,
    pub columns: Option<i64>,
    pub slice_position: Option<f64>,
    pub window: Option<(f64, f64)>,
    pub blob_key: String,
    pub size_bytes: i64,
    pub dataset_offset: i64,
    pub dataset_sha256: [u8; 32],
    pub received_at: Timestamp,
}

statements! {
    INSTANCE_INSERT = "INSERT INTO instances (id, facility_id, study_pk, series_pk, sop_class_uid, sop_instance_uid, transfer_syntax_uid, number, frames, \
                       row_count, column_count, slice_position, window_center, window_width, blob_key, size_bytes, dataset_offset, dataset_sha256, \
                       calling_aet, received_at) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT DO NOTHING";
    INSTANCE_FIND = "SELECT id, dataset_sha256, study_pk FROM instances WHERE facility_id = $1 AND sop_instance_uid = $2";
    BLOB_KNOWN = "SELECT (SELECT COUNT(*) FROM instances WHERE blob_key = $1) + (SELECT COUNT(*) FROM quarantined_objects WHERE blob_key = $1) AS known";
    INSTANCES_OF_STUDY = "SELECT * FROM instances WHERE study_pk = $1 AND rejected_at IS NULL ORDER BY series_pk, number, sop_instance_uid";
    INSTANCES_OF_STUDY_WITH_REJECTED = "SELECT * FROM instances WHERE study_pk = $1 ORDER BY series_pk, number, sop_instance_uid";
    INSTANCE_BY_ID = "SELECT * FROM instances WHERE id = $1 AND rejected_at IS NULL";
    INSTANCE_BY_UID = "SELECT * FROM instances WHERE facility_id = $1 AND sop_instance_uid = $2 AND rejected_at IS NULL";
    INSTANCE_COUNT = "SELECT COUNT(*) AS instances FROM instances";
}

impl WriteTx {
    /// Adds the instance; `false` when the facility's UID exists already.
    pub async fn instance_insert(
        &mut self,
        study: StudyPk,
        series: SeriesPk,
        instance: &NewInstance<'_>,
    ) -> Result<bool, DatabaseError> {
        let facts = instance.facts;
        let values = args![
            instance.id,
            instance.facility,
            study,
            series,
            &facts.sop_class,
            &facts.sop_instance,
            &facts.transfer_syntax,
            facts.instance_number.map(i64::from),
            i64::from(facts.number_of_frames.unwrap_or(1)),
            facts.rows.map(i64::from),
            facts.columns.map(i64::from),
            facts.slice_position,
            facts.window.map(|window| window.0),
            facts.window.map(|window| window.1),
            instance.blob_key,
            size(instance.size_bytes),
            size(instance.dataset_offset),
            instance.dataset_sha256,
            instance.calling_aet,
            instance.received_at
        ];
        Ok(self.execute(INSTANCE_INSERT, values).await? == 1)
    }
}

impl ReadTx {
    /// What the facility has under this UID, hidden or not.
    pub async fn instance_known(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Option<KnownInstance>, DatabaseError> {
        let Some(row) = self.optional(INSTANCE_FIND, args![facility, uid]).await? else { return Ok(None) };
        Ok(Some(KnownInstance {
            id: InstanceId(row.uuid("id")?),
            dataset_sha256: row.hash("dataset_sha256")?,
            study: StudyPk(row.uuid("study_pk")?),
        }))
    }

    /// Whether a blob is an instance or in quarantine.
    pub async fn blob_is_indexed(&mut self, blob_key: &str) -> Result<bool, DatabaseError> {
        Ok(self.one(BLOB_KNOWN, args![blob_key]).await?.get::<i64>("known")? > 0)
    }

    /// The instances that may be seen.
    pub async fn instances_of_study(&mut self, study: StudyPk) -> Result<Vec<InstanceRow>, DatabaseError> {
        self.rows(INSTANCES_OF_STUDY, args![study]).await?.iter().map(instance_row).collect()
    }

    /// All instances, those too that a rejection note hides: for custody of what was signed and received, never for showing.
    pub async fn instances_of_study_with_rejected(
        &mut self,
        study: StudyPk,
    ) -> Result<Vec<InstanceRow>, DatabaseError> {
        self.rows(INSTANCES_OF_STUDY_WITH_REJECTED, args![study]).await?.iter().map(instance_row).collect()
    }

    /// An instance that may be seen.
    pub async fn instance_by_id(&mut self, id: InstanceId) -> Result<Option<InstanceRow>, DatabaseError> {
        self.optional(INSTANCE_BY_ID, args![id]).await?.as_ref().map(instance_row).transpose()
    }

    /// An instance that may be seen.
    pub async fn instance_by_uid(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Option<InstanceRow>, DatabaseError> {
        self.optional(INSTANCE_BY_UID, args![facility, uid]).await?.as_ref().map(instance_row).transpose()
    }

    /// All that the index holds, hidden or not.
    pub async fn instance_count(&mut self) -> Result<i64, DatabaseError> {
        self.one(INSTANCE_COUNT, args![]).await?.get("instances")
    }
}

fn instance_row(row: &Row) -> Result<InstanceRow, DatabaseError> {
    let window = row.get::<Option<f64>>("window_center")?.zip(row.get::<Option<f64>>("window_width")?);
    Ok(InstanceRow {
        id: InstanceId(row.uuid("id")?),
        facility: row.facility("facility_id")?,
        study: StudyPk(row.uuid("study_pk")?),
        series: SeriesPk(row.uuid("series_pk")?),
        sop_class: row.parsed("sop_class_uid", |text| SopClassUid::parse(text).ok())?,
        sop_instance: row.parsed("sop_instance_uid", |text| SopInstanceUid::parse(text).ok())?,
        transfer_syntax: row.parsed("transfer_syntax_uid", |text| TransferSyntaxUid::parse(text).ok())?,
        number: row.get("number")?,
        frames: row.get("frames")?,
        rows: row.get("row_count")?,
        columns: row.get("column_count")?,
        slice_position: row.get("slice_position")?,
        window,
        blob_key: row.text("blob_key")?,
        size_bytes: row.get("size_bytes")?,
        dataset_offset: row.get("dataset_offset")?,
        dataset_sha256: row.hash("dataset_sha256")?,
        received_at: row.time("received_at")?,
    })
}
