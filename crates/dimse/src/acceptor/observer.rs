//! What the node is told about associations, for its audit trail and metrics.

use std::net::SocketAddr;

use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid};

use super::StoreRequest;
use crate::{Abort, ProtocolError, Rejection, Status, Waiting};

/// Hears of associations. Called from the association's own task: must not block.
pub trait Observer<S>: Send + Sync + 'static {
    fn association_accepted(&self, _info: &AssociationInfo, _session: &S) {}

    /// An A-ASSOCIATE-RJ was sent. The titles are as the peer wrote them, made printable.
    fn association_rejected(&self, _id: u64, _peer: SocketAddr, _calling: &str, _called: &str, _rejection: Rejection) {}

    /// A connection ended before it was an association.
    fn connection_failed(&self, _id: u64, _peer: SocketAddr, _cause: &EndCause) {}

    /// An object was refused before any service saw it: its command names no usable UIDs, or its context stores nothing.
    fn object_refused(
        &self,
        _info: &AssociationInfo,
        _session: &S,
        _sop_class: &str,
        _sop_instance: &str,
        _status: Status,
    ) {
    }

    fn association_ended(&self, _info: &AssociationInfo, _session: &S, _end: &AssociationEnd) {}
}

/// Hears nothing.
impl<S> Observer<S> for () {}

/// An accepted association.
#[derive(Clone, Debug)]
pub struct AssociationInfo {
    /// Counts the connections of this server, from 1.
    pub id: u64,
    pub peer: SocketAddr,
    pub calling: AeTitle,
    pub called: AeTitle,
    /// Of the peer; printable ASCII.
    pub implementation_class_uid: String,
    /// Of the peer; printable ASCII.
    pub implementation_version: String,
}

/// How an association ended and what it did.
#[derive(Debug)]
pub struct AssociationEnd {
    pub cause: EndCause,
    pub counts: AssociationCounts,
    /// The object that was not received whole.
    pub abandoned: Option<ObjectInFlight>,
}

/// Why there is no association any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndCause {
    /// The peer released it, as it should.
    #[error("released")]
    Released,
    #[error("peer aborted: {0}")]
    PeerAborted(Abort),
    #[error("peer closed the connection without release")]
    PeerClosed,
    /// We aborted because of the peer.
    #[error("aborted: {0}")]
    Protocol(#[from] ProtocolError),
    /// We aborted because nothing came.
    #[error("timed out waiting for {0}")]
    Timeout(Waiting),
    /// We aborted because the server stops.
    #[error("the server stops")]
    Stopped,
    /// TLS was not agreed on, or the peer's certificate is none that we trust.
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
    /// Its address has more connections already than it may.
    #[error("too many connections from its address")]
    TooManyConnections,
    #[error("connection failed: {0}")]
    Connection(String),
}

/// What an association did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssociationCounts {
    /// Objects answered with success.
    pub stored: u64,
    /// Objects answered with a warning; they are kept too.
    pub stored_with_warning: u64,
    /// Objects answered with a failure.
    pub failed: u64,
    pub echoes: u64,
    /// C-FIND requests for a service.
    pub queries: u64,
    /// N-* requests for a service.
    pub normalized: u64,
    /// Events that we sent to the peer.
    pub events: u64,
    /// Other requests, all answered with a failure.
    pub other_requests: u64,
    /// Bytes of data sets, refused ones included.
    pub data_set_bytes: u64,
}

/// An object that was being received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInFlight {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
}

impl From<&StoreRequest> for ObjectInFlight {
    fn from(request: &StoreRequest) -> Self {
        Self { sop_class: request.sop_class.clone(), sop_instance: request.sop_instance.clone() }
    }
}
