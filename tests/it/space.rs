//! Little room: refused before the disk is full, said once, and taken up again by itself.

use dokuei_dimse::{Rejection, Status, requestor::AssociationError};
use dokuei_testkit::eventually;

use crate::harness::{Index, Object, PATIENCE, SmallDisk, TestNode, associate, echo, scu, send, synthetic};

const CT_STORAGE: &[(&str, &[&str])] = &[(crate::harness::CT, &["1.2.840.10008.1.2.1"])];

async fn is_rejected(node: &TestNode) -> bool {
    match associate(node, "HOSP1", CT_STORAGE).await {
        Ok(association) => {
            association.release().await.unwrap();
            false
        }
        Err(AssociationError::Rejected(rejection)) => {
            assert_eq!(rejection, Rejection::TEMPORARY_CONGESTION, "transient: the sender tries again");
            true
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn below_the_mark_associations_and_objects_are_refused_until_there_is_room_again() {
    let mut node = TestNode::init(Index::Sqlite).await;
    let Some(disk) = SmallDisk::mount(&node.image_store(), "size=24m,mode=750") else { return };
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.set("image_store.low_water_bytes", 8 << 20).serve().await;
    let mut images = synthetic(40, 63);
    images.iter_mut().for_each(|image| image.size = 512);
    let study = images[0].study_instance_uid.clone();
    let objects: Vec<_> = images.iter().map(Object::ct).collect();
    let mut association = scu(&node, "HOSP1").await;
    assert_eq!(send(&mut association, &objects[0]).await.unwrap(), Status::SUCCESS);

    // Half a megabyte each: the mark is reached long before the disk is full.
    let mut taken = 1;
    let refused = loop {
        match send(&mut association, &objects[taken]).await.unwrap() {
            Status::SUCCESS => taken += 1,
            status => break status,
        }
    };
    assert_eq!(refused, Status::OUT_OF_RESOURCES);
    assert!((20..=33).contains(&taken), "{taken} objects of half a megabyte on 24 MiB with a mark at 8");
    node.audited("instance.receive", "refused", "short of space").await;
    assert!(is_rejected(&node).await);
    node.audited("association.request", "refused", "short of space").await;
    // Who only asks is welcome.
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS);
    for _ in 0..3 {
        assert_eq!(send(&mut association, &objects[taken]).await.unwrap(), Status::OUT_OF_RESOURCES);
    }
    let said = |text: &str| node.log_text().matches(text).count();
    assert_eq!(said("short of space: objects"), 1, "once, not for each object");
    let ready = reqwest::get(format!("{}/readyz", node.url())).await.unwrap();
    assert!(ready.status().is_success(), "who reads can go on");
    assert!(ready.text().await.unwrap().contains("short of space"));
    let status = node.cli(&["storage", "status"]).await;
    assert_eq!(status["space"][0]["low"], true, "{status}");
    let doctor = node.try_cli(&["doctor"]).await;
    assert!(!doctor.status.success() && doctor.stdout_text().contains("nothing is received"), "{doctor}");
    node.nothing_half_stored().await;

    // Somebody makes room: nothing need be restarted.
    let exported = node.export_study("HOSP1", &study).await;
    assert_eq!(exported.len(), taken);
    disk.grow("size=96m");
    let recovered = eventually("room again", PATIENCE, || async { (!is_rejected(&node).await).then_some(()) });
    recovered.await.unwrap();
    for object in &objects[taken..] {
        assert_eq!(send(&mut association, object).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
    assert_eq!(said("there is room again"), 1);
    assert_eq!(node.export_study("HOSP1", &study).await.len(), objects.len());
    node.stop().await;
}

#[tokio::test]
async fn an_index_without_room_refuses_and_recovers() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("index"), "size=6m,mode=750") else { return };
    let database = format!("sqlite://{}", place.path().join("index/dokuei.db").display());
    let images = format!("file://{}", place.path().join("images").display());
    let mut node = TestNode::init(Index::Of { database, images }).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let objects: Vec<_> =
        synthetic(400, 64).iter().map(|image| (image.study_instance_uid.clone(), Object::ct(image))).collect();
    let study = objects[0].0.clone();
    let mut association = scu(&node, "HOSP1").await;
    assert_eq!(send(&mut association, &objects[0].1).await.unwrap(), Status::SUCCESS);
    let free = disk.free_bytes();
    let ballast = disk.fill(free.saturating_sub(300_000));

    let mut acknowledged = 0;
    let mut refused = 0;
    for (_, object) in &objects[1..] {
        match send(&mut association, object).await.unwrap() {
            Status::SUCCESS => acknowledged += 1,
            Status::OUT_OF_RESOURCES => refused += 1,
            other => panic!("{other}"),
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "{acknowledged} objects fit into an index without room");
    std::fs::remove_file(ballast).unwrap();

    // On the same association, and without a restart.
    for (_, object) in &objects {
        assert_eq!(send(&mut association, object).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
    let stored = node.export_study("HOSP1", &study).await;
    assert_eq!(stored.len(), objects.len());
    assert!(objects.iter().all(|(_, object)| stored.get(&object.sop_instance) == Some(&object.data_set)));
    assert_eq!(node.cli(&["quarantine", "list"]).await, serde_json::json!([]));
    node.stop().await;
}

#[tokio::test]
async fn the_disk_of_the_index_is_watched_too() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("index"), "size=16m,mode=750") else { return };
    let database = format!("sqlite://{}", place.path().join("index/dokuei.db").display());
    let images = format!("file://{}", place.path().join("images").display());
    let mut node = TestNode::init(Index::Of { database, images }).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.set("database.low_water_bytes", 4 << 20).serve().await;
    assert!(!is_rejected(&node).await);

    let ballast = disk.fill(disk.free_bytes().saturating_sub(2 << 20));
    let rejected = eventually("refusal", PATIENCE, || async { is_rejected(&node).await.then_some(()) });
    rejected.await.unwrap();
    let status = node.cli(&["storage", "status"]).await;
    assert_eq!((&status["space"][0]["low"], &status["space"][1]["low"]), (&false.into(), &true.into()), "{status}");
    std::fs::remove_file(ballast).unwrap();
    let recovered = eventually("room again", PATIENCE, || async { (!is_rejected(&node).await).then_some(()) });
    recovered.await.unwrap();
    node.stop().await;
}
