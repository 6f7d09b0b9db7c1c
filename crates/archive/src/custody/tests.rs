//! Damage, loss, restarts and places that go away, on both databases.

mod scene;

use std::time::Duration;

use dokuei_database::DamageState;
use dokuei_domain::StudyUid;
use uuid::Uuid;

use self::scene::{OFFICE, Scene, custody, flip, kinds, on_both, run, settings};
use super::{scrub::Position, turn::Turn, *};

#[tokio::test]
async fn a_flipped_bit_is_found_shown_and_repaired_from_the_copy() {
    on_both(async |scene| {
        let keys = [scene.send("1.2.1.1.1", false).await, scene.send("1.2.1.1.2", false).await];
        scene.run("copy").await;
        scene.run("scrub").await;
        assert!(scene.open_damages().await.is_empty());
        let file = scene.file("store", &keys[0]);
        let sound = std::fs::read(&file).unwrap();
        flip(&file, 100);
        let damaged = std::fs::read(&file).unwrap();

        scene.scrub().await;

        let open = scene.open_damages().await;
        assert_eq!(kinds(&open), [("1.2.1.1.1", "store", "altered")]);
        assert_ne!(open[0].found_sha256, open[0].expected_sha256);
        assert_eq!(scene.audited("blob.damage").await.len(), 1);
        // Seen again is not said again.
        scene.scrub().await;
        assert_eq!(scene.audited("blob.damage").await.len(), 1);
        assert!(scene.open_damages().await[0].last_seen_at > open[0].found_at);
        assert_eq!(
            scene.custody.verify_again(&OFFICE, open[0].id).await.unwrap(),
            Outcome::StillDamaged("its hash is not that of what was received".to_owned())
        );

        assert_eq!(scene.custody.repair(&OFFICE, open[0].id).await.unwrap(), Outcome::Repaired);

        assert!(std::fs::read(&file).unwrap() == sound);
        let aside = scene.folder.path().join("store/damaged").join(format!("{}.{}", keys[0], open[0].id));
        assert!(std::fs::read(aside).unwrap() == damaged, "what was damaged is kept");
        let (open, closed) = scene.custody.damages(&OFFICE).await.unwrap();
        assert!(open.is_empty());
        assert_eq!((closed[0].state, closed[0].decided_by.as_deref()), (DamageState::Repaired, Some("cli")));
        assert!(scene.audited("blob.repair").await[0].contains("damaged/v1/HOSP1/"));
        assert!(matches!(scene.custody.repair(&OFFICE, closed[0].id).await, Err(RepairError::NotOpen)));
        scene.scrub().await;
        assert!(scene.open_damages().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_missing_blob_a_damaged_header_and_a_damaged_copy() {
    on_both(async |scene| {
        let mut keys = Vec::new();
        for sop in ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3", "1.2.1.1.4"] {
            keys.push(scene.send(sop, false).await);
        }
        scene.run("copy").await;
        scene.run("reconcile").await;
        let files: Vec<_> = keys.iter().map(|key| scene.file("store", key)).collect();
        let sound: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        std::fs::remove_file(&files[0]).unwrap();
        // A digit of the time of receipt in our own header: no data set's hash covers it.
        let text = String::from_utf8_lossy(&sound[1]).into_owned();
        let at = sound[1].windows(15).position(|part| part == b"received_at_us\"").unwrap() + 20;
        assert!(text.contains("received_at_us"));
        let mut header = sound[1].clone();
        header[at] ^= 1;
        std::fs::write(&files[1], &header).unwrap();
        flip(&scene.file("copy", &keys[2]), 1);
        std::fs::write(&files[3], &sound[3][..500]).unwrap();

        scene.scrub().await;
        scene.run("reconcile").await;

        let open = scene.open_damages().await;
        let expected = [
            ("1.2.1.1.1", "store", "missing"),
            ("1.2.1.1.2", "store", "head_altered"),
            ("1.2.1.1.3", "copy", "altered"),
            ("1.2.1.1.4", "store", "altered"),
        ];
        assert_eq!(kinds(&open), expected);
        for damage in &open {
            assert_eq!(scene.custody.repair(&OFFICE, damage.id).await.unwrap(), Outcome::Repaired, "{damage:?}");
        }
        for (file, sound) in files.iter().zip(&sound) {
            assert!(std::fs::read(file).unwrap() == *sound);
        }
        assert!(std::fs::read(scene.file("copy", &keys[2])).unwrap() == sound[2]);
        scene.scrub().await;
        assert!(scene.open_damages().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_repaired_is_accepted_with_a_reason_and_not_said_again() {
    let scene = Scene::on(None).await;
    let key = scene.send("1.2.1.1.1", false).await;
    scene.run("copy").await;
    flip(&scene.file("store", &key), 5);
    flip(&scene.file("copy", &key), 5);
    scene.scrub().await;
    let open = scene.open_damages().await;
    assert_eq!(kinds(&open), [("1.2.1.1.1", "copy", "altered"), ("1.2.1.1.1", "store", "altered")]);

    for damage in &open {
        let refused = scene.custody.repair(&OFFICE, damage.id).await;
        assert!(matches!(refused, Err(RepairError::OtherCopyDamaged(_))), "{refused:?}");
        assert!(matches!(scene.custody.accept(&OFFICE, damage.id, "  ").await, Err(RepairError::NoReason)));
        scene.custody.accept(&OFFICE, damage.id, "施設に再送を依頼").await.unwrap();
    }
    scene.scrub().await;
    assert!(scene.open_damages().await.is_empty());
    assert_eq!(scene.custody.status().await.unwrap().accepted_damages, 2);
    // It comes back after all, and that is noticed.
    flip(&scene.file("store", &key), 5);
    scene.scrub().await;
    assert_eq!(scene.custody.status().await.unwrap().accepted_damages, 1);

    let reader = Actor::Account { id: "R1".parse().unwrap(), role: dokuei_domain::Role::Reader, facility: None };
    assert!(matches!(scene.custody.damages(&reader).await, Err(RepairError::Denied)));
    assert!(matches!(scene.custody.repair(&reader, open[0].id).await, Err(RepairError::Denied)));
    assert!(matches!(scene.custody.accept(&reader, open[0].id, "x").await, Err(RepairError::Denied)));
}

#[tokio::test]
async fn blobs_that_the_index_lacks_are_adopted_at_start_once() {
    on_both(async |scene| {
        scene.run("reconcile").await;
        for sop in ["1.2.1.1.1", "1.2.1.1.2"] {
            scene.send(sop, false).await;
        }
        scene.send("1.2.1.1.1", true).await;
        let not_ours = "v1/HOSP1/00000000-0000-0000-0000-000000000001";
        scene.store.put(BlobKey::parse(not_ours).unwrap(), "garbage".into()).await.unwrap();
        let (database, _, custody) = scene.with_lost_index(settings(scene.folder.path())).await;

        run(&custody, "reconcile").await.unwrap();

        assert_eq!(database.read().await.unwrap().instance_count().await.unwrap(), 2);
        assert_eq!(database.read().await.unwrap().quarantine_held(10).await.unwrap().len(), 1);
        let status = custody.status().await.unwrap();
        assert_eq!((status.reconcile.full.adopted, status.reconcile.full.not_adopted), (3, 1));
        let open = custody.damages(&OFFICE).await.unwrap().0;
        assert_eq!((open[0].kind, open[0].blob_key.as_str()), (DamageKind::NotAdopted, not_ours));
        let again = custody.verify_again(&OFFICE, open[0].id).await.unwrap();
        assert!(matches!(again, Outcome::StillDamaged(_)), "{again:?}");
        // Once more finds nothing to do, and what came meanwhile is looked at.
        scene.clock.advance(Duration::from_secs(1000));
        run(&custody, "reconcile").await.unwrap();
        let status = custody.status().await.unwrap();
        assert_eq!((status.reconcile.last.adopted, status.reconcile.last.damaged), (0, 0));
        assert_eq!(custody.damages(&OFFICE).await.unwrap().0.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn beside_another_node_young_blobs_are_left_alone() {
    let scene = Scene::on(None).await;
    scene.send("1.2.1.1.1", false).await;
    let shared = CustodySettings { only_node: false, ..settings(scene.folder.path()) };
    let (database, _, custody) = scene.with_lost_index(shared).await;
    let walk = custody.periodics().remove(0);

    walk.run().await.unwrap();
    assert_eq!(database.read().await.unwrap().instance_count().await.unwrap(), 0);
    scene.clock.advance(Duration::from_secs(301));
    walk.run().await.unwrap();
    assert_eq!(database.read().await.unwrap().instance_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_withdrawn_study_stays_withdrawn_and_signed_reports_are_only_counted() {
    on_both(async |scene| {
        scene.send("1.2.1.1.1", false).await;
        let (facility, uid) = (FacilityId::parse("HOSP1").unwrap(), StudyUid::parse("1.2.1").unwrap());
        let study = scene.database.read().await.unwrap().study_by_uid(&facility, &uid).await.unwrap().unwrap();
        scene.ingest.withdraw(&OFFICE, study.pk, "別の患者").await.unwrap();
        scene.clock.advance(Duration::from_secs(1));
        let version = dokuei_domain::ReportVersionId(scene.ambient.new_uuid());
        let signature = BlobKey::report_file(&facility, version, dokuei_image_store::ReportFile::Signature);
        scene.store.put(signature, "signature".into()).await.unwrap();
        scene.clock.advance(Duration::from_secs(1));
        let (database, _, custody) = scene.with_lost_index(settings(scene.folder.path())).await;

        run(&custody, "reconcile").await.unwrap();

        let again = database.read().await.unwrap().study_by_uid(&facility, &uid).await.unwrap().unwrap();
        assert_eq!(again.state, dokuei_database::StudyState::Withdrawn);
        assert_eq!(again.withdrawn_reason.as_deref(), Some("別の患者"));
        assert_eq!(custody.status().await.unwrap().last_unindexed_reports(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_scrub_goes_on_where_it_was_and_one_node_walks_at_a_time() {
    on_both(async |scene| {
        for number in 0..70 {
            scene.send(&format!("1.2.1.1.{number}"), false).await;
        }
        // The first step of a round, and then the process dies.
        let mut turn = Turn::<scrub::ScrubProgress>::take(&scene.custody, "scrub").await.unwrap().unwrap();
        turn.progress.began_at = Some(scene.ambient.now());
        let first = scene.custody.scrub_batch(&Position::default(), None, &pace::Pace::unlimited()).await.unwrap();
        turn.progress.position = first.0;
        turn.progress.done = first.1;
        assert!(turn.keep().await.unwrap());
        drop(turn);
        assert_eq!(scene.custody.status().await.unwrap().scrub.done.blobs, 32);

        // Another node leaves it alone while the lease holds.
        let other = CustodySettings { worker: "two".to_owned(), ..settings(scene.folder.path()) };
        let other = custody(&scene.database, &scene.store, &scene.ambient, &scene.ingest, other);
        run(&other, "scrub").await.unwrap();
        assert_eq!(scene.custody.status().await.unwrap().scrub.done.blobs, 32);

        scene.clock.advance(Duration::from_secs(301));
        run(&other, "scrub").await.unwrap();
        let status = scene.custody.status().await.unwrap().scrub;
        assert_eq!((status.last.blobs, status.under_way, status.too_slow), (70, false, false));
        assert!(status.finished_at.is_some());
        // Not due again before half of the time is over.
        scene.run("scrub").await;
        assert_eq!(scene.custody.status().await.unwrap().scrub.finished_at, status.finished_at);
        scene.scrub().await;
        assert_ne!(scene.custody.status().await.unwrap().scrub.finished_at, status.finished_at);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_not_mounted_makes_nothing_look_damaged() {
    let scene = Scene::on(None).await;
    for number in 0..120 {
        scene.send(&format!("1.2.1.1.{number}"), false).await;
    }
    std::fs::rename(scene.folder.path().join("store"), scene.folder.path().join("away")).unwrap();
    run(&scene.custody, "scrub").await.unwrap_err();
    assert!(scene.open_damages().await.is_empty());
    // Started anew it makes its folders: an empty store, and the wrong one.
    let empty = ImageStore::connect(&format!("file://{}", scene.folder.path().join("store").display())).await.unwrap();
    let restarted = custody(&scene.database, &empty, &scene.ambient, &scene.ingest, settings(scene.folder.path()));
    let error = run(&restarted, "reconcile").await.unwrap_err();
    assert!(error.contains("none of the 120 objects"), "{error}");
    assert!(scene.open_damages().await.is_empty());
    assert_eq!(restarted.status().await.unwrap().warnings().len(), 2, "scrub and comparison say why they stopped");
    // The same again is no news for the log.
    run(&restarted, "reconcile").await.unwrap();
}

#[tokio::test]
async fn the_second_copy_follows_falls_behind_and_catches_up() {
    on_both(async |scene| {
        let copied = |key: &str| scene.file("copy", key).exists();
        let first = scene.send("1.2.1.1.1", false).await;
        scene.run("copy").await;
        assert!(copied(&first));
        let head = std::fs::read(scene.file("store", &first)).unwrap();
        assert!(std::fs::read(scene.file("copy", &first)).unwrap() == head);
        assert_eq!(scene.custody.status().await.unwrap().copy.unwrap().waiting, 0);

        // The place goes away: nothing waits for it, and the lag is shown.
        std::fs::rename(scene.folder.path().join("copy"), scene.folder.path().join("copy-away")).unwrap();
        let second = scene.send("1.2.1.1.2", false).await;
        run(&scene.custody, "copy").await.unwrap_err();
        let copy = scene.custody.status().await.unwrap().copy.unwrap();
        assert_eq!((copy.waiting, copy.waiting_since.is_some(), copy.last_error.is_some()), (1, true, true));
        assert!(copy.waiting_bytes > 1000);

        // An empty place in its stead is not taken for it.
        run(&scene.custody, "copy").await.unwrap_err();
        std::fs::remove_dir_all(scene.folder.path().join("copy")).unwrap();
        std::fs::rename(scene.folder.path().join("copy-away"), scene.folder.path().join("copy")).unwrap();
        scene.run("copy").await;
        assert!(copied(&second));
        let copy = scene.custody.status().await.unwrap().copy.unwrap();
        assert_eq!((copy.waiting, copy.last_error), (0, None));

        // A new place on purpose; that the old one is gone is noticed also when nothing is new.
        std::fs::remove_dir_all(scene.folder.path().join("copy")).unwrap();
        scene.clock.advance(Duration::from_secs(601));
        run(&scene.custody, "copy").await.unwrap_err();
        assert_eq!(scene.custody.restart_copy().await.unwrap(), 2);
        scene.run("copy").await;
        assert!(copied(&first) && copied(&second));
    })
    .await;
}

#[tokio::test]
async fn quarantine_facts_and_late_rows_are_copied_and_read_again_too() {
    let scene = Scene::on(None).await;
    scene.send("1.2.1.1.1", false).await;
    scene.send("1.2.1.1.1", true).await;
    for periodic in scene.ingest.periodics() {
        periodic.run().await.unwrap();
    }
    scene.run("copy").await;
    let copy = ImageStore::connect(&scene.custody.settings.copy.as_ref().unwrap().url).await.unwrap();
    let names = async |store: &ImageStore, prefix: &str| {
        let (mut list, mut keys) = (store.list(prefix), Vec::new());
        while let Some((key, _)) = list.next().await.unwrap() {
            keys.push(key.to_string());
        }
        keys
    };
    assert_eq!(names(&copy, "v1/").await, names(&scene.store, "v1/").await);
    assert_eq!(names(&scene.store, "facts/v1/HOSP1/").await.len(), 1, "the object in quarantine is written down");
    assert_eq!(names(&copy, "facts/v1/HOSP1/").await, names(&scene.store, "facts/v1/HOSP1/").await);

    let done = scene.custody.scrub_everything(|_| {}).await.unwrap();
    assert_eq!((done.blobs, done.copies, done.damaged), (2, 2, 0));

    // A row whose identifier is older than what was copied last: found when the walk goes back.
    let late = scene.send("1.2.1.1.9", false).await;
    let mut turn = Turn::<copy::CopyProgress>::take(&scene.custody, "copy").await.unwrap().unwrap();
    turn.progress.instances = Uuid::max();
    turn.end(Ok(true)).await.unwrap();
    scene.run("copy").await;
    assert!(!scene.file("copy", &late).exists());
    scene.clock.advance(Duration::from_secs(601));
    scene.run("copy").await;
    assert!(scene.file("copy", &late).exists());
}
