//! A person at the browser, without the browser: forms, JSON and cookies over HTTP.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dokuei_testkit::eventually;
use reqwest::{Client, RequestBuilder, header::LOCATION, redirect::Policy};
use serde_json::{Value, json};
use totp_rs::Totp;

use super::{PATIENCE, TestNode};

/// Seconds for which one code is shown.
const STEP: u64 = 30;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where a redirect leads.
    pub(crate) location: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// 200, or where a form was sent, a redirect.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert!(matches!(self.status, 200 | 204 | 303), "{} {} {}", self.status, self.location, self.text());
        self
    }
}

/// Somebody with an account, a password and an authenticator.
pub(crate) struct Person {
    http: Client,
    base: String,
    account: String,
    password: String,
    authenticator: Totp,
    recovery_codes: Mutex<Vec<String>>,
    last_step: Mutex<u64>,
}

impl Person {
    /// Somebody whom `dokuei reader add` or `user add` has just enrolled.
    pub(crate) fn new(node: &TestNode, enrolment: &Value) -> Self {
        let text = |key: &str| enrolment[key].as_str().unwrap().to_owned();
        let client = Client::builder().cookie_store(true).redirect(Policy::none()).timeout(PATIENCE);
        let codes =
            enrolment["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
        Self {
            http: client.build().unwrap(),
            base: node.url(),
            account: text("account"),
            password: text("password"),
            authenticator: Totp::from_url(text("otpauth_url")).unwrap(),
            recovery_codes: Mutex::new(codes.collect()),
            last_step: Mutex::new(0),
        }
    }

    /// The node has started again on another port. Cookies do not know of ports.
    pub(crate) fn follow(&mut self, node: &TestNode) {
        self.base = node.url();
    }

    pub(crate) fn password(&self) -> String {
        self.password.clone()
    }

    /// The earliest code that was not used before, as soon as the node takes it: it takes the present one and one ahead.
    #[expect(clippy::disallowed_methods, reason = "the node under test is a process that lives by the real clock")]
    pub(crate) async fn code(&self) -> String {
        let next = || async {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / STEP;
            let mut last = self.last_step.lock().unwrap();
            let step = (*last + 1).max(now);
            (step <= now + 1).then(|| {
                *last = step;
                step
            })
        };
        let step = eventually("a fresh code", Duration::from_secs(2 * STEP), next).await.unwrap();
        self.authenticator.generate(step * STEP).to_string()
    }

    /// Signs in with a recovery code, so that the authenticator's codes are left for signatures.
    pub(crate) async fn sign_in(&self) {
        let code = self.recovery_codes.lock().unwrap().pop().expect("no recovery code is left");
        let answer = self.try_sign_in(&self.password, &code).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }

    pub(crate) async fn try_sign_in(&self, password: &str, code: &str) -> Answer {
        self.submit("/sign-in", &[("account", &self.account), ("password", password), ("code", code)]).await
    }

    async fn ask(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
        let location = answer.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        Answer { status, location: location.unwrap_or_default(), body: answer.bytes().await.unwrap().to_vec() }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(self.http.get(self.at(path))).await
    }

    /// Sends a form as the browser does.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.submit_from(&self.base, path, fields).await
    }

    /// Sends a form from a page of another origin.
    pub(crate) async fn submit_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(self.http.post(self.at(path)).header("Origin", origin).form(fields)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.http.put(self.at(path)).header("Origin", &self.base).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.http.post(self.at(path)).header("Origin", &self.base).json(body)).await
    }

    /// As [`Self::post`], when the node may die while it works.
    pub(crate) async fn post_into_the_dark(&self, path: &str, body: &Value) -> Option<u16> {
        let request = self.http.post(self.at(path)).header("Origin", &self.base).json(body);
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }

    // ---- a reader's day

    /// Waits for a case on the reader's worklist.
    pub(crate) async fn first_case(&self) -> String {
        let look = || async {
            let entries = self.get("/api/v1/worklist").await.success().json();
            entries[0]["case"].as_str().map(str::to_owned)
        };
        eventually("a case on the worklist", PATIENCE, look).await.unwrap()
    }

    /// Claims the case and types a report.
    pub(crate) async fn write(&self, case: &str, findings: &str, impression: &str) {
        self.submit(&format!("/cases/{case}/claim"), &[]).await.success();
        let draft = json!({ "findings": findings, "impression": impression, "recommendation": "", "base_version": 0 });
        self.put(&format!("/api/v1/cases/{case}/draft"), &draft).await.success();
    }

    pub(crate) async fn signature(&self) -> Value {
        json!({ "password": self.password, "code": self.code().await, "confirm_incomplete": false })
    }

    pub(crate) async fn try_sign(&self, case: &str) -> Answer {
        self.post(&format!("/api/v1/cases/{case}/sign"), &self.signature().await).await
    }

    /// Signs what was typed and gives the version's id.
    pub(crate) async fn sign(&self, case: &str) -> String {
        let signed = self.try_sign(case).await.success().json();
        signed["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}
