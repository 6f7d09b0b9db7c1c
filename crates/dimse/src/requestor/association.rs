//! One association as its requestor.

use std::net::SocketAddr;

use dokuei_domain::{AeTitle, SopClassUid, TransferSyntaxUid};
use tokio::{
    net::{TcpStream, ToSocketAddrs, lookup_host},
    time::{Instant, timeout},
};

use super::{
    AssociationError, NegotiatedContext, ProposedContext, RequestOptions, RequestorTimeouts,
    incoming::{Awaited, Incoming},
    options::{association_request, extended_answers, negotiated_contexts, user_identity_response},
};
use crate::{
    Abort, ClientTls, ProtocolError, Status, Waiting,
    association_pdu::{
        abort_pdu, fragment_limit, peer_max_length, read_associate_accept, release_request_pdu, release_response_pdu,
        write_associate,
    },
    command::{CommandField, CommandSet, element},
    transport::{self, Transport},
    wire::{self, Sender, Unit},
};

/// The largest fragment we send.
const MAX_FRAGMENT: usize = 128 * 1024;
/// Time for the peer to close after our last word.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// An established association on which we are the requestor. Dropping it closes the connection, which the peer sees as a failure: release it.
pub struct Association {
    pub(super) incoming: Incoming,
    pub(super) sender: Sender,
    pub(super) timeouts: RequestorTimeouts,
    pub(super) ended: bool,
    extended: Vec<(SopClassUid, Vec<u8>)>,
    identity_response: Option<Vec<u8>>,
    peer: SocketAddr,
    last_message_id: u16,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("peer", &self.peer)
            .field("contexts", &self.incoming.contexts)
            .finish_non_exhaustive()
    }
}

impl Association {
    /// Connects (each address in turn) and negotiates. When the peer accepts no context, the association is released and that is the error.
    pub async fn request(
        address: impl ToSocketAddrs + std::fmt::Debug,
        options: &RequestOptions,
    ) -> Result<Self, AssociationError> {
        let request = write_associate(&association_request(options)?.into());
        let request = request.map_err(|_| AssociationError::Request("titles, UIDs or identity do not fit the PDU"))?;
        let stream = connect(address, options.timeouts).await?;
        let peer = stream.peer_addr().map_err(AssociationError::Connection)?;
        transport::prepare(&stream).map_err(AssociationError::Connection)?;
        let transport = secure(stream, options).await?;
        let max_pdu = options.max_pdu.clamp(4096, 16 << 20);
        let (receiver, sender) = wire::split(transport, max_pdu, options.timeouts.response);
        let timeouts = options.timeouts;
        let mut association = Self {
            incoming: Incoming::new(receiver, timeouts.response),
            sender,
            timeouts,
            ended: false,
            extended: Vec::new(),
            identity_response: None,
            peer,
            last_message_id: 0,
        };
        let negotiated = association.negotiate(&request, options).await;
        association.settle(negotiated).await?;
        if association.incoming.contexts.iter().all(|context| context.transfer_syntax.is_err()) {
            // The answer to the release changes nothing any more.
            let _ = association.release().await;
            return Err(AssociationError::NoContextAccepted);
        }
        Ok(association)
    }

    /// Checks that a DICOM node answers under `called` (C-ECHO on an association of its own), without TLS.
    pub async fn verify(
        address: impl ToSocketAddrs + std::fmt::Debug,
        calling: AeTitle,
        called: AeTitle,
        timeouts: RequestorTimeouts,
    ) -> Result<Status, AssociationError> {
        Self::verify_over(address, calling, called, timeouts, None).await
    }

    /// As [`verify`](Self::verify), over TLS when it is given.
    pub async fn verify_over(
        address: impl ToSocketAddrs + std::fmt::Debug,
        calling: AeTitle,
        called: AeTitle,
        timeouts: RequestorTimeouts,
        tls: Option<ClientTls>,
    ) -> Result<Status, AssociationError> {
        use dicom_dictionary_std::uids::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION};
        let not_a_uid = |_| AssociationError::Request("not a UID");
        let mut transfer_syntaxes = Vec::new();
        for uid in [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN] {
            transfer_syntaxes.push(TransferSyntaxUid::parse(uid).map_err(not_a_uid)?);
        }
        let verification = SopClassUid::parse(VERIFICATION).map_err(not_a_uid)?;
        let context = ProposedContext::new(verification, transfer_syntaxes);
        let mut options = RequestOptions::new(calling, called, vec![context]);
        options.timeouts = timeouts;
        options.tls = tls;
        let mut association = Self::request(address, &options).await?;
        let status = association.echo().await?;
        association.release().await?;
        Ok(status)
    }

    /// What became of each proposed context, in the order of the proposal.
    pub fn contexts(&self) -> &[NegotiatedContext] {
        &self.incoming.contexts
    }

    /// What the acceptor answered to our SOP class extended negotiation; `None` when it did not.
    pub fn extended(&self, sop_class: &SopClassUid) -> Option<&[u8]> {
        self.extended.iter().find(|(of, _)| of == sop_class).map(|(_, information)| information.as_slice())
    }

    /// The server response to our user identity (PS3.7 D.3.3.7.2), empty for user names; `None` when there was none. An acceptor that does not know user
    /// identity leaves it out, so that who asked for a response and got none is not known to the peer.
    pub fn user_identity_response(&self) -> Option<&[u8]> {
        self.identity_response.as_deref()
    }

    /// After an error or an abort of the peer: nothing more can be sent.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The accepted context for a SOP class in a transfer syntax.
    pub fn context_for(&self, sop_class: &SopClassUid, transfer_syntax: &TransferSyntaxUid) -> Option<u8> {
        let fits = |context: &&NegotiatedContext| {
            context.abstract_syntax == *sop_class
                && context.transfer_syntax.as_ref().is_ok_and(|ts| ts == transfer_syntax)
        };
        self.incoming.contexts.iter().find(fits).map(|context| context.id)
    }

    /// C-ECHO (PS3.7 9.1.5).
    pub async fn echo(&mut self) -> Result<Status, AssociationError> {
        let verification = dicom_dictionary_std::uids::VERIFICATION;
        let of_verification = |context: &&NegotiatedContext| context.abstract_syntax.as_str() == verification;
        let mut contexts = self.incoming.contexts.iter().filter(of_verification);
        let context = contexts.find(|context| context.transfer_syntax.is_ok());
        let context_id = context.map(|context| context.id).ok_or(AssociationError::NoContextAccepted)?;
        let message_id = self.begin(context_id)?;
        let request = CommandField::C_ECHO_RQ;
        let command = CommandSet::new(request)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, verification)
            .with_u16(element::MESSAGE_ID, message_id)
            .with_data_set(false);
        let exchange = async {
            self.sender.write_command(context_id, &command.encode()).await?;
            let deadline = Instant::now() + self.timeouts.response;
            let awaited = Awaited { context_id, message_id, request };
            let response = self.incoming.response(awaited, Some(deadline)).await?;
            Ok(response.command.status().map_err(ProtocolError::from)?)
        };
        let result = exchange.await;
        self.settle(result).await
    }

    /// Ends the association in order (A-RELEASE). Messages that still arrive are ignored. When both sides ask at once, the requestor answers first and then
    /// waits for its own answer (PS3.8 9.2.3, AR-9).
    pub async fn release(mut self) -> Result<(), AssociationError> {
        if self.ended {
            return Err(AssociationError::Ended);
        }
        let deadline = Instant::now() + self.timeouts.association;
        let exchange = async {
            self.sender.write(&release_request_pdu()).await?;
            loop {
                match self.incoming.receiver.next_until(deadline, Waiting::ReleaseResponse).await? {
                    Unit::ReleaseResponse => return Ok(()),
                    Unit::ReleaseRequest => self.sender.write(&release_response_pdu()).await?,
                    Unit::Fragment(_) => {}
                    other => return Err(other.unexpected()),
                }
            }
        };
        let result = exchange.await;
        self.settle(result.map_err(AssociationError::from)).await
    }

    /// Ends the association at once (A-ABORT by the user).
    pub async fn abort(mut self) {
        if !self.ended {
            self.send_abort(Abort::USER).await;
        }
    }

    async fn negotiate(&mut self, request: &[u8], options: &RequestOptions) -> Result<(), AssociationError> {
        self.sender.write(request).await?;
        let deadline = Instant::now() + self.timeouts.association;
        let accept = match self.incoming.receiver.next_until(deadline, Waiting::AssociationResponse).await? {
            Unit::AssociateAccept(body) => read_associate_accept(&body)?,
            Unit::AssociateReject(rejection) => return Err(AssociationError::Rejected(rejection)),
            other => return Err(other.unexpected().into()),
        };
        self.incoming.contexts = negotiated_contexts(options, &accept)?;
        self.extended = extended_answers(&accept);
        self.identity_response = user_identity_response(&accept);
        self.sender.max_fragment = fragment_limit(peer_max_length(&accept.user_variables), MAX_FRAGMENT)?;
        self.incoming.receiver.establish();
        Ok(())
    }

    /// A message id for a new operation on a context, if there can be one.
    pub(super) fn begin(&mut self, context_id: u8) -> Result<u16, AssociationError> {
        if self.ended {
            return Err(AssociationError::Ended);
        }
        let mut contexts = self.incoming.contexts.iter();
        let accepted = contexts.any(|context| context.id == context_id && context.transfer_syntax.is_ok());
        if !accepted {
            return Err(AssociationError::NotAccepted(context_id));
        }
        self.last_message_id = self.last_message_id.wrapping_add(1).max(1);
        Ok(self.last_message_id)
    }

    /// After an error there is no association any more; the peer is told unless it is gone.
    pub(super) async fn settle<T>(&mut self, result: Result<T, AssociationError>) -> Result<T, AssociationError> {
        if let Err(error) = &result {
            self.ended = true;
            match error {
                AssociationError::Protocol(error) => self.send_abort(error.abort()).await,
                AssociationError::Timeout(waiting) if *waiting != Waiting::Write => self.send_abort(Abort::USER).await,
                AssociationError::Source(_) | AssociationError::SourceLength { .. } => {
                    self.send_abort(Abort::USER).await
                }
                _ => {}
            }
        }
        result
    }

    async fn send_abort(&mut self, abort: Abort) {
        self.ended = true;
        if self.sender.write(&abort_pdu(abort)).await.is_ok() {
            self.sender.shut_down().await;
            self.incoming.receiver.wait_for_close(CLOSE_TIMEOUT).await;
        }
    }
}

async fn connect(
    address: impl ToSocketAddrs + std::fmt::Debug,
    timeouts: RequestorTimeouts,
) -> Result<TcpStream, AssociationError> {
    let described = format!("{address:?}");
    let deadline = Instant::now() + timeouts.connect;
    let unresolved = |source| AssociationError::Connect { address: described.clone(), source };
    let resolved = tokio::time::timeout_at(deadline, lookup_host(address)).await;
    let addresses = resolved.map_err(|_| AssociationError::Timeout(Waiting::Connection))?.map_err(unresolved)?;
    let mut last = unresolved(std::io::Error::new(std::io::ErrorKind::NotFound, "name has no address"));
    for address in addresses {
        // Each address gets what is left, so that a name with several cannot multiply the wait.
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = AssociationError::connect(address, source),
            Err(_) => return Err(AssociationError::Timeout(Waiting::Connection)),
        }
    }
    Err(last)
}

/// Shakes hands if it should be TLS.
async fn secure(stream: TcpStream, options: &RequestOptions) -> Result<Transport, AssociationError> {
    let Some(tls) = &options.tls else { return Ok(Transport::Plain(stream)) };
    let handshake = timeout(options.timeouts.connect, tls.connect(stream)).await;
    let stream = handshake.map_err(|_| AssociationError::Timeout(Waiting::Handshake))?;
    Ok(Transport::Tls(Box::new(stream.map_err(AssociationError::Handshake)?)))
}
