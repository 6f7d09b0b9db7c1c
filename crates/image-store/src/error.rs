//! What can go wrong, as a caller needs to know it.

use std::error::Error;
use std::fmt;
use std::io;

use crate::BlobKey;

/// What a caller does about it. One function per protocol maps these to statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no blob under this key.
    NotFound,
    /// There is a blob under this key, and it stays.
    AlreadyExists,
    /// The place is full or the quota is used up; the same request may succeed once somebody made room.
    OutOfSpace,
    /// The place cannot be reached, read or written now; trying again later may help.
    Unavailable,
    /// The stored bytes are not what was stored: a person has to look.
    Corrupt,
    /// The blob is larger than the limit that the caller gave.
    TooLarge,
    /// The text is no key or no address of a store.
    InvalidKey,
    /// A fault of ours.
    Internal,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such blob",
            Self::AlreadyExists => "a blob with this key exists and is not replaced",
            Self::OutOfSpace => "no space left, make room on the image store",
            Self::Unavailable => "image store cannot be used now, check that it is mounted and writable",
            Self::Corrupt => "stored bytes are damaged, restore this blob from a backup",
            Self::TooLarge => "blob is larger than allowed here",
            Self::InvalidKey => "not a key or address of an image store",
            Self::Internal => "internal error",
        })
    }
}

/// A failed operation of the store. The cause is the `source`; it is not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}{}: {kind}", .key.as_ref().map(|key| format!(" {key}")).unwrap_or_default())]
pub struct StoreError {
    pub kind: StoreErrorKind,
    /// The operation as a verb phrase: `commit blob`.
    pub operation: &'static str,
    pub key: Option<BlobKey>,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, operation: &'static str, key: Option<&BlobKey>) -> Self {
        Self { kind, operation, key: key.cloned(), source: None }
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An operation on a blob that should be there: an absent file is [`StoreErrorKind::NotFound`].
    pub(crate) fn reading(operation: &'static str, key: &BlobKey, cause: io::Error) -> Self {
        Self::new(kind_of(&cause), operation, Some(key)).because(cause)
    }

    /// An operation that creates: an absent file or directory means that the store itself went away.
    pub(crate) fn writing(operation: &'static str, key: Option<&BlobKey>, cause: io::Error) -> Self {
        let kind = match kind_of(&cause) {
            StoreErrorKind::NotFound => StoreErrorKind::Unavailable,
            kind => kind,
        };
        Self::new(kind, operation, key).because(cause)
    }
}

fn kind_of(error: &io::Error) -> StoreErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => StoreErrorKind::NotFound,
        Io::AlreadyExists => StoreErrorKind::AlreadyExists,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StoreErrorKind::OutOfSpace,
        Io::UnexpectedEof => StoreErrorKind::Corrupt,
        Io::PermissionDenied
        | Io::ReadOnlyFilesystem
        | Io::StaleNetworkFileHandle
        | Io::TimedOut
        | Io::ResourceBusy
        | Io::NetworkDown
        | Io::NetworkUnreachable
        | Io::HostUnreachable
        | Io::NotADirectory => StoreErrorKind::Unavailable,
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(
                rustix::io::Errno::IO
                | rustix::io::Errno::MFILE
                | rustix::io::Errno::NFILE
                | rustix::io::Errno::NODEV
                | rustix::io::Errno::NXIO,
            ) => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Internal,
        },
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn each_error_number_has_its_kind() {
        let table = [
            (Errno::NOENT, StoreErrorKind::NotFound, StoreErrorKind::Unavailable),
            (Errno::EXIST, StoreErrorKind::AlreadyExists, StoreErrorKind::AlreadyExists),
            (Errno::NOSPC, StoreErrorKind::OutOfSpace, StoreErrorKind::OutOfSpace),
            (Errno::DQUOT, StoreErrorKind::OutOfSpace, StoreErrorKind::OutOfSpace),
            (Errno::FBIG, StoreErrorKind::OutOfSpace, StoreErrorKind::OutOfSpace),
            (Errno::IO, StoreErrorKind::Unavailable, StoreErrorKind::Unavailable),
            (Errno::ROFS, StoreErrorKind::Unavailable, StoreErrorKind::Unavailable),
            (Errno::ACCESS, StoreErrorKind::Unavailable, StoreErrorKind::Unavailable),
            (Errno::STALE, StoreErrorKind::Unavailable, StoreErrorKind::Unavailable),
            (Errno::MFILE, StoreErrorKind::Unavailable, StoreErrorKind::Unavailable),
            (Errno::XDEV, StoreErrorKind::Internal, StoreErrorKind::Internal),
        ];
        let key = BlobKey::parse("v1/HOSP1/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
        for (errno, reading, writing) in table {
            let cause = || io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(StoreError::reading("read blob", &key, cause()).kind, reading, "{errno:?}");
            assert_eq!(StoreError::writing("write blob", Some(&key), cause()).kind, writing, "{errno:?}");
        }
    }

    #[test]
    fn the_message_names_operation_and_key_and_leaves_the_cause_to_the_source() {
        let key = BlobKey::parse("v1/HOSP1/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
        let error = StoreError::writing("commit blob", Some(&key), io::Error::from_raw_os_error(28));
        assert_eq!(
            error.to_string(),
            "cannot commit blob v1/HOSP1/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b: no space left, make room on the image store"
        );
        assert!(error.source.unwrap().to_string().contains("os error 28"));
    }
}
