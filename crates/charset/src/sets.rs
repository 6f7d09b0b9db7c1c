//! Graphic character sets: one code of 7-bit bytes, one character.
//!
//! Tables come from encoding_rs, whose sets are the vendors' supersets; `is_standard` narrows them
//! to what the registered set has.

use std::sync::LazyLock;

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_15, WINDOWS_874, WINDOWS_1254,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphicSet {
    /// ISO IR 6.
    Ascii,
    /// ISO IR 14, JIS X 0201 romaji: ASCII with ¥ at 5C and ‾ at 7E.
    Romaji,
    /// ISO IR 13, JIS X 0201 katakana.
    Katakana,
    /// ISO IR 100.
    Latin1,
    /// ISO IR 101.
    Latin2,
    /// ISO IR 109.
    Latin3,
    /// ISO IR 110.
    Latin4,
    /// ISO IR 144.
    Cyrillic,
    /// ISO IR 127.
    Arabic,
    /// ISO IR 126.
    Greek,
    /// ISO IR 138.
    Hebrew,
    /// ISO IR 148.
    Latin5,
    /// ISO IR 203.
    Latin9,
    /// ISO IR 166, TIS 620-2533.
    Thai,
    /// ISO IR 87.
    JisX0208,
    /// ISO IR 159.
    JisX0212,
    /// ISO IR 149.
    KsX1001,
    /// ISO IR 58.
    Gb2312,
}

/// A code in seven bits, that is, without saying whether it stands in G0 or G1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    One(u8),
    Two(u8, u8),
}

/// One character and whether the registered set has it at that code (otherwise: a vendor's
/// extension).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glyph {
    pub(crate) character: char,
    pub(crate) standard: bool,
}

impl GraphicSet {
    pub(crate) fn is_double_byte(self) -> bool {
        matches!(self, GraphicSet::JisX0208 | GraphicSet::JisX0212 | GraphicSet::KsX1001 | GraphicSet::Gb2312)
    }

    /// ISO IR 6 or 14: where `\`, `^` and `=` are what they look like.
    pub(crate) fn has_delimiters(self) -> bool {
        matches!(self, GraphicSet::Ascii | GraphicSet::Romaji)
    }

    /// Decodes a single-byte code, 20 to 7F.
    pub(crate) fn decode_one(self, code: u8) -> Option<Glyph> {
        if !(0x20..=0x7F).contains(&code) {
            return None;
        }
        let upper = code | 0x80;
        let (character, standard) = match self {
            GraphicSet::Ascii => ((code < 0x7F).then(|| char::from(code))?, true),
            GraphicSet::Romaji => match code {
                0x5C => ('¥', true),
                0x7E => ('‾', true),
                0x7F => return None,
                _ => (char::from(code), true),
            },
            GraphicSet::Katakana => match code {
                0x21..=0x5F => (char::from_u32(0xFF40 + u32::from(code))?, true),
                _ => return None,
            },
            GraphicSet::Latin1 => (char::from(upper), true),
            _ => {
                let encoding = self.single_byte_encoding()?;
                let bytes = [upper];
                let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes)?;
                (text.chars().next()?, !self.was_added_later(upper))
            }
        };
        Some(Glyph { character, standard })
    }

    /// Decodes a double-byte code, each byte 21 to 7E.
    pub(crate) fn decode_two(self, first: u8, second: u8) -> Option<Glyph> {
        let position = position_of(first, second)?;
        let character = *self.table()?.characters.get(position)?;
        (character != '\0').then(|| Glyph { character, standard: self.has_standard_code(first, second) })
    }

    /// The code of a character, only within the registered set.
    pub(crate) fn encode(self, character: char) -> Option<Code> {
        match self {
            GraphicSet::Ascii => ascii(character).map(Code::One),
            GraphicSet::Romaji => match character {
                '¥' => Some(Code::One(0x5C)),
                '‾' => Some(Code::One(0x7E)),
                '\\' | '~' => None,
                _ => ascii(character).map(Code::One),
            },
            GraphicSet::Katakana => match u32::from(character) {
                scalar @ 0xFF61..=0xFF9F => u8::try_from(scalar - 0xFF40).ok().map(Code::One),
                _ => None,
            },
            GraphicSet::Latin1 => match u32::from(character) {
                scalar @ 0xA0..=0xFF => u8::try_from(scalar & 0x7F).ok().map(Code::One),
                _ => None,
            },
            _ if self.is_double_byte() => self.table()?.code_of(character),
            _ => {
                let mut buffer = [0; 4];
                let text: &str = character.encode_utf8(&mut buffer);
                let (bytes, _, unmappable) = self.single_byte_encoding()?.encode(text);
                match (bytes.as_ref(), unmappable) {
                    ([byte @ 0xA0..=0xFF], false) if !self.was_added_later(*byte) => Some(Code::One(byte & 0x7F)),
                    _ => None,
                }
            }
        }
    }

    fn single_byte_encoding(self) -> Option<&'static Encoding> {
        Some(match self {
            GraphicSet::Latin2 => ISO_8859_2,
            GraphicSet::Latin3 => ISO_8859_3,
            GraphicSet::Latin4 => ISO_8859_4,
            GraphicSet::Cyrillic => ISO_8859_5,
            GraphicSet::Arabic => ISO_8859_6,
            GraphicSet::Greek => ISO_8859_7,
            GraphicSet::Hebrew => ISO_8859_8,
            // Equal to ISO 8859-9 from A0 on, which is all that is asked here.
            GraphicSet::Latin5 => WINDOWS_1254,
            GraphicSet::Latin9 => ISO_8859_15,
            // Equal to TIS 620 from A1 to FB.
            GraphicSet::Thai => WINDOWS_874,
            _ => return None,
        })
    }

    /// Codes that ISO 8859 got after the set was registered for DICOM: € ₯ ͺ in Greek (2003), the
    /// direction marks in Hebrew (1999), NO-BREAK SPACE in Thai.
    fn was_added_later(self, upper: u8) -> bool {
        match self {
            GraphicSet::Greek => matches!(upper, 0xA4 | 0xA5 | 0xAA),
            GraphicSet::Hebrew => matches!(upper, 0xFD | 0xFE),
            GraphicSet::Thai => upper == 0xA0,
            _ => false,
        }
    }

    /// Whether the registered set itself has the code, as opposed to NEC, IBM, Microsoft or a later
    /// edition.
    fn has_standard_code(self, first: u8, second: u8) -> bool {
        let row = first.wrapping_sub(0x20);
        let cell = second.wrapping_sub(0x20);
        match self {
            // Row 13 is NEC's, rows 89 to 92 are IBM's as NEC chose them.
            GraphicSet::JisX0208 => matches!(row, 1..=8 | 16..=84),
            GraphicSet::JisX0212 => true,
            // € and ® came in 1998, the postal mark in 2002.
            GraphicSet::KsX1001 => !(row == 2 && matches!(cell, 70..=72)),
            GraphicSet::Gb2312 => match row {
                1 | 3 | 16..=54 | 56..=87 => true,
                2 => matches!(cell, 17..=66 | 69..=78 | 81..=92),
                4 => cell <= 83,
                5 => cell <= 86,
                6 => matches!(cell, 1..=24 | 33..=56),
                7 => matches!(cell, 1..=33 | 49..=81),
                8 => matches!(cell, 1..=26 | 37..=73),
                9 => matches!(cell, 4..=79),
                55 => cell <= 89,
                _ => false,
            },
            _ => false,
        }
    }

    fn table(self) -> Option<&'static DoubleByteTable> {
        static JIS_X_0208: LazyLock<DoubleByteTable> =
            LazyLock::new(|| DoubleByteTable::build(GraphicSet::JisX0208, EUC_JP, &[]));
        static JIS_X_0212: LazyLock<DoubleByteTable> =
            LazyLock::new(|| DoubleByteTable::build(GraphicSet::JisX0212, EUC_JP, &[0x8F]));
        static KS_X_1001: LazyLock<DoubleByteTable> =
            LazyLock::new(|| DoubleByteTable::build(GraphicSet::KsX1001, EUC_KR, &[]));
        static GB_2312: LazyLock<DoubleByteTable> =
            LazyLock::new(|| DoubleByteTable::build(GraphicSet::Gb2312, GBK, &[]));
        match self {
            GraphicSet::JisX0208 => Some(&JIS_X_0208),
            GraphicSet::JisX0212 => Some(&JIS_X_0212),
            GraphicSet::KsX1001 => Some(&KS_X_1001),
            GraphicSet::Gb2312 => Some(&GB_2312),
            _ => None,
        }
    }
}

fn ascii(character: char) -> Option<u8> {
    match character {
        ' '..='~' => u8::try_from(character).ok(),
        _ => None,
    }
}

const CELLS: usize = 94;

fn position_of(first: u8, second: u8) -> Option<usize> {
    match (first, second) {
        (0x21..=0x7E, 0x21..=0x7E) => Some(usize::from(first - 0x21) * CELLS + usize::from(second - 0x21)),
        _ => None,
    }
}

/// JIS X 0208 characters that Microsoft (and with it encoding_rs and every Japanese input method)
/// maps to another code point than JIS does: (Microsoft's, JIS's). The glyph is the same. Decoding
/// gives JIS's; encoding takes both. Nothing else is ever folded.
pub(crate) const JIS_X_0208_VARIANTS: [(char, char); 7] = [
    ('\u{FF5E}', '\u{301C}'), // 〜
    ('\u{FF0D}', '\u{2212}'), // −
    ('\u{2225}', '\u{2016}'), // ‖
    ('\u{2014}', '\u{2015}'), // — : here both write U+2015
    ('\u{FFE0}', '\u{00A2}'), // ¢
    ('\u{FFE1}', '\u{00A3}'), // £
    ('\u{FFE2}', '\u{00AC}'), // ¬
];

/// JIS's code point for a character of JIS X 0208 as Microsoft maps it.
pub(crate) fn jis_code_point(character: char) -> char {
    JIS_X_0208_VARIANTS.iter().find(|(variant, _)| *variant == character).map_or(character, |(_, jis)| *jis)
}

struct DoubleByteTable {
    /// By position, row by row; NUL where there is no character.
    characters: Vec<char>,
    /// Standard codes only, sorted by character.
    codes: Vec<(char, (u8, u8))>,
}

impl DoubleByteTable {
    fn build(set: GraphicSet, encoding: &'static Encoding, prefix: &[u8]) -> Self {
        let mut characters = Vec::with_capacity(CELLS * CELLS);
        let mut codes = Vec::new();
        for first in 0x21..=0x7E_u8 {
            for second in 0x21..=0x7E_u8 {
                let bytes = [prefix, &[first | 0x80, second | 0x80]].concat();
                let character = encoding
                    .decode_without_bom_handling_and_without_replacement(&bytes)
                    .and_then(|text| {
                        let mut characters = text.chars();
                        characters.next().filter(|_| characters.next().is_none())
                    })
                    .map(|character| match set {
                        GraphicSet::JisX0208 => jis_code_point(character),
                        // Microsoft's reading again: the cell is TILDE.
                        GraphicSet::JisX0212 if character == '\u{FF5E}' => '~',
                        _ => character,
                    });
                characters.push(character.unwrap_or('\0'));
                if let Some(character) = character
                    && set.has_standard_code(first, second)
                {
                    codes.push((character, (first, second)));
                }
            }
        }
        if set == GraphicSet::JisX0208 {
            for (variant, jis) in JIS_X_0208_VARIANTS {
                let code = codes.iter().find(|(character, _)| *character == jis);
                if let Some((_, code)) = code.copied() {
                    codes.push((variant, code));
                }
            }
        }
        // Stable, so that the lowest code wins where a character has two.
        codes.sort_by_key(|(character, _)| *character);
        codes.dedup_by_key(|(character, _)| *character);
        Self { characters, codes }
    }

    fn code_of(&self, character: char) -> Option<Code> {
        let index = self.codes.binary_search_by_key(&character, |(character, _)| *character).ok()?;
        self.codes.get(index).map(|(_, (first, second))| Code::Two(*first, *second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard_characters(set: GraphicSet) -> usize {
        set.table().map_or(0, |table| table.codes.len())
    }

    #[test]
    fn double_byte_sets_have_exactly_the_characters_of_their_standards() {
        let variants = JIS_X_0208_VARIANTS.len();
        assert_eq!(standard_characters(GraphicSet::JisX0208), 6879 + variants);
        assert_eq!(standard_characters(GraphicSet::JisX0212), 6067);
        assert_eq!(standard_characters(GraphicSet::KsX1001), 8224);
        assert_eq!(standard_characters(GraphicSet::Gb2312), 7445);
    }

    #[test]
    fn every_standard_code_encodes_to_itself() {
        for set in [GraphicSet::JisX0208, GraphicSet::JisX0212, GraphicSet::KsX1001, GraphicSet::Gb2312] {
            for first in 0x21..=0x7E {
                for second in 0x21..=0x7E {
                    let Some(glyph) = set.decode_two(first, second) else {
                        continue;
                    };
                    if glyph.standard {
                        let code = set.encode(glyph.character);
                        assert_eq!(code, Some(Code::Two(first, second)), "{set:?} {glyph:?}");
                    }
                }
            }
        }
    }
}
