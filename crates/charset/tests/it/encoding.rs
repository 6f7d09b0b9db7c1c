//! What the encoder refuses, folds, and announces.

use dokuei_charset::SpecificCharacterSet;

use crate::declared;

#[track_caller]
fn refuses(terms: &str, text: &str, character: char, position: usize) {
    let error = declared(terms).encode_text(text).expect_err(text);
    assert_eq!((error.character, error.position), (character, position));
    assert_eq!(error.declared, terms);
}

#[test]
fn vendor_extensions_and_later_characters_are_refused_not_replaced() {
    let japanese = "\\ISO 2022 IR 87";
    refuses(japanese, "髙橋", '髙', 0);
    refuses(japanese, "山﨑", '﨑', 1);
    refuses(japanese, "①", '①', 0);
    refuses(japanese, "㈱", '㈱', 0);
    refuses(japanese, "森鷗外", '鷗', 1);
    refuses(japanese, "𠮷田", '𠮷', 0);
    refuses(japanese, "葛\u{E0100}", '\u{E0100}', 1);
    refuses(japanese, "ｱ", 'ｱ', 0);
    refuses(japanese, "é", 'é', 0);
    refuses("", "山", '山', 0);
    refuses("ISO_IR 100", "€", '€', 0);
    refuses("ISO_IR 126", "€", '€', 0);
    refuses("ISO_IR 13", "山", '山', 0);
    refuses("ISO_IR 13", "a\\b", '\\', 1);
    refuses("ISO_IR 13", "~", '~', 0);
    refuses("GBK", "€", '€', 0);
    refuses("GBK", "𠮷", '𠮷', 0);
}

#[test]
fn the_error_says_which_value_and_what_to_do() {
    let error = declared("\\ISO 2022 IR 87").encode_values(&["山田", "髙橋"]).unwrap_err();
    assert_eq!((error.value_index, error.position, error.character), (1, 0, '髙'));
    let message = error.to_string();
    assert!(message.contains("U+9AD9") && message.contains("value 2"), "{message}");
    assert!(message.contains("ISO_IR 192"), "{message}");
}

#[test]
fn only_variants_of_one_glyph_are_folded() {
    let set = declared("\\ISO 2022 IR 87");
    for (written, read) in
        [("〜～", "〜〜"), ("−－", "−−"), ("‖∥", "‖‖"), ("—―", "――"), ("¢￠", "¢¢"), ("£￡", "££"), ("¬￢", "¬¬")]
    {
        let encoded = set.encode_text(written).expect(written);
        assert_eq!(set.decode_text(&encoded).value, read);
    }
    for character in ["¥", "‾", "Ａ\u{302}", "–", "·"] {
        assert!(set.encode_text(character).is_err(), "{character}");
    }
}

#[test]
fn delimiters_and_control_characters_are_no_text() {
    for terms in ["\\ISO 2022 IR 87", "ISO_IR 192", "GB18030", "ISO_IR 13"] {
        let set = declared(terms);
        assert!(set.encode_values(&["a\\b"]).is_err());
        assert!(set.encode_person_name("a\\b").is_err());
        for control in ["\0", "\x1B", "\x7F", "\u{85}"] {
            assert!(set.encode_text(control).is_err(), "{terms} {control:?}");
        }
        for control in ["\t", "\n", "\x0C", "\r"] {
            assert!(set.encode_text(control).is_ok(), "{terms} {control:?}");
            assert!(set.encode_values(&[control]).is_err());
            assert!(set.encode_person_name(control).is_err());
        }
    }
    // ¥ of JIS X 0201 has the code of the delimiter.
    let kana = declared("ISO_IR 13");
    assert_eq!(kana.encode_text("¥100").unwrap(), b"\x5C100");
    assert!(kana.encode_values(&["¥100"]).is_err());
    assert!(kana.encode_person_name("¥").is_err());
}

#[test]
fn values_are_joined_and_each_ends_in_the_initial_state() {
    let set = declared("\\ISO 2022 IR 87");
    let encoded = set.encode_values(&["山", "", "本A"]).unwrap();
    assert_eq!(encoded, b"\x1B$B;3\x1B(B\\\\\x1B$BK\\\x1B(BA");
    assert_eq!(set.decode_values(&encoded).value, ["山", "", "本A"]);
    assert_eq!(set.encode_values::<&str>(&[]).unwrap(), b"");
}

#[test]
fn line_ends_are_in_the_initial_sets() {
    let set = declared("ISO 2022 IR 13\\ISO 2022 IR 87");
    let encoded = set.encode_text("胸部CT\r\n肺").unwrap();
    assert_eq!(encoded, b"\x1B$B6;It\x1B(JCT\r\n\x1B$BGY\x1B(J");
}

#[test]
fn the_second_set_of_g1_is_left_before_a_delimiter() {
    let set = declared("ISO 2022 IR 100\\ISO 2022 IR 126");
    let encoded = set.encode_person_name("éα^é").unwrap();
    assert_eq!(encoded, b"\xE9\x1B-F\xE1\x1B-A^\xE9");
    let decoded = set.decode_person_names(&encoded);
    assert_eq!(decoded.value, ["éα^é"]);
    assert!(!decoded.repaired);
}

#[test]
fn half_width_kana_after_kanji_leave_the_two_byte_set_first() {
    let set = declared("ISO 2022 IR 13\\ISO 2022 IR 87");
    let encoded = set.encode_text("山ｱ").unwrap();
    assert_eq!(encoded, b"\x1B$B;3\x1B(J\xB1");
}

#[test]
fn utf_8_carries_everything_that_is_text() {
    let set = SpecificCharacterSet::utf8();
    let name = "Takahashi^Ichiro=髙橋^一郎=たかはし^いちろう";
    assert_eq!(set.encode_person_name(name).unwrap(), name.as_bytes());
    let text = "𠮷野家 ①㈱\r\n\t葛\u{E0100}";
    let encoded = set.encode_text(text).unwrap();
    assert_eq!(set.decode_text(&encoded).value, text);
}
