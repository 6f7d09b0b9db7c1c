//! Vectors of PS3.5 Annexes H, I, J and K, and the bytes that collide with delimiters.

use crate::{check_name, declared, hex};

#[test]
fn japanese_name_with_the_default_repertoire_first_h_3_1() {
    check_name(
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        &hex("59 61 6D 61 64 61 5E 54 61 72 6F 75 3D
              1B 24 42 3B 33 45 44 1B 28 42 5E 1B 24 42 42 40 4F 3A 1B 28 42 3D
              1B 24 42 24 64 24 5E 24 40 1B 28 42 5E 1B 24 42 24 3F 24 6D 24 26 1B 28 42"),
    );
}

#[test]
fn japanese_name_with_half_width_kana_first_h_3_2() {
    check_name(
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        &hex("D4 CF C0 DE 5E C0 DB B3 3D
              1B 24 42 3B 33 45 44 1B 28 4A 5E 1B 24 42 42 40 4F 3A 1B 28 4A 3D
              1B 24 42 24 64 24 5E 24 40 1B 28 4A 5E 1B 24 42 24 3F 24 6D 24 26 1B 28 4A"),
    );
}

#[test]
fn korean_name_i_2() {
    check_name(
        "\\ISO 2022 IR 149",
        "Hong^Gildong=洪^吉洞=홍^길동",
        &hex("48 6F 6E 67 5E 47 69 6C 64 6F 6E 67 3D
              1B 24 29 43 FB F3 5E 1B 24 29 43 D1 CE D4 D7 3D
              1B 24 29 43 C8 AB 5E 1B 24 29 43 B1 E6 B5 BF"),
    );
}

#[test]
fn chinese_name_in_utf_8_j_1() {
    check_name(
        "ISO_IR 192",
        "Wang^XiaoDong=王^小東=",
        &hex("57 61 6E 67 5E 58 69 61 6F 44 6F 6E 67 3D E7 8E 8B 5E E5 B0 8F E6 9D B1 3D"),
    );
}

#[test]
fn chinese_name_in_gb18030_j_2() {
    check_name(
        "GB18030",
        "Wang^XiaoDong=王^小东=",
        &hex("57 61 6E 67 5E 58 69 61 6F 44 6F 6E 67 3D CD F5 5E D0 A1 B6 AB 3D"),
    );
}

#[test]
fn chinese_name_with_code_extensions_k_2() {
    check_name(
        "\\ISO 2022 IR 58",
        "Zhang^XiaoDong=张^小东=",
        &hex("5A 68 61 6E 67 5E 58 69 61 6F 44 6F 6E 67 3D
              1B 24 29 41 D5 C5 5E 1B 24 29 41 D0 A1 B6 AB 3D"),
    );
}

#[test]
fn chinese_text_designates_its_set_on_each_line_k_3() {
    let set = declared("\\ISO 2022 IR 58");
    let text = "1. first line 中文.\r\n2. second line 中文, too.\r\n3. third line.\r\n";
    let bytes = b"1. first line \x1B$)A\xD6\xD0\xCE\xC4.\r\n\
                  2. second line \x1B$)A\xD6\xD0\xCE\xC4, too.\r\n3. third line.\r\n";

    let decoded = set.decode_text(bytes);

    assert_eq!(decoded.value, text);
    assert!(!decoded.repaired);
    assert_eq!(set.encode_text(text).unwrap(), bytes);
}

#[test]
fn delimiters_inside_kanji_do_not_split_a_name() {
    // 住 is 3D 3B, 榮 is 5C 46.
    check_name(
        "\\ISO 2022 IR 87",
        "AIZUMI^SAKAE=藍住^榮",
        &hex("41 49 5A 55 4D 49 5E 53 41 4B 41 45 3D
              1B 24 42 4D 75 3D 3B 1B 28 42 5E 1B 24 42 5C 46 1B 28 42"),
    );
    // ぼ is 24 5C, 本 is 4B 5C, 美 is 48 7E.
    check_name("\\ISO 2022 IR 87", "くぼた", b"\x1B$B$/$\\$?\x1B(B");
    check_name("\\ISO 2022 IR 87", "山本^美", b"\x1B$B;3K\\\x1B(B^\x1B$BH~\x1B(B");
}

#[test]
fn every_kanji_with_the_byte_of_a_delimiter_stays_whole() {
    let kana_first = declared("ISO 2022 IR 13\\ISO 2022 IR 87");
    let ascii_first = declared("\\ISO 2022 IR 87");
    for (byte, kanji) in [
        (0x5C, "舘尺移本目榮ぼ"),
        (0x5E, "衿賞図抑ま"),
        (0x3D, "圭能渋判住"),
        (0x7C, "奥厚嘱諦"),
        (0x7E, "美向周朋"),
        (0x26, "愛王界勇"),
    ] {
        for character in kanji.chars() {
            let name = format!("A^B={character}^{character}{character}");
            let value = character.to_string();
            for set in [&kana_first, &ascii_first] {
                let encoded = set.encode_person_name(&name).unwrap();
                assert!(encoded.contains(&byte), "{character} has no {byte:02X}");
                assert_eq!(set.decode_person_names(&encoded).value, [name.as_str()]);

                let values = [value.as_str(), "X", value.as_str()];
                let encoded = set.encode_values(&values).unwrap();
                let decoded = set.decode_values(&encoded);
                assert_eq!(decoded.value, values);
                assert!(!decoded.repaired);
            }
        }
    }
}

#[test]
fn trail_byte_5c_of_gb18030_does_not_split() {
    let decoded = declared("GB18030").decode_values(b"\x81\x5C\\A");
    assert_eq!(decoded.value, ["乗", "A"]);
    assert!(!decoded.repaired);
}

#[test]
fn supplementary_kanji_have_their_own_designation() {
    // 鷗 is JIS X 0212 6C 3F.
    check_name("\\ISO 2022 IR 87\\ISO 2022 IR 159", "森^鷗外", b"\x1B$B?9\x1B(B^\x1B$(Dl?\x1B$B30\x1B(B");
}

#[test]
fn jis_x_0201_alone_has_yen_sign_and_overline() {
    let set = declared("ISO_IR 13");
    let text = set.decode_text(b"\xCC\xA8\xD9\xD1 \x5C100 \x7E");
    assert_eq!(text.value, "ﾌｨﾙﾑ ¥100 ‾");
    assert!(!text.repaired);

    // As a delimiter, 5C is a delimiter in JIS X 0201 too (PS3.5 6.1.2.5.3).
    let values = set.decode_values(b"\xB1\x5C\xB2");
    assert_eq!(values.value, ["ｱ", "ｲ"]);
    assert!(!values.repaired);
}

#[test]
fn backslash_is_text_in_text_and_a_delimiter_in_values() {
    let set = declared("\\ISO 2022 IR 87");
    assert_eq!(set.decode_text(b"a\\b").value, "a\\b");
    assert_eq!(set.decode_values(b"a\\b").value, ["a", "b"]);
}

#[test]
fn delimiters_and_line_ends_fall_back_to_the_initial_sets() {
    let greek_too = declared("ISO 2022 IR 100\\ISO 2022 IR 126");
    // E1 is á in Latin-1 and α in Greek.
    let values = greek_too.decode_values(b"\xE1\x1B-F\xE1\\\xE1");
    assert_eq!(values.value, ["áα", "á"]);
    let name = greek_too.decode_person_names(b"\x1B-F\xE1^\xE1=\xE1");
    assert_eq!(name.value, ["α^á=á"]);
    let text = greek_too.decode_text(b"\x1B-F\xE1\t\xE1\x1B-F\xE1\r\n\xE1\x1B-F\xE1\x0C\xE1");
    assert_eq!(text.value, "α\táα\r\náα\x0Cá");
    assert!(!text.repaired);

    let japanese = declared("\\ISO 2022 IR 87");
    // A line end inside the two-byte set is a line end; the next line is ASCII.
    assert_eq!(japanese.decode_text(b"\x1B$B;3\r\n;3").value, "山\r\n;3");
}

#[test]
fn padding_is_removed_and_leading_spaces_stay() {
    let set = declared("\\ISO 2022 IR 87");
    assert_eq!(set.decode_values(b" a \\b\0").value, [" a", "b"]);
    assert_eq!(set.decode_text(b"  \x1B$B;3\x1B(B  ").value, "  山");
    assert_eq!(set.decode_person_names(b"A^B ").value, ["A^B"]);
    assert_eq!(set.decode_values(b"a\\").value, ["a", ""]);
    for nothing in [b"".as_slice(), b"  ", b"\0\0"] {
        let decoded = set.decode_values(nothing);
        assert!(decoded.value.is_empty());
        assert!(!decoded.repaired);
        assert_eq!(set.decode_text(nothing).value, "");
    }
}
