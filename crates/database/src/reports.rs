//! Signed report versions, their files, who opened them, and their return from blobs alone. Rows are only ever added: a trigger refuses the rest.
//!
//! Signing takes the rows of the studies, then that of the case, as `cases` says; what was frozen is compared again under these locks.

use dokuei_domain::{
    AccountId, CaseId, FacilityId, PatientPk, Priority, ReportVersionId, SopClassUid, SopInstanceUid, StudyPk,
    StudyUid, Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    DatabaseError, ReportTexts,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// The files that a signed version consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportFileKind {
    StructuredReport,
    EncapsulatedPdf,
    Manifest,
    Signature,
}

impl ReportFileKind {
    pub const ALL: [Self; 4] = [Self::StructuredReport, Self::EncapsulatedPdf, Self::Manifest, Self::Signature];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StructuredReport => "structured_report",
            Self::EncapsulatedPdf => "encapsulated_pdf",
            Self::Manifest => "manifest",
            Self::Signature => "signature",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A version to be stored.
#[derive(Debug, Clone)]
pub struct NewReportVersion<'a> {
    pub id: ReportVersionId,
    pub case: CaseId,
    pub facility: &'a FacilityId,
    pub number: i64,
    pub workitem_uid: &'a str,
    pub author: &'a AccountId,
    pub texts: ReportTexts<'a>,
    pub signed_at: Timestamp,
    pub manifest_sha256: [u8; 32],
    pub certificate_serial: &'a str,
    pub instance_count: i64,
}

/// A signed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportVersionRow {
    pub id: ReportVersionId,
    pub case: CaseId,
    pub facility: FacilityId,
    pub number: i64,
    pub workitem_uid: String,
    pub author: AccountId,
    /// The author's name to show.
    pub author_name: String,
    pub findings: String,
    pub impression: String,
    pub recommendation: String,
    pub signed_at: Timestamp,
    pub manifest_sha256: [u8; 32],
    pub certificate_serial: String,
    pub instance_count: i64,
    /// The highest number of the case; this version is succeeded when it is greater than `number`.
    pub last_number: i64,
    /// The facility withdrew every study of the case.
    pub withdrawn_at: Option<Timestamp>,
}

/// One frozen file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFileRow {
    pub kind: ReportFileKind,
    pub blob_key: String,
    pub sha256: [u8; 32],
    pub size_bytes: i64,
    /// Set for DICOM objects.
    pub object: Option<(SopClassUid, SopInstanceUid)>,
}

/// Somebody at the facility opened a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOpeningRow {
    pub account: AccountId,
    pub kind: String,
    pub opened_at: Timestamp,
}

/// A case as its signed manifest tells of it.
#[derive(Debug, Clone)]
pub struct RestoredCase<'a> {
    pub id: CaseId,
    pub facility: &'a FacilityId,
    pub patient: PatientPk,
    pub priority: Priority,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
}

/// A finished workitem as a signed manifest tells of it.
#[derive(Debug, Clone)]
pub struct RestoredWorkitem<'a> {
    pub uid: &'a str,
    pub case: CaseId,
    pub performer: &'a AccountId,
    /// Used only where the row has none.
    pub transaction_uid: &'a str,
    pub created_at: Timestamp,
    pub ended_at: Timestamp,
}

/// When the case `c` was withdrawn. The studies themselves count too: what withdraws the case after them is a job, and until it has run nothing may be shown
/// or sent either.
macro_rules! case_withdrawn_sql {
    () => {
        "COALESCE(c.withdrawn_at, (SELECT CASE WHEN COUNT(*) = COUNT(ws.withdrawn_at) THEN MAX(ws.withdrawn_at) END \
         FROM case_studies wc JOIN studies ws ON ws.id = wc.study_pk WHERE wc.case_id = c.id)) AS withdrawn_at"
    };
}
pub(crate) use case_withdrawn_sql;

macro_rules! version_sql {
    ($condition:literal) => {
        concat!(
            "SELECT v.id, v.case_id, v.facility_id, v.number, v.workitem_uid, v.author, a.display_name AS author_name, v.findings, v.impression, \
             v.recommendation, v.signed_at, v.manifest_sha256, v.certificate_serial, v.instance_count, ",
            case_withdrawn_sql!(),
            ", (SELECT MAX(l.number) FROM report_versions l WHERE l.case_id = v.case_id) AS last_number \
             FROM report_versions v JOIN accounts a ON a.id = v.author JOIN cases c ON c.id = v.case_id ",
            $condition
        )
    };
}

statements! {
    /// In the order in which their rows are locked.
    REPORT_CASE_STUDIES = "SELECT study_pk FROM case_studies WHERE case_id = $1 ORDER BY study_pk";
    REPORT_VERSION_INSERT =
        "INSERT INTO report_versions (id, case_id, facility_id, number, workitem_uid, author, findings, impression, recommendation, signed_at, \
         manifest_sha256, certificate_serial, instance_count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    REPORT_FILE_INSERT =
        "INSERT INTO report_files (report_version_id, kind, blob_key, sha256, size_bytes, sop_class_uid, sop_instance_uid) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    REPORT_VERSION_FIND = version_sql!("WHERE v.id = $1 AND (CAST($2 AS TEXT) IS NULL OR v.facility_id = $2)");
    REPORT_VERSION_LIST = version_sql!("WHERE v.case_id = $1 AND (CAST($2 AS TEXT) IS NULL OR v.facility_id = $2) ORDER BY v.number LIMIT 1000");
    REPORT_VERSION_LAST = version_sql!("WHERE v.case_id = $1 ORDER BY v.number DESC LIMIT 1");
    REPORT_VERSION_NUMBERED = version_sql!("WHERE v.case_id = $1 AND v.number = $2");
    /// Who repeats a request after a lost answer holds the Transaction UID under which it succeeded.
    REPORT_VERSION_SIGNED_UNDER =
        version_sql!("JOIN workitems w ON w.uid = v.workitem_uid WHERE v.case_id = $1 AND w.performer = $2 AND w.transaction_uid = $3");
    REPORT_FILES =
        "SELECT kind, blob_key, sha256, size_bytes, sop_class_uid, sop_instance_uid FROM report_files WHERE report_version_id = $1 ORDER BY kind";
    REPORT_OPENING_INSERT = "INSERT INTO report_openings (id, report_version_id, account_id, kind, opened_at) VALUES ($1, $2, $3, $4, $5)";
    REPORT_OPENINGS = "SELECT account_id, kind, opened_at FROM report_openings WHERE report_version_id = $1 ORDER BY opened_at LIMIT $2";
    REPORT_CASE_RESTORE =
        "INSERT INTO cases (id, facility_id, patient_pk, priority, opened_at, due_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    REPORT_STUDY_ATTACH = "INSERT INTO case_studies (case_id, study_pk) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    REPORT_WORKITEM_RESTORE =
        "INSERT INTO workitems (uid, case_id, state, transaction_uid, performer, claimed_at, created_at, ended_at) \
         VALUES ($1, $2, 'COMPLETED', $3, $4, $6, $5, $6) ON CONFLICT (uid) DO NOTHING";
    /// An index restored from an older copy still has it open.
    REPORT_WORKITEM_FINISH =
        "UPDATE workitems SET state = 'COMPLETED', performer = COALESCE(performer, $2), transaction_uid = COALESCE(transaction_uid, $3), \
         claimed_at = COALESCE(claimed_at, $4), claim_expires_at = NULL, ended_at = $4 WHERE uid = $1 AND state IN ('SCHEDULED', 'IN PROGRESS')";
    REPORT_WORKITEM_STATE = "SELECT state FROM workitems WHERE uid = $1";
    REPORT_VERSION_COUNT = "SELECT COUNT(*) AS versions FROM report_versions";
}

fn read_version(row: &Row) -> Result<ReportVersionRow, DatabaseError> {
    Ok(ReportVersionRow {
        id: ReportVersionId(row.uuid("id")?),
        case: CaseId(row.uuid("case_id")?),
        facility: row.facility("facility_id")?,
        number: row.get("number")?,
        workitem_uid: row.text("workitem_uid")?,
        author: row.account("author")?,
        author_name: row.text("author_name")?,
        findings: row.text("findings")?,
        impression: row.text("impression")?,
        recommendation: row.text("recommendation")?,
        signed_at: row.time("signed_at")?,
        manifest_sha256: row.hash("manifest_sha256")?,
        certificate_serial: row.text("certificate_serial")?,
        instance_count: row.get("instance_count")?,
        last_number: row.get("last_number")?,
        withdrawn_at: row.optional_time("withdrawn_at")?,
    })
}

fn read_file(row: &Row) -> Result<ReportFileRow, DatabaseError> {
    let object = match row.get::<Option<String>>("sop_instance_uid")? {
        None => None,
        Some(_) => Some((
            row.parsed("sop_class_uid", |text| SopClassUid::parse(text).ok())?,
            row.parsed("sop_instance_uid", |text| SopInstanceUid::parse(text).ok())?,
        )),
    };
    Ok(ReportFileRow {
        kind: row.parsed("kind", ReportFileKind::parse)?,
        blob_key: row.text("blob_key")?,
        sha256: row.hash("sha256")?,
        size_bytes: row.get("size_bytes")?,
        object,
    })
}

impl ReadTx {
    /// The studies of a case, withdrawn ones too.
    pub async fn report_case_studies(&mut self, case: CaseId) -> Result<Vec<StudyPk>, DatabaseError> {
        let rows = self.rows(REPORT_CASE_STUDIES, args![case]).await?;
        rows.iter().map(|row| row.uuid("study_pk").map(StudyPk)).collect()
    }

    /// A version; of one facility only when that is given.
    pub async fn report_version_find(
        &mut self,
        version: ReportVersionId,
        facility: Option<&FacilityId>,
    ) -> Result<Option<ReportVersionRow>, DatabaseError> {
        self.optional(REPORT_VERSION_FIND, args![version, facility]).await?.as_ref().map(read_version).transpose()
    }

    /// All versions of a case, first to last.
    pub async fn report_version_list(
        &mut self,
        case: CaseId,
        facility: Option<&FacilityId>,
    ) -> Result<Vec<ReportVersionRow>, DatabaseError> {
        self.rows(REPORT_VERSION_LIST, args![case, facility]).await?.iter().map(read_version).collect()
    }

    /// The version that counts.
    pub async fn report_version_last(&mut self, case: CaseId) -> Result<Option<ReportVersionRow>, DatabaseError> {
        self.optional(REPORT_VERSION_LAST, args![case]).await?.as_ref().map(read_version).transpose()
    }

    pub async fn report_version_numbered(
        &mut self,
        case: CaseId,
        number: i64,
    ) -> Result<Option<ReportVersionRow>, DatabaseError> {
        self.optional(REPORT_VERSION_NUMBERED, args![case, number]).await?.as_ref().map(read_version).transpose()
    }

    /// The version that `performer` has signed under this claim.
    pub async fn report_version_signed_under(
        &mut self,
        case: CaseId,
        performer: &AccountId,
        transaction_uid: &str,
    ) -> Result<Option<ReportVersionRow>, DatabaseError> {
        let row = self.optional(REPORT_VERSION_SIGNED_UNDER, args![case, performer, transaction_uid]).await?;
        row.as_ref().map(read_version).transpose()
    }

    pub async fn report_files(&mut self, version: ReportVersionId) -> Result<Vec<ReportFileRow>, DatabaseError> {
        self.rows(REPORT_FILES, args![version]).await?.iter().map(read_file).collect()
    }

    /// Who opened files of a version, first to last.
    pub async fn report_openings(
        &mut self,
        version: ReportVersionId,
        limit: u32,
    ) -> Result<Vec<ReportOpeningRow>, DatabaseError> {
        let rows = self.rows(REPORT_OPENINGS, args![version, limit]).await?;
        let read = |row: &Row| {
            Ok(ReportOpeningRow {
                account: row.account("account_id")?,
                kind: row.text("kind")?,
                opened_at: row.time("opened_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The state of a workitem by its UID.
    pub async fn report_workitem_state(&mut self, uid: &str) -> Result<Option<String>, DatabaseError> {
        let row = self.optional(REPORT_WORKITEM_STATE, args![uid]).await?;
        row.map(|row| row.text("state")).transpose()
    }

    pub async fn report_version_count(&mut self) -> Result<i64, DatabaseError> {
        self.one(REPORT_VERSION_COUNT, args![]).await?.get("versions")
    }
}

impl WriteTx {
    /// Stores a version. A conflict means that the number or the workitem has one already.
    pub async fn report_version_insert(&mut self, version: &NewReportVersion<'_>) -> Result<(), DatabaseError> {
        let texts = version.texts;
        let values = args![
            version.id,
            version.case,
            version.facility,
            version.number,
            version.workitem_uid,
            version.author,
            texts.findings,
            texts.impression,
            texts.recommendation,
            version.signed_at,
            version.manifest_sha256,
            version.certificate_serial,
            version.instance_count,
        ];
        self.execute(REPORT_VERSION_INSERT, values).await.map(drop)
    }

    pub async fn report_file_insert(
        &mut self,
        version: ReportVersionId,
        file: &ReportFileRow,
    ) -> Result<(), DatabaseError> {
        let (sop_class, sop_instance) = match &file.object {
            Some((class, instance)) => (Some(class), Some(instance)),
            None => (None, None),
        };
        let values =
            args![version, file.kind.as_str(), &file.blob_key, file.sha256, file.size_bytes, sop_class, sop_instance];
        self.execute(REPORT_FILE_INSERT, values).await.map(drop)
    }

    pub async fn report_opening_insert(
        &mut self,
        id: Uuid,
        version: ReportVersionId,
        account: &AccountId,
        kind: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(REPORT_OPENING_INSERT, args![id, version, account, kind, now]).await.map(drop)
    }

    /// Makes a case again; one that exists stays as it is.
    pub async fn report_case_restore(&mut self, case: &RestoredCase<'_>) -> Result<(), DatabaseError> {
        let values = args![case.id, case.facility, case.patient, case.priority.as_str(), case.opened_at, case.due_at];
        self.execute(REPORT_CASE_RESTORE, values).await.map(drop)
    }

    /// Files a study under a case and gives the case it belongs to, which is another one when it was filed before.
    pub async fn report_study_attach(
        &mut self,
        case: CaseId,
        facility: &FacilityId,
        study: &StudyUid,
    ) -> Result<Option<CaseId>, DatabaseError> {
        let Some((study, _)) = self.study_owner(facility, study).await? else { return Ok(None) };
        self.execute(REPORT_STUDY_ATTACH, args![case, study]).await?;
        self.case_of_study(study).await
    }

    /// Makes a completed workitem again, or completes the one that is still open.
    pub async fn report_workitem_restore(&mut self, workitem: &RestoredWorkitem<'_>) -> Result<(), DatabaseError> {
        let RestoredWorkitem { uid, case, performer, transaction_uid, created_at, ended_at } = *workitem;
        self.execute(REPORT_WORKITEM_RESTORE, args![uid, case, transaction_uid, performer, created_at, ended_at])
            .await?;
        self.execute(REPORT_WORKITEM_FINISH, args![uid, performer, transaction_uid, ended_at]).await.map(drop)
    }
}
