//! A node that keeps objects in memory and tells what happens.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use dokuei_dimse::{
    Admission, AssociationCounts, AssociationEnd, AssociationInfo, AssociationRequest, ContextPolicy, Decision,
    EndCause, Handlers, NodeTls, NormalizedService, ObjectInFlight, Observer, PeerCertificate, ProposedContext,
    QueryService, Rejection, RequestOptions, RequestorTimeouts, Server, ServerConfig, Status, Stop, StoragePolicy,
    StoreRequest, StoreService, StoreSink, UserIdentity,
};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

pub(crate) use crate::raw::*;

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
    pub(crate) certificate: Option<PeerCertificate>,
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
    /// Of the listener for TLS, if it has one.
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
        Self::offering(config, behaviour, StoragePolicy, Arc::new(()), Arc::new(())).await
    }

    pub(crate) async fn offering(
        config: ServerConfig,
        behaviour: Behaviour,
        policy: impl ContextPolicy,
        normalized: Arc<dyn NormalizedService<Session>>,
        query: Arc<dyn QueryService<Session>>,
    ) -> Self {
        Self::serving(config, behaviour, policy, (normalized, query), None).await
    }

    /// A node that listens for TLS too.
    pub(crate) async fn with_tls(config: ServerConfig, tls: Arc<NodeTls>) -> Self {
        Self::serving(config, Behaviour::Keep, StoragePolicy, (Arc::new(()), Arc::new(())), Some(tls)).await
    }

    async fn serving(
        config: ServerConfig,
        behaviour: Behaviour,
        policy: impl ContextPolicy,
        (normalized, query): (Arc<dyn NormalizedService<Session>>, Arc<dyn QueryService<Session>>),
        tls: Option<Arc<NodeTls>>,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let stored = Arc::default();
        let stop = Stop::default();
        let mut bound = Server::bind("127.0.0.1:0", config).await.unwrap();
        let mut address = bound.local_addr();
        if let Some(tls) = tls {
            address = bound.bind_tls("127.0.0.1:0", tls).await.unwrap();
        }
        let handlers = Handlers {
            admission: Door,
            policy: Box::new(policy),
            store: Archive { stored: Arc::clone(&stored), events: sender.clone(), behaviour },
            normalized,
            query,
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
    certificate: Option<PeerCertificate>,
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
                let (calling, user) = (request.calling.clone(), request.user_identity.clone());
                Decision::Accept(Session { calling, user, certificate: request.certificate.clone() })
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
            certificate: self.session.certificate.clone(),
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
    let transfer_syntaxes = transfer_syntaxes.iter().map(|ts| transfer_syntax(ts)).collect();
    ProposedContext::new(sop_class(abstract_syntax), transfer_syntaxes)
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
