//! X.509 certificates (RFC 5280): the node's own authority and the readers' signing certificates. Types only; the signature is made by aws-lc.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use const_oid::{AssociatedOid, db::rfc4519, db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION};
use der::{
    Any, Decode as _, Encode as _,
    asn1::{BitString, GeneralizedTime, OctetString, PrintableStringRef, SetOfVec, UtcTime, Utf8StringRef},
    zeroize::Zeroizing,
};
use dokuei_domain::{AccountId, Ambient, Timestamp};
use x509_cert::{
    Certificate, TbsCertificate, Version,
    attr::AttributeTypeAndValue,
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::{Name, RdnSequence, RelativeDistinguishedName},
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::{error::CryptoError, one_time::sha256};

const FAILED: CryptoError = CryptoError("make a certificate");
const DAY: i64 = 24 * 3600;
/// The authority outlives every certificate it issues by many years.
const AUTHORITY_DAYS: i64 = 30 * 365;

/// RSA-3072, because DICOM's and HPKI's signature profiles are RSA (PS3.15 C.2, C.3). Takes about a second of one core.
pub(crate) fn generate_key() -> Result<RsaKeyPair, CryptoError> {
    RsaKeyPair::generate(KeySize::Rsa3072).map_err(|_| CryptoError("generate an RSA key"))
}

/// The key as PKCS #8 (RFC 5208), DER.
pub(crate) fn private_key_der(key: &RsaKeyPair) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| CryptoError("encode a private key"))?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

pub(crate) fn public_key_info(key: &RsaKeyPair) -> Result<SubjectPublicKeyInfoOwned, CryptoError> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| FAILED)?;
    SubjectPublicKeyInfoOwned::from_der(der.as_ref()).map_err(|_| FAILED)
}

/// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2) over a message.
pub(crate) fn sign_sha256(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| CryptoError("sign"))?;
    Ok(signature)
}

/// Whom a signing certificate is for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) account: AccountId,
    /// The name as a Japanese reader writes it; 64 characters at most (RFC 5280 ub-common-name).
    pub(crate) common_name: String,
    pub(crate) organisation: String,
}

/// A serial number of 127 random bits, positive (RFC 5280 4.1.2.2), as bytes.
pub(crate) fn new_serial(ambient: &Ambient) -> [u8; 16] {
    let mut serial = ambient.random::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// How a serial number is written in rows and messages.
pub(crate) fn serial_text(serial: &[u8]) -> String {
    hex::encode_upper(serial)
}

/// The self-signed certificate of the node's authority.
pub(crate) fn issue_authority(
    key: &RsaKeyPair,
    organisation: &str,
    serial: [u8; 16],
    now: Timestamp,
) -> Result<Certificate, CryptoError> {
    let name = distinguished_name(&[(rfc4519::O, organisation), (rfc4519::CN, "Dokuei node authority")])?;
    let public_key = public_key_info(key)?;
    let key_id = key_identifier(&public_key);
    let usage = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    let extensions = vec![
        extension(true, &BasicConstraints { ca: true, path_len_constraint: Some(0) })?,
        extension(true, &KeyUsage(usage))?,
        extension(false, &SubjectKeyIdentifier(octets(&key_id)?))?,
        extension(false, &AuthorityKeyIdentifier { key_identifier: Some(octets(&key_id)?), ..Default::default() })?,
    ];
    let validity = Validity { not_before: time(now)?, not_after: time(now.plus_seconds(AUTHORITY_DAYS * DAY))? };
    sign(key, tbs(name.clone(), name, serial, validity, public_key, extensions)?)
}

/// A reader's signing certificate: digital signature and non-repudiation, nothing else.
pub(crate) fn issue_signer(
    authority: &Certificate,
    authority_key: &RsaKeyPair,
    subject: &Subject,
    public_key: SubjectPublicKeyInfoOwned,
    serial: [u8; 16],
    now: Timestamp,
    days: i64,
) -> Result<Certificate, CryptoError> {
    let name = distinguished_name(&[
        (rfc4519::O, &subject.organisation),
        (rfc4519::CN, &subject.common_name),
        (rfc4519::SERIAL_NUMBER, subject.account.as_str()),
    ])?;
    let usage = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
    let key_id = key_identifier(&public_key);
    let authority_id = key_identifier(&authority.tbs_certificate.subject_public_key_info);
    let extensions = vec![
        extension(true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        extension(true, &KeyUsage(usage))?,
        extension(false, &SubjectKeyIdentifier(octets(&key_id)?))?,
        extension(
            false,
            &AuthorityKeyIdentifier { key_identifier: Some(octets(&authority_id)?), ..Default::default() },
        )?,
    ];
    // A certificate that outlived its authority would stop verifying before it says so.
    let authority_end = seconds_of(authority.tbs_certificate.validity.not_after);
    let wanted_end = now.plus_seconds(days * DAY);
    let end = if wanted_end.0 / 1_000_000 > authority_end {
        Timestamp(authority_end.saturating_mul(1_000_000))
    } else {
        wanted_end
    };
    let validity = Validity { not_before: time(now)?, not_after: time(end)? };
    sign(authority_key, tbs(authority.tbs_certificate.subject.clone(), name, serial, validity, public_key, extensions)?)
}

/// Whether `now` lies within the certificate's validity.
pub(crate) fn is_valid_at(certificate: &Certificate, now: Timestamp) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    let now = now.0 / 1_000_000;
    (seconds_of(validity.not_before)..=seconds_of(validity.not_after)).contains(&now)
}

/// The end of validity of a certificate in DER.
pub(crate) fn expiry(der: &[u8]) -> Result<Timestamp, CryptoError> {
    let certificate = Certificate::from_der(der).map_err(|_| CryptoError("read a stored certificate"))?;
    Ok(Timestamp(seconds_of(certificate.tbs_certificate.validity.not_after).saturating_mul(1_000_000)))
}

fn seconds_of(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

fn tbs(
    issuer: Name,
    subject: Name,
    serial: [u8; 16],
    validity: Validity,
    public_key: SubjectPublicKeyInfoOwned,
    extensions: Vec<Extension>,
) -> Result<TbsCertificate, CryptoError> {
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial).map_err(|_| FAILED)?,
        signature: signature_algorithm(),
        issuer,
        validity,
        subject,
        subject_public_key_info: public_key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    })
}

fn sign(key: &RsaKeyPair, tbs: TbsCertificate) -> Result<Certificate, CryptoError> {
    let signature = sign_sha256(key, &tbs.to_der().map_err(|_| FAILED)?)?;
    Ok(Certificate {
        tbs_certificate: tbs,
        signature_algorithm: signature_algorithm(),
        signature: BitString::from_bytes(&signature).map_err(|_| FAILED)?,
    })
}

/// sha256WithRSAEncryption; its parameters are NULL (RFC 4055 section 5).
fn signature_algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) }
}

/// The leftmost 160 bits of SHA-256 over the public key (RFC 7093 section 2, method 1).
fn key_identifier(public_key: &SubjectPublicKeyInfoOwned) -> [u8; 20] {
    let hash = sha256(&[public_key.subject_public_key.raw_bytes()]);
    let mut identifier = [0u8; 20];
    identifier.copy_from_slice(&hash[..20]);
    identifier
}

fn octets(bytes: &[u8]) -> Result<OctetString, CryptoError> {
    OctetString::new(bytes).map_err(|_| FAILED)
}

fn extension<E: AssociatedOid + der::Encode>(critical: bool, value: &E) -> Result<Extension, CryptoError> {
    let bytes = value.to_der().map_err(|_| FAILED)?;
    Ok(Extension { extn_id: E::OID, critical, extn_value: octets(&bytes)? })
}

/// One attribute per relative name, as UTF8String: kanji stay kanji. X.520 wants a serial number as PrintableString; an account's id that has an underscore
/// does not fit in one and becomes UTF8String too.
fn distinguished_name(attributes: &[(const_oid::ObjectIdentifier, &str)]) -> Result<Name, CryptoError> {
    let one = |(oid, text): &(const_oid::ObjectIdentifier, &str)| {
        let printable = PrintableStringRef::new(*text).ok().filter(|_| *oid == rfc4519::SERIAL_NUMBER);
        let value = match printable {
            Some(text) => Any::from(text),
            None => Any::from(Utf8StringRef::new(*text).map_err(|_| FAILED)?),
        };
        let attribute = AttributeTypeAndValue { oid: *oid, value };
        let set = SetOfVec::try_from(vec![attribute]).map_err(|_| FAILED)?;
        Ok::<_, CryptoError>(RelativeDistinguishedName(set))
    };
    Ok(RdnSequence(attributes.iter().map(one).collect::<Result<_, _>>()?))
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5280 4.1.2.5).
fn time(at: Timestamp) -> Result<Time, CryptoError> {
    let seconds = u64::try_from(at.0 / 1_000_000).map_err(|_| FAILED)?;
    let duration = std::time::Duration::from_secs(seconds);
    match UtcTime::from_unix_duration(duration) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(duration).map(Time::GeneralTime).map_err(|_| FAILED),
    }
}
