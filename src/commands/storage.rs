//! `dokuei storage`: how stored objects are, and what can be done about those that are damaged.

use anyhow::Context as _;
use dokuei_archive::custody::{Outcome, StorageStatus};
use dokuei_database::BlobDamageRow;
use dokuei_domain::{Actor, Timestamp};
use dokuei_ingest::SpaceReport;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    cli::StorageCommand,
    compose::Node,
    output::{Output, local_time, progress_bar},
};

const WHO: Actor = Actor::CommandLine;

pub(crate) async fn run(node: &Node, output: Output, command: StorageCommand) -> anyhow::Result<()> {
    match command {
        StorageCommand::Status => status(node, output).await,
        StorageCommand::Scrub => scrub(node, output).await,
        StorageCommand::Reconcile => reconcile(node, output).await,
        StorageCommand::Repair { damage } => repair(node, output, damage).await,
        StorageCommand::RestartCopy => {
            let forgotten = node.custody.restart_copy().await?;
            output.show(&json!({ "to_copy_again": forgotten }), || {
                format!("{forgotten} objects will be copied again by the running node")
            })
        }
    }
}

async fn status(node: &Node, output: Output) -> anyhow::Result<()> {
    let status = node.custody.status().await?;
    let space = node.ingest.space().report().await;
    let (open, _) = node.custody.damages(&WHO).await?;
    let zone = node.time_zone()?;
    let damages: Vec<_> = open.iter().map(|damage| damage_json(damage, &zone)).collect();
    output.show(&json!({ "space": space, "status": status, "damages": damages }), || {
        in_words(&status, &space, &open, &zone)
    })
}

fn damage_json(damage: &BlobDamageRow, zone: &TimeZone) -> Value {
    json!({ "id": damage.id, "facility": damage.facility, "subject": damage.subject, "place": damage.place.as_str(), "kind": damage.kind.as_str(),
            "detail": damage.detail, "blob_key": damage.blob_key, "found_at": local_time(damage.found_at, zone) })
}

fn in_words(status: &StorageStatus, space: &[SpaceReport], damages: &[BlobDamageRow], zone: &TimeZone) -> String {
    let mut lines = Vec::new();
    for place in space {
        let free = place
            .free_bytes
            .map_or_else(|| "does not say what is free".to_owned(), |free| format!("{free} bytes free"));
        let low = if place.low { "; SHORT OF SPACE, nothing is received" } else { "" };
        lines.push(format!("{}: {free}, mark {}{low}", place.place, place.low_water_bytes));
    }
    let at = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| local_time(at, zone));
    let scrub = &status.scrub;
    lines.push(if scrub.under_way {
        format!("read again: {} objects, {} bytes since {}", scrub.done.blobs, scrub.done.bytes, at(scrub.began_at))
    } else {
        format!(
            "read again: all {} objects, {} bytes, until {}",
            scrub.last.blobs,
            scrub.last.bytes,
            at(scrub.finished_at)
        )
    });
    lines.push(format!(
        "compared with the index: everything received until {}, as a whole {}",
        at(status.reconcile.complete_until),
        at(status.reconcile.full_finished_at)
    ));
    lines.push(match &status.copy {
        None => "second copy: none; set image_store.copy_url".to_owned(),
        Some(copy) => format!("second copy: {} objects, {} bytes wait", copy.waiting, copy.waiting_bytes),
    });
    lines.extend(status.warnings().into_iter().map(|warning| format!("! {warning}")));
    for damage in damages {
        lines.push(format!(
            "{} {} {} in the {}: {} ({})",
            damage.id,
            damage.facility,
            damage.subject,
            damage.place.as_str(),
            damage.detail,
            damage.blob_key
        ));
    }
    lines.join("\n")
}

async fn scrub(node: &Node, output: Output) -> anyhow::Result<()> {
    let bar = progress_bar(0, "reading objects again");
    let done = node.custody.scrub_everything(|done| bar.set_position(done.blobs)).await?;
    bar.finish_and_clear();
    output.show(&done, || {
        format!(
            "{} objects, {} bytes and {} copies read; {} damaged",
            done.blobs, done.bytes, done.copies, done.damaged
        )
    })?;
    anyhow::ensure!(done.damaged == 0, "some objects are damaged; see `dokuei storage status`");
    Ok(())
}

async fn reconcile(node: &Node, output: Output) -> anyhow::Result<()> {
    let done = node.custody.reconcile_everything().await?;
    output.show(&done, || {
        format!(
            "{} objects compared; {} adopted, {} could not be adopted, {} damaged, {} signed reports not in the index",
            done.compared, done.adopted, done.not_adopted, done.damaged, done.unindexed_reports
        )
    })?;
    let well = done.damaged == 0 && done.not_adopted == 0;
    anyhow::ensure!(well, "index and store differ; see `dokuei storage status`");
    Ok(())
}

async fn repair(node: &Node, output: Output, damage: Option<String>) -> anyhow::Result<()> {
    let damages = match damage {
        Some(damage) => vec![damage.parse().context("not the identifier of a damage; see `dokuei storage status`")?],
        None => node.custody.damages(&WHO).await?.0.iter().map(|damage| damage.id).collect(),
    };
    let (mut repaired, mut failed) = (Vec::new(), Vec::new());
    for damage in damages {
        match node.custody.repair(&WHO, damage).await {
            Ok(Outcome::Repaired | Outcome::Sound) => repaired.push(damage),
            Ok(Outcome::StillDamaged(reason)) => failed.push(json!({ "damage": damage, "reason": reason })),
            Err(error) => {
                failed.push(json!({ "damage": damage, "reason": format!("{:#}", anyhow::Error::from(error)) }))
            }
        }
    }
    let all_well = failed.is_empty();
    output.show(&json!({ "repaired": repaired, "failed": failed }), || {
        let mut text = format!("{} repaired", repaired.len());
        for failure in &failed {
            text.push_str(&format!("\n{}: {}", failure["damage"], failure["reason"].as_str().unwrap_or_default()));
        }
        text
    })?;
    anyhow::ensure!(all_well, "not everything could be repaired");
    Ok(())
}
