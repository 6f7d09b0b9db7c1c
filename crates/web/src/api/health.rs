//! For whoever watches the node: no session, nothing about anybody.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{problem::Problem, visitor::Visitor};

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// The node can do its work; why not is in the log.
pub(crate) async fn ready(visitor: Visitor) -> Result<Response, Problem> {
    match visitor.state().operations.ready().await {
        Ok(()) => Ok("ready\n".into_response()),
        Err(error) => {
            tracing::warn!(error, "the node is not ready");
            Ok((StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response())
        }
    }
}
