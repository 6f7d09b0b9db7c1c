//! From the settled study to the case on somebody's worklist.

use dokuei_dimse::Status;
use dokuei_testkit::{
    eventually,
    synthetic::{CtImage, YAMADA_TARO_CHARACTER_SET, YAMADA_TARO_NAME},
};
use serde_json::{Value, json};

use crate::harness::{Index, Object, PATIENCE, TestNode, scu, send, synthetic};

on_both_databases!(
    a_settled_study_opens_a_case_for_reading_and_none_for_a_prior,
    a_case_goes_to_a_reader_with_the_skill_and_says_why,
);

async fn send_all(node: &TestNode, calling: &str, images: &[CtImage]) {
    let mut association = scu(node, calling).await;
    for image in images {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
}

/// Waits for the worklist to have this many entries and, when a reader is expected, until everybody is assigned.
async fn worklist(node: &TestNode, count: usize, assigned: bool) -> Vec<Value> {
    let entries = || async {
        let entries = node.cli(&["worklist", "list"]).await;
        let entries = entries.as_array().unwrap().clone();
        let settled = entries.iter().all(|entry| entry["reader"].is_string() || !assigned);
        (entries.len() == count && settled).then_some(entries)
    };
    eventually(&format!("{count} cases on the worklist"), PATIENCE, entries).await.unwrap()
}

fn yamada(count: u32, seed: u64) -> Vec<CtImage> {
    let images = synthetic(count, seed).into_iter();
    images.map(|image| image.with_patient("K-77", YAMADA_TARO_NAME, YAMADA_TARO_CHARACTER_SET)).collect()
}

async fn a_settled_study_opens_a_case_for_reading_and_none_for_a_prior(index: Index) {
    let mut node = TestNode::init(index).await;
    node.add_facility("HOSP1", &["MODALITY:reading", "ARCHIVE:prior", "EVERYTHING:both"]).await;
    node.serve().await;
    let (new, prior, both) = (yamada(3, 81), yamada(2, 82), yamada(1, 83));

    send_all(&node, "ARCHIVE", &prior).await;
    send_all(&node, "MODALITY", &new).await;
    node.audited("study.settle", "success", &prior[0].study_instance_uid).await;
    node.audited("study.settle", "success", &new[0].study_instance_uid).await;

    let entries = worklist(&node, 1, false).await;
    let entry = &entries[0];
    assert_eq!(entry["studies"], json!([new[0].study_instance_uid]));
    // Sent in ISO 2022 IR 87, whose kanji contain bytes that look like delimiters.
    assert_eq!(entry["patient_name"], "山田 太郎");
    assert_eq!(entry["patient_id"], "K-77");
    assert_eq!((&entry["modalities"], &entry["body_part"]), (&json!("CT"), &json!("HEAD")));
    assert_eq!((&entry["facility"], &entry["facility_name"]), (&json!("HOSP1"), &json!("デモ病院")));
    assert_eq!(
        (&entry["received"], &entry["state"], &entry["priority"]),
        (&json!(3), &json!("waiting"), &json!("routine"))
    );
    node.audited("case.open", "success", "routine").await;

    send_all(&node, "EVERYTHING", &both).await;
    worklist(&node, 2, false).await;

    // Late images join their study and open nothing.
    let mut late = yamada(4, 81);
    send_all(&node, "MODALITY", &late.split_off(3)).await;
    let counted = eventually("the fourth image on the worklist", PATIENCE, || async {
        let entries = worklist(&node, 2, false).await;
        entries.iter().any(|entry| entry["received"] == 4).then_some(())
    });
    counted.await.unwrap();

    // The names that were logged are none.
    node.stop().await;
    let log = node.log_text();
    assert!(!log.contains("K-77") && !log.contains("Yamada") && !log.contains("山田"), "a patient is in the log");
}

async fn a_case_goes_to_a_reader_with_the_skill_and_says_why(index: Index) {
    let mut node = TestNode::init(index).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    for (id, name, modality) in [("R1", "Sato^Hanako=佐藤^花子", "CT,MR"), ("R2", "Suzuki^Ichiro=鈴木^一郎", "MR")]
    {
        node.cli(&["reader", "add", "--id", id, "--name", name, "--modality", modality]).await;
    }
    node.serve().await;
    let images = yamada(2, 85);
    let study = images[0].study_instance_uid.clone();
    send_all(&node, "HOSP1", &images).await;
    let case = worklist(&node, 1, true).await.remove(0);
    let id = case["case"].as_str().unwrap();

    assert_eq!(case["reader"], "R1");
    let reasons = case["reasons"].to_string();
    assert!(reasons.contains("R1") && reasons.contains("R2") && reasons.contains("CT"), "{reasons}");
    node.audited("case.assign", "success", "R1").await;

    // What the hospital asks, by command.
    let request = [
        "--question",
        "頭痛。出血の有無をお願いします。",
        "--callback",
        "088-000-0000",
        "--physician",
        "内科 外来",
        "--priority",
        "emergency",
    ];
    let entered = [&["worklist", "request", "--facility", "HOSP1", "--study", study.as_str()][..], &request].concat();
    node.cli(&entered).await;
    let shown = node.cli(&["worklist", "show", id]).await;
    assert_eq!(shown["request"]["clinical_question"], "頭痛。出血の有無をお願いします。");
    assert_eq!(shown["request"]["callback_number"], "088-000-0000");
    assert_eq!(shown["request"]["requesting_physician"], "内科 外来");
    assert_eq!(shown["priority"], "emergency");
    assert!(shown["due_at"].as_str() < case["due_at"].as_str(), "an emergency is due earlier: {shown}");
    assert_eq!(shown["workitems"].as_array().unwrap().len(), 1);

    // The office decides otherwise, and then leaves it to the node again.
    let chosen = node.cli(&["worklist", "assign", id, "--reader", "R2"]).await;
    assert_eq!(chosen["reader"], "R2");
    assert_eq!(worklist(&node, 1, true).await[0]["reader"], "R2");
    let again = node.cli(&["worklist", "assign", id]).await;
    assert_eq!(again["reader"], "R1");
    let unknown = node.try_cli(&["worklist", "assign", id, "--reader", "NOBODY"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown}");
    assert_eq!(worklist(&node, 1, true).await[0]["reader"], "R1");

    // Nothing is left undone.
    let jobs = node.cli(&["jobs", "list"]).await;
    assert!(jobs.as_array().unwrap().iter().all(|job| job["state"] != "dead"), "{jobs:#}");
    node.stop().await;
}
