//! What somebody needs to sign in for the first time, shown once and stored only as hashes or encrypted.

use der::Encode as _;
use dokuei_database::{CertificateRow, WriteTx};
use dokuei_domain::{AccountId, PersonName};
use serde::Serialize;

use crate::{
    Access, AccessError, CryptoError,
    certificate::{self, Subject},
    one_time,
    password::{self, Secret},
    signing_key,
};

/// A new password, second factor and recovery codes, to be handed to the person. Its `Debug` shows the account only.
#[derive(Clone, Serialize)]
pub struct Enrolment {
    pub account: AccountId,
    pub password: String,
    /// For those who type the secret into their authenticator.
    pub totp_secret_base32: String,
    /// For those who scan it: `otpauth://totp/…`.
    pub otpauth_url: String,
    /// The same as a QR code: a PNG in base64.
    pub qr_png_base64: String,
    pub recovery_codes: Vec<String>,
    /// The serial number of the signing certificate issued with it; readers only.
    pub certificate_serial: Option<String>,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolment").field("account", &self.account).finish_non_exhaustive()
    }
}

/// An enrolment with what of it is stored.
pub(crate) struct Prepared {
    pub(crate) enrolment: Enrolment,
    pub(crate) password_hash: String,
    pub(crate) sealed_totp_secret: Vec<u8>,
    pub(crate) recovery_hashes: Vec<[u8; 32]>,
    pub(crate) certificate: Option<CertificateRow>,
}

impl Access {
    /// Draws everything and, for a reader, makes a key and issues its certificate. Slow, and outside of any transaction.
    pub(crate) async fn prepare_enrolment(
        &self,
        account: &AccountId,
        reader: Option<(&PersonName, &str)>,
    ) -> Result<Prepared, AccessError> {
        let password = password::generate(&self.ambient);
        let password_hash = self.bench.hash(password.clone(), self.ambient.random()).await?;
        let secret = one_time::new_totp_secret(&self.ambient);
        let totp = one_time::totp(&secret, account, &self.settings.node_name)?;
        let otpauth_url = totp.to_url().map_err(|_| CryptoError("write the authenticator's URL"))?;
        let qr_png_base64 = totp.to_qr_base64().map_err(|_| CryptoError("draw the authenticator's QR code"))?;
        let recovery_codes = one_time::new_recovery_codes(&self.ambient);
        let certificate = match reader {
            None => None,
            Some((name, organisation)) => Some(self.issue_certificate(account, name, organisation, &password).await?),
        };
        Ok(Prepared {
            password_hash,
            sealed_totp_secret: self.keys.seal_totp_secret(account, &secret)?,
            recovery_hashes: one_time::recovery_hashes(account, &recovery_codes),
            enrolment: Enrolment {
                account: account.clone(),
                password: password.to_string(),
                totp_secret_base32: totp.secret().to_base32(),
                otpauth_url,
                qr_png_base64,
                recovery_codes,
                certificate_serial: certificate.as_ref().map(|row| row.serial.clone()),
            },
            certificate,
        })
    }

    async fn issue_certificate(
        &self,
        account: &AccountId,
        name: &PersonName,
        organisation: &str,
        password: &Secret,
    ) -> Result<CertificateRow, AccessError> {
        const FAILED: CryptoError = CryptoError("make a signing key");
        let now = self.ambient.now();
        let serial_bytes = certificate::new_serial(&self.ambient);
        let serial = certificate::serial_text(&serial_bytes);
        let subject =
            Subject { account: account.clone(), common_name: name.display(), organisation: organisation.to_owned() };
        let (keys, password) = (std::sync::Arc::clone(&self.keys), password.clone());
        let (cost, salt, days) = (self.bench.cost(), self.ambient.random(), self.settings.certificate_days);
        let work = move || {
            let key = certificate::generate_key()?;
            let issued = keys.issue(&subject, &key, serial_bytes, now, days)?;
            let key_der = certificate::private_key_der(&key)?;
            let locked = signing_key::lock(
                &key_der,
                &subject.account,
                &certificate::serial_text(&serial_bytes),
                &password,
                cost,
                salt,
            )?;
            Ok((issued.to_der().map_err(|_| FAILED)?, locked))
        };
        let (der, encrypted_key) = self.bench.run(FAILED, work).await?;
        Ok(CertificateRow {
            id: self.ambient.new_uuid(),
            account: account.clone(),
            serial,
            certificate: der,
            encrypted_key,
            issued_at: now,
            superseded_at: None,
        })
    }
}

/// Stores recovery codes and certificate; the account's row is the caller's.
pub(crate) async fn store_enrolment(tx: &mut WriteTx, prepared: &Prepared) -> Result<(), AccessError> {
    tx.recovery_codes_replace(&prepared.enrolment.account, &prepared.recovery_hashes).await?;
    if let Some(certificate) = &prepared.certificate {
        tx.certificate_insert(certificate).await?;
    }
    Ok(())
}
