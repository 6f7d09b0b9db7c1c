//! What the node adds to the protocol: who is admitted, and where objects go.

use std::{fmt, future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};

use super::{NormalizedService, Observer, QueryService};
use crate::{ContextPolicy, PeerCertificate, Rejection, Status};

/// Everything a server asks.
pub struct Handlers<A: Admission, S> {
    pub admission: A,
    pub policy: Box<dyn ContextPolicy>,
    pub store: S,
    /// `Arc::new(())` when there are none.
    pub normalized: Arc<dyn NormalizedService<A::Session>>,
    /// `Arc::new(())` when nothing can be asked for.
    pub query: Arc<dyn QueryService<A::Session>>,
    pub observer: Box<dyn Observer<A::Session>>,
}

/// Decides who may associate.
pub trait Admission: Send + Sync + 'static {
    /// What the node knows of an admitted peer; given to every service of the association.
    type Session: Send + Sync + 'static;

    /// Decides about one association. An answer that takes longer than the ARTIM timer is a refusal for temporary congestion.
    fn admit(&self, request: &AssociationRequest) -> impl Future<Output = Decision<Self::Session>> + Send;
}

/// The answer to an association request.
#[derive(Debug)]
pub enum Decision<S> {
    Accept(S),
    Reject(Rejection),
}

/// Who asks for an association. The titles are claims, not proof; the certificate is one.
#[derive(Clone, Debug)]
pub struct AssociationRequest {
    /// Counts the connections of this server, from 1.
    pub id: u64,
    pub peer: SocketAddr,
    pub calling: AeTitle,
    pub called: AeTitle,
    /// Printable ASCII; empty when not given.
    pub implementation_class_uid: String,
    /// Printable ASCII; empty when not given.
    pub implementation_version: String,
    pub user_identity: Option<UserIdentity>,
    /// Of the TLS handshake: the peer holds its key and an authority that we trust vouches for it. Whose it is must still be asked.
    pub certificate: Option<PeerCertificate>,
    /// It proposes to send objects of at least one storage class, and not only to receive them.
    pub wants_storage: bool,
}

/// User identity negotiation (PS3.7 D.3.3.7). `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// 1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JSON web token.
    pub kind: u8,
    pub primary: Vec<u8>,
    /// The passcode of kind 2; otherwise empty.
    pub secondary: Vec<u8>,
    pub positive_response_requested: bool,
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserIdentity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// One C-STORE request (PS3.7 9.1.1.1) on an accepted presentation context.
#[derive(Clone, Debug)]
pub struct StoreRequest {
    pub context_id: u8,
    /// What the context was negotiated for.
    pub abstract_syntax: SopClassUid,
    /// How the data set is encoded.
    pub transfer_syntax: TransferSyntaxUid,
    pub message_id: u16,
    /// Affected SOP Class UID. Senders are known that use a context of another class; whether that matters is the service's decision.
    pub sop_class: SopClassUid,
    /// Affected SOP Instance UID.
    pub sop_instance: SopInstanceUid,
    /// 0 medium, 1 high, 2 low.
    pub priority: u16,
    /// AE title and message ID of the C-MOVE that caused this.
    pub move_originator: Option<(AeTitle, u16)>,
}

/// Stores objects.
pub trait StoreService<S>: Send + Sync + 'static {
    /// Takes the bytes of one object.
    type Sink: StoreSink;

    /// Prepares to store. An error is the status of the response; the object is read past and the association goes on.
    fn begin(&self, session: &Arc<S>, request: StoreRequest)
    -> impl Future<Output = Result<Self::Sink, Status>> + Send;
}

/// One object on its way. Dropping it before [`finish`](Self::finish) means that the object will not come whole: nothing of it may stay.
pub trait StoreSink: Send {
    /// Takes the next bytes of the data set, as they came from the socket: any length but zero. The peer waits while this does; drop the bytes soon, they
    /// hold the read buffer. An error is the status of the response; no more bytes follow and the sink is dropped.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Status>> + Send;

    /// The data set is complete. The returned status is sent as the response; success and warnings promise that the object is kept.
    fn finish(self) -> impl Future<Output = Status> + Send;
}
