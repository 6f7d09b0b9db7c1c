//! What the surroundings give a use case: the time and random bytes.

use std::sync::Arc;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const fn micros(self) -> i64 {
        self.0
    }

    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// Whole seconds from `earlier` to `self`; negative when `earlier` is later.
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }

    /// The same instant for calendars. Instants outside of jiff's range become the epoch; none can come from a clock.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// Tells the time. Implemented by the system clock in the binary and by a clock that tests move.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Gives random bytes fit for keys. Implemented on the operating system's source in the binary.
pub trait Entropy: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// The clock and the source of randomness, passed to every use case. Cheap to clone.
#[derive(Clone)]
pub struct Ambient {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

impl Ambient {
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A version 7 UUID: sorts by time of creation.
    pub fn new_uuid(&self) -> uuid::Uuid {
        let mut random = [0u8; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.now().0 / 1_000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A DICOM UID of our own, `2.25.` and a random UUID (PS3.5 B.2).
    pub fn new_uid(&self) -> crate::uid::Uid {
        let mut random = [0u8; 16];
        self.entropy.fill(&mut random);
        crate::uid::Uid::from_uuid(uuid::Builder::from_random_bytes(random).into_uuid())
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

impl std::fmt::Debug for Ambient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ambient")
    }
}
