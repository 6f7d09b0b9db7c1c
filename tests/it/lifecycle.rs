//! Start, stop, and the command line beside a running node.

use std::time::Duration;

use dokuei_dimse::{AssociationError, Status};
use dokuei_testkit::{NodeCommand, Tool, eventually};
use tokio::net::TcpStream;

use crate::harness::{BINARY, Index, Object, PATIENCE, SlowSender, TestNode, echo, scu, send, send_alone, synthetic};

#[tokio::test]
async fn a_stop_lets_the_object_in_flight_finish() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let slow = SlowSender::begin(&node, "HOSP1", 71).await;
    let mut idle = scu(&node, "HOSP1").await;
    let address = node.dicom();

    node.process().terminate().unwrap();
    // Nobody new is let in.
    let closed = eventually("a closed port", PATIENCE, || async { TcpStream::connect(address).await.err() });
    closed.await.unwrap();
    assert_eq!(node.process().exit_status(), None, "the node did not wait for its sender");

    let object = slow.object().clone();
    let (status, _association) = slow.finish().await.expect("the object in flight was cut off");
    assert_eq!(status, Status::SUCCESS);
    assert_eq!(node.wait_for_end().await.code(), Some(0), "{}", node.log_text());
    let ended = send(&mut idle, &Object::ct(&synthetic(1, 72).remove(0))).await.unwrap_err();
    assert!(
        matches!(ended, AssociationError::Aborted(_) | AssociationError::Closed | AssociationError::Connection(_)),
        "{ended}"
    );
    assert!(node.export_instance("HOSP1", &object.sop_instance).await.as_ref() == Some(&object.data_set));
    node.nothing_half_stored().await;
}

#[tokio::test]
async fn a_second_signal_aborts() {
    let mut node = TestNode::start(Index::Sqlite).await;
    let slow = SlowSender::begin(&node, "HOSP1", 73).await;

    node.process().terminate().unwrap();
    node.logged("a second signal aborts").await;
    node.process().interrupt().unwrap();

    let status = node.wait_for_end().await;
    assert_eq!(status.code(), Some(1), "an aborted stop must not look like a clean one");
    let instance = slow.object().sop_instance.clone();
    slow.finish().await.map(drop).expect_err("an aborted node has answered");
    assert!(node.export_instance("HOSP1", &instance).await.is_none());
    // Whatever was staged is gone or at least invisible; the node starts as if nothing had been.
    node.serve().await;
    assert_eq!(node.indexed_objects().await, 0);
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS);
}

/// The line with the addresses is a promise: from then on the node answers, and stops when it is told.
#[tokio::test]
async fn a_signal_right_after_the_start_is_a_clean_stop() {
    let mut node = TestNode::start(Index::Sqlite).await;
    assert_eq!(node.process().lines().len(), 1, "one line with the addresses, and nothing else");
    for _ in 0..5 {
        node.stop().await;
        node.serve().await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let node = TestNode::start(Index::Sqlite).await;
    let mut second = TestNode::init(Index::Sqlite).await;
    for (key, address, word) in
        [("dicom.bind", node.dicom().to_string(), "DICOM"), ("http.bind", node.url().replace("http://", ""), "HTTP")]
    {
        second.set("dicom.bind", "127.0.0.1:0").set("http.bind", "127.0.0.1:0").set(key, &address);
        let output = second.try_cli(&["serve"]).await;
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.stderr_text().contains(word) && output.stderr_text().contains(&address), "{output}");
        assert!(output.stdout.is_empty(), "{output}");
    }
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS, "the first one was disturbed");
}

#[tokio::test]
async fn mistakes_of_the_administrator_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Tool::at(BINARY).args(arguments).arg("--data-dir").arg(folder.path()).timeout(PATIENCE).run_async()
    };

    // Not initialised.
    let output = run(&["serve"]).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr_text().contains("dokuei init"), "what to do is not said: {output}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a refused start has left something");

    // A key that does not exist: file and line.
    let file = folder.path().join("dokuei.toml");
    std::fs::write(&file, "[dicom]\nbind = \"127.0.0.1:0\"\nbnid = \"127.0.0.1:1\"\n").unwrap();
    for command in [&["serve"][..], &["config", "check"], &["facility", "list"]] {
        let output = run(command).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output}");
        let said = output.stderr_text();
        assert!(said.contains("bnid") && said.contains(file.to_str().unwrap()), "{output}");
        assert!(said.contains("line 3") || said.contains(":3"), "the line is not named: {output}");
    }
    std::fs::remove_file(&file).unwrap();

    // The same in the environment.
    let output = Tool::at(BINARY).args(["config", "check"]).env("DOKUEI__DICOM__BNID", "1").run_async().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr_text().contains("DOKUEI__DICOM__BNID"), "{output}");

    // A command line that does not exist.
    for arguments in [
        &["serv"][..],
        &["facility", "add"],
        &["export", "--facility", "H"],
        &["user", "add", "--id", "a", "--role", "facility", "--name", "a"],
    ] {
        let output = run(arguments).await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output}");
    }
}

#[tokio::test]
async fn the_example_configuration_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let example = Tool::at(BINARY).args(["config", "example"]).run_async().await.unwrap().success();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, &example.stdout).unwrap();

    Tool::at(BINARY).args(["config", "check", "--config"]).arg(&file).run_async().await.unwrap().success();
    let schema = Tool::at(BINARY).args(["config", "schema"]).run_async().await.unwrap().success();
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).unwrap()["properties"]["dicom"].is_object());
}

on_both_databases!(the_command_line_works_beside_the_running_node);

async fn the_command_line_works_beside_the_running_node(index: Index) {
    let mut node = TestNode::init(index).await;
    node.serve().await;
    let image = synthetic(1, 75).remove(0);
    echo(&node, "NEW1").await.unwrap_err();

    // A facility that is added now may send now.
    node.add_facility_with(
        "NEW",
        &["NEW1:reading"],
        &["--return", "dicom:PACS@127.0.0.1:11112", "--issuer-alias", "NEWHOSP"],
    )
    .await;
    assert_eq!(send_alone(&node, "NEW1", &Object::ct(&image)).await.unwrap(), Status::SUCCESS);
    node.cli(&["facility", "edit", "--id", "NEW", "--calling-aet", "NEW2:prior"]).await;
    assert_eq!(echo(&node, "NEW2").await.unwrap(), Status::SUCCESS);
    let facilities = node.cli(&["facility", "list"]).await;
    assert_eq!(facilities[0]["id"], "NEW");
    assert_eq!(facilities[0]["peers"].as_array().unwrap().len(), 2, "{facilities}");

    let reader = [
        "reader",
        "add",
        "--id",
        "R1",
        "--name",
        "Yamada^Taro=山田^太郎=やまだ^たろう",
        "--modality",
        "CT,MR",
        "--hours",
        "Mon-Fri 08:00-20:00",
    ];
    let enrolment = node.cli(&reader).await;
    for key in ["password", "totp_secret_base32", "otpauth_url", "certificate_serial"] {
        assert!(enrolment[key].as_str().is_some_and(|text| !text.is_empty()), "{key} is missing");
    }
    assert!(enrolment["recovery_codes"].as_array().is_some_and(|codes| codes.len() >= 8));
    node.cli(&["user", "add", "--id", "office", "--role", "office", "--name", "事務局"]).await;
    node.cli(&["user", "add", "--id", "new", "--role", "facility", "--facility", "NEW", "--name", "放射線科"]).await;
    assert_eq!(node.cli(&["reader", "list"]).await[0]["name"], "Yamada^Taro=山田^太郎=やまだ^たろう");
    // The administrator whom init made, the reader, and the two.
    assert_eq!(node.cli(&["user", "list"]).await.as_array().unwrap().len(), 4);

    // What cannot be is refused with a reason, and changes nothing.
    for arguments in [
        &["facility", "add", "--id", "NEW", "--name", "x", "--issuer", "1.2.3"][..],
        &["facility", "add", "--id", "X", "--name", "x", "--issuer", "1.2.3", "--calling-aet", "NEW1"],
        &[
            "facility",
            "add",
            "--id",
            "X",
            "--name",
            "x",
            "--issuer",
            "1.2.3",
            "--calling-aet",
            "TOO_LONG_A_TITLE_FOR_DICOM",
        ],
        &["facility", "add", "--id", "X", "--name", "x", "--issuer", "1.2.3", "--return", "ftp://somewhere"],
        &["reader", "add", "--id", "R1", "--name", "A^B", "--modality", "CT"],
        &["reader", "add", "--id", "R2", "--name", "A^B", "--modality", "CT", "--hours", "sometimes"],
        &["export", "--facility", "NEW", "--study", "1.2.3", "nowhere"],
        &["export", "--facility", "OTHER", "--study", &image.study_instance_uid, "nowhere"],
        &["worklist", "show", "00000000-0000-0000-0000-000000000000"],
    ] {
        let output = node.try_cli(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output}");
    }
    assert_eq!(node.cli(&["facility", "list"]).await.as_array().unwrap().len(), 1);

    let findings = node.cli(&["doctor"]).await;
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["ok"] == true), "{findings:#}");
    node.stop().await;
    assert_eq!(node.complaints().iter().filter(|line| line.contains("ERROR")).count(), 0, "{:#?}", node.complaints());
}

#[tokio::test]
async fn our_own_sender_talks_to_other_receivers() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = crate::harness::Pacs::start(folder.path(), "PACS", &[]).await;
    let peer = receiver.address().to_string();
    let run = |arguments: Vec<String>| {
        Tool::at(BINARY).args(arguments).arg("--json").timeout(Duration::from_secs(60)).run_async()
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();

    let echo = run(words(&format!("echo {peer} --called PACS"))).await.unwrap().success();
    assert!(echo.stdout_text().contains("\"status\":0"), "{echo}");

    let mut send = words(&format!("send {peer} --called PACS"));
    send.push(dokuei_testkit::testdata("charset/hitachi_001").display().to_string());
    send.push(dokuei_testkit::testdata("README.md").display().to_string());
    let sent = run(send).await.unwrap().failure();
    let summary: serde_json::Value =
        serde_json::from_slice(&sent.stdout).unwrap_or_else(|error| panic!("{error}: {sent}"));
    assert_eq!(summary["accepted"], 4, "{sent}");
    assert_eq!(summary["refused"].as_array().unwrap().len(), 1, "what is no DICOM file cannot be sent: {sent}");
    assert_eq!(receiver.received().len(), 4);
    drop(receiver);

    let gone = run(words(&format!("echo {peer} --called PACS"))).await.unwrap();
    assert_eq!(gone.status.code(), Some(1), "{gone}");
    assert!(gone.stderr_text().contains(&peer), "{gone}");
}

#[tokio::test]
async fn help_and_version_are_there() {
    let node = NodeCommand::new(BINARY).arg("--version").start().unwrap();
    assert!(node.wait_for_exit(PATIENCE).await.unwrap().success());
    assert_eq!(node.lines(), [format!("dokuei {}", env!("CARGO_PKG_VERSION"))]);
    let help = Tool::at(BINARY).arg("--help").run_async().await.unwrap().success();
    for command in
        ["serve", "demo", "init", "facility", "reader", "worklist", "report", "export", "rebuild-index", "doctor"]
    {
        assert!(help.stdout_text().contains(command), "{command} is not in the help");
    }
}
