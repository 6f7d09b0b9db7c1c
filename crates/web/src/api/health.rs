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

/// The node can do its work, and what of it wants attention; why not is in the log.
pub(crate) async fn ready(visitor: Visitor) -> Result<Response, Problem> {
    match visitor.state().operations.ready().await {
        Ok(()) => {
            let attention = visitor.state().operations.attention();
            let lines = attention.iter().map(|what| format!("attention: {what}\n"));
            let mut text = format!("ready\n{}", lines.collect::<String>());
            // Who may not send can still read: the node stays ready.
            if visitor.state().ingest.space().is_low().await {
                text.push_str("attention: short of space; nothing is received\n");
            }
            if visitor.state().custody.damage_counts().await.is_ok_and(|counts| counts.open > 0) {
                text.push_str("attention: stored objects are damaged\n");
            }
            Ok(text.into_response())
        }
        Err(error) => {
            tracing::warn!(error, "the node is not ready");
            Ok((StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response())
        }
    }
}
