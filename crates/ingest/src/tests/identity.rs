//! Whose study it is: one patient from concurrent senders, and a person's word where birth date or sex contradict.

use dokuei_database::{HoldDecision, StudyHoldRow};
use dokuei_testkit::synthetic::YAMADA_TARO_CHARACTER_SET;

use super::*;

async fn settle(scene: &Scene, association: u64) -> Vec<String> {
    scene.ingest.association_ended(association).await;
    scene.clock.advance(Duration::from_secs(QUIET as u64));
    scene.run_jobs().await
}

async fn only_hold(scene: &Scene) -> StudyHoldRow {
    let mut holds = scene.ingest.held_studies(&office()).await.unwrap();
    assert_eq!(holds.len(), 1, "{holds:?}");
    holds.remove(0)
}

fn patient_2(image: CtImage) -> CtImage {
    image.with_patient("777", b"YAMADA^TARO", "").born("19500131", "M")
}

#[tokio::test]
async fn another_birth_date_or_sex_holds_a_study_and_another_name_does_not() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let first = patient_2(scene.image("1.2.1", "1.2.1.1.1"));
        let married = CtImage { patient_name: b"SUZUKI^TARO".to_vec(), ..patient_2(scene.image("1.2.2", "1.2.2.1.1")) };
        let unknown = patient_2(scene.image("1.2.3", "1.2.3.1.1")).born("", "O");
        for image in [&first, &married, &unknown] {
            scene.send(&hospital, image).await.unwrap();
        }
        assert_eq!(scene.ingest.held_studies(&office()).await.unwrap(), []);
        let married = scene.study("HOSP1", "1.2.2").await.unwrap();
        assert!(!married.held && married.patient.differs_from_earlier, "flagged, not held up");

        // Stored and acknowledged, but held.
        let other = patient_2(scene.image("1.2.4", "1.2.4.1.1")).born("19630812", "F");
        let stored = scene.send(&hospital, &other).await.unwrap();

        assert!(matches!(stored, Stored::New { .. }), "{stored:?}");
        let hold = only_hold(&scene).await;
        assert_eq!((hold.study_uid.as_str(), hold.reason.as_str()), ("1.2.4", "birth_date_and_sex_differ"));
        assert_eq!((hold.held.birth_date.as_str(), hold.held.sex.as_str()), ("19630812", "F"));
        assert_eq!((hold.known.birth_date.as_str(), hold.known.sex.as_str()), ("19500131", "M"));
        assert_eq!((hold.held.calling_aet.as_str(), hold.patient_id.as_str()), ("HOSP1", "777"));
        assert!(scene.study("HOSP1", "1.2.4").await.unwrap().held);
        // More of it joins it, and opens no second hold.
        let more = patient_2(scene.image("1.2.4", "1.2.4.1.2")).born("19630812", "F");
        scene.send(&hospital, &more).await.unwrap();
        assert_eq!(only_hold(&scene).await.instance_count, 2);
    })
    .await;
}

#[tokio::test]
async fn the_same_person_goes_on_and_both_dates_are_known_from_then_on() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &patient_2(scene.image("1.2.1", "1.2.1.1.1"))).await.unwrap();
        scene.send(&hospital, &patient_2(scene.image("1.2.2", "1.2.2.1.1")).born("19500113", "M")).await.unwrap();
        let hold = only_hold(&scene).await;
        settle(&scene, 1).await;

        let unreasoned = scene.ingest.decide_hold(&office(), hold.id, HoldDecision::SamePerson, "  ").await;
        assert!(matches!(unreasoned, Err(IngestError::ReasonMissing { .. })), "{unreasoned:?}");
        let denied = scene.ingest.decide_hold(&facility_user("HOSP1"), hold.id, HoldDecision::SamePerson, "x").await;
        assert!(matches!(denied, Err(IngestError::Denied)), "{denied:?}");
        scene.ingest.decide_hold(&office(), hold.id, HoldDecision::SamePerson, "電話で確認").await.unwrap();

        let study = scene.study("HOSP1", "1.2.2").await.unwrap();
        assert!(!study.held && !study.patient.provisional);
        assert_eq!(study.patient.pk, scene.study("HOSP1", "1.2.1").await.unwrap().patient.pk);
        let waiting = scene.database.read().await.unwrap().job_list(100).await.unwrap();
        let told = waiting.iter().filter(|job| (job.queue.as_str(), job.state.as_str()) == ("study_settled", "ready"));
        let told: Vec<_> = told.map(|job| job.payload.contains(&study.pk.to_string())).collect();
        assert_eq!(told, [true], "worklist opens the case now: {waiting:?}");
        let again = scene.ingest.decide_hold(&office(), hold.id, HoldDecision::Rejected, "x").await;
        assert!(matches!(again, Err(IngestError::AlreadyDecided)), "{again:?}");

        // Either date is this patient's now; a third one is not.
        for (study, birth_date, held) in
            [("1.2.3", "19500131", false), ("1.2.4", "19500113", false), ("1.2.5", "19500311", true)]
        {
            let image = patient_2(scene.image(study, &format!("{study}.1.1"))).born(birth_date, "M");
            scene.send(&hospital, &image).await.unwrap();
            assert_eq!(scene.study("HOSP1", study).await.unwrap().held, held, "{birth_date}");
        }
    })
    .await;
}

#[tokio::test]
async fn another_person_gets_a_patient_of_one_study_who_is_never_merged() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let other = |sop: &str| patient_2(scene.image("1.2.2", sop)).born("19630812", "F");
        scene.send(&hospital, &patient_2(scene.image("1.2.1", "1.2.1.1.1"))).await.unwrap();
        scene.send(&hospital, &other("1.2.2.1.1")).await.unwrap();
        let hold = only_hold(&scene).await;

        scene.ingest.decide_hold(&office(), hold.id, HoldDecision::AnotherPerson, "患者番号の使い回し").await.unwrap();

        let (first, second) =
            (scene.study("HOSP1", "1.2.1").await.unwrap(), scene.study("HOSP1", "1.2.2").await.unwrap());
        assert_ne!(first.patient.pk, second.patient.pk);
        assert!(second.patient.provisional && !second.held && !first.patient.provisional);
        assert_eq!((second.patient.id.as_str(), second.patient.differs_from_earlier), ("777", false));
        // The rest of the study belongs to it; the next study of the ID is the first patient's.
        scene.send(&hospital, &other("1.2.2.1.2")).await.unwrap();
        assert_eq!(scene.study("HOSP1", "1.2.2").await.unwrap().instance_count, 2);
        scene.send(&hospital, &patient_2(scene.image("1.2.3", "1.2.3.1.1"))).await.unwrap();
        let third = scene.study("HOSP1", "1.2.3").await.unwrap();
        assert_eq!((third.patient.pk, third.held), (first.patient.pk, false));
        // What the other person is called is not known of this ID: the next one like it is held again.
        let again = patient_2(scene.image("1.2.4", "1.2.4.1.1")).born("19630812", "F");
        scene.send(&hospital, &again).await.unwrap();
        assert!(scene.study("HOSP1", "1.2.4").await.unwrap().held);
        let decisions = scene.database.read().await.unwrap().audit_latest(100).await.unwrap();
        assert!(
            decisions.iter().any(|row| row.action == "study.identity" && row.detail.contains("患者番号の使い回し"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_study_that_is_rejected_is_hidden_like_a_withdrawn_one() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &patient_2(scene.image("1.2.1", "1.2.1.1.1"))).await.unwrap();
        scene.send(&hospital, &patient_2(scene.image("1.2.2", "1.2.2.1.1")).born("19630812", "M")).await.unwrap();

        let hold = only_hold(&scene).await.id;
        scene.ingest.decide_hold(&office(), hold, HoldDecision::Rejected, "誤送信").await.unwrap();

        let study = scene.study("HOSP1", "1.2.2").await.unwrap();
        assert_eq!((study.state, study.withdrawn_reason.as_deref()), (StudyState::Withdrawn, Some("誤送信")));
        assert_eq!(scene.ingest.held_studies(&office()).await.unwrap(), []);
        let row = scene.ingest.held_study(&office(), hold).await.unwrap();
        assert_eq!((row.decision, row.decided_by.as_deref()), (Some(HoldDecision::Rejected), Some("account:O1")));
    })
    .await;
}

#[tokio::test]
async fn within_one_study_another_birth_date_goes_to_quarantine_and_an_absent_one_does_not() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        scene.send(&hospital, &patient_2(scene.image("1.2.1", "1.2.1.1.1"))).await.unwrap();
        scene.send(&hospital, &patient_2(scene.image("1.2.1", "1.2.1.1.2")).born("", "")).await.unwrap();

        let other = patient_2(scene.image("1.2.1", "1.2.1.1.3")).born("19630812", "M");
        let refused = scene.send(&hospital, &other).await;

        assert!(matches!(refused, Err(IngestError::Quarantined(QuarantineReason::PatientFactsDiffer))), "{refused:?}");
        assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, 2);
    })
    .await;
}

#[tokio::test]
async fn ids_that_name_nobody_do_not_mix_two_foreign_patients_in_one_study() {
    on_both(|scene| async move {
        let hospital = from("HOSP1", 1);
        let send = async |study: &str, sop: &str, id: &str| {
            scene.send(&hospital, &scene.image(study, sop).with_patient(id, b"A^B", "")).await
        };
        // Nobody and nobody: one unknown patient of this study.
        send("1.2.1", "1.2.1.1.1", "").await.unwrap();
        send("1.2.1", "1.2.1.1.2", "UNKNOWN").await.unwrap();
        let study = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((study.instance_count, study.patient.provisional), (2, true));
        // Somebody is not nobody.
        let known = send("1.2.1", "1.2.1.1.3", "12345").await;
        assert!(matches!(known, Err(IngestError::Quarantined(QuarantineReason::StudyOfAnotherPatient))), "{known:?}");
        // Another study without an ID is another patient.
        send("1.2.2", "1.2.2.1.1", "").await.unwrap();
        assert_ne!(scene.study("HOSP1", "1.2.2").await.unwrap().patient.pk, study.patient.pk);
    })
    .await;
}

/// dcm4chee-arc-light issues 3154 and 4990: four senders with the first objects of a patient made four patients, or one that could not be used.
#[tokio::test]
async fn dcm4chee_3154_concurrent_first_objects_of_a_patient_make_one_patient_and_one_study() {
    on_both(|scene| async move {
        let nodes = [Arc::clone(&scene.ingest), scene.second_node()];
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..4_u64 {
            let (scene, node) = (Arc::clone(&scene), Arc::clone(&nodes[usize::from(sender % 2 == 1)]));
            senders.spawn(async move {
                for number in 0..5 {
                    // One study that all send parts of, and one study of each sender.
                    for study in ["1.2.1".to_owned(), format!("1.2.9{sender}")] {
                        let image = patient_2(scene.image(&study, &format!("{study}.1.{sender}.{number}")));
                        let bytes = image.data_set(Encoding::ExplicitLittleEndian);
                        let (from, class) = (from("HOSP1", sender), "1.2.840.10008.5.1.4.1.1.2");
                        scene.send_object(&node, &from, class, &image.sop_instance_uid, bytes).await.unwrap();
                    }
                }
            });
        }
        senders.join_all().await;

        let shared = scene.study("HOSP1", "1.2.1").await.unwrap();
        assert_eq!((shared.instance_count, shared.series_count, shared.modalities.as_str()), (20, 1, "CT"));
        for sender in 0..4 {
            let own = scene.study("HOSP1", &format!("1.2.9{sender}")).await.unwrap();
            assert_eq!((own.instance_count, own.patient.pk, own.held), (5, shared.patient.pk, false));
        }
        assert_eq!(scene.database.read().await.unwrap().instance_count().await.unwrap(), 40);
        assert_eq!(scene.ingest.quarantine(&office()).await.unwrap().len(), 0);
    })
    .await;
}

/// dcm4chee-arc-light issue 4990, with senders that disagree: whoever comes second is held, on whichever node.
#[tokio::test]
async fn dcm4chee_4990_concurrent_studies_that_contradict_each_other_are_not_both_taken() {
    on_both(|scene| async move {
        let nodes = [Arc::clone(&scene.ingest), scene.second_node()];
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..4_u64 {
            let (scene, node) = (Arc::clone(&scene), Arc::clone(&nodes[usize::from(sender % 2 == 1)]));
            senders.spawn(async move {
                let study = format!("1.2.8{sender}");
                let image = patient_2(scene.image(&study, &format!("{study}.1.1")));
                let image = image.born(if sender < 2 { "19500131" } else { "19630812" }, "M");
                let bytes = image.data_set(Encoding::ExplicitLittleEndian);
                let (from, class) = (from("HOSP1", sender), "1.2.840.10008.5.1.4.1.1.2");
                scene.send_object(&node, &from, class, &image.sop_instance_uid, bytes).await.unwrap();
            });
        }
        senders.join_all().await;

        let mut held = Vec::new();
        for sender in 0..4 {
            held.push(scene.study("HOSP1", &format!("1.2.8{sender}")).await.unwrap().held);
        }
        assert!(held == [false, false, true, true] || held == [true, true, false, false], "{held:?}");
    })
    .await;
}

#[tokio::test]
async fn the_same_patient_id_of_two_hospitals_is_compared_within_each() {
    on_both(|scene| async move {
        let image = patient_2(scene.image("1.2.1", "1.2.1.1.1"));
        scene.send(&from("HOSP1", 1), &image).await.unwrap();
        scene.send(&from("HOSP2", 2), &image.clone().born("19630812", "F")).await.unwrap();
        assert_eq!(scene.ingest.held_studies(&office()).await.unwrap(), []);
        let kanji = image.with_patient("777", b"Yamada^Taro", YAMADA_TARO_CHARACTER_SET);
        assert!(matches!(scene.send(&from("HOSP1", 1), &kanji).await, Err(IngestError::Quarantined(_))));
    })
    .await;
}
