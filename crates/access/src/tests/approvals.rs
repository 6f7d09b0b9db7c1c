use dokuei_domain::Actor;
use tokio::task::JoinSet;

use crate::{AccessError, SignInError};

use super::{ADDRESS, CLI, Node, both, id};

#[tokio::test]
async fn two_administrators_give_a_reader_everything_anew() {
    both(|node| async move {
        let (first, _) = node.administrator("A1").await;
        let (second, _) = node.administrator("A2").await;
        let old = node.reader("R1").await;
        let session = node.sign_in(&old).await.token;
        let old_serial = old.certificate_serial.clone().unwrap();

        let approval = node.access.reenrol_request(&first, &id("R1"), "スマートフォン紛失").await.unwrap();
        let open = node.access.approvals_open(&second).await.unwrap();
        assert_eq!(
            (open.len(), open[0].id, open[0].requested_by.as_str(), open[0].granted_by.as_deref()),
            (1, approval, "A1", None)
        );
        let token = node.access.reenrol_grant(&second, approval).await.unwrap();
        assert!(node.access.session(&session).await.unwrap().is_some(), "nothing changes before the token is used");
        let new = node.access.reenrol_complete(&token, ADDRESS).await.unwrap();

        assert_eq!(node.access.session(&session).await.unwrap(), None);
        assert_eq!(node.access.approvals_open(&first).await.unwrap(), []);
        node.next_step();
        let old_code = node.code(&old);
        let refused = node.access.sign_in("R1", &old.password, &old_code, ADDRESS).await.unwrap_err();
        assert!(matches!(refused, SignInError::WrongCredentials), "{refused}");
        let refused = node.access.sign_in("R1", &new.password, &old.recovery_codes[0], ADDRESS).await.unwrap_err();
        assert!(matches!(refused, SignInError::WrongCredentials), "{refused}");
        node.sign_in(&new).await;
        node.next_step();
        let code = node.code(&new);
        let key = node.access.unlock_signing_key(&id("R1"), &new.password, &code, ADDRESS).await.unwrap();
        assert_eq!(Some(&key.serial), new.certificate_serial.as_ref());
        assert_ne!(key.serial, old_serial);

        // What the old key signed can still be checked.
        let mut read = node.db.read().await.unwrap();
        let row = read.certificate_by_serial(&old_serial).await.unwrap().unwrap();
        assert!(row.superseded_at.is_some() && !row.certificate.is_empty());
        assert_eq!(read.certificate_list(&id("R1")).await.unwrap().len(), 2);
        drop(read);
        let actions: Vec<_> = node
            .audit(20)
            .await
            .into_iter()
            .rev()
            .map(|row| row.action)
            .filter(|action| action.starts_with("reenrol"))
            .collect();
        assert_eq!(actions, ["reenrol.request", "reenrol.grant", "reenrol.complete"]);
    })
    .await;
}

#[tokio::test]
async fn one_administrator_alone_does_not_suffice() {
    both(|node| async move {
        let (first, _) = node.administrator("A1").await;
        node.office("O1").await;
        let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();

        let refused = node.access.reenrol_grant(&first, approval).await.unwrap_err();

        assert!(matches!(refused, AccessError::SameAdministrator), "{refused}");
        assert_eq!(node.last_audit().await, "reenrol.grant refused O1");
        assert_eq!(node.access.approvals_open(&first).await.unwrap()[0].granted_by, None);
        // Neither the command line nor other roles stand for the second one.
        assert!(matches!(node.access.reenrol_grant(&CLI, approval).await, Err(AccessError::NeedsAdministrator)));
        assert!(matches!(
            node.access.reenrol_request(&CLI, &id("O1"), "lost").await,
            Err(AccessError::NeedsAdministrator)
        ));
        let office = Actor::Account { id: id("O1"), role: dokuei_domain::Role::Office, facility: None };
        assert!(matches!(node.access.reenrol_grant(&office, approval).await, Err(AccessError::Denied(_))));
    })
    .await;
}

#[tokio::test]
async fn a_request_of_somebody_who_is_no_administrator_any_more_is_not_granted() {
    let node = Node::new().await;
    let (first, _) = node.administrator("A1").await;
    let (second, _) = node.administrator("A2").await;
    node.office("O1").await;
    let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();
    node.access.account_disable(&second, &id("A1")).await.unwrap();

    let refused = node.access.reenrol_grant(&second, approval).await.unwrap_err();

    assert!(matches!(refused, AccessError::NeedsAdministrator), "{refused}");
}

#[tokio::test]
async fn a_token_is_good_once_and_for_a_day() {
    let node = Node::new().await;
    let (first, _) = node.administrator("A1").await;
    let (second, _) = node.administrator("A2").await;
    let old = node.office("O1").await;
    let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();
    let expired = node.access.reenrol_grant(&second, approval).await.unwrap();
    node.advance(24 * 3600);
    assert!(matches!(node.access.reenrol_complete(&expired, ADDRESS).await, Err(AccessError::TokenInvalid)));
    assert_eq!(node.last_audit().await, "reenrol.complete refused O1");
    node.sign_in(&old).await;

    let again = node.access.reenrol_request(&second, &id("O1"), "lost").await.unwrap();
    let token = node.access.reenrol_grant(&first, again).await.unwrap();
    node.access.reenrol_complete(&token, ADDRESS).await.unwrap();
    assert!(matches!(node.access.reenrol_complete(&token, ADDRESS).await, Err(AccessError::TokenInvalid)));
    assert!(matches!(node.access.reenrol_complete("nonsense", ADDRESS).await, Err(AccessError::TokenInvalid)));
    assert_eq!(node.access.approvals_open(&first).await.unwrap(), [], "the expired one is closed with it");
}

#[tokio::test]
async fn of_two_who_use_one_token_at_once_one_is_enrolled() {
    both(|node| async move {
        let (first, _) = node.administrator("A1").await;
        let (second, _) = node.administrator("A2").await;
        node.office("O1").await;
        let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();
        let token = node.access.reenrol_grant(&second, approval).await.unwrap();
        let mut users = JoinSet::new();
        for _ in 0..3 {
            let (access, token) = (node.access.clone(), token.clone());
            users.spawn(async move { access.reenrol_complete(&token, ADDRESS).await });
        }

        let outcomes = users.join_all().await;

        let enrolled: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(enrolled.len(), 1, "{outcomes:?}");
        node.sign_in(enrolled[0]).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_is_decided_once_and_can_be_taken_back() {
    both(|node| async move {
        let (first, _) = node.administrator("A1").await;
        let (second, _) = node.administrator("A2").await;
        node.office("O1").await;
        let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();
        let twice = node.access.reenrol_request(&second, &id("O1"), "lost").await.unwrap_err();
        assert!(matches!(twice, AccessError::ApprovalWaiting(_)), "{twice}");

        let token = node.access.reenrol_grant(&second, approval).await.unwrap();
        assert!(matches!(node.access.reenrol_grant(&second, approval).await, Err(AccessError::ApprovalDecided)));
        node.access.reenrol_refuse(&first, approval).await.unwrap();

        assert!(matches!(node.access.reenrol_complete(&token, ADDRESS).await, Err(AccessError::TokenInvalid)));
        assert!(matches!(node.access.reenrol_refuse(&first, approval).await, Err(AccessError::ApprovalDecided)));
        assert!(matches!(
            node.access.reenrol_grant(&second, uuid::Uuid::nil()).await,
            Err(AccessError::UnknownApproval)
        ));
        assert!(matches!(
            node.access.reenrol_request(&first, &id("O9"), "lost").await,
            Err(AccessError::UnknownAccount(_))
        ));
        assert!(matches!(node.access.reenrol_request(&first, &id("O1"), " ").await, Err(AccessError::Text { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_disabled_account_is_not_enrolled_anew() {
    let node = Node::new().await;
    let (first, _) = node.administrator("A1").await;
    let (second, _) = node.administrator("A2").await;
    node.office("O1").await;
    let approval = node.access.reenrol_request(&first, &id("O1"), "lost").await.unwrap();
    let token = node.access.reenrol_grant(&second, approval).await.unwrap();
    node.access.account_disable(&first, &id("O1")).await.unwrap();

    let refused = node.access.reenrol_complete(&token, ADDRESS).await.unwrap_err();

    assert!(matches!(refused, AccessError::AccountDisabled(_)), "{refused}");
    assert!(matches!(
        node.access.reenrol_request(&first, &id("O1"), "lost").await,
        Err(AccessError::AccountDisabled(_))
    ));
}
