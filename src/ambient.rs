//! The real clock and the real source of randomness. The only place that asks the operating system for either.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use dokuei_domain::{Ambient, Clock, Entropy, Timestamp};

/// The system's clock and randomness.
pub(crate) fn system_ambient() -> Ambient {
    Ambient::new(Arc::new(SystemClock), Arc::new(SystemEntropy(SystemRandom::new())))
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock that all others are given as an argument")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

struct SystemEntropy(SystemRandom);

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no identifier and no key may be made: there is nothing to go on with.
        self.0.fill(bytes).expect("the operating system gives random bytes");
    }
}
