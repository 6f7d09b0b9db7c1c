//! Instances and signed reports as blobs: staged, hashed on the way, made durable, then readable under a key that is ours.
//!
//! What it is: [`ImageStore`], one handle on one place that keeps blobs: a directory (`file:///path`) or a bucket of an S3-compatible server
//! (`s3://bucket/prefix?endpoint=…`). What callers may rely on, whatever is behind it:
//!
//! * A blob is invisible until [`StagedBlob::commit`], and after a successful commit it survives power loss. There is no state between.
//! * A key is written once. A second commit under the same key is refused and leaves the first blob as it was.
//! * Memory for one blob in flight is constant, however large the blob, and bounded for all of them together.
//! * Errors carry a [`StoreErrorKind`]; protocols map kinds to statuses, people read the message and its source.
//!
//! What it is not: it knows no DICOM, no index and no policy. It never decides what may be deleted, and no name from a peer reaches it:
//! a [`BlobKey`] can only be made of our own identifiers.
//!
//! To add the next kind of store: a module beside `file`, a variant in `Backend`, `Staged` and `Reader`, an arm in [`ImageStore::connect`], and
//! a test that runs every function of `conformance` on it.

mod error;
mod file;
mod key;
mod reader;
mod repair;
mod s3;
mod staged;
mod store;

#[cfg(test)]
mod conformance;

pub use error::{StoreError, StoreErrorKind};
pub use key::{BlobKey, BlobKeyParts, InvalidKey, ReportFile};
pub use reader::BlobReader;
pub use repair::Replaced;
pub use s3::S3Credentials;
pub use staged::{Named, PayloadDigest, Receipt, StagedBlob};
pub use store::{BlobList, ImageStore, StoreOptions};
