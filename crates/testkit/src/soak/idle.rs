//! Many associations that do nothing, beside one that works: memory for each of them.

use std::time::Instant;

use super::node::{NodeOptions, SoakNode};
use super::objects::Slices;
use super::sender::{Proposal, Sender};
use super::{MEMORY_LIMIT_MIB, Report};
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct IdleOptions {
    pub associations: u16,
    /// What the working sender sends before and during the rest of the others.
    pub objects: usize,
}

impl Default for IdleOptions {
    fn default() -> Self {
        Self { associations: 1000, objects: 500 }
    }
}

pub fn run(node: NodeOptions, options: IdleOptions) -> anyhow::Result<Report> {
    let most = u32::from(options.associations) + 8;
    let node = SoakNode::start(node.with("dicom.max_associations", most).with("dicom.idle_timeout_seconds", 3600))?;
    let address = node.address()?;
    let mut slices = Slices::new(1, 64);
    let mut sender = Sender::storage(address, 0, CT_IMAGE_STORAGE)?;
    let mut send = |sender: &mut Sender| {
        let mut measured = Vec::new();
        for _ in 0..options.objects {
            let object = slices.next_object();
            let begin = Instant::now();
            sender.store_object(&object)?;
            measured.push(begin.elapsed());
        }
        anyhow::Ok(measured)
    };

    let alone = send(&mut sender)?;
    let before = node.rss_mib()?;
    // From many addresses: one that holds as many is refused, which is another promise.
    let idle = (0..options.associations)
        .map(|number| Sender::associate(address, 256 + number / 4, &Proposal::storage(CT_IMAGE_STORAGE)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let with_idle = node.rss_mib()?;
    let beside = send(&mut sender)?;
    let with_idle = with_idle.max(node.rss_mib()?);
    // All of them are still there, and serve.
    let mut alive = 0;
    for mut association in idle {
        association.echo()?;
        association.release()?;
        alive += 1;
    }
    sender.release()?;
    let after = node.rss_mib()?;
    let peak = node.rss_peak_mib()?;

    let mut report = Report::new("idle");
    let per_association = (with_idle - before) * 1024.0 / f64::from(options.associations.max(1));
    report
        .sum("associations", f64::from(alive))
        .sum("objects", (alone.len() + beside.len()) as f64)
        .latencies("alone_p50_ms", "alone_p99_ms", &alone)
        .latencies("beside_idle_p50_ms", "beside_idle_p99_ms", &beside)
        .latest("rss_before_mib", before)
        .latest("rss_with_idle_mib", with_idle)
        .latest("rss_after_mib", after)
        .most("rss_per_association_kib", per_association)
        .most("rss_peak_mib", peak)
        .promise(alive == options.associations, "an idle association was lost")
        .promise(per_association < 2048.0, "an idle association costs more than 2 MiB")
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}
