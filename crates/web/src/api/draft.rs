//! The editor: saving the draft, keeping the claim.

use axum::Json;
use dokuei_domain::CaseId;
use dokuei_report::DraftText;
use serde::{Deserialize, Serialize};

use crate::{
    extract::{Asked, Body, Id},
    format,
    pages::case::Hold,
    problem::Problem,
    visitor::User,
};

#[derive(Deserialize)]
pub(crate) struct TypedDraft {
    findings: String,
    impression: String,
    recommendation: String,
    /// The version that the editor began with; 0: there was none.
    base_version: i64,
}

#[derive(Serialize)]
pub(crate) struct Saved {
    version: i64,
}

pub(crate) async fn save(
    user: User,
    Id(case): Id<CaseId>,
    Asked(hold): Asked<Hold>,
    Body(typed): Body<TypedDraft>,
) -> Result<Json<Saved>, Problem> {
    let transaction_uid = hold.transaction_uid(&user, case).await?;
    let text =
        DraftText { findings: typed.findings, impression: typed.impression, recommendation: typed.recommendation };
    let version =
        user.state().reports.save_draft(user.actor(), case, &transaction_uid, text, typed.base_version).await?;
    Ok(Json(Saved { version }))
}

#[derive(Serialize)]
pub(crate) struct Kept {
    /// Local time, to the minute.
    expires: String,
}

pub(crate) async fn keep(user: User, Id(case): Id<CaseId>, Asked(hold): Asked<Hold>) -> Result<Json<Kept>, Problem> {
    let transaction_uid = hold.transaction_uid(&user, case).await?;
    let expires = user.state().worklist.keep_claim(user.actor(), case, &transaction_uid).await?;
    Ok(Json(Kept { expires: format::minute(user.zone(), expires) }))
}
