//! The server side: listens, admits, negotiates, receives.
//!
//! [`Server::bind`] takes the port, [`BoundServer::bind_tls`] a second one for TLS, [`BoundServer::serve`] works until stopped. What the node makes of peers and objects is told by [`Handlers`].

mod collect;
mod dispatch;
mod find;
mod handlers;
mod limits;
mod link;
mod listening;
mod normalized;
mod observer;
mod opening;
mod server;
mod store;
mod threads;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use find::{FindAnswers, FindRequest, QueryService};
pub use handlers::{
    Admission, AssociationRequest, Decision, Handlers, StoreRequest, StoreService, StoreSink, UserIdentity,
};
pub use link::{LinkError, PeerLink};
pub use listening::{BoundServer, Server};
pub use normalized::{NormalizedOperation, NormalizedRequest, NormalizedResponse, NormalizedService};
pub use observer::{AssociationCounts, AssociationEnd, AssociationInfo, EndCause, ObjectInFlight, Observer};

/// Limits of a server. Every one bounds what a peer can make the node spend.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The ARTIM timer (PS3.8 9.1.5): from the TCP connection to the complete A-ASSOCIATE-RQ, TLS handshake included; also the longest wait for the
    /// admission.
    pub artim: Duration,
    /// Longest silence inside a message, and the longest a single write to the peer may take.
    pub dimse_timeout: Duration,
    /// Longest silence between messages.
    pub idle_timeout: Duration,
    /// How long to wait for the peer to close after our last PDU.
    pub close_timeout: Duration,
    /// Largest P-DATA-TF we take, told to the peer, in bytes. Taken as 4 KiB when smaller and 16 MiB when larger.
    pub max_pdu: u32,
    /// Associations in all; one more is refused as transient (2/3/2).
    pub max_associations: usize,
    /// Associations from one IP address; one more is refused as transient (2/3/2).
    pub max_associations_per_peer: Option<usize>,
    /// Connections that are not yet, or no longer, associations. When there are more, new ones wait in the listener's queue.
    pub max_other_connections: usize,
    /// Those of them from one IPv4 address or one /64 network of IPv6; one more is closed at once, so that nobody can take them all.
    pub max_other_connections_per_peer: Option<usize>,
    /// The least rate at which a message must come, measured over [`pace_window`](Self::pace_window) of waiting for the peer; 0 takes any.
    pub min_bytes_per_second: u32,
    pub pace_window: Duration,
    /// Threads of their own for connections, on which a sink may block; 0 leaves connections on the runtime that serves.
    pub threads: usize,
    /// Bytes of one refused object that are read past so that the association can go on; more ends it.
    pub max_drained_bytes: u64,
    /// Longest data set of an N-* request; a longer one is refused as 0213.
    pub max_normalized_bytes: usize,
    /// Longest identifier of a C-FIND request; a longer one is refused as A700.
    pub max_identifier_bytes: usize,
    /// Data sets of N-* and C-FIND requests, of all associations together; what finds no room is refused in the same way.
    pub max_collected_bytes: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            artim: Duration::from_secs(30),
            dimse_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(600),
            close_timeout: Duration::from_secs(5),
            max_pdu: 131_072,
            max_associations: 256,
            max_associations_per_peer: None,
            max_other_connections: 64,
            max_other_connections_per_peer: None,
            min_bytes_per_second: 1_024,
            pace_window: Duration::from_secs(30),
            threads: 0,
            max_drained_bytes: 4 << 30,
            max_normalized_bytes: 32 << 20,
            max_identifier_bytes: 1 << 20,
            max_collected_bytes: 64 << 20,
        }
    }
}

/// How a server is told to stop. The tokens may be children of the node's.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take no new associations; let the object in flight finish and be answered, then abort.
    pub soft: CancellationToken,
    /// Abort everything now; objects in flight are abandoned.
    pub hard: CancellationToken,
}
