//! What a certificate (RFC 5280) says of its holder, its time and its key.

use std::fmt;

use aws_lc_rs::digest;
use der::{Decode as _, Sequence, asn1::UintRef};
use dokuei_domain::Timestamp;
use x509_cert::{
    Certificate,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

const ID_RSA: &str = "1.2.840.113549.1.1.1";
const ID_EC: &str = "1.2.840.10045.2.1";
const ID_ED25519: &str = "1.3.101.112";
/// secp256r1, secp384r1 and secp521r1.
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
/// MD5 and SHA-1 with RSA, SHA-1 with ECDSA and with DSA.
const WEAK_SIGNATURES: [&str; 4] =
    ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.2.840.10040.4.3"];
const LEAST_RSA_BITS: usize = 2048;
/// Texts from a certificate are shown and audited; longer ones are cut.
const LONGEST_TEXT: usize = 200;
/// Names of a certificate that are kept.
const MOST_NAMES: usize = 16;
const DAY_SECONDS: i64 = 24 * 3600;
/// From here on somebody should think of renewing.
const SOON_DAYS: i64 = 30;

/// An X.509 certificate: of a peer whose chain and key have been verified, or our own.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Of the whole certificate; how it is named when it is registered.
    pub sha256: [u8; 32],
    pub der: Vec<u8>,
    /// Distinguished name (RFC 4514), printable and cut to 200 characters. Its issuer vouches for it, not we.
    pub subject: String,
    /// DNS names, addresses and URIs of the subject alternative name; at most 16.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// A certificate that is no good now or will soon be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateTrouble {
    #[error("certificate is not valid before {}; check the clock", .0.to_jiff())]
    NotYetValid(Timestamp),
    #[error("certificate has expired on {}; renew it", .0.to_jiff())]
    Expired(Timestamp),
    #[error("certificate expires in {days} days, on {}; renew it", at.to_jiff())]
    ExpiresSoon { days: i64, at: Timestamp },
}

impl CertificateTrouble {
    /// Whether peers refuse the certificate now.
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::ExpiresSoon { .. })
    }
}

impl PeerCertificate {
    /// Reads a certificate. `None`: the bytes are none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = &certificate.tbs_certificate.validity;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Some(Self {
            sha256,
            der: der.to_vec(),
            subject: printable(&certificate.tbs_certificate.subject.to_string()),
            names: names_of(&certificate),
            not_before: timestamp(&validity.not_before),
            not_after: timestamp(&validity.not_after),
        })
    }

    /// What is wrong with its time.
    pub fn trouble(&self, now: Timestamp) -> Option<CertificateTrouble> {
        if now < self.not_before {
            return Some(CertificateTrouble::NotYetValid(self.not_before));
        }
        if now > self.not_after {
            return Some(CertificateTrouble::Expired(self.not_after));
        }
        let days = self.not_after.seconds_since(now) / DAY_SECONDS;
        (days < SOON_DAYS).then_some(CertificateTrouble::ExpiresSoon { days, at: self.not_after })
    }

    /// Why the profile (PS3.15 B.12) does not allow its key or signature; in words.
    pub(super) fn weakness(&self) -> Option<String> {
        let certificate = Certificate::from_der(&self.der).ok()?;
        let signature = certificate.signature_algorithm.oid.to_string();
        if WEAK_SIGNATURES.contains(&signature.as_str()) {
            return Some("it is signed with MD5 or SHA-1; at least SHA-256 is needed".to_owned());
        }
        let key = &certificate.tbs_certificate.subject_public_key_info;
        match key.algorithm.oid.to_string().as_str() {
            ID_RSA => {
                let bits = RsaPublicKey::from_der(key.subject_public_key.raw_bytes()).map_or(0, |key| key.bits());
                (bits < LEAST_RSA_BITS).then(|| format!("its RSA key has {bits} bits; at least 2048 are needed"))
            }
            ID_EC => {
                let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
                let known = curve
                    .is_some_and(|curve: der::asn1::ObjectIdentifier| CURVES.contains(&curve.to_string().as_str()));
                (!known).then(|| "its curve is none of P-256, P-384 and P-521".to_owned())
            }
            ID_ED25519 => None,
            other => Some(format!("its key is of a kind ({other}) that TLS peers do not know; use RSA or P-256")),
        }
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256: String = self.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        f.debug_struct("PeerCertificate")
            .field("sha256", &sha256)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// PKCS #1 (RFC 8017 A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl RsaPublicKey<'_> {
    fn bits(&self) -> usize {
        let bytes = self.modulus.as_bytes();
        bytes.first().map_or(0, |first| bytes.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0))
    }
}

fn names_of(certificate: &Certificate) -> Vec<String> {
    let alternative: Option<SubjectAltName> = certificate.tbs_certificate.get().ok().flatten().map(|(_, names)| names);
    let text = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(printable(name.as_str())),
        GeneralName::UniformResourceIdentifier(uri) => Some(printable(uri.as_str())),
        GeneralName::IpAddress(octets) => match octets.as_bytes() {
            bytes if bytes.len() == 4 => {
                <[u8; 4]>::try_from(bytes).ok().map(|v4| std::net::IpAddr::from(v4).to_string())
            }
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::IpAddr::from(v6).to_string()),
        },
        _ => None,
    };
    alternative.iter().flat_map(|names| &names.0).filter_map(text).take(MOST_NAMES).collect()
}

fn timestamp(time: &x509_cert::time::Time) -> Timestamp {
    Timestamp(i64::try_from(time.to_unix_duration().as_micros()).unwrap_or(i64::MAX))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST_TEXT).collect()
}
