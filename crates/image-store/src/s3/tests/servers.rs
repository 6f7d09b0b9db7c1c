//! Every promise of `conformance` on every server at hand.

use bytes::Bytes;
use dokuei_testkit::S3Server;
use dokuei_testkit::s3::Fault;

use super::{open, try_open};
use crate::conformance::{conforms, instance, keys};
use crate::s3::Limits;
use crate::s3::part::{BLOCK_BYTES, Memory};
use crate::{ImageStore, StoreErrorKind};

mod on_s3s {
    use super::*;

    async fn with_store(promise: impl AsyncFnOnce(ImageStore)) {
        let server = S3Server::start().unwrap();
        promise(open(&server, "some/prefix").await).await;
        assert_eq!(server.parts_of_unfinished_uploads(), 0, "nothing is left behind");
    }
    conforms!(with_store);
}

/// All blobs wait on the disk but a few of their pieces.
mod on_s3s_without_memory {
    use super::*;

    async fn with_store(promise: impl AsyncFnOnce(ImageStore)) {
        let server = S3Server::start().unwrap();
        let overflow = tempfile::tempdir().unwrap();
        let limits =
            Limits { memory: Memory::Own { bytes: 3 * BLOCK_BYTES, from_disk: 1 }, ..super::super::impatient() };
        promise(try_open(&server.url(""), limits, overflow.path()).await.unwrap()).await;
        assert_eq!(server.parts_of_unfinished_uploads(), 0);
        assert_eq!(std::fs::read_dir(overflow.path()).unwrap().count(), 0);
    }
    conforms!(with_store);
}

#[tokio::test]
async fn two_prefixes_of_one_bucket_are_two_stores() {
    let server = S3Server::start().unwrap();
    let (one, other) = (open(&server, "a").await, open(&server, "a/b").await);
    crate::conformance::nothing_is_visible_before_the_commit(&one).await;
    crate::conformance::nothing_is_visible_before_the_commit(&other).await;
    assert_eq!(server.objects("a/b").len(), 1);
    assert_eq!(crate::conformance::keys(&one, "").await.len(), 1);
}

#[tokio::test]
async fn a_damaged_blob_is_replaced_and_kept_aside() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "p").await;
    let key = instance("HOSP1", 1);
    let staged = async |bytes: &'static [u8]| {
        let mut staged = store.stage(key.clone(), Bytes::new()).await.unwrap();
        staged.write(Bytes::from_static(bytes)).await.unwrap();
        staged
    };
    store.put(key.clone(), Bytes::from_static(b"damaged")).await.unwrap();

    let replaced = store.replace_damaged(staged(b"sound").await, "a").await.unwrap();

    assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"sound");
    let aside = server.objects("p/damaged");
    assert!(aside.len() == 1 && aside[0].ends_with(replaced.set_aside.unwrap()), "{aside:?}");
    assert_eq!(std::fs::read(&aside[0]).unwrap(), b"damaged");
    assert_eq!(keys(&store, "").await, [key.as_str()], "what is set aside is never listed");

    // Missing instead of damaged.
    store.delete(&key).await.unwrap();
    assert_eq!(store.replace_damaged(staged(b"again").await, "b").await.unwrap().set_aside, None);

    // A commit that fails leaves the damaged one where it was.
    let refused = staged(b"never").await;
    server.set_faults(
        |head| {
            if head.method == "PUT" && head.body_bytes > 0 { Fault::Refuse(507) } else { Fault::None }
        },
    );
    assert_eq!(store.replace_damaged(refused, "c").await.unwrap_err().kind, StoreErrorKind::OutOfSpace);
    server.set_faults(|_| Fault::None);
    assert_eq!(store.read_to_vec(&key, 100).await.unwrap(), b"again");
    store.answers().await.unwrap();
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was() {
    let server = S3Server::start().unwrap();
    let store = open(&server, "p").await;
    let mut all = Vec::new();
    for (facility, number) in [("A", 1), ("A", 2), ("A", 0x0199_a2b3_u128 << 96), ("A-B", 1), ("AB", 1)] {
        let key = instance(facility, number);
        store.put(key.clone(), Bytes::from_static(b"x")).await.unwrap();
        all.push(key.to_string());
    }
    all.sort();
    for prefix in ["", "v1/", "v1/A/"] {
        for after in all.iter().map(String::as_str).chain(["", "v1/A/", "v1/A/0199a2", "v1/A0", "v1/B"]) {
            let mut found = Vec::new();
            let mut list = store.list_after(prefix, after);
            while let Some((key, _)) = list.next().await.unwrap() {
                found.push(key.to_string());
            }
            let rest: Vec<_> =
                all.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after).cloned().collect();
            assert_eq!(found, rest, "{prefix:?} after {after:?}");
        }
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_and_a_wrong_secret_are_told_when_the_store_is_opened() {
    let server = S3Server::start().unwrap();
    let place = std::env::temp_dir();
    let missing = server.url("").replace("s3://dokuei", "s3://no-such-bucket");
    let error = try_open(&missing, super::impatient(), &place).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.source.unwrap().to_string().contains("NoSuchBucket"));

    let wrong = super::S3Credentials { secret_key: "hunter2".into(), ..super::credentials() };
    let address = crate::s3::Address::parse(&server.url("")).unwrap();
    let error = ImageStore::on_s3(address, Some(wrong), place, super::impatient()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let text = format!("{error:?}");
    assert!(text.contains("SignatureDoesNotMatch") && !text.contains("hunter2"), "{text}");
}

mod on_moto {
    use dokuei_testkit::s3::{MotoServer, S3Error};

    use super::*;

    /// `None`: it cannot be installed here, and that has been said.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    fn moto() -> Option<MotoServer> {
        match MotoServer::start() {
            Ok(server) => Some(server),
            Err(error @ (S3Error::Python(_) | S3Error::Tool(_))) => {
                eprintln!("\n*** SKIPPED, not passed: {error}: {} ***\n", std::error::Error::source(&error).unwrap());
                None
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// One server for all promises: it takes seconds to start.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_promise_holds() {
        let Some(server) = moto() else { return };
        macro_rules! hold {
            ($($promise:ident)*) => {
                $(let store = try_open(&server.url(stringify!($promise)), super::super::impatient(), &std::env::temp_dir()).await;
                crate::conformance::$promise(&store.unwrap()).await;)*
            };
        }
        crate::conformance::all_promises!(hold);
        // Uploads that nobody completed, on a server that lists them. To moto every upload is of the year 2010.
        let store = open_at(&server, "sweep").await;
        let mut alive = store.stage(instance("HOSP1", 1), Bytes::new()).await.unwrap();
        alive.write(Bytes::from(crate::conformance::noise(9_000_000))).await.unwrap();
        assert_eq!(store.sweep_staging(std::time::Duration::ZERO).await.unwrap(), 0, "our own upload was swept");
        // Another process finds it abandoned.
        assert_eq!(open_at(&server, "sweep").await.sweep_staging(std::time::Duration::ZERO).await.unwrap(), 1);
        assert_eq!(alive.commit().await.unwrap_err().kind, StoreErrorKind::Unavailable);
    }

    async fn open_at(server: &MotoServer, prefix: &str) -> ImageStore {
        try_open(&server.url(prefix), super::super::impatient(), &std::env::temp_dir()).await.unwrap()
    }
}
