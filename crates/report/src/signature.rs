//! The detached signature over a manifest: CMS SignedData (RFC 5652) with the attributes that make it a CAdES-BES (ETSI EN 319 122-1).
//!
//! One signer, RSASSA-PKCS1-v1_5 with SHA-256; signed attributes are content type, signing time, message digest and ESS signingCertificateV2 (RFC 5035);
//! the signer's and the issuer's certificates are inside. `openssl cms -verify -binary -cades -inform DER -content manifest.json -CAfile ca.pem` accepts it.
//!
//! Verification accepts this form only, in exactly its DER: a signature of which any byte was changed is refused, also where the mathematics would not
//! notice. Other forms (several signers, time stamps, keys in hardware) get their own arm here when they come.

use std::time::Duration;

use aws_lc_rs::{
    digest,
    signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::{CmsVersion, ContentInfo},
    signed_data::{CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos},
};
use const_oid::{
    ObjectIdentifier,
    db::{
        rfc4519,
        rfc5911::{
            ID_AA_SIGNING_CERTIFICATE_V_2, ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
        },
        rfc5912::{ID_SHA_256, RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION},
    },
};
use der::{
    Any, AnyRef, Decode, DecodeValue, Encode, EncodeValue, FixedTag, Sequence, Tagged as _,
    asn1::{GeneralizedTime, OctetString, SetOfVec, UtcTime},
};
use dokuei_domain::Timestamp;
use x509_cert::{
    Certificate,
    attr::Attribute,
    ext::pkix::{
        BasicConstraints, KeyUsage,
        name::{GeneralName, GeneralNames},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::AlgorithmIdentifierOwned,
    time::Time,
};

/// No signature of ours comes near this many bytes.
pub const LONGEST_SIGNATURE: usize = 64 * 1024;

/// What signs: a certificate and the use of its key. Implemented by the unlocked key of `access`; a key in hardware fits behind it.
pub trait ReportSigner: Send + Sync {
    /// The signer's certificate, DER.
    fn certificate_der(&self) -> &[u8];
    /// The certificate of the authority that issued it, DER.
    fn issuer_der(&self) -> &[u8];
    /// The certificate's serial number as the index keeps it: hexadecimal, upper case.
    fn serial(&self) -> &str;
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2) over `message`.
    fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed>;
}

/// The key could not be used; the cause is in the text.
#[derive(Debug, thiserror::Error)]
#[error("the signing key cannot be used: {0}")]
pub struct SigningFailed(pub String);

/// Why a manifest was not signed or its signature is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    #[error("the signature has {0} bytes, more than any of ours")]
    TooLong(usize),
    #[error("{0} is not readable as DER")]
    Encoding(&'static str, #[source] der::Error),
    #[error("{0} is not in its only allowed encoding")]
    NotCanonical(&'static str),
    #[error("the signature has a form that is not ours: {0}")]
    Form(&'static str),
    #[error("the content is not what was signed")]
    Content,
    #[error("the signature was not made with the key of its certificate")]
    Signature,
    #[error("the signer's certificate was not issued by this node's authority")]
    Issuer,
    #[error("the certificate of {0} may not be used for this")]
    Usage(&'static str),
    #[error("the certificate of {0} was not valid when the signature was made")]
    Validity(&'static str),
    #[error("the signature names another certificate than the one inside")]
    CertificateBinding,
    #[error("the time of signing cannot be written")]
    Time,
    #[error(transparent)]
    Key(#[from] SigningFailed),
}

/// Who signed, as the verified certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSigner {
    /// The certificate's serial number: hexadecimal, upper case, without leading zeros.
    pub serial: String,
    /// Subject's common name.
    pub name: String,
    /// Subject's serialNumber attribute: the account.
    pub account: String,
    /// Subject's organisation.
    pub organisation: String,
    /// The signing-time attribute, to the second.
    pub signed_at: Timestamp,
}

/// ESSCertIDv2 (RFC 5035 4). The hash algorithm is absent, which means SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct EssCertIdV2 {
    #[asn1(optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<IssuerSerial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct IssuerSerial {
    issuer: GeneralNames,
    serial_number: SerialNumber,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

/// Signs `manifest` and gives the signature as DER. `signed_at` is written to the second.
///
/// # Errors
/// When the key fails, or the certificates are not what they should be. The result was verified before it is returned.
pub fn sign_manifest(
    manifest: &[u8],
    signer: &dyn ReportSigner,
    signed_at: Timestamp,
) -> Result<Vec<u8>, SignatureError> {
    let certificate = parse_certificate("the signer's certificate", signer.certificate_der())?;
    let authority = parse_certificate("the authority's certificate", signer.issuer_der())?;
    let identity = identity_of(&certificate);
    let binding = SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            hash_algorithm: None,
            cert_hash: octets(&sha256(signer.certificate_der()))?,
            issuer_serial: Some(issuer_serial(&identity)),
        }],
    };
    let attributes = vec![
        attribute(ID_CONTENT_TYPE, &ID_DATA)?,
        attribute(ID_SIGNING_TIME, &time_of(signed_at)?)?,
        attribute(ID_MESSAGE_DIGEST, &octets(&sha256(manifest))?)?,
        attribute(ID_AA_SIGNING_CERTIFICATE_V_2, &binding)?,
    ];
    let attributes = SetOfVec::try_from(attributes).map_err(encoding("the attributes"))?;
    let to_be_signed = attributes.to_der().map_err(encoding("the attributes"))?;
    let signature = signer.sign_sha256(&to_be_signed)?;
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(identity),
        digest_alg: sha256_algorithm(),
        signed_attrs: Some(attributes),
        signature_algorithm: sha256_with_rsa(),
        signature: octets(&signature)?,
        unsigned_attrs: None,
    };
    let der = signed_data(certificate, authority, info)?.to_der().map_err(encoding("the signature"))?;
    // A signature that its own node would refuse must not be stored.
    verify(manifest, &der, signer.issuer_der())?;
    Ok(der)
}

/// Checks a detached signature against the content and the one authority that is trusted, whose certificate is given as DER.
///
/// # Errors
/// [`SignatureError`] says what does not hold; nothing about the content may then be believed.
pub fn verify(manifest: &[u8], signature_der: &[u8], authority_der: &[u8]) -> Result<VerifiedSigner, SignatureError> {
    if signature_der.len() > LONGEST_SIGNATURE {
        return Err(SignatureError::TooLong(signature_der.len()));
    }
    let authority = parse_certificate("the authority's certificate", authority_der)?;
    let (info, certificate) = take_apart(signature_der, &authority)?;
    let certificate_der = certificate.to_der().map_err(encoding("the signer's certificate"))?;

    // RFC 5652 5.4: the signature covers the attributes in their DER as a SET OF, and the attributes cover the content.
    let attributes = info.signed_attrs.as_ref().ok_or(SignatureError::Form("there are no signed attributes"))?;
    let to_be_signed = attributes.to_der().map_err(encoding("the attributes"))?;
    check_rsa(&certificate, &to_be_signed, info.signature.as_bytes()).map_err(|()| SignatureError::Signature)?;
    let attributes = Attributes::read(attributes.as_slice())?;
    if attributes.message_digest.as_bytes() != sha256(manifest) {
        return Err(SignatureError::Content);
    }
    check_binding(&attributes.binding, &certificate, &certificate_der, &info)?;

    let signed_at = Timestamp(
        i64::try_from(attributes.signing_time.to_unix_duration().as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000),
    );
    check_chain(&certificate, &authority, attributes.signing_time)?;
    let subject = &certificate.tbs_certificate.subject;
    Ok(VerifiedSigner {
        serial: serial_text(&certificate.tbs_certificate.serial_number),
        name: subject_text(subject, rfc4519::CN),
        account: subject_text(subject, rfc4519::SERIAL_NUMBER),
        organisation: subject_text(subject, rfc4519::O),
        signed_at,
    })
}

/// A serial number as text, comparable: hexadecimal, upper case, without leading zeros.
pub(crate) fn comparable_serial(text: &str) -> String {
    text.trim_start_matches('0').to_ascii_uppercase()
}

/// SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn signed_data(
    certificate: Certificate,
    authority: Certificate,
    info: SignerInfo,
) -> Result<ContentInfo, SignatureError> {
    let failed = encoding("the signature");
    let certificates = vec![CertificateChoices::Certificate(certificate), CertificateChoices::Certificate(authority)];
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![sha256_algorithm()]).map_err(failed)?,
        encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
        certificates: Some(CertificateSet(SetOfVec::try_from(certificates).map_err(failed)?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![info]).map_err(failed)?),
    };
    Ok(ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data).map_err(failed)? })
}

/// The one signer and its certificate, after making sure that nothing else is inside and that the bytes are the only ones that say this.
fn take_apart(signature_der: &[u8], authority: &Certificate) -> Result<(SignerInfo, Certificate), SignatureError> {
    let content = ContentInfo::from_der(signature_der).map_err(encoding("the signature"))?;
    if content.content_type != ID_SIGNED_DATA {
        return Err(SignatureError::Form("it is not SignedData"));
    }
    let data: SignedData = content.content.decode_as().map_err(encoding("the signature"))?;
    let [info] = data.signer_infos.0.as_slice() else {
        return Err(SignatureError::Form("it has not exactly one signer"));
    };
    let choices = data.certificates.as_ref().map(|set| set.0.as_slice()).unwrap_or_default();
    let mut certificates = choices.iter().filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) if certificate != authority => Some(certificate),
        _ => None,
    });
    let (Some(certificate), None) = (certificates.next(), certificates.next()) else {
        return Err(SignatureError::Issuer);
    };
    if info.digest_alg != sha256_algorithm() || info.signature_algorithm != sha256_with_rsa() {
        return Err(SignatureError::Form("its algorithms are not SHA-256 with RSA"));
    }
    // Rebuilding it from what was understood proves that there was nothing more to understand.
    let rebuilt = signed_data(certificate.clone(), authority.clone(), info.clone())?;
    if info.version != CmsVersion::V1
        || info.unsigned_attrs.is_some()
        || rebuilt.to_der().map_err(encoding("the signature"))? != signature_der
    {
        return Err(SignatureError::NotCanonical("the signature"));
    }
    Ok((info.clone(), certificate.clone()))
}

/// The four signed attributes, each once with one value, and no other.
struct Attributes {
    signing_time: Time,
    message_digest: OctetString,
    binding: SigningCertificateV2,
}

impl Attributes {
    fn read(attributes: &[Attribute]) -> Result<Self, SignatureError> {
        if attributes.len() != 4 {
            return Err(SignatureError::Form("it has not exactly our four attributes"));
        }
        let content_type: ObjectIdentifier = Self::value(attributes, ID_CONTENT_TYPE)?;
        if content_type != ID_DATA {
            return Err(SignatureError::Form("its content type is not data"));
        }
        Ok(Self {
            signing_time: {
                let any = Self::any(attributes, ID_SIGNING_TIME)?;
                let der = any.to_der().map_err(encoding("the signing time"))?;
                Time::from_der(&der).map_err(encoding("the signing time"))?
            },
            message_digest: Self::value(attributes, ID_MESSAGE_DIGEST)?,
            binding: Self::value(attributes, ID_AA_SIGNING_CERTIFICATE_V_2)?,
        })
    }

    fn value<'a, T>(attributes: &'a [Attribute], oid: ObjectIdentifier) -> Result<T, SignatureError>
    where
        T: DecodeValue<'a> + FixedTag + EncodeValue,
    {
        let any = Self::any(attributes, oid)?;
        let value: T = any.decode_as().map_err(encoding("an attribute"))?;
        let again = value.to_der().map_err(encoding("an attribute"))?;
        if again != any.to_der().map_err(encoding("an attribute"))? {
            return Err(SignatureError::NotCanonical("an attribute"));
        }
        Ok(value)
    }

    fn any(attributes: &[Attribute], oid: ObjectIdentifier) -> Result<&Any, SignatureError> {
        let attribute = attributes.iter().find(|attribute| attribute.oid == oid);
        match attribute.map(|attribute| attribute.values.as_slice()) {
            Some([value]) => Ok(value),
            _ => Err(SignatureError::Form("a signed attribute is missing or has several values")),
        }
    }
}

/// The signed attributes must name this certificate, by hash, issuer and serial number, and so must the signer's identifier (RFC 5035 5.4).
fn check_binding(
    binding: &SigningCertificateV2,
    certificate: &Certificate,
    certificate_der: &[u8],
    info: &SignerInfo,
) -> Result<(), SignatureError> {
    let identity = identity_of(certificate);
    let expected = EssCertIdV2 {
        hash_algorithm: None,
        cert_hash: octets(&sha256(certificate_der))?,
        issuer_serial: Some(issuer_serial(&identity)),
    };
    let named = binding.certs.as_slice() == [expected] && info.sid == SignerIdentifier::IssuerAndSerialNumber(identity);
    if named { Ok(()) } else { Err(SignatureError::CertificateBinding) }
}

/// RFC 5280 6.1 for a chain of two: the authority issued the certificate, both were valid, and both may be used so.
fn check_chain(certificate: &Certificate, authority: &Certificate, at: Time) -> Result<(), SignatureError> {
    let (signer, issuer) = (&certificate.tbs_certificate, &authority.tbs_certificate);
    let algorithms = [&signer.signature, &certificate.signature_algorithm];
    if signer.issuer != issuer.subject || algorithms.iter().any(|algorithm| **algorithm != sha256_with_rsa()) {
        return Err(SignatureError::Issuer);
    }
    let tbs = signer.to_der().map_err(encoding("the signer's certificate"))?;
    let signature = certificate.signature.as_bytes().ok_or(SignatureError::Issuer)?;
    check_rsa(authority, &tbs, signature).map_err(|()| SignatureError::Issuer)?;

    let usage = |certificate: &Certificate| match certificate.tbs_certificate.get::<KeyUsage>() {
        Ok(usage) => Ok(usage.map(|(_, usage)| usage)),
        Err(error) => Err(SignatureError::Encoding("the key usage", error)),
    };
    let is_authority = |certificate: &Certificate| match certificate.tbs_certificate.get::<BasicConstraints>() {
        Ok(constraints) => Ok(constraints.is_some_and(|(_, constraints)| constraints.ca)),
        Err(error) => Err(SignatureError::Encoding("the basic constraints", error)),
    };
    if !is_authority(authority)? || !usage(authority)?.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(SignatureError::Usage("the authority"));
    }
    if is_authority(certificate)?
        || !usage(certificate)?.is_some_and(|usage| usage.digital_signature() && usage.non_repudiation())
    {
        return Err(SignatureError::Usage("the signer"));
    }
    let at = at.to_unix_duration();
    for (who, validity) in [("the authority", &issuer.validity), ("the signer", &signer.validity)] {
        if at < validity.not_before.to_unix_duration() || at > validity.not_after.to_unix_duration() {
            return Err(SignatureError::Validity(who));
        }
    }
    Ok(())
}

fn check_rsa(certificate: &Certificate, message: &[u8], signature: &[u8]) -> Result<(), ()> {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    if key.algorithm.oid != RSA_ENCRYPTION {
        return Err(());
    }
    let bytes = key.subject_public_key.as_bytes().ok_or(())?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes).verify(message, signature).map_err(|_| ())
}

fn parse_certificate(what: &'static str, der: &[u8]) -> Result<Certificate, SignatureError> {
    let certificate = Certificate::from_der(der).map_err(encoding(what))?;
    // Its hash and its issuer's signature are over these bytes; they must be what we would write.
    if certificate.to_der().map_err(encoding(what))? != der {
        return Err(SignatureError::NotCanonical(what));
    }
    Ok(certificate)
}

fn identity_of(certificate: &Certificate) -> IssuerAndSerialNumber {
    let tbs = &certificate.tbs_certificate;
    IssuerAndSerialNumber { issuer: tbs.issuer.clone(), serial_number: tbs.serial_number.clone() }
}

fn issuer_serial(identity: &IssuerAndSerialNumber) -> IssuerSerial {
    IssuerSerial {
        issuer: vec![GeneralName::DirectoryName(identity.issuer.clone())],
        serial_number: identity.serial_number.clone(),
    }
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5652 11.3).
fn time_of(at: Timestamp) -> Result<Time, SignatureError> {
    let seconds = u64::try_from(at.0.div_euclid(1_000_000)).map_err(|_| SignatureError::Time)?;
    let since_epoch = Duration::from_secs(seconds);
    UtcTime::from_unix_duration(since_epoch)
        .map(Time::UtcTime)
        .or_else(|_| GeneralizedTime::from_unix_duration(since_epoch).map(Time::GeneralTime))
        .map_err(|_| SignatureError::Time)
}

fn attribute(oid: ObjectIdentifier, value: &impl Encode) -> Result<Attribute, SignatureError> {
    let failed = encoding("an attribute");
    let der = value.to_der().map_err(failed)?;
    let any = Any::from(AnyRef::try_from(der.as_slice()).map_err(failed)?);
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![any]).map_err(failed)? })
}

/// The parameters are absent (RFC 5754 2).
fn sha256_algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None }
}

/// The parameters are NULL (RFC 5754 3.2).
fn sha256_with_rsa() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) }
}

fn octets(bytes: &[u8]) -> Result<OctetString, SignatureError> {
    OctetString::new(bytes).map_err(encoding("an octet string"))
}

fn encoding(what: &'static str) -> impl Fn(der::Error) -> SignatureError + Copy {
    move |error| SignatureError::Encoding(what, error)
}

fn serial_text(serial: &SerialNumber) -> String {
    comparable_serial(&hex::encode_upper(serial.as_bytes()))
}

/// The first attribute of this kind, when it is text; empty otherwise.
fn subject_text(name: &Name, oid: ObjectIdentifier) -> String {
    let attribute = name.0.iter().flat_map(|rdn| rdn.0.iter()).find(|attribute| attribute.oid == oid);
    attribute
        .filter(|attribute| matches!(attribute.value.tag(), der::Tag::Utf8String | der::Tag::PrintableString))
        .and_then(|attribute| std::str::from_utf8(attribute.value.value()).ok())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
