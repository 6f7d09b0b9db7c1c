//! Whether recipients of reports answer for keeping them: the columns of the return ledger that storage commitment fills.

use dokuei_domain::{AeTitle, DeliveryId, FacilityId, ReportVersionId, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A delivery whose recipient is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCommitmentRow {
    pub delivery: DeliveryId,
    pub version: ReportVersionId,
    pub facility: FacilityId,
    pub called: AeTitle,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Of the latest request.
    pub transaction: Option<String>,
    /// When the recipient said that it keeps every object.
    pub committed_at: Option<Timestamp>,
    /// Why it does not, or why nobody knows.
    pub error: Option<String>,
}

statements! {
    /// Only what was accepted since the recipient is to be asked.
    DELIVERIES_TO_COMMIT =
        "SELECT d.id FROM deliveries d JOIN return_targets t ON t.id = d.target_id WHERE d.state = 'accepted' AND t.commitment > 0 \
         AND t.disabled_at IS NULL AND d.accepted_at >= t.commitment AND d.committed_at IS NULL AND d.commitment_error IS NULL \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.queue = $1 AND j.dedup_key = lower(hex(d.id)) AND j.state IN ('ready', 'running')) \
         ORDER BY d.accepted_at LIMIT $2",
        "SELECT d.id FROM deliveries d JOIN return_targets t ON t.id = d.target_id WHERE d.state = 'accepted' AND t.commitment > 0 \
         AND t.disabled_at IS NULL AND d.accepted_at >= t.commitment AND d.committed_at IS NULL AND d.commitment_error IS NULL \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.queue = $1 AND j.dedup_key = replace(CAST(d.id AS TEXT), '-', '') \
         AND j.state IN ('ready', 'running')) ORDER BY d.accepted_at LIMIT $2";
    DELIVERY_COMMITMENT =
        "SELECT d.id, d.report_version_id, d.facility_id, t.called_aet, t.host, t.port, t.tls, d.commitment_transaction, d.committed_at, \
         d.commitment_error FROM deliveries d JOIN return_targets t ON t.id = d.target_id WHERE d.id = $1";
    DELIVERY_COMMITMENT_BY_TRANSACTION =
        "SELECT d.id, d.report_version_id, d.facility_id, t.called_aet, t.host, t.port, t.tls, d.commitment_transaction, d.committed_at, \
         d.commitment_error FROM deliveries d JOIN return_targets t ON t.id = d.target_id \
         WHERE d.facility_id = $1 AND d.commitment_transaction = $2 ORDER BY d.id LIMIT 1";
    DELIVERY_COMMITMENT_ASK = "UPDATE deliveries SET commitment_transaction = $2, commitment_error = NULL WHERE id = $1 AND committed_at IS NULL";
    DELIVERY_COMMITTED = "UPDATE deliveries SET committed_at = $2, commitment_error = NULL WHERE id = $1 AND committed_at IS NULL";
    DELIVERY_NOT_COMMITTED = "UPDATE deliveries SET commitment_error = $2 WHERE id = $1 AND committed_at IS NULL";
    RETURN_TARGET_ASK_COMMITMENT =
        "UPDATE return_targets SET commitment = $5 WHERE facility_id = $1 AND called_aet = $2 AND host = $3 AND port = $4 AND disabled_at IS NULL";
}

fn read_row(row: &Row) -> Result<DeliveryCommitmentRow, DatabaseError> {
    Ok(DeliveryCommitmentRow {
        delivery: DeliveryId(row.uuid("id")?),
        version: ReportVersionId(row.uuid("report_version_id")?),
        facility: row.facility("facility_id")?,
        called: row.parsed("called_aet", |text| AeTitle::parse(text).ok())?,
        host: row.text("host")?,
        port: u16::try_from(row.get::<i64>("port")?)
            .map_err(|_| DatabaseError::inconsistent("port", "column port holds no port number"))?,
        tls: row.flag("tls")?,
        transaction: row.get("commitment_transaction")?,
        committed_at: row.optional_time("committed_at")?,
        error: row.get("commitment_error")?,
    })
}

impl ReadTx {
    /// Accepted deliveries whose recipient is to be asked, has not answered, and for which no job waits or runs.
    pub async fn deliveries_to_commit(&mut self, queue: &str, limit: u32) -> Result<Vec<DeliveryId>, DatabaseError> {
        let rows = self.rows(DELIVERIES_TO_COMMIT, args![queue, limit]).await?;
        rows.iter().map(|row| row.uuid("id").map(DeliveryId)).collect()
    }

    pub async fn delivery_commitment(
        &mut self,
        delivery: DeliveryId,
    ) -> Result<Option<DeliveryCommitmentRow>, DatabaseError> {
        self.optional(DELIVERY_COMMITMENT, args![delivery]).await?.as_ref().map(read_row).transpose()
    }

    /// The delivery that a request of ours was about.
    pub async fn delivery_commitment_by_transaction(
        &mut self,
        facility: &FacilityId,
        transaction: &str,
    ) -> Result<Option<DeliveryCommitmentRow>, DatabaseError> {
        let found = self.optional(DELIVERY_COMMITMENT_BY_TRANSACTION, args![facility, transaction]).await?;
        found.as_ref().map(read_row).transpose()
    }
}

impl WriteTx {
    /// The recipient is about to be asked under this Transaction UID. `false`: it has committed already.
    pub async fn delivery_commitment_ask(
        &mut self,
        delivery: DeliveryId,
        transaction: &str,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_COMMITMENT_ASK, args![delivery, transaction]).await? == 1)
    }

    /// The recipient keeps every object. `false`: that is known.
    pub async fn delivery_committed(&mut self, delivery: DeliveryId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_COMMITTED, args![delivery, now]).await? == 1)
    }

    /// The recipient does not keep every object, or does not say. `false`: it has committed.
    pub async fn delivery_not_committed(&mut self, delivery: DeliveryId, error: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute(DELIVERY_NOT_COMMITTED, args![delivery, error]).await? == 1)
    }

    /// Whether a return target is asked for storage commitment of what it accepts from now on. `false`: there is no such target.
    pub async fn return_target_ask_commitment(
        &mut self,
        facility: &FacilityId,
        called: &AeTitle,
        host: &str,
        port: u16,
        since: Option<Timestamp>,
    ) -> Result<bool, DatabaseError> {
        let values = args![facility, called, host, i64::from(port), since.unwrap_or_default()];
        Ok(self.execute(RETURN_TARGET_ASK_COMMITMENT, values).await? == 1)
    }
}
