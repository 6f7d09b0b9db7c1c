//! Further objects of known series, filed together in one round trip: what nearly every C-STORE is.
//!
//! The statement takes only an object about which nothing is left to decide. Everything else, and every doubt, it leaves for
//! [`filing_context`](crate::ReadTx::filing_context) and the decision behind it: a tie, a first image, a patient named otherwise, a study that has settled.

use std::sync::LazyLock;

use dokuei_domain::{InstanceId, StudyPk, Timestamp};
use serde_json::json;

use crate::{
    Database, DatabaseError, NewInstance,
    index::size,
    statements::{Statement, statements},
    value::{Arg, args},
};

/// Objects in one text of SQLite; more are filed in several transactions.
const MOST_AT_ONCE: usize = 16;

/// An object that may be a further one of a known series.
#[derive(Debug, Clone)]
pub struct FurtherInstance<'a> {
    pub instance: NewInstance<'a>,
    /// The established identity its patient is filed under.
    pub issuer: &'a str,
    pub patient_id: &'a str,
    /// It comes to be read, not as a prior only.
    pub opens_case: bool,
}

/// What is inserted.
macro_rules! instance_columns {
    () => {
        "id, facility_id, study_pk, series_pk, sop_class_uid, sop_instance_uid, transfer_syntax_uid, number, frames, row_count, column_count, \
         slice_position, window_center, window_width, blob_key, size_bytes, dataset_offset, dataset_sha256, calling_aet, received_at"
    };
}

/// The conditions under which nothing is left to decide. `a` is what is asked, `se`, `st` and `p` what is known.
macro_rules! nothing_to_decide {
    () => {
        "se.instance_count > 0 AND st.study_uid = a.study_uid AND st.state = 'receiving' AND st.opens_case = a.opens_case \
         AND st.birth_date = a.birth_date AND st.sex = a.sex AND (st.body_part <> '' OR a.body_part = '') \
         AND p.issuer = a.issuer AND p.patient_id = a.patient_id AND p.provisional_study_uid IS NULL \
         AND NOT EXISTS (SELECT 1 FROM report_files f WHERE f.sop_instance_uid = a.sop_instance_uid) \
         AND NOT EXISTS (SELECT 1 FROM rejected_instances r WHERE r.facility_id = a.facility_id AND r.sop_instance_uid = a.sop_instance_uid)"
    };
}

statements! {
    /// On SQLite a text for each number of objects: see [`sqlite_text`].
    FURTHER_INSTANCES_FILE =
        "SELECT NULL AS id, NULL AS study_pk WHERE FALSE",
        concat!(
            "WITH a AS (SELECT * FROM jsonb_to_recordset(CAST($1 AS JSONB)) AS x (id UUID, facility_id TEXT, study_uid TEXT, series_uid TEXT, \
             sop_class_uid TEXT, sop_instance_uid TEXT, transfer_syntax_uid TEXT, number BIGINT, frames BIGINT, row_count BIGINT, column_count BIGINT, \
             slice_position DOUBLE PRECISION, window_center DOUBLE PRECISION, window_width DOUBLE PRECISION, blob_key TEXT, size_bytes BIGINT, \
             dataset_offset BIGINT, dataset_sha256 TEXT, calling_aet TEXT, received_at BIGINT, issuer TEXT, patient_id TEXT, birth_date TEXT, sex TEXT, \
             body_part TEXT, opens_case BIGINT)), \
             found AS MATERIALIZED (SELECT a.*, st.id AS study_pk, se.id AS series_pk \
             FROM a JOIN series se ON se.facility_id = a.facility_id AND se.series_uid = a.series_uid \
             JOIN studies st ON st.id = se.study_pk JOIN patients p ON p.id = st.patient_pk WHERE ", nothing_to_decide!(), "), \
             locked AS MATERIALIZED (SELECT st.id FROM studies st WHERE st.id IN (SELECT study_pk FROM found) AND st.state = 'receiving' \
             ORDER BY st.id FOR NO KEY UPDATE), \
             added AS (INSERT INTO instances (", instance_columns!(), ") \
             SELECT a.id, a.facility_id, a.study_pk, a.series_pk, a.sop_class_uid, a.sop_instance_uid, a.transfer_syntax_uid, a.number, a.frames, \
             a.row_count, a.column_count, a.slice_position, a.window_center, a.window_width, a.blob_key, a.size_bytes, a.dataset_offset, \
             decode(a.dataset_sha256, 'hex'), a.calling_aet, a.received_at FROM found a JOIN locked ON locked.id = a.study_pk \
             ON CONFLICT DO NOTHING RETURNING id, study_pk, series_pk), \
             counted AS (UPDATE studies SET instance_count = instance_count + n, last_received_at = GREATEST(last_received_at, CAST($2 AS BIGINT)) \
             FROM (SELECT study_pk, COUNT(*) AS n FROM added GROUP BY study_pk) x WHERE studies.id = x.study_pk RETURNING studies.id), \
             counted_too AS (UPDATE series SET instance_count = instance_count + n \
             FROM (SELECT series_pk, COUNT(*) AS n FROM added GROUP BY series_pk) x WHERE series.id = x.series_pk RETURNING series.id) \
             SELECT id, study_pk FROM added"
        );
}

/// The columns of what is asked, in the order of [`values_of`].
const ASKED: &[&str] = &[
    "id",
    "facility_id",
    "study_uid",
    "series_uid",
    "sop_class_uid",
    "sop_instance_uid",
    "transfer_syntax_uid",
    "number",
    "frames",
    "row_count",
    "column_count",
    "slice_position",
    "window_center",
    "window_width",
    "blob_key",
    "size_bytes",
    "dataset_offset",
    "dataset_sha256",
    "calling_aet",
    "received_at",
    "issuer",
    "patient_id",
    "birth_date",
    "sex",
    "body_part",
    "opens_case",
];

/// For one object, for two, and so on.
static SQLITE_TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (1..=MOST_AT_ONCE).map(sqlite_text).collect());

/// One text of several statements, so that the connection's thread is woken once; it ends with the transaction it began. `$1` is the latest time of receipt,
/// the objects follow. The values are bound one by one: taking them out of JSON cost as much as hashing the object. The plus signs keep the planner from
/// counting the new ones among all of the study: it believes that a study has ten.
fn sqlite_text(objects: usize) -> String {
    let parameter = |object: usize, column: usize| format!("${}", 2 + object * ASKED.len() + column);
    let row = |object| {
        let values: Vec<_> = (0..ASKED.len()).map(|column| parameter(object, column)).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<_> = (0..objects).map(row).collect();
    let ids: Vec<_> = (0..objects).map(|object| parameter(object, 0)).collect();
    let (asked, rows, ids) = (ASKED.join(", "), rows.join(", "), ids.join(", "));
    let (columns, conditions) = (instance_columns!(), nothing_to_decide!());
    format!(
        "BEGIN IMMEDIATE; \
         WITH a ({asked}) AS (VALUES {rows}) \
         INSERT INTO instances ({columns}) \
         SELECT a.id, a.facility_id, st.id, se.id, a.sop_class_uid, a.sop_instance_uid, a.transfer_syntax_uid, a.number, a.frames, a.row_count, \
         a.column_count, a.slice_position, a.window_center, a.window_width, a.blob_key, a.size_bytes, a.dataset_offset, a.dataset_sha256, \
         a.calling_aet, a.received_at \
         FROM a CROSS JOIN series se ON se.facility_id = a.facility_id AND se.series_uid = a.series_uid \
         CROSS JOIN studies st ON st.id = se.study_pk CROSS JOIN patients p ON p.id = st.patient_pk \
         WHERE {conditions} ON CONFLICT DO NOTHING RETURNING id, study_pk; \
         UPDATE studies SET instance_count = instance_count + (SELECT COUNT(*) FROM instances i WHERE i.id IN ({ids}) AND +i.study_pk = studies.id), \
         last_received_at = MAX(last_received_at, $1) WHERE id IN (SELECT i.study_pk FROM instances i WHERE i.id IN ({ids})); \
         UPDATE series SET instance_count = instance_count + (SELECT COUNT(*) FROM instances i WHERE i.id IN ({ids}) AND +i.series_pk = series.id) \
         WHERE id IN (SELECT i.series_pk FROM instances i WHERE i.id IN ({ids})); \
         COMMIT"
    )
}

impl Database {
    /// Files in one round trip those of the objects about which nothing is left to decide, counters included, and tells which. The others
    /// are as if they had not been asked about. `last_received_at` of their studies becomes at least the latest of the objects.
    pub async fn further_instances_file(
        &self,
        objects: &[FurtherInstance<'_>],
    ) -> Result<Vec<(InstanceId, StudyPk)>, DatabaseError> {
        let mut filed = Vec::with_capacity(objects.len());
        for some in objects.chunks(MOST_AT_ONCE) {
            let Some(latest) = some.iter().map(|object| object.instance.received_at).max() else { continue };
            let (statement, values) =
                if self.is_sqlite() { on_sqlite(some, latest)? } else { on_postgres(some, latest) };
            let rows = self.write_alone().await?.rows_of_transaction(statement, &values).await?;
            for row in &rows {
                filed.push((InstanceId(row.uuid("id")?), StudyPk(row.uuid("study_pk")?)));
            }
        }
        Ok(filed)
    }
}

fn on_sqlite(objects: &[FurtherInstance<'_>], latest: Timestamp) -> Result<(Statement, Vec<Arg>), DatabaseError> {
    let text = objects.len().checked_sub(1).and_then(|index| SQLITE_TEXTS.get(index));
    let sqlite =
        text.ok_or_else(|| DatabaseError::inconsistent(FURTHER_INSTANCES_FILE.name, "too many objects at once"))?;
    let mut values = Vec::with_capacity(1 + objects.len() * ASKED.len());
    values.push(Arg::from(latest));
    for object in objects {
        values.extend(values_of(object));
    }
    Ok((Statement { sqlite: sqlite.as_str(), ..FURTHER_INSTANCES_FILE }, values))
}

fn on_postgres(objects: &[FurtherInstance<'_>], latest: Timestamp) -> (Statement, Vec<Arg>) {
    let asked = serde_json::Value::from(objects.iter().map(as_json).collect::<Vec<_>>()).to_string();
    (FURTHER_INSTANCES_FILE, args![asked, latest].to_vec())
}

fn values_of(object: &FurtherInstance<'_>) -> [Arg; ASKED.len()] {
    let FurtherInstance { instance, issuer, patient_id, opens_case } = object;
    let facts = instance.facts;
    [
        instance.id.into(),
        instance.facility.into(),
        (&facts.study).into(),
        (&facts.series).into(),
        (&facts.sop_class).into(),
        (&facts.sop_instance).into(),
        (&facts.transfer_syntax).into(),
        facts.instance_number.map(i64::from).into(),
        i64::from(facts.number_of_frames.unwrap_or(1)).into(),
        facts.rows.map(i64::from).into(),
        facts.columns.map(i64::from).into(),
        facts.slice_position.into(),
        facts.window.map(|window| window.0).into(),
        facts.window.map(|window| window.1).into(),
        instance.blob_key.into(),
        size(instance.size_bytes).into(),
        size(instance.dataset_offset).into(),
        instance.dataset_sha256.into(),
        instance.calling_aet.into(),
        instance.received_at.into(),
        (*issuer).into(),
        (*patient_id).into(),
        (&facts.patient.birth_date).into(),
        (&facts.patient.sex).into(),
        (&facts.body_part).into(),
        i64::from(*opens_case).into(),
    ]
}

fn as_json(object: &FurtherInstance<'_>) -> serde_json::Value {
    let FurtherInstance { instance, issuer, patient_id, opens_case } = object;
    let facts = instance.facts;
    json!({
        "id": instance.id.0.simple().to_string(),
        "facility_id": instance.facility.as_str(),
        "study_uid": facts.study.as_str(),
        "series_uid": facts.series.as_str(),
        "sop_class_uid": facts.sop_class.as_str(),
        "sop_instance_uid": facts.sop_instance.as_str(),
        "transfer_syntax_uid": facts.transfer_syntax.as_str(),
        "number": facts.instance_number,
        "frames": facts.number_of_frames.unwrap_or(1),
        "row_count": facts.rows,
        "column_count": facts.columns,
        "slice_position": facts.slice_position,
        "window_center": facts.window.map(|window| window.0),
        "window_width": facts.window.map(|window| window.1),
        "blob_key": instance.blob_key,
        "size_bytes": size(instance.size_bytes),
        "dataset_offset": size(instance.dataset_offset),
        "dataset_sha256": hex::encode(instance.dataset_sha256),
        "calling_aet": instance.calling_aet,
        "received_at": instance.received_at.0,
        "issuer": issuer,
        "patient_id": patient_id,
        "birth_date": facts.patient.birth_date,
        "sex": facts.patient.sex,
        "body_part": facts.body_part,
        "opens_case": i64::from(*opens_case),
    })
}

#[cfg(test)]
pub(crate) fn sqlite_statements() -> Vec<Statement> {
    SQLITE_TEXTS.iter().map(|text| Statement { sqlite: text.as_str(), ..FURTHER_INSTANCES_FILE }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without statistics the planner may take any index; only those on identifiers cost the same in a study of any size.
    #[tokio::test]
    async fn counting_does_not_walk_through_the_study() {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&format!("sqlite://{}", folder.path().join("dokuei.db").display())).await.unwrap();
        let mut read = database.read().await.unwrap();
        let mut explained = 0;
        for text in SQLITE_TEXTS.iter() {
            for update in text.split("; ").filter(|statement| statement.trim_start().starts_with("UPDATE")) {
                let sqlite: &'static str = format!("EXPLAIN QUERY PLAN {update}").leak();
                let explain = Statement { name: "EXPLAIN", sqlite, postgres: "" };
                for row in read.rows(explain, args![]).await.unwrap() {
                    let detail = row.text("detail").unwrap();
                    assert!(!detail.contains("instances_by_"), "{detail} in: {update}");
                    explained += usize::from(detail.contains("instances_1"));
                }
            }
        }
        assert_eq!(explained, 4 * MOST_AT_ONCE);
    }
}
