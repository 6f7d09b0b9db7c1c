//! The reader's list.

use askama::Template;
use axum::response::Response;
use dokuei_access::{Action, Resource};
use dokuei_worklist::{WorklistEntry, WorklistFilter, WorklistView};
use serde::Deserialize;

use super::page;
use crate::{
    extract::Asked,
    problem::Problem,
    shell::Shell,
    text::Words,
    view::{CaseView, Eyes},
    visitor::User,
};

#[derive(Template)]
#[template(path = "worklist.html")]
pub(crate) struct Worklist {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) finished: bool,
    /// Without empty ones.
    pub(crate) groups: Vec<Group>,
}

pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<CaseView>,
}

#[derive(Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    view: String,
}

pub(crate) async fn show(user: User, Asked(query): Asked<Query>) -> Result<Response, Problem> {
    // The list of somebody who reads nothing has its own page.
    if user.is(dokuei_domain::Role::Facility) || user.is(dokuei_domain::Role::Office) {
        return Ok(crate::visitor::see_other(crate::shell::home(user.session.role)));
    }
    user.state().access.require(user.actor(), Action::ViewWorklist, Resource::Node, "worklist").await?;
    let finished = query.view == "finished";
    let view = Some(if finished { WorklistView::Finished } else { WorklistView::Open });
    let entries =
        user.state().worklist.entries(user.actor(), &WorklistFilter { view, ..WorklistFilter::default() }).await?;
    let groups = groups(&entries, finished, Eyes::of(&user));
    page(&Worklist { shell: Shell::new(&user.visitor, "worklist"), t: user.t(), finished, groups })
}

/// What the reader holds, what is expected of them, what anybody may take.
pub(crate) fn groups(entries: &[WorklistEntry], finished: bool, eyes: Eyes<'_>) -> Vec<Group> {
    let t = eyes.t;
    let me = eyes.actor.account();
    let place = |entry: &WorklistEntry| {
        if finished {
            3
        } else if entry.performer.as_ref().is_some_and(|person| Some(&person.account) == me) {
            0
        } else if entry.assigned.as_ref().is_some_and(|person| Some(&person.account) == me) {
            1
        } else {
            2
        }
    };
    let titles = [t.group_mine, t.group_assigned, t.group_free, t.group_finished];
    let group = |(index, title)| Group {
        title,
        rows: entries.iter().filter(|entry| place(entry) == index).map(|entry| CaseView::new(entry, eyes)).collect(),
    };
    titles.into_iter().enumerate().map(group).filter(|group| !group.rows.is_empty()).collect()
}
