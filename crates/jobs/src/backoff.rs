//! How long to wait before the next attempt.

/// Exponential back-off with a cap.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub base_seconds: i64,
    pub cap_seconds: i64,
}

impl Backoff {
    /// Milliseconds after the `attempt`-th failure (from 1): base · 2^(attempt−1), at most the cap, ±20 % by `jitter` (any byte) so that many jobs that
    /// failed together do not return together.
    pub fn delay_millis(&self, attempt: i64, jitter: u8) -> i64 {
        let doublings = u32::try_from((attempt - 1).clamp(0, 30)).unwrap_or(0);
        let seconds = self.base_seconds.saturating_mul(1i64 << doublings).min(self.cap_seconds).max(0);
        let millis = seconds.saturating_mul(1_000);
        let spread = millis / 5;
        millis - spread + 2 * spread * i64::from(jitter) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_within_a_fifth() {
        let backoff = Backoff { base_seconds: 5, cap_seconds: 60 };
        let exact: Vec<_> = (1..=6).map(|attempt| backoff.delay_millis(attempt, 127) / 1000).collect();
        for (found, expected) in exact.iter().zip([5, 10, 20, 40, 60, 60]) {
            assert!((found - expected).abs() <= 1, "{exact:?}");
        }
        assert_eq!((backoff.delay_millis(1, 0), backoff.delay_millis(1, 255)), (4_000, 6_000));
        assert!(backoff.delay_millis(i64::MAX, 255) <= 72_000);
    }
}
