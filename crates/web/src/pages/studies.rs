//! A facility's studies: what arrived, what becomes of it, and what the facility says about it.

use std::collections::HashMap;

use askama::Template;
use axum::response::Response;
use dokuei_database::StudyRow;
use dokuei_domain::{Priority, StudyPk};
use dokuei_ingest::StudySearch;
use dokuei_worklist::{NewRequest, WorklistEntry, WorklistFilter, WorklistView};
use serde::Deserialize;

use super::{page, page_with};
use crate::{
    extract::{Asked, Fields, Id},
    format,
    problem::Problem,
    shell::Shell,
    text::{Words, fill},
    view::{self, Eyes, RequestView, StudyView},
    visitor::{User, see_other},
};

const STUDIES: u32 = 200;
const CASES: u32 = 1000;

#[derive(Template)]
#[template(path = "studies.html")]
pub(crate) struct Studies {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) asked: Search,
    pub(crate) rows: Vec<StudyView>,
    /// There are more than are shown: how many are.
    pub(crate) limit: Option<String>,
    /// The viewer sees more than one facility.
    pub(crate) all_facilities: bool,
}

/// What the search form holds. Dates are as a browser writes them, `2026-11-22`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Search {
    #[serde(default)]
    pub(crate) q: String,
    #[serde(default)]
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) to: String,
}

impl Search {
    fn study_search(&self) -> Result<StudySearch, Problem> {
        let date = |typed: &str| match typed.trim() {
            "" => Ok(None),
            typed => format::dicom_date(typed).map(Some).ok_or(Problem::BadRequest),
        };
        Ok(StudySearch { text: self.q.clone(), facility: None, from: date(&self.from)?, to: date(&self.to)? })
    }

    /// Something is asked for.
    pub(crate) fn narrows(&self) -> bool {
        [&self.q, &self.from, &self.to].iter().any(|typed| !typed.trim().is_empty())
    }
}

pub(crate) async fn list(user: User, Asked(asked): Asked<Search>) -> Result<Response, Problem> {
    let found = user.state().ingest.find_studies(user.actor(), &asked.study_search()?, STUDIES).await?;
    let entries = entries(&user).await?;
    let cases = by_study(&entries);
    let eyes = Eyes::of(&user);
    let row = |study: &StudyRow| StudyView::new(study, cases.get(&study.pk).copied(), eyes);
    page(&Studies {
        shell: Shell::new(&user.visitor, "studies"),
        t: user.t(),
        asked,
        rows: found.studies.iter().map(row).collect(),
        limit: found.more.then(|| fill(user.t().studies_limited, &[("n", &STUDIES)])),
        all_facilities: user.actor().facility().is_none(),
    })
}

async fn entries(user: &User) -> Result<Vec<WorklistEntry>, Problem> {
    let filter = WorklistFilter { view: Some(WorklistView::All), limit: Some(CASES), ..WorklistFilter::default() };
    Ok(user.state().worklist.entries(user.actor(), &filter).await?)
}

fn by_study(entries: &[WorklistEntry]) -> HashMap<StudyPk, &WorklistEntry> {
    entries.iter().flat_map(|entry| entry.studies.iter().map(move |study| (study.pk, entry))).collect()
}

#[derive(Template)]
#[template(path = "study.html")]
pub(crate) struct Study {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) row: StudyView,
    pub(crate) request: RequestView,
    pub(crate) priorities: Vec<Choice>,
    pub(crate) notice: Option<&'static str>,
    pub(crate) problem: Option<String>,
}

pub(crate) struct Choice {
    pub(crate) value: &'static str,
    pub(crate) label: &'static str,
    pub(crate) chosen: bool,
}

#[derive(Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    saved: String,
}

pub(crate) async fn show(user: User, Id(study): Id<StudyPk>, Asked(query): Asked<Query>) -> Result<Response, Problem> {
    let row = user.state().ingest.study(user.actor(), study).await?;
    let latest = user.state().worklist.latest_request(user.actor(), study).await?;
    let eyes = Eyes::of(&user);
    let priority = latest.as_ref().map(|request| request.priority).unwrap_or_default();
    let request = latest.as_ref().map(|request| RequestView::new(request, eyes)).unwrap_or_default();
    let t = user.t();
    let notice = match query.saved.as_str() {
        "request" => Some(t.request_saved),
        "complete" => Some(t.complete_saved),
        "withdrawn" => Some(t.withdraw_saved),
        _ => None,
    };
    let study = study_page(&user, &row, request, priority).await?;
    page(&Study { notice, ..study })
}

async fn study_page(user: &User, row: &StudyRow, request: RequestView, priority: Priority) -> Result<Study, Problem> {
    let entries = entries(user).await?;
    let t = user.t();
    let choice = |choice: Priority| Choice {
        value: choice.as_str(),
        label: view::priority_label(choice, t),
        chosen: choice == priority,
    };
    Ok(Study {
        shell: Shell::new(&user.visitor, "study"),
        t,
        row: StudyView::new(row, by_study(&entries).get(&row.pk).copied(), Eyes::of(user)),
        request,
        priorities: Priority::ALL.into_iter().rev().map(choice).collect(),
        notice: None,
        problem: None,
    })
}

#[derive(Deserialize)]
pub(crate) struct TypedRequest {
    clinical_question: String,
    callback_number: String,
    #[serde(default)]
    requesting_physician: String,
    priority: String,
}

/// Saves 依頼内容. When it is refused, what was typed is still there.
pub(crate) async fn enter_request(
    user: User,
    Id(study): Id<StudyPk>,
    Fields(typed): Fields<TypedRequest>,
) -> Result<Response, Problem> {
    let priority = Priority::parse(&typed.priority).ok_or(Problem::BadRequest)?;
    let request = NewRequest {
        clinical_question: typed.clinical_question.clone(),
        callback_number: typed.callback_number.clone(),
        requesting_physician: typed.requesting_physician.clone(),
        priority,
    };
    let Err(error) = user.state().worklist.enter_request(user.actor(), study, request).await else {
        return Ok(see_other(&format!("/studies/{study}?saved=request")));
    };
    let problem = Problem::Worklist(error);
    let refusal = user.visitor.refusal(&problem);
    if refusal.kind != "too_long" {
        return Err(problem);
    }
    let row = user.state().ingest.study(user.actor(), study).await?;
    let shown = RequestView {
        question: typed.clinical_question,
        callback: typed.callback_number,
        physician: typed.requesting_physician,
        ..RequestView::default()
    };
    let study = study_page(&user, &row, shown, priority).await?;
    page_with(refusal.status, &Study { problem: Some(refusal.message), ..study })
}

/// 送信完了.
pub(crate) async fn declare_complete(user: User, Id(study): Id<StudyPk>) -> Result<Response, Problem> {
    user.state().ingest.declare_complete(user.actor(), study).await?;
    Ok(see_other(&format!("/studies/{study}?saved=complete")))
}

#[derive(Template)]
#[template(path = "withdraw.html")]
pub(crate) struct Withdraw {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) row: StudyView,
    pub(crate) problem: Option<String>,
}

impl Withdraw {
    /// For who may not withdraw the study there is no such page.
    async fn new(user: &User, study: StudyPk) -> Result<Self, Problem> {
        let row = user.state().ingest.study(user.actor(), study).await?;
        let row = StudyView::new(&row, None, Eyes::of(user));
        if !row.can_withdraw {
            return Err(Problem::NotFound);
        }
        Ok(Self { shell: Shell::new(&user.visitor, "withdraw"), t: user.t(), row, problem: None })
    }
}

/// Asks before 取消.
pub(crate) async fn confirm_withdrawal(user: User, Id(study): Id<StudyPk>) -> Result<Response, Problem> {
    page(&Withdraw::new(&user, study).await?)
}

#[derive(Deserialize)]
pub(crate) struct TypedWithdrawal {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    confirm: String,
}

pub(crate) async fn withdraw(
    user: User,
    Id(study): Id<StudyPk>,
    Fields(typed): Fields<TypedWithdrawal>,
) -> Result<Response, Problem> {
    let reason = typed.reason.trim();
    if reason.is_empty() || reason.chars().count() > 200 || typed.confirm != "yes" {
        let asked = Withdraw::new(&user, study).await?;
        let refusal = user.visitor.refusal(&Problem::NotConfirmed);
        return page_with(refusal.status, &Withdraw { problem: Some(refusal.message), ..asked });
    }
    user.state().ingest.withdraw(user.actor(), study, reason).await?;
    Ok(see_other(&format!("/studies/{study}?saved=withdrawn")))
}
