//! C-STORE with a small index and with a large one, in turns, so that what else the machine does falls on both.

use std::time::{Duration, Instant};

use super::node::{NodeOptions, SoakNode};
use super::objects::Slices;
use super::sender::Sender;
use super::{Report, report::percentile_ms};
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct GrowthOptions {
    /// Instances in the small index.
    pub small: u32,
    /// Instances in the large one.
    pub large: u32,
    pub rounds: usize,
    /// What each node is sent in each round.
    pub objects: usize,
}

impl Default for GrowthOptions {
    fn default() -> Self {
        Self { small: 5_000, large: 5_000_000, rounds: 9, objects: 300 }
    }
}

/// Fills two nodes' databases by `seed`, which takes a database's URL and the number of instances, and measures both.
pub fn run(
    options: GrowthOptions,
    node: &NodeOptions,
    mut seed: impl FnMut(&str, u32) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let mut filled = |instances: u32| {
        let begin = Instant::now();
        let mut node = SoakNode::init(node.clone())?;
        seed(node.database_url(), instances)?;
        node.serve()?;
        anyhow::Ok((node, begin.elapsed()))
    };
    let (small, _) = filled(options.small)?;
    let (large, seeding) = filled(options.large)?;
    let mut slices = [Slices::new(8, 128), Slices::new(9, 128)];
    let mut measure = |which: usize, count: usize| {
        let node = [&small, &large][which];
        let mut sender = Sender::storage(node.address()?, 0, CT_IMAGE_STORAGE)?;
        let mut measured = Vec::with_capacity(count);
        for _ in 0..count {
            let object = slices[which].next_object();
            let begin = Instant::now();
            sender.store_object(&object)?;
            measured.push(begin.elapsed());
        }
        sender.release()?;
        anyhow::Ok(measured)
    };

    for which in [0, 1] {
        measure(which, options.objects)?;
    }
    let mut all: [Vec<Duration>; 2] = Default::default();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for round in 0..options.rounds {
        let mut of_round: [Vec<Duration>; 2] = Default::default();
        // Who comes first changes with each round.
        for which in [round % 2, 1 - round % 2] {
            of_round[which] = measure(which, options.objects)?;
        }
        for (ratios, percent) in ratios.iter_mut().zip([50.0, 99.0]) {
            ratios.push(percentile_ms(&of_round[1], percent) / percentile_ms(&of_round[0], percent));
        }
        for (all, of_round) in all.iter_mut().zip(of_round) {
            all.extend(of_round);
        }
    }
    let [median_ratios, worst_ratios] = ratios;
    let ratio = median(worst_ratios);

    let mut report = Report::new("index-growth");
    report
        .latest("small_index_instances", f64::from(options.small))
        .latest("large_index_instances", f64::from(options.large))
        .latest("rounds", options.rounds as f64)
        .latest("seeding_seconds", seeding.as_secs_f64())
        .latencies("small_index_p50_ms", "small_index_p99_ms", &all[0])
        .latencies("large_index_p50_ms", "large_index_p99_ms", &all[1])
        .latest("p50_ratio_median_of_rounds", median(median_ratios))
        .latest("p99_ratio_median_of_rounds", ratio)
        .latest("p99_ratio_of_all", percentile_ms(&all[1], 99.0) / percentile_ms(&all[0], 99.0))
        .latest("rss_small_mib", small.rss_peak_mib()?)
        .most("rss_peak_mib", large.rss_peak_mib()?)
        .promise(ratio <= 1.2, format!("the 99th percentile grew by {ratio:.2} with the index"));
    Ok(report)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
