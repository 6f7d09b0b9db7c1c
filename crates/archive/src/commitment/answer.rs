//! Bringing a result to the peer.

use std::time::Duration;

use dokuei_database::{AuditEvent, AuditOutcome, CommitmentRow, CommitmentState, CommitmentTargetRow, DatabaseError};
use dokuei_dataset::normalized::{CommitmentResult, FailedReference};
use dokuei_domain::{Actor, Uid};
use dokuei_jobs::{Backoff, JobContext, Outcome};

use super::{
    Commitments, UndeliveredResult,
    check::{Checked, outcome_of, reasons_of},
    references, sending,
};

const ACTOR: Actor = Actor::System("storage_commitment");
/// How long a result waits for another node that holds the association, before it is looked at again.
const ELSEWHERE_SECONDS: i64 = 1;
/// Beside what the association allows for a response: the peer may be sending objects.
const TURN: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff { base_seconds: 5, cap_seconds: 600 };

impl Commitments {
    /// Works on one request until the peer has confirmed its result or nothing more can be done. Idempotent: an answered one is left alone.
    pub(super) async fn work_on(&self, id: uuid::Uuid, context: &JobContext) -> Result<Outcome, DatabaseError> {
        let Some(row) = self.database.read().await?.commitment_find(id).await? else {
            return Ok(Outcome::Fail { reason: format!("there is no commitment {id}") });
        };
        let (references, reasons) = match row.state {
            CommitmentState::Answered => return Ok(Outcome::Done),
            CommitmentState::Checking => match self.check(&row, context).await? {
                Checked::Whole(references, reasons) => {
                    self.record_check(&row, &reasons).await?;
                    (references, reasons)
                }
                Checked::NotYet(outcome) => return Ok(outcome),
            },
            CommitmentState::Answering | CommitmentState::Waiting | CommitmentState::Failed => {
                let work = self.database.read().await?.commitment_work(id).await?.unwrap_or_default();
                (references(&work.0).unwrap_or_default(), reasons_of(&work.1))
            }
        };
        let Ok(transaction) = Uid::parse(&row.transaction) else {
            return Ok(Outcome::Fail { reason: "the row of the request has no transaction UID".to_owned() });
        };
        if reasons.len() != references.len() || references.is_empty() {
            return Ok(Outcome::Fail { reason: "the row of the request does not hold its result".to_owned() });
        }
        let mut result =
            CommitmentResult { transaction, retrieve_from: None, committed: Vec::new(), failed: Vec::new() };
        for (reference, reason) in references.into_iter().zip(reasons) {
            match reason {
                0 => result.committed.push(reference),
                reason => result.failed.push(FailedReference { reference, reason }),
            }
        }
        self.answer(&row, &result, context).await
    }

    async fn record_check(&self, row: &CommitmentRow, reasons: &[u16]) -> Result<(), DatabaseError> {
        let now = self.ambient.now();
        let failed = reasons.iter().filter(|reason| **reason != 0).count();
        let mut tx = self.database.write().await?;
        tx.commitment_checked(row.id, &outcome_of(reasons), i64::try_from(failed).unwrap_or(i64::MAX), now).await?;
        let outcome = if failed == 0 { AuditOutcome::Success } else { AuditOutcome::Failed };
        let detail = format!("{} objects committed, {failed} not", reasons.len() - failed);
        tx.audit(
            AuditEvent::new(now, &ACTOR, "commitment.check", outcome)
                .facility(&row.facility)
                .subject(format!("{} of {}", row.transaction, row.calling))
                .detail(detail),
        );
        tx.commit().await
    }

    async fn answer(
        &self,
        row: &CommitmentRow,
        result: &CommitmentResult,
        context: &JobContext,
    ) -> Result<Outcome, DatabaseError> {
        if let Some(link) = self.link_of(row.id) {
            let limit = self.settings.timeouts.response.saturating_add(TURN);
            let reported = tokio::select! {
                reported = tokio::time::timeout(limit, link.report(result)) => reported,
                () = context.cancel.cancelled() => return Ok(stopping()),
            };
            match reported.unwrap_or(Err(UndeliveredResult::Failed("the peer did not answer in time".to_owned()))) {
                Ok(()) => return self.answered(row, result, "on the association of the request").await,
                Err(UndeliveredResult::Gone) => self.drop_link(row.id),
                Err(UndeliveredResult::Failed(error)) => {
                    self.drop_link(row.id);
                    return self.not_answered(row, &error, context).await;
                }
            }
        } else if row.link_node != self.node && row.link_until > self.ambient.now() {
            let reason = "another node holds the association on which it was asked for".to_owned();
            return Ok(Outcome::Retry { after_seconds: Some(ELSEWHERE_SECONDS), reason });
        }
        let target = self.database.read().await?.commitment_target_of(&row.facility, &row.calling).await?;
        let Some(target) = target else { return self.nowhere_to_go(row).await };
        let address = address_of(&target);
        let sent = tokio::select! {
            sent = sending::send_result(&self.settings, &target, &address, result) => sent,
            () = context.cancel.cancelled() => return Ok(stopping()),
        };
        match sent {
            Ok(()) => self.answered(row, result, &format!("at {address}")).await,
            Err(error) => {
                let error = format!("{} at {address}: {}", target.calling, super::with_causes(&error));
                self.not_answered(row, &error, context).await
            }
        }
    }

    async fn answered(
        &self,
        row: &CommitmentRow,
        result: &CommitmentResult,
        how: &str,
    ) -> Result<Outcome, DatabaseError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.commitment_answered(row.id, now).await?;
        let detail = format!("{how}: {} objects committed, {} not", result.committed.len(), result.failed.len());
        tx.audit(
            AuditEvent::new(now, &ACTOR, "commitment.answer", AuditOutcome::Success)
                .facility(&row.facility)
                .subject(format!("{} of {}", row.transaction, row.calling))
                .detail(detail),
        );
        tx.commit().await?;
        self.drop_link(row.id);
        tracing::info!(facility.id = %row.facility, peer.calling = %row.calling, transaction.uid = row.transaction, "storage commitment answered");
        Ok(Outcome::Done)
    }

    async fn not_answered(
        &self,
        row: &CommitmentRow,
        error: &str,
        context: &JobContext,
    ) -> Result<Outcome, DatabaseError> {
        let last = context.attempt >= context.max_attempts;
        let state = if last { CommitmentState::Failed } else { CommitmentState::Answering };
        self.record_failure(row, state, error).await?;
        if last {
            let reason = format!(
                "{} has not taken the result of its storage commitment {} after {} attempts: {error}",
                row.calling, row.transaction, context.attempt
            );
            return Ok(Outcome::Fail { reason });
        }
        tracing::warn!(facility.id = %row.facility, peer.calling = %row.calling, transaction.uid = row.transaction, error, "the result of a storage commitment was not delivered");
        let jitter = self.ambient.random::<1>()[0];
        let millis = BACKOFF.delay_millis(context.attempt, jitter);
        Ok(Outcome::Retry { after_seconds: Some((millis / 1000).max(1)), reason: error.to_owned() })
    }

    /// Nobody said where the peer listens. It gets its result when it asks again, or when somebody says so.
    async fn nowhere_to_go(&self, row: &CommitmentRow) -> Result<Outcome, DatabaseError> {
        let reason = format!(
            "the result of storage commitment {} waits: {} has closed its association and no address is known of it; \
             set one with `dokuei facility edit --id {} --commitment-target dicom:{}@HOST:PORT`",
            row.transaction, row.calling, row.facility, row.calling
        );
        self.record_failure(row, CommitmentState::Waiting, &reason).await?;
        Ok(Outcome::Fail { reason })
    }

    async fn record_failure(
        &self,
        row: &CommitmentRow,
        state: CommitmentState,
        error: &str,
    ) -> Result<(), DatabaseError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        if tx.commitment_not_answered(row.id, state, error).await? && state != CommitmentState::Answering {
            tx.audit(
                AuditEvent::new(now, &ACTOR, "commitment.answer", AuditOutcome::Failed)
                    .facility(&row.facility)
                    .subject(format!("{} of {}", row.transaction, row.calling))
                    .detail(error),
            );
        }
        tx.commit().await
    }
}

fn stopping() -> Outcome {
    Outcome::Retry { after_seconds: Some(0), reason: "the node stopped while the result was on its way".to_owned() }
}

fn address_of(target: &CommitmentTargetRow) -> String {
    if target.host.contains(':') {
        format!("[{}]:{}", target.host, target.port)
    } else {
        format!("{}:{}", target.host, target.port)
    }
}
