//! Search for patients by name, Patient ID and Accession Number: a table of folded tokens, asked for their beginnings.
//!
//! The folds are `dokuei_domain::name_search`'s; this file stores and compares. Tokens are written in the transaction that adds the study.
//! Studies without tokens, or with those of older folds, get theirs from [`WriteTx::patient_name_tokens_renew`].

use dokuei_domain::{
    FacilityId, PersonName, StudyPk,
    facts::PatientFacts,
    name_search::{self, SearchWord},
};
use serde_json::json;

use crate::{
    DatabaseError,
    index::{StudyRow, studies::study_row},
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::args,
};

/// Which studies are looked for. All conditions hold together.
#[derive(Debug, Clone, Copy)]
pub struct StudySelection<'a> {
    /// `None`: of all facilities.
    pub facility: Option<&'a FacilityId>,
    /// Each must be the beginning of a token; none: every study.
    pub words: &'a [SearchWord],
    /// Study Date, both ends included, as DICOM writes it (`YYYYMMDD`). A study without a date has none in any range.
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
    pub limit: u32,
}

macro_rules! study_sql {
    ($condition:expr) => {
        concat!(
            "SELECT s.*, p.issuer, p.patient_id, p.provisional_study_uid, \
             CAST(CASE WHEN s.birth_date <> p.birth_date OR s.sex <> p.sex OR s.name_alphabetic <> p.name_alphabetic \
             OR s.name_ideographic <> p.name_ideographic THEN 1 ELSE 0 END AS BIGINT) AS differs_from_earlier \
             FROM studies s JOIN patients p ON p.id = s.patient_pk \
             WHERE (CAST($1 AS TEXT) IS NULL OR s.facility_id = $1) \
             AND (CAST($2 AS TEXT) IS NULL OR s.study_date >= $2) \
             AND (CAST($3 AS TEXT) IS NULL OR (s.study_date <= $3 AND s.study_date <> '')) ",
            $condition
        )
    };
}

/// Facility by facility, so that the index serves the search of one facility and that of all. The order of the joins is that of the text.
macro_rules! matches_sql {
    ($words:literal, $word:literal, $low:literal, $high:literal) => {
        concat!(
            "AND s.id IN (SELECT t.study_pk FROM ",
            $words,
            " CROSS JOIN facilities f CROSS JOIN patient_name_tokens t \
             WHERE (CAST($1 AS TEXT) IS NULL OR f.id = $1) AND t.facility_id = f.id AND t.token >= ",
            $low,
            " AND t.token < ",
            $high,
            " GROUP BY t.study_pk HAVING COUNT(DISTINCT ",
            $word,
            ") = $6) ORDER BY s.last_received_at DESC, s.id LIMIT $4"
        )
    };
}

statements! {
    TOKENS_INSERT =
        "INSERT INTO patient_name_tokens (study_pk, token, facility_id) SELECT $1, value, $2 FROM json_each($3) WHERE 1 ON CONFLICT DO NOTHING",
        "INSERT INTO patient_name_tokens (study_pk, token, facility_id) SELECT $1, t.token, $2 \
         FROM json_array_elements_text(CAST($3 AS json)) AS t (token) ON CONFLICT DO NOTHING";
    TOKENS_DELETE = "DELETE FROM patient_name_tokens WHERE study_pk = $1";
    STUDY_HAS_TOKENS = "UPDATE studies SET name_tokens_version = $2 WHERE id = $1";
    /// On PostgreSQL two nodes may renew at once: each takes others.
    STUDIES_WITHOUT_TOKENS =
        "SELECT s.id, s.facility_id, s.name_alphabetic, s.name_ideographic, s.name_phonetic, s.accession_number, p.patient_id \
         FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.name_tokens_version < $1 ORDER BY s.name_tokens_version LIMIT $2",
        "SELECT s.id, s.facility_id, s.name_alphabetic, s.name_ideographic, s.name_phonetic, s.accession_number, p.patient_id \
         FROM studies s JOIN patients p ON p.id = s.patient_pk WHERE s.name_tokens_version < $1 ORDER BY s.name_tokens_version LIMIT $2 \
         FOR UPDATE OF s SKIP LOCKED";
    STUDY_SEARCH_WORDS =
        study_sql!(matches_sql!("json_each($5) w", "w.value ->> 'word'", "(w.value ->> 'low')", "(w.value ->> 'high')")),
        study_sql!(matches_sql!(
            "json_to_recordset(CAST($5 AS json)) AS w (word BIGINT, low TEXT, high TEXT)", "w.word", "w.low", "w.high"
        ));
    STUDY_SEARCH_DATES = study_sql!("ORDER BY s.last_received_at DESC, s.id LIMIT $4");
}

impl WriteTx {
    /// The tokens of a study that was just added.
    pub(crate) async fn patient_name_tokens_write(
        &mut self,
        study: StudyPk,
        facility: &FacilityId,
        patient: &PatientFacts,
        accession_number: &str,
    ) -> Result<(), DatabaseError> {
        self.tokens_insert(study, facility, &patient.name, &patient.id, accession_number).await
    }

    async fn tokens_insert(
        &mut self,
        study: StudyPk,
        facility: &FacilityId,
        name: &PersonName,
        patient_id: &str,
        accession_number: &str,
    ) -> Result<(), DatabaseError> {
        let tokens = name_search::study_tokens(name, patient_id, accession_number);
        if !tokens.is_empty() {
            self.execute(TOKENS_INSERT, args![study, facility, json!(tokens).to_string()]).await?;
        }
        self.execute(STUDY_HAS_TOKENS, args![study, name_search::VERSION]).await.map(drop)
    }

    /// Makes the tokens of up to `limit` studies that have none or those of older folds, and says of how many.
    pub async fn patient_name_tokens_renew(&mut self, limit: u32) -> Result<usize, DatabaseError> {
        let rows = self.rows(STUDIES_WITHOUT_TOKENS, args![name_search::VERSION, limit]).await?;
        for row in &rows {
            let study = StudyPk(row.uuid("id")?);
            let name = PersonName {
                alphabetic: row.text("name_alphabetic")?,
                ideographic: row.text("name_ideographic")?,
                phonetic: row.text("name_phonetic")?,
            };
            self.execute(TOKENS_DELETE, args![study]).await?;
            let (id, accession_number) = (row.text("patient_id")?, row.text("accession_number")?);
            self.tokens_insert(study, &row.facility("facility_id")?, &name, &id, &accession_number).await?;
        }
        Ok(rows.len())
    }
}

impl ReadTx {
    /// The studies of a selection, latest received first.
    pub async fn study_search(&mut self, selection: &StudySelection<'_>) -> Result<Vec<StudyRow>, DatabaseError> {
        let StudySelection { facility, words, from, to, limit } = *selection;
        let rows = if words.is_empty() {
            self.rows(STUDY_SEARCH_DATES, args![facility, from, to, limit]).await?
        } else {
            let asked = i64::try_from(words.len()).unwrap_or(i64::MAX);
            self.rows(STUDY_SEARCH_WORDS, args![facility, from, to, limit, ranges(words), asked]).await?
        };
        rows.iter().map(study_row).collect()
    }
}

/// Each beginning as the range of tokens that begin so, in JSON. No token contains the last code point.
fn ranges(words: &[SearchWord]) -> String {
    let ranges: Vec<_> = words
        .iter()
        .enumerate()
        .flat_map(|(word, SearchWord { beginnings })| {
            beginnings.iter().map(move |low| json!({ "word": word, "low": low, "high": format!("{low}\u{10FFFF}") }))
        })
        .collect();
    json!(ranges).to_string()
}
