//! Storage commitment on associations that we open: bringing a result, and asking a peer for its own.

use std::time::Duration;

use dokuei_database::CommitmentTargetRow;
use dokuei_dataset::{
    encoding::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN},
    normalized::{
        CommitmentRequest, CommitmentResult, NormalizedError, STORAGE_COMMITMENT_PUSH, STORAGE_COMMITMENT_PUSH_INSTANCE,
    },
};
use dokuei_dimse::{
    Association, AssociationError, ClientTls, ProposedContext, RequestOptions, RequestorTimeouts, Roles, Status,
    TlsError, requestor::NormalizedCommand,
};
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid, uid::UidError};

use super::CommitmentSettings;

/// Why an exchange about storage commitment with a peer came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitmentExchangeError {
    #[error("no association about storage commitment")]
    Association(#[from] AssociationError),
    #[error("the peer refused with {0}{comment}", comment = .1.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused(Status, Option<String>),
    #[error("the peer sent a result that cannot be read")]
    Result(#[from] NormalizedError),
    #[error("the peer is reached over TLS, and this node has no certificate; set dicom.tls_certificate_file")]
    NoCertificate,
    #[error("TLS cannot be prepared")]
    Tls(#[from] TlsError),
    #[error("a UID of this program is none")]
    Uid(#[from] UidError),
}

/// A peer to ask for storage commitment.
#[derive(Debug, Clone)]
pub struct AskForCommitment {
    /// `host:port`.
    pub address: String,
    pub calling: AeTitle,
    pub called: AeTitle,
    pub timeouts: RequestorTimeouts,
    pub tls: Option<ClientTls>,
}

impl AskForCommitment {
    /// Sends the request and waits on the same association for its result. `None`: the peer accepted it and has not said anything within `wait`; it may send
    /// the result later, on an association that it opens.
    ///
    /// # Errors
    /// When the peer cannot be asked or refuses.
    pub async fn ask(
        &self,
        request: &CommitmentRequest,
        wait: Duration,
    ) -> Result<Option<CommitmentResult>, CommitmentExchangeError> {
        let (calling, called) = (self.calling.clone(), self.called.clone());
        let (mut association, context) =
            associate(&self.address, calling, called, self.timeouts, self.tls.clone(), None).await?;
        let data_set = request.encode(&context.transfer_syntax);
        let (class, instance) = service()?;
        let reply = association.normalized(context.id, NormalizedCommand::action(class, instance, 1, data_set)).await?;
        if !reply.status.is_accepted() {
            association.release().await?;
            return Err(CommitmentExchangeError::Refused(reply.status, reply.comment));
        }
        loop {
            let event = match association.wait_for_event(wait).await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                // It is free to end the association and open its own.
                Err(AssociationError::Released | AssociationError::Closed | AssociationError::Aborted(_)) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let data_set = event.data_set.clone().unwrap_or_default();
            match CommitmentResult::parse(&data_set, &event.transfer_syntax) {
                Ok(result) if result.transaction == request.transaction => {
                    association.answer_event(&event, Status::SUCCESS).await?;
                    association.release().await?;
                    return Ok(Some(result));
                }
                // The result of something else; whoever waits for it will ask again.
                Ok(_) => association.answer_event(&event, Status::PROCESSING_FAILURE).await?,
                Err(error) => {
                    association.answer_event(&event, Status::PROCESSING_FAILURE).await?;
                    association.release().await?;
                    return Err(error.into());
                }
            }
        }
        association.release().await?;
        Ok(None)
    }
}

/// Opens an association on which we are the provider (PS3.4 J.3.3.1.1), and brings the result.
pub(super) async fn send_result(
    settings: &CommitmentSettings,
    target: &CommitmentTargetRow,
    address: &str,
    result: &CommitmentResult,
) -> Result<(), CommitmentExchangeError> {
    let tls = match (target.tls, &settings.tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls.connect_to(&target.host)?),
        (true, None) => return Err(CommitmentExchangeError::NoCertificate),
    };
    let (calling, called) = (settings.ae_title.clone(), target.calling.clone());
    let roles = Some(Roles::PROVIDER);
    let (mut association, context) = associate(address, calling, called, settings.timeouts, tls, roles).await?;
    let data_set = result.encode(&context.transfer_syntax);
    let (class, instance) = service()?;
    let event = NormalizedCommand::event_report(class, instance, result.event_type(), data_set);
    let reply = association.normalized(context.id, event).await?;
    // The peer has said what it has to say; how it ends the association changes nothing.
    let released = association.release().await;
    if !reply.status.is_accepted() {
        return Err(CommitmentExchangeError::Refused(reply.status, reply.comment));
    }
    if let Err(error) = released {
        tracing::debug!(error = super::with_causes(&error), "the association was not released in order");
    }
    Ok(())
}

struct Context {
    id: u8,
    transfer_syntax: TransferSyntaxUid,
}

async fn associate(
    address: &str,
    calling: AeTitle,
    called: AeTitle,
    timeouts: RequestorTimeouts,
    tls: Option<ClientTls>,
    roles: Option<Roles>,
) -> Result<(Association, Context), CommitmentExchangeError> {
    let mut transfer_syntaxes = Vec::new();
    for uid in [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN] {
        transfer_syntaxes.push(TransferSyntaxUid::parse(uid)?);
    }
    let (class, _) = service()?;
    let mut proposed = ProposedContext::new(class, transfer_syntaxes);
    proposed.roles = roles;
    let mut options = RequestOptions::new(calling, called, vec![proposed]);
    options.timeouts = timeouts;
    options.tls = tls;
    let association = Association::request(address.to_owned(), &options).await?;
    let accepted = association.contexts().iter().find_map(|context| {
        let transfer_syntax = context.transfer_syntax.clone().ok()?;
        Some(Context { id: context.id, transfer_syntax })
    });
    let context = accepted.ok_or(AssociationError::NoContextAccepted)?;
    Ok((association, context))
}

fn service() -> Result<(SopClassUid, SopInstanceUid), UidError> {
    Ok((SopClassUid::parse(STORAGE_COMMITMENT_PUSH)?, SopInstanceUid::parse(STORAGE_COMMITMENT_PUSH_INSTANCE)?))
}
