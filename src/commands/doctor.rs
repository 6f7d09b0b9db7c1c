//! `dokuei doctor`: looks at everything a node stands on and says what to do.

use bytes::Bytes;
use dokuei_access::NodeKeys;
use dokuei_config::Config;
use dokuei_database::Database;
use dokuei_domain::{Ambient, BlobId, FacilityId};
use dokuei_image_store::{BlobKey, ImageStore};
use serde::Serialize;

use crate::{
    cli::NodeArgs,
    compose::{keys_dir, load_config},
    output::Output,
};

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    detail: String,
}

fn found(what: &'static str, result: anyhow::Result<String>) -> Finding {
    match result {
        Ok(detail) => Finding { what, ok: true, detail },
        Err(error) => Finding { what, ok: false, detail: format!("{error:#}") },
    }
}

pub(crate) async fn run(args: &NodeArgs, output: Output, ambient: Ambient) -> anyhow::Result<()> {
    let config = load_config(args)?;
    let findings = vec![
        found("keys", keys(&config)),
        found("database", database(&config).await),
        found("image store", image_store(&config, &ambient).await),
        found("free space", free_space(&config).await),
        found("DICOM port", port(config.dicom.bind).await),
        found("HTTP port", port(config.http.bind).await),
        found("clock", clock(&ambient)),
    ];
    let healthy = findings.iter().all(|finding| finding.ok);
    output.table(&findings, &["what", "", "detail"], "", |finding| {
        vec![finding.what.to_owned(), if finding.ok { "ok" } else { "BAD" }.to_owned(), finding.detail.clone()]
    })?;
    anyhow::ensure!(healthy, "something needs attention");
    Ok(())
}

fn keys(config: &Config) -> anyhow::Result<String> {
    let directory = keys_dir(config.data_dir());
    NodeKeys::load(&directory)?;
    Ok(format!("{} is complete and private", directory.display()))
}

async fn database(config: &Config) -> anyhow::Result<String> {
    let database = Database::open(config.database_url()?.expose()).await?;
    let mut tx = database.read().await?;
    let instances = tx.instance_count().await?;
    let chain = tx.audit_verify().await?;
    drop(tx);
    let kind = if database.is_sqlite() { "SQLite" } else { "PostgreSQL" };
    database.close().await;
    match chain {
        Ok(rows) => Ok(format!("{kind}, {instances} instances, {rows} audit rows in an unbroken chain")),
        Err(row) => {
            anyhow::bail!("{kind}: audit row {row} does not follow from the one before; somebody changed the trail")
        }
    }
}

async fn image_store(config: &Config, ambient: &Ambient) -> anyhow::Result<String> {
    let store = ImageStore::connect(&config.image_store_url()).await?;
    let key = BlobKey::instance(&FacilityId::parse("doctor")?, BlobId(ambient.new_uuid()));
    let probe = Bytes::from_static(b"round trip");
    store.put(key.clone(), probe.clone()).await?;
    let back = store.read_to_vec(&key, 1024).await?;
    store.delete(&key).await?;
    anyhow::ensure!(back == probe, "what was stored came back different; do not use this disk");
    Ok("a blob was stored, read back and removed".to_owned())
}

async fn free_space(config: &Config) -> anyhow::Result<String> {
    let store = ImageStore::connect(&config.image_store_url()).await?;
    let Some(free) = store.free_bytes().await else { return Ok("the store does not say".to_owned()) };
    let low_water = config.image_store.low_water_bytes;
    anyhow::ensure!(
        free > low_water,
        "{free} bytes are free; below {low_water} nothing is received. Make room, or lower image_store.low_water_bytes"
    );
    Ok(format!("{:.1} GiB free", free as f64 / f64::from(1 << 30)))
}

async fn port(bind: std::net::SocketAddr) -> anyhow::Result<String> {
    match tokio::net::TcpListener::bind(bind).await {
        Ok(_) => Ok(format!("{bind} is free for the node")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{bind} is in use; by the running node, if it runs"))
        }
        Err(error) => Err(anyhow::anyhow!(error).context(format!("cannot listen on {bind}"))),
    }
}

fn clock(ambient: &Ambient) -> anyhow::Result<String> {
    let now = ambient.now().to_jiff();
    let built: jiff::Timestamp = "2026-11-01T00:00:00Z".parse()?;
    anyhow::ensure!(now > built, "the clock says {now}; set it, certificates and codes depend on it");
    Ok(now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
