//! One association as its requestor.

use std::net::SocketAddr;

use bytes::BytesMut;
use dokuei_domain::{AeTitle, SopClassUid, TransferSyntaxUid};
use tokio::{
    net::{TcpStream, ToSocketAddrs, lookup_host},
    time::{Instant, timeout},
};

use super::{
    AssociationError, NegotiatedContext, ProposedContext, RequestOptions, RequestorTimeouts,
    options::{association_request, negotiated_contexts},
};
use crate::{
    Abort, ProtocolError, Status, Waiting,
    association_pdu::{
        abort_pdu, fragment_limit, peer_max_length, read_associate_accept, release_request_pdu, release_response_pdu,
        write_associate,
    },
    command::{CommandField, CommandSet, MAX_COMMAND_LENGTH, element},
    fault::Fault,
    wire::{self, Receiver, Sender, Unit},
};

/// The largest fragment we send.
const MAX_FRAGMENT: usize = 128 * 1024;
/// Time for the peer to close after our last word.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// An established association on which we are the requestor. Dropping it closes the connection, which the peer sees as a failure: release it.
pub struct Association {
    pub(super) receiver: Receiver,
    pub(super) sender: Sender,
    pub(super) timeouts: RequestorTimeouts,
    pub(super) ended: bool,
    contexts: Vec<NegotiatedContext>,
    peer: SocketAddr,
    last_message_id: u16,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("peer", &self.peer)
            .field("contexts", &self.contexts)
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
        let max_pdu = options.max_pdu.clamp(4096, 16 << 20);
        let (receiver, sender) =
            wire::split(stream, max_pdu, options.timeouts.response).map_err(AssociationError::Connection)?;
        let timeouts = options.timeouts;
        let mut association =
            Self { receiver, sender, timeouts, ended: false, contexts: Vec::new(), peer, last_message_id: 0 };
        let negotiated = association.negotiate(&request, options).await;
        association.settle(negotiated).await?;
        if association.contexts.iter().all(|context| context.transfer_syntax.is_err()) {
            // The answer to the release changes nothing any more.
            let _ = association.release().await;
            return Err(AssociationError::NoContextAccepted);
        }
        Ok(association)
    }

    /// Checks that a DICOM node answers under `called` (C-ECHO on an association of its own).
    pub async fn verify(
        address: impl ToSocketAddrs + std::fmt::Debug,
        calling: AeTitle,
        called: AeTitle,
        timeouts: RequestorTimeouts,
    ) -> Result<Status, AssociationError> {
        use dicom_dictionary_std::uids::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, VERIFICATION};
        let not_a_uid = |_| AssociationError::Request("not a UID");
        let mut transfer_syntaxes = Vec::new();
        for uid in [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN] {
            transfer_syntaxes.push(TransferSyntaxUid::parse(uid).map_err(not_a_uid)?);
        }
        let context = ProposedContext {
            abstract_syntax: SopClassUid::parse(VERIFICATION).map_err(not_a_uid)?,
            transfer_syntaxes,
        };
        let mut options = RequestOptions::new(calling, called, vec![context]);
        options.timeouts = timeouts;
        let mut association = Self::request(address, &options).await?;
        let status = association.echo().await?;
        association.release().await?;
        Ok(status)
    }

    /// What became of each proposed context, in the order of the proposal.
    pub fn contexts(&self) -> &[NegotiatedContext] {
        &self.contexts
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
        self.contexts.iter().find(fits).map(|context| context.id)
    }

    /// C-ECHO (PS3.7 9.1.5).
    pub async fn echo(&mut self) -> Result<Status, AssociationError> {
        let verification = dicom_dictionary_std::uids::VERIFICATION;
        let of_verification = |context: &&NegotiatedContext| context.abstract_syntax.as_str() == verification;
        let context = self.contexts.iter().filter(of_verification).find(|context| context.transfer_syntax.is_ok());
        let context_id = context.map(|context| context.id).ok_or(AssociationError::NoContextAccepted)?;
        let message_id = self.begin(context_id)?;
        let command = CommandSet::new(CommandField::C_ECHO_RQ)
            .with_uid(element::AFFECTED_SOP_CLASS_UID, verification)
            .with_u16(element::MESSAGE_ID, message_id)
            .with_data_set(false);
        let exchange = async {
            self.sender.write_command(context_id, &command.encode()).await?;
            let deadline = Instant::now() + self.timeouts.response;
            let response = next_command(&mut self.receiver, context_id, Some(deadline)).await?;
            Ok(response_status(&response, CommandField::C_ECHO_RSP, message_id)?)
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
                match self.receiver.next_until(deadline, Waiting::ReleaseResponse).await? {
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
        let accept = match self.receiver.next_until(deadline, Waiting::AssociationResponse).await? {
            Unit::AssociateAccept(body) => read_associate_accept(&body)?,
            Unit::AssociateReject(rejection) => return Err(AssociationError::Rejected(rejection)),
            other => return Err(other.unexpected().into()),
        };
        self.contexts = negotiated_contexts(options, &accept)?;
        self.sender.max_fragment = fragment_limit(peer_max_length(&accept.user_variables), MAX_FRAGMENT)?;
        self.receiver.establish();
        Ok(())
    }

    /// A message id for a new operation on a context, if there can be one.
    pub(super) fn begin(&mut self, context_id: u8) -> Result<u16, AssociationError> {
        if self.ended {
            return Err(AssociationError::Ended);
        }
        let accepted = self.contexts.iter().any(|context| context.id == context_id && context.transfer_syntax.is_ok());
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
            self.receiver.wait_for_close(CLOSE_TIMEOUT).await;
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

/// The next whole command set on a context, without a data set.
pub(super) async fn next_command(
    receiver: &mut Receiver,
    context_id: u8,
    deadline: Option<Instant>,
) -> Result<CommandSet, Fault> {
    let mut collected = BytesMut::new();
    loop {
        let unit = match deadline {
            Some(deadline) => receiver.next_until(deadline, Waiting::Response).await?,
            None => receiver.next().await?,
        };
        let fragment = match unit {
            Unit::Fragment(fragment) => fragment,
            other => return Err(other.unexpected()),
        };
        if fragment.context_id != context_id {
            return Err(ProtocolError::InterleavedContext { expected: context_id, got: fragment.context_id }.into());
        }
        if !fragment.command {
            return Err(ProtocolError::UnexpectedDataSet.into());
        }
        if collected.len() + fragment.data.len() > MAX_COMMAND_LENGTH {
            return Err(ProtocolError::CommandTooLong { limit: MAX_COMMAND_LENGTH }.into());
        }
        collected.extend_from_slice(&fragment.data);
        if fragment.last {
            return Ok(CommandSet::parse(collected.freeze()).map_err(ProtocolError::from)?);
        }
    }
}

/// The status of the response to one of our requests; anything else on the association is an error.
pub(super) fn response_status(
    response: &CommandSet,
    expected: CommandField,
    message_id: u16,
) -> Result<Status, ProtocolError> {
    let field = response.command_field()?;
    if field != expected || response.message_id_being_responded_to()? != message_id {
        return Err(ProtocolError::UnexpectedMessage(field.0));
    }
    Ok(response.status()?)
}
