use std::collections::BTreeSet;

use super::*;

const YAMADA: &str = "Yamada^Tarou=山田^太郎=やまだ^たろう";

fn finds(typed: &str, name: &str) -> bool {
    let tokens = study_tokens(&PersonName::parse(name), "0001234567", "A-77/3");
    let words = query(typed);
    let is_met = |word: &SearchWord| {
        word.beginnings.iter().any(|beginning| tokens.iter().any(|token| token.starts_with(beginning.as_str())))
    };
    !words.is_empty() && words.iter().all(is_met)
}

#[track_caller]
fn all_find(name: &str, typed: &[&str]) {
    for typed in typed {
        assert!(
            finds(typed, name),
            "{typed} does not find {name}: {:?} in {:?}",
            query(typed),
            tokens(&PersonName::parse(name))
        );
    }
}

#[track_caller]
fn none_finds(name: &str, typed: &[&str]) {
    for typed in typed {
        assert!(!finds(typed, name), "{typed} finds {name}");
    }
}

#[test]
fn a_name_is_found_in_every_script_order_and_width() {
    all_find(
        YAMADA,
        &[
            "やまだ",
            "ヤマダ",
            "ﾔﾏﾀﾞ",
            "YAMADA",
            "Yamada",
            "ｙａｍａｄａ",
            "yamada tarou",
            "yamada taro",
            "taro yamada",
            "TAROU YAMADA",
            "YAMADATARO",
            "山田",
            "山田太郎",
            "山田　太郎",
            "山田 太郎",
            "太郎",
            "太郎山田",
            "やまだたろう",
            "ヤマダタロウ",
            "ヤマダ　タロー",
            "ﾔﾏﾀﾞ ﾀﾛｳ",
            "山田 たろう",
            "Yamada^Tarou",
            "山田^太郎",
            "やまだ太郎",
            "YAMADA, Tarō",
            "や",
            "やま",
            "yam",
            "山",
            "たろ",
            "yamadat",
        ],
    );
    none_finds(YAMADA, &["山口", "やまぐち", "太田", "amada", "田", "yamada jiro", "山田 次郎", "tarouyamadai", ""]);
}

#[test]
fn one_group_is_enough_to_be_found_by_what_it_can_say() {
    // Romaji alone, by kana; kana alone (in the first group, in half width, or without small kana), by romaji.
    all_find("YAMADA^SHOUJI", &["やまだ", "ﾔﾏﾀﾞ ｼﾖｳｼﾞ", "しょうじ", "shoji", "syouzi", "Shōji", "ショージ"]);
    all_find("ﾔﾏﾀﾞ^ｼﾖｳｼﾞ", &["yamada shoji", "しょうじ", "しようじ", "YAMADA"]);
    all_find("=髙橋^﨑子", &["高橋", "髙橋", "高橋崎子", "髙橋﨑子"]);
    all_find("=渡邉^齋", &["渡辺", "渡邊", "渡邉", "渡辺斉", "渡邊 斎"]);
    all_find("=𠮷田^實", &["吉田", "吉田実", "𠮷田 實"]);
    all_find("=葛\u{E0100}城^神", &["葛城", "葛城 神"]);
    all_find("=佐々木^みすゞ", &["佐佐木", "佐々木", "みすず", "ミスズ", "misuzu", "佐々木みすず"]);
    all_find("山田太郎", &["太郎", "山田", "山田 太郎", "太郎 山田"]);
    all_find("山田　太郎", &["太郎", "山田太郎", "太郎山田"]);
    all_find("=一ノ瀬^花", &["一ノ瀬", "一の瀬", "一ﾉ瀬花", "花"]);
    all_find("ｵ-ﾉ^ｼﾞﾛ-", &["おおの", "ohno jiro", "オーノ ジロー", "ono"]);
}

#[test]
fn names_of_other_languages_are_found_without_accents_and_in_their_own_script() {
    all_find("Buc^Jérôme", &["buc", "jerome", "Jérôme", "JEROME BUC", "bucjerome"]);
    all_find("Müller^Jörg", &["muller", "Müller", "jorg", "MULLER JORG"]);
    all_find("O'Brien^Mary-Ann", &["obrien", "O'Brien", "mary", "ann", "maryann", "Mary-Ann"]);
    all_find("Διονυσιος", &["διονύσιος", "ΔΙΟΝΥΣΙΟΣ"]);
    all_find("Люкceмбypг", &["люкceмбypг"]);
    all_find("Hong^Gildong=洪^吉洞=홍^길동", &["hong", "gildong hong", "홍", "길동", "홍길동", "洪吉洞"]);
    all_find("김희중", &["김", "김희중", "희중"]);
    all_find("Wang^XiaoDong=王^小东=", &["王", "小东", "王小东", "wang xiaodong", "xiaodong"]);
    all_find("قباني^لنزار", &["قباني", "لنزار"]);
    all_find("שרון^דבורה", &["שרון"]);
    all_find("^สมชาย^^", &["สมชาย", "สม"]);
    all_find("ジョン・スミス", &["スミス", "ジョン", "sumisu", "ジョンスミス", "jon"]);
}

#[test]
fn identifiers_are_found_by_their_beginning_in_any_width() {
    all_find(
        YAMADA,
        &["0001234567", "１２３４５６７", "1234", "000123", "A-77/3", "a77", "Ａ-77", "山田 1234567", "1234 yamada"],
    );
    none_finds(YAMADA, &["234567", "77", "山田 999", "#"]);
    assert_eq!(study_tokens(&PersonName::default(), "", ""), Vec::<String>::new());
    assert_eq!(study_tokens(&PersonName::default(), "0000", "12 34"), ["#0000", "#1234"]);
}

#[test]
fn tokens_are_few_sorted_and_bounded() {
    assert_eq!(
        tokens(&PersonName::parse(YAMADA)),
        ["taro", "taroyamada", "yamada", "yamadataro", "太郎", "太郎山田", "山田", "山田太郎"]
    );
    assert!(tokens(&PersonName::default()).is_empty());
    assert!(tokens(&PersonName::parse("^^ ^=^")).is_empty());

    let long = "あ い う え お か き つ た ".repeat(100_000);
    let all = study_tokens(
        &PersonName { alphabetic: long.clone(), ideographic: "漢".repeat(1000), phonetic: long.clone() },
        &long,
        &long,
    );
    assert!(all.len() <= MAX_TOKENS, "{}", all.len());
    assert!(all.iter().all(|token| token.chars().count() <= MAX_TOKEN_CHARACTERS));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    let words = query(&long);
    assert_eq!(words.len(), MAX_WORDS);
    assert!(words.iter().all(|word| !word.beginnings.is_empty() && word.beginnings.len() <= 9));
}

#[test]
fn nothing_to_search_for_is_no_word() {
    for typed in ["", "  ", "　", "!!!", "^=", "ー", "っ", "\u{300}"] {
        assert!(query(typed).is_empty(), "{typed:?}: {:?}", query(typed));
    }
}

/// Whatever is typed letter by letter finds the name at every letter.
#[test]
fn every_beginning_of_a_word_finds_it() {
    let names = [
        "matsumoto",
        "homma",
        "hommachi",
        "maccha",
        "hatchobori",
        "shohji",
        "ohno",
        "ohara",
        "yuhki",
        "jun'ichi",
        "schmidt",
        "tsuji",
        "betsy",
        "fujita",
        "victor",
        "emma",
        "chiyo",
        "kyoko",
        "inoue",
        "ouchi",
        "isshiki",
        "abcchdef",
        "ccchh",
        "mmmpp",
        "oohhuuoh",
        "tstsuts",
        "jjjyoshsh",
        "まつもと",
        "きょうこ",
        "はっとり",
        "ｷﾖｳｺ",
        "しょうじ",
        "オーノ",
        "じゅんいち",
        "ちゃんどら",
    ];
    for name in names {
        for end in name.char_indices().map(|(at, _)| at).skip(1).chain([name.len()]) {
            let typed = &name[..end];
            // A mark of doubling or length alone begins nothing.
            if !query(typed).is_empty() {
                assert!(
                    finds(typed, name),
                    "{typed} of {name}: {:?} in {:?}",
                    query(typed),
                    tokens(&PersonName::parse(name))
                );
            }
        }
    }
}

#[test]
fn any_text_is_survived_and_finds_itself() {
    // A deterministic walk over Unicode, in words of a few characters from near and far.
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32((state >> 8) % 0x11_0000).unwrap_or('あ')
    };
    for _ in 0..20_000 {
        let word: String = (0..4).map(|_| next()).collect();
        let found = tokens(&PersonName { alphabetic: word.clone(), ..PersonName::default() });
        let asked = query(&word);
        assert!(found.len() <= MAX_TOKENS && asked.len() <= MAX_WORDS);
        assert!(asked.is_empty() || finds(&word, &word.replace('=', "")), "{word:?}: {asked:?} in {found:?}");
    }
}
