//! `dokuei send|echo`: checks of a peer, as an SCU.

use anyhow::Context as _;
use dokuei_dimse::{
    Association, ClientTls, ClientTlsFiles, Part10File, RequestorTimeouts, SendOutcome, Target, send_objects,
};
use dokuei_domain::{AeTitle, Ambient};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::archive::files_below;
use crate::{
    cli::{PeerArgs, SendArgs},
    output::{Output, progress_bar},
};

pub(super) fn title(text: &str) -> anyhow::Result<AeTitle> {
    AeTitle::parse(text).with_context(|| format!("'{text}' is not an AE title"))
}

/// What `--tls` and its companions say.
pub(super) fn tls(args: &PeerArgs, ambient: &Ambient) -> anyhow::Result<Option<ClientTls>> {
    let (true, Some(ca)) = (args.tls.tls, &args.tls.ca) else { return Ok(None) };
    let host = args.peer.rsplit_once(':').map_or(args.peer.as_str(), |(host, _)| host);
    let name = args.tls.server_name.as_deref().unwrap_or(host);
    let identity = args.tls.cert.clone().zip(args.tls.key.clone());
    let files = ClientTlsFiles { authorities: ca.clone(), identity };
    Ok(Some(ClientTls::load(&files, name, ambient)?))
}

pub(crate) async fn echo(output: Output, args: PeerArgs, ambient: &Ambient) -> anyhow::Result<()> {
    let (calling, called, tls) = (title(&args.calling)?, title(&args.called)?, tls(&args, ambient)?);
    let status = Association::verify_over(&args.peer, calling, called, RequestorTimeouts::default(), tls).await?;
    output.show(&json!({ "peer": args.peer, "status": status.0 }), || {
        format!("{} answers: {}", args.peer, status.meaning())
    })?;
    anyhow::ensure!(status.is_success(), "the peer did not answer with success");
    Ok(())
}

pub(crate) async fn send(output: Output, args: SendArgs, ambient: &Ambient) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    let mut unreadable = Vec::new();
    for path in &args.paths {
        for file in files_below(path)? {
            match Part10File::open(&file).await {
                Ok(object) => objects.push(object),
                Err(error) => unreadable.push(json!({ "file": file, "reason": error.to_string() })),
            }
        }
    }
    let target = Target {
        address: args.peer.peer.clone(),
        calling: title(&args.peer.calling)?,
        called: title(&args.peer.called)?,
        timeouts: RequestorTimeouts::default(),
        tls: tls(&args.peer, ambient)?,
    };
    let bar = progress_bar(objects.len() as u64, "sending");
    let report = send_objects(&target, objects.clone(), &CancellationToken::new(), |_, _| bar.inc(1)).await;
    bar.finish_and_clear();
    let accepted = report.outcomes.iter().filter(|outcome| outcome.is_accepted()).count();
    let refused: Vec<_> = objects
        .iter()
        .zip(&report.outcomes)
        .filter(|(_, outcome)| !outcome.is_accepted())
        .map(|(object, outcome)| json!({ "file": object.path, "reason": reason(outcome) }))
        .chain(unreadable)
        .collect();
    let error = report.error.as_ref().map(ToString::to_string);
    output.show(&json!({ "accepted": accepted, "refused": refused, "error": error }), || {
        let mut text = format!("{accepted} of {} objects accepted by {}", objects.len(), target.address);
        for entry in &refused {
            text.push_str(&format!(
                "\n  {}: {}",
                entry["file"].as_str().unwrap_or_default(),
                entry["reason"].as_str().unwrap_or_default()
            ));
        }
        text
    })?;
    if let Some(error) = error {
        anyhow::bail!(error);
    }
    anyhow::ensure!(refused.is_empty(), "not all objects were accepted");
    Ok(())
}

fn reason(outcome: &SendOutcome) -> String {
    match outcome {
        SendOutcome::Answered(status) => format!("the peer answered {status}: {}", status.meaning()),
        SendOutcome::NotNegotiated => "the peer takes this kind of object in none of its encodings".to_owned(),
        SendOutcome::Failed(error) => error.to_string(),
        SendOutcome::NotSent => "not sent".to_owned(),
    }
}
