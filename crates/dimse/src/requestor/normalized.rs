//! DIMSE-N as its requestor (PS3.7 10.1), and the events that an acceptor sends back (PS3.7 10.1.1).

use std::time::Duration;

use bytes::Bytes;
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::time::{Instant, timeout};

use super::{
    Association, AssociationError,
    incoming::{Awaited, Message},
};
use crate::{
    NormalizedOperation, ProtocolError, Status,
    association_pdu::release_response_pdu,
    command::{CommandField, CommandSet, element},
    fault::Fault,
    wire::Unit,
};

/// One N-* request.
#[derive(Clone, Debug)]
pub struct NormalizedCommand {
    pub operation: NormalizedOperation,
    pub sop_class: SopClassUid,
    /// `None` only for N-CREATE, when the peer shall choose.
    pub sop_instance: Option<SopInstanceUid>,
    /// The type of an event or action.
    pub type_id: Option<u16>,
    /// What N-GET asks for, group and element; empty means everything.
    pub attribute_identifiers: Vec<u32>,
    /// In the context's transfer syntax, of even length.
    pub data_set: Option<Vec<u8>>,
}

impl NormalizedCommand {
    /// A request without type, attributes and data set.
    pub fn new(operation: NormalizedOperation, sop_class: SopClassUid, sop_instance: Option<SopInstanceUid>) -> Self {
        Self { operation, sop_class, sop_instance, type_id: None, attribute_identifiers: Vec::new(), data_set: None }
    }

    /// N-ACTION of this type.
    pub fn action(sop_class: SopClassUid, sop_instance: SopInstanceUid, type_id: u16, data_set: Vec<u8>) -> Self {
        let new = Self::new(NormalizedOperation::Action, sop_class, Some(sop_instance));
        Self { type_id: Some(type_id), data_set: Some(data_set), ..new }
    }

    /// N-EVENT-REPORT of this type: the requestor must have the role of an SCP.
    pub fn event_report(sop_class: SopClassUid, sop_instance: SopInstanceUid, type_id: u16, data_set: Vec<u8>) -> Self {
        let new = Self::new(NormalizedOperation::EventReport, sop_class, Some(sop_instance));
        Self { type_id: Some(type_id), data_set: Some(data_set), ..new }
    }

    /// N-CREATE.
    pub fn create(sop_class: SopClassUid, sop_instance: Option<SopInstanceUid>, data_set: Vec<u8>) -> Self {
        Self { data_set: Some(data_set), ..Self::new(NormalizedOperation::Create, sop_class, sop_instance) }
    }

    /// N-SET.
    pub fn set(sop_class: SopClassUid, sop_instance: SopInstanceUid, data_set: Vec<u8>) -> Self {
        Self { data_set: Some(data_set), ..Self::new(NormalizedOperation::Set, sop_class, Some(sop_instance)) }
    }
}

/// The response to an N-* request.
#[derive(Clone, Debug)]
pub struct NormalizedReply {
    pub status: Status,
    /// The affected instance; that of N-CREATE may be new.
    pub sop_instance: Option<SopInstanceUid>,
    pub data_set: Option<Bytes>,
    /// Error Comment (0000,0902), when there is one.
    pub comment: Option<String>,
}

/// An event from the acceptor, to be answered with [`Association::answer_event`].
#[derive(Clone, Debug)]
pub struct ReceivedEvent {
    pub transfer_syntax: TransferSyntaxUid,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub type_id: u16,
    pub data_set: Option<Bytes>,
    context_id: u8,
    command: CommandSet,
}

impl Association {
    /// Sends an N-* request and waits for its response. Events that come meanwhile wait for [`wait_for_event`](Self::wait_for_event).
    pub async fn normalized(
        &mut self,
        context_id: u8,
        command: NormalizedCommand,
    ) -> Result<NormalizedReply, AssociationError> {
        let message_id = self.begin(context_id)?;
        let NormalizedCommand { operation, sop_class, sop_instance, type_id, attribute_identifiers, data_set } =
            command;
        let data_set = data_set.filter(|data_set| !data_set.is_empty());
        let (class_element, instance_element) = operation.uid_elements();
        let mut request = CommandSet::new(operation.command_field())
            .with_uid(class_element, sop_class.as_str())
            .with_u16(element::MESSAGE_ID, message_id)
            .with_data_set(data_set.is_some());
        if let Some(instance) = &sop_instance {
            request = request.with_uid(instance_element, instance.as_str());
        }
        if let Some((type_element, _)) = operation.type_element() {
            request = request.with_u16(type_element, type_id.unwrap_or_default());
        }
        if operation == NormalizedOperation::Get && !attribute_identifiers.is_empty() {
            request = request.with_attribute_identifiers(&attribute_identifiers);
        }
        let awaited = Awaited { context_id, message_id, request: operation.command_field() };
        let exchange = async {
            self.sender.write_message(context_id, &request.encode(), data_set.as_deref()).await?;
            let deadline = Instant::now() + self.timeouts.response;
            let Message { command, data_set, .. } = self.incoming.response(awaited, Some(deadline)).await?;
            let comment = command.text(element::ERROR_COMMENT);
            Ok(NormalizedReply {
                status: command.status().map_err(ProtocolError::from)?,
                sop_instance: command.sop_instance(),
                data_set,
                comment: (!comment.is_empty()).then_some(comment),
            })
        };
        let result = exchange.await;
        self.settle(result).await
    }

    /// The next event of the acceptor; `None` when none begins to come within `wait`. An event that cannot be understood is refused at once.
    pub async fn wait_for_event(&mut self, wait: Duration) -> Result<Option<ReceivedEvent>, AssociationError> {
        if self.ended {
            return Err(AssociationError::Ended);
        }
        let deadline = Instant::now() + wait;
        loop {
            let message = match self.incoming.events.pop_front() {
                Some(message) => message,
                None => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let Ok(unit) = timeout(left, self.incoming.receiver.next()).await else { return Ok(None) };
                    let message = self.event_from(unit).await;
                    self.settle(message).await?
                }
            };
            match self.understood(message) {
                Ok(event) => return Ok(Some(event)),
                Err((context_id, command, status)) => self.respond(context_id, &command, status).await?,
            }
        }
    }

    /// Answers an event. Nothing more is said about it by the acceptor, so that what it told must be kept by now.
    pub async fn answer_event(&mut self, event: &ReceivedEvent, status: Status) -> Result<(), AssociationError> {
        if self.ended {
            return Err(AssociationError::Ended);
        }
        self.respond(event.context_id, &event.command, status).await
    }

    async fn event_from(&mut self, unit: Result<Unit, Fault>) -> Result<Message, AssociationError> {
        let unit = unit?;
        if matches!(unit, Unit::ReleaseRequest) {
            self.sender.write(&release_response_pdu()).await?;
            return Err(AssociationError::Released);
        }
        let message = self.incoming.message_from(unit).await?;
        match message.command.command_field().map_err(ProtocolError::from)? {
            CommandField::N_EVENT_REPORT_RQ => Ok(message),
            other => Err(ProtocolError::UnexpectedMessage(other.0).into()),
        }
    }

    fn understood(&self, message: Message) -> Result<ReceivedEvent, (u8, CommandSet, Status)> {
        let Message { context_id, command, data_set } = message;
        let context = self.contexts().iter().find(|context| context.id == context_id);
        let fields = || {
            let context = context.ok_or(Status::PROCESSING_FAILURE)?;
            let transfer_syntax = context.transfer_syntax.clone().map_err(|_| Status::PROCESSING_FAILURE)?;
            let sop_class = command.sop_class().ok_or(Status::NO_SUCH_SOP_CLASS)?;
            let sop_instance = command.sop_instance().ok_or(Status::INVALID_SOP_INSTANCE)?;
            let type_id = command.u16(element::EVENT_TYPE_ID).ok().flatten().ok_or(Status::NO_SUCH_EVENT_TYPE)?;
            Ok((transfer_syntax, sop_class, sop_instance, type_id))
        };
        match fields() {
            Ok((transfer_syntax, sop_class, sop_instance, type_id)) => {
                Ok(ReceivedEvent { transfer_syntax, sop_class, sop_instance, type_id, data_set, context_id, command })
            }
            Err(status) => Err((context_id, command, status)),
        }
    }

    async fn respond(&mut self, context_id: u8, request: &CommandSet, status: Status) -> Result<(), AssociationError> {
        let exchange = async {
            let response = request.response(status).map_err(ProtocolError::from)?;
            self.sender.write_command(context_id, &response.encode()).await?;
            Ok(())
        };
        let result = exchange.await;
        self.settle(result).await
    }
}
