//! Every character of every set, out and back, beside everything that has a meaning of its own.

use std::collections::BTreeSet;

use dokuei_charset::SpecificCharacterSet;

use crate::declared;

/// The characters that a set has at the codes between two bytes, each code after its designation.
fn characters(terms: &str, designation: &[u8], high: u8, double: bool) -> Vec<char> {
    let set = declared(terms);
    let mut found = Vec::new();
    for first in 0x21..=0x7E_u8 {
        for second in if double { 0x21..=0x7E_u8 } else { 0x21..=0x21 } {
            let code: &[u8] = if double { &[first | high, second | high] } else { &[first | high] };
            let decoded = set.decode_text(&[designation, code].concat());
            if !decoded.repaired {
                found.extend(decoded.value.chars());
            }
        }
    }
    found
}

/// Each character alone, doubled, between letters, in all places of a name and of a multiple value, and at the end of a line.
fn check(terms: &str, characters: &[char], expected: usize) {
    let set = declared(terms);
    assert_eq!(characters.iter().collect::<BTreeSet<_>>().len(), expected, "{terms}");
    for c in characters {
        let is_delimiter = |character: char| matches!(character, '\\' | '^' | '=' | '¥');
        let name = format!("A{c}B^{c}^{c}{c}={c}^{c}X={c}");
        if !is_delimiter(*c) {
            let encoded = set.encode_person_name(&name).unwrap_or_else(|error| panic!("{terms}: {error}"));
            let read = set.decode_person_names(&encoded);
            assert_eq!((read.value.concat(), read.repaired), (name, false), "{terms} {encoded:02x?}");

            let values = [format!("{c}"), "A".to_owned(), format!("{c}{c}"), String::new(), format!("X{c}")];
            let encoded = set.encode_values(&values).unwrap();
            let read = set.decode_values(&encoded);
            assert_eq!((read.value, read.repaired), (values.to_vec(), false), "{terms} {encoded:02x?}");
        }
        let text = format!("{c}\r\n{c}{c}\\\t{c}A\n {c}");
        let text = if terms.contains("IR 13") { text.replace('\\', "") } else { text };
        let encoded = set.encode_text(&text).unwrap();
        let read = set.decode_text(&encoded);
        assert_eq!((read.value, read.repaired), (text, false), "{terms} {encoded:02x?}");
    }
}

#[test]
fn jis_x_0208_under_each_declaration_it_is_used_with() {
    let kanji = characters("\\ISO 2022 IR 87", b"\x1B$B", 0, true);
    for terms in [
        "\\ISO 2022 IR 87",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ISO 2022 IR 100\\ISO 2022 IR 87",
        "\\ISO 2022 IR 87\\ISO 2022 IR 159",
        "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
        "\\ISO 2022 IR 149\\ISO 2022 IR 87",
    ] {
        check(terms, &kanji, 6879);
    }
}

#[test]
fn jis_x_0212_under_each_declaration_it_is_used_with() {
    let kanji = characters("\\ISO 2022 IR 159", b"\x1B$(D", 0, true);
    for terms in
        ["\\ISO 2022 IR 159", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159"]
    {
        check(terms, &kanji, 6067);
    }
}

#[test]
fn jis_x_0201_romaji_and_kana() {
    let romaji = characters("ISO_IR 13", b"", 0, false);
    let kana = characters("ISO_IR 13", b"", 0x80, false);
    assert!(romaji.contains(&'¥') && romaji.contains(&'‾') && !romaji.contains(&'\\'));
    for terms in ["ISO_IR 13", "ISO 2022 IR 13", "ISO 2022 IR 13\\ISO 2022 IR 87"] {
        let set = declared(terms);
        check(terms, &kana, 63);
        for c in &romaji {
            let text = format!("A{c}ｱ{c}");
            let encoded = set.encode_text(&text).unwrap();
            assert_eq!(set.decode_text(&encoded).value, text, "{terms}");
        }
    }
    assert_eq!(romaji.len(), 94);
    check("\\ISO 2022 IR 13", &kana, 63);
    check("ISO 2022 IR 100\\ISO 2022 IR 13", &kana, 63);
}

#[test]
fn korean_and_simplified_chinese() {
    let korean = characters("\\ISO 2022 IR 149", b"\x1B$)C", 0x80, true);
    check("\\ISO 2022 IR 149", &korean, 8224);
    check("ISO 2022 IR 100\\ISO 2022 IR 149", &korean, 8224);
    let chinese = characters("\\ISO 2022 IR 58", b"\x1B$)A", 0x80, true);
    check("\\ISO 2022 IR 58", &chinese, 7445);
    check("GB18030", &chinese, 7445);
    check("GBK", &chinese, 7445);
}

#[test]
fn single_byte_sets_alone_first_and_as_an_extension() {
    // How many characters each has above its no-break space.
    for (number, designation, count) in [
        (100, b"\x1B-A", 94),
        (101, b"\x1B-B", 94),
        (109, b"\x1B-C", 87),
        (110, b"\x1B-D", 94),
        (126, b"\x1B-F", 89),
        (127, b"\x1B-G", 50),
        (138, b"\x1B-H", 57),
        (144, b"\x1B-L", 94),
        (148, b"\x1B-M", 94),
        (166, b"\x1B-T", 87),
        (203, b"\x1B-b", 94),
    ] {
        let alone = format!("ISO_IR {number}");
        let characters = characters(&alone, b"", 0x80, false);
        check(&alone, &characters, count);
        check(&format!("ISO 2022 IR {number}"), &characters, count);
        check(&format!("\\ISO 2022 IR {number}"), &characters, count);
        check(&format!("ISO 2022 IR 13\\ISO 2022 IR {number}"), &characters, count);
        // Designated explicitly, as foreign writers do everywhere.
        let c = characters[0];
        let bytes = [designation.as_slice(), &declared(&alone).encode_text(&c.to_string()).unwrap()].concat();
        assert_eq!(declared(&format!("ISO 2022 IR {number}")).decode_text(&bytes).value, c.to_string());
    }
}

/// Every pair of single-byte sets in one declaration, their characters side by side.
#[test]
fn two_single_byte_sets_change_places_in_one_value() {
    let numbers = [100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203, 13];
    for first in numbers {
        for second in numbers.into_iter().filter(|second| *second != first) {
            let set = declared(&format!("ISO 2022 IR {first}\\ISO 2022 IR {second}"));
            let own: Vec<char> = characters(&format!("ISO_IR {first}"), b"", 0x80, false);
            let other: Vec<char> = characters(&format!("ISO_IR {second}"), b"", 0x80, false);
            let mixed: String = own.iter().zip(&other).map(|(a, b)| format!("{a}{b}A{b}^{a}={b}")).collect();
            let encoded = set.encode_person_name(&mixed).unwrap();
            let read = set.decode_person_names(&encoded);
            assert_eq!((read.value.concat(), read.repaired), (mixed, false), "{first} {second}");
        }
    }
}

#[test]
fn all_of_unicode_in_utf_8_and_gb18030() {
    let utf8 = SpecificCharacterSet::utf8();
    let gb18030 = declared("GB18030");
    let mut refused = Vec::new();
    for c in '\u{A0}'..=char::MAX {
        let text = format!("A{c}");
        let encoded = utf8.encode_text(&text).unwrap();
        assert_eq!(utf8.decode_text(&encoded).value, text);
        match gb18030.encode_text(&text) {
            Ok(encoded) => {
                let read = gb18030.decode_text(&encoded);
                assert_eq!((read.value, read.repaired), (text, false));
            }
            Err(error) => refused.push(error.character),
        }
    }
    // Private use, and what the editions of 2005 and 2022 read differently.
    assert!(refused.len() < 64, "{} {refused:?}", refused.len());
    assert!(refused.iter().all(|c| matches!(c, '\u{E000}'..='\u{F8FF}')), "{refused:?}");
}
