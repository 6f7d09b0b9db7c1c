use std::{sync::Arc, time::Duration};

use dokuei_domain::{
    Actor, Priority,
    workitem::{Discontinuation, WorkitemState},
};
use tokio::sync::Barrier;

use super::{
    World, both,
    cases::{account, add_facility, add_reader, open_case},
};
use crate::{AuditEvent, AuditOutcome, Database};

async fn world_with_reader(db: &Database, world: &World) -> dokuei_domain::AccountId {
    add_facility(db, world, "HOSP1").await;
    add_reader(db, world, "R1", &["CT"]).await
}

#[tokio::test]
async fn a_claim_is_fenced_by_reader_and_transaction_uid() {
    both(|db, world| async move {
        let reader = world_with_reader(&db, &world).await;
        let other = add_reader(&db, &world, "R2", &["CT"]).await;
        let (case, uid) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        let expires = world.now().plus_seconds(60);
        assert!(tx.workitem_claim(&uid, &reader, "2.25.1", world.now(), Some(expires)).await.unwrap());
        assert!(!tx.workitem_claim(&uid, &other, "2.25.2", world.now(), Some(expires)).await.unwrap());
        assert!(!tx.workitem_claim(&uid, &reader, "2.25.1", world.now(), Some(expires)).await.unwrap());

        for (who, transaction_uid) in [(&other, "2.25.1"), (&reader, "2.25.2"), (&reader, "")] {
            assert_eq!(tx.workitem_held(case, who, transaction_uid).await.unwrap(), None);
            assert!(!tx.workitem_keep(case, who, transaction_uid, expires).await.unwrap());
            assert_eq!(tx.workitem_complete(case, who, transaction_uid, world.now()).await.unwrap(), None);
            let why = (Discontinuation::Unspecified, "");
            assert_eq!(tx.workitem_cancel_held(case, who, transaction_uid, world.now(), why).await.unwrap(), None);
        }
        assert_eq!(tx.workitem_held(case, &reader, "2.25.1").await.unwrap(), Some(uid.clone()));
        let longer = world.now().plus_seconds(600);
        assert!(tx.workitem_keep(case, &reader, "2.25.1", longer).await.unwrap());
        let open = tx.workitem_open(case).await.unwrap().unwrap();
        assert_eq!((open.performer, open.claim_expires_at), (Some(reader.clone()), Some(longer)));

        assert_eq!(tx.workitem_complete(case, &reader, "2.25.1", world.now()).await.unwrap(), Some(uid.clone()));
        assert_eq!(tx.workitem_complete(case, &reader, "2.25.1", world.now()).await.unwrap(), None);
        assert_eq!(tx.workitem_open(case).await.unwrap(), None);
        assert_eq!(tx.workitem_held(case, &reader, "2.25.1").await.unwrap(), None);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_row_shows_the_transaction_uid() {
    both(|db, world| async move {
        let reader = world_with_reader(&db, &world).await;
        let (case, uid) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.workitem_claim(&uid, &reader, "2.25.424242", world.now(), None).await.unwrap());
        let seen = format!(
            "{:?} {:?} {:?}",
            tx.workitem_open(case).await.unwrap(),
            tx.workitem_history(case, 10).await.unwrap(),
            tx.case_entry(case).await.unwrap()
        );
        assert!(seen.contains(&uid) && !seen.contains("424242"));
    })
    .await;
}

#[tokio::test]
async fn of_64_concurrent_claims_one_wins_with_its_audit_row() {
    both(|db, world| async move {
        let reader = world_with_reader(&db, &world).await;
        let (case, uid) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let start = Arc::new(Barrier::new(64));
        let mut performers = tokio::task::JoinSet::new();
        for n in 0..64 {
            let (db, world, uid, reader, start) =
                (db.clone(), world.clone(), uid.clone(), reader.clone(), start.clone());
            performers.spawn(async move {
                start.wait().await;
                let mut tx = db.write().await.unwrap();
                let won = tx.workitem_claim(&uid, &reader, &format!("2.25.{n}"), world.now(), None).await.unwrap();
                if won {
                    tx.audit(AuditEvent::new(world.now(), &Actor::CommandLine, "case.claim", AuditOutcome::Success));
                }
                tx.commit().await.unwrap();
                won.then_some(n)
            });
        }
        let winners: Vec<i32> = performers.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let mut tx = db.read().await.unwrap();
        let winner = format!("2.25.{}", winners[0]);
        assert!(tx.workitem_held(case, &reader, &winner).await.unwrap().is_some(), "the stored UID is the winner's");
        assert_eq!(tx.audit_latest(10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_canceled_workitem_is_replaced_and_a_second_open_one_is_a_conflict() {
    both(|db, world| async move {
        let reader = world_with_reader(&db, &world).await;
        let (case, first) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.workitem_insert("2.25.99", case, Some(&first), world.now()).await.unwrap_err().is_conflict());
        drop(tx);

        let mut tx = db.write().await.unwrap();
        tx.workitem_claim(&first, &reader, "2.25.1", world.now(), Some(world.now().plus_seconds(60))).await.unwrap();
        assert_eq!(tx.workitem_expired(world.now(), 10).await.unwrap(), []);
        assert!(!tx.workitem_cancel_expired(&first, world.now()).await.unwrap());
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(tx.workitem_expired(world.now(), 10).await.unwrap(), [(first.clone(), case)]);
        assert!(tx.workitem_cancel_expired(&first, world.now()).await.unwrap());
        assert!(!tx.workitem_cancel_expired(&first, world.now()).await.unwrap());
        tx.workitem_insert("2.25.99", case, Some(&first), world.now()).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let open = tx.workitem_open(case).await.unwrap().unwrap();
        assert_eq!(
            (open.uid.as_str(), open.replaces.as_ref(), open.previous_performer.as_ref()),
            ("2.25.99", Some(&first), Some(&reader))
        );
        let history = tx.workitem_history(case, 10).await.unwrap();
        assert_eq!(
            history.iter().map(|row| row.state).collect::<Vec<_>>(),
            [WorkitemState::Scheduled, WorkitemState::Canceled]
        );
        assert_eq!(history[1].discontinuation_code.as_deref(), Some("110533"));
        assert_eq!(tx.workitem_expired(world.now(), 10).await.unwrap(), [], "ended claims do not expire");
    })
    .await;
}

#[tokio::test]
async fn assignment_changes_only_what_it_has_read() {
    both(|db, world| async move {
        let (first, second) = (world_with_reader(&db, &world).await, add_reader(&db, &world, "R2", &["CT"]).await);
        let (case, uid) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let (urgent, _) = open_case(&db, &world, 2, &["CT"], Priority::Urgent).await;
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.workitem_without_reader(10).await.unwrap(), [urgent, case]);
        assert!(tx.workitem_assign(&uid, None, None, world.now(), "[1]").await.unwrap());
        let open = tx.workitem_open(case).await.unwrap().unwrap();
        assert_eq!((open.assigned_at, open.assignment_reasons.as_deref()), (None, Some("[1]")));
        assert!(tx.workitem_assign(&uid, None, Some(&first), world.now(), "[2]").await.unwrap());
        assert!(!tx.workitem_assign(&uid, None, Some(&second), world.now(), "[3]").await.unwrap());
        assert!(tx.workitem_assign(&uid, Some(&first), Some(&second), world.now(), "[4]").await.unwrap());
        assert_eq!(tx.workitem_without_reader(10).await.unwrap(), [urgent]);
        assert!(tx.account_disable(&second, world.now()).await.unwrap());
        assert_eq!(tx.workitem_without_reader(10).await.unwrap(), [urgent, case], "who cannot sign in cannot take it");
        assert!(tx.workitem_claim(&uid, &first, "2.25.1", world.now(), None).await.unwrap());
        assert!(!tx.workitem_assign(&uid, Some(&second), Some(&first), world.now(), "[5]").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn the_load_counts_what_is_held_and_what_is_expected() {
    both(|db, world| async move {
        let (first, second) =
            (world_with_reader(&db, &world).await, add_reader(&db, &world, "R2", &["MR", "CT"]).await);
        add_reader(&db, &world, "R3", &[]).await;
        let (_, a) = open_case(&db, &world, 1, &["CT"], Priority::Routine).await;
        let (case, b) = open_case(&db, &world, 2, &["CT"], Priority::Routine).await;
        let (_, c) = open_case(&db, &world, 3, &["CT"], Priority::Routine).await;
        let mut tx = db.write().await.unwrap();
        for uid in [&a, &b] {
            assert!(tx.workitem_assign(uid, None, Some(&first), world.now(), "[]").await.unwrap());
        }
        assert!(tx.workitem_claim(&b, &second, "2.25.1", world.now(), None).await.unwrap());
        assert!(tx.workitem_claim(&c, &second, "2.25.2", world.now(), None).await.unwrap());
        assert!(tx.account_disable(&account("R3"), world.now()).await.unwrap());
        let loads = tx.reader_loads().await.unwrap();
        let facts: Vec<_> =
            loads.iter().map(|row| (row.account.as_str(), row.open_workitems, row.last_assigned_at)).collect();
        assert_eq!(facts, [("R1", 1, Some(world.now())), ("R2", 2, None), ("R3", 0, None)]);
        assert_eq!(loads[1].modalities, ["CT", "MR"]);
        assert_eq!(loads[2].modalities, [] as [&str; 0]);
        assert!(loads[0].accepting && !loads[0].disabled && loads[2].disabled);
        assert_eq!(loads[0].hours, "Mon-Fri 08:00-20:00");
        assert!(tx.workitem_complete(case, &second, "2.25.1", world.now()).await.unwrap().is_some());
        assert_eq!(tx.reader_loads().await.unwrap()[1].open_workitems, 1);
    })
    .await;
}
