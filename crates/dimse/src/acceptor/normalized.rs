//! The DIMSE-N services (PS3.7 10): one request with at most one data set, collected whole, and one response.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use super::{Admission, PeerLink, StoreService, dispatch::Conversation, opening::AcceptedContext};
use crate::{
    ProtocolError, Status,
    command::{CommandField, CommandSet, element},
    fault::Fault,
};

/// What is done to a SOP instance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NormalizedOperation {
    EventReport,
    Get,
    Set,
    Action,
    Create,
    Delete,
}

impl NormalizedOperation {
    /// The command field of the request.
    pub const fn command_field(self) -> CommandField {
        match self {
            Self::EventReport => CommandField::N_EVENT_REPORT_RQ,
            Self::Get => CommandField::N_GET_RQ,
            Self::Set => CommandField::N_SET_RQ,
            Self::Action => CommandField::N_ACTION_RQ,
            Self::Create => CommandField::N_CREATE_RQ,
            Self::Delete => CommandField::N_DELETE_RQ,
        }
    }

    /// `None` when it is another request.
    pub const fn of(field: CommandField) -> Option<Self> {
        Some(match field {
            CommandField::N_EVENT_REPORT_RQ => Self::EventReport,
            CommandField::N_GET_RQ => Self::Get,
            CommandField::N_SET_RQ => Self::Set,
            CommandField::N_ACTION_RQ => Self::Action,
            CommandField::N_CREATE_RQ => Self::Create,
            CommandField::N_DELETE_RQ => Self::Delete,
            _ => return None,
        })
    }

    /// The elements that carry SOP class and SOP instance in the request: an event and a new instance affect, the others ask (PS3.7 10.3).
    pub(crate) const fn uid_elements(self) -> (u16, u16) {
        match self {
            Self::EventReport | Self::Create => (element::AFFECTED_SOP_CLASS_UID, element::AFFECTED_SOP_INSTANCE_UID),
            Self::Get | Self::Set | Self::Action | Self::Delete => {
                (element::REQUESTED_SOP_CLASS_UID, element::REQUESTED_SOP_INSTANCE_UID)
            }
        }
    }

    /// The element that says which event or action, with the status of its absence.
    pub(crate) const fn type_element(self) -> Option<(u16, Status)> {
        match self {
            Self::EventReport => Some((element::EVENT_TYPE_ID, Status::NO_SUCH_EVENT_TYPE)),
            Self::Action => Some((element::ACTION_TYPE_ID, Status::NO_SUCH_ACTION_TYPE)),
            Self::Get | Self::Set | Self::Create | Self::Delete => None,
        }
    }
}

/// One N-* request on an accepted presentation context.
#[derive(Clone, Debug)]
pub struct NormalizedRequest {
    pub context_id: u8,
    /// What the context was negotiated for. Of a meta SOP class or UPS it differs from [`sop_class`](Self::sop_class).
    pub abstract_syntax: SopClassUid,
    /// How data sets are encoded, of the request and of the response.
    pub transfer_syntax: TransferSyntaxUid,
    pub operation: NormalizedOperation,
    pub message_id: u16,
    /// The affected or the requested SOP class.
    pub sop_class: SopClassUid,
    /// The affected or the requested SOP instance. `None` only for N-CREATE: the service chooses and says so in its response.
    pub sop_instance: Option<SopInstanceUid>,
    /// The type of an event or action; there for these two and only these.
    pub type_id: Option<u16>,
    /// What N-GET asks for, group and element; empty means everything.
    pub attribute_identifiers: Vec<u32>,
    /// Whole, at most [`max_normalized_bytes`](super::ServerConfig::max_normalized_bytes) long; not looked into.
    pub data_set: Option<Bytes>,
}

/// The answer to an N-* request. SOP class, instance and type of the request are repeated by themselves.
#[derive(Clone, Debug)]
pub struct NormalizedResponse {
    pub status: Status,
    /// The instance that N-CREATE made, when the request did not name it.
    pub sop_instance: Option<SopInstanceUid>,
    /// In the context's transfer syntax, of even length.
    pub data_set: Option<Bytes>,
    /// Error Comment (0000,0902) for people; cut after 64 characters, ASCII only. No patient data: peers log it.
    pub comment: Option<String>,
}

impl NormalizedResponse {
    /// A response of nothing but a status.
    pub const fn new(status: Status) -> Self {
        Self { status, sop_instance: None, data_set: None, comment: None }
    }

    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

/// Answers N-* requests of the SOP classes that the [`ContextPolicy`](crate::ContextPolicy) accepts.
#[async_trait]
pub trait NormalizedService<S>: Send + Sync + 'static {
    /// Does what is asked and answers. `peer` may be kept to send events later.
    async fn handle(&self, session: &Arc<S>, request: NormalizedRequest, peer: &PeerLink) -> NormalizedResponse;
}

/// Offers nothing.
#[async_trait]
impl<S: Send + Sync + 'static> NormalizedService<S> for () {
    async fn handle(&self, _session: &Arc<S>, _request: NormalizedRequest, _peer: &PeerLink) -> NormalizedResponse {
        NormalizedResponse::new(Status::UNRECOGNIZED_OPERATION)
    }
}

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    pub(super) async fn normalized(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        operation: NormalizedOperation,
        has_data_set: bool,
    ) -> Result<(), Fault> {
        let request = match self.check_normalized(context, command, operation) {
            Ok(request) => request,
            Err(status) => {
                self.counts.other_requests += 1;
                if has_data_set {
                    self.read_past(context.id).await?;
                }
                return self.respond(context, command, status).await;
            }
        };
        self.counts.normalized += 1;
        let collected = match has_data_set {
            true => match self.collect(context.id, self.config.max_normalized_bytes).await? {
                Some(collected) => Some(collected),
                None => return self.respond(context, command, Status::RESOURCE_LIMITATION).await,
            },
            false => None,
        };
        // The share of the server's memory is held until the service has answered.
        let (data_set, _share) = collected.map(|collected| (collected.bytes, collected.share)).unzip();
        let link = self.link.to_peer(context, self.config);
        let service = &self.handlers.normalized;
        let response = service.handle(&self.session, NormalizedRequest { data_set, ..request }, &link).await;
        tracing::debug!(context = context.id, ?operation, status = %response.status, "response");

        let mut answer = command.response(response.status).map_err(ProtocolError::from)?;
        if let Some(instance) = &response.sop_instance {
            answer = answer.with_uid(element::AFFECTED_SOP_INSTANCE_UID, instance.as_str());
        }
        if let Some(comment) = &response.comment {
            answer = answer.with_text(element::ERROR_COMMENT, &error_comment(comment));
        }
        let data_set = response.data_set.filter(|data_set| !data_set.is_empty());
        answer = answer.with_data_set(data_set.is_some());
        self.sender.write_message(context.id, &answer.encode(), data_set.as_deref()).await
    }

    /// What needs no knowledge of the service.
    fn check_normalized(
        &self,
        context: &AcceptedContext,
        command: &CommandSet,
        operation: NormalizedOperation,
    ) -> Result<NormalizedRequest, Status> {
        let may_ask = match operation {
            NormalizedOperation::EventReport => context.peer_is_scp,
            _ => context.peer_is_scu,
        };
        if !may_ask || !self.is_service(context) {
            return Err(Status::UNRECOGNIZED_OPERATION);
        }
        let message_id = command.message_id().map_err(|_| Status::MISTYPED_ARGUMENT)?;
        let sop_class = command.sop_class().ok_or(Status::NO_SUCH_SOP_CLASS)?;
        let (_, instance_element) = operation.uid_elements();
        let sop_instance = match command.get(instance_element).filter(|value| !value.is_empty()) {
            Some(raw) => Some(SopInstanceUid::parse_padded(raw).map_err(|_| Status::INVALID_SOP_INSTANCE)?),
            None if operation == NormalizedOperation::Create => None,
            None => return Err(Status::INVALID_SOP_INSTANCE),
        };
        let type_id = match operation.type_element() {
            Some((number, missing)) => {
                Some(command.u16(number).map_err(|_| Status::MISTYPED_ARGUMENT)?.ok_or(missing)?)
            }
            None => None,
        };
        Ok(NormalizedRequest {
            context_id: context.id,
            abstract_syntax: context.abstract_syntax.clone(),
            transfer_syntax: context.transfer_syntax.clone(),
            operation,
            message_id,
            sop_class,
            sop_instance,
            type_id,
            attribute_identifiers: command.attribute_identifiers().map_err(|_| Status::MISTYPED_ARGUMENT)?,
            data_set: None,
        })
    }
}

/// Error Comment is a LO: at most 64 characters, no backslash, no control characters.
fn error_comment(text: &str) -> String {
    text.chars().take(64).map(|c| if (' '..='~').contains(&c) && c != '\\' { c } else { '?' }).collect()
}
