//! A node under load: started from a binary in a folder of its own, killed and started again, its memory read from `/proc`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::{Cluster, Durability, TestDatabase};
use crate::{CommandOutput, NodeCommand, NodeProcess, Tool};

/// The only facility of the node, and its calling AE title.
pub const FACILITY: &str = "SOAK";
/// The node's own AE title.
pub const CALLED: &str = "DOKUEI";

const PATIENCE: Duration = Duration::from_secs(120);

/// Where the node keeps its index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Database {
    /// A file in its folder.
    #[default]
    Sqlite,
    /// On a PostgreSQL server that is started for the run and syncs every commit.
    Postgres,
    /// An empty database that the caller provides.
    Url(String),
}

impl std::str::FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            url if url.starts_with("postgres://") => Ok(Self::Url(url.to_owned())),
            _ => Err("neither sqlite, postgres nor a postgres:// URL".to_owned()),
        }
    }
}

/// How to start the node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    pub binary: PathBuf,
    pub database: Database,
    /// Where its folder is made; the system's temporary folder when `None`. Should be on a disk, not in memory.
    pub work: Option<PathBuf>,
    /// `section.key` and value, on top of ports and folders.
    pub settings: Vec<(String, String)>,
}

impl NodeOptions {
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), database: Database::default(), work: None, settings: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

/// A node with its data; everything is killed and removed when this is dropped.
#[derive(Debug)]
pub struct SoakNode {
    options: NodeOptions,
    running: Option<(NodeProcess, SocketAddr)>,
    folder: TempDir,
    database_url: String,
    _cluster: Option<(Cluster, TestDatabase)>,
}

impl SoakNode {
    /// Initialises a node that knows one facility, and starts it.
    pub fn start(options: NodeOptions) -> anyhow::Result<Self> {
        let mut node = Self::init(options)?;
        node.serve()?;
        Ok(node)
    }

    /// As [`Self::start`], without starting it.
    pub fn init(options: NodeOptions) -> anyhow::Result<Self> {
        allow_many_files();
        let work = options.work.clone().unwrap_or_else(std::env::temp_dir);
        let folder =
            tempfile::Builder::new().prefix("dokuei-soak.").tempdir_in(&work).context("cannot make a folder")?;
        let (cluster, database_url) = match &options.database {
            Database::Sqlite => (None, format!("sqlite://{}/dokuei.db", folder.path().display())),
            Database::Url(url) => (None, url.clone()),
            Database::Postgres => {
                let cluster = Cluster::start(Durability::Durable)?;
                let database = cluster.create_database()?;
                let url = database.url().to_owned();
                (Some((cluster, database)), url)
            }
        };
        let node = Self { options, running: None, folder, database_url, _cluster: cluster };
        node.cli(&["init"])?;
        let issuer = "1.2.392.100495.20.3.51.19999";
        node.cli(&[
            "facility",
            "add",
            "--id",
            FACILITY,
            "--name",
            FACILITY,
            "--issuer",
            issuer,
            "--calling-aet",
            FACILITY,
        ])?;
        Ok(node)
    }

    /// Starts the process and waits until it listens.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "the node runs already");
        let mut command =
            NodeCommand::new(&self.options.binary).args(["serve", "--json", "--data-dir"]).arg(self.folder.path());
        for (name, value) in self.environment() {
            command = command.env(name, value);
        }
        let process = command.start()?;
        let line = process.wait_for_line_blocking(PATIENCE, |line| serde_json::from_str::<Value>(line).ok())?;
        let address = line["dicom"].as_str().and_then(|text| text.parse().ok());
        self.running = Some((process, address.with_context(|| format!("no DICOM address in {line}"))?));
        Ok(())
    }

    fn running(&self) -> anyhow::Result<&(NodeProcess, SocketAddr)> {
        self.running.as_ref().context("the node does not run")
    }

    /// Where it takes associations.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.running()?.1)
    }

    /// kill -9.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running()?.0.kill()?;
        self.running = None;
        Ok(())
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let (process, _) = self.running.take().context("the node does not run")?;
        process.terminate()?;
        let status = process.wait_for_exit_blocking(PATIENCE)?;
        ensure!(status.success(), "the node ended with {status}\n{}", process.stderr_text());
        Ok(())
    }

    /// What it uses now, in MiB (VmRSS).
    pub fn rss_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// The most it has used since it started or since [`Self::forget_peak`], in MiB (VmHWM).
    pub fn rss_peak_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmHWM:")
    }

    /// The peak counts from now on (proc(5), `clear_refs`).
    pub fn forget_peak(&self) -> anyhow::Result<()> {
        let file = format!("/proc/{}/clear_refs", self.running()?.0.id());
        std::fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
    }

    fn status_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running()?.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
    }

    /// CPU seconds of the process so far, in user and kernel mode.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running()?.0.id()))?;
        // The name may contain spaces; fields are counted from the bracket that ends it. utime is field 14 of all.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
        let both = ticks(11).zip(ticks(12)).ok_or_else(|| anyhow!("no times in {stat}"))?;
        // Linux counts them in hundredths of a second towards programs, whatever its own clock (time(7)).
        Ok((both.0 + both.1) / 100.0)
    }

    /// Runs a command on the node's data that must succeed.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = self.try_cli(arguments)?;
        ensure!(output.status.success(), "{output}");
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// Whether the node gives out an object.
    pub fn has_instance(&self, instance: &str) -> anyhow::Result<bool> {
        let folder = tempfile::Builder::new().prefix("export.").tempdir_in(self.path())?;
        let target = folder.path().to_str().context("the folder's name is no UTF-8")?;
        let output = self.try_cli(&["export", "--facility", FACILITY, "--instance", instance, target])?;
        ensure!(output.status.success() || output.stderr_text().contains("no such"), "{output}");
        Ok(output.status.success())
    }

    fn try_cli(&self, arguments: &[&str]) -> anyhow::Result<CommandOutput> {
        let mut tool = Tool::at(&self.options.binary).args(arguments).arg("--json").arg("--data-dir").arg(self.path());
        for (name, value) in self.environment() {
            tool = tool.env(name, value);
        }
        Ok(tool.timeout(Duration::from_secs(3600)).run()?)
    }

    /// `dokuei export` of a study into a new folder on the node's disk.
    pub fn export_study(&self, study: &str) -> anyhow::Result<TempDir> {
        self.export("--study", study)
    }

    /// `dokuei export` of one object.
    pub fn export_instance(&self, instance: &str) -> anyhow::Result<TempDir> {
        self.export("--instance", instance)
    }

    fn export(&self, what: &str, uid: &str) -> anyhow::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("export.").tempdir_in(self.path())?;
        let target = folder.path().to_str().context("the folder's name is no UTF-8")?;
        self.cli(&["export", "--facility", FACILITY, what, uid, target])?;
        Ok(folder)
    }

    /// The data folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// What it has logged since it was started last.
    pub fn log_text(&self) -> String {
        self.running.as_ref().map(|(process, _)| process.stderr_text()).unwrap_or_default()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let fixed = [
            ("dicom.bind", "127.0.0.1:0"),
            ("http.bind", "127.0.0.1:0"),
            ("image_store.low_water_bytes", "0"),
            ("telemetry.log_format", "json"),
            ("database.url", self.database_url.as_str()),
        ];
        let fixed = fixed.iter().map(|(key, value)| (*key, *value));
        let more = self.options.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let variable = |key: &str| format!("DOKUEI__{}", key.replace('.', "__").to_uppercase());
        fixed.chain(more).map(|(key, value)| (variable(key), value.to_owned())).collect()
    }
}

/// Thousands of sockets are more than some systems allow by default; the node inherits what we may.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused: then opening sockets says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
