//! A certificate authority and signers for tests, made with the X.509 types alone.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{rfc4519, rfc5912::SHA_256_WITH_RSA_ENCRYPTION},
};
use der::{
    Any, Decode as _, Encode as _,
    asn1::{BitString, OctetString, SetOfVec, UtcTime, Utf8StringRef},
    flagset::FlagSet,
};
use dokuei_domain::Timestamp;
use dokuei_testkit::clock::TEST_START;
use x509_cert::{
    Certificate, TbsCertificate, Version,
    attr::AttributeTypeAndValue,
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages},
    },
    name::{Name, RdnSequence, RelativeDistinguishedName},
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::signature::{ReportSigner, SigningFailed};

const DAY: i64 = 24 * 3600;

/// Keys are slow to make and the tests do not change them.
static KEYS: LazyLock<[RsaKeyPair; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

pub(crate) struct Authority {
    pub(crate) der: Vec<u8>,
    name: Name,
    key: usize,
}

pub(crate) struct TestSigner {
    pub(crate) certificate: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) serial: String,
    key: usize,
}

/// What a certificate says, to be changed by a test.
pub(crate) struct Wish {
    pub(crate) usage: FlagSet<KeyUsages>,
    pub(crate) ca: bool,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) issuer_key: usize,
}

impl Wish {
    pub(crate) fn signer() -> Self {
        Self {
            usage: KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
            ca: false,
            from: TEST_START.plus_seconds(-DAY),
            until: TEST_START.plus_seconds(365 * DAY),
            issuer_key: 0,
        }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::with_key(0)
    }

    /// One of the same name with another key.
    pub(crate) fn impostor() -> Self {
        Self::with_key(2)
    }

    fn with_key(key: usize) -> Self {
        let name = name(&[(rfc4519::O, "読影センター"), (rfc4519::CN, "Test authority")]);
        let wish = Wish {
            usage: KeyUsages::KeyCertSign.into(),
            ca: true,
            until: TEST_START.plus_seconds(3650 * DAY),
            issuer_key: key,
            ..Wish::signer()
        };
        let der = issue(&name, &name, &[0x11, u8::try_from(key).unwrap()], key, &wish);
        Self { der, name, key }
    }

    pub(crate) fn issue(&self, account: &str, common_name: &str) -> TestSigner {
        self.issue_as(account, common_name, &Wish { issuer_key: self.key, ..Wish::signer() })
    }

    pub(crate) fn issue_as(&self, account: &str, common_name: &str, wish: &Wish) -> TestSigner {
        let subject =
            name(&[(rfc4519::O, "読影センター"), (rfc4519::CN, common_name), (rfc4519::SERIAL_NUMBER, account)]);
        let serial = [0x4F, 0x1E, 0x2D];
        let certificate = issue(&self.name, &subject, &serial, 1, wish);
        TestSigner { certificate, issuer: self.der.clone(), serial: hex::encode_upper(serial), key: 1 }
    }

    pub(crate) fn pem(&self) -> String {
        use der::EncodePem as _;
        Certificate::from_der(&self.der).unwrap().to_pem(der::pem::LineEnding::LF).unwrap()
    }
}

impl TestSigner {
    /// The certificate of one key, used with another.
    pub(crate) fn with_wrong_key(mut self) -> Self {
        self.key = 2;
        self
    }
}

impl ReportSigner for TestSigner {
    fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }

    fn serial(&self) -> &str {
        &self.serial
    }

    fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        Ok(sign(self.key, message))
    }
}

fn sign(key: usize, message: &[u8]) -> Vec<u8> {
    let key = &KEYS[key];
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn issue(issuer: &Name, subject: &Name, serial: &[u8], key: usize, wish: &Wish) -> Vec<u8> {
    let public: PublicKeyX509Der<'_> = KEYS[key].public_key().as_der().unwrap();
    let time = |at: Timestamp| {
        let seconds = u64::try_from(at.0 / 1_000_000).unwrap();
        Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(seconds)).unwrap())
    };
    let algorithm = AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) };
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(serial).unwrap(),
        signature: algorithm.clone(),
        issuer: issuer.clone(),
        validity: Validity { not_before: time(wish.from), not_after: time(wish.until) },
        subject: subject.clone(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(public.as_ref()).unwrap(),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(vec![
            extension(&BasicConstraints { ca: wish.ca, path_len_constraint: None }),
            extension(&KeyUsage(wish.usage)),
        ]),
    };
    let signature = sign(wish.issuer_key, &tbs.to_der().unwrap());
    let certificate = Certificate {
        tbs_certificate: tbs,
        signature_algorithm: algorithm,
        signature: BitString::from_bytes(&signature).unwrap(),
    };
    certificate.to_der().unwrap()
}

fn extension<E: AssociatedOid + der::Encode>(value: &E) -> Extension {
    Extension { extn_id: E::OID, critical: true, extn_value: OctetString::new(value.to_der().unwrap()).unwrap() }
}

fn name(attributes: &[(ObjectIdentifier, &str)]) -> Name {
    let one = |(oid, text): &(ObjectIdentifier, &str)| {
        let attribute =
            AttributeTypeAndValue { oid: *oid, value: Any::encode_from(&Utf8StringRef::new(*text).unwrap()).unwrap() };
        RelativeDistinguishedName(SetOfVec::try_from(vec![attribute]).unwrap())
    };
    RdnSequence(attributes.iter().map(one).collect())
}
