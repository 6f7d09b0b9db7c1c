//! Refused associations in the audit trail. The first of a kind is written at once; what repeats is counted and written once a minute, because every row is
//! a write to disk that a stranger can ask for as often as it likes.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dokuei_domain::FacilityId;
use dokuei_ingest::Ingest;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two rows of the same kind.
const WINDOW: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Kinds that one address may have in a window; what it invents beyond is one kind.
const MOST_OF_ADDRESS: usize = 16;
/// Kinds in all.
const MOST: usize = 256;
const MANY_TITLES: &str = "(many titles)";

/// What makes two refusals the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    /// Calling AE title, or what stands for it where none was heard.
    pub(crate) calling: String,
    /// `None`: many addresses together.
    pub(crate) address: Option<IpAddr>,
    /// Whom it concerns.
    pub(crate) facility: Option<FacilityId>,
    pub(crate) reason: String,
}

/// Writes refusals down.
pub(crate) struct Refusals {
    ingest: Arc<Ingest>,
    counts: Mutex<Counts>,
}

impl Refusals {
    pub(crate) fn new(ingest: Arc<Ingest>) -> Arc<Self> {
        Arc::new(Self { ingest, counts: Mutex::default() })
    }

    /// Writes a refusal down, or counts it.
    pub(crate) async fn record(&self, refusal: Refusal) {
        let first = self.counts.lock().unwrap_or_else(PoisonError::into_inner).note(refusal, Instant::now());
        if let Some(refusal) = first {
            self.write(&refusal, 0).await;
        }
    }

    /// Writes what was counted, until told to stop and then for the last time.
    pub(crate) async fn keep_writing(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                _ = looks.tick() => Some(Instant::now()),
            };
            let due = self.counts.lock().unwrap_or_else(PoisonError::into_inner).due(now);
            for (refusal, more) in due {
                self.write(&refusal, more).await;
            }
            if now.is_none() {
                return;
            }
        }
    }

    async fn write(&self, refusal: &Refusal, more: u64) {
        let address = refusal.address.map_or_else(|| "(many addresses)".to_owned(), |address| address.to_string());
        let who = format!("{}@{address}", refusal.calling);
        let reason = match more {
            0 => refusal.reason.clone(),
            more => format!("{}; {more} more within a minute", refusal.reason),
        };
        self.ingest.record_refused_association(&who, refusal.facility.as_ref(), &reason).await;
    }
}

#[derive(Debug, Default)]
struct Counts(HashMap<Refusal, Count>);

#[derive(Debug)]
struct Count {
    since: Instant,
    /// Not written down yet.
    more: u64,
}

impl Counts {
    /// Gives back what is to be written at once.
    fn note(&mut self, refusal: Refusal, now: Instant) -> Option<Refusal> {
        if let Some(count) = self.0.get_mut(&refusal) {
            count.more += 1;
            return None;
        }
        let of_address = self.0.keys().filter(|other| other.address == refusal.address).count();
        let (kind, is_new) = if self.0.len() >= MOST {
            let reason = "association refused".to_owned();
            (Refusal { calling: MANY_TITLES.to_owned(), address: None, facility: None, reason }, false)
        } else if of_address >= MOST_OF_ADDRESS {
            let reason = "association refused".to_owned();
            (Refusal { calling: MANY_TITLES.to_owned(), facility: None, reason, ..refusal }, false)
        } else {
            (refusal, true)
        };
        let count = self.0.entry(kind.clone()).or_insert(Count { since: now, more: 0 });
        if is_new {
            return Some(kind);
        }
        count.more += 1;
        None
    }

    /// What was counted in windows that have ended, or with `None` in all. What did not come again is forgotten.
    fn due(&mut self, now: Option<Instant>) -> Vec<(Refusal, u64)> {
        let mut due = Vec::new();
        self.0.retain(|refusal, count| {
            if now.is_some_and(|now| now.duration_since(count.since) < WINDOW) {
                return true;
            }
            if count.more == 0 {
                return false;
            }
            due.push((refusal.clone(), count.more));
            *count = Count { since: now.unwrap_or(count.since), more: 0 };
            now.is_some()
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(calling: &str, last: u8) -> Refusal {
        let address = Some(IpAddr::from([192, 0, 2, last]));
        Refusal { calling: calling.to_owned(), address, facility: None, reason: "no".to_owned() }
    }

    #[test]
    fn what_repeats_is_counted_and_told_once_a_minute() {
        let (mut counts, start) = (Counts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(counts.note(refusal("A", 1), at(0)), Some(refusal("A", 1)));
        assert!((0..999).all(|_| counts.note(refusal("A", 1), at(1)).is_none()));
        assert_eq!(counts.note(refusal("B", 1), at(1)), Some(refusal("B", 1)), "another kind is told at once");
        assert_eq!(counts.due(Some(at(59))), []);
        assert_eq!(counts.due(Some(at(61))), [(refusal("A", 1), 999)]);

        assert_eq!(counts.note(refusal("A", 1), at(62)), None, "a flood that goes on has one row a minute");
        assert_eq!(counts.note(refusal("B", 1), at(62)), Some(refusal("B", 1)), "what was forgotten is new");
        assert_eq!(counts.due(None), [(refusal("A", 1), 1)], "a stop leaves nothing uncounted");
        assert!(counts.0.is_empty());
    }

    #[test]
    fn titles_and_addresses_that_are_made_up_do_not_grow_without_end() {
        let (mut counts, now) = (Counts::default(), Instant::now());
        let written = (0..100_000).filter(|n| counts.note(refusal(&format!("AE{n}"), 1), now).is_some()).count();
        assert_eq!((written, counts.0.len()), (MOST_OF_ADDRESS, MOST_OF_ADDRESS + 1));
        for last in 2..=255 {
            for n in 0..20 {
                counts.note(refusal(&format!("AE{n}"), last), now);
            }
        }
        assert!(counts.0.len() <= MOST + 1, "{}", counts.0.len());
        let counted: u64 = counts.due(None).iter().map(|(_, more)| more).sum();
        let refused = 100_000 + 254 * 20;
        assert!(counted <= refused && counted > refused - 300, "{counted}: what was not written at once is counted");
    }
}
