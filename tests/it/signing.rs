//! kill -9 while a report is being signed: one version or none, never a half and never two; and the same after the index was lost.

use dokuei_testkit::eventually;
use serde_json::{Value, json};

use crate::harness::{Index, PATIENCE, Pacs, Person, TestNode, files_below, outside};
use crate::loop_story::{Loop, deliveries_are, files_of, node_with_reader, send_study};

on_both_databases!(a_kill_while_signing_leaves_one_version_and_one_delivery);

/// The ids of the report versions that the index has.
async fn versions(node: &TestNode) -> Vec<String> {
    let database = node.database().await;
    let mut tx = database.read().await.unwrap();
    let mut found = Vec::new();
    for case in all_cases(node).await {
        let rows = tx.report_version_list(case.parse().unwrap(), None).await.unwrap();
        found.extend(rows.iter().map(|row| row.id.to_string()));
    }
    assert_eq!(tx.report_version_count().await.unwrap(), i64::try_from(found.len()).unwrap());
    drop(tx);
    database.close().await;
    found
}

/// Cases are known from the audit trail, whatever became of them.
async fn all_cases(node: &TestNode) -> Vec<String> {
    node.audit().await.into_iter().filter(|row| row.action == "case.open").map(|row| row.subject).collect()
}

/// Waits for a case that nobody has claimed.
async fn waiting_case(node: &TestNode) -> String {
    let look = || async {
        let cases = node.cli(&["worklist", "list"]).await;
        let open =
            cases.as_array().unwrap().iter().find(|case| case["state"] == "waiting" || case["state"] == "assigned");
        open.map(|case| case["case"].as_str().unwrap().to_owned())
    };
    eventually("a case to read", PATIENCE, look).await.unwrap()
}

/// Moments of a signature, as they show on the disk.
enum Moment {
    /// The first file of the version is being staged.
    Staging,
    /// A file of the version is in the store, and so perhaps all of them.
    Stored,
    /// The answer has arrived.
    Answered,
}

pub(crate) async fn a_kill_while_signing_leaves_one_version_and_one_delivery(index: Index) {
    let folder = tempfile::tempdir().unwrap();
    let received = folder.path().join("received");
    std::fs::create_dir(&received).unwrap();
    let pacs = Pacs::start(&received, "PACS", &[]).await;
    let target = format!("dicom:PACS@{}", pacs.address());
    let Loop { mut node, .. } = node_with_reader(index, &[target], &[]).await;
    let mut reports = Vec::new();
    for (number, moment) in [Moment::Staging, Moment::Stored, Moment::Answered].into_iter().enumerate() {
        // A reader for each, because codes are good for one use and come every half minute.
        let id = format!("S{number}");
        let added = ["reader", "add", "--id", &id, "--name", "Kato^Jiro=加藤^次郎", "--modality", "CT"];
        let mut reader = Person::new(&node, &node.cli(&added).await);
        reader.sign_in().await;
        send_study(&node, "HOSP1", 2, 700 + number as u64).await;
        let case = waiting_case(&node).await;
        node.cli(&["worklist", "assign", &case, "--reader", &id]).await;
        reader.write(&case, "所見なし。", "異常なし。").await;
        let (sign, signature) = (format!("/api/v1/cases/{case}/sign"), reader.signature().await);
        let stored_before = files_below(&node.image_store().join("reports")).len();

        let look = || async {
            let stored = files_below(&node.image_store().join("reports")).len();
            (stored > stored_before || !node.staged().is_empty() && matches!(moment, Moment::Staging)).then_some(())
        };
        let answered = {
            let signing = reader.post_into_the_dark(&sign, &signature);
            let seen = async {
                if matches!(moment, Moment::Answered) {
                    std::future::pending::<()>().await;
                }
                // A signature that ends before the moment was seen has been answered.
                let _ = eventually("the moment", PATIENCE, look).await;
            };
            tokio::select! {
                answered = signing => answered,
                () = seen => None,
            }
        };
        node.kill();

        node.serve().await;
        reader.follow(&node);
        let so_far = versions(&node).await;
        if so_far.len() == reports.len() {
            assert_ne!(answered, Some(200), "an acknowledged signature is gone");
            // The claim and the draft have survived; signing again is all there is to do.
            let report = reader.sign(&case).await;
            assert_eq!(versions(&node).await.len(), reports.len() + 1);
            reports.push(report);
        } else {
            assert_eq!(so_far.len(), reports.len() + 1);
            let new = so_far.into_iter().find(|id| !reports.contains(id)).unwrap();
            // It is complete, and cannot be signed a second time.
            let again = reader.try_sign(&case).await;
            assert!(again.status == 409 || again.status == 200 && again.text().contains(&new), "{again:?}");
            assert_eq!(versions(&node).await.len(), reports.len() + 1);
            reports.push(new);
        }
    }

    let mut signed = Vec::new();
    for report in &reports {
        deliveries_are(&node, report, "accepted").await;
        assert_eq!(node.cli(&["report", "verify", report]).await["ok"], true);
        let files = files_of(&node, report, folder.path()).await;
        signed.extend([files["sr.dcm"].clone(), files["report-pdf.dcm"].clone()]);
        outside::check_signature(&files["signature.p7s"], &files["manifest.json"], &files["ca.pem"]);
    }
    let paths: Vec<_> = signed.iter().map(|path| path.as_path()).collect();
    outside::check_received(&pacs.received(), &paths);
    let cases = node.cli(&["worklist", "list"]).await;
    assert!(cases.as_array().unwrap().iter().all(|case| case["state"] == "returned"), "{cases:#}");
    node.stop().await;

    // Reports are objects too: the index comes back from the store alone.
    node.lose_database();
    let output = node.try_cli(&["rebuild-index"]).await;
    let rebuilt: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!((&rebuilt["objects"]["added"], &rebuilt["reports"]["restored"]), (&json!(6), &json!(3)), "{output}");
    // Files of a signature that never came about may lie there; they are told and are no report.
    let left = rebuilt["reports"]["not_restored"].as_array().unwrap();
    assert!(left.iter().all(|reason| reason.as_str().unwrap().contains("not complete")), "{output}");
    for report in &reports {
        let verified = node.cli(&["report", "verify", report]).await;
        assert_eq!(verified["ok"], true, "{verified:#}");
        let shown: Value = node.cli(&["report", "show", report]).await;
        assert_eq!((&shown["number"], shown["findings"].as_str()), (&Value::from(1), Some("所見なし。")), "{shown:#}");
    }
    let database = node.database().await;
    assert_eq!(database.read().await.unwrap().report_version_count().await.unwrap(), 3);
    database.close().await;
    // Nothing that was signed is offered for reading again, also not when the studies have settled once more.
    node.serve().await;
    let settled = eventually("three settled studies", PATIENCE, || async {
        let settled = node.audit().await.into_iter().filter(|row| row.action == "study.settle");
        (settled.count() == 3).then_some(())
    });
    settled.await.unwrap();
    let cases = node.cli(&["worklist", "list"]).await;
    assert!(cases.as_array().unwrap().iter().all(|case| case["report"].is_string()), "{cases:#}");
    assert_eq!(cases.as_array().unwrap().len(), 3, "{cases:#}");
    node.stop().await;
}
