//! `dokuei report`.

use std::path::Path;

use anyhow::Context as _;
use dokuei_domain::{Actor, DeliveryId, ReportVersionId};
use dokuei_report::ReportFileKind;
use serde_json::json;

use crate::{
    cli::ReportCommand,
    compose::Node,
    output::{Output, local_time},
};

const WHO: Actor = Actor::CommandLine;

pub(crate) async fn run(node: &Node, output: Output, command: ReportCommand) -> anyhow::Result<()> {
    match command {
        ReportCommand::Show { report } => show(node, output, version_id(&report)?).await,
        ReportCommand::Verify { report } => verify(node, output, version_id(&report)?).await,
        ReportCommand::Resend { delivery } => {
            let id: DeliveryId = delivery.parse().context("not a delivery id; see `dokuei report show`")?;
            node.reports.retry_delivery(&WHO, id).await?;
            output.show(&json!({ "delivery": id }), || format!("delivery {id} is sent again"))
        }
        ReportCommand::Files { report, directory } => files(node, output, version_id(&report)?, &directory).await,
    }
}

fn version_id(text: &str) -> anyhow::Result<ReportVersionId> {
    text.parse().with_context(|| format!("'{text}' is not a report's id; `dokuei worklist list --json` names it"))
}

async fn show(node: &Node, output: Output, id: ReportVersionId) -> anyhow::Result<()> {
    let zone = node.time_zone()?;
    let detail = node.reports.version(&WHO, id).await?;
    let version = &detail.version;
    let mut deliveries: Vec<_> = detail
        .deliveries
        .iter()
        .map(|delivery| {
            let row = &delivery.row;
            let attempts: Vec<_> = delivery
                .attempts
                .iter()
                .map(|attempt| {
                    json!({ "number": attempt.number, "started_at": local_time(attempt.started_at, &zone),
                            "outcome": attempt.outcome.map(dokuei_report::AttemptOutcome::as_str), "detail": attempt.detail })
                })
                .collect();
            json!({ "id": row.id, "state": row.state.as_str(), "to": format!("{}@{}:{}", row.target.called, row.target.host, row.target.port),
                    "last_error": row.last_error, "attempts": attempts })
        })
        .collect();
    let mut read = node.database.read().await?;
    for (shown, delivery) in deliveries.iter_mut().zip(&detail.deliveries) {
        if let Some(row) = read.delivery_commitment(delivery.row.id).await? {
            shown["committed_at"] = json!(row.committed_at.map(|at| local_time(at, &zone)));
            shown["commitment_error"] = json!(row.error);
        }
    }
    drop(read);
    let files: Vec<_> = detail
        .files
        .iter()
        .map(|file| json!({ "kind": file.kind.as_str(), "sha256": hex::encode(file.sha256), "blob_key": file.blob_key, "sop_instance": file.object.as_ref().map(|object| object.1.to_string()) }))
        .collect();
    let value = json!({
        "report": version.id, "case": version.case, "number": version.number, "facility": version.facility, "author": version.author,
        "signed_at": local_time(version.signed_at, &zone), "findings": version.findings, "impression": version.impression,
        "recommendation": version.recommendation, "images": version.instance_count, "files": files, "deliveries": deliveries,
    });
    output.show(&value, || serde_json::to_string_pretty(&value).unwrap_or_default())
}

async fn verify(node: &Node, output: Output, id: ReportVersionId) -> anyhow::Result<()> {
    let verification = node.reports.verify(id).await?;
    output.show(&verification, || {
        let lines = verification
            .checks
            .iter()
            .map(|check| format!("{}  {:<22} {}", if check.ok { "ok " } else { "BAD" }, check.name, check.detail));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    anyhow::ensure!(verification.ok, "the report is not what was signed");
    Ok(())
}

async fn files(node: &Node, output: Output, id: ReportVersionId, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let kinds = [
        (ReportFileKind::StructuredReport, "sr.dcm"),
        (ReportFileKind::EncapsulatedPdf, "report-pdf.dcm"),
        (ReportFileKind::Manifest, "manifest.json"),
        (ReportFileKind::Signature, "signature.p7s"),
    ];
    let mut written = Vec::new();
    for (kind, name) in kinds {
        let path = directory.join(name);
        std::fs::write(&path, node.reports.file(&WHO, id, kind).await?.bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    let authority = directory.join("ca.pem");
    std::fs::write(&authority, node.access.authority_pem()?)
        .with_context(|| format!("cannot write {}", authority.display()))?;
    written.push(authority);
    output.show(&json!({ "files": written }), || {
        let verify = "openssl cms -verify -binary -inform DER -in signature.p7s -content manifest.json -CAfile ca.pem -out /dev/null";
        format!("written to {}; check the signature there with\n  {verify}", directory.display())
    })
}
