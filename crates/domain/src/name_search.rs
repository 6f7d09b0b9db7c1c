//! Finding people by name in whatever script and spelling somebody types it.
//!
//! A name becomes [`tokens`] when it is filed, what is typed becomes [`query`] words, and a study is found when each word is the beginning of
//! one of its tokens. Both sides go through the same folds: compatibility forms and widths (ﾔﾏﾀﾞ), case, accents, katakana, small kana and
//! marks of length, variants of kanji (髙), and every romanisation of kana. What is folded together is found together: the fold may find too
//! much, never too little, and serves the search alone.
//!
//! To add a fold: `kanji` for a variant, `romaji` for a spelling, `fold_character` for the rest; then raise [`VERSION`].

mod kanji;
mod romaji;

use unicode_normalization::{UnicodeNormalization as _, char as unicode};

use crate::PersonName;

/// Of the folds. Tokens that were stored under a lower one are made again.
pub const VERSION: i64 = 1;

/// A study has no more tokens than this. A name of three groups has about ten.
pub const MAX_TOKENS: usize = 64;

/// No token and no beginning has more characters.
pub const MAX_TOKEN_CHARACTERS: usize = 64;

/// What is typed beyond this many words is not searched for.
pub const MAX_WORDS: usize = 8;

const MAX_CHARACTERS: usize = 256;

/// Begins the tokens of identifiers; no token of a name does.
const IDENTIFIER: char = '#';

/// One word of what was typed: it matches a token that begins with any of these. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchWord {
    pub beginnings: Vec<String>,
}

/// The tokens of a name: of each group the components, their words, and the whole name in both orders. Sorted, each once, bounded by
/// [`MAX_TOKENS`]. A group may be in any script: senders write kana into the first and kanji into the third.
pub fn tokens(name: &PersonName) -> Vec<String> {
    let mut found = Tokens::default();
    for group in [&name.alphabetic, &name.ideographic, &name.phonetic] {
        found.add_group(group);
    }
    found.sorted()
}

/// The tokens of a study: of the patient's name, and of Patient ID and Accession Number with and without leading zeros.
pub fn study_tokens(name: &PersonName, patient_id: &str, accession_number: &str) -> Vec<String> {
    let mut found = Tokens::default();
    for identifier in [patient_id, accession_number] {
        let folded = identifier_of(identifier);
        found.add_identifier(&folded);
        found.add_identifier(folded.trim_start_matches('0'));
    }
    for group in [&name.alphabetic, &name.ideographic, &name.phonetic] {
        found.add_group(group);
    }
    found.sorted()
}

/// The words of what somebody typed: a name in any script and order, the beginning of one, a Patient ID, an Accession Number. Empty when
/// there is nothing in it to search for.
pub fn query(typed: &str) -> Vec<SearchWord> {
    let text = normalised(typed);
    let mut words: Vec<SearchWord> = Vec::new();
    for word in text.split([' ', '^', '=', ',', '、', '・', '*', '?']) {
        let word: String = word.chars().filter(|character| is_of_word(*character)).collect();
        let runs = runs(&word);
        let is_one = runs.len() == 1;
        for (script, run) in runs {
            let mut beginnings = match script {
                Script::Kana => romaji::of_kana_beginning(run),
                Script::Latin => romaji::fold_beginning(run),
                Script::Other => vec![run.to_owned()],
            };
            if beginnings.is_empty() {
                continue;
            }
            if is_one {
                beginnings.push(format!("{IDENTIFIER}{run}"));
            }
            let beginnings = beginnings.into_iter().map(|beginning| clipped(&beginning)).collect();
            let word = SearchWord { beginnings };
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.truncate(MAX_WORDS);
    words
}

#[derive(Default)]
struct Tokens(Vec<String>);

impl Tokens {
    fn add(&mut self, token: &str) {
        let token = clipped(token);
        if !token.is_empty() && self.0.len() < MAX_TOKENS && !self.0.contains(&token) {
            self.0.push(token);
        }
    }

    fn add_identifier(&mut self, folded: &str) {
        if !folded.is_empty() {
            self.add(&format!("{IDENTIFIER}{folded}"));
        }
    }

    fn add_group(&mut self, group: &str) {
        let text = normalised(group);
        let components: Vec<Vec<String>> = text.split('^').map(words).filter(|words| !words.is_empty()).collect();
        // Without ^ the words stand for the components.
        let parts: Vec<String> = match components.as_slice() {
            [only] => only.clone(),
            several => several.iter().map(|words| words.concat()).collect(),
        };
        if let [only] = parts.as_slice() {
            self.add_ends(only);
        }
        if let [first, rest @ ..] = parts.as_slice()
            && !rest.is_empty()
        {
            self.add_text(&parts.concat());
            self.add_text(&format!("{}{first}", rest.concat()));
        }
        for words in &components {
            self.add_text(&words.concat());
            words.iter().for_each(|word| self.add_text(word));
        }
    }

    /// A text without separators, script by script.
    fn add_text(&mut self, text: &str) {
        for (script, run) in runs(text) {
            match script {
                Script::Kana => romaji::of_kana(run).iter().for_each(|spelling| self.add(spelling)),
                Script::Latin => self.add(&romaji::fold(run)),
                Script::Other => self.add(run),
            }
        }
    }

    /// Where nobody wrote a space between family and given name, 山田太郎 is to be found by 太郎 too.
    fn add_ends(&mut self, word: &str) {
        let is_one_run = matches!(runs(word).as_slice(), [(Script::Other, _)]);
        let length = word.chars().count();
        if is_one_run && (3..=8).contains(&length) {
            for (start, _) in word.char_indices().skip(1) {
                self.add(&word[start..]);
            }
        }
    }

    fn sorted(mut self) -> Vec<String> {
        self.0.sort();
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Script {
    Kana,
    /// Letters a to z and digits.
    Latin,
    Other,
}

/// Stretches of one script.
fn runs(text: &str) -> Vec<(Script, &str)> {
    let script = |character: char| {
        if romaji::is_hiragana(character) {
            Script::Kana
        } else if character.is_ascii() {
            Script::Latin
        } else {
            Script::Other
        }
    };
    let mut runs: Vec<(Script, &str)> = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((_, character)) = characters.next() {
        let end = characters.peek().map_or(text.len(), |(at, _)| *at);
        if characters.peek().is_none_or(|(_, next)| script(*next) != script(character)) {
            runs.push((script(character), &text[start..end]));
            start = end;
        }
    }
    runs
}

/// Words between what is neither letter nor digit. An apostrophe joins: O'Brien, Jun'ichi.
fn words(component: &str) -> Vec<String> {
    let joined: String = component.chars().filter(|character| !is_apostrophe(*character)).collect();
    joined.split(|character| !is_of_word(character)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | 'ʼ' | '`' | '´')
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == 'ー' || unicode::is_combining_mark(character)
}

fn identifier_of(text: &str) -> String {
    normalised(text).chars().filter(|character| is_of_word(*character)).collect()
}

fn clipped(token: &str) -> String {
    token.chars().take(MAX_TOKEN_CHARACTERS).collect()
}

/// All folds of single characters; delimiters and spaces stay, of whatever width they were.
fn normalised(text: &str) -> String {
    let marks = text.chars().take(MAX_CHARACTERS).map(|character| match character {
        // Voicing marks of their own, which would become a space and a mark.
        '\u{309B}' | 'ﾞ' => '\u{3099}',
        '\u{309C}' | 'ﾟ' => '\u{309A}',
        other => other,
    });
    let mut out = String::with_capacity(text.len().min(4 * MAX_CHARACTERS));
    for character in marks.nfkc().take(MAX_CHARACTERS).flat_map(char::to_lowercase) {
        fold_character(character, &mut out);
    }
    out
}

fn fold_character(character: char, out: &mut String) {
    let last = out.chars().next_back();
    match character {
        // Variation selectors, points of Hebrew and Arabic vowels, accents that stand alone.
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' | '\u{300}'..='\u{36F}' => {}
        '\u{591}'..='\u{5C7}' | '\u{64B}'..='\u{65F}' => {}
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => {
            if let Some(hiragana) = char::from_u32(u32::from(character) - 0x60) {
                fold_character(hiragana, out);
            }
        }
        '々' | '〻' | 'ゝ' => out.extend(last),
        'ゞ' => out.extend(last.map(|last| unicode::compose(last, '\u{3099}').unwrap_or(last))),
        // Written for ー in half-width kana.
        '-' | '‐' | '‑' | '–' | '—' | '−' | '―' if last.is_some_and(romaji::is_hiragana) => out.push('ー'),
        '\t' | '\n' | '\r' => out.push(' '),
        'ß' => out.push_str("ss"),
        'æ' => out.push_str("ae"),
        'œ' => out.push_str("oe"),
        'þ' => out.push_str("th"),
        'ø' => out.push('o'),
        'ł' => out.push('l'),
        'đ' | 'ð' => out.push('d'),
        'ı' => out.push('i'),
        'ς' => out.push('σ'),
        // Latin, Greek and Cyrillic letters without their accents.
        '\u{C0}'..='\u{52F}' | '\u{1E00}'..='\u{1FFF}' => {
            let mut base = None;
            unicode::decompose_canonical(character, |part| {
                base.get_or_insert(part);
            });
            out.push(base.unwrap_or(character));
        }
        other => out.push(kanji::fold(other)),
    }
}

#[cfg(test)]
mod tests;
