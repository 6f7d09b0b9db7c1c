//! How many at once, and how a server stops.

use std::{io::Cursor, sync::Arc, time::Duration};

use dokuei_dimse::{Association, AssociationError, EndCause, Rejection, ServerConfig, Status, StoreOperation, Waiting};
use tokio::sync::Semaphore;

use crate::support::*;

#[tokio::test]
async fn one_association_too_many_is_told_to_come_back() {
    for config in [
        ServerConfig { max_associations: 2, ..quick() },
        ServerConfig { max_associations_per_peer: Some(2), ..quick() },
    ] {
        let node = Node::with(config, Behaviour::Keep).await;
        let first = Association::request(node.address, &options()).await.unwrap();
        let second = Association::request(node.address, &options()).await.unwrap();
        let error = Association::request(node.address, &options()).await.unwrap_err();
        assert!(matches!(error, AssociationError::Rejected(Rejection::LOCAL_LIMIT_EXCEEDED)), "{error}");
        assert!(error.is_transient());

        // Who has seen the end of one can begin another at once.
        first.release().await.unwrap();
        let third = Association::request(node.address, &options()).await.unwrap();
        second.release().await.unwrap();
        third.release().await.unwrap();
    }
}

#[tokio::test]
async fn an_aborted_association_gives_its_place_back() {
    let mut node = Node::with(ServerConfig { max_associations: 1, ..quick() }, Behaviour::Keep).await;
    for _ in 0..3 {
        let mut peer = RawPeer::associated(node.address).await;
        peer.send(b"garbage").await;
        assert_eq!(peer.aborted().await, (2, 1));
        assert!(matches!(node.ended().await.0, EndCause::Protocol(_)));
    }
}

#[tokio::test]
async fn connections_that_never_ask_do_not_keep_others_out() {
    let config =
        ServerConfig { max_associations: 1, max_other_connections: 1, artim: Duration::from_millis(150), ..quick() };
    let mut node = Node::with(config, Behaviour::Keep).await;
    // Two fill the connections, the third waits in the listener's queue until their timer has run out.
    let _silent = [RawPeer::connect(node.address).await, RawPeer::connect(node.address).await];
    let association = Association::request(node.address, &options()).await.unwrap();
    assert!(matches!(node.event().await, Event::ConnectionFailed(EndCause::Timeout(_))));
    association.release().await.unwrap();
}

#[tokio::test]
async fn an_admission_that_takes_too_long_is_congestion() {
    let mut node = Node::with(ServerConfig { artim: Duration::from_millis(500), ..quick() }, Behaviour::Keep).await;
    let mut options = options();
    options.calling = ae("PATIENT");
    let error = Association::request(node.address, &options).await.unwrap_err();
    assert!(matches!(error, AssociationError::Rejected(Rejection::TEMPORARY_CONGESTION)), "{error}");
    assert!(matches!(node.event().await, Event::Rejected { rejection: Rejection::TEMPORARY_CONGESTION, .. }));
}

#[tokio::test]
async fn a_soft_stop_finishes_the_object_in_flight() {
    let gate = Arc::new(Semaphore::new(0));
    let mut node = Node::with(quick(), Behaviour::FinishWhen(gate.clone())).await;
    let mut idle = RawPeer::associated(node.address).await;
    let mut sending = RawPeer::associated(node.address).await;
    sending.send(&[command(1, &store(1, "1.2.3")), data(1, false, b"first half, ")].concat()).await;
    while node.event().await != Event::Begun("1.2.3".into()) {}

    node.stop.soft.cancel();
    assert_eq!(idle.aborted().await, (0, 0));
    drop(idle);
    assert_eq!(node.ended().await.0, EndCause::Stopped);
    // The other goes on to its response, although the server stops.
    sending.send(&data(1, true, b"second half")).await;
    gate.add_permits(1);
    assert_eq!(sending.receive_command().await.status(), Ok(Status::SUCCESS));
    assert_eq!(sending.aborted().await, (0, 0));
    drop(sending);
    let (cause, counts, abandoned) = node.ended().await;
    assert_eq!((cause, counts.stored, abandoned), (EndCause::Stopped, 1, None));
    assert_eq!(node.stored()[0].bytes, b"first half, second half");
    let address = node.address;
    node.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_hard_stop_abandons_it() {
    let mut node = Node::start().await;
    let mut sending = RawPeer::associated(node.address).await;
    sending.send(&[command(1, &store(1, "1.2.3")), data(1, false, b"first half")].concat()).await;
    while node.event().await != Event::Begun("1.2.3".into()) {}

    node.stop.soft.cancel();
    node.stop.hard.cancel();
    assert_eq!(sending.aborted().await, (0, 0));
    let (cause, counts, abandoned) = node.ended().await;
    assert_eq!((cause, counts.stored), (EndCause::Stopped, 0));
    assert_eq!(abandoned.unwrap().sop_instance, sop_instance("1.2.3"));
    assert!(node.stored().is_empty());
    node.stopped().await;
}

#[tokio::test]
async fn a_stopping_server_leaves_no_request_unanswered() {
    let mut node = Node::start().await;
    let mut waiting = RawPeer::connect(node.address).await;
    waiting.send(&associate_request(&[(1, CT, &[EXPLICIT])], &[])[..10]).await;
    // The order of accepting is the order of connecting: when this one is served, the first one is too.
    Association::request(node.address, &options()).await.unwrap().release().await.unwrap();
    node.ended().await;

    node.stop.soft.cancel();
    waiting.closed().await;
    assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::Stopped));
    node.stopped().await;
}

#[tokio::test]
async fn eight_senders_do_not_mix() {
    let node = Node::start().await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8usize {
        let address = node.address;
        senders.spawn(async move {
            let mut association = Association::request(address, &options()).await.unwrap();
            for object in 0..5usize {
                let bytes: Vec<u8> = pattern(300_000 + sender)
                    .into_iter()
                    .map(|byte| byte ^ u8::try_from(sender * 16 + object).unwrap())
                    .collect();
                let operation = StoreOperation::new(1, sop_class(CT), sop_instance(&format!("1.{sender}.{object}")));
                assert_eq!(
                    association.store(&operation, &mut Cursor::new(bytes), None).await.unwrap(),
                    Status::SUCCESS
                );
            }
            association.release().await.unwrap();
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }

    let stored = node.stored();
    assert_eq!(stored.len(), 40);
    for object in stored {
        let mut parts =
            object.request.sop_instance.as_str().split('.').skip(1).map(|part| part.parse::<usize>().unwrap());
        let (sender, number) = (parts.next().unwrap(), parts.next().unwrap());
        let mask = u8::try_from(sender * 16 + number).unwrap();
        assert!(object.bytes.iter().zip(pattern(300_000 + sender)).all(|(seen, sent)| *seen == sent ^ mask));
        assert_eq!(object.bytes.len(), 300_000 + sender);
    }
}

#[tokio::test]
async fn an_address_that_only_connects_cannot_take_the_others_places() {
    let config = ServerConfig { max_other_connections_per_peer: Some(2), ..quick() };
    let mut node = Node::with(config, Behaviour::Keep).await;
    let mut working = Association::request(node.address, &options()).await.unwrap();
    assert!(matches!(node.event().await, Event::Accepted { .. }));

    // Two that say nothing are its share; an association is none of them.
    let (mut first, second) = (RawPeer::connect(node.address).await, RawPeer::connect(node.address).await);
    let mut third = RawPeer::connect(node.address).await;
    assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::TooManyConnections));
    third.closed().await;
    assert_eq!(working.echo().await.unwrap(), Status::SUCCESS);

    // Its place is free again as soon as it has become an association.
    first.send(&associate_request(&[(1, CT, &[EXPLICIT])], &[max_length(16_384)])).await;
    assert_eq!(first.receive().await.0, 2);
    assert!(matches!(node.event().await, Event::Accepted { .. }));
    let fourth = RawPeer::connect(node.address).await;
    drop((second, fourth));
    working.release().await.unwrap();
    first.release().await;
    node.stop.soft.cancel();
    node.stopped().await;
}

#[tokio::test]
async fn a_message_that_only_trickles_is_ended_although_it_is_never_silent() {
    let config = ServerConfig {
        min_bytes_per_second: 1_000_000,
        pace_window: Duration::from_millis(200),
        dimse_timeout: Duration::from_secs(30),
        ..quick()
    };
    let mut node = Node::with(config, Behaviour::Keep).await;
    let mut peer = RawPeer::associated(node.address).await;
    peer.send(&command(1, &store(1, "1.2.3"))).await;
    let (mut from_node, mut to_node) = peer.stream.into_split();
    let trickle = tokio::spawn(async move {
        // Bytes of a fragment that will never be whole.
        while tokio::io::AsyncWriteExt::write_all(&mut to_node, &data(1, false, &[7])).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });

    let (cause, _, abandoned) = node.ended().await;
    assert_eq!(cause, EndCause::Timeout(Waiting::FasterMessage));
    assert_eq!(abandoned.unwrap().sop_instance.as_str(), "1.2.3");
    let mut last = Vec::new();
    let _ = soon("the close", tokio::io::AsyncReadExt::read_to_end(&mut from_node, &mut last)).await;
    assert_eq!(last.first(), Some(&7), "no A-ABORT: {last:02x?}");
    trickle.abort();
    node.stop.soft.cancel();
    node.stopped().await;
}
