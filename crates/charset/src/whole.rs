//! Sets that stand alone: UTF-8, GB18030 and GBK (PS3.3 Table C.12-5). No escapes, no state: the
//! value is decoded as one string, and delimiters are found in the string.

use encoding_rs::GB18030;

use crate::Decoded;
use crate::iso2022::{REPLACEMENT, is_text_control};
use crate::recover::{self, Hints};

/// ISO_IR 192.
pub(crate) fn decode_utf8(raw: &[u8]) -> Decoded<String> {
    if let Ok(text) = std::str::from_utf8(raw) {
        return clean(text, false);
    }
    let hints = Hints { set: None, japanese: true, western: true };
    match recover::recognise(raw, hints) {
        Some(text) => clean(&text, true),
        None => clean(&String::from_utf8_lossy(raw), true),
    }
}

/// GB18030, or GBK, which is its one- and two-byte part.
pub(crate) fn decode_gb18030(raw: &[u8], four_bytes: bool) -> Decoded<String> {
    if let Some(text) = GB18030.decode_without_bom_handling_and_without_replacement(raw) {
        return clean(&text, !is_well_formed_gb18030(raw, four_bytes));
    }
    let hints = Hints { set: None, japanese: false, western: false };
    match recover::recognise(raw, hints) {
        Some(text) => clean(&text, true),
        None => clean(&GB18030.decode_without_bom_handling(raw).0, true),
    }
}

/// encoding_rs also takes 80 for €, and four bytes in GBK; neither is in the standards.
fn is_well_formed_gb18030(raw: &[u8], four_bytes: bool) -> bool {
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            0x00..=0x7F => {}
            0x80 | 0xFF => return false,
            0x81..=0xFE => match bytes.next() {
                Some(0x30..=0x39) if four_bytes => {
                    bytes.next();
                    bytes.next();
                }
                Some(0x40..=0xFE) => {}
                _ => return false,
            },
        }
    }
    true
}

/// Removes a byte order mark and marks control characters that text cannot have. NUL stays, as in
/// the other decoder.
fn clean(text: &str, mut repaired: bool) -> Decoded<String> {
    let body = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    repaired |= body.len() != text.len();
    let allowed = |character: char| {
        character == '\0' || !character.is_control() || u8::try_from(character).is_ok_and(is_text_control)
    };
    let value = if body.chars().all(allowed) {
        body.to_owned()
    } else {
        repaired = true;
        body.chars().map(|character| if allowed(character) { character } else { REPLACEMENT }).collect()
    };
    Decoded { value, repaired }
}
