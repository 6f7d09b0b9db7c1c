//! The whole way: a hospital's CT in, a signed report back, judged by other people's tools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dokuei_dimse::Status;
use dokuei_testkit::{
    NodeCommand, Tool, eventually,
    synthetic::{CtImage, YAMADA_TARO_CHARACTER_SET, YAMADA_TARO_NAME},
};
use serde_json::{Value, json};

use crate::harness::{
    BINARY, Index, Object, PATIENCE, Pacs, Person, TestNode, outside, scu, send, send_alone, synthetic,
};

const FINDINGS: &str = "脳実質に明らかな出血を認めません。\n髙橋・﨑の字も①㎜も印字されます。";
const IMPRESSION: &str = "頭蓋内に急性期病変を認めません。";

/// A node with a hospital, its archive, a reader, and somebody at the hospital.
pub(crate) struct Loop {
    pub(crate) node: TestNode,
    pub(crate) reader: Person,
    pub(crate) clerk: Person,
}

/// Starts a node on which HOSP1's reports go to these addresses, and R1 reads.
pub(crate) async fn node_with_reader(index: Index, returns: &[String], settings: &[(&str, &str)]) -> Loop {
    let mut node = TestNode::init(index).await;
    node.set("report.back_off_base_seconds", 1);
    for (key, value) in settings {
        node.set(key, value);
    }
    let returns: Vec<_> = returns.iter().flat_map(|target| ["--return", target]).collect();
    node.add_facility_with("HOSP1", &["HOSP1"], &returns).await;
    let name = "Sato^Hanako=佐藤^花子=さとう^はなこ";
    let reader = node.cli(&["reader", "add", "--id", "R1", "--name", name, "--modality", "CT"]).await;
    let clerk = node
        .cli(&["user", "add", "--id", "clerk", "--role", "facility", "--facility", "HOSP1", "--name", "放射線科"])
        .await;
    node.serve().await;
    let (reader, clerk) = (Person::new(&node, &reader), Person::new(&node, &clerk));
    Loop { node, reader, clerk }
}

/// Sends a new study of 山田太郎 and gives its images.
pub(crate) async fn send_study(node: &TestNode, calling: &str, count: u32, seed: u64) -> Vec<CtImage> {
    let images = synthetic(count, seed).into_iter();
    let images: Vec<_> = images
        .map(|image| CtImage { size: 64, ..image.with_patient("K-77", YAMADA_TARO_NAME, YAMADA_TARO_CHARACTER_SET) })
        .collect();
    let mut association = scu(node, calling).await;
    for image in &images {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
    images
}

/// Waits until every delivery of the report is in this state; gives the report as `dokuei report show` has it.
pub(crate) async fn deliveries_are(node: &TestNode, report: &str, state: &str) -> Value {
    let look = || async {
        let shown = node.cli(&["report", "show", report]).await;
        let there = shown["deliveries"].as_array().unwrap().iter().all(|delivery| delivery["state"] == state);
        there.then_some(shown)
    };
    // What a killed node was doing is left alone until its lease has run out.
    match eventually(&format!("deliveries that are {state}"), 3 * PATIENCE, look).await {
        Ok(shown) => shown,
        Err(error) => panic!("{error}: {:#}", node.cli(&["report", "show", report]).await),
    }
}

/// The version's files as `dokuei report files` writes them, by name.
pub(crate) async fn files_of(node: &TestNode, report: &str, folder: &Path) -> BTreeMap<String, PathBuf> {
    let target = folder.join(report);
    let written = node.cli(&["report", "files", report, target.to_str().unwrap()]).await;
    let paths = written["files"].as_array().unwrap().iter().map(|path| PathBuf::from(path.as_str().unwrap()));
    paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

#[tokio::test]
async fn the_demonstration_does_the_whole_loop() {
    let folder = tempfile::tempdir().unwrap();
    let demo =
        NodeCommand::new(BINARY).args(["demo", "--once", "--json", "--data-dir"]).arg(folder.path().join("demo"));
    let demo = demo.current_dir(env!("CARGO_MANIFEST_DIR")).start().unwrap();
    let status = demo.wait_for_exit(Duration::from_secs(120)).await.unwrap();
    assert_eq!(status.code(), Some(0), "{:#?}\n{}", demo.lines(), demo.stderr_text());
    assert_eq!(demo.stderr_text(), "", "a clean run has nothing to say");

    let lines: Vec<Value> = demo.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.len() > 5 && lines.iter().all(|line| line["step"].is_string() && line["seconds"].is_f64()),
        "{lines:#?}"
    );
    let done = lines.last().unwrap();
    assert_eq!(done["step"], "done");
    let path = |key: &str| PathBuf::from(done[key].as_str().unwrap_or_else(|| panic!("no {key} in {done}")));
    let (sr, pdf, signature, manifest) = (path("sr"), path("pdf"), path("signature"), path("manifest"));
    let signed: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    let content = |key: &str| signed["content"][key].as_str().unwrap().to_owned();
    let texts = [content("findings"), content("impression"), content("recommendation")];
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();

    outside::check_structured_report(&sr, &texts, &["山田^太郎", "佐藤^花子"]);
    outside::check_pdf(&pdf, &[&texts[..], &["山田", "太郎", "佐藤", "花子", "デモ病院"]].concat());
    outside::check_signature(&signature, &manifest, &path("authority"));
    assert_eq!(signed["evidence"]["studies"][0]["study"], done["study"]);
    let evidence = signed["evidence"]["studies"][0]["series"][0]["instances"].as_array().unwrap();
    assert_eq!(evidence.len(), 28, "every image is evidence");
    // And in the structured report itself (PS3.3 C.17.2.3).
    let dump =
        Tool::find("dcmdump").unwrap().args(["+P", "ReferencedSOPInstanceUID", "+p"]).arg(&sr).run().unwrap().success();
    for instance in evidence {
        assert!(dump.stdout_text().contains(instance["sop_instance"].as_str().unwrap()), "{instance} is not in {dump}");
    }

    // The folder is a node like any other.
    let data_dir = folder.path().join("demo");
    let report = done["report"].as_str().unwrap();
    let verify = Tool::at(BINARY).args(["report", "verify", report, "--json", "--data-dir"]).arg(&data_dir);
    let verified = verify.run_async().await.unwrap().success();
    assert_eq!(serde_json::from_slice::<Value>(&verified.stdout).unwrap()["ok"], true, "{verified}");
}

#[tokio::test]
async fn the_demonstration_lets_everybody_in_by_a_link_that_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let demo = NodeCommand::new(BINARY).args(["demo", "--json", "--data-dir"]).arg(folder.path().join("demo"));
    let demo = demo.env("DOKUEI__DICOM__BIND", "127.0.0.1:0").env("DOKUEI__HTTP__BIND", "127.0.0.1:0");
    let demo = demo.current_dir(env!("CARGO_MANIFEST_DIR")).start().unwrap();
    let shown = demo.wait_for_line(PATIENCE, |line| serde_json::from_str::<Value>(line).ok()).await.unwrap();
    let accounts = shown["accounts"].as_array().unwrap();
    for role in ["reader", "facility", "office", "administrator"] {
        assert!(accounts.iter().any(|account| account["role"] == role), "nobody is {role}: {shown:#}");
    }

    for account in accounts {
        let client = reqwest::Client::builder().cookie_store(true).redirect(reqwest::redirect::Policy::none());
        let client = client.build().unwrap();
        let get = async |url: &str| client.get(url).send().await.unwrap().status().as_u16();
        let (link, home) =
            (account["sign_in_link"].as_str().unwrap(), format!("{}account", shown["url"].as_str().unwrap()));
        assert_ne!(get(&home).await, 200, "{account:#}");
        assert_eq!(get(link).await, 303, "{account:#}");
        assert_eq!(get(&home).await, 200, "{account:#}");
        assert_ne!(get(link).await, 303, "a link worked twice: {account:#}");
    }

    demo.terminate().unwrap();
    let status = demo.wait_for_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", demo.stderr_text());
}

on_both_databases!(a_hospital_with_an_archive_of_another_maker_gets_its_report);

pub(crate) async fn a_hospital_with_an_archive_of_another_maker_gets_its_report(index: Index) {
    let folder = tempfile::tempdir().unwrap();
    let received = folder.path().join("received");
    std::fs::create_dir(&received).unwrap();
    let pacs = Pacs::start(&received, "PACS", &[]).await;
    let Loop { mut node, reader, clerk } =
        node_with_reader(index, &[format!("dicom:PACS@{}", pacs.address())], &[]).await;
    let images = send_study(&node, "HOSP1", 3, 601).await;

    reader.sign_in().await;
    let case = reader.first_case().await;
    let series = reader.get(&format!("/api/v1/cases/{case}/series")).await.success().json();
    let frames = series[0]["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 3);
    let image = reader.get(frames[0]["href"].as_str().unwrap()).await.success();
    assert!(image.body.starts_with(&[0xFF, 0xD8]) || image.body.starts_with(b"\x89PNG"), "no image was rendered");
    reader.write(&case, FINDINGS, IMPRESSION).await;
    let report = reader.sign(&case).await;

    let shown = deliveries_are(&node, &report, "accepted").await;
    assert_eq!(
        (&shown["number"], &shown["author"], &shown["findings"]),
        (&json!(1), &json!("R1"), &json!(FINDINGS)),
        "{shown:#}"
    );
    assert_eq!(shown["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(shown["deliveries"][0]["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    let files = files_of(&node, &report, folder.path()).await;
    outside::check_received(&pacs.received(), &[&files["sr.dcm"], &files["report-pdf.dcm"]]);
    outside::check_structured_report(
        &files["sr.dcm"],
        &[FINDINGS, IMPRESSION],
        &["山田^太郎=やまだ^たろう", "佐藤^花子"],
    );
    outside::check_pdf(&files["report-pdf.dcm"], &[FINDINGS, IMPRESSION, "山田", "佐藤"]);
    outside::check_signature(&files["signature.p7s"], &files["manifest.json"], &files["ca.pem"]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(&files["manifest.json"]).unwrap()).unwrap();
    outside::check_hashes(&manifest, &[&files["sr.dcm"], &files["report-pdf.dcm"]]);

    // The hospital reads it in the browser as well, and that is known.
    clerk.sign_in().await;
    let page = clerk.get(&format!("/reports/{report}")).await.success().text();
    assert!(page.contains("髙橋・﨑") && page.contains(IMPRESSION), "the report's text is not on its page");
    let pdf = clerk.get(&format!("/reports/{report}/files/pdf")).await.success();
    assert!(pdf.body.starts_with(b"%PDF-"));
    let original = clerk.get(&format!("/reports/{report}/files/structured_report")).await.success();
    assert_eq!(original.body, std::fs::read(&files["sr.dcm"]).unwrap());

    // A report of ours that the archive sends back is no new study and no late image.
    let objects = node.indexed_objects().await;
    for path in pacs.received() {
        let sent =
            crate::harness::dcmtk("storescu", &node, "HOSP1", "DOKUEI", &["-v"]).arg(path).run_async().await.unwrap();
        assert!(sent.status.success(), "{sent}");
    }
    assert_eq!(node.indexed_objects().await, objects);
    assert_eq!(node.cli(&["worklist", "list"]).await[0]["state"], "returned");

    // An image that comes after the signature is noticed.
    let late = CtImage { instance_number: 9, sop_instance_uid: crate::harness::uid(602), ..images[0].clone() };
    assert_eq!(send_alone(&node, "HOSP1", &Object::ct(&late)).await.unwrap(), Status::SUCCESS);
    node.audited("case.images_added", "success", &case).await;

    node.stop().await;
    let errors: Vec<_> = node.complaints().into_iter().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(!node.log_text().contains("山田") && !node.log_text().contains("K-77"), "a patient is in the log");
}

#[tokio::test]
async fn one_flipped_bit_of_a_stored_report_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let Loop { mut node, reader, .. } = node_with_reader(Index::Sqlite, &[], &[]).await;
    send_study(&node, "HOSP1", 1, 611).await;
    reader.sign_in().await;
    let case = reader.first_case().await;
    reader.write(&case, FINDINGS, IMPRESSION).await;
    let report = reader.sign(&case).await;
    node.stop().await;
    assert_eq!(node.cli(&["report", "verify", &report]).await["ok"], true);

    let blobs = crate::harness::files_below(&node.image_store().join("reports"));
    assert_eq!(blobs.len(), 4, "{blobs:?}");
    for blob in blobs {
        let original = folder.path().join("original");
        std::fs::copy(&blob, &original).unwrap();
        let middle = usize::try_from(blob.metadata().unwrap().len()).unwrap() / 2;
        // Blobs are not writable.
        std::fs::remove_file(&blob).unwrap();
        outside::flip(&original, &blob, middle);
        let verified = node.try_cli(&["report", "verify", &report]).await;
        assert_eq!(verified.status.code(), Some(1), "{}: {verified}", blob.display());
        std::fs::copy(&original, &blob).unwrap();
    }
    assert_eq!(node.cli(&["report", "verify", &report]).await["ok"], true);
}
