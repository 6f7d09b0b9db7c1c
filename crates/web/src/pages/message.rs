//! A page with one message: what did not work, why, and the way back.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::page_with;
use crate::{
    problem::Problem,
    refusal::Refusal,
    shell::{Shell, home},
    text::Words,
    visitor::{User, Visitor},
};

#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) title: &'static str,
    pub(crate) message: String,
    pub(crate) good: bool,
    pub(crate) back_href: String,
    pub(crate) back_label: &'static str,
}

/// The refusal as a page.
pub(crate) fn page(visitor: &Visitor, refusal: &Refusal) -> Response {
    let t = visitor.t;
    let home = visitor.session.as_ref().map_or("/sign-in", |session| home(session.role));
    let message = Message {
        shell: Shell::new(visitor, "message"),
        t,
        title: if refusal.kind == "not_found" { t.not_found_title } else { t.problem_title },
        message: refusal.message.clone(),
        good: false,
        back_href: home.to_owned(),
        back_label: t.home,
    };
    page_with(refusal.status, &message).unwrap_or_else(|_| refusal.status.into_response())
}

/// `/`: everybody's own beginning.
pub(crate) async fn begin(user: User) -> Response {
    crate::visitor::see_other(home(user.session.role))
}

pub(crate) async fn not_found(_: Visitor) -> Problem {
    Problem::NotFound
}

pub(crate) async fn method_not_allowed(_: Visitor) -> Problem {
    Problem::MethodNotAllowed
}
