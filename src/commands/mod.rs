//! One file per group of commands. A command opens the node, asks a use case, prints.

pub(crate) mod accounts;
pub(crate) mod archive;
pub(crate) mod commitment;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod find;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod peer;
pub(crate) mod quarantine;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod storage;
pub(crate) mod study;
pub(crate) mod totp;
pub(crate) mod work;
pub(crate) mod worklist;
