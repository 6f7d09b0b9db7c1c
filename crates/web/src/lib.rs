//! The pages and the JSON interface for readers, requesting facilities, the office and administrators: an axum router over the use cases.
//!
//! Pages are rendered on the server (askama templates in `templates/`, texts in [`text`], one style sheet); only the reading page needs the script of `ui/`,
//! which is built by npm, embedded when it is there, and missed by name on the page when it is not.
//!
//! What it is not: it decides nothing. Every handler hands the signed-in actor to a use case, which asks `access` and writes the audit; refusals come back as
//! a [`problem::Problem`] and are put into words in `refusal`, one function per use case. It has no database, opens no socket and serves no DICOM. The
//! Transaction UID of a claim is derived here ([`TransactionUids`]) and never leaves the server.
//!
//! To add a page: a template, a handler in `pages/`, its line in `routes`, its row in the rights table of the tests, which do not pass without it. To add a
//! sentence: a line in `text` with both languages.

mod api;
mod assets;
mod extract;
mod format;
mod frames;
mod pages;
pub mod problem;
mod refusal;
mod routes;
mod security;
mod shell;
mod state;
pub mod text;
mod transaction_uid;
mod view;
mod visitor;

pub use routes::router;
pub use state::{DeadJob, Operations, WebSettings, WebState};
pub use transaction_uid::TransactionUids;

// The tests' world is also the preview's, which sees the crate from outside.
#[cfg(test)]
extern crate self as dokuei_web;
#[cfg(test)]
mod tests;
