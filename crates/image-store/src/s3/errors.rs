//! What an S3 server's answers mean to a caller of the store.

use object_store::Error as S3Error;

use crate::{BlobKey, StoreError, StoreErrorKind};

/// Words of servers for "full": Amazon's and Ceph's, MinIO's, and the status that WebDAV lent to the rest.
const FULL: [&str; 4] = ["QuotaExceeded", "StorageFull", "InsufficientCapacity", "507 Insufficient Storage"];

/// An operation on a blob that should be there.
pub(super) fn reading(operation: &'static str, key: &BlobKey, cause: S3Error) -> StoreError {
    StoreError::new(kind_of(&cause), operation, Some(key)).because(cause)
}

/// An operation that creates: an absent bucket or upload means that the store itself went away.
pub(super) fn writing(operation: &'static str, key: Option<&BlobKey>, cause: S3Error) -> StoreError {
    let kind = match kind_of(&cause) {
        StoreErrorKind::NotFound => StoreErrorKind::Unavailable,
        kind => kind,
    };
    StoreError::new(kind, operation, key).because(cause)
}

fn kind_of(error: &S3Error) -> StoreErrorKind {
    match error {
        S3Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => StoreErrorKind::Unavailable,
        S3Error::NotFound { .. } => StoreErrorKind::NotFound,
        S3Error::AlreadyExists { .. } => StoreErrorKind::AlreadyExists,
        // Reads ask for the version that was opened; nobody replaces a blob of ours.
        S3Error::Precondition { .. } | S3Error::NotModified { .. } => StoreErrorKind::Corrupt,
        // Wrong or expired credentials, or a policy of the bucket: the administrator's to mend, and then it works again.
        S3Error::PermissionDenied { .. } | S3Error::Unauthenticated { .. } => StoreErrorKind::Unavailable,
        // The client gives the status of everything else only in its text. Whatever it is (throttling, 5xx, an expired token, a wrong region, a
        // connection that broke), it passes or is the administrator's to mend, and the sender keeps its image.
        S3Error::Generic { source, .. } => {
            let text = source.to_string();
            let full = FULL.iter().any(|word| text.contains(word));
            if full { StoreErrorKind::OutOfSpace } else { StoreErrorKind::Unavailable }
        }
        _ => StoreErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_kind() {
        use StoreErrorKind as Kind;
        let path = || "v1/x".to_owned();
        let source = |text: &str| text.to_owned().into();
        let generic = |text: &str| S3Error::Generic { store: "S3", source: source(text) };
        let table = [
            (S3Error::NotFound { path: path(), source: source("404: NoSuchKey") }, Kind::NotFound, Kind::Unavailable),
            (
                S3Error::NotFound { path: path(), source: source("404: NoSuchBucket") },
                Kind::Unavailable,
                Kind::Unavailable,
            ),
            (S3Error::AlreadyExists { path: path(), source: source("412") }, Kind::AlreadyExists, Kind::AlreadyExists),
            (S3Error::Precondition { path: path(), source: source("412") }, Kind::Corrupt, Kind::Corrupt),
            (S3Error::PermissionDenied { path: path(), source: source("403") }, Kind::Unavailable, Kind::Unavailable),
            (S3Error::Unauthenticated { path: path(), source: source("401") }, Kind::Unavailable, Kind::Unavailable),
            (generic("non-2xx status code: 503 Service Unavailable: SlowDown"), Kind::Unavailable, Kind::Unavailable),
            (generic("non-2xx status code: 500 Internal Server Error"), Kind::Unavailable, Kind::Unavailable),
            (generic("non-2xx status code: 429 Too Many Requests"), Kind::Unavailable, Kind::Unavailable),
            (generic("non-2xx status code: 400 Bad Request: ExpiredToken"), Kind::Unavailable, Kind::Unavailable),
            (S3Error::NotSupported { source: source("no such operation") }, Kind::Internal, Kind::Internal),
            (generic("non-2xx status code: 507 Insufficient Storage"), Kind::OutOfSpace, Kind::OutOfSpace),
            (generic("403: <Code>XMinioStorageFull</Code>"), Kind::OutOfSpace, Kind::OutOfSpace),
            (generic("connection closed before message completed"), Kind::Unavailable, Kind::Unavailable),
            (generic("operation timed out"), Kind::Unavailable, Kind::Unavailable),
        ];
        let key = BlobKey::parse("v1/HOSP1/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
        for (error, read, written) in table {
            let text = error.to_string();
            assert_eq!(kind_of(&error), read, "{text}");
            let error = writing("commit blob", Some(&key), error);
            assert_eq!(error.kind, written, "{text}");
            assert!(error.source.is_some());
        }
    }
}
