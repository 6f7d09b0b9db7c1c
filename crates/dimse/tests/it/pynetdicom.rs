//! With pynetdicom, in both directions.

use std::{path::Path, process::Stdio, time::Duration};

use dokuei_dimse::{
    Association, EndCause, FindOperation, NormalizedCommand, NormalizedOperation, RequestOptions, Roles, Status,
};
use dokuei_testkit::python_with;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{desk::*, support::*};

/// The peer as a process that goes on.
fn peer(arguments: &[&str]) -> Child {
    let python = python_with(&["pydicom==3.0.2", "pynetdicom==3.0.4"]).unwrap_or_else(|error| panic!("{error}"));
    let found = python.args(["-c", "import sys; print(sys.executable)"]).run().unwrap().success();
    let mut command = Command::new(found.stdout_text().trim());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pynetdicom_peer.py")).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// An explicit VR little endian UI element.
fn ui(group: u16, element: u16, uid: &str) -> Vec<u8> {
    let padded = if uid.len() % 2 == 1 { format!("{uid}\0") } else { uid.to_owned() };
    let length = u16::try_from(padded.len()).unwrap();
    [&group.to_le_bytes(), &element.to_le_bytes(), &b"UI"[..], &length.to_le_bytes(), padded.as_bytes()].concat()
}

#[tokio::test]
async fn pynetdicom_uses_every_service_on_one_association() {
    let mut desk = Desk::open(3).await;
    let mut user = peer(&["user", &desk.node.address.port().to_string()]);
    let link = desk.link().await;
    let (class, instance) = (sop_class(COMMITMENT), sop_instance(COMMITMENT_INSTANCE));
    assert_eq!(link.transfer_syntax().as_str(), IMPLICIT);
    let transaction = [&[0x08, 0, 0x95, 0x11, 6, 0, 0, 0][..], b"1.2.3\0"].concat();
    assert_eq!(link.event_report(&class, &instance, 1, transaction).await, Ok(Status::SUCCESS));

    let mut said = String::new();
    soon("the result", user.stdout.take().unwrap().read_to_string(&mut said)).await.unwrap();
    assert!(soon("the end", user.wait()).await.unwrap().success());
    let implementation =
        format!(r#"["{}", "{}"]"#, dokuei_dimse::IMPLEMENTATION_CLASS_UID, dokuei_dimse::IMPLEMENTATION_VERSION_NAME);
    for (key, value) in [
        ("events", r#"[[1, "1.2.3"]]"#),
        ("window", "[1, 1]"),
        ("identity", "true"),
        ("extended", r#"{"1.2.840.10008.5.1.4.1.2.2.1": [1, 1]}"#),
        ("roles", "[true, true]"),
        ("implementation", implementation.as_str()),
        ("action", "0"),
        ("echo", "0"),
        ("create", "0"),
        ("set", "0"),
        ("found", r#"[[65280, "1.2.0"], [65281, "1.2.1"], [65280, "1.2.2"], [0, null]]"#),
    ] {
        assert!(said.contains(&format!(r#""{key}": {value}"#)), "{key} is not {value}: {said}");
    }
    let operations: Vec<_> = desk.requests().iter().map(|request| request.operation).collect();
    use NormalizedOperation::{Action, Create, Set};
    assert_eq!(operations, [Action, Create, Set]);
    let (cause, counts, _) = desk.node.ended().await;
    assert_eq!((cause, counts.events, counts.queries), (EndCause::Released, 1, 1));
}

/// A running provider.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Provider {
    async fn start() -> Self {
        let mut child = peer(&["provider"]);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        soon("the port", output.read_line(&mut port)).await.unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input, output, port: port.trim().parse().unwrap() }
    }

    async fn associate(&self, roles: Option<Roles>) -> Association {
        let mut options = RequestOptions::new(ae("DOKUEI"), ae("ARCHIVE"), desk_options().contexts);
        options.contexts[0].roles = roles;
        options.contexts.iter_mut().for_each(|context| context.transfer_syntaxes = vec![transfer_syntax(EXPLICIT)]);
        options.timeouts = patient();
        Association::request(("127.0.0.1", self.port), &options).await.unwrap()
    }

    /// What it was asked.
    async fn seen(mut self) -> String {
        drop(self.input);
        let mut said = String::new();
        soon("the result", self.output.read_to_string(&mut said)).await.unwrap();
        assert!(soon("the end", self.child.wait()).await.unwrap().success());
        said
    }
}

fn check(said: &str, key: &str, value: &str) {
    assert!(said.contains(&format!(r#""{key}": {value}"#)), "{key} is not {value}: {said}");
}

#[tokio::test]
async fn pynetdicom_answers_every_service_and_sends_its_event_meanwhile() {
    let provider = Provider::start().await;
    let mut association = provider.associate(None).await;
    let (commitment, step) = (sop_class(COMMITMENT), sop_class(PROCEDURE_STEP));
    let well_known = sop_instance(COMMITMENT_INSTANCE);
    let action = NormalizedCommand::action(commitment, well_known.clone(), 1, ui(0x0008, 0x1195, "1.2.3"));
    assert_eq!(association.normalized(1, action).await.unwrap().status, Status::SUCCESS);
    let event = association.wait_for_event(Duration::from_secs(30)).await.unwrap().unwrap();
    assert_eq!((event.type_id, &event.sop_instance), (1, &well_known));
    assert_eq!(event.data_set.as_deref(), Some(&ui(0x0008, 0x1195, "1.2.3")[..]));
    association.answer_event(&event, Status::SUCCESS).await.unwrap();

    let in_progress = [&[0x40, 0, 0x52, 0x02][..], b"CS", &[12, 0], b"IN PROGRESS "].concat();
    let create = NormalizedCommand::create(step.clone(), None, in_progress.clone());
    let reply = association.normalized(3, create).await.unwrap();
    assert_eq!((reply.status, reply.sop_instance), (Status::SUCCESS, Some(sop_instance("1.2.88"))));
    assert_eq!(reply.data_set.as_deref(), Some(&in_progress[..]));
    let set = NormalizedCommand::set(step, sop_instance("1.2.88"), in_progress);
    assert_eq!(association.normalized(3, set).await.unwrap().status, Status::NO_SUCH_SOP_INSTANCE);
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();

    let said = provider.seen().await;
    check(&said, "action", r#"[[1, "1.2.3"]]"#);
    check(&said, "answers", "[0]");
    check(&said, "create", r#"["IN PROGRESS"]"#);
    check(&said, "set", r#"["1.2.88"]"#);
}

#[tokio::test]
async fn pynetdicom_is_asked_and_stopped() {
    let provider = Provider::start().await;
    let mut association = provider.associate(None).await;
    let keys = |patient: &str| {
        let patient_id =
            [&[0x10, 0, 0x20, 0][..], b"LO", &[u8::try_from(patient.len()).unwrap(), 0], patient.as_bytes()];
        let level = [&[0x08, 0, 0x52, 0][..], b"CS", &[6, 0], b"STUDY "].concat();
        let identifier = [level, patient_id.concat(), ui(0x0020, 0x000d, "")].concat();
        FindOperation { context_id: 5, sop_class: sop_class(STUDY_ROOT_FIND), priority: 0, identifier }
    };
    let reply = association.find_all(&keys("A123"), 100).await.unwrap();
    assert_eq!((reply.status, reply.truncated), (Status::SUCCESS, false));
    assert_eq!(reply.identifiers, (0..3).map(found).collect::<Vec<_>>());
    let reply = association.find_all(&keys("ENDLESS "), 5).await.unwrap();
    assert_eq!((reply.status, reply.truncated, reply.identifiers.len()), (Status::CANCEL, true, 5));
    association.release().await.unwrap();

    let said = provider.seen().await;
    check(&said, "find", r#"["A123", "ENDLESS"]"#);
    check(&said, "cancelled", "true");
}

#[tokio::test]
async fn pynetdicom_takes_an_event_on_an_association_that_we_open() {
    let provider = Provider::start().await;
    let mut association = provider.associate(Some(Roles::PROVIDER)).await;
    assert_eq!(association.contexts()[0].roles, Roles::PROVIDER);
    let (class, instance) = (sop_class(COMMITMENT), sop_instance(COMMITMENT_INSTANCE));
    let report = NormalizedCommand::event_report(class, instance, 2, ui(0x0008, 0x1195, "1.2.3"));
    assert_eq!(association.normalized(1, report).await.unwrap().status, Status::SUCCESS);
    association.release().await.unwrap();
    check(&provider.seen().await, "events", r#"[[2, "1.2.3"]]"#);
}
