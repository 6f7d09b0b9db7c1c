//! The least rate at which a message must come: a peer that sends a byte now and then, to hold what it holds, is told apart from a slow line.

use std::time::Duration;

/// What came of a message, and how long the peer was waited for. Time in which we were busy ourselves does not count.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    window: Duration,
    /// Bytes that must come in each window of waiting.
    least: u64,
    waited: Duration,
    received: u64,
}

impl Pace {
    /// No rate is too low at 0 bytes per second.
    pub(crate) fn new(bytes_per_second: u32, window: Duration) -> Self {
        let least = u128::from(bytes_per_second) * window.as_millis() / 1_000;
        Self { window, least: u64::try_from(least).unwrap_or(u64::MAX), ..Self::default() }
    }

    /// A new message begins.
    pub(crate) fn reset(&mut self) {
        (self.waited, self.received) = (Duration::ZERO, 0);
    }

    /// `received` bytes came after a wait. `false`: the peer is too slow.
    pub(crate) fn add(&mut self, waited: Duration, received: u64) -> bool {
        self.waited += waited;
        self.received = self.received.saturating_add(received);
        if self.waited < self.window {
            return true;
        }
        let enough = self.received >= self.least;
        self.reset();
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_window_of_waiting_with_too_little_is_too_slow() {
        let seconds = Duration::from_secs;
        let pace = || Pace::new(100, seconds(30));

        let mut trickle = pace();
        assert!((0..29).all(|_| trickle.add(seconds(1), 1)));
        assert!(!trickle.add(seconds(1), 1), "30 bytes in 30 seconds");

        let mut slow_line = pace();
        assert!((0..300).all(|_| slow_line.add(seconds(1), 100)));

        let mut pauses = pace();
        assert!(pauses.add(seconds(2), 50_000) && pauses.add(seconds(28), 0), "what came before the pause counts");
        assert!(!pauses.add(seconds(30), 2_999));

        let mut two_messages = pace();
        assert!(two_messages.add(seconds(29), 10));
        two_messages.reset();
        assert!(two_messages.add(seconds(29), 10));

        assert!(Pace::new(0, seconds(30)).add(seconds(3_000), 0));
        assert!(Pace::default().add(seconds(3_000), 0));
    }
}
