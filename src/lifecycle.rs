//! Start and stop: the first signal drains, the second one aborts, and the exit code tells a clean stop from a crash.

use std::{process::ExitCode, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The two halves of a stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifecycle {
    /// No new work: listeners close, associations finish the object in flight, requests are answered, jobs end.
    pub(crate) soft: CancellationToken,
    /// Now.
    pub(crate) hard: CancellationToken,
    tasks: TaskTracker,
    crashed: CancellationToken,
}

/// Longest drain before the node aborts what is left.
const DRAIN: Duration = Duration::from_secs(30);

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs a part of the node. A part that ends before anybody asked it to has crashed, and takes the node down with it: a node without its listener or
    /// its worker must not look alive.
    pub(crate) fn run(&self, name: &'static str, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let lifecycle = self.clone();
        self.tasks.spawn(async move {
            let ended = tokio::spawn(part).await;
            let asked = lifecycle.soft.is_cancelled();
            match ended {
                Ok(Ok(())) if asked => tracing::debug!(part = name, "stopped"),
                Ok(Ok(())) => tracing::error!(part = name, "ended although nobody asked it to"),
                Ok(Err(error)) => tracing::error!(part = name, error = format!("{error:#}"), "failed"),
                Err(panic) => tracing::error!(part = name, %panic, "panicked"),
            }
            if !asked {
                lifecycle.crashed.cancel();
                lifecycle.soft.cancel();
            }
        });
    }

    /// Waits for a signal or a crash, drains, and says how it ended.
    pub(crate) async fn until_stopped(self, mut signals: Signals) -> ExitCode {
        tokio::select! {
            () = signals.next() => tracing::info!("stopping; a second signal aborts"),
            () = self.soft.cancelled() => {}
        }
        self.soft.cancel();
        self.tasks.close();
        let aborted = tokio::select! {
            () = self.tasks.wait() => false,
            () = signals.next() => true,
            () = tokio::time::sleep(DRAIN) => true,
        };
        if aborted {
            tracing::warn!("aborting what is still under way");
            self.hard.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
        }
        if self.crashed.is_cancelled() || aborted { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// SIGTERM and SIGINT. Made before the node says that it is up, so that a signal right after that is heard.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
