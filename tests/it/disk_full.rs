//! No room: the sender is told to try again, nothing half-stored is seen, and reception goes on when there is room.

use dokuei_dimse::Status;

use crate::harness::{Index, Object, SmallDisk, TestNode, scu, send, synthetic};

#[tokio::test]
async fn a_full_disk_is_told_to_the_sender_and_passes() {
    let mut node = TestNode::init(Index::Sqlite).await;
    let Some(_disk) = SmallDisk::mount(&node.image_store(), "size=6m,mode=750") else { return };
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let ballast = node.image_store().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    // Half a megabyte each.
    let mut images = synthetic(12, 62);
    images.iter_mut().for_each(|image| image.size = 512);
    let study = images[0].study_instance_uid.clone();
    let objects: Vec<_> = images.iter().map(Object::ct).collect();

    let mut association = scu(&node, "HOSP1").await;
    let mut answers = Vec::new();
    for object in &objects {
        answers.push(send(&mut association, object).await.expect("the association must outlive a full disk"));
    }
    let taken = answers.iter().filter(|status| **status == Status::SUCCESS).count();
    assert!((1..=6).contains(&taken), "{answers:?}");
    assert!(answers.iter().all(|status| status.is_success() || *status == Status::OUT_OF_RESOURCES), "{answers:?}");
    let refused = objects.iter().zip(&answers).find(|(_, status)| !status.is_success()).unwrap().0;
    node.audited("instance.receive", "refused", &refused.sop_instance).await;
    node.nothing_half_stored().await;
    let stored = node.export_study("HOSP1", &study).await;
    assert_eq!(stored.len(), taken);
    assert!(objects.iter().zip(&answers).all(|(object, status)| {
        stored.get(&object.sop_instance) == status.is_success().then_some(&object.data_set)
    }));

    // Somebody makes room; the sender tries again what it was told to try again, on the same association.
    std::fs::remove_file(ballast).unwrap();
    for object in objects.iter().take(taken + 2) {
        assert_eq!(send(&mut association, object).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
    assert_eq!(node.export_study("HOSP1", &study).await.len(), taken + 2);
    node.nothing_half_stored().await;
    node.stop().await;
}
