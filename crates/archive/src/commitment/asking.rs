//! Storage commitment, as the one who asks: a hospital's system that has accepted a report is asked to answer for it.
//!
//! What is to be asked stands in the ledger itself (accepted, asking wanted, no answer), so that nothing can be lost between a delivery and its question. The
//! answer comes on the same association, or on one that the recipient opens; one that does not come is asked for again, under a new Transaction UID.

use std::time::Duration;

use dokuei_database::{
    AuditEvent, AuditOutcome, DatabaseError, DeliveryCommitmentRow, NewJob, ReportFileKind, ReportFileRow,
    delivery_job_key,
};
use dokuei_dataset::{
    normalized::{CommitmentRequest, CommitmentResult},
    objects::InstanceReference,
};
use dokuei_domain::{Actor, DeliveryId, FacilityId, JobId};
use dokuei_jobs::{JobContext, Outcome};

use super::{AskForCommitment, Commitments, with_causes};

pub(super) const QUEUE: &str = "ask_for_commitment";
const ACTOR: Actor = Actor::System("ask_for_commitment");
/// How long the association is kept open for the answer.
const WAIT: Duration = Duration::from_secs(20);
/// How long the recipient has to bring its answer before it is asked again.
const AGAIN_SECONDS: i64 = 600;
/// Questions before a person has to look: most of a day.
const ATTEMPTS: u32 = 100;

impl Commitments {
    /// Gives a job to every delivery that waits for its question.
    pub(super) async fn enqueue_questions(&self, limit: u32) -> Result<(), DatabaseError> {
        let waiting = self.database.read().await?.deliveries_to_commit(QUEUE, limit).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for delivery in waiting {
            tx.job_enqueue(NewJob {
                id: JobId(self.ambient.new_uuid()),
                queue: QUEUE,
                payload: serde_json::json!({ "delivery": delivery }).to_string(),
                dedup_key: Some(delivery_job_key(delivery)),
                run_at: now,
                max_attempts: ATTEMPTS,
                now,
            })
            .await?;
        }
        tx.commit().await
    }

    /// Asks the recipient of one delivery. Idempotent: one that has answered is left alone.
    pub(super) async fn ask(&self, delivery: DeliveryId, context: &JobContext) -> Result<Outcome, DatabaseError> {
        let mut read = self.database.read().await?;
        let Some(row) = read.delivery_commitment(delivery).await? else { return Ok(Outcome::Done) };
        if row.committed_at.is_some() || row.error.is_some() {
            return Ok(Outcome::Done);
        }
        let files = read.report_files(row.version).await?;
        drop(read);
        let request = CommitmentRequest { transaction: self.ambient.new_uid(), references: sent(&files) };
        let mut tx = self.database.write().await?;
        // Before the first byte: the answer may come while we wait for something else.
        if !tx.delivery_commitment_ask(delivery, request.transaction.as_str()).await? {
            return Ok(Outcome::Done);
        }
        tx.commit().await?;
        let error = match self.ask_recipient(&row, &request, context).await {
            Ok(Some(result)) => {
                self.keep_answer(&row, &result).await?;
                return Ok(Outcome::Done);
            }
            Ok(None) => format!(
                "{} has accepted the question and not answered; to bring its answer it must be an AE title that {} sends as",
                row.called, row.facility
            ),
            Err(error) => error,
        };
        if context.attempt >= context.max_attempts {
            let mut tx = self.database.write().await?;
            tx.delivery_not_committed(delivery, &error).await?;
            tx.audit(self.audit(&row, AuditOutcome::Failed, &error));
            tx.commit().await?;
            return Ok(Outcome::Fail {
                reason: format!("it is not known whether {} keeps a report: {error}", row.called),
            });
        }
        Ok(Outcome::Retry { after_seconds: Some(AGAIN_SECONDS), reason: error })
    }

    async fn ask_recipient(
        &self,
        row: &DeliveryCommitmentRow,
        request: &CommitmentRequest,
        context: &JobContext,
    ) -> Result<Option<CommitmentResult>, String> {
        let tls = match (row.tls, &self.settings.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls.connect_to(&row.host).map_err(|error| with_causes(&error))?),
            (true, None) => return Err(super::CommitmentExchangeError::NoCertificate.to_string()),
        };
        let (open, close) = if row.host.contains(':') { ("[", "]") } else { ("", "") };
        let peer = AskForCommitment {
            address: format!("{open}{}{close}:{}", row.host, row.port),
            calling: self.settings.report_ae_title.clone(),
            called: row.called.clone(),
            timeouts: self.settings.timeouts,
            tls,
        };
        tokio::select! {
            answer = peer.ask(request, WAIT) => answer.map_err(|error| with_causes(&error)),
            () = context.cancel.cancelled() => Err("the node stopped while it waited for the answer".to_owned()),
        }
    }

    /// Takes an answer that a recipient brings on an association of its own. `false`: nobody has asked that.
    pub async fn take_answer(&self, facility: &FacilityId, result: &CommitmentResult) -> Result<bool, DatabaseError> {
        let transaction = result.transaction.as_str();
        let found = self.database.read().await?.delivery_commitment_by_transaction(facility, transaction).await?;
        let Some(row) = found else { return Ok(false) };
        self.keep_answer(&row, result).await?;
        Ok(true)
    }

    async fn keep_answer(&self, row: &DeliveryCommitmentRow, result: &CommitmentResult) -> Result<(), DatabaseError> {
        let mut tx = self.database.write().await?;
        let files = tx.report_files(row.version).await?;
        let missing: Vec<String> = sent(&files)
            .into_iter()
            .filter(|reference| !result.committed.contains(reference))
            .map(|reference| {
                let failed = result.failed.iter().find(|failed| failed.reference == reference);
                let reason = failed.map_or_else(|| "not named".to_owned(), |failed| format!("{:04X}H", failed.reason));
                format!("{} ({reason})", reference.sop_instance)
            })
            .collect();
        if missing.is_empty() {
            if tx.delivery_committed(row.delivery, self.ambient.now()).await? {
                tx.audit(self.audit(row, AuditOutcome::Success, "the recipient keeps the report"));
            }
        } else {
            let error = format!("the recipient does not answer for {}", missing.join(", "));
            if tx.delivery_not_committed(row.delivery, &error).await? {
                tracing::error!(delivery.id = %row.delivery, facility.id = %row.facility, error, "a returned report is not kept");
                tx.audit(self.audit(row, AuditOutcome::Failed, &error));
            }
        }
        tx.commit().await
    }

    fn audit(&self, row: &DeliveryCommitmentRow, outcome: AuditOutcome, detail: &str) -> AuditEvent {
        AuditEvent::new(self.ambient.now(), &ACTOR, "report.commitment", outcome)
            .facility(&row.facility)
            .subject(row.version)
            .detail(format!("{} at {}:{}: {detail}", row.called, row.host, row.port))
    }
}

/// The objects that a delivery consists of.
fn sent(files: &[ReportFileRow]) -> Vec<InstanceReference> {
    let of = |kind| files.iter().find(|file| file.kind == kind).and_then(|file| file.object.clone());
    [ReportFileKind::StructuredReport, ReportFileKind::EncapsulatedPdf]
        .into_iter()
        .filter_map(of)
        .map(|(sop_class, sop_instance)| InstanceReference { sop_class, sop_instance })
        .collect()
}
