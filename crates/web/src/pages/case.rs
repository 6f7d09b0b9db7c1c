//! One case: what is known of it, and what readers and office do with it.

use askama::Template;
use axum::response::Response;
use dokuei_access::{Action, Resource, can};
use dokuei_domain::{AccountId, CaseId, workitem};
use dokuei_report::ReportVersionRow;
use dokuei_worklist::{CaseDetail, WorklistError};
use serde::Deserialize;

use super::page;
use crate::{
    extract::{Asked, Fields, Id},
    format,
    problem::Problem,
    shell::{Shell, home},
    text::{Words, fill},
    view::{self, CaseStudyView, CaseView, Eyes, RequestView, WorkitemView},
    visitor::{User, see_other},
};

/// How often a claim is tried when the workitem is replaced under our hands.
const CLAIM_ROUNDS: usize = 3;

#[derive(Template)]
#[template(path = "case.html")]
pub(crate) struct Case {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) row: CaseView,
    pub(crate) claim_expires: String,
    pub(crate) reasons: Vec<String>,
    /// For who may assign.
    pub(crate) assignment: Option<Vec<ReaderChoice>>,
    pub(crate) requests: Vec<RequestView>,
    pub(crate) studies: Vec<CaseStudyView>,
    pub(crate) versions: Vec<VersionView>,
    pub(crate) workitems: Vec<WorkitemView>,
    pub(crate) back_href: &'static str,
}

pub(crate) struct ReaderChoice {
    pub(crate) account: String,
    pub(crate) label: String,
    pub(crate) chosen: bool,
}

pub(crate) struct VersionView {
    pub(crate) id: String,
    pub(crate) number: i64,
    pub(crate) author: String,
    pub(crate) signed_at: String,
}

impl VersionView {
    pub(crate) fn new(row: &ReportVersionRow, eyes: Eyes<'_>) -> Self {
        Self {
            id: row.id.to_string(),
            number: row.number,
            author: row.author_name.clone(),
            signed_at: format::minute(eyes.zone, row.signed_at),
        }
    }
}

pub(crate) async fn show(user: User, Id(case): Id<CaseId>) -> Result<Response, Problem> {
    let detail = user.state().worklist.case(user.actor(), case).await?;
    let versions = user.state().reports.versions(user.actor(), case).await?;
    let eyes = Eyes::of(&user);
    let entry = &detail.entry;
    page(&Case {
        shell: Shell::new(&user.visitor, "case"),
        t: user.t(),
        row: CaseView::new(entry, eyes),
        claim_expires: format::optional_minute(eyes.zone, entry.claim_expires_at),
        reasons: view::reasons(&entry.reasons, eyes.t),
        assignment: assignment(&user, &detail).await?,
        requests: detail.requests.iter().map(|request| RequestView::new(request, eyes)).collect(),
        studies: entry.studies.iter().map(|study| CaseStudyView::new(study, eyes)).collect(),
        versions: versions.iter().rev().map(|version| VersionView::new(version, eyes)).collect(),
        workitems: detail.workitems.iter().map(|workitem| WorkitemView::new(workitem, eyes)).collect(),
        back_href: home(user.session.role),
    })
}

/// The readers to choose from, for an open case that nobody has claimed and somebody who may assign it.
async fn assignment(user: &User, detail: &CaseDetail) -> Result<Option<Vec<ReaderChoice>>, Problem> {
    let entry = &detail.entry;
    let case = Resource::Case { facility: &entry.facility, claimed_by: None };
    if !entry.state.is_open() || entry.performer.is_some() || can(user.actor(), Action::AssignCase, case).is_err() {
        return Ok(None);
    }
    let readers = user.state().access.reader_list(user.actor()).await?;
    let assigned = entry.assigned.as_ref().map(|person| &person.account);
    let choice = |reader: &dokuei_access::Reader| {
        let skills = reader.modalities.join(" ");
        let note = if reader.accepting_since.is_none() {
            fill(" – {note}", &[("note", &user.t().off_duty)])
        } else {
            String::new()
        };
        ReaderChoice {
            account: reader.account.to_string(),
            label: format!("{} ({}) {skills}{note}", reader.name.display(), reader.account),
            chosen: assigned == Some(&reader.account),
        }
    };
    Ok(Some(readers.iter().filter(|reader| reader.disabled_at.is_none()).map(choice).collect()))
}

/// Claims the case and goes to its reading page.
pub(crate) async fn claim(user: User, Id(case): Id<CaseId>) -> Result<Response, Problem> {
    let worklist = &user.state().worklist;
    for _ in 0..CLAIM_ROUNDS {
        let workitem = open_workitem(&user, case).await?;
        let transaction_uid = user.transaction_uid(&workitem);
        let claim = worklist.claim(user.actor(), case, &transaction_uid).await?;
        if claim.workitem == workitem {
            return Ok(see_other(&format!("/cases/{case}/read")));
        }
        // Replaced between the look and the claim: this one could not be found again, so it is given back and the next one claimed.
        worklist.release(user.actor(), case, &transaction_uid, "").await?;
    }
    Err(WorklistError::Workitem(workitem::Refusal::AlreadyInProgress).into())
}

/// The UID of the case's open workitem; empty when there is none or the actor is not shown it. What follows from that is for `worklist` to say.
pub(crate) async fn open_workitem(user: &User, case: CaseId) -> Result<String, Problem> {
    let detail = user.state().worklist.case(user.actor(), case).await?;
    Ok(detail.open_workitem().map(|workitem| workitem.uid.clone()).unwrap_or_default())
}

/// Which workitem a page works on.
#[derive(Deserialize)]
pub(crate) struct Hold {
    workitem: Option<String>,
}

impl Hold {
    /// The Transaction UID of the claim that the page was opened with; without a name, of the case's open workitem.
    pub(crate) async fn transaction_uid(&self, user: &User, case: CaseId) -> Result<String, Problem> {
        match &self.workitem {
            Some(workitem) => Ok(user.transaction_uid(workitem)),
            None => Ok(user.transaction_uid(&open_workitem(user, case).await?)),
        }
    }
}

/// Gives the case back; the draft stays.
pub(crate) async fn release(user: User, Id(case): Id<CaseId>, Asked(hold): Asked<Hold>) -> Result<Response, Problem> {
    let transaction_uid = hold.transaction_uid(&user, case).await?;
    user.state().worklist.release(user.actor(), case, &transaction_uid, "").await?;
    Ok(see_other("/worklist"))
}

#[derive(Deserialize)]
pub(crate) struct Assignment {
    #[serde(default)]
    reader: String,
}

/// The office chooses a reader, or lets the node choose again.
pub(crate) async fn assign(
    user: User,
    Id(case): Id<CaseId>,
    Fields(typed): Fields<Assignment>,
) -> Result<Response, Problem> {
    let reader = match typed.reader.trim() {
        "" => None,
        text => Some(AccountId::parse(text).map_err(|_| Problem::BadRequest)?),
    };
    user.state().worklist.assign(user.actor(), case, reader).await?;
    Ok(see_other(&format!("/cases/{case}")))
}
