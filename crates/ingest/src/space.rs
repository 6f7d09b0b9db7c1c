//! Room on the disks: known without asking for it at every object, and refused before it ends.
//!
//! Each place has a low-water mark. Below it nothing new is taken, neither objects nor associations that want to store; reception begins again by itself
//! when there is a quarter more than the mark, so that it does not flutter. What is free is asked for at most once a second; in between, the bytes that were
//! received since are taken off what was free then, so the answer never errs on the bright side by more than others write in a second.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dokuei_image_store::ImageStore;
use tokio::time::Instant;

/// What was asked for longer ago than this is asked for again.
const FRESH: Duration = Duration::from_secs(1);

/// Where the room is.
#[derive(Debug, Clone)]
enum Probe {
    Store(ImageStore),
    Directory(PathBuf),
}

#[derive(Debug)]
struct Place {
    name: &'static str,
    probe: Probe,
    low_water: u64,
    state: Mutex<PlaceState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PlaceState {
    free: Option<u64>,
    low: bool,
}

/// How much room a place has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SpaceReport {
    /// `image store` or `database`.
    pub place: &'static str,
    /// `None`: the place does not tell, as an object store does not.
    pub free_bytes: Option<u64>,
    pub low_water_bytes: u64,
    /// Nothing is received because of this place.
    pub low: bool,
}

/// The watch over all places that reception fills. Cheap to clone.
#[derive(Clone)]
pub struct SpaceWatch(Arc<Watch>);

struct Watch {
    places: Mutex<Vec<Arc<Place>>>,
    low: AtomicBool,
    /// Bytes that may still be received before the store reaches its mark, as last asked and counted down since.
    headroom: AtomicI64,
    begun: Instant,
    /// When it was last asked for, in milliseconds since `begun`, plus one; zero: never.
    asked_at: AtomicU64,
    asking: tokio::sync::Mutex<()>,
    under_way: AtomicUsize,
}

/// An object that is being received; counted until it is dropped.
pub(crate) struct UnderWay(SpaceWatch);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SpaceWatch {
    pub(crate) fn new(store: ImageStore, low_water: u64) -> Self {
        let place = Place { name: "image store", probe: Probe::Store(store), low_water, state: Mutex::default() };
        Self(Arc::new(Watch {
            places: Mutex::new(vec![Arc::new(place)]),
            low: AtomicBool::new(false),
            headroom: AtomicI64::new(0),
            begun: Instant::now(),
            asked_at: AtomicU64::new(0),
            asking: tokio::sync::Mutex::new(()),
            under_way: AtomicUsize::new(0),
        }))
    }

    /// Watches the file system of a directory as well, such as the one that holds the index.
    pub fn watch_directory(&self, name: &'static str, directory: PathBuf, low_water: u64) {
        let place = Place { name, probe: Probe::Directory(directory), low_water, state: Mutex::default() };
        lock(&self.0.places).push(Arc::new(place));
        self.0.asked_at.store(0, Ordering::Relaxed);
    }

    /// Whether an object may begin. Costs a few atomic reads except once a second.
    pub(crate) async fn admit(&self) -> Option<UnderWay> {
        let age = self.age();
        let doubtful = self.0.low.load(Ordering::Relaxed) || self.0.headroom.load(Ordering::Relaxed) <= 0;
        if age.is_none() || (doubtful && age.is_some_and(|age| age >= FRESH)) || self.is_spent() {
            self.ask(FRESH).await;
        } else if age.is_some_and(|age| age >= FRESH) {
            self.ask_in_background();
        }
        if self.0.low.load(Ordering::Relaxed) {
            return None;
        }
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay(self.clone()))
    }

    /// Whether associations that want to store may be accepted.
    pub async fn is_low(&self) -> bool {
        self.ask(FRESH).await;
        self.0.low.load(Ordering::Relaxed)
    }

    /// What each place says, at most a second old.
    pub async fn report(&self) -> Vec<SpaceReport> {
        self.ask(FRESH).await;
        let places = lock(&self.0.places).clone();
        let report = |place: &Arc<Place>| {
            let state = *lock(&place.state);
            SpaceReport { place: place.name, free_bytes: state.free, low_water_bytes: place.low_water, low: state.low }
        };
        places.iter().map(report).collect()
    }

    /// Objects are on their way in at this moment.
    pub fn is_receiving(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.0.headroom.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// What was free when last asked has been received since; not when it was low already, which is asked again in its time.
    fn is_spent(&self) -> bool {
        self.0.headroom.load(Ordering::Relaxed) <= 0 && !self.0.low.load(Ordering::Relaxed)
    }

    fn age(&self) -> Option<Duration> {
        let asked = self.0.asked_at.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.0.begun.elapsed().saturating_sub(Duration::from_millis(asked)))
    }

    fn ask_in_background(&self) {
        if self.0.asking.try_lock().is_ok() {
            let watch = self.clone();
            tokio::spawn(async move { watch.ask(FRESH).await });
        }
    }

    /// Asks every place, unless somebody has done so within `fresh` and there is room.
    async fn ask(&self, fresh: Duration) {
        let is_fresh = |watch: &Self| watch.age().is_some_and(|age| age < fresh) && !watch.is_spent();
        if is_fresh(self) {
            return;
        }
        let _asking = self.0.asking.lock().await;
        if is_fresh(self) {
            return;
        }
        let places = lock(&self.0.places).clone();
        let (mut low, mut headroom) = (false, i64::MAX);
        for place in &places {
            let free = place.probe.free_bytes().await;
            low |= place.note(free);
            if let (Probe::Store(_), Some(free)) = (&place.probe, free) {
                headroom = headroom.min(difference(free, place.low_water));
            }
        }
        // A mark of zero leaves it to the disk itself to say that it is full.
        let unlimited = places.iter().all(|place| place.low_water == 0);
        self.0.headroom.store(if unlimited { i64::MAX } else { headroom }, Ordering::Relaxed);
        self.0.low.store(low, Ordering::Relaxed);
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.asked_at.store(now.saturating_add(1), Ordering::Relaxed);
    }
}

impl Place {
    /// Takes note of what is free, says so once when that changes something, and gives whether the place is low.
    fn note(&self, free: Option<u64>) -> bool {
        let mut state = lock(&self.state);
        let was_low = state.low;
        let mark = if was_low { self.low_water.saturating_add(self.low_water / 4) } else { self.low_water };
        let low = free.is_some_and(|free| free < mark);
        *state = PlaceState { free, low };
        match (was_low, low) {
            (false, true) => tracing::error!(
                place = self.name,
                free_bytes = free,
                low_water_bytes = self.low_water,
                "short of space: objects and associations are refused until there is room"
            ),
            (true, false) => {
                tracing::info!(place = self.name, free_bytes = free, "there is room again: reception goes on");
            }
            _ => {}
        }
        low
    }
}

impl Probe {
    async fn free_bytes(&self) -> Option<u64> {
        match self {
            Self::Store(store) => store.free_bytes().await,
            Self::Directory(directory) => {
                let directory = directory.clone();
                tokio::task::spawn_blocking(move || directory_free_bytes(&directory)).await.ok().flatten()
            }
        }
    }
}

/// Bytes that can still be written below a directory; `None` when it cannot be asked.
pub fn directory_free_bytes(directory: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(directory).ok()?;
    answer.f_bavail.checked_mul(answer.f_frsize)
}

fn difference(free: u64, low_water: u64) -> i64 {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(free) - signed(low_water)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn watch(low_water: u64) -> (tempfile::TempDir, SpaceWatch) {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::connect(&format!("file://{}", folder.path().display())).await.unwrap();
        (folder, SpaceWatch::new(store, low_water))
    }

    #[test]
    fn a_place_that_was_low_needs_a_quarter_more_to_recover() {
        let probe = Probe::Directory(PathBuf::from("/"));
        let place = Place { name: "database", probe, low_water: 1000, state: Mutex::default() };
        let steps = [
            (1000, false),
            (999, true),
            (1000, true),
            (1249, true),
            (1250, false),
            (1001, false),
            (0, true),
            (2000, false),
        ];
        for (free, low) in steps {
            assert_eq!(place.note(Some(free)), low, "{free}");
        }
        place.note(Some(0));
        assert!(!place.note(None), "what does not tell cannot be low");
    }

    #[tokio::test]
    async fn what_is_received_is_taken_off_before_the_disk_is_asked_again() {
        let (_folder, watch) = watch(1 << 20).await;
        let first = watch.admit().await.unwrap();
        assert!(watch.is_receiving());
        let before = watch.0.headroom.load(Ordering::Relaxed);
        assert!(before > 0);
        watch.received(1000);
        assert_eq!(watch.0.headroom.load(Ordering::Relaxed), before - 1000);
        // All of it gone, as far as is known: the disk is asked at once, and says that there is room.
        watch.received(usize::try_from(before).unwrap());
        let second = watch.admit().await.unwrap();
        assert!(watch.0.headroom.load(Ordering::Relaxed) > 0);
        drop((first, second));
        assert!(!watch.is_receiving());
    }

    #[tokio::test]
    async fn below_the_mark_nothing_begins_and_every_place_counts() {
        let (folder, low) = watch(u64::MAX / 4).await;
        assert!(low.admit().await.is_none());
        assert!(low.is_low().await && !low.is_receiving());

        let (_other, watch) = watch(0).await;
        assert!(watch.admit().await.is_some());
        watch.watch_directory("database", folder.path().to_owned(), u64::MAX / 4);
        assert!(watch.admit().await.is_none());
        let report = watch.report().await;
        let low: Vec<_> = report.iter().map(|place| (place.place, place.low)).collect();
        assert_eq!(low, [("image store", false), ("database", true)]);
    }
}
