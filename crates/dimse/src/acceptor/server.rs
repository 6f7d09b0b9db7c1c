//! The life of one connection: TLS, association, end.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dicom_ul::pdu::{AssociationRQ, Pdu};
use dokuei_domain::AeTitle;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tracing::{Instrument, field};

use super::{
    Admission, AssociationCounts, AssociationEnd, AssociationInfo, AssociationRequest, Decision, EndCause, Handlers,
    ServerConfig, Stop, StoreService,
    collect::CollectBudget,
    dispatch::{Conversation, OrderlyEnd},
    limits::{AddressSlot, AssociationLimit, AssociationSlot, PerAddress, subscriber},
    link::Link,
    opening::{self, AcceptedContext},
};
use crate::{
    Abort, ProtocolError, Rejection, Waiting,
    association_pdu::{
        abort_pdu, printable, read_associate_request, reject_pdu, release_response_pdu, write_associate,
    },
    fault::Fault,
    pace::Pace,
    tls::{NodeTls, PeerCertificate},
    transport::{self, Transport},
    wire::{self, Receiver, Sender, Unit},
};

/// What all connections of a server share.
pub(super) struct Shared<A: Admission, S> {
    pub(super) handlers: Handlers<A, S>,
    pub(super) config: ServerConfig,
    pub(super) budget: CollectBudget,
    pub(super) stop: Stop,
    pub(super) associations: AssociationLimit,
    /// Connections that are no associations, by subscriber.
    pub(super) others: Arc<PerAddress>,
    pub(super) next_id: AtomicU64,
}

/// A connection that can carry PDUs.
struct Carrier {
    receiver: Receiver,
    sender: Sender,
    /// Until when it must have become an association.
    deadline: Instant,
    certificate: Option<PeerCertificate>,
}

/// An association that may begin: admitted, within the limits, contexts negotiated.
struct Opened<T> {
    session: T,
    info: AssociationInfo,
    accept: Pdu,
    contexts: Vec<AcceptedContext>,
    max_fragment: usize,
    slot: AssociationSlot,
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

impl<A: Admission, S: StoreService<A::Session>> Shared<A, S> {
    /// Lives through a connection. `other` is its share among those that are no associations.
    pub(super) async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<NodeTls>>,
        other: AddressSlot,
    ) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!(
            "dimse.association",
            association.id = id,
            association.peer = %peer,
            association.tls = tls.is_some(),
            association.calling = field::Empty,
            association.called = field::Empty
        );
        let work = async {
            let carried = tokio::select! {
                biased;
                () = self.stop.soft.cancelled() => Err((EndCause::Stopped, None)),
                () = self.stop.hard.cancelled() => Err((EndCause::Stopped, None)),
                carried = self.carry(stream, tls.as_deref()) => carried,
            };
            match carried {
                Ok(carrier) => self.converse(carrier, id, peer, other).await,
                Err((cause, stream)) => {
                    tracing::warn!(%cause, "connection failed before an association");
                    self.handlers.observer.connection_failed(id, peer, &cause);
                    if let Some(stream) = stream {
                        self.close_after_alert(stream).await;
                    }
                }
            }
        };
        work.instrument(span).await;
    }

    /// Shakes hands if the listener is one for TLS. An error comes with the connection on which the peer has been told.
    async fn carry(&self, stream: TcpStream, tls: Option<&NodeTls>) -> Result<Carrier, (EndCause, Option<TcpStream>)> {
        let deadline = Instant::now() + self.config.artim;
        let failed = |error: io::Error| (EndCause::Connection(error.to_string()), None);
        transport::prepare(&stream).map_err(failed)?;
        let (transport, certificate) = match tls {
            None => (Transport::Plain(stream), None),
            Some(tls) => match timeout_at(deadline, tls.accept(stream)).await {
                Err(_) => return Err((EndCause::Timeout(Waiting::Handshake), None)),
                Ok(Err((error, stream))) => return Err((end_of_handshake(&error), Some(stream))),
                Ok(Ok((stream, certificate))) => (Transport::Tls(Box::new(stream)), certificate),
            },
        };
        let (mut receiver, sender) = wire::split(transport, self.config.max_pdu, self.config.dimse_timeout);
        receiver.pace = Pace::new(self.config.min_bytes_per_second, self.config.pace_window);
        Ok(Carrier { receiver, sender, deadline, certificate })
    }

    /// Lets the peer read why TLS failed; closing at once would take the alert away from it.
    async fn close_after_alert(&self, stream: TcpStream) {
        let (mut receiver, mut sender) = wire::split(Transport::Plain(stream), 0, self.config.close_timeout);
        let close = async {
            sender.shut_down().await;
            receiver.wait_for_close(self.config.close_timeout).await;
        };
        tokio::select! {
            biased;
            () = close => {}
            () = self.stop.hard.cancelled() => {}
        }
    }

    async fn converse(&self, mut carrier: Carrier, id: u64, peer: SocketAddr, other: AddressSlot) {
        let opened = tokio::select! {
            biased;
            () = self.stop.hard.cancelled() => Err(Refusal::Stopped),
            opened = self.open(&mut carrier, id, peer) => opened,
        };
        let Carrier { mut receiver, mut sender, .. } = carrier;
        let other = match &opened {
            Ok(_) => {
                drop(other);
                None
            }
            Err(_) => Some(other),
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
        // What was an association counts among the others until it is closed, whatever their limit.
        let other = other.or_else(|| self.others.take(subscriber(peer.ip()), usize::MAX));
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
        drop(other);
    }

    /// Reads and judges the association request.
    async fn open(&self, carrier: &mut Carrier, id: u64, peer: SocketAddr) -> Result<Opened<A::Session>, Refusal> {
        let Carrier { receiver, deadline, certificate, .. } = carrier;
        let unit = tokio::select! {
            biased;
            () = self.stop.soft.cancelled() => return Err(Refusal::Stopped),
            unit = receiver.next_until(*deadline, Waiting::AssociationRequest) => unit?,
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
        let question = question(&request, id, peer, certificate.take()).map_err(reject)?;
        let decision = timeout(self.config.artim, self.handlers.admission.admit(&question)).await;
        let session = match decision {
            Ok(Decision::Accept(session)) => session,
            Ok(Decision::Reject(rejection)) => return Err(reject(rejection)),
            Err(_) => return Err(reject(Rejection::TEMPORARY_CONGESTION)),
        };
        if self.stop.soft.is_cancelled() {
            return Err(reject(Rejection::TEMPORARY_CONGESTION));
        }
        let slot = self.associations.take(peer.ip()).ok_or_else(|| reject(Rejection::LOCAL_LIMIT_EXCEEDED))?;
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
            link: Link::new(),
            queued: std::collections::VecDeque::new(),
            budget: &self.budget,
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
}

fn question(
    request: &AssociationRQ,
    id: u64,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
) -> Result<AssociationRequest, Rejection> {
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
        certificate,
        wants_storage: opening::wants_storage(request),
    })
}

/// A peer that says nothing, or goes away in the middle, is no failure of TLS.
fn end_of_handshake(error: &io::Error) -> EndCause {
    match error.kind() {
        io::ErrorKind::InvalidData => EndCause::Handshake(error.to_string()),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            EndCause::PeerClosed
        }
        _ => EndCause::Connection(error.to_string()),
    }
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
