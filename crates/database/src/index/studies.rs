//! Studies: their facts, how far their reception is, and whether they may be read.

use std::collections::BTreeMap;

use dokuei_domain::{
    AccountId, FacilityId, PatientPk, PersonName, SeriesPk, SopInstanceUid, StudyPk, StudyUid, Timestamp,
    facts::InstanceFacts,
};

use super::{PatientRow, patient_row};
use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// State of a study's reception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StudyState {
    Receiving,
    Settled,
    Withdrawn,
}

impl StudyState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Settled => "settled",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Receiving, Self::Settled, Self::Withdrawn].into_iter().find(|state| state.as_str() == text)
    }
}

/// A study with its patient, as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    pub pk: StudyPk,
    pub facility: FacilityId,
    pub uid: StudyUid,
    pub state: StudyState,
    pub opens_case: bool,
    pub patient: PatientRow,
    pub study_date: String,
    pub study_time: String,
    pub study_id: String,
    pub accession_number: String,
    pub description: String,
    pub referring_physician: PersonName,
    /// Distinct modalities, sorted, separated by commas.
    pub modalities: String,
    pub body_part: String,
    pub series_count: i64,
    pub instance_count: i64,
    pub expected_instances: Option<i64>,
    pub first_received_at: Timestamp,
    pub last_received_at: Timestamp,
    pub declared_complete_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub withdrawn_at: Option<Timestamp>,
    pub withdrawn_reason: Option<String>,
    /// Its birth date or sex contradicts the patient's: it opens no case until the office has decided.
    pub held: bool,
}

/// What was added to a study in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudyReceived {
    pub instances: i64,
    pub last_received_at: Timestamp,
    /// Something of it came to be read, not as a prior.
    pub opens_case: bool,
    pub body_part: String,
    /// A series in which nothing was to be seen before got an instance.
    pub series_changed: bool,
}

statements! {
    REPORT_FILE_KNOWN = "SELECT COUNT(*) AS known FROM report_files f JOIN report_versions v ON v.id = f.report_version_id \
                         WHERE f.sop_instance_uid = $2 AND v.facility_id = $1";
    STUDY_REOPEN_FOR_READING = "UPDATE studies SET opens_case = 1, state = 'receiving' WHERE id = $1 AND opens_case = 0 AND state <> 'withdrawn'";
    STUDY_FIND = "SELECT id, patient_pk, state FROM studies WHERE facility_id = $1 AND study_uid = $2";
    STUDY_INSERT = "INSERT INTO studies (id, facility_id, study_uid, patient_pk, state, opens_case, study_date, study_time, study_id, accession_number, \
                    description, referring_alphabetic, referring_ideographic, referring_phonetic, modalities, body_part, series_count, instance_count, \
                    first_received_at, last_received_at, name_alphabetic, name_ideographic, name_phonetic, birth_date, sex, charset_repaired) \
                    VALUES ($1, $2, $3, $4, 'receiving', $5, $6, $7, $8, $9, $10, $11, $12, $13, '', $14, 0, 0, $15, $15, $16, $17, $18, $19, $20, $21) \
                    ON CONFLICT DO NOTHING";
    /// New images reopen a settled study; a withdrawn one stays withdrawn, unless only rejection notes made it so.
    STUDY_RECEIVED = "UPDATE studies SET instance_count = instance_count + $2, \
                      last_received_at = CASE WHEN last_received_at < $3 THEN $3 ELSE last_received_at END, \
                      opens_case = CASE WHEN $4 = 1 THEN 1 ELSE opens_case END, \
                      body_part = CASE WHEN body_part = '' THEN $5 ELSE body_part END, \
                      state = CASE WHEN state = 'settled' OR rejected_entirely = 1 THEN 'receiving' ELSE state END, \
                      withdrawn_at = CASE WHEN rejected_entirely = 1 THEN NULL ELSE withdrawn_at END, \
                      withdrawn_reason = CASE WHEN rejected_entirely = 1 THEN NULL ELSE withdrawn_reason END, \
                      rejected_entirely = 0 WHERE id = $1";
    SERIES_RECEIVED = "UPDATE series SET instance_count = instance_count + $2 WHERE id = $1";
    /// Counts after the study's row is taken: on PostgreSQL another node may be adding a series.
    STUDY_RENEW_SERIES =
        "UPDATE studies SET series_count = (SELECT COUNT(*) FROM series WHERE study_pk = $1 AND instance_count > 0), \
         modalities = COALESCE((SELECT group_concat(modality, ',') FROM (SELECT DISTINCT modality FROM series \
         WHERE study_pk = $1 AND modality <> '' AND instance_count > 0 ORDER BY modality)), '') WHERE id = $1",
        "UPDATE studies SET series_count = (SELECT COUNT(*) FROM series WHERE study_pk = $1 AND instance_count > 0), \
         modalities = COALESCE((SELECT string_agg(DISTINCT modality, ',' ORDER BY modality) FROM series \
         WHERE study_pk = $1 AND modality <> '' AND instance_count > 0), '') WHERE id = $1";
    STUDY_SETTLE = "UPDATE studies SET state = 'settled', settled_at = $2 WHERE id = $1 AND state = 'receiving' AND last_received_at <= $3";
    STUDY_DECLARE_COMPLETE = "UPDATE studies SET declared_complete_at = $2 WHERE id = $1 AND state <> 'withdrawn'";
    STUDY_WITHDRAW = "UPDATE studies SET state = 'withdrawn', withdrawn_at = $2, withdrawn_reason = $3, rejected_entirely = 0 WHERE id = $1 AND (state <> 'withdrawn' OR rejected_entirely = 1)";
    STUDIES_UNSETTLED = "SELECT id FROM studies WHERE state = 'receiving' AND last_received_at <= $1 ORDER BY last_received_at LIMIT $2";
    STUDY_BY_PK = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.id = $1";
    STUDY_BY_UID = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.facility_id = $1 AND s.study_uid = $2";
    STUDY_LIST = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk \
                  WHERE (CAST($1 AS TEXT) IS NULL OR s.facility_id = $1) ORDER BY s.last_received_at DESC LIMIT $2";
    STUDY_CLAIMED_BY = "SELECT w.performer FROM case_studies c JOIN workitems w ON w.case_id = c.case_id AND w.state = 'IN PROGRESS' \
                        WHERE c.study_pk = $1";
}

impl WriteTx {
    /// Adds a study; `false` when the facility has one of this UID.
    pub async fn study_insert(
        &mut self,
        pk: StudyPk,
        facility: &FacilityId,
        patient: PatientPk,
        facts: &InstanceFacts,
        opens_case: bool,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let referring = &facts.referring_physician;
        let name = &facts.patient.name;
        let values = args![
            pk,
            facility,
            &facts.study,
            patient,
            i64::from(opens_case),
            &facts.study_date,
            &facts.study_time,
            &facts.study_id,
            &facts.accession_number,
            &facts.study_description,
            &referring.alphabetic,
            &referring.ideographic,
            &referring.phonetic,
            &facts.body_part,
            now,
            &name.alphabetic,
            &name.ideographic,
            &name.phonetic,
            &facts.patient.birth_date,
            &facts.patient.sex,
            i64::from(facts.charset_repaired)
        ];
        let added = self.execute(STUDY_INSERT, values).await? == 1;
        if added {
            self.patient_name_tokens_write(pk, facility, &facts.patient, &facts.accession_number).await?;
        }
        Ok(added)
    }

    /// The study's record and the patient it is filed under; made if it is new.
    pub async fn study_find_or_insert(
        &mut self,
        new_pk: StudyPk,
        facility: &FacilityId,
        patient: PatientPk,
        facts: &InstanceFacts,
        opens_case: bool,
        now: Timestamp,
    ) -> Result<(StudyPk, PatientPk), DatabaseError> {
        if self.study_insert(new_pk, facility, patient, facts, opens_case, now).await? {
            return Ok((new_pk, patient));
        }
        let row = self.one(STUDY_FIND, args![facility, &facts.study]).await?;
        Ok((StudyPk(row.uuid("id")?), PatientPk(row.uuid("patient_pk")?)))
    }

    /// Counts what was added to a study and to its series. The study's row is taken first, here as everywhere, so that nobody waits in a circle.
    pub async fn study_received_all(
        &mut self,
        study: StudyPk,
        received: &StudyReceived,
        series: &BTreeMap<SeriesPk, i64>,
    ) -> Result<(), DatabaseError> {
        let values = args![
            study,
            received.instances,
            received.last_received_at,
            i64::from(received.opens_case),
            &received.body_part
        ];
        self.execute(STUDY_RECEIVED, values).await?;
        for (series, instances) in series {
            self.execute(SERIES_RECEIVED, args![*series, *instances]).await?;
        }
        if received.series_changed { self.study_renew_series(study).await } else { Ok(()) }
    }

    /// Counts the study's series and lists its modalities anew. The caller holds the study's row.
    pub(crate) async fn study_renew_series(&mut self, study: StudyPk) -> Result<(), DatabaseError> {
        self.execute(STUDY_RENEW_SERIES, args![study]).await.map(drop)
    }

    /// Counts one added instance.
    pub async fn study_received(
        &mut self,
        study: StudyPk,
        series: SeriesPk,
        series_is_new: bool,
        opens_case: bool,
        body_part: &str,
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        let received = StudyReceived {
            instances: 1,
            last_received_at: at,
            opens_case,
            body_part: body_part.to_owned(),
            series_changed: series_is_new,
        };
        self.study_received_all(study, &received, &BTreeMap::from([(series, 1)])).await
    }

    /// A study that was kept as a prior is now to be read; `false` when it was so before or is withdrawn.
    pub async fn study_reopen_for_reading(&mut self, study: StudyPk) -> Result<bool, DatabaseError> {
        Ok(self.execute(STUDY_REOPEN_FOR_READING, args![study]).await? == 1)
    }

    /// Settles the study if nothing came after `quiet_since`; `false` otherwise.
    pub async fn study_settle(
        &mut self,
        study: StudyPk,
        quiet_since: Timestamp,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(STUDY_SETTLE, args![study, now, quiet_since]).await? == 1)
    }

    pub async fn study_declare_complete(&mut self, study: StudyPk, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(STUDY_DECLARE_COMPLETE, args![study, now]).await? == 1)
    }

    pub async fn study_withdraw(
        &mut self,
        study: StudyPk,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(STUDY_WITHDRAW, args![study, now, reason]).await? == 1)
    }
}

impl ReadTx {
    /// The study of this UID and the patient it is filed under.
    pub async fn study_owner(
        &mut self,
        facility: &FacilityId,
        uid: &StudyUid,
    ) -> Result<Option<(StudyPk, PatientPk)>, DatabaseError> {
        let row = self.optional(STUDY_FIND, args![facility, uid]).await?;
        row.map(|row| Ok((StudyPk(row.uuid("id")?), PatientPk(row.uuid("patient_pk")?)))).transpose()
    }

    /// Whether a SOP instance is one of the reports we signed for the facility.
    pub async fn report_file_known(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<bool, DatabaseError> {
        Ok(self.one(REPORT_FILE_KNOWN, args![facility, uid]).await?.get::<i64>("known")? > 0)
    }

    /// Studies still receiving that had nothing since `before`.
    pub async fn studies_unsettled(&mut self, before: Timestamp, limit: u32) -> Result<Vec<StudyPk>, DatabaseError> {
        self.rows(STUDIES_UNSETTLED, args![before, limit])
            .await?
            .iter()
            .map(|row| row.uuid("id").map(StudyPk))
            .collect()
    }

    pub async fn study_by_pk(&mut self, study: StudyPk) -> Result<Option<StudyRow>, DatabaseError> {
        self.optional(STUDY_BY_PK, args![study]).await?.as_ref().map(study_row).transpose()
    }

    pub async fn study_by_uid(
        &mut self,
        facility: &FacilityId,
        uid: &StudyUid,
    ) -> Result<Option<StudyRow>, DatabaseError> {
        self.optional(STUDY_BY_UID, args![facility, uid]).await?.as_ref().map(study_row).transpose()
    }

    /// Studies, latest received first; of one facility or of all.
    pub async fn study_list(
        &mut self,
        facility: Option<&FacilityId>,
        limit: u32,
    ) -> Result<Vec<StudyRow>, DatabaseError> {
        self.rows(STUDY_LIST, args![facility, limit]).await?.iter().map(study_row).collect()
    }

    /// The reader who holds the claim on the study's case.
    pub async fn study_claimed_by(&mut self, study: StudyPk) -> Result<Option<AccountId>, DatabaseError> {
        let row = self.optional(STUDY_CLAIMED_BY, args![study]).await?;
        Ok(row.map(|row| row.optional_account("performer")).transpose()?.flatten())
    }
}

pub(crate) fn study_row(row: &Row) -> Result<StudyRow, DatabaseError> {
    Ok(StudyRow {
        pk: StudyPk(row.uuid("id")?),
        facility: row.facility("facility_id")?,
        uid: row.parsed("study_uid", |text| StudyUid::parse(text).ok())?,
        state: row.parsed("state", StudyState::parse)?,
        opens_case: row.flag("opens_case")?,
        patient: patient_row(row, "patient_pk")?,
        study_date: row.text("study_date")?,
        study_time: row.text("study_time")?,
        study_id: row.text("study_id")?,
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
        first_received_at: row.time("first_received_at")?,
        last_received_at: row.time("last_received_at")?,
        declared_complete_at: row.optional_time("declared_complete_at")?,
        settled_at: row.optional_time("settled_at")?,
        withdrawn_at: row.optional_time("withdrawn_at")?,
        withdrawn_reason: row.get("withdrawn_reason")?,
        held: row.flag("held")?,
    })
}
