//! What the administrator decides about the worklist.

use dokuei_domain::{Priority, Timestamp};
use jiff::{civil, tz::TimeZone};

/// Minutes from the opening of a case to its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turnaround {
    pub emergency_minutes: u32,
    pub urgent_minutes: u32,
    pub routine_minutes: u32,
}

impl Turnaround {
    pub const fn minutes(&self, priority: Priority) -> u32 {
        match priority {
            Priority::Emergency => self.emergency_minutes,
            Priority::Urgent => self.urgent_minutes,
            Priority::Routine => self.routine_minutes,
        }
    }
}

impl Default for Turnaround {
    /// What is usual in Japan: within the hour, the same day, the next day.
    fn default() -> Self {
        Self { emergency_minutes: 60, urgent_minutes: 4 * 60, routine_minutes: 24 * 60 }
    }
}

/// Settings of the worklist.
#[derive(Debug, Clone)]
pub struct WorklistSettings {
    /// A claim made in the web ends by itself when nothing was heard for so long.
    pub claim_minutes: u32,
    /// An assigned case that was not claimed for so long is free for other readers.
    pub pickup_minutes: u32,
    pub turnaround: Turnaround,
    /// Where the readers' on-duty hours hold.
    pub time_zone: TimeZone,
}

impl Default for WorklistSettings {
    fn default() -> Self {
        Self {
            claim_minutes: 30,
            pickup_minutes: 30,
            turnaround: Turnaround::default(),
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
        }
    }
}

impl WorklistSettings {
    pub(crate) fn due_at(&self, priority: Priority, opened_at: Timestamp) -> Timestamp {
        opened_at.plus_seconds(i64::from(self.turnaround.minutes(priority)) * 60)
    }

    pub(crate) fn claim_end(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(i64::from(self.claim_minutes) * 60)
    }

    /// When a case assigned at `assigned_at` becomes free for others.
    pub(crate) fn pickup_end(&self, assigned_at: Timestamp) -> Timestamp {
        assigned_at.plus_seconds(i64::from(self.pickup_minutes) * 60)
    }

    /// Cases assigned at this moment or before are free for others at `now`.
    pub(crate) fn pickup_cutoff(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(-i64::from(self.pickup_minutes) * 60)
    }

    pub(crate) fn local(&self, now: Timestamp) -> civil::DateTime {
        self.time_zone.to_datetime(now.to_jiff())
    }
}
