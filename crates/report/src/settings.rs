//! What the operator may turn.

use std::{sync::Arc, time::Duration};

use dokuei_dimse::NodeTls;
use dokuei_domain::AeTitle;
use dokuei_jobs::Backoff;
use jiff::tz::TimeZone;

use crate::manifest::Language;

/// Settings of [`crate::Reports`].
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// Our AE title: the calling one when reports are returned, and the source written into their files.
    pub calling_aet: AeTitle,
    /// The reading organisation, printed on every page; also the author's where a reader has none.
    pub organisation: String,
    /// Dates and times on the page and in the objects are local to it.
    pub time_zone: TimeZone,
    /// Of the page's labels and the objects' headings.
    pub language: Language,
    /// Longest text of findings, impression or recommendation, in bytes of UTF-8.
    pub max_text_bytes: usize,
    /// How long laying out one page may take.
    pub print_timeout: Duration,
    /// Waiting for a recipient to take the connection.
    pub connect_timeout: Duration,
    /// Waiting for a recipient's answer to anything.
    pub response_timeout: Duration,
    /// Between the attempts of one delivery.
    pub delivery_backoff: Backoff,
    /// Attempts after which a delivery waits for a person.
    pub delivery_max_attempts: u32,
    /// Deliveries to one recipient at the same time. One that hangs must not hold all workers.
    pub deliveries_per_target: usize,
    /// Deliveries at the same time in this process. Recipients that hang, however many, must leave room for other work.
    pub deliveries_at_once: usize,
    /// For recipients that are reached over TLS; `None`: they are not.
    pub tls: Option<Arc<NodeTls>>,
    /// How often deliveries without a job are looked for.
    pub reconcile_seconds: i64,
}

impl ReportSettings {
    /// The defaults: Japanese, Japan's time, about two days of attempts.
    pub fn new(calling_aet: AeTitle, organisation: impl Into<String>) -> Self {
        Self {
            calling_aet,
            organisation: organisation.into(),
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            language: Language::Ja,
            max_text_bytes: 64 * 1024,
            print_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(60),
            delivery_backoff: Backoff { base_seconds: 15, cap_seconds: 3_600 },
            delivery_max_attempts: 50,
            deliveries_per_target: 2,
            deliveries_at_once: 8,
            tls: None,
            reconcile_seconds: 60,
        }
    }
}
