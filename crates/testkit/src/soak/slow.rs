//! Senders that trickle: one byte and a pause, in the association request, in a command, in a data set. Beside them one that works.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::node::{NodeOptions, SoakNode};
use super::objects::Slices;
use super::sender::{self, Proposal, Sender};
use super::{MEMORY_LIMIT_MIB, Report};
use crate::synthetic::CT_IMAGE_STORAGE;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct SlowOptions {
    /// Of each of the three kinds.
    pub senders: u16,
    /// What the good sender sends, alone and then beside the others.
    pub objects: usize,
    /// Between two bytes.
    pub pause: Duration,
}

impl Default for SlowOptions {
    fn default() -> Self {
        Self { senders: 40, objects: 2000, pause: Duration::from_millis(50) }
    }
}

/// Where a sender trickles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Association,
    Command,
    DataSet,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Senders whose first slow byte has gone out.
    trickling: AtomicUsize,
    bytes: AtomicUsize,
    /// Connections that the node has ended.
    ended: AtomicUsize,
    refused: AtomicUsize,
}

pub fn run(node: NodeOptions, options: SlowOptions) -> anyhow::Result<Report> {
    let most = options.senders * 3 + 16;
    let node = node.with("dicom.max_associations", most).with("dicom.artim_seconds", 5);
    let node = SoakNode::start(node.with("dicom.dimse_timeout_seconds", 10))?;
    let address = node.address()?;
    let mut slices = Slices::new(6, 128);
    let mut send = || {
        let mut sender = Sender::storage(address, 0, CT_IMAGE_STORAGE)?;
        let begin = Instant::now();
        let mut measured = Vec::new();
        for _ in 0..options.objects {
            let object = slices.next_object();
            let begin = Instant::now();
            sender.store_object(&object)?;
            measured.push(begin.elapsed());
        }
        sender.release()?;
        anyhow::Ok((measured, options.objects as f64 / begin.elapsed().as_secs_f64()))
    };

    let (mut alone, rate_before) = send()?;
    let before = node.rss_mib()?;
    let shared = Shared::default();
    let (beside, rate_beside, with_slow) = std::thread::scope(|scope| {
        for number in 0..options.senders * 3 {
            let kind = [Kind::Association, Kind::Command, Kind::DataSet][usize::from(number % 3)];
            let shared = &shared;
            scope.spawn(move || trickle(address, 512 + number, kind, options.pause, shared));
        }
        let result = wait_for(&shared.trickling, usize::from(options.senders) * 3).and_then(|()| {
            let (beside, rate) = send()?;
            Ok((beside, rate, node.rss_mib()?))
        });
        shared.stop.store(true, Ordering::Relaxed);
        result
    })?;
    // Before and after, because the machine may have had more or less to do.
    let (after, rate_after) = send()?;
    alone.extend(after);
    let rate_alone = (rate_before + rate_after) / 2.0;
    let peak = node.rss_peak_mib()?;

    let mut report = Report::new("slow");
    report
        .latest("slow_senders", f64::from(options.senders) * 3.0)
        .sum("objects", (alone.len() + beside.len()) as f64)
        .latencies("alone_p50_ms", "alone_p99_ms", &alone)
        .latencies("beside_slow_p50_ms", "beside_slow_p99_ms", &beside)
        .latest("alone_per_second", rate_alone)
        .latest("beside_slow_per_second", rate_beside)
        .latest("throughput_ratio", rate_beside / rate_alone)
        .sum("slow_bytes", shared.bytes.load(Ordering::Relaxed) as f64)
        .sum("slow_connections_ended", shared.ended.load(Ordering::Relaxed) as f64)
        .sum("slow_connections_refused", shared.refused.load(Ordering::Relaxed) as f64)
        .latest("rss_before_mib", before)
        .latest("rss_with_slow_mib", with_slow)
        .most("rss_peak_mib", peak)
        .promise(rate_beside > rate_alone / 2.0, "the good sender came down to less than half")
        .promise(peak < MEMORY_LIMIT_MIB, format!("the node used {peak:.0} MiB"));
    Ok(report)
}

fn wait_for(count: &AtomicUsize, wanted: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    while count.load(Ordering::Relaxed) < wanted {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(120), "the slow senders do not come to trickle");
        std::thread::yield_now();
    }
    Ok(())
}

/// Connects and trickles, and begins again when the node has ended it, until told to stop.
fn trickle(address: SocketAddr, host: u16, kind: Kind, pause: Duration, shared: &Shared) {
    let mut first = true;
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((mut stream, bytes)) = begin(address, host, kind) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(pause);
            continue;
        };
        for byte in bytes {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            // The pause is what this sender is; nobody waits for it.
            if stream.write_all(&[byte]).is_err() || closed(&mut stream) {
                shared.ended.fetch_add(1, Ordering::Relaxed);
                break;
            }
            shared.bytes.fetch_add(1, Ordering::Relaxed);
            if std::mem::take(&mut first) {
                shared.trickling.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(pause);
        }
    }
}

/// The socket, at the point where it begins to be slow, and what it sends from there.
fn begin(address: SocketAddr, host: u16, kind: Kind) -> anyhow::Result<(TcpStream, Box<dyn Iterator<Item = u8>>)> {
    let proposals = Proposal::storage(CT_IMAGE_STORAGE);
    if kind == Kind::Association {
        let stream = sender::connect(address, host)?;
        return Ok((stream, Box::new(sender::associate_request(&proposals).into_iter())));
    }
    let mut association = Sender::associate(address, host, &proposals)?;
    let context = association.context(CT_IMAGE_STORAGE)?;
    let request = sender::store_request(context, CT_IMAGE_STORAGE, "2.25.1");
    let bytes: Box<dyn Iterator<Item = u8>> = match kind {
        Kind::Command => Box::new(request.into_iter().chain([4, 0])),
        _ => {
            association.stream().write_all(&request)?;
            let mut header = Vec::new();
            sender::put_header(&mut header, context, 0, 100_000);
            Box::new(header.into_iter().chain(*b"\x08\0\x05\0CS\x0a\0ISO_IR 100").chain(std::iter::repeat(0)))
        }
    };
    Ok((association.stream().try_clone()?, bytes))
}

/// Whether the node has closed or aborted; what it sends is not looked at.
fn closed(stream: &mut TcpStream) -> bool {
    let mut some = [0; 64];
    let read = stream.set_nonblocking(true).and_then(|()| stream.read(&mut some));
    let _ = stream.set_nonblocking(false);
    !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}
