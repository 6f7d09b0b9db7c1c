//! One object that is larger than the memory that a node may use, in and out.

use std::time::Instant;

use super::node::{NodeOptions, SoakNode};
use super::objects::{LargeObject, MULTIFRAME, Slices, hash_of_data_set};
use super::sender::Sender;
use super::{MEMORY_LIMIT_MIB, Report};
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct LargeOptions {
    /// Of 2 MiB each.
    pub frames: u16,
}

impl Default for LargeOptions {
    fn default() -> Self {
        Self { frames: 1000 }
    }
}

pub fn run(node: NodeOptions, options: LargeOptions) -> anyhow::Result<Report> {
    let node = SoakNode::start(node)?;
    let address = node.address()?;
    // What a node uses that has worked and now rests.
    let mut slices = Slices::new(3, 64);
    let mut sender = Sender::storage(address, 0, CT_IMAGE_STORAGE)?;
    for _ in 0..20 {
        sender.store_object(&slices.next_object())?;
    }
    sender.release()?;
    let idle = node.rss_mib()?;
    node.forget_peak()?;

    let object = LargeObject::new(4, options.frames)?;
    let cpu = node.cpu_seconds()?;
    let begin = Instant::now();
    let mut sender = Sender::storage(address, 0, MULTIFRAME)?;
    let status = sender.store(MULTIFRAME, &object.sop_instance, object.length, object.clone(), || {})?;
    let seconds = begin.elapsed().as_secs_f64();
    sender.release()?;
    let cpu = node.cpu_seconds()? - cpu;
    let peak = node.rss_peak_mib()?;

    let exported = node.export_instance(&object.sop_instance)?;
    let file = exported.path().join(format!("{}.dcm", object.sop_instance));
    let equal = hash_of_data_set(&file)? == object.hash()?;

    let gigabytes = object.length as f64 / 1e9;
    let mut report = Report::new("large");
    report
        .sum("objects", 1.0)
        .latest("gigabytes", gigabytes)
        .latest("seconds", seconds)
        .latest("megabytes_per_second", gigabytes * 1000.0 / seconds)
        .latest("cpu_seconds_per_gb", cpu / gigabytes)
        .latest("rss_idle_mib", idle)
        .most("rss_above_idle_mib", peak - idle)
        .most("rss_peak_mib", peak)
        .promise(status == 0, format!("it was answered with {status:#06x}"))
        .promise(equal, "the exported bytes are not those that were sent")
        .promise(peak - idle < 64.0, format!("it took {:.0} MiB above idle", peak - idle))
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}
