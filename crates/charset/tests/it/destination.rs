//! One declaration for all texts of a data set, by what its destination reads.

use dokuei_charset::{DestinationCharacterSets, DestinationError, Outgoing};

fn destination(declarations: &[&str]) -> DestinationCharacterSets {
    DestinationCharacterSets::parse(declarations).expect("declarations of defined terms")
}

#[track_caller]
fn gets(destination: &DestinationCharacterSets, texts: &[&str], terms: &str) {
    let outgoing: Vec<_> = texts.iter().map(|text| Outgoing::person_name(text)).collect();
    let chosen = destination.choose(&outgoing).expect("texts that the destination reads");
    assert_eq!(chosen.defined_terms(), terms, "{texts:?}");
    for text in texts {
        let encoded = chosen.encode_person_name(text).unwrap();
        let read = chosen.decode_person_names(&encoded);
        assert_eq!((read.value, read.repaired), (vec![(*text).to_owned()], false));
    }
}

#[track_caller]
fn refuses(destination: &DestinationCharacterSets, texts: &[&str], character: char, index: usize, position: usize) {
    let outgoing: Vec<_> = texts.iter().map(|text| Outgoing::person_name(text)).collect();
    let error = destination.choose(&outgoing).expect_err("a text that the destination does not read");
    assert_eq!((error.character, error.value_index, error.position), (character, index, position), "{texts:?}");
}

#[test]
fn all_texts_of_a_data_set_get_the_first_declaration_that_carries_them() {
    let japanese = destination(&[
        "ISO_IR 100",
        "\\ISO 2022 IR 87",
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    ]);
    gets(&japanese, &[], "");
    gets(&japanese, &["Yamada^Tarou", "CT CHEST"], "");
    gets(&japanese, &["Buc^Jérôme"], "ISO_IR 100");
    gets(&japanese, &["Yamada^Tarou=山田^太郎=やまだ^たろう", "ABC"], "\\ISO 2022 IR 87");
    gets(&japanese, &["ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"], "ISO 2022 IR 13\\ISO 2022 IR 87");
    gets(&japanese, &["山田", "森^鷗外"], "\\ISO 2022 IR 87\\ISO 2022 IR 159");
}

#[test]
fn utf_8_is_used_only_where_it_is_allowed_and_nothing_is_replaced_where_it_is_not() {
    let name = "Takahashi^Ichiro=髙橋^一郎";
    gets(&destination(&["\\ISO 2022 IR 87", "ISO_IR 192"]), &[name], "ISO_IR 192");
    gets(&DestinationCharacterSets::utf8(), &[name, "𠮷野"], "ISO_IR 192");
    gets(&DestinationCharacterSets::utf8(), &["plain"], "");
    gets(&DestinationCharacterSets::japanese(), &["高橋"], "\\ISO 2022 IR 87");
    refuses(&DestinationCharacterSets::japanese(), &[name], '髙', 0, 17);
    refuses(&DestinationCharacterSets::japanese(), &["山田", "森^鷗外"], '鷗', 1, 2);
    refuses(&destination(&["ISO_IR 100"]), &["é", "山"], '山', 1, 0);
    refuses(&destination(&[]), &["é"], 'é', 0, 0);
    // No declaration carries both, so the whole data set is refused.
    refuses(&destination(&["ISO_IR 100", "\\ISO 2022 IR 87"]), &["é", "山"], '山', 1, 0);
}

#[test]
fn what_a_kind_of_text_may_not_have_is_refused_in_every_set() {
    let all = DestinationCharacterSets::utf8();
    assert!(all.choose(&[Outgoing::text("a\\b\r\n"), Outgoing::value("c")]).is_ok());
    for text in
        [Outgoing::value("a\\b"), Outgoing::person_name("a\\b"), Outgoing::value("a\nb"), Outgoing::text("a\u{7}b")]
    {
        assert_eq!(all.choose(&[text]).unwrap_err().position, 1);
    }
}

#[test]
fn what_a_person_declares_of_a_destination_must_be_spelled_right() {
    let error = DestinationCharacterSets::parse(&["ISO_IR 192", "NONSENSE"]).unwrap_err();
    assert!(matches!(error, DestinationError::Unknown { number: 1, .. }), "{error}");
    let error = DestinationCharacterSets::parse(&["ISO 2022 IR 87"]).unwrap_err();
    assert_eq!(error, DestinationError::Misspelled { number: 0, meant: "\\ISO 2022 IR 87".to_owned() });
    assert!(error.to_string().contains("write `\\ISO 2022 IR 87`"), "{error}");
}
