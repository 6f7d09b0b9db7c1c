//! A signed report: its text, the proof, its files, and how its return stands.

use askama::Template;
use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use dokuei_domain::{DeliveryId, ReportVersionId};
use dokuei_report::{
    AttemptOutcome, AttemptRow, Check, Delivery, DeliveryState, ReportDownload, ReportFileKind, ReportFileRow,
};

use serde::Deserialize;

use super::{page, sign_in::local};
use crate::{
    extract::{Asked, Id},
    format,
    problem::Problem,
    shell::{Shell, home},
    text::{Words, fill},
    view::{CaseView, Eyes, PatientView},
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Report {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) report: ReportView,
    pub(crate) files: Vec<FileView>,
    pub(crate) deliveries: Deliveries,
    pub(crate) back_href: &'static str,
}

pub(crate) struct ReportView {
    pub(crate) case: String,
    pub(crate) number: i64,
    pub(crate) succeeded_by: Option<String>,
    pub(crate) patient: PatientView,
    pub(crate) examination: String,
    pub(crate) facility: String,
    pub(crate) findings: String,
    pub(crate) impression: String,
    pub(crate) recommendation: String,
    pub(crate) author: String,
    pub(crate) signed_at: String,
    pub(crate) verified: bool,
    pub(crate) verification: Vec<CheckView>,
    pub(crate) certificate_serial: String,
}

pub(crate) struct CheckView {
    pub(crate) label: &'static str,
    pub(crate) ok: bool,
    /// What is wrong.
    pub(crate) detail: String,
}

impl CheckView {
    fn new(check: &Check, t: &Words) -> Self {
        let label = match check.name {
            "manifest" => t.check_manifest,
            "manifest_hash" => t.check_manifest_hash,
            "signature" => t.check_signature,
            "signer" => t.check_signer,
            "structured_report" => t.check_structured_report,
            "encapsulated_pdf" => t.check_encapsulated_pdf,
            "stored_structured_report" => t.check_stored_structured_report,
            "stored_encapsulated_pdf" => t.check_stored_encapsulated_pdf,
            "stored_manifest" => t.check_stored_manifest,
            "stored_signature" => t.check_stored_signature,
            "evidence" => t.check_evidence,
            "index" => t.check_index,
            other => other,
        };
        Self { label, ok: check.ok, detail: if check.ok { String::new() } else { check.detail.clone() } }
    }
}

pub(crate) struct FileView {
    pub(crate) href: String,
    pub(crate) label: &'static str,
    pub(crate) size: String,
    pub(crate) inline: bool,
}

pub(crate) struct Deliveries {
    pub(crate) report: String,
    pub(crate) rows: Vec<DeliveryView>,
}

pub(crate) struct DeliveryView {
    pub(crate) id: String,
    pub(crate) report: String,
    pub(crate) facility: String,
    pub(crate) state: &'static str,
    pub(crate) state_label: &'static str,
    pub(crate) target: String,
    pub(crate) when: String,
    pub(crate) error: String,
    pub(crate) attempt_count: i64,
    pub(crate) attempts: Vec<AttemptView>,
    pub(crate) can_retry: bool,
}

pub(crate) struct AttemptView {
    pub(crate) started: String,
    pub(crate) outcome: &'static str,
    pub(crate) detail: String,
}

/// The part of the page that renews itself.
#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPart {
    t: &'static Words,
    deliveries: Deliveries,
}

impl Deliveries {
    pub(crate) fn new(report: ReportVersionId, rows: &[Delivery], eyes: Eyes<'_>) -> Self {
        Self { report: report.to_string(), rows: rows.iter().map(|row| DeliveryView::new(row, eyes)).collect() }
    }
}

impl DeliveryView {
    pub(crate) fn new(delivery: &Delivery, eyes: Eyes<'_>) -> Self {
        let Eyes { t, zone, actor, .. } = eyes;
        let row = &delivery.row;
        let resource = dokuei_access::Resource::Facility(&row.facility);
        let may_retry = dokuei_access::can(actor, dokuei_access::Action::RetryDelivery, resource).is_ok();
        let accepted = row.state == DeliveryState::Accepted;
        let when = match (row.accepted_at, row.next_attempt_at) {
            (Some(at), _) => fill(t.accepted_at, &[("time", &format::minute(zone, at))]),
            (None, Some(at)) if !accepted => fill(t.next_attempt, &[("time", &format::minute(zone, at))]),
            _ => String::new(),
        };
        Self {
            id: row.id.to_string(),
            report: row.version.to_string(),
            facility: row.facility.to_string(),
            state: row.state.as_str(),
            state_label: delivery_label(row.state, t),
            target: format!("{} ({}:{})", row.target.called, row.target.host, row.target.port),
            when,
            error: row.last_error.clone().filter(|_| !accepted).unwrap_or_default(),
            attempt_count: row.attempt_count,
            attempts: delivery.attempts.iter().map(|attempt| AttemptView::new(attempt, eyes)).collect(),
            can_retry: may_retry && !accepted && row.retry_requested_by.is_none(),
        }
    }
}

impl AttemptView {
    fn new(row: &AttemptRow, eyes: Eyes<'_>) -> Self {
        Self {
            started: format::second(eyes.zone, row.started_at),
            outcome: outcome_label(row.outcome, eyes.t),
            detail: row.detail.clone().unwrap_or_default(),
        }
    }
}

pub(crate) fn delivery_label(state: DeliveryState, t: &Words) -> &'static str {
    match state {
        DeliveryState::Queued => t.delivery_queued,
        DeliveryState::Sent => t.delivery_sent,
        DeliveryState::Accepted => t.delivery_accepted,
        DeliveryState::Failed => t.delivery_failed,
    }
}

fn outcome_label(outcome: Option<AttemptOutcome>, t: &Words) -> &'static str {
    match outcome {
        None => t.attempt_running,
        Some(AttemptOutcome::Accepted) => t.attempt_accepted,
        Some(AttemptOutcome::Refused) => t.attempt_refused,
        Some(AttemptOutcome::Unreachable) => t.attempt_unreachable,
        Some(AttemptOutcome::Aborted) => t.attempt_aborted,
        Some(AttemptOutcome::TimedOut) => t.attempt_timed_out,
        Some(AttemptOutcome::Interrupted) => t.attempt_interrupted,
        Some(AttemptOutcome::Failed) => t.attempt_failed,
    }
}

/// The PDF as browsers show it, then the frozen files themselves.
fn files(version: ReportVersionId, rows: &[ReportFileRow], t: &Words) -> Vec<FileView> {
    let mut files = Vec::new();
    for row in rows {
        let size = format::size(row.size_bytes);
        let label = match row.kind {
            ReportFileKind::StructuredReport => t.file_structured_report,
            ReportFileKind::EncapsulatedPdf => {
                let href = format!("/reports/{version}/files/pdf");
                files.insert(0, FileView { href, label: t.file_pdf, size: size.clone(), inline: true });
                t.file_encapsulated_pdf
            }
            ReportFileKind::Manifest => t.file_manifest,
            ReportFileKind::Signature => t.file_signature,
        };
        files.push(FileView {
            href: format!("/reports/{version}/files/{}", row.kind.as_str()),
            label,
            size,
            inline: false,
        });
    }
    files
}

pub(crate) async fn show(user: User, Id(version): Id<ReportVersionId>) -> Result<Response, Problem> {
    let state = user.state();
    let detail = state.reports.version(user.actor(), version).await?;
    let row = &detail.version;
    let case = state.worklist.case(user.actor(), row.case).await?;
    let latest =
        case.entry.report.as_ref().filter(|latest| latest.number > row.number).map(|latest| latest.latest.to_string());
    let verification = state.reports.verify(version).await?;
    let eyes = Eyes::of(&user);
    let t = user.t();
    let shown = CaseView::new(&case.entry, eyes);
    let report = ReportView {
        case: row.case.to_string(),
        number: row.number,
        succeeded_by: latest,
        examination: [shown.modalities.as_str(), &shown.body_part, &shown.study_date, &shown.description].join(" "),
        facility: shown.facility,
        patient: shown.patient,
        findings: row.findings.clone(),
        impression: row.impression.clone(),
        recommendation: row.recommendation.clone(),
        author: row.author_name.clone(),
        signed_at: format::minute(eyes.zone, row.signed_at),
        verified: verification.ok,
        verification: verification.checks.iter().map(|check| CheckView::new(check, t)).collect(),
        certificate_serial: row.certificate_serial.clone(),
    };
    page(&Report {
        shell: Shell::new(&user.visitor, "report"),
        t,
        report,
        files: files(version, &detail.files, t),
        deliveries: Deliveries::new(version, &detail.deliveries, eyes),
        back_href: home(user.session.role),
    })
}

/// The deliveries alone, for a page that waits for them.
pub(crate) async fn deliveries(user: User, Id(version): Id<ReportVersionId>) -> Result<Response, Problem> {
    let detail = user.state().reports.version(user.actor(), version).await?;
    let deliveries = Deliveries::new(version, &detail.deliveries, Eyes::of(&user));
    page(&DeliveriesPart { t: user.t(), deliveries })
}

/// A frozen file, byte for byte, or `pdf`: the printed page out of its DICOM envelope.
pub(crate) async fn file(
    user: User,
    path: Result<Path<(ReportVersionId, String)>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Problem> {
    let Path((version, kind)) = path.map_err(|_| Problem::NotFound)?;
    let reports = &user.state().reports;
    if kind == "pdf" {
        return Ok(download(reports.pdf(user.actor(), version).await?, "inline"));
    }
    let kind = ReportFileKind::parse(&kind).ok_or(Problem::NotFound)?;
    Ok(download(reports.file(user.actor(), version, kind).await?, "attachment"))
}

fn download(file: ReportDownload, disposition: &str) -> Response {
    let disposition = format!("{disposition}; filename=\"{}\"", file.file_name);
    let headers = [(header::CONTENT_TYPE, file.media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, file.bytes).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Back {
    back: Option<String>,
}

/// Asks for another attempt, and goes back to where the button was.
pub(crate) async fn retry(
    user: User,
    Id(delivery): Id<DeliveryId>,
    Asked(query): Asked<Back>,
) -> Result<Response, Problem> {
    user.state().reports.retry_delivery(user.actor(), delivery).await?;
    Ok(see_other(query.back.as_deref().map_or("/office", local)))
}
