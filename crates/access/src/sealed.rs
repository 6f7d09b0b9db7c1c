//! AES-256-GCM with a nonce that the library draws: version, nonce, ciphertext and tag in one blob.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use der::zeroize::Zeroizing;

use crate::error::CryptoError;

const FAILED: CryptoError = CryptoError("encrypt or decrypt a stored secret");

/// Encrypts; what `bound_to` says must be said again to decrypt, so that a blob cannot be moved to another row.
pub(crate) fn seal(key: &[u8; 32], bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| FAILED)?;
    // Encrypted in place; the room for the tag is reserved, so that no plain copy is left behind by growing.
    let mut buffer = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    buffer.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(Aad::from(bound_to), &mut buffer).map_err(|_| FAILED)?;
    Ok([nonce.as_ref().as_slice(), &buffer].concat())
}

/// Decrypts what [`seal`] gave.
pub(crate) fn open(key: &[u8; 32], bound_to: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| FAILED)?;
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(FAILED)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| FAILED)?;
    let mut buffer = Zeroizing::new(rest.to_vec());
    let length = key.open_in_place(nonce, Aad::from(bound_to), &mut buffer).map_err(|_| FAILED)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_whole_and_in_its_place() {
        let key = [7; 32];
        let sealed = seal(&key, b"R1", b"secret").unwrap();

        assert_eq!(open(&key, b"R1", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(open(&key, b"R2", &sealed), Err(FAILED), "another row");
        assert_eq!(open(&[8; 32], b"R1", &sealed), Err(FAILED), "another key");
        for index in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[index] ^= 1;
            assert_eq!(open(&key, b"R1", &bent), Err(FAILED), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert_eq!(open(&key, b"R1", &sealed[..length]), Err(FAILED), "cut to {length}");
        }
        assert_ne!(sealed, seal(&key, b"R1", b"secret").unwrap(), "a fresh nonce each time");
    }
}
