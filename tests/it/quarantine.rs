//! What is kept aside, taken back or withdrawn is seen nowhere; what the office releases is.

use std::path::{Path, PathBuf};

use dokuei_testkit::{data_set::Encoding, eventually, rejection_note::SyntheticRejectionNote, synthetic::CtImage};
use serde_json::Value;

use crate::harness::{Index, PATIENCE, Person, TestNode, dcmtk, synthetic, uid};
use crate::loop_story::{Loop, node_with_reader};

on_both_databases!(what_is_taken_back_is_hidden_at_every_door, the_office_decides_what_becomes_of_quarantined_objects);

/// Writes a Part 10 file to send.
fn write(folder: &Path, name: &str, file: Vec<u8>) -> PathBuf {
    let path = folder.join(format!("{name}.dcm"));
    std::fs::write(&path, file).unwrap();
    path
}

fn note(images: &[&CtImage], code: &str, seed: u64) -> SyntheticRejectionNote {
    let named: Vec<_> =
        images.iter().map(|image| (image.series_instance_uid.as_str(), image.sop_instance_uid.as_str())).collect();
    SyntheticRejectionNote::new(code, &images[0].study_instance_uid, &uid(seed), &named)
}

/// The images that the reading page of a case would show, by address.
async fn stack(reader: &Person, case: &str) -> Vec<String> {
    let series = reader.get(&format!("/api/v1/cases/{case}/series")).await.success().json();
    let frames = series.as_array().unwrap().iter().flat_map(|series| series["frames"].as_array().unwrap().clone());
    frames.map(|frame| frame["href"].as_str().unwrap().to_owned()).collect()
}

async fn nothing_of_it_is_exported(node: &TestNode, folder: &Path, study: &str, instance: &str) {
    let target = folder.join("out");
    let exported = node.try_cli(&["export", "--facility", "HOSP1", "--study", study, target.to_str().unwrap()]).await;
    assert!(!exported.status.success(), "{exported}");
    assert!(node.export_instance("HOSP1", instance).await.is_none());
}

async fn what_is_taken_back_is_hidden_at_every_door(index: Index) {
    let Loop { node, reader, clerk } = node_with_reader(index, &[], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let images = synthetic(4, 811);
    let study = images[0].study_instance_uid.clone();
    for image in &images {
        let file = write(folder.path(), &image.sop_instance_uid, image.part10(Encoding::ExplicitLittleEndian));
        node.storescu("HOSP1", &[&file]).await;
    }
    for person in [&reader, &clerk] {
        person.sign_in().await;
    }
    let case = reader.first_case().await;
    let received = async || reader.get("/api/v1/worklist").await.success().json()[0]["received"].clone();
    let frames = stack(&reader, &case).await;
    assert_eq!((frames.len(), received().await), (4, 4.into()));
    for frame in &frames {
        assert_eq!(reader.get(frame).await.status, 200);
    }

    // A note of poor quality for the first and the last.
    let poor = note(&[&images[0], &images[3]], "113001", 812);
    let file = write(folder.path(), "poor", poor.part10(Encoding::ExplicitLittleEndian));
    node.storescu("HOSP1", &[&file]).await;

    assert_eq!(received().await, 2, "on the worklist");
    assert_eq!(stack(&reader, &case).await, frames[1..3], "in the stack");
    for (number, frame) in frames.iter().enumerate() {
        let expected = if matches!(number, 1 | 2) { 200 } else { 404 };
        assert_eq!(reader.get(frame).await.status, expected, "frame {number}");
    }
    let listed = clerk.get("/studies").await.success().text();
    assert!(!listed.contains("KO"), "the note is no series of the study: {listed}");
    let exported = node.export_study("HOSP1", &study).await;
    assert_eq!(exported.len(), 2);
    for (number, image) in images.iter().enumerate() {
        let there = node.export_instance("HOSP1", &image.sop_instance_uid).await.is_some();
        assert_eq!(there, matches!(number, 1 | 2), "export of image {number}");
    }
    assert!(node.export_instance("HOSP1", &poor.sop_instance_uid).await.is_none(), "the note itself");
    // Sent again they stay hidden, and the sender is told that they are stored.
    node.storescu("HOSP1", &[&folder.path().join(format!("{}.dcm", images[0].sop_instance_uid))]).await;
    assert_eq!(stack(&reader, &case).await.len(), 2);

    // The wrong worklist entry for the rest: the case is gone, until an image comes that no note names.
    let wrong = note(&[&images[1], &images[2]], "113038", 813);
    let file = write(folder.path(), "wrong", wrong.part10(Encoding::ExplicitLittleEndian));
    node.storescu("HOSP1", &[&file]).await;
    worklist_has(&reader, 0).await;
    assert_eq!(reader.get(&frames[1]).await.status, 404);
    nothing_of_it_is_exported(&node, folder.path(), &study, &images[1].sop_instance_uid).await;
    let retake = CtImage { sop_instance_uid: uid(814), instance_number: 7, ..images[0].clone() };
    let file = write(folder.path(), "retake", retake.part10(Encoding::ExplicitLittleEndian));
    node.storescu("HOSP1", &[&file]).await;
    let back = worklist_has(&reader, 1).await;
    assert_eq!((&back[0]["case"], &back[0]["received"]), (&Value::from(case.as_str()), &1.into()));

    // 取消 by the facility.
    let key = clerk.get("/studies").await.success().text();
    let key = key.split("/studies/").nth(1).unwrap()[..36].to_owned();
    clerk.submit(&format!("/studies/{key}/withdraw"), &[("reason", "別の患者"), ("confirm", "yes")]).await.success();
    worklist_has(&reader, 0).await;
    for frame in &frames {
        assert_eq!(reader.get(frame).await.status, 404);
    }
    nothing_of_it_is_exported(&node, folder.path(), &study, &retake.sop_instance_uid).await;
    node.audited("instance.reject", "success", "113001").await;
    // Nothing is lost: four images, two notes and the retake lie in the store.
    assert_eq!((node.blobs().len(), node.indexed_objects().await), (7 + facts(&node), 7));
}

/// Blobs that are no objects: what was said about them.
fn facts(node: &TestNode) -> usize {
    node.blobs().iter().filter(|blob| blob.to_string_lossy().contains("fact")).count()
}

async fn worklist_has(reader: &Person, count: usize) -> Vec<Value> {
    let look = || async {
        let entries = reader.get("/api/v1/worklist").await.success().json().as_array().unwrap().clone();
        (entries.len() == count).then_some(entries)
    };
    eventually(&format!("{count} cases on the worklist"), PATIENCE, look).await.unwrap()
}

async fn the_office_decides_what_becomes_of_quarantined_objects(index: Index) {
    let Loop { node, clerk, .. } = node_with_reader(index, &[], &[]).await;
    let office = node.cli(&["user", "add", "--id", "office", "--role", "office", "--name", "事務局"]).await;
    let office = Person::new(&node, &office);
    for person in [&clerk, &office] {
        person.sign_in().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = synthetic(3, 821);
    let study = images[0].study_instance_uid.clone();
    let typing_error = images[1].clone().born("19600410", "M");
    let mut other_pixels = images[0].part10(Encoding::ExplicitLittleEndian);
    *other_pixels.last_mut().unwrap() ^= 1;
    let no_series = CtImage { series_instance_uid: String::new(), ..images[2].clone() };
    let file = write(folder.path(), "first", images[0].part10(Encoding::ExplicitLittleEndian));
    node.storescu("HOSP1", &[&file]).await;
    for (name, file) in [
        ("typing error", typing_error.part10(Encoding::ExplicitLittleEndian)),
        ("other pixels", other_pixels),
        ("no series", no_series.part10(Encoding::ExplicitLittleEndian)),
    ] {
        let path = write(folder.path(), name, file);
        let sent = dcmtk("storescu", &node, "HOSP1", "DOKUEI", &["-d"]).arg(&path).run_async().await.unwrap();
        assert!(!sent.status.success() || sent.all_text().contains("Status"), "{name} was taken: {sent}");
    }
    let held = node.cli(&["quarantine", "list"]).await.as_array().unwrap().clone();
    let id_of = |reason: &str| {
        let row = held.iter().find(|row| row["reason"] == reason);
        row.unwrap_or_else(|| panic!("no {reason} in {held:#?}"))["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(held.len(), 3, "{held:#?}");
    let (differs, same_uid, missing) =
        (id_of("patient_facts_differ"), id_of("same_uid_other_content"), id_of("missing_uid"));

    // Both versions side by side; a reason is asked for.
    let page = format!("/office/quarantine/{differs}");
    assert!(office.get("/office").await.success().text().contains(&page));
    let shown = office.get(&page).await.success().text();
    assert!(shown.contains("1960-04-10") && shown.contains("1960-04-01") && shown.contains("取り込む"), "{shown}");
    assert_eq!(office.submit(&format!("{page}/release"), &[("reason", " ")]).await.status, 422);
    assert_eq!(clerk.submit(&format!("{page}/release"), &[("reason", "x")]).await.status, 404);
    office.submit(&format!("{page}/release"), &[("reason", "技師に確認")]).await.success();
    node.audited("quarantine.release", "success", "技師に確認").await;
    let exported = node.export_study("HOSP1", &study).await;
    assert_eq!(exported.len(), 2);
    assert_eq!(exported[&typing_error.sop_instance_uid], typing_error.data_set(Encoding::ExplicitLittleEndian));

    // What cannot be put right is rejected, here on the command line.
    for id in [&same_uid, &missing] {
        assert!(!office.get(&format!("/office/quarantine/{id}")).await.success().text().contains("取り込む</button>"));
        let released = node.try_cli(&["quarantine", "release", id, "--reason", "x"]).await;
        assert!(!released.status.success(), "{released}");
        assert!(node.cli(&["quarantine", "show", id]).await["not_releasable"].is_string());
        node.cli(&["quarantine", "reject", id, "--reason", "施設に連絡済み"]).await;
    }
    node.audited("quarantine.reject", "success", "施設に連絡済み").await;
    assert_eq!(node.cli(&["quarantine", "list"]).await, Value::Array(Vec::new()));
    let states: Vec<_> = node.cli(&["quarantine", "list", "--all"]).await.as_array().unwrap().clone();
    let rejected = states.iter().filter(|row| row["state"] == "rejected").count();
    assert_eq!((states.len(), rejected), (3, 2), "{states:#?}");
    assert_eq!(node.export_study("HOSP1", &study).await.len(), 2, "the first content stays what it is");
}
