//! Workitems: the chain of Unified Procedure Steps of a case, at most one of them open (PS3.4 CC.1.1), and the readers they can be given to.
//!
//! The Transaction UID goes in and is compared here. No function gives it out: who reads it could take over a claim.

use dokuei_domain::{
    AccountId, CaseId, PersonName, Timestamp,
    workitem::{Discontinuation, WorkitemState},
};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// One workitem of a case, without its Transaction UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkitemRow {
    /// SOP Instance UID of the workitem.
    pub uid: String,
    pub case: CaseId,
    pub state: WorkitemState,
    /// The canceled workitem that this one stands for, (0074,1224).
    pub replaces: Option<String>,
    /// It is for images that the latest report has not seen: how many. `None`: for the first reading.
    pub added_instances: Option<i64>,
    /// Who held the workitem that this one replaces.
    pub previous_performer: Option<AccountId>,
    pub assigned_reader: Option<AccountId>,
    pub assigned_at: Option<Timestamp>,
    /// JSON as the use case wrote it.
    pub assignment_reasons: Option<String>,
    pub performer: Option<AccountId>,
    pub claimed_at: Option<Timestamp>,
    /// `None` on a claimed workitem: the claim does not expire by itself.
    pub claim_expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Code value of CID 9300, scheme DCM.
    pub discontinuation_code: Option<String>,
    pub discontinuation_reason: Option<String>,
}

/// A reader with what an assignment looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderLoadRow {
    pub account: AccountId,
    pub name: PersonName,
    /// The reader takes new cases.
    pub accepting: bool,
    /// The account may no longer sign in.
    pub disabled: bool,
    /// On-duty hours as typed.
    pub hours: String,
    pub modalities: Vec<String>,
    /// Open workitems that the reader holds or is expected to take.
    pub open_workitems: i64,
    pub last_assigned_at: Option<Timestamp>,
}

statements! {
    /// What it replaces was for the same images.
    WORKITEM_INSERT =
        "INSERT INTO workitems (uid, case_id, replaces_uid, state, created_at, added_instances) \
         VALUES ($1, $2, $3, 'SCHEDULED', $4, (SELECT r.added_instances FROM workitems r WHERE r.uid = $3))";
    WORKITEM_INSERT_REVERIFY =
        "INSERT INTO workitems (uid, case_id, state, created_at, added_instances) VALUES ($1, $2, 'SCHEDULED', $3, $4)";
    WORKITEM_SET_ADDED =
        "UPDATE workitems SET added_instances = $2 WHERE case_id = $1 AND state IN ('SCHEDULED', 'IN PROGRESS') \
         AND (added_instances IS NULL OR added_instances <> $2)";
    WORKITEM_OPEN =
        "SELECT w.uid, w.case_id, w.state, w.replaces_uid, w.added_instances, b.performer AS previous_performer, w.assigned_reader, w.assigned_at, \
         w.assignment_reasons, w.performer, w.claimed_at, w.claim_expires_at, w.created_at, w.ended_at, w.discontinuation_code, \
         w.discontinuation_reason FROM workitems w LEFT JOIN workitems b ON b.uid = w.replaces_uid \
         WHERE w.case_id = $1 AND w.state IN ('SCHEDULED', 'IN PROGRESS')";
    WORKITEM_HISTORY =
        "SELECT w.uid, w.case_id, w.state, w.replaces_uid, w.added_instances, b.performer AS previous_performer, w.assigned_reader, w.assigned_at, \
         w.assignment_reasons, w.performer, w.claimed_at, w.claim_expires_at, w.created_at, w.ended_at, w.discontinuation_code, \
         w.discontinuation_reason FROM workitems w LEFT JOIN workitems b ON b.uid = w.replaces_uid \
         WHERE w.case_id = $1 ORDER BY w.created_at DESC, CASE WHEN w.ended_at IS NULL THEN 0 ELSE 1 END, w.ended_at DESC LIMIT $2";
    WORKITEM_HELD = "SELECT uid FROM workitems WHERE case_id = $1 AND state = 'IN PROGRESS' AND performer = $2 AND transaction_uid = $3";
    WORKITEM_CLAIM =
        "UPDATE workitems SET state = 'IN PROGRESS', transaction_uid = $2, performer = $3, claimed_at = $4, claim_expires_at = $5 \
         WHERE uid = $1 AND state = 'SCHEDULED'";
    WORKITEM_KEEP =
        "UPDATE workitems SET claim_expires_at = $4 WHERE case_id = $1 AND state = 'IN PROGRESS' AND performer = $2 AND transaction_uid = $3";
    WORKITEM_COMPLETE =
        "UPDATE workitems SET state = 'COMPLETED', ended_at = $4, claim_expires_at = NULL \
         WHERE case_id = $1 AND state = 'IN PROGRESS' AND performer = $2 AND transaction_uid = $3 RETURNING uid";
    WORKITEM_CANCEL_HELD =
        "UPDATE workitems SET state = 'CANCELED', ended_at = $4, discontinuation_code = $5, discontinuation_reason = $6 \
         WHERE case_id = $1 AND state = 'IN PROGRESS' AND performer = $2 AND transaction_uid = $3 RETURNING uid";
    WORKITEM_CANCEL_EXPIRED =
        "UPDATE workitems SET state = 'CANCELED', ended_at = $2, discontinuation_code = $3, discontinuation_reason = $4 \
         WHERE uid = $1 AND state = 'IN PROGRESS' AND claim_expires_at <= $2";
    WORKITEM_CANCEL_OPEN =
        "UPDATE workitems SET state = 'CANCELED', ended_at = $2, discontinuation_code = $3, discontinuation_reason = $4 \
         WHERE case_id = $1 AND state IN ('SCHEDULED', 'IN PROGRESS') RETURNING uid";
    /// Only from the reader it was read with, so that a choice of the office is never overwritten by a slower one of the node.
    WORKITEM_ASSIGN =
        "UPDATE workitems SET assigned_reader = $3, assigned_at = $4, assignment_reasons = $5 \
         WHERE uid = $1 AND state = 'SCHEDULED' AND COALESCE(assigned_reader, '') = $2";
    WORKITEM_EXPIRED =
        "SELECT uid, case_id FROM workitems WHERE state = 'IN PROGRESS' AND claim_expires_at <= $1 ORDER BY claim_expires_at LIMIT $2";
    /// Nobody was chosen, or the one chosen can no longer sign in.
    WORKITEM_WITHOUT_READER =
        "SELECT w.case_id FROM workitems w JOIN cases c ON c.id = w.case_id LEFT JOIN accounts a ON a.id = w.assigned_reader \
         WHERE w.state = 'SCHEDULED' AND (w.assigned_reader IS NULL OR a.disabled_at IS NOT NULL) \
         ORDER BY CASE c.priority WHEN 'emergency' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END, c.due_at, c.id LIMIT $1";
    /// One row per reader and modality; a claimed workitem counts for who holds it, an unclaimed one for who is expected to take it.
    READER_LOADS =
        "SELECT r.account_id, r.name_alphabetic, r.name_ideographic, r.name_phonetic, r.accepting_since, a.disabled_at, r.hours, \
         m.modality, COALESCE(o.open_count, 0) AS open_count, \
         (SELECT MAX(l.assigned_at) FROM workitems l WHERE l.assigned_reader = r.account_id) AS last_assigned_at \
         FROM readers r JOIN accounts a ON a.id = r.account_id LEFT JOIN reader_modalities m ON m.account_id = r.account_id \
         LEFT JOIN (SELECT COALESCE(w.performer, w.assigned_reader) AS reader, COUNT(*) AS open_count FROM workitems w \
                    WHERE w.state IN ('SCHEDULED', 'IN PROGRESS') GROUP BY COALESCE(w.performer, w.assigned_reader)) o \
         ON o.reader = r.account_id ORDER BY r.account_id, m.modality LIMIT 20000";
}

fn read_row(row: &Row) -> Result<WorkitemRow, DatabaseError> {
    Ok(WorkitemRow {
        uid: row.text("uid")?,
        case: CaseId(row.uuid("case_id")?),
        state: row.parsed("state", WorkitemState::parse)?,
        replaces: row.get("replaces_uid")?,
        added_instances: row.get("added_instances")?,
        previous_performer: row.optional_account("previous_performer")?,
        assigned_reader: row.optional_account("assigned_reader")?,
        assigned_at: row.optional_time("assigned_at")?,
        assignment_reasons: row.get("assignment_reasons")?,
        performer: row.optional_account("performer")?,
        claimed_at: row.optional_time("claimed_at")?,
        claim_expires_at: row.optional_time("claim_expires_at")?,
        created_at: row.time("created_at")?,
        ended_at: row.optional_time("ended_at")?,
        discontinuation_code: row.get("discontinuation_code")?,
        discontinuation_reason: row.get("discontinuation_reason")?,
    })
}

impl ReadTx {
    /// The case's SCHEDULED or IN PROGRESS workitem; never more than one.
    pub async fn workitem_open(&mut self, case: CaseId) -> Result<Option<WorkitemRow>, DatabaseError> {
        self.optional(WORKITEM_OPEN, args![case]).await?.as_ref().map(read_row).transpose()
    }

    /// The case's workitems, newest first.
    pub async fn workitem_history(&mut self, case: CaseId, limit: u32) -> Result<Vec<WorkitemRow>, DatabaseError> {
        self.rows(WORKITEM_HISTORY, args![case, limit]).await?.iter().map(read_row).collect()
    }

    /// The UID of the workitem that `performer` holds with exactly this Transaction UID. Fences whatever is done under a claim.
    pub async fn workitem_held(
        &mut self,
        case: CaseId,
        performer: &AccountId,
        transaction_uid: &str,
    ) -> Result<Option<String>, DatabaseError> {
        let row = self.optional(WORKITEM_HELD, args![case, performer, transaction_uid]).await?;
        row.map(|row| row.text("uid")).transpose()
    }

    /// Claimed workitems whose claim was not kept alive, the oldest first.
    pub async fn workitem_expired(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, CaseId)>, DatabaseError> {
        let rows = self.rows(WORKITEM_EXPIRED, args![now, limit]).await?;
        rows.iter().map(|row| Ok((row.text("uid")?, CaseId(row.uuid("case_id")?)))).collect()
    }

    /// Cases whose open workitem waits for somebody to be chosen, the most urgent first.
    pub async fn workitem_without_reader(&mut self, limit: u32) -> Result<Vec<CaseId>, DatabaseError> {
        let rows = self.rows(WORKITEM_WITHOUT_READER, args![limit]).await?;
        rows.iter().map(|row| row.uuid("case_id").map(CaseId)).collect()
    }

    /// All readers with skills, hours and load, by account.
    pub async fn reader_loads(&mut self) -> Result<Vec<ReaderLoadRow>, DatabaseError> {
        let mut readers: Vec<ReaderLoadRow> = Vec::new();
        for row in self.rows(READER_LOADS, args![]).await? {
            let account = row.account("account_id")?;
            let modality = row.get::<Option<String>>("modality")?;
            match readers.last_mut() {
                Some(reader) if reader.account == account => reader.modalities.extend(modality),
                _ => readers.push(ReaderLoadRow {
                    account,
                    name: PersonName {
                        alphabetic: row.text("name_alphabetic")?,
                        ideographic: row.text("name_ideographic")?,
                        phonetic: row.text("name_phonetic")?,
                    },
                    accepting: row.optional_time("accepting_since")?.is_some(),
                    disabled: row.optional_time("disabled_at")?.is_some(),
                    hours: row.text("hours")?,
                    modalities: modality.into_iter().collect(),
                    open_workitems: row.get("open_count")?,
                    last_assigned_at: row.optional_time("last_assigned_at")?,
                }),
            }
        }
        Ok(readers)
    }
}

impl WriteTx {
    /// Adds a SCHEDULED workitem, which may stand for a canceled one. A second open workitem of a case is a conflict.
    pub async fn workitem_insert(
        &mut self,
        uid: &str,
        case: CaseId,
        replaces: Option<&str>,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(WORKITEM_INSERT, args![uid, case, replaces, now]).await.map(drop)
    }

    /// Adds a SCHEDULED workitem for so many images that the latest report has not seen.
    pub async fn workitem_insert_reverify(
        &mut self,
        uid: &str,
        case: CaseId,
        added_instances: i64,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(WORKITEM_INSERT_REVERIFY, args![uid, case, now, added_instances]).await.map(drop)
    }

    /// Says of the open workitem how many images the latest report has not seen. `false`: it says so already, or there is none.
    pub async fn workitem_set_added(&mut self, case: CaseId, added_instances: i64) -> Result<bool, DatabaseError> {
        Ok(self.execute(WORKITEM_SET_ADDED, args![case, added_instances]).await? == 1)
    }

    /// SCHEDULED → IN PROGRESS. `false`: somebody else was faster.
    pub async fn workitem_claim(
        &mut self,
        uid: &str,
        performer: &AccountId,
        transaction_uid: &str,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(WORKITEM_CLAIM, args![uid, transaction_uid, performer, now, expires_at]).await? == 1)
    }

    /// Prolongs a claim. `false`: it is no longer the performer's.
    pub async fn workitem_keep(
        &mut self,
        case: CaseId,
        performer: &AccountId,
        transaction_uid: &str,
        expires_at: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(WORKITEM_KEEP, args![case, performer, transaction_uid, expires_at]).await? == 1)
    }

    /// IN PROGRESS → COMPLETED, fenced by performer and Transaction UID. Gives the workitem's UID, or nothing when the claim is not (or no longer) theirs.
    /// The one who signs calls it in the transaction that stores the version.
    pub async fn workitem_complete(
        &mut self,
        case: CaseId,
        performer: &AccountId,
        transaction_uid: &str,
        now: Timestamp,
    ) -> Result<Option<String>, DatabaseError> {
        let row = self.optional(WORKITEM_COMPLETE, args![case, performer, transaction_uid, now]).await?;
        row.map(|row| row.text("uid")).transpose()
    }

    /// IN PROGRESS → CANCELED by who holds it. Gives the canceled workitem's UID, or nothing when the claim is not (or no longer) theirs.
    pub async fn workitem_cancel_held(
        &mut self,
        case: CaseId,
        performer: &AccountId,
        transaction_uid: &str,
        now: Timestamp,
        why: (Discontinuation, &str),
    ) -> Result<Option<String>, DatabaseError> {
        let (code, _) = why.0.code();
        let row =
            self.optional(WORKITEM_CANCEL_HELD, args![case, performer, transaction_uid, now, code, why.1]).await?;
        row.map(|row| row.text("uid")).transpose()
    }

    /// IN PROGRESS → CANCELED if the claim has expired by `now`. `false`: it was kept alive, or has ended in the meantime.
    pub async fn workitem_cancel_expired(&mut self, uid: &str, now: Timestamp) -> Result<bool, DatabaseError> {
        let (code, meaning) = Discontinuation::Expired.code();
        Ok(self.execute(WORKITEM_CANCEL_EXPIRED, args![uid, now, code, meaning]).await? == 1)
    }

    /// Cancels whatever is open, claimed or not. Gives its UID.
    pub async fn workitem_cancel_open(
        &mut self,
        case: CaseId,
        now: Timestamp,
        why: (Discontinuation, &str),
    ) -> Result<Option<String>, DatabaseError> {
        let (code, _) = why.0.code();
        let row = self.optional(WORKITEM_CANCEL_OPEN, args![case, now, code, why.1]).await?;
        row.map(|row| row.text("uid")).transpose()
    }

    /// Writes the reader chosen for a SCHEDULED workitem (or that nobody was) and why. `false`: it is no longer SCHEDULED, or no longer assigned as `expected`.
    pub async fn workitem_assign(
        &mut self,
        uid: &str,
        expected: Option<&AccountId>,
        reader: Option<&AccountId>,
        now: Timestamp,
        reasons: &str,
    ) -> Result<bool, DatabaseError> {
        let expected = expected.map_or("", AccountId::as_str);
        let assigned_at = reader.map(|_| now);
        Ok(self.execute(WORKITEM_ASSIGN, args![uid, expected, reader, assigned_at, reasons]).await? == 1)
    }
}
