//! The index of what was received: patients, studies, series, instances.

use dokuei_domain::{
    AccountId, FacilityId, InstanceId, PatientPk, PersonName, SeriesPk, SeriesUid, SopClassUid, SopInstanceUid,
    StudyPk, StudyUid, Timestamp, TransferSyntaxUid,
    facts::InstanceFacts,
    facts::PatientFacts,
    patient::{FacilityIssuer, PatientIdentity},
};

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

    fn parse(text: &str) -> Option<Self> {
        [Self::Receiving, Self::Settled, Self::Withdrawn].into_iter().find(|state| state.as_str() == text)
    }
}

/// A blob that became an instance.
#[derive(Debug, Clone)]
pub struct NewInstance<'a> {
    pub id: InstanceId,
    pub facility: &'a FacilityId,
    pub facts: &'a InstanceFacts,
    pub blob_key: &'a str,
    pub size_bytes: u64,
    pub dataset_offset: u64,
    pub dataset_sha256: [u8; 32],
    pub calling_aet: &'a str,
    pub received_at: Timestamp,
}

/// What the index already knows of a SOP instance of one facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstance {
    pub id: InstanceId,
    pub dataset_sha256: [u8; 32],
    pub study: StudyPk,
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
}

/// A patient of one facility, as one study names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientRow {
    pub pk: PatientPk,
    pub issuer: String,
    pub id: String,
    pub provisional: bool,
    pub name: PersonName,
    pub birth_date: String,
    pub sex: String,
    /// The name was repaired from bytes that did not fit their declared character set.
    pub charset_repaired: bool,
    /// The facility has sent another name, birth date or sex under this ID before; a person should look.
    pub differs_from_earlier: bool,
}

/// A series of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRow {
    pub pk: SeriesPk,
    pub uid: SeriesUid,
    pub modality: String,
    pub number: Option<i64>,
    pub description: String,
    pub body_part: String,
    pub instance_count: i64,
}

/// An instance with what is needed to find, show and send it.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRow {
    pub id: InstanceId,
    pub facility: FacilityId,
    pub study: StudyPk,
    pub series: SeriesPk,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub transfer_syntax: TransferSyntaxUid,
    pub number: Option<i64>,
    pub frames: i64,
    pub rows: Option<i64>,
    pub columns: Option<i64>,
    pub slice_position: Option<f64>,
    pub window: Option<(f64, f64)>,
    pub blob_key: String,
    pub size_bytes: i64,
    pub dataset_offset: i64,
    pub dataset_sha256: [u8; 32],
    pub received_at: Timestamp,
}

statements! {
    PATIENT_FIND_ESTABLISHED = "SELECT id FROM patients WHERE facility_id = $1 AND issuer = $2 AND patient_id = $3 AND provisional_study_uid IS NULL";
    PATIENT_FIND_PROVISIONAL = "SELECT id FROM patients WHERE facility_id = $1 AND provisional_study_uid = $2";
    PATIENT_INSERT = "INSERT INTO patients (id, facility_id, issuer, patient_id, provisional_study_uid, provisional_reason, name_alphabetic, \
                      name_ideographic, name_phonetic, birth_date, sex, charset_repaired, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING";
    REPORT_FILE_KNOWN = "SELECT COUNT(*) AS known FROM report_files f JOIN report_versions v ON v.id = f.report_version_id \
                         WHERE f.sop_instance_uid = $2 AND v.facility_id = $1";
    STUDY_WITHDRAWN = "SELECT COUNT(*) AS withdrawn FROM studies WHERE facility_id = $1 AND study_uid = $2 AND state = 'withdrawn'";
    STUDY_REOPEN_FOR_READING = "UPDATE studies SET opens_case = 1, state = 'receiving' WHERE id = $1 AND opens_case = 0 AND state <> 'withdrawn'";
    FACILITY_ENSURE = "INSERT INTO facilities (id, name, issuer, created_at) VALUES ($1, $1, $2, $3) ON CONFLICT DO NOTHING";
    STUDY_FIND = "SELECT id, patient_pk, state FROM studies WHERE facility_id = $1 AND study_uid = $2";
    STUDY_INSERT = "INSERT INTO studies (id, facility_id, study_uid, patient_pk, state, opens_case, study_date, study_time, study_id, accession_number, \
                    description, referring_alphabetic, referring_ideographic, referring_phonetic, modalities, body_part, series_count, instance_count, \
                    first_received_at, last_received_at, name_alphabetic, name_ideographic, name_phonetic, birth_date, sex, charset_repaired) \
                    VALUES ($1, $2, $3, $4, 'receiving', $5, $6, $7, $8, $9, $10, $11, $12, $13, '', $14, 0, 0, $15, $15, $16, $17, $18, $19, $20, $21) \
                    ON CONFLICT DO NOTHING";
    /// New images reopen a settled study; a withdrawn one stays withdrawn.
    STUDY_RECEIVED = "UPDATE studies SET instance_count = instance_count + 1, series_count = series_count + $2, \
                      last_received_at = CASE WHEN last_received_at < $3 THEN $3 ELSE last_received_at END, \
                      opens_case = CASE WHEN $4 = 1 THEN 1 ELSE opens_case END, \
                      body_part = CASE WHEN body_part = '' THEN $5 ELSE body_part END, \
                      state = CASE WHEN state = 'settled' THEN 'receiving' ELSE state END \
                      WHERE id = $1";
    STUDY_SET_MODALITIES = "UPDATE studies SET modalities = $2 WHERE id = $1";
    STUDY_MODALITIES = "SELECT DISTINCT modality FROM series WHERE study_pk = $1 AND modality <> '' ORDER BY modality";
    SERIES_FIND = "SELECT id, study_pk FROM series WHERE facility_id = $1 AND series_uid = $2";
    SERIES_INSERT = "INSERT INTO series (id, facility_id, study_pk, series_uid, modality, number, description, body_part, instance_count) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT DO NOTHING";
    SERIES_RECEIVED = "UPDATE series SET instance_count = instance_count + 1 WHERE id = $1";
    INSTANCE_FIND = "SELECT id, dataset_sha256, study_pk FROM instances WHERE facility_id = $1 AND sop_instance_uid = $2";
    INSTANCE_INSERT = "INSERT INTO instances (id, facility_id, study_pk, series_pk, sop_class_uid, sop_instance_uid, transfer_syntax_uid, number, frames, \
                       row_count, column_count, slice_position, window_center, window_width, blob_key, size_bytes, dataset_offset, dataset_sha256, \
                       calling_aet, received_at) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT DO NOTHING";
    BLOB_KNOWN = "SELECT (SELECT COUNT(*) FROM instances WHERE blob_key = $1) + (SELECT COUNT(*) FROM quarantined_objects WHERE blob_key = $1) AS known";
    STUDY_SETTLE = "UPDATE studies SET state = 'settled', settled_at = $2 WHERE id = $1 AND state = 'receiving' AND last_received_at <= $3";
    STUDY_DECLARE_COMPLETE = "UPDATE studies SET declared_complete_at = $2 WHERE id = $1 AND state <> 'withdrawn'";
    STUDY_WITHDRAW = "UPDATE studies SET state = 'withdrawn', withdrawn_at = $2, withdrawn_reason = $3 WHERE id = $1 AND state <> 'withdrawn'";
    STUDIES_UNSETTLED = "SELECT id FROM studies WHERE state = 'receiving' AND last_received_at <= $1 ORDER BY last_received_at LIMIT $2";
    STUDY_BY_PK = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.id = $1";
    STUDY_BY_UID = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.facility_id = $1 AND s.study_uid = $2";
    STUDY_LIST = "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
                   OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier FROM studies s JOIN patients p ON p.id = s.patient_pk \
                  WHERE (CAST($1 AS TEXT) IS NULL OR s.facility_id = $1) ORDER BY s.last_received_at DESC LIMIT $2";
    SERIES_OF_STUDY = "SELECT id, series_uid, modality, number, description, body_part, instance_count FROM series WHERE study_pk = $1 \
                       ORDER BY number, series_uid";
    INSTANCES_OF_STUDY = "SELECT * FROM instances WHERE study_pk = $1 ORDER BY series_pk, number, sop_instance_uid";
    INSTANCE_BY_ID = "SELECT * FROM instances WHERE id = $1";
    INSTANCE_BY_UID = "SELECT * FROM instances WHERE facility_id = $1 AND sop_instance_uid = $2";
    STUDY_CLAIMED_BY = "SELECT w.performer FROM case_studies c JOIN workitems w ON w.case_id = c.case_id AND w.state = 'IN PROGRESS' \
                        WHERE c.study_pk = $1";
    INSTANCE_COUNT = "SELECT COUNT(*) AS instances FROM instances";
}

impl WriteTx {
    /// The patient's record, made if it is new. An existing record keeps its first facts; differences are for a person to settle.
    pub async fn patient_find_or_insert(
        &mut self,
        new_pk: PatientPk,
        facility: &FacilityId,
        identity: &PatientIdentity,
        facts: &PatientFacts,
        charset_repaired: bool,
        now: Timestamp,
    ) -> Result<PatientPk, DatabaseError> {
        // Twice: a concurrent insert of the same patient makes ours do nothing, and the second look finds theirs.
        for attempt in 0..2 {
            if let Some(found) = self.patient_find(facility, identity).await? {
                return Ok(found);
            }
            if attempt == 0 {
                let (issuer, id, study, reason) = match identity {
                    PatientIdentity::Established { issuer, id } => (issuer.as_str(), id.as_str(), None, None),
                    PatientIdentity::Provisional { study, reason } => {
                        (facts.issuer.as_str(), facts.id.as_str(), Some(study.as_str()), Some(reason.as_str()))
                    }
                };
                let name = &facts.name;
                let values = args![
                    new_pk,
                    facility,
                    issuer,
                    id,
                    study,
                    reason,
                    &name.alphabetic,
                    &name.ideographic,
                    &name.phonetic,
                    &facts.birth_date,
                    &facts.sex,
                    i64::from(charset_repaired),
                    now
                ];
                self.execute(PATIENT_INSERT, values).await?;
            }
        }
        Err(DatabaseError::inconsistent("patient_find_or_insert", "the patient is neither present nor insertable"))
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
        let referring = &facts.referring_physician;
        let name = &facts.patient.name;
        let values = args![
            new_pk,
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
        if self.execute(STUDY_INSERT, values).await? == 1 {
            return Ok((new_pk, patient));
        }
        let row = self.one(STUDY_FIND, args![facility, &facts.study]).await?;
        Ok((StudyPk(row.uuid("id")?), PatientPk(row.uuid("patient_pk")?)))
    }

    /// The series' record, the study it belongs to, and whether it is new.
    pub async fn series_find_or_insert(
        &mut self,
        new_pk: SeriesPk,
        facility: &FacilityId,
        study: StudyPk,
        facts: &InstanceFacts,
    ) -> Result<(SeriesPk, StudyPk, bool), DatabaseError> {
        let number = facts.series_number.map(i64::from);
        let values = args![
            new_pk,
            facility,
            study,
            &facts.series,
            &facts.modality,
            number,
            &facts.series_description,
            &facts.body_part
        ];
        if self.execute(SERIES_INSERT, values).await? == 1 {
            return Ok((new_pk, study, true));
        }
        let row = self.one(SERIES_FIND, args![facility, &facts.series]).await?;
        Ok((SeriesPk(row.uuid("id")?), StudyPk(row.uuid("study_pk")?), false))
    }

    /// Adds the instance; `false` when the facility's UID exists already.
    pub async fn instance_insert(
        &mut self,
        study: StudyPk,
        series: SeriesPk,
        instance: &NewInstance<'_>,
    ) -> Result<bool, DatabaseError> {
        let facts = instance.facts;
        let values = args![
            instance.id,
            instance.facility,
            study,
            series,
            &facts.sop_class,
            &facts.sop_instance,
            &facts.transfer_syntax,
            facts.instance_number.map(i64::from),
            i64::from(facts.number_of_frames.unwrap_or(1)),
            facts.rows.map(i64::from),
            facts.columns.map(i64::from),
            facts.slice_position,
            facts.window.map(|window| window.0),
            facts.window.map(|window| window.1),
            instance.blob_key,
            size(instance.size_bytes),
            size(instance.dataset_offset),
            instance.dataset_sha256,
            instance.calling_aet,
            instance.received_at
        ];
        Ok(self.execute(INSTANCE_INSERT, values).await? == 1)
    }

    /// Counts an added instance on its study and series; a new series also renews the study's list of modalities.
    pub async fn study_received(
        &mut self,
        study: StudyPk,
        series: SeriesPk,
        series_is_new: bool,
        opens_case: bool,
        body_part: &str,
        at: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(SERIES_RECEIVED, args![series]).await?;
        self.execute(STUDY_RECEIVED, args![study, i64::from(series_is_new), at, i64::from(opens_case), body_part])
            .await?;
        if series_is_new {
            let rows = self.rows(STUDY_MODALITIES, args![study]).await?;
            let modalities = rows.iter().map(|row| row.text("modality")).collect::<Result<Vec<_>, _>>()?.join(",");
            self.execute(STUDY_SET_MODALITIES, args![study, modalities]).await?;
        }
        Ok(())
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

impl WriteTx {
    /// A facility that only blobs tell of gets its ID as its name until somebody edits it.
    pub async fn facility_ensure(&mut self, facility: &FacilityIssuer, now: Timestamp) -> Result<(), DatabaseError> {
        self.execute(FACILITY_ENSURE, args![&facility.facility, &facility.issuer, now]).await.map(drop)
    }
}

impl ReadTx {
    pub async fn patient_find(
        &mut self,
        facility: &FacilityId,
        identity: &PatientIdentity,
    ) -> Result<Option<PatientPk>, DatabaseError> {
        let found = match identity {
            PatientIdentity::Established { issuer, id } => {
                self.optional(PATIENT_FIND_ESTABLISHED, args![facility, issuer, id]).await?
            }
            PatientIdentity::Provisional { study, .. } => {
                self.optional(PATIENT_FIND_PROVISIONAL, args![facility, study]).await?
            }
        };
        found.map(|row| row.uuid("id").map(PatientPk)).transpose()
    }

    /// The study of this UID and the patient it is filed under.
    pub async fn study_owner(
        &mut self,
        facility: &FacilityId,
        uid: &StudyUid,
    ) -> Result<Option<(StudyPk, PatientPk)>, DatabaseError> {
        let row = self.optional(STUDY_FIND, args![facility, uid]).await?;
        row.map(|row| Ok((StudyPk(row.uuid("id")?), PatientPk(row.uuid("patient_pk")?)))).transpose()
    }

    /// The study that the series of this UID is filed in.
    pub async fn series_owner(
        &mut self,
        facility: &FacilityId,
        uid: &SeriesUid,
    ) -> Result<Option<StudyPk>, DatabaseError> {
        let row = self.optional(SERIES_FIND, args![facility, uid]).await?;
        row.map(|row| row.uuid("study_pk").map(StudyPk)).transpose()
    }

    /// Whether a SOP instance is one of the reports we signed for the facility.
    pub async fn report_file_known(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<bool, DatabaseError> {
        Ok(self.one(REPORT_FILE_KNOWN, args![facility, uid]).await?.get::<i64>("known")? > 0)
    }

    /// Whether the facility has withdrawn the study of this UID.
    pub async fn study_is_withdrawn(&mut self, facility: &FacilityId, uid: &StudyUid) -> Result<bool, DatabaseError> {
        Ok(self.one(STUDY_WITHDRAWN, args![facility, uid]).await?.get::<i64>("withdrawn")? > 0)
    }

    pub async fn instance_known(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Option<KnownInstance>, DatabaseError> {
        let Some(row) = self.optional(INSTANCE_FIND, args![facility, uid]).await? else { return Ok(None) };
        Ok(Some(KnownInstance {
            id: InstanceId(row.uuid("id")?),
            dataset_sha256: row.hash("dataset_sha256")?,
            study: StudyPk(row.uuid("study_pk")?),
        }))
    }

    /// Whether a blob is an instance or in quarantine.
    pub async fn blob_is_indexed(&mut self, blob_key: &str) -> Result<bool, DatabaseError> {
        Ok(self.one(BLOB_KNOWN, args![blob_key]).await?.get::<i64>("known")? > 0)
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

    pub async fn series_of_study(&mut self, study: StudyPk) -> Result<Vec<SeriesRow>, DatabaseError> {
        let rows = self.rows(SERIES_OF_STUDY, args![study]).await?;
        rows.iter().map(series_row).collect()
    }

    pub async fn instances_of_study(&mut self, study: StudyPk) -> Result<Vec<InstanceRow>, DatabaseError> {
        self.rows(INSTANCES_OF_STUDY, args![study]).await?.iter().map(instance_row).collect()
    }

    pub async fn instance_by_id(&mut self, id: InstanceId) -> Result<Option<InstanceRow>, DatabaseError> {
        self.optional(INSTANCE_BY_ID, args![id]).await?.as_ref().map(instance_row).transpose()
    }

    pub async fn instance_by_uid(
        &mut self,
        facility: &FacilityId,
        uid: &SopInstanceUid,
    ) -> Result<Option<InstanceRow>, DatabaseError> {
        self.optional(INSTANCE_BY_UID, args![facility, uid]).await?.as_ref().map(instance_row).transpose()
    }

    /// The reader who holds the claim on the study's case.
    pub async fn study_claimed_by(&mut self, study: StudyPk) -> Result<Option<AccountId>, DatabaseError> {
        let row = self.optional(STUDY_CLAIMED_BY, args![study]).await?;
        Ok(row.map(|row| row.optional_account("performer")).transpose()?.flatten())
    }

    pub async fn instance_count(&mut self) -> Result<i64, DatabaseError> {
        self.one(INSTANCE_COUNT, args![]).await?.get("instances")
    }
}

pub(crate) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(crate) fn patient_row(row: &Row, pk: &'static str) -> Result<PatientRow, DatabaseError> {
    Ok(PatientRow {
        pk: PatientPk(row.uuid(pk)?),
        issuer: row.text("issuer")?,
        id: row.text("patient_id")?,
        provisional: row.get::<Option<String>>("provisional_study_uid")?.is_some(),
        name: PersonName {
            alphabetic: row.text("name_alphabetic")?,
            ideographic: row.text("name_ideographic")?,
            phonetic: row.text("name_phonetic")?,
        },
        birth_date: row.text("birth_date")?,
        sex: row.text("sex")?,
        charset_repaired: row.flag("charset_repaired")?,
        differs_from_earlier: row.flag("differs_from_earlier")?,
    })
}

fn study_row(row: &Row) -> Result<StudyRow, DatabaseError> {
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
    })
}

fn series_row(row: &Row) -> Result<SeriesRow, DatabaseError> {
    Ok(SeriesRow {
        pk: SeriesPk(row.uuid("id")?),
        uid: row.parsed("series_uid", |text| SeriesUid::parse(text).ok())?,
        modality: row.text("modality")?,
        number: row.get("number")?,
        description: row.text("description")?,
        body_part: row.text("body_part")?,
        instance_count: row.get("instance_count")?,
    })
}

fn instance_row(row: &Row) -> Result<InstanceRow, DatabaseError> {
    let window = row.get::<Option<f64>>("window_center")?.zip(row.get::<Option<f64>>("window_width")?);
    Ok(InstanceRow {
        id: InstanceId(row.uuid("id")?),
        facility: row.facility("facility_id")?,
        study: StudyPk(row.uuid("study_pk")?),
        series: SeriesPk(row.uuid("series_pk")?),
        sop_class: row.parsed("sop_class_uid", |text| SopClassUid::parse(text).ok())?,
        sop_instance: row.parsed("sop_instance_uid", |text| SopInstanceUid::parse(text).ok())?,
        transfer_syntax: row.parsed("transfer_syntax_uid", |text| TransferSyntaxUid::parse(text).ok())?,
        number: row.get("number")?,
        frames: row.get("frames")?,
        rows: row.get("row_count")?,
        columns: row.get("column_count")?,
        slice_position: row.get("slice_position")?,
        window,
        blob_key: row.text("blob_key")?,
        size_bytes: row.get("size_bytes")?,
        dataset_offset: row.get("dataset_offset")?,
        dataset_sha256: row.hash("dataset_sha256")?,
        received_at: row.time("received_at")?,
    })
}
