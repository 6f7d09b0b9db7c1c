//! `dokuei doctor`: looks at everything a node stands on and says what to do.

use bytes::Bytes;
use dokuei_access::NodeKeys;
use dokuei_config::Config;
use dokuei_database::Database;
use dokuei_domain::{Ambient, BlobId, FacilityId};
use dokuei_image_store::{BlobKey, ImageStore, StoreErrorKind};
use serde::Serialize;

use crate::{
    cli::NodeArgs,
    compose::{keys_dir, load_config, open_store},
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
        found("stored objects", stored_objects(&config).await),
        found("second copy", second_copy(&config).await),
        found("DICOM port", port(config.dicom.bind).await),
        found("DICOM over TLS", dicom_over_tls(&config, &ambient).await),
        found("peer certificates", peer_certificates(&config, &ambient).await),
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
    let store = open_store(config).await?;
    let key = BlobKey::instance(&FacilityId::parse("doctor")?, BlobId(ambient.new_uuid()));
    let probe = Bytes::from_static(b"round trip");
    store.put(key.clone(), probe.clone()).await?;
    let back = store.read_to_vec(&key, 1024).await?;
    let second = store.put(key.clone(), probe.clone()).await;
    store.delete(&key).await?;
    anyhow::ensure!(back == probe, "what was stored came back different; do not use this store");
    anyhow::ensure!(
        second.is_err_and(|error| error.kind == StoreErrorKind::AlreadyExists),
        "the store replaces what it has: it must know If-None-Match, or two nodes could overwrite each other"
    );
    Ok("a blob was stored, read back, not replaced by a second one, and removed".to_owned())
}

async fn free_space(config: &Config) -> anyhow::Result<String> {
    let store = open_store(config).await?;
    let low_water = config.image_store.low_water_bytes;
    let images = enough("the image store", "image_store.low_water_bytes", store.free_bytes().await, low_water)?;
    let Some(directory) = config.database_directory()? else { return Ok(images) };
    let low_water = config.database.low_water_bytes;
    let free = dokuei_ingest::directory_free_bytes(&directory);
    // On the images' disk their mark holds for both.
    let index = if crate::compose::shares_disk(config, &directory) {
        "the database is on the same disk".to_owned()
    } else {
        enough("the database", "database.low_water_bytes", free, low_water)?
    };
    Ok(format!("{images}; {index}"))
}

fn enough(place: &str, key: &str, free: Option<u64>, low_water: u64) -> anyhow::Result<String> {
    let Some(free) = free else { return Ok(format!("{place} does not say")) };
    anyhow::ensure!(
        free >= low_water,
        "{place} has {free} bytes free; below {low_water} nothing is received. Make room, or lower {key}"
    );
    Ok(format!("{place} has {:.1} GiB free", free as f64 / f64::from(1 << 30)))
}

/// What the running node has found; this command reads no object itself.
async fn stored_objects(config: &Config) -> anyhow::Result<String> {
    let database = Database::open(config.database_url()?.expose()).await?;
    let mut tx = database.read().await?;
    let counts = tx.damage_counts().await?;
    let mut stopped = Vec::new();
    for (task, name) in
        [("scrub", "reading again"), ("reconcile", "comparing with the index"), ("copy", "the second copy")]
    {
        if task == "copy" && config.image_store.copy_url.is_none() {
            continue;
        }
        if let Some(error) = tx.custody_task(task).await?.and_then(|row| row.last_error) {
            stopped.push(format!("{name}: {error}"));
        }
    }
    drop(tx);
    database.close().await;
    anyhow::ensure!(
        counts.open == 0,
        "{} are damaged; see `dokuei storage status`, and `dokuei storage repair` if there is a second copy",
        counts.open
    );
    anyhow::ensure!(stopped.is_empty(), "{}", stopped.join("; "));
    Ok("nothing is known to be damaged".to_owned())
}

async fn second_copy(config: &Config) -> anyhow::Result<String> {
    let Some(target) = crate::compose::copy_target(config)? else {
        return Ok("none; image_store.copy_url names one".to_owned());
    };
    let store = ImageStore::connect_with(&target.url, target.options).await?;
    store.answers().await?;
    Ok("it answers".to_owned())
}

async fn dicom_over_tls(config: &Config, ambient: &Ambient) -> anyhow::Result<String> {
    let Some(tls) = crate::tls::open(config, ambient)? else {
        return Ok("not configured; hospitals reach this node by plain DICOM only".to_owned());
    };
    if let Some(trouble) = tls.trouble() {
        anyhow::bail!("dicom.tls_certificate_file: {trouble}");
    }
    let certificate = tls.certificate();
    let place = match config.dicom.tls_bind {
        Some(bind) => port(bind).await?,
        None => "nobody connects over TLS, because dicom.tls_bind is not set".to_owned(),
    };
    let until = certificate.not_after.to_jiff().strftime("%Y-%m-%d");
    Ok(format!("{}, valid until {until}; {place}", certificate.subject))
}

/// Certificates of facilities that end soon: their studies will not arrive then.
async fn peer_certificates(config: &Config, ambient: &Ambient) -> anyhow::Result<String> {
    const SOON_SECONDS: i64 = 30 * 24 * 3600;
    let database = Database::open(config.database_url()?.expose()).await?;
    let mut tx = database.read().await?;
    let mut certificates = Vec::new();
    for facility in tx.facility_list().await?.iter().filter(|facility| facility.disabled_at.is_none()) {
        certificates.extend(tx.peer_certificate_list(&facility.id).await?);
    }
    drop(tx);
    database.close().await;
    let soon = ambient.now().plus_seconds(SOON_SECONDS);
    let ending: Vec<_> = certificates
        .iter()
        .filter(|certificate| certificate.not_after < soon)
        .map(|row| {
            format!("{} of {} ends on {}", row.subject, row.facility, row.not_after.to_jiff().strftime("%Y-%m-%d"))
        })
        .collect();
    anyhow::ensure!(
        ending.is_empty(),
        "{}; ask the facility for its new one and register it with `dokuei facility edit --add-certificate`",
        ending.join(", ")
    );
    Ok(format!("{} registered, none ends within 30 days", certificates.len()))
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
