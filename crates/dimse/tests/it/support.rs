//! A node that keeps objects in memory and tells what happens, and a peer that speaks bytes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use dokuei_dimse::{
    Admission, AssociationCounts, AssociationEnd, AssociationInfo, AssociationRequest, Decision, EndCause, Handlers,
    ObjectInFlight, Observer, ProposedContext, Rejection, RequestOptions, RequestorTimeouts, Server, ServerConfig,
    Status, Stop, StoragePolicy, StoreRequest, StoreService, StoreSink, UserIdentity,
    command::{CommandField, CommandSet, element},
};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

pub(crate) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(crate) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(crate) const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// Longer than anything takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Accepted { calling: String, implementation_version: String },
    Rejected { calling: String, rejection: Rejection },
    ConnectionFailed(EndCause),
    Refused { sop_instance: String, status: Status },
    Ended { cause: EndCause, counts: AssociationCounts, abandoned: Option<ObjectInFlight> },
    Begun(String),
    Abandoned { sop_instance: String, bytes: usize },
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) request: StoreRequest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) calling: String,
    pub(crate) user: Option<UserIdentity>,
}

/// How the node's store answers.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Keep,
    RefuseAtOnce(Status),
    RefuseAfter(usize, Status),
    FinishWith(Status),
    /// Each finish takes a permit.
    FinishWhen(Arc<Semaphore>),
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Stop,
    stored: Arc<Mutex<Vec<Stored>>>,
    events: mpsc::UnboundedReceiver<Event>,
    serving: JoinHandle<()>,
}

pub(crate) fn quick() -> ServerConfig {
    ServerConfig { close_timeout: Duration::from_millis(500), ..ServerConfig::default() }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(quick(), Behaviour::Keep).await
    }

    pub(crate) async fn with(config: ServerConfig, behaviour: Behaviour) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let stored = Arc::default();
        let stop = Stop::default();
        let bound = Server::bind("127.0.0.1:0", config).await.unwrap();
        let address = bound.local_addr();
        let handlers = Handlers {
            admission: Door,
            policy: Box::new(StoragePolicy),
            store: Archive { stored: Arc::clone(&stored), events: sender.clone(), behaviour },
            observer: Box::new(Watcher(sender)),
        };
        let serving = tokio::spawn(bound.serve(handlers, stop.clone()));
        Self { address, stop, stored, events, serving }
    }

    pub(crate) async fn event(&mut self) -> Event {
        soon("an event", self.events.recv()).await.unwrap()
    }

    /// The next event, which must be the end of an association.
    pub(crate) async fn ended(&mut self) -> (EndCause, AssociationCounts, Option<ObjectInFlight>) {
        loop {
            match self.event().await {
                Event::Ended { cause, counts, abandoned } => return (cause, counts, abandoned),
                Event::Accepted { .. } | Event::Begun(_) | Event::Refused { .. } | Event::Abandoned { .. } => {}
                other => panic!("{other:?} instead of an end"),
            }
        }
    }

    pub(crate) fn stored(&self) -> Vec<Stored> {
        self.stored.lock().unwrap().clone()
    }

    /// Waits for the server to have stopped; nothing may be left unsaid.
    pub(crate) async fn stopped(self) {
        soon("the stop", self.serving).await.unwrap();
    }
}

pub(crate) struct Session {
    calling: AeTitle,
    user: Option<UserIdentity>,
}

struct Door;

impl Admission for Door {
    type Session = Session;

    async fn admit(&self, request: &AssociationRequest) -> Decision<Session> {
        assert!(request.peer.ip().is_loopback());
        match (request.calling.as_str(), request.called.as_str()) {
            ("STRANGER", _) => Decision::Reject(Rejection::CALLING_AE_NOT_RECOGNIZED),
            ("BUSY", _) => Decision::Reject(Rejection::TEMPORARY_CONGESTION),
            ("PATIENT", _) => std::future::pending().await,
            (_, "DOKUEI") => {
                Decision::Accept(Session { calling: request.calling.clone(), user: request.user_identity.clone() })
            }
            _ => Decision::Reject(Rejection::CALLED_AE_NOT_RECOGNIZED),
        }
    }
}

struct Archive {
    stored: Arc<Mutex<Vec<Stored>>>,
    events: mpsc::UnboundedSender<Event>,
    behaviour: Behaviour,
}

impl StoreService<Session> for Archive {
    type Sink = Sink;

    async fn begin(&self, session: &Arc<Session>, request: StoreRequest) -> Result<Sink, Status> {
        let _ = self.events.send(Event::Begun(request.sop_instance.to_string()));
        if let Behaviour::RefuseAtOnce(status) = self.behaviour {
            return Err(status);
        }
        Ok(Sink {
            request,
            session: session.clone(),
            bytes: Vec::new(),
            stored: self.stored.clone(),
            events: self.events.clone(),
            behaviour: self.behaviour.clone(),
            finished: false,
        })
    }
}

struct Sink {
    request: StoreRequest,
    session: Arc<Session>,
    bytes: Vec<u8>,
    stored: Arc<Mutex<Vec<Stored>>>,
    events: mpsc::UnboundedSender<Event>,
    behaviour: Behaviour,
    finished: bool,
}

impl StoreSink for Sink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Status> {
        assert!(!bytes.is_empty());
        self.bytes.extend_from_slice(&bytes);
        match self.behaviour {
            Behaviour::RefuseAfter(limit, status) if self.bytes.len() > limit => Err(status),
            _ => Ok(()),
        }
    }

    async fn finish(mut self) -> Status {
        self.finished = true;
        let status = match &self.behaviour {
            Behaviour::FinishWith(status) => *status,
            Behaviour::FinishWhen(gate) => {
                gate.acquire().await.unwrap().forget();
                Status::SUCCESS
            }
            _ => Status::SUCCESS,
        };
        self.stored.lock().unwrap().push(Stored {
            request: self.request.clone(),
            bytes: std::mem::take(&mut self.bytes),
            calling: self.session.calling.to_string(),
            user: self.session.user.clone(),
        });
        status
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.events.send(Event::Abandoned {
                sop_instance: self.request.sop_instance.to_string(),
                bytes: self.bytes.len(),
            });
        }
    }
}

struct Watcher(mpsc::UnboundedSender<Event>);

impl Observer<Session> for Watcher {
    fn association_accepted(&self, info: &AssociationInfo, session: &Session) {
        assert_eq!(info.calling, session.calling);
        let implementation_version = info.implementation_version.clone();
        let _ = self.0.send(Event::Accepted { calling: info.calling.to_string(), implementation_version });
    }

    fn association_rejected(&self, id: u64, _peer: SocketAddr, calling: &str, _called: &str, rejection: Rejection) {
        assert!(id > 0);
        let _ = self.0.send(Event::Rejected { calling: calling.to_owned(), rejection });
    }

    fn connection_failed(&self, _id: u64, _peer: SocketAddr, cause: &EndCause) {
        let _ = self.0.send(Event::ConnectionFailed(cause.clone()));
    }

    fn object_refused(
        &self,
        _info: &AssociationInfo,
        _session: &Session,
        _sop_class: &str,
        sop_instance: &str,
        status: Status,
    ) {
        let _ = self.0.send(Event::Refused { sop_instance: sop_instance.to_owned(), status });
    }

    fn association_ended(&self, _info: &AssociationInfo, _session: &Session, end: &AssociationEnd) {
        let (cause, counts, abandoned) = (end.cause.clone(), end.counts, end.abandoned.clone());
        let _ = self.0.send(Event::Ended { cause, counts, abandoned });
    }
}

pub(crate) fn ae(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

pub(crate) fn sop_class(text: &str) -> SopClassUid {
    SopClassUid::parse(text).unwrap()
}

pub(crate) fn sop_instance(text: &str) -> SopInstanceUid {
    SopInstanceUid::parse(text).unwrap()
}

pub(crate) fn transfer_syntax(text: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(text).unwrap()
}

pub(crate) fn context(abstract_syntax: &str, transfer_syntaxes: &[&str]) -> ProposedContext {
    ProposedContext {
        abstract_syntax: sop_class(abstract_syntax),
        transfer_syntaxes: transfer_syntaxes.iter().map(|ts| transfer_syntax(ts)).collect(),
    }
}

/// HOSP1 calls DOKUEI, for CT and verification.
pub(crate) fn options() -> RequestOptions {
    let mut options = RequestOptions::new(
        ae("HOSP1"),
        ae("DOKUEI"),
        vec![context(CT, &[EXPLICIT]), context(VERIFICATION, &[IMPLICIT])],
    );
    options.timeouts = patient();
    options
}

pub(crate) fn patient() -> RequestorTimeouts {
    RequestorTimeouts { connect: PATIENCE, association: PATIENCE, response: PATIENCE }
}

/// Bytes that show when they are moved.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from((index * 7 + index / 251) % 256).unwrap()).collect()
}

/// A peer that sends what it likes.
pub(crate) struct RawPeer {
    pub(crate) stream: TcpStream,
}

impl RawPeer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Waits for a requestor.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        Self { stream }
    }

    /// Associates as HOSP1 with CT on context 1 and verification on context 3.
    pub(crate) async fn associated(address: SocketAddr) -> Self {
        Self::associated_with(address, &[max_length(131_072)]).await
    }

    pub(crate) async fn associated_with(address: SocketAddr, user_items: &[Vec<u8>]) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&associate_request(&[(1, CT, &[EXPLICIT]), (3, VERIFICATION, &[IMPLICIT])], user_items)).await;
        assert_eq!(peer.receive().await.0, 2, "no A-ASSOCIATE-AC");
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Type and content of the next PDU.
    pub(crate) async fn receive(&mut self) -> (u8, Vec<u8>) {
        soon("a PDU", async {
            let mut header = [0; 6];
            self.stream.read_exact(&mut header).await.unwrap();
            let mut body = vec![0; u32::from_be_bytes(header[2..].try_into().unwrap()) as usize];
            self.stream.read_exact(&mut body).await.unwrap();
            (header[0], body)
        })
        .await
    }

    /// Puts the PDVs of one command set or data set together. Returns it with the largest PDU length seen and whether it was a command.
    pub(crate) async fn receive_message(&mut self) -> (bool, Vec<u8>, usize) {
        let (mut whole, mut largest) = (Vec::new(), 0);
        loop {
            let (pdu_type, body) = self.receive().await;
            assert_eq!(pdu_type, 4, "no P-DATA-TF: {body:02x?}");
            largest = largest.max(body.len());
            assert_eq!(u32::from_be_bytes(body[..4].try_into().unwrap()) as usize, body.len() - 4, "more than one PDV");
            whole.extend_from_slice(&body[6..]);
            if body[5] & 2 != 0 {
                return (body[5] & 1 != 0, whole, largest);
            }
        }
    }

    pub(crate) async fn receive_command(&mut self) -> CommandSet {
        let (is_command, bytes, _) = self.receive_message().await;
        assert!(is_command);
        CommandSet::parse(bytes.into()).unwrap()
    }

    /// Source and reason of the A-ABORT that must come now or after responses; then the connection must be closed.
    pub(crate) async fn aborted(&mut self) -> (u8, u8) {
        let (pdu_type, body) = loop {
            match self.receive().await {
                (4, _) => {}
                other => break other,
            }
        };
        assert_eq!(pdu_type, 7, "no A-ABORT but PDU type {pdu_type}: {body:02x?}");
        self.closed().await;
        (body[2], body[3])
    }

    /// Result, source and reason of the A-ASSOCIATE-RJ that must come now; then the connection must be closed.
    pub(crate) async fn rejected(&mut self) -> (u8, u8, u8) {
        let (pdu_type, body) = self.receive().await;
        assert_eq!(pdu_type, 3, "no A-ASSOCIATE-RJ but PDU type {pdu_type}");
        self.closed().await;
        (body[1], body[2], body[3])
    }

    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = soon("the close", self.stream.read_to_end(&mut rest)).await;
        assert!(read.is_err() || rest.is_empty(), "more bytes: {rest:02x?}");
    }

    /// Reads whatever still comes until the other side closes.
    pub(crate) async fn drained(&mut self) {
        let _ = soon("the close", self.stream.read_to_end(&mut Vec::new())).await;
    }

    pub(crate) async fn release(mut self) {
        self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        assert_eq!(self.receive().await.0, 6, "no A-RELEASE-RP");
    }
}

fn item(item_type: u8, value: &[u8]) -> Vec<u8> {
    [&[item_type, 0][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

pub(crate) fn user_item(item_type: u8, value: &[u8]) -> Vec<u8> {
    item(item_type, value)
}

pub(crate) fn max_length(length: u32) -> Vec<u8> {
    item(0x51, &length.to_be_bytes())
}

pub(crate) fn associate_request(contexts: &[(u8, &str, &[&str])], user_items: &[Vec<u8>]) -> Vec<u8> {
    associate_request_of(b"DOKUEI          HOSP1           ", 1, "1.2.840.10008.3.1.1.1", contexts, user_items)
}

pub(crate) fn associate_request_of(
    titles: &[u8; 32],
    version: u16,
    application_context: &str,
    contexts: &[(u8, &str, &[&str])],
    user_items: &[Vec<u8>],
) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(titles);
    body.extend([0; 32]);
    body.extend(item(0x10, application_context.as_bytes()));
    for (id, abstract_syntax, transfer_syntaxes) in contexts {
        let mut value = vec![*id, 0, 0, 0];
        value.extend(item(0x30, abstract_syntax.as_bytes()));
        transfer_syntaxes.iter().for_each(|ts| value.extend(item(0x40, ts.as_bytes())));
        body.extend(item(0x20, &value));
    }
    body.extend(item(0x50, &user_items.concat()));
    pdu(1, &body)
}

/// An A-ASSOCIATE-AC that accepts the contexts.
pub(crate) fn associate_accept(contexts: &[(u8, &str)], max_pdu: u32) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(b"DOKUEI          HOSP1           ");
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (id, transfer_syntax) in contexts {
        body.extend(item(0x21, &[&[*id, 0, 0, 0][..], &item(0x40, transfer_syntax.as_bytes())].concat()));
    }
    body.extend(item(0x50, &[max_length(max_pdu), item(0x52, b"1.2.3")].concat()));
    pdu(2, &body)
}

pub(crate) fn pdu(pdu_type: u8, body: &[u8]) -> Vec<u8> {
    [&[pdu_type, 0][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// Control 1 is a command, 2 the last fragment.
pub(crate) fn pdv(context_id: u8, control: u8, bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len() + 2).unwrap().to_be_bytes()[..], &[context_id, control], bytes].concat()
}

pub(crate) fn command(context_id: u8, command: &CommandSet) -> Vec<u8> {
    pdu(4, &pdv(context_id, 3, &command.encode()))
}

pub(crate) fn data(context_id: u8, last: bool, bytes: &[u8]) -> Vec<u8> {
    pdu(4, &pdv(context_id, if last { 2 } else { 0 }, bytes))
}

pub(crate) fn echo(message_id: u16) -> CommandSet {
    CommandSet::new(CommandField::C_ECHO_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, VERIFICATION)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_data_set(false)
}

pub(crate) fn store(message_id: u16, sop_instance: &str) -> CommandSet {
    CommandSet::new(CommandField::C_STORE_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, CT)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_u16(element::PRIORITY, 0)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, sop_instance)
        .with_data_set(true)
}
