//! The DICOM listener of the node: admits a peer for one facility and hands its objects to `ingest`.
//!
//! An adapter: it translates between the association layer and the use cases and decides nothing. The statuses that a sender sees are one table,
//! [`status_of`].
//!
//! To add a service (query, commitment, worklist): implement the handler trait of `dimse` in a file here, translate to the use case, and add its errors to
//! a table of its own.

mod admission;
mod audit;
mod status;
mod store;

use std::sync::Arc;

use dokuei_access::Access;
use dokuei_dimse::{BoundServer, Handlers, StoragePolicy};
use dokuei_ingest::Ingest;
use tokio_util::task::TaskTracker;

pub use admission::Session;
pub use status::status_of;

/// What the listener works with.
pub struct Receiver {
    access: Arc<Access>,
    ingest: Arc<Ingest>,
    tasks: TaskTracker,
}

impl Receiver {
    pub fn new(access: Arc<Access>, ingest: Arc<Ingest>) -> Self {
        Self { access, ingest, tasks: TaskTracker::new() }
    }

    /// Serves until stopped; returns when all associations have ended and what they left to record is recorded.
    pub async fn serve(self, server: BoundServer, stop: dokuei_dimse::Stop) {
        let handlers = Handlers {
            admission: admission::FacilityAdmission { access: self.access, ingest: Arc::clone(&self.ingest) },
            policy: Box::new(StoragePolicy),
            store: store::IngestStore { ingest: Arc::clone(&self.ingest) },
            observer: Box::new(audit::AuditObserver { ingest: self.ingest, tasks: self.tasks.clone() }),
        };
        server.serve(handlers, stop).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
