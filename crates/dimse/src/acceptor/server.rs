//! Listening, the limits on how many, and the life of one connection.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dicom_ul::pdu::{AssociationRQ, Pdu};
use dokuei_domain::AeTitle;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, field};

use super::{
    Admission, AssociationCounts, AssociationEnd, AssociationInfo, AssociationRequest, Decision, EndCause, Handlers,
    ServerConfig, Stop, StoreService,
    dispatch::{Conversation, OrderlyEnd},
    opening::{self, AcceptedContext},
};
use crate::{
    Abort, ProtocolError, Rejection, Waiting,
    association_pdu::{
        abort_pdu, printable, read_associate_request, reject_pdu, release_response_pdu, write_associate,
    },
    fault::Fault,
    wire::{self, Receiver, Sender, Unit},
};

/// Nothing lasting can be wrong with a listener; when the process is out of descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The DICOM listener.
pub struct Server;

/// A server that has its port and does not accept yet.
pub struct BoundServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: ServerConfig,
}

impl Server {
    /// Takes the port; port 0 takes any free one. Peers that connect wait in the listener's queue until [`BoundServer::serve`].
    pub async fn bind(address: impl ToSocketAddrs, mut config: ServerConfig) -> io::Result<BoundServer> {
        config.max_pdu = config.max_pdu.clamp(4096, 16 << 20);
        let listener = TcpListener::bind(address).await?;
        let local_addr = listener.local_addr()?;
        Ok(BoundServer { listener, local_addr, config })
    }
}

impl BoundServer {
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts associations until told to stop, then closes the listener and returns when the last association has ended.
    pub async fn serve<A: Admission, S: StoreService<A::Session>>(self, handlers: Handlers<A, S>, stop: Stop) {
        let connections = Arc::new(Semaphore::new(
            self.config.max_associations.saturating_add(self.config.max_other_connections.max(1)),
        ));
        let shared = Arc::new(Shared {
            associations: Arc::new(Semaphore::new(self.config.max_associations)),
            per_peer: Arc::default(),
            next_id: AtomicU64::new(1),
            config: self.config,
            handlers,
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        let accepting = async {
            loop {
                // The semaphore is never closed.
                let Ok(permit) = connections.clone().acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, peer)) => {
                        let shared = shared.clone();
                        tasks.spawn(async move {
                            shared.connection(stream, peer).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = stop.hard.cancelled() => {}
            () = accepting => {}
        }
        drop(self.listener);
        tasks.close();
        tasks.wait().await;
    }
}

struct Shared<A: Admission, S> {
    handlers: Handlers<A, S>,
    config: ServerConfig,
    stop: Stop,
    associations: Arc<Semaphore>,
    per_peer: Arc<Mutex<HashMap<IpAddr, usize>>>,
    next_id: AtomicU64,
}

/// An association that may begin: admitted, within the limits, contexts negotiated.
struct Opened<T> {
    session: T,
    info: AssociationInfo,
    accept: Pdu,
    contexts: Vec<AcceptedContext>,
    max_fragment: usize,
    slot: Slot,
}

/// Why a connection does not become an association.
enum Refusal {
    Reject { calling: String, called: String, rejection: Rejection },
    Fault(Fault),
    Stopped,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::Fault(error.into())
    }
}

/// One association's share of the limits.
struct Slot {
    _association: OwnedSemaphorePermit,
    _peer: Option<PeerSlot>,
}

struct PeerSlot {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    ip: IpAddr,
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

impl<A: Admission, S: StoreService<A::Session>> Shared<A, S> {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!(
            "dimse.association",
            association.id = id,
            association.peer = %peer,
            association.calling = field::Empty,
            association.called = field::Empty
        );
        let work = async {
            match wire::split(stream, self.config.max_pdu, self.config.dimse_timeout) {
                Ok((receiver, sender)) => self.converse(receiver, sender, id, peer).await,
                Err(error) => {
                    self.handlers.observer.connection_failed(id, peer, &EndCause::Connection(error.to_string()))
                }
            }
        };
        work.instrument(span).await;
    }

    async fn converse(&self, mut receiver: Receiver, mut sender: Sender, id: u64, peer: SocketAddr) {
        let opened = tokio::select! {
            biased;
            () = self.stop.hard.cancelled() => Err(Refusal::Stopped),
            opened = self.open(&mut receiver, id, peer) => opened,
        };
        let last_pdu = match opened {
            Ok(opened) => self.associated(&mut receiver, &mut sender, opened).await,
            Err(Refusal::Stopped) => {
                self.handlers.observer.connection_failed(id, peer, &EndCause::Stopped);
                None
            }
            Err(Refusal::Reject { calling, called, rejection }) => {
                tracing::warn!(calling, called, %rejection, "association rejected");
                self.handlers.observer.association_rejected(id, peer, &calling, &called, rejection);
                Some(reject_pdu(rejection))
            }
            Err(Refusal::Fault(fault)) => {
                let (cause, abort) = end_of(fault);
                tracing::warn!(%cause, "connection failed before an association");
                self.handlers.observer.connection_failed(id, peer, &cause);
                // PS3.8 9.2.3, AA-2: when the ARTIM timer expires, the connection is closed without a word.
                abort.filter(|_| cause != EndCause::Timeout(Waiting::AssociationRequest)).map(abort_pdu)
            }
        };
        let Some(last_pdu) = last_pdu else { return };
        let close = async {
            if sender.write(&last_pdu).await.is_ok() {
                sender.shut_down().await;
                receiver.wait_for_close(self.config.close_timeout).await;
            }
        };
        // A node that must stop now does not wait for peers; the PDU itself is written without waiting.
        tokio::select! {
            biased;
            () = close => {}
            () = self.stop.hard.cancelled() => {}
        }
    }

    /// Reads and judges the association request.
    async fn open(&self, receiver: &mut Receiver, id: u64, peer: SocketAddr) -> Result<Opened<A::Session>, Refusal> {
        let deadline = Instant::now() + self.config.artim;
        let unit = tokio::select! {
            biased;
            () = self.stop.soft.cancelled() => return Err(Refusal::Stopped),
            unit = receiver.next_until(deadline, Waiting::AssociationRequest) => unit?,
        };
        let Unit::AssociateRequest(body) = unit else { return Err(unit.unexpected().into()) };
        let request = read_associate_request(&body)?;
        drop(body);
        let (calling, called) = (printable(&request.calling_ae_title), printable(&request.called_ae_title));
        let span = tracing::Span::current();
        span.record("association.calling", &calling);
        span.record("association.called", &called);
        let reject = |rejection| Refusal::Reject { calling: calling.clone(), called: called.clone(), rejection };

        opening::check_protocol(&request).map_err(reject)?;
        let question = question(&request, id, peer).map_err(reject)?;
        let decision = timeout(self.config.artim, self.handlers.admission.admit(&question)).await;
        let session = match decision {
            Ok(Decision::Accept(session)) => session,
            Ok(Decision::Reject(rejection)) => return Err(reject(rejection)),
            Err(_) => return Err(reject(Rejection::TEMPORARY_CONGESTION)),
        };
        if self.stop.soft.is_cancelled() {
            return Err(reject(Rejection::TEMPORARY_CONGESTION));
        }
        let slot = self.take_slot(peer.ip()).ok_or_else(|| reject(Rejection::LOCAL_LIMIT_EXCEEDED))?;
        let negotiated = opening::negotiate(&request, &*self.handlers.policy, self.config.max_pdu)?;
        let AssociationRequest { calling, called, implementation_class_uid, implementation_version, .. } = question;
        Ok(Opened {
            session,
            info: AssociationInfo { id, peer, calling, called, implementation_class_uid, implementation_version },
            accept: negotiated.accept.into(),
            contexts: negotiated.contexts,
            max_fragment: negotiated.max_fragment,
            slot,
        })
    }

    /// Lives through an association. Returns the PDU that ends it; limits are given back and the observer is told before that PDU leaves, so that a
    /// peer which has seen the end can count on both.
    async fn associated(
        &self,
        receiver: &mut Receiver,
        sender: &mut Sender,
        opened: Opened<A::Session>,
    ) -> Option<[u8; 10]> {
        let Opened { session, info, accept, contexts, max_fragment, slot } = opened;
        tracing::info!(contexts = contexts.len(), implementation = info.implementation_version, "association accepted");
        self.handlers.observer.association_accepted(&info, &session);
        receiver.establish();
        sender.max_fragment = max_fragment;
        let mut conversation = Conversation {
            handlers: &self.handlers,
            config: &self.config,
            soft_stop: &self.stop.soft,
            receiver,
            sender,
            contexts,
            info: &info,
            session: Arc::new(session),
            counts: AssociationCounts::default(),
            in_flight: None,
        };
        let work = async {
            let accept = write_associate(&accept)?;
            conversation.sender.write(&accept).await?;
            conversation.run().await
        };
        let outcome = tokio::select! {
            biased;
            () = self.stop.hard.cancelled() => Ok(OrderlyEnd::Stopped),
            outcome = work => outcome,
        };
        let (cause, last_pdu) = match outcome {
            Ok(OrderlyEnd::Released) => (EndCause::Released, Some(release_response_pdu())),
            Ok(OrderlyEnd::Stopped) => (EndCause::Stopped, Some(abort_pdu(Abort::USER))),
            Err(fault) => {
                let (cause, abort) = end_of(fault);
                (cause, abort.map(abort_pdu))
            }
        };
        let end = AssociationEnd { cause, counts: conversation.counts, abandoned: conversation.in_flight.take() };
        log_end(&end);
        self.handlers.observer.association_ended(&info, &conversation.session, &end);
        drop(slot);
        last_pdu
    }

    fn take_slot(&self, ip: IpAddr) -> Option<Slot> {
        let association = self.associations.clone().try_acquire_owned().ok()?;
        let peer = match self.config.max_associations_per_peer {
            None => None,
            Some(most) => {
                let mut counts = self.per_peer.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(ip).or_default();
                if *count >= most {
                    return None;
                }
                *count += 1;
                Some(PeerSlot { counts: self.per_peer.clone(), ip })
            }
        };
        Some(Slot { _association: association, _peer: peer })
    }
}

fn question(request: &AssociationRQ, id: u64, peer: SocketAddr) -> Result<AssociationRequest, Rejection> {
    use dicom_ul::pdu::UserVariableItem::{ImplementationClassUID, ImplementationVersionName};
    let items = &request.user_variables;
    let class_uid =
        items.iter().find_map(|item| if let ImplementationClassUID(uid) = item { Some(printable(uid)) } else { None });
    let version = items
        .iter()
        .find_map(|item| if let ImplementationVersionName(name) = item { Some(printable(name)) } else { None });
    Ok(AssociationRequest {
        id,
        peer,
        calling: AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CALLING_AE_NOT_RECOGNIZED)?,
        called: AeTitle::parse(&request.called_ae_title).map_err(|_| Rejection::CALLED_AE_NOT_RECOGNIZED)?,
        implementation_class_uid: class_uid.unwrap_or_default(),
        implementation_version: version.unwrap_or_default(),
        user_identity: opening::user_identity(request),
    })
}

/// What a fault means, and the A-ABORT it deserves; none when the peer is gone or does not read.
fn end_of(fault: Fault) -> (EndCause, Option<Abort>) {
    match fault {
        Fault::Protocol(error) => {
            let abort = error.abort();
            (EndCause::Protocol(error), Some(abort))
        }
        Fault::Aborted(abort) => (EndCause::PeerAborted(abort), None),
        Fault::Closed => (EndCause::PeerClosed, None),
        Fault::Timeout(Waiting::Write) => (EndCause::Timeout(Waiting::Write), None),
        Fault::Timeout(waiting) => (EndCause::Timeout(waiting), Some(Abort::USER)),
        Fault::Io(error) => (EndCause::Connection(error.to_string()), None),
    }
}

fn log_end(end: &AssociationEnd) {
    let AssociationCounts { stored, stored_with_warning, failed, data_set_bytes, .. } = end.counts;
    let abandoned = end.abandoned.as_ref().map(|object| object.sop_instance.as_str());
    if end.cause == EndCause::Released {
        tracing::info!(stored, stored_with_warning, failed, size_bytes = data_set_bytes, "association released");
    } else {
        tracing::warn!(cause = %end.cause, stored, stored_with_warning, failed, size_bytes = data_set_bytes, abandoned, "association ended");
    }
}
