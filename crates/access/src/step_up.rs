//! What a signed-in person does with password and code once more: unlock the signing key, change the password, renew recovery codes.

use der::Decode as _;
use der::zeroize::Zeroizing;
use dokuei_database::{AuditOutcome, CertificateRow};
use dokuei_domain::AccountId;
use x509_cert::Certificate;

use crate::{
    Access, AccessError, CryptoError, SignInError, SigningKey, certificate, one_time, password,
    session::actor_of,
    sign_in::{Door, Verified, bounded},
    signing_key,
};

const DECRYPT: CryptoError = CryptoError("decrypt the signing key");

impl Access {
    /// Unlocks a reader's signing key with password and a fresh TOTP code; a code that was used before, also for signing in, is refused, and so is a
    /// recovery code. The certificate must be valid now.
    pub async fn unlock_signing_key(
        &self,
        account: &AccountId,
        password: &str,
        code: &str,
        address: &str,
    ) -> Result<SigningKey, SignInError> {
        const ACTION: &str = "signing_key.unlock";
        let Verified { account, mut tx, .. } =
            self.verify(account.as_str(), password, code, address, Door::StepUp(ACTION)).await?;
        let actor = actor_of(&account);
        let current = tx.certificate_current(&account.id).await?;
        let usable = current.ok_or(SignInError::NoCertificate).and_then(|row| self.usable_now(row));
        let event = |outcome| self.event(&actor, ACTION, outcome).subject(&account.id);
        let row = match usable {
            Ok(row) => {
                tx.audit(event(AuditOutcome::Success).detail(format!(
                    "certificate {} from {}",
                    row.serial,
                    bounded(address)
                )));
                tx.commit().await?;
                row
            }
            Err(error) => {
                tx.audit(event(AuditOutcome::Refused).detail(error.to_string()));
                tx.commit().await?;
                return Err(error);
            }
        };
        let (id, serial, blob) = (account.id.clone(), row.serial.clone(), row.encrypted_key);
        let secret = Zeroizing::new(password.to_owned());
        let key = self
            .bench
            .run(DECRYPT, move || signing_key::parse(&signing_key::unlock(&blob, &id, &serial, &secret)?))
            .await?;
        Ok(SigningKey::new(key, row.certificate, self.keys.authority_der().to_vec(), row.serial))
    }

    fn usable_now(&self, row: CertificateRow) -> Result<CertificateRow, SignInError> {
        let certificate =
            Certificate::from_der(&row.certificate).map_err(|_| CryptoError("read the stored certificate"))?;
        if certificate::is_valid_at(&certificate, self.ambient.now()) {
            Ok(row)
        } else {
            Err(SignInError::CertificateExpired)
        }
    }

    /// Changes a password. A reader's signing key is encrypted anew under it; the certificate stays. Ends all sessions of the account, this one too.
    pub async fn password_change(
        &self,
        account: &AccountId,
        old: &str,
        code: &str,
        new: &str,
        address: &str,
    ) -> Result<(), AccessError> {
        const ACTION: &str = "password.change";
        password::check_rules(account, new)?;
        let Verified { account, tx, .. } =
            self.verify(account.as_str(), old, code, address, Door::StepUp(ACTION)).await?;
        // The code is used up whatever follows; the slow part runs without a transaction.
        tx.commit().await?;
        let hash = self.bench.hash(Zeroizing::new(new.to_owned()), self.ambient.random()).await?;
        let certificate = self.db.read().await?.certificate_current(&account.id).await?;
        let relocked = match &certificate {
            None => None,
            Some(row) => Some(self.relock(row, old, new).await?),
        };

        let now = self.ambient.now();
        let mut tx = self.db.write().await?;
        let unchanged =
            tx.account_lock(&account.id).await?.is_some_and(|locked| locked.password_hash == account.password_hash);
        if !unchanged {
            return Err(AccessError::ChangedMeanwhile);
        }
        tx.account_set_password(&account.id, &hash, now).await?;
        match (&certificate, relocked) {
            (Some(row), Some(blob)) if !tx.certificate_replace_key(row.id, &row.encrypted_key, &blob).await? => {
                return Err(AccessError::ChangedMeanwhile);
            }
            _ => {}
        }
        tx.session_end_all(&account.id, now).await?;
        tx.audit(
            self.success(&actor_of(&account), ACTION).subject(&account.id).detail(format!("from {}", bounded(address))),
        );
        tx.commit().await?;
        Ok(())
    }

    async fn relock(&self, row: &CertificateRow, old: &str, new: &str) -> Result<Vec<u8>, CryptoError> {
        let (id, serial, blob) = (row.account.clone(), row.serial.clone(), row.encrypted_key.clone());
        let (old, new) = (Zeroizing::new(old.to_owned()), Zeroizing::new(new.to_owned()));
        let (cost, salt) = (self.bench.cost(), self.ambient.random());
        let work = move || {
            let key = signing_key::unlock(&blob, &id, &serial, &old)?;
            signing_key::lock(&key, &id, &serial, &new, cost, salt)
        };
        self.bench.run(DECRYPT, work).await
    }

    /// Gives new recovery codes; the old ones, used or not, are void.
    pub async fn recovery_codes_renew(
        &self,
        account: &AccountId,
        password: &str,
        code: &str,
        address: &str,
    ) -> Result<Vec<String>, AccessError> {
        const ACTION: &str = "recovery_codes.renew";
        let Verified { account, mut tx, .. } =
            self.verify(account.as_str(), password, code, address, Door::StepUp(ACTION)).await?;
        let codes = one_time::new_recovery_codes(&self.ambient);
        tx.recovery_codes_replace(&account.id, &one_time::recovery_hashes(&account.id, &codes)).await?;
        tx.audit(
            self.success(&actor_of(&account), ACTION).subject(&account.id).detail(format!("from {}", bounded(address))),
        );
        tx.commit().await?;
        Ok(codes)
    }
}
