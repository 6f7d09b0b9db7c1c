//! What bytes may be that do not fit their declaration.
//!
//! Asked only after the declared sets have failed: a declaration that the bytes satisfy is
//! believed, however odd the text. Everything found here is flagged by the caller.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK, SHIFT_JIS, WINDOWS_1252};

use crate::iso2022::{REPLACEMENT, is_text_control};
use crate::sets::{GraphicSet, jis_code_point};

/// What speaks for one reading or another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hints {
    /// A set that was declared or designated for G1 but is not active.
    pub(crate) set: Option<GraphicSet>,
    /// Nothing but Japanese or Latin-1 is declared, or nothing at all: Shift_JIS or EUC-JP are
    /// likely.
    pub(crate) japanese: bool,
    /// Latin-1 or nothing is declared: Windows-1252 is possible.
    pub(crate) western: bool,
}

/// The text of bytes without escape sequences, if an encoding explains all of them.
///
/// UTF-8 comes first because text in other encodings is hardly ever valid UTF-8, except for short
/// runs of half-width kana or Korean. Japanese comes before Western because this is where senders
/// forget (0008,0005).
pub(crate) fn recognise(bytes: &[u8], hints: Hints) -> Option<String> {
    let may_be_kana = high_bytes(bytes).all(|byte| matches!(byte, 0xA1..=0xDF));
    let short_utf8 = may_be_kana && !touches_ascii_letter(bytes);
    let text = (!short_utf8)
        .then(|| utf8(bytes))
        .flatten()
        .or_else(|| hints.set.and_then(|set| in_g1(bytes, set)))
        .or_else(|| (hints.western && looks_western(bytes)).then(|| western(bytes)).flatten())
        .or_else(|| hints.japanese.then(|| japanese(bytes)).flatten())
        .or_else(|| utf8(bytes))
        .or_else(|| hints.western.then(|| western(bytes)).flatten())?;
    Some(text.chars().map(without_control).collect())
}

/// NUL stays: the caller knows whether it is padding.
fn without_control(character: char) -> char {
    let allowed = character == '\0' || !character.is_control() || u8::try_from(character).is_ok_and(is_text_control);
    if allowed { character } else { REPLACEMENT }
}

fn high_bytes(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().copied().filter(|byte| *byte >= 0x80)
}

/// Some high byte stands directly beside an ASCII letter, as in `Müller` and never in kana.
fn touches_ascii_letter(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| match pair {
        [left, right] => {
            (*left >= 0x80 && right.is_ascii_alphabetic()) || (left.is_ascii_alphabetic() && *right >= 0x80)
        }
        _ => false,
    })
}

/// Single accented letters between ASCII letters: `Jérôme` in Latin-1.
fn looks_western(bytes: &[u8]) -> bool {
    high_bytes(bytes).all(|byte| byte >= 0xC0)
        && touches_ascii_letter(bytes)
        && !bytes.windows(2).any(|pair| pair.iter().all(|byte| *byte >= 0x80))
}

/// UTF-8, or UTF-8 that lost a little: cut in the middle of a character, or one byte in many.
fn utf8(bytes: &[u8]) -> Option<String> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Some(text.to_owned()),
        Err(error) => error,
    };
    let mut characters = 0_usize;
    let mut damages = 0_usize;
    for chunk in bytes.utf8_chunks() {
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        damages += usize::from(!chunk.invalid().is_empty());
    }
    let cut_short = error.error_len().is_none() && characters > 0;
    (cut_short || characters > 2 * damages).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// The set was not designated again after a delimiter, or never; or the vendor's superset of it.
fn in_g1(bytes: &[u8], set: GraphicSet) -> Option<String> {
    let exact = if set.is_double_byte() {
        None
    } else {
        bytes
            .iter()
            .map(|byte| match byte {
                0x00..=0x7F => Some(char::from(*byte)),
                0x80..=0x9F => None,
                0xA0..=0xFF => set.decode_one(byte & 0x7F).map(|glyph| glyph.character),
            })
            .collect()
    };
    exact.or_else(|| match set {
        GraphicSet::KsX1001 => entirely(bytes, EUC_KR),
        GraphicSet::Gb2312 => entirely(bytes, GBK),
        _ => None,
    })
}

/// Windows-1252, which is Latin-1 with quotation marks and dashes.
fn western(bytes: &[u8]) -> Option<String> {
    entirely(bytes, WINDOWS_1252)
}

fn japanese(bytes: &[u8]) -> Option<String> {
    let shift_jis = entirely(bytes, SHIFT_JIS);
    let euc_jp = entirely(bytes, EUC_JP);
    let text = match (shift_jis, euc_jp) {
        // Bytes A1 to DF are kana in one and pairs of them kanji in the other. Words of half-width
        // kana are likelier than EUC-JP; half-width kana mixed with rare kanji are not.
        (Some(shift_jis), Some(euc_jp)) => {
            if is_words_of_half_width_kana(&shift_jis) {
                shift_jis
            } else {
                euc_jp
            }
        }
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => return None,
    };
    Some(text.chars().map(jis_code_point).collect())
}

/// Half-width kana beside ASCII only, and such as Japanese writes them: voicing marks and small kana
/// where they can stand (ｶﾞ, ﾊﾟ, ｷｬ; not ﾞｶ or ｱｮ), brackets opened before they are closed, stops after a word. What EUC-JP
/// gives when read as kana mostly breaks one of these.
fn is_words_of_half_width_kana(text: &str) -> bool {
    let mut previous = ' ';
    let mut open_brackets = 0_usize;
    text.chars().all(|character| {
        let fits = match character {
            'ﾞ' => matches!(previous, 'ｳ' | 'ｶ'..='ﾄ' | 'ﾊ'..='ﾎ'),
            'ﾟ' => matches!(previous, 'ﾊ'..='ﾎ'),
            'ｬ' | 'ｭ' | 'ｮ' => matches!(previous, 'ｷ' | 'ｼ' | 'ﾁ' | 'ﾃ' | 'ﾆ' | 'ﾋ' | 'ﾌ' | 'ﾐ' | 'ﾘ' | 'ﾞ' | 'ﾟ'),
            'ｧ'..='ｰ' => matches!(previous, 'ｦ'..='ﾟ'),
            '｢' => {
                open_brackets += 1;
                true
            }
            '｣' => {
                let opened = open_brackets > 0;
                open_brackets = open_brackets.saturating_sub(1);
                opened
            }
            // Every other character of katakana in EUC-JP is read as ･, of hiragana as ､.
            '｡' | '､' | '･' => matches!(previous, 'ｦ'..='ﾟ' | '｣') || previous.is_ascii_alphanumeric(),
            _ => character.is_ascii() || matches!(character, '｡'..='ﾟ'),
        };
        previous = character;
        fits
    })
}

/// The text, if every byte has a character that is neither a control nor for private use.
fn entirely(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let odd = |c: char| matches!(c, '\u{80}'..='\u{9F}' | '\u{E000}'..='\u{F8FF}');
    (!text.chars().any(odd)).then(|| text.into_owned())
}
