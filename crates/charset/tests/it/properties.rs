//! What holds for all text and all bytes.

use dokuei_charset::SpecificCharacterSet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::declared;

const DECLARATIONS: &[&str] = &[
    "",
    "ISO_IR 13",
    "ISO_IR 100",
    "ISO_IR 126",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159\\ISO 2022 IR 100",
    "\\ISO 2022 IR 149",
    "ISO 2022 IR 100\\ISO 2022 IR 58\\ISO 2022 IR 126",
];

/// Characters of a two-byte set, by decoding every code of the rows given.
fn characters(terms: &str, designation: &[u8], rows: &[std::ops::RangeInclusive<u8>]) -> Vec<char> {
    let set = declared(terms);
    let mut found = Vec::new();
    for row in rows.iter().cloned().flatten() {
        for cell in 1..=94 {
            let code = [designation, &[row + 0x20, cell + 0x20]].concat();
            let decoded = set.decode_text(&code);
            if !decoded.repaired {
                found.extend(decoded.value.chars());
            }
        }
    }
    found
}

/// Lines of words in which `characters` and ASCII change places often.
fn text_of(characters: Vec<char>) -> impl Strategy<Value = String> {
    let ascii: Vec<char> = ('!'..='~').filter(|c| !matches!(c, '\\' | '~')).collect();
    let character = prop_oneof![
        6 => select(characters),
        2 => select(ascii),
        1 => select(vec![' ', '\t', '\n', '\r']),
    ];
    vec(character, 0..40)
        .prop_map(|characters| characters.into_iter().collect::<String>())
        .prop_map(|text| text.trim_end_matches(' ').to_owned())
}

fn check_round_trip(set: &SpecificCharacterSet, text: &str) -> Result<(), TestCaseError> {
    let encoded = set.encode_text(text).expect("characters of the declared sets");
    let decoded = set.decode_text(&encoded);
    prop_assert_eq!(&decoded.value, text);
    prop_assert!(!decoded.repaired);

    let flat: String = text.chars().filter(|c| !c.is_control()).collect();
    let flat = flat.trim_end_matches(' ');
    let encoded = set.encode_person_name(flat).expect("characters of the declared sets");
    let decoded = set.decode_person_names(&encoded);
    prop_assert_eq!(decoded.value.concat(), flat);
    prop_assert!(!decoded.repaired);

    let values: Vec<&str> = flat.split('a').map(|v| v.trim_end_matches(' ')).collect();
    let encoded = set.encode_values(&values).expect("characters of the declared sets");
    let decoded = set.decode_values(&encoded);
    if encoded.is_empty() {
        prop_assert!(decoded.value.is_empty());
    } else {
        prop_assert_eq!(decoded.value, values);
    }
    prop_assert!(!decoded.repaired);
    Ok(())
}

fn check_all(terms: &str, characters: Vec<char>) {
    let set = declared(terms);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&text_of(characters), |text| check_round_trip(&set, &text))
        .unwrap_or_else(|failure| panic!("{terms}: {failure}"));
}

#[test]
fn jis_x_0208_comes_back_as_it_went() {
    let kanji = characters("\\ISO 2022 IR 87", b"\x1B$B", &[1..=8, 16..=84]);
    assert_eq!(kanji.len(), 6879);
    check_all("\\ISO 2022 IR 87", kanji.clone());
    check_all("ISO 2022 IR 13\\ISO 2022 IR 87", kanji);
}

#[test]
fn no_row_outside_jis_x_0208_is_read_without_a_flag() {
    let others = characters("\\ISO 2022 IR 87", b"\x1B$B", &[9..=15, 85..=94]);
    assert_eq!(others, []);
}

#[test]
fn half_width_kana_come_back_as_they_went() {
    check_all("ISO_IR 13", ('｡'..='ﾟ').collect());
    check_all("ISO 2022 IR 13\\ISO 2022 IR 87", ('｡'..='ﾟ').collect());
    check_all("\\ISO 2022 IR 13", ('｡'..='ﾟ').collect());
}

#[test]
fn jis_x_0212_comes_back_as_it_went() {
    let terms = "\\ISO 2022 IR 87\\ISO 2022 IR 159";
    let kanji = characters(terms, b"\x1B$(D", &[1..=94]);
    assert_eq!(kanji.len(), 6067);
    check_all(terms, kanji);
}

#[test]
fn korean_and_chinese_come_back_as_they_went() {
    check_all("\\ISO 2022 IR 149", ('가'..='갿').filter(|c| is_ks_x_1001(*c)).collect());
    check_all("\\ISO 2022 IR 58", "啊阿埃中文张小东一丁七".chars().collect());
    check_all("GB18030", "啊阿埃中文张乗𠮷髙€".chars().collect());
}

fn is_ks_x_1001(character: char) -> bool {
    declared("\\ISO 2022 IR 149").encode_text(&character.to_string()).is_ok()
}

#[test]
fn latin_1_comes_back_as_it_went() {
    check_all("ISO_IR 100", ('\u{A0}'..='ÿ').collect());
    check_all("\\ISO 2022 IR 100\\ISO 2022 IR 126", "éèαβγ".chars().collect());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unicode_comes_back_as_it_went(text in "\\PC{0,40}") {
        let text = text.replace('\\', "");
        let text = text.trim_end_matches(' ');
        check_round_trip(&SpecificCharacterSet::utf8(), text)?;
    }

    /// The encoder of every declaration refuses, or writes what its decoder reads back.
    #[test]
    fn no_encoder_loses_a_character(text in "[ -~¥‾é-ÿα-ωｱ-ﾝ一-龠가-깋]{0,6}") {
        let text = text.trim_end_matches(' ');
        for terms in DECLARATIONS {
            let set = declared(terms);
            if let Ok(encoded) = set.encode_text(text) {
                let decoded = set.decode_text(&encoded);
                prop_assert_eq!(&decoded.value, text, "{}", terms);
                prop_assert!(!decoded.repaired, "{}", terms);
            }
        }
    }

    /// Any bytes under any declaration: no panic, bounded text, no control characters, and nothing
    /// replaced without a flag.
    #[test]
    fn all_bytes_are_survived(
        bytes in vec(
            prop_oneof![
                4 => any::<u8>().prop_map(|byte| vec![byte]),
                1 => select(vec![
                    b"\x1B$B".to_vec(), b"\x1B(B".to_vec(), b"\x1B(J".to_vec(), b"\x1B)I".to_vec(),
                    b"\x1B$(D".to_vec(), b"\x1B$)C".to_vec(), b"\x1B$)A".to_vec(),
                    b"\x1B-F".to_vec(), b"\x1B(I".to_vec(), b"\x1B".to_vec(), b"\\".to_vec(),
                    b"^".to_vec(), b"=".to_vec(), "山田".as_bytes().to_vec(),
                ]),
            ],
            0..60,
        ).prop_map(|pieces| pieces.concat()),
        terms in select(DECLARATIONS),
    ) {
        let set = declared(terms);
        let text = set.decode_text(&bytes);
        check_text(&text.value, text.repaired, bytes.len())?;
        for values in [set.decode_values(&bytes), set.decode_person_names(&bytes)] {
            check_text(&values.value.join("\t"), values.repaired, bytes.len())?;
        }
    }

    #[test]
    fn all_declarations_are_survived(raw in vec(any::<u8>(), 0..80)) {
        let (set, _) = SpecificCharacterSet::parse_lossy(&raw);
        let again = SpecificCharacterSet::parse(set.defined_terms().as_bytes());
        prop_assert_eq!(again, Ok(set));
    }
}

fn check_text(text: &str, repaired: bool, length: usize) -> Result<(), TestCaseError> {
    prop_assert!(text.len() <= 3 * length);
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\x0C' | '\r');
    prop_assert!(!text.chars().any(control), "{:?}", text);
    let replaced = text.contains(char::REPLACEMENT_CHARACTER);
    prop_assert!(repaired || !replaced);
    Ok(())
}

#[test]
fn a_large_hostile_text_is_read_in_one_pass() {
    // Every other byte asks for a second look; quadratic work would not end here.
    let bytes = [b"\x1B)I\x81".as_slice(), &b"\x81\xFF".repeat(500_000)].concat();
    let decoded = declared("ISO_IR 13").decode_text(&bytes);
    assert!(decoded.repaired);
    assert!(decoded.value.len() <= 3 * bytes.len());
}
