//! Threads that belong to associations, so that a sink may block on its disk without holding up anything else of the process.
//!
//! Each thread runs a runtime of its own. An association stays on the thread that has the fewest when it comes: its bytes are read, hashed and written by one
//! core, and no other thread is woken for them.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use tokio::{runtime, sync::oneshot};

/// A set of threads. Dropping it ends them; what still runs on them is dropped.
pub(super) struct Threads {
    threads: Vec<Thread>,
}

struct Thread {
    runtime: runtime::Handle,
    connections: Arc<AtomicUsize>,
    /// Dropped to end the thread.
    _stop: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl Threads {
    pub(super) fn start(count: usize) -> io::Result<Self> {
        (0..count).map(Thread::start).collect::<io::Result<Vec<_>>>().map(|threads| Self { threads })
    }

    /// Runs `work` on the thread with the fewest connections; on the caller's runtime when there are no threads.
    pub(super) fn spawn<F>(&self, work: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        match self.threads.iter().min_by_key(|thread| thread.connections.load(Ordering::Relaxed)) {
            None => {
                tokio::spawn(async move { work().await });
            }
            Some(thread) => {
                let counted = Counted::new(&thread.connections);
                thread.runtime.spawn(async move {
                    work().await;
                    drop(counted);
                });
            }
        }
    }
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("dicom-{number}")).spawn(move || {
            // Only the other end's disappearance is waited for.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { runtime: handle, connections: Arc::default(), _stop: stop, _thread: thread })
    }
}

/// One connection of a thread.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
