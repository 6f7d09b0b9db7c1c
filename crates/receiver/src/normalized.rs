//! The DIMSE-N services this node provides: one page each, chosen by the SOP class.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_archive::Commitments;
use dokuei_dataset::normalized::{
    INSTANCE_AVAILABILITY_NOTIFICATION, MODALITY_PERFORMED_PROCEDURE_STEP, NormalizedError, STORAGE_COMMITMENT_PUSH,
};
use dokuei_dimse::{NormalizedRequest, NormalizedResponse, NormalizedService, OfferedService, PeerLink, Roles, Status};
use dokuei_ingest::Ingest;

use crate::{Session, availability, commitment, procedure_step};

/// What they work with.
pub(crate) struct Services {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) commitments: Arc<Commitments>,
}

/// The SOP classes that are accepted beside storage.
pub(crate) fn offered() -> Vec<OfferedService> {
    vec![
        // A peer asks us to commit; one that we have asked brings its result on an association of its own.
        OfferedService::new(STORAGE_COMMITMENT_PUSH).peer_may_be(Roles::BOTH),
        OfferedService::new(MODALITY_PERFORMED_PROCEDURE_STEP),
        OfferedService::new(INSTANCE_AVAILABILITY_NOTIFICATION),
    ]
}

#[async_trait]
impl NormalizedService<Session> for Services {
    async fn handle(&self, session: &Arc<Session>, request: NormalizedRequest, peer: &PeerLink) -> NormalizedResponse {
        let origin = &session.origin;
        let (operation, sop_class) = (request.operation, request.sop_class.clone());
        let response = match sop_class.as_str() {
            _ if request.sop_class != request.abstract_syntax => {
                refusal(Status::SOP_CLASS_NOT_SUPPORTED, "the context is of another SOP class")
            }
            STORAGE_COMMITMENT_PUSH => commitment::handle(&self.commitments, origin, request, peer).await,
            MODALITY_PERFORMED_PROCEDURE_STEP => procedure_step::handle(&self.ingest, origin, request).await,
            INSTANCE_AVAILABILITY_NOTIFICATION => availability::handle(&self.ingest, origin, request).await,
            _ => NormalizedResponse::new(Status::NO_SUCH_SOP_CLASS),
        };
        if !response.status.is_accepted() {
            tracing::warn!(
                facility.id = %origin.facility.facility,
                peer.calling = %origin.calling,
                sop_class.uid = %sop_class,
                ?operation,
                status = %response.status,
                comment = response.comment.as_deref().unwrap_or_default(),
                "request refused"
            );
        }
        response
    }
}

pub(crate) fn refusal(status: Status, comment: impl ToString) -> NormalizedResponse {
    NormalizedResponse::new(status).with_comment(comment.to_string())
}

/// The status of attributes that make no instance (PS3.7 10.1.3.1.9, 10.1.5.1.6).
pub(crate) fn status_of_attributes(error: &NormalizedError) -> Status {
    match error {
        NormalizedError::Structure(_) | NormalizedError::TransferSyntax => Status::PROCESSING_FAILURE,
        NormalizedError::Missing(_) => Status::MISSING_ATTRIBUTE,
        NormalizedError::Empty(_) => Status::MISSING_ATTRIBUTE_VALUE,
        NormalizedError::Invalid(_) | NormalizedError::NotAUid(..) | NormalizedError::Repeated(_) => {
            Status::INVALID_ATTRIBUTE_VALUE
        }
        NormalizedError::TooMany { .. } => Status::RESOURCE_LIMITATION,
    }
}
