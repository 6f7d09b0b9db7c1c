//! Bytes that do not fit their declaration: recognised where possible, flagged always.

use dokuei_charset::SpecificCharacterSet;

use crate::hex;

#[track_caller]
fn recovers_name(terms: &str, bytes: &[u8], name: &str) {
    let (set, _) = SpecificCharacterSet::parse_lossy(terms.as_bytes());
    let decoded = set.decode_person_names(bytes);
    assert_eq!(decoded.value, [name], "under `{terms}`");
    assert!(decoded.repaired, "{name} was not flagged under `{terms}`");
}

/// ヤマダ^ソノコ=山本^表子 in Shift_JIS: ソ is 83 5C, 表 is 95 5C.
const SHIFT_JIS: &str = "83 84 83 7D 83 5F 5E 83 5C 83 6D 83 52 3D 8E 52 96 7B 5E 95 5C 8E 71";

#[test]
fn shift_jis_is_recognised_under_every_declaration_it_is_found_under() {
    for terms in ["", "ISO_IR 13", "ISO 2022 IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 87", "ISO_IR 100", "ISO_IR 192"] {
        recovers_name(terms, &hex(SHIFT_JIS), "ヤマダ^ソノコ=山本^表子");
    }
}

#[test]
fn shift_jis_values_are_split_after_decoding() {
    let set = SpecificCharacterSet::default();
    let decoded = set.decode_values(b"\x95\x5C\\\x83\x5C\\A");
    assert_eq!(decoded.value, ["表", "ソ", "A"]);
    assert!(decoded.repaired);
}

#[test]
fn euc_jp_is_recognised_where_nothing_is_declared() {
    // 鈴木^花子=すずき^はなこ
    let bytes = hex("CE EB CC DA 5E B2 D6 BB D2 3D A4 B9 A4 BA A4 AD 5E A4 CF A4 CA A4 B3");
    recovers_name("", &bytes, "鈴木^花子=すずき^はなこ");
    recovers_name("\\ISO 2022 IR 87", &bytes, "鈴木^花子=すずき^はなこ");
}

#[test]
fn half_width_kana_without_declaration_are_kana() {
    recovers_name("", b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3", "ﾔﾏﾀﾞ^ﾀﾛｳ");
    recovers_name("", b"\xC4\xB7", "ﾄｷ");
    recovers_name("\\ISO 2022 IR 87", b"\xD4\xCF\xC0\xDE=\x1B$B;3\x1B(B", "ﾔﾏﾀﾞ=山");
}

#[test]
fn euc_jp_whose_bytes_are_all_kana_is_told_by_impossible_kana() {
    // As kana: ﾆ｣, ｰﾋ, ｾｮ, ﾞ after ｱ.
    for (bytes, name) in [
        (b"\xBA\xB4\xC6\xA3".as_slice(), "佐藤"),
        (b"\xB0\xCB\xC5\xC4", "伊田"),
        (b"\xBE\xAE\xCE\xD3", "小林"),
        (b"\xB1\xDE", "厭"),
    ] {
        recovers_name("", bytes, name);
    }
    // Possible kana are kana, although these bytes are also 山田.
    recovers_name("", b"\xBB\xB3\xC5\xC4", "ｻｳﾅﾄ");
    recovers_name("", b"\xA2\xB7\xAC\xB8\xDE\xCA\xDF\xA3", "｢ｷｬｸﾞﾊﾟ｣");
}

#[test]
fn utf_8_is_recognised_under_other_declarations() {
    let name = "Yamada^Tarou=山田^太郎=やまだ^たろう";
    for terms in ["", "ISO_IR 13", "ISO_IR 100", "\\ISO 2022 IR 87", "GB18030", "ISO_IR 144"] {
        recovers_name(terms, name.as_bytes(), name);
    }
    recovers_name("", "Müller".as_bytes(), "Müller");
}

#[test]
fn utf_8_cut_in_the_middle_of_a_character_loses_only_that() {
    let mut bytes = "山田太郎".as_bytes().to_vec();
    bytes.pop();
    recovers_name("ISO_IR 192", &bytes, "山田太\u{FFFD}");
    recovers_name("", &bytes, "山田太\u{FFFD}");
}

#[test]
fn undeclared_latin_1_is_readable() {
    recovers_name("", b"Buc^J\xE9r\xF4me", "Buc^Jérôme");
    recovers_name("ISO_IR 192", b"Buc^J\xE9r\xF4me", "Buc^Jérôme");
}

#[test]
fn a_declaration_that_fits_is_believed() {
    // These bytes are also valid UTF-8, and EUC-JP.
    let set = crate::declared("ISO_IR 100");
    for (bytes, text) in [(b"\xC3\xA9".as_slice(), "Ã©"), (b"\xBB\xB3\xC5\xC4", "»³ÅÄ")] {
        let decoded = set.decode_text(bytes);
        assert_eq!(decoded.value, text);
        assert!(!decoded.repaired);
    }
}

#[test]
fn escape_sequences_speak_for_themselves() {
    let bytes = b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B";
    for terms in ["", "ISO_IR 100", "ISO_IR 192", "GB18030", "ISO 2022 IR 100"] {
        recovers_name(terms, bytes, "Yamada^Tarou=山田^太郎");
    }
    // Without `ISO 2022` in its term, not even the declared set may be designated.
    recovers_name("ISO_IR 100", b"\xE9\x1B-A\xE9", "éé");
    // JIS C 6226-1978, and half-width kana in seven bits.
    recovers_name("\\ISO 2022 IR 87", b"\x1B$@;3K\\\x1B(J", "山本");
    recovers_name("\\ISO 2022 IR 87", b"\x1B(I1^3\x1B(B", "ｱﾞｳ");
}

#[test]
fn vendor_extension_kanji_are_read_and_flagged() {
    // 7C62 is IBM's 髙 as NEC places it, 2D21 is NEC's ①.
    recovers_name("\\ISO 2022 IR 87", b"\x1B$B|b66\x1B(B", "髙橋");
    recovers_name("\\ISO 2022 IR 87", b"\x1B$B-!\x1B(B", "①");
}

#[test]
fn what_gbk_does_not_have_is_flagged() {
    // € of Windows, 𠮷 in the four bytes of GB18030.
    recovers_name("GBK", b"\x80", "€");
    recovers_name("GB18030", b"\x80", "€");
    let four_bytes = crate::declared("GB18030").encode_text("𠮷").unwrap();
    recovers_name("GBK", &four_bytes, "𠮷");
    assert!(!crate::declared("GB18030").decode_text(&four_bytes).repaired);
}

#[test]
fn a_set_of_g1_that_was_not_designated_again_is_still_meant() {
    recovers_name("\\ISO 2022 IR 149", b"Hong^Gildong=\x1B$)C\xFB\xF3^\xD1\xCE\xD4\xD7", "Hong^Gildong=洪^吉洞");
    recovers_name("\\ISO 2022 IR 149", b"\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동");
    recovers_name("\\ISO 2022 IR 58", b"\xD5\xC5^\xD0\xA1\xB6\xAB", "张^小东");
    recovers_name("\\ISO 2022 IR 100", b"J\xE9r\xF4me", "Jérôme");
}

#[test]
fn what_is_not_recognised_is_marked_in_place() {
    recovers_name("\\ISO 2022 IR 87", b"A\x1B$B;3\x7E\x7E;3\x1B(BB", "A山\u{FFFD}山B");
    recovers_name("\\ISO 2022 IR 87", b"\x1B$B;3K\x1B(B", "山\u{FFFD}");
    recovers_name("\\ISO 2022 IR 87", b"A\x1B%GB", "A\u{FFFD}%GB");
    recovers_name("ISO_IR 144", b"\xB0\x81\xB0", "А\u{FFFD}А");
    recovers_name("\\ISO 2022 IR 87", b"A\x1B", "A\u{FFFD}");
    recovers_name("ISO_IR 192", b"A\x07\xC2\x9B\x00B", "A\u{FFFD}\u{FFFD}\u{FFFD}B");
    recovers_name("", b"A\0B\x0E", "A\u{FFFD}B\u{FFFD}");
}
