//! The S3 store as a store, and what only it has: servers that fail, answers that are lost, memory that runs out.

mod faults;
mod servers;

use std::path::Path;
use std::time::Duration;

use dokuei_testkit::S3Server;
use dokuei_testkit::s3::{ACCESS_KEY, SECRET_KEY};

use super::{Address, Limits, S3Credentials};
use crate::{ImageStore, StoreError};

fn credentials() -> S3Credentials {
    S3Credentials { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() }
}

/// Short enough that a test of a failing server ends soon, long enough that a busy machine is not taken for one.
fn impatient() -> Limits {
    Limits {
        attempt: Duration::from_secs(10),
        answer: Duration::from_secs(10),
        retrying: Duration::from_secs(10),
        backoff: Duration::from_millis(5),
        ..Limits::default()
    }
}

async fn try_open(url: &str, limits: Limits, overflow: &Path) -> Result<ImageStore, StoreError> {
    ImageStore::on_s3(Address::parse(url)?, Some(credentials()), overflow.to_owned(), limits).await
}

async fn open(server: &S3Server, prefix: &str) -> ImageStore {
    try_open(&server.url(prefix), impatient(), &std::env::temp_dir()).await.unwrap()
}
