//! A node, or another server, as a real process: its own address space, its own signals, killed for good when a test says so.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::child::{Shared, State, SupervisedChild};

/// Why a process did not do what a test waited for. The messages end with the last lines of both outputs.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {}", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("{} did not {what} within {} s\n{tail}", program.display(), limit.as_secs_f32())]
    TimedOut { program: PathBuf, what: &'static str, limit: Duration, tail: String },
    #[error("{} ended before it printed the line\n{tail}", program.display())]
    EndedBeforeLine { program: PathBuf, tail: String },
    #[error("cannot signal {}", program.display())]
    Signal { program: PathBuf, source: std::io::Error },
}

/// How to start a process.
#[derive(Debug)]
pub struct NodeCommand {
    program: PathBuf,
    command: Command,
}

impl NodeCommand {
    /// A program by path: `env!("CARGO_BIN_EXE_dokuei")` or what [`crate::find_binary`] found. Settings of the developer's own node
    /// (`DOKUEI__*`) are not handed down.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOKUEI__")) {
            command.env_remove(name);
        }
        Self { program, command }
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

    /// Starts the process. Its standard output is read line by line, its standard error goes to a file.
    pub fn start(mut self) -> Result<NodeProcess, ProcessError> {
        let start = |source| ProcessError::Start { program: self.program.clone(), source };
        let folder = tempfile::tempdir().map_err(start)?;
        let stderr = folder.path().join("stderr.log");
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        self.command.stderr(File::create(&stderr).map_err(start)?);

        let mut child = self.command.spawn().map_err(start)?;
        let stdout = child.stdout.take();
        let child = SupervisedChild::new(child);
        match stdout {
            Some(stdout) => read_lines(stdout, Arc::clone(&child.shared)),
            None => child.shared.update(|state| state.lines_ended = true),
        }
        Ok(NodeProcess { program: self.program, child, stderr, _folder: folder })
    }
}

/// Reads to the end on a thread of its own; a line that is no UTF-8 is kept with replacement characters.
fn read_lines(stdout: ChildStdout, shared: Arc<Shared>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            shared.update(|state| state.lines.push(text));
            line.clear();
        }
        shared.update(|state| state.lines_ended = true);
    });
}

/// A running process; killed when dropped. When its test panics, the end of its standard error is printed.
///
/// Methods that wait exist for async tests and, with `_blocking`, for others. An async test that serves the process from its own tasks
/// must use the first kind.
#[derive(Debug)]
pub struct NodeProcess {
    program: PathBuf,
    child: SupervisedChild,
    stderr: PathBuf,
    _folder: tempfile::TempDir,
}

impl NodeProcess {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard output of which `probe` makes something, looking first at all lines printed since the start.
    pub async fn wait_for_line<T>(
        &self,
        timeout: Duration,
        probe: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let found = self.child.wait(timeout, line_finder(probe)).await;
        self.line_or_error(timeout, found)
    }

    /// See [`Self::wait_for_line`].
    pub fn wait_for_line_blocking<T>(
        &self,
        timeout: Duration,
        probe: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let found = self.child.wait_blocking(timeout, line_finder(probe));
        self.line_or_error(timeout, found)
    }

    /// Waits for the end of the process and of its output, so that [`Self::lines`] is complete afterwards.
    pub async fn wait_for_exit(&self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let exit = self.child.wait(timeout, ended).await;
        exit.ok_or_else(|| self.timed_out("end", timeout))
    }

    /// See [`Self::wait_for_exit`].
    pub fn wait_for_exit_blocking(&self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        self.child.wait_blocking(timeout, ended).ok_or_else(|| self.timed_out("end", timeout))
    }

    /// `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.shared.read(|state| state.exit)
    }

    /// The lines printed on standard output until now.
    pub fn lines(&self) -> Vec<String> {
        self.child.shared.read(|state| state.lines.clone())
    }

    /// What was written to standard error until now.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// SIGTERM: the orderly stop.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        self.signal(Signal::TERM)
    }

    /// SIGINT: what a terminal sends.
    pub fn interrupt(&self) -> Result<(), ProcessError> {
        self.signal(Signal::INT)
    }

    /// SIGKILL: the power cut, as far as the process can see. Returns when the process is gone.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.signal(Signal::KILL)?;
        let limit = Duration::from_secs(10);
        self.child.wait_blocking(limit, |state| state.exit).map(drop).ok_or_else(|| self.timed_out("die", limit))
    }

    /// SIGSTOP: a peer that has gone silent with its sockets open.
    pub fn suspend(&self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT, after [`Self::suspend`].
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        self.child.signal(signal).map_err(|source| ProcessError::Signal { program: self.program.clone(), source })
    }

    fn line_or_error<T>(&self, limit: Duration, found: Option<Option<T>>) -> Result<T, ProcessError> {
        match found {
            Some(Some(found)) => Ok(found),
            Some(None) => Err(ProcessError::EndedBeforeLine { program: self.program.clone(), tail: self.tail() }),
            None => Err(self.timed_out("print the line", limit)),
        }
    }

    fn timed_out(&self, what: &'static str, limit: Duration) -> ProcessError {
        ProcessError::TimedOut { program: self.program.clone(), what, limit, tail: self.tail() }
    }

    fn tail(&self) -> String {
        let last = |lines: Vec<&str>| lines[lines.len().saturating_sub(30)..].join("\n");
        let (stdout, stderr) = (self.lines(), self.stderr_text());
        let stdout = last(stdout.iter().map(String::as_str).collect());
        format!("--- stdout\n{stdout}\n--- stderr\n{}", last(stderr.lines().collect()))
    }
}

impl Drop for NodeProcess {
    #[expect(clippy::print_stderr, reason = "the message is for the person who reads why the test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} (process {}) had printed:\n{}", self.program.display(), self.id(), self.tail());
        }
    }
}

/// `Some(Some(_))` for the line, `Some(None)` when there will be none.
fn line_finder<T>(mut probe: impl FnMut(&str) -> Option<T>) -> impl FnMut(&State) -> Option<Option<T>> {
    let mut next = 0;
    move |state| {
        while let Some(line) = state.lines.get(next) {
            next += 1;
            if let Some(found) = probe(line) {
                return Some(Some(found));
            }
        }
        state.lines_ended.then_some(None)
    }
}

fn ended(state: &State) -> Option<ExitStatus> {
    state.exit.filter(|_| state.lines_ended)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> NodeProcess {
        NodeCommand::new("/bin/sh").args(["-c", script]).start().unwrap()
    }

    #[tokio::test]
    async fn a_server_says_where_it_listens_and_stops_when_told() {
        let server =
            shell("trap 'echo drained; exit 0' TERM; echo starting >&2; echo port=4711; while :; do sleep 0.05; done");

        let port = server.wait_for_line(LIMIT, |line| line.strip_prefix("port=")?.parse::<u16>().ok()).await.unwrap();
        assert_eq!(port, 4711);
        assert_eq!(server.exit_status(), None);

        server.terminate().unwrap();

        assert!(server.wait_for_exit(LIMIT).await.unwrap().success());
        assert_eq!(server.lines(), ["port=4711", "drained"]);
        assert_eq!(server.stderr_text(), "starting\n");
        server.terminate().expect("a signal to a process that has ended is nothing");
        // Lines that were printed long ago are found too.
        assert_eq!(server.wait_for_line(LIMIT, |line| line.strip_prefix("dr").map(str::len)).await.unwrap(), 5);
    }

    #[test]
    fn kill_gives_the_process_no_time_for_farewell() {
        let server = shell("trap 'echo drained' TERM EXIT; echo up; exec sleep 600");
        server.wait_for_line_blocking(LIMIT, |line| (line == "up").then_some(())).unwrap();

        server.kill().unwrap();

        let status = server.wait_for_exit_blocking(LIMIT).unwrap();
        assert_eq!(status.signal(), Some(9));
        assert_eq!(server.lines(), ["up"]);
    }

    #[test]
    fn waiting_in_vain_tells_what_was_printed_instead() {
        let crashed = shell("echo something else; echo 'no database' >&2; exit 2");
        let error = crashed.wait_for_line_blocking(LIMIT, |line| (line == "up").then_some(())).unwrap_err();
        assert!(matches!(error, ProcessError::EndedBeforeLine { .. }), "{error}");
        assert!(error.to_string().contains("something else"), "{error}");
        assert_eq!(crashed.wait_for_exit_blocking(LIMIT).unwrap().code(), Some(2));

        let silent = shell("exec sleep 600");
        let error = silent.wait_for_line_blocking(Duration::from_millis(20), |_| Some(())).unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let server = shell("exec sleep 600");
        let id = server.id();

        drop(server);

        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
