//! Reading cases as lists show them: everything a line needs in one statement, however many cases there are.
//!
//! Each statement first picks a page of cases in their order (who may see what is decided there), then joins the facts of these few.

use dokuei_domain::{
    AccountId, CaseId, FacilityId, PersonName, Priority, ReportVersionId, StudyPk, StudyUid, Timestamp,
    workitem::WorkitemState,
};
use uuid::Uuid;

use crate::{
    DatabaseError, PatientRow,
    index::patient_row,
    statements::statements,
    transaction::ReadTx,
    value::{Row, args},
};

/// A case with its patient, studies, open workitem, report and deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseEntryRow {
    pub case: CaseId,
    pub facility: FacilityId,
    pub facility_name: String,
    pub patient: PatientRow,
    pub priority: Priority,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
    pub images_added_after_signing_at: Option<Timestamp>,
    /// The SCHEDULED or IN PROGRESS workitem.
    pub open_workitem: Option<OpenWorkitemRow>,
    pub has_draft: bool,
    pub report: Option<CaseReportRow>,
    /// At least one; by study date.
    pub studies: Vec<CaseStudyRow>,
}

/// What a list shows of a workitem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWorkitemRow {
    pub uid: String,
    pub state: WorkitemState,
    /// It is for images that the latest report has not seen: how many.
    pub added_instances: Option<i64>,
    pub assigned: Option<(AccountId, String)>,
    pub assigned_at: Option<Timestamp>,
    pub assignment_reasons: Option<String>,
    /// Who holds it, with the name to show.
    pub performer: Option<(AccountId, String)>,
    pub claimed_at: Option<Timestamp>,
    pub claim_expires_at: Option<Timestamp>,
}

/// The latest signed version and how its return stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReportRow {
    pub latest: ReportVersionId,
    /// Versions are numbered from 1.
    pub number: i64,
    pub author: AccountId,
    /// The author's name to show.
    pub author_name: String,
    pub signed_at: Timestamp,
    pub deliveries: i64,
    pub deliveries_accepted: i64,
    pub deliveries_failed: i64,
}

/// A study of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseStudyRow {
    pub pk: StudyPk,
    pub uid: StudyUid,
    pub study_date: String,
    pub study_time: String,
    pub accession_number: String,
    pub description: String,
    pub referring_physician: PersonName,
    /// Distinct, sorted, separated by commas.
    pub modalities: String,
    pub body_part: String,
    pub series_count: i64,
    pub instance_count: i64,
    pub expected_instances: Option<i64>,
    pub last_received_at: Timestamp,
    pub declared_complete_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub withdrawn_at: Option<Timestamp>,
    pub has_request: bool,
}

/// Which cases an office's or a facility's list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseSelection<'a> {
    /// `None`: of all facilities.
    pub facility: Option<&'a FacilityId>,
    pub open: bool,
    pub finished: bool,
    pub withdrawn: bool,
    /// Finished and withdrawn cases opened before are left out, except those that need somebody.
    pub since: Timestamp,
    pub limit: u32,
}

/// Which open cases a reader's list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderSelection<'a> {
    pub reader: &'a AccountId,
    pub facility: Option<&'a FacilityId>,
    /// A case assigned to somebody else before this moment and not claimed is free for others.
    pub assigned_before: Timestamp,
    /// Modalities that need no skill.
    pub without_skill: &'a [&'a str],
    pub limit: u32,
}

macro_rules! entry_sql {
    ($page:expr) => {
        concat!(
            "SELECT c.id, c.facility_id, f.name AS facility_name, c.patient_pk, c.priority, c.opened_at, c.due_at, \
             c.withdrawn_at AS case_withdrawn_at, c.images_added_after_signing_at, \
             p.issuer, p.patient_id, p.provisional_study_uid, s.name_alphabetic, s.name_ideographic, s.name_phonetic, s.birth_date, \
             s.sex, s.charset_repaired, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
             OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier, \
             w.uid AS workitem_uid, w.state AS workitem_state, w.added_instances, w.assigned_reader, aa.display_name AS assigned_name, w.assigned_at, \
             w.assignment_reasons, w.performer, ap.display_name AS performer_name, w.claimed_at, w.claim_expires_at, \
             (SELECT COUNT(*) FROM drafts d WHERE d.case_id = c.id) AS draft_count, \
             v.id AS version_id, v.number AS version_number, v.author, av.display_name AS author_name, v.signed_at, \
             (SELECT COUNT(*) FROM deliveries d WHERE d.report_version_id = v.id) AS delivery_count, \
             (SELECT COUNT(*) FROM deliveries d WHERE d.report_version_id = v.id AND d.state = 'accepted') AS accepted_count, \
             (SELECT COUNT(*) FROM deliveries d WHERE d.report_version_id = v.id AND d.state = 'failed') AS failed_count, \
             s.id AS study_pk, s.study_uid, s.study_date, s.study_time, s.accession_number, s.description, s.referring_alphabetic, \
             s.referring_ideographic, s.referring_phonetic, s.modalities, s.body_part, s.series_count, s.instance_count, \
             s.expected_instances, s.last_received_at, s.declared_complete_at, s.settled_at, s.withdrawn_at AS study_withdrawn_at, \
             (SELECT COUNT(*) FROM reading_requests r WHERE r.study_pk = s.id) AS request_count \
             FROM (",
            $page,
            ") page JOIN cases c ON c.id = page.case_id JOIN facilities f ON f.id = c.facility_id JOIN patients p ON p.id = c.patient_pk \
             JOIN case_studies cs ON cs.case_id = c.id JOIN studies s ON s.id = cs.study_pk \
             LEFT JOIN workitems w ON w.case_id = c.id AND w.state IN ('SCHEDULED', 'IN PROGRESS') \
             LEFT JOIN accounts aa ON aa.id = w.assigned_reader LEFT JOIN accounts ap ON ap.id = w.performer \
             LEFT JOIN report_versions v ON v.case_id = c.id \
             AND v.number = (SELECT MAX(m.number) FROM report_versions m WHERE m.case_id = c.id) \
             LEFT JOIN accounts av ON av.id = v.author \
             ORDER BY page.place, page.urgency, page.moment, c.id, s.study_date, s.study_time, s.id"
        )
    };
}

statements! {
    /// Own claims, then what is assigned to the reader, then what is free and within the reader's skills; never another reader's claim.
    /// `$4` is a list `,SR,PR,`: a modality in it needs no skill.
    CASE_ENTRIES_FOR_READER = entry_sql!(
        "SELECT c.id AS case_id, CASE WHEN w.performer = $1 THEN 0 WHEN w.assigned_reader = $1 THEN 1 ELSE 2 END AS place, \
         CASE c.priority WHEN 'emergency' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END AS urgency, c.due_at AS moment \
         FROM workitems w JOIN cases c ON c.id = w.case_id \
         WHERE w.state IN ('SCHEDULED', 'IN PROGRESS') AND c.withdrawn_at IS NULL \
         AND (CAST($2 AS TEXT) IS NULL OR c.facility_id = $2) \
         AND (w.performer = $1 OR (w.state = 'SCHEDULED' AND (w.assigned_reader = $1 OR ( \
              (w.assigned_reader IS NULL OR w.assigned_at <= $3) AND NOT EXISTS ( \
                SELECT 1 FROM case_studies cs JOIN studies s ON s.id = cs.study_pk JOIN series se ON se.study_pk = s.id \
                WHERE cs.case_id = c.id AND s.withdrawn_at IS NULL AND se.modality <> '' AND se.instance_count > 0 \
                AND REPLACE($4, ',' || se.modality || ',', '') = $4 \
                AND NOT EXISTS (SELECT 1 FROM reader_modalities m WHERE m.account_id = $1 AND m.modality = se.modality)))))) \
         ORDER BY place, urgency, moment, case_id LIMIT $5"
    );
    /// What a reader has signed, newest first.
    CASE_ENTRIES_SIGNED_BY = entry_sql!(
        "SELECT c.id AS case_id, 3 AS place, 0 AS urgency, -v.signed_at AS moment FROM report_versions v JOIN cases c ON c.id = v.case_id \
         WHERE v.author = $1 AND (CAST($2 AS TEXT) IS NULL OR c.facility_id = $2) AND v.signed_at >= $3 AND c.withdrawn_at IS NULL \
         AND v.number = (SELECT MAX(m.number) FROM report_versions m WHERE m.case_id = c.id) \
         AND NOT EXISTS (SELECT 1 FROM workitems w WHERE w.case_id = c.id AND w.state IN ('SCHEDULED', 'IN PROGRESS')) \
         ORDER BY moment, case_id LIMIT $4"
    );
    /// Places: 0 a return failed or images came after signing, 1 open (or without the workitem it should have), 2 finished, 3 withdrawn.
    CASE_ENTRIES = entry_sql!(
        "SELECT q.case_id, q.place, CASE WHEN q.place < 2 THEN q.urgency ELSE 0 END AS urgency, \
         CASE WHEN q.place < 2 THEN q.due_at ELSE -q.opened_at END AS moment FROM ( \
           SELECT c.id AS case_id, c.opened_at, c.due_at, \
           CASE c.priority WHEN 'emergency' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END AS urgency, \
           CASE WHEN c.withdrawn_at IS NOT NULL THEN 3 WHEN w.uid IS NOT NULL OR v.id IS NULL THEN 1 \
           WHEN c.images_added_after_signing_at > v.signed_at \
             OR EXISTS (SELECT 1 FROM deliveries d WHERE d.report_version_id = v.id AND d.state = 'failed') THEN 0 ELSE 2 END AS place \
           FROM cases c LEFT JOIN workitems w ON w.case_id = c.id AND w.state IN ('SCHEDULED', 'IN PROGRESS') \
           LEFT JOIN report_versions v ON v.case_id = c.id \
           AND v.number = (SELECT MAX(m.number) FROM report_versions m WHERE m.case_id = c.id) \
           WHERE (CAST($1 AS TEXT) IS NULL OR c.facility_id = $1)) q \
         WHERE (CAST($2 AS BIGINT) = 1 AND q.place = 1) OR (CAST($3 AS BIGINT) = 1 AND q.place = 0) \
         OR (CAST($3 AS BIGINT) = 1 AND q.place = 2 AND q.opened_at >= $5) \
         OR (CAST($4 AS BIGINT) = 1 AND q.place = 3 AND q.opened_at >= $5) \
         ORDER BY place, urgency, moment, case_id LIMIT $6"
    );
    CASE_ENTRY = entry_sql!("SELECT id AS case_id, 0 AS place, 0 AS urgency, opened_at AS moment FROM cases WHERE id = $1");
}

impl ReadTx {
    /// A reader's open cases: claimed by the reader, assigned to the reader, free and within the reader's skills; in this order, each by urgency and due time.
    pub async fn case_entries_for_reader(
        &mut self,
        selection: ReaderSelection<'_>,
    ) -> Result<Vec<CaseEntryRow>, DatabaseError> {
        let without_skill = format!(",{},", selection.without_skill.join(","));
        let values =
            args![selection.reader, selection.facility, selection.assigned_before, without_skill, selection.limit];
        fold(self.rows(CASE_ENTRIES_FOR_READER, values).await?)
    }

    /// Finished cases whose latest version this reader signed since `since`, newest first.
    pub async fn case_entries_signed_by(
        &mut self,
        reader: &AccountId,
        facility: Option<&FacilityId>,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<CaseEntryRow>, DatabaseError> {
        fold(self.rows(CASE_ENTRIES_SIGNED_BY, args![reader, facility, since, limit]).await?)
    }

    /// Cases by what they need: first those that are signed but need somebody again, then open ones by urgency and due time, then the rest, newest first.
    pub async fn case_entries(&mut self, selection: CaseSelection<'_>) -> Result<Vec<CaseEntryRow>, DatabaseError> {
        let values = args![
            selection.facility,
            i64::from(selection.open),
            i64::from(selection.finished),
            i64::from(selection.withdrawn),
            selection.since,
            selection.limit,
        ];
        fold(self.rows(CASE_ENTRIES, values).await?)
    }

    /// One case as a list would show it.
    pub async fn case_entry(&mut self, case: CaseId) -> Result<Option<CaseEntryRow>, DatabaseError> {
        Ok(fold(self.rows(CASE_ENTRY, args![case]).await?)?.pop())
    }
}

/// One row per case and study becomes one entry per case; rows of a case stand together.
fn fold(rows: Vec<Row>) -> Result<Vec<CaseEntryRow>, DatabaseError> {
    let mut entries: Vec<CaseEntryRow> = Vec::new();
    for row in &rows {
        let case = CaseId(row.uuid("id")?);
        let study = study_row(row)?;
        match entries.last_mut() {
            Some(entry) if entry.case == case => entry.studies.push(study),
            _ => entries.push(entry_row(row, case, study)?),
        }
    }
    Ok(entries)
}

fn entry_row(row: &Row, case: CaseId, study: CaseStudyRow) -> Result<CaseEntryRow, DatabaseError> {
    Ok(CaseEntryRow {
        case,
        facility: row.facility("facility_id")?,
        facility_name: row.text("facility_name")?,
        patient: patient_row(row, "patient_pk")?,
        priority: row.parsed("priority", Priority::parse)?,
        opened_at: row.time("opened_at")?,
        due_at: row.time("due_at")?,
        withdrawn_at: row.optional_time("case_withdrawn_at")?,
        images_added_after_signing_at: row.optional_time("images_added_after_signing_at")?,
        open_workitem: workitem_row(row)?,
        has_draft: row.get::<i64>("draft_count")? > 0,
        report: report_row(row)?,
        studies: vec![study],
    })
}

fn workitem_row(row: &Row) -> Result<Option<OpenWorkitemRow>, DatabaseError> {
    let Some(uid) = row.get::<Option<String>>("workitem_uid")? else { return Ok(None) };
    let person = |account: &'static str, name: &'static str| -> Result<Option<(AccountId, String)>, DatabaseError> {
        let Some(account) = row.optional_account(account)? else { return Ok(None) };
        Ok(Some((account, row.get::<Option<String>>(name)?.unwrap_or_default())))
    };
    Ok(Some(OpenWorkitemRow {
        uid,
        state: row.parsed("workitem_state", WorkitemState::parse)?,
        added_instances: row.get("added_instances")?,
        assigned: person("assigned_reader", "assigned_name")?,
        assigned_at: row.optional_time("assigned_at")?,
        assignment_reasons: row.get("assignment_reasons")?,
        performer: person("performer", "performer_name")?,
        claimed_at: row.optional_time("claimed_at")?,
        claim_expires_at: row.optional_time("claim_expires_at")?,
    }))
}

fn report_row(row: &Row) -> Result<Option<CaseReportRow>, DatabaseError> {
    let Some(latest) = row.get::<Option<Uuid>>("version_id")? else { return Ok(None) };
    Ok(Some(CaseReportRow {
        latest: ReportVersionId(latest),
        number: row.get("version_number")?,
        author: row.account("author")?,
        author_name: row.get::<Option<String>>("author_name")?.unwrap_or_default(),
        signed_at: row.time("signed_at")?,
        deliveries: row.get("delivery_count")?,
        deliveries_accepted: row.get("accepted_count")?,
        deliveries_failed: row.get("failed_count")?,
    }))
}

fn study_row(row: &Row) -> Result<CaseStudyRow, DatabaseError> {
    Ok(CaseStudyRow {
        pk: StudyPk(row.uuid("study_pk")?),
        uid: row.parsed("study_uid", |text| StudyUid::parse(text).ok())?,
        study_date: row.text("study_date")?,
        study_time: row.text("study_time")?,
        accession_number: row.text("accession_number")?,
        description: row.text("description")?,
        referring_physician: PersonName {
            alphabetic: row.text("referring_alphabetic")?,
            ideographic: row.text("referring_ideographic")?,
            phonetic: row.text("referring_phonetic")?,
        },
        modalities: row.text("modalities")?,
        body_part: row.text("body_part")?,
        series_count: row.get("series_count")?,
        instance_count: row.get("instance_count")?,
        expected_instances: row.get("expected_instances")?,
        last_received_at: row.time("last_received_at")?,
        declared_complete_at: row.optional_time("declared_complete_at")?,
        settled_at: row.optional_time("settled_at")?,
        withdrawn_at: row.optional_time("study_withdrawn_at")?,
        has_request: row.get::<i64>("request_count")? > 0,
    })
}
