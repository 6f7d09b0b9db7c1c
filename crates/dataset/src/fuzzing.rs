//! What is promised for any bytes, as functions that the fuzz targets call (folder `fuzz` of the repository) and that panic where a promise is
//! broken. The tests replay the inputs that were kept.

use dokuei_domain::TransferSyntaxUid;

use crate::edit::{Edit, splice};
use crate::encoding::{DataSetEncoding, Encoding};
use crate::head::{Head, HeadError, HeadLimits, HeadReader};
use crate::part10::{FileMeta, build_header, parse_header};
use crate::tag;
use crate::tokenizer::{Element, Sink, TokenError, Tokenizer, TokenizerLimits, Want};
use crate::vr::Vr;

/// Chosen from by the first byte of an input.
const TRANSFER_SYNTAXES: [&str; 6] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.113619.5.2",
];

/// Small enough that a short input reaches every one of them.
const LIMITS: TokenizerLimits = TokenizerLimits { value_bytes: 300, depth: 8, disorder: 10 };

/// Reads the bytes after the first two as a data set, once in one piece and once in pieces whose sizes the second byte decides: nothing that
/// comes out may depend on them. What parses is edited and parses again.
pub fn data_set(input: &[u8]) {
    let [selector, seed, data @ ..] = input else { return };
    let Some(uid) = TRANSFER_SYNTAXES.get(usize::from(*selector) % TRANSFER_SYNTAXES.len()) else { return };
    let Ok(transfer_syntax) = TransferSyntaxUid::parse(uid) else { return };

    let whole = head(&transfer_syntax, [data].into_iter());
    assert_eq!(whole, head(&transfer_syntax, Pieces::of(data, *seed)), "the head depends on how the bytes arrive");
    if let Ok(head) = &whole {
        let _ = head.facts(&transfer_syntax);
    }
    let encoding = DataSetEncoding::of(&transfer_syntax);
    if encoding.deflated {
        return;
    }
    let (script, end) = walk(encoding.elements, [data].into_iter());
    let (script_of_pieces, end_of_pieces) = walk(encoding.elements, Pieces::of(data, *seed));
    assert_eq!(script, script_of_pieces, "the elements depend on how the bytes arrive");
    assert_eq!(end, end_of_pieces, "the end depends on how the bytes arrive");
    if let Ok(end) = end {
        assert!(
            end <= data.len() as u64 && script.open == 0,
            "{end} of {} bytes, {} open items",
            data.len(),
            script.open
        );
    }
    edit(&transfer_syntax, data);
}

/// Reads a file's beginning as the header and the rest as its data set; a header that we would write from it is read as the same.
pub fn part10(input: &[u8]) {
    let Ok((meta, begin)) = parse_header(input) else { return };
    let data = input.get(begin..).expect("the data set begins within the file");
    let _ = head(&meta.transfer_syntax, [data].into_iter()).map(|head| head.facts(&meta.transfer_syntax));
    let (Some(sop_class), Some(sop_instance)) = (meta.sop_class.clone(), meta.sop_instance.clone()) else { return };
    let ours = FileMeta {
        sop_class,
        sop_instance,
        transfer_syntax: meta.transfer_syntax.clone(),
        source_ae_title: meta.source_ae_title.clone(),
        receipt: meta.receipt.clone(),
    };
    let header = build_header(&ours);
    let (again, end) = parse_header(&header).expect("a header of ours is read");
    assert_eq!((again, end), (meta, header.len()));
}

fn walk<'d>(encoding: Encoding, mut pieces: impl Iterator<Item = &'d [u8]>) -> (Script, Result<u64, TokenError>) {
    let mut script = Script::default();
    let mut tokenizer = Tokenizer::new(encoding, LIMITS);
    let pushed = pieces.try_for_each(|piece| tokenizer.push(piece, &mut script));
    let end = pushed.and_then(|()| tokenizer.finish()).map(|()| tokenizer.elements_end());
    (script, end)
}

fn head<'d>(transfer_syntax: &TransferSyntaxUid, pieces: impl Iterator<Item = &'d [u8]>) -> Result<Head, HeadError> {
    let limits = HeadLimits { tokenizer: LIMITS, collected_bytes: 2000, inflated_bytes: 1 << 20 };
    let mut reader = HeadReader::new(transfer_syntax, limits);
    for piece in pieces {
        if let Err(error) = reader.push(piece) {
            assert_eq!(reader.push(b"more"), Err(error.clone()), "an error does not stay");
            return Err(error);
        }
    }
    reader.finish()
}

fn edit(transfer_syntax: &TransferSyntaxUid, data: &[u8]) {
    let edits = [Edit::set(tag::PATIENT_ID, Vr::LO, *b"NEW-ID"), Edit::remove(tag::PATIENT_NAME)];
    let Ok(edited) = splice(data, transfer_syntax, &edits) else { return };
    let elements = DataSetEncoding::of(transfer_syntax).elements;
    let mut tokenizer = Tokenizer::new(elements, TokenizerLimits { disorder: u32::MAX, ..TokenizerLimits::default() });
    let walked = tokenizer.push(&edited, &mut Uninterested).and_then(|()| tokenizer.finish());
    assert_eq!(walked, Ok(()), "an edited data set does not parse");
}

/// Cuts bytes into pieces of 1 to 64 bytes, or of up to 4 KiB.
struct Pieces<'d> {
    rest: &'d [u8],
    state: u32,
    mask: u32,
}

impl<'d> Pieces<'d> {
    fn of(rest: &'d [u8], seed: u8) -> Self {
        Self { rest, state: u32::from(seed) | 0x100, mask: if seed.is_multiple_of(2) { 63 } else { 4095 } }
    }
}

impl<'d> Iterator for Pieces<'d> {
    type Item = &'d [u8];

    fn next(&mut self) -> Option<&'d [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = usize::try_from(self.state >> 16 & self.mask).unwrap_or(0) + 1;
        let (piece, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

/// Walks over what has a defined length, as an edit does.
struct Uninterested;

impl Sink for Uninterested {
    fn element(&mut self, _element: &Element) -> Want {
        Want::Nothing
    }

    fn value(&mut self, _element: &Element, _value: &[u8]) {}
}

/// Everything a tokenizer says.
#[derive(Default, PartialEq, Debug)]
struct Script {
    said: Vec<Said>,
    open: usize,
}

#[derive(PartialEq, Debug)]
enum Said {
    Element(Element),
    Value(Vec<u8>),
    TooLong,
    Start(usize),
    End(usize),
}

impl Sink for Script {
    fn element(&mut self, element: &Element) -> Want {
        self.said.push(Said::Element(*element));
        match element.vr {
            Some(Vr::SQ) => Want::Items,
            None if element.tag.element() % 16 == 3 => Want::Items,
            _ if element.tag.is_pixel_data() => Want::Nothing,
            _ => Want::Value,
        }
    }

    fn value(&mut self, element: &Element, value: &[u8]) {
        assert_eq!(element.length, u32::try_from(value.len()).ok(), "a value has another length than announced");
        self.said.push(Said::Value(value.to_vec()));
    }

    fn too_long(&mut self, _element: &Element) {
        self.said.push(Said::TooLong);
    }

    fn item_start(&mut self, depth: usize) {
        self.open += 1;
        self.said.push(Said::Start(depth));
    }

    fn item_end(&mut self, depth: usize) {
        self.open = self.open.checked_sub(1).expect("an item ends that has begun");
        self.said.push(Said::End(depth));
    }
}

#[cfg(test)]
mod tests {
    fn replay(target: &str, run: fn(&[u8])) {
        let seeds = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut replayed = 0;
        for seed in std::fs::read_dir(&seeds).unwrap() {
            run(&std::fs::read(seed.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{seeds} is empty");
    }

    #[test]
    fn kept_inputs_break_nothing() {
        replay("data_set", super::data_set);
        replay("part10", super::part10);
    }
}
