//! Every route, and what stands around all of them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::{Method, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use tokio::sync::Semaphore;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, csrf::CsrfLayer, timeout::TimeoutLayer};

use crate::{
    api, assets, frames, pages,
    problem::Problem,
    security,
    state::WebState,
    transaction_uid::TransactionUids,
    visitor::{self, Shared},
};

/// The longest body: three texts of a report in JSON.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Signing takes some seconds; nothing should take longer than this.
const REQUEST_SECONDS: u64 = 120;

/// One method of one path.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the rights table names routes by it"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    handler: MethodRouter,
}

fn get<H: Handler<T, ()>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: Method::GET, path, handler: routing::get(handler) }
}

fn post<H: Handler<T, ()>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: Method::POST, path, handler: routing::post(handler) }
}

fn put<H: Handler<T, ()>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: Method::PUT, path, handler: routing::put(handler) }
}

/// All routes of pages and interface. The rights table of the tests has a row for each.
pub(crate) fn routes() -> Vec<Route> {
    use pages::{
        account, admin, case, enrol, holds, message, office, quarantine, reading, report, sign_in, storage, studies,
        worklist,
    };
    vec![
        get("/", message::begin),
        get("/sign-in", sign_in::show),
        post("/sign-in", sign_in::submit),
        get("/sign-in/link/{token}", sign_in::link),
        post("/sign-out", sign_in::sign_out),
        post("/language", sign_in::language),
        get("/worklist", worklist::show),
        get("/cases/{case}", case::show),
        post("/cases/{case}/claim", case::claim),
        get("/cases/{case}/read", reading::show),
        post("/cases/{case}/release", case::release),
        post("/cases/{case}/assign", case::assign),
        get("/reports/{version}", report::show),
        get("/reports/{version}/deliveries", report::deliveries),
        get("/reports/{version}/files/{kind}", report::file),
        post("/deliveries/{delivery}/retry", report::retry),
        get("/studies", studies::list),
        get("/studies/{study}", studies::show),
        post("/studies/{study}/request", studies::enter_request),
        post("/studies/{study}/complete", studies::declare_complete),
        get("/studies/{study}/withdraw", studies::confirm_withdrawal),
        post("/studies/{study}/withdraw", studies::withdraw),
        get("/office", office::show),
        get("/office/quarantine/{object}", quarantine::show),
        post("/office/quarantine/{object}/release", quarantine::release),
        post("/office/quarantine/{object}/reject", quarantine::reject),
        get("/office/holds/{hold}", holds::show),
        post("/office/holds/{hold}/decide", holds::decide),
        post("/jobs/{job}/retry", office::retry_job),
        get("/office/storage", storage::show),
        post("/office/storage/{damage}/verify", storage::verify),
        post("/office/storage/{damage}/repair", storage::repair),
        post("/office/storage/{damage}/accept", storage::accept),
        get("/admin", admin::show),
        post("/admin/reenrolments", admin::request_reenrolment),
        post("/admin/approvals/{approval}/grant", admin::grant),
        post("/admin/approvals/{approval}/refuse", admin::refuse),
        post("/admin/accounts/{account}/disable", admin::disable),
        post("/admin/accounts/{account}/enable", admin::enable),
        get("/enrol/{token}", enrol::show),
        post("/enrol/{token}", enrol::complete),
        get("/account", account::show),
        post("/account/password", account::change_password),
        post("/account/recovery-codes", account::renew_codes),
        get("/api/v1/worklist", api::worklist::list),
        get("/api/v1/cases/{case}/series", api::series::list),
        get("/api/v1/instances/{instance}/frames/{number}", frames::frame),
        put("/api/v1/cases/{case}/draft", api::draft::save),
        post("/api/v1/cases/{case}/keep", api::draft::keep),
        post("/api/v1/cases/{case}/sign", api::sign::sign),
        get("/readyz", api::health::ready),
    ]
}

/// The web: pages, interface, assets and health. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that the rate limit and the audit know
/// the client's address.
pub fn router(state: WebState) -> Router {
    let shared = Arc::new(Shared {
        transaction_uids: TransactionUids::new(&state.claim_key),
        renders: Arc::new(Semaphore::new(state.settings.parallel_renders.max(1))),
        state,
    });
    let mut pages = Router::new();
    for route in routes() {
        pages = pages.route(route.path, route.handler);
    }
    // A browser says where a request comes from (Sec-Fetch-Site, Origin); one that changes something must come from here.
    let same_site = CsrfLayer::new().with_rejection_response(|_| Problem::CrossSite.into_response());
    let pages = pages
        .fallback(pages::message::not_found)
        .method_not_allowed_fallback(pages::message::method_not_allowed)
        .layer(same_site)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(shared, visitor::meet));
    Router::new()
        .route("/assets/style.css", routing::get(assets::style))
        .route("/assets/icon.svg", routing::get(assets::icon))
        .route("/assets/app.js", routing::get(assets::script))
        .route("/healthz", routing::get(api::health::live))
        .merge(pages)
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(REQUEST_SECONDS)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(security::headers))
}

/// The panic's own text is in the log already and may hold anything.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
}
