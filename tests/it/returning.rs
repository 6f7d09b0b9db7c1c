//! Reports on their way back: whatever a recipient does, the ledger tells the truth, and nobody waits for somebody else's machine.

use std::path::{Path, PathBuf};

use dokuei_dimse::Status;
use dokuei_testkit::eventually;
use serde_json::Value;

use crate::harness::{Index, PATIENCE, Pacs, Person, RefusingPacs, SilentPacs, TestNode, outside};
use crate::loop_story::{Loop, deliveries_are, files_of, node_with_reader, send_study};

/// Signs the first case on the worklist.
async fn sign_one(reader: &Person) -> String {
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    reader.sign(&case).await
}

/// The delivery to an AE title, as `dokuei report show` has it.
async fn delivery_to(node: &TestNode, report: &str, title: &str) -> Value {
    let shown = node.cli(&["report", "show", report]).await;
    let mut deliveries = shown["deliveries"].as_array().unwrap().iter();
    let found = deliveries.find(|delivery| delivery["to"].as_str().unwrap().starts_with(&format!("{title}@")));
    found.unwrap_or_else(|| panic!("nothing goes to {title}: {shown:#}")).clone()
}

/// Waits until the delivery to an AE title looks as it should.
async fn delivery_becomes(node: &TestNode, report: &str, title: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || async { Some(delivery_to(node, report, title).await).filter(&wanted) };
    match eventually(&format!("the delivery to {title}"), PATIENCE, look).await {
        Ok(delivery) => delivery,
        Err(error) => panic!("{error}: {:#}\n{}", delivery_to(node, report, title).await, node.log_text()),
    }
}

fn outcomes(delivery: &Value) -> Vec<String> {
    let attempts = delivery["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| attempt["outcome"].as_str().unwrap_or("under way").to_owned()).collect()
}

fn folder(of: &Path, name: &str) -> PathBuf {
    let folder = of.join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[tokio::test]
async fn the_ledger_tells_what_each_recipient_did() {
    let root = tempfile::tempdir().unwrap();
    let good = Pacs::start(&folder(root.path(), "good"), "GOOD", &[]).await;
    let refuse = Pacs::start(&folder(root.path(), "refuse"), "REFUSE", &["--refuse"]).await;
    let abort = Pacs::start(&folder(root.path(), "abort"), "ABORT", &["--abort-after"]).await;
    // Takes the structured report and then has no room for the PDF.
    let full = RefusingPacs::start(1, Status::OUT_OF_RESOURCES).await;
    let silent = SilentPacs::start().await;
    let down = Pacs::free_address();
    let returns = [
        format!("dicom:SILENT@{}", silent.address()),
        format!("dicom:DOWN@{down}"),
        format!("dicom:REFUSE@{}", refuse.address()),
        format!("dicom:ABORT@{}", abort.address()),
        format!("dicom:FULL@{}", full.address()),
        format!("dicom:GOOD@{}", good.address()),
    ];
    let settings = [
        ("report.max_attempts", "2"),
        ("report.back_off_cap_seconds", "1"),
        ("report.connect_timeout_seconds", "2"),
        ("report.response_timeout_seconds", "2"),
    ];
    let Loop { mut node, reader, .. } = node_with_reader(Index::Sqlite, &returns, &settings).await;
    send_study(&node, "HOSP1", 1, 801).await;
    reader.sign_in().await;
    let report = sign_one(&reader).await;

    for (title, outcome, word) in [
        ("REFUSE", "refused", "reject"),
        ("ABORT", "aborted", "abort"),
        ("FULL", "refused", "A700"),
        ("DOWN", "unreachable", "connect"),
        ("SILENT", "timed_out", "timed out"),
    ] {
        let delivery = delivery_becomes(&node, &report, title, |delivery| delivery["state"] == "failed").await;
        assert_eq!(outcomes(&delivery), [outcome, outcome], "{title}: {delivery:#}");
        let details = delivery["attempts"].to_string();
        assert!(details.contains(word), "{title}: {details}");
        assert!(delivery["last_error"].as_str().is_some_and(|error| !error.is_empty()), "{delivery:#}");
    }
    // Accepts the first and then fails: the ledger says both.
    let details = delivery_to(&node, &report, "FULL").await["attempts"].to_string();
    assert!(details.contains("SR") && details.contains("accepted") && details.contains("PDF"), "{details}");
    let delivered = delivery_to(&node, &report, "GOOD").await;
    assert_eq!((delivered["state"].as_str(), outcomes(&delivered)), (Some("accepted"), vec!["accepted".to_owned()]));
    let files = files_of(&node, &report, root.path()).await;
    outside::check_received(&good.received(), &[&files["sr.dcm"], &files["report-pdf.dcm"]]);

    // Somebody repairs the machine that was down, and the office presses the button.
    let repaired = Pacs::start_on(down, &folder(root.path(), "down"), "DOWN", &[]).await;
    let failed = delivery_to(&node, &report, "DOWN").await;
    node.cli(&["report", "resend", failed["id"].as_str().unwrap()]).await;
    let delivery = delivery_becomes(&node, &report, "DOWN", |delivery| delivery["state"] == "accepted").await;
    assert_eq!(outcomes(&delivery), ["unreachable", "unreachable", "accepted"], "{delivery:#}");
    outside::check_received(&repaired.received(), &[&files["sr.dcm"], &files["report-pdf.dcm"]]);

    // What was accepted is not sent again.
    let again = node.try_cli(&["report", "resend", failed["id"].as_str().unwrap()]).await;
    assert_eq!(again.status.code(), Some(1), "{again}");
    node.stop().await;
}

#[tokio::test]
async fn one_facilitys_machine_delays_no_other_facility() {
    let root = tempfile::tempdir().unwrap();
    let silent = SilentPacs::start().await;
    let pacs = Pacs::start(&folder(root.path(), "received"), "PACS2", &[]).await;
    // A machine that hangs for as long as is allowed.
    let settings = [("report.response_timeout_seconds", "3600"), ("report.connect_timeout_seconds", "600")];
    let silent_target = format!("dicom:SILENT@{}", silent.address());
    let Loop { node, reader, .. } = node_with_reader(Index::Sqlite, &[silent_target], &settings).await;
    node.add_facility_with("HOSP2", &["HOSP2"], &["--return", &format!("dicom:PACS2@{}", pacs.address())]).await;
    reader.sign_in().await;

    send_study(&node, "HOSP1", 1, 811).await;
    let stuck = sign_one(&reader).await;
    let hangs = |delivery: &Value| outcomes(delivery) == ["under way"];
    delivery_becomes(&node, &stuck, "SILENT", hangs).await;
    send_study(&node, "HOSP2", 1, 812).await;
    let report = sign_one(&reader).await;

    deliveries_are(&node, &report, "accepted").await;
    assert_eq!(pacs.received().len(), 2);
    assert!(hangs(&delivery_to(&node, &stuck, "SILENT").await), "it no longer hangs; this proves nothing");
}

#[tokio::test]
async fn a_recipient_that_hangs_does_not_make_a_stop_unclean() {
    let silent = SilentPacs::start().await;
    let returns = [format!("dicom:SILENT@{}", silent.address())];
    let settings = [("report.response_timeout_seconds", "3600")];
    let Loop { mut node, reader, .. } = node_with_reader(Index::Sqlite, &returns, &settings).await;
    send_study(&node, "HOSP1", 1, 831).await;
    reader.sign_in().await;
    let report = sign_one(&reader).await;
    delivery_becomes(&node, &report, "SILENT", |delivery| outcomes(delivery) == ["under way"]).await;

    node.stop().await;

    // The next start goes on with it at once, because the lease was given back.
    node.serve().await;
    let again = |delivery: &Value| outcomes(delivery) == ["interrupted", "under way"];
    delivery_becomes(&node, &report, "SILENT", again).await;
}

on_both_databases!(a_restart_in_the_middle_of_a_delivery_delivers_once);

async fn a_restart_in_the_middle_of_a_delivery_delivers_once(index: Index) {
    let root = tempfile::tempdir().unwrap();
    let address = Pacs::free_address();
    let Loop { mut node, mut reader, .. } = node_with_reader(index, &[format!("dicom:PACS@{address}")], &[]).await;
    send_study(&node, "HOSP1", 1, 821).await;
    reader.sign_in().await;
    let report = sign_one(&reader).await;

    // Nobody listens; the node is killed while it tries.
    delivery_becomes(&node, &report, "PACS", |delivery| outcomes(delivery).contains(&"unreachable".to_owned())).await;
    node.kill();
    node.serve().await;

    // The archive starts, and takes its time over each object; the node is killed while it sends.
    let slow = folder(root.path(), "slow");
    let pacs = Pacs::start_on(address, &slow, "PACS", &["--sleep-after", "2"]).await;
    let arriving = || async { (!pacs.received().is_empty()).then_some(()) };
    eventually("the first object at the archive", PATIENCE, arriving).await.unwrap();
    node.kill();
    let before = delivery_to(&node, &report, "PACS").await;
    assert_ne!(before["state"], "accepted", "the kill came too late to prove anything");

    node.serve().await;
    reader.follow(&node);
    let shown = deliveries_are(&node, &report, "accepted").await;
    let delivery = &shown["deliveries"][0];
    assert_eq!(shown["deliveries"].as_array().unwrap().len(), 1);
    let outcomes = outcomes(delivery);
    assert_eq!(outcomes.last().map(String::as_str), Some("accepted"), "{outcomes:?}");
    assert!(outcomes.contains(&"interrupted".to_owned()), "the attempt that was cut off is not told: {outcomes:?}");
    assert!(!outcomes.contains(&"under way".to_owned()), "{outcomes:?}");

    // The second copy has the same UID as the first: the archive shows one of each.
    let files = files_of(&node, &report, root.path()).await;
    outside::check_received(&pacs.received(), &[&files["sr.dcm"], &files["report-pdf.dcm"]]);
    node.stop().await;
}
