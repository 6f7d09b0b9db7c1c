//! Reading requests: what a facility wrote about a study. Rows are only added; the latest one counts.

use dokuei_domain::{CaseId, FacilityId, Priority, StudyPk, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// One request as entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingRequestRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub study: StudyPk,
    pub clinical_question: String,
    pub callback_number: String,
    pub requesting_physician: String,
    pub priority: Priority,
    /// The actor's label.
    pub entered_by: String,
    pub entered_at: Timestamp,
}

statements! {
    REQUEST_INSERT =
        "INSERT INTO reading_requests (id, facility_id, study_pk, clinical_question, callback_number, requesting_physician, priority, \
         entered_by, entered_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    REQUEST_LATEST_OF_STUDY =
        "SELECT id, facility_id, study_pk, clinical_question, callback_number, requesting_physician, priority, entered_by, entered_at \
         FROM reading_requests WHERE study_pk = $1 ORDER BY entered_at DESC, id DESC LIMIT 1";
    REQUEST_OF_CASE =
        "SELECT r.id, r.facility_id, r.study_pk, r.clinical_question, r.callback_number, r.requesting_physician, r.priority, \
         r.entered_by, r.entered_at FROM case_studies cs JOIN reading_requests r ON r.study_pk = cs.study_pk \
         WHERE cs.case_id = $1 ORDER BY r.entered_at DESC, r.id DESC LIMIT $2";
}

fn read_row(row: &Row) -> Result<ReadingRequestRow, DatabaseError> {
    Ok(ReadingRequestRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        study: StudyPk(row.uuid("study_pk")?),
        clinical_question: row.text("clinical_question")?,
        callback_number: row.text("callback_number")?,
        requesting_physician: row.text("requesting_physician")?,
        priority: row.parsed("priority", Priority::parse)?,
        entered_by: row.text("entered_by")?,
        entered_at: row.time("entered_at")?,
    })
}

impl ReadTx {
    /// The request that counts for a study.
    pub async fn request_latest(&mut self, study: StudyPk) -> Result<Option<ReadingRequestRow>, DatabaseError> {
        self.optional(REQUEST_LATEST_OF_STUDY, args![study]).await?.as_ref().map(read_row).transpose()
    }

    /// All requests for the studies of a case, newest first.
    pub async fn request_list(&mut self, case: CaseId, limit: u32) -> Result<Vec<ReadingRequestRow>, DatabaseError> {
        self.rows(REQUEST_OF_CASE, args![case, limit]).await?.iter().map(read_row).collect()
    }
}

impl WriteTx {
    pub async fn request_insert(&mut self, request: &ReadingRequestRow) -> Result<(), DatabaseError> {
        self.execute(
            REQUEST_INSERT,
            args![
                request.id,
                &request.facility,
                request.study,
                &request.clinical_question,
                &request.callback_number,
                &request.requesting_physician,
                request.priority.as_str(),
                &request.entered_by,
                request.entered_at,
            ],
        )
        .await
        .map(drop)
    }
}
