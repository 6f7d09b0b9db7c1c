//! The file store as a store, and what only it has: crashes, sweeps, full disks, damaged files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use crate::conformance::{self, instance, keys, noise};
use crate::{ImageStore, Named, StoreErrorKind};

async fn store_in(place: &Path) -> ImageStore {
    ImageStore::connect(&format!("file://{}", place.display())).await.unwrap()
}

fn staged_names(place: &Path) -> Vec<String> {
    let folders =
        fs::read_dir(place.join("staging")).unwrap().map(|folder| folder.unwrap().path()).filter(|path| path.is_dir());
    folders
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A file in the staging area, in whichever of its folders.
fn staged_path(place: &Path, name: &str) -> std::path::PathBuf {
    let folders = fs::read_dir(place.join("staging")).unwrap().map(|folder| folder.unwrap().path());
    folders.map(|folder| folder.join(name)).find(|path| path.exists()).unwrap()
}

fn grow_older(file: &fs::File, age: Duration) {
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - age).unwrap();
}

macro_rules! conforms {
    ($($promise:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let place = tempfile::tempdir().unwrap();
            let root = place.path().join("画像 store");
            conformance::$promise(&store_in(&root).await).await;
            assert_eq!(staged_names(&root), [""; 0], "nothing is left behind");
        })*
    };
}

conforms! {
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
}

#[tokio::test]
async fn dropping_a_staged_blob_removes_its_bytes() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    let mut staged = store.stage(instance("HOSP1", 1), Bytes::from_static(b"head")).await.unwrap();
    staged.write(Bytes::from(noise(1_000_000))).await.unwrap();
    assert_eq!(staged_names(place.path()).len(), 1);

    drop(staged);

    let gone = async {
        while !staged_names(place.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the writer removes its file");
    assert!(keys(&store, "").await.is_empty());
}

#[tokio::test]
async fn what_a_dead_process_left_is_never_listed_and_is_swept_but_living_writers_keep_their_files() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    store.put(instance("HOSP1", 1), Bytes::from_static(b"committed")).await.unwrap();
    let mut alive = store.stage(instance("HOSP1", 2), Bytes::from_static(b"head")).await.unwrap();
    alive.payload_digest().await.unwrap();
    let alive_name = staged_names(place.path());

    let day = Duration::from_secs(86_400);
    for (name, age) in
        [("3/1-0.part", 3 * day), ("3/1-1.part", day / 2), ("b/2-7.clock", 2 * day), ("of-version-1.part", 2 * day)]
    {
        let file = fs::File::create(place.path().join("staging").join(name)).unwrap();
        grow_older(&file, age);
    }
    // Old, but its writer lives: the sender went for lunch in the middle of an object.
    let paused = fs::File::options().write(true).open(staged_path(place.path(), &alive_name[0])).unwrap();
    grow_older(&paused, 9 * day);

    assert_eq!(keys(&store, "").await, [instance("HOSP1", 1).as_str()]);
    assert_eq!(store.sweep_staging(day).await.unwrap(), 3);
    let mut left = staged_names(place.path());
    left.sort();
    let mut expected = [alive_name[0].clone(), "1-1.part".to_owned()];
    expected.sort();
    assert_eq!(left, expected);

    // A process that starts anew removes everything that is not locked.
    assert_eq!(store.sweep_staging(Duration::ZERO).await.unwrap(), 1);
    alive.write(Bytes::from_static(b"went on")).await.unwrap();
    alive.commit().await.unwrap();
    assert_eq!(store.read_to_vec(&instance("HOSP1", 2), 100).await.unwrap(), b"headwent on");
    assert_eq!(store.sweep_staging(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(keys(&store, "").await.len(), 2);
}

#[tokio::test]
async fn blobs_that_are_written_by_their_callers_thread_get_their_names_together() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    let mut named = Vec::new();
    for number in 1..=3 {
        let mut staged = store.stage_here(instance("HOSP1", number), Bytes::from_static(b"head")).await.unwrap();
        staged.write(Bytes::from_static(b"payload")).await.unwrap();
        assert_eq!(keys(&store, "").await.len(), named.len(), "invisible before its commit");
        named.push(staged.commit_named().await.unwrap());
    }

    Named::make_durable(&named).unwrap();

    for blob in &named {
        assert_eq!((blob.receipt().size, blob.receipt().payload_size), (11, 7));
        assert_eq!(store.read_to_vec(&blob.receipt().key, 100).await.unwrap(), b"headpayload");
    }
    let again = store.stage_here(instance("HOSP1", 1), Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(again.commit_named().await.unwrap_err().kind, StoreErrorKind::AlreadyExists);
    assert_eq!(staged_names(place.path()), [""; 0]);
}

#[tokio::test]
async fn leftovers_with_our_own_process_number_are_stepped_over() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let folder = place.path().join(format!("staging/{number:x}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{:x}-{number:x}.part", std::process::id())), "from before").unwrap();
    }
    let store = store_in(place.path()).await;
    store.put(instance("HOSP1", 1), Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(store.read_to_vec(&instance("HOSP1", 1), 100).await.unwrap(), b"new");
    assert_eq!(staged_names(place.path()).len(), 3);
}

#[tokio::test]
async fn what_is_not_ours_is_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    let key = instance("HOSP1", 1);
    store.put(key.clone(), Bytes::from_static(b"ours")).await.unwrap();
    let shard = place.path().join("v1/HOSP1/000000");
    assert!(shard.join("00000000-0000-0000-0000-000000000001").is_file(), "the layout that the module describes");
    fs::write(shard.join(".DS_Store"), "x").unwrap();
    fs::write(shard.join("ffffff00-0000-0000-0000-000000000001"), "in the wrong directory").unwrap();
    fs::create_dir(shard.join("00000000-0000-0000-0000-000000000002")).unwrap();
    fs::create_dir(place.path().join("v1/lost+found")).unwrap();
    fs::write(place.path().join("v1/notes.txt"), "x").unwrap();

    assert_eq!(keys(&store, "").await, [key.as_str()]);
    assert_eq!(store.open(&instance("HOSP1", 2)).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error_and_not_an_end() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    let key = instance("HOSP1", 1);
    store.put(key.clone(), Bytes::from(noise(900_000))).await.unwrap();
    let mut reader = store.open(&key).await.unwrap();
    let path = place.path().join("v1/HOSP1/000000/00000000-0000-0000-0000-000000000001");
    fs::File::options().write(true).open(path).unwrap().set_len(300_000).unwrap();

    let error = loop {
        match reader.next_chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("half an image was taken for a whole one"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert_eq!(reader.read_range(299_999, 2).await.unwrap_err().kind, StoreErrorKind::Corrupt);
    assert_eq!(reader.read_range(299_998, 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_that_went_away_is_unavailable_and_not_a_missing_blob() {
    let place = tempfile::tempdir().unwrap();
    let store = store_in(place.path()).await;
    let mut staged = store.stage(instance("HOSP1", 1), Bytes::new()).await.unwrap();
    staged.write(Bytes::from_static(b"image")).await.unwrap();
    staged.payload_digest().await.unwrap();
    fs::remove_dir_all(place.path()).unwrap();

    assert_eq!(store.stage(instance("HOSP1", 2), Bytes::new()).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(staged.commit().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn addresses() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().display();
    for url in [format!("file://{path}/plain"), format!("file://{path}/with%20space%3f"), format!("file://{path}/読影")]
    {
        let store = ImageStore::connect(&url).await.unwrap();
        assert!(store.free_bytes().await.unwrap() > 0);
    }
    assert!(place.path().join("with space?/staging").is_dir());
    assert!(place.path().join("読影/staging").is_dir());
    for url in [
        "",
        "/var/lib",
        "file:/var/lib",
        "file://relative/path",
        "s4://bucket",
        "file:///x%",
        "file:///x%2",
        "file:///x%zz",
        "file:///x%00",
    ] {
        assert_eq!(ImageStore::connect(url).await.unwrap_err().kind, StoreErrorKind::InvalidKey, "{url:?}");
    }
    fs::write(place.path().join("file"), "x").unwrap();
    let error = ImageStore::connect(&format!("file://{path}/file")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{:?}", error.source);
}

/// Runs in a process of its own, with a tmpfs of one megabyte; see below.
#[tokio::test]
async fn on_a_full_disk() {
    let Some(place) = std::env::var_os("DOKUEI_TEST_SMALL_DISK") else { return };
    let place = Path::new(&place);
    let store = store_in(place).await;
    let kept = instance("HOSP1", 1);
    store.put(kept.clone(), Bytes::from(noise(300_000))).await.unwrap();

    // Unknown size: found out while writing, at the latest by the commit.
    let mut staged = store.stage(instance("HOSP1", 2), Bytes::from_static(b"head")).await.unwrap();
    let mut result = Ok(());
    for chunk in noise(2_000_000).chunks(100_000) {
        result = staged.write(Bytes::copy_from_slice(chunk)).await;
        if result.is_err() {
            break;
        }
    }
    let error = match result {
        Err(error) => {
            assert_eq!(staged.write(Bytes::from_static(b"more")).await.unwrap_err().kind, StoreErrorKind::Internal);
            error
        }
        Ok(()) => staged.commit().await.unwrap_err(),
    };
    assert_eq!(error.kind, StoreErrorKind::OutOfSpace);
    assert_eq!(staged_names(place), [""; 0], "the room is given back");

    // Known size: found out before the first byte.
    let refused = store.stage_with_hint(instance("HOSP1", 3), Bytes::new(), Some(2_000_000)).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::OutOfSpace);
    assert_eq!(
        store.put(instance("HOSP1", 4), Bytes::from(noise(2_000_000))).await.unwrap_err().kind,
        StoreErrorKind::OutOfSpace
    );
    assert_eq!(staged_names(place), [""; 0]);

    // What was there is whole, and what fits still goes in.
    assert!(store.read_to_vec(&kept, 300_000).await.unwrap() == noise(300_000));
    store.put(instance("HOSP1", 5), Bytes::from(noise(300_000))).await.unwrap();
    assert_eq!(keys(&store, "").await, [kept.as_str(), instance("HOSP1", 5).as_str()]);
    println_for_the_parent();
}

#[expect(clippy::print_stdout, reason = "the parent process reads it")]
fn println_for_the_parent() {
    println!("full disk survived");
}

/// Needs a mount namespace: given to root, and to everybody where user namespaces are allowed.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_full_disk_is_told_as_such_and_hurts_nothing_that_is_stored() {
    let place = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$DOKUEI_TEST_SMALL_DISK\" || exit 77; exec \"$0\" --exact file::tests::on_a_full_disk --nocapture";
    let run = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("DOKUEI_TEST_SMALL_DISK", place.path())
        .output();
    let output = match run {
        Ok(output) if output.status.success() || output.status.code() == Some(101) => output,
        other => {
            eprintln!("SKIPPED: no mount namespace here, the full disk was not tested: {other:?}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("full disk survived"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
