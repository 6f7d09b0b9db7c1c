//! The audit trail: append-only, each row's hash covers the row before it, so that a removed or altered row shows.

use aws_lc_rs::digest;
use dokuei_domain::{Actor, FacilityId, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::ReadTx,
    value::{Row, args},
};

/// How an audited action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    Success,
    /// Somebody was not allowed to, or the request did not fit the state.
    Refused,
    Failed,
}

impl AuditOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One event. `subject` names the object by our id or a DICOM UID, never by a patient's name; `detail` is one line for a person.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub at: Timestamp,
    pub actor: String,
    pub action: &'static str,
    pub outcome: AuditOutcome,
    pub facility: Option<FacilityId>,
    pub subject: String,
    pub detail: String,
}

impl AuditEvent {
    pub fn new(at: Timestamp, actor: &Actor, action: &'static str, outcome: AuditOutcome) -> Self {
        Self {
            at,
            actor: actor.label(),
            action,
            outcome,
            facility: actor.facility().cloned(),
            subject: String::new(),
            detail: String::new(),
        }
    }

    #[must_use]
    pub fn facility(mut self, facility: &FacilityId) -> Self {
        self.facility = Some(facility.clone());
        self
    }

    #[must_use]
    pub fn subject(mut self, subject: impl ToString) -> Self {
        self.subject = subject.to_string();
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub sequence: i64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub outcome: String,
    pub facility: Option<String>,
    pub subject: String,
    pub detail: String,
    pub hash: Vec<u8>,
}

statements! {
    /// Takes the chain's head: the row stays locked until commit, so that two nodes append one after the other.
    AUDIT_HEAD_TAKE = "UPDATE audit_head SET sequence = sequence + $1 WHERE id = 1 RETURNING sequence, hash";
    AUDIT_HEAD_SET = "UPDATE audit_head SET hash = $1 WHERE id = 1";
    AUDIT_INSERT = "INSERT INTO audit_events (sequence, at, actor, action, outcome, facility_id, subject, detail, hash) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    AUDIT_AFTER = "SELECT sequence, at, actor, action, outcome, facility_id, subject, detail, hash FROM audit_events \
                   WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    AUDIT_LATEST = "SELECT sequence, at, actor, action, outcome, facility_id, subject, detail, hash FROM audit_events \
                    ORDER BY sequence DESC LIMIT $1";
}

pub(crate) async fn append(tx: &mut ReadTx, events: Vec<AuditEvent>) -> Result<(), DatabaseError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let head = tx.one(AUDIT_HEAD_TAKE, args![count]).await?;
    let first = head.get::<i64>("sequence")? - count + 1;
    let mut hash = head.get::<Vec<u8>>("hash")?;
    for (sequence, event) in (first..).zip(events) {
        let row = AuditRow {
            sequence,
            at: event.at,
            actor: event.actor,
            action: event.action.to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            facility: event.facility.map(String::from),
            subject: event.subject,
            detail: event.detail,
            hash: Vec::new(),
        };
        hash = chain_hash(&hash, &row);
        tx.execute(
            AUDIT_INSERT,
            args![
                row.sequence,
                row.at,
                row.actor,
                row.action,
                row.outcome,
                row.facility,
                row.subject,
                row.detail,
                hash.clone()
            ],
        )
        .await?;
    }
    tx.execute(AUDIT_HEAD_SET, args![hash]).await?;
    Ok(())
}

/// SHA-256 over the hash before and every field with its length, so that no two different rows give the same input.
fn chain_hash(before: &[u8], row: &AuditRow) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    let facility = row.facility.as_deref().unwrap_or("");
    let numbers = [row.sequence.to_be_bytes(), row.at.0.to_be_bytes()].concat();
    let fields: [&[u8]; 8] = [
        before,
        &numbers,
        row.actor.as_bytes(),
        row.action.as_bytes(),
        row.outcome.as_bytes(),
        facility.as_bytes(),
        row.subject.as_bytes(),
        row.detail.as_bytes(),
    ];
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    context.finish().as_ref().to_vec()
}

fn read_row(row: &Row) -> Result<AuditRow, DatabaseError> {
    Ok(AuditRow {
        sequence: row.get("sequence")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        outcome: row.text("outcome")?,
        facility: row.get("facility_id")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
        hash: row.get("hash")?,
    })
}

impl ReadTx {
    /// The latest events, newest first.
    pub async fn audit_latest(&mut self, limit: u32) -> Result<Vec<AuditRow>, DatabaseError> {
        self.rows(AUDIT_LATEST, args![limit]).await?.iter().map(read_row).collect()
    }

    /// Walks the whole chain and gives the number of rows, or the sequence of the first row that does not follow from the one before it.
    pub async fn audit_verify(&mut self) -> Result<Result<i64, i64>, DatabaseError> {
        let (mut sequence, mut hash) = (0, Vec::new());
        loop {
            let rows = self.rows(AUDIT_AFTER, args![sequence, 1000i64]).await?;
            if rows.is_empty() {
                return Ok(Ok(sequence));
            }
            for row in &rows {
                let row = read_row(row)?;
                if row.sequence != sequence + 1 || chain_hash(&hash, &row) != row.hash {
                    return Ok(Err(sequence + 1));
                }
                sequence = row.sequence;
                hash = row.hash;
            }
        }
    }
}
