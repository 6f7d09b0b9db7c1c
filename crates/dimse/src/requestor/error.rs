//! What can go wrong for a requestor.

use std::{io, net::SocketAddr};

use crate::{Abort, ProtocolError, Rejection, Waiting, fault::Fault};

/// Why an operation on an association failed. After every one of these but [`NotAccepted`](Self::NotAccepted) the association is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssociationError {
    #[error("cannot connect to {address}; check host, port and firewall")]
    Connect {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("association rejected: {0}")]
    Rejected(Rejection),
    #[error("peer aborted the association: {0}")]
    Aborted(Abort),
    /// In order, while we waited for an event.
    #[error("peer released the association")]
    Released,
    #[error("peer closed the connection")]
    Closed,
    #[error("timed out waiting for {0}")]
    Timeout(Waiting),
    #[error("peer broke the protocol")]
    Protocol(#[source] ProtocolError),
    #[error("peer accepts none of the proposed presentation contexts")]
    NoContextAccepted,
    #[error("TLS handshake failed; check the certificates and authorities of both sides")]
    Handshake(#[source] io::Error),
    #[error("connection failed")]
    Connection(#[source] io::Error),
    #[error("{0} presentation contexts proposed; one association carries 1 to 128")]
    ContextCount(usize),
    #[error("association request cannot be written: {0}")]
    Request(&'static str),
    #[error("presentation context {0} is not accepted on this association")]
    NotAccepted(u8),
    #[error("cannot read the data set to send")]
    Source(#[source] io::Error),
    #[error("the data set has {actual} bytes where {expected} were announced")]
    SourceLength { expected: u64, actual: u64 },
    #[error("association has ended; request a new one")]
    Ended,
    #[error("{0} associations in a row failed before anything was stored; look at the peer's log")]
    KeepsFailing(usize),
}

impl AssociationError {
    /// Whether trying again later, with nothing changed, may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Aborted(_)
            | Self::Released
            | Self::Closed
            | Self::Timeout(_)
            | Self::Connection(_)
            | Self::Ended
            | Self::KeepsFailing(_) => true,
            Self::Rejected(rejection) => rejection.is_transient(),
            // What TLS itself found wrong stays wrong; a peer that went away may come back.
            Self::Handshake(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Protocol(_)
            | Self::NoContextAccepted
            | Self::ContextCount(_)
            | Self::Request(_)
            | Self::NotAccepted(_)
            | Self::Source(_)
            | Self::SourceLength { .. } => false,
        }
    }

    pub(super) fn connect(address: SocketAddr, source: io::Error) -> Self {
        Self::Connect { address: address.to_string(), source }
    }
}

impl From<Fault> for AssociationError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(error) => Self::Protocol(error),
            Fault::Aborted(abort) => Self::Aborted(abort),
            Fault::Closed => Self::Closed,
            Fault::Timeout(waiting) => Self::Timeout(waiting),
            Fault::Io(error) => Self::Connection(error),
        }
    }
}

impl From<ProtocolError> for AssociationError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
