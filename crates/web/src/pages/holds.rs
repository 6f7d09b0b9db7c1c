//! A study that contradicts its patient: both versions side by side, and the three answers.

use askama::Template;
use axum::response::Response;
use dokuei_database::{HoldDecision, NamedVersion, StudyHoldRow};
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
pub(crate) struct HoldLine {
    pub(crate) id: String,
    pub(crate) opened: String,
    pub(crate) facility: String,
    pub(crate) patient_id: String,
    pub(crate) name: String,
    pub(crate) examination: String,
    pub(crate) reason: &'static str,
}

impl HoldLine {
    pub(crate) fn new(row: &StudyHoldRow, zone: &TimeZone, t: &Words) -> Self {
        Self {
            id: row.id.to_string(),
            opened: format::minute(zone, row.opened_at),
            facility: row.facility.to_string(),
            patient_id: row.patient_id.clone(),
            name: PersonNameView::new(&row.held.name, t).name,
            examination: examination(&row.held),
            reason: reason(&row.reason, t),
        }
    }
}

fn reason(stored: &str, t: &Words) -> &'static str {
    match stored {
        "birth_date_differs" => t.hold_birth_date,
        "sex_differs" => t.hold_sex,
        _ => t.hold_both,
    }
}

fn examination(version: &NamedVersion) -> String {
    let parts = [version.modalities.replace(',', " "), format::date(&version.study_date), version.description.clone()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[derive(Template)]
#[template(path = "hold.html")]
pub(crate) struct Hold {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) id: String,
    pub(crate) facility: String,
    pub(crate) patient_id: String,
    pub(crate) study_uid: String,
    pub(crate) opened: String,
    pub(crate) images: i64,
    pub(crate) why: &'static str,
    pub(crate) held: VersionView,
    pub(crate) known: VersionView,
    pub(crate) birth_date_differs: bool,
    pub(crate) sex_differs: bool,
    /// What was decided, by whom and why.
    pub(crate) decided: Option<Decided>,
    pub(crate) typed_reason: String,
    pub(crate) problem: Option<String>,
}

pub(crate) struct VersionView {
    pub(crate) name: PersonNameView,
    pub(crate) birth_date: String,
    pub(crate) sex: String,
    pub(crate) examination: String,
    pub(crate) accession_number: String,
    pub(crate) calling: String,
}

pub(crate) struct Decided {
    pub(crate) what: &'static str,
    pub(crate) by: String,
    pub(crate) at: String,
    pub(crate) reason: String,
}

impl VersionView {
    fn new(version: &NamedVersion, t: &Words) -> Self {
        Self {
            name: PersonNameView::new(&version.name, t),
            birth_date: format::date(&version.birth_date),
            sex: format::sex(&version.sex, t),
            examination: examination(version),
            accession_number: version.accession_number.clone(),
            calling: version.calling_aet.clone(),
        }
    }
}

impl Hold {
    fn new(user: &User, row: &StudyHoldRow) -> Self {
        let (t, zone) = (user.t(), user.zone());
        let decided = row.decision.map(|decision| Decided {
            what: match decision {
                HoldDecision::SamePerson => t.hold_same_person,
                HoldDecision::AnotherPerson => t.hold_another_person,
                HoldDecision::Rejected => t.hold_reject,
            },
            by: row.decided_by.clone().unwrap_or_default(),
            at: format::optional_minute(zone, row.decided_at),
            reason: row.decision_reason.clone().unwrap_or_default(),
        });
        Self {
            shell: Shell::new(&user.visitor, "hold"),
            t,
            id: row.id.to_string(),
            facility: row.facility.to_string(),
            patient_id: row.patient_id.clone(),
            study_uid: row.study_uid.to_string(),
            opened: format::minute(zone, row.opened_at),
            images: row.instance_count,
            why: reason(&row.reason, t),
            held: VersionView::new(&row.held, t),
            known: VersionView::new(&row.known, t),
            birth_date_differs: row.reason != "sex_differs",
            sex_differs: row.reason != "birth_date_differs",
            decided,
            typed_reason: String::new(),
            problem: None,
        }
    }
}

pub(crate) async fn show(user: User, Id(hold): Id<Uuid>) -> Result<Response, Problem> {
    let row = user.state().ingest.held_study(user.actor(), hold).await?;
    page(&Hold::new(&user, &row))
}

#[derive(Deserialize)]
pub(crate) struct TypedDecision {
    #[serde(default)]
    decision: String,
    #[serde(default)]
    reason: String,
}

/// Records the decision. When it is refused, what was typed is still there.
pub(crate) async fn decide(
    user: User,
    Id(hold): Id<Uuid>,
    Fields(typed): Fields<TypedDecision>,
) -> Result<Response, Problem> {
    let ingest = &user.state().ingest;
    let row = ingest.held_study(user.actor(), hold).await?;
    let decision = HoldDecision::parse(&typed.decision).ok_or(Problem::BadRequest)?;
    let Err(error) = ingest.decide_hold(user.actor(), hold, decision, &typed.reason).await else {
        return Ok(see_other("/office#holds"));
    };
    let refusal = user.visitor.refusal(&Problem::Ingest(error));
    let shown = Hold::new(&user, &row);
    page_with(refusal.status, &Hold { problem: Some(refusal.message), typed_reason: typed.reason, ..shown })
}
