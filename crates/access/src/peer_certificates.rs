//! Certificates of a facility's equipment (DICOM over TLS): how an administrator names one, and whose it is.

use std::fmt;

use aws_lc_rs::digest;
use der::{DecodePem as _, Encode as _};
use dokuei_database::{PeerCertificateRow, WriteTx};
use dokuei_domain::{AeTitle, FacilityId, Timestamp};
use x509_cert::{Certificate, ext::pkix::BasicConstraints};

use crate::{Access, AccessError, SpecificationError};

/// A certificate file is shorter.
const MAX_PEM_BYTES: usize = 256 * 1024;
/// Longest subject that is kept, in characters.
const LONGEST_SUBJECT: usize = 200;

/// SHA-256 of a whole certificate (DER). Written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateFingerprint(pub [u8; 32]);

impl CertificateFingerprint {
    /// Reads hexadecimal digits, also with colons between, as other tools print them.
    pub fn parse(text: &str) -> Result<Self, SpecificationError> {
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&digits, &mut sha256).map_err(|_| SpecificationError::Fingerprint(text.to_owned()))?;
        Ok(Self(sha256))
    }
}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate to register for a facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPeerCertificate {
    pub fingerprint: CertificateFingerprint,
    /// The only calling AE title that may use it; `None`: any of the facility's.
    pub calling: Option<AeTitle>,
    subject: String,
    not_after: Timestamp,
    der: Vec<u8>,
}

impl NewPeerCertificate {
    /// Reads the first certificate of a PEM file, which is the equipment's own. That of an authority is refused: it would stand for everybody
    /// whom the authority knows, and no handshake shows it.
    pub fn from_pem(pem: &[u8], calling: Option<AeTitle>) -> Result<Self, SpecificationError> {
        let wrong = SpecificationError::Certificate;
        if pem.len() > MAX_PEM_BYTES {
            return Err(wrong("is too long"));
        }
        let first = first_block(pem).ok_or(wrong("holds no BEGIN CERTIFICATE; it must be PEM"))?;
        let certificate = Certificate::from_pem(first).map_err(|_| wrong("cannot be read"))?;
        let constraints = certificate.tbs_certificate.get::<BasicConstraints>();
        let (_, authority) =
            constraints.map_err(|_| wrong("cannot be read"))?.map_or((false, false), |(c, b)| (c, b.ca));
        if authority {
            return Err(wrong("is that of an authority; register the certificate of the equipment itself"));
        }
        let der = certificate.to_der().map_err(|_| wrong("cannot be read"))?;
        let not_after = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_micros();
        let subject = certificate.tbs_certificate.subject.to_string();
        Ok(Self {
            fingerprint: fingerprint_of(&der),
            calling,
            subject: subject.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST_SUBJECT).collect(),
            not_after: Timestamp(i64::try_from(not_after).unwrap_or(i64::MAX)),
            der,
        })
    }
}

/// A registered certificate as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    pub fingerprint: CertificateFingerprint,
    /// As the certificate says, for a person.
    pub subject: String,
    pub calling: Option<AeTitle>,
    pub not_after: Timestamp,
}

impl From<PeerCertificateRow> for PeerCertificate {
    fn from(row: PeerCertificateRow) -> Self {
        let PeerCertificateRow { sha256, subject, calling, not_after, .. } = row;
        Self { fingerprint: CertificateFingerprint(sha256), subject, calling, not_after }
    }
}

impl Access {
    pub(crate) async fn add_certificates(
        &self,
        tx: &mut WriteTx,
        facility: &FacilityId,
        certificates: &[NewPeerCertificate],
    ) -> Result<(), AccessError> {
        let now = self.ambient.now();
        for new in certificates {
            if new.not_after < now {
                return Err(SpecificationError::Certificate("has expired").into());
            }
            let row = PeerCertificateRow {
                sha256: new.fingerprint.0,
                facility: facility.clone(),
                calling: new.calling.clone(),
                certificate: new.der.clone(),
                subject: new.subject.clone(),
                not_after: new.not_after,
                created_at: now,
            };
            if !tx.peer_certificate_add(&row).await? {
                let holder = tx.peer_certificate_holder(&row.sha256).await?;
                let facility = holder.map_or_else(|| facility.clone(), |holder| holder.facility);
                return Err(AccessError::CertificateTaken { fingerprint: new.fingerprint, facility });
            }
        }
        Ok(())
    }

    pub(crate) async fn remove_certificates(
        &self,
        tx: &mut WriteTx,
        facility: &FacilityId,
        certificates: &[CertificateFingerprint],
    ) -> Result<(), AccessError> {
        for fingerprint in certificates {
            if !tx.peer_certificate_remove(facility, &fingerprint.0, self.ambient.now()).await? {
                return Err(AccessError::NothingToRemove(fingerprint.to_string()));
            }
        }
        Ok(())
    }
}

/// From the first line of the first certificate to its last.
fn first_block(pem: &[u8]) -> Option<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let block = pem.get(find(pem, BEGIN)?..)?;
    block.get(..find(block, END)? + END.len())
}

fn fingerprint_of(der: &[u8]) -> CertificateFingerprint {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    CertificateFingerprint(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_tools_print_it_and_written_one_way() {
        let plain = "00ff".repeat(16);
        let fingerprint = CertificateFingerprint::parse(&plain).unwrap();
        assert_eq!(fingerprint.to_string(), plain);
        let colons = plain
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| str::from_utf8(pair).unwrap())
            .collect::<Vec<_>>()
            .join(":");
        assert_eq!(CertificateFingerprint::parse(&colons), Ok(fingerprint));
        for wrong in ["", "00ff", &"0g".repeat(32), &"00".repeat(33)] {
            assert!(matches!(CertificateFingerprint::parse(wrong), Err(SpecificationError::Fingerprint(_))), "{wrong}");
        }
    }
}
