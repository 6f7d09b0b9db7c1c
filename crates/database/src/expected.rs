//! What a study should consist of, as far as somebody said so, and which nodes are receiving it.

use dokuei_domain::{FacilityId, SopInstanceUid, StudyPk, StudyUid, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

/// How complete a study is, by what others say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Completeness {
    /// Distinct objects that are listed anywhere.
    pub listed: i64,
    /// Listed objects that the facility has not stored here.
    pub missing: i64,
    /// Procedure steps by state.
    pub steps_in_progress: i64,
    pub steps_completed: i64,
    pub steps_discontinued: i64,
    /// Objects that an Instance Availability Notification lists.
    pub announced: i64,
}

statements! {
    EXPECTED_INSERT =
        "INSERT INTO expected_instances (facility_id, study_uid, sop_instance_uid, source) \
         SELECT $1, $2, u.value, $3 FROM json_each($4) u WHERE true ON CONFLICT DO NOTHING",
        "INSERT INTO expected_instances (facility_id, study_uid, sop_instance_uid, source) \
         SELECT $1, $2, u.value, $3 FROM json_array_elements_text(CAST($4 AS json)) AS u(value) ON CONFLICT DO NOTHING";
    EXPECTED_CLEAR = "DELETE FROM expected_instances WHERE facility_id = $1 AND study_uid = $2 AND source = $3";
    EXPECTED_REMOVE =
        "DELETE FROM expected_instances WHERE facility_id = $1 AND study_uid = $2 AND source = $3 \
         AND sop_instance_uid IN (SELECT u.value FROM json_each($4) u)",
        "DELETE FROM expected_instances WHERE facility_id = $1 AND study_uid = $2 AND source = $3 \
         AND sop_instance_uid IN (SELECT u.value FROM json_array_elements_text(CAST($4 AS json)) AS u(value))";
    /// An object counts as here in whichever study the facility has it: a step of several studies does not say which image belongs to which.
    EXPECTED_COUNT =
        "SELECT COUNT(*) AS listed, COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM instances i WHERE i.facility_id = $1 \
           AND i.sop_instance_uid = e.sop_instance_uid) THEN 0 ELSE 1 END), 0) AS missing \
         FROM (SELECT DISTINCT x.sop_instance_uid FROM expected_instances x WHERE x.facility_id = $1 AND x.study_uid = $2) e";
    EXPECTED_ANNOUNCED =
        "SELECT COUNT(*) AS announced FROM expected_instances WHERE facility_id = $1 AND study_uid = $2 AND source = 'availability'";
    EXPECTED_ANY =
        "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM procedure_step_studies p WHERE p.facility_id = s.facility_id AND p.study_uid = s.study_uid) \
         OR EXISTS (SELECT 1 FROM expected_instances e WHERE e.facility_id = s.facility_id AND e.study_uid = s.study_uid) THEN 1 ELSE 0 END AS BIGINT) \
         AS expected FROM studies s WHERE s.id = $1";
    EXPECTED_STEPS =
        "SELECT CAST(COALESCE(SUM(CASE WHEN p.state = 'IN PROGRESS' THEN 1 ELSE 0 END), 0) AS BIGINT) AS in_progress, \
         CAST(COALESCE(SUM(CASE WHEN p.state = 'COMPLETED' THEN 1 ELSE 0 END), 0) AS BIGINT) AS completed, \
         CAST(COALESCE(SUM(CASE WHEN p.state = 'DISCONTINUED' THEN 1 ELSE 0 END), 0) AS BIGINT) AS discontinued \
         FROM procedure_step_studies s JOIN procedure_steps p ON p.facility_id = s.facility_id AND p.sop_instance_uid = s.step_uid \
         WHERE s.facility_id = $1 AND s.study_uid = $2";
    /// What is here and what is missing, so that the difference is right even when more came than was listed.
    STUDY_EXPECT = "UPDATE studies SET expected_instances = CASE WHEN CAST($2 AS BIGINT) = 0 THEN NULL ELSE instance_count + $3 END WHERE id = $1";
    STUDY_EVIDENCE_SET = "UPDATE studies SET settle_evidence = $2 WHERE id = $1";
    STUDY_EVIDENCE = "SELECT settle_evidence FROM studies WHERE id = $1";
    RECEPTION_HOLD =
        "INSERT INTO receptions (study_pk, node, until) VALUES ($1, $2, $3) ON CONFLICT (study_pk, node) DO UPDATE SET until = excluded.until";
    RECEPTION_END = "DELETE FROM receptions WHERE study_pk = $1 AND node = $2";
    RECEPTION_PURGE = "DELETE FROM receptions WHERE until < $1";
    RECEPTION_OF = "SELECT MAX(until) AS until FROM receptions WHERE study_pk = $1 AND node <> $2";
}

impl ReadTx {
    /// How complete the study is by what procedure steps and notifications list.
    pub async fn study_completeness(
        &mut self,
        facility: &FacilityId,
        study: &StudyUid,
    ) -> Result<Completeness, DatabaseError> {
        let steps = self.one(EXPECTED_STEPS, args![facility, study]).await?;
        let counted = self.one(EXPECTED_COUNT, args![facility, study]).await?;
        let announced = self.one(EXPECTED_ANNOUNCED, args![facility, study]).await?;
        Ok(Completeness {
            listed: counted.get("listed")?,
            missing: counted.get("missing")?,
            steps_in_progress: steps.get("in_progress")?,
            steps_completed: steps.get("completed")?,
            steps_discontinued: steps.get("discontinued")?,
            announced: announced.get("announced")?,
        })
    }

    /// Whether a procedure step or a notification is about the study.
    pub async fn study_is_expected(&mut self, study: StudyPk) -> Result<bool, DatabaseError> {
        let row = self.optional(EXPECTED_ANY, args![study]).await?;
        row.map_or(Ok(false), |row| row.flag("expected"))
    }

    /// On what the study settled last; empty before.
    pub async fn study_evidence(&mut self, study: StudyPk) -> Result<Option<String>, DatabaseError> {
        self.optional(STUDY_EVIDENCE, args![study]).await?.map(|row| row.text("settle_evidence")).transpose()
    }

    /// Until when another node than this one says that it is receiving parts of the study.
    pub async fn reception_elsewhere(
        &mut self,
        study: StudyPk,
        node: &str,
    ) -> Result<Option<Timestamp>, DatabaseError> {
        self.one(RECEPTION_OF, args![study, node]).await?.optional_time("until")
    }
}

impl WriteTx {
    /// Adds objects that a source says the study consists of.
    pub async fn expected_add(
        &mut self,
        facility: &FacilityId,
        study: &StudyUid,
        source: &str,
        instances: &[SopInstanceUid],
    ) -> Result<u64, DatabaseError> {
        let uids = serde_json::to_string(instances).unwrap_or_default();
        self.execute(EXPECTED_INSERT, args![facility, study, source, uids]).await
    }

    /// Forgets what a source has listed.
    pub async fn expected_clear(
        &mut self,
        facility: &FacilityId,
        study: &StudyUid,
        source: &str,
    ) -> Result<u64, DatabaseError> {
        self.execute(EXPECTED_CLEAR, args![facility, study, source]).await
    }

    /// Forgets some of what a source has listed.
    pub async fn expected_remove(
        &mut self,
        facility: &FacilityId,
        study: &StudyUid,
        source: &str,
        instances: &[SopInstanceUid],
    ) -> Result<u64, DatabaseError> {
        let uids = serde_json::to_string(instances).unwrap_or_default();
        self.execute(EXPECTED_REMOVE, args![facility, study, source, uids]).await
    }

    /// Writes how many objects the study should have; nothing when nobody has listed any.
    pub async fn study_expect(&mut self, study: StudyPk, completeness: &Completeness) -> Result<(), DatabaseError> {
        self.execute(STUDY_EXPECT, args![study, completeness.listed, completeness.missing]).await.map(drop)
    }

    pub async fn study_set_evidence(&mut self, study: StudyPk, evidence: &str) -> Result<(), DatabaseError> {
        self.execute(STUDY_EVIDENCE_SET, args![study, evidence]).await.map(drop)
    }

    /// This node is receiving parts of the study, at least until then.
    pub async fn reception_hold(&mut self, study: StudyPk, node: &str, until: Timestamp) -> Result<(), DatabaseError> {
        self.execute(RECEPTION_HOLD, args![study, node, until]).await.map(drop)
    }

    pub async fn reception_end(&mut self, study: StudyPk, node: &str) -> Result<(), DatabaseError> {
        self.execute(RECEPTION_END, args![study, node]).await.map(drop)
    }

    /// Forgets what nodes said that are no more.
    pub async fn reception_purge(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute(RECEPTION_PURGE, args![before]).await
    }
}
