use dokuei_domain::{AccountId, PersonName, Role, Timestamp};

use super::{World, both};
use crate::{AccountRow, ApprovalRow, CertificateRow, Database, FailureKey, ReaderRow};

fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn account(world: &World, name: &str, role: Role) -> AccountRow {
    AccountRow {
        id: id(name),
        role,
        facility: None,
        display_name: "山田 太郎".to_owned(),
        language: "ja".to_owned(),
        password_hash: "$argon2id$…".to_owned(),
        password_changed_at: world.now(),
        totp_secret: vec![1, 2, 3],
        totp_last_step: 0,
        created_at: world.now(),
        disabled_at: None,
    }
}

async fn add(db: &Database, world: &World, name: &str, role: Role) -> AccountId {
    let mut tx = db.write().await.unwrap();
    assert!(tx.account_insert(&account(world, name, role)).await.unwrap());
    tx.commit().await.unwrap();
    id(name)
}

#[tokio::test]
async fn an_account_is_read_as_it_was_written() {
    both(|db, world| async move {
        let written = account(&world, "O1", Role::Office);
        add(&db, &world, "O1", Role::Office).await;
        let mut tx = db.write().await.unwrap();
        assert_eq!(tx.account_find(&id("O1")).await.unwrap(), Some(written.clone()));
        assert_eq!(tx.account_lock(&id("O1")).await.unwrap(), Some(written.clone()));
        assert!(!tx.account_insert(&written).await.unwrap(), "the id is taken");
        assert_eq!(tx.account_lock(&id("O2")).await.unwrap(), None);
        let shown = format!("{written:?}");
        assert!(!shown.contains("argon2") && !shown.contains("[1, 2, 3]"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_facilitys_account_without_a_facility_is_a_conflict() {
    both(|db, world| async move {
        let mut tx = db.write().await.unwrap();
        let error = tx.account_insert(&account(&world, "U1", Role::Facility)).await.unwrap_err();
        assert!(error.is_conflict(), "{}", error.chain());
    })
    .await;
}

#[tokio::test]
async fn a_time_step_is_used_once_and_never_an_older_one() {
    both(|db, world| async move {
        let one = add(&db, &world, "O1", Role::Office).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.account_use_totp_step(&one, 100).await.unwrap());
        assert!(!tx.account_use_totp_step(&one, 100).await.unwrap());
        assert!(!tx.account_use_totp_step(&one, 99).await.unwrap());
        assert!(tx.account_use_totp_step(&one, 101).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn of_many_transactions_one_uses_the_step() {
    both(|db, world| async move {
        let one = add(&db, &world, "O1", Role::Office).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (db, one) = (db.clone(), one.clone());
            tasks.spawn(async move {
                let mut tx = db.write().await.unwrap();
                let used = tx.account_use_totp_step(&one, 100).await.unwrap();
                tx.commit().await.unwrap();
                used
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|used| *used).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_last_administrator_is_not_disabled() {
    both(|db, world| async move {
        let (one, two) =
            (add(&db, &world, "A1", Role::Administrator).await, add(&db, &world, "A2", Role::Administrator).await);
        let office = add(&db, &world, "O1", Role::Office).await;
        let mut tx = db.write().await.unwrap();
        assert!(tx.account_disable(&office, world.now()).await.unwrap());
        assert!(tx.account_disable(&one, world.now()).await.unwrap());
        assert!(!tx.account_disable(&one, world.now()).await.unwrap());
        assert!(!tx.account_disable(&two, world.now()).await.unwrap());
        assert!(tx.account_enable(&one).await.unwrap());
        assert!(tx.account_disable(&two, world.now()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn recovery_codes_are_used_once_and_replaced_together() {
    both(|db, world| async move {
        let (one, two) = (add(&db, &world, "O1", Role::Office).await, add(&db, &world, "O2", Role::Office).await);
        let mut tx = db.write().await.unwrap();
        tx.recovery_codes_replace(&one, &[[1; 32], [2; 32]]).await.unwrap();

        assert!(!tx.recovery_code_use(&two, &[1; 32], world.now()).await.unwrap());
        assert!(tx.recovery_code_use(&one, &[1; 32], world.now()).await.unwrap());
        assert!(!tx.recovery_code_use(&one, &[1; 32], world.now()).await.unwrap());
        assert!(tx.recovery_code_known(&one, &[1; 32]).await.unwrap());
        assert_eq!(tx.recovery_codes_left(&one).await.unwrap(), 1);

        tx.recovery_codes_replace(&one, &[[1; 32], [3; 32]]).await.unwrap();
        assert!(!tx.recovery_code_known(&one, &[2; 32]).await.unwrap());
        assert_eq!(tx.recovery_codes_left(&one).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_reader_is_read_as_written_with_sorted_modalities() {
    both(|db, world| async move {
        let one = add(&db, &world, "R1", Role::Reader).await;
        let mut written = ReaderRow {
            account: one.clone(),
            name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
            organisation: "読影NPO".to_owned(),
            hours: "Mon-Fri 08:00-20:00".to_owned(),
            accepting_since: Some(world.now()),
            modalities: vec!["CT".to_owned(), "MR".to_owned()],
            disabled_at: None,
        };
        let mut tx = db.write().await.unwrap();
        tx.reader_insert(&written).await.unwrap();
        assert_eq!(tx.reader_find(&one).await.unwrap(), Some(written.clone()));

        tx.reader_set_modalities(&one, &["US".to_owned(), "CR".to_owned(), "CR".to_owned()]).await.unwrap();
        assert!(tx.reader_set_hours(&one, "").await.unwrap());
        assert!(tx.reader_set_accepting(&one, None).await.unwrap());
        assert!(!tx.reader_set_hours(&id("R9"), "").await.unwrap());

        written.modalities = vec!["CR".to_owned(), "US".to_owned()];
        (written.hours, written.accepting_since) = (String::new(), None);
        assert_eq!(tx.reader_list().await.unwrap(), [written]);
        assert_eq!(tx.reader_find(&id("R9")).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_once_and_is_not_touched_after() {
    both(|db, world| async move {
        let one = add(&db, &world, "O1", Role::Office).await;
        let now = world.now();
        let mut tx = db.write().await.unwrap();
        for token in 1..=3 {
            tx.session_insert(&[token; 32], &one, "192.0.2.1", now).await.unwrap();
        }
        assert!(tx.session_touch(&[1; 32], now.plus_seconds(60)).await.unwrap());
        assert!(!tx.session_touch(&[1; 32], now).await.unwrap(), "never back in time");
        assert_eq!(tx.session_find(&[1; 32]).await.unwrap().unwrap().last_seen_at, now.plus_seconds(60));

        assert!(tx.session_end(&[1; 32], now).await.unwrap());
        assert!(!tx.session_end(&[1; 32], now).await.unwrap());
        assert!(!tx.session_touch(&[1; 32], now.plus_seconds(120)).await.unwrap());
        assert_eq!(tx.session_find(&[1; 32]).await.unwrap(), None);
        assert_eq!(tx.session_end_all(&one, now).await.unwrap(), 2);
        assert_eq!(tx.session_purge(now).await.unwrap(), 0);
        assert_eq!(tx.session_purge(now.plus_seconds(1)).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_link_is_used_once_and_before_it_expires() {
    both(|db, world| async move {
        let one = add(&db, &world, "O1", Role::Office).await;
        let now = world.now();
        let mut tx = db.write().await.unwrap();
        tx.sign_in_link_insert(&[1; 32], &one, now, now.plus_seconds(60)).await.unwrap();
        tx.sign_in_link_insert(&[2; 32], &one, now, now.plus_seconds(60)).await.unwrap();
        assert_eq!(tx.sign_in_link_use(&[1; 32], now.plus_seconds(59)).await.unwrap(), Some(one));
        assert_eq!(tx.sign_in_link_use(&[1; 32], now.plus_seconds(59)).await.unwrap(), None);
        assert_eq!(tx.sign_in_link_use(&[2; 32], now.plus_seconds(60)).await.unwrap(), None);
        assert_eq!(tx.sign_in_link_purge(now.plus_seconds(61)).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn failures_are_counted_by_account_and_by_address_within_a_window() {
    both(|db, world| async move {
        let now = world.now();
        let mut tx = db.write().await.unwrap();
        tx.sign_in_failures_lock().await.unwrap();
        let ids: Vec<_> = (0..3).map(|_| world.ambient.new_uuid()).collect();
        for (index, (key, address)) in [("a", "x"), ("a", "y"), ("b", "x")].into_iter().enumerate() {
            let at = now.plus_seconds(i64::try_from(index).unwrap());
            tx.sign_in_failure_insert(ids[index], key, address, at).await.unwrap();
        }
        let since = Timestamp(now.0 - 1);
        let by_account = tx.sign_in_failures(FailureKey::Account("a"), since, 10).await.unwrap();
        assert_eq!(by_account, [now.plus_seconds(1), now], "youngest first");
        assert_eq!(
            tx.sign_in_failures(FailureKey::Account("a"), now, 10).await.unwrap(),
            [now.plus_seconds(1)],
            "the window's edge is out"
        );
        assert_eq!(tx.sign_in_failures(FailureKey::Account("a"), since, 1).await.unwrap().len(), 1);
        assert_eq!(tx.sign_in_failures(FailureKey::Address("x"), since, 10).await.unwrap().len(), 2);

        tx.sign_in_failure_withdraw(ids[2]).await.unwrap();
        assert_eq!(tx.sign_in_failures(FailureKey::Address("x"), since, 10).await.unwrap().len(), 1);
        assert_eq!(tx.sign_in_failures_forgive("a").await.unwrap(), 2);
        assert_eq!(tx.sign_in_failures_purge(now.plus_seconds(9)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn one_certificate_is_current_and_all_stay() {
    both(|db, world| async move {
        let one = add(&db, &world, "R1", Role::Reader).await;
        let row = |serial: &str, issued_at| CertificateRow {
            id: world.ambient.new_uuid(),
            account: one.clone(),
            serial: serial.to_owned(),
            certificate: vec![1],
            encrypted_key: vec![2],
            issued_at,
            superseded_at: None,
        };
        let (first, second) = (row("0A", world.now()), row("0B", world.now().plus_seconds(1)));
        let mut tx = db.write().await.unwrap();
        tx.certificate_insert(&first).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = db.write().await.unwrap();
        assert!(tx.certificate_insert(&second).await.unwrap_err().is_conflict(), "two current ones");
        drop(tx);
        let mut tx = db.write().await.unwrap();
        assert!(tx.certificate_replace_key(first.id, &[2], &[3]).await.unwrap());
        assert!(!tx.certificate_replace_key(first.id, &[2], &[4]).await.unwrap(), "somebody was faster");
        assert!(tx.certificate_supersede(&one, world.now()).await.unwrap());
        assert!(!tx.certificate_supersede(&one, world.now()).await.unwrap());
        assert!(!tx.certificate_replace_key(first.id, &[3], &[4]).await.unwrap(), "superseded");
        assert_eq!(tx.certificate_current(&one).await.unwrap(), None);
        tx.certificate_insert(&second).await.unwrap();

        assert_eq!(tx.certificate_current(&one).await.unwrap(), Some(second));
        let serials: Vec<_> = tx.certificate_list(&one).await.unwrap().into_iter().map(|row| row.serial).collect();
        assert_eq!(serials, ["0A", "0B"]);
        assert_eq!(tx.certificate_by_serial("0A").await.unwrap().unwrap().encrypted_key, [3]);
    })
    .await;
}

#[tokio::test]
async fn an_approval_is_granted_by_another_once_and_used_once_in_time() {
    both(|db, world| async move {
        let one = add(&db, &world, "R1", Role::Reader).await;
        let (asks, grants) = (id("A1"), id("A2"));
        let now = world.now();
        let approval = world.ambient.new_uuid();
        let mut tx = db.write().await.unwrap();
        tx.approval_insert(approval, "reenrol", &one, "lost", &asks, now).await.unwrap();
        assert!(tx.approval_waiting(&one).await.unwrap());

        assert!(!tx.approval_use(approval, Timestamp(0), now).await.unwrap(), "not granted");
        assert!(!tx.approval_grant(approval, &asks, &[9; 32], now).await.unwrap(), "the one who asked");
        assert!(tx.approval_grant(approval, &grants, &[9; 32], now).await.unwrap());
        assert!(!tx.approval_grant(approval, &id("A3"), &[8; 32], now).await.unwrap(), "granted before");
        assert!(!tx.approval_waiting(&one).await.unwrap());
        let found: ApprovalRow = tx.approval_by_token(&[9; 32]).await.unwrap().unwrap();
        assert_eq!((found.id, found.granted_by.as_deref(), found.granted_at), (approval, Some("A2"), Some(now)));
        assert_eq!(tx.approval_open().await.unwrap(), [found]);

        assert!(!tx.approval_use(approval, now, now).await.unwrap(), "too old");
        assert!(tx.approval_use(approval, Timestamp(now.0 - 1), now).await.unwrap());
        assert!(!tx.approval_use(approval, Timestamp(now.0 - 1), now).await.unwrap());
        assert!(!tx.approval_refuse(approval, &asks, now).await.unwrap(), "used before");
        assert_eq!(tx.approval_open().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_refused_approval_is_over_and_others_can_be_closed() {
    both(|db, world| async move {
        let one = add(&db, &world, "R1", Role::Reader).await;
        let (asks, grants) = (id("A1"), id("A2"));
        let now = world.now();
        let ids: Vec<_> = (0..3).map(|_| world.ambient.new_uuid()).collect();
        let mut tx = db.write().await.unwrap();
        for approval in &ids {
            tx.approval_insert(*approval, "reenrol", &one, "lost", &asks, now).await.unwrap();
        }
        assert!(tx.approval_refuse(ids[0], &grants, now).await.unwrap());
        assert!(!tx.approval_grant(ids[0], &grants, &[9; 32], now).await.unwrap());
        assert!(tx.approval_grant(ids[1], &grants, &[9; 32], now).await.unwrap());

        assert_eq!(tx.approval_close_others(&one, ids[2], "reenrol", now).await.unwrap(), 1);

        assert!(!tx.approval_use(ids[1], Timestamp(0), now).await.unwrap(), "closed");
        assert_eq!(tx.approval_open().await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [ids[2]]);
        assert_eq!(tx.approval_find(world.ambient.new_uuid()).await.unwrap(), None);
    })
    .await;
}
