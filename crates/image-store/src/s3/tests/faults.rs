//! Servers that refuse, break off, lose answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dokuei_testkit::S3Server;
use dokuei_testkit::s3::{Fault, RequestHead};

use super::{impatient, open, try_open};
use crate::conformance::{self, instance, keys, sha256};
use crate::s3::Limits;
use crate::s3::part::Memory;
use crate::{ImageStore, Receipt, StoreError, StoreErrorKind};

const SHORT: usize = 300_000;
/// Two parts.
const LONG: usize = 9_500_000;

/// The same bytes as `conformance::noise`, made once.
fn noise(len: usize) -> Vec<u8> {
    static LONGEST: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    LONGEST.get_or_init(|| conformance::noise(LONG))[..len].to_vec()
}

async fn store_blob(store: &ImageStore, number: u128, bytes: usize) -> Result<Receipt, StoreError> {
    let mut staged = store.stage(instance("HOSP1", number), Bytes::from_static(b"head")).await?;
    for chunk in noise(bytes).chunks(500_000) {
        staged.write(Bytes::copy_from_slice(chunk)).await?;
    }
    staged.commit().await
}

async fn holds(store: &ImageStore, number: u128, bytes: usize) {
    let stored = store.read_to_vec(&instance("HOSP1", number), 1 << 30).await.unwrap();
    assert!(stored == [b"head".as_slice(), &noise(bytes)].concat(), "blob {number} is not what was stored");
}

/// Makes every `n`th request of those that `which` picks go wrong.
fn now_and_then(server: &S3Server, n: u32, fault: Fault, which: fn(&RequestHead) -> bool) -> Arc<AtomicU32> {
    let hit = Arc::new(AtomicU32::new(0));
    let (counted, mut seen) = (Arc::clone(&hit), 0);
    server.set_faults(move |head| {
        if which(head) {
            seen += 1;
            if seen % n == 1 % n {
                counted.fetch_add(1, Ordering::Relaxed);
                return fault;
            }
        }
        Fault::None
    });
    hit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_breaks_off_or_loses_answers_now_and_then_stores_everything_once() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    let mut number = 0;
    for fault in [Fault::Refuse(503), Fault::Refuse(500), Fault::CutAfter(50_000), Fault::LoseAnswer] {
        let hit = now_and_then(&server, 3, fault, |_| true);
        for bytes in [SHORT, LONG] {
            number += 1;
            let receipt =
                store_blob(&store, number, bytes).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_eq!(receipt.payload_sha256, sha256(&noise(bytes)), "{fault:?}");
        }
        assert!(hit.load(Ordering::Relaxed) > 1, "{fault:?} never happened");
        server.set_faults(|_| Fault::None);
    }
    for blob in 1..=number {
        holds(&store, blob, if blob % 2 == 1 { SHORT } else { LONG }).await;
    }
    assert_eq!(keys(&store, "").await.len(), usize::try_from(number).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_does_not_make_our_own_blob_somebody_elses() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    for (number, bytes) in [(1, SHORT), (2, LONG)] {
        // Every write is carried out and none is answered, first and last alike.
        let lost = now_and_then(&server, 2, Fault::LoseAnswer, |head| {
            (head.method == "PUT" && head.query.is_empty())
                || (head.method == "POST" && head.query.starts_with("uploadId"))
        });
        store_blob(&store, number, bytes).await.unwrap();
        assert!(lost.load(Ordering::Relaxed) > 0);
        server.set_faults(|_| Fault::None);
        holds(&store, number, bytes).await;
        // Whoever comes later is told that the key is taken, whatever happens to the answers.
        now_and_then(&server, 2, Fault::LoseAnswer, |head| head.method != "HEAD");
        assert_eq!(store_blob(&store, number, bytes).await.unwrap_err().kind, StoreErrorKind::AlreadyExists);
        server.set_faults(|_| Fault::None);
    }
    assert_eq!(server.parts_of_unfinished_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_unavailable_within_bounds_and_leaves_nothing() {
    let server = S3Server::start().unwrap();
    let limits = Limits { retrying: Duration::from_millis(200), ..impatient() };
    let store = try_open(&server.url(""), limits, &std::env::temp_dir()).await.unwrap();
    store.put(instance("HOSP1", 9), Bytes::from_static(b"before")).await.unwrap();
    let mut begun = store.stage(instance("HOSP1", 1), Bytes::new()).await.unwrap();
    begun.write(Bytes::from(noise(SHORT))).await.unwrap();

    for status in [500, 503, 429] {
        server.set_faults(move |_| Fault::Refuse(status));
        assert_eq!(store_blob(&store, 2, SHORT).await.unwrap_err().kind, StoreErrorKind::Unavailable, "{status}");
        assert_eq!(store_blob(&store, 3, LONG).await.unwrap_err().kind, StoreErrorKind::Unavailable, "{status}");
        assert_eq!(store.exists(&instance("HOSP1", 9)).await.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(store.open(&instance("HOSP1", 9)).await.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(store.list("").next().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    }
    server.set_faults(|_| Fault::Refuse(507));
    assert_eq!(store_blob(&store, 4, SHORT).await.unwrap_err().kind, StoreErrorKind::OutOfSpace);
    server.set_faults(|_| Fault::Refuse(403));
    assert_eq!(store_blob(&store, 4, SHORT).await.unwrap_err().kind, StoreErrorKind::Unavailable);

    // It works again by itself, also for what was begun before.
    server.set_faults(|_| Fault::None);
    assert_eq!(keys(&store, "").await, [instance("HOSP1", 9).as_str()]);
    begun.commit().await.unwrap();
    store_blob(&store, 2, SHORT).await.unwrap();
    assert_eq!(server.parts_of_unfinished_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_blob_that_failed_stays_failed_and_is_gone_at_the_server() {
    let server = S3Server::start().unwrap();
    let limits = Limits { retrying: Duration::from_millis(50), ..impatient() };
    let store = try_open(&server.url(""), limits, &std::env::temp_dir()).await.unwrap();
    let mut staged = store.stage(instance("HOSP1", 1), Bytes::new()).await.unwrap();
    staged.write(Bytes::from(noise(9_000_000))).await.unwrap();
    now_and_then(&server, 1, Fault::Refuse(503), |head| head.query.contains("partNumber"));
    let mut result = Ok(());
    for _ in 0..4 {
        result = result.and(staged.write(Bytes::from(noise(9_000_000))).await);
    }
    assert_eq!(result.unwrap_err().kind, StoreErrorKind::Unavailable);
    server.set_faults(|_| Fault::None);
    assert_eq!(staged.write(Bytes::from_static(b"more")).await.unwrap_err().kind, StoreErrorKind::Internal);
    assert_eq!(staged.commit().await.unwrap_err().kind, StoreErrorKind::Internal);
    let gone = async {
        while server.parts_of_unfinished_uploads() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the upload is aborted");
    assert!(keys(&store, "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_in_the_middle_is_read_on_from_there() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    store_blob(&store, 1, LONG).await.unwrap();
    let hit = now_and_then(&server, 2, Fault::CutAnswer, |head| head.method == "GET");
    holds(&store, 1, LONG).await;
    assert_eq!(store.payload_sha256(&instance("HOSP1", 1), 4).await.unwrap(), sha256(&noise(LONG)));
    assert!(hit.load(Ordering::Relaxed) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changed_after_it_was_opened_is_damage_and_not_a_mixture() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    let key = instance("HOSP1", 1);
    store.put(key.clone(), Bytes::from(noise(900_000))).await.unwrap();
    let mut reader = store.open(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    store.put(key.clone(), Bytes::from(vec![7; 900_000])).await.unwrap();
    assert_eq!(reader.next_chunk().await.map(drop).unwrap_err().kind, StoreErrorKind::Corrupt);
    assert_eq!(reader.read_range(0, 10).await.map(drop).unwrap_err().kind, StoreErrorKind::Corrupt);
}

/// Forty senders stop in the middle of their objects; the forty-first is not kept waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_that_stop_do_not_keep_others_out() {
    let server = S3Server::start().unwrap();
    let limits = Limits { memory: Memory::Own { bytes: 2_000_000, from_disk: 1 }, ..impatient() };
    let store = try_open(&server.url(""), limits, &std::env::temp_dir()).await.unwrap();
    let mut stopped = Vec::new();
    for number in 100..140 {
        let mut staged = store.stage(instance("HOSP1", number), Bytes::new()).await.unwrap();
        staged.write(Bytes::from(noise(SHORT))).await.unwrap();
        stopped.push(staged);
    }
    store_blob(&store, 1, SHORT).await.unwrap();
    store_blob(&store, 2, LONG).await.unwrap();
    // They go on, and all of them are whole.
    for mut staged in stopped {
        staged.write(Bytes::from_static(b"end")).await.unwrap();
        staged.commit().await.unwrap();
    }
    let stored = store.read_to_vec(&instance("HOSP1", 120), 1 << 20).await.unwrap();
    assert!(stored == [noise(SHORT).as_slice(), b"end"].concat());
    assert_eq!(keys(&store, "").await.len(), 42);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_staged_blob_removes_what_was_sent() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    let mut staged = store.stage(instance("HOSP1", 1), Bytes::new()).await.unwrap();
    staged.write(Bytes::from(noise(LONG))).await.unwrap();
    drop(staged);
    let gone = async {
        // Begun, and then ended: the server has forgotten its parts.
        while server.parts_of_unfinished_uploads() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the upload is aborted");
    assert!(keys(&store, "").await.is_empty());
}

/// What is listed as unfinished is aborted when it is a day old by the server's clock, wherever its writer was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_ends_uploads_that_are_a_day_old_by_the_servers_clock() {
    const BODY: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
        <Upload><Key>v1/HOSP1/old</Key><UploadId>old</UploadId><Initiated>2026-11-20T10:00:00.000Z</Initiated></Upload>\
        <Upload><Key>v1/HOSP1/young</Key><UploadId>young</UploadId><Initiated>2026-11-21T10:00:01.000Z</Initiated></Upload>\
        <Upload><Key>v1/HOSP1/later</Key><UploadId>later</UploadId><Initiated>2026-11-23T10:00:00.000Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    let answer: &str = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        )
        .into_boxed_str(),
    );
    let server = S3Server::start().unwrap();
    let store = open(&server, "").await;
    let aborted = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&aborted);
    server.set_faults(move |head| match head.method.as_str() {
        "GET" => Fault::Answer(answer),
        "DELETE" => {
            seen.lock().unwrap().push(head.query.clone());
            Fault::Refuse(204)
        }
        _ => Fault::None,
    });
    assert_eq!(store.sweep_staging(Duration::from_secs(86_400)).await.unwrap(), 1);
    // However little is asked for: another node's writer may be alive.
    assert_eq!(store.sweep_staging(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(*aborted.lock().unwrap(), ["uploadId=old", "uploadId=old"]);

    // A server that cannot list them is no failure.
    server.set_faults(|_| Fault::None);
    assert_eq!(store.sweep_staging(Duration::ZERO).await.unwrap(), 0);
}
