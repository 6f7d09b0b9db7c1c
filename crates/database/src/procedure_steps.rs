//! Modality Performed Procedure Steps as the modality reports them: evidence of what a study will consist of.

use dokuei_domain::{AeTitle, FacilityId, SopInstanceUid, StudyPk, StudyUid, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

/// A step that begins. Its state is IN PROGRESS.
#[derive(Debug, Clone)]
pub struct NewProcedureStep<'a> {
    pub facility: &'a FacilityId,
    pub uid: &'a SopInstanceUid,
    pub calling: &'a AeTitle,
    pub step_id: &'a str,
    pub station: &'a str,
    pub modality: &'a str,
    /// Date and time as the modality said them.
    pub started: &'a str,
    pub studies: &'a [StudyUid],
    pub now: Timestamp,
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcedureStepRow {
    /// IN PROGRESS, COMPLETED or DISCONTINUED.
    pub state: String,
    pub studies: Vec<StudyUid>,
}

statements! {
    STEP_INSERT =
        "INSERT INTO procedure_steps (facility_id, sop_instance_uid, calling_aet, state, step_id, station, modality, started, ended, \
         discontinuation, created_at, changed_at) VALUES ($1, $2, $3, 'IN PROGRESS', $4, $5, $6, $7, '', '', $8, $8) ON CONFLICT DO NOTHING";
    STEP_STUDY_INSERT = "INSERT INTO procedure_step_studies (facility_id, study_uid, step_uid) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    STEP_LOCK =
        "SELECT state FROM procedure_steps WHERE facility_id = $1 AND sop_instance_uid = $2",
        "SELECT state FROM procedure_steps WHERE facility_id = $1 AND sop_instance_uid = $2 FOR UPDATE";
    STEP_STUDIES =
        "SELECT s.study_uid FROM procedure_step_studies s WHERE s.facility_id = $1 AND s.step_uid = $2 ORDER BY s.study_uid LIMIT 1000";
    STEP_CHANGE =
        "UPDATE procedure_steps SET state = $3, ended = CASE WHEN $4 = '' THEN ended ELSE $4 END, \
         discontinuation = CASE WHEN $5 = '' THEN discontinuation ELSE $5 END, changed_at = $6 \
         WHERE facility_id = $1 AND sop_instance_uid = $2 AND state = 'IN PROGRESS'";
    STEP_STUDY_PKS =
        "SELECT t.id FROM procedure_step_studies s JOIN studies t ON t.facility_id = s.facility_id AND t.study_uid = s.study_uid \
         WHERE s.facility_id = $1 AND s.step_uid = $2 LIMIT 1000";
}

impl ReadTx {
    /// The studies of a step of which something was received.
    pub async fn procedure_step_received_studies(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Vec<StudyPk>, DatabaseError> {
        let rows = self.rows(STEP_STUDY_PKS, args![facility, uid]).await?;
        rows.iter().map(|row| row.uuid("id").map(StudyPk)).collect()
    }
}

impl WriteTx {
    /// `false`: the facility has a step with this UID.
    pub async fn procedure_step_insert(&mut self, new: &NewProcedureStep<'_>) -> Result<bool, DatabaseError> {
        let values =
            args![new.facility, new.uid, new.calling, new.step_id, new.station, new.modality, new.started, new.now];
        if self.execute(STEP_INSERT, values).await? == 0 {
            return Ok(false);
        }
        for study in new.studies {
            self.execute(STEP_STUDY_INSERT, args![new.facility, study, new.uid]).await?;
        }
        Ok(true)
    }

    /// The step, which stays as it is until this transaction ends.
    pub async fn procedure_step_lock(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Option<ProcedureStepRow>, DatabaseError> {
        let Some(row) = self.optional(STEP_LOCK, args![facility, uid]).await? else { return Ok(None) };
        let studies = self.rows(STEP_STUDIES, args![facility, uid]).await?;
        let parse = |row: &crate::value::Row| row.parsed("study_uid", |text| StudyUid::parse(text).ok());
        Ok(Some(ProcedureStepRow {
            state: row.text("state")?,
            studies: studies.iter().map(parse).collect::<Result<_, _>>()?,
        }))
    }

    /// Changes a step that is IN PROGRESS; empty texts leave what was said before. `false`: it is not, or is not there.
    pub async fn procedure_step_change(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
        state: &str,
        ended: &str,
        discontinuation: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(STEP_CHANGE, args![facility, uid, state, ended, discontinuation, now]).await? == 1)
    }
}
