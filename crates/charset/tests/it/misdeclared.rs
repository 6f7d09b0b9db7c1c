//! Names as Japanese systems really send them under a wrong or missing declaration; and that what a declaration explains is left alone.

use dokuei_charset::SpecificCharacterSet;
use encoding_rs::{EUC_JP, Encoding, SHIFT_JIS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::declared;

const NAMES: &[&str] = &[
    "サトウ^ハナコ=佐藤^花子",
    "スズキ^イチロウ=鈴木^一郎",
    "タカハシ^ケンジ=高橋^健二",
    "タナカ^ヒョウ=田中^表",
    "ワタナベ^ソノコ=渡辺^園子",
    "イトウ^ミ=伊藤^美",
    "ヤマモト^ノボル=山本^昇",
    "ナカムラ^カイ=中村^海",
    "コバヤシ^ユウキ=小林^優樹",
    "カトウ^ジュウゾウ=加藤^十三",
    "ヨシダ^タケシ=吉田^武",
    "ヤマダ^タロウ=山田^太郎",
    "ササキ^ナオミ=佐々木^直美",
    "ヤマグチ^リョウ=山口^亮",
    "マツモト^キヨシ=松本^清",
    "イノウエ^サクラ=井上^桜",
    "キムラ^ホウ=木村^宝",
    "ハヤシ^シン=林^真",
    "シミズ^メイ=清水^芽衣",
    "ヤマザキ^トモコ=山崎^友子",
    "モリ^オウガイ=森^桜外",
    "イケダ^ソウ=池田^奏",
    "ハシモト^ヨウ=橋本^陽",
    "アベ^ハル=阿部^晴",
    "イシカワ^ゴエモン=石川^五右衛門",
    "ヤジマ^ジュン=矢島^純",
    "マエダ^アイ=前田^愛",
    "フジタ^シゲル=藤田^茂",
    "オガワ^カズ=小川^和",
    "ゴトウ^エミ=後藤^恵美",
];

fn bytes_of(name: &str, encoding: &'static Encoding) -> Vec<u8> {
    let (bytes, _, lost) = encoding.encode(name);
    assert!(!lost, "{name}");
    bytes.into_owned()
}

/// The names that are read otherwise than they were meant. All must be flagged, whatever they are read as.
fn misunderstood(terms: &str, encoding: &'static Encoding, change: fn(&str) -> String) -> Vec<String> {
    let (set, _) = SpecificCharacterSet::parse_lossy(terms.as_bytes());
    let read = |name: &&str| {
        let meant = change(name);
        let decoded = set.decode_person_names(&bytes_of(&meant, encoding));
        assert!(decoded.repaired, "{meant} under `{terms}` is not flagged");
        (decoded.value != [meant.as_str()]).then(|| format!("{meant} under `{terms}`: {:?}", decoded.value))
    };
    NAMES.iter().filter_map(read).collect()
}

#[test]
fn shift_jis_is_always_understood() {
    for terms in [
        "",
        "ISO_IR 6",
        "ISO_IR 100",
        "\\ISO 2022 IR 87",
        "ISO_IR 13",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ISO_IR 192",
        "SHIFT_JIS",
    ] {
        assert_eq!(misunderstood(terms, SHIFT_JIS, str::to_owned), Vec::<String>::new());
        let kanji = |name: &str| name.split('=').nth(1).unwrap().to_owned();
        let mixed = |name: &str| name.replace('=', "^^^=");
        assert_eq!(misunderstood(terms, SHIFT_JIS, mixed), Vec::<String>::new());
        if !matches!(terms, "ISO_IR 100") {
            assert_eq!(misunderstood(terms, SHIFT_JIS, kanji), Vec::<String>::new());
        }
    }
}

/// Its bytes may all be half-width kana, where nothing else is declared; then only what kana cannot be tells them apart.
#[test]
fn euc_jp_is_understood_where_it_can_be_told_from_kana() {
    for terms in ["", "\\ISO 2022 IR 87", "ISO_IR 192", "EUC-JP"] {
        assert_eq!(misunderstood(terms, EUC_JP, str::to_owned), Vec::<String>::new());
    }
}

#[test]
fn utf_8_is_always_understood() {
    // Not under GB18030, which explains most bytes of UTF-8 as other characters.
    for terms in ["", "ISO_IR 13", "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 87", "ISO_IR 144", "UTF8"] {
        let (set, _) = SpecificCharacterSet::parse_lossy(terms.as_bytes());
        for name in NAMES {
            let decoded = set.decode_person_names(name.as_bytes());
            assert_eq!(decoded.value, [*name], "{terms}");
            assert!(decoded.repaired || terms == "UTF8", "{terms}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever else the bytes could be: a declaration that explains all of them is believed.
    #[test]
    fn what_the_declaration_explains_is_never_repaired(
        latin in vec(prop_oneof![0x20..=0x7E_u8, 0xA0..=0xFF_u8], 0..40),
        kana in vec(prop_oneof![0x20..=0x7E_u8, 0xA1..=0xDF_u8], 0..40),
        cyrillic in vec(prop_oneof![0x20..=0x7E_u8, 0xA1..=0xFF_u8], 0..40),
        text in "\\PC{0,20}",
        name in select(NAMES),
        encoding in select(vec![SHIFT_JIS, EUC_JP]),
    ) {
        prop_assert!(!declared("ISO_IR 100").decode_text(&latin).repaired);
        prop_assert!(!declared("ISO_IR 13").decode_text(&kana).repaired);
        prop_assert!(!declared("ISO_IR 144").decode_text(&cyrillic).repaired);
        let text = text.trim_start_matches('\u{FEFF}');
        let decoded = declared("ISO_IR 192").decode_text(text.as_bytes());
        prop_assert_eq!((decoded.value.as_str(), decoded.repaired), (text.trim_end_matches(' '), false));
        // The bytes of a Japanese name that happen to be Latin-1 are Latin-1.
        let bytes = bytes_of(name, encoding);
        let explained = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7E | 0xA0..=0xFF));
        prop_assert_eq!(declared("ISO_IR 100").decode_text(&bytes).repaired, !explained);
    }
}
