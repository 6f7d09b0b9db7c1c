//! Identifiers of our own. Each is its own type, so that a study cannot be passed for a series.

use std::fmt;

/// Why a text is not an identifier for a facility or an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identifier must be 1 to 32 letters, digits, '-' or '_' and begin with a letter or digit")]
pub struct NameError;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                let first = text.bytes().next().ok_or(NameError)?;
                if text.len() <= 32 && first.is_ascii_alphanumeric() && text.bytes().all(legal) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError)
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

text_id!(/// A requesting facility, as the administrator named it (`HOSP1`). Part of every blob key.
    FacilityId);
text_id!(/// Somebody who signs in: a reader, a facility's user, the office, an administrator.
    AccountId);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(/// A patient record of one facility.
    PatientPk);
uuid_id!(/// A study of one facility.
    StudyPk);
uuid_id!(/// A series of one facility.
    SeriesPk);
uuid_id!(/// An instance of one facility; equals the UUID in its blob key.
    InstanceId);
uuid_id!(/// The UUID of a blob.
    BlobId);
uuid_id!(/// A reading case.
    CaseId);
uuid_id!(/// One signed version of a case's report.
    ReportVersionId);
uuid_id!(/// One recipient's row in the return ledger.
    DeliveryId);
uuid_id!(/// One unit of background work.
    JobId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facility_ids_cannot_leave_their_directory() {
        assert!(FacilityId::parse("HOSP1").is_ok());
        for bad in ["", ".", "..", "a/b", "-x", "あ", "x".repeat(33).as_str()] {
            assert!(FacilityId::parse(bad).is_err(), "{bad}");
        }
    }
}
