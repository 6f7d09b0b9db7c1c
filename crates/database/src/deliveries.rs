//! The return ledger: one row per report version and recipient, one row per attempt.
//!
//! A row is *queued* until an attempt has put something on the wire, *sent* while the recipient has not taken all of it, *accepted* when it has, and
//! *failed* when nothing more is tried by itself. An attempt without an end is under way, or was interrupted by a stop of the node: attempts of one row never
//! overlap, so the next one closes it.

use std::collections::HashMap;

use dokuei_domain::{AeTitle, CaseId, DeliveryId, FacilityId, ReportVersionId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    DatabaseError,
    reports::case_withdrawn_sql,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

text_enum!(/// Where a delivery stands.
DeliveryState {
    Queued = "queued",
    /// Something was put on the wire; the recipient has not taken all of it.
    Sent = "sent",
    Accepted = "accepted",
    /// Nothing more is tried by itself.
    Failed = "failed",
});

text_enum!(/// How an attempt ended.
AttemptOutcome {
    Accepted = "accepted",
    Refused = "refused",
    Unreachable = "unreachable",
    Aborted = "aborted",
    TimedOut = "timed_out",
    /// The node stopped meanwhile.
    Interrupted = "interrupted",
    /// On our side, or in a way that fits nothing above.
    Failed = "failed",
});

text_enum!(/// Who began an attempt.
AttemptStart {
    Automatic = "automatic",
    Manual = "manual",
});

/// A row of the ledger with its recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub version: ReportVersionId,
    pub version_number: i64,
    pub case: CaseId,
    pub facility: FacilityId,
    pub target: DeliveryTargetRow,
    pub state: DeliveryState,
    pub attempt_count: i64,
    pub next_attempt_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub accepted_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Somebody asked for an attempt at once, and it has not begun.
    pub retry_requested_by: Option<String>,
    /// The facility withdrew every study of the case.
    pub withdrawn_at: Option<Timestamp>,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTargetRow {
    pub id: Uuid,
    pub called: AeTitle,
    pub host: String,
    pub port: u16,
    /// By DICOM over TLS.
    pub tls: bool,
    pub disabled_at: Option<Timestamp>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub id: Uuid,
    pub number: i64,
    pub started_by: AttemptStart,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<AttemptOutcome>,
    pub detail: Option<String>,
}

/// An attempt that begins.
#[derive(Debug, Clone)]
pub struct NewAttempt<'a> {
    pub id: Uuid,
    pub delivery: DeliveryId,
    pub now: Timestamp,
    /// What is written to an earlier attempt that never ended.
    pub interrupted: &'a str,
}

/// An attempt that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunAttempt {
    pub number: i64,
    pub started_by: AttemptStart,
    /// Earlier attempts that had no end and now have one.
    pub interrupted: u64,
}

/// Which rows a list holds. `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliverySelection {
    pub facility: Option<FacilityId>,
    pub case: Option<CaseId>,
    pub version: Option<ReportVersionId>,
    /// Only those that are not accepted.
    pub unfinished_only: bool,
    pub limit: u32,
}

macro_rules! delivery_sql {
    ($rest:expr) => {
        concat!(
            "SELECT d.id, d.report_version_id, v.number AS version_number, v.case_id, d.facility_id, d.target_id, t.called_aet, t.host, t.port, t.tls, \
             t.disabled_at AS target_disabled_at, d.state, d.attempt_count, d.next_attempt_at, d.created_at, d.accepted_at, d.last_error, \
             d.retry_requested_by, ",
            case_withdrawn_sql!(),
            " FROM deliveries d JOIN report_versions v ON v.id = d.report_version_id JOIN cases c ON c.id = v.case_id \
             JOIN return_targets t ON t.id = d.target_id ",
            $rest
        )
    };
}

macro_rules! selection_sql {
    () => {
        "WHERE (CAST($1 AS TEXT) IS NULL OR d.facility_id = $1) AND ($2 = 0 OR v.case_id = $3) AND ($4 = 0 OR v.id = $5) \
         AND ($6 = 0 OR d.state <> 'accepted') ORDER BY d.created_at DESC, d.id DESC LIMIT $7"
    };
}

statements! {
    DELIVERY_INSERT =
        "INSERT INTO deliveries (id, report_version_id, facility_id, target_id, state, attempt_count, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, 'queued', 0, $5, $5) ON CONFLICT (report_version_id, target_id) DO NOTHING";
    DELIVERY_FIND = delivery_sql!("WHERE d.id = $1 AND (CAST($2 AS TEXT) IS NULL OR d.facility_id = $2)");
    DELIVERY_LIST = delivery_sql!(selection_sql!());
    DELIVERY_LIST_ATTEMPTS = concat!(
        "SELECT a.delivery_id, a.id, a.number, a.started_by, a.started_at, a.ended_at, a.outcome, a.detail FROM delivery_attempts a \
         WHERE a.delivery_id IN (SELECT d.id FROM deliveries d JOIN report_versions v ON v.id = d.report_version_id ",
        selection_sql!(),
        ") ORDER BY a.delivery_id, a.number"
    );
    DELIVERY_ATTEMPTS =
        "SELECT delivery_id, id, number, started_by, started_at, ended_at, outcome, detail FROM delivery_attempts \
         WHERE delivery_id = $1 ORDER BY number LIMIT 1000";
    /// Changes nothing: the row stays locked until commit.
    DELIVERY_LOCK =
        "UPDATE deliveries SET attempt_count = attempt_count WHERE id = $1 RETURNING state, attempt_count, retry_requested_by";
    DELIVERY_CLOSE_OPEN_ATTEMPTS =
        "UPDATE delivery_attempts SET ended_at = $2, outcome = 'interrupted', detail = $3 WHERE delivery_id = $1 AND ended_at IS NULL";
    DELIVERY_BEGIN =
        "UPDATE deliveries SET attempt_count = attempt_count + 1, next_attempt_at = NULL, retry_requested_by = NULL \
         WHERE id = $1 AND state IN ('queued', 'sent')";
    DELIVERY_ATTEMPT_INSERT =
        "INSERT INTO delivery_attempts (id, delivery_id, number, started_by, started_at) VALUES ($1, $2, $3, $4, $5)";
    DELIVERY_ATTEMPT_FINISH =
        "UPDATE delivery_attempts SET ended_at = $2, outcome = $3, detail = $4 WHERE id = $1 AND ended_at IS NULL";
    DELIVERY_ACCEPT =
        "UPDATE deliveries SET state = 'accepted', accepted_at = $2, next_attempt_at = NULL, last_error = NULL, retry_requested_by = NULL \
         WHERE id = $1 AND state <> 'accepted'";
    DELIVERY_AGAIN =
        "UPDATE deliveries SET state = $2, next_attempt_at = $3, last_error = $4 WHERE id = $1 AND state IN ('queued', 'sent')";
    DELIVERY_FAIL =
        "UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, last_error = $2, retry_requested_by = NULL \
         WHERE id = $1 AND state IN ('queued', 'sent')";
    DELIVERY_REQUEST_RETRY =
        "UPDATE deliveries SET retry_requested_by = $2, next_attempt_at = $3, state = CASE WHEN state = 'failed' THEN 'queued' ELSE state END \
         WHERE id = $1 AND state <> 'accepted' AND retry_requested_by IS NULL";
    /// The dead job of a delivery works again, instead of a second one beside it.
    DELIVERY_REVIVE_JOB =
        "UPDATE jobs SET state = 'ready', attempt = 0, run_at = $3, finished_at = NULL WHERE id = (SELECT d.id FROM jobs d WHERE d.queue = $1 \
         AND d.dedup_key = $2 AND d.state = 'dead' ORDER BY d.created_at DESC LIMIT 1) AND NOT EXISTS \
         (SELECT 1 FROM jobs o WHERE o.queue = $1 AND o.dedup_key = $2 AND o.state = 'ready')";
    /// The key of a delivery's job is its id in hexadecimal.
    DELIVERY_WITHOUT_JOB =
        "SELECT d.id, d.next_attempt_at FROM deliveries d WHERE d.state IN ('queued', 'sent') AND NOT EXISTS (SELECT 1 FROM jobs j \
         WHERE j.queue = $1 AND j.dedup_key = lower(hex(d.id)) AND j.state IN ('ready', 'running')) ORDER BY d.created_at LIMIT $2",
        "SELECT d.id, d.next_attempt_at FROM deliveries d WHERE d.state IN ('queued', 'sent') AND NOT EXISTS (SELECT 1 FROM jobs j \
         WHERE j.queue = $1 AND j.dedup_key = replace(CAST(d.id AS TEXT), '-', '') AND j.state IN ('ready', 'running')) \
         ORDER BY d.created_at LIMIT $2";
}

/// The dedup key of a delivery's job.
pub fn delivery_job_key(delivery: DeliveryId) -> String {
    delivery.0.simple().to_string()
}

fn read_delivery(row: &Row) -> Result<DeliveryRow, DatabaseError> {
    Ok(DeliveryRow {
        id: DeliveryId(row.uuid("id")?),
        version: ReportVersionId(row.uuid("report_version_id")?),
        version_number: row.get("version_number")?,
        case: CaseId(row.uuid("case_id")?),
        facility: row.facility("facility_id")?,
        target: DeliveryTargetRow {
            id: row.uuid("target_id")?,
            called: row.parsed("called_aet", |text| AeTitle::parse(text).ok())?,
            host: row.text("host")?,
            port: u16::try_from(row.get::<i64>("port")?)
                .map_err(|_| DatabaseError::inconsistent("port", "column port holds no port number"))?,
            tls: row.flag("tls")?,
            disabled_at: row.optional_time("target_disabled_at")?,
        },
        state: row.parsed("state", DeliveryState::parse)?,
        attempt_count: row.get("attempt_count")?,
        next_attempt_at: row.optional_time("next_attempt_at")?,
        created_at: row.time("created_at")?,
        accepted_at: row.optional_time("accepted_at")?,
        last_error: row.get("last_error")?,
        retry_requested_by: row.get("retry_requested_by")?,
        withdrawn_at: row.optional_time("withdrawn_at")?,
    })
}

fn read_attempt(row: &Row) -> Result<AttemptRow, DatabaseError> {
    let outcome = match row.get::<Option<String>>("outcome")? {
        None => None,
        Some(_) => Some(row.parsed("outcome", AttemptOutcome::parse)?),
    };
    Ok(AttemptRow {
        id: row.uuid("id")?,
        number: row.get("number")?,
        started_by: row.parsed("started_by", AttemptStart::parse)?,
        started_at: row.time("started_at")?,
        ended_at: row.optional_time("ended_at")?,
        outcome,
        detail: row.get("detail")?,
    })
}

impl ReadTx {
    /// A row of the ledger; of one facility only when that is given.
    pub async fn delivery_find(
        &mut self,
        delivery: DeliveryId,
        facility: Option<&FacilityId>,
    ) -> Result<Option<DeliveryRow>, DatabaseError> {
        self.optional(DELIVERY_FIND, args![delivery, facility]).await?.as_ref().map(read_delivery).transpose()
    }

    /// Rows of the ledger with their attempts, youngest row first, first attempt first.
    pub async fn delivery_list(
        &mut self,
        selection: &DeliverySelection,
    ) -> Result<Vec<(DeliveryRow, Vec<AttemptRow>)>, DatabaseError> {
        let (case, version) =
            (selection.case.unwrap_or(CaseId(Uuid::nil())), selection.version.unwrap_or(ReportVersionId(Uuid::nil())));
        let values = args![
            selection.facility.as_ref(),
            i64::from(selection.case.is_some()),
            case,
            i64::from(selection.version.is_some()),
            version,
            i64::from(selection.unfinished_only),
            selection.limit,
        ];
        let deliveries = self.rows(DELIVERY_LIST, values).await?;
        let mut attempts: HashMap<Uuid, Vec<AttemptRow>> = HashMap::new();
        for row in self.rows(DELIVERY_LIST_ATTEMPTS, values).await? {
            attempts.entry(row.uuid("delivery_id")?).or_default().push(read_attempt(&row)?);
        }
        let with_attempts = |row: &Row| {
            let delivery = read_delivery(row)?;
            let attempts = attempts.remove(&delivery.id.0).unwrap_or_default();
            Ok((delivery, attempts))
        };
        deliveries.iter().map(with_attempts).collect()
    }

    /// The attempts of one delivery, first to last.
    pub async fn delivery_attempts(&mut self, delivery: DeliveryId) -> Result<Vec<AttemptRow>, DatabaseError> {
        self.rows(DELIVERY_ATTEMPTS, args![delivery]).await?.iter().map(read_attempt).collect()
    }

    /// Unfinished deliveries for which no job waits or runs, with the time of their next attempt.
    pub async fn deliveries_without_job(
        &mut self,
        queue: &str,
        limit: u32,
    ) -> Result<Vec<(DeliveryId, Option<Timestamp>)>, DatabaseError> {
        let rows = self.rows(DELIVERY_WITHOUT_JOB, args![queue, limit]).await?;
        rows.iter().map(|row| Ok((DeliveryId(row.uuid("id")?), row.optional_time("next_attempt_at")?))).collect()
    }
}

impl WriteTx {
    /// Adds a row to the ledger. `false`: the version has one for this recipient.
    pub async fn delivery_insert(
        &mut self,
        id: DeliveryId,
        version: ReportVersionId,
        facility: &FacilityId,
        target: Uuid,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_INSERT, args![id, version, facility, target, now]).await? == 1)
    }

    /// Begins an attempt and ends what was left open. `None`: there is nothing to deliver any more.
    pub async fn delivery_begin_attempt(
        &mut self,
        attempt: &NewAttempt<'_>,
    ) -> Result<Option<BegunAttempt>, DatabaseError> {
        let Some(row) = self.optional(DELIVERY_LOCK, args![attempt.delivery]).await? else { return Ok(None) };
        let number = row.get::<i64>("attempt_count")? + 1;
        let manual = row.get::<Option<String>>("retry_requested_by")?.is_some();
        let started_by = if manual { AttemptStart::Manual } else { AttemptStart::Automatic };
        let interrupted = self
            .execute(DELIVERY_CLOSE_OPEN_ATTEMPTS, args![attempt.delivery, attempt.now, attempt.interrupted])
            .await?;
        if self.execute(DELIVERY_BEGIN, args![attempt.delivery]).await? == 0 {
            return Ok(None);
        }
        self.execute(
            DELIVERY_ATTEMPT_INSERT,
            args![attempt.id, attempt.delivery, number, started_by.as_str(), attempt.now],
        )
        .await?;
        Ok(Some(BegunAttempt { number, started_by, interrupted }))
    }

    /// Writes how an attempt ended. `false`: it has an end already, and this run of it counts for nothing.
    pub async fn delivery_finish_attempt(
        &mut self,
        attempt: Uuid,
        outcome: AttemptOutcome,
        detail: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_ATTEMPT_FINISH, args![attempt, now, outcome.as_str(), detail]).await? == 1)
    }

    /// The recipient has everything.
    pub async fn delivery_accept(&mut self, delivery: DeliveryId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_ACCEPT, args![delivery, now]).await? == 1)
    }

    /// Not yet: `state` is queued or sent, and there will be another attempt.
    pub async fn delivery_again(
        &mut self,
        delivery: DeliveryId,
        state: DeliveryState,
        next_attempt_at: Timestamp,
        error: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_AGAIN, args![delivery, state.as_str(), next_attempt_at, error]).await? == 1)
    }

    /// Nothing more is tried by itself.
    pub async fn delivery_fail(&mut self, delivery: DeliveryId, error: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_FAIL, args![delivery, error]).await? == 1)
    }

    /// Asks for an attempt at once. `false`: it is accepted, or somebody has asked already.
    pub async fn delivery_request_retry(
        &mut self,
        delivery: DeliveryId,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_REQUEST_RETRY, args![delivery, by, now]).await? == 1)
    }

    /// Puts the delivery's dead job back to work. `false`: it has none, or one is waiting.
    pub async fn delivery_revive_job(
        &mut self,
        queue: &str,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        self.wake_jobs_on_commit();
        Ok(self.execute(DELIVERY_REVIVE_JOB, args![queue, delivery_job_key(delivery), now]).await? == 1)
    }
}
