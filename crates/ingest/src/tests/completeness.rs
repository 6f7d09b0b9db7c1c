//! What others say of a study, and what two nodes know of each other.

use dokuei_dataset::{
    normalized::{AvailabilityNotification, ListedInstance, ProcedureStepAttributes, ProcedureStepState},
    tag,
    vr::Vr,
    writer::{DataSetWriter, Item},
};

use super::*;
use crate::ProcedureStepError;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn uids(list: &[&str]) -> Vec<SopInstanceUid> {
    list.iter().map(|uid| SopInstanceUid::parse(uid).unwrap()).collect()
}

/// A step that begins, for these studies.
fn beginning(studies: &[&str]) -> ProcedureStepAttributes {
    let scheduled = |study: &&str| {
        let mut item = Item::new();
        item.text(tag::STUDY_INSTANCE_UID, Vr::UI, study);
        item
    };
    let mut data_set = DataSetWriter::new();
    data_set
        .text(tag::MODALITY, Vr::CS, "CT")
        .text(tag::PERFORMED_STATION_AE_TITLE, Vr::AE, "CT1")
        .text(tag::PERFORMED_PROCEDURE_STEP_START_DATE, Vr::DA, "20260105")
        .text(tag::PERFORMED_PROCEDURE_STEP_START_TIME, Vr::TM, "0910")
        .text(tag::PERFORMED_PROCEDURE_STEP_STATUS, Vr::CS, "IN PROGRESS")
        .text(tag::PERFORMED_PROCEDURE_STEP_ID, Vr::SH, "P1")
        .items(tag::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, studies.iter().map(scheduled).collect());
    let transfer_syntax = TransferSyntaxUid::parse(EXPLICIT).unwrap();
    ProcedureStepAttributes::parse(&data_set.encode().unwrap(), &transfer_syntax).unwrap()
}

fn ending(state: ProcedureStepState, instances: &[&str]) -> ProcedureStepAttributes {
    ProcedureStepAttributes {
        state: Some(state),
        end_date: Some("20260105".to_owned()),
        instances: Some(uids(instances)),
        ..ProcedureStepAttributes::default()
    }
}

impl Scene {
    async fn counts(&self, study: &str) -> (StudyState, i64, Option<i64>) {
        let row = self.study("HOSP1", study).await.unwrap();
        (row.state, row.instance_count, row.expected_instances)
    }

    async fn evidence(&self, study: &str) -> String {
        let row = self.study("HOSP1", study).await.unwrap();
        self.ingest.completeness(&Actor::CommandLine, row.pk).await.unwrap().1
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(Duration::from_secs(seconds.try_into().unwrap()));
    }
}

#[tokio::test]
async fn a_completed_step_settles_its_study_with_the_last_image_on_an_open_association() {
    on_both(|scene| async move {
        let modality = from("HOSP1", 7);
        let step = scene.ingest.procedure_step_create(&modality, None, &beginning(&["1.2.1"])).await.unwrap();
        for sop in ["1.2.1.1.1", "1.2.1.1.2"] {
            scene.send(&from("HOSP1", 1), &scene.image("1.2.1", sop)).await.unwrap();
        }
        let list = ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"];
        let completed = ending(ProcedureStepState::Completed, &list);
        scene.ingest.procedure_step_set(&modality, &step, &completed).await.unwrap();
        scene.run_jobs().await;
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 2, Some(3)));

        scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.3")).await.unwrap();
        scene.pass(10);
        scene.run_jobs().await;

        assert_eq!(scene.counts("1.2.1").await, (StudyState::Settled, 3, Some(3)));
        assert_eq!(scene.evidence("1.2.1").await, "all 3 objects of the completed procedure step are here");
        let again = scene.ingest.procedure_step_set(&modality, &step, &completed).await;
        assert!(matches!(again, Err(ProcedureStepError::Final)), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_listed_and_does_not_come_is_waited_for_and_then_said() {
    on_both(|scene| async move {
        let modality = from("HOSP1", 7);
        let step = scene.ingest.procedure_step_create(&modality, None, &beginning(&["1.2.1"])).await.unwrap();
        let list = ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"];
        scene.ingest.procedure_step_set(&modality, &step, &ending(ProcedureStepState::Completed, &list)).await.unwrap();
        // Two that nobody listed, and one that was: three are here, and two are missing all the same.
        for sop in ["1.2.1.1.1", "1.2.1.2.1", "1.2.1.2.2"] {
            scene.send(&from("HOSP1", 1), &scene.image("1.2.1", sop)).await.unwrap();
        }
        scene.ingest.association_ended(1).await;
        scene.run_jobs().await;
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 3, Some(5)));

        scene.pass(QUIET + 1);
        scene.run_jobs().await;
        assert_eq!(scene.counts("1.2.1").await.0, StudyState::Receiving, "silence is not enough");
        scene.pass(4 * QUIET);
        scene.run_jobs().await;

        assert_eq!(scene.counts("1.2.1").await, (StudyState::Settled, 3, Some(5)));
        let evidence = scene.evidence("1.2.1").await;
        assert!(evidence.contains("incomplete: 2 of 3 listed objects have not come"), "{evidence}");
    })
    .await;
}

#[tokio::test]
async fn another_hospitals_lists_and_images_do_not_count() {
    on_both(|scene| async move {
        let stranger = from("HOSP2", 8);
        let step = scene.ingest.procedure_step_create(&stranger, None, &beginning(&["1.2.1"])).await.unwrap();
        let foreign = scene
            .ingest
            .procedure_step_set(&from("HOSP1", 7), &step, &ending(ProcedureStepState::Completed, &[]))
            .await;
        assert!(matches!(foreign, Err(ProcedureStepError::Unknown)), "{foreign:?}");
        scene.send(&stranger, &scene.image("1.2.1", "1.2.1.1.2")).await.unwrap();
        scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        let study = StudyUid::parse("1.2.1").unwrap();
        let hospital = FacilityId::parse("HOSP1").unwrap();

        scene.ingest.expect(&hospital, &study, "order", &uids(&["1.2.1.1.1", "1.2.1.1.2"])).await.unwrap();
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 1, Some(2)));
        scene.ingest.expect(&hospital, &study, "order", &uids(&["1.2.1.1.1"])).await.unwrap();
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 1, Some(1)));
        scene.ingest.expect(&hospital, &study, "order", &[]).await.unwrap();
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 1, None));
    })
    .await;
}

#[tokio::test]
async fn notifications_add_up_and_what_became_unavailable_is_not_waited_for() {
    on_both(|scene| async move {
        let archive = from("HOSP1", 7);
        let notify = |listed: &'static [(&'static str, bool)]| {
            let instances = listed
                .iter()
                .map(|(uid, exists)| ListedInstance {
                    sop_instance: SopInstanceUid::parse(uid).unwrap(),
                    exists: *exists,
                })
                .collect();
            let notification = AvailabilityNotification { study: StudyUid::parse("1.2.1").unwrap(), instances };
            let (ingest, archive) = (Arc::clone(&scene.ingest), archive.clone());
            async move { ingest.notify_availability(&archive, &notification).await.unwrap() }
        };
        notify(&[("1.2.1.1.1", true), ("1.2.1.1.2", true)]).await;
        scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        notify(&[("1.2.1.1.3", true)]).await;
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Receiving, 1, Some(3)));

        notify(&[("1.2.1.1.2", false), ("1.2.1.1.3", false)]).await;
        scene.run_jobs().await;
        assert_eq!(scene.counts("1.2.1").await, (StudyState::Settled, 1, Some(1)));
    })
    .await;
}

#[tokio::test]
async fn a_node_does_not_settle_what_another_one_is_receiving() {
    on_both(|scene| async move {
        scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
        let other = scene.second_node();
        let work_of_other = || async {
            let (handlers, settings) = (other.handlers(), RunnerSettings::new("other"));
            let runner =
                Runner::new(scene.database.clone(), scene.ambient.clone(), handlers, other.periodics(), settings);
            runner.run_until_idle().await.unwrap();
        };
        // The association stays open, and its node says so every few seconds.
        for _ in 0..3 {
            scene.pass(QUIET / 2);
            scene.run_jobs().await;
            work_of_other().await;
        }
        assert_eq!(scene.counts("1.2.1").await.0, StudyState::Receiving);

        // The node with the association dies.
        scene.pass(QUIET);
        work_of_other().await;
        scene.pass(QUIET);
        work_of_other().await;
        assert_eq!(scene.counts("1.2.1").await.0, StudyState::Settled);
        assert_eq!(scene.evidence("1.2.1").await, "no image for the quiet time");
    })
    .await;
}
