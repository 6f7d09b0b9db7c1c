//! The pages, one file per person's task.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod case;
pub(crate) mod enrol;
pub(crate) mod holds;
pub(crate) mod message;
pub(crate) mod office;
pub(crate) mod quarantine;
pub(crate) mod reading;
pub(crate) mod report;
pub(crate) mod sign_in;
pub(crate) mod storage;
pub(crate) mod studies;
pub(crate) mod worklist;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use crate::problem::Problem;

pub(crate) fn page(template: &impl Template) -> Result<Response, Problem> {
    page_with(StatusCode::OK, template)
}

pub(crate) fn page_with(status: StatusCode, template: &impl Template) -> Result<Response, Problem> {
    Ok((status, Html(template.render()?)).into_response())
}
