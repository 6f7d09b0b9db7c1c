//! Certificates with which a facility's peers come over TLS, and whether it may still come without.

use dokuei_domain::{AeTitle, FacilityId, Timestamp};

use crate::{
    DatabaseError,
    statements::statements,
    transaction::{ReadTx, WriteTx},
    value::{Row, args},
};

/// A registered certificate. Its fingerprint, not its name, decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificateRow {
    /// Of the whole certificate.
    pub sha256: [u8; 32],
    pub facility: FacilityId,
    /// The only calling AE title that may use it; `None`: any of the facility's.
    pub calling: Option<AeTitle>,
    /// X.509, DER.
    pub certificate: Vec<u8>,
    /// As the certificate says, for a person.
    pub subject: String,
    pub not_after: Timestamp,
    pub created_at: Timestamp,
}

/// How a facility may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FacilityTransport {
    /// It has registered certificates.
    pub has_certificates: bool,
    /// Its peers may come without one although it has some.
    pub plain_allowed: bool,
}

statements! {
    /// A removed certificate makes place, also for another facility; a living one does not.
    PEER_CERTIFICATE_INSERT = "INSERT INTO peer_certificates (sha256, facility_id, calling_aet, certificate, subject, not_after, created_at) \
                               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (sha256) DO UPDATE SET facility_id = excluded.facility_id, \
                               calling_aet = excluded.calling_aet, created_at = excluded.created_at, disabled_at = NULL \
                               WHERE peer_certificates.disabled_at IS NOT NULL";
    PEER_CERTIFICATE_DISABLE = "UPDATE peer_certificates SET disabled_at = $3 WHERE facility_id = $1 AND sha256 = $2 AND disabled_at IS NULL";
    /// A living certificate whose facility is not disabled.
    PEER_CERTIFICATE_FIND = "SELECT c.sha256, c.facility_id, c.calling_aet, c.certificate, c.subject, c.not_after, c.created_at \
                             FROM peer_certificates c JOIN facilities f ON f.id = c.facility_id \
                             WHERE c.sha256 = $1 AND c.disabled_at IS NULL AND f.disabled_at IS NULL";
    PEER_CERTIFICATE_HOLDER = "SELECT sha256, facility_id, calling_aet, certificate, subject, not_after, created_at FROM peer_certificates \
                               WHERE sha256 = $1 AND disabled_at IS NULL";
    PEER_CERTIFICATE_LIST = "SELECT sha256, facility_id, calling_aet, certificate, subject, not_after, created_at FROM peer_certificates \
                             WHERE facility_id = $1 AND disabled_at IS NULL ORDER BY created_at, sha256";
    FACILITY_TRANSPORT = "SELECT f.plain_allowed, (SELECT COUNT(*) FROM peer_certificates c WHERE c.facility_id = f.id AND c.disabled_at IS NULL) \
                          AS certificates FROM facilities f WHERE f.id = $1";
    FACILITY_ALLOW_PLAIN = "UPDATE facilities SET plain_allowed = $2 WHERE id = $1";
}

fn read_row(row: &Row) -> Result<PeerCertificateRow, DatabaseError> {
    let calling = match row.get::<Option<String>>("calling_aet")? {
        None => None,
        Some(_) => Some(row.parsed("calling_aet", |text| AeTitle::parse(text).ok())?),
    };
    Ok(PeerCertificateRow {
        sha256: row.hash("sha256")?,
        facility: row.facility("facility_id")?,
        calling,
        certificate: row.get("certificate")?,
        subject: row.text("subject")?,
        not_after: row.time("not_after")?,
        created_at: row.time("created_at")?,
    })
}

impl ReadTx {
    /// The living certificate of this fingerprint, if its facility is not disabled.
    pub async fn peer_certificate_find(
        &mut self,
        sha256: &[u8; 32],
    ) -> Result<Option<PeerCertificateRow>, DatabaseError> {
        self.optional(PEER_CERTIFICATE_FIND, args![sha256]).await?.as_ref().map(read_row).transpose()
    }

    /// As [`Self::peer_certificate_find`], also of a disabled facility.
    pub async fn peer_certificate_holder(
        &mut self,
        sha256: &[u8; 32],
    ) -> Result<Option<PeerCertificateRow>, DatabaseError> {
        self.optional(PEER_CERTIFICATE_HOLDER, args![sha256]).await?.as_ref().map(read_row).transpose()
    }

    /// The living certificates of a facility, oldest registration first.
    pub async fn peer_certificate_list(
        &mut self,
        facility: &FacilityId,
    ) -> Result<Vec<PeerCertificateRow>, DatabaseError> {
        self.rows(PEER_CERTIFICATE_LIST, args![facility]).await?.iter().map(read_row).collect()
    }

    /// `None`: there is no such facility.
    pub async fn facility_transport(
        &mut self,
        facility: &FacilityId,
    ) -> Result<Option<FacilityTransport>, DatabaseError> {
        let Some(row) = self.optional(FACILITY_TRANSPORT, args![facility]).await? else { return Ok(None) };
        Ok(Some(FacilityTransport {
            has_certificates: row.flag("certificates")?,
            plain_allowed: row.flag("plain_allowed")?,
        }))
    }
}

impl WriteTx {
    /// `false`: the certificate is registered already; [`ReadTx::peer_certificate_holder`] tells for whom.
    pub async fn peer_certificate_add(&mut self, row: &PeerCertificateRow) -> Result<bool, DatabaseError> {
        let values = args![
            &row.sha256,
            &row.facility,
            row.calling.as_ref(),
            row.certificate.clone(),
            &row.subject,
            row.not_after,
            row.created_at
        ];
        Ok(self.execute(PEER_CERTIFICATE_INSERT, values).await? == 1)
    }

    /// `false`: the facility has no such certificate.
    pub async fn peer_certificate_remove(
        &mut self,
        facility: &FacilityId,
        sha256: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        Ok(self.execute(PEER_CERTIFICATE_DISABLE, args![facility, sha256, now]).await? == 1)
    }

    pub async fn facility_allow_plain(&mut self, facility: &FacilityId, allowed: bool) -> Result<bool, DatabaseError> {
        Ok(self.execute(FACILITY_ALLOW_PLAIN, args![facility, i64::from(allowed)]).await? == 1)
    }
}
