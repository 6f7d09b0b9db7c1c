//! Things that are used once: TOTP codes, recovery codes and tokens.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use der::zeroize::Zeroizing;
use dokuei_domain::{AccountId, Ambient, Timestamp};
use totp_rs::{Builder, Totp};

use crate::{error::CryptoError, password::random_text};

pub(crate) const RECOVERY_CODES: usize = 10;
/// No vowels, so that no words appear, and nothing that is taken for something else.
const RECOVERY_ALPHABET: &[u8; 26] = b"BCDFGHJKMNPQRTVWXYZ2346789";
const RECOVERY_LENGTH: usize = 16;

/// What somebody typed where a code is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TypedCode {
    Totp(String),
    Recovery([u8; 32]),
    Nothing,
}

/// Reads a typed code: spaces and hyphens do not count, and digits may be full-width, as a Japanese input method leaves them.
pub(crate) fn read_code(account: &AccountId, typed: &str) -> TypedCode {
    if typed.len() > 200 {
        return TypedCode::Nothing;
    }
    let folded = typed.chars().filter_map(|c| match c {
        ' ' | '-' | '\u{3000}' | '\u{2010}'..='\u{2015}' | 'ー' | '－' => None,
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        other => Some(other),
    });
    let code = Zeroizing::new(folded.collect::<String>().to_ascii_uppercase());
    if code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()) {
        TypedCode::Totp(code.to_string())
    } else if code.len() == RECOVERY_LENGTH && code.bytes().all(|b| RECOVERY_ALPHABET.contains(&b)) {
        TypedCode::Recovery(recovery_hash(account, &code))
    } else {
        TypedCode::Nothing
    }
}

/// A new secret of 160 bits (RFC 4226 section 4, requirement 6).
pub(crate) fn new_totp_secret(ambient: &Ambient) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(ambient.random::<20>().to_vec())
}

/// RFC 6238 with SHA-1, six digits, 30 s: what every authenticator understands.
pub(crate) fn totp(secret: &[u8], account: &AccountId, node_name: &str) -> Result<Totp, CryptoError> {
    // A colon separates issuer and account in the URL.
    let issuer = node_name.replace(':', " ");
    Builder::new()
        .with_secret(secret.to_vec())
        .with_account_name(account.as_str())
        .with_issuer(Some(issuer))
        .build()
        .map_err(|_| CryptoError("read a TOTP secret"))
}

/// The time step that a code belongs to, if it is the present one or the one before or after.
pub(crate) fn matching_step(totp: &Totp, code: &str, now: Timestamp) -> Option<i64> {
    let seconds = u64::try_from(now.0 / 1_000_000).ok()?;
    totp.check(code, seconds).and_then(|step| i64::try_from(step).ok())
}

/// New recovery codes as the person sees them, `XXXX-XXXX-XXXX-XXXX`, 75 bits each.
pub(crate) fn new_recovery_codes(ambient: &Ambient) -> Vec<String> {
    let one = |_| {
        let text = random_text(ambient, RECOVERY_ALPHABET, RECOVERY_LENGTH);
        let groups: Vec<&str> = (0..RECOVERY_LENGTH).step_by(4).filter_map(|at| text.get(at..at + 4)).collect();
        groups.join("-")
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// The stored form of recovery codes.
pub(crate) fn recovery_hashes(account: &AccountId, codes: &[String]) -> Vec<[u8; 32]> {
    codes.iter().map(|code| recovery_hash(account, &code.replace('-', ""))).collect()
}

/// A plain hash is enough: the codes are random and too many to try.
fn recovery_hash(account: &AccountId, code: &str) -> [u8; 32] {
    sha256(&[account.as_str().as_bytes(), b"\0", code.as_bytes()])
}

/// A token of 256 bits for a cookie or a link, and the hash under which it is stored.
pub(crate) fn new_token(ambient: &Ambient) -> (String, [u8; 32]) {
    let bytes = Zeroizing::new(ambient.random::<32>());
    (URL_SAFE_NO_PAD.encode(*bytes), sha256(&[bytes.as_slice()]))
}

/// The stored hash of a token that somebody presents; `None` when it is not even shaped like one.
pub(crate) fn token_hash(token: &str) -> Option<[u8; 32]> {
    if token.len() != 43 {
        return None;
    }
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token).ok()?);
    Some(sha256(&[bytes.as_slice()]))
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0u8; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        AccountId::parse("R1").unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, the last six of its eight digits.
        let totp = totp(b"12345678901234567890", &account(), "Dokuei").unwrap();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(matching_step(&totp, code, at(seconds)), Some(seconds / 30), "{seconds}");
            assert_eq!(matching_step(&totp, code, at(seconds + 30)), Some(seconds / 30), "one step late");
            assert_eq!(matching_step(&totp, code, at(seconds - 30)), Some(seconds / 30), "one step early");
            assert_eq!(matching_step(&totp, code, at(seconds + 60)), None, "two steps late");
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let read = |typed| read_code(&account(), typed);
        assert_eq!(read("123 456"), TypedCode::Totp("123456".to_owned()));
        assert_eq!(read("１２３４５６"), TypedCode::Totp("123456".to_owned()));
        let recovery = read("BCDF-GHJK-MNPQ-RTVW");
        assert!(matches!(recovery, TypedCode::Recovery(_)));
        assert_eq!(read("bcdfghjk mnpqrtvw"), recovery);
        assert_eq!(read("ＢＣＤＦ－ＧＨＪＫ－ＭＮＰＱ－ＲＴＶＷ"), recovery);
        for nothing in ["", "12345", "1234567", "12345a", "BCDF-GHJK-MNPQ", &"1".repeat(100_000)] {
            assert_eq!(read(nothing), TypedCode::Nothing, "{nothing}");
        }
    }

    #[test]
    fn recovery_codes_differ_and_belong_to_one_account() {
        let (_, ambient) = dokuei_testkit::test_ambient(3);
        let codes = new_recovery_codes(&ambient);
        let hashes = recovery_hashes(&account(), &codes);

        assert_eq!((codes.len(), codes[0].len()), (10, 19));
        for (code, hash) in codes.iter().zip(&hashes) {
            assert_eq!(read_code(&account(), code), TypedCode::Recovery(*hash));
        }
        let mut distinct = hashes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 10);
        assert_ne!(recovery_hashes(&AccountId::parse("R2").unwrap(), &codes), hashes);
    }

    #[test]
    fn a_token_is_found_by_its_hash_alone() {
        let (_, ambient) = dokuei_testkit::test_ambient(4);
        let (token, hash) = new_token(&ambient);
        assert_eq!(token_hash(&token), Some(hash));
        for bad in ["", "x", &token[1..], &format!("{token}="), &"!".repeat(43)] {
            assert_eq!(token_hash(bad), None, "{bad}");
        }
    }
}
