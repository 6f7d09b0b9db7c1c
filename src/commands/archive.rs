//! `dokuei export|rebuild-index`: objects out, and the index from the objects.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dokuei_archive::What;
use dokuei_domain::{Actor, SopInstanceUid, StudyUid};
use serde_json::json;

use super::accounts::facility_id;
use crate::{
    cli::ExportArgs,
    compose::Node,
    output::{Output, progress_bar},
};

pub(crate) async fn export(node: &Node, output: Output, args: ExportArgs) -> anyhow::Result<()> {
    let what = match (&args.study, &args.instance) {
        (Some(uid), _) => What::Study(StudyUid::parse(uid).with_context(|| format!("'{uid}' is not a UID"))?),
        (None, Some(uid)) => {
            What::Instance(SopInstanceUid::parse(uid).with_context(|| format!("'{uid}' is not a UID"))?)
        }
        (None, None) => anyhow::bail!("say --study or --instance"),
    };
    let bar = progress_bar(0, "exporting");
    let facility = facility_id(&args.facility)?;
    let summary = node
        .archive
        .export(&Actor::CommandLine, &facility, &what, &args.directory, node.ambient.now(), |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })
        .await?;
    bar.finish_and_clear();
    output.show(&summary, || {
        format!("{} files, {} bytes in {}", summary.files.len(), summary.bytes, args.directory.display())
    })
}

/// All files below a folder, in the order of their paths.
pub(crate) fn files_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(path) = folders.pop() {
        let kind = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !kind.is_dir() {
            files.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
            folders.push(entry?.path());
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) async fn rebuild_index(node: &Node, output: Output) -> anyhow::Result<()> {
    let bar = progress_bar(0, "reading objects");
    let objects = node.ingest.rebuild_index(|progress| bar.set_position(progress.seen)).await?;
    bar.finish_and_clear();
    let reports = node.reports.rebuild().await?;
    let unreadable = !objects.unreadable.is_empty() || !reports.not_restored.is_empty();
    output.show(&json!({ "objects": objects, "reports": reports }), || {
        let mut text = format!(
            "{} objects seen: {} added, {} were indexed, {} second copies, {} to quarantine\n{} reports restored",
            objects.seen,
            objects.added,
            objects.already_indexed,
            objects.second_copies,
            objects.quarantined,
            reports.restored
        );
        for reason in objects.unreadable.iter().chain(&reports.not_restored) {
            text.push_str(&format!("\nnot indexed: {reason}"));
        }
        text
    })?;
    anyhow::ensure!(!unreadable, "some objects could not be indexed; they stay in the store");
    Ok(())
}
