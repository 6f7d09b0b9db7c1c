//! What was stored stays stored: damages are found, shown and repaired from the second copy; what an index has lost comes back by itself.

use std::path::{Path, PathBuf};

use dokuei_dimse::Status;
use dokuei_testkit::{eventually, synthetic::CtImage};
use serde_json::Value;

use crate::harness::{Index, Object, PATIENCE, TestNode, files_below, scu, send, synthetic};

on_both_databases!(
    a_flipped_bit_and_a_deleted_blob_are_found_and_repaired_from_the_copy,
    blobs_that_an_older_index_lacks_are_adopted_at_start,
);

async fn send_all(node: &TestNode, images: &[CtImage]) {
    let mut association = scu(node, "HOSP1").await;
    for image in images {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
}

async fn holds(node: &TestNode, images: &[CtImage]) {
    let stored = node.export_study("HOSP1", &images[0].study_instance_uid).await;
    assert_eq!(stored.len(), images.len());
    assert!(images.iter().map(Object::ct).all(|object| stored.get(&object.sop_instance) == Some(&object.data_set)));
}

async fn status(node: &TestNode) -> Value {
    node.cli(&["storage", "status"]).await["status"].clone()
}

/// Waits until the status is as it should be.
async fn until(node: &TestNode, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let found = eventually(what, PATIENCE, || async { Some(status(node).await).filter(|status| fits(status)) }).await;
    match found {
        Ok(status) => status,
        Err(error) => panic!("{error}: {}\n{}", status(node).await, node.log_text()),
    }
}

fn everything_is_copied(status: &Value) -> bool {
    status["copy"]["waiting"] == 0 && status["copy"]["last_error"].is_null() && !status["copy"]["last_run_at"].is_null()
}

/// The files of one place by their names.
fn contents(place: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let below = |path: &PathBuf| path.strip_prefix(place).unwrap().to_owned();
    files_below(&place.join("v1")).iter().map(|path| (below(path), std::fs::read(path).unwrap())).collect()
}

async fn a_flipped_bit_and_a_deleted_blob_are_found_and_repaired_from_the_copy(index: Index) {
    let mut node = TestNode::init(index).await;
    let copy = node.folder().join("second-copy");
    node.set("image_store.copy_url", format!("file://{}", copy.display()));
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let images = synthetic(4, 71);
    send_all(&node, &images).await;
    until(&node, "a second copy of everything", everything_is_copied).await;
    let sound = contents(&node.image_store());
    assert_eq!(sound.len(), 4);
    assert_eq!(contents(&copy), sound, "the copy is the same, byte for byte");

    let (flipped, deleted) = (node.image_store().join(&sound[0].0), node.image_store().join(&sound[1].0));
    let mut bytes = sound[0].1.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&flipped, &bytes).unwrap();
    std::fs::remove_file(&deleted).unwrap();
    let scrub = node.try_cli(&["storage", "scrub"]).await;

    assert_eq!(scrub.status.code(), Some(1), "{scrub}");
    let found = node.cli(&["storage", "status"]).await;
    let mut kinds: Vec<_> = found["damages"].as_array().unwrap().iter().map(|damage| damage["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["altered", "missing"], "{found}");
    node.audited("blob.damage", "failed", "altered in the store").await;
    let ready = reqwest::get(format!("{}/readyz", node.url())).await.unwrap().text().await.unwrap();
    assert!(ready.contains("stored objects are damaged"), "{ready}");
    let doctor = node.try_cli(&["doctor"]).await;
    assert!(doctor.stdout_text().contains("2 are damaged"), "{doctor}");

    let repaired = node.cli(&["storage", "repair"]).await;

    assert_eq!(repaired["repaired"].as_array().map(Vec::len), Some(2), "{repaired}");
    holds(&node, &images).await;
    assert_eq!(contents(&node.image_store()), sound);
    let aside = files_below(&node.image_store().join("damaged"));
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(std::fs::read(&aside[0]).unwrap() == bytes, "the damaged bytes are kept");
    assert_eq!(node.cli(&["storage", "scrub"]).await["damaged"], 0);
    assert_eq!(status(&node).await["open_damages"], 0);
    node.audited("blob.repair", "success", "damaged/v1/HOSP1/").await;
    node.stop().await;
}

async fn blobs_that_an_older_index_lacks_are_adopted_at_start(index: Index) {
    let shared = matches!(index, Index::Postgres(_));
    let mut node = TestNode::start(index).await;
    let images = synthetic(30, 72);
    send_all(&node, &images).await;
    node.kill();
    node.lose_database();

    node.serve().await;

    if shared {
        // Where other nodes may be filing, the last minutes are left to them; by hand one need not wait, and nothing is adopted twice.
        assert_eq!(node.indexed_objects().await, 0);
        let rebuilt = node.cli(&["rebuild-index"]).await;
        assert_eq!(rebuilt["objects"]["added"], 30, "{rebuilt}");
    } else {
        let adopted = eventually("adoption", PATIENCE, || async { (node.indexed_objects().await == 30).then_some(()) });
        adopted.await.unwrap();
        node.logged("that the index had lost are part of it again").await;
    }
    holds(&node, &images).await;
    // The node works on meanwhile: the facility is known from its blobs, its peers are not.
    assert_eq!(node.cli(&["facility", "list"]).await.as_array().map(Vec::len), Some(1));
    let again = node.cli(&["storage", "reconcile"]).await;
    assert_eq!((&again["adopted"], &again["damaged"]), (&0.into(), &0.into()), "{again}");
    node.stop().await;
}

#[tokio::test]
async fn a_scrub_goes_on_after_kill_where_it_was() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let mut images = synthetic(100, 73);
    images.iter_mut().for_each(|image| image.size = 96);
    send_all(&node, &images).await;
    // The first round, over nothing, is over; the next one is asked for by making its time come.
    until(&node, "the first round", |status| !status["scrub"]["finished_at"].is_null()).await;
    node.stop().await;
    let database = node.database().await;
    let mut tx = database.write().await.unwrap();
    assert!(tx.custody_task_take("scrub", "node", now(), now()).await.unwrap().is_some());
    tx.custody_task_release("scrub", "node", now(), "", None).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;

    // Some three seconds for a batch of 32.
    node.set("image_store.scrub_bytes_per_second", 200_000).serve().await;
    let begun = until(&node, "a first step", |status| status["scrub"]["done"]["blobs"].as_u64() >= Some(32)).await;
    assert_eq!(begun["scrub"]["under_way"], true, "{begun}");
    node.kill();
    node.set("image_store.scrub_bytes_per_second", 0).serve().await;
    let done = until(&node, "the end of the round", |status| status["scrub"]["under_way"] == false).await;

    assert_eq!(done["scrub"]["began_at"], begun["scrub"]["began_at"], "the same round");
    assert_eq!(done["scrub"]["last"]["blobs"], 100, "each once: {done}");
    assert_eq!(done["open_damages"], 0);
    node.stop().await;
}

/// For a row that says when something happened.
#[expect(clippy::disallowed_methods, reason = "the node's process has the system's clock")]
fn now() -> dokuei_domain::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    dokuei_domain::Timestamp(i64::try_from(since.as_micros()).unwrap())
}

#[tokio::test]
async fn a_second_place_that_is_down_holds_nobody_up_and_catches_up() {
    let mut node = TestNode::init(Index::Sqlite).await;
    let (copy, away) = (node.folder().join("second-copy"), node.folder().join("away"));
    node.set("image_store.copy_url", format!("file://{}", copy.display()));
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let first = synthetic(2, 74);
    send_all(&node, &first).await;
    until(&node, "a second copy of everything", everything_is_copied).await;

    std::fs::rename(&copy, &away).unwrap();
    let second = synthetic(3, 75);
    send_all(&node, &second).await;
    let behind =
        until(&node, "the lag", |status| status["copy"]["waiting"] == 3 && !status["copy"]["last_error"].is_null());
    let behind = behind.await;
    assert!(
        behind["copy"]["waiting_bytes"].as_i64() > Some(1000) && !behind["copy"]["waiting_since"].is_null(),
        "{behind}"
    );
    // Started without it, the node starts all the same, and does not take an empty folder in its place.
    node.stop().await;
    node.serve().await;
    let mistaken = until(&node, "the reason", |status| {
        status["copy"]["last_error"].as_str().is_some_and(|error| error.contains("is not the one that was used before"))
    });
    mistaken.await;
    assert!(files_below(&copy.join("v1")).is_empty());

    std::fs::remove_dir_all(&copy).unwrap();
    std::fs::rename(&away, &copy).unwrap();
    until(&node, "a second copy of everything", everything_is_copied).await;
    assert_eq!(contents(&copy), contents(&node.image_store()));
    holds(&node, &second).await;
    node.stop().await;
}
