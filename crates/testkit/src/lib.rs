//! What tests stand on: a PostgreSQL and an S3 server of their own, real processes, synthetic DICOM, a clock that is moved by hand, waiting for a state.
//!
//! What it is not: nothing here runs in a node. It is a dev-dependency, knows of the project only `domain`, and writes DICOM with a small
//! writer of its own, so that a mistake in the code under test is not repeated by what tests it.
//!
//! Things that cannot work are errors that say what to install; `TestDatabase::postgres` alone may skip, and not when `REQUIRE_PG=1`.
//!
//! [`soak`] and its program put a node under load for long and say in figures how it took it.
//!
//! To add the next thing: one file per helper, without a dependency, with a test that shows it failing as well as working.

mod child;
pub mod clock;
pub mod data_set;
pub mod edit;
pub mod files;
pub mod postgres;
pub mod process;
pub mod python;
pub mod rejection_note;
pub mod s3;
pub mod soak;
pub mod synthetic;
pub mod tool;
pub mod wait;

pub use clock::{FakeClock, SeededEntropy, test_ambient};
pub use files::{TestFile, testdata, testdata_files};
pub use postgres::{Cluster, TestDatabase};
pub use process::{NodeCommand, NodeProcess};
pub use python::python_with;
pub use s3::S3Server;
pub use tool::{CommandOutput, Tool, find_binary};
pub use wait::eventually;
