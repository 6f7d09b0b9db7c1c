//! Puts the concrete parts of a node together, from the configuration. Read top to bottom: what depends on what.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use dokuei_access::{Access, AccessSettings, NodeKeys};
use dokuei_archive::{
    Archive, CommitmentSettings, Commitments,
    custody::{CopyTarget, Custody, CustodySettings},
};
use dokuei_config::Config;
use dokuei_database::Database;
use dokuei_dimse::NodeTls;
use dokuei_domain::{AeTitle, Ambient};
use dokuei_image_store::{ImageStore, S3Credentials, StoreOptions};
use dokuei_ingest::{Ingest, IngestSettings};
use dokuei_jobs::{Backoff, Handler, Periodic, Runner, RunnerSettings};
use dokuei_report::{ReportSettings, Reports};
use dokuei_worklist::{Turnaround, Worklist, WorklistSettings};
use jiff::tz::TimeZone;

use crate::{adopter::IngestAdopter, cli::NodeArgs, operations::Housekeeping};

/// The parts of one node.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) ambient: Ambient,
    pub(crate) database: Database,
    pub(crate) store: ImageStore,
    pub(crate) keys: Arc<NodeKeys>,
    pub(crate) access: Arc<Access>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) commitments: Arc<Commitments>,
    pub(crate) custody: Arc<Custody>,
    pub(crate) worklist: Arc<Worklist>,
    pub(crate) reports: Arc<Reports>,
    /// Of a node that serves and has TLS configured.
    pub(crate) tls: Option<Arc<NodeTls>>,
}

/// What a mode of running adds to the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mode {
    /// One-time sign-in links exist.
    pub(crate) demonstration: bool,
    /// For the listener and for reports that are returned over TLS. Commands do without, so that files in disorder do not keep anybody from mending.
    pub(crate) tls: Option<Arc<NodeTls>>,
}

impl Node {
    /// Opens everything; the data folder must have been initialised.
    pub(crate) async fn open(config: Config, ambient: Ambient, mode: Mode) -> anyhow::Result<Self> {
        let data_dir = config.data_dir().to_owned();
        let directory = keys_dir(&data_dir);
        let keys = Arc::new(tokio::task::spawn_blocking(move || NodeKeys::load(&directory)).await??);
        let database = Database::open(config.database_url()?.expose()).await.context("cannot open the database")?;
        let store = open_store(&config).await?;
        let time_zone = time_zone(&config)?;
        let ae_title = config.dicom.ae_title.clone();

        let access = Arc::new(Access::new(
            database.clone(),
            ambient.clone(),
            Arc::clone(&keys),
            access_settings(&config, &ae_title, mode.demonstration),
        ));
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), ingest_settings(&config));
        let archive = Arc::new(Archive::new(database.clone(), store.clone()));
        let commitments = Commitments::new(
            database.clone(),
            store.clone(),
            ambient.clone(),
            CommitmentSettings { tls: mode.tls.clone(), ..commitment_settings(&config, &ae_title) },
        );
        watch_database_disk(&config, &ingest)?;
        let custody = custody(&config, &database, &store, &ambient, &ingest)?;
        let worklist = Arc::new(Worklist::new(
            database.clone(),
            ambient.clone(),
            WorklistSettings {
                claim_minutes: config.worklist.claim_minutes,
                pickup_minutes: config.worklist.pickup_minutes,
                turnaround: Turnaround {
                    emergency_minutes: config.worklist.emergency_minutes,
                    urgent_minutes: config.worklist.urgent_minutes,
                    routine_minutes: config.worklist.routine_hours * 60,
                },
                time_zone: time_zone.clone(),
            },
        ));
        let reports = Reports::new(
            database.clone(),
            store.clone(),
            ambient.clone(),
            Arc::clone(&access),
            ReportSettings { tls: mode.tls.clone(), ..report_settings(&config, time_zone) },
        );
        Ok(Self {
            config,
            ambient,
            database,
            store,
            keys,
            access,
            ingest,
            archive,
            commitments,
            custody,
            worklist,
            reports,
            tls: mode.tls,
        })
    }

    /// Loads the configuration as the arguments say and opens the node.
    pub(crate) async fn from_args(args: &NodeArgs, ambient: Ambient) -> anyhow::Result<Self> {
        Self::open(load_config(args)?, ambient, Mode::default()).await
    }

    pub(crate) fn organisation(&self) -> &str {
        &self.config.node.organisation
    }

    pub(crate) fn time_zone(&self) -> anyhow::Result<TimeZone> {
        time_zone(&self.config)
    }

    /// The background work of all use cases.
    pub(crate) fn runner(&self) -> Runner {
        let handlers: Vec<Arc<dyn Handler>> =
            [self.ingest.handlers(), self.commitments.handlers(), self.worklist.handlers(), self.reports.handlers()]
                .concat();
        let periodics: Vec<Arc<dyn Periodic>> = [
            self.ingest.periodics(),
            self.commitments.periodics(),
            self.worklist.periodics(),
            self.reports.periodics(),
            self.custody.periodics(),
            vec![self.housekeeping()],
        ]
        .concat();
        let worker = format!("{}-{}", std::process::id(), self.ambient.new_uuid());
        let settings =
            RunnerSettings { backoff: Backoff { base_seconds: 2, cap_seconds: 300 }, ..RunnerSettings::new(worker) };
        Runner::new(self.database.clone(), self.ambient.clone(), handlers, periodics, settings)
    }

    fn housekeeping(&self) -> Arc<dyn Periodic> {
        Arc::new(Housekeeping {
            database: self.database.clone(),
            access: Arc::clone(&self.access),
            ambient: self.ambient.clone(),
        })
    }

    /// Gives the database back, so that SQLite folds its log in.
    pub(crate) async fn close(self) {
        let Self { database, .. } = self;
        database.close().await;
    }
}

/// Where images are, with the keys that the configuration has for it.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<ImageStore> {
    let credentials = config.image_store_keys()?.map(|keys| S3Credentials {
        access_key: keys.access_key.expose().to_owned(),
        secret_key: keys.secret_key.expose().to_owned(),
    });
    let options = StoreOptions { credentials, overflow: Some(config.data_dir().join("overflow")) };
    ImageStore::connect_with(&config.image_store_url(), options).await.context("cannot open the image store")
}

/// The zone in which readers' hours hold and times are shown.
pub(crate) fn time_zone(config: &Config) -> anyhow::Result<TimeZone> {
    Ok(TimeZone::get(&config.node.time_zone)?)
}

/// Where the node's keys are.
pub(crate) fn keys_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("keys")
}

/// The configuration: `--config`, else the one in the data folder, else the system's, else the defaults; `--data-dir` wins over what it says.
pub(crate) fn load_config(args: &NodeArgs) -> anyhow::Result<Config> {
    let in_data_dir =
        args.data_dir.as_ref().map(|directory| directory.join("dokuei.toml")).filter(|path| path.exists());
    let of_system =
        Some(PathBuf::from("/etc/dokuei/dokuei.toml")).filter(|path| args.data_dir.is_none() && path.exists());
    let path = args.config.clone().or(in_data_dir).or(of_system);
    let config = Config::load(path.as_deref(), std::env::vars_os())?;
    Ok(match &args.data_dir {
        Some(directory) => config.with_data_dir(directory)?,
        None => config,
    })
}

fn access_settings(config: &Config, ae_title: &AeTitle, sign_in_links: bool) -> AccessSettings {
    let access = &config.access;
    AccessSettings {
        session_idle_seconds: i64::from(access.session_idle_minutes) * 60,
        session_absolute_seconds: i64::from(access.session_absolute_hours) * 3600,
        failures_per_account: access.sign_in_attempts,
        failure_window_seconds: i64::from(access.sign_in_window_minutes) * 60,
        sign_in_links,
        ..AccessSettings::new(ae_title.clone())
    }
}

fn report_settings(config: &Config, time_zone: TimeZone) -> ReportSettings {
    let report = &config.report;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    ReportSettings {
        time_zone,
        connect_timeout: seconds(report.connect_timeout_seconds),
        response_timeout: seconds(report.response_timeout_seconds),
        delivery_backoff: Backoff {
            base_seconds: report.back_off_base_seconds.into(),
            cap_seconds: report.back_off_cap_seconds.into(),
        },
        delivery_max_attempts: report.max_attempts,
        ..ReportSettings::new(report.calling_ae_title.clone(), config.node.organisation.clone())
    }
}

fn commitment_settings(config: &Config, ae_title: &AeTitle) -> CommitmentSettings {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut settings = CommitmentSettings::new(ae_title.clone());
    settings.report_ae_title = config.report.calling_ae_title.clone();
    settings.timeouts.connect = seconds(config.report.connect_timeout_seconds);
    settings.timeouts.response = seconds(config.report.response_timeout_seconds);
    settings
}

fn ingest_settings(config: &Config) -> IngestSettings {
    IngestSettings {
        settle_quiet_seconds: i64::from(config.worklist.settle_quiet_seconds),
        settle_patience_seconds: i64::from(config.worklist.settle_patience_seconds),
        max_object_bytes: config.dicom.max_object_bytes,
        low_water_bytes: config.image_store.low_water_bytes,
    }
}

/// A database on its own disk is watched too; on the images' disk their mark holds for both.
fn watch_database_disk(config: &Config, ingest: &Ingest) -> anyhow::Result<()> {
    let Some(directory) = config.database_directory()? else { return Ok(()) };
    if !shares_disk(config, &directory) {
        ingest.space().watch_directory("database", directory, config.database.low_water_bytes);
    }
    Ok(())
}

/// Whether the images lie on the file system of this directory.
pub(crate) fn shares_disk(config: &Config, directory: &Path) -> bool {
    let device = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).map(|metadata| metadata.dev()).ok()
    };
    let images = config.image_store_url();
    let images = images.strip_prefix("file://").map(Path::new);
    images.is_some_and(|images| device(images).is_some() && device(images) == device(directory))
}

/// The place of the second copy, if there is to be one.
pub(crate) fn copy_target(config: &Config) -> anyhow::Result<Option<CopyTarget>> {
    let Some(url) = config.image_store_copy_url() else { return Ok(None) };
    let keys = if url.starts_with("s3://") { config.image_store_copy_keys()? } else { None };
    let credentials = keys.map(|keys| S3Credentials {
        access_key: keys.access_key.expose().to_owned(),
        secret_key: keys.secret_key.expose().to_owned(),
    });
    let options = StoreOptions { credentials, overflow: Some(config.data_dir().join("overflow")) };
    Ok(Some(CopyTarget { url, options }))
}

fn custody(
    config: &Config,
    database: &Database,
    store: &ImageStore,
    ambient: &Ambient,
    ingest: &Arc<Ingest>,
) -> anyhow::Result<Arc<Custody>> {
    let section = &config.image_store;
    let copy = copy_target(config)?;
    // An SQLite file has one node: started again, it goes on with its walks at once.
    let only_node = database.is_sqlite();
    let worker = if only_node { "node".to_owned() } else { format!("{}-{}", std::process::id(), ambient.new_uuid()) };
    let settings = CustodySettings {
        scrub_days: section.scrub_days,
        bytes_per_second: section.scrub_bytes_per_second,
        reconcile_full_days: section.reconcile_full_days,
        copy,
        copy_low_water_bytes: section.low_water_bytes,
        worker,
        only_node,
    };
    let space = ingest.space().clone();
    Ok(Custody::new(
        database.clone(),
        store.clone(),
        ambient.clone(),
        settings,
        Arc::new(IngestAdopter(Arc::clone(ingest))),
        Arc::new(move || space.is_receiving()),
    ))
}
