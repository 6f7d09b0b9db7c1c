use dokuei_testkit::{CommandOutput, Tool, clock::TEST_START};
use x509_cert::ext::pkix::KeyUsages;

use super::*;
use crate::tests::authority::{Authority, Wish};

const MANIFEST: &[u8] = "{\"format\":\"dokuei-report-manifest/1\",\"impression\":\"肺結節\"}".as_bytes();

fn openssl(authority: &Authority, manifest: &[u8], signature: &[u8], extra: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("manifest.json", manifest), ("signature.p7s", signature), ("ca.pem", authority.pem().as_bytes())]
    {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    // The certificates are of the tests' time, not of today.
    let at = (TEST_START.0 / 1_000_000).to_string();
    Tool::find("openssl")
        .unwrap()
        .current_dir(folder.path())
        .args([
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-content",
            "manifest.json",
            "-CAfile",
            "ca.pem",
            "-in",
            "signature.p7s",
        ])
        .args(["-out", "content", "-attime", &at])
        .args(extra)
        .run()
        .unwrap()
}

#[test]
fn openssl_accepts_the_signature_also_as_cades_and_so_do_we() {
    let authority = Authority::new();
    let signer = authority.issue("R1", "山田 太郎");

    let der = sign_manifest(MANIFEST, &signer, Timestamp(TEST_START.0 + 123_456)).unwrap();

    for extra in [&[][..], &["-cades"]] {
        let output = openssl(&authority, MANIFEST, &der, extra).success();
        assert!(output.all_text().contains("successful"), "{output}");
    }
    let verified = verify(MANIFEST, &der, &authority.der).unwrap();
    assert_eq!(
        verified,
        VerifiedSigner {
            serial: "4F1E2D".into(),
            name: "山田 太郎".into(),
            account: "R1".into(),
            organisation: "読影センター".into(),
            signed_at: TEST_START,
        }
    );
}

#[test]
fn one_changed_byte_anywhere_is_refused() {
    let authority = Authority::new();
    let signer = authority.issue("R1", "山田 太郎");
    let der = sign_manifest(MANIFEST, &signer, TEST_START).unwrap();

    for index in 0..MANIFEST.len() {
        let mut changed = MANIFEST.to_vec();
        changed[index] ^= 0x01;
        assert!(
            matches!(verify(&changed, &der, &authority.der), Err(SignatureError::Content)),
            "byte {index} of the manifest"
        );
    }
    for index in 0..der.len() {
        for bit in [0x01, 0x80] {
            let mut changed = der.clone();
            changed[index] ^= bit;
            assert!(verify(MANIFEST, &changed, &authority.der).is_err(), "byte {index} of the signature");
        }
    }
    for length in 0..der.len() {
        assert!(verify(MANIFEST, &der[..length], &authority.der).is_err(), "cut to {length}");
    }
    assert!(verify(MANIFEST, &[&der[..], b"\0"].concat(), &authority.der).is_err());
    assert!(verify(&MANIFEST[1..], &der, &authority.der).is_err());

    // OpenSSL refuses a changed manifest, a changed signed attribute and a changed signature value.
    let mut changed = MANIFEST.to_vec();
    changed[9] ^= 1;
    openssl(&authority, &changed, &der, &[]).failure();
    let digest = der.windows(32).position(|window| window == sha256(MANIFEST)).unwrap();
    for index in [digest, der.len() - 1] {
        let mut changed = der.clone();
        changed[index] ^= 1;
        openssl(&authority, MANIFEST, &changed, &[]).failure();
    }
}

#[test]
fn only_a_valid_signing_certificate_of_this_authority_signs() {
    let authority = Authority::new();
    let sign =
        |wish: Wish| sign_manifest(MANIFEST, &authority.issue_as("R1", "山田 太郎", &wish), TEST_START).unwrap_err();

    let expired = Wish { until: TEST_START.plus_seconds(-1), ..Wish::signer() };
    assert!(matches!(sign(expired), SignatureError::Validity("the signer")));
    let not_yet = Wish { from: TEST_START.plus_seconds(1), ..Wish::signer() };
    assert!(matches!(sign(not_yet), SignatureError::Validity("the signer")));
    let to_the_second = Wish { from: TEST_START, until: TEST_START, ..Wish::signer() };
    assert!(sign_manifest(MANIFEST, &authority.issue_as("R1", "山田 太郎", &to_the_second), TEST_START).is_ok());
    let for_encryption = Wish { usage: KeyUsages::KeyEncipherment.into(), ..Wish::signer() };
    assert!(matches!(sign(for_encryption), SignatureError::Usage("the signer")));
    let authority_itself = Wish { ca: true, ..Wish::signer() };
    assert!(matches!(sign(authority_itself), SignatureError::Usage("the signer")));
    let forged = Wish { issuer_key: 2, ..Wish::signer() };
    assert!(matches!(sign(forged), SignatureError::Issuer));
    let stolen = authority.issue("R1", "山田 太郎").with_wrong_key();
    assert!(matches!(sign_manifest(MANIFEST, &stolen, TEST_START), Err(SignatureError::Signature)));
}

#[test]
fn another_authority_of_the_same_name_is_not_trusted() {
    let (authority, impostor) = (Authority::new(), Authority::impostor());
    let forged = sign_manifest(MANIFEST, &impostor.issue("R1", "山田 太郎"), TEST_START).unwrap();

    assert!(verify(MANIFEST, &forged, &impostor.der).is_ok());
    assert!(matches!(verify(MANIFEST, &forged, &authority.der), Err(SignatureError::Issuer)));
    openssl(&authority, MANIFEST, &forged, &[]).failure();
}

#[test]
fn what_is_no_signature_of_ours_is_named() {
    let authority = Authority::new();
    assert!(matches!(verify(MANIFEST, b"", &authority.der), Err(SignatureError::Encoding(..))));
    assert!(matches!(
        verify(MANIFEST, &vec![0; LONGEST_SIGNATURE + 1], &authority.der),
        Err(SignatureError::TooLong(_))
    ));
    assert!(matches!(verify(MANIFEST, &authority.der, b"x"), Err(SignatureError::Encoding(..))));
    assert!(matches!(sign_manifest(MANIFEST, &authority.issue("R1", "x"), Timestamp(-1)), Err(SignatureError::Time)));
}

#[test]
fn serial_numbers_compare_without_leading_zeros_and_case() {
    assert_eq!(comparable_serial("00ab"), comparable_serial("AB"));
    assert_ne!(comparable_serial("AB00"), comparable_serial("AB"));
}
