//! Associations in the audit trail. The association layer logs them itself; what never became an association of a facility (garbage, a full node) is in the
//! log only, because nobody is known whom it concerns.

use std::sync::Arc;

use dokuei_dimse::{AssociationEnd, AssociationInfo, EndCause, Observer, Status};
use dokuei_ingest::Ingest;
use tokio_util::task::TaskTracker;

use crate::Session;

pub(crate) struct AuditObserver {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) tasks: TaskTracker,
}

impl Observer<Session> for AuditObserver {
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
        self.tasks.spawn(async move { ingest.record_association(&origin, false, &detail).await });
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
        self.tasks.spawn(async move {
            ingest.association_ended(origin.association).await;
            if !nothing_happened {
                ingest.record_association(&origin, orderly, &detail).await;
            }
        });
    }
}
