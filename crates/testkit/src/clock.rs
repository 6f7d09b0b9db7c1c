//! Time that stands still until a test moves it, and randomness that repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dokuei_domain::{Ambient, Clock, Entropy, Timestamp};

/// 2026-11-22T00:00:00Z, a Sunday: nine in the morning in Japan.
pub const TEST_START: Timestamp = Timestamp(1_795_305_600_000_000);

/// A clock that shows what it was set to. Clones show the same time.
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    /// Stands at [`TEST_START`].
    pub fn new() -> Self {
        Self::at(TEST_START)
    }

    /// Stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.micros())))
    }

    /// Moves on; a time before the epoch of the clock is never reached by it.
    pub fn advance(&self, by: std::time::Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// Shows `time` from now on, also when it is earlier: system clocks do jump back.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.micros(), Ordering::SeqCst);
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and are the same for the same seed. Not for keys outside of tests.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next step of SplitMix64: a full-period counter and a mixer, enough to keep identifiers apart.
    fn next_word(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut word = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A fresh clock at [`TEST_START`] and the ambient that reads it, with entropy from `seed`.
pub fn test_ambient(seed: u64) -> (FakeClock, Ambient) {
    let clock = FakeClock::new();
    let ambient = Ambient::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(seed)));
    (clock, ambient)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_stands_still_until_it_is_moved() {
        let (clock, ambient) = test_ambient(1);
        assert_eq!(ambient.now(), TEST_START);
        assert_eq!(TEST_START.to_jiff().to_string(), "2026-11-22T00:00:00Z");

        clock.advance(Duration::from_secs(90));

        assert_eq!(ambient.now().seconds_since(TEST_START), 90);
        clock.set(TEST_START);
        assert_eq!(ambient.now(), TEST_START);
    }

    #[test]
    fn a_seed_repeats_and_another_seed_differs() {
        let draw = |seed| test_ambient(seed).1.random::<20>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));

        let (_, ambient) = test_ambient(7);
        assert_ne!(ambient.new_uuid(), ambient.new_uuid(), "each draw goes on");
    }
}
