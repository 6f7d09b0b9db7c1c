//! One file per group of commands. A command opens the node, asks a use case, prints.

pub(crate) mod accounts;
pub(crate) mod archive;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod peer;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod totp;
pub(crate) mod work;
pub(crate) mod worklist;
