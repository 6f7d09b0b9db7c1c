//! DICOM over TLS with other people's tools: what OpenSSL can and cannot agree on with the node, and DCMTK in both directions. They must be installed
//! (`apt-get install openssl dcmtk`).

use std::{path::Path, process::Stdio};

use dokuei_dimse::{Association, EndCause, RequestorTimeouts, Status};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{support::*, tls::Office};

fn tool(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| panic!("{name} is not in PATH; install it")));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// What `openssl s_client` says of one handshake, and whether there was one.
async fn handshake(node: &Node, office: &Office, arguments: &[&str]) -> (bool, String) {
    let mut command = tool("openssl");
    command.arg("s_client").arg("-connect").arg(node.address.to_string()).args(arguments);
    command.arg("-CAfile").arg(office.path("ca.pem"));
    command.arg("-cert").arg(office.path("HOSP1.pem")).arg("-key").arg(office.path("HOSP1.key"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It ends when it has nothing more to say.
    child.stdin.take().unwrap().shutdown().await.unwrap();
    let output = soon("the end of openssl", child.wait_with_output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text.contains("Verify return code: 0 (ok)") && !text.contains("Cipher is (NONE)"), text)
}

#[tokio::test]
async fn only_the_profiles_versions_suites_and_groups_are_agreed_on() {
    let office = Office::new();
    let node = Node::with_tls(quick(), office.node_tls()).await;
    office.issue("HOSP1");
    let weak = "ALL:@SECLEVEL=0";

    let allowed: &[(&[&str], &str)] = &[
        (&[], "TLSv1.3"),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "TLS_AES_128_GCM_SHA256"),
        (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "TLS_CHACHA20_POLY1305_SHA256"),
        (&["-tls1_2"], "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (&["-groups", "X25519"], "X25519"),
        (&["-groups", "P-256"], "prime256v1"),
        (&["-groups", "P-384"], "secp384r1"),
    ];
    for (arguments, expected) in allowed {
        let (agreed, text) = handshake(&node, &office, arguments).await;
        assert!(agreed && text.contains(expected), "{arguments:?}: {text}");
        assert!(text.contains("Compression: NONE") && !text.contains("New Session Ticket"), "{arguments:?}: {text}");
    }

    let refused: &[&[&str]] = &[
        &["-tls1", "-cipher", weak],
        &["-tls1_1", "-cipher", weak],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"],
        &["-groups", "P-521"],
    ];
    for arguments in refused {
        let (agreed, text) = handshake(&node, &office, arguments).await;
        assert!(!agreed, "{arguments:?}: {text}");
    }
}

/// The options by which DCMTK speaks TLS with the hospital's certificate.
fn with_tls(command: &mut Command, office: &Office, certificate: &str) {
    command.arg("+tls").arg(office.path(&format!("{certificate}.key"))).arg(office.path(&format!("{certificate}.pem")));
    command.arg("+cf").arg(office.path("ca.pem"));
}

#[tokio::test]
async fn dcmtk_verifies_and_sends_over_tls_and_is_refused_without() {
    let office = Office::new();
    let mut node = Node::with_tls(quick(), office.node_tls()).await;
    office.issue("HOSP1");
    let peer = |name: &str, tls: bool| {
        let mut command = tool(name);
        if tls {
            with_tls(&mut command, &office, "HOSP1");
        }
        command.args(["-aet", "HOSP1", "-aec", "DOKUEI", "127.0.0.1"]).arg(node.address.port().to_string());
        command
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ct_series_GE_HiSpeed");

    let output = soon("echoscu", peer("echoscu", true).output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut plain = peer("echoscu", false);
    let mut sending = peer("storescu", true);
    let output = soon("storescu", sending.arg("+sd").arg(&folder).output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    assert_eq!(node.ended().await.0, EndCause::Released);
    let (cause, counts, _) = node.ended().await;
    assert_eq!(cause, EndCause::Released);
    assert!(counts.stored > 1 && counts.failed == 0, "{counts:?}");
    assert!(node.stored().iter().all(|stored| stored.certificate.as_ref().unwrap().subject.contains("HOSP1")));

    let output = soon("echoscu without TLS", plain.output()).await.unwrap();
    assert!(!output.status.success());
    assert!(matches!(node.event().await, Event::ConnectionFailed(EndCause::Handshake(_))));
}

#[tokio::test]
async fn we_verify_dcmtks_archive_over_tls() {
    let office = Office::new();
    let (own, archive) = (office.node_tls(), office.issue("archive"));
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = tool("storescp");
    command.arg("+tls").arg(&archive.1).arg(&archive.0).arg("+cf").arg(office.path("ca.pem"));
    command.args(["-aet", "ARCHIVE", "--output-directory"]).arg(office.folder.path()).arg(place.port().to_string());
    let _archive = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();

    let verified = soon("the archive's answer", async {
        loop {
            let tls = own.connect_to("localhost").unwrap();
            let verified =
                Association::verify_over(place, ae("DOKUEI"), ae("ARCHIVE"), RequestorTimeouts::default(), Some(tls))
                    .await;
            match verified {
                // It does not listen yet.
                Err(dokuei_dimse::AssociationError::Connect { .. }) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    });
    assert_eq!(verified.await.unwrap(), Status::SUCCESS);
}
