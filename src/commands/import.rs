//! `dokuei import`: files and media into the archive, beside a running node or without one.

use anyhow::Context as _;
use dokuei_domain::AeTitle;
use dokuei_ingest::{ImportOptions, ImportSummary, Origin};
use tokio::signal::unix::{SignalKind, signal};

use super::accounts::facility_id;
use crate::{
    cli::ImportArgs,
    compose::Node,
    output::{Output, progress_bar},
};

pub(crate) async fn run(node: &Node, output: Output, args: ImportArgs) -> anyhow::Result<()> {
    let id = facility_id(&args.facility)?;
    let facility = node.access.facility_issuer(&id).await?;
    let facility = facility.with_context(|| format!("there is no facility {id}; see `dokuei facility list`"))?;
    let origin = Origin {
        facility,
        calling: AeTitle::parse(&args.calling).with_context(|| format!("'{}' is not an AE title", args.calling))?,
        called: node.config.dicom.ae_title.clone(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        opens_case: args.read,
        association: 0,
    };
    let options = ImportOptions { path: args.directory, ignore_dicomdir: args.ignore_dicomdir };
    let bar = progress_bar(0, "importing");
    let stopped = stop()?;
    let summary = node
        .ingest
        .import(&origin, &options, stopped, |far| {
            bar.set_length(far.found);
            bar.set_position(far.done);
        })
        .await?;
    bar.finish_and_clear();
    output.show(&summary, || in_words(&summary))?;
    anyhow::ensure!(!summary.interrupted, "not finished; start it again to go on, what is stored is passed over");
    anyhow::ensure!(summary.refused == 0, "not all files were taken");
    Ok(())
}

/// Ready at the first signal; a second one ends the process at once, which harms nothing either.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            interrupt.recv().await;
            std::process::exit(130);
        });
    })
}

fn in_words(summary: &ImportSummary) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(["files", "what"]);
    let mebibytes = summary.bytes as f64 / f64::from(1 << 20);
    table.add_row([summary.stored.to_string(), format!("stored, {mebibytes:.1} MiB")]);
    for (count, what) in [
        (summary.already_stored, "were stored already"),
        (summary.own_reports, "are our own reports"),
        (summary.not_dicom, "are no DICOM objects, passed over"),
    ] {
        if count > 0 {
            table.add_row([count.to_string(), what.to_owned()]);
        }
    }
    for (reason, count) in &summary.reasons {
        table.add_row([count.to_string(), format!("refused: {reason}")]);
    }
    let mut text = table.to_string();
    if summary.by_dicomdir {
        text.push_str("\nonly what the DICOMDIR names; --ignore-dicomdir takes all files");
    }
    for refused in &summary.not_imported {
        text.push_str(&format!("\n{}: {}", refused.file, refused.reason));
    }
    let unnamed = summary.refused.saturating_sub(summary.not_imported.len() as u64);
    if unnamed > 0 {
        text.push_str(&format!("\n… and {unnamed} more"));
    }
    text
}
