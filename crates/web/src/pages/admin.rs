//! Administration: accounts, facilities, and what two administrators must agree on.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use dokuei_access::{Account, Approval, Facility, PeerCertificate, PeerSpecification, Reader};
use dokuei_domain::AccountId;
use serde::Deserialize;
use uuid::Uuid;

use super::{page, page_with};
use crate::{
    extract::{Fields, Id},
    format,
    problem::Problem,
    shell::{Shell, role_label},
    text::{Words, fill},
    view::Eyes,
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "admin.html")]
pub(crate) struct Admin {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) approvals: Vec<ApprovalView>,
    pub(crate) accounts: Vec<AccountView>,
    pub(crate) facilities: Vec<FacilityView>,
    pub(crate) problem: Option<String>,
}

pub(crate) struct ApprovalView {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) reason: String,
    pub(crate) requested_by: String,
    pub(crate) requested_at: String,
    pub(crate) granted_by: String,
    pub(crate) token_expires: String,
    pub(crate) can_grant: bool,
}

pub(crate) struct AccountView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) facility: String,
    /// Modalities, hours and certificate.
    pub(crate) reader: String,
    pub(crate) recovery_codes: i64,
    pub(crate) disabled: bool,
}

pub(crate) struct FacilityView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) issuer: String,
    /// Who sends, and the certificates with which it comes.
    pub(crate) peers: Vec<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) disabled: bool,
}

impl ApprovalView {
    pub(crate) fn new(row: &Approval, eyes: Eyes<'_>) -> Self {
        let me = eyes.actor.account().map(AccountId::as_str);
        Self {
            id: row.id.to_string(),
            account: row.account.to_string(),
            reason: row.reason.clone(),
            requested_by: row.requested_by.clone(),
            requested_at: format::minute(eyes.zone, row.requested_at),
            granted_by: row.granted_by.clone().unwrap_or_default(),
            token_expires: format::optional_minute(eyes.zone, row.token_expires_at),
            can_grant: row.granted_by.is_none() && me != Some(row.requested_by.as_str()),
        }
    }
}

impl AccountView {
    pub(crate) fn new(row: &Account, reader: Option<&Reader>, eyes: Eyes<'_>) -> Self {
        let t = eyes.t;
        let reader = reader.map(|reader| {
            let until = reader
                .certificate_expires_at
                .map(|at| fill(t.certificate_until, &[("date", &format::minute(eyes.zone, at))]));
            let hours = if reader.hours.is_empty() { t.always_on_duty } else { &reader.hours };
            let paused = if reader.accepting_since.is_none() { t.off_duty } else { "" };
            let certificate = until.unwrap_or_else(|| t.no_certificate.to_owned());
            let parts = [reader.modalities.join(" "), hours.to_owned(), paused.to_owned(), certificate];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
        });
        Self {
            id: row.id.to_string(),
            name: row.display_name.clone(),
            role: role_label(row.role, t),
            facility: row.facility.as_ref().map(ToString::to_string).unwrap_or_default(),
            reader: reader.unwrap_or_default(),
            recovery_codes: row.recovery_codes_left,
            disabled: row.disabled_at.is_some(),
        }
    }
}

impl FacilityView {
    pub(crate) fn new(row: &Facility) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            issuer: row.issuer.clone(),
            peers: row.peers.iter().map(peer).chain(row.certificates.iter().map(certificate)).collect(),
            targets: row.return_targets.iter().map(ToString::to_string).collect(),
            disabled: row.disabled_at.is_some(),
        }
    }
}

/// `HOSP1:reading 192.0.2.7`, as it is written on the command line.
fn peer(peer: &PeerSpecification) -> String {
    let address = peer.address.map(|address| format!(" {address}")).unwrap_or_default();
    format!("{}:{}{address}", peer.calling, peer.role.as_str())
}

/// `TLS CN=pacs → 2027-11-22`: whose it is and the last day on which it holds.
fn certificate(certificate: &PeerCertificate) -> String {
    format!("TLS {} → {}", certificate.subject, certificate.not_after.to_jiff().strftime("%Y-%m-%d"))
}

pub(crate) async fn show(user: User) -> Result<Response, Problem> {
    admin(&user, StatusCode::OK, None).await
}

async fn admin(user: &User, status: StatusCode, problem: Option<String>) -> Result<Response, Problem> {
    let access = &user.state().access;
    let accounts = access.account_list(user.actor()).await?;
    let readers = access.reader_list(user.actor()).await?;
    let facilities = access.facility_list(user.actor()).await?;
    let approvals = access.approvals_open(user.actor()).await?;
    let eyes = Eyes::of(user);
    let reader = |account: &Account| readers.iter().find(|reader| reader.account == account.id);
    let shown = Admin {
        shell: Shell::new(&user.visitor, "admin"),
        t: user.t(),
        approvals: approvals.iter().map(|row| ApprovalView::new(row, eyes)).collect(),
        accounts: accounts.iter().map(|row| AccountView::new(row, reader(row), eyes)).collect(),
        facilities: facilities.iter().map(FacilityView::new).collect(),
        problem,
    };
    page_with(status, &shown)
}

/// Back to the page, with the reason on it when it was refused; what the role does not allow is told like everywhere.
async fn back(user: &User, result: Result<(), dokuei_access::AccessError>) -> Result<Response, Problem> {
    let Err(error) = result else { return Ok(see_other("/admin")) };
    let problem = Problem::Access(error);
    let refusal = user.visitor.refusal(&problem);
    if refusal.kind == "not_found" || refusal.status.is_server_error() {
        return Err(problem);
    }
    admin(user, refusal.status, Some(refusal.message)).await
}

#[derive(Deserialize)]
pub(crate) struct TypedReenrolment {
    account: String,
    reason: String,
}

pub(crate) async fn request_reenrolment(
    user: User,
    Fields(typed): Fields<TypedReenrolment>,
) -> Result<Response, Problem> {
    let account = AccountId::parse(typed.account.trim()).map_err(|_| Problem::BadRequest)?;
    let result = user.state().access.reenrol_request(user.actor(), &account, &typed.reason).await;
    back(&user, result.map(drop)).await
}

#[derive(Template)]
#[template(path = "granted.html")]
pub(crate) struct Granted {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) link: String,
}

/// Grants what another administrator asked for, and shows the link this once.
pub(crate) async fn grant(
    user: User,
    Id(approval): Id<Uuid>,
    headers: axum::http::HeaderMap,
) -> Result<Response, Problem> {
    match user.state().access.reenrol_grant(user.actor(), approval).await {
        Ok(token) => {
            let scheme = if user.state().settings.public_https { "https" } else { "http" };
            let host = headers.get(axum::http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            let link = format!("{scheme}://{host}/enrol/{token}");
            page(&Granted { shell: Shell::new(&user.visitor, "admin"), t: user.t(), link })
        }
        Err(error) => back(&user, Err(error)).await,
    }
}

pub(crate) async fn refuse(user: User, Id(approval): Id<Uuid>) -> Result<Response, Problem> {
    let result = user.state().access.reenrol_refuse(user.actor(), approval).await;
    back(&user, result).await
}

pub(crate) async fn disable(user: User, Id(account): Id<AccountId>) -> Result<Response, Problem> {
    let result = user.state().access.account_disable(user.actor(), &account).await;
    back(&user, result).await
}

pub(crate) async fn enable(user: User, Id(account): Id<AccountId>) -> Result<Response, Problem> {
    let result = user.state().access.account_enable(user.actor(), &account).await;
    back(&user, result).await
}
