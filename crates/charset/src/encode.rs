//! The strict encoder. It writes what PS3.5 Annex H, I and K show: the initial sets wherever they
//! have the character, otherwise the first declared set that has it, and back to the initial sets
//! before every delimiter, every line end and the end of the value (PS3.5 6.1.2.5.3).

use encoding_rs::{Encoding, GB18030, GBK};

use crate::escapes::{self, CodeElement};
use crate::iso2022::{Declaration, is_text_control};
use crate::sets::{Code, GraphicSet};
use crate::terms::Repertoire;
use crate::{Kind, SpecificCharacterSet};

/// A character that the declared character sets cannot carry. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "character U+{:04X} at position {position} of value {} cannot be written in specific character set `{declared}`; use ISO_IR 192 where the receiver takes it, or another spelling",
    u32::from(*.character), .value_index + 1
)]
pub struct Unrepresentable {
    /// The character.
    pub character: char,
    /// Its position in its value, counted in characters from 0.
    pub position: usize,
    /// Which value it was in, from 0.
    pub value_index: usize,
    /// The declaration, as (0008,0005) would have it.
    pub declared: String,
}

impl Unrepresentable {
    pub(crate) fn in_value(self, value_index: usize) -> Self {
        Self { value_index, ..self }
    }
}

/// Encodes one value.
pub(crate) fn encode(set: &SpecificCharacterSet, text: &str, kind: Kind) -> Result<Vec<u8>, Unrepresentable> {
    let written = match &set.repertoire {
        Repertoire::Iso2022(declaration) => encode_iso2022(text, kind, declaration),
        Repertoire::Utf8 => encode_whole(text, kind, |character, out| {
            let mut buffer = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            true
        }),
        Repertoire::Gb18030 => encode_whole(text, kind, |character, out| push_if_faithful(character, GB18030, out)),
        Repertoire::Gbk => encode_whole(text, kind, |character, out| {
            // encoding_rs has € at 80, where GBK has nothing.
            character != '€' && push_if_faithful(character, GBK, out)
        }),
    };
    written.map_err(|(position, character)| Unrepresentable {
        character,
        position,
        value_index: 0,
        declared: set.defined_terms(),
    })
}

/// Control characters that may stand in text of this kind; all others are refused.
fn is_allowed_control(character: char, kind: Kind) -> bool {
    kind == Kind::Text && u8::try_from(character).is_ok_and(is_text_control)
}

fn encode_whole(text: &str, kind: Kind, push: impl Fn(char, &mut Vec<u8>) -> bool) -> Result<Vec<u8>, (usize, char)> {
    let mut out = Vec::with_capacity(text.len());
    for (position, character) in text.chars().enumerate() {
        let refused = (character.is_control() && !is_allowed_control(character, kind))
            || (character == '\\' && kind != Kind::Text)
            // At the start it would be taken for a byte order mark.
            || (character == '\u{FEFF}' && position == 0);
        if refused || !push(character, &mut out) {
            return Err((position, character));
        }
    }
    Ok(out)
}

/// GB18030 has two editions that differ in a few characters; only what decodes to itself is sent.
fn push_if_faithful(character: char, encoding: &'static Encoding, out: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4];
    let text: &str = character.encode_utf8(&mut buffer);
    let (bytes, _, unmappable) = encoding.encode(text);
    let faithful = !unmappable
        && encoding.decode_without_bom_handling_and_without_replacement(&bytes).is_some_and(|back| back == text);
    if faithful {
        out.extend_from_slice(&bytes);
    }
    faithful
}

fn encode_iso2022(text: &str, kind: Kind, declaration: &Declaration) -> Result<Vec<u8>, (usize, char)> {
    let mut encoder = Encoder {
        kind,
        declaration,
        g0: declaration.initial_g0(),
        g1: declaration.initial_g1(),
        out: Vec::with_capacity(text.len()),
    };
    for (position, character) in text.chars().enumerate() {
        encoder.push(character).ok_or((position, character))?;
    }
    encoder.return_to_initial();
    Ok(encoder.out)
}

struct Encoder<'a> {
    kind: Kind,
    declaration: &'a Declaration,
    g0: GraphicSet,
    g1: Option<GraphicSet>,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn push(&mut self, character: char) -> Option<()> {
        let byte = u8::try_from(character).ok();
        match byte {
            Some(byte) if is_allowed_control(character, self.kind) => {
                self.return_to_initial();
                self.out.push(byte);
                return Some(());
            }
            // Separates values, and is therefore never inside one.
            Some(b'\\') if self.kind != Kind::Text => return None,
            Some(byte) if self.kind.is_delimiter(byte) => {
                self.return_to_initial();
                self.out.push(byte);
                return Some(());
            }
            _ => {}
        }
        let (element, set, code) = self.find(character)?;
        match element {
            CodeElement::G0 => self.designate_g0(set),
            CodeElement::G1 => {
                // Legal without, but readers that decode run by run lose bytes of G1 in a run of
                // kanji.
                if self.g0.is_double_byte() {
                    self.designate_g0(self.declaration.initial_g0());
                }
                self.designate_g1(set);
            }
        }
        let high = if element == CodeElement::G1 { 0x80 } else { 0 };
        match code {
            Code::One(byte) => self.out.push(byte | high),
            Code::Two(first, second) => self.out.extend_from_slice(&[first | high, second | high]),
        }
        Some(())
    }

    /// The first declared set that has the character: the initial ones, then the others in order.
    fn find(&self, character: char) -> Option<(CodeElement, GraphicSet, Code)> {
        self.declaration.terms().iter().find_map(|term| {
            [CodeElement::G0, CodeElement::G1].into_iter().find_map(|element| {
                let set = term.set(element)?;
                let code = set.encode(character)?;
                // ¥ of JIS X 0201 has the code of `\`: it cannot stand where that separates.
                let collides = set.has_delimiters() && matches!(code, Code::One(byte) if self.kind.is_delimiter(byte));
                (!collides).then_some((element, set, code))
            })
        })
    }

    fn designate_g0(&mut self, set: GraphicSet) {
        if self.g0 != set {
            self.g0 = set;
            self.out.extend_from_slice(escapes::sequence_for(CodeElement::G0, set));
        }
    }

    fn designate_g1(&mut self, set: GraphicSet) {
        if self.g1 != Some(set) {
            self.g1 = Some(set);
            self.out.extend_from_slice(escapes::sequence_for(CodeElement::G1, set));
        }
    }

    fn return_to_initial(&mut self) {
        self.designate_g0(self.declaration.initial_g0());
        match self.declaration.initial_g1() {
            Some(set) => self.designate_g1(set),
            // There is no sequence for "nothing"; the set is designated again when needed.
            None => self.g1 = None,
        }
    }
}
