//! What the router is given.

use std::sync::Arc;

use dokuei_access::Access;
use dokuei_archive::{Archive, custody::Custody};
use dokuei_domain::{Actor, JobId, Timestamp};
use dokuei_ingest::Ingest;
use dokuei_report::Reports;
use dokuei_worklist::Worklist;
use jiff::tz::TimeZone;

/// The built services and what the pages need to know of the node.
#[derive(Clone)]
pub struct WebState {
    pub access: Arc<Access>,
    pub ingest: Arc<Ingest>,
    pub archive: Arc<Archive>,
    pub custody: Arc<Custody>,
    pub worklist: Arc<Worklist>,
    pub reports: Arc<Reports>,
    pub operations: Arc<dyn Operations>,
    /// The secret that Transaction UIDs of web claims are derived with; the same on every node of an installation and after a restart.
    pub claim_key: [u8; 32],
    pub settings: WebSettings,
}

/// Settings of the pages.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Browsers come over HTTPS (directly or through a proxy): the cookie is `Secure` and bound to the host.
    pub public_https: bool,
    /// The reading organisation, shown on every page.
    pub organisation: String,
    /// Times on the pages are local to it.
    pub time_zone: TimeZone,
    pub version: String,
    /// How many images are rendered at once; each may take some hundred MiB in the worst case.
    pub parallel_renders: usize,
}

impl WebSettings {
    /// Defaults: plain HTTP on loopback, Japan's time, three images at once.
    pub fn new(organisation: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            public_https: false,
            organisation: organisation.into(),
            time_zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            version: version.into(),
            parallel_renders: 3,
        }
    }
}

/// Background work that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    pub id: JobId,
    pub queue: String,
    pub ended_at: Option<Timestamp>,
    pub error: String,
}

/// What belongs to no use case: whether the node can work, and its dead jobs. Given by the binary. Errors are for the log.
///
/// `dead_jobs` and `retry_dead_job` are called only for actors who may see the office's pages.
#[async_trait::async_trait]
pub trait Operations: Send + Sync {
    /// Whether the node can do its work now: database, image store.
    async fn ready(&self) -> Result<(), String>;

    /// What a person should look at although the node works. Said to anybody who asks whether it is ready: no names, no paths.
    fn attention(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Jobs on the dead list, latest first.
    async fn dead_jobs(&self, actor: &Actor) -> Result<Vec<DeadJob>, String>;

    /// Puts a dead job back into its queue; `false` when it is not on the list any more.
    async fn retry_dead_job(&self, actor: &Actor, job: JobId) -> Result<bool, String>;
}
