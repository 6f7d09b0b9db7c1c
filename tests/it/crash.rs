//! kill -9 at any moment: what was acknowledged is there afterwards, in the index, and again after the index itself was lost.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dokuei_dimse::Status;
use dokuei_testkit::{
    Cluster,
    data_set::Encoding,
    eventually,
    postgres::{Durability, PostgresError},
    synthetic::CtImage,
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::harness::{
    CT, Index, Object, PATIENCE, SlowSender, TestNode, associate, echo, scu, send, send_from, synthetic,
};

on_both_databases!(
    what_was_acknowledged_survives_kill_and_the_loss_of_the_index,
    a_crowd_of_small_objects_survives_too
);

/// What each study must hold.
type Expected = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

fn expect(expected: &mut Expected, image: &CtImage) {
    let study = expected.entry(image.study_instance_uid.clone()).or_default();
    study.insert(image.sop_instance_uid.clone(), image.data_set(Encoding::ExplicitLittleEndian));
}

/// Every expected object is there and equal; others may be: what was committed a moment before the answer could leave.
async fn holds(node: &TestNode, expected: &Expected) {
    for (study, objects) in expected {
        let stored = node.export_study("HOSP1", study).await;
        for (instance, data_set) in objects {
            assert!(stored.get(instance) == Some(data_set), "acknowledged object {instance} is lost or changed");
        }
    }
}

pub(crate) async fn what_was_acknowledged_survives_kill_and_the_loss_of_the_index(index: Index) {
    let mut node = TestNode::start(index).await;
    // Four senders at work, a fifth one in the middle of an object.
    let studies: Vec<_> = (0..4).map(|seed| synthetic(400, 200 + seed)).collect();
    let acknowledged = Arc::new(Mutex::new(Expected::new()));
    let slow = SlowSender::begin(&node, "HOSP1", 299).await;
    let mut senders = Vec::new();
    for images in studies.clone() {
        let mut association = scu(&node, "HOSP1").await;
        let acknowledged = Arc::clone(&acknowledged);
        senders.push(tokio::spawn(async move {
            for image in images {
                match send(&mut association, &Object::ct(&image)).await {
                    Ok(status) => {
                        assert_eq!(status, Status::SUCCESS);
                        expect(&mut acknowledged.lock().unwrap(), &image);
                    }
                    Err(_) => return,
                }
            }
        }));
    }
    let count = || acknowledged.lock().unwrap().values().map(BTreeMap::len).sum::<usize>();
    eventually("60 acknowledged objects", PATIENCE, || async { (count() >= 60).then_some(()) }).await.unwrap();

    node.kill();

    for sender in senders {
        sender.await.unwrap();
    }
    slow.finish().await.map(|(status, _)| status).expect_err("a killed node has answered");
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(count() < 1600, "everything was sent before the kill; nothing was in flight");
    holds(&node, &acknowledged).await;

    // It starts again by itself, has what it had, and takes the rest; what it had already is success.
    node.serve().await;
    holds(&node, &acknowledged).await;
    let mut all = Expected::new();
    let mut association = scu(&node, "HOSP1").await;
    for image in studies.iter().flat_map(|images| images.iter().take(60)) {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
        expect(&mut all, image);
    }
    association.release().await.unwrap();
    assert_eq!(node.cli(&["quarantine", "list"]).await, serde_json::json!([]));
    node.stop().await;

    node.lose_database();
    let rebuilt = node.cli(&["rebuild-index"]).await;
    assert_eq!(rebuilt["objects"]["unreadable"], serde_json::json!([]), "{rebuilt}");
    assert_eq!(rebuilt["objects"]["quarantined"], 0, "{rebuilt}");
    holds(&node, &acknowledged).await;
    holds(&node, &all).await;
    // Once more changes nothing.
    let again = node.cli(&["rebuild-index"]).await;
    assert_eq!(again["objects"]["added"], 0, "{again}");
    assert_eq!(again["objects"]["already_indexed"], rebuilt["objects"]["added"], "{again}");
}

/// The same many times over, each kill at another moment.
async fn a_crowd_of_small_objects_survives_too(index: Index) {
    let mut node = TestNode::start(index).await;
    let mut acknowledged = Expected::new();
    for round in 0..4 {
        let images = synthetic(200, 300 + round);
        let mut association = scu(&node, "HOSP1").await;
        for image in &images[..1 + 9 * usize::try_from(round).unwrap()] {
            assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
            expect(&mut acknowledged, image);
        }
        // Right behind the answer, while the next object is on its way.
        let next = tokio::spawn(async move { send(&mut association, &Object::ct(&images[199])).await.map(drop) });
        node.kill();
        // Either way is right, as long as it was not acknowledged.
        let _ = next.await.unwrap();
        node.serve().await;
    }
    holds(&node, &acknowledged).await;
    assert_eq!(echo(&node, "HOSP1").await.unwrap(), Status::SUCCESS);
    node.stop().await;
}

#[tokio::test]
async fn a_power_cut_of_postgres_loses_nothing_acknowledged() {
    let cluster = match Cluster::start(Durability::Durable) {
        Err(PostgresError::Missing) => return drop(Index::postgres()),
        started => started.unwrap(),
    };
    let mut node = TestNode::start(Index::Postgres(cluster.create_database().unwrap())).await;
    let images = synthetic(40, 400);
    let mut acknowledged = Expected::new();
    let mut association = scu(&node, "HOSP1").await;
    for image in &images[..20] {
        assert_eq!(send(&mut association, &Object::ct(image)).await.unwrap(), Status::SUCCESS);
        expect(&mut acknowledged, image);
    }

    cluster.crash().unwrap();
    // Without its index the node promises nothing, and says that trying again makes sense.
    let refused = send(&mut association, &Object::ct(&images[20])).await.unwrap();
    assert_eq!(refused, Status::OUT_OF_RESOURCES);
    cluster.restart().unwrap();

    // The node finds its database again without being told.
    let taken = eventually("reception after the restart", PATIENCE, || {
        let (node, object) = (&node, Object::ct(&images[20]));
        async move {
            let mut association = associate(node, "HOSP1", &[(CT, &["1.2.840.10008.1.2.1"])]).await.ok()?;
            send(&mut association, &object).await.ok().filter(|status| status.is_success())
        }
    });
    taken.await.unwrap();
    expect(&mut acknowledged, &images[20]);
    holds(&node, &acknowledged).await;
    node.stop().await;
}

/// The data set of a multi-frame object whose pixels are made as they are read.
struct Endless {
    head: Vec<u8>,
    position: u64,
    length: u64,
}

impl Endless {
    /// A CT whose pixel data have this length.
    fn new(image: &CtImage, pixels: u32) -> Self {
        let mut head = image.data_set(Encoding::ExplicitLittleEndian);
        let small = usize::from(image.size).pow(2) * 2;
        head.truncate(head.len() - small - 4);
        head.extend(pixels.to_le_bytes());
        let length = head.len() as u64 + u64::from(pixels);
        Self { head, position: 0, length }
    }

    /// A different byte at each position of a megabyte and more.
    fn byte_at(&self, position: u64) -> u8 {
        let at = usize::try_from(position).unwrap();
        self.head.get(at).copied().unwrap_or_else(|| (position ^ (position >> 8) ^ (position >> 16)).to_le_bytes()[0])
    }
}

impl AsyncRead for Endless {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let most = (into.remaining() as u64).min(self.length - self.position);
        let bytes: Vec<u8> = (self.position..self.position + most).map(|position| self.byte_at(position)).collect();
        into.put_slice(&bytes);
        self.position += most;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_large_object_passes_through_little_memory() {
    passes_through_little_memory(Index::Sqlite, 240 << 20).await;
}

/// An object with so many bytes of pixel data.
pub(crate) async fn passes_through_little_memory(index: Index, pixels: u32) {
    let mut node = TestNode::start(index).await;
    let mut image = synthetic(1, 500).remove(0);
    image.size = 64;
    let mut source = Endless::new(&image, pixels);
    let length = source.length;

    let mut association = scu(&node, "HOSP1").await;
    let idle = node.peak_memory_mib();
    let status = {
        let object = Object { data_set: Vec::new(), ..Object::ct(&image) };
        send_from(&mut association, &object, &mut source, length).await.unwrap()
    };
    assert_eq!(status, Status::SUCCESS);
    association.release().await.unwrap();
    let peak = node.peak_memory_mib();
    assert!(peak < 256, "{peak} MiB were in use for one object of {} MiB", length >> 20);
    // However large it is: a few parts at most.
    assert!(peak - idle < 40, "{} MiB were needed for one object of {} MiB", peak - idle, length >> 20);

    // All of it is there.
    let folder = tempfile::tempdir_in(node.folder()).unwrap();
    let path = folder.path().to_str().unwrap();
    node.cli(&["export", "--facility", "HOSP1", "--instance", &image.sop_instance_uid, path]).await;
    let file = folder.path().join(format!("{}.dcm", image.sop_instance_uid));
    let size = file.metadata().unwrap().len();
    let wanted = Endless::new(&image, pixels);
    let offset = size - length;
    let mut reader = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(&file).unwrap());
    std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(offset)).unwrap();
    let mut position = 0;
    loop {
        let chunk = std::io::BufRead::fill_buf(&mut reader).unwrap();
        let count = chunk.len();
        if count == 0 {
            break;
        }
        let same = chunk.iter().zip(position..).all(|(byte, position)| *byte == wanted.byte_at(position));
        assert!(same, "different bytes after {position}");
        position += count as u64;
        std::io::BufRead::consume(&mut reader, count);
    }
    assert_eq!(position, length);
    node.stop().await;
}
