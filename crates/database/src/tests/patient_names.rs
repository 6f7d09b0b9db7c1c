//! Search for patients.

use dokuei_domain::{
    FacilityId, PatientPk, PersonName, SeriesUid, SopClassUid, SopInstanceUid, StudyPk, StudyUid, TransferSyntaxUid,
    facts::{InstanceFacts, PatientFacts},
    name_search,
    patient::PatientIdentity,
};

use super::{World, both, cases::add_facility};
use crate::{Database, StudyRow, StudySelection, statements::Statement, value::args};

fn facility(id: &str) -> FacilityId {
    FacilityId::parse(id).unwrap()
}

/// Files study number `n` of a facility, for the patient of that name.
async fn file(db: &Database, world: &World, at: &str, n: u32, name: &str, id: &str, date: &str) -> StudyPk {
    let patient = PatientFacts { id: id.into(), name: PersonName::parse(name), ..PatientFacts::default() };
    let facts = InstanceFacts {
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: SopInstanceUid::parse(&format!("1.2.3.{n}.1.1")).unwrap(),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        study: StudyUid::parse(&format!("1.2.3.{n}")).unwrap(),
        series: SeriesUid::parse(&format!("1.2.3.{n}.1")).unwrap(),
        patient: patient.clone(),
        accession_number: format!("ACC-{n}"),
        study_date: date.into(),
        study_time: String::new(),
        study_id: String::new(),
        study_description: String::new(),
        referring_physician: PersonName::default(),
        modality: "CT".into(),
        series_number: None,
        series_description: String::new(),
        body_part: String::new(),
        instance_number: None,
        number_of_frames: None,
        rows: None,
        columns: None,
        slice_position: None,
        window: None,
        charset_repaired: false,
    };
    world.clock.advance(std::time::Duration::from_secs(1));
    let identity = PatientIdentity::Established { issuer: format!("1.2.392.{at}"), id: id.into() };
    let mut tx = db.write().await.unwrap();
    let pk = PatientPk(world.ambient.new_uuid());
    let pk = tx.patient_find_or_insert(pk, &facility(at), &identity, &patient, false, world.now()).await.unwrap();
    let study = StudyPk(world.ambient.new_uuid());
    assert!(tx.study_insert(study, &facility(at), pk, &facts, true, world.now()).await.unwrap());
    tx.commit().await.unwrap();
    study
}

async fn found(db: &Database, at: Option<&str>, typed: &str) -> Vec<StudyPk> {
    found_between(db, at, typed, None, None).await.into_iter().map(|row| row.pk).collect()
}

async fn found_between(
    db: &Database,
    at: Option<&str>,
    typed: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Vec<StudyRow> {
    let facility = at.map(facility);
    let words = name_search::query(typed);
    let selection = StudySelection { facility: facility.as_ref(), words: &words, from, to, limit: 10 };
    db.read().await.unwrap().study_search(&selection).await.unwrap()
}

#[tokio::test]
async fn a_study_is_found_by_name_and_number_within_the_facility_that_asks() {
    both(|db, world| async move {
        for id in ["HOSP1", "HOSP22"] {
            add_facility(&db, &world, id).await;
        }
        let yamada = "Yamada^Tarou=山田^太郎=やまだ^たろう";
        let here = file(&db, &world, "HOSP1", 1, yamada, "0001234567", "20261101").await;
        let there = file(&db, &world, "HOSP22", 2, "ﾔﾏﾀﾞ^ﾊﾅｺ", "0001234567", "20261110").await;
        let other = file(&db, &world, "HOSP1", 3, "Yamaguchi^Jiro=山口^次郎", "A-9", "").await;

        for typed in ["やまだ", "ヤマダ", "ﾔﾏﾀﾞ", "YAMADA", "yamada", "1234567", "０００１２３４５６７"]
        {
            assert_eq!(found(&db, None, typed).await, [there, here], "{typed}, latest first");
            assert_eq!(found(&db, Some("HOSP1"), typed).await, [here], "{typed}");
            assert_eq!(found(&db, Some("HOSP22"), typed).await, [there], "{typed}");
        }
        for typed in ["yamada tarou", "taro yamada", "山田太郎", "山田　太郎", "太郎", "やまだ acc-1"] {
            assert_eq!(found(&db, None, typed).await, [here], "{typed}");
            assert!(found(&db, Some("HOSP22"), typed).await.is_empty(), "{typed}");
        }
        assert_eq!(found(&db, None, "yama").await, [other, there, here], "a beginning of all three");
        assert_eq!(found(&db, None, "山").await, [other, here]);
        assert_eq!(found(&db, None, "山 yama").await, [other, here], "both words");
        assert_eq!(found(&db, None, "ACC-3").await, [other]);
        for nobody in ["amada", "山田 次郎", "yamada 99", "234567", "zz", "ん"] {
            assert!(found(&db, None, nobody).await.is_empty(), "{nobody}");
        }
    })
    .await;
}

#[tokio::test]
async fn dates_narrow_a_search_and_a_limit_ends_it() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let mut studies = Vec::new();
        for (n, date) in [(1, "20261101"), (2, "20261110"), (3, "")] {
            studies.push(file(&db, &world, "HOSP1", n, "Sato^Ken", &format!("P{n}"), date).await);
        }
        let between = async |typed: &'static str, from, to| -> Vec<StudyPk> {
            found_between(&db, None, typed, from, to).await.into_iter().map(|row| row.pk).collect()
        };
        for typed in ["sato", ""] {
            assert_eq!(between(typed, None, None).await, [studies[2], studies[1], studies[0]]);
            assert_eq!(between(typed, Some("20261101"), Some("20261109")).await, [studies[0]]);
            assert_eq!(between(typed, Some("20261102"), None).await, [studies[1]]);
            assert_eq!(between(typed, None, Some("20261110")).await, [studies[1], studies[0]]);
        }
        let words = name_search::query("sato");
        let two = StudySelection { facility: None, words: &words, from: None, to: None, limit: 2 };
        assert_eq!(db.read().await.unwrap().study_search(&two).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn studies_of_before_get_their_tokens_once() {
    both(|db, world| async move {
        add_facility(&db, &world, "HOSP1").await;
        let mut studies = Vec::new();
        for n in 1..=3 {
            studies.push(file(&db, &world, "HOSP1", n, "=髙橋^花子", &format!("P{n}"), "20261101").await);
        }
        const FORGET: Statement = Statement {
            name: "forget",
            sqlite: "DELETE FROM patient_name_tokens",
            postgres: "DELETE FROM patient_name_tokens",
        };
        const OLDER: Statement = Statement {
            name: "older",
            sqlite: "UPDATE studies SET name_tokens_version = $1",
            postgres: "UPDATE studies SET name_tokens_version = $1",
        };
        const WRONG: Statement = Statement {
            name: "wrong",
            sqlite: "INSERT INTO patient_name_tokens (study_pk, token, facility_id) VALUES ($1, 'old', 'HOSP1')",
            postgres: "INSERT INTO patient_name_tokens (study_pk, token, facility_id) VALUES ($1, 'old', 'HOSP1')",
        };
        let mut tx = db.write().await.unwrap();
        tx.execute(FORGET, args![]).await.unwrap();
        tx.execute(WRONG, args![studies[0]]).await.unwrap();
        tx.execute(OLDER, args![name_search::VERSION - 1]).await.unwrap();
        tx.commit().await.unwrap();
        assert!(found(&db, None, "高橋").await.is_empty());

        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.patient_name_tokens_renew(2).await.unwrap(), 2);
        tx.commit().await.unwrap();
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.patient_name_tokens_renew(2).await.unwrap(), 1);
        assert_eq!(tx.patient_name_tokens_renew(2).await.unwrap(), 0);
        tx.commit().await.unwrap();

        assert_eq!(found(&db, None, "高橋").await.len(), 3);
        assert!(found(&db, None, "old").await.is_empty());
        let rows = found_between(&db, None, "高橋 P2", None, None).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].patient.name.ideographic, "髙橋^花子", "shown as it was sent");
    })
    .await;
}
