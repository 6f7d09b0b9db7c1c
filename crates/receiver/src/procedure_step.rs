//! Modality Performed Procedure Step (PS3.4 F.7): N-CREATE and N-SET.

use dokuei_dataset::normalized::ProcedureStepAttributes;
use dokuei_dimse::{NormalizedOperation, NormalizedRequest, NormalizedResponse, Status};
use dokuei_ingest::{Ingest, Origin, ProcedureStepError};

use crate::normalized::{refusal, status_of_attributes};

pub(crate) async fn handle(ingest: &Ingest, origin: &Origin, request: NormalizedRequest) -> NormalizedResponse {
    let data_set = request.data_set.unwrap_or_default();
    let attributes = match ProcedureStepAttributes::parse(&data_set, &request.transfer_syntax) {
        Ok(attributes) => attributes,
        Err(error) => return refusal(status_of_attributes(&error), error),
    };
    let outcome = match (request.operation, request.sop_instance) {
        (NormalizedOperation::Create, uid) => {
            let created = ingest.procedure_step_create(origin, uid, &attributes).await;
            created
                .map(|uid| NormalizedResponse { sop_instance: Some(uid), ..NormalizedResponse::new(Status::SUCCESS) })
        }
        (NormalizedOperation::Set, Some(uid)) => {
            let changed = ingest.procedure_step_set(origin, &uid, &attributes).await;
            changed.map(|()| NormalizedResponse::new(Status::SUCCESS))
        }
        _ => return NormalizedResponse::new(Status::UNRECOGNIZED_OPERATION),
    };
    outcome.unwrap_or_else(|error| refused(&error))
}

fn refused(error: &ProcedureStepError) -> NormalizedResponse {
    match error {
        ProcedureStepError::Duplicate => refusal(Status::DUPLICATE_SOP_INSTANCE, error),
        ProcedureStepError::Unknown => refusal(Status::NO_SUCH_SOP_INSTANCE, error),
        // PS3.4 F.7.2.2.2: Error ID A710; the association layer has no room for it but in words.
        ProcedureStepError::Final => {
            refusal(Status::PROCESSING_FAILURE, "error ID A710H: the step may no longer be updated")
        }
        ProcedureStepError::Attributes(error) => refusal(status_of_attributes(error), error),
        ProcedureStepError::Denied => refusal(Status::NOT_AUTHORIZED, error),
        ProcedureStepError::Index(_) => refusal(Status::RESOURCE_LIMITATION, error),
    }
}

#[cfg(test)]
mod tests {
    use dokuei_dataset::{normalized::NormalizedError, tag};

    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_a_comment_that_fits() {
        let status = tag::PERFORMED_PROCEDURE_STEP_STATUS;
        let table = [
            (ProcedureStepError::Duplicate, 0x0111),
            (ProcedureStepError::Unknown, 0x0112),
            (ProcedureStepError::Final, 0x0110),
            (ProcedureStepError::Attributes(NormalizedError::Missing(status)), 0x0120),
            (ProcedureStepError::Attributes(NormalizedError::Empty(status)), 0x0121),
            (ProcedureStepError::Attributes(NormalizedError::Invalid(status)), 0x0106),
            (ProcedureStepError::Denied, 0x0124),
        ];
        for (error, code) in table {
            let response = refused(&error);
            assert_eq!(response.status, Status(code), "{error}");
            assert!(response.comment.is_some_and(|comment| comment.len() <= 64), "{error}");
        }
    }
}
