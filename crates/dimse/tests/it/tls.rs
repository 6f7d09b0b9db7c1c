//! DICOM over TLS between two of us: who is let in, what is refused, and how files change under a running node.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dokuei_dimse::{
    Association, AssociationError, ClientCertificate, ClientTls, ClientTlsFiles, EndCause, NodeTls, ServerConfig,
    Status, StoreOperation, TlsError, TlsFiles, Waiting, tls::Reloaded,
};
use dokuei_domain::{Ambient, Clock, Entropy, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::AsyncWriteExt;

use crate::support::*;

/// 2026-11-22T00:00:00Z.
const TODAY: i64 = 1_795_305_600_000_000;
const DAY: i64 = 24 * 3_600 * 1_000_000;

#[derive(Clone)]
pub(crate) struct HandClock(Arc<AtomicI64>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _: &mut [u8]) {}
}

/// Authorities, certificates and keys in files, and a clock that is moved by hand.
pub(crate) struct Office {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: HandClock,
    authority: Issuer<'static, KeyPair>,
}

impl Office {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority("Hospitals' authority", &folder.path().join("ca.pem"));
        Self { folder, clock: HandClock(Arc::new(AtomicI64::new(TODAY))), authority }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`, valid from 2020 to 2090.
    pub(crate) fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issue_with(name, |_| {})
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        issue_by(&self.authority, self.folder.path(), name, change)
    }

    pub(crate) fn ambient(&self) -> Ambient {
        Ambient::new(Arc::new(self.clock.clone()), Arc::new(NoEntropy))
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path("node.pem"),
            key: self.path("node.key"),
            client_authorities: Some(self.path("ca.pem")),
            server_authorities: None,
            client_certificate: ClientCertificate::Required,
        }
    }

    /// TLS of a node with a fresh certificate for 127.0.0.1 and localhost.
    pub(crate) fn node_tls(&self) -> Arc<NodeTls> {
        self.issue("node");
        Arc::new(NodeTls::open(self.files(), self.ambient()).unwrap())
    }

    fn client(&self, identity: Option<(PathBuf, PathBuf)>) -> ClientTls {
        self.client_of("ca.pem", identity, "127.0.0.1")
    }

    fn client_of(&self, authorities: &str, identity: Option<(PathBuf, PathBuf)>, server_name: &str) -> ClientTls {
        let files = ClientTlsFiles { authorities: self.path(authorities), identity };
        ClientTls::load(&files, server_name, &self.ambient()).unwrap()
    }
}

fn authority(name: &str, file: &Path) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1));
    let key = KeyPair::generate().unwrap();
    std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}

fn issue_by(
    authority: &Issuer<'static, KeyPair>,
    folder: &Path,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (PathBuf, PathBuf) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1));
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&files.0, params.signed_by(&key, authority).unwrap().pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

async fn associate(node: &Node, tls: ClientTls) -> Result<Association, AssociationError> {
    let mut options = options();
    options.tls = Some(tls);
    Association::request(node.address, &options).await
}

/// The connection fails, and the node says why.
async fn refused(node: &mut Node, tls: ClientTls) -> (AssociationError, String) {
    let error = associate(node, tls).await.expect_err("the association was accepted");
    match node.event().await {
        Event::ConnectionFailed(EndCause::Handshake(reason)) => (error, reason),
        other => panic!("{other:?} instead of a failed handshake"),
    }
}

async fn stop(node: Node) {
    node.stop.soft.cancel();
    node.stopped().await;
}

#[tokio::test]
async fn a_peer_with_a_certificate_is_known_by_it_and_its_objects_come_whole() {
    let office = Office::new();
    let mut node = Node::with_tls(quick(), office.node_tls()).await;
    let hospital = office.issue("HOSP1");
    let mut association = associate(&node, office.client(Some(hospital))).await.unwrap();
    assert!(matches!(node.event().await, Event::Accepted { .. }));

    let image = pattern(5_000_000);
    let context = association.context_for(&sop_class(CT), &transfer_syntax(EXPLICIT)).unwrap();
    let store = StoreOperation::new(context, sop_class(CT), sop_instance("1.2.3"));
    assert_eq!(association.store(&store, &mut Cursor::new(image.clone()), None).await.unwrap(), Status::SUCCESS);
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();

    assert_eq!(node.ended().await.0, EndCause::Released);
    let stored = node.stored().remove(0);
    assert!(stored.bytes == image, "the bytes are others");
    let certificate = stored.certificate.unwrap();
    assert!(certificate.subject.contains("HOSP1"), "{}", certificate.subject);
    assert_eq!(certificate.names, ["localhost", "127.0.0.1"]);
    stop(node).await;
}

#[tokio::test]
async fn who_shows_no_certificate_or_a_strangers_gets_no_dicom_answer() {
    let office = Office::new();
    let mut node = Node::with_tls(quick(), office.node_tls()).await;

    let (error, reason) = refused(&mut node, office.client(None)).await;
    assert!(reason.contains("no certificates"), "{reason}");
    assert!(
        matches!(error, AssociationError::Handshake(_) | AssociationError::Connection(_) | AssociationError::Closed),
        "{error:?}"
    );

    let strangers = authority("Somebody", &office.path("strangers.pem"));
    let stranger = issue_by(&strangers, office.folder.path(), "stranger", |_| {});
    let (_, reason) = refused(&mut node, office.client(Some(stranger))).await;
    assert!(reason.contains("UnknownIssuer"), "{reason}");

    let expired = office.issue_with("old", |params| params.not_after = date_time_ymd(2026, 11, 1));
    let (_, reason) = refused(&mut node, office.client(Some(expired))).await;
    assert!(reason.contains("expired"), "{reason}");

    // The other way round: we do not send to somebody whom our authority does not know, or who has another name.
    let client = office.client_of("strangers.pem", None, "127.0.0.1");
    let (error, reason) = refused(&mut node, client).await;
    assert!(matches!(&error, AssociationError::Handshake(_)) && !error.is_transient(), "{error:?}");
    assert!(reason.contains("alert"), "{reason}");
    let (error, _) = refused(&mut node, office.client_of("ca.pem", None, "pacs.example.jp")).await;
    assert!(matches!(error, AssociationError::Handshake(_)), "{error:?}");
    stop(node).await;
}

#[tokio::test]
async fn a_certificate_that_may_be_left_out_may_not_be_a_strangers() {
    let office = Office::new();
    office.issue("node");
    let optional = TlsFiles { client_certificate: ClientCertificate::Optional, ..office.files() };
    let tls = Arc::new(NodeTls::open(optional, office.ambient()).unwrap());
    let mut node = Node::with_tls(quick(), tls).await;

    associate(&node, office.client(None)).await.unwrap().release().await.unwrap();
    assert_eq!(node.ended().await.0, EndCause::Released);
    let strangers = authority("Somebody", &office.path("strangers.pem"));
    let stranger = issue_by(&strangers, office.folder.path(), "stranger", |_| {});
    refused(&mut node, office.client(Some(stranger))).await;
    stop(node).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_artim_timer_and_plain_dicom_with_an_alert() {
    let office = Office::new();
    let config = ServerConfig { artim: Duration::from_millis(300), ..quick() };
    let mut node = Node::with_tls(config, office.node_tls()).await;

    let mut stalls = RawPeer::connect(node.address).await;
    stalls.send(&[0x16, 3, 1, 2, 0]).await;
    assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::Timeout(Waiting::Handshake)));
    stalls.closed().await;

    let mut plain = RawPeer::connect(node.address).await;
    plain.send(&associate_request(&[(1, CT, &[EXPLICIT])], &[max_length(16_384)])).await;
    let Event::ConnectionFailed(EndCause::Handshake(reason)) = node.event().await else { panic!("no failure") };
    assert!(reason.contains("corrupt"), "{reason}");
    // 21: an alert.
    let mut answer = [0; 1];
    tokio::io::AsyncReadExt::read_exact(&mut plain.stream, &mut answer).await.unwrap();
    assert_eq!(answer, [21]);

    // A check of the port by somebody who says nothing is no failure of TLS.
    let mut silent = RawPeer::connect(node.address).await;
    silent.stream.shutdown().await.unwrap();
    assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::PeerClosed));
    stop(node).await;
}

#[tokio::test]
async fn changed_files_hold_for_new_connections_and_broken_ones_change_nothing() {
    let office = Office::new();
    let tls = office.node_tls();
    let node = Node::with_tls(quick(), Arc::clone(&tls)).await;
    let hospital = office.issue("HOSP1");
    let mut before = associate(&node, office.client(Some(hospital.clone()))).await.unwrap();
    let first = tls.certificate().sha256;
    assert_eq!((tls.reload().unwrap(), tls.trouble()), (Reloaded::Unchanged, None));

    // Half of a renewal: the new key is not there yet.
    let old_key = std::fs::read(office.path("node.key")).unwrap();
    office.issue("node");
    let new_key = std::fs::read(office.path("node.key")).unwrap();
    std::fs::write(office.path("node.key"), &old_key).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::KeyDoesNotMatch { .. })));
    assert_eq!(tls.reload().unwrap(), Reloaded::Unchanged, "the same failure is told once");
    assert!(tls.trouble().unwrap().contains("does not belong to the certificate"), "{:?}", tls.trouble());
    assert_eq!(tls.certificate().sha256, first);
    associate(&node, office.client(Some(hospital.clone()))).await.unwrap().release().await.unwrap();

    std::fs::remove_file(office.path("node.key")).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));

    std::fs::write(office.path("node.key"), &new_key).unwrap();
    assert_eq!((tls.reload().unwrap(), tls.trouble()), (Reloaded::Replaced, None));
    assert_ne!(tls.certificate().sha256, first);
    associate(&node, office.client(Some(hospital.clone()))).await.unwrap().release().await.unwrap();

    // Another authority: who was let in stays, who comes now needs its certificate.
    let others = authority("Other authority", &office.path("ca.pem"));
    let node_files = issue_by(&others, office.folder.path(), "node", |_| {});
    assert!(node_files.0.exists());
    assert_eq!(tls.reload().unwrap(), Reloaded::Replaced);
    assert_eq!(before.echo().await.unwrap(), Status::SUCCESS);
    let associated = associate(&node, office.client(Some(hospital))).await;
    assert!(associated.is_err());
    let newcomer = issue_by(&others, office.folder.path(), "HOSP2", |_| {});
    associate(&node, office.client(Some(newcomer))).await.unwrap().release().await.unwrap();
    before.release().await.unwrap();

    // A renewal that is not valid yet does not replace one that is.
    issue_by(&others, office.folder.path(), "node", |params| params.not_before = date_time_ymd(2027, 1, 1));
    assert!(matches!(tls.reload(), Err(TlsError::NotNow(_))));
    assert_eq!(tls.reload().unwrap(), Reloaded::Unchanged);
    // Until its time has come.
    office.clock.0.store(TODAY + 60 * DAY, Ordering::Relaxed);
    assert_eq!((tls.reload().unwrap(), tls.trouble()), (Reloaded::Replaced, None));
    stop(node).await;
}

#[test]
fn what_is_wrong_with_the_files_has_a_name() {
    let office = Office::new();
    let (certificate, key) = office.issue("node");
    let (_, other_key) = office.issue("other");
    let open = |files: TlsFiles| NodeTls::open(files, office.ambient()).map(drop);
    let text = office.path("text.pem");
    std::fs::write(&text, "no certificate").unwrap();
    let good = office.files();
    open(good.clone()).unwrap();

    let told = |files: TlsFiles| open(files).unwrap_err().to_string();
    let missing = told(TlsFiles { certificate: office.path("absent.pem"), ..good.clone() });
    assert!(missing.starts_with("cannot read ") && missing.ends_with("absent.pem"), "{missing}");
    assert!(told(TlsFiles { certificate: text.clone(), ..good.clone() }).contains("holds no certificate"));
    assert!(told(TlsFiles { certificate: key, ..good.clone() }).contains("holds no certificate"));
    assert!(told(TlsFiles { key: certificate, ..good.clone() }).contains("holds no private key"));
    let other = told(TlsFiles { key: other_key, ..good.clone() });
    assert!(other.contains("other.key does not belong to the certificate in"), "{other}");
    assert!(told(TlsFiles { client_authorities: Some(text), ..good.clone() }).contains("holds no certificate"));
    assert!(told(TlsFiles { client_authorities: None, ..good.clone() }).contains("without their authorities"));
    let alone =
        TlsFiles { client_authorities: None, client_certificate: ClientCertificate::NotAskedFor, ..good.clone() };
    let alone = NodeTls::open(alone, office.ambient()).unwrap();
    assert!(matches!(alone.connect_to("pacs.example.jp"), Err(TlsError::NoServerAuthorities)));

    let tls = NodeTls::open(good, office.ambient()).unwrap();
    assert!(tls.connect_to("pacs.example.jp").is_ok() && tls.connect_to("[::1]").is_ok());
    assert!(matches!(tls.connect_to("a b"), Err(TlsError::ServerName(_))));
}

#[test]
fn a_certificate_that_ends_is_told_in_time() {
    let office = Office::new();
    office.issue_with("node", |params| params.not_after = date_time_ymd(2026, 12, 31));
    let tls = NodeTls::open(office.files(), office.ambient()).unwrap();
    let after = |days: i64| {
        office.clock.0.store(TODAY + days * DAY, Ordering::Relaxed);
        tls.trouble()
    };
    assert_eq!(after(0), None);
    assert_eq!(after(10).unwrap(), "certificate expires in 29 days, on 2026-12-31T00:00:00Z; renew it");
    assert_eq!(after(40).unwrap(), "certificate has expired on 2026-12-31T00:00:00Z; renew it");
    assert!(after(-3_000).unwrap().starts_with("certificate is not valid before 2020-01-01"), "{:?}", tls.trouble());
    assert!(tls.certificate().trouble(Timestamp(TODAY + 40 * DAY)).unwrap().is_fatal());
}
