//! One's own account: password and recovery codes. The language is switched in the header of every page.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{page, page_with, sign_in::forgotten};
use crate::{
    extract::Fields,
    problem::Problem,
    shell::Shell,
    text::Words,
    visitor::{User, see_other},
};

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct Account {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) account: String,
    pub(crate) problem: Option<String>,
    pub(crate) codes_problem: Option<String>,
    /// Just issued, shown once.
    pub(crate) codes: Vec<String>,
}

impl Account {
    fn new(user: &User) -> Self {
        Self {
            shell: Shell { back: "/account".to_owned(), ..Shell::new(&user.visitor, "account") },
            t: user.t(),
            account: user.session.account.to_string(),
            problem: None,
            codes_problem: None,
            codes: Vec::new(),
        }
    }
}

pub(crate) async fn show(user: User) -> Result<Response, Problem> {
    page(&Account::new(&user))
}

#[derive(Deserialize)]
pub(crate) struct TypedPassword {
    old: String,
    new: String,
    again: String,
    code: String,
}

/// Changes the password; all sessions end with it, this one too.
pub(crate) async fn change_password(user: User, Fields(typed): Fields<TypedPassword>) -> Result<Response, Problem> {
    let result = if typed.new == typed.again {
        let access = &user.state().access;
        let address = &user.visitor.address;
        let changed = access.password_change(&user.session.account, &typed.old, &typed.code, &typed.new, address).await;
        changed.map_err(Problem::Access)
    } else {
        Err(Problem::PasswordsDiffer)
    };
    match result {
        Ok(()) => Ok((forgotten(&user.visitor), see_other("/sign-in?notice=password-changed")).into_response()),
        Err(problem) => {
            let (status, message) = told(&user, &problem);
            page_with(status, &Account { problem: Some(message), ..Account::new(&user) })
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct TypedRenewal {
    password: String,
    code: String,
}

/// Issues new recovery codes and shows them this once.
pub(crate) async fn renew_codes(user: User, Fields(typed): Fields<TypedRenewal>) -> Result<Response, Problem> {
    let access = &user.state().access;
    let address = &user.visitor.address;
    match access.recovery_codes_renew(&user.session.account, &typed.password, &typed.code, address).await {
        Ok(codes) => page(&Account { codes, ..Account::new(&user) }),
        Err(error) => {
            let (status, message) = told(&user, &Problem::Access(error));
            page_with(status, &Account { codes_problem: Some(message), ..Account::new(&user) })
        }
    }
}

fn told(user: &User, problem: &Problem) -> (StatusCode, String) {
    let refusal = user.visitor.refusal(problem);
    (refusal.status, refusal.message)
}
