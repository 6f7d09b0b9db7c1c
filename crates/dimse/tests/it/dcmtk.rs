//! With DCMTK's tools, in both directions. They must be installed (`apt-get install dcmtk`).

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use dokuei_dimse::{
    AssociationCounts, EndCause, Part10File, Rejection, SendOutcome, ServerConfig, Status, Target, send_objects,
};
use tokio::{net::TcpListener, process::Command};
use tokio_util::sync::CancellationToken;

use crate::{desk::Desk, support::*};

fn tool(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| panic!("{name} is not in PATH; install DCMTK")));
    command.env("TCP_NODELAY", "1").kill_on_drop(true).stdin(Stdio::null());
    command
}

async fn run(command: &mut Command) -> Output {
    soon("the end of the tool", command.output()).await.unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn ct_series() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ct_series_GE_HiSpeed");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A CT image in explicit VR little endian as DCMTK would write it, so that its tools leave the bytes as they are.
fn ct_file(folder: &Path, number: usize, pixel_bytes: usize) -> (PathBuf, Vec<u8>) {
    fn element(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = [group.to_le_bytes(), number.to_le_bytes(), *vr].concat();
        if vr == b"OW" || vr == b"OB" {
            out.extend([0, 0]);
            out.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        } else {
            out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        }
        out.extend(value);
        out
    }
    fn ui(group: u16, number: u16, uid: &str) -> Vec<u8> {
        let padded = if uid.len() % 2 == 1 { format!("{uid}\0") } else { uid.to_owned() };
        element(group, number, b"UI", padded.as_bytes())
    }
    let instance = format!("1.2.826.0.1.3680043.10.9999.{number}");
    let data_set = [
        ui(0x0008, 0x0016, CT),
        ui(0x0008, 0x0018, &instance),
        element(0x0010, 0x0020, b"LO", b"TEST"),
        ui(0x0020, 0x000d, "1.2.826.0.1.3680043.10.9999.1.1"),
        ui(0x0020, 0x000e, "1.2.826.0.1.3680043.10.9999.1.2"),
        element(0x0028, 0x0100, b"US", &[16, 0]),
        element(0x7fe0, 0x0010, b"OW", &pattern(pixel_bytes)),
    ]
    .concat();
    let meta = [
        element(0x0002, 0x0001, b"OB", &[0, 1]),
        ui(0x0002, 0x0002, CT),
        ui(0x0002, 0x0003, &instance),
        ui(0x0002, 0x0010, EXPLICIT),
        ui(0x0002, 0x0012, "1.2.3"),
    ]
    .concat();
    let group_length = element(0x0002, 0x0000, b"UL", &u32::try_from(meta.len()).unwrap().to_le_bytes());
    let path = folder.join(format!("{number}.dcm"));
    std::fs::write(&path, [&[0; 128][..], b"DICM", &group_length, &meta, &data_set].concat()).unwrap();
    (path, data_set)
}

fn with_address(command: &mut Command, node: &Node) {
    command.arg("127.0.0.1").arg(node.address.port().to_string());
}

#[tokio::test]
async fn echoscu_is_answered() {
    let mut node = Node::start().await;
    let mut echoscu = tool("echoscu");
    echoscu.args(["-v", "--repeat", "3", "-aet", "HOSP1", "-aec", "DOKUEI"]);
    with_address(&mut echoscu, &node);
    let output = run(&mut echoscu).await;
    assert!(output.status.success(), "{}", words(&output));

    let Event::Accepted { calling, implementation_version } = node.event().await else { panic!("not accepted") };
    assert_eq!(calling, "HOSP1");
    assert!(implementation_version.starts_with("OFFIS_DCMTK"), "{implementation_version}");
    let (cause, counts, _) = node.ended().await;
    assert_eq!((cause, counts), (EndCause::Released, AssociationCounts { echoes: 3, ..AssociationCounts::default() }));
}

#[tokio::test]
async fn findscu_is_answered_and_can_cancel() {
    let mut desk = Desk::open(5).await;
    for (cancel, responses) in [(None, 5), (Some("2"), 2)] {
        let mut findscu = tool("findscu");
        findscu.args([
            "-v",
            "-S",
            "-aet",
            "HOSP1",
            "-aec",
            "DOKUEI",
            "-k",
            "QueryRetrieveLevel=STUDY",
            "-k",
            "PatientID=",
        ]);
        findscu.args(cancel.iter().flat_map(|after| ["--cancel", *after]));
        with_address(&mut findscu, &desk.node);
        let output = run(&mut findscu).await;
        assert!(output.status.success(), "{}", words(&output));
        assert!(words(&output).contains(&format!("Find Response: {responses}")), "{}", words(&output));
        let (cause, counts, _) = desk.node.ended().await;
        assert_eq!((cause, counts.queries), (EndCause::Released, 1));
        desk.matches.add_permits(50);
    }
}

#[tokio::test]
async fn storescu_stores_byte_for_byte_with_every_pdu_size() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = [2, 5_000, 131_072, 2_000_000]
        .into_iter()
        .enumerate()
        .map(|(number, size)| ct_file(folder.path(), number, size))
        .collect();
    for (ours, theirs) in [(131_072, 131_072), (4096, 131_072), (16_384, 4096), (1 << 20, 131_072)] {
        let mut node = Node::with(ServerConfig { max_pdu: ours, ..quick() }, Behaviour::Keep).await;
        let mut storescu = tool("storescu");
        storescu.args(["-v", "-aet", "HOSP1", "-aec", "DOKUEI", "--max-pdu", &theirs.to_string()]);
        with_address(&mut storescu, &node);
        storescu.args(files.iter().map(|(path, _)| path));
        let output = run(&mut storescu).await;
        assert!(output.status.success(), "{}", words(&output));

        let (cause, counts, _) = node.ended().await;
        assert_eq!((cause, counts.stored), (EndCause::Released, 4));
        for ((_, sent), object) in files.iter().zip(node.stored()) {
            assert!(object.bytes == *sent, "{} bytes instead of {}", object.bytes.len(), sent.len());
        }
    }
}

#[tokio::test]
async fn storescu_sends_a_real_series() {
    let mut node = Node::start().await;
    let files = ct_series();
    let mut storescu = tool("storescu");
    storescu.args(["-v", "-aet", "HOSP1", "-aec", "DOKUEI", "--propose-lossless"]);
    with_address(&mut storescu, &node);
    storescu.args(&files);
    let output = run(&mut storescu).await;
    assert!(output.status.success(), "{}", words(&output));

    let (cause, counts, _) = node.ended().await;
    assert_eq!((cause, counts.stored), (EndCause::Released, files.len() as u64));
    for (file, object) in files.iter().zip(node.stored()) {
        let opened = Part10File::open(file).await.unwrap();
        assert_eq!(object.request.sop_instance, opened.sop_instance);
        assert_eq!(object.request.sop_class, opened.sop_class);
    }
}

#[tokio::test]
async fn storescu_says_why_it_was_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = ct_file(folder.path(), 1, 100);
    let mut node = Node::start().await;
    for (calling, called, phrase, rejection) in [
        ("STRANGER", "DOKUEI", "Calling AE Title Not Recognized", Rejection::CALLING_AE_NOT_RECOGNIZED),
        ("HOSP1", "OTHER", "Called AE Title Not Recognized", Rejection::CALLED_AE_NOT_RECOGNIZED),
        ("BUSY", "DOKUEI", "Temporary Congestion", Rejection::TEMPORARY_CONGESTION),
    ] {
        let mut storescu = tool("storescu");
        storescu.args(["-aet", calling, "-aec", called]);
        with_address(&mut storescu, &node);
        let output = run(storescu.arg(&file)).await;
        assert!(!output.status.success());
        assert!(words(&output).contains(phrase), "{}", words(&output));
        assert_eq!(node.event().await, Event::Rejected { calling: calling.into(), rejection });
    }
}

#[tokio::test]
async fn storescu_says_what_status_it_got() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = ct_file(folder.path(), 1, 1_000_000);
    let mut node = Node::with(quick(), Behaviour::RefuseAtOnce(Status::OUT_OF_RESOURCES)).await;
    let mut storescu = tool("storescu");
    storescu.args(["-v", "-aet", "HOSP1", "-aec", "DOKUEI"]);
    with_address(&mut storescu, &node);
    let output = run(storescu.arg(&file)).await;
    assert!(words(&output).contains("OutOfResources"), "{}", words(&output));
    let (cause, counts, _) = node.ended().await;
    assert_eq!((cause, counts.failed), (EndCause::Released, 1));
}

/// A storescp for one association that keeps the bytes as received.
async fn storescp(folder: &Path, options: &[&str]) -> (TcpListener, Command) {
    let mut command = tool("storescp");
    command.arg("--inetd").arg("--bit-preserving").arg("--output-directory").arg(folder).args(options);
    (TcpListener::bind("127.0.0.1:0").await.unwrap(), command)
}

/// Gives the next connection to the tool, as inetd does.
async fn serve_one(listener: &TcpListener, mut command: Command) -> Output {
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    command.stdin(Stdio::from(OwnedFd::from(stream)));
    run(&mut command).await
}

#[tokio::test]
async fn storescp_receives_what_we_send() {
    for options in [&[][..], &["--max-pdu", "4096"]] {
        let folder = tempfile::tempdir().unwrap();
        let received = tempfile::tempdir().unwrap();
        let sent: Vec<_> = [2, 5_000, 2_000_000]
            .into_iter()
            .enumerate()
            .map(|(number, size)| ct_file(folder.path(), number, size))
            .collect();
        let mut objects = Vec::new();
        for (path, _) in &sent {
            objects.push(Part10File::open(path).await.unwrap());
        }
        for path in ct_series() {
            objects.push(Part10File::open(path).await.unwrap());
        }
        let count = objects.len();
        let (listener, command) = storescp(received.path(), options).await;
        let address = listener.local_addr().unwrap().to_string();
        let target = Target { address, calling: ae("DOKUEI"), called: ae("HOSP1"), timeouts: patient(), tls: None };
        let stop = CancellationToken::new();
        let (output, report) =
            tokio::join!(serve_one(&listener, command), send_objects(&target, objects, &stop, |_, _| {}));
        assert!(report.all_accepted(), "{report:?} {}", words(&output));
        assert_eq!((report.outcomes.len(), report.associations), (count, 1));

        let mut files =
            std::fs::read_dir(received.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        files.sort();
        assert_eq!(files.len(), count);
        for (path, data_set) in &sent {
            let name = Part10File::open(path).await.unwrap().sop_instance;
            let file = files.iter().find(|file| file.to_string_lossy().ends_with(name.as_str())).unwrap();
            let copy = Part10File::open(file).await.unwrap();
            let bytes = std::fs::read(file).unwrap();
            assert!(bytes[copy.data_set_offset as usize..] == data_set[..], "{}", file.display());
        }
    }
}

#[tokio::test]
async fn storescp_that_refuses_or_aborts_is_reported_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = ct_file(folder.path(), 1, 1_000_000);
    let stop = CancellationToken::new();
    for option in ["--refuse", "--abort-during", "--abort-after"] {
        let received = tempfile::tempdir().unwrap();
        let (listener, command) = storescp(received.path(), &[option]).await;
        let address = listener.local_addr().unwrap().to_string();
        let target = Target { address, calling: ae("DOKUEI"), called: ae("HOSP1"), timeouts: patient(), tls: None };
        let objects = [Part10File::open(&path).await.unwrap()];
        let (_, report) = tokio::join!(serve_one(&listener, command), send_objects(&target, objects, &stop, |_, _| {}));

        use dokuei_dimse::AssociationError::{Aborted, Closed, Rejected};
        match (option, &report.outcomes[0]) {
            ("--refuse", SendOutcome::NotSent) => {
                assert!(matches!(report.error, Some(Rejected(_))), "{:?}", report.error)
            }
            ("--abort-during" | "--abort-after", SendOutcome::Failed(Aborted(_) | Closed)) => {}
            (option, other) => panic!("{option}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn storescp_answers_our_echo() {
    let received = tempfile::tempdir().unwrap();
    let (listener, command) = storescp(received.path(), &[]).await;
    let address = listener.local_addr().unwrap();
    let echo = dokuei_dimse::Association::verify(address, ae("DOKUEI"), ae("HOSP1"), patient());
    let (output, status) = tokio::join!(serve_one(&listener, command), echo);
    assert_eq!(status.unwrap(), Status::SUCCESS, "{}", words(&output));
}
