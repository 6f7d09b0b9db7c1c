//! A child process whose end can be awaited with a limit, and whose id is never used after it was given back to the system.

use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

/// What is known of a child. Readers of its output add to `lines`.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) lines: Vec<String>,
    pub(crate) lines_ended: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts changes, for those who wait without blocking their thread.
    version: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }
}

/// Kills the child when dropped.
#[derive(Debug)]
pub(crate) struct SupervisedChild {
    pid: Pid,
    pub(crate) shared: Arc<Shared>,
}

impl SupervisedChild {
    /// Takes over a child that has just been spawned.
    pub(crate) fn new(mut child: Child) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), version: watch::Sender::new(0) });
        let pid = Pid::from_child(&child);
        let waiter = Arc::clone(&shared);
        std::thread::spawn(move || {
            // Waits without reaping, then reaps under the lock: whoever holds it and sees no exit may still use the id.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while rustix::process::waitid(WaitId::Pid(pid), options).err() == Some(rustix::io::Errno::INTR) {}
            waiter.update(|state| state.exit = child.wait().ok());
        });
        Self { pid, shared }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal; does nothing when the child has ended.
    pub(crate) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let state = self.shared.lock();
        if state.exit.is_none() {
            rustix::process::kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    /// Asks after every change until `probe` gives `Some`; `None` when the time is up.
    pub(crate) fn wait_blocking<T>(&self, timeout: Duration, mut probe: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = probe(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let woken = self.shared.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Like [`Self::wait_blocking`], for async tests: other tasks of the thread go on meanwhile.
    pub(crate) async fn wait<T>(&self, timeout: Duration, mut probe: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let mut version = self.shared.version.subscribe();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            version.mark_unchanged();
            if let Some(found) = self.shared.read(&mut probe) {
                return Some(found);
            }
            // The sender lives as long as `self`.
            tokio::time::timeout_at(deadline, version.changed()).await.ok()?.ok()?;
        }
    }
}

impl Drop for SupervisedChild {
    fn drop(&mut self) {
        // Fails only for a child that is gone.
        let _ = self.signal(Signal::KILL);
        self.wait_blocking(Duration::from_secs(10), |state| state.exit.map(drop));
    }
}
