//! No room: the sender is told to try again, nothing half-stored is seen, and reception goes on when there is room.

use std::path::{Path, PathBuf};

use dokuei_dimse::Status;
use dokuei_testkit::Tool;

use crate::harness::{Index, Object, TestNode, scu, send, send_alone, synthetic};

#[tokio::test]
async fn below_the_low_water_mark_nothing_is_taken() {
    let mut node = TestNode::init(Index::Sqlite).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.set("image_store.low_water_bytes", 1u64 << 40).serve().await;
    let object = Object::ct(&synthetic(1, 61).remove(0));

    assert_eq!(send_alone(&node, "HOSP1", &object).await.unwrap(), Status::OUT_OF_RESOURCES);
    node.audited("instance.receive", "refused", &object.sop_instance).await;
    node.audited("instance.receive", "refused", "short of space").await;
    node.nothing_half_stored().await;
    node.stop().await;

    node.set("image_store.low_water_bytes", 0).serve().await;
    assert_eq!(send_alone(&node, "HOSP1", &object).await.unwrap(), Status::SUCCESS);
    assert!(node.export_instance("HOSP1", &object.sop_instance).await.as_ref() == Some(&object.data_set));
}

/// A file system of a few megabytes in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when this process may not mount; that is said.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    fn mount(folder: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Tool::find("mount").ok()?.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).run().ok()?;
        if mounted.status.success() {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("\n*** SKIPPED, not passed: only root may mount a small disk ***\n{mounted}");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the node's process may be a moment from its end.
        let _ = Tool::find("umount").and_then(|tool| tool.arg("-l").arg(&self.0).run());
    }
}

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
