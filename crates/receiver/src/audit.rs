//! Associations in the audit trail. The association layer logs them itself; of what never became an association
//! of a facility, refused certificates and floods are audited; garbage and a full node are in the log only, because nobody is known whom they concern.

use std::{net::SocketAddr, sync::Arc};

use dokuei_archive::Commitments;
use dokuei_dimse::{AssociationEnd, AssociationInfo, EndCause, Observer, Status};
use dokuei_ingest::Ingest;
use tokio_util::task::TaskTracker;

use crate::{
    Session,
    refusals::{Refusal, Refusals},
};

pub(crate) struct AuditObserver {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) commitments: Arc<Commitments>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) tasks: TaskTracker,
    /// The node's: associations' own runtimes end with the listener, what they left to record must not.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Observer<Session> for AuditObserver {
    fn connection_failed(&self, _id: u64, peer: SocketAddr, cause: &EndCause) {
        let what = match cause {
            EndCause::Handshake(_) => "TLS",
            EndCause::TooManyConnections => "TCP",
            _ => return,
        };
        let refusal = Refusal {
            calling: what.to_owned(),
            address: Some(peer.ip().to_canonical()),
            facility: None,
            reason: cause.to_string(),
        };
        let refusals = Arc::clone(&self.refusals);
        self.tasks.spawn_on(async move { refusals.record(refusal).await }, &self.runtime);
    }

    fn object_refused(
        &self,
        _info: &AssociationInfo,
        session: &Session,
        sop_class: &str,
        sop_instance: &str,
        status: Status,
    ) {
        let facility = &session.origin.facility.facility;
        tracing::warn!(facility.id = %facility, sop_instance.uid = sop_instance, %status, "object refused");
        let (ingest, origin) = (Arc::clone(&self.ingest), session.origin.clone());
        let detail = format!("class {sop_class}, instance {sop_instance}: {}", status.meaning());
        let recorded = async move { ingest.record_association(&origin, false, &detail).await };
        self.tasks.spawn_on(recorded, &self.runtime);
    }

    fn association_ended(&self, _info: &AssociationInfo, session: &Session, end: &AssociationEnd) {
        let counts = end.counts;
        let orderly = end.cause == EndCause::Released && counts.failed == 0;
        let mut detail = format!(
            "{}; {} objects stored, {} refused, {} bytes",
            end.cause,
            counts.stored + counts.stored_with_warning,
            counts.failed,
            counts.data_set_bytes
        );
        if let Some(object) = &end.abandoned {
            detail.push_str(&format!("; object {} was not received whole and is not kept", object.sop_instance));
        }
        let nothing_happened = orderly && counts.stored + counts.stored_with_warning == 0;
        let (ingest, origin) = (Arc::clone(&self.ingest), session.origin.clone());
        let commitments = Arc::clone(&self.commitments);
        let recorded = async move {
            commitments.association_ended(origin.association).await;
            ingest.association_ended(origin.association).await;
            if !nothing_happened {
                ingest.record_association(&origin, orderly, &detail).await;
            }
        };
        self.tasks.spawn_on(recorded, &self.runtime);
    }
}
