//! The DICOM listener of the node: admits a peer for one facility and hands its objects to `ingest`.
//!
//! An adapter: it translates between the association layer and the use cases and decides nothing. The statuses that a sender sees are one table,
//! [`status_of`].
//!
//! To add a service (query, commitment, worklist): implement the handler trait of `dimse` in a file here, translate to the use case, and add its errors to
//! a table of its own.

mod admission;
mod audit;
mod availability;
mod commitment;
mod normalized;
mod procedure_step;
mod refusals;
mod status;
mod store;

use std::sync::Arc;

use dokuei_access::Access;
use dokuei_archive::Commitments;
use dokuei_dimse::{BoundServer, Handlers, ServicePolicy};
use dokuei_domain::{SopClassUid, TransferSyntaxUid};
use dokuei_ingest::Ingest;
use tokio_util::task::TaskTracker;

pub use admission::Session;
pub use status::status_of;

/// What the listener works with.
pub struct Receiver {
    access: Arc<Access>,
    ingest: Arc<Ingest>,
    commitments: Arc<Commitments>,
    policy: ServicePolicy,
    tasks: TaskTracker,
}

impl Receiver {
    pub fn new(access: Arc<Access>, ingest: Arc<Ingest>, commitments: Arc<Commitments>) -> Self {
        let policy = ServicePolicy::new(normalized::offered());
        Self { access, ingest, commitments, policy, tasks: TaskTracker::new() }
    }

    /// Agrees on these transfer syntaxes first, best first: for one SOP class, and for all others.
    #[must_use]
    pub fn preferring(
        mut self,
        of_class: Vec<(SopClassUid, Vec<TransferSyntaxUid>)>,
        of_all: Vec<TransferSyntaxUid>,
    ) -> Self {
        self.policy = of_class.into_iter().fold(self.policy, |policy, (class, order)| policy.prefer_for(class, order));
        self.policy = self.policy.prefer(of_all);
        self
    }

    /// Serves until stopped; returns when all associations have ended and what they left to record is recorded.
    pub async fn serve(self, server: BoundServer, stop: dokuei_dimse::Stop) {
        let refusals = refusals::Refusals::new(Arc::clone(&self.ingest));
        let refusing = tokio_util::sync::CancellationToken::new();
        let counting = tokio::spawn(Arc::clone(&refusals).keep_writing(refusing.clone()));
        let handlers = Handlers {
            admission: admission::FacilityAdmission {
                access: self.access,
                refusals: Arc::clone(&refusals),
                space: self.ingest.space().clone(),
            },
            policy: Box::new(self.policy),
            store: store::IngestStore { ingest: Arc::clone(&self.ingest) },
            normalized: Arc::new(normalized::Services {
                ingest: Arc::clone(&self.ingest),
                commitments: Arc::clone(&self.commitments),
            }),
            query: Arc::new(()),
            observer: Box::new(audit::AuditObserver {
                ingest: self.ingest,
                commitments: self.commitments,
                refusals,
                tasks: self.tasks.clone(),
                runtime: tokio::runtime::Handle::current(),
            }),
        };
        server.serve(handlers, stop).await;
        self.tasks.close();
        self.tasks.wait().await;
        refusing.cancel();
        // It can only have panicked, and then there is nothing left to count.
        let _ = counting.await;
    }
}
