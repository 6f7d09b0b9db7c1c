use dokuei_domain::{Actor, Role};

use crate::AccountEdit;

use super::{CLI, Node, both, id};

const MINUTE: u64 = 60;

#[tokio::test]
async fn a_session_that_is_used_lives_until_its_absolute_age() {
    both(|node| async move {
        let office = node.office("O1").await;
        let token = node.sign_in(&office).await.token;

        for _ in 0..28 {
            node.advance(25 * MINUTE);
            assert!(node.access.session(&token).await.unwrap().is_some());
        }
        // 28 times 25 minutes; the twelve hours end 20 minutes later.
        node.advance(20 * MINUTE - 1);
        assert!(node.access.session(&token).await.unwrap().is_some());
        node.advance(1);
        assert_eq!(node.access.session(&token).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let token = node.sign_in(&office).await.token;

    node.advance(30 * MINUTE - 1);
    assert!(node.access.session(&token).await.unwrap().is_some());
    node.advance(30 * MINUTE);
    assert_eq!(node.access.session(&token).await.unwrap(), None);
    node.clock.set(dokuei_testkit::clock::TEST_START);
    assert!(node.access.session(&token).await.unwrap().is_some(), "a clock that jumps back locks nobody out");
}

#[tokio::test]
async fn many_requests_within_a_minute_write_once() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let token = node.sign_in(&office).await.token;
    let hash = crate::one_time::token_hash(&token).unwrap();
    let last_seen = || async { node.db.read().await.unwrap().session_find(&hash).await.unwrap().unwrap().last_seen_at };
    let begun = last_seen().await;

    node.advance(59);
    node.access.session(&token).await.unwrap().unwrap();
    assert_eq!(last_seen().await, begun);
    node.advance(1);
    node.access.session(&token).await.unwrap().unwrap();
    assert_eq!(last_seen().await, begun.plus_seconds(60));
}

#[tokio::test]
async fn signing_out_ends_this_session_and_no_other() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let first = node.sign_in(&office).await.token;
    node.next_step();
    let second = node.sign_in(&office).await.token;

    node.access.sign_out(&first).await.unwrap();

    assert_eq!(node.access.session(&first).await.unwrap(), None);
    assert!(node.access.session(&second).await.unwrap().is_some());
    assert_eq!(node.last_audit().await, "sign_out success O1");
    node.access.sign_out(&first).await.unwrap();
    node.access.sign_out("nonsense").await.unwrap();
    assert_eq!(node.audit(100).await.iter().filter(|row| row.action == "sign_out").count(), 1);
}

#[tokio::test]
async fn disabling_an_account_ends_its_sessions_for_good() {
    both(|node| async move {
        let office = node.office("O1").await;
        let other = node.office("O2").await;
        let (token, untouched) = (node.sign_in(&office).await.token, node.sign_in(&other).await.token);

        node.access.account_disable(&CLI, &id("O1")).await.unwrap();
        assert_eq!(node.access.session(&token).await.unwrap(), None);
        node.access.account_enable(&CLI, &id("O1")).await.unwrap();

        assert_eq!(node.access.session(&token).await.unwrap(), None);
        assert!(node.access.session(&untouched).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_disabled_account_has_no_session_even_where_none_was_ended() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let token = node.sign_in(&office).await.token;

    let mut tx = node.db.write().await.unwrap();
    assert!(tx.account_disable(&id("O1"), now(&node)).await.unwrap());
    tx.commit().await.unwrap();

    assert_eq!(node.access.session(&token).await.unwrap(), None);
}

fn now(node: &Node) -> dokuei_domain::Timestamp {
    dokuei_domain::Clock::now(&node.clock)
}

#[tokio::test]
async fn who_somebody_is_is_read_anew_each_time() {
    let node = Node::new().await;
    let facility = node.facility("H1", "1.2.3").await;
    let user = node.add("U1", Role::Facility, Some(facility.clone())).await;
    let token = node.sign_in(&user).await.token;

    let edit =
        AccountEdit { display_name: Some("放射線科 受付".to_owned()), language: Some(crate::Language::English) };
    node.access.account_edit(&CLI, &id("U1"), edit).await.unwrap();

    let session = node.access.session(&token).await.unwrap().unwrap();
    assert_eq!(session.actor, Actor::Account { id: id("U1"), role: Role::Facility, facility: Some(facility) });
    assert_eq!((session.display_name.as_str(), session.language), ("放射線科 受付", crate::Language::English));
}

#[tokio::test]
async fn tokens_that_are_none_stand_for_nobody() {
    let node = Node::new().await;
    for token in ["", "x", &"A".repeat(43), &"A".repeat(100_000), "'; DROP TABLE sessions; --"] {
        assert_eq!(node.access.session(token).await.unwrap(), None);
    }
}

#[tokio::test]
async fn purging_removes_only_what_is_long_past() {
    let node = Node::new().await;
    let office = node.office("O1").await;
    let token = node.sign_in(&office).await.token;
    let hash = crate::one_time::token_hash(&token).unwrap();

    node.access.purge().await.unwrap();
    assert!(node.access.session(&token).await.unwrap().is_some());
    node.advance(40 * 24 * 3600);
    node.access.purge().await.unwrap();

    assert_eq!(node.db.read().await.unwrap().session_find(&hash).await.unwrap(), None);
}
