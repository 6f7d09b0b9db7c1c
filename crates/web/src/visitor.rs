//! Who is looking: the session behind the cookie, the language, and how problems are told to them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use dokuei_access::{Language, Session};
use dokuei_domain::{Actor, Role};
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use crate::{
    pages,
    problem::{Carried, Problem},
    refusal::{Refusal, Tongue},
    state::WebState,
    text::Words,
    transaction_uid::TransactionUids,
};

const LANGUAGE_COOKIE: &str = "dokuei-language";

/// The state with what is made of it once.
pub(crate) struct Shared {
    pub(crate) state: WebState,
    pub(crate) transaction_uids: TransactionUids,
    pub(crate) renders: Arc<Semaphore>,
}

impl Shared {
    /// `__Host-` makes browsers insist on HTTPS, this host and path `/`.
    pub(crate) const fn session_cookie(&self) -> &'static str {
        if self.state.settings.public_https { "__Host-dokuei" } else { "dokuei" }
    }
}

/// Anybody who asks for anything, signed in or not.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Option<Session>,
    pub(crate) token: Option<String>,
    pub(crate) t: &'static Words,
    /// The client's address, for rate limit and audit.
    pub(crate) address: String,
    /// Path and query, as asked for.
    pub(crate) path: String,
    is_read: bool,
}

/// Somebody signed in.
pub(crate) struct User {
    pub(crate) visitor: Visitor,
    pub(crate) session: Session,
}

impl Visitor {
    pub(crate) fn state(&self) -> &WebState {
        &self.shared.state
    }

    pub(crate) fn tongue(&self) -> Tongue<'_> {
        Tongue { t: self.t, zone: &self.shared.state.settings.time_zone }
    }

    pub(crate) fn refusal(&self, problem: &Problem) -> Refusal {
        let refusal = Refusal::of(problem, self.tongue());
        if refusal.status.is_server_error() {
            tracing::error!(http.status = refusal.status.as_u16(), error = chain(problem), "request failed");
        }
        refusal
    }

    /// The cookie that carries a session's token. It ends with the browser; the session's own limits are kept by the server.
    pub(crate) fn session_cookie(&self, token: String) -> Cookie<'static> {
        self.cookie(self.shared.session_cookie(), token)
    }

    pub(crate) fn language_cookie(&self, language: Language) -> Cookie<'static> {
        self.cookie(LANGUAGE_COOKIE, language.as_str().to_owned())
    }

    fn cookie(&self, name: &'static str, value: String) -> Cookie<'static> {
        let secure = self.shared.state.settings.public_https;
        Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Lax).secure(secure).build()
    }

    /// The request changes nothing and can be repeated.
    pub(crate) const fn is_read(&self) -> bool {
        self.is_read
    }

    fn answer(&self, problem: &Problem) -> Response {
        let refusal = self.refusal(problem);
        let response = if self.path.starts_with("/api/") {
            (refusal.status, Json(&refusal)).into_response()
        } else if matches!(problem, Problem::SignedOut) {
            pages::sign_in::redirect_here(if self.is_read { &self.path } else { "" })
        } else {
            pages::message::page(self, &refusal)
        };
        refusal.with_retry_after(response)
    }
}

impl User {
    pub(crate) fn state(&self) -> &WebState {
        self.visitor.state()
    }

    pub(crate) fn actor(&self) -> &Actor {
        &self.session.actor
    }

    pub(crate) fn t(&self) -> &'static Words {
        self.visitor.t
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.state().settings.time_zone
    }

    pub(crate) fn is(&self, role: Role) -> bool {
        self.session.role == role
    }

    /// The Transaction UID under which this reader holds a workitem.
    pub(crate) fn transaction_uid(&self, workitem: &str) -> String {
        self.visitor.shared.transaction_uids.derive(workitem, &self.session.account)
    }
}

/// Finds out who asks, and puts a problem that comes back into words.
pub(crate) async fn meet(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let jar = CookieJar::from_headers(request.headers());
    let token = jar.get(shared.session_cookie()).map(|cookie| cookie.value().to_owned());
    let found = match &token {
        Some(token) => shared.state.access.session(token).await,
        None => Ok(None),
    };
    let (session, failure) = match found {
        Ok(session) => (session, None),
        Err(error) => (None, Some(Problem::Access(error))),
    };
    let language = session.as_ref().map(|session| session.language);
    let language = language.or_else(|| jar.get(LANGUAGE_COOKIE).and_then(|cookie| Language::parse(cookie.value())));
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    let visitor = Visitor {
        shared,
        session,
        token,
        t: Words::of(language.unwrap_or_default()),
        address: address.unwrap_or_else(|| "unknown".to_owned()),
        path: request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        is_read: request.method().is_safe(),
    };
    if let Some(problem) = failure {
        return visitor.answer(&problem);
    }
    request.extensions_mut().insert(visitor.clone());
    let response = next.run(request).await;
    match response.extensions().get::<Carried>() {
        Some(carried) => visitor.answer(&carried.0),
        None => response,
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Problem::Task("the route stands outside of the visitor's layer".to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        let session = visitor.session.clone().ok_or(Problem::SignedOut)?;
        Ok(Self { visitor, session })
    }
}

/// A redirect that is followed with GET.
pub(crate) fn see_other(path: &str) -> Response {
    let mut headers = HeaderMap::new();
    let location = HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    headers.insert(header::LOCATION, location);
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = inner.source();
    }
    text
}
