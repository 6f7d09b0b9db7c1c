//! What the decision on a new object needs, in one statement: it runs for every C-STORE, and on PostgreSQL each statement is a round trip.

use dokuei_domain::{
    FacilityId, InstanceId, PatientPk, SeriesPk, SeriesUid, SopInstanceUid, StudyPk, StudyUid, patient::PatientIdentity,
};
use uuid::Uuid;

use crate::{
    DatabaseError, StudyState,
    index::KnownInstance,
    statements::statements,
    transaction::ReadTx,
    value::{Row, args},
};

/// What is asked: the object's UIDs and the identity its patient is filed under.
#[derive(Debug, Clone, Copy)]
pub struct FilingKey<'a> {
    pub facility: &'a FacilityId,
    pub sop_instance: &'a SopInstanceUid,
    pub study: &'a StudyUid,
    pub series: &'a SeriesUid,
    pub identity: &'a PatientIdentity,
}

/// What the index holds about these at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilingContext {
    /// The facility's object of this SOP Instance UID.
    pub instance: Option<KnownInstance>,
    /// The SOP Instance UID is that of a report we signed for the facility.
    pub own_report: bool,
    /// The facility's study of this UID.
    pub study: Option<KnownStudy>,
    /// The facility's series of this UID.
    pub series: Option<KnownSeries>,
    /// The patient of the asked identity; looked for only when the study is new.
    pub patient: Option<PatientPk>,
    /// Distinct birth dates and sexes under which this patient is known: the patient's own and those of its studies that are not held. At most 20.
    pub patient_known_as: Vec<BirthDateAndSex>,
    /// A rejection note names the object: the code of its title.
    pub rejected_code: Option<String>,
}

/// (0010,0030) and (0010,0040) as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BirthDateAndSex {
    pub birth_date: String,
    pub sex: String,
}

/// A study that exists, and the patient it is filed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStudy {
    pub pk: StudyPk,
    pub state: StudyState,
    /// Withdrawn only because every instance is hidden by a rejection note.
    pub rejected_entirely: bool,
    pub opens_case: bool,
    /// As the study's first object names the patient.
    pub named_as: BirthDateAndSex,
    pub owner: StudyOwner,
}

/// The patient a study is filed under, as its record names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyOwner {
    pub issuer: String,
    pub id: String,
    /// `None` for an established patient.
    pub provisional: Option<ProvisionalOwner>,
}

/// A patient of one study only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisionalOwner {
    /// The object's ID established nobody.
    AsSent,
    /// Its ID is usable, but the office decided that it is another person's.
    AnotherPerson,
}

/// A series that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSeries {
    pub pk: SeriesPk,
    pub study: StudyPk,
    /// Instances that may be seen.
    pub instance_count: i64,
}

/// Separates birth date from sex, and one pair from the next: neither can stand in them, as what is not printable is not indexed.
const WITHIN: char = '\u{1e}';
const BETWEEN: char = '\u{1f}';

/// The provisional patient that a study gets when the office says 別人.
pub(crate) const ANOTHER_PERSON: &str = "another_person";

macro_rules! context_sql {
    ($patient:expr, $list:expr) => {
        concat!(
            "SELECT i.id AS instance_id, i.dataset_sha256, i.study_pk AS instance_study, \
             (SELECT COUNT(*) FROM report_files f JOIN report_versions v ON v.id = f.report_version_id \
             WHERE f.sop_instance_uid = $2 AND v.facility_id = $1) AS own_report, \
             s.id AS study_pk, s.state, s.rejected_entirely, s.opens_case, s.birth_date, s.sex, \
             o.issuer, o.patient_id, o.provisional_study_uid, o.provisional_reason, \
             se.id AS series_pk, se.study_pk AS series_study, se.instance_count, r.code, \
             p.id AS patient_pk, p.birth_date || '\u{1e}' || p.sex AS patient_known_as, CASE WHEN p.id IS NULL THEN NULL ELSE ",
            $list,
            " END AS studies_known_as FROM (SELECT 1 AS one) asked \
             LEFT JOIN instances i ON i.facility_id = $1 AND i.sop_instance_uid = $2 \
             LEFT JOIN studies s ON s.facility_id = $1 AND s.study_uid = $3 \
             LEFT JOIN patients o ON o.id = s.patient_pk \
             LEFT JOIN series se ON se.facility_id = $1 AND se.series_uid = $4 \
             LEFT JOIN rejected_instances r ON r.facility_id = $1 AND r.sop_instance_uid = $2 AND r.study_uid = $3 \
             LEFT JOIN patients p ON s.id IS NULL AND p.facility_id = $1 AND ",
            $patient
        )
    };
}

/// The distinct facts of the patient's studies that are not held.
macro_rules! known_as_sql {
    ($aggregate:literal) => {
        concat!(
            "(SELECT ",
            $aggregate,
            "(k.known, '\u{1f}') FROM (SELECT DISTINCT x.birth_date || '\u{1e}' || x.sex AS known FROM studies x \
             WHERE x.patient_pk = p.id AND x.held = 0 LIMIT 20) k)"
        )
    };
}

statements! {
    FILING_CONTEXT_ESTABLISHED =
        context_sql!("p.issuer = $5 AND p.patient_id = $6 AND p.provisional_study_uid IS NULL", known_as_sql!("group_concat")),
        context_sql!("p.issuer = $5 AND p.patient_id = $6 AND p.provisional_study_uid IS NULL", known_as_sql!("string_agg"));
    FILING_CONTEXT_PROVISIONAL =
        context_sql!("p.provisional_study_uid = $3", known_as_sql!("group_concat")),
        context_sql!("p.provisional_study_uid = $3", known_as_sql!("string_agg"));
}

impl ReadTx {
    /// Everything that decides where an object goes, as it is now.
    pub async fn filing_context(&mut self, key: FilingKey<'_>) -> Result<FilingContext, DatabaseError> {
        let FilingKey { facility, sop_instance, study, series, identity } = key;
        let row = match identity {
            PatientIdentity::Established { issuer, id } => {
                let values = args![facility, sop_instance, study, series, issuer, id];
                self.one(FILING_CONTEXT_ESTABLISHED, values).await?
            }
            PatientIdentity::Provisional { .. } => {
                self.one(FILING_CONTEXT_PROVISIONAL, args![facility, sop_instance, study, series]).await?
            }
        };
        context(&row)
    }
}

fn context(row: &Row) -> Result<FilingContext, DatabaseError> {
    let instance = match row.get::<Option<Uuid>>("instance_id")? {
        None => None,
        Some(id) => Some(KnownInstance {
            id: InstanceId(id),
            dataset_sha256: row.hash("dataset_sha256")?,
            study: StudyPk(row.uuid("instance_study")?),
        }),
    };
    let study = match row.get::<Option<Uuid>>("study_pk")? {
        None => None,
        Some(pk) => Some(known_study(row, StudyPk(pk))?),
    };
    let series = match row.get::<Option<Uuid>>("series_pk")? {
        None => None,
        Some(pk) => Some(KnownSeries {
            pk: SeriesPk(pk),
            study: StudyPk(row.uuid("series_study")?),
            instance_count: row.get("instance_count")?,
        }),
    };
    let mut patient_known_as = Vec::new();
    for column in ["patient_known_as", "studies_known_as"] {
        for pair in row.get::<Option<String>>(column)?.iter().flat_map(|list| list.split(BETWEEN)) {
            let (birth_date, sex) = pair.split_once(WITHIN).unwrap_or((pair, ""));
            let pair = BirthDateAndSex { birth_date: birth_date.to_owned(), sex: sex.to_owned() };
            if !patient_known_as.contains(&pair) {
                patient_known_as.push(pair);
            }
        }
    }
    Ok(FilingContext {
        instance,
        own_report: row.get::<i64>("own_report")? > 0,
        study,
        series,
        patient: row.get::<Option<Uuid>>("patient_pk")?.map(PatientPk),
        patient_known_as,
        rejected_code: row.get("code")?,
    })
}

fn known_study(row: &Row, pk: StudyPk) -> Result<KnownStudy, DatabaseError> {
    let provisional = match row.get::<Option<String>>("provisional_study_uid")? {
        None => None,
        Some(_) if row.get::<Option<String>>("provisional_reason")?.as_deref() == Some(ANOTHER_PERSON) => {
            Some(ProvisionalOwner::AnotherPerson)
        }
        Some(_) => Some(ProvisionalOwner::AsSent),
    };
    Ok(KnownStudy {
        pk,
        state: row.parsed("state", StudyState::parse)?,
        rejected_entirely: row.flag("rejected_entirely")?,
        opens_case: row.flag("opens_case")?,
        named_as: BirthDateAndSex { birth_date: row.text("birth_date")?, sex: row.text("sex")? },
        owner: StudyOwner { issuer: row.text("issuer")?, id: row.text("patient_id")?, provisional },
    })
}
