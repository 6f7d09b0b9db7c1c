//! Reading cases: opening, urgency, withdrawal, images after signing. How they are listed stands in `case_entries`.
//!
//! Whoever changes a case takes its row first ([`WriteTx::case_lock`]), and the study's row before that where both are needed, so that a claim, a
//! withdrawal and a request of the same moment happen one after the other on PostgreSQL too. Facts are read after the lock, in a statement of their own:
//! PostgreSQL shows a statement what was committed when it began.

use dokuei_domain::{CaseId, FacilityId, PatientPk, Priority, StudyPk, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

/// What decides whether a study opens a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyForCase {
    pub facility: FacilityId,
    pub patient: PatientPk,
    pub opens_case: bool,
    /// A person must say first whose study it is.
    pub held: bool,
    pub withdrawn_at: Option<Timestamp>,
    pub case: Option<CaseId>,
    /// Of the latest request.
    pub requested_priority: Option<Priority>,
}

/// A case to be opened.
#[derive(Debug, Clone)]
pub struct NewCase<'a> {
    pub id: CaseId,
    pub study: StudyPk,
    pub facility: &'a FacilityId,
    pub patient: PatientPk,
    pub priority: Priority,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
}

/// A case without its patient: what decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseHead {
    pub id: CaseId,
    pub facility: FacilityId,
    pub patient: PatientPk,
    pub priority: Priority,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
    /// When images came that the latest report has not seen.
    pub images_added_after_signing_at: Option<Timestamp>,
    pub report_versions: i64,
    pub last_signed_at: Option<Timestamp>,
    /// Instances that the latest version was signed over.
    pub last_signed_instances: Option<i64>,
}

/// How many images a case has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseImages {
    pub count: i64,
    /// Received after the moment that was asked about.
    pub later: i64,
    /// When the last one was received.
    pub latest: Option<Timestamp>,
}

statements! {
    CASE_STUDY_LOCK = "SELECT id FROM studies WHERE id = $1", "SELECT id FROM studies WHERE id = $1 FOR NO KEY UPDATE";
    CASE_STUDY_FACTS =
        "SELECT s.facility_id, s.patient_pk, s.opens_case, s.held, s.withdrawn_at, cs.case_id, \
         (SELECT r.priority FROM reading_requests r WHERE r.study_pk = s.id ORDER BY r.entered_at DESC, r.id DESC LIMIT 1) AS priority \
         FROM studies s LEFT JOIN case_studies cs ON cs.study_pk = s.id WHERE s.id = $1";
    CASE_INSERT = "INSERT INTO cases (id, facility_id, patient_pk, priority, opened_at, due_at) VALUES ($1, $2, $3, $4, $5, $6)";
    /// A study belongs to one case; the second one to try changes nothing.
    CASE_STUDY_INSERT = "INSERT INTO case_studies (case_id, study_pk) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    CASE_LOCK = "SELECT id FROM cases WHERE id = $1", "SELECT id FROM cases WHERE id = $1 FOR NO KEY UPDATE";
    CASE_HEAD =
        "SELECT c.id, c.facility_id, c.patient_pk, c.priority, c.opened_at, c.due_at, c.withdrawn_at, c.images_added_after_signing_at, \
         (SELECT COUNT(*) FROM report_versions v WHERE v.case_id = c.id) AS report_versions, \
         (SELECT MAX(v.signed_at) FROM report_versions v WHERE v.case_id = c.id) AS last_signed_at, \
         (SELECT v.instance_count FROM report_versions v WHERE v.case_id = c.id ORDER BY v.number DESC LIMIT 1) AS last_signed_instances \
         FROM cases c WHERE c.id = $1";
    CASE_OF_STUDY = "SELECT case_id FROM case_studies WHERE study_pk = $1";
    CASE_MODALITIES =
        "SELECT DISTINCT se.modality FROM case_studies cs JOIN studies s ON s.id = cs.study_pk JOIN series se ON se.study_pk = s.id \
         WHERE cs.case_id = $1 AND s.withdrawn_at IS NULL AND se.modality <> '' AND se.instance_count > 0 ORDER BY se.modality LIMIT 100";
    CASE_REQUESTED_PRIORITY =
        "SELECT r.priority FROM case_studies cs JOIN reading_requests r ON r.study_pk = cs.study_pk WHERE cs.case_id = $1 \
         ORDER BY r.entered_at DESC, r.id DESC LIMIT 1";
    CASE_SET_PRIORITY = "UPDATE cases SET priority = $2, due_at = $3 WHERE id = $1 AND withdrawn_at IS NULL AND priority <> $2";
    /// Only when the facility has withdrawn every study of the case.
    CASE_WITHDRAW =
        "UPDATE cases SET withdrawn_at = $2 WHERE id = $1 AND withdrawn_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM case_studies cs JOIN studies s ON s.id = cs.study_pk WHERE cs.case_id = $1 AND s.withdrawn_at IS NULL)";
    /// Our own report, should it come back as an object, is no new image.
    CASE_IMAGES =
        "SELECT COUNT(*) AS images, COALESCE(SUM(CASE WHEN i.received_at > $2 THEN 1 ELSE 0 END), 0) AS later, MAX(i.received_at) AS latest \
         FROM case_studies cs JOIN studies s ON s.id = cs.study_pk JOIN instances i ON i.study_pk = cs.study_pk \
         WHERE cs.case_id = $1 AND s.withdrawn_at IS NULL AND i.rejected_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM report_files f WHERE f.sop_instance_uid = i.sop_instance_uid)";
    CASE_RENEW_DUE = "UPDATE cases SET due_at = $2 WHERE id = $1 AND withdrawn_at IS NULL";
    /// An image came to a study that only rejection notes had emptied.
    CASE_RESTORE =
        "UPDATE cases SET withdrawn_at = NULL WHERE id = $1 AND withdrawn_at IS NOT NULL AND EXISTS \
         (SELECT 1 FROM case_studies cs JOIN studies s ON s.id = cs.study_pk WHERE cs.case_id = $1 AND s.withdrawn_at IS NULL)";
    CASE_SET_IMAGES_ADDED =
        "UPDATE cases SET images_added_after_signing_at = $2 WHERE id = $1 \
         AND (images_added_after_signing_at IS NULL OR images_added_after_signing_at < $2)";
    CASE_MISSING =
        "SELECT s.id FROM studies s LEFT JOIN case_studies cs ON cs.study_pk = s.id \
         WHERE s.state = 'settled' AND s.opens_case = 1 AND s.held = 0 AND s.withdrawn_at IS NULL AND cs.study_pk IS NULL ORDER BY s.settled_at LIMIT $1";
    CASE_TO_WITHDRAW =
        "SELECT DISTINCT c.id FROM studies s JOIN case_studies cs ON cs.study_pk = s.id JOIN cases c ON c.id = cs.case_id \
         WHERE s.state = 'withdrawn' AND c.withdrawn_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM case_studies os JOIN studies o ON o.id = os.study_pk WHERE os.case_id = c.id AND o.withdrawn_at IS NULL) LIMIT $1";
    CASE_TO_RESTORE =
        "SELECT DISTINCT c.id FROM cases c JOIN case_studies cs ON cs.case_id = c.id JOIN studies s ON s.id = cs.study_pk \
         WHERE c.withdrawn_at IS NOT NULL AND s.withdrawn_at IS NULL AND s.state = 'settled' LIMIT $1";
    /// Settled studies in which something was received after the latest signature, or that hold more than was signed over (what was received before a signature
    /// may have been filed after it), unless an open workitem says so already.
    CASE_WITH_UNSEEN_IMAGES =
        "SELECT q.id FROM (SELECT c.id, c.images_added_after_signing_at AS noted, v.signed_at, v.instance_count AS signed, \
           MAX(s.last_received_at) AS latest, SUM(s.instance_count) AS present \
           FROM cases c JOIN case_studies cs ON cs.case_id = c.id JOIN studies s ON s.id = cs.study_pk JOIN report_versions v ON v.case_id = c.id \
           AND v.number = (SELECT MAX(m.number) FROM report_versions m WHERE m.case_id = c.id) \
           WHERE c.withdrawn_at IS NULL AND s.withdrawn_at IS NULL AND s.state = 'settled' \
           GROUP BY c.id, c.images_added_after_signing_at, v.signed_at, v.instance_count) q \
         WHERE (q.latest > q.signed_at AND (q.noted IS NULL OR q.noted < q.latest)) OR (q.present > q.signed AND NOT EXISTS \
           (SELECT 1 FROM workitems w WHERE w.case_id = q.id AND w.state IN ('SCHEDULED', 'IN PROGRESS') AND w.added_instances >= q.present - q.signed)) \
         LIMIT $1";
}

impl ReadTx {
    /// What is known of a study for opening a case.
    pub async fn case_study_facts(&mut self, study: StudyPk) -> Result<Option<StudyForCase>, DatabaseError> {
        let Some(row) = self.optional(CASE_STUDY_FACTS, args![study]).await? else { return Ok(None) };
        let requested_priority = match row.get::<Option<String>>("priority")? {
            None => None,
            Some(_) => Some(row.parsed("priority", Priority::parse)?),
        };
        Ok(Some(StudyForCase {
            facility: row.facility("facility_id")?,
            patient: PatientPk(row.uuid("patient_pk")?),
            opens_case: row.flag("opens_case")?,
            held: row.flag("held")?,
            withdrawn_at: row.optional_time("withdrawn_at")?,
            case: row.get::<Option<uuid::Uuid>>("case_id")?.map(CaseId),
            requested_priority,
        }))
    }

    pub async fn case_head(&mut self, case: CaseId) -> Result<Option<CaseHead>, DatabaseError> {
        let Some(row) = self.optional(CASE_HEAD, args![case]).await? else { return Ok(None) };
        Ok(Some(CaseHead {
            id: CaseId(row.uuid("id")?),
            facility: row.facility("facility_id")?,
            patient: PatientPk(row.uuid("patient_pk")?),
            priority: row.parsed("priority", Priority::parse)?,
            opened_at: row.time("opened_at")?,
            due_at: row.time("due_at")?,
            withdrawn_at: row.optional_time("withdrawn_at")?,
            images_added_after_signing_at: row.optional_time("images_added_after_signing_at")?,
            report_versions: row.get("report_versions")?,
            last_signed_at: row.optional_time("last_signed_at")?,
            last_signed_instances: row.get("last_signed_instances")?,
        }))
    }

    /// The case that a study belongs to.
    pub async fn case_of_study(&mut self, study: StudyPk) -> Result<Option<CaseId>, DatabaseError> {
        let row = self.optional(CASE_OF_STUDY, args![study]).await?;
        row.map(|row| row.uuid("case_id").map(CaseId)).transpose()
    }

    /// The distinct modalities of the case's series, sorted; withdrawn studies do not count.
    pub async fn case_modalities(&mut self, case: CaseId) -> Result<Vec<String>, DatabaseError> {
        let rows = self.rows(CASE_MODALITIES, args![case]).await?;
        rows.iter().map(|row| row.text("modality")).collect()
    }

    /// The priority of the latest request for any study of the case.
    pub async fn case_requested_priority(&mut self, case: CaseId) -> Result<Option<Priority>, DatabaseError> {
        let row = self.optional(CASE_REQUESTED_PRIORITY, args![case]).await?;
        row.map(|row| row.parsed("priority", Priority::parse)).transpose()
    }

    /// The case's images that are not hidden, and how many of them came after a moment.
    pub async fn case_images(&mut self, case: CaseId, after: Timestamp) -> Result<CaseImages, DatabaseError> {
        let row = self.one(CASE_IMAGES, args![case, after]).await?;
        Ok(CaseImages { count: row.get("images")?, later: row.get("later")?, latest: row.optional_time("latest")? })
    }

    /// Settled studies that should have a case and have none.
    pub async fn case_missing(&mut self, limit: u32) -> Result<Vec<StudyPk>, DatabaseError> {
        let rows = self.rows(CASE_MISSING, args![limit]).await?;
        rows.iter().map(|row| row.uuid("id").map(StudyPk)).collect()
    }

    /// Cases that are not withdrawn although all their studies are.
    pub async fn case_to_withdraw(&mut self, limit: u32) -> Result<Vec<CaseId>, DatabaseError> {
        let rows = self.rows(CASE_TO_WITHDRAW, args![limit]).await?;
        rows.iter().map(|row| row.uuid("id").map(CaseId)).collect()
    }

    /// Withdrawn cases of which a study is not withdrawn and has settled.
    pub async fn case_to_restore(&mut self, limit: u32) -> Result<Vec<CaseId>, DatabaseError> {
        let rows = self.rows(CASE_TO_RESTORE, args![limit]).await?;
        rows.iter().map(|row| row.uuid("id").map(CaseId)).collect()
    }

    /// Signed cases whose studies received something since, and do not say so yet.
    pub async fn case_with_unseen_images(&mut self, limit: u32) -> Result<Vec<CaseId>, DatabaseError> {
        let rows = self.rows(CASE_WITH_UNSEEN_IMAGES, args![limit]).await?;
        rows.iter().map(|row| row.uuid("id").map(CaseId)).collect()
    }
}

impl WriteTx {
    /// Takes the study's row until the transaction ends. `false`: there is no such study.
    pub async fn case_study_lock(&mut self, study: StudyPk) -> Result<bool, DatabaseError> {
        Ok(self.optional(CASE_STUDY_LOCK, args![study]).await?.is_some())
    }

    /// Takes the case's row until the transaction ends. `false`: there is no such case.
    pub async fn case_lock(&mut self, case: CaseId) -> Result<bool, DatabaseError> {
        Ok(self.optional(CASE_LOCK, args![case]).await?.is_some())
    }

    /// Opens a case for one study. `false`: the study has a case already, and the transaction must be dropped.
    pub async fn case_insert(&mut self, case: &NewCase<'_>) -> Result<bool, DatabaseError> {
        self.execute(
            CASE_INSERT,
            args![case.id, case.facility, case.patient, case.priority.as_str(), case.opened_at, case.due_at],
        )
        .await?;
        Ok(self.execute(CASE_STUDY_INSERT, args![case.id, case.study]).await? == 1)
    }

    /// Changes the urgency. `false`: it was that already, or the case is withdrawn.
    pub async fn case_set_priority(
        &mut self,
        case: CaseId,
        priority: Priority,
        due_at: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(CASE_SET_PRIORITY, args![case, priority.as_str(), due_at]).await? == 1)
    }

    /// Marks the case withdrawn. `false`: it was already, or one of its studies is not.
    pub async fn case_withdraw(&mut self, case: CaseId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(CASE_WITHDRAW, args![case, now]).await? == 1)
    }

    /// Takes a withdrawal back. `false`: the case is not withdrawn, or all its studies are.
    pub async fn case_restore(&mut self, case: CaseId) -> Result<bool, DatabaseError> {
        Ok(self.execute(CASE_RESTORE, args![case]).await? == 1)
    }

    /// A case that is to be looked at again has a time for that.
    pub async fn case_renew_due(&mut self, case: CaseId, due_at: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(CASE_RENEW_DUE, args![case, due_at]).await? == 1)
    }

    /// Notes that images came after signing. `false`: these or later ones are noted already.
    pub async fn case_set_images_added(&mut self, case: CaseId, received_at: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(CASE_SET_IMAGES_ADDED, args![case, received_at]).await? == 1)
    }
}
