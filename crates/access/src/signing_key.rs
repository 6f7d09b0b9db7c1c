//! A reader's private key: encrypted at rest under the reader's password, unlocked for one signature.

use std::fmt;

use aws_lc_rs::signature::RsaKeyPair;
use der::zeroize::Zeroizing;
use dokuei_domain::AccountId;

use crate::{certificate, error::CryptoError, password, sealed, settings::PasswordCost};

/// An unlocked signing key. The library wipes it when it is dropped; keep it no longer than one signature takes.
pub struct SigningKey {
    key: RsaKeyPair,
    /// The reader's certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The certificate of the node's authority that issued it, DER.
    pub issuer_der: Vec<u8>,
    /// The certificate's serial number, hexadecimal, upper case.
    pub serial: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl SigningKey {
    pub(crate) fn new(key: RsaKeyPair, certificate_der: Vec<u8>, issuer_der: Vec<u8>, serial: String) -> Self {
        Self { key, certificate_der, issuer_der, serial }
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2) over `message`, which is hashed here; 384 bytes. Fails only when the library does.
    pub fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        certificate::sign_sha256(&self.key, message)
    }
}

// Format 1: the byte 1, memory (KiB), passes and lanes as big-endian u32, 16 bytes of salt, then what `sealed` writes. The cost stands in the blob, so that
// it can be raised for new keys while old ones still open.
const FORMAT: u8 = 1;
const SALT: usize = 16;
const HEADER: usize = 1 + 12 + SALT;
/// More than any settings ask for; a damaged header must not take the node's memory.
const MAXIMUM_MEMORY_KIB: u32 = 1024 * 1024;

/// Encrypts a private key under a password. Runs argon2: call it off the runtime's threads.
pub(crate) fn lock(
    key_der: &[u8],
    account: &AccountId,
    serial: &str,
    password: &str,
    cost: PasswordCost,
    salt: [u8; SALT],
) -> Result<Vec<u8>, CryptoError> {
    let mut blob = vec![FORMAT];
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        blob.extend_from_slice(&number.to_be_bytes());
    }
    blob.extend_from_slice(&salt);
    let key = password::derive_key(cost, password, &salt)?;
    let sealed = sealed::seal(&key, &bound_to(&blob, account, serial), key_der)?;
    blob.extend_from_slice(&sealed);
    Ok(blob)
}

/// Decrypts a private key. Runs argon2: call it off the runtime's threads.
pub(crate) fn unlock(
    blob: &[u8],
    account: &AccountId,
    serial: &str,
    password: &str,
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    const UNREADABLE: CryptoError = CryptoError("read the stored signing key");
    let (header, sealed) = blob.split_at_checked(HEADER).ok_or(UNREADABLE)?;
    let number = |at: usize| {
        header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes).ok_or(UNREADABLE)
    };
    let cost = PasswordCost { memory_kib: number(1)?, passes: number(5)?, lanes: number(9)? };
    if header.first() != Some(&FORMAT) || cost.memory_kib > MAXIMUM_MEMORY_KIB || cost.passes > 100 || cost.lanes > 16 {
        return Err(UNREADABLE);
    }
    let key = password::derive_key(cost, password, header.get(HEADER - SALT..).ok_or(UNREADABLE)?)?;
    sealed::open(&key, &bound_to(header, account, serial), sealed)
}

/// Makes an unlocked key usable.
pub(crate) fn parse(key_der: &[u8]) -> Result<RsaKeyPair, CryptoError> {
    RsaKeyPair::from_pkcs8(key_der).map_err(|_| CryptoError("read the decrypted signing key"))
}

/// The header, the account and the certificate: a blob opens in its own row only.
fn bound_to(header: &[u8], account: &AccountId, serial: &str) -> Vec<u8> {
    [header, b"dokuei signing key\0", account.as_str().as_bytes(), b"\0", serial.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_its_password_in_its_row_only() {
        let (r1, r2) = (AccountId::parse("R1").unwrap(), AccountId::parse("R2").unwrap());
        let cost = PasswordCost { memory_kib: 64, passes: 1, lanes: 1 };
        let blob = lock(b"the key", &r1, "0A", "password one", cost, [9; 16]).unwrap();

        assert_eq!(unlock(&blob, &r1, "0A", "password one").unwrap().as_slice(), b"the key");
        assert!(unlock(&blob, &r1, "0A", "password two").is_err());
        assert!(unlock(&blob, &r2, "0A", "password one").is_err());
        assert!(unlock(&blob, &r1, "0B", "password one").is_err());
        for index in [0, 1, 4, 8, 12, 13, 28, 29, blob.len() - 1] {
            let mut bent = blob.clone();
            bent[index] ^= 1;
            assert!(unlock(&bent, &r1, "0A", "password one").is_err(), "byte {index}");
        }
        for length in [0, 1, HEADER - 1, HEADER, HEADER + 5] {
            assert!(unlock(&blob[..length], &r1, "0A", "password one").is_err(), "cut to {length}");
        }
    }
}
