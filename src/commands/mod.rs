//! One file per group of commands. A command opens the node, asks a use case, prints.

pub mod accounts;
pub mod archive;
pub mod config;
pub mod doctor;
pub mod init;
pub mod peer;
pub mod report;
pub mod serve;
pub mod work;
pub mod worklist;
