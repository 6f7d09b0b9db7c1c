//! The office: whether what was stored is still what was received, and what to do about what is not.

use askama::Template;
use axum::response::Response;
use dokuei_access::{Action, Resource};
use dokuei_archive::custody::{Outcome, RepairError, StorageStatus};
use dokuei_database::{BlobDamageRow, BlobPlace, DamageKind, DamageState};
use dokuei_ingest::SpaceReport;
use jiff::tz::TimeZone;
use serde::Deserialize;
use uuid::Uuid;

use super::{office::Tile, page};
use crate::{
    extract::{Asked, Fields, Id},
    format,
    problem::Problem,
    shell::Shell,
    state::WebState,
    text::{Words, fill},
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "storage.html")]
pub(crate) struct Storage {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) notice: Option<&'static str>,
    pub(crate) space: Vec<SpaceView>,
    pub(crate) walks: Vec<WalkView>,
    pub(crate) open: Vec<DamageView>,
    pub(crate) closed: Vec<DamageView>,
}

pub(crate) struct SpaceView {
    pub(crate) place: &'static str,
    pub(crate) free: String,
    pub(crate) mark: String,
    pub(crate) low: bool,
    pub(crate) state: &'static str,
}

pub(crate) struct WalkView {
    pub(crate) name: &'static str,
    pub(crate) state: String,
    /// What keeps it from going on.
    pub(crate) problem: String,
}

pub(crate) struct DamageView {
    pub(crate) id: String,
    pub(crate) found: String,
    pub(crate) facility: String,
    pub(crate) subject: String,
    pub(crate) place: &'static str,
    pub(crate) what: &'static str,
    pub(crate) detail: String,
    pub(crate) blob_key: String,
    pub(crate) can_repair: bool,
    /// Of one that was dealt with.
    pub(crate) repaired: bool,
    pub(crate) outcome: &'static str,
    pub(crate) decided: String,
    pub(crate) reason: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Said {
    #[serde(default)]
    said: String,
}

pub(crate) async fn show(user: User, Asked(query): Asked<Said>) -> Result<Response, Problem> {
    let state = user.state();
    state.access.require(user.actor(), Action::ViewOffice, Resource::Node, "storage").await?;
    let status = state.custody.status().await.map_err(|error| Problem::Task(error.chain()))?;
    let (open, closed) = state.custody.damages(user.actor()).await.map_err(problem)?;
    let (t, zone) = (user.t(), user.zone());
    let has_copy = status.copy.is_some();
    let view = |row: &BlobDamageRow| DamageView::new(row, has_copy, zone, t);
    page(&Storage {
        shell: Shell::new(&user.visitor, "storage"),
        t,
        notice: notice(&query.said, t),
        space: state.ingest.space().report().await.iter().map(|place| SpaceView::new(place, t)).collect(),
        walks: walks(&status, zone, t),
        open: open.iter().map(view).collect(),
        closed: closed.iter().map(view).collect(),
    })
}

/// For the office's first page: how much is wrong.
pub(crate) async fn tile(state: &WebState, t: &'static Words) -> Result<Tile, Problem> {
    let low = state.ingest.space().report().await.iter().filter(|place| place.low).count();
    let troubles = state.custody.troubles().await.map_err(|error| Problem::Task(error.chain()))?;
    let count = low + troubles;
    Ok(Tile { count, label: t.storage_tile, href: "/office/storage", bad: count > 0 })
}

/// Reads the object again.
pub(crate) async fn verify(user: User, Id(damage): Id<Uuid>) -> Result<Response, Problem> {
    let outcome = user.state().custody.verify_again(user.actor(), damage).await;
    answer(outcome)
}

/// Puts the other place's object where the damaged one is.
pub(crate) async fn repair(user: User, Id(damage): Id<Uuid>) -> Result<Response, Problem> {
    let outcome = user.state().custody.repair(user.actor(), damage).await;
    answer(outcome)
}

#[derive(Deserialize)]
pub(crate) struct Acceptance {
    #[serde(default)]
    reason: String,
}

/// Nothing can be done: records why, and what was.
pub(crate) async fn accept(
    user: User,
    Id(damage): Id<Uuid>,
    Fields(given): Fields<Acceptance>,
) -> Result<Response, Problem> {
    match user.state().custody.accept(user.actor(), damage, &given.reason).await {
        Ok(()) => Ok(back("accepted")),
        Err(error) => answer(Err(error)),
    }
}

fn answer(outcome: Result<Outcome, RepairError>) -> Result<Response, Problem> {
    match outcome {
        Ok(Outcome::Sound) => Ok(back("sound")),
        Ok(Outcome::Repaired) => Ok(back("repaired")),
        Ok(Outcome::StillDamaged(_)) => Ok(back("still")),
        Err(RepairError::NotOpen) => Ok(back("gone")),
        Err(RepairError::OtherCopyDamaged(_)) => Ok(back("no_better")),
        Err(RepairError::Custody(error)) => {
            tracing::warn!(error = error.chain(), "a stored object was not looked at");
            Ok(back("no_copy"))
        }
        Err(error @ (RepairError::Replace(_) | RepairError::DamagedAgain(_))) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a stored object was not repaired");
            Ok(back("failed"))
        }
        Err(error) => Err(problem(error)),
    }
}

fn problem(error: RepairError) -> Problem {
    match error {
        RepairError::Denied => Problem::NotFound,
        RepairError::NoReason => Problem::NotConfirmed,
        other => Problem::Task(other.to_string()),
    }
}

fn back(said: &str) -> Response {
    see_other(&format!("/office/storage?said={said}"))
}

fn notice(said: &str, t: &Words) -> Option<&'static str> {
    match said {
        "sound" => Some(t.storage_said_sound),
        "repaired" => Some(t.storage_said_repaired),
        "still" => Some(t.storage_said_still),
        "accepted" => Some(t.storage_said_accepted),
        "gone" => Some(t.storage_said_gone),
        "no_better" => Some(t.storage_said_no_better),
        "no_copy" => Some(t.storage_said_no_copy),
        "failed" => Some(t.storage_said_failed),
        _ => None,
    }
}

impl SpaceView {
    fn new(report: &SpaceReport, t: &Words) -> Self {
        let unknown = report.free_bytes.is_none();
        Self {
            place: if report.place == "database" { t.storage_place_database } else { t.storage_place_store },
            free: report.free_bytes.map_or_else(|| t.storage_unknown.to_owned(), size),
            mark: size(report.low_water_bytes),
            low: report.low,
            state: if report.low {
                t.storage_low
            } else if unknown {
                t.storage_unknown
            } else {
                t.storage_ample
            },
        }
    }
}

fn walks(status: &StorageStatus, zone: &TimeZone, t: &'static Words) -> Vec<WalkView> {
    let error = |error: &Option<String>| error.clone().unwrap_or_default();
    let scrub = &status.scrub;
    let scrubbing = match (scrub.under_way, scrub.began_at, scrub.finished_at) {
        (true, Some(began), _) => fill(
            t.storage_scrub_running,
            &[
                ("time", &format::minute(zone, began)),
                ("n", &scrub.done.blobs),
                ("size", &size(scrub.done.bytes)),
                ("copies", &scrub.done.copies),
            ],
        ),
        (_, _, Some(finished)) => fill(
            t.storage_scrub_done,
            &[("time", &format::minute(zone, finished)), ("n", &scrub.last.blobs), ("size", &size(scrub.last.bytes))],
        ),
        _ => t.storage_never.to_owned(),
    };
    let slow = if scrub.too_slow { t.storage_scrub_slow.to_owned() } else { error(&scrub.last_error) };
    let reconcile = &status.reconcile;
    let compared = reconcile.complete_until.map_or_else(
        || t.storage_never.to_owned(),
        |until| {
            let full =
                reconcile.full_finished_at.map_or_else(|| t.storage_never.to_owned(), |at| format::minute(zone, at));
            fill(t.storage_reconcile_done, &[("time", &format::minute(zone, until)), ("full", &full)])
        },
    );
    let differs = match (status.last_unindexed_reports(), &reconcile.last_error) {
        (_, Some(error)) => error.clone(),
        (0, None) => String::new(),
        (reports, None) => fill(t.storage_reports_unindexed, &[("n", &reports)]),
    };
    let copied = match &status.copy {
        None => WalkView { name: t.storage_copy, state: t.storage_no_copy.to_owned(), problem: String::new() },
        Some(copy) => WalkView {
            name: t.storage_copy,
            state: match copy.waiting_since {
                None => t.storage_copy_complete.to_owned(),
                Some(since) => fill(
                    t.storage_copy_waiting,
                    &[
                        ("n", &copy.waiting),
                        ("size", &size(copy.waiting_bytes.unsigned_abs())),
                        ("time", &format::minute(zone, since)),
                    ],
                ),
            },
            problem: error(&copy.last_error),
        },
    };
    vec![
        WalkView { name: t.storage_scrub, state: scrubbing, problem: slow },
        WalkView { name: t.storage_reconcile, state: compared, problem: differs },
        copied,
    ]
}

impl DamageView {
    fn new(row: &BlobDamageRow, has_copy: bool, zone: &TimeZone, t: &Words) -> Self {
        Self {
            id: row.id.to_string(),
            found: format::minute(zone, row.found_at),
            facility: row.facility.to_string(),
            subject: row.subject.clone(),
            place: match row.place {
                BlobPlace::Store => t.storage_place_store,
                BlobPlace::Copy => t.storage_place_copy,
            },
            what: match row.kind {
                DamageKind::Missing => t.storage_missing,
                DamageKind::Altered => t.storage_altered,
                DamageKind::HeadAltered => t.storage_head_altered,
                DamageKind::Unreadable => t.storage_unreadable,
                DamageKind::NotAdopted => t.storage_not_adopted,
            },
            detail: row.detail.clone(),
            blob_key: row.blob_key.clone(),
            can_repair: has_copy && row.kind != DamageKind::NotAdopted,
            repaired: row.state == DamageState::Repaired,
            outcome: if row.state == DamageState::Repaired { t.storage_repaired } else { t.storage_accepted },
            decided: format::optional_minute(zone, row.decided_at),
            reason: format!(
                "{}: {}",
                row.decided_by.as_deref().unwrap_or_default(),
                row.decision_reason.as_deref().unwrap_or_default()
            ),
        }
    }
}

/// Disks are counted in GiB.
fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes >= GIB {
        return format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB);
    }
    format::size(i64::try_from(bytes).unwrap_or(i64::MAX))
}
