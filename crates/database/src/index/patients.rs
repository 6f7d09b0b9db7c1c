//! Patients of a facility.

use dokuei_domain::{
    FacilityId, PatientPk, PersonName, Timestamp,
    facts::PatientFacts,
    patient::{FacilityIssuer, PatientIdentity},
};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

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

statements! {
    PATIENT_FIND_ESTABLISHED = "SELECT id FROM patients WHERE facility_id = $1 AND issuer = $2 AND patient_id = $3 AND provisional_study_uid IS NULL";
    PATIENT_FIND_PROVISIONAL = "SELECT id FROM patients WHERE facility_id = $1 AND provisional_study_uid = $2";
    PATIENT_INSERT = "INSERT INTO patients (id, facility_id, issuer, patient_id, provisional_study_uid, provisional_reason, name_alphabetic, \
                      name_ideographic, name_phonetic, birth_date, sex, charset_repaired, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING";
    /// Two first studies of one patient are compared with each other, also when two nodes receive them.
    PATIENT_LOCK = "SELECT id FROM patients WHERE id = $1", "SELECT id FROM patients WHERE id = $1 FOR NO KEY UPDATE";
    FACILITY_ENSURE = "INSERT INTO facilities (id, name, issuer, created_at) VALUES ($1, $1, $2, $3) ON CONFLICT DO NOTHING";
}

impl WriteTx {
    /// Adds a patient; `false` when there is one of this identity.
    pub async fn patient_insert(
        &mut self,
        pk: PatientPk,
        facility: &FacilityId,
        identity: &PatientIdentity,
        facts: &PatientFacts,
        charset_repaired: bool,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let (issuer, id, study, reason) = match identity {
            PatientIdentity::Established { issuer, id } => (issuer.as_str(), id.as_str(), None, None),
            PatientIdentity::Provisional { study, reason } => {
                (facts.issuer.as_str(), facts.id.as_str(), Some(study.as_str()), Some(reason.as_str()))
            }
        };
        let name = &facts.name;
        let values = args![
            pk,
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
        Ok(self.execute(PATIENT_INSERT, values).await? == 1)
    }

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
        if let Some(found) = self.patient_find(facility, identity).await? {
            return Ok(found);
        }
        if self.patient_insert(new_pk, facility, identity, facts, charset_repaired, now).await? {
            return Ok(new_pk);
        }
        // A concurrent insert of the same patient made ours do nothing; the second look finds theirs.
        self.patient_find(facility, identity).await?.ok_or_else(|| {
            DatabaseError::inconsistent("patient_find_or_insert", "the patient is neither present nor insertable")
        })
    }

    /// Takes the patient's row until the transaction ends.
    pub async fn patient_lock(&mut self, patient: PatientPk) -> Result<(), DatabaseError> {
        self.optional(PATIENT_LOCK, args![patient]).await.map(drop)
    }

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
