//! `dokuei export|import|rebuild-index`: objects out, objects in, and the index from the objects.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use dokuei_archive::What;
use dokuei_dimse::{OutgoingObject as _, requestor::Part10File};
use dokuei_domain::{Actor, AeTitle, SopInstanceUid, StudyUid};
use dokuei_ingest::{IngestError, ObjectHead, Origin, Stored};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::accounts::facility_id;
use crate::{
    cli::{ExportArgs, ImportArgs},
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

pub(crate) async fn import(node: &Node, output: Output, args: ImportArgs) -> anyhow::Result<()> {
    let id = facility_id(&args.facility)?;
    let facility = node
        .access
        .facility_issuer(&id)
        .await?
        .with_context(|| format!("there is no facility {id}; see `dokuei facility list`"))?;
    let origin = Origin {
        facility,
        calling: AeTitle::parse("IMPORT")?,
        called: node.config.dicom.ae_title.clone(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        // Imported studies are earlier examinations; a case is opened by what a modality or archive sends to be read.
        opens_case: false,
        association: 0,
    };
    let files = files_below(&args.directory)?;
    let bar = progress_bar(files.len() as u64, "importing");
    let (mut stored, mut again, mut refused) = (0u64, 0u64, Vec::new());
    for path in files {
        match import_one(node, &origin, &path).await {
            Ok(Stored::New { .. }) => stored += 1,
            Ok(Stored::AlreadyStored { .. } | Stored::OwnReport) => again += 1,
            Err(error) => refused.push(json!({ "file": path, "reason": format!("{error:#}") })),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let all_taken = refused.is_empty();
    output.show(&json!({ "stored": stored, "already_stored": again, "refused": refused }), || {
        let mut text = format!("{stored} stored, {again} were there already, {} refused", refused.len());
        for entry in &refused {
            text.push_str(&format!(
                "\n  {}: {}",
                entry["file"].as_str().unwrap_or_default(),
                entry["reason"].as_str().unwrap_or_default()
            ));
        }
        text
    })?;
    anyhow::ensure!(all_taken, "not all files were taken");
    Ok(())
}

async fn import_one(node: &Node, origin: &Origin, path: &Path) -> anyhow::Result<Stored> {
    let file = Part10File::open(path).await?;
    let object = ObjectHead {
        sop_class: file.sop_class.clone(),
        sop_instance: file.sop_instance.clone(),
        transfer_syntax: file.transfer_syntax.clone(),
    };
    let mut incoming = node.ingest.begin(origin, object.clone()).await?;
    let mut source = file.open(&file.transfer_syntax).await?;
    let mut buffer = vec![0; 256 * 1024];
    let received: Result<Stored, IngestError> = async {
        loop {
            let read = source.reader.read(&mut buffer).await.map_err(|_| IngestError::NotFiled)?;
            if read == 0 {
                return incoming.finish().await;
            }
            incoming.write(Bytes::copy_from_slice(&buffer[..read])).await?;
        }
    }
    .await;
    match received {
        Ok(stored) => Ok(stored),
        Err(error) => {
            node.ingest.audit_refusal(origin, &object, &error).await;
            Err(error.into())
        }
    }
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
