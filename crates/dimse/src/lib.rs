//! The DICOM message service (PS3.7) on the upper layer protocol over TCP (PS3.8): associations, command sets, and the streaming of data sets.
//!
//! * [`acceptor`]: the server side. It negotiates, hands each C-STORE to a [`StoreService`] as the bytes arrive, each C-FIND to a [`QueryService`], each N-*
//!   request to a [`NormalizedService`], and answers.
//! * [`requestor`]: the client side: [`Association`] for C-ECHO, C-STORE, C-FIND, N-* and the events that come back, [`send_objects`] for many objects at once.
//! * [`command`], [`status`]: what a message says, for every C-* and N-* operation.
//! * [`tls`]: DICOM over TLS, in both directions.
//! * [`policy`]: which presentation contexts are accepted, and with which transfer syntax.
//!
//! What it is not: it knows no study, no patient and no file of ours. It never looks into a data set and never changes a byte of one. It keeps
//! no more than one read buffer of an object in memory. dicom-ul appears only here, and here only for the association PDUs: its P-DATA
//! readers copy byte by byte or collect whole objects.
//!
//! What a peer sends is bounded in length, count and time, and what is wrong with it has a name ([`ProtocolError`]) and a reason on the wire.
//!
//! To add a service: list its SOP class as an [`OfferedService`] of the [`ServicePolicy`], with the roles a peer may have, and answer its operations in the
//! [`NormalizedService`] or [`QueryService`] of the [`Handlers`]: a function from a request to a response. What it has to tell later goes through the
//! [`PeerLink`] while the association lasts, and on an [`Association`] that is requested with [`Roles::PROVIDER`] afterwards.
//!
//! To add an operation (C-MOVE, C-GET): its exchange goes into a file of `acceptor/` beside `find.rs`, with its handler trait and one arm in
//! `acceptor/dispatch.rs`; its other half into `requestor/`. The command sets already have the fields.

pub mod acceptor;
mod association_pdu;
pub mod command;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod pace;
pub mod policy;
pub mod reason;
pub mod requestor;
pub mod status;
pub mod tls;
mod transport;
mod wire;

pub use acceptor::{
    Admission, AssociationCounts, AssociationEnd, AssociationInfo, AssociationRequest, BoundServer, Decision, EndCause,
    FindAnswers, FindRequest, Handlers, LinkError, NormalizedOperation, NormalizedRequest, NormalizedResponse,
    NormalizedService, ObjectInFlight, Observer, PeerLink, QueryService, Server, ServerConfig, Stop, StoreRequest,
    StoreService, StoreSink, UserIdentity,
};
pub use fault::{ProtocolError, Waiting};
pub use policy::{ContextPolicy, ContextRejection, OfferedService, Roles, ServicePolicy, StoragePolicy};
pub use reason::{Abort, Rejection};
pub use requestor::{
    Association, AssociationError, DataSetSource, FindOperation, FindReply, NegotiatedContext, NormalizedCommand,
    NormalizedReply, OutgoingObject, Part10Error, Part10File, ProposedContext, Query, ReceivedEvent, RequestOptions,
    RequestorTimeouts, SendOutcome, SendReport, StoreOperation, Target, send_objects,
};
pub use status::{Status, StatusClass};
pub use tls::{ClientCertificate, ClientTls, ClientTlsFiles, NodeTls, PeerCertificate, TlsError, TlsFiles};

pub use dokuei_domain::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

/// The DICOM application context (PS3.7 A.2.1), the only one there is.
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
