//! The Defined Terms of Specific Character Set (0008,0005), PS3.3 C.12.1.1.2.

use crate::escapes::CodeElement;
use crate::iso2022::Declaration;
use crate::sets::GraphicSet;

/// A value of (0008,0005) that is not a Defined Term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "value {} of specific character set is `{term}`, which is not a defined term of PS3.3 C.12.1.1.2; correct it at the sender or read the text as the default repertoire",
    .index + 1
)]
pub struct UnknownTerm {
    /// The value as received, at most 64 bytes of it, what cannot be shown as U+FFFD.
    pub term: String,
    /// Which value it was, from 0.
    pub index: usize,
}

/// What a declaration comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Repertoire {
    /// Single-byte sets, or several sets with code extensions.
    Iso2022(Declaration),
    Utf8,
    Gb18030,
    Gbk,
}

impl Default for Repertoire {
    fn default() -> Self {
        Repertoire::Iso2022(Declaration::default())
    }
}

/// A set by its number in the ISO registry, as the Defined Terms name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Ir6,
    Ir13,
    Ir58,
    Ir87,
    Ir100,
    Ir101,
    Ir109,
    Ir110,
    Ir126,
    Ir127,
    Ir138,
    Ir144,
    Ir148,
    Ir149,
    Ir159,
    Ir166,
    Ir203,
}

impl Term {
    pub(crate) const ALL: [Term; 17] = [
        Term::Ir6,
        Term::Ir13,
        Term::Ir58,
        Term::Ir87,
        Term::Ir100,
        Term::Ir101,
        Term::Ir109,
        Term::Ir110,
        Term::Ir126,
        Term::Ir127,
        Term::Ir138,
        Term::Ir144,
        Term::Ir148,
        Term::Ir149,
        Term::Ir159,
        Term::Ir166,
        Term::Ir203,
    ];

    fn number(self) -> u16 {
        match self {
            Term::Ir6 => 6,
            Term::Ir13 => 13,
            Term::Ir58 => 58,
            Term::Ir87 => 87,
            Term::Ir100 => 100,
            Term::Ir101 => 101,
            Term::Ir109 => 109,
            Term::Ir110 => 110,
            Term::Ir126 => 126,
            Term::Ir127 => 127,
            Term::Ir138 => 138,
            Term::Ir144 => 144,
            Term::Ir148 => 148,
            Term::Ir149 => 149,
            Term::Ir159 => 159,
            Term::Ir166 => 166,
            Term::Ir203 => 203,
        }
    }

    /// The set the term puts into a code element, if it has one for it.
    pub(crate) fn set(self, element: CodeElement) -> Option<GraphicSet> {
        let (g0, g1) = match self {
            Term::Ir6 => (Some(GraphicSet::Ascii), None),
            Term::Ir13 => (Some(GraphicSet::Romaji), Some(GraphicSet::Katakana)),
            Term::Ir58 => (None, Some(GraphicSet::Gb2312)),
            Term::Ir87 => (Some(GraphicSet::JisX0208), None),
            Term::Ir100 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin1)),
            Term::Ir101 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin2)),
            Term::Ir109 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin3)),
            Term::Ir110 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin4)),
            Term::Ir126 => (Some(GraphicSet::Ascii), Some(GraphicSet::Greek)),
            Term::Ir127 => (Some(GraphicSet::Ascii), Some(GraphicSet::Arabic)),
            Term::Ir138 => (Some(GraphicSet::Ascii), Some(GraphicSet::Hebrew)),
            Term::Ir144 => (Some(GraphicSet::Ascii), Some(GraphicSet::Cyrillic)),
            Term::Ir148 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin5)),
            Term::Ir149 => (None, Some(GraphicSet::KsX1001)),
            Term::Ir159 => (Some(GraphicSet::JisX0212), None),
            Term::Ir166 => (Some(GraphicSet::Ascii), Some(GraphicSet::Thai)),
            Term::Ir203 => (Some(GraphicSet::Ascii), Some(GraphicSet::Latin9)),
        };
        match element {
            CodeElement::G0 => g0,
            CodeElement::G1 => g1,
        }
    }

    /// Multi-byte sets exist only as extensions, never as the first value (Table C.12-4).
    fn is_multi_byte(self) -> bool {
        matches!(self, Term::Ir58 | Term::Ir87 | Term::Ir149 | Term::Ir159)
    }
}

impl Repertoire {
    pub(crate) fn defined_terms(&self) -> String {
        let declaration = match self {
            Repertoire::Iso2022(declaration) => declaration,
            Repertoire::Utf8 => return "ISO_IR 192".to_owned(),
            Repertoire::Gb18030 => return "GB18030".to_owned(),
            Repertoire::Gbk => return "GBK".to_owned(),
        };
        let prefix = if declaration.has_code_extensions() { "ISO 2022 IR" } else { "ISO_IR" };
        let terms: Vec<String> = declaration
            .terms()
            .iter()
            .enumerate()
            .map(|(index, term)| match term {
                Term::Ir6 if index == 0 => String::new(),
                _ => format!("{prefix} {}", term.number()),
            })
            .collect();
        terms.join("\\")
    }
}

/// One value of (0008,0005).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Empty,
    WithoutExtensions(Term),
    WithExtensions(Term),
    Utf8,
    Gb18030,
    Gbk,
}

/// What was read, and what was wrong with it.
pub(crate) struct Parsed {
    pub(crate) repertoire: Repertoire,
    pub(crate) repaired: bool,
    pub(crate) unknown: Option<UnknownTerm>,
}

pub(crate) fn parse(raw: &[u8]) -> Parsed {
    let mut repaired = false;
    let mut unknown = None;
    let mut stand_alone = None;
    let mut terms: Vec<Term> = Vec::new();
    let mut extensions = false;
    let mut without_extensions = false;
    let mut values = 0_usize;

    for (index, value) in raw.split(|byte| *byte == b'\\').enumerate() {
        values += 1;
        let (declared, misspelled) = match read_term(value) {
            Some(read) => read,
            None => {
                unknown.get_or_insert_with(|| UnknownTerm { term: printable(trim(value)), index });
                (Declared::Empty, true)
            }
        };
        repaired |= misspelled;
        let term = match declared {
            Declared::Empty if index == 0 => Term::Ir6,
            Declared::Empty => {
                repaired = true;
                continue;
            }
            Declared::WithoutExtensions(term) => {
                without_extensions = true;
                term
            }
            Declared::WithExtensions(term) => {
                extensions = true;
                term
            }
            Declared::Utf8 => {
                stand_alone.get_or_insert(Repertoire::Utf8);
                continue;
            }
            Declared::Gb18030 => {
                stand_alone.get_or_insert(Repertoire::Gb18030);
                continue;
            }
            Declared::Gbk => {
                stand_alone.get_or_insert(Repertoire::Gbk);
                continue;
            }
        };
        // Without an initial single-byte set the default repertoire is the initial one.
        if terms.is_empty() && term.is_multi_byte() {
            repaired = true;
            terms.push(Term::Ir6);
        }
        if terms.contains(&term) {
            repaired = true;
        } else {
            terms.push(term);
        }
    }

    if let Some(repertoire) = stand_alone {
        return Parsed { repertoire, repaired: repaired || values > 1, unknown };
    }
    if terms.len() > 1 {
        // `ISO_IR 100\ISO 2022 IR 87` can only mean `ISO 2022 IR 100\ISO 2022 IR 87`.
        repaired |= without_extensions;
        extensions = true;
    }
    if terms.as_slice() == [Term::Ir6] {
        extensions = false;
    }
    Parsed { repertoire: Repertoire::Iso2022(Declaration::new(terms, extensions)), repaired, unknown }
}

/// A peer's bytes as a message can show them.
fn printable(value: &[u8]) -> String {
    let start = value.get(..64).unwrap_or(value);
    String::from_utf8_lossy(start)
        .chars()
        .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

fn trim(value: &[u8]) -> &[u8] {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = value.iter().position(|byte| !padding(byte));
    let end = value.iter().rposition(|byte| !padding(byte));
    match (start, end) {
        (Some(start), Some(end)) => value.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

/// One term, and whether it was misspelled.
fn read_term(value: &[u8]) -> Option<(Declared, bool)> {
    let value = trim(value);
    if value.is_empty() {
        return Some((Declared::Empty, false));
    }
    if value.len() > 32 || !value.is_ascii() {
        return None;
    }
    // `ISO_IR 100`, `ISO IR 100`, `iso-ir-100` and `ISO_IR100` are one and the same.
    let letters: String = value
        .iter()
        .filter(|byte| !matches!(byte, b' ' | b'_' | b'-'))
        .map(|byte| char::from(byte.to_ascii_uppercase()))
        .collect();
    let declared = match letters.as_str() {
        "GB18030" | "ISO2022GB18030" => Declared::Gb18030,
        "GBK" | "ISO2022GBK" => Declared::Gbk,
        "UTF8" | "ISOIR192" | "ISO2022IR192" => Declared::Utf8,
        // Names of the same sets outside of DICOM.
        "GB2312" => Declared::Gbk,
        "ASCII" | "USASCII" | "ISO646" => Declared::WithoutExtensions(Term::Ir6),
        "LATIN1" | "ISO88591" => Declared::WithoutExtensions(Term::Ir100),
        "ISO88592" => Declared::WithoutExtensions(Term::Ir101),
        "ISO88593" => Declared::WithoutExtensions(Term::Ir109),
        "ISO88594" => Declared::WithoutExtensions(Term::Ir110),
        "ISO88595" => Declared::WithoutExtensions(Term::Ir144),
        "ISO88596" => Declared::WithoutExtensions(Term::Ir127),
        "ISO88597" => Declared::WithoutExtensions(Term::Ir126),
        "ISO88598" => Declared::WithoutExtensions(Term::Ir138),
        "ISO88599" => Declared::WithoutExtensions(Term::Ir148),
        "ISO885911" => Declared::WithoutExtensions(Term::Ir166),
        "ISO885915" => Declared::WithoutExtensions(Term::Ir203),
        // Half of the set of ISO_IR 13, under its own number.
        "ISOIR14" => Declared::WithoutExtensions(Term::Ir13),
        "ISO2022IR14" => Declared::WithExtensions(Term::Ir13),
        "ISO2022JP" => Declared::WithExtensions(Term::Ir87),
        letters => {
            let (number, with_extensions) = if let Some(number) = letters.strip_prefix("ISO2022IR") {
                (number, true)
            } else if let Some(number) = letters.strip_prefix("ISO2022") {
                (number, true)
            } else {
                (letters.strip_prefix("ISOIR")?, false)
            };
            let term = Term::ALL.into_iter().find(|term| term.number().to_string() == number)?;
            if with_extensions || term.is_multi_byte() {
                Declared::WithExtensions(term)
            } else {
                Declared::WithoutExtensions(term)
            }
        }
    };
    let spelling = match declared {
        Declared::Empty => String::new(),
        // The table without extensions has no term for the default repertoire.
        Declared::WithoutExtensions(Term::Ir6) => String::new(),
        Declared::WithoutExtensions(term) => format!("ISO_IR {}", term.number()),
        Declared::WithExtensions(term) => format!("ISO 2022 IR {}", term.number()),
        Declared::Utf8 => "ISO_IR 192".to_owned(),
        Declared::Gb18030 => "GB18030".to_owned(),
        Declared::Gbk => "GBK".to_owned(),
    };
    Some((declared, value != spelling.as_bytes()))
}
