//! Stories with the real binary, over sockets, with other people's tools at the far end: DCMTK sends and receives, dicom3tools judges, OpenSSL verifies.
//!
//! One file per story; `harness` has the node, the senders, the hospital's archive and the person at the browser. A story starts its own node in a
//! throw-away folder and, where the index matters, runs on SQLite and on PostgreSQL (`on_both_databases!`).
//!
//! To add one: a file here, one line below. Wait for states (`testkit::eventually`), never for a time; look at all effects: answer, export, audit, log.

/// Makes of each `async fn story(index: Index)` two tests, one on each database.
macro_rules! on_both_databases {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                Box::pin(super::$story(crate::harness::Index::Sqlite)).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $story() {
                if let Some(index) = crate::harness::Index::postgres() {
                    Box::pin(super::$story(index)).await;
                }
            })+
        }
    };
}

mod harness;

mod architecture;
mod bad_input;
mod commitment;
mod completeness;
mod crash;
mod custody;
mod disk_full;
mod doors;
mod find;
mod identity;
mod import;
mod lifecycle;
mod loop_story;
mod name_search;
mod quarantine;
mod real_files;
mod receive;
mod returning;
mod s3;
mod signing;
mod soak;
mod space;
mod tls;
mod two_nodes;
mod worklist;
