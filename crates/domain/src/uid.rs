//! DICOM unique identifiers (PS3.5 9.1) as checked text.

use std::fmt;

/// Our Implementation Class UID (PS3.7 D.3.3.2, PS3.10 7.1): a UUID of this project, fixed for ever, under the UUID root (PS3.5 B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.39525999223032221808050762612194371245";
/// Our Implementation Version Name.
pub const IMPLEMENTATION_VERSION_NAME: &str = "DOKUEI_0_1";

/// Why a text is not a UID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    #[error("UID is empty")]
    Empty,
    #[error("UID has {0} characters; at most 64 are allowed")]
    TooLong(usize),
    #[error("UID contains a character other than digits and dots")]
    IllegalCharacter,
    #[error("UID has an empty component")]
    EmptyComponent,
}

/// A DICOM UID: 1 to 64 characters, digits and dots, no empty component.
///
/// Leading zeros in a component are against PS3.5 9.1 but common in stored data; they are accepted and kept, because two UIDs are the same only
/// when their characters are the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Box<str>);

impl Uid {
    /// Checks a text without padding.
    pub fn parse(text: &str) -> Result<Self, UidError> {
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > 64 {
            return Err(UidError::TooLong(text.len()));
        }
        if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(UidError::IllegalCharacter);
        }
        if text.split('.').any(str::is_empty) {
            return Err(UidError::EmptyComponent);
        }
        Ok(Self(text.into()))
    }

    /// Checks a value as it stands in a data set: trailing NUL (PS3.5 6.2) or, as some senders do, trailing spaces are padding.
    pub fn parse_padded(raw: &[u8]) -> Result<Self, UidError> {
        let end = raw.iter().rposition(|b| !matches!(b, 0 | b' ')).map_or(0, |last| last + 1);
        let text = std::str::from_utf8(&raw[..end]).map_err(|_| UidError::IllegalCharacter)?;
        Self::parse(text)
    }

    /// A UID of our own under the UUID root (PS3.5 B.2).
    pub fn from_uuid(uuid: uuid::Uuid) -> Self {
        Self(format!("2.25.{}", uuid.as_u128()).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uid_kind {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uid);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, UidError> {
                Uid::parse(text).map(Self)
            }

            pub fn parse_padded(raw: &[u8]) -> Result<Self, UidError> {
                Uid::parse_padded(raw).map(Self)
            }

            pub fn new(uid: Uid) -> Self {
                Self(uid)
            }

            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = UidError;
            fn try_from(text: String) -> Result<Self, UidError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(uid: $name) -> String {
                uid.as_str().to_owned()
            }
        }
    };
}

uid_kind!(/// Study Instance UID (0020,000D).
    StudyUid);
uid_kind!(/// Series Instance UID (0020,000E).
    SeriesUid);
uid_kind!(/// SOP Instance UID (0008,0018).
    SopInstanceUid);
uid_kind!(/// SOP Class UID (0008,0016).
    SopClassUid);
uid_kind!(/// Transfer Syntax UID (0002,0010).
    TransferSyntaxUid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_standard_and_the_field_use() {
        for ok in ["1", "1.2.840.10008.1.2", "2.25.329800735698586629295641978511506172918", "1.02.3"] {
            assert_eq!(Uid::parse(ok).unwrap().as_str(), ok);
        }
    }

    #[test]
    fn refuses_what_could_hide_a_path_or_a_mistake() {
        assert_eq!(Uid::parse(""), Err(UidError::Empty));
        assert_eq!(Uid::parse("1..2"), Err(UidError::EmptyComponent));
        assert_eq!(Uid::parse(".1"), Err(UidError::EmptyComponent));
        assert_eq!(Uid::parse("../../etc"), Err(UidError::IllegalCharacter));
        assert_eq!(Uid::parse(&"1".repeat(65)), Err(UidError::TooLong(65)));
    }

    #[test]
    fn strips_only_trailing_padding() {
        assert_eq!(Uid::parse_padded(b"1.2\0").unwrap().as_str(), "1.2");
        assert_eq!(Uid::parse_padded(b"1.2 ").unwrap().as_str(), "1.2");
        assert!(Uid::parse_padded(b" 1.2").is_err());
        assert_eq!(Uid::parse_padded(b"\0\0"), Err(UidError::Empty));
    }
}
