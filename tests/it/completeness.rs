//! When a study is whole: what modalities and archives say of it decides sooner than silence, and what is missing is seen by who signs.

use dokuei_dimse::Status;
use dokuei_testkit::{eventually, synthetic::CtImage};
use serde_json::{Value, json};

use crate::harness::{CT, Index, Object, PATIENCE, TestNode, scu, send, send_alone, synthetic, uid, visit};
use crate::loop_story::{Loop, node_with_reader};

const PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";
const AVAILABILITY: &str = "1.2.840.10008.5.1.4.33";

on_both_databases!(
    a_completed_procedure_step_settles_with_its_last_image,
    an_availability_notification_settles_at_once,
    what_is_missing_is_shown_and_signed_for,
    images_after_the_signature_make_the_next_version,
);

async fn store(node: &TestNode, images: &[CtImage]) {
    let mut association = scu(node, "HOSP1").await;
    for image in images {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
}

fn references(images: &[CtImage]) -> Vec<Value> {
    let reference =
        |image: &CtImage| json!({ "ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": image.sop_instance_uid });
    images.iter().map(reference).collect()
}

/// N-CREATE of a step for a study.
fn begin(step: &str, study: &str) -> Value {
    json!(["create", PROCEDURE_STEP, step, {
        "Modality": "CT", "PerformedStationAETitle": "CT1", "PerformedStationName": "", "PerformedLocation": "",
        "PerformedProcedureStepStartDate": "20260105", "PerformedProcedureStepStartTime": "0910",
        "PerformedProcedureStepID": "P1", "PerformedProcedureStepStatus": "IN PROGRESS",
        "ScheduledStepAttributesSequence": [{ "StudyInstanceUID": study, "AccessionNumber": "" }],
        "PerformedSeriesSequence": [], "PatientName": "", "PatientID": "",
    }])
}

/// N-SET that ends the step with these images.
fn end(step: &str, state: &str, images: &[CtImage]) -> Value {
    json!(["set", PROCEDURE_STEP, step, {
        "PerformedProcedureStepStatus": state,
        "PerformedProcedureStepEndDate": "20260105", "PerformedProcedureStepEndTime": "0920",
        "PerformedSeriesSequence": [{
            "SeriesInstanceUID": images[0].series_instance_uid, "ProtocolName": "HEAD", "ReferencedImageSequence": references(images),
        }],
    }])
}

/// Waits until the first line of the worklist looks like this.
async fn case_becomes(node: &TestNode, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || async {
        let row = node.cli(&["worklist", "list"]).await.get_mut(0).map(Value::take)?;
        wanted(&row).then_some(row)
    };
    match eventually("a case on the worklist", PATIENCE, look).await {
        Ok(row) => row,
        Err(error) => panic!("{error}: {:#}\n{}", node.cli(&["worklist", "list"]).await, node.log_text()),
    }
}

async fn a_completed_procedure_step_settles_with_its_last_image(index: Index) {
    // Nobody would wait for silence here: the story takes a minute at most.
    let settings = [("worklist.settle_quiet_seconds", "600"), ("worklist.settle_patience_seconds", "3600")];
    let Loop { mut node, .. } = node_with_reader(index, &[], &settings).await;
    let images = synthetic(4, 9_101);
    let (step, study) = (uid(9_102), images[0].study_instance_uid.clone());
    let port = node.dicom().port();

    let modality = visit("HOSP1", port, None, &[begin(&step, &study)]).await;
    assert_eq!((modality.statuses(), &modality.answers[0]["instance"]), (vec![0x0000], &json!(step)));
    store(&node, &images[..3]).await;
    let modality = visit("HOSP1", port, None, &[end(&step, "COMPLETED", &images)]).await;
    assert_eq!(modality.statuses(), [0x0000]);
    node.audited("procedure_step.set", "success", "COMPLETED, 4 objects").await;
    assert_eq!(node.cli(&["worklist", "list"]).await, json!([]), "one image is missing");

    store(&node, &images[3..]).await;

    node.audited("study.settle", "success", "4 instances; all 4 objects of the completed procedure step are here")
        .await;
    let case = case_becomes(&node, |row| row.is_object()).await;
    assert_eq!((&case["received"], &case["expected"]), (&json!(4), &json!(4)));
    node.stop().await;
}

async fn an_availability_notification_settles_at_once(index: Index) {
    let settings = [("worklist.settle_quiet_seconds", "600")];
    let Loop { mut node, .. } = node_with_reader(index, &[], &settings).await;
    let images = synthetic(3, 9_111);
    store(&node, &images).await;
    let mut listed = references(&images);
    for item in &mut listed {
        item["InstanceAvailability"] = json!("ONLINE");
        item["RetrieveAETitle"] = json!("PACS");
    }
    listed.push(json!({
        "ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": uid(9_112), "InstanceAvailability": "UNAVAILABLE", "RetrieveAETitle": "PACS",
    }));
    let notification = json!(["create", AVAILABILITY, null, {
        "ReferencedPerformedProcedureStepSequence": [], "StudyInstanceUID": images[0].study_instance_uid,
        "ReferencedSeriesSequence": [{ "SeriesInstanceUID": images[0].series_instance_uid, "ReferencedSOPSequence": listed }],
    }]);

    let archive = visit("HOSP1", node.dicom().port(), None, &[notification]).await;

    assert_eq!(archive.statuses(), [0x0000]);
    assert!(archive.answers[0]["instance"].as_str().unwrap().starts_with("2.25."), "it was given a name");
    node.audited("availability.notify", "success", "3 objects exist, 1 are unavailable").await;
    node.audited("study.settle", "success", "all 3 objects of the availability notification are here").await;
    case_becomes(&node, |row| row["received"] == 3 && row["expected"] == 3).await;
    node.stop().await;
}

async fn what_is_missing_is_shown_and_signed_for(index: Index) {
    let settings = [("worklist.settle_patience_seconds", "2")];
    let Loop { mut node, reader, .. } = node_with_reader(index, &[], &settings).await;
    let images = synthetic(5, 9_121);
    let (step, port) = (uid(9_122), node.dicom().port());
    let steps = [begin(&step, &images[0].study_instance_uid), end(&step, "COMPLETED", &images)];
    assert_eq!(visit("HOSP1", port, None, &steps).await.statuses(), [0x0000, 0x0000]);
    store(&node, &images[..3]).await;

    // It is read all the same, and says what it is.
    case_becomes(&node, |row| row["received"] == 3 && row["expected"] == 5).await;
    node.audited("study.settle", "success", "incomplete: 2 of 5 listed objects have not come").await;
    reader.sign_in().await;
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    let refused = reader.try_sign(&case).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(refused.json()["kind"], "incomplete_not_confirmed", "{}", refused.text());
    let mut signature = reader.signature().await;
    signature["confirm_incomplete"] = json!(true);
    reader.post(&format!("/api/v1/cases/{case}/sign"), &signature).await.success();
    node.audited("report.sign", "success", "").await;
    node.stop().await;
}

async fn images_after_the_signature_make_the_next_version(index: Index) {
    let Loop { mut node, reader, .. } = node_with_reader(index, &[], &[]).await;
    let images = synthetic(3, 9_131);
    store(&node, &images[..2]).await;
    reader.sign_in().await;
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    reader.sign(&case).await;

    assert_eq!(send_alone(&node, "HOSP1", &Object::ct(&images[2])).await.unwrap(), Status::SUCCESS);

    // It is on the reader's worklist again, with what was written.
    node.audited("case.images_added", "success", "1 images since version 1").await;
    let row = case_becomes(&node, |row| row["state"] == "assigned").await;
    assert_eq!((&row["case"], &row["added_instances"]), (&json!(case), &json!(1)));
    assert_eq!(reader.first_case().await, case);
    reader.submit(&format!("/cases/{case}/claim"), &[]).await.success();
    let second = reader.sign(&case).await;
    let shown = node.cli(&["report", "show", &second]).await;
    assert_eq!(shown["number"], 2, "{shown:#}");
    case_becomes(&node, |row| row["state"] != "assigned" && row["added_instances"].is_null()).await;
    node.stop().await;
}

#[tokio::test]
async fn a_modality_is_told_what_is_wrong() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let images = synthetic(1, 9_141);
    let (step, study) = (uid(9_142), images[0].study_instance_uid.clone());
    let without_status = {
        let mut step = begin(&uid(9_143), &study);
        step[3].as_object_mut().unwrap().remove("PerformedProcedureStepID");
        step
    };
    let ended_at_once = {
        let mut step = begin(&uid(9_144), &study);
        step[3]["PerformedProcedureStepStatus"] = json!("COMPLETED");
        step
    };
    let steps = [
        begin(&step, &study),
        begin(&step, &study),
        end(&uid(9_145), "COMPLETED", &images),
        without_status,
        ended_at_once,
        end(&step, "DONE", &images),
        end(&step, "DISCONTINUED", &images),
        end(&step, "COMPLETED", &images),
    ];

    let modality = visit("HOSP1", node.dicom().port(), None, &steps).await;

    assert_eq!(modality.statuses(), [0x0000, 0x0111, 0x0112, 0x0120, 0x0106, 0x0106, 0x0000, 0x0110]);
    assert_eq!(modality.answers[3]["comment"], "(0040,0253) is missing");
    assert_eq!(modality.answers[7]["comment"], "error ID A710H: the step may no longer be updated");
    node.stop().await;
}
