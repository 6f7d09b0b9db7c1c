//! How (0008,0005) itself is read and written.

use dokuei_charset::{SpecificCharacterSet, UnknownTerm};

use crate::declared;

#[test]
fn every_defined_term_reads_its_own_set_and_is_written_as_it_was() {
    // One code of each single-byte set, the character it has there, and the escape sequence of
    // Table C.12-3.
    for (number, byte, character, designation) in [
        (100, 0xE9, 'é', b"\x1B-A"),
        (101, 0xB1, 'ą', b"\x1B-B"),
        (109, 0xA1, 'Ħ', b"\x1B-C"),
        (110, 0xA2, 'ĸ', b"\x1B-D"),
        (126, 0xE1, 'α', b"\x1B-F"),
        (127, 0xC7, 'ا', b"\x1B-G"),
        (138, 0xE0, 'א', b"\x1B-H"),
        (144, 0xB0, 'А', b"\x1B-L"),
        (148, 0xFD, 'ı', b"\x1B-M"),
        (166, 0xA1, 'ก', b"\x1B-T"),
        (203, 0xA4, '€', b"\x1B-b"),
        (13, 0xB1, 'ｱ', b"\x1B)I"),
    ] {
        for terms in [format!("ISO_IR {number}"), format!("ISO 2022 IR {number}")] {
            let set = declared(&terms);
            assert_eq!(set.defined_terms(), terms);
            let decoded = set.decode_text(&[byte]);
            assert_eq!(decoded.value, character.to_string(), "{terms}");
            assert!(!decoded.repaired, "{terms}");
            assert_eq!(set.encode_text(&character.to_string()).unwrap(), [byte]);
        }
        // The same set as an extension of the default repertoire: designated, then used.
        let set = declared(&format!("\\ISO 2022 IR {number}"));
        let encoded = set.encode_text(&character.to_string()).unwrap();
        assert_eq!(encoded, [designation.as_slice(), &[byte]].concat(), "{number}");
        assert_eq!(set.decode_text(&encoded).value, character.to_string());
    }
    for (number, character, bytes) in [
        (87, '亜', b"\x1B$B0!\x1B(B".as_slice()),
        (159, '丂', b"\x1B$(D0!\x1B(B"),
        (149, '가', b"\x1B$)C\xB0\xA1"),
        (58, '啊', b"\x1B$)A\xB0\xA1"),
    ] {
        let terms = format!("\\ISO 2022 IR {number}");
        let set = declared(&terms);
        assert_eq!(set.defined_terms(), terms);
        let encoded = set.encode_text(&character.to_string()).unwrap();
        assert_eq!(encoded, bytes, "{terms}");
        assert_eq!(set.decode_text(&encoded).value, character.to_string());
    }
    for terms in ["ISO_IR 192", "GB18030", "GBK"] {
        let set = declared(terms);
        assert_eq!(set.defined_terms(), terms);
        let encoded = set.encode_text("中").unwrap();
        assert_eq!(set.decode_text(&encoded).value, "中");
    }
}

#[test]
fn absent_or_empty_is_the_default_repertoire() {
    for raw in ["", "  ", "\0"] {
        assert_eq!(declared(raw), SpecificCharacterSet::default());
    }
    assert_eq!(SpecificCharacterSet::default().defined_terms(), "");
    assert_eq!(declared("ISO 2022 IR 6"), SpecificCharacterSet::default());
    assert_eq!(declared("ISO_IR 192 "), SpecificCharacterSet::utf8());
}

#[test]
fn an_empty_first_value_is_the_default_repertoire() {
    let explicit = declared("ISO 2022 IR 6\\ISO 2022 IR 87");
    let empty = declared(" \\ISO 2022 IR 87 ");
    assert_eq!(explicit, empty);
    assert_eq!(empty.defined_terms(), "\\ISO 2022 IR 87");
}

#[test]
fn misspellings_that_leave_no_doubt_are_understood_and_flagged() {
    for (written, meant) in [
        ("ISO IR 100", "ISO_IR 100"),
        ("ISO-IR 192", "ISO_IR 192"),
        ("iso_ir 192", "ISO_IR 192"),
        ("ISO_IR192", "ISO_IR 192"),
        ("UTF-8", "ISO_IR 192"),
        ("\\ISO_IR 192", "ISO_IR 192"),
        ("ISO_IR 6", ""),
        ("ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("\\ISO_IR 87", "\\ISO 2022 IR 87"),
        ("ISO 2022-IR 100", "ISO 2022 IR 100"),
        ("ISO_IR 13\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87"),
        ("ISO_IR 13\\ISO_IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87"),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 87", "\\ISO 2022 IR 87"),
        ("ISO_IR 100\\", "ISO_IR 100"),
        ("\\ISO 2022 58", "\\ISO 2022 IR 58"),
        ("ISO 2022 GBK", "GBK"),
        ("ISO-IR 100", "ISO_IR 100"),
        ("ISO_2022_IR_87", "\\ISO 2022 IR 87"),
        ("\\ISO_2022_IR_87\\ISO-2022-IR-159", "\\ISO 2022 IR 87\\ISO 2022 IR 159"),
        ("iso 2022 ir 13\\ iso 2022 ir 87", "ISO 2022 IR 13\\ISO 2022 IR 87"),
        ("latin1", "ISO_IR 100"),
        ("latin_1", "ISO_IR 100"),
        ("ISO 8859-1", "ISO_IR 100"),
        ("ISO8859-5", "ISO_IR 144"),
        ("iso-8859-15", "ISO_IR 203"),
        ("ISO-2022-JP", "\\ISO 2022 IR 87"),
        ("ISO_IR 14", "ISO_IR 13"),
        ("ISO 2022 IR 14\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87"),
        ("GB2312", "GBK"),
        ("US-ASCII", ""),
    ] {
        let set = SpecificCharacterSet::parse(written.as_bytes()).expect(written);
        assert!(set.is_repaired(), "{written}");
        assert_eq!(set.defined_terms(), meant, "{written}");
        assert_eq!(set, declared(meant), "{written}");
        let (lossy, repaired) = SpecificCharacterSet::parse_lossy(written.as_bytes());
        assert_eq!((lossy, repaired), (set, true));
    }
}

#[test]
fn unknown_terms_are_named_or_passed_over() {
    let error = SpecificCharacterSet::parse(b"ISO 2022 IR 6\\ISO_IR 999\\NONSENSE").unwrap_err();
    assert_eq!(error, UnknownTerm { term: "ISO_IR 999".to_owned(), index: 1 });
    assert!(error.to_string().contains("value 2"), "{error}");

    let (set, repaired) = SpecificCharacterSet::parse_lossy(b"NONSENSE\\ISO 2022 IR 87");
    assert!(repaired && set.is_repaired());
    assert_eq!(set, declared("\\ISO 2022 IR 87"));
    let (set, repaired) = SpecificCharacterSet::parse_lossy(b"\xFF\x1B\n");
    assert!(repaired);
    assert_eq!(set, SpecificCharacterSet::default());
    assert!(!SpecificCharacterSet::parse_lossy(b"ISO_IR 100").1);
}

#[test]
fn the_message_about_a_term_is_short_and_printable() {
    let error = SpecificCharacterSet::parse(&[b'\n'; 100_000]).unwrap_err();
    assert!(error.to_string().chars().all(|character| !character.is_control()));
    assert!(error.to_string().len() < 512);
}
