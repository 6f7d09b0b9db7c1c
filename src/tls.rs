//! TLS of the DICOM listener and of outgoing associations: where its files are, and the watch over them.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use dokuei_config::{Config, TlsClientCertificate};
use dokuei_dimse::{ClientCertificate, NodeTls, TlsFiles, tls::Reloaded};
use dokuei_domain::Ambient;
use tokio::{
    signal::unix::Signal,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at without being asked to.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A certificate that should be renewed is said in the log when the node starts and then this often.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The files that the configuration names; `None`: it names none.
pub(crate) fn files(config: &Config) -> Option<TlsFiles> {
    let files = config.dicom_tls_files()?;
    // Without a listener nobody connects, and nobody's authorities are needed.
    let client_certificate = match (config.dicom.tls_bind, config.dicom.tls_client_certificate) {
        (None, _) | (_, TlsClientCertificate::None) => ClientCertificate::NotAskedFor,
        (_, TlsClientCertificate::Optional) => ClientCertificate::Optional,
        (_, TlsClientCertificate::Required) => ClientCertificate::Required,
    };
    Some(TlsFiles {
        certificate: files.certificate,
        key: files.key,
        client_authorities: files.client_ca,
        server_authorities: files.server_ca,
        client_certificate,
    })
}

/// Reads them.
pub(crate) fn open(config: &Config, ambient: &Ambient) -> anyhow::Result<Option<Arc<NodeTls>>> {
    let Some(files) = files(config) else { return Ok(None) };
    let tls = NodeTls::open(files, ambient.clone()).context("cannot use the files of DICOM over TLS")?;
    Ok(Some(Arc::new(tls)))
}

/// Takes changed files over: every half a minute, and at once when asked by SIGHUP. Ends with the node.
pub(crate) async fn watch(
    tls: Option<Arc<NodeTls>>,
    mut hangup: Signal,
    soft: CancellationToken,
) -> anyhow::Result<()> {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reminded: Option<Instant> = None;
    loop {
        let asked = tokio::select! {
            biased;
            () = soft.cancelled() => return Ok(()),
            _ = hangup.recv() => true,
            _ = looks.tick() => false,
        };
        let Some(tls) = &tls else {
            if asked {
                tracing::info!("there is nothing to read again: DICOM over TLS is not configured");
            }
            continue;
        };
        let reading = Arc::clone(tls);
        match tokio::task::spawn_blocking(move || reading.reload()).await? {
            Ok(Reloaded::Unchanged) if asked => tracing::info!("TLS files are as they were"),
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Replaced) => {
                let certificate = tls.certificate();
                let until = certificate.not_after.to_jiff();
                tracing::info!(certificate.subject, certificate.not_after = %until, "TLS files have changed and are in use for new connections");
                reminded = None;
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(error, "TLS files have changed and cannot be used; the ones before stay in use");
            }
        }
        if let Some(trouble) = tls.trouble().filter(|_| reminded.is_none_or(|at| at.elapsed() >= REMIND_EVERY)) {
            tracing::warn!(trouble, "DICOM over TLS needs attention");
            reminded = Some(Instant::now());
        }
    }
}
