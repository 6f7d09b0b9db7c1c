//! Person names with their three component groups (PS3.5 6.2.1).

use serde::{Deserialize, Serialize};

/// A decoded PN value: alphabetic (romaji), ideographic (kanji) and phonetic (kana) groups, each `family^given^middle^prefix^suffix`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct PersonName {
    pub alphabetic: String,
    pub ideographic: String,
    pub phonetic: String,
}

impl PersonName {
    /// Splits a decoded value at `=`. Groups beyond the third are against the standard and are dropped.
    pub fn parse(decoded: &str) -> Self {
        let mut groups = decoded.split('=').map(|group| group.trim_end_matches(['^', ' ']).to_owned());
        Self {
            alphabetic: groups.next().unwrap_or_default(),
            ideographic: groups.next().unwrap_or_default(),
            phonetic: groups.next().unwrap_or_default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.alphabetic.is_empty() && self.ideographic.is_empty() && self.phonetic.is_empty()
    }

    /// The value as it goes into a data set: trailing empty groups omitted.
    pub fn to_dicom(&self) -> String {
        let whole = format!("{}={}={}", self.alphabetic, self.ideographic, self.phonetic);
        whole.trim_end_matches('=').to_owned()
    }

    /// The group a Japanese reader looks for first: kanji, else romaji, else kana; components separated by a space.
    pub fn display(&self) -> String {
        let group = [&self.ideographic, &self.alphabetic, &self.phonetic].into_iter().find(|group| !group.is_empty());
        group.map(|group| components(group)).unwrap_or_default()
    }

    pub fn display_alphabetic(&self) -> String {
        components(&self.alphabetic)
    }

    pub fn display_ideographic(&self) -> String {
        components(&self.ideographic)
    }

    pub fn display_phonetic(&self) -> String {
        components(&self.phonetic)
    }
}

fn components(group: &str) -> String {
    group.split('^').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_three_groups_and_shows_kanji_first() {
        let name = PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう");
        assert_eq!(name.display(), "山田 太郎");
        assert_eq!(name.display_alphabetic(), "Yamada Taro");
        assert_eq!(name.display_phonetic(), "やまだ たろう");
        assert_eq!(name.to_dicom(), "Yamada^Taro=山田^太郎=やまだ^たろう");
    }

    #[test]
    fn drops_trailing_delimiters_only() {
        assert_eq!(PersonName::parse("DOE^JOHN^^^").to_dicom(), "DOE^JOHN");
        assert_eq!(PersonName::parse("=山田^太郎").to_dicom(), "=山田^太郎");
        assert!(PersonName::parse("").is_empty());
    }
}
