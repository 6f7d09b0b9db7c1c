//! Storage commitment (PS3.4 annex J). As the one who commits: a peer names objects, we read each of them again, and say which of them we answer for.
//!
//! A request is a row and a job of one transaction before it is accepted. The job reads every blob and compares its hash with the index; only what is equal is
//! committed. The result goes over the association on which it was asked for while that is open, and this process holds it; else over a new one to the address
//! that is known of the peer; and it is tried until the peer confirms it. The same request under the same Transaction UID is answered again, from a new look at
//! the objects; another request under it is refused. As the one who asks: `asking`, for reports that were returned.

mod answer;
mod asking;
mod check;
mod sending;
mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use dokuei_access::{Action, Resource, can};
use dokuei_database::{
    AuditEvent, AuditOutcome, CommitmentRow, CommitmentState, Database, DatabaseError, NewCommitment, NewJob, WriteTx,
    commitment_job_key,
};
use dokuei_dataset::{
    normalized::{CommitmentRequest, CommitmentResult},
    objects::InstanceReference,
};
use dokuei_dimse::{NodeTls, RequestorTimeouts};
use dokuei_domain::{Actor, AeTitle, Ambient, FacilityId, JobId, SopClassUid, SopInstanceUid, Timestamp};
use dokuei_image_store::ImageStore;
use uuid::Uuid;

pub use sending::{AskForCommitment, CommitmentExchangeError};

/// The queue of the check and of the delivery of its result.
pub(crate) const QUEUE: &str = "storage_commitment";
/// How long another node may rely on what a row says about the association of its request. It is renewed in a third of that.
const LINK_SECONDS: i64 = 60;
/// Results of one peer that are sent over an association that it opens again.
const CAUGHT_UP_AT_ONCE: u32 = 100;

/// Requests that one peer may have open; whoever never takes an answer must not fill the disk with questions.
const MOST_UNANSWERED: i64 = 2_000;

/// Failure reasons (PS3.3 C.14.1.1).
pub mod reason {
    /// The stored object is damaged.
    pub const PROCESSING_FAILURE: u16 = 0x0110;
    pub const NO_SUCH_OBJECT_INSTANCE: u16 = 0x0112;
    /// The object is of another SOP class than the request says.
    pub const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;
    /// The store could not be read for a long time.
    pub const RESOURCE_LIMITATION: u16 = 0x0213;
}

/// How results are delivered.
#[derive(Debug, Clone)]
pub struct CommitmentSettings {
    /// The AE title that peers call us by.
    pub ae_title: AeTitle,
    /// The AE title under which reports are returned.
    pub report_ae_title: AeTitle,
    pub timeouts: RequestorTimeouts,
    /// For peers that are reached over TLS.
    pub tls: Option<Arc<NodeTls>>,
    /// Attempts to deliver a result before a person has to look. The longest pause between two is ten minutes.
    pub max_attempts: u32,
}

impl CommitmentSettings {
    /// Three days of attempts.
    pub fn new(ae_title: AeTitle) -> Self {
        Self {
            report_ae_title: ae_title.clone(),
            ae_title,
            timeouts: RequestorTimeouts::default(),
            tls: None,
            max_attempts: 450,
        }
    }
}

/// Who asks, on which association.
#[derive(Debug, Clone)]
pub struct CommitmentPeer {
    pub facility: FacilityId,
    pub calling: AeTitle,
    /// Distinguishes associations of this process.
    pub association: u64,
}

/// The association on which a request came, as a way to send its result.
#[async_trait]
pub trait ResultLink: Send + Sync {
    /// Sends the result and waits for the peer's answer. Called only after the request was answered.
    async fn report(&self, result: &CommitmentResult) -> Result<(), UndeliveredResult>;
}

/// Why a result was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UndeliveredResult {
    /// The association is of no use for this any more; another one may be.
    #[error("the association has ended")]
    Gone,
    /// What the peer said or did not say.
    #[error("{0}")]
    Failed(String),
}

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CommitmentError {
    #[error("the transaction UID was used for another request")]
    DuplicateTransaction,
    #[error("too many requests of this peer have no answer yet")]
    TooMany,
    #[error("not allowed")]
    Denied,
    #[error("the index is not available")]
    Index(#[from] DatabaseError),
}

struct OpenLink {
    association: u64,
    link: Arc<dyn ResultLink>,
}

/// The use case. One for the process: it holds the associations that wait for a result.
pub struct Commitments {
    database: Database,
    store: ImageStore,
    ambient: Ambient,
    settings: CommitmentSettings,
    /// Names this process to other nodes.
    node: String,
    links: Mutex<HashMap<Uuid, OpenLink>>,
}

impl Commitments {
    pub fn new(database: Database, store: ImageStore, ambient: Ambient, settings: CommitmentSettings) -> Arc<Self> {
        let node = ambient.new_uuid().simple().to_string();
        Arc::new(Self { database, store, ambient, settings, node, links: Mutex::default() })
    }

    /// Accepts a request: when this returns, the work is durable and will be done. The caller answers N-ACTION with success then.
    ///
    /// # Errors
    /// [`CommitmentError::DuplicateTransaction`] when the peer has used the Transaction UID for other objects.
    pub async fn request(
        &self,
        peer: &CommitmentPeer,
        request: &CommitmentRequest,
        link: Option<Arc<dyn ResultLink>>,
    ) -> Result<(), CommitmentError> {
        let actor = Actor::Peer { facility: peer.facility.clone(), calling: peer.calling.clone() };
        can(&actor, Action::SendObjects, Resource::Facility(&peer.facility)).map_err(|_| CommitmentError::Denied)?;
        let now = self.ambient.now();
        let requested = lines(&request.references);
        let new = NewCommitment {
            id: self.ambient.new_uuid(),
            facility: &peer.facility,
            calling: &peer.calling,
            transaction: request.transaction.as_str(),
            requested_sha256: sha256(&requested),
            requested,
            instance_count: i64::try_from(request.references.len()).unwrap_or(i64::MAX),
            link_node: &self.node,
            link_until: self.link_end(now, link.is_some()),
            now,
        };
        let mut tx = self.database.write().await?;
        let mut open = Vec::new();
        let subject = format!("{} of {}", request.transaction, peer.calling);
        let audit = |outcome, detail: String| {
            AuditEvent::new(now, &actor, "commitment.request", outcome).subject(&subject).detail(detail)
        };
        if tx.commitment_insert(&new).await? {
            // What was written goes with the transaction.
            if tx.commitment_unanswered_count(&peer.facility, &peer.calling).await? > MOST_UNANSWERED {
                return Err(CommitmentError::TooMany);
            }
            open.push(new.id);
            tx.audit(audit(AuditOutcome::Success, format!("{} objects", new.instance_count)));
        } else {
            let known = tx.commitment_by_transaction(&peer.facility, &peer.calling, new.transaction).await?;
            let known = known.filter(|known| known.requested_sha256 == new.requested_sha256);
            let Some(known) = known else {
                tx.audit(audit(AuditOutcome::Refused, CommitmentError::DuplicateTransaction.to_string()));
                tx.commit().await?;
                return Err(CommitmentError::DuplicateTransaction);
            };
            // Under way it goes on as it is; what was known before is looked at anew.
            if known.state != CommitmentState::Checking {
                tx.commitment_check_again(known.id, new.link_node, new.link_until).await?;
            }
            open.push(known.id);
            tx.audit(audit(AuditOutcome::Success, format!("{} objects, asked for again", new.instance_count)));
        }
        if link.is_some() {
            // Earlier results that did not reach this peer can go the same way.
            let earlier = tx.commitment_unanswered_of(&peer.facility, &peer.calling, CAUGHT_UP_AT_ONCE).await?;
            for row in earlier {
                tx.commitment_relink(row.id, new.link_node, new.link_until).await?;
                if !open.contains(&row.id) {
                    open.push(row.id);
                }
            }
        }
        for id in &open {
            self.enqueue(&mut tx, *id, now).await?;
        }
        // Before the commit: the job may run the moment after it.
        if let Some(link) = link {
            let mut links = self.lock_links();
            for id in &open {
                links.insert(*id, OpenLink { association: peer.association, link: Arc::clone(&link) });
            }
        }
        tx.commit().await?;
        tracing::info!(facility.id = %peer.facility, peer.calling = %peer.calling, transaction.uid = %request.transaction, commitment.objects = new.instance_count, "storage commitment asked for");
        Ok(())
    }

    /// The association has ended: results that waited for it look for another way.
    pub async fn association_ended(&self, association: u64) {
        let ended: Vec<Uuid> = {
            let mut links = self.lock_links();
            let ended = links.iter().filter(|(_, open)| open.association == association).map(|(id, _)| *id).collect();
            links.retain(|_, open| open.association != association);
            ended
        };
        if ended.is_empty() {
            return;
        }
        let unlinked = async {
            let mut tx = self.database.write().await?;
            for id in ended {
                tx.commitment_unlink(id, &self.node).await?;
            }
            tx.commit().await
        };
        if let Err(error) = unlinked.await {
            tracing::warn!(
                error = DatabaseError::chain(&error),
                "other nodes wait a while longer for an association that has ended"
            );
        }
    }

    /// Requests for the office, newest first; `unanswered_only`: those whose result the peer has not got.
    pub async fn list(
        &self,
        actor: &Actor,
        unanswered_only: bool,
        limit: u32,
    ) -> Result<Vec<CommitmentRow>, CommitmentError> {
        can(actor, Action::ViewOffice, Resource::Node).map_err(|_| CommitmentError::Denied)?;
        Ok(self.database.read().await?.commitment_list(unanswered_only, limit).await?)
    }

    async fn enqueue(&self, tx: &mut WriteTx, id: Uuid, now: Timestamp) -> Result<(), DatabaseError> {
        // What stood in the dead list is alive again.
        tx.commitment_clear_dead_jobs(QUEUE, id, now).await?;
        tx.job_enqueue(NewJob {
            id: JobId(self.ambient.new_uuid()),
            queue: QUEUE,
            payload: serde_json::json!({ "commitment": id }).to_string(),
            dedup_key: Some(commitment_job_key(id)),
            run_at: now,
            max_attempts: self.settings.max_attempts,
            now,
        })
        .await
        .map(drop)
    }

    fn link_end(&self, now: Timestamp, open: bool) -> Timestamp {
        if open { now.plus_seconds(LINK_SECONDS) } else { Timestamp(0) }
    }

    fn link_of(&self, id: Uuid) -> Option<Arc<dyn ResultLink>> {
        self.lock_links().get(&id).map(|open| Arc::clone(&open.link))
    }

    fn drop_link(&self, id: Uuid) {
        self.lock_links().remove(&id);
    }

    fn lock_links(&self) -> MutexGuard<'_, HashMap<Uuid, OpenLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reference a line, in the order of the request.
fn lines(references: &[InstanceReference]) -> Vec<u8> {
    let mut text = String::with_capacity(references.len() * 96);
    for reference in references {
        text.push_str(reference.sop_class.as_str());
        text.push(' ');
        text.push_str(reference.sop_instance.as_str());
        text.push('\n');
    }
    text.into_bytes()
}

/// The references of [`lines`]; `None` for what it did not write.
fn references(lines: &[u8]) -> Option<Vec<InstanceReference>> {
    let text = std::str::from_utf8(lines).ok()?;
    let parse = |line: &str| {
        let (class, instance) = line.split_once(' ')?;
        Some(InstanceReference {
            sop_class: SopClassUid::parse(class).ok()?,
            sop_instance: SopInstanceUid::parse(instance).ok()?,
        })
    };
    text.lines().map(parse).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    hash
}

/// The error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests;
