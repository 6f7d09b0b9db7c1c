//! What can go wrong on an association, and the A-ABORT that says so.

use std::io;

use crate::{Abort, command::CommandError};

/// How a peer broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    #[error("PDU type {0:#04x} does not exist; the peer may not speak DICOM")]
    UnknownPdu(u8),
    #[error("PDU type {0:#04x} is not allowed in this state")]
    UnexpectedPdu(u8),
    #[error("PDU of {length} bytes exceeds the limit of {limit} bytes")]
    PduTooLong { length: u32, limit: u32 },
    #[error("PDU is malformed: {0}")]
    MalformedPdu(&'static str),
    #[error("association PDU cannot be read: {0}")]
    MalformedAssociation(String),
    #[error("presentation context id {0} is even, zero or used twice")]
    IllegalContextId(u8),
    #[error("presentation context {0} was not accepted")]
    UnacceptedContext(u8),
    #[error("a fragment of presentation context {got} arrived inside a message of context {expected}")]
    InterleavedContext { expected: u8, got: u8 },
    #[error("a data set fragment arrived where none is expected")]
    UnexpectedDataSet,
    #[error("a command fragment arrived inside a data set")]
    UnexpectedCommand,
    #[error("command set exceeds {limit} bytes")]
    CommandTooLong { limit: usize },
    #[error("command set cannot be read: {0}")]
    MalformedCommand(#[from] CommandError),
    #[error("response {0:#06x} arrived where a request is expected")]
    UnexpectedResponse(u16),
    #[error("message {0:#06x} arrived where the response to our request is expected")]
    UnexpectedMessage(u16),
    #[error("a refused object exceeds the {limit} bytes that are read past")]
    RefusedObjectTooLong { limit: u64 },
    #[error("data set exceeds {limit} bytes")]
    DataSetTooLong { limit: usize },
    #[error("maximum PDU length {0} leaves no room for data")]
    MaximumLengthTooSmall(u32),
}

impl ProtocolError {
    /// The source and reason to put into the A-ABORT (PS3.8 9.3.8).
    pub const fn abort(&self) -> Abort {
        match self {
            Self::UnknownPdu(_) => Abort::UNRECOGNIZED_PDU,
            Self::UnexpectedPdu(_) | Self::UnexpectedDataSet | Self::UnexpectedCommand => Abort::UNEXPECTED_PDU,
            Self::UnexpectedResponse(_) | Self::UnexpectedMessage(_) | Self::InterleavedContext { .. } => {
                Abort::UNEXPECTED_PARAMETER
            }
            Self::RefusedObjectTooLong { .. } | Self::DataSetTooLong { .. } => Abort::NOT_SPECIFIED,
            Self::PduTooLong { .. }
            | Self::MalformedPdu(_)
            | Self::MalformedAssociation(_)
            | Self::IllegalContextId(_)
            | Self::UnacceptedContext(_)
            | Self::CommandTooLong { .. }
            | Self::MalformedCommand(_)
            | Self::MaximumLengthTooSmall(_) => Abort::INVALID_PARAMETER,
        }
    }
}

/// What somebody waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Waiting {
    #[error("the TCP connection")]
    Connection,
    #[error("the end of the TLS handshake")]
    Handshake,
    /// The ARTIM timer (PS3.8 9.1.5).
    #[error("the association request")]
    AssociationRequest,
    #[error("the answer to the association request")]
    AssociationResponse,
    #[error("the next message on an idle association")]
    NextMessage,
    #[error("the rest of a message")]
    RestOfMessage,
    #[error("a message to come faster than the lowest rate allowed")]
    FasterMessage,
    #[error("the response to a request")]
    Response,
    #[error("the peer to take what we send")]
    Write,
    #[error("the answer to the release request")]
    ReleaseResponse,
}

/// Why the byte stream ended other than by release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    #[error("peer aborted: {0}")]
    Aborted(Abort),
    #[error("peer closed the connection")]
    Closed,
    #[error("timed out waiting for {0}")]
    Timeout(Waiting),
    #[error("connection failed")]
    Io(#[source] io::Error),
}
