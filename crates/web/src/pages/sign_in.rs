//! Signing in and out, and the language of who is not signed in.

use askama::Template;
use axum::{http::Method, http::StatusCode, response::IntoResponse, response::Response};
use axum_extra::extract::cookie::CookieJar;
use dokuei_access::{Language, SignInError, SignedIn};
use serde::Deserialize;

use super::{page, page_with};
use crate::{
    extract::{Asked, Fields, Id},
    problem::Problem,
    shell::Shell,
    text::Words,
    visitor::{Visitor, see_other},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn {
    pub(crate) shell: Shell,
    pub(crate) t: &'static Words,
    pub(crate) problem: Option<String>,
    pub(crate) notice: Option<&'static str>,
    pub(crate) next: String,
    pub(crate) account: String,
}

#[derive(Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    next: String,
    #[serde(default)]
    notice: String,
}

pub(crate) async fn show(visitor: Visitor, Asked(query): Asked<Query>) -> Result<Response, Problem> {
    let t = visitor.t;
    let notice = match query.notice.as_str() {
        "signed-out" => Some(t.signed_out_notice),
        "password-changed" => Some(t.password_changed),
        _ if !query.next.is_empty() => Some(t.sign_in_first),
        _ => None,
    };
    let next = local(&query.next).to_owned();
    page(&SignIn { shell: Shell::new(&visitor, "sign-in"), t, problem: None, notice, next, account: String::new() })
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    account: String,
    password: String,
    code: String,
    #[serde(default)]
    next: String,
}

pub(crate) async fn submit(visitor: Visitor, Fields(typed): Fields<Credentials>) -> Result<Response, Problem> {
    let access = &visitor.state().access;
    match access.sign_in(&typed.account, &typed.password, &typed.code, &visitor.address).await {
        Ok(signed_in) => begin(&visitor, signed_in, local(&typed.next)).await,
        Err(error) => refused(&visitor, error, &typed),
    }
}

fn refused(visitor: &Visitor, error: SignInError, typed: &Credentials) -> Result<Response, Problem> {
    let refusal = visitor.refusal(&Problem::SignIn(error));
    let shown = SignIn {
        shell: Shell::new(visitor, "sign-in"),
        t: visitor.t,
        problem: Some(refusal.message.clone()),
        notice: None,
        next: local(&typed.next).to_owned(),
        account: typed.account.chars().take(64).collect(),
    };
    Ok(refusal.with_retry_after(page_with(refusal.status, &shown)?))
}

/// A one-time link of the demonstration. A HEAD, as link previews send it, does not use it up.
pub(crate) async fn link(visitor: Visitor, method: Method, Id(token): Id<String>) -> Result<Response, Problem> {
    if method == Method::HEAD {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let signed_in = visitor.state().access.sign_in_with_link(&token, &visitor.address).await?;
    begin(&visitor, signed_in, "/").await
}

/// Sets the new session's cookie and ends the one before it.
async fn begin(visitor: &Visitor, signed_in: SignedIn, next: &str) -> Result<Response, Problem> {
    if let Some(earlier) = &visitor.token {
        visitor.state().access.sign_out(earlier).await?;
    }
    let jar = CookieJar::new().add(visitor.session_cookie(signed_in.token));
    Ok((jar, see_other(next)).into_response())
}

pub(crate) async fn sign_out(visitor: Visitor) -> Result<Response, Problem> {
    if let Some(token) = &visitor.token {
        visitor.state().access.sign_out(token).await?;
    }
    Ok((forgotten(&visitor), see_other("/sign-in?notice=signed-out")).into_response())
}

/// Takes the session's cookie away.
pub(crate) fn forgotten(visitor: &Visitor) -> CookieJar {
    let mut cookie = visitor.session_cookie(String::new());
    cookie.make_removal();
    CookieJar::new().add(cookie)
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    language: String,
    #[serde(default)]
    back: String,
}

/// The switch in the header: stored with the account, and in a cookie for the sign-in page.
pub(crate) async fn language(visitor: Visitor, Fields(choice): Fields<Choice>) -> Result<Response, Problem> {
    let language = Language::parse(&choice.language).ok_or(Problem::BadRequest)?;
    if let Some(session) = &visitor.session {
        visitor.state().access.language_change(&session.actor, language).await?;
    }
    let jar = CookieJar::new().add(visitor.language_cookie(language));
    Ok((jar, see_other(local(&choice.back))).into_response())
}

/// To the sign-in page, and back to `path` afterwards.
pub(crate) fn redirect_here(path: &str) -> Response {
    let path = local(path);
    if path == "/" {
        return see_other("/sign-in");
    }
    let escaped: String = path.bytes().map(escape).collect();
    see_other(&format!("/sign-in?next={escaped}"))
}

fn escape(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// A path on this node; anything else is the first page. `//host` and `/\host` lead elsewhere.
pub(crate) fn local(path: &str) -> &str {
    let elsewhere = path.starts_with("//") || path.contains('\\') || path.chars().any(char::is_control);
    if path.starts_with('/') && !elsewhere && path.len() <= 512 && path.is_ascii() { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local("/cases/1/read?x=1"), "/cases/1/read?x=1");
        for bad in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "cases", "/a\r\nSet-Cookie: x", "/読影"]
        {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
