use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use der::{Decode as _, Encode as _};
use x509_cert::Certificate;

use crate::{AccessError, SignInError, SigningKey};

use super::{ADDRESS, CLI, Node, both, id};

const WRONG: &str = "not the password";
const NEW: &str = "まったく新しい合言葉です";

fn verifies(key: &SigningKey, message: &[u8], signature: &[u8]) -> bool {
    let certificate = Certificate::from_der(&key.certificate_der).unwrap();
    let public = certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(message, signature).is_ok()
}

#[tokio::test]
async fn a_reader_unlocks_the_key_of_the_certificate() {
    both(|node| async move {
        let reader = node.reader("R1").await;
        let code = node.code(&reader);

        let key = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap();

        let signature = key.sign_sha256("所見".as_bytes()).unwrap();
        assert_eq!(signature.len(), 384);
        assert!(verifies(&key, "所見".as_bytes(), &signature));
        assert!(!verifies(&key, b"something else", &signature));
        assert_eq!(Some(&key.serial), reader.certificate_serial.as_ref());
        assert_eq!(key.issuer_der, node.access.authority_der());
        let row = node.audit(1).await.remove(0);
        assert_eq!(
            (row.action.as_str(), row.outcome.as_str(), row.actor.as_str()),
            ("signing_key.unlock", "success", "account:R1")
        );
        assert!(row.detail.contains(&key.serial) && row.detail.contains(ADDRESS));
    })
    .await;
}

#[tokio::test]
async fn a_signature_needs_the_password_and_a_code_that_was_not_used_to_sign_in() {
    both(|node| async move {
        let reader = node.reader("R1").await;
        node.sign_in(&reader).await;
        let used = node.code(&reader);
        let unlock = async |password: &str, code: &str| {
            node.access.unlock_signing_key(&id("R1"), password, code, ADDRESS).await.unwrap_err()
        };

        assert!(matches!(unlock(&reader.password, &used).await, SignInError::ReplayedCode));
        assert_eq!(node.last_audit().await, "signing_key.unlock refused R1");
        node.next_step();
        let fresh = node.code(&reader);
        assert!(matches!(unlock(WRONG, &fresh).await, SignInError::WrongCredentials));
        assert!(matches!(unlock(&reader.password, "000000").await, SignInError::WrongCredentials));
        assert!(
            matches!(unlock(&reader.password, &reader.recovery_codes[0]).await, SignInError::WrongCredentials),
            "no recovery code"
        );

        node.access.unlock_signing_key(&id("R1"), &reader.password, &fresh, ADDRESS).await.unwrap();
        node.access.sign_in("R1", &reader.password, &reader.recovery_codes[0], ADDRESS).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn signing_twice_in_a_hurry_locks_nobody_out_and_neither_do_strangers() {
    let node = Node::new().await;
    let reader = node.reader("R1").await;
    let code = node.code(&reader);
    node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap();
    for _ in 0..7 {
        let hurried = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await;
        assert!(matches!(hurried, Err(SignInError::ReplayedCode)));
    }
    for attempt in 0..6 {
        node.access.sign_in("R1", WRONG, "000000", &format!("198.51.100.{attempt}")).await.unwrap_err();
    }
    node.next_step();

    let code = node.code(&reader);
    node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap();

    for _ in 0..5 {
        node.access.unlock_signing_key(&id("R1"), WRONG, "000000", ADDRESS).await.unwrap_err();
    }
    node.next_step();
    let code = node.code(&reader);
    let refused = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::TooManyAttempts { .. }), "guessing here counts: {refused}");
}

#[tokio::test]
async fn who_has_no_valid_certificate_does_not_sign() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let reader = node.reader("R1").await;

    let code = node.code(&office);
    let refused = node.access.unlock_signing_key(&id("O1"), &office.password, &code, ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::NoCertificate), "{refused}");

    node.advance(6 * 365 * 24 * 3600);
    let code = node.code(&reader);
    let refused = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::CertificateExpired), "{refused}");
    assert_eq!(node.last_audit().await, "signing_key.unlock refused R1");

    node.access.account_disable(&CLI, &id("R1")).await.unwrap();
    node.next_step();
    let code = node.code(&reader);
    let refused = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::Disabled), "{refused}");
}

#[tokio::test]
async fn a_changed_password_opens_the_same_key_and_ends_the_sessions() {
    both(|node| async move {
        let reader = node.reader("R1").await;
        let token = node.sign_in(&reader).await.token;
        node.next_step();
        let code = node.code(&reader);

        node.access.password_change(&id("R1"), &reader.password, &code, NEW, ADDRESS).await.unwrap();

        assert_eq!(node.access.session(&token).await.unwrap(), None);
        assert_eq!(node.last_audit().await, "password.change success R1");
        node.next_step();
        let code = node.code(&reader);
        let old = node.access.unlock_signing_key(&id("R1"), &reader.password, &code, ADDRESS).await.unwrap_err();
        assert!(matches!(old, SignInError::WrongCredentials), "{old}");
        let key = node.access.unlock_signing_key(&id("R1"), NEW, &code, ADDRESS).await.unwrap();
        assert_eq!(Some(&key.serial), reader.certificate_serial.as_ref());
        assert!(verifies(&key, b"message", &key.sign_sha256(b"message").unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_password_is_not_changed_to_a_poor_one_or_without_the_old_one() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let code = node.code(&office);
    let change = async |old: &str, new: &str| {
        node.access.password_change(&id("O1"), old, &code, new, ADDRESS).await.unwrap_err()
    };

    assert!(matches!(change(&office.password, "short").await, AccessError::PasswordTooShort { .. }));
    assert!(matches!(change(WRONG, NEW).await, AccessError::SignIn(SignInError::WrongCredentials)));

    node.sign_in(&office).await;
}

#[tokio::test]
async fn renewed_recovery_codes_void_the_old_ones() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let code = node.code(&office);

    let renewed = node.access.recovery_codes_renew(&id("O1"), &office.password, &code, ADDRESS).await.unwrap();

    assert_eq!(renewed.len(), 10);
    let old = node.access.sign_in("O1", &office.password, &office.recovery_codes[0], ADDRESS).await.unwrap_err();
    assert!(matches!(old, SignInError::WrongCredentials), "{old}");
    node.access.sign_in("O1", &office.password, &renewed[0], ADDRESS).await.unwrap();
}

#[tokio::test]
async fn a_key_moved_to_another_readers_row_does_not_open() {
    let node = Node::new().await;
    let reader = node.reader("R1").await;
    let mut read = node.db.read().await.unwrap();
    let row = read.certificate_current(&id("R1")).await.unwrap().unwrap();

    assert!(crate::signing_key::unlock(&row.encrypted_key, &id("R1"), &row.serial, &reader.password).is_ok());
    assert!(crate::signing_key::unlock(&row.encrypted_key, &id("R2"), &row.serial, &reader.password).is_err());
    assert!(crate::signing_key::unlock(&row.encrypted_key, &id("R1"), &row.serial, WRONG).is_err());
    assert!(Certificate::from_der(&row.certificate).unwrap().to_der().is_ok());
}
