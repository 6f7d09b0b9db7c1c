//! Directories whose entries must survive power loss.
//!
//! A name is durable when its directory has been synced after the name was given. Commits that wait at the same moment for the same
//! directory share one sync.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many directories are remembered as durable before the memory is emptied; forgetting costs one sync each.
const REMEMBERED_DIRECTORIES: usize = 4096;

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    /// Created and recorded in a synced parent since this process began. That a directory exists is not enough: another thread may have
    /// created it a moment ago and not yet synced its parent.
    durable: Mutex<HashSet<PathBuf>>,
    syncs: Mutex<HashMap<PathBuf, Arc<SharedSync>>>,
}

impl Directories {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default(), syncs: Mutex::default() }
    }

    /// Makes `directory`, which lies below the root, and all between exist durably.
    pub(super) fn ensure(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root || locked(&self.durable).contains(directory) {
            return Ok(());
        }
        let parent = super::parent_of(directory);
        self.ensure(parent)?;
        create_one(directory)?;
        self.sync(parent)?;
        let mut durable = locked(&self.durable);
        if durable.len() >= REMEMBERED_DIRECTORIES {
            durable.clear();
        }
        durable.insert(directory.to_owned());
        Ok(())
    }

    /// Returns when a sync of `directory` that began after this call has ended.
    pub(super) fn sync(&self, directory: &Path) -> io::Result<()> {
        let shared = Arc::clone(locked(&self.syncs).entry(directory.to_owned()).or_default());
        let result = shared.run(|| sync_directory(directory));
        let mut syncs = locked(&self.syncs);
        // The map's own and this one: nobody else is waiting, and who comes next makes a new one.
        if Arc::strong_count(&shared) <= 2 {
            syncs.remove(directory);
        }
        result
    }
}

/// Makes the root of a store exist; what is above it is created but is the administrator's.
pub(super) fn create_durably(root: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(root)?;
    root.parent().map_or(Ok(()), sync_directory)
}

fn create_one(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o750).create(directory) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these collections whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One operation that many threads want at about the same time. A caller is served by an operation that began after it asked: whoever finds
/// none running runs it, those who come meanwhile wait, and one of them runs the next for all of them.
#[derive(Debug, Default)]
struct SharedSync {
    state: Mutex<SyncState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    /// Runs begun and ended; they differ by one while one is running.
    begun: u64,
    ended: u64,
    /// The last run that failed and why.
    failed: Option<(u64, i32)>,
    waiting: usize,
}

impl SharedSync {
    fn run(&self, operation: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = locked(&self.state);
        let mine = state.begun + 1;
        while state.begun != state.ended && state.ended < mine {
            state.waiting += 1;
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.ended >= mine {
            // A later failure also counts: after one, nothing in this directory can be believed to be on the disk.
            return match state.failed {
                Some((run, code)) if run >= mine => Err(io::Error::from_raw_os_error(code)),
                _ => Ok(()),
            };
        }
        state.begun = mine;
        drop(state);
        let result = operation();
        let mut state = locked(&self.state);
        state.ended = mine;
        if let Err(cause) = &result {
            state.failed = Some((mine, cause.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())));
        }
        drop(state);
        self.ended.notify_all();
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// One run is held open while `latecomers` ask; then it is let go, and the next run gives `second`.
    fn run_with_latecomers(latecomers: usize, second: Result<(), i32>) -> (usize, Vec<io::Result<()>>) {
        let shared = SharedSync::default();
        let runs = AtomicUsize::new(0);
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let results = thread::scope(|scope| {
            let (shared, runs) = (&shared, &runs);
            let first = scope.spawn(move || {
                shared.run(|| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    entered.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(())
                })
            });
            has_entered.recv().unwrap();
            let others: Vec<_> = (0..latecomers)
                .map(|_| {
                    scope.spawn(move || {
                        shared.run(|| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            second.map_err(io::Error::from_raw_os_error)
                        })
                    })
                })
                .collect();
            while locked(&shared.state).waiting < latecomers {
                thread::yield_now();
            }
            release.send(()).unwrap();
            assert!(first.join().unwrap().is_ok(), "the run that was under way does not answer for the next");
            others.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        (runs.load(Ordering::SeqCst), results)
    }

    #[test]
    fn those_who_wait_at_the_same_time_share_one_run_that_began_after_they_asked() {
        let (runs, results) = run_with_latecomers(5, Ok(()));
        assert_eq!(runs, 2);
        assert!(results.iter().all(Result::is_ok));
    }

    #[test]
    fn a_failed_run_fails_for_everybody_who_waited_for_it() {
        let (runs, results) = run_with_latecomers(3, Err(5));
        assert_eq!(runs, 2);
        assert!(results.iter().all(|result| result.as_ref().unwrap_err().raw_os_error() == Some(5)));
    }

    #[test]
    fn an_idle_directory_is_not_kept_in_memory() {
        let place = tempfile::tempdir().unwrap();
        let directories = Directories::new(place.path().to_owned());
        directories.ensure(&place.path().join("v1/HOSP1/0199a2")).unwrap();
        assert!(place.path().join("v1/HOSP1/0199a2").is_dir());
        assert_eq!(locked(&directories.durable).len(), 3);
        assert!(locked(&directories.syncs).is_empty());
    }
}
