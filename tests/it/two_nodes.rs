//! Two nodes on one PostgreSQL and one store: both receive, either can die, nothing is lost or doubled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dokuei_dimse::Status;
use dokuei_testkit::{data_set::Encoding, eventually, synthetic::CtImage};
use serde_json::json;

use crate::harness::{Index, Object, PATIENCE, TestNode, scu, send, synthetic};

const IMAGES: u32 = 240;
const ASSOCIATIONS: usize = 4;

fn data_sets(images: &[CtImage]) -> BTreeMap<String, Vec<u8>> {
    let of = |image: &CtImage| (image.sop_instance_uid.clone(), image.data_set(Encoding::ExplicitLittleEndian));
    images.iter().map(of).collect()
}

/// Which images a sender holds a success for.
type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Sends the images over four associations, in the order given. An association ends when the node dies.
async fn send_all(
    node: &TestNode,
    images: &[CtImage],
    acknowledged: &Acknowledged,
) -> Vec<tokio::task::JoinHandle<bool>> {
    let next = Arc::new(AtomicUsize::new(0));
    let images: Arc<Vec<CtImage>> = Arc::new(images.to_vec());
    let mut senders = Vec::new();
    for _ in 0..ASSOCIATIONS {
        let mut association = scu(node, "HOSP1").await;
        let (next, images, acknowledged) = (Arc::clone(&next), Arc::clone(&images), Arc::clone(acknowledged));
        senders.push(tokio::spawn(async move {
            while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                match send(&mut association, &Object::ct(image)).await {
                    Ok(status) => {
                        assert_eq!(status, Status::SUCCESS);
                        acknowledged.lock().unwrap().push(image.sop_instance_uid.clone());
                    }
                    Err(_) => return false,
                }
            }
            association.release().await.is_ok()
        }));
    }
    senders
}

async fn both_receive_one_study_and_one_dies(index: Index, on_one_folder: bool) {
    let mut first = TestNode::init(index).await;
    first.add_facility("HOSP1", &["HOSP1"]).await;
    let mut second = first.second().await;
    // Both migrate, or find that it is done, at the same time.
    tokio::join!(first.serve(), second.serve());

    // The same study, from both ends: they meet in the middle.
    let images = synthetic(IMAGES, 960);
    let backwards: Vec<_> = images.iter().rev().cloned().collect();
    let (by_first, by_second) = (Acknowledged::default(), Acknowledged::default());
    let to_first = send_all(&first, &images, &by_first).await;
    let to_second = send_all(&second, &backwards, &by_second).await;
    let busy = eventually("both at work", PATIENCE, || async {
        let counts = (by_first.lock().unwrap().len(), by_second.lock().unwrap().len());
        (counts.0 >= 30 && counts.1 >= 30).then_some(())
    });
    busy.await.unwrap();

    first.kill();

    let mut cut_off = 0;
    for sender in to_first {
        cut_off += usize::from(!sender.await.unwrap());
    }
    assert!(cut_off > 0, "everything was sent before the kill");
    for sender in to_second {
        assert!(sender.await.unwrap(), "the surviving node refused its sender");
    }
    // The sender turns to the other node with everything that it has no success for, and some that it has.
    let known = by_first.lock().unwrap().clone();
    let rest: Vec<_> = images
        .iter()
        .filter(|image| !known.iter().skip(10).any(|uid| *uid == image.sop_instance_uid))
        .cloned()
        .collect();
    for sender in send_all(&second, &rest, &by_first).await {
        assert!(sender.await.unwrap());
    }

    // Nothing lost, nothing doubled: every image once, byte for byte, whoever took it.
    let stored = second.export_study("HOSP1", &images[0].study_instance_uid).await;
    assert!(stored == data_sets(&images), "{} of {IMAGES} images came out, or not as they went in", stored.len());
    assert_eq!(second.indexed_objects().await, i64::from(IMAGES));
    assert_eq!(second.cli(&["quarantine", "list"]).await, json!([]));
    let mut blobs: Vec<_> = if on_one_folder { first.blobs() } else { Vec::new() };
    if let Some(server) = first.s3() {
        blobs = server.objects("node/v1");
    }
    // A blob that was durable when its node died, and had no row yet, is complete and stays: that is how nothing acknowledged is ever lost.
    let orphans = blobs.len() - IMAGES as usize;
    assert!(orphans <= ASSOCIATIONS, "{orphans} blobs that belong to nothing");

    // The dead node's work is taken over: the study settles once, with the right count.
    let settled = second.audited("study.settle", "success", &images[0].study_instance_uid).await;
    assert!(settled.detail.contains(&format!("{IMAGES} instances")), "{settled:?}");
    let jobs_are_done = eventually("no job that belongs to the dead node", 2 * PATIENCE, || async {
        let jobs = second.cli(&["jobs", "list"]).await;
        jobs.as_array().unwrap().iter().all(|job| job["state"] != "running").then_some(())
    });
    jobs_are_done.await.unwrap();

    // It comes back and both agree.
    first.serve().await;
    assert!(first.export_study("HOSP1", &images[0].study_instance_uid).await == stored);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn on_one_bucket_both_receive_one_study_and_one_dies() {
    if let Some(index) = Index::shared() {
        Box::pin(both_receive_one_study_and_one_dies(index, false)).await;
    }
}

#[tokio::test]
async fn on_one_folder_both_receive_one_study_and_one_dies() {
    if let Some(index) = Index::postgres() {
        Box::pin(both_receive_one_study_and_one_dies(index, true)).await;
    }
}

/// A new version starts while the old one runs: it migrates, and the other goes on.
#[tokio::test]
async fn several_nodes_may_start_on_an_empty_database_at_once() {
    let Some(index) = Index::shared() else { return };
    let mut first = TestNode::init(index).await;
    first.lose_database();
    let (mut second, mut third) = (first.second().await, first.second().await);

    tokio::join!(first.serve(), second.serve(), third.serve());

    for node in [&mut first, &mut second, &mut third] {
        node.stop().await;
        let mut complaints = node.complaints();
        // The driver's word about a connection that was given back while it began a transaction.
        complaints.retain(|line| !line.contains("there is no transaction in progress"));
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
