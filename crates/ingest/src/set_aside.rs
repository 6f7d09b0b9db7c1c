//! Objects that came whole but cannot be filed: the sender is told so, and the bytes are kept for the office all the same, as far as there is room.
//!
//! Room is bounded for each facility, so that garbage cannot fill the disk: while [`MOST_OBJECTS`] or [`MOST_BYTES`] wait for a decision, further ones are
//! refused without being kept, and only counted. Rejecting makes room.

use dokuei_database::{NewQuarantinedObject, QuarantineInsertion};
use dokuei_domain::InstanceId;
use dokuei_image_store::StagedBlob;

use crate::{
    Ingest, IngestError, ObjectHead, Origin, QuarantineReason,
    incoming::{discard, with_causes},
};

/// Objects of one facility that wait because they cannot be filed.
pub const MOST_OBJECTS: i64 = 200;
/// Their bytes together.
pub const MOST_BYTES: i64 = 512 << 20;
/// The longest object that is kept although it cannot be read.
pub(crate) const LONGEST: u64 = 128 << 20;

/// The reasons that count against the bound.
const REASONS: [&str; 5] = [
    QuarantineReason::MissingUid.as_str(),
    QuarantineReason::IllegalUid.as_str(),
    QuarantineReason::IllegalValue.as_str(),
    QuarantineReason::Unreadable.as_str(),
    QuarantineReason::DisagreesWithCommand.as_str(),
];

impl Ingest {
    /// Keeps what was staged, unless there is no room or the same bytes wait already. What goes wrong is logged: the sender has its failure status either way.
    pub(crate) async fn set_aside(
        &self,
        origin: &Origin,
        object: &ObjectHead,
        id: InstanceId,
        staged: StagedBlob,
        received: u64,
        error: &IngestError,
    ) {
        let Some(reason) = error.unfileable() else { return staged.discard().await };
        if let Err(failure) = self.try_set_aside(origin, object, id, staged, received, reason, error).await {
            tracing::error!(
                error = with_causes(&failure),
                sop_instance.uid = %object.sop_instance,
                "an object that cannot be filed was not kept for the office"
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one object's way aside, called from one place")]
    async fn try_set_aside(
        &self,
        origin: &Origin,
        object: &ObjectHead,
        id: InstanceId,
        staged: StagedBlob,
        received: u64,
        reason: QuarantineReason,
        error: &IngestError,
    ) -> Result<(), IngestError> {
        let facility = &origin.facility.facility;
        let (objects, bytes) = self.database.read().await?.quarantine_usage(facility, &REASONS).await?;
        let size = i64::try_from(received).unwrap_or(i64::MAX);
        if objects >= MOST_OBJECTS || bytes.saturating_add(size) > MOST_BYTES || received > LONGEST {
            staged.discard().await;
            let detail = format!("{}; not kept: no room in quarantine", with_causes(error));
            self.count_refusal(origin, reason.as_str(), &detail).await;
            return Ok(());
        }
        let receipt = staged.commit().await?;
        let mut tx = self.database.write().await?;
        let kept = tx
            .quarantine_insert(&NewQuarantinedObject {
                id: id.0,
                facility,
                sop_instance: object.sop_instance.as_str(),
                study: "",
                reason: reason.as_str(),
                detail: &with_causes(error),
                blob_key: receipt.key.as_str(),
                size_bytes: receipt.size,
                dataset_sha256: receipt.payload_sha256,
                calling_aet: origin.calling.as_str(),
                received_at: self.ambient.now(),
            })
            .await?;
        tx.commit().await?;
        if kept == QuarantineInsertion::SameContentKnown {
            discard(self, &receipt.key).await;
        }
        Ok(())
    }

    /// Counts an object that was refused and of which nothing is kept, so that the office sees it.
    pub async fn count_refusal(&self, origin: &Origin, reason: &'static str, detail: &str) {
        let (facility, calling, now) = (&origin.facility.facility, origin.calling.as_str(), self.ambient.now());
        let counted = async {
            let mut tx = self.database.write().await?;
            tx.refused_objects_add(facility, calling, reason, detail, now).await?;
            tx.commit().await
        };
        if let Err(error) = counted.await {
            tracing::error!(error = error.chain(), "a refused object was not counted");
        }
    }
}
