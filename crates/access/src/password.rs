//! Passwords: the rules, generated ones, and argon2id off the runtime's threads with a bound on its memory.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::phc::PasswordHash,
};
use der::zeroize::Zeroizing;
use dokuei_domain::{AccountId, Ambient};
use tokio::sync::Semaphore;

use crate::{
    error::{AccessError, CryptoError},
    settings::PasswordCost,
};

const MINIMUM_CHARACTERS: usize = 12;
pub(crate) const MAXIMUM_BYTES: usize = 1024;

/// Letters and digits that are not taken for one another on paper or on the telephone.
pub(crate) const UNAMBIGUOUS: &[u8; 54] = b"ABCDEFGHJKLMNPQRTUVWXYZabcdefghijkmnpqrstuvwxyz2346789";

/// A password on its way through; wiped when dropped.
pub(crate) type Secret = Zeroizing<String>;

/// Checks a password that a person chose.
pub(crate) fn check_rules(account: &AccountId, password: &str) -> Result<(), AccessError> {
    if password.len() > MAXIMUM_BYTES {
        return Err(AccessError::PasswordTooLong { maximum: MAXIMUM_BYTES });
    }
    if password.eq_ignore_ascii_case(account.as_str()) {
        return Err(AccessError::PasswordIsAccount);
    }
    if password.chars().count() < MINIMUM_CHARACTERS {
        return Err(AccessError::PasswordTooShort { minimum: MINIMUM_CHARACTERS });
    }
    Ok(())
}

/// 24 characters, 138 bits.
pub(crate) fn generate(ambient: &Ambient) -> Secret {
    Zeroizing::new(random_text(ambient, UNAMBIGUOUS, 24))
}

/// Draws characters evenly: bytes beyond the last whole multiple of the alphabet are drawn again.
pub(crate) fn random_text(ambient: &Ambient, alphabet: &[u8], length: usize) -> String {
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in ambient.random::<32>() {
            let byte = usize::from(byte);
            if byte < fair && text.len() < length {
                text.push(char::from(alphabet[byte % alphabet.len()]));
            }
        }
    }
    text
}

/// Runs argon2id and other heavy cryptography on blocking threads, a few at a time.
#[derive(Clone)]
pub(crate) struct Workbench {
    cost: PasswordCost,
    places: Arc<Semaphore>,
}

impl Workbench {
    pub(crate) fn new(cost: PasswordCost, parallel: usize) -> Self {
        Self { cost, places: Arc::new(Semaphore::new(parallel.max(1))) }
    }

    pub(crate) const fn cost(&self) -> PasswordCost {
        self.cost
    }

    /// Runs `work` on a blocking thread when a place is free.
    pub(crate) async fn run<T, F>(&self, failed: CryptoError, work: F) -> Result<T, CryptoError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, CryptoError> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| failed)?;
        // The place goes along: a caller that gives up does not free it while the work still runs.
        let work = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| failed)?
    }

    /// A PHC string with the salt and the cost in it.
    pub(crate) async fn hash(&self, password: Secret, salt: [u8; 16]) -> Result<String, CryptoError> {
        const FAILED: CryptoError = CryptoError("hash a password");
        let cost = self.cost;
        self.run(FAILED, move || {
            let hash = argon2(cost)?.hash_password_with_salt(password.as_bytes(), &salt).map_err(|_| FAILED)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Compares with a stored hash. Without one it takes as long and is wrong: nobody learns from the time which accounts exist.
    pub(crate) async fn verify(&self, password: Secret, stored: Option<String>) -> Result<bool, CryptoError> {
        const FAILED: CryptoError = CryptoError("verify a password");
        let cost = self.cost;
        self.run(FAILED, move || {
            let Some(stored) = stored else {
                let mut nothing = [0u8; 32];
                argon2(cost)?
                    .hash_password_into(password.as_bytes(), b"nobody's salt..", &mut nothing)
                    .map_err(|_| FAILED)?;
                return Ok(false);
            };
            let stored = PasswordHash::new(&stored).map_err(|_| CryptoError("read a stored password hash"))?;
            Ok(argon2(cost)?.verify_password(password.as_bytes(), &stored).is_ok())
        })
        .await
    }
}

/// Derives an encryption key from a password.
pub(crate) fn derive_key(cost: PasswordCost, password: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut key = Zeroizing::new([0u8; 32]);
    argon2(cost)?
        .hash_password_into(password.as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| CryptoError("derive a key from the password"))?;
    Ok(key)
}

fn argon2(cost: PasswordCost) -> Result<Argon2<'static>, CryptoError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| CryptoError("hash with this password cost"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        AccountId::parse("radiologist-no-1").unwrap()
    }

    #[test]
    fn rules_count_characters_and_refuse_the_accounts_own_id() {
        assert!(check_rules(&account(), "正しい馬の電池とホッチキス").is_ok());
        assert!(matches!(check_rules(&account(), "short"), Err(AccessError::PasswordTooShort { minimum: 12 })));
        assert!(matches!(check_rules(&account(), "山田太郎山田太郎山田太"), Err(AccessError::PasswordTooShort { .. })));
        assert!(matches!(check_rules(&account(), "Radiologist-No-1"), Err(AccessError::PasswordIsAccount)));
        assert!(matches!(check_rules(&account(), &"x".repeat(1025)), Err(AccessError::PasswordTooLong { .. })));
    }

    #[test]
    fn generated_passwords_are_long_unambiguous_and_different() {
        let (_, ambient) = dokuei_testkit::test_ambient(1);
        let (first, second) = (generate(&ambient), generate(&ambient));
        assert_eq!(first.len(), 24);
        assert_ne!(first, second);
        assert!(first.chars().all(|c| !"0Oo1Il5S".contains(c)), "{}", first.as_str());
        assert!(check_rules(&account(), &first).is_ok());
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only_and_nobody_verifies_nothing() {
        let bench = Workbench::new(PasswordCost { memory_kib: 64, passes: 1, lanes: 1 }, 1);
        let secret = |text: &str| Zeroizing::new(text.to_owned());
        let hash = bench.hash(secret("correct horse battery"), [1; 16]).await.unwrap();

        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_eq!(bench.verify(secret("correct horse battery"), Some(hash.clone())).await, Ok(true));
        assert_eq!(bench.verify(secret("correct horse batterx"), Some(hash.clone())).await, Ok(false));
        assert_eq!(bench.verify(secret("correct horse battery"), None).await, Ok(false));
        assert!(bench.verify(secret("x"), Some("not a hash".to_owned())).await.is_err());
        // A hash keeps its own cost when the settings change.
        let dearer = Workbench::new(PasswordCost { memory_kib: 128, passes: 2, lanes: 1 }, 1);
        assert_eq!(dearer.verify(secret("correct horse battery"), Some(hash)).await, Ok(true));
    }
}
