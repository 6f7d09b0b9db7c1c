//! The office: every case and everything that waits for a person.

use askama::Template;
use axum::response::Response;
use dokuei_access::{Action, Resource};
use dokuei_database::QuarantineRow;
use dokuei_domain::JobId;
use dokuei_report::{DeliverySelection, DeliveryState};
use dokuei_worklist::{CaseState, WorklistEntry, WorklistFilter, WorklistView};
use jiff::tz::TimeZone;

use super::{page, report::DeliveryView};
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
    pub(crate) quarantine: Vec<QuarantineView>,
    pub(crate) dead_jobs: Vec<DeadJobView>,
}

pub(crate) struct Tile {
    pub(crate) count: usize,
    pub(crate) label: &'static str,
    pub(crate) href: &'static str,
    pub(crate) bad: bool,
}

pub(crate) struct QuarantineView {
    pub(crate) received: String,
    pub(crate) facility: String,
    pub(crate) calling: String,
    pub(crate) sop_instance: String,
    pub(crate) reason: String,
}

pub(crate) struct DeadJobView {
    pub(crate) id: String,
    pub(crate) ended: String,
    pub(crate) queue: String,
    pub(crate) error: String,
}

impl QuarantineView {
    pub(crate) fn new(row: &QuarantineRow, zone: &TimeZone, t: &Words) -> Self {
        let reason = match row.reason.as_str() {
            "same_uid_other_content" => t.quarantine_same_uid,
            "study_of_another_patient" => t.quarantine_other_patient,
            "series_of_another_study" => t.quarantine_other_study,
            _ => &row.detail,
        };
        Self {
            received: format::minute(zone, row.received_at),
            facility: row.facility.to_string(),
            calling: row.calling_aet.clone(),
            sop_instance: row.sop_instance.clone(),
            reason: reason.to_owned(),
        }
    }
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

pub(crate) fn tiles(entries: &[WorklistEntry], failed: usize, held: usize, dead: usize, t: &Words) -> Vec<Tile> {
    let open = || entries.iter().filter(|entry| entry.state.is_open());
    let overdue = open().filter(|entry| entry.overdue).count();
    let unassigned = open().filter(|entry| entry.state == CaseState::Waiting).count();
    vec![
        Tile { count: open().count(), label: t.tile_open, href: "#cases", bad: false },
        Tile { count: overdue, label: t.tile_overdue, href: "#cases", bad: overdue > 0 },
        Tile { count: unassigned, label: t.tile_unassigned, href: "#cases", bad: unassigned > 0 },
        Tile { count: failed, label: t.failed_deliveries, href: "#failed-deliveries", bad: failed > 0 },
        Tile { count: held, label: t.quarantine, href: "#quarantine", bad: held > 0 },
        Tile { count: dead, label: t.dead_jobs, href: "#dead-jobs", bad: dead > 0 },
    ]
}

pub(crate) async fn show(user: User) -> Result<Response, Problem> {
    let state = user.state();
    state.access.require(user.actor(), Action::ViewOffice, Resource::Node, "office").await?;
    let filter = WorklistFilter { view: Some(WorklistView::All), limit: Some(500), ..WorklistFilter::default() };
    let entries = state.worklist.entries(user.actor(), &filter).await?;
    let unfinished = DeliverySelection { unfinished_only: true, limit: 500, ..DeliverySelection::default() };
    let deliveries = state.reports.deliveries(user.actor(), &unfinished).await?;
    let quarantine = state.ingest.quarantine(user.actor()).await?;
    let dead_jobs = state.operations.dead_jobs(user.actor()).await.map_err(Problem::Task)?;
    let (eyes, t, zone) = (Eyes::of(&user), user.t(), user.zone());
    // What is only waiting for its first attempt needs nobody.
    let troubled = |row: &dokuei_report::DeliveryRow| row.state == DeliveryState::Failed || row.last_error.is_some();
    let deliveries: Vec<_> = deliveries
        .iter()
        .filter(|delivery| troubled(&delivery.row))
        .map(|delivery| DeliveryView::new(delivery, eyes))
        .collect();
    page(&Office {
        shell: Shell::new(&user.visitor, "office"),
        t,
        tiles: tiles(&entries, deliveries.len(), quarantine.len(), dead_jobs.len(), t),
        deliveries,
        cases: entries.iter().map(|entry| CaseView::new(entry, eyes)).collect(),
        quarantine: quarantine.iter().map(|row| QuarantineView::new(row, zone, t)).collect(),
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
