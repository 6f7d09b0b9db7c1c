//! The loop without a person: claim, write, sign, and wait until the hospital holds the report.

use std::{path::PathBuf, sync::Mutex};

use anyhow::Context as _;
use dokuei_dataset::part10;
use dokuei_domain::{Actor, Ambient, Timestamp};
use dokuei_report::DeliveryState;
use serde_json::{Value, json};

use super::{Stage, person::Person, until};
use crate::{compose::Node, output::Output};

/// Prints one line for each step with the seconds it took.
pub(crate) struct Steps {
    output: Output,
    shown: bool,
    ambient: Ambient,
    last: Mutex<Timestamp>,
}

impl Steps {
    pub(crate) fn start(output: Output, shown: bool, ambient: Ambient) -> Self {
        let last = Mutex::new(ambient.now());
        Self { output, shown, ambient, last }
    }

    pub(crate) fn step(&self, name: &str) -> anyhow::Result<()> {
        self.print(name, json!({}))
    }

    fn print(&self, step: &str, more: Value) -> anyhow::Result<()> {
        let now = self.ambient.now();
        let seconds = {
            let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let micros = now.0 - last.0;
            *last = now;
            micros as f64 / 1e6
        };
        if !self.shown {
            return Ok(());
        }
        if self.output.json {
            return self.output.line(&Line { step, seconds, more });
        }
        self.output.text(&format!("{step:<34} {seconds:>8.2} s"));
        Ok(())
    }
}

/// One line of `--json`.
#[derive(serde::Serialize)]
struct Line<'a> {
    step: &'a str,
    seconds: f64,
    #[serde(flatten)]
    more: Value,
}

const FINDINGS: &str = "左側頭後頭葉に境界不明瞭な低吸収域を認めます。\n頭蓋内出血を認めません。正中偏位はありません。\n（動作確認のための文章であり、診断ではありません。）";
const IMPRESSION: &str = "左側頭後頭葉の低吸収域。";
const RECOMMENDATION: &str = "MRI（拡散強調像）での評価をご検討ください。";

pub(crate) async fn play(node: &Node, stage: &Stage, steps: &Steps, ambient: &Ambient) -> anyhow::Result<()> {
    let reader = Person::new(stage.url.clone(), stage.people.reader.clone())?;
    reader.sign_in(seconds(ambient)).await?;
    steps.step("reader signed in")?;

    let case = until("the case on the reader's worklist", async || {
        let worklist = reader.get("/api/v1/worklist").await?;
        Ok(worklist
            .as_array()
            .and_then(|entries| entries.first())
            .and_then(|entry| entry["case"].as_str())
            .map(str::to_owned))
    })
    .await?;
    steps.step("case on the worklist")?;
    reader.claim(&case).await?;
    steps.step("case claimed")?;
    let series = reader.get(&format!("/api/v1/cases/{case}/series")).await?;
    let first = series[0]["frames"][0]["href"].as_str().context("the case shows no images")?;
    let image = reader.download(first).await?;
    anyhow::ensure!(
        image.starts_with(&[0xFF, 0xD8]) || image.starts_with(b"\x89PNG"),
        "the node did not render an image"
    );
    steps.step("image looked at")?;
    reader.save_draft(&case, FINDINGS, IMPRESSION, RECOMMENDATION).await?;
    steps.step("draft saved")?;
    let report = reader.sign(&case, seconds(ambient)).await?;
    steps.step("report signed")?;

    let kept = stage.folder.join("report").join(&report);
    std::fs::create_dir_all(&kept)?;
    let mut files = Vec::new();
    for (kind, name) in [
        ("structured_report", "sr.dcm"),
        ("encapsulated_pdf", "report-pdf.dcm"),
        ("manifest", "manifest.json"),
        ("signature", "signature.p7s"),
    ] {
        let bytes = reader.download(&format!("/reports/{report}/files/{kind}?original=1")).await?;
        let path = kept.join(name);
        std::fs::write(&path, &bytes)?;
        files.push((path, bytes));
    }
    let manifest: Value = serde_json::from_slice(&files[2].1).context("the manifest is not JSON")?;
    let sr = returned(stage, &files[0].1, &manifest, "structured report").await?;
    let pdf = returned(stage, &files[1].1, &manifest, "PDF").await?;
    accepted(node, &report).await?;
    steps.step("report returned to the hospital")?;
    let authority = crate::compose::keys_dir(&stage.folder).join("ca.pem");
    let done = json!({
        "study": stage.study.study, "report": report, "case": case, "sr": sr, "pdf": pdf,
        "signature": files[3].0, "manifest": files[2].0, "authority": authority,
        "data_dir": stage.folder,
    });
    steps.print("done", done)
}

/// Waits until the ledger says what the hospital's archive knows already.
async fn accepted(node: &Node, report: &str) -> anyhow::Result<()> {
    let version = report.parse()?;
    until("the ledger to say accepted", async || {
        let detail = node.reports.version(&Actor::CommandLine, version).await?;
        let all = detail.deliveries.iter().all(|delivery| delivery.row.state == DeliveryState::Accepted);
        Ok(all.then_some(()))
    })
    .await
}

fn seconds(ambient: &Ambient) -> u64 {
    u64::try_from(ambient.now().0 / 1_000_000).unwrap_or(0)
}

/// Waits until the hospital's archive holds the object, and compares: the signed file's hash with the manifest, the received data set with the signed one.
async fn returned(stage: &Stage, signed: &[u8], manifest: &Value, what: &str) -> anyhow::Result<PathBuf> {
    let (meta, offset) = part10::parse_header(signed)?;
    let uid = meta.sop_instance.context("the signed file has no SOP Instance UID")?;
    let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed));
    anyhow::ensure!(manifest.to_string().contains(&hash), "the {what} is not the file that was signed");
    let path = stage.received.join(format!("{uid}.dcm"));
    let received = until(&format!("the {what} at the hospital"), async || Ok(std::fs::read(&path).ok())).await?;
    let (_, received_offset) = part10::parse_header(&received)?;
    anyhow::ensure!(
        received[received_offset..] == signed[offset..],
        "the {what} that the hospital holds differs from the signed one"
    );
    Ok(path)
}
