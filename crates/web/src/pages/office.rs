//! The office: every case and everything that waits for a person.

use askama::Template;
use axum::response::Response;
use dokuei_access::{Action, Resource};
use dokuei_domain::JobId;
use dokuei_report::{DeliverySelection, DeliveryState};
use dokuei_worklist::{CaseState, WorklistEntry, WorklistFilter, WorklistView};
use jiff::tz::TimeZone;

use super::{
    holds::HoldLine,
    page,
    quarantine::{QuarantineLine, RefusalLine},
    report::DeliveryView,
};
use crate::{
    extract::Id,
    format,
    problem::Problem,
    shell::Shell,
    state::DeadJob,
    text::Words,
    view::{CaseView, Eyes},
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "office.html")]
pub(crate) struct Office {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) deliveries: Vec<DeliveryView>,
    pub(crate) cases: Vec<CaseView>,
    pub(crate) holds: Vec<HoldLine>,
    pub(crate) quarantine: Vec<QuarantineLine>,
    pub(crate) refusals: Vec<RefusalLine>,
    pub(crate) dead_jobs: Vec<DeadJobView>,
}

pub(crate) struct Tile {
    pub(crate) count: usize,
    pub(crate) label: &'static str,
    pub(crate) href: &'static str,
    pub(crate) bad: bool,
}

pub(crate) struct DeadJobView {
    pub(crate) id: String,
    pub(crate) ended: String,
    pub(crate) queue: String,
    pub(crate) error: String,
}

impl DeadJobView {
    pub(crate) fn new(job: &DeadJob, zone: &TimeZone) -> Self {
        Self {
            id: job.id.to_string(),
            ended: format::optional_minute(zone, job.ended_at),
            queue: job.queue.clone(),
            error: job.error.clone(),
        }
    }
}

/// What waits besides the cases.
pub(crate) struct Waiting {
    pub(crate) failed_deliveries: usize,
    pub(crate) holds: usize,
    pub(crate) quarantined: usize,
    pub(crate) dead_jobs: usize,
}

pub(crate) fn tiles(entries: &[WorklistEntry], waiting: &Waiting, t: &Words) -> Vec<Tile> {
    let open = || entries.iter().filter(|entry| entry.state.is_open());
    let overdue = open().filter(|entry| entry.overdue).count();
    let unassigned = open().filter(|entry| entry.state == CaseState::Waiting).count();
    let trouble = |count, label, href| Tile { count, label, href, bad: count > 0 };
    vec![
        Tile { count: open().count(), label: t.tile_open, href: "#cases", bad: false },
        trouble(overdue, t.tile_overdue, "#cases"),
        trouble(unassigned, t.tile_unassigned, "#cases"),
        trouble(waiting.failed_deliveries, t.failed_deliveries, "#failed-deliveries"),
        trouble(waiting.holds, t.holds, "#holds"),
        trouble(waiting.quarantined, t.quarantine, "#quarantine"),
        trouble(waiting.dead_jobs, t.dead_jobs, "#dead-jobs"),
    ]
}

pub(crate) async fn show(user: User) -> Result<Response, Problem> {
    let state = user.state();
    state.access.require(user.actor(), Action::ViewOffice, Resource::Node, "office").await?;
    let filter = WorklistFilter { view: Some(WorklistView::All), limit: Some(500), ..WorklistFilter::default() };
    let entries = state.worklist.entries(user.actor(), &filter).await?;
    let unfinished = DeliverySelection { unfinished_only: true, limit: 500, ..DeliverySelection::default() };
    let deliveries = state.reports.deliveries(user.actor(), &unfinished).await?;
    let holds = state.ingest.held_studies(user.actor()).await?;
    let quarantine = state.ingest.quarantine(user.actor()).await?;
    let refusals = state.ingest.refusals(user.actor()).await?;
    let dead_jobs = state.operations.dead_jobs(user.actor()).await.map_err(Problem::Task)?;
    let (eyes, t, zone) = (Eyes::of(&user), user.t(), user.zone());
    // What is only waiting for its first attempt needs nobody.
    let troubled = |row: &dokuei_report::DeliveryRow| row.state == DeliveryState::Failed || row.last_error.is_some();
    let deliveries: Vec<_> = deliveries
        .iter()
        .filter(|delivery| troubled(&delivery.row))
        .map(|delivery| DeliveryView::new(delivery, eyes))
        .collect();
    let waiting = Waiting {
        failed_deliveries: deliveries.len(),
        holds: holds.len(),
        quarantined: quarantine.len(),
        dead_jobs: dead_jobs.len(),
    };
    let mut tiles = tiles(&entries, &waiting, t);
    tiles.push(super::storage::tile(state, t).await?);
    page(&Office {
        shell: Shell::new(&user.visitor, "office"),
        t,
        tiles,
        deliveries,
        cases: entries.iter().map(|entry| CaseView::new(entry, eyes)).collect(),
        holds: holds.iter().map(|row| HoldLine::new(row, zone, t)).collect(),
        quarantine: quarantine.iter().map(|row| QuarantineLine::new(row, zone, t)).collect(),
        refusals: refusals.iter().map(|row| RefusalLine::new(row, zone)).collect(),
        dead_jobs: dead_jobs.iter().map(|job| DeadJobView::new(job, zone)).collect(),
    })
}

/// Puts a job from the dead list back to work.
pub(crate) async fn retry_job(user: User, Id(job): Id<JobId>) -> Result<Response, Problem> {
    let state = user.state();
    state.access.require(user.actor(), Action::RetryDelivery, Resource::Node, &job.to_string()).await?;
    let retried = state.operations.retry_dead_job(user.actor(), job).await.map_err(Problem::Task)?;
    if retried { Ok(see_other("/office#dead-jobs")) } else { Err(Problem::NotFound) }
}
