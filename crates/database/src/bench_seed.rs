//! A large index out of nothing, for measuring what its size costs: patients, studies, series and instances as years of reception leave them.
//!
//! The rows belong to no blobs. So that the walks over all blobs do not report each of them as missing, their turns are taken for good.

use dokuei_domain::{FacilityId, name_search};

use crate::{Database, DatabaseError, statements::statements, value::args};

/// Slices of a series.
const PER_SERIES: i64 = 300;
/// Three series each.
const PER_STUDY: i64 = 3 * PER_SERIES;
/// Studies that are written in one transaction; even, because two share a patient.
const BATCH: i64 = 100;

/// A UUID version 7 of the year 2020 out of a number; `$kind` is three hexadecimal digits that tell the tables apart.
macro_rules! id_lite {
    ($kind:literal, $number:literal) => {
        concat!("unhex(printf('%012x7", $kind, "8%015x', 1600000000000 + ", $number, ", ", $number, "))")
    };
}

macro_rules! id_postgres {
    ($kind:literal, $number:literal) => {
        concat!(
            "CAST(lpad(to_hex(1600000000000 + ",
            $number,
            "), 12, '0') || '7",
            $kind,
            "8' || lpad(to_hex(",
            $number,
            "), 15, '0') AS UUID)"
        )
    };
}

/// The numbers from `$1` to before `$2`.
macro_rules! numbers_lite {
    () => {
        "WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2) "
    };
}

macro_rules! numbers_postgres {
    () => {
        "FROM generate_series(CAST($1 AS BIGINT), CAST($2 AS BIGINT) - 1) AS n (i)"
    };
}

macro_rules! patients {
    () => {
        "INSERT INTO patients (id, facility_id, issuer, patient_id, name_alphabetic, name_ideographic, name_phonetic, birth_date, sex, \
         charset_repaired, created_at) "
    };
}

macro_rules! studies {
    () => {
        "INSERT INTO studies (id, facility_id, study_uid, patient_pk, state, name_alphabetic, name_ideographic, name_phonetic, birth_date, sex, \
         charset_repaired, opens_case, study_date, study_time, study_id, accession_number, description, referring_alphabetic, \
         referring_ideographic, referring_phonetic, modalities, body_part, series_count, instance_count, first_received_at, last_received_at, \
         settled_at, name_tokens_version) "
    };
}

macro_rules! series {
    () => {
        "INSERT INTO series (id, facility_id, study_pk, series_uid, modality, number, description, body_part, instance_count) "
    };
}

macro_rules! instances {
    () => {
        "INSERT INTO instances (id, facility_id, study_pk, series_pk, sop_class_uid, sop_instance_uid, transfer_syntax_uid, number, frames, \
         row_count, column_count, slice_position, window_center, window_width, blob_key, size_bytes, dataset_offset, dataset_sha256, \
         calling_aet, received_at) "
    };
}

statements! {
    SEED_PATIENTS = concat!(
        numbers_lite!(), patients!(), "SELECT ", id_lite!("001", "i"), ", $3, (SELECT issuer FROM facilities WHERE id = $3), printf('%08d', i), \
         'YAMADA^TARO' || i, '山田^太郎', 'ヤマダ^タロウ', '19600401', 'M', 0, 1600000000000000 FROM n"
    ), concat!(
        patients!(), "SELECT ", id_postgres!("001", "i"), ", $3, (SELECT issuer FROM facilities WHERE id = $3), lpad(CAST(i AS TEXT), 8, '0'), \
         'YAMADA^TARO' || i, '山田^太郎', 'ヤマダ^タロウ', '19600401', 'M', 0, 1600000000000000 ", numbers_postgres!()
    );

    /// `$4`: how many instances there will be in all; `$5`: the version of the search tokens.
    SEED_STUDIES = concat!(
        numbers_lite!(), studies!(), "SELECT ", id_lite!("002", "i"), ", $3, printf('2.25.%d%019d', random() & 9223372036854775807, i), ",
        id_lite!("001", "i / 2"), ", 'settled', 'YAMADA^TARO' || (i / 2), '山田^太郎', 'ヤマダ^タロウ', '19600401', 'M', 0, 0, '20200913', '120000', \
         CAST(i AS TEXT), printf('A%09d', i), 'CHEST', '', '', '', 'CT', 'CHEST', 3, min(900, $4 - i * 900), 1600000000000000, 1600000000000000, \
         1600000000000000, $5 FROM n"
    ), concat!(
        studies!(), "SELECT ", id_postgres!("002", "i"), ", $3, '2.25.' || (1 + floor(random() * 9e17)::BIGINT) || lpad(CAST(i AS TEXT), 19, '0'), ",
        id_postgres!("001", "i / 2"), ", 'settled', 'YAMADA^TARO' || (i / 2), '山田^太郎', 'ヤマダ^タロウ', '19600401', 'M', 0, 0, '20200913', '120000', \
         CAST(i AS TEXT), 'A' || lpad(CAST(i AS TEXT), 9, '0'), 'CHEST', '', '', '', 'CT', 'CHEST', 3, \
         least(900, CAST($4 AS BIGINT) - i * 900), 1600000000000000, 1600000000000000, 1600000000000000, CAST($5 AS BIGINT) ", numbers_postgres!()
    );

    /// Six tokens for each study.
    SEED_TOKENS = concat!(
        numbers_lite!(), "INSERT INTO patient_name_tokens (study_pk, token, facility_id) SELECT ", id_lite!("002", "i"),
        ", t.column1 || (i / 2), $3 FROM n CROSS JOIN (VALUES ('yamada'), ('taro'), ('山田'), ('太郎'), ('ヤマダ'), ('タロウ')) t"
    ), concat!(
        "INSERT INTO patient_name_tokens (study_pk, token, facility_id) SELECT ", id_postgres!("002", "i"), ", t.token || (i / 2), $3 ",
        numbers_postgres!(), " CROSS JOIN (VALUES ('yamada'), ('taro'), ('山田'), ('太郎'), ('ヤマダ'), ('タロウ')) AS t (token)"
    );

    SEED_SERIES = concat!(
        numbers_lite!(), series!(), "SELECT ", id_lite!("003", "i"), ", $3, ", id_lite!("002", "i / 3"),
        ", printf('2.25.%d%019d', random() & 9223372036854775807, i), 'CT', i % 3 + 1, 'AXIAL', 'CHEST', min(300, $4 - i * 300) FROM n"
    ), concat!(
        series!(), "SELECT ", id_postgres!("003", "i"), ", $3, ", id_postgres!("002", "i / 3"),
        ", '2.25.' || (1 + floor(random() * 9e17)::BIGINT) || lpad(CAST(i AS TEXT), 19, '0'), 'CT', i % 3 + 1, 'AXIAL', 'CHEST', \
         least(300, CAST($4 AS BIGINT) - i * 300) ", numbers_postgres!()
    );

    /// UIDs without order, as from UUIDs: the worst that an index can be given.
    SEED_INSTANCES = concat!(
        numbers_lite!(), instances!(), "SELECT ", id_lite!("004", "i"), ", $3, ", id_lite!("002", "i / 900"), ", ", id_lite!("003", "i / 300"),
        ", '1.2.840.10008.5.1.4.1.1.2', printf('2.25.%d%019d', random() & 9223372036854775807, random() & 9223372036854775807), \
         '1.2.840.10008.1.2.1', i % 300 + 1, 1, 512, 512, i % 300 * 1.25, 40.0, 400.0, \
         printf('v1/%s/%08x-%04x-7004-8%03x-%012x', $3, (1600000000000 + i) >> 16, (1600000000000 + i) & 65535, i >> 48, i), 525824, 560, \
         randomblob(32), 'SEED', 1600000000000000 + i * 1000 FROM n"
    ), concat!(
        instances!(), "SELECT ", id_postgres!("004", "i"), ", $3, ", id_postgres!("002", "i / 900"), ", ", id_postgres!("003", "i / 300"),
        ", '1.2.840.10008.5.1.4.1.1.2', '2.25.' || (1 + floor(random() * 9e17)::BIGINT) || lpad(CAST(floor(random() * 9e17)::BIGINT AS TEXT), 18, '0'), \
         '1.2.840.10008.1.2.1', i % 300 + 1, 1, 512, 512, i % 300 * 1.25, 40.0, 400.0, \
         'v1/' || $3 || '/' || ", id_postgres!("004", "i"), ", 525824, 560, decode(md5(random()::TEXT) || md5(random()::TEXT), 'hex'), 'SEED', \
         1600000000000000 + i * 1000 ", numbers_postgres!()
    );

    /// The turn of a walk, taken for good.
    SEED_WALK = "INSERT INTO custody_tasks (name, progress, lease_by, lease_until) VALUES ($1, '{}', 'seed', 9000000000000000) \
                 ON CONFLICT (name) DO UPDATE SET lease_by = 'seed', lease_until = 9000000000000000";

    SEED_ANALYZE = "ANALYZE";
}

impl Database {
    /// Fills an index that has no instances yet with so many of them under a facility. For measurements only: nothing of it can be read or scrubbed.
    #[doc(hidden)]
    pub async fn bench_seed(&self, facility: &FacilityId, instances: u32) -> Result<(), DatabaseError> {
        let total = i64::from(instances);
        let studies = ceiling(total, PER_STUDY);
        let mut first = 0;
        while first < studies {
            let end = studies.min(first + BATCH);
            let of = |per_study: i64, all: i64| (first * per_study, all.min(end * per_study));
            let mut tx = self.write().await?;
            tx.execute(SEED_PATIENTS, args![first / 2, (end + 1) / 2, facility]).await?;
            tx.execute(SEED_STUDIES, args![first, end, facility, total, name_search::VERSION]).await?;
            tx.execute(SEED_TOKENS, args![first, end, facility]).await?;
            let (from, to) = of(PER_STUDY / PER_SERIES, ceiling(total, PER_SERIES));
            tx.execute(SEED_SERIES, args![from, to, facility, total]).await?;
            let (from, to) = of(PER_STUDY, total);
            tx.execute(SEED_INSTANCES, args![from, to, facility]).await?;
            tx.commit().await?;
            first = end;
        }
        let mut tx = self.write().await?;
        for walk in ["reconcile", "scrub", "copy"] {
            tx.execute(SEED_WALK, args![walk]).await?;
        }
        tx.execute(SEED_ANALYZE, args![]).await?;
        tx.commit().await
    }
}

/// How many groups of `size` hold `total`. Neither is negative.
fn ceiling(total: i64, size: i64) -> i64 {
    (total + size - 1) / size
}
