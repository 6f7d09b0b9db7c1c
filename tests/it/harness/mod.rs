//! What the stories stand on.

mod certificates;
mod dicom;
mod hospital;
mod misbehaving;
mod node;
pub(crate) mod outside;
mod pacs;
mod person;
mod refusing;
mod slow_sender;
mod small_disk;

use std::time::Duration;

pub(crate) use certificates::Certificates;
pub(crate) use dicom::{
    CT, Object, VERIFICATION, associate, dcmtk, dcmtk_at, echo, scu, send, send_alone, send_from, synthetic, uid,
};
pub(crate) use hospital::{deaf_visit, visit};
pub(crate) use misbehaving::{Peer, command, data, pdu};
pub(crate) use node::{BINARY, Index, TestNode, files_below};
pub(crate) use pacs::Pacs;
pub(crate) use person::Person;
pub(crate) use refusing::{RefusingPacs, SilentPacs};
pub(crate) use slow_sender::SlowSender;
pub(crate) use small_disk::SmallDisk;

/// Longer than anything takes on a busy machine; a story that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
