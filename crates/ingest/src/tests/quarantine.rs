//! What is kept aside, and what a person makes of it.

use dokuei_database::{QuarantineRow, QuarantineState};

use super::*;
use crate::quarantine::NotReleasable;

async fn only_quarantined(scene: &Scene) -> QuarantineRow {
    let mut held = scene.ingest.quarantine(&office()).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    held.remove(0)
}

fn other_pixels(image: &CtImage) -> Vec<u8> {
    let mut bytes = image.data_set(Encoding::ExplicitLittleEndian);
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

#[tokio::test]
async fn other_content_of_a_uid_is_never_released_and_asked_about_once() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let image = scene.image("1.2.1", "1.2.1.1.1");
        scene.send(&hospital, &image).await.unwrap();
        let conflict = scene.send_bytes(&hospital, "1.2.1.1.1", other_pixels(&image)).await;
        assert!(
            matches!(conflict, Err(IngestError::Quarantined(QuarantineReason::SameUidOtherContent))),
            "{conflict:?}"
        );
        let row = only_quarantined(&scene).await;

        let detail = scene.ingest.quarantine_detail(&office(), row.id).await.unwrap();
        assert_eq!(detail.study.unwrap().uid.as_str(), "1.2.1");
        assert_ne!(detail.stored.unwrap().dataset_sha256, row.dataset_sha256);
        let conflict = NotReleasable::Conflict(QuarantineReason::SameUidOtherContent);
        assert_eq!(detail.not_releasable, Some(conflict.clone()));
        let refused = scene.ingest.quarantine_release(&office(), row.id, "新しい方が正しい").await;
        assert!(matches!(&refused, Err(IngestError::NotReleasable(reason)) if *reason == conflict), "{refused:?}");
        assert_eq!(only_quarantined(&scene).await, row, "nothing has changed");

        let denied = scene.ingest.quarantine_reject(&facility_user("HOSP1"), row.id, "x").await;
        assert!(matches!(denied, Err(IngestError::Denied)), "{denied:?}");
        scene.ingest.quarantine_reject(&office(), row.id, "古い方が正しい").await.unwrap();
        assert_eq!(scene.ingest.quarantine(&office()).await.unwrap(), []);
        let blobs = scene.blobs().await;
        let again = scene.send_bytes(&hospital, "1.2.1.1.1", other_pixels(&image)).await;
        assert!(matches!(again, Err(IngestError::Quarantined(_))), "{again:?}");
        assert_eq!(scene.ingest.quarantine(&office()).await.unwrap(), [], "nobody is asked twice");
        assert_eq!(scene.blobs().await, blobs, "kept for the audit, once");
        let history = scene.ingest.quarantine_history(&office()).await.unwrap();
        assert_eq!(history[0].state, QuarantineState::Rejected);
        assert_eq!(history[0].decision_reason.as_deref(), Some("古い方が正しい"));
        let audit = scene.database.read().await.unwrap().audit_latest(100).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|row| row.action.as_str()).collect();
        assert!(actions.contains(&"quarantine.reject") && actions.contains(&"quarantine.release"), "{actions:?}");
    })
    .await;
}

#[tokio::test]
async fn an_object_whose_patient_a_person_has_confirmed_joins_its_study() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1").born("19500131", "M")).await.unwrap();
        let typing_error = scene.image("1.2.1", "1.2.1.1.2").born("19500113", "M");
        scene.send(&hospital, &typing_error).await.unwrap_err();
        let row = only_quarantined(&scene).await;
        assert_eq!(row.reason, "patient_facts_differ");
        let detail = scene.ingest.quarantine_detail(&office(), row.id).await.unwrap();
        assert_eq!((detail.not_releasable, detail.object.unwrap().patient.birth_date.as_str()), (None, "19500113"));

        scene.clock.advance(Duration::from_secs(3600));
        scene.ingest.quarantine_release(&office(), row.id, "技師に確認").await.unwrap();

        let study = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((study.instance_count, study.patient.birth_date.as_str()), (2, "19500131"));
        assert_eq!(study.last_received_at, scene.ambient.now(), "what was signed before has not seen it");
        let twice = scene.ingest.quarantine_release(&office(), row.id, "x").await;
        assert!(matches!(twice, Err(IngestError::AlreadyDecided)), "{twice:?}");
        // The sender, who was told of a failure, sends it again: it is stored.
        let again = scene.send(&hospital, &typing_error).await.unwrap();
        assert!(matches!(again, Stored::AlreadyStored { .. }), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_released_into_another_patient_or_study() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        // The study changes its patient.
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.2").with_patient("777", b"C^D", "")).await.unwrap_err();
        // The SOP Instance UID is used again for another patient.
        scene.send(&hospital, &scene.image("1.2.5", "1.2.1.1.1").with_patient("777", b"C^D", "")).await.unwrap_err();
        // The series UID is used again in another study.
        let series = CtImage { series_instance_uid: "1.2.1.1".into(), ..scene.image("1.2.6", "1.2.6.1.1") };
        scene.send(&hospital, &series).await.unwrap_err();

        let mut reasons = Vec::new();
        for row in scene.ingest.quarantine(&office()).await.unwrap() {
            let refused = scene.ingest.quarantine_release(&office(), row.id, "x").await;
            assert!(matches!(refused, Err(IngestError::NotReleasable(NotReleasable::Conflict(_)))), "{refused:?}");
            reasons.push(row.reason);
        }
        reasons.sort();
        assert_eq!(reasons, ["same_uid_other_content", "series_of_another_study", "study_of_another_patient"]);
        assert_eq!(scene.database.read().await.unwrap().instance_count().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_released_into_a_withdrawn_study_stays_hidden_with_it() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        let study = scene.study("HOSP1", "1.2.1").await.unwrap().pk;
        scene.ingest.withdraw(&facility_user("HOSP1"), study, "別の患者").await.unwrap();
        scene.send(&hospital, &scene.image("1.2.1", "1.2.1.1.2")).await.unwrap_err();
        let row = only_quarantined(&scene).await;

        scene.ingest.quarantine_release(&office(), row.id, "取消済みの検査の一部").await.unwrap();

        let study = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((study.state, study.instance_count), (StudyState::Withdrawn, 2));
    })
    .await;
}

#[tokio::test]
async fn objects_without_legal_uids_are_kept_shown_and_never_filed() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let image = scene.image("1.2.1", "1.2.1.1.1");
        let broken = [
            ("missing_uid", CtImage { study_instance_uid: String::new(), ..image.clone() }),
            ("illegal_uid", CtImage { series_instance_uid: "1.2.abc".into(), ..image.clone() }),
            ("disagrees_with_command", CtImage { sop_instance_uid: "1.2.1.1.9".into(), ..image.clone() }),
        ];
        for (reason, image) in &broken {
            scene.clock.advance(Duration::from_secs(1));
            let bytes = image.data_set(Encoding::ExplicitLittleEndian);
            let refused = scene.send_bytes(&hospital, "1.2.1.1.1", bytes).await.unwrap_err();
            assert!(!matches!(refused, IngestError::Quarantined(_)), "the sender is told what is wrong: {refused:?}");
            let row = scene.ingest.quarantine(&office()).await.unwrap().remove(0);
            assert_eq!((row.reason.as_str(), row.sop_instance.as_str()), (*reason, "1.2.1.1.1"));
            let key = dokuei_image_store::BlobKey::parse(&row.blob_key).unwrap();
            let file = scene.store.read_to_vec(&key, 1 << 20).await.unwrap();
            assert!(file.ends_with(&image.data_set(Encoding::ExplicitLittleEndian)), "every byte is there");
            let released = scene.ingest.quarantine_release(&office(), row.id, "x").await;
            assert!(matches!(released, Err(IngestError::NotReleasable(NotReleasable::Unreadable(_)))), "{released:?}");
            assert_eq!(scene.ingest.quarantine_detail(&office(), row.id).await.unwrap().object, None);
        }
        assert_eq!(scene.study("HOSP1", "1.2.1").await, None);
    })
    .await;
}

#[tokio::test]
async fn garbage_cannot_fill_the_disk_and_is_counted_all_the_same() {
    let scene = Scene::new().await;
    let hospital = from("HOSP1", 1);
    let many = crate::set_aside::MOST_OBJECTS;
    for number in 0..many + 5 {
        let garbage = format!("this is no data set, number {number:06}").into_bytes();
        let refused = scene.send_bytes(&hospital, "1.2.1.1.1", garbage).await;
        assert!(matches!(refused, Err(IngestError::NotADataSet(_))), "{refused:?}");
    }
    assert_eq!(scene.blobs().await, usize::try_from(many).unwrap());
    let refusals = scene.ingest.refusals(&office()).await.unwrap();
    assert_eq!((refusals[0].object_count, refusals[0].reason.as_str(), refusals.len()), (5, "unreadable", 1));
    // Another facility has room of its own, and rejecting makes room.
    scene.send_bytes(&from("HOSP2", 2), "1.2.1.1.1", b"this is no data set either".to_vec()).await.unwrap_err();
    assert_eq!(scene.blobs().await, usize::try_from(many).unwrap() + 1);
    let row = scene.ingest.quarantine(&office()).await.unwrap().pop().unwrap();
    scene.ingest.quarantine_reject(&office(), row.id, "装置の故障").await.unwrap();
    scene.send_bytes(&hospital, "1.2.1.1.1", b"this is no data set once more".to_vec()).await.unwrap_err();
    assert_eq!(scene.blobs().await, usize::try_from(many).unwrap() + 2);
    assert_eq!(
        scene.ingest.refusals(&facility_user("HOSP1")).await.err().map(|error| error.to_string()).as_deref(),
        Some("not allowed")
    );
}
