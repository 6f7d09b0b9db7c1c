//! The largest association request there is: 128 presentation contexts with 38 transfer syntaxes each, over and over.

use std::time::Instant;

use anyhow::ensure;

use super::node::{NodeOptions, SoakNode};
use super::objects::Slices;
use super::sender::{Proposal, Sender, VERIFICATION};
use super::{MEMORY_LIMIT_MIB, Report};
use crate::synthetic::CT_IMAGE_STORAGE;

const IMPLICIT: &str = "1.2.840.10008.1.2";

/// Storage classes (PS3.4 B.5) that stand in turn in the 128 contexts.
const SOP_CLASSES: [&str; 12] = [
    CT_IMAGE_STORAGE,
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.20",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.128",
];

/// Transfer syntaxes (PS3.6 A.4), the retired ones with them.
const TRANSFER_SYNTAXES: [&str; 38] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.52",
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.54",
    "1.2.840.10008.1.2.4.55",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.58",
    "1.2.840.10008.1.2.4.66",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.92",
    "1.2.840.10008.1.2.4.93",
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.100",
    "1.2.840.10008.1.2.4.101",
    "1.2.840.10008.1.2.4.102",
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.4.104",
    "1.2.840.10008.1.2.4.105",
    "1.2.840.10008.1.2.4.106",
    "1.2.840.10008.1.2.4.107",
    "1.2.840.10008.1.2.4.108",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.113619.5.2",
];

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct ContextsOptions {
    pub associations: usize,
}

impl Default for ContextsOptions {
    fn default() -> Self {
        Self { associations: 2000 }
    }
}

pub fn run(node: NodeOptions, options: ContextsOptions) -> anyhow::Result<Report> {
    let node = SoakNode::start(node)?;
    let address = node.address()?;
    let mut proposals = vec![Proposal::new(VERIFICATION, &[IMPLICIT])];
    let storage = SOP_CLASSES.iter().cycle().take(127);
    proposals.extend(storage.map(|sop_class| Proposal::new(sop_class, &TRANSFER_SYNTAXES)));
    // Verification too has the full list.
    proposals[0].transfer_syntaxes = TRANSFER_SYNTAXES.to_vec();
    let mut slices = Slices::new(2, 16);
    let mut once = || {
        let begin = Instant::now();
        let mut sender = Sender::associate(address, 0, &proposals)?;
        let negotiated = begin.elapsed();
        ensure!(sender.contexts.len() == 128, "{} contexts were answered", sender.contexts.len());
        let accepted = sender.contexts.iter().filter(|context| context.accepted).count();
        sender.echo()?;
        let explicit = sender.contexts.iter().any(|context| {
            context.abstract_syntax == CT_IMAGE_STORAGE && context.transfer_syntax == super::objects::EXPLICIT
        });
        if explicit {
            sender.store_object(&slices.next_object())?;
        }
        sender.release()?;
        Ok((negotiated, accepted))
    };

    // The first ones fill what is filled once.
    for _ in 0..options.associations.min(20) {
        once()?;
    }
    let before = node.rss_mib()?;
    let (mut measured, mut accepted) = (Vec::new(), usize::MAX);
    for _ in 0..options.associations {
        let (negotiated, some) = once()?;
        measured.push(negotiated);
        accepted = accepted.min(some);
    }
    let after = node.rss_mib()?;
    let peak = node.rss_peak_mib()?;

    let mut report = Report::new("contexts");
    report
        .sum("associations", measured.len() as f64)
        .latest("contexts", 128.0)
        .latest("contexts_accepted", accepted as f64)
        .latest("transfer_syntaxes_each", TRANSFER_SYNTAXES.len() as f64)
        .latencies("negotiation_p50_ms", "negotiation_p99_ms", &measured)
        .latest("rss_before_mib", before)
        .latest("rss_after_mib", after)
        .most("rss_peak_mib", peak)
        .promise(accepted > 0, "no context was accepted")
        .promise(after < before + 32.0, format!("the memory grew from {before:.0} to {after:.0} MiB"))
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}
