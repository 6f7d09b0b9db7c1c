//! `dokuei serve`: the node. Listeners are bound first; only then does anything run.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use dokuei_dimse::{BoundServer, Server, ServerConfig, Stop};
use dokuei_receiver::Receiver;
use dokuei_web::WebSettings;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    compose::Node,
    lifecycle::{Lifecycle, Signals},
    operations::NodeOperations,
    output::Output,
};

/// Connections of one address that are not yet associations, of the 64 that all may have.
const MOST_UNASSOCIATED_PER_PEER: usize = 16;

/// A node whose ports are taken.
pub(crate) struct Listening {
    pub(crate) node: Arc<Node>,
    dicom: BoundServer,
    dicom_tls: Option<SocketAddr>,
    http: TcpListener,
    hangup: Signal,
}

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) dicom: SocketAddr,
    pub(crate) dicom_tls: Option<SocketAddr>,
    pub(crate) http: SocketAddr,
}

impl Listening {
    pub(crate) async fn bind(node: Node) -> anyhow::Result<Self> {
        let config = &node.config;
        let mut dicom = Server::bind(config.dicom.bind, server_config(config))
            .await
            .with_context(|| format!("cannot listen for DICOM on {}; is another program there?", config.dicom.bind))?;
        let dicom_tls = match (config.dicom.tls_bind, &node.tls) {
            (Some(bind), Some(tls)) => {
                let taken = dicom.bind_tls(bind, Arc::clone(tls)).await;
                Some(taken.with_context(|| {
                    format!("cannot listen for DICOM over TLS on {bind}; is another program there?")
                })?)
            }
            _ => None,
        };
        let http = TcpListener::bind(config.http.bind)
            .await
            .with_context(|| format!("cannot listen for HTTP on {}; is another program there?", config.http.bind))?;
        // Heard from now on: a node that is asked to read its files again does not end of it.
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { node: Arc::new(node), dicom, dicom_tls, http, hangup })
    }

    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses { dicom: self.dicom.local_addr(), dicom_tls: self.dicom_tls, http: self.http.local_addr()? })
    }

    /// Starts everything under a lifecycle; returns at once.
    pub(crate) fn start(self, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Self { node, dicom, http, hangup, .. } = self;
        lifecycle.run("tls", crate::tls::watch(node.tls.clone(), hangup, lifecycle.soft.clone()));
        let order = node.config.dicom.transfer_syntaxes.clone().unwrap_or_default();
        let receiver = Receiver::new(Arc::clone(&node.access), Arc::clone(&node.ingest), Arc::clone(&node.commitments))
            .preferring(order.of_class, order.of_all);
        let stop = Stop { soft: lifecycle.soft.clone(), hard: lifecycle.hard.clone() };
        lifecycle.run("dicom", async move {
            receiver.serve(dicom, stop).await;
            Ok(())
        });
        let router = dokuei_web::router(web_state(&node)?).into_make_service_with_connect_info::<SocketAddr>();
        let soft = lifecycle.soft.clone();
        let hard = lifecycle.hard.clone();
        lifecycle.run("http", async move {
            let serving = axum::serve(http, router).with_graceful_shutdown(async move { soft.cancelled().await });
            tokio::select! {
                ended = serving => ended.context("the HTTP server failed"),
                () = hard.cancelled() => Ok(()),
            }
        });
        let runner = node.runner();
        let (soft, hard) = (lifecycle.soft.clone(), lifecycle.hard.clone());
        lifecycle.run("jobs", async move {
            runner.run(soft, hard).await;
            Ok(())
        });
        Ok(())
    }
}

pub(crate) async fn run(node: Node, output: Output) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let listening = Listening::bind(node).await?;
    let addresses = listening.addresses()?;
    let dicom_tls = addresses.dicom_tls.map(tracing::field::display);
    tracing::info!(dicom = %addresses.dicom, dicom_tls, http = %addresses.http, version = env!("CARGO_PKG_VERSION"), "node is up");
    if output.json {
        output.line(
            &json!({ "dicom": addresses.dicom, "dicom_tls": addresses.dicom_tls, "http": addresses.http, "url": format!("http://{}/", addresses.http) }),
        )?;
    }
    let node = Arc::clone(&listening.node);
    let lifecycle = Lifecycle::new();
    listening.start(&lifecycle)?;
    let ended = lifecycle.until_stopped(signals).await;
    node.database.close().await;
    Ok(ended)
}

fn server_config(config: &dokuei_config::Config) -> ServerConfig {
    let dicom = &config.dicom;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    ServerConfig {
        artim: seconds(dicom.artim_seconds),
        dimse_timeout: seconds(dicom.dimse_timeout_seconds),
        idle_timeout: seconds(dicom.idle_timeout_seconds),
        max_pdu: dicom.max_pdu_length,
        // The disk is waited for by threads of associations only; more than there are disks and cores to wait for gain nothing.
        threads: 16,
        max_associations: usize::try_from(dicom.max_associations).unwrap_or(usize::MAX),
        // One machine with hung associations must not shut the other hospitals out.
        max_associations_per_peer: Some(
            usize::try_from(dicom.max_associations.div_ceil(4).max(8)).unwrap_or(usize::MAX),
        ),
        // Nor must one that only connects.
        max_other_connections_per_peer: Some(MOST_UNASSOCIATED_PER_PEER),
        min_bytes_per_second: dicom.min_bytes_per_second,
        ..ServerConfig::default()
    }
}

fn web_state(node: &Node) -> anyhow::Result<dokuei_web::WebState> {
    Ok(dokuei_web::WebState {
        access: Arc::clone(&node.access),
        ingest: Arc::clone(&node.ingest),
        archive: Arc::clone(&node.archive),
        custody: Arc::clone(&node.custody),
        worklist: Arc::clone(&node.worklist),
        reports: Arc::clone(&node.reports),
        operations: Arc::new(NodeOperations {
            database: node.database.clone(),
            store: node.store.clone(),
            ambient: node.ambient.clone(),
            tls: node.tls.clone(),
        }),
        claim_key: node.keys.claim_key(),
        settings: WebSettings {
            public_https: node.config.http.public_url.as_deref().is_some_and(|url| url.starts_with("https://")),
            time_zone: node.time_zone()?,
            ..WebSettings::new(node.organisation(), env!("CARGO_PKG_VERSION"))
        },
    })
}
