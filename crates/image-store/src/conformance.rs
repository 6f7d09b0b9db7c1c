//! What every kind of store promises. Each function takes an empty store; a kind of store passes when all of them pass on it.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use dokuei_domain::{BlobId, FacilityId, ReportVersionId};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::{BlobKey, ImageStore, ReportFile, StoreErrorKind};

pub(crate) fn instance(facility: &str, number: u128) -> BlobKey {
    BlobKey::instance(&FacilityId::parse(facility).unwrap(), BlobId(uuid::Uuid::from_u128(number)))
}

fn report(facility: &str, number: u128, file: ReportFile) -> BlobKey {
    BlobKey::report_file(&FacilityId::parse(facility).unwrap(), ReportVersionId(uuid::Uuid::from_u128(number)), file)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

/// Bytes that differ everywhere, so that a chunk lost, doubled or swapped shows.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub(crate) async fn keys(store: &ImageStore, prefix: &str) -> Vec<String> {
    let mut list = store.list(prefix);
    let mut keys = Vec::new();
    while let Some((key, _)) = list.next().await.unwrap() {
        keys.push(key.as_str().to_owned());
    }
    keys
}

pub(crate) async fn a_committed_blob_comes_back_byte_for_byte(store: &ImageStore) {
    let (head, payload) = (b"our own header".as_slice(), noise(3_000_001));
    let key = instance("HOSP1", 1);

    let mut staged = store.stage(key.clone(), Bytes::from_static(head)).await.unwrap();
    // Every size of chunk that a sender may choose, none among them.
    let mut rest = payload.as_slice();
    for size in [0, 1, 16_384, 131_072, 7, 1_000_000].into_iter().cycle() {
        let (chunk, remaining) = rest.split_at(size.min(rest.len()));
        staged.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        rest = remaining;
        if rest.is_empty() {
            break;
        }
    }
    let receipt = staged.commit().await.unwrap();

    let whole = [head, &payload].concat();
    assert_eq!(receipt.key, key);
    assert_eq!(receipt.size, whole.len() as u64);
    assert_eq!(receipt.payload_size, payload.len() as u64);
    assert_eq!(receipt.payload_sha256, sha256(&payload));
    assert!(store.exists(&key).await.unwrap());

    let mut reader = store.open(&key).await.unwrap();
    assert_eq!(reader.size(), whole.len() as u64);
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk().await.unwrap() {
        assert!(!chunk.is_empty() && chunk.len() <= 256 * 1024, "{}", chunk.len());
        chunks.extend_from_slice(&chunk);
    }
    assert!(chunks == whole);
    assert!(reader.next_chunk().await.unwrap().is_none(), "the end stays the end");

    let mut read = Vec::new();
    store.open(&key).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == whole);
}

pub(crate) async fn nothing_is_visible_before_the_commit(store: &ImageStore) {
    let key = instance("HOSP1", 2);
    let mut staged = store.stage(key.clone(), Bytes::new()).await.unwrap();
    staged.write(Bytes::from(noise(100_000))).await.unwrap();
    staged.payload_digest().await.unwrap();

    assert!(!store.exists(&key).await.unwrap());
    assert_eq!(store.open(&key).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert!(keys(store, "").await.is_empty());

    staged.discard().await;
    assert!(!store.exists(&key).await.unwrap());
    assert!(keys(store, "").await.is_empty());

    // The key is still free.
    store.put(key.clone(), Bytes::from_static(b"later")).await.unwrap();
    assert_eq!(store.read_to_vec(&key, 5).await.unwrap(), b"later");
}

pub(crate) async fn a_key_is_written_once(store: &ImageStore) {
    let key = instance("HOSP1", 3);
    let mut first = store.stage(key.clone(), Bytes::new()).await.unwrap();
    let mut second = store.stage(key.clone(), Bytes::new()).await.unwrap();
    first.write(Bytes::from_static(b"first")).await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();

    first.commit().await.unwrap();
    let refused = second.commit().await.unwrap_err();

    assert_eq!(refused.kind, StoreErrorKind::AlreadyExists);
    assert_eq!(refused.key.as_ref(), Some(&key));
    assert_eq!(
        store.put(key.clone(), Bytes::from_static(b"first")).await.unwrap_err().kind,
        StoreErrorKind::AlreadyExists
    );
    assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"first");
    assert_eq!(keys(store, "").await, [key.as_str()]);
}

pub(crate) async fn of_many_commits_under_one_key_one_wins(store: &ImageStore) {
    let key = instance("HOSP1", 4);
    let mut attempts = JoinSet::new();
    for number in 0..16_u8 {
        let (store, key) = (store.clone(), key.clone());
        attempts.spawn(async move {
            store.put(key, Bytes::from(vec![number; 1000])).await.map(|receipt| (number, receipt))
        });
    }
    let mut winners = Vec::new();
    for result in attempts.join_all().await {
        match result {
            Ok(winner) => winners.push(winner),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::AlreadyExists),
        }
    }
    assert_eq!(winners.len(), 1);
    let (number, receipt) = winners.pop().unwrap();
    let stored = store.read_to_vec(&key, 1000).await.unwrap();
    assert_eq!(stored, vec![number; 1000]);
    assert_eq!(receipt.payload_sha256, sha256(&stored));
}

pub(crate) async fn many_associations_commit_at_the_same_time(store: &ImageStore) {
    let mut associations = JoinSet::new();
    for association in 0..12_u128 {
        let store = store.clone();
        associations.spawn(async move {
            for number in 0..8 {
                let key = instance(if association % 2 == 0 { "HOSP1" } else { "HOSP2" }, association << 64 | number);
                let payload = noise(usize::try_from(10_000 * (number + 1) + association).unwrap());
                let mut staged = store.stage(key, Bytes::from_static(b"head")).await.unwrap();
                for chunk in payload.chunks(16_384) {
                    staged.write(Bytes::copy_from_slice(chunk)).await.unwrap();
                }
                let receipt = staged.commit().await.unwrap();
                assert_eq!(receipt.payload_sha256, sha256(&payload));
            }
        });
    }
    associations.join_all().await;

    let mut list = store.list("");
    let mut found = 0;
    while let Some((key, size)) = list.next().await.unwrap() {
        let bytes = store.read_to_vec(&key, size).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        assert!(bytes == [b"head".as_slice(), &noise(bytes.len() - 4)].concat(), "{key}");
        found += 1;
    }
    assert_eq!(found, 96);
}

pub(crate) async fn ranges_are_what_they_say(store: &ImageStore) {
    let key = instance("HOSP1", 5);
    let bytes = noise(600_000);
    store.put(key.clone(), Bytes::from(bytes.clone())).await.unwrap();

    let mut reader = store.open(&key).await.unwrap();
    let first = reader.next_chunk().await.unwrap().unwrap();
    for (offset, len) in
        [(0, 0), (0, 1), (0, 600_000), (1, 300_000), (599_999, 1), (599_999, 100), (600_000, 1), (u64::MAX, 10)]
    {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let expected = &bytes[start..(start.saturating_add(len)).min(bytes.len())];
        assert!(reader.read_range(offset, len).await.unwrap() == expected, "{offset}+{len}");
    }
    // Ranges do not move sequential reading.
    let second = reader.next_chunk().await.unwrap().unwrap();
    assert!(bytes.starts_with(&[first, second].concat()));
}

pub(crate) async fn a_limit_bounds_what_is_read_into_memory(store: &ImageStore) {
    let key = report("HOSP1", 6, ReportFile::Manifest);
    store.put(key.clone(), Bytes::from_static(b"{\"a\":1}")).await.unwrap();
    assert_eq!(store.read_to_vec(&key, 7).await.unwrap(), b"{\"a\":1}");
    let refused = store.read_to_vec(&key, 6).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::TooLarge);
    assert!(refused.source.unwrap().to_string().contains("7 bytes"));
}

pub(crate) async fn the_payload_can_be_hashed_before_the_commit_and_again_later(store: &ImageStore) {
    let (key, payload) = (instance("HOSP1", 7), noise(700_000));
    let mut staged = store.stage(key.clone(), Bytes::from_static(b"12345678")).await.unwrap();
    staged.write(Bytes::copy_from_slice(&payload[..300_000])).await.unwrap();
    let half = staged.payload_digest().await.unwrap();
    staged.write(Bytes::copy_from_slice(&payload[300_000..])).await.unwrap();
    let before = staged.payload_digest().await.unwrap();
    let receipt = staged.commit().await.unwrap();

    assert_eq!((half.sha256, half.size), (sha256(&payload[..300_000]), 300_000));
    assert_eq!((before.sha256, before.size), (sha256(&payload), 700_000));
    assert_eq!(receipt.payload_sha256, before.sha256);
    assert_eq!(store.payload_sha256(&key, 8).await.unwrap(), before.sha256);
    assert_eq!(store.payload_sha256(&key, 700_008).await.unwrap(), sha256(b""));
    assert_eq!(store.payload_sha256(&key, 700_009).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

pub(crate) async fn a_wrong_size_hint_changes_nothing(store: &ImageStore) {
    for (number, hint) in [(1, None), (2, Some(0)), (3, Some(10)), (4, Some(50_000)), (5, Some(1_000_000))] {
        let (key, payload) = (instance("HINT", number), noise(49_996));
        let mut staged = store.stage_with_hint(key.clone(), Bytes::from_static(b"head"), hint).await.unwrap();
        staged.write(Bytes::from(payload.clone())).await.unwrap();
        let receipt = staged.commit().await.unwrap();
        assert_eq!(receipt.size, 50_000, "{hint:?}");
        assert!(store.read_to_vec(&key, 50_000).await.unwrap() == [b"head".as_slice(), &payload].concat(), "{hint:?}");
    }
}

pub(crate) async fn an_empty_blob_is_a_blob(store: &ImageStore) {
    let key = instance("HOSP1", 8);
    let receipt = store.stage(key.clone(), Bytes::new()).await.unwrap().commit().await.unwrap();
    assert_eq!((receipt.size, receipt.payload_sha256), (0, sha256(b"")));
    let mut reader = store.open(&key).await.unwrap();
    assert_eq!(reader.size(), 0);
    assert!(reader.next_chunk().await.unwrap().is_none());
    assert_eq!(keys(store, "").await, [key.as_str()]);
}

pub(crate) async fn listing_follows_the_prefix_and_the_order_of_keys(store: &ImageStore) {
    let mut all = Vec::new();
    for facility in ["HOSP1", "HOSP1-A", "HOSP10", "hosp1"] {
        for number in [3 << 120, 1, (0x01_99a2_u128 << 104) + 5, (0x01_99a2_u128 << 104) + 4] {
            all.push(instance(facility, number));
        }
        all.extend(ReportFile::ALL.map(|file| report(facility, 9, file)));
    }
    for key in &all {
        store.put(key.clone(), Bytes::from(key.as_str().to_owned())).await.unwrap();
    }
    all.sort_by(|one, other| one.as_str().cmp(other.as_str()));

    let shard = "v1/HOSP1/0199a2";
    let whole = instance("HOSP1", 1);
    for prefix in [
        "",
        "v",
        "v1/",
        "v1/HOSP1",
        "v1/HOSP1/",
        shard,
        "v1/HOSP1/0199a200-",
        whole.as_str(),
        "reports/",
        "reports/v1/HOSP1/",
        "x",
        "v1/HOSP2/",
    ] {
        let expected: Vec<_> = all.iter().map(BlobKey::as_str).filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(keys(store, prefix).await, expected, "{prefix:?}");
    }

    let (_, size) = store.list(whole.as_str()).next().await.unwrap().unwrap();
    assert_eq!(size, whole.as_str().len() as u64);
}

pub(crate) async fn an_absent_blob_is_not_found_and_deleting_it_is_no_error(store: &ImageStore) {
    let key = report("HOSP1", 10, ReportFile::Signature);
    assert_eq!(store.open(&key).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(store.read_to_vec(&key, 1).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(store.payload_sha256(&key, 0).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert!(!store.exists(&key).await.unwrap());
    store.delete(&key).await.unwrap();

    store.put(key.clone(), Bytes::from_static(b"signature")).await.unwrap();
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert!(!store.exists(&key).await.unwrap());
    assert!(keys(store, "").await.is_empty());

    store.put(key.clone(), Bytes::from_static(b"second attempt")).await.unwrap();
    assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"second attempt");
}

/// Larger than what an object store takes in one request.
pub(crate) async fn a_long_blob_is_whole_and_its_key_is_written_once(store: &ImageStore) {
    let (key, payload) = (instance("HOSP1", 11), noise(9_500_003));
    let mut first = store.stage(key.clone(), Bytes::from_static(b"head")).await.unwrap();
    let mut second = store.stage(key.clone(), Bytes::from_static(b"HEAD")).await.unwrap();
    for chunk in payload.chunks(1_000_000) {
        first.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        second.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    assert!(!store.exists(&key).await.unwrap());
    assert!(keys(store, "").await.is_empty());

    let receipt = first.commit().await.unwrap();
    assert_eq!(second.commit().await.unwrap_err().kind, StoreErrorKind::AlreadyExists);

    assert_eq!((receipt.size, receipt.payload_size), (payload.len() as u64 + 4, payload.len() as u64));
    assert_eq!(receipt.payload_sha256, sha256(&payload));
    assert_eq!(store.payload_sha256(&key, 4).await.unwrap(), receipt.payload_sha256);
    let mut read = Vec::new();
    store.open(&key).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == [b"head".as_slice(), &payload].concat());

    // Given up in the middle: nothing is left, and the key is free.
    let key = instance("HOSP1", 12);
    let mut staged = store.stage(key.clone(), Bytes::new()).await.unwrap();
    staged.write(Bytes::from(payload)).await.unwrap();
    staged.discard().await;
    assert!(!store.exists(&key).await.unwrap());
    store.put(key.clone(), Bytes::from_static(b"later")).await.unwrap();
    assert_eq!(keys(store, "").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_blob_in_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let store = ImageStore::connect(&format!("file://{}", place.path().display())).await.unwrap();
    a_long_blob_is_whole_and_its_key_is_written_once(&store).await;
}

/// Gives the names of all promises to a macro.
macro_rules! all_promises {
    ($take:ident $(, $more:path)?) => {
        $take! { $($more:)?
            a_committed_blob_comes_back_byte_for_byte
            nothing_is_visible_before_the_commit
            a_key_is_written_once
            of_many_commits_under_one_key_one_wins
            many_associations_commit_at_the_same_time
            ranges_are_what_they_say
            a_limit_bounds_what_is_read_into_memory
            the_payload_can_be_hashed_before_the_commit_and_again_later
            a_wrong_size_hint_changes_nothing
            an_empty_blob_is_a_blob
            listing_follows_the_prefix_and_the_order_of_keys
            an_absent_blob_is_not_found_and_deleting_it_is_no_error
            a_long_blob_is_whole_and_its_key_is_written_once
        }
    };
}
pub(crate) use all_promises;

/// Every promise as a test of its own, each on a new store: `async fn with(promise: impl AsyncFnOnce(ImageStore))` makes it.
macro_rules! conforms {
    ($with:path) => {
        use $crate::conformance::conforms_one_by_one;
        $crate::conformance::all_promises!(conforms_one_by_one, $with);
    };
}
pub(crate) use conforms;

macro_rules! conforms_one_by_one {
    ($with:path: $($promise:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            $with(async |store: $crate::ImageStore| $crate::conformance::$promise(&store).await).await;
        })*
    };
}
pub(crate) use conforms_one_by_one;
