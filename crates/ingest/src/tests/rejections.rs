//! Rejection notes: what they name is hidden, before or after it came, and nothing else is.

use dokuei_testkit::rejection_note::{KEY_OBJECT_SELECTION, SyntheticRejectionNote};

use super::*;

async fn send_note(scene: &Scene, from: &Origin, note: &SyntheticRejectionNote) -> Result<Stored, IngestError> {
    let bytes = note.data_set(Encoding::ExplicitLittleEndian);
    scene.send_object(&scene.ingest, from, KEY_OBJECT_SELECTION, &note.sop_instance_uid, bytes).await
}

/// The SOP Instance UIDs of a study that may be seen.
async fn seen(scene: &Scene, facility: &str, study: &str) -> Vec<String> {
    let study = scene.study(facility, study).await.unwrap();
    let mut read = scene.database.read().await.unwrap();
    let instances = read.instances_of_study(study.pk).await.unwrap();
    assert_eq!(instances.len() as i64, study.instance_count, "the counter counts what may be seen");
    assert_eq!(read.series_of_study(study.pk).await.unwrap().len() as i64, study.series_count);
    instances.into_iter().map(|instance| instance.sop_instance.to_string()).collect()
}

#[tokio::test]
async fn each_kind_of_note_hides_what_it_names_of_its_own_facility() {
    on_both(|scene| async move {
        for (number, code) in ["113001", "113037", "113038", "113039"].into_iter().enumerate() {
            let study = format!("1.2.{}", number + 1);
            let image =
                |last: u32| CtImage { instance_number: last, ..scene.image(&study, &format!("{study}.1.{last}")) };
            for facility in ["HOSP1", "HOSP2"] {
                for last in 1..=3 {
                    scene.send(&from(facility, 1), &image(last)).await.unwrap();
                }
            }
            let (series, first, third) = (format!("{study}.1"), format!("{study}.1.1"), format!("{study}.1.3"));
            let named = [(series.as_str(), first.as_str()), (series.as_str(), third.as_str())];
            let note = SyntheticRejectionNote::new(code, &study, &format!("{study}.9"), &named);

            let stored = send_note(&scene, &from("HOSP1", 1), &note).await.unwrap();

            assert!(matches!(stored, Stored::New { .. }), "{stored:?}");
            assert_eq!(seen(&scene, "HOSP1", &study).await, [format!("{study}.1.2")], "{code}");
            assert_eq!(seen(&scene, "HOSP2", &study).await.len(), 3, "another hospital's objects are its own");
            let row = scene.study("HOSP1", &study).await.unwrap();
            assert_eq!((row.state, row.modalities.as_str(), row.series_count), (StudyState::Receiving, "CT", 1));
            // Sent again it stays hidden, and the sender is told that it is stored.
            let again = scene.send(&from("HOSP1", 2), &image(1)).await.unwrap();
            assert!(matches!(again, Stored::AlreadyStored { .. }), "{again:?}");
            assert_eq!(seen(&scene, "HOSP1", &study).await.len(), 1);
        }
        let audit = scene.database.read().await.unwrap().audit_latest(100).await.unwrap();
        let notes = audit.iter().filter(|row| row.action == "instance.reject" && row.detail.contains("2 hidden now"));
        assert_eq!(notes.count(), 4);
    })
    .await;
}

#[tokio::test]
async fn what_comes_after_its_note_is_hidden_on_arrival_and_a_good_image_brings_the_study_back() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let note = SyntheticRejectionNote::new("113037", "1.2.1", "1.2.1.9", &[("1.2.1.1", "1.2.1.1.1")]);
        send_note(&scene, &hospital, &note).await.unwrap();
        let stored = scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        assert!(matches!(stored, Stored::New { .. }), "{stored:?}");
        let empty = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((empty.state, empty.instance_count, empty.series_count), (StudyState::Withdrawn, 0, 0));
        assert!(empty.withdrawn_reason.unwrap().contains("113037"));

        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.2")).await.unwrap();

        assert_eq!(seen(&scene, "HOSP1", "1.2.1").await, ["1.2.1.1.2"]);
        let back = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((back.state, back.withdrawn_at, back.withdrawn_reason), (StudyState::Receiving, None, None));
        scene.ingest.association_ended(1).await;
        scene.clock.advance(Duration::from_secs(QUIET as u64));
        assert!(scene.run_jobs().await.contains(&"study_settled".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_study_of_which_nothing_is_left_is_withdrawn_and_the_worklist_told() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        for last in 1..=2 {
            scene.send(&hospital, &scene.image("1.2.1", &format!("1.2.1.1.{last}"))).await.unwrap();
        }
        let named = [("1.2.1.1", "1.2.1.1.1"), ("1.2.1.1", "1.2.1.1.2")];
        send_note(&scene, &hospital, &SyntheticRejectionNote::new("113038", "1.2.1", "1.2.1.9", &named)).await.unwrap();

        let study = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((study.state, study.instance_count), (StudyState::Withdrawn, 0));
        let jobs = scene.database.read().await.unwrap().job_list(100).await.unwrap();
        assert_eq!(jobs.iter().filter(|job| job.queue == "study_withdrawn").count(), 1, "{jobs:?}");
        // The facility's own 取消 on top of it is final: nothing brings the study back.
        scene.ingest.withdraw(&facility_user("HOSP1"), study.pk, "別の検査").await.unwrap();
        let late = scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.3")).await;
        assert!(matches!(late, Err(IngestError::Quarantined(QuarantineReason::StudyWithdrawn))), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn a_note_takes_back_nothing_of_another_study_and_another_title_nothing_at_all() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        scene.send(&hospital, &scene.image("1.2.2", "1.2.2.1.1")).await.unwrap();
        // The note names an instance of study 1.2.1 as one of study 1.2.2.
        let wrong = SyntheticRejectionNote::new("113001", "1.2.2", "1.2.2.9", &[("1.2.1.1", "1.2.1.1.1")]);
        send_note(&scene, &hospital, &wrong).await.unwrap();
        assert_eq!(seen(&scene, "HOSP1", "1.2.1").await, ["1.2.1.1.1"]);
        // A key object selection of another purpose is an object like others.
        let teaching = SyntheticRejectionNote::new("113004", "1.2.1", "1.2.1.9", &[("1.2.1.1", "1.2.1.1.1")]);
        send_note(&scene, &hospital, &teaching).await.unwrap();
        assert_eq!(seen(&scene, "HOSP1", "1.2.1").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn rejections_come_back_from_the_blobs_alone() {
    let scene = Scene::new().await;
    let hospital = from("HOSP1", 1);
    for last in 1..=2 {
        scene.send(&hospital, &scene.image("1.2.1", &format!("1.2.1.1.{last}"))).await.unwrap();
    }
    let named = [("1.2.1.1", "1.2.1.1.1"), ("1.2.1.1", "1.2.1.1.3")];
    send_note(&scene, &hospital, &SyntheticRejectionNote::new("113001", "1.2.1", "1.2.1.9", &named)).await.unwrap();
    scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.3")).await.unwrap();
    assert_eq!(seen(&scene, "HOSP1", "1.2.1").await, ["1.2.1.1.2"]);

    let empty = Database::open(&format!("sqlite://{}", scene.folder.path().join("second.db").display())).await.unwrap();
    let ingest = Ingest::new(empty.clone(), scene.store.clone(), scene.ambient.clone(), settings());
    let summary = ingest.rebuild_index(|_| {}).await.unwrap();

    assert_eq!(summary.seen, 4);
    let mut read = empty.read().await.unwrap();
    let uid = StudyUid::parse("1.2.1").unwrap();
    let study = read.study_by_uid(&FacilityId::parse("HOSP1").unwrap(), &uid).await.unwrap().unwrap();
    assert_eq!((study.instance_count, study.series_count), (1, 1));
    let instances = read.instances_of_study(study.pk).await.unwrap();
    assert_eq!(instances[0].sop_instance.as_str(), "1.2.1.1.2");
    assert_eq!(read.instances_of_study_with_rejected(study.pk).await.unwrap().len(), 4);
}

#[tokio::test]
async fn what_two_nodes_did_in_one_moment_is_hidden_within_a_minute() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        // The other node remembers what its note names, and does not see the image that is being filed here.
        let (facility, note) = (FacilityId::parse("HOSP1").unwrap(), SopInstanceUid::parse("1.2.1.9").unwrap());
        let mut tx = scene.database.write().await.unwrap();
        let named = [("1.2.1", "1.2.1.1.1")];
        tx.rejections_insert(&facility, &note, "113001", &named, scene.ambient.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(seen(&scene, "HOSP1", "1.2.1").await.len(), 1);

        dokuei_jobs::Periodic::run(&crate::rejection::RejectionReconciler(Arc::clone(&scene.ingest))).await.unwrap();

        assert_eq!(seen(&scene, "HOSP1", "1.2.1").await.len(), 0);
    })
    .await;
}
