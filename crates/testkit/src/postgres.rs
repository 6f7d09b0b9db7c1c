//! A database on a real PostgreSQL for each test.
//!
//! `make test` starts one server for the whole run and names it in [`SERVER_VARIABLE`]; a test run by hand starts its own, which ends with
//! the test's process. Both hold data without fsync. A test about power cuts starts a [`Cluster`] of its own with [`Durability::Durable`].

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tool::{Tool, ToolError, is_executable};

/// Names the administrative URL of a server that is already running, such as `postgres://dokuei@127.0.0.1:5432/postgres`.
pub const SERVER_VARIABLE: &str = "DOKUEI_TEST_POSTGRES_URL";

/// `1`: a test that finds no PostgreSQL fails instead of being skipped. Set by `make test`.
pub const REQUIRED_VARIABLE: &str = "REQUIRE_PG";

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL: {SERVER_VARIABLE} is not set and no `initdb` is in PATH or /usr/lib/postgresql; run `.ci/install`"
    )]
    Missing,
    #[error("cannot prepare a folder for the PostgreSQL server")]
    Folder { source: std::io::Error },
    #[error("cannot run a PostgreSQL command")]
    Tool(#[from] ToolError),
    #[error("cannot {operation}\n{output}")]
    Refused { operation: &'static str, output: String },
}

/// What a server does with data that a transaction has committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Written when the system likes. For tests of everything else.
    Fast,
    /// fsync before a commit returns, as in a hospital.
    Durable,
}

/// A database of one test, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    /// `None` when the server is thrown away with it.
    drop_through: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes an empty database on the server of [`SERVER_VARIABLE`], or on one that this process starts at its first call.
    ///
    /// `None` means that the machine has no PostgreSQL: the test should return. It has been said on standard error.
    ///
    /// # Panics
    ///
    /// When there is no PostgreSQL although [`REQUIRED_VARIABLE`] is `1`, and when there is one that does not work.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    pub fn postgres() -> Option<Self> {
        match Self::try_postgres() {
            Ok(database) => Some(database),
            Err(PostgresError::Missing) if std::env::var_os(REQUIRED_VARIABLE).is_none_or(|value| value != "1") => {
                eprintln!("\n*** SKIPPED, not passed: {} ***\n", PostgresError::Missing);
                None
            }
            Err(error) => panic!("no test database: {}", with_causes(&error)),
        }
    }

    /// Like [`Self::postgres`], for callers that decide themselves.
    pub fn try_postgres() -> Result<Self, PostgresError> {
        if let Ok(server) = std::env::var(SERVER_VARIABLE) {
            let (url, name) = create_database(&server)?;
            return Ok(Self { url, drop_through: Some((server, name)) });
        }
        // Lives in a static, which is never dropped: its supervisor sees this process end.
        static OF_THIS_PROCESS: OnceLock<Result<Cluster, PostgresError>> = OnceLock::new();
        match OF_THIS_PROCESS.get_or_init(|| Cluster::start(Durability::Fast)) {
            Ok(cluster) => cluster.create_database(),
            Err(PostgresError::Missing) => Err(PostgresError::Missing),
            Err(error) => {
                Err(PostgresError::Refused { operation: "start a PostgreSQL server", output: with_causes(error) })
            }
        }
    }

    /// `postgres://…`, for sqlx, libpq and the node's `database.url`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    #[expect(clippy::print_stderr, reason = "a test cannot do more about a database that stays behind")]
    fn drop(&mut self) {
        if let Some((server, name)) = &self.drop_through {
            // FORCE: connections of a pool or of a killed node may still be open.
            let dropped = execute(server, "drop the database", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            if let Err(error) = dropped {
                eprintln!("{}", with_causes(&error));
            }
        }
    }
}

/// A PostgreSQL server of one's own on a loopback port. Stopped and deleted when dropped, and when this process ends, however it does.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    pg_ctl: PathBuf,
    folder: PathBuf,
    user: Option<SystemUser>,
    /// The server's command line options.
    options: String,
    /// Stops the server when its standard input ends, which the system closes with this process.
    supervisor: Child,
}

impl Cluster {
    /// Initialises and starts a server; about a second.
    pub fn start(durability: Durability) -> Result<Self, PostgresError> {
        let programs = server_folders().find(|folder| is_executable(&folder.join("initdb")));
        let programs = programs.ok_or(PostgresError::Missing)?;
        let io = |source| PostgresError::Folder { source };
        let folder = tempfile::Builder::new().prefix("dokuei-postgres.").tempdir().map_err(io)?;
        // PostgreSQL refuses to run as root.
        let user = if rustix::process::geteuid().is_root() { SystemUser::for_server() } else { None };
        if let Some(user) = user {
            chown(folder.path(), Some(user.uid), Some(user.gid)).map_err(io)?;
        }

        let initdb = Tool::at(programs.join("initdb"))
            .args(["-U", "dokuei", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(folder.path().join("data"));
        run_as_server("initialise a PostgreSQL server", initdb, folder.path(), user)?;

        // Between choosing a port and binding it another process may take it.
        for _ in 0..5 {
            let port = free_port().map_err(io)?;
            let options = server_options(port, durability);
            let pg_ctl = programs.join("pg_ctl");
            if let Some(supervisor) = supervise(&pg_ctl, folder.path(), user, &options).map_err(io)? {
                return Ok(Self { port, pg_ctl, folder: folder.keep(), user, options, supervisor });
            }
        }
        let output = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        Err(PostgresError::Refused { operation: "start a PostgreSQL server", output })
    }

    /// The administrative URL.
    pub fn url(&self) -> String {
        format!("postgres://dokuei@127.0.0.1:{}/postgres", self.port)
    }

    /// Makes an empty database that lives as long as the server.
    pub fn create_database(&self) -> Result<TestDatabase, PostgresError> {
        let (url, _) = create_database(&self.url())?;
        Ok(TestDatabase { url, drop_through: None })
    }

    /// Ends all server processes at once, without a checkpoint: connections break, the next start recovers from the log.
    pub fn crash(&self) -> Result<(), PostgresError> {
        let stop = self.control().args(["-m", "immediate", "stop"]);
        run_as_server("stop the PostgreSQL server", stop, &self.folder, self.user)
    }

    /// Starts the server again after [`Self::crash`], on the same port with the same settings.
    pub fn restart(&self) -> Result<(), PostgresError> {
        let start = self.control().arg("-l").arg(self.folder.join("log")).args(["-w", "-o", &self.options, "start"]);
        run_as_server("start the PostgreSQL server again", start, &self.folder, self.user)
    }

    fn control(&self) -> Tool {
        Tool::at(&self.pg_ctl).arg("-D").arg(self.folder.join("data"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // Fails only when there is nothing left to wait for.
        let _ = self.supervisor.wait();
    }
}

/// `$1` is pg_ctl, `$2` the folder, `$3` the server's options. The server's own outputs must not keep our pipe open.
const SUPERVISOR: &str = r#"
"$1" -D "$2/data" -w -t 60 -l "$2/log" -o "$3" start </dev/null >/dev/null 2>&1 || exit 1
echo ready
exec >/dev/null
cat
"$1" -D "$2/data" -m immediate stop
rm -rf "$2"
"#;

/// Starts the server and what will stop it; `None` when it does not start.
fn supervise(pg_ctl: &Path, folder: &Path, user: Option<SystemUser>, options: &str) -> std::io::Result<Option<Child>> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SUPERVISOR, "supervisor"]).arg(pg_ctl).arg(folder).arg(options).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Signals that end the test's process group must leave the supervisor to its work.
    command.process_group(0);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let mut supervisor = command.spawn()?;
    let mut said = String::new();
    if let Some(mut stdout) = supervisor.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    if said == "ready\n" {
        return Ok(Some(supervisor));
    }
    supervisor.wait()?;
    Ok(None)
}

fn server_options(port: u16, durability: Durability) -> String {
    let base = format!("-h 127.0.0.1 -p {port} -c unix_socket_directories= -c max_connections=200");
    match durability {
        Durability::Fast => format!("{base} -c fsync=off -c synchronous_commit=off -c full_page_writes=off"),
        Durability::Durable => base,
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn run_as_server(
    operation: &'static str,
    tool: Tool,
    folder: &Path,
    user: Option<SystemUser>,
) -> Result<(), PostgresError> {
    let tool = tool.current_dir(folder);
    let done = if let Some(user) = user { tool.user(user.uid, user.gid) } else { tool }.run()?;
    if done.status.success() { Ok(()) } else { Err(PostgresError::Refused { operation, output: done.to_string() }) }
}

/// Where Debian keeps the server's programs, newest first, and then where `initdb` of `PATH` really lies.
pub(crate) fn server_folders() -> impl Iterator<Item = PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| std::cmp::Reverse(version_of(path)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<_> = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned))
        .collect();
    versions.into_iter().map(|version| version.join("bin")).chain(in_path)
}

fn version_of(path: &Path) -> u32 {
    path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

/// The user whom the server runs as when the tests run as root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SystemUser {
    uid: u32,
    gid: u32,
}

impl SystemUser {
    fn for_server() -> Option<Self> {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        ["postgres", "nobody"].into_iter().find_map(|name| Self::find(&users, name))
    }

    fn find(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next() == Some(name);
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            found.then_some(Self { uid, gid })
        })
    }
}

/// Gives the new database's URL and name.
fn create_database(server: &str) -> Result<(String, String), PostgresError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // The standard library's hash keys are random: runs that share a server do not meet.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("dokuei_test_{}_{count}_{random:016x}", std::process::id());
    execute(server, "create a database", &format!("CREATE DATABASE {name}"))?;
    Ok((with_database(server, &name), name))
}

fn execute(server: &str, operation: &'static str, statement: &str) -> Result<(), PostgresError> {
    let psql = Tool::find("psql")?.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, server]);
    let done = psql.run()?;
    if done.status.success() { Ok(()) } else { Err(PostgresError::Refused { operation, output: done.to_string() }) }
}

/// The same server's URL with another database; host, user and parameters stay.
fn with_database(server: &str, name: &str) -> String {
    let (address, parameters) = server.split_once('?').map_or((server, None), |(before, after)| (before, Some(after)));
    let authority = address.find("://").map_or(0, |scheme| scheme + 3);
    let path = address[authority..].find('/').map_or(address.len(), |slash| authority + slash);
    let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
    format!("{}/{name}{parameters}", &address[..path])
}

fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(url: &str, statement: &str) -> crate::tool::CommandOutput {
        Tool::find("psql")
            .unwrap()
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url])
            .run()
            .unwrap()
    }

    #[test]
    fn a_url_keeps_everything_but_the_database() {
        for (server, expected) in [
            ("postgres://u@h:1/postgres", "postgres://u@h:1/new"),
            ("postgres://u:p@h:1/postgres?sslmode=disable", "postgres://u:p@h:1/new?sslmode=disable"),
            ("postgres://h", "postgres://h/new"),
            ("postgres:///postgres?host=/run/pg", "postgres:///new?host=/run/pg"),
        ] {
            assert_eq!(with_database(server, "new"), expected);
        }
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\npostgresql:x:5:6::/:\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(SystemUser::find(users, "postgres"), Some(SystemUser { uid: 101, gid: 104 }));
        assert_eq!(SystemUser::find(users, "nobody"), None);
    }

    #[test]
    fn each_test_has_an_empty_database_of_its_own_that_goes_away() {
        let (Some(first), Some(second)) = (TestDatabase::postgres(), TestDatabase::postgres()) else { return };
        assert_ne!(first.url(), second.url());

        query(first.url(), "CREATE TABLE t (a INTEGER)").success();
        query(second.url(), "SELECT * FROM t").failure();
        let encoding = query(second.url(), "SHOW server_encoding").success();
        assert_eq!(encoding.stdout_text(), "UTF8\n");

        let url = first.url().to_owned();
        let shared_server = first.drop_through.is_some();
        drop(first);
        if shared_server {
            query(&url, "SELECT 1").failure();
        }
        query(second.url(), "SELECT 1").success();
    }

    #[test]
    fn a_durable_cluster_keeps_what_was_committed_before_a_crash_and_leaves_nothing_when_dropped() {
        let cluster = match Cluster::start(Durability::Durable) {
            Err(PostgresError::Missing) => return drop(TestDatabase::postgres()),
            started => started.unwrap(),
        };
        let database = cluster.create_database().unwrap();
        assert_eq!(query(database.url(), "SHOW fsync").success().stdout_text(), "on\n");
        query(database.url(), "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7)").success();

        cluster.crash().unwrap();
        query(database.url(), "SELECT 1").failure();
        cluster.restart().unwrap();

        assert_eq!(query(database.url(), "SELECT a FROM t").success().stdout_text(), "7\n");
        let (url, folder) = (cluster.url(), cluster.folder.clone());
        drop(cluster);
        query(&url, "SELECT 1").failure();
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_ends_with_the_process_that_started_it() {
        // What the supervisor sees of a killed test is the end of its standard input; a pipe that is closed early is the same.
        let mut cluster = match Cluster::start(Durability::Fast) {
            Err(PostgresError::Missing) => return drop(TestDatabase::postgres()),
            started => started.unwrap(),
        };
        drop(cluster.supervisor.stdin.take());

        assert!(cluster.supervisor.wait().unwrap().success());

        query(&cluster.url(), "SELECT 1").failure();
        assert!(!cluster.folder.exists());
    }
}
