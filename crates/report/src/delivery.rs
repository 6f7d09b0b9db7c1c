//! The return: each recipient gets the structured report and the printed page by C-STORE, and the ledger says of every attempt what became of it.
//!
//! Each row of the ledger has a job of its own, so that a recipient that is down delays nobody else. An attempt is written down before the first byte leaves
//! and gets its end afterwards; no transaction is open while the network is. What stops in between is closed as interrupted, by itself or by the next attempt, and sent
//! again: the recipient then has the same objects under the same UIDs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dokuei_access::{Action, Resource, can};
use dokuei_database::{
    AttemptOutcome, AttemptRow, AttemptStart, AuditEvent, AuditOutcome, DatabaseError, DeliveryRow, DeliveryState,
    NewAttempt, NewJob, ReportFileKind, delivery_job_key,
};
use dokuei_dataset::part10;
use dokuei_dimse::{ClientTls, RequestorTimeouts, Target, send_objects};
use dokuei_domain::{Actor, DeliveryId, JobId, Timestamp, event::Event};
use dokuei_jobs::{Handler, JobContext, JobRow, Outcome, Periodic};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ReportError, Reports, freeze,
    sending::{ReportObject, Verdict, bounded, judge, may_have_arrived},
};

/// The queue of deliveries.
pub(crate) const QUEUE: &str = "deliver_report";
/// The ledger counts attempts and gives up; the job only has to come back, also when it was put off because the recipient was busy.
const JOB_ATTEMPTS: u32 = 1_000_000;
const ACTOR: Actor = Actor::System("deliver_report");
const INTERRUPTED: &str = "the node stopped during this attempt; whether the objects arrived is unknown";
/// How long a delivery waits when its recipient has its share of connections, or all shares are taken.
const BUSY_SECONDS: i64 = 5;

#[derive(Serialize, Deserialize)]
struct Payload {
    delivery: DeliveryId,
}

/// The job that works on one row of the ledger.
pub(crate) fn delivery_job(id: JobId, delivery: DeliveryId, run_at: Timestamp, now: Timestamp) -> NewJob {
    NewJob {
        id,
        queue: QUEUE,
        // One UUID, which cannot fail to become JSON.
        payload: serde_json::to_string(&Payload { delivery }).unwrap_or_default(),
        dedup_key: Some(delivery_job_key(delivery)),
        run_at,
        max_attempts: JOB_ATTEMPTS,
        now,
    }
}

/// Works on one row of the ledger until it is accepted or given up. Idempotent: a finished row is left alone.
pub(crate) struct Deliver(pub(crate) Arc<Reports>);

#[async_trait]
impl Handler for Deliver {
    fn queue(&self) -> &'static str {
        QUEUE
    }

    async fn run(&self, job: &JobRow, context: &JobContext) -> Outcome {
        let Ok(Payload { delivery }) = serde_json::from_str(&job.payload) else {
            return Outcome::Fail { reason: "the job does not say what to deliver".to_owned() };
        };
        self.0.deliver(delivery, job.attempt, context).await.unwrap_or_else(|error| Outcome::retry(error.chain()))
    }
}

/// A version was signed: its deliveries have their jobs from the transaction of the signature; this makes sure of it. Idempotent.
pub(crate) struct ReportSigned(pub(crate) Arc<Reports>);

#[async_trait]
impl Handler for ReportSigned {
    fn queue(&self) -> &'static str {
        "report_signed"
    }

    async fn run(&self, job: &JobRow, _: &JobContext) -> Outcome {
        match serde_json::from_str(&job.payload) {
            Ok(Event::ReportSigned { .. }) => {}
            Ok(_) | Err(_) => {
                return Outcome::Fail { reason: "the job does not say which report was signed".to_owned() };
            }
        }
        match self.0.enqueue_missing_deliveries().await {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::retry(error.chain()),
        }
    }
}

/// Gives a job to every unfinished delivery that has none.
pub(crate) struct Reconcile(pub(crate) Arc<Reports>);

#[async_trait]
impl Periodic for Reconcile {
    fn name(&self) -> &'static str {
        "deliveries_without_job"
    }

    fn every_seconds(&self) -> i64 {
        self.0.settings.reconcile_seconds
    }

    async fn run(&self) -> Result<(), String> {
        match self.0.enqueue_missing_deliveries().await {
            Ok(0) => Ok(()),
            Ok(found) => {
                tracing::warn!(deliveries = found, "deliveries had no job and have one now");
                Ok(())
            }
            Err(error) => Err(error.chain()),
        }
    }
}

/// One recipient's share of connections, given back when dropped.
pub(crate) struct Share<'a> {
    reports: &'a Reports,
    target: Uuid,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut under_way = self.reports.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match under_way.get_mut(&self.target) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                under_way.remove(&self.target);
            }
        }
    }
}

impl Reports {
    /// `None`: the recipient has as many connections as it may, or all recipients together have.
    pub(crate) fn take_share(&self, target: Uuid) -> Option<Share<'_>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if under_way.values().sum::<usize>() >= self.settings.deliveries_at_once.max(1) {
            return None;
        }
        let count = under_way.entry(target).or_default();
        if *count >= self.settings.deliveries_per_target.max(1) {
            return None;
        }
        *count += 1;
        Some(Share { reports: self, target })
    }

    async fn deliver(&self, id: DeliveryId, job_attempt: i64, context: &JobContext) -> Result<Outcome, DatabaseError> {
        let Some(delivery) = self.database.read().await?.delivery_find(id, None).await? else {
            return Ok(Outcome::Fail { reason: format!("there is no delivery {id}") });
        };
        // A job gives up with its delivery. One that begins anew was put back by a person, who wants it tried again.
        let revived = delivery.state == DeliveryState::Failed && job_attempt == 1;
        if delivery.state == DeliveryState::Accepted || (delivery.state == DeliveryState::Failed && !revived) {
            return Ok(Outcome::Done);
        }
        if let Some(reason) = nothing_to_send(&delivery) {
            return self.give_up(&delivery, reason).await;
        }
        if revived {
            let mut tx = self.database.write().await?;
            tx.delivery_request_retry(id, &ACTOR.label(), self.ambient.now()).await?;
            tx.commit().await?;
        }
        let Some(_share) = self.take_share(delivery.target.id) else {
            let reason = "the recipient or this node is busy with other reports".to_owned();
            return Ok(Outcome::Retry { after_seconds: Some(BUSY_SECONDS), reason });
        };
        let attempt = self.ambient.new_uuid();
        let mut tx = self.database.write().await?;
        let new = NewAttempt { id: attempt, delivery: id, now: self.ambient.now(), interrupted: INTERRUPTED };
        let begun = tx.delivery_begin_attempt(&new).await?;
        tx.commit().await?;
        let Some(begun) = begun else { return Ok(Outcome::Done) };

        let earlier = self.database.read().await?.delivery_attempts(id).await?;
        let verdict = tokio::select! {
            // What has come to its end counts, also when the stop comes at the same moment.
            biased;
            verdict = self.attempt(&delivery, &earlier, context) => verdict,
            // Dropping the work closes the connection. A process that dies here leaves the attempt open, and the next one says so.
            () = context.cancel.cancelled() => {
                Verdict { outcome: AttemptOutcome::Interrupted, detail: INTERRUPTED.to_owned(), something_arrived: false }
            }
        };
        self.record(&delivery, (attempt, begun.number, begun.started_by), verdict).await
    }

    /// Sends both objects over one association.
    async fn attempt(&self, delivery: &DeliveryRow, earlier: &[AttemptRow], context: &JobContext) -> Verdict {
        let objects = match self.objects(delivery).await {
            Ok(objects) => objects,
            Err(error) => {
                let detail = bounded(&format!("nothing was sent: {}", error.chain()));
                return Verdict { outcome: AttemptOutcome::Failed, detail, something_arrived: false };
            }
        };
        let host = &delivery.target.host;
        let tls = match self.tls_to(delivery) {
            Ok(tls) => tls,
            Err(reason) => {
                let detail = bounded(&format!("nothing was sent: {reason}"));
                return Verdict { outcome: AttemptOutcome::Failed, detail, something_arrived: false };
            }
        };
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let target = Target {
            address: format!("{open}{host}{close}:{}", delivery.target.port),
            calling: self.settings.calling_aet.clone(),
            called: delivery.target.called.clone(),
            timeouts: RequestorTimeouts {
                connect: self.settings.connect_timeout,
                association: self.settings.response_timeout,
                response: self.settings.response_timeout,
            },
            tls,
        };
        let report = send_objects(&target, &objects, &context.cancel, |_, _| {}).await;
        let sent = delivery.state == DeliveryState::Sent;
        judge(&objects, &report, |object| sent || may_have_arrived(earlier, object))
    }

    /// What the connection to the recipient needs; `None`: it is plain DICOM.
    fn tls_to(&self, delivery: &DeliveryRow) -> Result<Option<ClientTls>, String> {
        if !delivery.target.tls {
            return Ok(None);
        }
        let Some(tls) = &self.settings.tls else {
            return Err(
                "the recipient is reached over TLS, and this node has no certificate; set dicom.tls_certificate_file"
                    .to_owned(),
            );
        };
        tls.connect_to(&delivery.target.host).map(Some).map_err(|error| error.to_string())
    }

    /// Reads the frozen files back and makes sure that they are what was signed.
    async fn objects(&self, delivery: &DeliveryRow) -> Result<Vec<ReportObject>, ReportError> {
        let files = self.database.read().await?.report_files(delivery.version).await?;
        let mut objects = Vec::new();
        for kind in [ReportFileKind::StructuredReport, ReportFileKind::EncapsulatedPdf] {
            let file = files.iter().find(|file| file.kind == kind).ok_or(ReportError::Damaged { kind })?;
            let bytes = Bytes::from(self.read_file(file).await?);
            let (_, offset) = part10::parse_header(&bytes).map_err(|_| ReportError::Damaged { kind })?;
            let (sop_class, sop_instance) = file.object.clone().ok_or(ReportError::Damaged { kind })?;
            let transfer_syntax = [freeze::transfer_syntax()?];
            objects.push(ReportObject {
                kind,
                sop_class,
                sop_instance,
                transfer_syntax,
                data_set: bytes.slice(offset..),
            });
        }
        Ok(objects)
    }

    async fn record(
        &self,
        delivery: &DeliveryRow,
        (attempt, number, started_by): (Uuid, i64, AttemptStart),
        verdict: Verdict,
    ) -> Result<Outcome, DatabaseError> {
        let now = self.ambient.now();
        let Verdict { outcome, detail, something_arrived } = verdict;
        let mut tx = self.database.write().await?;
        if !tx.delivery_finish_attempt(attempt, outcome, &detail, now).await? {
            return Ok(Outcome::retry("the attempt was closed by another one"));
        }
        let audit = |outcome| {
            let manual = if started_by == AttemptStart::Manual { " (asked for by hand)" } else { "" };
            AuditEvent::new(now, &ACTOR, "report.deliver", outcome)
                .facility(&delivery.facility)
                .subject(delivery.version)
                .detail(format!("to {}, attempt {number}{manual}: {detail}", recipient(delivery)))
        };
        if outcome == AttemptOutcome::Accepted {
            tx.delivery_accept(delivery.id, now).await?;
            tx.audit(audit(AuditOutcome::Success));
            tx.commit().await?;
            tracing::info!(delivery.id = %delivery.id, facility = %delivery.facility, attempt = number, "report accepted by the recipient");
            return Ok(Outcome::Done);
        }
        tx.audit(audit(AuditOutcome::Failed));
        tracing::warn!(delivery.id = %delivery.id, facility = %delivery.facility, attempt = number, detail, "report not delivered");
        // Our own stop is no reason to give up, nor to wait.
        let interrupted = outcome == AttemptOutcome::Interrupted;
        if !interrupted && number >= i64::from(self.settings.delivery_max_attempts) {
            tx.delivery_fail(delivery.id, &detail).await?;
            tx.commit().await?;
            return Ok(Outcome::Fail { reason: format!("given up after {number} attempts: {detail}") });
        }
        let jitter = self.ambient.random::<1>()[0];
        let delay = if interrupted { 0 } else { self.settings.delivery_backoff.delay_millis(number, jitter) };
        let next = now.plus_millis(delay);
        let state = if something_arrived || delivery.state == DeliveryState::Sent {
            DeliveryState::Sent
        } else {
            DeliveryState::Queued
        };
        tx.delivery_again(delivery.id, state, next, &detail).await?;
        tx.commit().await?;
        Ok(Outcome::Retry { after_seconds: Some(next.seconds_since(now).max(1)), reason: detail })
    }

    async fn give_up(&self, delivery: &DeliveryRow, reason: &str) -> Result<Outcome, DatabaseError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.delivery_fail(delivery.id, reason).await?;
        tx.audit(
            AuditEvent::new(now, &ACTOR, "report.deliver", AuditOutcome::Refused)
                .facility(&delivery.facility)
                .subject(delivery.version)
                .detail(format!("to {}: {reason}", recipient(delivery))),
        );
        tx.commit().await?;
        Ok(Outcome::Fail { reason: reason.to_owned() })
    }

    /// Asks for an attempt at once, also of a delivery that was given up. It runs as a job, so that no two attempts ever overlap; asking again while it
    /// waits changes nothing.
    pub async fn retry_delivery(&self, actor: &Actor, id: DeliveryId) -> Result<(), ReportError> {
        let result = self.try_retry_delivery(actor, id).await;
        if let Err(error) = &result {
            self.audit_refusal(actor, "delivery.retry", id, error).await;
        }
        result
    }

    async fn try_retry_delivery(&self, actor: &Actor, id: DeliveryId) -> Result<(), ReportError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let delivery = tx.delivery_find(id, actor.facility()).await?.ok_or(ReportError::NotFound)?;
        can(actor, Action::RetryDelivery, Resource::Facility(&delivery.facility))?;
        if delivery.state == DeliveryState::Accepted {
            return Err(ReportError::AlreadyAccepted);
        }
        if !tx.delivery_request_retry(id, &actor.label(), now).await? {
            // Asked for already, or accepted this very moment.
            return Ok(());
        }
        if !tx.delivery_revive_job(QUEUE, id, now).await? {
            tx.job_enqueue(delivery_job(JobId(self.ambient.new_uuid()), id, now, now)).await?;
        }
        tx.audit(
            AuditEvent::new(now, actor, "delivery.retry", AuditOutcome::Success)
                .facility(&delivery.facility)
                .subject(id)
                .detail(format!("report version {}, to {}", delivery.version, recipient(&delivery))),
        );
        tx.commit().await?;
        Ok(())
    }

    /// Gives the number of jobs that were missing.
    async fn enqueue_missing_deliveries(&self) -> Result<usize, DatabaseError> {
        const AT_ONCE: u32 = 500;
        let missing = self.database.read().await?.deliveries_without_job(QUEUE, AT_ONCE).await?;
        if missing.is_empty() {
            return Ok(0);
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for (delivery, next_attempt_at) in &missing {
            let run_at = next_attempt_at.map_or(now, |next| next.max(now));
            tx.job_enqueue(delivery_job(JobId(self.ambient.new_uuid()), *delivery, run_at, now)).await?;
        }
        tx.commit().await?;
        Ok(missing.len())
    }
}

/// Why a row of the ledger must not be sent, if so.
fn nothing_to_send(delivery: &DeliveryRow) -> Option<&'static str> {
    if delivery.withdrawn_at.is_some() {
        return Some("the facility withdrew the study; nothing was sent");
    }
    delivery.target.disabled_at.map(|_| "the return target was removed; nothing was sent")
}

fn recipient(delivery: &DeliveryRow) -> String {
    let target = &delivery.target;
    format!("{}@{}:{}", target.called, target.host, target.port)
}
