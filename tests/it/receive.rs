//! A hospital sends its studies, and gets back exactly what it sent.

use std::collections::BTreeMap;

use dokuei_dimse::Status;
use dokuei_testkit::{
    data_set::{Encoding, Tag, data_set_of, value_of},
    edit::{Edit, with_edits},
    synthetic::CtImage,
    testdata, testdata_files,
};

use crate::harness::{Index, Object, TestNode, associate, dcmtk, echo, scu, send, send_alone, synthetic};

const CT_STUDY: &str = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668";

/// The data sets of the CT series by SOP Instance UID.
fn ct_series() -> BTreeMap<String, Vec<u8>> {
    let files = testdata_files().into_iter().filter(|file| file.path.starts_with("ct_series_GE_HiSpeed/"));
    files.map(|file| (file.sop_uid.clone(), data_set_of(&file.bytes()).unwrap().to_vec())).collect()
}

fn data_sets(images: &[CtImage]) -> BTreeMap<String, Vec<u8>> {
    let of = |image: &CtImage| (image.sop_instance_uid.clone(), image.data_set(Encoding::ExplicitLittleEndian));
    images.iter().map(of).collect()
}

on_both_databases!(
    a_whole_series_goes_in_and_comes_out_byte_for_byte,
    the_same_again_changes_nothing_and_other_bytes_are_kept_aside,
    two_facilities_may_send_the_same_uids,
    several_associations_at_once,
);

pub(crate) async fn a_whole_series_goes_in_and_comes_out_byte_for_byte(index: Index) {
    let mut node = TestNode::start(index).await;
    dcmtk("echoscu", &node, "HOSP1", "DOKUEI", &["-v"]).run_async().await.unwrap().success();

    node.storescu("HOSP1", &[&testdata("ct_series_GE_HiSpeed")]).await;

    let (sent, stored) = (ct_series(), node.export_study("HOSP1", CT_STUDY).await);
    assert_eq!(stored.len(), 28);
    assert!(stored == sent, "what came out differs from what went in");
    node.audited("association.end", "success", "28 objects stored, 0 refused").await;
    node.nothing_half_stored().await;

    // The same after a stop and a start; and nothing of it was worth a warning, nor did the patient get into the log.
    node.stop().await;
    node.serve().await;
    assert!(node.export_study("HOSP1", CT_STUDY).await == sent);
    node.stop().await;
    // Nobody reads here yet, and the node says so once the study has settled.
    let complaints = node.complaints();
    assert!(complaints.iter().all(|line| line.contains("no reader is eligible")), "{complaints:#?}");
    assert!(!node.log_text().contains("QMNx85rKkkg"), "a patient ID is in the log");
}

pub(crate) async fn the_same_again_changes_nothing_and_other_bytes_are_kept_aside(index: Index) {
    let node = TestNode::start(index).await;
    let series = testdata("ct_series_GE_HiSpeed");
    node.storescu("HOSP1", &[&series]).await;
    let blobs = node.blobs();

    node.storescu("HOSP1", &[&series]).await;
    assert_eq!(node.blobs(), blobs, "the second sending left something");
    assert_eq!(node.indexed_objects().await, 28);

    // The same object after somebody edited its description.
    let original = std::fs::read(series.join("01.dcm")).unwrap();
    let uid = value_of(&original, Tag(0x0008, 0x0018)).unwrap().unwrap();
    let uid = std::str::from_utf8(uid).unwrap().trim_end_matches('\0').to_owned();
    let edited = with_edits(&original, &[Edit::new(Tag(0x0008, 0x1030), b"LO", "ANOTHER STUDY")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edited.dcm");
    std::fs::write(&path, edited).unwrap();
    for attempt in 1..=2 {
        let sent = dcmtk("storescu", &node, "HOSP1", "DOKUEI", &["-d"]).arg(&path).run_async().await.unwrap().failure();
        assert!(sent.all_text().contains("0xc111"), "{attempt}: {sent}");
    }

    let held = node.cli(&["quarantine", "list"]).await;
    let held = held.as_array().unwrap();
    assert_eq!(held.len(), 1, "the same newcomer twice is one newcomer: {held:?}");
    assert_eq!(held[0]["sop_instance"], uid.as_str());
    assert_eq!(held[0]["facility"], "HOSP1");
    assert_eq!(held[0]["reason"], "same_uid_other_content");
    node.audited("instance.receive", "refused", &uid).await;
    assert!(node.export_study("HOSP1", CT_STUDY).await == ct_series(), "the first one must stay what it is");
    node.nothing_half_stored().await;
}

async fn two_facilities_may_send_the_same_uids(index: Index) {
    let mut node = TestNode::start(index).await;
    node.add_facility("HOSP2", &["HOSP2"]).await;
    let ours = synthetic(2, 11);
    // Hospital 2 imported the CD of hospital 1 and gave the patient an ID of its own.
    let theirs: Vec<_> =
        ours.iter().map(|image| image.clone().with_patient("B-7", "Test^Patient", "ISO_IR 100")).collect();
    let study = ours[0].study_instance_uid.clone();

    for (calling, images) in [("HOSP1", &ours), ("HOSP2", &theirs)] {
        let mut association = scu(&node, calling).await;
        for image in images {
            assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
        }
        association.release().await.unwrap();
    }

    for (facility, images) in [("HOSP1", &ours), ("HOSP2", &theirs)] {
        assert!(node.export_study(facility, &study).await == data_sets(images), "{facility}");
    }
    assert_eq!(node.cli(&["quarantine", "list"]).await, serde_json::json!([]));
    node.stop().await;
}

pub(crate) async fn several_associations_at_once(index: Index) {
    let node = TestNode::start(index).await;
    node.add_facility("HOSP2", &["HOSP2A:reading", "HOSP2B:both"]).await;
    let studies: Vec<_> = (0..6).map(|seed| synthetic(25, 100 + seed)).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut senders = Vec::new();
    for (number, images) in studies.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        for image in images {
            let name = path.join(format!("{:03}.dcm", image.instance_number));
            std::fs::write(name, image.part10(Encoding::ExplicitLittleEndian)).unwrap();
        }
        let calling = ["HOSP1", "HOSP2A", "HOSP2B"][number % 3];
        senders.push(dcmtk("storescu", &node, calling, "DOKUEI", &["+sd"]).arg(&path).run_async());
    }

    for sent in futures::future::join_all(senders).await {
        let sent = sent.unwrap();
        assert!(sent.status.success() && !sent.all_text().contains("E: "), "{sent}");
    }

    for (number, images) in studies.iter().enumerate() {
        let facility = if number % 3 == 0 { "HOSP1" } else { "HOSP2" };
        let stored = node.export_study(facility, &images[0].study_instance_uid).await;
        assert!(stored == data_sets(images), "study {number}");
    }
    node.nothing_half_stored().await;
}

#[tokio::test]
async fn strangers_are_refused_with_the_reason() {
    let node = TestNode::start(Index::Sqlite).await;
    node.add_facility_with("FAR", &["FAR"], &["--address", "192.0.2.7"]).await;
    let file = testdata("ct_series_GE_HiSpeed/01.dcm");
    for (calling, called, reason) in [
        ("STRANGER", "DOKUEI", "Calling AE Title Not Recognized"),
        ("HOSP1", "WRONG", "Called AE Title Not Recognized"),
        // Known, but not from here.
        ("FAR", "DOKUEI", "Calling AE Title Not Recognized"),
    ] {
        let echo = dcmtk("echoscu", &node, calling, called, &["-v"]).run_async().await.unwrap().failure();
        assert!(echo.all_text().contains("Rejected Permanent") && echo.all_text().contains("Service User"), "{echo}");
        assert!(echo.all_text().contains(reason), "{echo}");
        let sent = dcmtk("storescu", &node, calling, called, &["-v"]).arg(&file).run_async().await.unwrap().failure();
        assert!(sent.all_text().contains(reason), "{sent}");
        node.audited("association.request", "refused", &format!("{calling}@127.0.0.1")).await;
    }

    // Once disabled, a facility is a stranger too.
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS);
    node.cli(&["facility", "disable", "--id", "HOSP1"]).await;
    echo(&node, "HOSP1").await.unwrap_err();
    assert_eq!(node.indexed_objects().await, 0);
}

#[tokio::test]
async fn of_several_transfer_syntaxes_a_lossless_one_is_taken() {
    const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
    const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
    const JPEG_2000: &str = "1.2.840.10008.1.2.4.91";
    let node = TestNode::start(Index::Sqlite).await;
    let ct = crate::harness::CT;
    let association =
        associate(&node, "HOSP1", &[(ct, &[JPEG_BASELINE, JPEG_2000, JPEG_LOSSLESS]), (ct, &[JPEG_BASELINE])])
            .await
            .unwrap();
    let chosen: Vec<_> =
        association.contexts().iter().map(|context| context.transfer_syntax.as_ref().unwrap().to_string()).collect();
    assert_eq!(chosen, [JPEG_LOSSLESS, JPEG_BASELINE]);
    association.release().await.unwrap();
}

#[tokio::test]
async fn what_was_stored_is_a_file_that_other_tools_open() {
    let node = TestNode::start(Index::Sqlite).await;
    let image = synthetic(1, 12).remove(0);
    assert_eq!(send_alone(&node, "HOSP1", &Object::ct(&image)).await.unwrap(), Status::SUCCESS);

    let blobs = node.blobs();
    assert_eq!(blobs.len(), 1);
    let name = blobs[0].to_string_lossy().into_owned();
    assert!(!name.contains(&image.sop_instance_uid), "a peer's UID is part of a path: {name}");
    let dump =
        dokuei_testkit::Tool::find("dcmdump").unwrap().args(["+fo", "-q"]).arg(&blobs[0]).run().unwrap().success();
    assert!(dump.stdout_text().contains(&image.study_instance_uid), "{dump}");
    // (0002,0016) says who sent it (PS3.10 7.1).
    assert!(
        dump.stdout_text().lines().any(|line| line.starts_with("(0002,0016)") && line.contains("[HOSP1]")),
        "{dump}"
    );
}
