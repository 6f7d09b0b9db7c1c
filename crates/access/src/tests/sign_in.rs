use std::sync::Arc;

use dokuei_database::Database;
use dokuei_domain::Role;
use tokio::task::JoinSet;

use crate::{Access, AccessError, SignInError};

use super::{ADDRESS, CLI, Node, both, id};

const WRONG: &str = "not the password";

#[tokio::test]
async fn password_and_code_begin_a_session_and_leave_an_audit_row() {
    both(|node| async move {
        let office = node.office("O1").await;

        let signed_in = node.sign_in(&office).await;

        assert_eq!((signed_in.session.account, signed_in.session.role), (id("O1"), Role::Office));
        assert_eq!(signed_in.token.len(), 43);
        let row = node.audit(1).await.remove(0);
        assert_eq!(
            (row.action.as_str(), row.outcome.as_str(), row.actor.as_str()),
            ("sign_in", "success", "account:O1")
        );
        assert_eq!(row.detail, "from 192.0.2.1");
        assert!(format!("{:?}", node.access.session(&signed_in.token).await.unwrap().unwrap().actor).contains("O1"));
    })
    .await;
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same_and_nothing_secret_is_audited() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let code = node.code(&office);
    let recovery = office.recovery_codes[0].clone();
    let attempts = [
        ("O1", WRONG, code.as_str()),
        ("O1", "", code.as_str()),
        ("O1", office.password.as_str(), "000000"),
        ("O1", office.password.as_str(), ""),
        ("O2", office.password.as_str(), code.as_str()),
        ("my secret phrase", WRONG, code.as_str()),
        ("", "", ""),
        ("O1", &"x".repeat(5000), recovery.as_str()),
    ];
    for (index, (account, password, code)) in attempts.into_iter().enumerate() {
        let address = format!("198.51.100.{index}");
        let refused = node.access.sign_in(account, password, code, &address).await.unwrap_err();
        assert!(matches!(refused, SignInError::WrongCredentials), "attempt {index}: {refused}");
        let row = node.audit(1).await.remove(0);
        assert_eq!((row.action.as_str(), row.outcome.as_str()), ("sign_in", "refused"));
        assert!(row.detail.contains(&address));
        assert_eq!(row.subject, if account == "O1" { "O1" } else { "unknown" });
    }
    for row in node.audit(100).await {
        let text = format!("{row:?}");
        for secret in [WRONG, &office.password, &code, &recovery, "my secret phrase", "O1 さん"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_an_older_one_no_more() {
    both(|node| async move {
        let office = node.office("O1").await;
        let older = node.code(&office);
        node.next_step();
        let code = node.code(&office);
        node.sign_in(&office).await;

        for used in [&code, &older] {
            let refused = node.access.sign_in("O1", &office.password, used, ADDRESS).await.unwrap_err();
            assert!(matches!(refused, SignInError::ReplayedCode), "{refused}");
            assert_eq!(node.last_audit().await, "sign_in refused O1");
        }

        node.next_step();
        node.sign_in(&office).await;
    })
    .await;
}

#[tokio::test]
async fn of_many_who_use_one_code_at_once_one_gets_in() {
    both(|node| async move {
        let office = node.office("O1").await;
        let code = node.code(&office);
        // Two processes on one database.
        let second = Database::open(&node.url).await.unwrap();
        let keys = Arc::clone(&node.access.keys);
        let other = Access::new(second.clone(), node.access.ambient.clone(), keys, node.access.settings().clone());
        let mut attempts = JoinSet::new();
        for attempt in 0..4 {
            let access = if attempt % 2 == 0 { node.access.clone() } else { other.clone() };
            let (password, code) = (office.password.clone(), code.clone());
            attempts.spawn(async move { access.sign_in("O1", &password, &code, ADDRESS).await });
        }

        let outcomes = attempts.join_all().await;

        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|outcome| matches!(outcome, Err(SignInError::ReplayedCode))), "{lost:?}");
        drop(other);
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_recovery_code_stands_for_the_authenticator_once() {
    both(|node| async move {
        let office = node.office("O1").await;
        let typed = office.recovery_codes[3].to_lowercase().replace('-', " ");

        node.access.sign_in("O1", &office.password, &typed, ADDRESS).await.unwrap();
        assert!(node.audit(1).await[0].detail.contains("9 left"), "{:?}", node.audit(1).await);
        let again = node.access.sign_in("O1", &office.password, &typed, ADDRESS).await.unwrap_err();
        assert!(matches!(again, SignInError::ReplayedCode), "{again}");

        let never_issued =
            node.access.sign_in("O1", &office.password, "BCDF-BCDF-BCDF-BCDF", ADDRESS).await.unwrap_err();
        assert!(matches!(never_issued, SignInError::WrongCredentials), "{never_issued}");
        assert_eq!(node.access.account_list(&CLI).await.unwrap()[0].recovery_codes_left, 9);
    })
    .await;
}

#[tokio::test]
async fn five_failures_make_the_account_wait_until_the_first_has_passed() {
    both(|node| async move {
        let office = node.office("O1").await;
        for attempt in 0..5u8 {
            let address = format!("198.51.100.{attempt}");
            let refused = node.access.sign_in("O1", WRONG, "000000", &address).await.unwrap_err();
            assert!(matches!(refused, SignInError::WrongCredentials), "{refused}");
            node.advance(60);
        }

        let code = node.code(&office);
        let refused = node.access.sign_in("O1", &office.password, &code, "203.0.113.9").await.unwrap_err();
        let SignInError::TooManyAttempts { retry_after_seconds } = refused else { panic!("{refused}") };
        assert_eq!(retry_after_seconds, 15 * 60 - 5 * 60);
        assert_eq!(node.last_audit().await, "sign_in refused O1");

        node.advance(599);
        let code = node.code(&office);
        let refused = node.access.sign_in("O1", &office.password, &code, "203.0.113.9").await.unwrap_err();
        assert!(matches!(refused, SignInError::TooManyAttempts { retry_after_seconds: 1 }), "{refused}");
        node.advance(1);
        node.sign_in(&office).await;

        // Success forgives: four more mistakes are allowed again.
        for _ in 0..4 {
            assert!(matches!(
                node.access.sign_in("O1", WRONG, "000000", ADDRESS).await,
                Err(SignInError::WrongCredentials)
            ));
        }
        node.next_step();
        node.sign_in(&office).await;
    })
    .await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_waits_like_one_that_does() {
    let node = Node::new().await;
    for _ in 0..5 {
        assert!(matches!(
            node.access.sign_in("nobody", WRONG, "000000", ADDRESS).await,
            Err(SignInError::WrongCredentials)
        ));
    }
    let refused = node.access.sign_in("nobody", WRONG, "000000", ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::TooManyAttempts { .. }), "{refused}");
    assert!(matches!(
        node.access.sign_in("somebody", WRONG, "000000", ADDRESS).await,
        Err(SignInError::WrongCredentials)
    ));
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_waits() {
    let node = Node::with_settings(|settings| settings.failures_per_address = 6).await;
    let office = node.office("O1").await;
    for attempt in 0..6 {
        let refused = node.access.sign_in(&format!("guess-{attempt}"), WRONG, "000000", ADDRESS).await.unwrap_err();
        assert!(matches!(refused, SignInError::WrongCredentials), "{refused}");
    }

    let code = node.code(&office);
    let refused = node.access.sign_in("O1", &office.password, &code, ADDRESS).await.unwrap_err();
    assert!(matches!(refused, SignInError::TooManyAttempts { .. }), "{refused}");

    node.access.sign_in("O1", &office.password, &code, "198.51.100.7").await.unwrap();
}

#[tokio::test]
async fn guesses_made_at_once_are_all_counted() {
    both(|node| async move {
        let office = node.office("O1").await;
        let mut guesses = JoinSet::new();
        for guess in 0..12 {
            let (access, password) = (node.access.clone(), office.password.clone());
            guesses.spawn(async move {
                access.sign_in("O1", &password, &format!("{guess:06}"), &format!("198.51.100.{guess}")).await
            });
        }

        let outcomes = guesses.join_all().await;

        let judged = outcomes.iter().filter(|outcome| matches!(outcome, Err(SignInError::WrongCredentials))).count();
        let waiting =
            outcomes.iter().filter(|outcome| matches!(outcome, Err(SignInError::TooManyAttempts { .. }))).count();
        assert_eq!((judged, waiting), (5, 7), "{outcomes:?}");
    })
    .await;
}

#[tokio::test]
async fn a_disabled_account_is_told_so_only_with_its_password() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    node.access.account_disable(&CLI, &id("O1")).await.unwrap();

    let code = node.code(&office);
    assert!(matches!(node.access.sign_in("O1", WRONG, &code, ADDRESS).await, Err(SignInError::WrongCredentials)));
    assert!(matches!(node.access.sign_in("O1", &office.password, &code, ADDRESS).await, Err(SignInError::Disabled)));
    assert_eq!(node.last_audit().await, "sign_in refused O1");

    node.access.account_enable(&CLI, &id("O1")).await.unwrap();
    node.sign_in(&office).await;
}

#[tokio::test]
async fn sign_in_links_work_once_in_time_and_in_the_demonstration_only() {
    let node = Node::with_settings(|settings| settings.sign_in_links = true).await;
    node.office("O1").await;

    let link = node.access.sign_in_link_create(&id("O1"), 600).await.unwrap();
    let signed_in = node.access.sign_in_with_link(&link, ADDRESS).await.unwrap();
    assert_eq!(signed_in.session.account, id("O1"));
    assert!(matches!(node.access.sign_in_with_link(&link, ADDRESS).await, Err(SignInError::LinkInvalid)));
    assert_eq!(node.last_audit().await, "sign_in.link refused unknown");

    let late = node.access.sign_in_link_create(&id("O1"), 600).await.unwrap();
    node.advance(600);
    assert!(matches!(node.access.sign_in_with_link(&late, ADDRESS).await, Err(SignInError::LinkInvalid)));
    assert!(matches!(node.access.sign_in_with_link("nonsense", ADDRESS).await, Err(SignInError::LinkInvalid)));
    assert!(matches!(node.access.sign_in_link_create(&id("O9"), 600).await, Err(AccessError::UnknownAccount(_))));

    let disabled = node.access.sign_in_link_create(&id("O1"), 600).await.unwrap();
    node.access.account_disable(&CLI, &id("O1")).await.unwrap();
    assert!(matches!(node.access.sign_in_with_link(&disabled, ADDRESS).await, Err(SignInError::Disabled)));

    let real = Node::new().await;
    real.office("O1").await;
    assert!(matches!(real.access.sign_in_link_create(&id("O1"), 600).await, Err(AccessError::LinksNotAllowed)));
}
