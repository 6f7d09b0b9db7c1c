//! Series of a study. A series of which a rejection note hides every instance is not listed.

use dokuei_domain::{FacilityId, SeriesPk, SeriesUid, StudyPk, facts::InstanceFacts};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

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

statements! {
    SERIES_FIND = "SELECT id, study_pk FROM series WHERE facility_id = $1 AND series_uid = $2";
    SERIES_INSERT = "INSERT INTO series (id, facility_id, study_pk, series_uid, modality, number, description, body_part, instance_count) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT DO NOTHING";
    SERIES_OF_STUDY = "SELECT id, series_uid, modality, number, description, body_part, instance_count FROM series \
                       WHERE study_pk = $1 AND instance_count > 0 ORDER BY number, series_uid";
}

impl WriteTx {
    /// Adds a series; `false` when the facility has one of this UID.
    pub async fn series_insert(
        &mut self,
        pk: SeriesPk,
        facility: &FacilityId,
        study: StudyPk,
        facts: &InstanceFacts,
    ) -> Result<bool, DatabaseError> {
        let values = args![
            pk,
            facility,
            study,
            &facts.series,
            &facts.modality,
            facts.series_number.map(i64::from),
            &facts.series_description,
            &facts.body_part
        ];
        Ok(self.execute(SERIES_INSERT, values).await? == 1)
    }

    /// The series' record, the study it belongs to, and whether it is new.
    pub async fn series_find_or_insert(
        &mut self,
        new_pk: SeriesPk,
        facility: &FacilityId,
        study: StudyPk,
        facts: &InstanceFacts,
    ) -> Result<(SeriesPk, StudyPk, bool), DatabaseError> {
        if self.series_insert(new_pk, facility, study, facts).await? {
            return Ok((new_pk, study, true));
        }
        let row = self.one(SERIES_FIND, args![facility, &facts.series]).await?;
        Ok((SeriesPk(row.uuid("id")?), StudyPk(row.uuid("study_pk")?), false))
    }
}

impl ReadTx {
    /// The series in which something may be seen, lowest number first.
    pub async fn series_of_study(&mut self, study: StudyPk) -> Result<Vec<SeriesRow>, DatabaseError> {
        let rows = self.rows(SERIES_OF_STUDY, args![study]).await?;
        rows.iter().map(series_row).collect()
    }
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
