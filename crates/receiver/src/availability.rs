//! Instance Availability Notification (PS3.4 annex R): N-CREATE.

use dokuei_dataset::normalized::AvailabilityNotification;
use dokuei_dimse::{NormalizedOperation, NormalizedRequest, NormalizedResponse, Status};
use dokuei_ingest::{Ingest, IngestError, Origin};

use crate::normalized::{refusal, status_of_attributes};

pub(crate) async fn handle(ingest: &Ingest, origin: &Origin, request: NormalizedRequest) -> NormalizedResponse {
    if request.operation != NormalizedOperation::Create {
        return NormalizedResponse::new(Status::UNRECOGNIZED_OPERATION);
    }
    let data_set = request.data_set.unwrap_or_default();
    let notification = match AvailabilityNotification::parse(&data_set, &request.transfer_syntax) {
        Ok(notification) => notification,
        Err(error) => return refusal(status_of_attributes(&error), error),
    };
    match ingest.notify_availability(origin, &notification).await {
        // A notification is no instance that anybody asks for later; it is named as the sender named it, or after us.
        Ok(()) => NormalizedResponse {
            sop_instance: request.sop_instance.or_else(|| Some(ingest.new_instance_uid())),
            ..NormalizedResponse::new(Status::SUCCESS)
        },
        Err(IngestError::Denied) => refusal(Status::NOT_AUTHORIZED, IngestError::Denied),
        Err(error) => refusal(Status::RESOURCE_LIMITATION, error),
    }
}
