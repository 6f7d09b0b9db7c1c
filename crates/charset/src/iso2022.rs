//! The decoder for single-byte sets and ISO/IEC 2022 code extensions (PS3.5 6.1.2.5).
//!
//! One pass, one state: which set is in G0 and which in G1. Delimiters and line ends fall back to
//! the initial sets, those of the first value of (0008,0005). Delimiters are seen only while G0 is
//! ISO IR 6 or 14, since `\`, `^` and `=` are also halves of kanji.

use crate::escapes::{self, CodeElement, Designation, ESCAPE};
use crate::recover::{self, Hints};
use crate::sets::{Glyph, GraphicSet};
use crate::terms::Term;
use crate::{Decoded, Kind};

const TAB: u8 = 0x09;
const LF: u8 = 0x0A;
const FF: u8 = 0x0C;
const CR: u8 = 0x0D;

pub(crate) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// TAB, LF, FF and CR, the control characters that text may have (PS3.5 6.1.3); ESC never reaches
/// the text.
pub(crate) fn is_text_control(byte: u8) -> bool {
    matches!(byte, TAB | LF | FF | CR)
}

/// The sets of (0008,0005) in their order; the first gives the initial G0 and G1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    terms: Vec<Term>,
    code_extensions: bool,
}

impl Default for Declaration {
    fn default() -> Self {
        Declaration::new(vec![Term::Ir6], false)
    }
}

impl Declaration {
    pub(crate) fn new(terms: Vec<Term>, code_extensions: bool) -> Self {
        Self { terms, code_extensions }
    }

    pub(crate) fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub(crate) fn has_code_extensions(&self) -> bool {
        self.code_extensions
    }

    pub(crate) fn initial_g0(&self) -> GraphicSet {
        self.terms.first().and_then(|term| term.set(CodeElement::G0)).unwrap_or(GraphicSet::Ascii)
    }

    pub(crate) fn initial_g1(&self) -> Option<GraphicSet> {
        self.terms.first()?.set(CodeElement::G1)
    }

    /// Whether the declaration announces this designation. The default repertoire always belongs
    /// to a declaration with code extensions: writers of `ISO 2022 IR 13\ISO 2022 IR 87` return to
    /// it as often as to ISO IR 14.
    fn announces(&self, designation: &Designation) -> bool {
        let Designation { element, set, .. } = *designation;
        self.code_extensions
            && designation.is_standard()
            && (set == GraphicSet::Ascii || self.terms.iter().any(|term| term.set(element) == Some(set)))
    }

    /// What bytes may be that this declaration does not explain.
    fn hints(&self, last_g1: Option<GraphicSet>) -> Hints {
        let declared_g1 = self.terms.iter().find_map(|term| term.set(CodeElement::G1));
        Hints {
            set: last_g1.or(declared_g1),
            japanese: self
                .terms
                .iter()
                .all(|term| matches!(term, Term::Ir6 | Term::Ir13 | Term::Ir87 | Term::Ir100 | Term::Ir159)),
            western: matches!(self.initial_g1(), None | Some(GraphicSet::Latin1)),
        }
    }
}

/// Decodes a whole value, delimiters included. NUL is left for the caller, who knows whether it is
/// padding. The text is at most three times as long as the bytes.
///
/// `misdeclared` says that the declaration is a guess of the caller: the result counts as repaired.
pub(crate) fn decode(raw: &[u8], kind: Kind, declaration: &Declaration, misdeclared: bool) -> Decoded<String> {
    let mut decoder = Decoder {
        raw,
        kind,
        declaration,
        position: 0,
        g0: declaration.initial_g0(),
        g1: declaration.initial_g1(),
        last_g1: None,
        segment: Segment::default(),
        given_up_until: 0,
        out: String::with_capacity(raw.len()),
        repaired: misdeclared,
    };
    decoder.run();
    Decoded { value: decoder.out, repaired: decoder.repaired }
}

/// Where the text since the last escape sequence began, in bytes and in text. When a byte does not
/// fit, everything from there on is looked at again as a whole.
#[derive(Clone, Copy, Default)]
struct Segment {
    raw_start: usize,
    out_start: usize,
}

struct Decoder<'a> {
    raw: &'a [u8],
    kind: Kind,
    declaration: &'a Declaration,
    position: usize,
    g0: GraphicSet,
    g1: Option<GraphicSet>,
    /// The last set designated to G1 in this value, which senders expect to outlive a delimiter.
    last_g1: Option<GraphicSet>,
    segment: Segment,
    /// No second look before this position: recovery was tried and failed. Keeps the work linear.
    given_up_until: usize,
    out: String,
    repaired: bool,
}

impl Decoder<'_> {
    fn run(&mut self) {
        while let Some(&byte) = self.raw.get(self.position) {
            match byte {
                ESCAPE => self.escape(),
                0x00 | b' ' => self.push(char::from(byte), 1),
                TAB | LF | FF | CR => {
                    self.push(char::from(byte), 1);
                    if !self.g0.has_delimiters() {
                        self.begin_segment();
                    }
                    self.fall_back();
                }
                0x01..=0x1F | 0x7F => self.replace(),
                0x21..=0x7E => self.left(byte),
                0x80..=0xFF => self.right(byte),
            }
        }
    }

    fn push(&mut self, character: char, length: usize) {
        self.out.push(character);
        self.position += length;
    }

    fn push_glyph(&mut self, glyph: Glyph, length: usize) {
        self.repaired |= !glyph.standard;
        self.push(glyph.character, length);
    }

    fn replace(&mut self) {
        self.repaired = true;
        self.push(REPLACEMENT, 1);
    }

    fn fall_back(&mut self) {
        self.g0 = self.declaration.initial_g0();
        self.g1 = self.declaration.initial_g1();
    }

    fn begin_segment(&mut self) {
        self.segment = Segment { raw_start: self.position, out_start: self.out.len() };
    }

    /// The byte after the current one, if it can be the second half of a double-byte code.
    fn second_byte(&self, range: std::ops::RangeInclusive<u8>) -> Option<u8> {
        let next = *self.raw.get(self.position + 1)?;
        range.contains(&next).then_some(next)
    }

    fn escape(&mut self) {
        let rest = self.raw.get(self.position..).unwrap_or_default();
        let Some(designation) = escapes::designation_at(rest) else {
            // Unknown: the escape is marked, what follows is shown as text.
            self.replace();
            return;
        };
        self.repaired |= !self.declaration.announces(designation);
        self.position += designation.sequence.len();
        match designation.element {
            CodeElement::G0 => self.g0 = designation.set,
            CodeElement::G1 => {
                self.g1 = Some(designation.set);
                self.last_g1 = self.g1;
            }
        }
        self.begin_segment();
    }

    /// A byte for the set in G0.
    fn left(&mut self, byte: u8) {
        if self.g0.is_double_byte() {
            let glyph = self.second_byte(0x21..=0x7E).and_then(|second| self.g0.decode_two(byte, second));
            match glyph {
                Some(glyph) => self.push_glyph(glyph, 2),
                // A pair without a character is one mark, so that the pairs after it stay whole.
                None => {
                    let length = 1 + usize::from(self.second_byte(0x21..=0x7E).is_some());
                    self.repaired = true;
                    self.push(REPLACEMENT, length);
                }
            }
        } else if self.g0.has_delimiters() && self.kind.is_delimiter(byte) {
            self.push(char::from(byte), 1);
            self.fall_back();
        } else {
            match self.g0.decode_one(byte) {
                Some(glyph) => self.push_glyph(glyph, 1),
                None => self.replace(),
            }
        }
    }

    /// A byte for the set in G1.
    fn right(&mut self, byte: u8) {
        let decoded = match self.g1 {
            None => None,
            Some(set) if set.is_double_byte() => self
                .second_byte(0xA1..=0xFE)
                .and_then(|second| set.decode_two(byte & 0x7F, second & 0x7F))
                .filter(|_| byte >= 0xA1)
                .map(|glyph| (glyph, 2)),
            Some(set) => match byte {
                0xA0..=0xFF => set.decode_one(byte & 0x7F).map(|glyph| (glyph, 1)),
                _ => None,
            },
        };
        match decoded {
            Some((glyph, length)) => self.push_glyph(glyph, length),
            None => self.recover(),
        }
    }

    /// A byte that its set does not have. The bytes between two escape sequences were written in
    /// one encoding; if it can be recognised, the text from the last escape sequence is replaced.
    fn recover(&mut self) {
        if self.position < self.given_up_until || !self.g0.has_delimiters() {
            self.replace();
            return;
        }
        let end = self
            .raw
            .iter()
            .skip(self.position)
            .position(|byte| *byte == ESCAPE)
            .map_or(self.raw.len(), |length| self.position + length);
        let segment = self.raw.get(self.segment.raw_start..end).unwrap_or_default();
        match recover::recognise(segment, self.declaration.hints(self.last_g1)) {
            Some(text) => {
                self.repaired = true;
                self.out.truncate(self.segment.out_start);
                self.out.push_str(&text);
                self.position = end;
                self.fall_back();
                self.begin_segment();
            }
            None => {
                self.given_up_until = end;
                self.replace();
            }
        }
    }
}
