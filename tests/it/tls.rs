//! DICOM over TLS: whose certificate it is decides who is let in; files change while the node works; reports go back the same way.

use dokuei_dimse::{Association, AssociationError, ProposedContext, RequestOptions, Status};
use dokuei_domain::{AeTitle, SopClassUid, TransferSyntaxUid};
use dokuei_testkit::{NodeCommand, Tool, eventually, find_binary};

use crate::harness::{
    CT, Certificates, Index, Object, PATIENCE, Pacs, Person, TestNode, dcmtk_at, echo, files_below, send, synthetic,
};
use crate::loop_story::{Loop, node_with_reader, send_study};

on_both_databases!(a_hospital_is_known_by_its_certificate_and_nobody_comes_in_its_name);

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

/// A CT association over TLS.
async fn associate(
    node: &TestNode,
    calling: &str,
    certificates: &Certificates,
    (own, authority): (&str, &str),
) -> Result<Association, AssociationError> {
    let context =
        ProposedContext::new(SopClassUid::parse(CT).unwrap(), vec![TransferSyntaxUid::parse(EXPLICIT).unwrap()]);
    let mut options = RequestOptions::new(title(calling), title("DOKUEI"), vec![context]);
    options.tls = Some(certificates.client(own, authority));
    Association::request(node.dicom_tls(), &options).await
}

async fn node_with(certificates: &Certificates, index: Index) -> TestNode {
    certificates.issue("node", "ca");
    let mut node = TestNode::init(index).await;
    certificates.give_to(&mut node);
    for (facility, own) in [("HOSP1", "hosp1"), ("HOSP2", "hosp2")] {
        certificates.issue(own, "ca");
        node.add_facility(facility, &[facility]).await;
        let pem = certificates.pem(own);
        node.cli(&["facility", "edit", "--id", facility, "--add-certificate", pem.to_str().unwrap()]).await;
    }
    node.serve().await;
    node
}

async fn a_hospital_is_known_by_its_certificate_and_nobody_comes_in_its_name(index: Index) {
    let certificates = Certificates::new();
    let mut node = node_with(&certificates, index).await;
    let echo_as = async |calling: &str, own: &str| {
        let options = certificates.dcmtk(own);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        dcmtk_at("echoscu", node.dicom_tls(), calling, "DOKUEI", &options).run_async().await.unwrap()
    };

    // DCMTK sends a whole study with the hospital's certificate.
    let folder = dokuei_testkit::testdata("ct_series_GE_HiSpeed");
    let count = files_below(&folder).iter().filter(|file| file.extension().is_some_and(|end| end == "dcm")).count();
    let options = certificates.dcmtk("hosp1");
    let options: Vec<_> = options.iter().map(String::as_str).chain(["+sd"]).collect();
    let sent = dcmtk_at("storescu", node.dicom_tls(), "HOSP1", "DOKUEI", &options).arg(&folder).run_async().await;
    sent.unwrap().success();
    assert_eq!(node.indexed_objects().await, i64::try_from(count).unwrap());
    node.audited("association.end", "success", "HOSP1@127.0.0.1").await;
    echo_as("HOSP2", "hosp2").await.success();

    // Another hospital's certificate with this one's title: refused as unknown, and the audit names both.
    let crossed = echo_as("HOSP1", "hosp2").await.failure();
    assert!(crossed.all_text().contains("Calling AE Title Not Recognized"), "{crossed}");
    let row = node.audited("association.request", "refused", "certificate belongs to facility HOSP2").await;
    assert!(row.detail.contains("to facility HOSP1"), "{row:?}");
    assert_eq!((row.subject.as_str(), row.facility.as_deref()), ("HOSP1@127.0.0.1", Some("HOSP2")));

    // A certificate that the authority vouches for and nobody registered.
    certificates.issue("new", "ca");
    echo_as("HOSP1", "new").await.failure();
    let row = node.audited("association.request", "refused", "registered for no facility").await;
    let fingerprint = certificates.fingerprint("new").replace(':', "").to_lowercase();
    assert!(row.detail.contains(&fingerprint) && row.detail.contains("CN=new"), "{row:?}");
    // One that no authority vouches for gets no DICOM answer at all.
    certificates.authority("self");
    certificates.issue("stranger", "self");
    echo_as("HOSP1", "stranger").await.failure();
    node.audited("association.request", "refused", "UnknownIssuer").await;

    // Plain DICOM in the name of a facility that has certificates.
    assert!(matches!(echo(&node, "HOSP1").await, Err(AssociationError::Rejected(_))));
    node.audited("association.request", "refused", "facility HOSP1 has certificates and must show one").await;
    node.cli(&["facility", "edit", "--id", "HOSP1", "--allow-plain"]).await;
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS);
    node.cli(&["facility", "edit", "--id", "HOSP1", "--allow-plain=false"]).await;
    assert!(echo(&node, "HOSP1").await.is_err());

    // A renewal: both hold until the old one is removed.
    let new = certificates.pem("new");
    node.cli(&["facility", "edit", "--id", "HOSP1", "--add-certificate", new.to_str().unwrap()]).await;
    echo_as("HOSP1", "new").await.success();
    let listed = node.cli(&["facility", "list"]).await;
    let registered = listed[0]["certificates"].as_array().unwrap();
    assert!(registered.len() == 2 && registered[1]["sha256"] == fingerprint.as_str(), "{listed:#}");
    let old = certificates.fingerprint("hosp1");
    node.cli(&["facility", "edit", "--id", "HOSP1", "--remove-certificate", &old]).await;
    echo_as("HOSP1", "hosp1").await.failure();

    // Whoever knocks again and again fills no audit trail, and is counted.
    for _ in 0..30 {
        assert!(echo(&node, "NOBODY").await.is_err());
    }
    node.stop().await;
    let rows: Vec<_> = node.audit().await.into_iter().filter(|row| row.subject.starts_with("NOBODY@")).collect();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows[0].detail.contains("29 more within a minute"), "{rows:#?}");
}

#[tokio::test]
async fn files_are_taken_over_on_a_signal_while_an_association_runs() {
    let certificates = Certificates::new();
    let mut node = node_with(&certificates, Index::Sqlite).await;
    let images = synthetic(3, 1_201);
    let mut running = associate(&node, "HOSP1", &certificates, ("hosp1", "ca")).await.unwrap();
    assert_eq!(send(&mut running, &Object::ct(&images[0])).await.unwrap(), Status::SUCCESS);

    // The node's certificate comes from another authority now.
    certificates.authority("other");
    certificates.issue("renewed", "other");
    certificates.replace("node", "renewed");
    node.hang_up();
    node.logged("TLS files have changed and are in use for new connections").await;
    assert_eq!(send(&mut running, &Object::ct(&images[1])).await.unwrap(), Status::SUCCESS);
    let stale = associate(&node, "HOSP1", &certificates, ("hosp1", "ca")).await.unwrap_err();
    assert!(matches!(stale, AssociationError::Handshake(_)), "{stale:?}");
    associate(&node, "HOSP1", &certificates, ("hosp1", "other")).await.unwrap().release().await.unwrap();

    // A key that does not fit keeps what is in use, and is told where somebody looks.
    let person = |path: &'static str| {
        let url = format!("{}{path}", node.url());
        async move { Tool::find("curl").unwrap().args(["-s", &url]).run_async().await.unwrap().stdout_text().to_string() }
    };
    assert_eq!(person("/readyz").await, "ready\n");
    certificates.issue("unfinished", "other");
    std::fs::copy(certificates.key("unfinished"), certificates.key("node")).unwrap();
    node.hang_up();
    node.logged("TLS files have changed and cannot be used; the ones before stay in use").await;
    assert!(person("/readyz").await.starts_with("ready\nattention: DICOM over TLS"));
    let doctor = node.try_cli(&["doctor"]).await.failure();
    assert!(doctor.all_text().contains("does not belong to the certificate"), "{doctor}");
    associate(&node, "HOSP1", &certificates, ("hosp1", "other")).await.unwrap().release().await.unwrap();

    certificates.replace("node", "renewed");
    node.hang_up();
    eventually("a calm node", PATIENCE, || async { (person("/readyz").await == "ready\n").then_some(()) })
        .await
        .unwrap();
    assert_eq!(send(&mut running, &Object::ct(&images[2])).await.unwrap(), Status::SUCCESS);
    running.release().await.unwrap();
    assert_eq!(node.indexed_objects().await, 3);
    node.stop().await;
}

#[tokio::test]
async fn wrong_files_are_named_before_the_node_runs() {
    let certificates = Certificates::new();
    certificates.issue("node", "ca");
    let mut node = TestNode::init(Index::Sqlite).await;
    certificates.give_to(&mut node);
    let checked = node.cli(&["config", "check"]).await;
    assert!(checked["attention"].as_array().unwrap().is_empty(), "{checked}");

    certificates.issue_with("short", "ca", &["-days", "20"], "ec");
    certificates.issue_with("weak", "ca", &["-days", "365"], "rsa:1024");
    certificates.issue_with("sha1", "ca", &["-days", "365", "-sha1"], "ec");
    certificates.issue("other", "ca");
    let path = |name: &str| certificates.pem(name).to_str().unwrap().to_owned();
    let key = |name: &str| certificates.key(name).to_str().unwrap().to_owned();
    for (certificate, key, expected) in [
        (path("absent"), key("node"), "cannot read"),
        (path("node"), key("absent"), "cannot read"),
        (path("node"), key("other"), "does not belong to the certificate"),
        (path("weak"), key("weak"), "its RSA key has 1024 bits; at least 2048 are needed"),
        (path("sha1"), key("sha1"), "signed with MD5 or SHA-1"),
        (key("node"), key("node"), "holds no certificate"),
    ] {
        node.set("dicom.tls_certificate_file", &certificate).set("dicom.tls_key_file", &key);
        for command in [&["config", "check"][..], &["doctor"]] {
            let output = node.try_cli(command).await.failure();
            assert!(output.all_text().contains(expected), "{command:?} with {certificate} and {key}: {output}");
        }
        let output = node.try_cli(&["serve"]).await.failure();
        assert!(output.stderr_text().contains(expected), "{output}");
    }
    // What ends soon is no error yet, but doctor wants it renewed.
    node.set("dicom.tls_certificate_file", path("short")).set("dicom.tls_key_file", key("short"));
    let checked = node.cli(&["config", "check"]).await;
    assert!(checked["attention"][0].as_str().unwrap().contains("expires in 1"), "{checked}");
    let doctor = node.try_cli(&["doctor"]).await.failure();
    assert!(doctor.all_text().contains("renew it"), "{doctor}");

    node.set("dicom.tls_certificate_file", path("node")).set("dicom.tls_key_file", key("node"));
    node.set("dicom.bind", "0.0.0.0:0");
    let plain = node.try_cli(&["serve"]).await.failure();
    assert!(plain.stderr_text().contains("must be a loopback address"), "{plain}");
}

#[tokio::test]
async fn a_report_goes_back_over_tls_and_only_to_whom_the_authority_knows() {
    let certificates = Certificates::new();
    for (name, authority) in [("node", "ca"), ("pacs", "ca")] {
        certificates.issue(name, authority);
    }
    certificates.authority("self");
    certificates.issue("impostor", "self");
    let root = tempfile::tempdir().unwrap();
    let archive = |name: &str| {
        let (address, folder) = (Pacs::free_address(), root.path().join(name));
        std::fs::create_dir(&folder).unwrap();
        let command = NodeCommand::new(find_binary("storescp").unwrap()).args(["-dhl", "-od"]).arg(&folder);
        let process = command.args(certificates.dcmtk(name)).arg(address.port().to_string()).start().unwrap();
        (address, folder, process)
    };
    let (good, folder, _good) = archive("pacs");
    let (bad, bad_folder, _bad) = archive("impostor");
    let returns = [format!("dicom-tls:PACS@localhost:{}", good.port()), format!("dicom-tls:IMPOSTOR@{bad}")];
    let settings = certificates.settings();
    let settings: Vec<_> =
        settings.iter().map(|(key, path)| (*key, path.as_str())).chain([("report.max_attempts", "2")]).collect();
    let Loop { mut node, reader, .. } = node_with_reader(Index::Sqlite, &returns, &settings).await;

    // The command line can check such a peer too.
    let paths = [certificates.pem("ca"), certificates.pem("node"), certificates.key("node")];
    let [ca, cert, key] = paths.each_ref().map(|path| path.to_str().unwrap());
    let peer = format!("localhost:{}", good.port());
    let check = ["echo", &peer, "--tls", "--ca", ca, "--cert", cert, "--key", key];
    let checked = || node.try_cli(&check);
    let answer =
        eventually("the archive's answer", PATIENCE, || async { Some(checked().await).filter(|o| o.status.success()) });
    answer.await.unwrap();

    send_study(&node, "HOSP1", 1, 1_301).await;
    reader.sign_in().await;
    let report = sign_one(&reader).await;
    let delivery = |title: &'static str, state: &'static str| {
        let (node, report) = (&node, &report);
        eventually("the delivery", PATIENCE, move || async move {
            let shown = node.cli(&["report", "show", report]).await;
            let mut deliveries = shown["deliveries"].as_array().unwrap().clone().into_iter();
            deliveries.find(|row| row["to"].as_str().unwrap().starts_with(title) && row["state"] == state)
        })
    };
    delivery("PACS@", "accepted").await.unwrap();
    assert_eq!(files_below(&folder).len(), 2, "structured report and printed page");
    let refused = delivery("IMPOSTOR@", "failed").await.unwrap();
    assert!(refused.to_string().contains("TLS handshake failed"), "{refused:#}");
    assert!(files_below(&bad_folder).is_empty());
    node.stop().await;
}

/// Signs the first case on the worklist.
async fn sign_one(reader: &Person) -> String {
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    reader.sign(&case).await
}
