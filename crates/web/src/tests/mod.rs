//! Stories through the router, with real use cases on SQLite.

mod assets;
mod decisions;
mod facility;
mod office;
mod people;
mod reading;
mod rights;
mod search;
mod security;
mod storage;
mod world;

use std::net::{Ipv4Addr, SocketAddr};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use dokuei_domain::{Actor, CaseId};
use dokuei_testkit::{FakeClock, SeededEntropy, data_set::Encoding, synthetic::CtImage, test_ambient};
use dokuei_worklist::WorklistFilter;
use tower::ServiceExt;

use self::world::World;

/// A node with a clock that stands still.
struct Node {
    world: World,
    clock: FakeClock,
    router: Router,
    _folder: tempfile::TempDir,
}

/// Who asks, with the cookie of their session.
#[derive(Clone, Default)]
struct Browser {
    cookie: Option<String>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// What a request carries.
enum Sent<'a> {
    Nothing,
    Form(&'a str),
    Json(serde_json::Value),
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ambient) = test_ambient(21);
        let world = World::new(folder.path(), ambient).await;
        let router = crate::router(world.state.clone());
        Self { world, clock, router, _folder: folder }
    }

    /// Moves on to a fresh time step of TOTP.
    fn next_step(&self) {
        self.clock.advance(std::time::Duration::from_secs(30));
    }

    async fn sign_in(&self, person: &str) -> Browser {
        let enrolment = &self.world.people[person];
        let form = format!("account={person}&password={}&code={}", enrolment.password, self.world.code(person));
        let answer = self.ask(&Browser::default(), Method::POST, "/sign-in", Sent::Form(&form)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{person}: {}", answer.text());
        Browser { cookie: Some(answer.cookie()) }
    }

    async fn ask(&self, browser: &Browser, method: Method, path: &str, sent: Sent<'_>) -> Answer {
        self.ask_with(browser, method, path, sent, &[]).await
    }

    async fn ask_with(
        &self,
        browser: &Browser,
        method: Method,
        path: &str,
        sent: Sent<'_>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "dokuei.example");
        if let Some(cookie) = &browser.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (media_type, body) = match sent {
            Sent::Nothing => (None, Body::empty()),
            Sent::Form(form) => (Some("application/x-www-form-urlencoded"), Body::from(form.to_owned())),
            Sent::Json(value) => (Some("application/json"), Body::from(value.to_string())),
        };
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, browser: &Browser, path: &str) -> Answer {
        self.ask(browser, Method::GET, path, Sent::Nothing).await
    }

    async fn post(&self, browser: &Browser, path: &str, form: &str) -> Answer {
        self.ask(browser, Method::POST, path, Sent::Form(form)).await
    }

    async fn json(&self, browser: &Browser, method: Method, path: &str, value: serde_json::Value) -> Answer {
        self.ask(browser, method, path, Sent::Json(value)).await
    }

    /// Sends a study of five images for the patient and gives its case, assigned to R1.
    async fn case(&self, from: &str, patient_id: &str, seed: u64) -> CaseId {
        let image = |image: CtImage| {
            image
                .with_patient(patient_id, "Yamada^Taro=山田^太郎=やまだ^たろう".as_bytes(), "ISO_IR 192")
                .part10(Encoding::ExplicitLittleEndian)
        };
        let files: Vec<_> = CtImage::series(5, &SeededEntropy::new(seed)).into_iter().map(image).collect();
        self.world.send(from, &files).await;
        let entries = self.world.state.worklist.entries(&Actor::CommandLine, &WorklistFilter::default()).await.unwrap();
        let case = entries.iter().find(|entry| entry.patient.id == patient_id).expect("a case was opened").case;
        self.world.state.worklist.assign(&Actor::CommandLine, case, Some(world::account("R1"))).await.unwrap();
        case
    }

    /// Claims the case and gives the UID of the workitem that the reading page names.
    async fn claim(&self, browser: &Browser, case: CaseId) -> String {
        let claimed = self.post(browser, &format!("/cases/{case}/claim"), "").await;
        assert_eq!(claimed.location(), format!("/cases/{case}/read"), "{}", claimed.text());
        let page = self.get(browser, &claimed.location()).await;
        assert_eq!(page.status, StatusCode::OK);
        page.between("data-workitem=\"", "\"")
    }

    async fn save(&self, browser: &Browser, case: CaseId, workitem: &str, findings: &str, base_version: i64) -> Answer {
        let draft = serde_json::json!({ "findings": findings, "impression": "異常なし", "recommendation": "", "base_version": base_version });
        self.json(browser, Method::PUT, &format!("/api/v1/cases/{case}/draft?workitem={workitem}"), draft).await
    }

    /// Claims, writes and signs as R1, and gives the path of the report.
    async fn signed_report(&self, browser: &Browser, case: CaseId) -> String {
        let workitem = self.claim(browser, case).await;
        assert_eq!(
            self.save(browser, case, &workitem, "脳実質に明らかな異常を認めません。", 0).await.status,
            StatusCode::OK
        );
        self.next_step();
        let credentials =
            serde_json::json!({ "password": self.world.people["R1"].password, "code": self.world.code("R1") });
        let signed = self
            .json(browser, Method::POST, &format!("/api/v1/cases/{case}/sign?workitem={workitem}"), credentials)
            .await;
        assert_eq!(signed.status, StatusCode::OK, "{}", signed.text());
        signed.json()["location"].as_str().unwrap().to_owned()
    }

    /// Actions of the audit trail, youngest first.
    async fn audit(&self, limit: u32) -> Vec<String> {
        let rows = self.world.database.read().await.unwrap().audit_latest(limit).await.unwrap();
        rows.iter().map(|row| format!("{} {} {}", row.actor, row.action, row.outcome)).collect()
    }
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn location(&self) -> String {
        self.header("location").to_owned()
    }

    /// The session's cookie, as the browser sends it back.
    fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
    }

    fn between(&self, before: &str, after: &str) -> String {
        let text = self.text();
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
        rest.split_once(after).unwrap().0.to_owned()
    }
}
