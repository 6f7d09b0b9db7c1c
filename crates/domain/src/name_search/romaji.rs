//! One Latin spelling for kana and for every way of romanising them.
//!
//! Kana become letters, letters become one spelling (that of Kunrei, since the others fold onto it), and long vowels become short, so that
//! しょうじ, ショージ, SHOJI, Shōji, Syouzi and Shohji meet in `syozi`. Words of other languages pass through the same folds: they lose
//! a little of their difference and nothing of their being found.

/// The vowel that ends the text so far.
fn last_vowel(text: &str) -> Option<char> {
    text.chars().next_back().filter(|letter| is_vowel(*letter))
}

fn is_vowel(letter: char) -> bool {
    matches!(letter, 'a' | 'i' | 'u' | 'e' | 'o')
}

pub(super) fn is_hiragana(character: char) -> bool {
    matches!(character, 'ぁ'..='ゖ' | 'ー')
}

/// A hiragana other than the small ones, っ, ん and ー, in Kunrei spelling.
fn syllable(kana: char) -> &'static str {
    match kana {
        'あ' => "a",
        'い' | 'ゐ' => "i",
        'う' => "u",
        'え' | 'ゑ' => "e",
        'お' | 'を' => "o",
        'か' => "ka",
        'き' => "ki",
        'く' => "ku",
        'け' | 'ゖ' => "ke",
        'こ' => "ko",
        'ゕ' => "ka",
        'が' => "ga",
        'ぎ' => "gi",
        'ぐ' => "gu",
        'げ' => "ge",
        'ご' => "go",
        'さ' => "sa",
        'し' => "si",
        'す' => "su",
        'せ' => "se",
        'そ' => "so",
        'ざ' => "za",
        'じ' | 'ぢ' => "zi",
        'ず' | 'づ' => "zu",
        'ぜ' => "ze",
        'ぞ' => "zo",
        'た' => "ta",
        'ち' => "ti",
        'つ' => "tu",
        'て' => "te",
        'と' => "to",
        'だ' => "da",
        'で' => "de",
        'ど' => "do",
        'な' => "na",
        'に' => "ni",
        'ぬ' => "nu",
        'ね' => "ne",
        'の' => "no",
        'は' => "ha",
        'ひ' => "hi",
        'ふ' => "hu",
        'へ' => "he",
        'ほ' => "ho",
        'ば' => "ba",
        'び' => "bi",
        'ぶ' | 'ゔ' => "bu",
        'べ' => "be",
        'ぼ' => "bo",
        'ぱ' => "pa",
        'ぴ' => "pi",
        'ぷ' => "pu",
        'ぺ' => "pe",
        'ぽ' => "po",
        'ま' => "ma",
        'み' => "mi",
        'む' => "mu",
        'め' => "me",
        'も' => "mo",
        'や' => "ya",
        'ゆ' => "yu",
        'よ' => "yo",
        'ら' => "ra",
        'り' => "ri",
        'る' => "ru",
        'れ' => "re",
        'ろ' => "ro",
        'わ' | 'ゎ' => "wa",
        'ん' => "n",
        _ => "",
    }
}

/// き and its row, which a small や, ゆ or よ may follow.
fn takes_y(kana: char) -> bool {
    matches!(syllable(kana).as_bytes(), [_, b'i'])
}

/// What makes a small kana of one: its vowel and whether a Y-sound goes before it.
fn small(kana: char) -> Option<(&'static str, bool)> {
    Some(match kana {
        'ゃ' => ("a", true),
        'ゅ' => ("u", true),
        'ょ' => ("o", true),
        'ぁ' => ("a", false),
        'ぃ' => ("i", false),
        'ぅ' => ("u", false),
        'ぇ' => ("e", false),
        'ぉ' => ("o", false),
        _ => return None,
    })
}

/// Which large kana are read as the small ones that a system without small kana cannot write.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// ｷﾖｳｺ is きょうこ.
    y_sounds: bool,
    /// ﾊﾂﾄﾘ is はっとり.
    doubled: bool,
}

/// The spellings of a word of hiragana, one for each reading of its large kana; at most four, none twice, the literal one first.
pub(super) fn of_kana(word: &str) -> Vec<String> {
    let mut spellings: Vec<String> = Vec::new();
    for (y_sounds, doubled) in [(false, false), (true, false), (false, true), (true, true)] {
        let spelling = fold(&letters(word, Reading { y_sounds, doubled }));
        if !spelling.is_empty() && !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    }
    spellings
}

fn letters(word: &str, reading: Reading) -> String {
    let kana: Vec<char> = word.chars().collect();
    let mut out = String::with_capacity(2 * kana.len());
    let mut double_next = false;
    for (index, &character) in kana.iter().enumerate() {
        let next = kana.get(index + 1).copied();
        let after_i = index.checked_sub(1).and_then(|before| kana.get(before)).is_some_and(|before| takes_y(*before));
        let read_small = match character {
            'や' if reading.y_sounds && after_i => 'ゃ',
            'ゆ' if reading.y_sounds && after_i => 'ゅ',
            'よ' if reading.y_sounds && after_i => 'ょ',
            'つ' if reading.doubled && next.is_some_and(|next| syllable(next).starts_with(['k', 's', 't', 'p'])) => {
                'っ'
            }
            other => other,
        };
        match read_small {
            'っ' => double_next = true,
            'ー' => out.extend(last_vowel(&out)),
            other => {
                if let Some((vowel, y_sound)) = small(other) {
                    push_small(&mut out, vowel, y_sound);
                } else {
                    let syllable = syllable(other);
                    if double_next {
                        out.extend(syllable.chars().next().filter(|letter| !is_vowel(*letter)));
                    }
                    out.push_str(syllable);
                }
                double_next = false;
            }
        }
    }
    out
}

/// しゃ is s-ya, ふぁ is h-a, じぇ is z-ye, うぃ is w-i.
fn push_small(out: &mut String, vowel: &str, y_sound: bool) {
    let before = last_vowel(out);
    let has_consonant = out.chars().rev().nth(1).is_some_and(|letter| !is_vowel(letter));
    match before {
        Some('i') if has_consonant => {
            out.pop();
            if vowel != "i" {
                out.push('y');
            }
        }
        Some('u' | 'e' | 'o') if has_consonant => {
            out.pop();
            if y_sound {
                out.push('y');
            }
        }
        Some('u') if !y_sound => {
            out.pop();
            out.push('w');
        }
        _ if y_sound => out.push('y'),
        _ => {}
    }
    out.push_str(vowel);
}

/// Folds lower-case letters to the one spelling. What is not a letter of romanised Japanese stays.
pub(super) fn fold(word: &str) -> String {
    let letters: Vec<char> = word.chars().collect();
    let at = |index: usize| letters.get(index).copied();
    let mut spelled = String::with_capacity(word.len());
    let mut index = 0;
    while let Some(letter) = at(index) {
        let next = at(index + 1);
        let mut length = 1;
        match (letter, next) {
            ('s' | 'c', Some('h')) => {
                spelled.push(if letter == 's' { 's' } else { 't' });
                length = 2;
                push_y_before(&mut spelled, at(index + 2));
            }
            // maccha, as matcha
            ('c', Some('c')) if letters[index..].iter().find(|letter| **letter != 'c') == Some(&'h') => {
                spelled.push('t')
            }
            ('t', Some('s')) => {
                spelled.push('t');
                length = 2;
            }
            ('j', _) => {
                spelled.push('z');
                push_y_before(&mut spelled, next);
            }
            ('f', _) => spelled.push('h'),
            ('v', _) => spelled.push('b'),
            ('m', Some('b' | 'm' | 'p')) => spelled.push('n'),
            // Ohno, Satoh, Yuhki: a sign of length, unless it begins a syllable.
            ('h', next) if spelled.ends_with(['o', 'u']) && !next.is_some_and(is_vowel) => {}
            _ => spelled.push(letter),
        }
        index += length;
    }
    shorten(&spelled)
}

fn push_y_before(spelled: &mut String, next: Option<char>) {
    if matches!(next, Some('a' | 'u' | 'e' | 'o')) {
        spelled.push('y');
    }
}

/// Long vowels become short: aa, ii, uu, ee, oo, ou.
fn shorten(word: &str) -> String {
    let mut short = String::with_capacity(word.len());
    for letter in word.chars() {
        let lengthens = match last_vowel(&short) {
            Some(last) => letter == last || (last, letter) == ('o', 'u'),
            None => false,
        };
        if !lengthens {
            short.push(letter);
        }
    }
    short
}

/// What a typed beginning of a word may be the beginning of, beyond its own fold: the last letter may still become part of a sound.
pub(super) fn fold_beginning(word: &str) -> Vec<String> {
    let folded = fold(word);
    let mut beginnings = Vec::new();
    // `hom` of Homma, which folds to honma; `mac` of Maccha, which folds to mattya.
    if let Some(stem) = folded.strip_suffix('m') {
        beginnings.push(format!("{stem}n"));
    }
    let stem = folded.trim_end_matches('c');
    if stem.len() < folded.len() {
        beginnings.push(format!("{stem}{}", "t".repeat(folded.len() - stem.len())));
    }
    beginnings.push(folded);
    beginnings
}

/// As [`of_kana`], for a typed beginning: き may still become きょ.
pub(super) fn of_kana_beginning(word: &str) -> Vec<String> {
    let mut spellings = of_kana(word);
    if word.chars().next_back().is_some_and(takes_y) {
        let with_y: Vec<String> =
            spellings.iter().filter_map(|spelling| Some(format!("{}y", spelling.strip_suffix('i')?))).collect();
        spellings.extend(with_y);
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kana(word: &str) -> String {
        of_kana(word).remove(0)
    }

    #[track_caller]
    fn all_meet(hiragana: &str, romanised: &[&str]) {
        for word in romanised {
            assert_eq!(fold(word), kana(hiragana), "{word}");
        }
    }

    #[test]
    fn the_ways_of_romanising_meet_in_one_spelling() {
        all_meet("たろう", &["taro", "tarou", "taroh", "taroo", "taro"]);
        all_meet("しょうじ", &["shoji", "shouji", "syouzi", "syozi", "shohji", "shozi"]);
        all_meet("ちづる", &["chizuru", "tizuru"]);
        all_meet("つじ", &["tsuji", "tuzi", "tsuzi"]);
        all_meet("ふじた", &["fujita", "huzita", "hujita"]);
        all_meet("じゅんいち", &["junichi", "jyunichi", "zyuniti"]);
        all_meet("ほんま", &["honma", "homma"]);
        all_meet("なんば", &["namba", "nanba"]);
        all_meet("さんぺい", &["sampei", "sanpei"]);
        all_meet("おおの", &["ohno", "oono", "ono"]);
        all_meet("おーの", &["ohno", "oono", "ono"]);
        all_meet("ゆうき", &["yuki", "yuuki", "yuhki"]);
        all_meet("いっしき", &["isshiki", "issiki"]);
        all_meet("はっとり", &["hattori"]);
        all_meet("はっちょう", &["hatcho", "hacchou", "hattyou"]);
        all_meet("いのうえ", &["inoue"]);
        all_meet("きょうこ", &["kyoko", "kyouko", "kyohko"]);
        all_meet("しゃちょう", &["shacho", "syatyou"]);
        all_meet("じぇーん", &["jen"]);
        all_meet("でいゔぃっど", &["deibiddo", "deividdo"]);
        all_meet("うぃりあむ", &["wiriamu"]);
        all_meet("ふぁん", &["fan"]);
        all_meet("かをり", &["kaori"]);
    }

    #[test]
    fn different_names_stay_apart() {
        for (one, other) in
            [("satou", "saitou"), ("ito", "itoi"), ("kato", "gato"), ("ohara", "oara"), ("keiko", "keko")]
        {
            assert_ne!(fold(one), fold(other));
        }
        assert_ne!(kana("きよし"), kana("きょし"));
    }

    #[test]
    fn large_kana_are_also_read_as_small_ones() {
        assert_eq!(of_kana("きようこ"), ["kiyoko", "kyoko"]);
        assert_eq!(of_kana("はつとり"), ["hatutori", "hattori"]);
        assert_eq!(of_kana("いつしき"), ["itusiki", "issiki"]);
        assert_eq!(of_kana("まつもと"), ["matumoto"]);
        assert_eq!(of_kana("いよだ"), ["iyoda"], "an い of its own makes no syllable with よ");
        assert_eq!(of_kana("しようつき"), ["siyotuki", "syotuki", "siyokki", "syokki"]);
        assert!(of_kana("ー").is_empty() && of_kana("っ").is_empty());
    }
}
