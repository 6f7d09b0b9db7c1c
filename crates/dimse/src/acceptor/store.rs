//! C-STORE (PS3.7 9.1.1, 9.3.1): the data set streams into the service's sink, then the response leaves.

use dokuei_domain::{SopClassUid, SopInstanceUid};

use super::{
    Admission, ObjectInFlight, StoreRequest, StoreService, StoreSink,
    dispatch::{Conversation, Drain},
    opening::AcceptedContext,
};
use crate::{
    Status, StatusClass,
    command::{CommandSet, element},
    fault::Fault,
};

impl<A: Admission, S: StoreService<A::Session>> Conversation<'_, A, S> {
    pub(super) async fn store(
        &mut self,
        context: &AcceptedContext,
        command: &CommandSet,
        has_data_set: bool,
    ) -> Result<(), Fault> {
        let mut destination = match self.check_store(context, command, has_data_set) {
            Ok(request) => {
                self.in_flight = Some(ObjectInFlight::from(&request));
                self.handlers.store.begin(&self.session, request).await
            }
            Err(status) => {
                let (class, instance) =
                    (command.text(element::AFFECTED_SOP_CLASS_UID), command.text(element::AFFECTED_SOP_INSTANCE_UID));
                tracing::warn!(sop_class = class, sop_instance = instance, %status, "object refused");
                self.handlers.observer.object_refused(self.info, &self.session, &class, &instance, status);
                Err(status)
            }
        };
        if has_data_set {
            destination = self.receive_object(context.id, destination).await?;
        }
        let status = match destination {
            Ok(sink) => sink.finish().await,
            Err(status) => status,
        };
        self.in_flight = None;
        match status.class() {
            StatusClass::Success => self.counts.stored += 1,
            StatusClass::Warning => self.counts.stored_with_warning += 1,
            StatusClass::Failure | StatusClass::Cancel | StatusClass::Pending => self.counts.failed += 1,
        }
        self.respond(context, command, status).await
    }

    /// Feeds the data set to its sink, or reads past it when it is refused. An error ends the association: the sink is dropped unfinished.
    async fn receive_object(
        &mut self,
        context_id: u8,
        mut destination: Result<S::Sink, Status>,
    ) -> Result<Result<S::Sink, Status>, Fault> {
        let mut drained = Drain::new(self.config);
        loop {
            let fragment = self.next_data(context_id).await?;
            match &mut destination {
                Ok(_) if fragment.data.is_empty() => {}
                Ok(sink) => {
                    if let Err(status) = sink.write(fragment.data).await {
                        destination = Err(status);
                    }
                }
                Err(_) => drained.add(&fragment.data)?,
            }
            if fragment.last {
                return Ok(destination);
            }
        }
    }

    /// What needs no knowledge of the object. PS3.7 C.5: 0122 for the class, 0117 for a UID that breaks the rules.
    fn check_store(
        &self,
        context: &AcceptedContext,
        command: &CommandSet,
        has_data_set: bool,
    ) -> Result<StoreRequest, Status> {
        if !context.peer_is_scu {
            return Err(Status::UNRECOGNIZED_OPERATION);
        }
        if !self.handlers.policy.stores(&context.accepted_as) {
            return Err(Status::SOP_CLASS_NOT_SUPPORTED);
        }
        if !has_data_set {
            return Err(Status::CANNOT_UNDERSTAND);
        }
        let uid = |number| command.get(number).map(AsRef::as_ref).unwrap_or_default();
        let sop_class = SopClassUid::parse_padded(uid(element::AFFECTED_SOP_CLASS_UID))
            .map_err(|_| Status::SOP_CLASS_NOT_SUPPORTED)?;
        let sop_instance = SopInstanceUid::parse_padded(uid(element::AFFECTED_SOP_INSTANCE_UID))
            .map_err(|_| Status::INVALID_SOP_INSTANCE)?;
        Ok(StoreRequest {
            context_id: context.id,
            abstract_syntax: context.abstract_syntax.clone(),
            transfer_syntax: context.transfer_syntax.clone(),
            message_id: command.message_id().map_err(|_| Status::MISTYPED_ARGUMENT)?,
            sop_class,
            sop_instance,
            priority: command.priority(),
            move_originator: command.move_originator(),
        })
    }
}
