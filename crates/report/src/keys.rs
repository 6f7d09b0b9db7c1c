//! Where signing keys come from.

use std::sync::Arc;

use async_trait::async_trait;
use dokuei_access::{Access, SignInError, SigningKey};
use dokuei_domain::AccountId;

use crate::signature::{ReportSigner, SigningFailed};

/// Unlocks a reader's key for one signature, by password and second factor. Implemented by `access`; keys in hardware get an implementation of their own.
#[async_trait]
pub trait KeyHolder: Send + Sync {
    /// `address` is where the request came from, for the audit trail and the rate limit.
    async fn unlock(
        &self,
        account: &AccountId,
        password: &str,
        code: &str,
        address: &str,
    ) -> Result<Arc<dyn ReportSigner>, SignInError>;
}

#[async_trait]
impl KeyHolder for Access {
    async fn unlock(
        &self,
        account: &AccountId,
        password: &str,
        code: &str,
        address: &str,
    ) -> Result<Arc<dyn ReportSigner>, SignInError> {
        let key = self.unlock_signing_key(account, password, code, address).await?;
        Ok(Arc::new(key))
    }
}

impl ReportSigner for SigningKey {
    fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    fn serial(&self) -> &str {
        &self.serial
    }

    fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        Self::sign_sha256(self, message).map_err(|error| SigningFailed(error.to_string()))
    }
}
