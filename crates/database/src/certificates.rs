//! Readers' signing certificates and their encrypted keys. Rows stay when they are superseded: old signatures are checked against them.

use std::fmt;

use dokuei_domain::{AccountId, Timestamp};
use uuid::Uuid;

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A certificate as issued. Its `Debug` leaves out the key, encrypted as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRow {
    pub id: Uuid,
    pub account: AccountId,
    /// Hexadecimal, upper case.
    pub serial: String,
    /// X.509, DER.
    pub certificate: Vec<u8>,
    pub encrypted_key: Vec<u8>,
    pub issued_at: Timestamp,
    pub superseded_at: Option<Timestamp>,
}

impl fmt::Debug for CertificateRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRow")
            .field("account", &self.account)
            .field("serial", &self.serial)
            .field("issued_at", &self.issued_at)
            .field("superseded_at", &self.superseded_at)
            .finish_non_exhaustive()
    }
}

statements! {
    CERTIFICATE_INSERT = "INSERT INTO signing_certificates (id, account_id, serial, certificate, encrypted_key, issued_at) \
                          VALUES ($1, $2, $3, $4, $5, $6)";
    CERTIFICATE_SUPERSEDE = "UPDATE signing_certificates SET superseded_at = $2 WHERE account_id = $1 AND superseded_at IS NULL";
    CERTIFICATE_CURRENT = "SELECT id, account_id, serial, certificate, encrypted_key, issued_at, superseded_at FROM signing_certificates \
                           WHERE account_id = $1 AND superseded_at IS NULL";
    CERTIFICATE_BY_SERIAL = "SELECT id, account_id, serial, certificate, encrypted_key, issued_at, superseded_at FROM signing_certificates \
                             WHERE serial = $1";
    CERTIFICATE_LIST = "SELECT id, account_id, serial, certificate, encrypted_key, issued_at, superseded_at FROM signing_certificates \
                        WHERE account_id = $1 ORDER BY issued_at, serial";
    /// Only the key that was decrypted may be replaced by its new encryption.
    CERTIFICATE_REPLACE_KEY = "UPDATE signing_certificates SET encrypted_key = $3 WHERE id = $1 AND encrypted_key = $2 AND superseded_at IS NULL";
}

fn read_row(row: &Row) -> Result<CertificateRow, DatabaseError> {
    Ok(CertificateRow {
        id: row.uuid("id")?,
        account: row.account("account_id")?,
        serial: row.text("serial")?,
        certificate: row.get("certificate")?,
        encrypted_key: row.get("encrypted_key")?,
        issued_at: row.time("issued_at")?,
        superseded_at: row.optional_time("superseded_at")?,
    })
}

impl ReadTx {
    /// The certificate with which an account signs now.
    pub async fn certificate_current(&mut self, account: &AccountId) -> Result<Option<CertificateRow>, DatabaseError> {
        self.optional(CERTIFICATE_CURRENT, args![account]).await?.as_ref().map(read_row).transpose()
    }

    /// Any certificate ever issued, by its serial number.
    pub async fn certificate_by_serial(&mut self, serial: &str) -> Result<Option<CertificateRow>, DatabaseError> {
        self.optional(CERTIFICATE_BY_SERIAL, args![serial]).await?.as_ref().map(read_row).transpose()
    }

    /// All certificates of an account, oldest first.
    pub async fn certificate_list(&mut self, account: &AccountId) -> Result<Vec<CertificateRow>, DatabaseError> {
        self.rows(CERTIFICATE_LIST, args![account]).await?.iter().map(read_row).collect()
    }
}

impl WriteTx {
    /// A second certificate that is not superseded is a conflict.
    pub async fn certificate_insert(&mut self, row: &CertificateRow) -> Result<(), DatabaseError> {
        self.execute(
            CERTIFICATE_INSERT,
            args![row.id, &row.account, &row.serial, row.certificate.clone(), row.encrypted_key.clone(), row.issued_at],
        )
        .await
        .map(drop)
    }

    /// Ends the use of an account's certificate for new signatures. `false`: it had none.
    pub async fn certificate_supersede(&mut self, account: &AccountId, now: Timestamp) -> Result<bool, DatabaseError> {
        Ok(self.execute(CERTIFICATE_SUPERSEDE, args![account, now]).await? == 1)
    }

    /// `false`: the certificate was superseded or its key encrypted anew meanwhile.
    pub async fn certificate_replace_key(&mut self, id: Uuid, old: &[u8], new: &[u8]) -> Result<bool, DatabaseError> {
        Ok(self.execute(CERTIFICATE_REPLACE_KEY, args![id, old, new]).await? == 1)
    }
}
