//! `dokuei find`: an office looks into a hospital's archive from the command line.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dokuei_dimse::{
    Admission, AssociationRequest, Decision, FindAnswers, FindRequest, Handlers, OfferedService, QueryService, Server,
    ServerConfig, ServicePolicy, Status, Stop, StoreRequest, StoreService, StoreSink,
};
use dokuei_testkit::Tool;
use serde_json::json;

use crate::harness::BINARY;

const STUDY_ROOT: &str = "1.2.840.10008.5.1.4.1.2.2.1";

/// An archive of two studies whose names are in ISO 2022 IR 87; a search for `NOBODY` finds none, one for `BROKEN` fails.
struct OldArchive {
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn element(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let padded = value.len().next_multiple_of(2);
    let mut out =
        [&group.to_le_bytes()[..], &number.to_le_bytes(), vr, &u16::try_from(padded).unwrap().to_le_bytes(), value]
            .concat();
    out.resize(8 + padded, if vr == b"UI" { 0 } else { b' ' });
    out
}

#[async_trait]
impl QueryService<()> for OldArchive {
    async fn find(&self, _: &Arc<()>, request: FindRequest, answers: &FindAnswers) -> Status {
        let asks_for = |word: &[u8]| request.identifier.windows(word.len()).any(|window| window == word);
        let (nobody, broken) = (asks_for(b"NOBODY"), asks_for(b"BROKEN"));
        self.asked.lock().unwrap().push(request.identifier.to_vec());
        if broken {
            return Status::CANNOT_UNDERSTAND;
        }
        for number in 0..if nobody { 0 } else { 2 } {
            // 山田^太郎 (PS3.5 H.3.1); the kanji before the caret must not take it for their own.
            let name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
            let found = [
                element(0x0008, 0x0005, b"CS", b"\\ISO 2022 IR 87"),
                element(0x0008, 0x0020, b"DA", b"20261122"),
                element(0x0008, 0x0052, b"CS", b"STUDY"),
                element(0x0010, 0x0010, b"PN", name),
                element(0x0010, 0x0020, b"LO", b"A-1"),
                element(0x0020, 0x000d, b"UI", format!("1.2.{number}").as_bytes()),
                element(0x0021, 0x0010, b"LO", b"PRIVATE"),
            ];
            answers.found(found.concat()).await;
        }
        Status::SUCCESS
    }
}

impl Admission for OldArchive {
    type Session = ();

    async fn admit(&self, _: &AssociationRequest) -> Decision<()> {
        Decision::Accept(())
    }
}

impl StoreService<()> for OldArchive {
    type Sink = Never;

    async fn begin(&self, _: &Arc<()>, _: StoreRequest) -> Result<Never, Status> {
        Err(Status::PROCESSING_FAILURE)
    }
}

enum Never {}

impl StoreSink for Never {
    async fn write(&mut self, _: bytes::Bytes) -> Result<(), Status> {
        match *self {}
    }

    async fn finish(self) -> Status {
        match self {}
    }
}

#[tokio::test]
async fn an_archive_is_asked_and_its_kanji_are_read() {
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let (address, stop, asked) = (server.local_addr().to_string(), Stop::default(), Arc::default());
    let archive = || OldArchive { asked: Arc::clone(&asked) };
    let handlers = Handlers {
        admission: archive(),
        policy: Box::new(ServicePolicy::new(vec![OfferedService::new(STUDY_ROOT)])),
        store: archive(),
        normalized: Arc::new(()),
        query: Arc::new(archive()),
        observer: Box::new(()),
    };
    let serving = tokio::spawn(server.serve(handlers, stop.clone()));
    let find = |more: &[&str]| Tool::at(BINARY).args(["find", &address, "--called", "OLDPACS"]).args(more);

    let output =
        find(&["--json", "-k", "PatientName=山田*", "-k", "StudyDate=20260101-"]).run_async().await.unwrap().success();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["status"], &said["truncated"]), (&json!(0), &json!(false)));
    let values = json!({
        "StudyDate": "20261122", "PatientName": "Yamada^Tarou=山田^太郎", "PatientID": "A-1", "StudyInstanceUID": "1.2.0", "00210010": "PRIVATE"
    });
    assert_eq!(said["matches"][0], json!({ "values": values, "repaired": false }));
    assert_eq!(said["matches"].as_array().unwrap().len(), 2);
    // Asked in explicit VR and UTF-8, with the level and what to show.
    let identifier = asked.lock().unwrap()[0].clone();
    let contains = |part: Vec<u8>| identifier.windows(part.len()).any(|window| window == part);
    assert!(
        contains(element(0x0008, 0x0005, b"CS", b"ISO_IR 192")) && contains(element(0x0008, 0x0052, b"CS", b"STUDY"))
    );
    assert!(
        contains(element(0x0010, 0x0010, b"PN", "山田*".as_bytes())) && contains(element(0x0010, 0x0020, b"LO", b""))
    );

    let table = find(&["--limit", "1"]).run_async().await.unwrap().success().stdout_text();
    assert!(table.contains("PatientName") && table.contains("山田^太郎") && table.contains("1.2.0"), "{table}");
    assert!(!table.contains("1.2.1") && table.contains("--limit"), "{table}");

    let nothing = find(&["-k", "PatientID=NOBODY"]).run_async().await.unwrap().success();
    assert_eq!(nothing.stdout_text(), "nothing found\n");
    let refused = find(&["-k", "PatientID=BROKEN"]).run_async().await.unwrap().failure();
    assert!(refused.stderr_text().contains("0xc000"), "{refused}");
    let unknown = find(&["-k", "PatientsName=x"]).run_async().await.unwrap().failure();
    assert!(unknown.stderr_text().contains("'PatientsName' is not a key"), "{unknown}");
    let no_patients = find(&["--level", "patient"]).run_async().await.unwrap().failure();
    assert!(no_patients.stderr_text().contains("accepts none"), "{no_patients}");

    stop.soft.cancel();
    serving.await.unwrap();
}
