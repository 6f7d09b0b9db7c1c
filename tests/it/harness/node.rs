//! A node as its administrator sees it: a binary, a data folder, a command line, signals.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use dokuei_database::{AuditRow, Database};
use dokuei_testkit::{CommandOutput, NodeCommand, NodeProcess, S3Server, TestDatabase, Tool, data_set, eventually, s3};
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_dokuei");

/// Where a node keeps its index.
#[derive(Debug)]
pub(crate) enum Index {
    /// A file in the data folder, as by default.
    Sqlite,
    Postgres(TestDatabase),
    /// On PostgreSQL, and the images in a bucket: nothing that counts is on the machine.
    Shared(TestDatabase, S3Server),
    /// What another node has; see [`TestNode::second`].
    Of {
        database: String,
        images: String,
    },
}

impl Index {
    /// `None`: the machine has no PostgreSQL, and that has been said.
    pub(crate) fn postgres() -> Option<Self> {
        TestDatabase::postgres().map(Self::Postgres)
    }

    /// PostgreSQL and S3; `None` as with [`Self::postgres`].
    pub(crate) fn shared() -> Option<Self> {
        Some(Self::Shared(TestDatabase::postgres()?, S3Server::start().unwrap()))
    }
}

/// A node with a data folder of its own; what runs is killed and the folder removed when this is dropped.
pub(crate) struct TestNode {
    folder: TempDir,
    index: Index,
    settings: BTreeMap<String, String>,
    running: Option<Running>,
    /// Logs of processes that have ended.
    past_log: String,
}

struct Running {
    process: NodeProcess,
    dicom: SocketAddr,
    dicom_tls: Option<SocketAddr>,
    http: SocketAddr,
}

impl TestNode {
    /// An initialised node that does not run and knows nobody. Ports are free ones, studies settle after a second, and a nearly full disk of the
    /// developer's does not matter.
    pub(crate) async fn init(index: Index) -> Self {
        let folder = tempfile::Builder::new().prefix("dokuei-it.").tempdir().unwrap();
        let mut node = Self { folder, index, settings: BTreeMap::new(), running: None, past_log: String::new() };
        node.set("dicom.bind", "127.0.0.1:0")
            .set("http.bind", "127.0.0.1:0")
            .set("worklist.settle_quiet_seconds", 1)
            .set("image_store.low_water_bytes", 0)
            .set("database.low_water_bytes", 0)
            .set("telemetry.log_format", "json");
        node.cli(&["init"]).await;
        node
    }

    /// A running node to which HOSP1 may send.
    pub(crate) async fn start(index: Index) -> Self {
        let mut node = Self::init(index).await;
        node.add_facility("HOSP1", &["HOSP1"]).await;
        node.serve().await;
        node
    }

    /// A second node beside this one, which must have been initialised: the same database, images and keys, and a folder of its own. It does not run.
    pub(crate) async fn second(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("dokuei-it.").tempdir().unwrap();
        for file in files_below(&self.folder().join("keys")).into_iter().chain([self.folder().join("dokuei.toml")]) {
            let copy = folder.path().join(file.strip_prefix(self.folder()).unwrap());
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            // With its permissions, which the node insists on.
            std::fs::copy(&file, &copy).unwrap();
        }
        let permissions = std::fs::metadata(self.folder().join("keys")).unwrap().permissions();
        std::fs::set_permissions(folder.path().join("keys"), permissions).unwrap();
        let index = Index::Of { database: self.database_url(), images: self.image_store_url() };
        Self { folder, index, settings: self.settings.clone(), running: None, past_log: String::new() }
    }

    /// Sets `section.key` for the commands that follow.
    pub(crate) fn set(&mut self, key: &str, value: impl ToString) -> &mut Self {
        let variable = format!("DOKUEI__{}", key.replace('.', "__").to_uppercase());
        self.settings.insert(variable, value.to_string());
        self
    }

    /// Sets an environment variable that is none of ours.
    pub(crate) fn set_variable(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn database_url(&self) -> String {
        match &self.index {
            Index::Sqlite => format!("sqlite://{}/dokuei.db", self.folder().display()),
            Index::Postgres(database) | Index::Shared(database, _) => database.url().to_owned(),
            Index::Of { database, .. } => database.clone(),
        }
    }

    fn image_store_url(&self) -> String {
        match &self.index {
            Index::Shared(_, server) => server.url("node"),
            Index::Of { images, .. } => images.clone(),
            Index::Sqlite | Index::Postgres(_) => format!("file://{}", self.image_store().display()),
        }
    }

    /// The server of a node whose images are in a bucket.
    pub(crate) fn s3(&self) -> Option<&S3Server> {
        match &self.index {
            Index::Shared(_, server) => Some(server),
            _ => None,
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.settings.clone().into_iter().collect();
        all.push(("DOKUEI__DATABASE__URL".to_owned(), self.database_url()));
        if let Index::Shared(..) | Index::Of { .. } = self.index {
            let images = self.image_store_url();
            let keys = [("URL", images.as_str()), ("ACCESS_KEY", s3::ACCESS_KEY), ("SECRET_KEY", s3::SECRET_KEY)];
            all.extend(keys.map(|(key, value)| (format!("DOKUEI__IMAGE_STORE__{key}"), value.to_owned())));
        }
        all
    }

    // ---- the command line

    /// Runs a command on the node's data and gives its output, whatever it is.
    pub(crate) async fn try_cli(&self, arguments: &[&str]) -> CommandOutput {
        let mut tool = Tool::at(BINARY).args(arguments).arg("--json").arg("--data-dir").arg(self.folder());
        for (name, value) in self.environment() {
            tool = tool.env(name, value);
        }
        tool.timeout(PATIENCE).run_async().await.unwrap()
    }

    /// Starts a command on the node's data that a test means to disturb.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> NodeProcess {
        let mut command = NodeCommand::new(BINARY).args(arguments).arg("--json").arg("--data-dir").arg(self.folder());
        for (name, value) in self.environment() {
            command = command.env(name, value);
        }
        command.start().unwrap()
    }

    /// Runs a command that must succeed and gives its JSON.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Value {
        let output = self.try_cli(arguments).await.success();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// Adds a facility with the calling AE titles (`HOSP1:prior`); its issuer of patient IDs is made from its name.
    pub(crate) async fn add_facility(&self, id: &str, calling: &[&str]) {
        self.add_facility_with(id, calling, &[]).await;
    }

    /// As [`Self::add_facility`], with more arguments.
    pub(crate) async fn add_facility_with(&self, id: &str, calling: &[&str], more: &[&str]) {
        let arc: String = id.bytes().map(|byte| byte.to_string()).collect();
        let issuer = format!("1.2.392.100495.20.3.51.1{arc}");
        let mut arguments = vec!["facility", "add", "--id", id, "--name", "デモ病院", "--issuer", &issuer];
        for title in calling {
            arguments.extend(["--calling-aet", title]);
        }
        arguments.extend(more);
        self.cli(&arguments).await;
    }

    // ---- the process

    /// Starts the node and waits until it listens.
    pub(crate) async fn serve(&mut self) {
        assert!(self.running.is_none(), "the node runs already");
        let mut command = NodeCommand::new(BINARY).args(["serve", "--json", "--data-dir"]).arg(self.folder());
        for (name, value) in self.environment() {
            command = command.env(name, value);
        }
        let process = command.start().unwrap();
        let line = process.wait_for_line(PATIENCE, |line| serde_json::from_str::<Value>(line).ok()).await.unwrap();
        let address = |key: &str| line[key].as_str().and_then(|text| text.parse().ok());
        let (Some(dicom), Some(http)) = (address("dicom"), address("http")) else { panic!("no addresses in {line}") };
        self.running = Some(Running { process, dicom, dicom_tls: address("dicom_tls"), http });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the node does not run")
    }

    pub(crate) fn dicom(&self) -> SocketAddr {
        self.running().dicom
    }

    pub(crate) fn dicom_tls(&self) -> SocketAddr {
        self.running().dicom_tls.expect("the node does not listen for TLS")
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        Tool::find("kill").unwrap().arg("-HUP").arg(self.process().id().to_string()).run().unwrap().success();
    }

    /// Such as `http://127.0.0.1:41234`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running().http)
    }

    pub(crate) fn process(&self) -> &NodeProcess {
        &self.running().process
    }

    fn ended(&mut self) -> NodeProcess {
        let running = self.running.take().expect("the node does not run");
        self.past_log.push_str(&running.process.stderr_text());
        running.process
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process().kill().unwrap();
        self.ended();
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn wait_for_end(&mut self) -> ExitStatus {
        let status = self.process().wait_for_exit(PATIENCE).await.unwrap();
        self.ended();
        status
    }

    /// SIGTERM, and a clean end.
    pub(crate) async fn stop(&mut self) {
        self.process().terminate().unwrap();
        let status = self.wait_for_end().await;
        assert_eq!(status.code(), Some(0), "the node did not stop cleanly\n{}", self.log_text());
    }

    /// The most memory that the process has had in use so far, in MiB (VmHWM).
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("no VmHWM");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
    }

    // ---- what it said

    /// Everything written to standard error by all processes of this node.
    pub(crate) fn log_text(&self) -> String {
        let now = self.running.as_ref().map(|running| running.process.stderr_text()).unwrap_or_default();
        format!("{}{now}", self.past_log)
    }

    /// The log lines of level WARN or ERROR.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.log_text();
        let loud = |line: &&str| {
            let level =
                serde_json::from_str::<Value>(line).ok().and_then(|line| line["level"].as_str().map(str::to_owned));
            // What is no log line is a panic or worse.
            level.is_none_or(|level| level == "WARN" || level == "ERROR")
        };
        log.lines().filter(loud).map(str::to_owned).collect()
    }

    /// Waits for a log line that contains the text.
    pub(crate) async fn logged(&self, text: &str) {
        let what = format!("'{text}' in the log");
        let found = eventually(&what, PATIENCE, || async { self.log_text().contains(text).then_some(()) });
        found.await.unwrap_or_else(|error| panic!("{error}\n{}", self.log_text()));
    }

    // ---- what it keeps

    /// The database, opened beside the node.
    pub(crate) async fn database(&self) -> Database {
        Database::open(&self.database_url()).await.unwrap()
    }

    /// Loses the index: the file, or everything in the PostgreSQL database. The node must not run.
    pub(crate) fn lose_database(&mut self) {
        assert!(self.running.is_none());
        match &mut self.index {
            Index::Sqlite => {
                for name in ["dokuei.db", "dokuei.db-wal", "dokuei.db-shm"] {
                    let path = self.folder.path().join(name);
                    assert!(name != "dokuei.db" || path.exists());
                    let _ = std::fs::remove_file(path);
                }
            }
            Index::Postgres(database) | Index::Shared(database, _) => {
                *database = TestDatabase::postgres().expect("it was there before");
            }
            Index::Of { .. } => panic!("the database is another node's"),
        }
    }

    /// The latest audit rows, newest first.
    pub(crate) async fn audit(&self) -> Vec<AuditRow> {
        let database = self.database().await;
        let rows = database.read().await.unwrap().audit_latest(1000).await.unwrap();
        database.close().await;
        rows
    }

    /// Waits for an audit row of this action and outcome whose subject or detail contains the text.
    pub(crate) async fn audited(&self, action: &str, outcome: &str, text: &str) -> AuditRow {
        let fits = |row: &AuditRow| {
            row.action == action && row.outcome == outcome && (row.subject.contains(text) || row.detail.contains(text))
        };
        let what = format!("an audit row {action} {outcome} with '{text}'");
        let found = eventually(&what, PATIENCE, || async { self.audit().await.into_iter().find(fits) }).await;
        match found {
            Ok(row) => row,
            Err(error) => panic!("{error}; there are {:#?}", self.audit().await),
        }
    }

    /// How many objects the index has.
    pub(crate) async fn indexed_objects(&self) -> i64 {
        let database = self.database().await;
        let count = database.read().await.unwrap().instance_count().await.unwrap();
        database.close().await;
        count
    }

    pub(crate) fn image_store(&self) -> PathBuf {
        self.folder().join("image-store")
    }

    /// Objects that are being received. Always empty when the images are in a bucket: they are in memory then, or parts that nobody sees.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        files_below(&self.image_store().join("staging"))
    }

    /// Committed objects.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        self.s3().map_or_else(|| files_below(&self.image_store().join("v1")), |server| server.objects("node/v1"))
    }

    /// Nothing is half there: no staged file, and a blob for each indexed or quarantined object.
    pub(crate) async fn nothing_half_stored(&self) {
        let staged =
            eventually("an empty staging folder", PATIENCE, || async { self.staged().is_empty().then_some(()) });
        staged.await.unwrap();
        assert_eq!(self.s3().map_or(0, S3Server::parts_of_unfinished_uploads), 0, "an upload was left");
        let held = self.cli(&["quarantine", "list"]).await.as_array().map_or(0, Vec::len);
        let expected = usize::try_from(self.indexed_objects().await).unwrap() + held;
        assert_eq!(self.blobs().len(), expected, "blobs that belong to nothing, or objects without a blob");
    }

    /// `dokuei export --study`: the data sets by SOP Instance UID.
    pub(crate) async fn export_study(&self, facility: &str, study: &str) -> BTreeMap<String, Vec<u8>> {
        let target = tempfile::tempdir().unwrap();
        let path = target.path().to_str().unwrap();
        let summary = self.cli(&["export", "--facility", facility, "--study", study, path]).await;
        let files = summary["files"].as_array().unwrap();
        let names: Vec<_> = files.iter().map(|file| PathBuf::from(file.as_str().unwrap())).collect();
        assert_eq!(names.len(), files_below(target.path()).len(), "files that the summary does not name");
        let read = |path: PathBuf| {
            let file = std::fs::read(&path).unwrap();
            let uid = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (uid, data_set::data_set_of(&file).unwrap().to_vec())
        };
        names.into_iter().map(read).collect()
    }

    /// The data set of one object, if the node gives it out.
    pub(crate) async fn export_instance(&self, facility: &str, instance: &str) -> Option<Vec<u8>> {
        let target = tempfile::tempdir().unwrap();
        let path = target.path().to_str().unwrap();
        let output = self.try_cli(&["export", "--facility", facility, "--instance", instance, path]).await;
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(1), "{output}");
            assert!(output.stderr_text().contains("no such"), "{output}");
            return None;
        }
        let file = std::fs::read(target.path().join(format!("{instance}.dcm"))).unwrap();
        Some(data_set::data_set_of(&file).unwrap().to_vec())
    }
}

/// All files below a folder that may not exist.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder or file that disappears while we look was not there.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    files.sort();
    files
}
