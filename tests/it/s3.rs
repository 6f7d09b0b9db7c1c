//! The same stories with the images in a bucket and the index on PostgreSQL: nothing that counts is on the machine. Only those in which the place of
//! the images matters; what a store promises is proven in its own crate, on more servers.

use dokuei_dimse::Status;
use dokuei_testkit::{
    NodeCommand, S3Server,
    s3::{self, Fault},
};
use serde_json::Value;

use crate::harness::{Certificates, Index, Object, PATIENCE, TestNode, scu, send, send_alone, synthetic};
use crate::{crash, loop_story, receive};

macro_rules! on_s3 {
    ($($story:ident: $call:expr;)+) => {
        $(#[tokio::test]
        async fn $story() {
            if let Some(index) = Index::shared() {
                Box::pin($call(index)).await;
            }
        })+
    };
}

on_s3! {
    a_whole_series_goes_in_and_comes_out_byte_for_byte: receive::a_whole_series_goes_in_and_comes_out_byte_for_byte;
    the_same_again_changes_nothing: receive::the_same_again_changes_nothing_and_other_bytes_are_kept_aside;
    several_associations_at_once: receive::several_associations_at_once;
    what_was_acknowledged_survives_kill_and_the_loss_of_the_index: crash::what_was_acknowledged_survives_kill_and_the_loss_of_the_index;
    a_report_is_signed_and_returned: loop_story::a_hospital_with_an_archive_of_another_maker_gets_its_report;
    a_large_object_passes_through_little_memory: async |index| crash::passes_through_little_memory(index, 64 << 20).await;
}

#[tokio::test]
async fn a_server_that_fails_loses_nothing_and_the_node_recovers_by_itself() {
    let Some(index) = Index::shared() else { return };
    let mut node = TestNode::start(index).await;
    let images = synthetic(12, 910);
    let mut association = scu(&node, "HOSP1").await;

    // Every third request fails in its own way; nobody outside notices.
    let server = node.s3().unwrap();
    let mut count = 0;
    server.set_faults(move |_| {
        count += 1;
        match count % 9 {
            0 => Fault::Refuse(503),
            3 => Fault::LoseAnswer,
            6 => Fault::CutAfter(1000),
            _ => Fault::None,
        }
    });
    for image in &images[..8] {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }

    // Nothing works: the sender is told to keep its image.
    server.set_faults(|_| Fault::Refuse(403));
    assert_eq!(send(&mut association, &Object::ct(&images[8])).await.unwrap(), Status::OUT_OF_RESOURCES);
    server.set_faults(|_| Fault::None);
    for image in &images[8..] {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
    }
    association.release().await.unwrap();

    let stored = node.export_study("HOSP1", &images[0].study_instance_uid).await;
    assert_eq!(stored.len(), 12);
    assert!(images.iter().all(|image| stored[&image.sop_instance_uid] == Object::ct(image).data_set));
    assert_eq!(node.blobs().len(), 12);
    node.stop().await;
}

/// What `dokuei doctor` says of the image store.
async fn store_finding(node: &TestNode) -> Value {
    let output = node.try_cli(&["doctor"]).await;
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    findings.into_iter().find(|finding| finding["what"] == "image store").unwrap()
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_the_bucket() {
    let server = S3Server::start().unwrap();
    let mut node = TestNode::init(Index::Sqlite).await;
    node.set("image_store.url", server.url(""))
        .set("image_store.access_key", s3::ACCESS_KEY)
        .set("image_store.secret_key", s3::SECRET_KEY);

    let sound = store_finding(&node).await;
    assert_eq!(sound["ok"], true, "{sound}");
    assert!(server.objects("").is_empty(), "the probe is removed");

    node.set("image_store.secret_key", "hunter2");
    let refused = store_finding(&node).await;
    assert!(refused["ok"] == false && refused.to_string().contains("SignatureDoesNotMatch"), "{refused}");
    assert!(!refused.to_string().contains("hunter2"));

    node.set("image_store.url", server.url("").replace("127.0.0.1", "192.0.2.1"));
    let clear = store_finding(&node).await;
    assert!(clear["ok"] == false && clear.to_string().contains("in the clear"), "{clear}");
}

/// Puts TLS before a server: certificate, key and the server's port are its arguments, its own port is what it prints.
const TLS_DOOR: &str = "
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(plain):
    try:
        inside = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    outside = socket.create_connection(('127.0.0.1', int(sys.argv[3])))
    threading.Thread(target=pump, args=(inside, outside), daemon=True).start()
    pump(outside, inside)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

#[tokio::test]
async fn a_server_is_reached_over_tls_when_its_certificate_is_trusted() {
    let certificates = Certificates::new();
    certificates.issue("s3", "ca");
    let server = S3Server::start().unwrap();
    let door = NodeCommand::new("/usr/bin/python3").args(["-c", TLS_DOOR]).arg(certificates.pem("s3"));
    let door = door.arg(certificates.key("s3")).arg(server.address().port().to_string()).start().unwrap();
    let port: u16 = door.wait_for_line(PATIENCE, |line| line.parse().ok()).await.unwrap();
    let mut node = TestNode::init(Index::Sqlite).await;
    let plain = format!("http://{}", server.address());
    node.set("image_store.url", server.url("tls").replace(&plain, &format!("https://localhost:{port}")))
        .set("image_store.access_key", s3::ACCESS_KEY)
        .set("image_store.secret_key", s3::SECRET_KEY);

    let stranger = store_finding(&node).await;
    assert!(stranger["ok"] == false && stranger.to_string().to_lowercase().contains("certificate"), "{stranger}");

    // An authority of the hospital's own is the system's affair.
    node.set_variable("SSL_CERT_FILE", certificates.pem("ca").display());
    let trusted = store_finding(&node).await;
    assert_eq!(trusted["ok"], true, "{trusted}");
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let image = synthetic(1, 930).remove(0);
    assert_eq!(send_alone(&node, "HOSP1", &Object::ct(&image)).await.unwrap(), Status::SUCCESS);
    assert_eq!(server.objects("tls/v1").len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn the_secret_of_the_bucket_is_nowhere_in_the_log() {
    let Some(index) = Index::shared() else { return };
    let mut node = TestNode::init(index).await;
    node.set("telemetry.log_level", "debug");
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.serve().await;
    let image = synthetic(1, 920).remove(0);
    assert_eq!(send_alone(&node, "HOSP1", &Object::ct(&image)).await.unwrap(), Status::SUCCESS);
    node.stop().await;
    assert!(!node.log_text().contains(s3::SECRET_KEY));
}
