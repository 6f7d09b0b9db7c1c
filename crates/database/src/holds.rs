//! Studies that wait for a person, because birth date or sex contradict the patient whose ID they name.

use dokuei_domain::{FacilityId, PatientPk, PersonName, StudyPk, StudyUid, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    filing::ANOTHER_PERSON,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A hold to be opened.
#[derive(Debug, Clone)]
pub struct NewStudyHold<'a> {
    pub id: Uuid,
    pub facility: &'a FacilityId,
    pub study: StudyPk,
    /// `birth_date_differs`, `sex_differs`, `birth_date_and_sex_differ`.
    pub reason: &'a str,
    pub study_birth_date: &'a str,
    pub study_sex: &'a str,
    pub known_birth_date: &'a str,
    pub known_sex: &'a str,
    pub opened_at: Timestamp,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// 同一人物: it goes on as what it says it is.
    SamePerson,
    /// 別人: it gets a patient of its own.
    AnotherPerson,
    /// It is hidden like a withdrawn study.
    Rejected,
}

impl HoldDecision {
    pub const ALL: [Self; 3] = [Self::SamePerson, Self::AnotherPerson, Self::Rejected];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SamePerson => "same_person",
            Self::AnotherPerson => "another_person",
            Self::Rejected => "rejected",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.as_str() == text)
    }
}

/// A hold with both versions of the patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyHoldRow {
    pub id: Uuid,
    pub facility: FacilityId,
    pub study: StudyPk,
    pub study_uid: StudyUid,
    pub reason: String,
    pub patient_id: String,
    /// As the held study names the patient.
    pub held: NamedVersion,
    /// As the facility named the patient before.
    pub known: NamedVersion,
    pub opened_at: Timestamp,
    pub instance_count: i64,
    pub decision: Option<HoldDecision>,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub decision_reason: Option<String>,
}

/// One version of a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedVersion {
    pub name: PersonName,
    pub birth_date: String,
    pub sex: String,
    /// Of the study; of the known version, of its latest study that is not held.
    pub study_date: String,
    pub modalities: String,
    pub description: String,
    pub accession_number: String,
    /// The calling AE title that sent the study's first object.
    pub calling_aet: String,
}

macro_rules! hold_sql {
    ($which:literal) => {
        concat!(
            "SELECT h.id, h.facility_id, h.study_pk, s.study_uid, h.reason, p.patient_id, h.opened_at, s.instance_count, h.decision, h.decided_by, \
             h.decided_at, h.decision_reason, s.name_alphabetic, s.name_ideographic, s.name_phonetic, h.study_birth_date, h.study_sex, \
             s.study_date, s.modalities, s.description, s.accession_number, \
             COALESCE((SELECT i.calling_aet FROM instances i WHERE i.study_pk = s.id ORDER BY i.received_at, i.id LIMIT 1), '') AS calling_aet, \
             p.name_alphabetic AS known_alphabetic, p.name_ideographic AS known_ideographic, p.name_phonetic AS known_phonetic, \
             h.known_birth_date, h.known_sex, COALESCE(k.study_date, '') AS known_study_date, COALESCE(k.modalities, '') AS known_modalities, \
             COALESCE(k.description, '') AS known_description, COALESCE(k.accession_number, '') AS known_accession_number, \
             COALESCE((SELECT i.calling_aet FROM instances i WHERE i.study_pk = k.id ORDER BY i.received_at, i.id LIMIT 1), '') AS known_calling_aet \
             FROM study_holds h JOIN studies s ON s.id = h.study_pk JOIN patients p ON p.id = h.patient_pk \
             LEFT JOIN studies k ON k.id = (SELECT e.id FROM studies e WHERE e.patient_pk = p.id AND e.id <> s.id AND e.held = 0 \
             ORDER BY e.first_received_at DESC, e.id DESC LIMIT 1) ",
            $which
        )
    };
}

statements! {
    STUDY_HOLD_INSERT =
        "INSERT INTO study_holds (id, facility_id, study_pk, patient_pk, reason, study_birth_date, study_sex, known_birth_date, known_sex, opened_at) \
         SELECT $1, $2, s.id, s.patient_pk, $4, $5, $6, $7, $8, $9 FROM studies s WHERE s.id = $3";
    STUDY_SET_HELD = "UPDATE studies SET held = $2 WHERE id = $1";
    STUDY_HOLD_DECIDE = "UPDATE study_holds SET decision = $2, decided_by = $3, decided_at = $4, decision_reason = $5 \
                         WHERE id = $1 AND decision IS NULL";
    /// What the facility has withdrawn meanwhile needs no decision.
    STUDY_HOLDS_OPEN = hold_sql!("WHERE h.decision IS NULL AND s.withdrawn_at IS NULL ORDER BY h.opened_at DESC LIMIT $1");
    STUDY_HOLD_BY_ID = hold_sql!("WHERE h.id = $1");
    PATIENT_OF_ONE_STUDY_INSERT =
        "INSERT INTO patients (id, facility_id, issuer, patient_id, provisional_study_uid, provisional_reason, name_alphabetic, name_ideographic, \
         name_phonetic, birth_date, sex, charset_repaired, created_at) \
         SELECT $2, s.facility_id, p.issuer, p.patient_id, s.study_uid, $3, s.name_alphabetic, s.name_ideographic, s.name_phonetic, s.birth_date, s.sex, \
         s.charset_repaired, $4 FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.id = $1";
    STUDY_SET_PATIENT = "UPDATE studies SET patient_pk = $2 WHERE id = $1";
}

impl WriteTx {
    /// Holds a study.
    pub async fn study_hold_open(&mut self, hold: &NewStudyHold<'_>) -> Result<(), DatabaseError> {
        let values = args![
            hold.id,
            hold.facility,
            hold.study,
            hold.reason,
            hold.study_birth_date,
            hold.study_sex,
            hold.known_birth_date,
            hold.known_sex,
            hold.opened_at
        ];
        self.execute(STUDY_HOLD_INSERT, values).await?;
        self.execute(STUDY_SET_HELD, args![hold.study, 1_i64]).await.map(drop)
    }

    /// Records a decision and ends the hold. `false`: somebody has decided already.
    pub async fn study_hold_decide(
        &mut self,
        hold: Uuid,
        study: StudyPk,
        decision: HoldDecision,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        if self.execute(STUDY_HOLD_DECIDE, args![hold, decision.as_str(), by, now, reason]).await? != 1 {
            return Ok(false);
        }
        self.execute(STUDY_SET_HELD, args![study, 0_i64]).await?;
        Ok(true)
    }

    /// Makes a patient of this one study, with the same ID, and files the study there.
    pub async fn study_move_to_own_patient(
        &mut self,
        study: StudyPk,
        patient: PatientPk,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(PATIENT_OF_ONE_STUDY_INSERT, args![study, patient, ANOTHER_PERSON, now]).await?;
        self.execute(STUDY_SET_PATIENT, args![study, patient]).await.map(drop)
    }
}

impl ReadTx {
    /// Holds that wait for a decision, newest first.
    pub async fn study_holds_open(&mut self, limit: u32) -> Result<Vec<StudyHoldRow>, DatabaseError> {
        self.rows(STUDY_HOLDS_OPEN, args![limit]).await?.iter().map(hold_row).collect()
    }

    pub async fn study_hold(&mut self, hold: Uuid) -> Result<Option<StudyHoldRow>, DatabaseError> {
        self.optional(STUDY_HOLD_BY_ID, args![hold]).await?.as_ref().map(hold_row).transpose()
    }
}

fn hold_row(row: &Row) -> Result<StudyHoldRow, DatabaseError> {
    let decision = match row.get::<Option<String>>("decision")? {
        None => None,
        Some(_) => Some(row.parsed("decision", HoldDecision::parse)?),
    };
    Ok(StudyHoldRow {
        id: row.uuid("id")?,
        facility: row.facility("facility_id")?,
        study: StudyPk(row.uuid("study_pk")?),
        study_uid: row.parsed("study_uid", |text| StudyUid::parse(text).ok())?,
        reason: row.text("reason")?,
        patient_id: row.text("patient_id")?,
        held: NamedVersion {
            name: PersonName {
                alphabetic: row.text("name_alphabetic")?,
                ideographic: row.text("name_ideographic")?,
                phonetic: row.text("name_phonetic")?,
            },
            birth_date: row.text("study_birth_date")?,
            sex: row.text("study_sex")?,
            study_date: row.text("study_date")?,
            modalities: row.text("modalities")?,
            description: row.text("description")?,
            accession_number: row.text("accession_number")?,
            calling_aet: row.text("calling_aet")?,
        },
        known: NamedVersion {
            name: PersonName {
                alphabetic: row.text("known_alphabetic")?,
                ideographic: row.text("known_ideographic")?,
                phonetic: row.text("known_phonetic")?,
            },
            birth_date: row.text("known_birth_date")?,
            sex: row.text("known_sex")?,
            study_date: row.text("known_study_date")?,
            modalities: row.text("known_modalities")?,
            description: row.text("known_description")?,
            accession_number: row.text("known_accession_number")?,
            calling_aet: row.text("known_calling_aet")?,
        },
        opened_at: row.time("opened_at")?,
        instance_count: row.get("instance_count")?,
        decision,
        decided_by: row.get("decided_by")?,
        decided_at: row.optional_time("decided_at")?,
        decision_reason: row.get("decision_reason")?,
    })
}
