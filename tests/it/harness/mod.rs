//! What the stories stand on.

mod dicom;
mod misbehaving;
mod node;
pub(crate) mod outside;
mod pacs;
mod person;
mod refusing;
mod slow_sender;

use std::time::Duration;

pub(crate) use dicom::{
    CT, Object, VERIFICATION, associate, dcmtk, echo, scu, send, send_alone, send_from, synthetic, uid,
};
pub(crate) use misbehaving::{Peer, command, data, pdu};
pub(crate) use node::{BINARY, Index, TestNode, files_below};
pub(crate) use pacs::Pacs;
pub(crate) use person::Person;
pub(crate) use refusing::{RefusingPacs, SilentPacs};
pub(crate) use slow_sender::SlowSender;

/// Longer than anything takes on a busy machine; a story that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
