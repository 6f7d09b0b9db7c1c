//! Storage commitment with other people's systems: a hospital may delete its copies when we say so, and never because of a mistake.

use dokuei_dimse::Status;
use dokuei_testkit::{NodeCommand, NodeProcess, data_set::Encoding, eventually, find_binary, synthetic::CtImage};
use serde_json::{Value, json};

use crate::harness::{
    CT, Index, Object, PATIENCE, Pacs, TestNode, deaf_visit, files_below, scu, send, synthetic, uid, visit,
};
use crate::loop_story::{Loop, deliveries_are, files_of, node_with_reader, send_study};

on_both_databases!(
    the_result_comes_on_the_association_of_the_request,
    the_result_finds_the_hospital_after_a_crash_when_it_listens_again,
    a_damaged_object_is_not_committed,
    a_transaction_uid_is_used_once,
);

/// Sends a study and gives the UIDs of its images.
async fn store(node: &TestNode, count: u32, seed: u64) -> Vec<String> {
    let images = synthetic(count, seed);
    let mut association = scu(node, "HOSP1").await;
    for image in &images {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();
    images.into_iter().map(|image| image.sop_instance_uid).collect()
}

fn commit(transaction: &str, instances: &[String]) -> Value {
    let references: Vec<_> = instances.iter().map(|instance| json!([CT, instance])).collect();
    json!(["commit", transaction, references])
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<_> = list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// Waits until the only request looks like this.
async fn request_becomes(node: &TestNode, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || async {
        let row = node.cli(&["commitment", "list"]).await.get_mut(0).map(Value::take)?;
        wanted(&row).then_some(row)
    };
    match eventually("the request for storage commitment", PATIENCE, look).await {
        Ok(row) => row,
        Err(error) => panic!("{error}: {:#}\n{}", node.cli(&["commitment", "list"]).await, node.log_text()),
    }
}

async fn the_result_comes_on_the_association_of_the_request(index: Index) {
    let mut node = TestNode::start(index).await;
    node.add_facility("HOSP2", &["HOSP2"]).await;
    let mut sent = store(&node, 3, 9_001).await;
    sent.sort();
    let (transaction, unknown) = (uid(9_002), uid(9_003));
    let asked = [sent.clone(), vec![unknown.clone()]].concat();

    let hospital = visit("HOSP1", node.dicom().port(), None, &[commit(&transaction, &asked), json!(["wait", 1])]).await;

    assert_eq!(hospital.statuses(), [0x0000]);
    assert_eq!(hospital.results.len(), 1);
    let result = &hospital.results[0];
    assert_eq!((&result["type"], &result["where"]), (&json!(2), &json!("same")));
    assert_eq!(result["transaction"], transaction.as_str());
    assert_eq!(sorted(&result["committed"]), sent);
    assert_eq!(result["failed"], json!([[unknown, 0x0112]]));
    let row = request_becomes(&node, |row| row["state"] == "answered").await;
    assert_eq!((&row["objects"], &row["failed"], &row["calling_aet"]), (&json!(4), &json!(1), &json!("HOSP1")));
    node.audited("commitment.request", "success", &transaction).await;
    node.audited("commitment.check", "failed", "3 objects committed, 1 not").await;
    node.audited("commitment.answer", "success", "on the association of the request").await;

    // What another hospital has does not exist for this one.
    let other = visit("HOSP2", node.dicom().port(), None, &[commit(&transaction, &sent), json!(["wait", 1])]).await;
    assert_eq!(other.results[0]["committed"], json!([]));
    node.stop().await;
}

async fn the_result_finds_the_hospital_after_a_crash_when_it_listens_again(index: Index) {
    let mut node = TestNode::start(index).await;
    let sent = store(&node, 2, 9_011).await;
    let (transaction, listen) = (uid(9_012), Pacs::free_address().port());
    let target = format!("dicom:HOSP1@127.0.0.1:{listen}");
    node.cli(&["facility", "edit", "--id", "HOSP1", "--commitment-target", &target]).await;

    // It hangs up at once, and nobody listens yet.
    let hospital = deaf_visit("HOSP1", node.dicom().port(), &[commit(&transaction, &sent)]).await;
    assert_eq!(hospital.statuses(), [0x0000]);
    let unreachable = |row: &Value| {
        let error = row["last_error"].as_str().unwrap_or_default();
        error.contains(&format!("HOSP1 at 127.0.0.1:{listen}")) && error.contains("cannot connect")
    };
    request_becomes(&node, |row| row["state"] == "answering" && unreachable(row)).await;
    node.kill();
    node.serve().await;

    let hospital = visit("HOSP1", node.dicom().port(), Some(listen), &[json!(["wait", 1])]).await;

    let result = &hospital.results[0];
    assert_eq!((&result["type"], &result["where"]), (&json!(1), &json!("new")));
    assert_eq!(result["transaction"], transaction.as_str());
    assert_eq!(result["committed"].as_array().unwrap().len(), 2);
    request_becomes(&node, |row| row["state"] == "answered" && row["last_error"].is_null()).await;
    node.audited("commitment.answer", "success", &format!("at 127.0.0.1:{listen}")).await;
    node.stop().await;
}

async fn a_damaged_object_is_not_committed(index: Index) {
    let mut node = TestNode::start(index).await;
    let sent = store(&node, 2, 9_021).await;
    // One bit of the last pixel of one of them.
    let path = files_below(&node.image_store().join("v1")).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();

    let steps = [commit(&uid(9_022), &sent), json!(["wait", 1])];
    let hospital = visit("HOSP1", node.dicom().port(), None, &steps).await;

    let result = &hospital.results[0];
    assert_eq!((&result["type"], result["committed"].as_array().unwrap().len()), (&json!(2), 1));
    assert_eq!(result["failed"][0][1], 0x0110);
    node.logged("a stored object is damaged").await;
    node.stop().await;
}

async fn a_transaction_uid_is_used_once(index: Index) {
    let mut node = TestNode::start(index).await;
    let sent = store(&node, 2, 9_031).await;
    let transaction = uid(9_032);

    let steps = [
        commit(&transaction, &sent),
        json!(["wait", 1]),
        commit(&transaction, &sent),
        json!(["wait", 2]),
        commit(&transaction, &sent[..1]),
        commit(&uid(9_033), &sent),
        json!(["wait", 3]),
    ];
    let hospital = visit("HOSP1", node.dicom().port(), None, &steps).await;

    assert_eq!(hospital.statuses(), [0x0000, 0x0000, 0x0131, 0x0000]);
    assert_eq!(hospital.answers[2]["comment"], "the transaction UID was used for another request");
    assert_eq!(hospital.results[0], hospital.results[1], "the same request has the same result");
    assert_eq!(hospital.results[2]["transaction"], uid(9_033).as_str());
    node.audited("commitment.request", "refused", &transaction).await;
    node.stop().await;
}

#[tokio::test]
async fn nobody_is_forgotten_who_gave_no_address() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let sent = store(&node, 1, 9_041).await;
    deaf_visit("HOSP1", node.dicom().port(), &[commit(&uid(9_042), &sent)]).await;

    request_becomes(&node, |row| row["state"] == "waiting").await;
    let [job] = &commitment_jobs(&node).await[..] else { panic!("one job waits for a person") };
    let text = job["last_error"].as_str().unwrap();
    assert!(text.contains("dokuei facility edit --id HOSP1 --commitment-target dicom:HOSP1@HOST:PORT"), "{text}");
    assert_eq!(job["state"], "dead");

    let steps = [commit(&uid(9_043), &sent), json!(["wait", 2])];
    let hospital = visit("HOSP1", node.dicom().port(), None, &steps).await;

    let told: Vec<_> = hospital.results.iter().map(|result| result["transaction"].as_str().unwrap()).collect();
    assert!(told.contains(&uid(9_042).as_str()) && told.contains(&uid(9_043).as_str()), "{told:?}");
    let none_left = || async { commitment_jobs(&node).await.is_empty().then_some(()) };
    eventually("no job that waits for a person", PATIENCE, none_left).await.unwrap();
    node.stop().await;
}

/// The jobs of storage commitment that are listed; others, such as a study's that waits for more images, come and go.
async fn commitment_jobs(node: &TestNode) -> Vec<Value> {
    let Value::Array(mut jobs) = node.cli(&["jobs", "list"]).await else { panic!("a list of jobs") };
    jobs.retain(|job| job["queue"] == "storage_commitment");
    jobs
}

/// Orthanc as a hospital's archive.
struct Orthanc {
    process: NodeProcess,
    client: reqwest::Client,
    base: String,
    _folder: tempfile::TempDir,
}

impl Orthanc {
    /// `None`: it is not installed, and that has been said.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    fn binary() -> Option<std::path::PathBuf> {
        let found = find_binary("Orthanc").or_else(|_| find_binary("/usr/sbin/Orthanc"));
        if found.is_err() {
            eprintln!("skipped: Orthanc is not installed");
        }
        found.ok()
    }

    /// Starts it as HOSP1 on this port, knowing the node.
    async fn start(binary: &std::path::Path, port: u16, node: &TestNode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (http, storage) = (Pacs::free_address().port(), folder.path().join("db"));
        let modality = json!({ "AET": "DOKUEI", "Host": "127.0.0.1", "Port": node.dicom().port(), "AllowStorageCommitment": true });
        let settings = json!({
            "Name": "hospital", "StorageDirectory": storage, "IndexDirectory": storage, "DicomAet": "HOSP1", "DicomPort": port,
            "HttpPort": http, "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomModalities": { "dokuei": modality },
        });
        let path = folder.path().join("orthanc.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        let process = NodeCommand::new(binary).args([path.to_str().unwrap()]).start().unwrap();
        let (client, base) = (reqwest::Client::new(), format!("http://127.0.0.1:{http}"));
        let orthanc = Self { process, client, base, _folder: folder };
        let up = || async {
            let answer = orthanc.client.get(format!("{}/system", orthanc.base)).send().await.ok()?;
            answer.status().is_success().then_some(())
        };
        if let Err(error) = eventually("Orthanc to answer", PATIENCE, up).await {
            panic!("{error}\n{}", orthanc.process.stderr_text());
        }
        orthanc
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// Has it ask the node about objects, and gives its report of the result.
    async fn ask(&self, instances: &[String]) -> Value {
        let pairs: Vec<_> = instances.iter().map(|instance| json!([CT, instance])).collect();
        let asked = self.client.post(format!("{}/modalities/dokuei/storage-commitment", self.base));
        let asked = asked.json(&json!({ "DicomInstances": pairs })).send().await.unwrap().text().await.unwrap();
        let asked: Value = serde_json::from_str(&asked).unwrap();
        let path = asked["Path"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned();
        let look = || async { self.get(&path).await.filter(|report| report["Status"] != "Pending") };
        match eventually("Orthanc to have the result", PATIENCE, look).await {
            Ok(report) => report,
            Err(error) => panic!("{error}\n{}", self.process.stderr_text()),
        }
    }
}

#[tokio::test]
async fn orthanc_has_its_instances_committed() {
    let Some(binary) = Orthanc::binary() else { return };
    let node = TestNode::start(Index::Sqlite).await;
    let sent = store(&node, 3, 9_051).await;
    let port = Pacs::free_address().port();
    let target = format!("dicom:HOSP1@127.0.0.1:{port}");
    node.cli(&["facility", "edit", "--id", "HOSP1", "--commitment-target", &target]).await;
    let orthanc = Orthanc::start(&binary, port, &node).await;

    for (instances, expected) in [(sent.clone(), "Success"), ([sent, vec![uid(9_052)]].concat(), "Failure")] {
        let report = orthanc.ask(&instances).await;
        assert_eq!(report["Status"], expected, "{report:#}");
        assert_eq!(report["Success"].as_array().unwrap().len(), 3);
    }
}

/// The other way round: the hospital's archive is asked to answer for the report that it has accepted, and brings its answer on an association of its own.
#[tokio::test]
async fn orthanc_answers_for_the_report_it_was_sent() {
    let Some(binary) = Orthanc::binary() else { return };
    let port = Pacs::free_address().port();
    let target = format!("dicom:HOSP1@127.0.0.1:{port}");
    let Loop { mut node, reader, .. } = node_with_reader(Index::Sqlite, std::slice::from_ref(&target), &[]).await;
    let _orthanc = Orthanc::start(&binary, port, &node).await;
    node.cli(&["facility", "edit", "--id", "HOSP1", "--ask-commitment", &target]).await;
    send_study(&node, "HOSP1", 1, 9_061).await;
    reader.sign_in().await;
    let case = reader.first_case().await;
    reader.write(&case, "所見なし。", "異常なし。").await;
    let report = reader.sign(&case).await;
    deliveries_are(&node, &report, "accepted").await;

    node.audited("report.commitment", "success", "the recipient keeps the report").await;

    let shown = node.cli(&["report", "show", &report]).await;
    let delivery = &shown["deliveries"][0];
    assert!(delivery["committed_at"].is_string() && delivery["commitment_error"].is_null(), "{delivery}");
    assert_eq!(delivery["state"], "accepted");

    // The command asks about files: this archive has the report, and not the image that we never gave it.
    let folder = tempfile::tempdir().unwrap();
    let files = files_of(&node, &report, folder.path()).await;
    let peer = format!("127.0.0.1:{port}");
    let ask = ["commit", &peer, "--called", "HOSP1", "--wait", "1", files["sr.dcm"].to_str().unwrap()];
    let asked = node.try_cli(&ask).await;
    // It brings its answers elsewhere, as it may.
    assert!(asked.all_text().contains("has accepted the request and not answered"), "{asked}");
    node.stop().await;
}

/// Our own node as the peer of `dokuei commit`.
#[tokio::test]
async fn the_command_line_asks_a_node() {
    let node = TestNode::start(Index::Sqlite).await;
    let images = synthetic(2, 9_071);
    let folder = tempfile::tempdir().unwrap();
    let path = |image: &CtImage| folder.path().join(format!("{}.dcm", image.instance_number));
    for image in &images {
        std::fs::write(path(image), image.part10(Encoding::ExplicitLittleEndian)).unwrap();
    }
    let first = path(&images[0]);
    node.storescu("HOSP1", &[&first]).await;
    let (peer, both) = (node.dicom().to_string(), folder.path().to_str().unwrap());

    let stored =
        node.cli(&["commit", &peer, "--calling", "HOSP1", "--called", "DOKUEI", first.to_str().unwrap()]).await;
    assert_eq!((&stored["committed"], &stored["failed"]), (&json!(1), &json!([])));
    let refused = node.try_cli(&["commit", &peer, "--calling", "HOSP1", "--called", "DOKUEI", both]).await.failure();
    let told: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(told["failed"], json!([{ "instance": images[1].sop_instance_uid, "reason": "0112" }]));
}
