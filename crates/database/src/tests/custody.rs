//! Damages, leases of walks, and what is known of blobs that have no row of their own to write to.

use dokuei_domain::{FacilityId, patient::FacilityIssuer};
use uuid::Uuid;

use super::both;
use crate::{BlobPlace, CustodyKind, DamageKind, DamageState, NewBlobDamage, NewQuarantinedObject};

const KEY: &str = "v1/HOSP1/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b";

#[tokio::test]
async fn one_worker_walks_and_another_goes_on_when_the_lease_is_over() {
    both(|db, world| async move {
        let (now, until) = (world.now(), world.now().plus_seconds(10));
        let take = async |worker: &str, now, until| {
            let mut tx = db.write().await.unwrap();
            let taken = tx.custody_task_take("scrub", worker, now, until).await.unwrap();
            tx.commit().await.unwrap();
            taken.map(|row| row.progress)
        };
        assert_eq!(take("one", now, until).await.as_deref(), Some(""));
        assert_eq!(take("two", now, until).await, None);
        assert_eq!(take("one", now, until).await.as_deref(), Some(""), "restarted under its name");

        let mut tx = db.write().await.unwrap();
        assert!(tx.custody_task_keep("scrub", "one", now, until, "here").await.unwrap());
        assert!(!tx.custody_task_keep("scrub", "two", now, until, "there").await.unwrap());
        tx.commit().await.unwrap();

        assert_eq!(take("two", until, until.plus_seconds(10)).await.as_deref(), Some("here"));
        let mut tx = db.write().await.unwrap();
        assert!(!tx.custody_task_keep("scrub", "one", until, until, "late").await.unwrap(), "its lease was lost");
        tx.custody_task_release("scrub", "two", until, "done", Some("disk on fire")).await.unwrap();
        tx.commit().await.unwrap();
        let row = db.read().await.unwrap().custody_task("scrub").await.unwrap().unwrap();
        assert_eq!(
            (row.progress.as_str(), row.last_error.as_deref(), row.lease_by),
            ("done", Some("disk on fire"), None)
        );
    })
    .await;
}

#[tokio::test]
async fn a_damage_is_said_once_and_ended_once() {
    both(|db, world| async move {
        let facility = FacilityId::parse("HOSP1").unwrap();
        let damage = |number: u128, kind| NewBlobDamage {
            id: Uuid::from_u128(number),
            blob_key: KEY,
            place: BlobPlace::Store,
            kind,
            facility: &facility,
            subject: "1.2.3",
            expected_sha256: Some([1; 32]),
            found_sha256: None,
            detail: "gone",
            found_at: world.now().plus_seconds(i64::try_from(number).unwrap()),
        };
        let mut tx = db.write().await.unwrap();
        assert!(tx.damage_report(&damage(1, DamageKind::Missing)).await.unwrap());
        assert!(!tx.damage_report(&damage(2, DamageKind::Altered)).await.unwrap());
        let open = tx.damages_open(10).await.unwrap();
        assert_eq!((open.len(), open[0].kind, open[0].expected_sha256), (1, DamageKind::Altered, Some([1; 32])));
        assert!(open[0].last_seen_at > open[0].found_at);
        let (by, at) = ("account:O1", world.now());
        assert!(tx.damage_close(open[0].id, DamageState::Accepted, by, at, "lost").await.unwrap());
        assert!(!tx.damage_close(open[0].id, DamageState::Repaired, by, at, "twice").await.unwrap());

        // What was accepted is not said again; something else about it is.
        assert!(!tx.damage_report(&damage(3, DamageKind::Altered)).await.unwrap());
        assert!(tx.damage_report(&damage(4, DamageKind::Missing)).await.unwrap());
        let counts = tx.damage_counts().await.unwrap();
        assert_eq!((counts.open, counts.accepted), (1, 1));
        assert!(tx.damage_repaired(KEY, BlobPlace::Store, by, at, "sound again").await.unwrap());
        assert!(!tx.damage_repaired(KEY, BlobPlace::Copy, by, at, "sound again").await.unwrap());
        let counts = tx.damage_counts().await.unwrap();
        assert_eq!((counts.open, counts.accepted), (0, 0));
        assert_eq!(tx.damages_closed(10).await.unwrap().len(), 2);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_object_in_quarantine_is_walked_kept_and_restored() {
    both(|db, world| async move {
        let issuer = FacilityIssuer {
            facility: FacilityId::parse("HOSP1").unwrap(),
            issuer: "1.2.3".to_owned(),
            aliases: vec![],
        };
        let id = Uuid::parse_str(&KEY[9..]).unwrap();
        let object = NewQuarantinedObject {
            id,
            facility: &issuer.facility,
            sop_instance: "1.2.3",
            study: "1.2",
            reason: "unreadable",
            detail: "no data set",
            blob_key: KEY,
            size_bytes: 700,
            dataset_sha256: [7; 32],
            calling_aet: "CT1",
            received_at: world.now(),
        };
        let mut tx = db.write().await.unwrap();
        tx.facility_ensure(&issuer, world.now()).await.unwrap();
        tx.quarantine_insert(&object).await.unwrap();
        let waiting = tx.quarantine_to_keep(10).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].dataset_sha256, waiting[0].state.as_str()), (1, [7; 32], "held"));
        tx.quarantine_kept(id, "held").await.unwrap();
        assert!(tx.quarantine_to_keep(10).await.unwrap().is_empty());
        let (by, at, reason) = (Some("account:O1"), Some(world.now()), Some("誤送信"));
        tx.quarantine_restore(id, "rejected", by, at, reason).await.unwrap();
        assert!(tx.quarantine_to_keep(10).await.unwrap().is_empty(), "it comes from there");

        let blobs = tx.custody_quarantined("", 10).await.unwrap();
        assert_eq!((blobs.len(), blobs[0].kind, blobs[0].verified_at), (1, CustodyKind::Quarantined, None));
        assert!(tx.custody_quarantined(KEY, 10).await.unwrap().is_empty());
        tx.custody_verified(&blobs[0], world.now(), &[1; 32]).await.unwrap();
        tx.custody_verified(&blobs[0], world.now(), &[2; 32]).await.unwrap();
        tx.custody_copied(&blobs[0], Some(world.now()), None).await.unwrap();
        let blob = tx.custody_blob(KEY).await.unwrap().unwrap();
        assert_eq!((blob.head_sha256, blob.verified_at), (Some([1; 32]), Some(world.now())), "the first header stays");
        assert_eq!(blob.copied_at, Some(world.now()));
        tx.custody_copies_forget_others().await.unwrap();
        assert_eq!(tx.custody_blob(KEY).await.unwrap().unwrap().copied_at, None);
        let (window, more) = tx.custody_window(Uuid::nil(), Uuid::max(), 10).await.unwrap();
        assert_eq!((window, more), (vec![(id, KEY.to_owned(), 700)], false));
        tx.commit().await.unwrap();
    })
    .await;
}
