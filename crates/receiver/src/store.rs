//! C-STORE: the bytes of one object into `ingest`.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_dimse::{Status, StoreRequest, StoreService, StoreSink};
use dokuei_ingest::{Incoming, Ingest, IngestError, ObjectHead, Origin, Stored};

use crate::{Session, status_of};

pub(crate) struct IngestStore {
    pub(crate) ingest: Arc<Ingest>,
}

/// One object on its way.
pub(crate) struct IngestSink {
    ingest: Arc<Ingest>,
    origin: Origin,
    object: ObjectHead,
    incoming: Incoming,
}

impl StoreService<Session> for IngestStore {
    type Sink = IngestSink;

    async fn begin(&self, session: &Arc<Session>, request: StoreRequest) -> Result<IngestSink, Status> {
        let object = ObjectHead {
            sop_class: request.sop_class,
            sop_instance: request.sop_instance,
            transfer_syntax: request.transfer_syntax,
        };
        let origin = session.origin.clone();
        match self.ingest.begin_here(&origin, object.clone()).await {
            Ok(incoming) => Ok(IngestSink { ingest: Arc::clone(&self.ingest), origin, object, incoming }),
            Err(error) => Err(refuse(&self.ingest, &origin, &object, &error).await),
        }
    }
}

impl StoreSink for IngestSink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Status> {
        match self.incoming.write(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(refuse(&self.ingest, &self.origin, &self.object, &error).await),
        }
    }

    async fn finish(self) -> Status {
        let Self { ingest, origin, object, incoming } = self;
        match incoming.finish().await {
            Ok(stored) => {
                let again = !matches!(stored, Stored::New { .. });
                tracing::debug!(sop_instance.uid = %object.sop_instance, again, "object stored");
                Status::SUCCESS
            }
            Err(error) => refuse(&ingest, &origin, &object, &error).await,
        }
    }
}

/// Makes a refusal visible and gives its status.
async fn refuse(ingest: &Ingest, origin: &Origin, object: &ObjectHead, error: &IngestError) -> Status {
    let status = status_of(error);
    if matches!(error, IngestError::OutOfSpace) {
        // Said once by the watch over the disks, not for each object of each sender.
        tracing::debug!(facility.id = %origin.facility.facility, sop_instance.uid = %object.sop_instance, %status, "object refused");
        ingest.audit_refusal(origin, object, error).await;
        return status;
    }
    tracing::warn!(
        facility.id = %origin.facility.facility,
        sop_instance.uid = %object.sop_instance,
        status = %status,
        error = error as &dyn std::error::Error,
        "object refused"
    );
    ingest.audit_refusal(origin, object, error).await;
    status
}
