//! What an association request may ask for beside contexts, and what is answered.

use dokuei_dimse::{Association, ContextRejection, EndCause, ProposedContext, Rejection, Roles, Status, UserIdentity};

use crate::{desk::*, support::*};

fn user_identity(kind: u8, positive_response_requested: bool) -> UserIdentity {
    let secondary = if kind == 2 { b"passcode".to_vec() } else { Vec::new() };
    UserIdentity { kind, primary: b"technologist".to_vec(), secondary, positive_response_requested }
}

/// The user items of the A-ASSOCIATE-AC, for a request with these.
async fn answered(desk: &Desk, user_items: &[Vec<u8>]) -> Vec<(u8, Vec<u8>)> {
    let mut peer = RawPeer::connect(desk.node.address).await;
    let contexts: &[(u8, &str, &[&str])] = &[(1, CT, &[EXPLICIT]), (3, STUDY_ROOT_FIND, &[EXPLICIT])];
    peer.send(&associate_request(contexts, user_items)).await;
    let (pdu_type, body) = peer.receive().await;
    assert_eq!(pdu_type, 2);
    peer.release().await;
    let user = items(&body[68..]).into_iter().find(|(item_type, _)| *item_type == 0x50).unwrap();
    items(&user.1)
}

fn items(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [item_type, _, high, low, rest @ ..] = bytes {
        let (value, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        found.push((*item_type, value.to_vec()));
        bytes = after;
    }
    found
}

fn counted(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

#[tokio::test]
async fn roles_are_granted_as_far_as_they_are_asked_and_offered() {
    let desk = Desk::open(0).await;
    let nothing = Roles { scu: false, scp: false };
    for (class, proposed, granted) in [
        (COMMITMENT, None, Roles::USER),
        (COMMITMENT, Some(Roles::USER), Roles::USER),
        (COMMITMENT, Some(Roles::PROVIDER), Roles::PROVIDER),
        (COMMITMENT, Some(Roles::BOTH), Roles::BOTH),
        (COMMITMENT, Some(nothing), nothing),
        (PROCEDURE_STEP, Some(Roles::BOTH), Roles::USER),
        (PROCEDURE_STEP, Some(Roles::PROVIDER), nothing),
        (CT, Some(Roles::BOTH), Roles::USER),
        (CT, Some(Roles::PROVIDER), nothing),
    ] {
        let mut options = desk_options();
        let context = context(class, &[EXPLICIT]);
        // Twice the same class: one item for both.
        options.contexts = vec![ProposedContext { roles: proposed, ..context.clone() }, context];
        let association = Association::request(desk.node.address, &options).await.unwrap();
        assert_eq!(association.contexts()[0].roles, granted, "{class} {proposed:?}");
        association.release().await.unwrap();
    }
}

#[tokio::test]
async fn an_extended_negotiation_is_answered_for_what_is_known() {
    let desk = Desk::open(0).await;
    let mut options = desk_options();
    options.contexts.push(context(CT, &[EXPLICIT]));
    options.extended = vec![
        (sop_class(STUDY_ROOT_FIND), vec![1, 1]),
        (sop_class(PROCEDURE_STEP), vec![1]),
        (sop_class(CT), vec![2, 0, 0, 0, 0, 0]),
        (sop_class("1.2.3"), vec![1]),
    ];
    let association = Association::request(desk.node.address, &options).await.unwrap();
    assert_eq!(association.extended(&sop_class(STUDY_ROOT_FIND)), Some(&[1, 1][..]));
    assert_eq!(association.extended(&sop_class(PROCEDURE_STEP)), None);
    assert_eq!(association.extended(&sop_class(CT)), Some(&[2, 0, 3, 0, 0, 0][..]));
    assert_eq!(association.extended(&sop_class("1.2.3")), None);
    association.release().await.unwrap();
}

#[tokio::test]
async fn a_user_identity_is_confirmed_when_that_is_asked_and_never_to_strangers() {
    let mut desk = Desk::open(0).await;
    for (kind, asked) in [(1, true), (1, false), (2, true), (2, false), (5, true)] {
        let mut options = desk_options();
        options.user_identity = Some(user_identity(kind, asked));
        let association = Association::request(desk.node.address, &options).await.unwrap();
        assert_eq!(association.user_identity_response(), asked.then_some(&[][..]), "{kind} {asked}");
        association.release().await.unwrap();
        assert_eq!(desk.node.ended().await.0, EndCause::Released);
    }
    let association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    assert_eq!(association.user_identity_response(), None);
    association.release().await.unwrap();
    assert_eq!(desk.node.ended().await.0, EndCause::Released);

    let mut options = desk_options();
    options.calling = ae("STRANGER");
    options.user_identity = Some(user_identity(2, true));
    assert!(Association::request(desk.node.address, &options).await.is_err());
    let rejection = Rejection::CALLING_AE_NOT_RECOGNIZED;
    assert_eq!(desk.node.event().await, Event::Rejected { calling: "STRANGER".into(), rejection });
}

#[tokio::test]
async fn operations_stay_synchronous_whatever_window_is_proposed() {
    let desk = Desk::open(0).await;
    for window in [[0, 0, 0, 0], [0, 8, 0, 8], [0, 1, 0, 1], [0xff; 4]] {
        let items = answered(&desk, &[max_length(0), user_item(0x53, &window)]).await;
        assert!(items.contains(&(0x53, vec![0, 1, 0, 1])), "{items:02x?}");
    }
    let items = answered(&desk, &[max_length(0)]).await;
    let types: Vec<_> = items.iter().map(|(item_type, _)| *item_type).collect();
    assert_eq!(types, [0x51, 0x52, 0x55]);
    assert_eq!(items[1].1, dokuei_dimse::IMPLEMENTATION_CLASS_UID.as_bytes());
    assert_eq!(items[2].1, dokuei_dimse::IMPLEMENTATION_VERSION_NAME.as_bytes());
}

#[tokio::test]
async fn items_that_are_malformed_or_unknown_are_passed_over() {
    let desk = Desk::open(0).await;
    for item in [
        user_item(0x53, b"x"),
        user_item(0x57, b"\0"),
        user_item(0x57, &counted(b"1.2.840.10008.5.1.4.99.1")),
        user_item(0x5a, b"of a later edition"),
        user_item(0xff, &[]),
    ] {
        let items = answered(&desk, &[max_length(0), item.clone()]).await;
        assert!(items.len() <= 4, "{item:02x?} {items:02x?}");
    }
}

#[tokio::test]
async fn a_class_we_do_not_know_is_taken_for_the_general_one_that_it_specialises() {
    const NEW: &str = "1.2.840.10008.9.9.9";
    let common = |related: &[&str]| {
        let related: Vec<u8> = related.iter().flat_map(|uid| counted(uid.as_bytes())).collect();
        let value = [counted(NEW.as_bytes()), counted(b"1.2.840.10008.4.2"), counted(&related)].concat();
        user_item(0x57, &value)
    };
    for (related, accepted) in [
        (vec![CT], true),
        (vec!["not a uid", "1.2.840.10008.9.9.8", CT], true),
        (vec![], false),
        (vec!["1.2.840.10008.9.9.8"], false),
        (vec!["1.2.840.10008.9.9.8"; 500], false),
    ] {
        let node = Node::start().await;
        let mut peer = RawPeer::connect(node.address).await;
        let contexts: &[(u8, &str, &[&str])] = &[(1, NEW, &[EXPLICIT]), (3, VERIFICATION, &[IMPLICIT])];
        peer.send(&associate_request(contexts, &[max_length(0), common(&related)])).await;
        let (pdu_type, body) = peer.receive().await;
        assert_eq!(pdu_type, 2);
        let results: Vec<_> = items(&body[68..]).into_iter().filter(|(item_type, _)| *item_type == 0x21).collect();
        assert_eq!((results[0].1[0], results[0].1[2]), (1, if accepted { 0 } else { 3 }), "{related:?}");
        if accepted {
            let request = store(1, "1.2.3");
            peer.send(&[command(1, &request), data(1, true, b"object")].concat()).await;
            assert_eq!(peer.receive_command().await.status(), Ok(Status::SUCCESS));
            assert_eq!(node.stored()[0].request.abstract_syntax, sop_class(NEW));
        }
        peer.release().await;
    }
}

#[tokio::test]
async fn a_request_with_128_contexts_of_38_transfer_syntaxes_is_answered() {
    let node = Node::start().await;
    let syntaxes: Vec<_> = (0..37).map(|n| format!("1.2.840.113619.5.2.1234567890.{n}")).collect();
    let mut syntaxes: Vec<_> = syntaxes.iter().map(String::as_str).collect();
    syntaxes.push(JPEG_BASELINE);
    let classes: Vec<_> = (0..128).map(|n| format!("1.3.12.2.1107.5.9.1.1234567890.{n}")).collect();
    let mut options = options();
    options.contexts = classes.iter().map(|class| context(class, &syntaxes)).collect();
    let association = Association::request(node.address, &options).await.unwrap();

    let first = transfer_syntax(syntaxes[0]);
    assert_eq!(association.contexts().len(), 128);
    assert!(association.contexts().iter().all(|context| context.transfer_syntax.as_ref() == Ok(&first)));
    association.release().await.unwrap();
}

#[tokio::test]
async fn each_context_is_judged_alone() {
    let desk = Desk::open(0).await;
    let mut options = desk_options();
    options.contexts = vec![
        context(COMMITMENT, &[JPEG_BASELINE, IMPLICIT]),
        context(COMMITMENT, &[JPEG_BASELINE]),
        context("1.2.840.10008.5.1.4.31", &[IMPLICIT]),
        context("1.2.276.0.7230010.3.1.0.1", &["1.2.840.113619.5.2"]),
    ];
    let association = Association::request(desk.node.address, &options).await.unwrap();
    let results: Vec<_> = association.contexts().iter().map(|context| context.transfer_syntax.clone()).collect();
    assert_eq!(
        results,
        [
            Ok(transfer_syntax(IMPLICIT)),
            Err(ContextRejection::TransferSyntaxesNotSupported),
            Err(ContextRejection::AbstractSyntaxNotSupported),
            Ok(transfer_syntax("1.2.840.113619.5.2")),
        ]
    );
    association.release().await.unwrap();
}
