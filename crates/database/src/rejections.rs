//! Instances that rejection notes take back: hidden, kept, and remembered when they have not come yet.

use std::collections::BTreeMap;

use dokuei_domain::{FacilityId, InstanceId, SopInstanceUid, StudyPk, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

statements! {
    /// `$5` is a JSON list of pairs, Study and SOP Instance UID. The first note that names an instance stays its reason.
    REJECTIONS_INSERT =
        "INSERT INTO rejected_instances (facility_id, study_uid, sop_instance_uid, code, note_sop_instance_uid, rejected_at) \
         SELECT $1, json_extract(named.value, '$[0]'), json_extract(named.value, '$[1]'), $2, $3, $4 FROM json_each($5) named \
         WHERE TRUE ON CONFLICT DO NOTHING",
        "INSERT INTO rejected_instances (facility_id, study_uid, sop_instance_uid, code, note_sop_instance_uid, rejected_at) \
         SELECT $1, named.value ->> 0, named.value ->> 1, $2, $3, $4 FROM json_array_elements(CAST($5 AS JSON)) named ON CONFLICT DO NOTHING";
    /// The joins go from the few instances that the note names to the many of the index.
    REJECTIONS_APPLY =
        "UPDATE instances SET rejected_at = $3, rejected_code = $4 WHERE id IN (SELECT i.id FROM rejected_instances r \
         CROSS JOIN instances i CROSS JOIN studies s WHERE r.facility_id = $1 AND r.note_sop_instance_uid = $2 \
         AND i.facility_id = r.facility_id AND i.sop_instance_uid = r.sop_instance_uid AND i.rejected_at IS NULL \
         AND s.id = i.study_pk AND s.study_uid = r.study_uid) RETURNING study_pk";
    REJECTIONS_MISSED =
        "SELECT i.id, i.study_pk, r.code FROM rejected_instances r CROSS JOIN instances i CROSS JOIN studies s WHERE r.rejected_at >= $1 \
         AND i.facility_id = r.facility_id AND i.sop_instance_uid = r.sop_instance_uid AND i.rejected_at IS NULL \
         AND s.id = i.study_pk AND s.study_uid = r.study_uid LIMIT 1000";
    INSTANCE_REJECT = "UPDATE instances SET rejected_at = $2, rejected_code = $3 WHERE id = $1 AND rejected_at IS NULL";
    SERIES_RECOUNT = "UPDATE series SET instance_count = (SELECT COUNT(*) FROM instances i WHERE i.series_pk = series.id AND i.rejected_at IS NULL) \
                      WHERE study_pk = $1";
    /// What is expected falls with what is hidden: nobody waits for an image that was taken back.
    STUDY_RECOUNT =
        "UPDATE studies SET expected_instances = expected_instances - instance_count + x.visible, instance_count = x.visible \
         FROM (SELECT CAST(COALESCE(SUM(s.instance_count), 0) AS BIGINT) AS visible FROM series s WHERE s.study_pk = $1) x WHERE studies.id = $1";
    STUDY_REJECT_ENTIRELY = "UPDATE studies SET state = 'withdrawn', withdrawn_at = $2, withdrawn_reason = $3, rejected_entirely = 1 \
                             WHERE id = $1 AND instance_count = 0 AND state <> 'withdrawn'";
}

impl WriteTx {
    /// Remembers what a note names: pairs of Study and SOP Instance UID.
    pub async fn rejections_insert(
        &mut self,
        facility: &FacilityId,
        note: &SopInstanceUid,
        code: &str,
        named: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let named = serde_json::to_string(named)
            .map_err(|error| DatabaseError::inconsistent("rejections_insert", error.to_string()))?;
        self.execute(REJECTIONS_INSERT, args![facility, code, note, now, named]).await.map(drop)
    }

    /// Hides what a note names and is here; gives each study with the number of its instances that were hidden by this.
    pub async fn rejections_apply(
        &mut self,
        facility: &FacilityId,
        note: &SopInstanceUid,
        code: &str,
        now: Timestamp,
    ) -> Result<BTreeMap<StudyPk, usize>, DatabaseError> {
        let mut studies = BTreeMap::new();
        for row in self.rows(REJECTIONS_APPLY, args![facility, note, now, code]).await? {
            *studies.entry(StudyPk(row.uuid("study_pk")?)).or_default() += 1;
        }
        Ok(studies)
    }

    /// Hides one instance.
    pub async fn instance_reject(
        &mut self,
        instance: InstanceId,
        code: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(INSTANCE_REJECT, args![instance, now, code]).await.map(drop)
    }

    /// Counts anew what may be seen of a study and its series.
    pub async fn study_recount(&mut self, study: StudyPk) -> Result<(), DatabaseError> {
        self.case_study_lock(study).await?;
        self.execute(SERIES_RECOUNT, args![study]).await?;
        self.execute(STUDY_RECOUNT, args![study]).await?;
        self.study_renew_series(study).await
    }

    /// Withdraws a study of which nothing may be seen any more; `false` when something may, or it is withdrawn already.
    pub async fn study_reject_entirely(
        &mut self,
        study: StudyPk,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(STUDY_REJECT_ENTIRELY, args![study, now, reason]).await? == 1)
    }
}

/// An instance that a note names and that may be seen all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedRejection {
    pub instance: InstanceId,
    pub study: StudyPk,
    pub code: String,
}

impl ReadTx {
    /// What notes since `since` name and may still be seen: two nodes on PostgreSQL that file a note and an image in one moment.
    pub async fn rejections_missed(&mut self, since: Timestamp) -> Result<Vec<MissedRejection>, DatabaseError> {
        let rows = self.rows(REJECTIONS_MISSED, args![since]).await?;
        rows.iter()
            .map(|row| {
                Ok(MissedRejection {
                    instance: InstanceId(row.uuid("id")?),
                    study: StudyPk(row.uuid("study_pk")?),
                    code: row.text("code")?,
                })
            })
            .collect()
    }
}
