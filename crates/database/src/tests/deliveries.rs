//! The return ledger.

use dokuei_domain::{AeTitle, DeliveryId, FacilityId, ReportVersionId, StudyUid};

use super::{
    World, both,
    cases::{hospital, receive},
    reports::{claimed_case, insert_version},
};
use crate::{
    AttemptOutcome, AttemptStart, Database, DeliverySelection, DeliveryState, NewAttempt, NewJob, WriteTx,
    delivery_job_key,
};

const QUEUE: &str = "deliver_report";

/// A signed version with one row of the ledger.
async fn signed(db: &Database, world: &World) -> (ReportVersionId, DeliveryId) {
    let claimed = claimed_case(db, world).await;
    let mut tx = db.write().await.unwrap();
    let version = insert_version(&mut tx, world, &claimed, 1).await.unwrap();
    let called = AeTitle::parse("PACS").unwrap();
    tx.return_target_add(world.ambient.new_uuid(), &hospital(), &called, "127.0.0.1", 104, world.now()).await.unwrap();
    let target = tx.return_target_list(&hospital()).await.unwrap().remove(0);
    let delivery = DeliveryId(world.ambient.new_uuid());
    assert!(tx.delivery_insert(delivery, version, &hospital(), target.id, world.now()).await.unwrap());
    let second = DeliveryId(world.ambient.new_uuid());
    assert!(
        !tx.delivery_insert(second, version, &hospital(), target.id, world.now()).await.unwrap(),
        "one row per recipient"
    );
    tx.commit().await.unwrap();
    (version, delivery)
}

async fn begin(tx: &mut WriteTx, world: &World, delivery: DeliveryId) -> (uuid::Uuid, Option<crate::BegunAttempt>) {
    let id = world.ambient.new_uuid();
    let attempt = NewAttempt { id, delivery, now: world.now(), interrupted: "the node stopped" };
    (id, tx.delivery_begin_attempt(&attempt).await.unwrap())
}

#[tokio::test]
async fn attempts_are_numbered_and_an_interrupted_one_is_closed_by_the_next() {
    both(|db, world| async move {
        let (_, delivery) = signed(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        let (first, begun) = begin(&mut tx, &world, delivery).await;
        let begun = begun.unwrap();
        assert_eq!((begun.number, begun.started_by, begun.interrupted), (1, AttemptStart::Automatic, 0));
        let (second, begun) = begin(&mut tx, &world, delivery).await;
        assert_eq!(begun.map(|begun| (begun.number, begun.interrupted)), Some((2, 1)));

        assert!(!tx.delivery_finish_attempt(first, AttemptOutcome::Accepted, "too late", world.now()).await.unwrap());
        assert!(tx.delivery_finish_attempt(second, AttemptOutcome::Refused, "A700", world.now()).await.unwrap());
        let next = world.now().plus_seconds(30);
        assert!(tx.delivery_again(delivery, DeliveryState::Sent, next, "A700").await.unwrap());
        tx.commit().await.unwrap();

        let mut read = db.read().await.unwrap();
        let row = read.delivery_find(delivery, Some(&hospital())).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempt_count, row.next_attempt_at), (DeliveryState::Sent, 2, Some(next)));
        assert_eq!(
            (row.target.called.as_str(), row.target.port, row.last_error.as_deref()),
            ("PACS", 104, Some("A700"))
        );
        let attempts = read.delivery_attempts(delivery).await.unwrap();
        let told: Vec<_> = attempts.iter().map(|a| (a.number, a.outcome, a.detail.as_deref())).collect();
        assert_eq!(
            told,
            [
                (1, Some(AttemptOutcome::Interrupted), Some("the node stopped")),
                (2, Some(AttemptOutcome::Refused), Some("A700"))
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn accepted_is_the_end_and_failed_is_not() {
    both(|db, world| async move {
        let (_, delivery) = signed(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.delivery_fail(delivery, "gave up").await.unwrap());
        assert_eq!(begin(&mut tx, &world, delivery).await.1, None, "nothing more is tried by itself");
        assert!(tx.delivery_request_retry(delivery, "account:O1", world.now()).await.unwrap());
        assert!(!tx.delivery_request_retry(delivery, "account:O2", world.now()).await.unwrap(), "asked for already");
        assert_eq!(
            tx.delivery_find(delivery, None).await.unwrap().unwrap().retry_requested_by.as_deref(),
            Some("account:O1")
        );
        let (attempt, begun) = begin(&mut tx, &world, delivery).await;
        assert_eq!(begun.unwrap().started_by, AttemptStart::Manual);
        assert_eq!(tx.delivery_find(delivery, None).await.unwrap().unwrap().retry_requested_by, None);

        assert!(tx.delivery_finish_attempt(attempt, AttemptOutcome::Accepted, "0000", world.now()).await.unwrap());
        assert!(tx.delivery_accept(delivery, world.now()).await.unwrap());
        assert!(!tx.delivery_accept(delivery, world.now()).await.unwrap());
        assert!(!tx.delivery_fail(delivery, "x").await.unwrap());
        assert!(!tx.delivery_again(delivery, DeliveryState::Queued, world.now(), "x").await.unwrap());
        assert!(!tx.delivery_request_retry(delivery, "account:O1", world.now()).await.unwrap());
        assert_eq!(begin(&mut tx, &world, delivery).await.1, None);
        let row = tx.delivery_find(delivery, None).await.unwrap().unwrap();
        assert_eq!((row.state, row.accepted_at, row.last_error), (DeliveryState::Accepted, Some(world.now()), None));
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn lists_are_restricted_inside_the_query() {
    both(|db, world| async move {
        let (version, delivery) = signed(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        begin(&mut tx, &world, delivery).await.1.unwrap();
        tx.commit().await.unwrap();
        let mut read = db.read().await.unwrap();
        let case = read.delivery_find(delivery, None).await.unwrap().unwrap().case;
        let other = FacilityId::parse("HOSP2").unwrap();
        assert_eq!(read.delivery_find(delivery, Some(&other)).await.unwrap(), None);

        let all = DeliverySelection { limit: 10, ..DeliverySelection::default() };
        let cases = [
            (all.clone(), 1),
            (DeliverySelection { facility: Some(hospital()), ..all.clone() }, 1),
            (DeliverySelection { facility: Some(other), ..all.clone() }, 0),
            (DeliverySelection { case: Some(case), version: Some(version), unfinished_only: true, ..all.clone() }, 1),
            (DeliverySelection { version: Some(ReportVersionId(world.ambient.new_uuid())), ..all.clone() }, 0),
            (DeliverySelection { limit: 0, ..all.clone() }, 0),
        ];
        for (selection, expected) in cases {
            let listed = read.delivery_list(&selection).await.unwrap();
            assert_eq!(listed.len(), expected, "{selection:?}");
            assert!(listed.iter().all(|(_, attempts)| attempts.len() == 1));
        }
        drop(read);
        let mut tx = db.write().await.unwrap();
        tx.delivery_accept(delivery, world.now()).await.unwrap();
        assert_eq!(tx.delivery_list(&DeliverySelection { unfinished_only: true, ..all }).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn withdrawing_the_last_study_counts_before_the_case_itself_is_withdrawn() {
    both(|db, world| async move {
        let (version, delivery) = signed(&db, &world).await;
        let second = receive(&db, &world, 2, "CT", 1).await;
        let mut tx = db.write().await.unwrap();
        let row = tx.delivery_find(delivery, None).await.unwrap().unwrap();
        let (first, case) = (StudyUid::parse("1.2.3.1").unwrap(), row.case);
        let (first, _) = tx.study_owner(&hospital(), &first).await.unwrap().unwrap();
        let attached = tx.report_study_attach(case, &hospital(), &StudyUid::parse("1.2.3.2").unwrap()).await.unwrap();
        assert_eq!(attached, Some(case));

        let second_at = world.now().plus_seconds(1);
        for (study, at, withdrawn_at) in [(first, world.now(), None), (second, second_at, Some(second_at))] {
            assert!(tx.study_withdraw(study, "患者取り違え", at).await.unwrap());
            assert_eq!(tx.case_head(case).await.unwrap().unwrap().withdrawn_at, None);
            assert_eq!(tx.delivery_find(delivery, None).await.unwrap().unwrap().withdrawn_at, withdrawn_at);
            assert_eq!(tx.report_version_find(version, None).await.unwrap().unwrap().withdrawn_at, withdrawn_at);
        }
        let withdrawn_at = world.now().plus_seconds(60);
        assert!(tx.case_withdraw(case, withdrawn_at).await.unwrap());
        assert_eq!(tx.delivery_find(delivery, None).await.unwrap().unwrap().withdrawn_at, Some(withdrawn_at));
    })
    .await;
}

#[tokio::test]
async fn a_delivery_without_a_job_is_found_and_a_dead_job_revived() {
    both(|db, world| async move {
        let (_, delivery) = signed(&db, &world).await;
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.deliveries_without_job(QUEUE, 10).await.unwrap(), [(delivery, Some(world.now()))]);
        assert!(!tx.delivery_revive_job(QUEUE, delivery, world.now()).await.unwrap(), "there is none");

        let job = NewJob {
            id: dokuei_domain::JobId(world.ambient.new_uuid()),
            queue: QUEUE,
            payload: "{}".into(),
            dedup_key: Some(delivery_job_key(delivery)),
            run_at: world.now(),
            max_attempts: 1,
            now: world.now(),
        };
        tx.job_enqueue(job).await.unwrap();
        assert_eq!(tx.deliveries_without_job(QUEUE, 10).await.unwrap(), []);
        let claimed = tx.job_claim("w", world.now(), world.now().plus_seconds(9), 1).await.unwrap().remove(0);
        assert_eq!(tx.deliveries_without_job(QUEUE, 10).await.unwrap(), [], "one is running");
        assert!(tx.job_dead(claimed.id, claimed.attempt, world.now(), "gave up").await.unwrap());
        assert_eq!(tx.deliveries_without_job(QUEUE, 10).await.unwrap().len(), 1);

        assert!(tx.delivery_revive_job(QUEUE, delivery, world.now()).await.unwrap());
        assert_eq!(tx.deliveries_without_job(QUEUE, 10).await.unwrap(), []);
        let again = tx.job_claim("w", world.now(), world.now().plus_seconds(9), 1).await.unwrap();
        assert_eq!(again.iter().map(|job| job.id).collect::<Vec<_>>(), [claimed.id]);
        tx.commit().await.unwrap();
    })
    .await;
}
