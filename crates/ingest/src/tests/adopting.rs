//! What the index was, from the store alone: also what no header can tell.

use dokuei_database::QuarantineState;

use super::*;

/// An index that knows nothing, on the scene's store.
async fn with_lost_index(scene: &Scene) -> (Database, Arc<Ingest>) {
    let name = format!("{}.db", scene.ambient.new_uuid());
    let empty = Database::open(&format!("sqlite://{}", scene.folder.path().join(name).display())).await.unwrap();
    let ingest = Ingest::new(empty.clone(), scene.store.clone(), scene.ambient.clone(), settings());
    (empty, ingest)
}

async fn begun(scene: &Scene, sop: &str, bytes: &[u8]) -> Incoming {
    let object = ObjectHead {
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: SopInstanceUid::parse(sop).unwrap(),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
    };
    let mut incoming = scene.ingest.begin(&from("HOSP1", 1), object).await.unwrap();
    incoming.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    scene.clock.advance(Duration::from_millis(10));
    incoming
}

/// What the facility has under this UID: its hash.
async fn filed(database: &Database, sop: &str) -> [u8; 32] {
    let (facility, sop) = (FacilityId::parse("HOSP1").unwrap(), SopInstanceUid::parse(sop).unwrap());
    database.read().await.unwrap().instance_by_uid(&facility, &sop).await.unwrap().unwrap().dataset_sha256
}

#[tokio::test]
async fn of_two_contents_under_way_at_once_the_acknowledged_one_comes_back() {
    let scene = Scene::new().await;
    let first = scene.image("1.2.1", "1.2.1.1.1").data_set(Encoding::ExplicitLittleEndian);
    let mut second = first.clone();
    *second.last_mut().unwrap() ^= 1;
    // Begun first, finished last: the header's time says nothing about which one was filed.
    let slow = begun(&scene, "1.2.1.1.1", &first).await;
    let fast = begun(&scene, "1.2.1.1.1", &second).await;
    assert!(matches!(fast.finish().await, Ok(Stored::New { .. })));
    assert!(matches!(slow.finish().await, Err(IngestError::Quarantined(QuarantineReason::SameUidOtherContent))));
    let acknowledged = filed(&scene.database, "1.2.1.1.1").await;
    scene.run_jobs().await;

    let (database, ingest) = with_lost_index(&scene).await;
    let summary = ingest.rebuild_index(|_| {}).await.unwrap();

    assert_eq!((summary.added, summary.quarantined, summary.unreadable_count), (1, 1, 0));
    assert_eq!(filed(&database, "1.2.1.1.1").await, acknowledged);
    let held = database.read().await.unwrap().quarantine_held(10).await.unwrap();
    assert_eq!((held.len(), held[0].reason.as_str()), (1, "same_uid_other_content"));
    assert_ne!(held[0].dataset_sha256, acknowledged);
}

#[tokio::test]
async fn what_was_decided_in_quarantine_stays_decided() {
    let scene = Scene::new().await;
    let office = Actor::CommandLine;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
    let stranger = |sop: &str| scene.image("1.2.1", sop).with_patient("777", b"SUZUKI^HANAKO", "");
    for sop in ["1.2.1.1.2", "1.2.1.1.3"] {
        scene.send(&from("HOSP1", 1), &stranger(sop)).await.unwrap_err();
    }
    // Not a data set at all, and kept for the office all the same.
    let unreadable = scene.send_bytes(&from("HOSP1", 1), "1.2.1.1.4", vec![0xff; 500]).await;
    assert!(unreadable.is_err(), "{unreadable:?}");
    let held = scene.ingest.quarantine(&office).await.unwrap();
    let rejected = held.iter().find(|row| row.sop_instance == "1.2.1.1.2").unwrap().id;
    scene.run_jobs().await;
    scene.ingest.quarantine_reject(&office, rejected, "誤送信").await.unwrap();
    scene.run_jobs().await;

    let (database, ingest) = with_lost_index(&scene).await;
    let summary = ingest.rebuild_index(|_| {}).await.unwrap();

    assert_eq!((summary.added, summary.unreadable_count), (1, 0), "{summary:?}");
    let mut tx = database.read().await.unwrap();
    let row = tx.quarantine_object(rejected).await.unwrap().unwrap();
    assert_eq!((row.state, row.decision_reason.as_deref()), (QuarantineState::Rejected, Some("誤送信")));
    let names = |rows: Vec<dokuei_database::QuarantineRow>| {
        let mut names: Vec<_> = rows.into_iter().map(|row| (row.sop_instance, row.reason)).collect();
        names.sort();
        names
    };
    let before = names(scene.ingest.quarantine(&office).await.unwrap());
    assert_eq!(names(tx.quarantine_held(10).await.unwrap()), before);
    assert!(!before.is_empty());
}

#[tokio::test]
async fn a_withdrawn_study_does_not_come_back_and_what_came_later_stays_aside() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
    scene.clock.advance(Duration::from_secs(1));
    let study = scene.study("HOSP1", "1.2.1").await.unwrap();
    scene.ingest.withdraw(&facility_user("HOSP1"), study.pk, "別の患者").await.unwrap();
    scene.clock.advance(Duration::from_secs(1));
    scene.send(&from("HOSP1", 2), &scene.image("1.2.1", "1.2.1.1.2")).await.unwrap_err();
    scene.send(&from("HOSP1", 2), &scene.image("1.2.5", "1.2.5.1.1")).await.unwrap();

    // The second image's own fact was not written down in time: the order of what happened is enough.
    let (database, ingest) = with_lost_index(&scene).await;
    let summary = ingest.rebuild_index(|_| {}).await.unwrap();

    assert_eq!((summary.added, summary.quarantined, summary.withdrawn), (2, 1, 1), "{summary:?}");
    let mut tx = database.read().await.unwrap();
    let (facility, uid) = (FacilityId::parse("HOSP1").unwrap(), StudyUid::parse("1.2.1").unwrap());
    let again = tx.study_by_uid(&facility, &uid).await.unwrap().unwrap();
    assert_eq!((again.state, again.withdrawn_reason.as_deref()), (StudyState::Withdrawn, Some("別の患者")));
    assert_eq!((again.withdrawn_at, again.instance_count), (Some(scene.ambient.now().plus_seconds(-1)), 1));
    assert_eq!(tx.quarantine_held(10).await.unwrap()[0].reason, "study_withdrawn");
    let again = ingest.rebuild_index(|_| {}).await.unwrap();
    assert_eq!((again.added, again.quarantined, again.withdrawn), (0, 0, 0));
}

#[tokio::test]
async fn an_object_whose_filing_is_in_flight_is_filed_once_whoever_comes_first() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");
    let Stored::New { id, .. } = scene.send(&from("HOSP1", 1), &image).await.unwrap() else { panic!("not new") };
    let key = scene.database.read().await.unwrap().instance_by_id(id).await.unwrap().unwrap().blob_key;
    let key = dokuei_image_store::BlobKey::parse(&key).unwrap();
    let size = scene.store.open(&key).await.unwrap().size();
    let (database, ingest) = with_lost_index(&scene).await;

    // Two walks, as at start and by hand, both before either has filed.
    let mut walks = Vec::new();
    for _ in 0..2 {
        walks.push(Adoption::begin(Arc::clone(&ingest), None).await.unwrap());
    }
    for walk in &mut walks {
        assert!(walk.take(&key, size).await.unwrap());
    }
    for walk in &mut walks {
        walk.finish().await.unwrap();
    }

    assert_eq!(database.read().await.unwrap().instance_count().await.unwrap(), 1);
    assert!(database.read().await.unwrap().quarantine_held(10).await.unwrap().is_empty());
    let study = {
        let (facility, uid) = (FacilityId::parse("HOSP1").unwrap(), StudyUid::parse("1.2.1").unwrap());
        database.read().await.unwrap().study_by_uid(&facility, &uid).await.unwrap().unwrap()
    };
    assert_eq!(study.instance_count, 1);
}
