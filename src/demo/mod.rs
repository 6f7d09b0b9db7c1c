//! `dokuei demo`: a node with embedded defaults, a hospital that sends a real CT to it, a reader and an office; or, with `--once`, the whole loop without a
//! person. Everything goes over sockets, as it would between two buildings.

mod hospital;
mod once;
mod people;
mod person;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use dokuei_config::{Config, LogFormat};
use dokuei_dimse::Stop;
use dokuei_domain::{AeTitle, Ambient};

use crate::{
    cli::{DemoArgs, NodeArgs},
    commands::{init, serve::Listening},
    compose::{Mode, Node},
    lifecycle::{Lifecycle, Signals},
    output::Output,
    telemetry,
};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ORGANISATION: &str = "遠隔読影センター";

/// A running demonstration.
struct Stage {
    url: String,
    node_dicom: SocketAddr,
    ae_title: AeTitle,
    people: people::People,
    study: hospital::PreparedStudy,
    received: PathBuf,
    folder: PathBuf,
}

pub(crate) async fn run(
    args: &NodeArgs,
    output: Output,
    demo: &DemoArgs,
    ambient: Ambient,
) -> anyhow::Result<ExitCode> {
    telemetry::start("warn", LogFormat::Text);
    let clock = once::Steps::start(output, demo.once, ambient.clone());
    let folder = args
        .data_dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("dokuei-demo-{}", ambient.new_uuid())));
    anyhow::ensure!(
        !crate::compose::keys_dir(&folder).exists(),
        "{} holds a node already; name an empty folder",
        folder.display()
    );
    // What `--once` made is looked at afterwards; a demonstration for a person leaves nothing, unless its folder was named.
    let _thrown_away = (args.data_dir.is_none() && !demo.once).then(|| ThrowAway(folder.clone()));
    let archive = hospital::HospitalArchive::bind(folder.join("hospital/received"), 0).await?;
    let node = open_node(&folder, &ambient, demo.once).await?;
    let people = people::enrol(&node, archive.address()).await?;
    let listening = listen(node).await?;
    let addresses = listening.addresses()?;
    let node = std::sync::Arc::clone(&listening.node);

    let signals = Signals::listen()?;
    let lifecycle = Lifecycle::new();
    let stop = Stop { soft: lifecycle.soft.clone(), hard: lifecycle.hard.clone() };
    lifecycle.run("hospital", async move {
        archive.serve(stop).await;
        Ok(())
    });
    listening.start(&lifecycle)?;
    clock.step("node is up")?;

    let source = testdata("ct_series_GE_HiSpeed");
    let today = ambient.now().to_jiff().to_zoned(node.time_zone()?).strftime("%Y%m%d").to_string();
    let stage = Stage {
        url: format!("http://{}", addresses.http),
        node_dicom: addresses.dicom,
        ae_title: node.config.dicom.ae_title.clone(),
        people,
        study: hospital::prepare(&source, &folder.join("hospital/to-send"), &ambient, &today)?,
        received: folder.join("hospital/received"),
        folder,
    };
    hospital::send(&stage.study, stage.node_dicom, &stage.ae_title).await?;
    clock.step("study sent")?;

    if demo.once {
        let done = once::play(&node, &stage, &clock, &ambient).await;
        lifecycle.soft.cancel();
        let ended = lifecycle.until_stopped(signals).await;
        node.database.close().await;
        done?;
        return Ok(ended);
    }
    people::enter_request(&node, &stage.study).await?;
    people::show(&node, &stage, output).await?;
    let ended = lifecycle.until_stopped(signals).await;
    node.database.close().await;
    Ok(ended)
}

/// A node with the defaults, except that a study settles within seconds and low disk space does not stop a look around.
async fn open_node(folder: &std::path::Path, ambient: &Ambient, once: bool) -> anyhow::Result<Node> {
    let mut config = Config::load(None, std::env::vars_os())?.with_data_dir(folder)?;
    config.node.organisation = ORGANISATION.to_owned();
    config.worklist.settle_quiet_seconds = if once { 1 } else { 3 };
    config.report.back_off_base_seconds = 1;
    config.image_store.low_water_bytes = 64 << 20;
    if once {
        config.dicom.bind = ANY_PORT;
        config.http.bind = ANY_PORT;
    }
    init::create(folder, ambient, ORGANISATION)?;
    Node::open(config, ambient.clone(), Mode { demonstration: true, ..Mode::default() }).await
}

/// The usual ports where they are free, any others where they are not: a demonstration must not fail because something else runs.
async fn listen(mut node: Node) -> anyhow::Result<Listening> {
    for bind in [&mut node.config.dicom.bind, &mut node.config.http.bind] {
        if tokio::net::TcpListener::bind(*bind).await.is_err() {
            tracing::warn!(address = %bind, "in use; taking a free port instead");
            *bind = ANY_PORT;
        }
    }
    Listening::bind(node).await
}

/// Test data beside the working directory, or beside the source that this binary was built from.
fn testdata(name: &str) -> PathBuf {
    let here = PathBuf::from("testdata").join(name);
    if here.exists() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name) }
}

/// Waits for a state of the node, looking at it again and again.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let waiting = async {
        loop {
            if let Some(found) = look().await? {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting)
        .await
        .with_context(|| format!("gave up waiting for {what}"))?
}

/// A folder that is removed at the end.
struct ThrowAway(PathBuf);

impl Drop for ThrowAway {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
