//! C-FIND: answers as they are found, cancelling, and what may happen meanwhile.

use std::time::Duration;

use dokuei_dimse::{
    Association, AssociationError, EndCause, FindOperation, RequestorTimeouts, ServerConfig, Status, Waiting,
    command::{CommandField, CommandSet, element},
};
use tokio::net::TcpListener;

use crate::{desk::*, support::*};

fn operation(identifier: &[u8]) -> FindOperation {
    FindOperation { context_id: 5, sop_class: sop_class(STUDY_ROOT_FIND), priority: 2, identifier: identifier.to_vec() }
}

fn find(message_id: u16) -> CommandSet {
    CommandSet::new(CommandField::C_FIND_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, STUDY_ROOT_FIND)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_u16(element::PRIORITY, 0)
        .with_data_set(true)
}

fn cancel(message_id: u16) -> Vec<u8> {
    let cancel = CommandSet::new(CommandField::C_CANCEL_RQ)
        .with_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, message_id)
        .with_data_set(false);
    command(5, &cancel)
}

/// Begins a query that ends only when it is stopped, and takes its first match.
async fn endless_query(desk: &mut Desk, peer: &mut RawPeer) {
    peer.send(&[command(5, &find(9)), data(5, true, ENDLESS)].concat()).await;
    assert!(matches!(desk.query().await, QueryEvent::Asked(_)));
    desk.matches.add_permits(1);
    assert_eq!(peer.receive_command().await.status(), Ok(Status::PENDING));
    assert_eq!(peer.receive_message().await.1, found(0));
}

#[tokio::test]
async fn matches_come_in_order_and_end_with_success() {
    let mut desk = Desk::open(50).await;
    let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    assert_eq!(association.context_of(&sop_class(STUDY_ROOT_FIND)), Some((5, &transfer_syntax(EXPLICIT))));
    let reply = association.find_all(&operation(b"keys"), 100).await.unwrap();

    assert_eq!((reply.status, reply.truncated, reply.unsupported_keys), (Status::SUCCESS, false, true));
    assert_eq!(reply.identifiers, (0..50).map(found).collect::<Vec<_>>());
    let QueryEvent::Asked(request) = desk.query().await else { panic!("no query") };
    assert_eq!((request.identifier.as_ref(), request.priority, request.message_id), (&b"keys"[..], 2, 1));
    assert_eq!((request.sop_class.as_str(), request.transfer_syntax.as_str()), (STUDY_ROOT_FIND, EXPLICIT));

    // No match at all is a success, and the association goes on.
    let reply = association.find_all(&operation(b"keys"), 100).await.unwrap();
    assert_eq!((reply.status, reply.identifiers.len(), reply.unsupported_keys), (Status::SUCCESS, 0, false));
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
    let (cause, counts, _) = desk.node.ended().await;
    assert_eq!((cause, counts.queries, counts.echoes), (EndCause::Released, 2, 1));
}

#[tokio::test]
async fn who_has_enough_cancels_and_the_service_stops() {
    let mut desk = Desk::open(4).await;
    let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    let reply = association.find_all(&operation(ENDLESS), 3).await.unwrap();

    assert_eq!((reply.status, reply.truncated), (Status::CANCEL, true));
    assert_eq!(reply.identifiers, (0..3).map(found).collect::<Vec<_>>());
    assert!(matches!(desk.query().await, QueryEvent::Asked(_)));
    assert!(matches!(desk.query().await, QueryEvent::Dropped));
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
}

#[tokio::test]
async fn a_cancel_is_answered_once_and_only_the_one_of_this_query() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    endless_query(&mut desk, &mut peer).await;
    peer.send(&cancel(8)).await;
    desk.matches.add_permits(1);
    assert_eq!(peer.receive_command().await.status(), Ok(Status::PENDING_WARNING));
    assert_eq!(peer.receive_message().await.1, found(1));
    peer.send(&[cancel(9), cancel(9)].concat()).await;

    let last = peer.receive_command().await;
    assert_eq!((last.status(), last.message_id_being_responded_to()), (Ok(Status::CANCEL), Ok(9)));
    assert_eq!((last.has_data_set(), last.sop_class()), (Ok(false), Some(sop_class(STUDY_ROOT_FIND))));
    assert!(matches!(desk.query().await, QueryEvent::Dropped));
    // The second cancel found nothing to cancel.
    peer.send(&command(7, &echo(10))).await;
    assert_eq!(peer.receive_command().await.message_id_being_responded_to(), Ok(10));
    peer.release().await;
}

#[tokio::test]
async fn a_request_that_comes_too_early_is_served_after_the_query() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    peer.send(&[command(5, &find(1)), data(5, true, b"keys"), command(7, &echo(2)), command(7, &echo(3))].concat())
        .await;
    for message_id in 1..=3 {
        let response = peer.receive_command().await;
        assert_eq!(
            (response.message_id_being_responded_to(), response.status()),
            (Ok(message_id), Ok(Status::SUCCESS))
        );
    }
    assert!(matches!(desk.query().await, QueryEvent::Asked(_)));
    endless_query(&mut desk, &mut peer).await;
    peer.send(&[command(7, &echo(11)), cancel(9)].concat()).await;
    for (message_id, status) in [(9, Status::CANCEL), (11, Status::SUCCESS)] {
        let response = peer.receive_command().await;
        assert_eq!((response.message_id_being_responded_to(), response.status()), (Ok(message_id), Ok(status)));
    }
    peer.release().await;
}

#[tokio::test]
async fn a_release_ends_a_query_in_order() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    endless_query(&mut desk, &mut peer).await;
    peer.release().await;

    assert!(matches!(desk.query().await, QueryEvent::Dropped));
    assert_eq!(desk.node.ended().await.0, EndCause::Released);
}

#[tokio::test]
async fn a_node_that_stops_waits_for_no_query() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    endless_query(&mut desk, &mut peer).await;
    desk.node.stop.soft.cancel();

    assert_eq!(peer.receive_command().await.status(), Ok(Status::OUT_OF_RESOURCES));
    assert_eq!(peer.aborted().await, (0, 0));
    assert!(matches!(desk.query().await, QueryEvent::Dropped));
    assert_eq!(desk.node.ended().await.0, EndCause::Stopped);
    desk.node.stopped().await;
}

#[tokio::test]
async fn a_peer_that_disappears_stops_its_query() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    endless_query(&mut desk, &mut peer).await;
    drop(peer);

    assert!(matches!(desk.query().await, QueryEvent::Dropped));
    assert_eq!(desk.node.ended().await.0, EndCause::PeerClosed);
}

#[tokio::test]
async fn identifiers_fit_into_tiny_pdus() {
    for limit in [8, 9, 128] {
        let desk = Desk::open(2).await;
        let mut peer = raw_desk_peer(&desk, &[max_length(limit)]).await;
        peer.send(&[command(5, &find(1)), data(5, true, b"keys")].concat()).await;
        for number in 0..2 {
            let (is_command, _, largest) = peer.receive_message().await;
            assert!(is_command && largest <= limit as usize, "{largest} > {limit}");
            let (is_command, identifier, largest) = peer.receive_message().await;
            assert!(!is_command && largest <= limit as usize, "{largest} > {limit}");
            assert_eq!(identifier, found(number));
        }
        assert_eq!(peer.receive_command().await.status(), Ok(Status::SUCCESS));
        peer.release().await;
    }
}

#[tokio::test]
async fn queries_that_cannot_be_asked() {
    let mut desk = Desk::with(ServerConfig { max_identifier_bytes: 1000, ..quick() }, 9, |_| unreachable!()).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    let no_data = find(2).with_data_set(false);
    let no_class = find(3).with(element::AFFECTED_SOP_CLASS_UID, Default::default());
    for (request, identifier, status) in [
        (find(1), Some(pattern(1002)), Status::OUT_OF_RESOURCES),
        (no_data, None, Status::CANNOT_UNDERSTAND),
        (no_class, Some(b"keys".to_vec()), Status::SOP_CLASS_NOT_SUPPORTED),
    ] {
        peer.send(&command(5, &request)).await;
        if let Some(identifier) = identifier {
            peer.send(&data(5, true, &identifier)).await;
        }
        let response = peer.receive_command().await;
        assert_eq!((response.status(), response.has_data_set()), (Ok(status), Ok(false)), "{request:?}");
    }
    peer.release().await;
    assert_eq!(desk.node.ended().await.0, EndCause::Released);
    assert_eq!(desk.matches.available_permits(), 9);
}

#[tokio::test]
async fn a_query_that_is_not_finished_takes_its_association_along() {
    let desk = Desk::open(5).await;
    let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    let mut query = association.find(&operation(b"keys")).await.unwrap();
    assert_eq!(query.next().await.unwrap().unwrap(), found(0));
    assert_eq!(query.status(), None);
    drop(query);
    assert!(association.has_ended());
    assert!(matches!(association.echo().await, Err(AssociationError::Ended)));
}

#[tokio::test]
async fn a_peer_that_does_not_stop_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = tokio::spawn(async move {
        let mut peer = RawPeer::accept(&listener).await;
        peer.receive().await;
        peer.send(&associate_accept(&[(5, EXPLICIT)], 0)).await;
        let pending = find(1).response(Status::PENDING).unwrap().with_data_set(true);
        let answer = [command(5, &pending), data(5, true, b"match!")].concat();
        use tokio::io::AsyncWriteExt as _;
        while peer.stream.write_all(&answer).await.is_ok() {}
    });
    let mut options = desk_options();
    let response = Duration::from_millis(200);
    options.timeouts = RequestorTimeouts { response, ..patient() };
    let mut association = Association::request(address, &options).await.unwrap();
    let result = soon("the end of patience", association.find_all(&operation(b"keys"), 10)).await;
    assert!(matches!(result, Err(AssociationError::Timeout(Waiting::Response))), "{result:?}");
    assert!(association.has_ended());
    drop(association);
    soon("the end of the peer", endless).await.unwrap();
}
