//! `dokuei import`: folders and media into the archive.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dokuei_dimse::Status;
use dokuei_testkit::{
    NodeCommand,
    data_set::{Encoding, data_set_of},
    eventually,
    synthetic::CtImage,
    testdata, testdata_files,
};
use serde_json::{Value, json};

use crate::harness::{Index, Object, PATIENCE, TestNode, scu, send, synthetic};

fn write_all(folder: &Path, images: &[CtImage]) {
    for (number, image) in images.iter().enumerate() {
        let inner = folder.join(format!("S{}", number % 3));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join(format!("IM{number:05}")), image.part10(Encoding::ExplicitLittleEndian)).unwrap();
    }
}

fn data_sets(images: &[CtImage]) -> BTreeMap<String, Vec<u8>> {
    let of = |image: &CtImage| (image.sop_instance_uid.clone(), image.data_set(Encoding::ExplicitLittleEndian));
    images.iter().map(of).collect()
}

on_both_databases!(a_medium_is_imported_and_opens_no_case, an_import_runs_beside_a_node_that_receives);

async fn a_medium_is_imported_and_opens_no_case(index: Index) {
    let mut node = TestNode::start(index).await;
    let folder = testdata("dicomdir/dicomdirtests");
    let files: Vec<_> =
        testdata_files().into_iter().filter(|file| file.path.starts_with("dicomdir/") && file.storable()).collect();
    let import = ["import", "--facility", "HOSP1", folder.to_str().unwrap()];

    let output = node.try_cli(&import).await;
    assert_eq!(output.status.code(), Some(1), "two of its patients are not on the medium: {output}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["stored"], &summary["by_dicomdir"]), (&files.len().into(), &true.into()), "{output}");
    let reasons = summary["reasons"].as_object().unwrap();
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["named by the DICOMDIR, but not there"], "{output}");
    for file in &files {
        let stored = node.export_instance("HOSP1", &file.sop_uid).await;
        assert!(stored.as_deref() == Some(data_set_of(&file.bytes()).unwrap()), "{}", file.path);
    }

    // Once more: all are there already.
    let again: Value = serde_json::from_slice(&node.try_cli(&import).await.stdout).unwrap();
    assert_eq!((&again["stored"], &again["already_stored"]), (&0.into(), &files.len().into()), "{again}");
    // Earlier examinations are not read again.
    node.audited("association.end", "failed", "import: 0 stored").await;
    node.audited("study.settle", "success", "no image for the quiet time").await;
    assert_eq!(node.cli(&["worklist", "list"]).await, json!([]));
    node.nothing_half_stored().await;
    node.stop().await;
}

/// On SQLite two processes write to one file.
async fn an_import_runs_beside_a_node_that_receives(index: Index) {
    let mut node = TestNode::start(index).await;
    let folder = tempfile::tempdir().unwrap();
    let (on_disk, sent) = (synthetic(60, 930), synthetic(60, 931));
    write_all(folder.path(), &on_disk);

    let import = ["import", "--facility", "HOSP1", "--read", folder.path().to_str().unwrap()];
    let receiving = async {
        let mut association = scu(&node, "HOSP1").await;
        for image in &sent {
            assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
        }
        association.release().await.unwrap();
    };
    let (output, ()) = tokio::join!(node.try_cli(&import), receiving);

    let summary: Value = serde_json::from_slice(&output.success().stdout).unwrap();
    assert_eq!((&summary["stored"], &summary["refused"]), (&60.into(), &0.into()));
    assert!(node.export_study("HOSP1", &on_disk[0].study_instance_uid).await == data_sets(&on_disk));
    assert!(node.export_study("HOSP1", &sent[0].study_instance_uid).await == data_sets(&sent));
    // The running node settles what the other process has brought.
    node.audited("study.settle", "success", &on_disk[0].study_instance_uid).await;
    let cases = eventually("both cases", PATIENCE, || async {
        let cases = node.cli(&["worklist", "list"]).await;
        (cases.as_array().unwrap().len() == 2).then_some(cases)
    });
    cases.await.unwrap();
    node.nothing_half_stored().await;
    node.stop().await;
}

#[tokio::test]
async fn an_import_that_is_killed_leaves_nothing_half_and_goes_on() {
    let node = TestNode::init(Index::Sqlite).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let images = synthetic(300, 940);
    write_all(folder.path(), &images);
    let import = ["import", "--facility", "HOSP1", folder.path().to_str().unwrap()];

    let mut kills = 0;
    for _ in 0..3 {
        let before = node.blobs().len();
        let process = node.start_command(&import);
        let begun =
            eventually("imported objects", PATIENCE, || async { (node.blobs().len() > before + 20).then_some(()) });
        begun.await.unwrap();
        if process.exit_status().is_none() {
            kills += 1;
        }
        process.kill().unwrap();
        process.wait_for_exit(PATIENCE).await.unwrap();
    }
    assert!(kills > 0, "every import had ended before it was killed");

    // A blob that no row knows may be left; it is complete, and `rebuild-index` adopts it or finds its twin.
    let indexed = node.indexed_objects().await;
    let last: Value = serde_json::from_slice(&node.try_cli(&import).await.success().stdout).unwrap();
    assert_eq!(last["already_stored"], indexed, "{last}");
    assert_eq!(last["stored"], 300 - indexed, "{last}");
    assert!(node.export_study("HOSP1", &images[0].study_instance_uid).await == data_sets(&images));
}

#[tokio::test]
async fn an_interrupted_import_says_so() {
    let node = TestNode::init(Index::Sqlite).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let images = synthetic(400, 950);
    write_all(folder.path(), &images);
    let import = ["import", "--facility", "HOSP1", folder.path().to_str().unwrap()];

    let process = node.start_command(&import);
    let begun = eventually("imported objects", PATIENCE, || async { (node.blobs().len() > 5).then_some(()) });
    begun.await.unwrap();
    process.interrupt().unwrap();
    let status = process.wait_for_exit(PATIENCE).await.unwrap();
    let summary: Value = serde_json::from_str(&process.lines().concat()).unwrap();
    assert_eq!((status.code(), &summary["interrupted"]), (Some(1), &true.into()), "{summary}");
    assert!(process.stderr_text().contains("start it again"), "{}", process.stderr_text());
    assert_eq!(summary["stored"], node.indexed_objects().await);
    node.nothing_half_stored().await;

    // In a terminal a person sees the same in words.
    let text = NodeCommand::new(crate::harness::BINARY)
        .args(["import", "--facility", "HOSP1", "--data-dir"])
        .arg(node.folder())
        .arg(folder.path())
        .start()
        .unwrap();
    let status = text.wait_for_exit(Duration::from_secs(120)).await.unwrap();
    let words = text.lines().join("\n");
    assert_eq!(status.code(), Some(0), "{words}\n{}", text.stderr_text());
    assert!(words.contains("were stored already"), "{words}");
    assert_eq!(node.indexed_objects().await, 400);
}
