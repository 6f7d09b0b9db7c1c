//! Verification, and versions back from the store alone.

use dokuei_database::Database;
use dokuei_domain::{ReportVersionId, Role};
use dokuei_image_store::BlobKey;

use super::scene::{Scene, actor, draft, facility, reader};
use crate::{ReportFileKind, Reports, SignedVersion, prepare::stored_as};

fn key(version: ReportVersionId, kind: ReportFileKind) -> BlobKey {
    BlobKey::report_file(&facility(), version, stored_as(kind))
}

/// Changes one byte of a stored file.
pub(super) async fn flip_byte(scene: &Scene, version: ReportVersionId, kind: ReportFileKind, index: usize) {
    let key = key(version, kind);
    let mut bytes = scene.store.read_to_vec(&key, 1 << 30).await.unwrap();
    let index = index.min(bytes.len() - 1);
    bytes[index] ^= 0x01;
    scene.store.delete(&key).await.unwrap();
    scene.store.put(key, bytes.into()).await.unwrap();
}

async fn sign(scene: &Scene) -> SignedVersion {
    scene.reports.sign(&reader(), scene.request()).await.unwrap()
}

#[tokio::test]
async fn a_sound_version_passes_every_check() {
    let scene = Scene::new().await;
    let signed = sign(&scene).await;

    let verification = scene.reports.verify(signed.id).await.unwrap();

    assert!(verification.ok, "{:?}", verification.first_failure());
    let names: Vec<_> = verification.checks.iter().map(|check| check.name).collect();
    for expected in [
        "manifest",
        "signature",
        "signer",
        "structured_report",
        "encapsulated_pdf",
        "stored_signature",
        "index",
        "evidence",
        "manifest_hash",
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
}

#[tokio::test]
async fn one_flipped_byte_in_any_file_is_found() {
    let scene = Scene::new().await;
    let signed = sign(&scene).await;
    for kind in ReportFileKind::ALL {
        let length = scene.store.read_to_vec(&key(signed.id, kind), 1 << 30).await.unwrap().len();
        for index in [0, 140, length / 3, length / 2, length - 1] {
            flip_byte(&scene, signed.id, kind, index).await;
            let verification = scene.reports.verify(signed.id).await.unwrap();
            assert!(!verification.ok, "{kind:?}, byte {index}: {verification:?}");
            let failed: Vec<_> = verification.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
            assert!(failed.iter().any(|name| !name.starts_with("stored_")), "found without the index too: {failed:?}");
            flip_byte(&scene, signed.id, kind, index).await;
        }
    }
    assert!(scene.reports.verify(signed.id).await.unwrap().ok, "all bytes are back");

    scene.store.delete(&key(signed.id, ReportFileKind::Signature)).await.unwrap();
    let verification = scene.reports.verify(signed.id).await.unwrap();
    assert!(!verification.ok && verification.first_failure().unwrap().contains("missing"));
}

#[tokio::test]
async fn an_image_that_is_not_as_it_was_signed_is_found() {
    let (scene, other) = (Scene::new().await, Scene::elsewhere().await);
    let signed = sign(&scene).await;
    copy_store(&scene, &other).await;

    let summary = other.reports.rebuild().await.unwrap();

    assert_eq!(summary.restored, 1, "{summary:?}");
    assert_eq!(summary.studies_elsewhere.len(), 1, "the other node has the study under a case of its own");
    let verification = other.reports.verify(signed.id).await.unwrap();
    assert_eq!(
        verification.first_failure().unwrap(),
        "evidence: 0 images as signed, 3 with other content, 0 not in the index"
    );
}

async fn copy_store(from: &Scene, to: &Scene) {
    for key in from.blobs().await {
        let key = BlobKey::parse(&key).unwrap();
        let bytes = from.store.read_to_vec(&key, 1 << 30).await.unwrap();
        to.store.put(key, bytes.into()).await.unwrap();
    }
}

/// The same store beside an empty database.
async fn after_losing_the_database(scene: &Scene) -> (std::sync::Arc<Reports>, Database, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&format!("sqlite://{}", folder.path().join("new.db").display())).await.unwrap();
    let keys = super::scene::Keys(super::authority::Authority::new());
    let authority = keys.0.der.clone();
    let ambient = scene.ambient.clone();
    let keys = std::sync::Arc::new(keys);
    let reports =
        Reports::with_keys(database.clone(), scene.store.clone(), ambient, keys, authority, super::scene::settings());
    (reports, database, folder)
}

#[tokio::test]
async fn versions_come_back_from_the_store_alone() {
    let scene = Scene::new().await;
    let signed = sign(&scene).await;
    let (reports, database, _folder) = after_losing_the_database(&scene).await;

    let summary = reports.rebuild().await.unwrap();

    assert_eq!((summary.seen, summary.restored, summary.not_restored.len()), (1, 1, 0), "{summary:?}");
    let mut read = database.read().await.unwrap();
    let version = read.report_version_find(signed.id, None).await.unwrap().unwrap();
    assert_eq!((version.case, version.number, version.findings.as_str()), (scene.case, 1, draft().findings.as_str()));
    assert_eq!((version.signed_at, version.author_name.as_str()), (signed.signed_at, "山田 太郎"));
    let author = read.account_find(&version.author).await.unwrap().unwrap();
    assert!(author.disabled_at.is_some(), "nobody signs in with a restored account");
    assert_eq!(read.facility_find(&facility()).await.unwrap().unwrap().name, "デモ病院");
    assert_eq!(read.workitem_open(scene.case).await.unwrap(), None);
    assert_eq!(read.report_workitem_state(&scene.workitem).await.unwrap().as_deref(), Some("COMPLETED"));
    drop(read);
    let office = actor("O1", Role::Office);
    let detail = reports.version(&office, signed.id).await.unwrap();
    assert_eq!((detail.files.len(), detail.deliveries.len()), (4, 0), "the ledger is no object and does not come back");
    assert_eq!(
        reports.pdf(&office, signed.id).await.unwrap().bytes,
        scene.reports.pdf(&office, signed.id).await.unwrap().bytes
    );
    let verification = reports.verify(signed.id).await.unwrap();
    let failed: Vec<_> = verification.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
    assert_eq!(failed, ["evidence"], "only the images are not in this index");

    let again = reports.rebuild().await.unwrap();
    assert_eq!((again.seen, again.restored, again.already_indexed), (1, 0, 1), "a second run changes nothing");
}

#[tokio::test]
async fn of_two_signatures_of_one_number_the_last_one_comes_back() {
    let scene = Scene::new().await;
    super::signing::crash_before_the_commit(&scene).await;
    scene.clock.advance(std::time::Duration::from_secs(60));
    let signed = sign(&scene).await;
    let (reports, database, _folder) = after_losing_the_database(&scene).await;

    let summary = reports.rebuild().await.unwrap();

    assert_eq!((summary.seen, summary.restored, summary.passed_over), (2, 1, 1), "{summary:?}");
    let last = database.read().await.unwrap().report_version_last(scene.case).await.unwrap().unwrap();
    assert_eq!((last.id, last.number), (signed.id, 1));
    // Beside the living index, the one that is visible stays.
    let summary = scene.reports.rebuild().await.unwrap();
    assert_eq!((summary.already_indexed, summary.passed_over, summary.restored), (1, 1, 0), "{summary:?}");
}

#[tokio::test]
async fn a_version_that_is_being_signed_is_left_alone() {
    let scene = Scene::new().await;
    super::signing::crash_before_the_commit(&scene).await;

    // However long ago: the reader may still have the case open.
    for seconds in [0, 7_200] {
        scene.clock.advance(std::time::Duration::from_secs(seconds));
        let summary = scene.reports.rebuild().await.unwrap();
        assert_eq!((summary.restored, summary.not_restored.len()), (0, 1));
        assert!(summary.not_restored[0].contains("open for reading"), "{summary:?}");
        let open = scene.database.read().await.unwrap().workitem_open(scene.case).await.unwrap();
        assert_eq!(
            open.map(|workitem| workitem.uid).as_ref(),
            Some(&scene.workitem),
            "not completed under their hands"
        );
    }
    assert_eq!(sign(&scene).await.number, 1);
}

#[tokio::test]
async fn what_does_not_prove_itself_stays_away() {
    let scene = Scene::new().await;
    let signed = sign(&scene).await;
    let (reports, database, _folder) = after_losing_the_database(&scene).await;
    let refused = async |expected: &str| {
        let summary = reports.rebuild().await.unwrap();
        assert_eq!((summary.restored, summary.not_restored.len()), (0, 1));
        assert!(summary.not_restored[0].contains(expected), "{summary:?}");
    };

    flip_byte(&scene, signed.id, ReportFileKind::EncapsulatedPdf, 5_000).await;
    refused("encapsulated_pdf").await;
    flip_byte(&scene, signed.id, ReportFileKind::EncapsulatedPdf, 5_000).await;
    flip_byte(&scene, signed.id, ReportFileKind::Signature, 1_000).await;
    refused("signature").await;
    flip_byte(&scene, signed.id, ReportFileKind::Signature, 1_000).await;
    // Whole and sound, but under another version's key.
    let stray = ReportVersionId(scene.ambient.new_uuid());
    for kind in ReportFileKind::ALL {
        let bytes = scene.store.read_to_vec(&key(signed.id, kind), 1 << 30).await.unwrap();
        scene.store.put(key(stray, kind), bytes.into()).await.unwrap();
        scene.store.delete(&key(signed.id, kind)).await.unwrap();
    }
    refused("another version's key").await;
    scene.store.delete(&key(stray, ReportFileKind::EncapsulatedPdf)).await.unwrap();
    refused("not complete").await;
    // The signature is written last: without it nobody has signed, and nothing is damaged.
    scene.store.delete(&key(stray, ReportFileKind::Signature)).await.unwrap();
    let summary = reports.rebuild().await.unwrap();
    assert_eq!((summary.restored, summary.unfinished, summary.not_restored.len()), (0, 1, 0));
    assert_eq!(database.read().await.unwrap().report_version_count().await.unwrap(), 0);
}
