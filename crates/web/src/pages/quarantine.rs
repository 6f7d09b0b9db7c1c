//! An object that was kept aside: what it says beside what is stored, and whether it may join.

use askama::Template;
use axum::response::Response;
use dokuei_database::{QuarantineRow, QuarantineState, RefusedObjectsRow};
use dokuei_ingest::{IngestError, NotReleasable, QuarantineDetail, QuarantineReason};
use jiff::tz::TimeZone;
use serde::Deserialize;
use uuid::Uuid;

use super::{page, page_with};
use crate::{
    extract::{Fields, Id},
    format,
    problem::Problem,
    shell::Shell,
    text::Words,
    view::PersonNameView,
    visitor::{User, see_other},
};

/// A line of the office's list.
pub(crate) struct QuarantineLine {
    pub(crate) id: String,
    pub(crate) received: String,
    pub(crate) facility: String,
    pub(crate) calling: String,
    pub(crate) sop_instance: String,
    pub(crate) reason: String,
}

impl QuarantineLine {
    pub(crate) fn new(row: &QuarantineRow, zone: &TimeZone, t: &Words) -> Self {
        Self {
            id: row.id.to_string(),
            received: format::minute(zone, row.received_at),
            facility: row.facility.to_string(),
            calling: row.calling_aet.clone(),
            sop_instance: row.sop_instance.clone(),
            reason: why(row, t),
        }
    }
}

/// What was refused and not kept.
pub(crate) struct RefusalLine {
    pub(crate) last: String,
    pub(crate) facility: String,
    pub(crate) calling: String,
    pub(crate) count: i64,
    pub(crate) detail: String,
}

impl RefusalLine {
    pub(crate) fn new(row: &RefusedObjectsRow, zone: &TimeZone) -> Self {
        Self {
            last: format::minute(zone, row.last_at),
            facility: row.facility.to_string(),
            calling: row.calling_aet.clone(),
            count: row.object_count,
            detail: row.last_detail.clone(),
        }
    }
}

/// The reason in the visitor's language; the detail of what could not be read as well, which is for the facility's vendor.
fn why(row: &QuarantineRow, t: &Words) -> String {
    let reasons = [
        (QuarantineReason::SameUidOtherContent, t.quarantine_same_uid),
        (QuarantineReason::StudyOfAnotherPatient, t.quarantine_other_patient),
        (QuarantineReason::SeriesOfAnotherStudy, t.quarantine_other_study),
        (QuarantineReason::StudyWithdrawn, t.quarantine_withdrawn),
        (QuarantineReason::PatientFactsDiffer, t.quarantine_facts_differ),
        (QuarantineReason::MissingUid, t.quarantine_missing_uid),
        (QuarantineReason::IllegalUid, t.quarantine_illegal_uid),
        (QuarantineReason::IllegalValue, t.quarantine_illegal_value),
        (QuarantineReason::Unreadable, t.quarantine_unreadable),
        (QuarantineReason::DisagreesWithCommand, t.quarantine_disagrees),
    ];
    match reasons.into_iter().find(|(reason, _)| reason.as_str() == row.reason) {
        Some((reason, text)) if row.detail == reason.sentence() => text.to_owned(),
        Some((_, text)) => format!("{text} ({})", row.detail),
        None => row.detail.clone(),
    }
}

/// Why it cannot join, in the visitor's language.
fn not_releasable(reason: &NotReleasable, t: &Words) -> String {
    match reason {
        NotReleasable::Conflict(QuarantineReason::SameUidOtherContent) => t.release_never_same_uid.to_owned(),
        NotReleasable::Conflict(_) => t.release_never_mixes.to_owned(),
        NotReleasable::OwnReport => t.release_own_report.to_owned(),
        NotReleasable::Unreadable(detail) => format!("{} ({detail})", t.release_unreadable),
    }
}

#[derive(Template)]
#[template(path = "quarantined.html")]
pub(crate) struct Quarantined {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) row: QuarantineLine,
    pub(crate) size: String,
    /// The object beside what is stored.
    pub(crate) compared: Vec<Compared>,
    pub(crate) has_stored: bool,
    pub(crate) cannot_release: Option<String>,
    pub(crate) decided: Option<String>,
    pub(crate) typed_reason: String,
    pub(crate) problem: Option<String>,
}

/// One fact of both versions.
pub(crate) struct Compared {
    pub(crate) label: &'static str,
    pub(crate) object: String,
    pub(crate) stored: String,
    pub(crate) differs: bool,
}

impl Quarantined {
    fn new(user: &User, detail: &QuarantineDetail) -> Self {
        let (t, zone) = (user.t(), user.zone());
        let row = &detail.row;
        let decided = (row.state != QuarantineState::Held).then(|| {
            let what = if row.state == QuarantineState::Released { t.released } else { t.rejected };
            let (by, at) = (row.decided_by.clone().unwrap_or_default(), format::optional_minute(zone, row.decided_at));
            format!("{what}: {at} {by} – {}", row.decision_reason.clone().unwrap_or_default())
        });
        Self {
            shell: Shell::new(&user.visitor, "quarantine"),
            t,
            row: QuarantineLine::new(row, zone, t),
            size: format::size(row.size_bytes),
            compared: compare(detail, t),
            has_stored: detail.study.is_some(),
            cannot_release: detail.not_releasable.as_ref().map(|reason| not_releasable(reason, t)),
            decided,
            typed_reason: String::new(),
            problem: None,
        }
    }
}

fn compare(detail: &QuarantineDetail, t: &Words) -> Vec<Compared> {
    let Some(object) = &detail.object else { return Vec::new() };
    let study = detail.study.as_ref();
    let row = |label, object: String, stored: Option<String>| {
        let differs = stored.as_ref().is_some_and(|stored| *stored != object);
        Compared { label, object, stored: stored.unwrap_or_default(), differs }
    };
    let patient = study.map(|study| &study.patient);
    let names = |name| PersonNameView::new(name, t).joined();
    let hash = |hash: &[u8; 32]| hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut rows = vec![
        row(t.patient_id, object.patient.id.clone(), patient.map(|patient| patient.id.clone())),
        row(t.name, names(&object.patient.name), patient.map(|patient| names(&patient.name))),
        row(
            t.birth_date,
            format::date(&object.patient.birth_date),
            patient.map(|patient| format::date(&patient.birth_date)),
        ),
        row(t.sex, format::sex(&object.patient.sex, t), patient.map(|patient| format::sex(&patient.sex, t))),
        row(t.study_date, format::date(&object.study_date), study.map(|study| format::date(&study.study_date))),
        row(t.modality, object.modality.clone(), study.map(|study| study.modalities.replace(',', " "))),
        row(t.description, object.study_description.clone(), study.map(|study| study.description.clone())),
        row(t.accession_number, object.accession_number.clone(), study.map(|study| study.accession_number.clone())),
        row("Study Instance UID", object.study.to_string(), study.map(|study| study.uid.to_string())),
    ];
    if let Some(stored) = &detail.stored {
        rows.push(row(t.content_hash, hash(&detail.row.dataset_sha256), Some(hash(&stored.dataset_sha256))));
    }
    rows
}

pub(crate) async fn show(user: User, Id(object): Id<Uuid>) -> Result<Response, Problem> {
    let detail = user.state().ingest.quarantine_detail(user.actor(), object).await?;
    page(&Quarantined::new(&user, &detail))
}

#[derive(Deserialize)]
pub(crate) struct TypedReason {
    #[serde(default)]
    reason: String,
}

pub(crate) async fn release(
    user: User,
    Id(object): Id<Uuid>,
    Fields(typed): Fields<TypedReason>,
) -> Result<Response, Problem> {
    let result = user.state().ingest.quarantine_release(user.actor(), object, &typed.reason).await;
    answer(user, object, typed, result).await
}

pub(crate) async fn reject(
    user: User,
    Id(object): Id<Uuid>,
    Fields(typed): Fields<TypedReason>,
) -> Result<Response, Problem> {
    let result = user.state().ingest.quarantine_reject(user.actor(), object, &typed.reason).await;
    answer(user, object, typed, result).await
}

/// Back to the list; when it was refused, what was typed is still there.
async fn answer(
    user: User,
    object: Uuid,
    typed: TypedReason,
    result: Result<(), IngestError>,
) -> Result<Response, Problem> {
    let Err(error) = result else { return Ok(see_other("/office#quarantine")) };
    if matches!(error, IngestError::Denied | IngestError::NotInQuarantine) {
        return Err(error.into());
    }
    let detail = user.state().ingest.quarantine_detail(user.actor(), object).await?;
    let refusal = user.visitor.refusal(&Problem::Ingest(error));
    let shown = Quarantined::new(&user, &detail);
    page_with(refusal.status, &Quarantined { problem: Some(refusal.message), typed_reason: typed.reason, ..shown })
}
