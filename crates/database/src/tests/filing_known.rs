//! Further images of known series in one round trip, and everything that must not go that way.

use dokuei_domain::{
    FacilityId, InstanceId, PersonName, StudyPk, Timestamp,
    facts::{InstanceFacts, PatientFacts},
    uid::{SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid},
};

use super::{
    World, both,
    cases::{add_facility, hospital, receive},
};
use crate::{Database, FurtherInstance, NewInstance, statements::Statement, value::args};

/// A CT of the study that `cases::receive` makes.
const SERIES: u32 = b'C' as u32 + b'T' as u32;

fn another_image(number: u32) -> InstanceFacts {
    InstanceFacts {
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: SopInstanceUid::parse(&format!("1.2.3.1.{SERIES}.{number}")).unwrap(),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        study: StudyUid::parse("1.2.3.1").unwrap(),
        series: SeriesUid::parse(&format!("1.2.3.1.{SERIES}")).unwrap(),
        patient: PatientFacts {
            id: "P1".into(),
            name: PersonName::parse("Yamada^Taro"),
            birth_date: "19700101".into(),
            sex: "M".into(),
            ..PatientFacts::default()
        },
        accession_number: String::new(),
        study_date: "20261122".into(),
        study_time: "0900".into(),
        study_id: String::new(),
        study_description: String::new(),
        referring_physician: PersonName::default(),
        modality: "CT".into(),
        series_number: Some(1),
        series_description: String::new(),
        body_part: "CHEST".into(),
        instance_number: Some(2),
        number_of_frames: Some(3),
        rows: Some(512),
        columns: Some(511),
        slice_position: Some(-12.5),
        window: Some((40.0, 400.5)),
        charset_repaired: false,
    }
}

struct Asked {
    facility: FacilityId,
    facts: InstanceFacts,
    id: InstanceId,
    key: String,
    patient_id: &'static str,
    issuer: &'static str,
    opens_case: bool,
    received_at: Timestamp,
}

impl Asked {
    fn of(world: &World, facts: InstanceFacts) -> Self {
        let id = InstanceId(world.ambient.new_uuid());
        Self {
            facility: hospital(),
            facts,
            key: format!("v1/HOSP1/{id}"),
            id,
            patient_id: "P1",
            issuer: "1.2.392.5",
            opens_case: true,
            received_at: world.now(),
        }
    }

    fn further(&self) -> FurtherInstance<'_> {
        FurtherInstance {
            instance: NewInstance {
                id: self.id,
                facility: &self.facility,
                facts: &self.facts,
                blob_key: &self.key,
                size_bytes: 527_000,
                dataset_offset: 666,
                dataset_sha256: [0xAB; 32],
                calling_aet: "CT1",
                received_at: self.received_at,
            },
            issuer: self.issuer,
            patient_id: self.patient_id,
            opens_case: self.opens_case,
        }
    }
}

async fn file(db: &Database, asked: &[Asked]) -> Vec<(InstanceId, StudyPk)> {
    let asked: Vec<_> = asked.iter().map(Asked::further).collect();
    db.further_instances_file(&asked).await.unwrap()
}

async fn known_study(db: &Database, world: &World) -> StudyPk {
    add_facility(db, world, "HOSP1").await;
    receive(db, world, 1, "CT", 1).await
}

async fn counts(db: &Database, study: StudyPk) -> (i64, i64) {
    let mut read = db.read().await.unwrap();
    let series: i64 = read.series_of_study(study).await.unwrap().iter().map(|series| series.instance_count).sum();
    (read.study_by_pk(study).await.unwrap().unwrap().instance_count, series)
}

#[tokio::test]
async fn further_images_are_filed_together_and_counted() {
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        world.clock.advance(std::time::Duration::from_secs(5));
        // More than SQLite takes at once.
        let asked: Vec<_> = (2..22).map(|number| Asked::of(&world, another_image(number))).collect();

        let filed = file(&db, &asked).await;

        assert_eq!(filed.len(), 20);
        assert!(asked.iter().all(|asked| filed.contains(&(asked.id, study))));
        assert_eq!(counts(&db, study).await, (21, 21));
        let mut read = db.read().await.unwrap();
        assert_eq!(read.study_by_pk(study).await.unwrap().unwrap().last_received_at, world.now());
        let row = read.instance_by_uid(&hospital(), &asked[0].facts.sop_instance).await.unwrap().unwrap();
        assert_eq!((row.id, row.frames, row.rows, row.columns), (asked[0].id, 3, Some(512), Some(511)));
        assert_eq!((row.slice_position, row.window), (Some(-12.5), Some((40.0, 400.5))));
        assert_eq!((row.size_bytes, row.dataset_offset, row.dataset_sha256), (527_000, 666, [0xAB; 32]));
        assert_eq!(row.blob_key, asked[0].key);
    })
    .await;
}

#[tokio::test]
async fn an_older_image_does_not_turn_the_clock_back_and_absent_numbers_stay_absent() {
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        let last = db.read().await.unwrap().study_by_pk(study).await.unwrap().unwrap().last_received_at;
        let mut facts = another_image(2);
        (facts.instance_number, facts.rows, facts.slice_position, facts.window) = (None, None, None, None);
        let asked = Asked { received_at: last.plus_seconds(-60), ..Asked::of(&world, facts) };

        assert_eq!(file(&db, std::slice::from_ref(&asked)).await.len(), 1);

        let mut read = db.read().await.unwrap();
        assert_eq!(read.study_by_pk(study).await.unwrap().unwrap().last_received_at, last);
        let row = read.instance_by_uid(&hospital(), &asked.facts.sop_instance).await.unwrap().unwrap();
        assert_eq!((row.number, row.rows, row.slice_position, row.window), (None, None, None, None));
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_decision_is_left_alone() {
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        let plain = || Asked::of(&world, another_image(2));
        let with = |change: fn(&mut InstanceFacts)| {
            let mut facts = another_image(2);
            change(&mut facts);
            Asked::of(&world, facts)
        };
        let doubtful = [
            (
                "the UID is known",
                with(|f| f.sop_instance = SopInstanceUid::parse(&format!("1.2.3.1.{SERIES}.1")).unwrap()),
            ),
            ("the series is new", with(|f| f.series = SeriesUid::parse("1.2.3.1.9").unwrap())),
            ("the series is of another study", with(|f| f.study = StudyUid::parse("1.2.3.2").unwrap())),
            ("the birth date differs", with(|f| f.patient.birth_date = "19700102".into())),
            ("the sex differs", with(|f| f.patient.sex = String::new())),
            ("the Patient ID differs", Asked { patient_id: "P2", ..plain() }),
            ("the issuer differs", Asked { issuer: "1.2.392.6", ..plain() }),
            ("a prior comes to a study that is read", Asked { opens_case: false, ..plain() }),
            ("another facility sends it", Asked { facility: FacilityId::parse("HOSP2").unwrap(), ..plain() }),
        ];
        for (why, asked) in doubtful {
            assert_eq!(file(&db, &[asked]).await, [], "{why}");
        }
        assert_eq!(counts(&db, study).await, (1, 1));

        assert_eq!(file(&db, &[plain(), plain()]).await.len(), 1, "one of two with the same UID");
        assert_eq!(counts(&db, study).await, (2, 2));
    })
    .await;
}

#[tokio::test]
async fn a_study_that_is_not_being_received_is_left_alone() {
    const SET_STATE: Statement = Statement {
        name: "SET_STATE",
        sqlite: "UPDATE studies SET state = $2 WHERE id = $1",
        postgres: "UPDATE studies SET state = $2 WHERE id = $1",
    };
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        for state in ["settled", "withdrawn"] {
            let mut tx = db.write().await.unwrap();
            tx.execute(SET_STATE, args![study, state]).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(file(&db, &[Asked::of(&world, another_image(2))]).await, [], "{state}");
        }
        assert_eq!(counts(&db, study).await, (1, 1));
    })
    .await;
}

#[tokio::test]
async fn an_abandoned_transaction_is_undone_before_the_next_writers_turn() {
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        let mut abandoned = db.write().await.unwrap();
        assert!(abandoned.study_declare_complete(study, world.now()).await.unwrap());
        drop(abandoned);

        assert_eq!(file(&db, &[Asked::of(&world, another_image(2))]).await.len(), 1);

        let row = db.read().await.unwrap().study_by_pk(study).await.unwrap().unwrap();
        assert_eq!((row.declared_complete_at, row.instance_count), (None, 2));
        db.write().await.unwrap().commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_group_that_fails_leaves_nothing_and_does_not_block_the_next() {
    both(|db, world| async move {
        let study = known_study(&db, &world).await;
        let (good, bad) = (Asked::of(&world, another_image(2)), Asked::of(&world, another_image(3)));
        let mut bad = bad.further();
        // PostgreSQL takes no zero byte into a text; SQLite does.
        bad.patient_id = "P\0";

        let outcome = db.further_instances_file(&[good.further(), bad]).await;

        let expected = if db.is_sqlite() { 2 } else { 1 };
        assert_eq!(outcome.is_ok(), db.is_sqlite());
        assert_eq!(counts(&db, study).await, (expected, expected));
        assert_eq!(file(&db, &[Asked::of(&world, another_image(4))]).await.len(), 1);
    })
    .await;
}
