//! DICOM text by Specific Character Set (0008,0005), both ways, from raw bytes.
//!
//! What it is: a decoder and a strict encoder for the text of SH, LO, UC, ST, LT, UT and PN under
//! every Defined Term of PS3.3 C.12.1.1.2, with a state machine for ISO/IEC 2022 code extensions
//! (PS3.5 6.1.2.5). The whole value is decoded first and split on delimiters afterwards: in
//! ISO 2022 IR 87, kanji contain the bytes of `\`, `^` and `=`.
//!
//! What it is not: it reads no data sets, pads nothing to even length, folds nothing for search,
//! and logs nothing. It never substitutes: the decoder says when the bytes did not fit their
//! declaration ([`Decoded::repaired`]), the encoder refuses ([`Unrepresentable`]).
//!
//! Rooms: `terms` (the Defined Terms and how (0008,0005) is read), `sets` (graphic character sets
//! and their tables), `escapes` (designations of Table C.12-3 and C.12-4), `iso2022` (the decoding
//! state machine), `whole` (UTF-8, GB18030, GBK), `recover` (what the bytes may be when they do not
//! fit), `encode`, `destination` (which declaration a destination gets).
//!
//! To add a Defined Term: a variant in `terms::Term`, its graphic set in `sets`, its designation in
//! `escapes`; `tests/it/terms.rs` has one line per term.

mod destination;
mod encode;
mod escapes;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod iso2022;
mod recover;
mod sets;
mod terms;
mod whole;

use iso2022::Declaration;
use terms::Repertoire;

pub use destination::{DestinationCharacterSets, DestinationError, Outgoing};
pub use encode::Unrepresentable;
pub use terms::UnknownTerm;

/// The repertoire that a data set declares in Specific Character Set (0008,0005).
///
/// The default is the default repertoire, ISO IR 6 (attribute absent or empty). A sequence item
/// without its own (0008,0005) has that of the data set around it (PS3.3 C.12.1.1.2); the caller
/// passes the right one.
///
/// Two declarations are equal when they mean the same, however they were spelled.
#[derive(Clone, Debug, Default)]
pub struct SpecificCharacterSet {
    repertoire: Repertoire,
    repaired: bool,
}

impl PartialEq for SpecificCharacterSet {
    fn eq(&self, other: &Self) -> bool {
        self.repertoire == other.repertoire
    }
}

impl Eq for SpecificCharacterSet {}

/// Text and whether it can be trusted to be what the sender wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// The text. It has no control characters except TAB, LF, FF and CR.
    pub value: T,
    /// True when the bytes did not fit the declaration: another encoding was recognised (UTF-8,
    /// Shift_JIS, EUC-JP, …), a set was used that was not declared, a vendor's extension character
    /// was met, or something unreadable became U+FFFD. The original bytes stay the truth.
    pub repaired: bool,
}

/// Which delimiters a value has, and therefore where code extensions fall back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SH, LO, UC: `\` separates values.
    Values,
    /// ST, LT, UT: one value, `\` is an ordinary character.
    Text,
    /// PN: `\` separates values, `=` component groups, `^` components.
    PersonName,
}

impl Kind {
    pub(crate) fn is_delimiter(self, byte: u8) -> bool {
        match self {
            Kind::Values => byte == b'\\',
            Kind::Text => false,
            Kind::PersonName => matches!(byte, b'\\' | b'^' | b'='),
        }
    }
}

impl SpecificCharacterSet {
    /// Reads the raw value of (0008,0005): terms separated by `\`, padded with spaces or NUL.
    ///
    /// Spellings that leave no doubt (`ISO IR 100`, `ISO-IR 192`, lower case, a multi-byte set
    /// without the empty first value, a stand-alone set beside others) are accepted; then
    /// [`is_repaired`](Self::is_repaired) is true.
    ///
    /// # Errors
    ///
    /// The first term that is not one of PS3.3 C.12.1.1.2.
    pub fn parse(raw: &[u8]) -> Result<Self, UnknownTerm> {
        let parsed = terms::parse(raw);
        match parsed.unknown {
            Some(unknown) => Err(unknown),
            None => Ok(Self { repertoire: parsed.repertoire, repaired: parsed.repaired }),
        }
    }

    /// As [`parse`](Self::parse), but an unknown term counts as ISO IR 6. The flag says that
    /// something was unknown or misspelled.
    pub fn parse_lossy(raw: &[u8]) -> (Self, bool) {
        let parsed = terms::parse(raw);
        let repaired = parsed.repaired || parsed.unknown.is_some();
        let set = Self { repertoire: parsed.repertoire, repaired };
        (set, repaired)
    }

    /// `ISO_IR 192`: Unicode in UTF-8, no code extensions.
    pub fn utf8() -> Self {
        Self { repertoire: Repertoire::Utf8, repaired: false }
    }

    /// True when the declaration was misspelled, or had unknown terms that were passed over.
    pub fn is_repaired(&self) -> bool {
        self.repaired
    }

    /// The value to write in (0008,0005), correctly spelled; empty for the default repertoire.
    pub fn defined_terms(&self) -> String {
        self.repertoire.defined_terms()
    }

    /// Decodes SH, LO or UC. Values are split on `\` after decoding; trailing spaces and NULs of
    /// each are padding and removed, leading spaces are kept. An element that is empty or only
    /// padding has no value.
    pub fn decode_values(&self, raw: &[u8]) -> Decoded<Vec<String>> {
        self.decode_split(raw, Kind::Values)
    }

    /// Decodes ST, LT or UT: one value, `\` is text, leading spaces are kept and trailing padding
    /// is removed.
    pub fn decode_text(&self, raw: &[u8]) -> Decoded<String> {
        let decoded = self.decode(raw, Kind::Text);
        let mut repaired = decoded.repaired;
        let value = without_padding(&decoded.value, &mut repaired);
        Decoded { value, repaired }
    }

    /// Decodes PN. Values are split on `\`; the component groups (`=`) and components (`^`) stay
    /// in the strings (PS3.5 6.2.1).
    pub fn decode_person_names(&self, raw: &[u8]) -> Decoded<Vec<String>> {
        self.decode_split(raw, Kind::PersonName)
    }

    /// Encodes values of SH, LO or UC and joins them with `\`. Nothing is padded or trimmed.
    ///
    /// # Errors
    ///
    /// The first character that the declared sets cannot carry, among them `\` and every control
    /// character.
    pub fn encode_values<S: AsRef<str>>(&self, values: &[S]) -> Result<Vec<u8>, Unrepresentable> {
        let mut out = Vec::new();
        for (value_index, value) in values.iter().enumerate() {
            if value_index > 0 {
                out.push(b'\\');
            }
            let encoded =
                encode::encode(self, value.as_ref(), Kind::Values).map_err(|error| error.in_value(value_index))?;
            out.extend_from_slice(&encoded);
        }
        Ok(out)
    }

    /// Encodes one value of ST, LT or UT. Nothing is padded or trimmed.
    ///
    /// # Errors
    ///
    /// The first character that the declared sets cannot carry, among them every control character
    /// except TAB, LF, FF and CR.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u8>, Unrepresentable> {
        encode::encode(self, text, Kind::Text)
    }

    /// Encodes one value of PN, with `=` between component groups and `^` between components.
    /// Several encoded names may be joined with the byte `\`: each ends in the initial state.
    ///
    /// # Errors
    ///
    /// The first character that the declared sets cannot carry, among them `\` and every control
    /// character.
    pub fn encode_person_name(&self, name: &str) -> Result<Vec<u8>, Unrepresentable> {
        encode::encode(self, name, Kind::PersonName)
    }

    fn decode(&self, raw: &[u8], kind: Kind) -> Decoded<String> {
        match &self.repertoire {
            Repertoire::Iso2022(declaration) => iso2022::decode(raw, kind, declaration, false),
            // A stand-alone set has no escapes. Where they stand all the same, they are more
            // telling than the declaration.
            _ if escapes::contains_designation(raw) => iso2022::decode(raw, kind, &Declaration::default(), true),
            Repertoire::Utf8 => whole::decode_utf8(raw),
            Repertoire::Gb18030 => whole::decode_gb18030(raw, true),
            Repertoire::Gbk => whole::decode_gb18030(raw, false),
        }
    }

    fn decode_split(&self, raw: &[u8], kind: Kind) -> Decoded<Vec<String>> {
        let decoded = self.decode(raw, kind);
        let mut repaired = decoded.repaired;
        if decoded.value.trim_end_matches(PADDING).is_empty() {
            return Decoded { value: Vec::new(), repaired };
        }
        let value = decoded.value.split('\\').map(|value| without_padding(value, &mut repaired)).collect();
        Decoded { value, repaired }
    }
}

const PADDING: [char; 2] = [' ', '\0'];

/// Decoders leave NUL in the text, because only here it is known whether it is padding.
fn without_padding(value: &str, repaired: &mut bool) -> String {
    let value = value.trim_end_matches(PADDING);
    if value.contains('\0') {
        *repaired = true;
        value.replace('\0', "\u{FFFD}")
    } else {
        value.to_owned()
    }
}
