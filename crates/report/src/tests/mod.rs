//! Stories of the use case, through its public functions and with real files, on real databases.

pub(crate) mod authority;
mod delivering;
mod drafting;
mod proving;
mod reading;
mod scene;
mod signing;
mod with_access;
