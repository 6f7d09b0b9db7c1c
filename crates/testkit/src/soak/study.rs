//! One study of very many small objects, over a few associations at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::node::{NodeOptions, SoakNode};
use super::objects::{Hash, Object, Slices, hash_of, hash_of_data_set};
use super::sender::Sender;
use super::{MEMORY_LIMIT_MIB, Report, report::percentile_ms};
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct StudyOptions {
    pub instances: usize,
    pub associations: u16,
    /// Rows and columns of each.
    pub size: u16,
}

impl Default for StudyOptions {
    fn default() -> Self {
        Self { instances: 24_000, associations: 4, size: 64 }
    }
}

pub fn run(node: NodeOptions, options: StudyOptions) -> anyhow::Result<Report> {
    let node = SoakNode::start(node)?;
    let address = node.address()?;
    let slices = Mutex::new((Slices::new(5, options.size), options.instances));
    let study = slices.lock().map(|made| made.0.study.clone()).unwrap_or_default();
    let next = || -> Option<Object> {
        let mut made = slices.lock().ok()?;
        made.1 = made.1.checked_sub(1)?;
        Some(made.0.next_object())
    };
    let send = || {
        let mut sender = Sender::storage(address, 0, CT_IMAGE_STORAGE)?;
        let (mut measured, mut sent) = (Vec::new(), BTreeMap::new());
        while let Some(object) = next() {
            let begin = Instant::now();
            sender.store_object(&object)?;
            measured.push((begin, begin.elapsed()));
            sent.insert(object.sop_instance, hash_of(&object.data_set[..])?);
        }
        sender.release()?;
        anyhow::Ok((measured, sent))
    };

    let begin = Instant::now();
    let sent = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..options.associations).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender ends")).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let peak = node.rss_peak_mib()?;
    let mut measured: Vec<_> = sent.iter().flat_map(|(measured, _)| measured.iter().copied()).collect();
    measured.sort_unstable();
    let measured: Vec<Duration> = measured.into_iter().map(|(_, took)| took).collect();
    let sent: BTreeMap<String, Hash> = sent.into_iter().flat_map(|(_, sent)| sent).collect();
    ensure!(sent.len() == options.instances, "{} objects were made", sent.len());

    let exported = node.export_study(&study)?;
    let mut found = 0;
    let mut wrong = 0;
    for entry in std::fs::read_dir(exported.path())? {
        let path = entry?.path();
        let uid = path.file_stem().and_then(|name| name.to_str()).context("a file without a name")?;
        found += 1;
        wrong += usize::from(sent.get(uid) != Some(&hash_of_data_set(&path)?));
    }
    // A node that gets slower with each object of a study shows it here.
    let tenth = measured.len().div_ceil(10).max(1);
    let (first, last) = (&measured[..tenth], &measured[measured.len() - tenth..]);
    let slower = percentile_ms(last, 50.0) / percentile_ms(first, 50.0);

    let mut report = Report::new("study");
    report
        .sum("instances", sent.len() as f64)
        .latest("associations", f64::from(options.associations))
        .latest("seconds", seconds)
        .latest("instances_per_second", sent.len() as f64 / seconds)
        .latencies("p50_ms", "p99_ms", &measured)
        .latencies("first_tenth_p50_ms", "first_tenth_p99_ms", first)
        .latencies("last_tenth_p50_ms", "last_tenth_p99_ms", last)
        .latest("last_to_first_p50", slower)
        .most("rss_peak_mib", peak)
        .sum("exported", found as f64)
        // Of a few hundred objects it says nothing but what else the machine did.
        .promise(
            slower < 3.0 || sent.len() < 10_000,
            format!("the last objects took {slower:.1} times as long as the first"),
        )
        .promise(found == sent.len(), format!("{found} of {} objects came out", sent.len()))
        .promise(wrong == 0, format!("{wrong} objects came out changed"))
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}
