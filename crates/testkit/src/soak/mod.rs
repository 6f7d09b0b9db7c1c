//! Load on a real node, in figures: the rooms behind `cargo run --release -p dokuei-testkit --bin soak`.
//!
//! Each run starts a node of its own in a folder that is thrown away, does one thing to it for long, and gives a [`Report`]: figures, and the
//! promises that did not hold. Nothing is asserted on time. Every run takes its size as an option, so that the tests run it small.
//!
//! To add a run: a file with options and a function from them to a [`Report`], an arm in `src/bin/soak.rs`, a line in the `Makefile`'s `soak`,
//! a test in `tests/it/soak.rs`.

pub mod contexts;
pub mod growth;
pub mod idle;
pub mod kill;
pub mod large;
pub mod node;
pub mod objects;
pub mod report;
pub mod sender;
pub mod slow;
pub mod study;

pub use node::{Database, NodeOptions, SoakNode};
pub use report::{Report, Totals};
pub use sender::{Proposal, Sender};

/// What the node may use at most, whatever happens to it.
pub const MEMORY_LIMIT_MIB: f64 = 256.0;
