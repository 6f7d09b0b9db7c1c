//! How fast a walk may read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Rests are taken in pieces of this length, so that a fast pace is not slowed down by the timer.
const REST: Duration = Duration::from_millis(5);

/// A limit in bytes per second, a quarter of it while objects arrive. Small bursts: one chunk.
pub(super) struct Pace {
    bytes_per_second: u64,
    receiving: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Nanoseconds of rest that are owed.
    owed: AtomicU64,
}

impl Pace {
    /// `0`: no limit.
    pub(super) fn new(bytes_per_second: u64, receiving: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { bytes_per_second, receiving, owed: AtomicU64::new(0) }
    }

    /// For what a person asked for and waits for.
    pub(super) fn unlimited() -> Self {
        Self::new(0, Arc::new(|| false))
    }

    /// Rests for as long as reading these bytes should have taken.
    pub(super) async fn spent(&self, bytes: u64) {
        let rest = self.rest(bytes);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }

    fn rest(&self, bytes: u64) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let rate = if (self.receiving)() { (self.bytes_per_second / 4).max(1) } else { self.bytes_per_second };
        let more = u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX);
        let owed = self.owed.load(Ordering::Relaxed).saturating_add(more);
        let rest = Duration::from_nanos(owed);
        if rest < REST {
            self.owed.store(owed, Ordering::Relaxed);
            return Duration::ZERO;
        }
        self.owed.store(0, Ordering::Relaxed);
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn reading_is_slower_while_objects_arrive() {
        let receiving = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&receiving);
        let pace = Pace::new(1_000_000, Arc::new(move || seen.load(Ordering::Relaxed)));
        assert_eq!(pace.rest(500_000), Duration::from_millis(500));
        receiving.store(true, Ordering::Relaxed);
        assert_eq!(pace.rest(500_000), Duration::from_secs(2));
    }

    #[test]
    fn short_rests_are_saved_up() {
        let pace = Pace::new(1_000_000, Arc::new(|| false));
        assert_eq!(pace.rest(2_000), Duration::ZERO);
        assert_eq!(pace.rest(2_000), Duration::ZERO);
        assert_eq!(pace.rest(2_000), Duration::from_millis(6));
        assert_eq!(Pace::unlimited().rest(u64::MAX), Duration::ZERO);
    }
}
