//! Runs other people's programs to their end: DCMTK, dicom3tools, OpenSSL, poppler.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::child::SupervisedChild;

/// Why a program gave no output.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{name} is not installed: run `.ci/install`, or `make test` which does")]
    Missing { name: String },
    #[error("cannot start {}", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("{} did not end within {} s", program.display(), limit.as_secs())]
    TimedOut { program: PathBuf, limit: Duration },
    #[error("cannot keep the input or output of {}", program.display())]
    Capture { program: PathBuf, source: std::io::Error },
}

/// Finds a program in `PATH`, or among PostgreSQL's own, which Debian keeps out of it.
pub fn find_binary(name: &str) -> Result<PathBuf, ToolError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(crate::postgres::server_folders());
    let found = folders.map(|folder| folder.join(name)).find(|candidate| is_executable(candidate));
    found.ok_or_else(|| ToolError::Missing { name: name.to_owned() })
}

pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// One call of a program, with a limit on its time.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

impl Tool {
    /// A program by name; see [`find_binary`].
    pub fn find(name: &str) -> Result<Self, ToolError> {
        Ok(Self::at(find_binary(name)?))
    }

    /// A program by path. Messages are in English, whatever the machine speaks.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let mut command = Command::new(&program);
        command.env("LC_ALL", "C.UTF-8");
        Self { program, command, input: Vec::new(), limit: Duration::from_secs(60) }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What the program reads on its standard input; nothing otherwise.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// The program is killed after this time; 60 s unless told.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs as another user, who gives up all other groups. Only root can.
    pub(crate) fn user(mut self, uid: u32, gid: u32) -> Self {
        self.command.uid(uid).gid(gid);
        self
    }

    /// Runs to the end and blocks the thread meanwhile. An unhappy exit status is no error here; see [`CommandOutput::success`].
    pub fn run(mut self) -> Result<CommandOutput, ToolError> {
        // Files, not pipes: no reader threads, and nothing waits for a grandchild that keeps a pipe open.
        let capture = |source| ToolError::Capture { program: self.program.clone(), source };
        let mut input = tempfile::tempfile().map_err(capture)?;
        input.write_all(&self.input).and_then(|()| std::io::Seek::rewind(&mut input)).map_err(capture)?;
        let folder = tempfile::tempdir().map_err(capture)?;
        let (out, err) = (folder.path().join("stdout"), folder.path().join("stderr"));
        self.command.stdin(Stdio::from(input));
        self.command.stdout(std::fs::File::create(&out).map_err(capture)?);
        self.command.stderr(std::fs::File::create(&err).map_err(capture)?);

        let spawned = self.command.spawn();
        let child = spawned.map_err(|source| ToolError::Start { program: self.program.clone(), source })?;
        let child = SupervisedChild::new(child);
        let Some(status) = child.wait_blocking(self.limit, |state| state.exit) else {
            return Err(ToolError::TimedOut { program: self.program, limit: self.limit });
        };
        Ok(CommandOutput {
            command: std::iter::once(self.program.as_os_str())
                .chain(self.command.get_args())
                .map(OsString::from)
                .collect(),
            status,
            stdout: std::fs::read(out).map_err(capture)?,
            stderr: std::fs::read(err).map_err(capture)?,
        })
    }

    /// Runs to the end while other tasks of the test go on, such as the server that the program talks to.
    pub async fn run_async(self) -> Result<CommandOutput, ToolError> {
        let program = self.program.clone();
        let finished = tokio::task::spawn_blocking(move || self.run()).await;
        finished.map_err(|error| ToolError::Capture { program, source: std::io::Error::other(error) })?
    }
}

/// What a program left. Displays as command, status and both outputs, fit for an assertion's message.
#[derive(Clone, Debug)]
pub struct CommandOutput {
    pub command: Vec<OsString>,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl CommandOutput {
    /// # Panics
    ///
    /// When the program did not exit with 0; the message has its whole output.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// # Panics
    ///
    /// When the program exited with 0 although the test expects a refusal.
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(!self.status.success(), "succeeded unexpectedly: {self}");
        self
    }

    /// Standard output; bytes that are no UTF-8 are replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output and then standard error, for tools that report on either.
    pub fn all_text(&self) -> String {
        self.stdout_text() + &self.stderr_text()
    }
}

impl fmt::Display for CommandOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in &self.command {
            write!(f, "{} ", word.to_string_lossy())?;
        }
        write!(f, "\n{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout_text(), self.stderr_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_input_output_and_status_are_kept_apart() {
        let script = "cat; echo \"$WORD\" >&2; exit 3";

        let output = Tool::find("sh").unwrap().args(["-c", script]).env("WORD", "aside").input("read").run().unwrap();

        assert_eq!(output.stdout_text(), "read");
        assert_eq!(output.stderr_text(), "aside\n");
        assert_eq!(output.status.code(), Some(3));
        assert!(output.failure().to_string().contains("aside"));
    }

    #[test]
    fn a_tool_that_hangs_is_ended_and_a_missing_one_named() {
        let hung = Tool::find("sleep").unwrap().arg("600").timeout(Duration::from_millis(50)).run();
        assert!(matches!(hung, Err(ToolError::TimedOut { .. })));

        let missing = find_binary("no-such-dicom-tool").unwrap_err();
        assert!(missing.to_string().contains("no-such-dicom-tool") && missing.to_string().contains(".ci/install"));
    }

    #[tokio::test]
    async fn other_tasks_go_on_while_a_tool_runs() {
        // The tool ends only after the task beside it has given it what it waits for.
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        Tool::find("mkfifo").unwrap().arg(&pipe).run().unwrap().success();

        let reader = Tool::find("cat").unwrap().arg(&pipe).run_async();
        let (output, written) = tokio::join!(reader, tokio::fs::write(&pipe, "given"));

        written.unwrap();
        assert_eq!(output.unwrap().success().stdout_text(), "given");
    }
}
