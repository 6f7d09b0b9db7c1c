//! What is promised for any bytes, as a function that the fuzz target calls (folder `fuzz` of the repository) and that panics where the
//! promise is broken. The tests replay the inputs that were kept.

use crate::sets::jis_code_point;
use crate::{Decoded, SpecificCharacterSet};

/// Declarations that the first byte of an input chooses from; one more choice is a declaration from the input itself.
const DECLARATIONS: [&str; 27] = [
    "",
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 109",
    "ISO_IR 110",
    "ISO_IR 144",
    "ISO_IR 127",
    "ISO_IR 126",
    "ISO_IR 138",
    "ISO_IR 148",
    "ISO_IR 203",
    "ISO_IR 13",
    "ISO_IR 166",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 101\\ISO 2022 IR 109\\ISO 2022 IR 110",
    "ISO 2022 IR 144\\ISO 2022 IR 127\\ISO 2022 IR 126\\ISO 2022 IR 138\\ISO 2022 IR 148",
    "ISO 2022 IR 166\\ISO 2022 IR 203\\ISO 2022 IR 13",
    "ISO 2022 IR 100\\ISO 2022 IR 87\\ISO 2022 IR 159\\ISO 2022 IR 149\\ISO 2022 IR 58",
    "ISO 2022 IR 13",
    "\\ISO 2022 IR 159",
];

/// Decodes `input` after its first byte as text of every kind. The text has no control characters that do not belong there, and what can be
/// encoded again is read back as the same text.
pub fn text(input: &[u8]) {
    let Some((selector, rest)) = input.split_first() else { return };
    let (declaration, raw) = match DECLARATIONS.get(usize::from(*selector)) {
        Some(declaration) => (declaration.as_bytes(), rest),
        None => rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(0)),
    };
    let (set, repaired) = SpecificCharacterSet::parse_lossy(declaration);
    assert_eq!(SpecificCharacterSet::parse(declaration).is_ok() && !set.is_repaired(), !repaired);
    let (again, _) = SpecificCharacterSet::parse_lossy(set.defined_terms().as_bytes());
    assert_eq!(again, set, "the terms that would be written mean something else");

    let text = set.decode_text(raw);
    check_characters(&text.value);
    if let Ok(encoded) = set.encode_text(&text.value) {
        check_same(&set.decode_text(&encoded), &text.value, &encoded);
    }
    let values = set.decode_values(raw);
    values.value.iter().for_each(|value| check_characters(value));
    if let Ok(encoded) = set.encode_values(&values.value) {
        let again = set.decode_values(&encoded);
        check_same(
            &Decoded { value: again.value.join("\\"), repaired: again.repaired },
            &values.value.join("\\"),
            &encoded,
        );
    }
    let names = set.decode_person_names(raw);
    for name in names.value {
        check_characters(&name);
        if let Ok(encoded) = set.encode_person_name(&name) {
            let again = set.decode_person_names(&encoded);
            check_same(&Decoded { value: again.value.concat(), repaired: again.repaired }, &name, &encoded);
        }
    }
}

/// The same characters, but for those that JIS and Unicode vendors tell apart and that are written alike.
fn check_same(read: &Decoded<String>, meant: &str, encoded: &[u8]) {
    let folded = |text: &str| text.chars().map(jis_code_point).collect::<String>();
    assert!(!read.repaired, "what was written does not fit its declaration: {encoded:02x?}");
    assert_eq!(folded(&read.value), folded(meant), "read back from {encoded:02x?}");
}

fn check_characters(text: &str) {
    let odd =
        text.chars().find(|character| character.is_control() && !matches!(character, '\t' | '\n' | '\x0c' | '\r'));
    assert_eq!(odd, None, "a control character in {text:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs_break_nothing() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/text");
        let mut replayed = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::text(&std::fs::read(seed.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{seeds} is empty");
    }
}
