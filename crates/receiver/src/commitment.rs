//! Storage commitment (PS3.4 annex J): a peer's request, and the way back for its result.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_archive::{CommitmentError, CommitmentPeer, Commitments, ResultLink, UndeliveredResult};
use dokuei_dataset::normalized::{
    CommitmentRequest, CommitmentResult, NormalizedError, STORAGE_COMMITMENT_PUSH_INSTANCE,
};
use dokuei_dimse::{LinkError, NormalizedOperation, NormalizedRequest, NormalizedResponse, PeerLink, Status};
use dokuei_domain::{SopClassUid, SopInstanceUid};
use dokuei_ingest::Origin;

use crate::normalized::refusal;

/// Request Storage Commitment (PS3.4 Table J.3-1).
const REQUEST: u16 = 1;
/// The results of it (PS3.4 Table J.3-2).
const COMMITTED: u16 = 1;
const FAILURES_EXIST: u16 = 2;
/// The peer has used the Transaction UID for something else (PS3.3 C.14.1.1).
const DUPLICATE_TRANSACTION_UID: Status = Status(0x0131);

pub(crate) async fn handle(
    commitments: &Commitments,
    origin: &Origin,
    request: NormalizedRequest,
    peer: &PeerLink,
) -> NormalizedResponse {
    let well_known = |uid: &&SopInstanceUid| uid.as_str() == STORAGE_COMMITMENT_PUSH_INSTANCE;
    let Some(instance) = request.sop_instance.as_ref().filter(well_known).cloned() else {
        return refusal(Status::NO_SUCH_SOP_INSTANCE, "not the well-known instance of the service");
    };
    match (request.operation, request.type_id) {
        (NormalizedOperation::Action, Some(REQUEST)) => {}
        (NormalizedOperation::EventReport, Some(COMMITTED | FAILURES_EXIST)) => {
            return take_answer(commitments, origin, &request).await;
        }
        (NormalizedOperation::EventReport, _) => return NormalizedResponse::new(Status::NO_SUCH_EVENT_TYPE),
        (NormalizedOperation::Action, _) => return NormalizedResponse::new(Status::NO_SUCH_ACTION_TYPE),
        _ => return NormalizedResponse::new(Status::UNRECOGNIZED_OPERATION),
    }
    let data_set = request.data_set.unwrap_or_default();
    let asked = match CommitmentRequest::parse(&data_set, &request.transfer_syntax) {
        Ok(asked) => asked,
        Err(error) => return refusal(status_of_request(&error), error),
    };
    let who = CommitmentPeer {
        facility: origin.facility.facility.clone(),
        calling: origin.calling.clone(),
        association: origin.association,
    };
    let link = AssociationLink { peer: peer.clone(), sop_class: request.sop_class, sop_instance: instance };
    match commitments.request(&who, &asked, Some(Arc::new(link))).await {
        Ok(()) => NormalizedResponse::new(Status::SUCCESS),
        Err(error) => refusal(status_of(&error), error),
    }
}

/// What a recipient says of a report that it was asked about, on an association of its own.
async fn take_answer(commitments: &Commitments, origin: &Origin, request: &NormalizedRequest) -> NormalizedResponse {
    let data_set = request.data_set.clone().unwrap_or_default();
    let result = match CommitmentResult::parse(&data_set, &request.transfer_syntax) {
        Ok(result) => result,
        Err(error) => return refusal(status_of_request(&error), error),
    };
    match commitments.take_answer(&origin.facility.facility, &result).await {
        Ok(true) => NormalizedResponse::new(Status::SUCCESS),
        Ok(false) => refusal(Status::PROCESSING_FAILURE, "nobody here has asked under this transaction UID"),
        Err(_) => refusal(Status::RESOURCE_LIMITATION, "the index is not available"),
    }
}

fn status_of_request(error: &NormalizedError) -> Status {
    match error {
        NormalizedError::Structure(_) | NormalizedError::TransferSyntax => Status::PROCESSING_FAILURE,
        NormalizedError::TooMany { .. } => Status::RESOURCE_LIMITATION,
        NormalizedError::Missing(_)
        | NormalizedError::Empty(_)
        | NormalizedError::Invalid(_)
        | NormalizedError::NotAUid(..)
        | NormalizedError::Repeated(_) => Status::INVALID_ARGUMENT_VALUE,
    }
}

fn status_of(error: &CommitmentError) -> Status {
    match error {
        CommitmentError::DuplicateTransaction => DUPLICATE_TRANSACTION_UID,
        CommitmentError::Denied => Status::NOT_AUTHORIZED,
        CommitmentError::TooMany | CommitmentError::Index(_) => Status::RESOURCE_LIMITATION,
    }
}

/// The association of a request, for its result.
struct AssociationLink {
    peer: PeerLink,
    sop_class: SopClassUid,
    sop_instance: SopInstanceUid,
}

#[async_trait]
impl ResultLink for AssociationLink {
    async fn report(&self, result: &CommitmentResult) -> Result<(), UndeliveredResult> {
        let data_set = result.encode(self.peer.transfer_syntax());
        let event = self.peer.event_report(&self.sop_class, &self.sop_instance, result.event_type(), data_set);
        match event.await {
            Ok(status) if status.is_accepted() => Ok(()),
            Ok(status) => Err(UndeliveredResult::Failed(format!("the peer answered the result with {status}"))),
            Err(LinkError::TimedOut) => Err(UndeliveredResult::Failed(LinkError::TimedOut.to_string())),
            Err(_) => Err(UndeliveredResult::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status() {
        assert_eq!(status_of(&CommitmentError::DuplicateTransaction), Status(0x0131));
        assert_eq!(status_of(&CommitmentError::TooMany), Status(0x0213));
        assert_eq!(status_of(&CommitmentError::Denied), Status(0x0124));
        let list = dokuei_dataset::tag::REFERENCED_SOP_SEQUENCE;
        assert_eq!(status_of_request(&NormalizedError::Missing(list)), Status(0x0115));
        assert_eq!(status_of_request(&NormalizedError::TooMany { limit: 1 }), Status(0x0213));
        assert_eq!(status_of_request(&NormalizedError::TransferSyntax), Status(0x0110));
    }
}
