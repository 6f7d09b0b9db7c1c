//! What a handler answers when it cannot do what was asked. It becomes a page or JSON in the visitor's language, in one place.

use std::sync::Arc;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use dokuei_access::{AccessError, SignInError};
use dokuei_archive::ArchiveError;
use dokuei_ingest::IngestError;
use dokuei_pixels::RenderError;
use dokuei_report::ReportError;
use dokuei_worklist::WorklistError;

/// Why a request was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("nobody is signed in")]
    SignedOut,
    #[error("there is no such page or object")]
    NotFound,
    #[error("the request comes from another site")]
    CrossSite,
    #[error("the request cannot be read")]
    BadRequest,
    #[error("the request is too large")]
    TooLarge,
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    #[error("the confirmation is missing")]
    NotConfirmed,
    #[error("the new passwords differ")]
    PasswordsDiffer,
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Worklist(#[from] WorklistError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("cannot render the page")]
    Page(#[from] askama::Error),
    #[error("cannot finish a task: {0}")]
    Task(String),
}

/// Travels with an empty response until `visitor::present` puts it into words.
#[derive(Debug, Clone)]
pub(crate) struct Carried(pub(crate) Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}
