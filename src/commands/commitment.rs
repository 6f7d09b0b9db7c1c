//! `dokuei commitment|commit`: what peers have asked us to answer for, and asking a peer.

use std::time::Duration;

use dokuei_archive::AskForCommitment;
use dokuei_dataset::{normalized::CommitmentRequest, objects::InstanceReference};
use dokuei_dimse::{Part10File, RequestorTimeouts};
use dokuei_domain::{Actor, Ambient};
use serde_json::json;

use super::{archive::files_below, peer};
use crate::{
    cli::{CommitArgs, CommitmentCommand},
    compose::Node,
    output::{Output, local_time},
};

const WHO: Actor = Actor::CommandLine;

pub(crate) async fn list(node: &Node, output: Output, command: CommitmentCommand) -> anyhow::Result<()> {
    let CommitmentCommand::List { unanswered } = command;
    let zone = node.time_zone()?;
    let found = node.commitments.list(&WHO, unanswered, 1000).await?;
    let rows: Vec<_> = found
        .iter()
        .map(|row| {
            let time = |at: Option<dokuei_domain::Timestamp>| at.map(|at| local_time(at, &zone));
            json!({ "id": row.id, "facility": row.facility, "calling_aet": row.calling, "transaction": row.transaction, "objects": row.instance_count,
                    "failed": row.failed_count, "state": row.state.as_str(), "requested_at": local_time(row.requested_at, &zone),
                    "checked_at": time(row.checked_at), "answered_at": time(row.answered_at), "last_error": row.last_error })
        })
        .collect();
    let columns = ["requested", "facility", "AE title", "objects", "not committed", "state", "why not answered"];
    output.table(&rows, &columns, "nobody has asked for storage commitment", |row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        vec![
            text("requested_at"),
            text("facility"),
            text("calling_aet"),
            row["objects"].to_string(),
            row["failed"].as_i64().map(|failed| failed.to_string()).unwrap_or_default(),
            text("state"),
            text("last_error"),
        ]
    })
}

pub(crate) async fn ask(output: Output, args: CommitArgs, ambient: &Ambient) -> anyhow::Result<()> {
    let mut references = Vec::new();
    for path in &args.paths {
        for file in files_below(path)? {
            let object = Part10File::open(&file).await?;
            references.push(InstanceReference { sop_class: object.sop_class, sop_instance: object.sop_instance });
        }
    }
    anyhow::ensure!(!references.is_empty(), "there are no DICOM files to ask about");
    let to = AskForCommitment {
        address: args.peer.peer.clone(),
        calling: peer::title(&args.peer.calling)?,
        called: peer::title(&args.peer.called)?,
        timeouts: RequestorTimeouts::default(),
        tls: peer::tls(&args.peer, ambient)?,
    };
    let request = CommitmentRequest { transaction: ambient.new_uid(), references };
    let answer = to.ask(&request, Duration::from_secs(args.wait.into())).await?;
    let Some(result) = answer else {
        anyhow::bail!(
            "{} has accepted the request and not answered on this association; it may bring its answer to {} elsewhere",
            to.address,
            to.calling
        );
    };
    let failed: Vec<_> = result
        .failed
        .iter()
        .map(|failed| json!({ "instance": failed.reference.sop_instance, "reason": format!("{:04X}", failed.reason) }))
        .collect();
    let value =
        json!({ "transaction": request.transaction.as_str(), "committed": result.committed.len(), "failed": failed });
    output.show(&value, || {
        let mut text =
            format!("{} answers for {} of {} objects", to.address, result.committed.len(), request.references.len());
        for failed in &result.failed {
            text.push_str(&format!("\n  {}: {:04X}H", failed.reference.sop_instance, failed.reason));
        }
        text
    })?;
    anyhow::ensure!(
        failed.is_empty() && result.committed.len() == request.references.len(),
        "the peer does not answer for all of them"
    );
    Ok(())
}
