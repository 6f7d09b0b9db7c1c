//! One suite, both databases.

mod accounts;
mod audit;
mod bench_seed;
mod cases;
mod commitments;
mod custody;
mod deliveries;
mod facilities;
mod filing_known;
mod jobs;
mod patient_names;
mod reports;
mod schema;
mod workitems;

use std::future::Future;

use dokuei_domain::{Ambient, Timestamp};
use dokuei_testkit::FakeClock;

use crate::Database;

/// A fresh database of each kind, one after the other. PostgreSQL is skipped, loudly, only where it is not installed and not required.
async fn both<F, Fut>(test: F)
where
    F: Fn(Database, World) -> Fut,
    Fut: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Database::open(&format!("sqlite://{}", folder.path().join("dokuei.db").display())).await.unwrap();
    test(sqlite, World::new()).await;

    let Some(postgres) = dokuei_testkit::TestDatabase::postgres() else { return };
    let database = Database::open(postgres.url()).await.unwrap();
    test(database.clone(), World::new()).await;
    database.close().await;
}

/// A clock that tests move, and repeatable randomness.
#[derive(Clone)]
struct World {
    clock: FakeClock,
    ambient: Ambient,
}

impl World {
    fn new() -> Self {
        let (clock, ambient) = dokuei_testkit::test_ambient(7);
        Self { clock, ambient }
    }

    fn now(&self) -> Timestamp {
        self.ambient.now()
    }
}
