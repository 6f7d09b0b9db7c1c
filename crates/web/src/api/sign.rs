//! Signing.

use axum::Json;
use dokuei_domain::CaseId;
use dokuei_report::SignRequest;
use serde::{Deserialize, Serialize};

use crate::{
    extract::{Asked, Body, Id},
    pages::case::Hold,
    problem::Problem,
    visitor::User,
};

#[derive(Deserialize)]
pub(crate) struct TypedSignature {
    password: String,
    code: String,
    #[serde(default)]
    confirm_incomplete: bool,
    /// The draft that is on the reader's screen; another one that was saved meanwhile is not signed unseen.
    draft_version: Option<i64>,
}

#[derive(Serialize)]
pub(crate) struct Signed {
    location: String,
}

pub(crate) async fn sign(
    user: User,
    Id(case): Id<CaseId>,
    Asked(hold): Asked<Hold>,
    Body(typed): Body<TypedSignature>,
) -> Result<Json<Signed>, Problem> {
    let request = SignRequest {
        case,
        transaction_uid: hold.transaction_uid(&user, case).await?,
        draft_version: typed.draft_version,
        password: typed.password,
        code: typed.code,
        address: user.visitor.address.clone(),
        confirm_incomplete: typed.confirm_incomplete,
    };
    let signed = user.state().reports.sign(user.actor(), request).await?;
    Ok(Json(Signed { location: format!("/reports/{}", signed.id) }))
}
