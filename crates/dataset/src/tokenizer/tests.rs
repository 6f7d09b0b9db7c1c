use std::fmt::Write as _;

use super::*;

/// Writes what it sees as one line of text, and wants all values and items.
#[derive(Default)]
struct Script {
    text: String,
    items_of_defined_sequences: bool,
}

impl Sink for Script {
    fn element(&mut self, element: &Element) -> Want {
        let vr = element.vr.map(|vr| vr.to_string()).unwrap_or_default();
        write!(self.text, "{}{vr}@{} ", element.tag, element.offset).unwrap();
        match element.vr {
            Some(Vr::SQ) if self.items_of_defined_sequences => Want::Items,
            Some(Vr::SQ) => Want::Nothing,
            _ => Want::Value,
        }
    }

    fn value(&mut self, _element: &Element, value: &[u8]) {
        write!(self.text, "={} ", value.escape_ascii()).unwrap();
    }

    fn too_long(&mut self, _element: &Element) {
        self.text.push_str("=… ");
    }

    fn item_start(&mut self, depth: usize) {
        write!(self.text, "[{depth} ").unwrap();
    }

    fn item_end(&mut self, depth: usize) {
        write!(self.text, "{depth}] ").unwrap();
    }
}

fn tokens(encoding: Encoding, bytes: &[u8], chunk: usize) -> (String, Result<(), TokenError>) {
    let mut script = Script { items_of_defined_sequences: true, ..Script::default() };
    let mut tokenizer = Tokenizer::new(encoding, TokenizerLimits { value_bytes: 1000, ..TokenizerLimits::default() });
    let pushed = bytes.chunks(chunk).try_for_each(|part| tokenizer.push(part, &mut script));
    (script.text.trim_end().to_owned(), pushed.and_then(|()| tokenizer.finish()))
}

#[track_caller]
fn check(encoding: Encoding, bytes: &[u8], expect: &str) {
    for chunk in [bytes.len().max(1), 1, 3] {
        assert_eq!(tokens(encoding, bytes, chunk), (expect.to_owned(), Ok(())), "chunks of {chunk}");
    }
}

#[track_caller]
fn check_error(encoding: Encoding, bytes: &[u8], expect: TokenError) {
    for chunk in [bytes.len().max(1), 1] {
        assert_eq!(tokens(encoding, bytes, chunk).1, Err(expect.clone()), "chunks of {chunk}");
    }
}

use Encoding::{ExplicitBig, ExplicitLittle, ImplicitLittle};

const ITEM_UNDEFINED: &[u8] = b"\xfe\xff\0\xe0\xff\xff\xff\xff";
const ITEM_END: &[u8] = b"\xfe\xff\x0d\xe0\0\0\0\0";
const SEQUENCE_END: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

#[test]
fn reads_the_same_elements_in_every_encoding() {
    check(ExplicitLittle, b"\x08\0\x60\0CS\x02\0CT\x10\0\x10\0PN\0\0", "(0008,0060)CS@0 =CT (0010,0010)PN@10 =");
    check(ExplicitBig, b"\0\x08\0\x60CS\0\x02CT\0\x10\0\x10PN\0\0", "(0008,0060)CS@0 =CT (0010,0010)PN@10 =");
    check(ImplicitLittle, b"\x08\0\x60\0\x02\0\0\0CT\x10\0\x10\0\0\0\0\0", "(0008,0060)@0 =CT (0010,0010)@10 =");
    check(ExplicitLittle, b"", "");
}

#[test]
fn walks_through_sequences_of_both_kinds() {
    let inner = b"\x08\0\0\x01SH\x02\0A ";
    let undefined = [
        b"\x40\0\x43\xa0SQ\0\0\xff\xff\xff\xff",
        ITEM_UNDEFINED,
        inner,
        ITEM_END,
        SEQUENCE_END,
        b"\x40\0\x50\xa0CS\0\0",
    ]
    .concat();
    check(ExplicitLittle, &undefined, "(0040,A043)SQ@0 [1 (0008,0100)SH@20 =A  1] (0040,A050)CS@46 =");
    let defined =
        [&b"\x40\0\x43\xa0SQ\0\0\x12\0\0\0\xfe\xff\0\xe0\x0a\0\0\0"[..], inner, b"\x40\0\x50\xa0CS\0\0"].concat();
    check(ExplicitLittle, &defined, "(0040,A043)SQ@0 [1 (0008,0100)SH@20 =A  1] (0040,A050)CS@30 =");
    // An empty item, and nothing in the sequence.
    let empty = b"\x40\0\x43\xa0SQ\0\0\x08\0\0\0\xfe\xff\0\xe0\0\0\0\0\x40\0\x72\xa3SQ\0\0\0\0\0\0";
    check(ExplicitLittle, empty, "(0040,A043)SQ@0 [1 1] (0040,A372)SQ@20");
}

#[test]
fn unknown_with_undefined_length_is_implicit_inside() {
    // CP-246: the explicit element after it shows that the encoding comes back.
    let bytes = [
        b"\x09\0\x10\x10UN\0\0\xff\xff\xff\xff",
        ITEM_UNDEFINED,
        b"\x09\0\x11\x10\x04\0\0\0abcd",
        ITEM_END,
        SEQUENCE_END,
        b"\x10\0\x20\0LO\x01\x001",
    ]
    .concat();
    check(ExplicitLittle, &bytes, "(0009,1010)UN@0 [1 (0009,1011)@20 =abcd 1] (0010,0020)LO@48 =1");
}

#[test]
fn unknown_value_representations_are_kept() {
    check(ExplicitLittle, b"\x09\0\x10\x10ZZ\0\0\x02\0\0\0ab", "(0009,1010)ZZ@0 =ab");
    check(ExplicitLittle, b"\x09\0\x10\x10??\x02\0ab", "(0009,1010)??@0 =ab");
    let tag = Tag(9, 0x1010);
    check_error(
        ExplicitLittle,
        b"\x09\0\x10\x10\0\0\x02\0ab",
        TokenError::InvalidVr { tag, vr: Vr([0, 0]), offset: 0 },
    );
}

#[test]
fn fragments_are_walked_to_their_delimiter() {
    let begin = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff";
    let fragments = b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\x04\0\0\0abcd";
    let whole = [&begin[..], fragments, SEQUENCE_END, b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0"].concat();
    check(ExplicitLittle, &whole, "(7FE0,0010)OB@0 (FFFC,FFFC)OB@40 =");
    let tag = Some(tag::PIXEL_DATA);
    check_error(ExplicitLittle, &whole[..32], TokenError::Truncated { tag, offset: 32, missing: 8 });
    let tag = Some(tag::ITEM);
    check_error(ExplicitLittle, &whole[..30], TokenError::Truncated { tag, offset: 30, missing: 2 });
}

#[test]
fn a_truncated_data_set_is_told_from_a_whole_one() {
    let bytes = b"\x08\0\x60\0CS\x04\0CTX ";
    for end in 1..bytes.len() {
        let (_, end) = tokens(ExplicitLittle, &bytes[..end], 64);
        assert!(matches!(end, Err(TokenError::Truncated { .. })), "{end:?}");
    }
    // A length that nothing follows must not cost memory.
    let huge = [b"\x08\0\x60\0CS\x02\0CT\x08\0\x05\0OB\0\0\xfe\xff\xff\xff", &[0; 6][..]].concat();
    assert_eq!(huge.len(), 28);
    let missing = 0xffff_fffe - 6;
    check_error(ExplicitLittle, &huge, TokenError::Truncated { tag: Some(Tag(8, 5)), offset: 28, missing });
}

#[test]
fn long_values_are_skipped() {
    let long = [&b"\x08\0\x05\0UT\0\0\xe9\x03\0\0"[..], &[b'x'; 1001], b"\x08\0\x60\0CS\x02\0CT"].concat();
    check(ExplicitLittle, &long, "(0008,0005)UT@0 =… (0008,0060)CS@1013 =CT");
}

#[test]
fn depth_is_limited() {
    let level = [b"\x40\0\x43\xa0SQ\0\0\xff\xff\xff\xff", ITEM_UNDEFINED].concat();
    let deepest = [level.repeat(64), [ITEM_END, SEQUENCE_END].concat().repeat(64)].concat();
    assert_eq!(tokens(ExplicitLittle, &deepest, 100).1, Ok(()));
    let offset = 64 * level.len() as u64;
    check_error(ExplicitLittle, &level.repeat(30_000), TokenError::TooDeep { limit: 64, offset });
}

#[test]
fn a_child_may_not_outgrow_its_parent() {
    let bytes = b"\x40\0\x43\xa0SQ\0\0\x12\0\0\0\xfe\xff\0\xe0\x0a\0\0\0\x08\0\0\x01SH\x04\0ABCD";
    check_error(ExplicitLittle, bytes, TokenError::LongerThanParent { tag: Tag(8, 0x100), offset: 20 });
    let bytes = b"\x40\0\x43\xa0SQ\0\0\x12\0\0\0\xfe\xff\0\xe0\x0c\0\0\0\x08\0\0\x01SH\x04\0ABCD";
    check_error(ExplicitLittle, bytes, TokenError::LongerThanParent { tag: tag::ITEM, offset: 12 });
}

#[test]
fn what_cannot_be_a_data_set_is_refused() {
    check_error(ImplicitLittle, &[0; 64], TokenError::Misplaced { tag: Tag(0, 0), offset: 0 });
    check_error(ExplicitLittle, ITEM_UNDEFINED, TokenError::Misplaced { tag: tag::ITEM, offset: 0 });
    let undefined_text = b"\x10\0\x10\0UT\0\0\xff\xff\xff\xff";
    check_error(ExplicitLittle, undefined_text, TokenError::UndefinedLength { tag: tag::PATIENT_NAME, offset: 0 });
    // One hundred times down and up again is more disorder than any equipment makes.
    let disorder = b"\x10\0\x10\0\0\0\0\0\x08\0\x05\0\0\0\0\0".repeat(101);
    check_error(ImplicitLittle, &disorder, TokenError::Disordered { tag: Tag(8, 5), limit: 100, offset: 100 * 16 + 8 });
}

#[test]
fn tolerates_what_equipment_does() {
    // A stray delimiter, an odd length, some disorder, zero padding.
    let stray =
        [b"\x08\0\x60\0CS\x02\0CT", SEQUENCE_END, b"\x10\0\x20\0LO\x01\x001\x08\0\x70\0LO\0\0", &[0; 20]].concat();
    check(ExplicitLittle, &stray, "(0008,0060)CS@0 =CT (0010,0020)LO@18 =1 (0008,0070)LO@27 =");
    check(ExplicitLittle, b"\x08\0\x60\0CS\x02\0CT\0", "(0008,0060)CS@0 =CT");
    // Delimiters although the lengths are defined.
    let both = [
        &b"\x40\0\x43\xa0SQ\0\0\x22\0\0\0\xfe\xff\0\xe0\x12\0\0\0"[..],
        b"\x08\0\0\x01SH\x02\0A ",
        ITEM_END,
        SEQUENCE_END,
        b"\x40\0\x50\xa0CS\0\0",
    ]
    .concat();
    check(ExplicitLittle, &both, "(0040,A043)SQ@0 [1 (0008,0100)SH@20 =A  1] (0040,A050)CS@46 =");
}

#[test]
fn an_error_stays() {
    let mut tokenizer = Tokenizer::new(ExplicitLittle, TokenizerLimits::default());
    let mut script = Script::default();
    let error = tokenizer.push(ITEM_UNDEFINED, &mut script).unwrap_err();
    assert_eq!(tokenizer.push(b"\x08\0\x60\0CS\x02\0CT", &mut script), Err(error.clone()));
    assert_eq!(tokenizer.finish(), Err(error));
}
