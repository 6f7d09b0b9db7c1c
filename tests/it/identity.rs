//! Whose study is it: a study that contradicts its patient is taken and waits for the office, which answers on its page or on the command line.

use std::path::Path;

use dokuei_testkit::{data_set::Encoding, eventually, synthetic::CtImage};
use serde_json::Value;

use crate::harness::{Index, PATIENCE, Person, TestNode, synthetic};
use crate::loop_story::{Loop, node_with_reader};

on_both_databases!(a_study_that_contradicts_its_patient_waits_for_the_office);

/// Sends a study of two images of the patient K-9 with DCMTK and gives its UID.
async fn send_study(node: &TestNode, folder: &Path, seed: u64, birth_date: &str, sex: &str) -> String {
    let images = synthetic(2, seed).into_iter();
    let images: Vec<CtImage> =
        images.map(|image| image.with_patient("K-9", "Mori^Aki", "ISO_IR 100").born(birth_date, sex)).collect();
    let files = folder.join(seed.to_string());
    std::fs::create_dir_all(&files).unwrap();
    for (number, image) in images.iter().enumerate() {
        std::fs::write(files.join(format!("{number}.dcm")), image.part10(Encoding::ExplicitLittleEndian)).unwrap();
    }
    node.storescu("HOSP1", &[&files]).await;
    images[0].study_instance_uid.clone()
}

/// The cases on the list when there are so many.
async fn cases(person: &Person, count: usize) -> Vec<Value> {
    let look = || async {
        let entries = person.get("/api/v1/worklist").await.success().json().as_array().unwrap().clone();
        (entries.len() == count).then_some(entries)
    };
    eventually(&format!("{count} cases on the worklist"), PATIENCE, look).await.unwrap()
}

/// The hold of a study, as the command line lists it.
async fn hold_of(node: &TestNode, study: &str) -> Value {
    let holds = node.cli(&["identity", "list"]).await.as_array().unwrap().clone();
    let hold = holds.iter().find(|hold| hold["study"] == study);
    hold.unwrap_or_else(|| panic!("{study} is not held: {holds:#?}")).clone()
}

async fn a_study_that_contradicts_its_patient_waits_for_the_office(index: Index) {
    let Loop { node, reader, clerk } = node_with_reader(index, &[], &[]).await;
    let office = node.cli(&["user", "add", "--id", "office", "--role", "office", "--name", "事務局"]).await;
    let office = Person::new(&node, &office);
    for person in [&reader, &clerk, &office] {
        person.sign_in().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let first = send_study(&node, folder.path(), 711, "19500131", "M").await;
    assert_eq!(cases(&reader, 1).await[0]["studies"][0]["uid"], first.as_str());

    // Taken with success, kept whole, and held: three with another birth date or sex, one with neither.
    let same = send_study(&node, folder.path(), 712, "19500113", "M").await;
    let other = send_study(&node, folder.path(), 713, "19630812", "F").await;
    let wrong = send_study(&node, folder.path(), 714, "20010203", "F").await;
    let unknown = send_study(&node, folder.path(), 715, "", "O").await;
    for study in [&same, &other, &wrong, &unknown] {
        assert_eq!(node.export_study("HOSP1", study).await.len(), 2, "{study}");
    }
    let uids: Vec<_> = cases(&reader, 2).await.iter().map(|case| case["studies"][0]["uid"].clone()).collect();
    assert!(uids.contains(&Value::from(first.as_str())) && uids.contains(&Value::from(unknown.as_str())), "{uids:?}");

    // The office sees both versions, and answers with a reason.
    let hold = hold_of(&node, &same).await;
    assert_eq!((&hold["reason"], &hold["instances"]), (&"birth_date_differs".into(), &2.into()));
    let page = format!("/office/holds/{}", hold["id"].as_str().unwrap());
    assert!(office.get("/office").await.success().text().contains(&page));
    let shown = office.get(&page).await.success().text();
    for part in ["1950-01-13", "1950-01-31", "Mori Aki", "HOSP1", "同一人物"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for person in [&reader, &clerk] {
        assert_eq!(person.get(&page).await.status, 404);
    }
    let decide = format!("{page}/decide");
    let unreasoned = office.submit(&decide, &[("decision", "same_person"), ("reason", "")]).await;
    assert_eq!(unreasoned.status, 422, "{unreasoned:?}");
    office.submit(&decide, &[("decision", "same_person"), ("reason", "電話で確認")]).await.success();
    let twice = office.submit(&decide, &[("decision", "rejected"), ("reason", "x")]).await;
    assert_eq!(twice.status, 409, "{twice:?}");
    node.audited("study.identity", "success", "電話で確認").await;
    cases(&reader, 3).await;

    // On the command line: another person, and one that is not taken.
    let hold = hold_of(&node, &other).await;
    let id = hold["id"].as_str().unwrap();
    node.cli(&["identity", "decide", id, "another-person", "--reason", "IDの使い回し"]).await;
    let all = cases(&reader, 4).await;
    let case = all.iter().find(|case| case["studies"][0]["uid"] == other.as_str()).unwrap();
    assert_eq!((&case["patient"]["provisional"], &case["patient"]["birth_date"]), (&true.into(), &"19630812".into()));
    let id = hold_of(&node, &wrong).await["id"].as_str().unwrap().to_owned();
    node.cli(&["identity", "decide", &id, "reject", "--reason", "誤送信"]).await;
    let gone = node
        .try_cli(&["export", "--facility", "HOSP1", "--study", &wrong, folder.path().join("out").to_str().unwrap()])
        .await;
    assert!(!gone.status.success(), "{gone}");
    assert_eq!(node.cli(&["identity", "list"]).await, Value::Array(Vec::new()));
    assert_eq!(node.cli(&["identity", "show", &id]).await["decision"], "rejected");
    cases(&reader, 4).await;
}
