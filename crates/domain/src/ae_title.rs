//! Application entity titles (PS3.5 6.2, VR AE; PS3.8 9.3.2).

use std::fmt;

/// Why a text is not an AE title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AeTitleError {
    #[error("AE title is empty")]
    Empty,
    #[error("AE title has more than 16 characters")]
    TooLong,
    #[error("AE title contains a backslash, a control character or a character outside ASCII")]
    IllegalCharacter,
}

/// 1 to 16 ASCII characters without backslash and control characters; leading and trailing spaces are not significant and are dropped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(Box<str>);

impl AeTitle {
    pub fn parse(text: &str) -> Result<Self, AeTitleError> {
        let text = text.trim_matches(|c| c == ' ' || c == '\0');
        if text.is_empty() {
            return Err(AeTitleError::Empty);
        }
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\') {
            return Err(AeTitleError::IllegalCharacter);
        }
        if text.len() > 16 {
            return Err(AeTitleError::TooLong);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AeTitle {
    type Error = AeTitleError;
    fn try_from(text: String) -> Result<Self, AeTitleError> {
        Self::parse(&text)
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> String {
        title.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_not_significant() {
        assert_eq!(AeTitle::parse(" HOSP1   ").unwrap().as_str(), "HOSP1");
        assert_eq!(AeTitle::parse("                "), Err(AeTitleError::Empty));
        assert_eq!(AeTitle::parse("A\\B"), Err(AeTitleError::IllegalCharacter));
        assert_eq!(AeTitle::parse("12345678901234567"), Err(AeTitleError::TooLong));
    }
}
