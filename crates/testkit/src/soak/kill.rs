//! kill -9 again and again while several senders are at work, and a strict ledger: what was acknowledged is there and equal, and what is
//! there was sent whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::node::{NodeOptions, SoakNode};
use super::objects::{Hash, Object, Slices, hash_of, hash_of_data_set};
use super::sender::Sender;
use super::{MEMORY_LIMIT_MIB, Report};
use crate::SeededEntropy;
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct KillOptions {
    pub kills: u32,
    pub senders: u16,
    /// At most so many acknowledgments between two kills.
    pub acknowledgments: u8,
    /// Rows and columns of what the even senders send; the odd ones send small objects.
    pub size: u16,
    /// Decides the moments and the objects.
    pub seed: u64,
}

impl Default for KillOptions {
    fn default() -> Self {
        Self { kills: 50, senders: 4, acknowledgments: 40, size: 256, seed: 0 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Begun,
    /// All bytes have left the sender.
    Whole,
    Acknowledged,
}

#[derive(Debug, Default)]
struct Ledger {
    /// By SOP Instance UID: which sender's study, what must come out, how far it went.
    objects: BTreeMap<String, (usize, Hash, Stage)>,
    acknowledged: usize,
    /// Senders that gave up before the node was killed, and why.
    failures: Vec<String>,
    /// The node may go away from now on.
    killing: bool,
}

#[derive(Debug, Default)]
struct SharedLedger {
    ledger: Mutex<Ledger>,
    changed: Condvar,
}

impl SharedLedger {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self, uid: &str, stage: Stage) {
        let mut ledger = self.lock();
        if let Some(entry) = ledger.objects.get_mut(uid) {
            entry.2 = entry.2.max(stage);
        }
        ledger.acknowledged += usize::from(stage == Stage::Acknowledged);
        self.changed.notify_all();
    }

    /// Waits for so many acknowledgments in all, or for a sender that failed.
    fn wait_for(&self, acknowledged: usize) -> anyhow::Result<()> {
        let waiting = |ledger: &mut Ledger| ledger.acknowledged < acknowledged && ledger.failures.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), Duration::from_secs(120), waiting);
        let (ledger, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(!timeout.timed_out(), "only {} objects were acknowledged", ledger.acknowledged);
        Ok(())
    }
}

/// One sender over all rounds: what it sends, and what it still has no answer for.
#[derive(Debug)]
struct Line {
    slices: Slices,
    unanswered: Option<Object>,
}

pub fn run(node: NodeOptions, options: KillOptions) -> anyhow::Result<Report> {
    let mut node = SoakNode::start(node)?;
    let entropy = SeededEntropy::new(options.seed);
    let ledger = SharedLedger::default();
    let mut lines: Vec<_> = (0..options.senders)
        .map(|number| {
            let size = if number % 2 == 0 { options.size } else { 16 };
            Line { slices: Slices::new(options.seed.wrapping_add(u64::from(number) + 1), size), unanswered: None }
        })
        .collect();
    let (mut peak, mut starts): (f64, Vec<Duration>) = (0.0, Vec::new());
    let (mut half_sent, mut unacknowledged) = (0_usize, 0_usize);
    for _ in 0..options.kills {
        let address = node.address()?;
        let mut random = [0];
        dokuei_domain::Entropy::fill(&entropy, &mut random);
        let more = usize::from(random[0]) % (usize::from(options.acknowledgments) + 1);
        std::thread::scope(|scope| {
            for (number, line) in lines.iter_mut().enumerate() {
                let ledger = &ledger;
                scope.spawn(move || send(address, number, line, ledger));
            }
            let acknowledged = ledger.lock().acknowledged;
            let waited = ledger.wait_for(acknowledged + more);
            peak = peak.max(node.rss_peak_mib()?);
            ledger.lock().killing = true;
            node.kill()?;
            waited
        })?;
        ledger.lock().killing = false;
        let begin = Instant::now();
        node.serve()?;
        starts.push(begin.elapsed());
        // Before anything is sent again.
        for object in lines.iter().filter_map(|line| line.unanswered.as_ref()) {
            let stage = ledger.lock().objects.get(&object.sop_instance).map(|(.., stage)| *stage);
            if node.has_instance(&object.sop_instance)? {
                let count = if stage == Some(Stage::Begun) { &mut half_sent } else { &mut unacknowledged };
                *count += 1;
            }
        }
    }
    // What had no answer is sent again, as a hospital's system does, and taken.
    let address = node.address()?;
    for (number, line) in lines.iter_mut().enumerate() {
        if let Some(object) = line.unanswered.take() {
            Sender::storage(address, host(number), CT_IMAGE_STORAGE)?.store_object(&object)?;
            ledger.reach(&object.sop_instance, Stage::Acknowledged);
        }
    }
    let held = node.cli(&["quarantine", "list"])?;
    peak = peak.max(node.rss_peak_mib()?);
    let mut checked = check(&node, &lines, &ledger.lock())?;
    checked.not_whole += half_sent;
    node.stop()?;

    let failures = std::mem::take(&mut ledger.lock().failures);
    let mut report = Report::new("kill");
    report
        .sum("kills", f64::from(options.kills))
        .latest("senders", f64::from(options.senders))
        .sum("acknowledged", checked.acknowledged as f64)
        .sum("stored_without_answer", unacknowledged as f64)
        .sum("lost", checked.lost as f64)
        .sum("changed", checked.changed as f64)
        .sum("visible_but_not_sent_whole", checked.not_whole as f64)
        .latencies("start_p50_ms", "start_p99_ms", &starts)
        .most("rss_peak_mib", peak)
        .promise(checked.lost == 0, format!("{} acknowledged objects are lost", checked.lost))
        .promise(checked.changed == 0, format!("{} objects came out changed", checked.changed))
        .promise(checked.not_whole == 0, format!("{} objects show that were not sent whole", checked.not_whole))
        .promise(held.as_array().is_some_and(Vec::is_empty), format!("objects are held in quarantine: {held}"))
        .promise(failures.is_empty(), format!("senders failed while the node was up: {failures:?}"))
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}

fn host(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX).saturating_add(2)
}

/// Sends until the node is gone.
fn send(address: SocketAddr, number: usize, line: &mut Line, shared: &SharedLedger) {
    let sending = || -> anyhow::Result<()> {
        let mut sender = Sender::storage(address, host(number), CT_IMAGE_STORAGE)?;
        loop {
            let object = match line.unanswered.take() {
                Some(object) => object,
                None => line.slices.next_object(),
            };
            let hash = hash_of(&object.data_set[..])?;
            shared.lock().objects.entry(object.sop_instance.clone()).or_insert((number, hash, Stage::Begun));
            let length = object.data_set.len() as u64;
            let whole = || shared.reach(&object.sop_instance, Stage::Whole);
            let status = sender.store(object.sop_class, &object.sop_instance, length, &object.data_set[..], whole);
            if status.as_ref().is_ok_and(|status| *status == 0) {
                shared.reach(&object.sop_instance, Stage::Acknowledged);
                continue;
            }
            line.unanswered = Some(object);
            ensure!(status? == 0, "an object was refused");
        }
    };
    let mut sending = sending;
    if let Err(error) = sending() {
        let mut ledger = shared.lock();
        if !ledger.killing {
            ledger.failures.push(format!("{error:#}"));
            shared.changed.notify_all();
        }
    }
}

#[derive(Debug, Default)]
struct Checked {
    acknowledged: usize,
    lost: usize,
    changed: usize,
    not_whole: usize,
}

/// Exports every study and compares it with the ledger.
fn check(node: &SoakNode, lines: &[Line], ledger: &Ledger) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    for (number, line) in lines.iter().enumerate() {
        let mut expected: BTreeMap<&str, (Hash, Stage)> = ledger
            .objects
            .iter()
            .filter(|(_, (of, ..))| *of == number)
            .map(|(uid, (_, hash, stage))| (uid.as_str(), (*hash, *stage)))
            .collect();
        let acknowledged = expected.values().filter(|(_, stage)| *stage == Stage::Acknowledged).count();
        checked.acknowledged += acknowledged;
        if acknowledged == 0 {
            continue;
        }
        let exported = node.export_study(&line.slices.study)?;
        for entry in std::fs::read_dir(exported.path())? {
            let path = entry?.path();
            let uid = path.file_stem().and_then(|name| name.to_str()).context("a file without a name")?;
            match expected.remove(uid) {
                Some((hash, stage)) => {
                    checked.changed += usize::from(hash_of_data_set(&path)? != hash);
                    checked.not_whole += usize::from(stage == Stage::Begun);
                }
                None => checked.not_whole += 1,
            }
        }
        checked.lost += expected.values().filter(|(_, stage)| *stage == Stage::Acknowledged).count();
    }
    Ok(checked)
}
