//! A reader without hands: does over HTTP what a person does in the browser.

use std::time::Duration;

use anyhow::Context as _;
use dokuei_access::Enrolment;
use serde_json::{Value, json};
use totp_rs::Totp;

/// A signed-in browser.
pub(crate) struct Person {
    http: reqwest::Client,
    base: String,
    enrolment: Enrolment,
}

impl Person {
    pub(crate) fn new(base: String, enrolment: Enrolment) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self { http, base, enrolment })
    }

    /// The code that the authenticator shows `steps` steps of 30 s from `now`. Each code is good for one use; the node takes one step ahead, for clocks that
    /// differ, and so a signature need not wait for the step after the sign-in.
    fn code(&self, now_seconds: u64, steps: u64) -> anyhow::Result<String> {
        let totp = Totp::from_url(&self.enrolment.otpauth_url)?;
        Ok(totp.generate(now_seconds + 30 * steps).to_string())
    }

    pub(crate) async fn sign_in(&self, now_seconds: u64) -> anyhow::Result<()> {
        let form = [
            ("account", self.enrolment.account.to_string()),
            ("password", self.enrolment.password.clone()),
            ("code", self.code(now_seconds, 0)?),
        ];
        let answer =
            self.http.post(format!("{}/sign-in", self.base)).header("Origin", &self.base).form(&form).send().await?;
        anyhow::ensure!(answer.status().is_redirection(), "sign-in was refused: {}", answer.status());
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).header("Accept", "application/json").send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "GET {path} answered {status}");
        answer.json().await.with_context(|| format!("GET {path}"))
    }

    /// The bytes under a path.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "GET {path} answered {status}");
        Ok(answer.bytes().await?.to_vec())
    }

    /// Claims as the button of the worklist does.
    pub(crate) async fn claim(&self, case: &str) -> anyhow::Result<()> {
        let answer =
            self.http.post(format!("{}/cases/{case}/claim", self.base)).header("Origin", &self.base).send().await?;
        anyhow::ensure!(answer.status().is_redirection(), "the claim was refused: {}", answer.status());
        Ok(())
    }

    pub(crate) async fn save_draft(
        &self,
        case: &str,
        findings: &str,
        impression: &str,
        recommendation: &str,
    ) -> anyhow::Result<()> {
        let body = json!({ "findings": findings, "impression": impression, "recommendation": recommendation, "base_version": 0 });
        self.json(reqwest::Method::PUT, &format!("/api/v1/cases/{case}/draft"), &body).await.map(drop)
    }

    /// Signs and gives the report version's id.
    pub(crate) async fn sign(&self, case: &str, now_seconds: u64) -> anyhow::Result<String> {
        let body = json!({ "password": self.enrolment.password, "code": self.code(now_seconds, 1)?, "confirm_incomplete": false });
        let signed = self.json(reqwest::Method::POST, &format!("/api/v1/cases/{case}/sign"), &body).await?;
        let location = signed["location"].as_str().context("the node does not say where the report is")?;
        location.rsplit('/').next().map(str::to_owned).context("the report has no id")
    }

    async fn json(&self, method: reqwest::Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request =
            self.http.request(method.clone(), format!("{}{path}", self.base)).header("Origin", &self.base).json(body);
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{method} {path} answered {status}: {text}");
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}
