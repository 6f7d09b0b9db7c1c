//! Peers that break the protocol, one way each. Every one gets the right word, leaves nothing half-stored, and harms nobody else.

use std::time::Duration;

use dokuei_dimse::{
    Abort, EndCause, ProtocolError, Rejection, ServerConfig, Status, Waiting,
    command::{CommandField, CommandSet, element},
};

use crate::support::*;

/// Sends bytes on an association and expects this A-ABORT for this reason.
async fn check_abort(bytes: &[u8], abort: Abort, error: ProtocolError) {
    let mut node = Node::start().await;
    let mut other = RawPeer::associated(node.address).await;
    let mut peer = RawPeer::associated(node.address).await;
    peer.send(bytes).await;

    assert_eq!(peer.aborted().await, (abort.source, abort.reason), "{error}");
    assert_eq!(node.ended().await.0, EndCause::Protocol(error));
    assert!(node.stored().is_empty());
    other.send(&command(3, &echo(1))).await;
    assert_eq!(other.receive_command().await.status(), Ok(Status::SUCCESS));
}

#[tokio::test]
async fn garbage_instead_of_a_request() {
    let mut node = Node::start().await;
    for (bytes, abort, error) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), (2, 1), ProtocolError::UnknownPdu(b'G')),
        (vec![0; 100], (2, 1), ProtocolError::UnknownPdu(0)),
        (data(1, true, b"xx"), (2, 2), ProtocolError::UnexpectedPdu(4)),
        (vec![5, 0, 0, 0, 0, 4, 0, 0, 0, 0], (2, 2), ProtocolError::UnexpectedPdu(5)),
        (associate_accept(&[], 1), (2, 2), ProtocolError::UnexpectedPdu(2)),
        (pdu(1, b"too short"), (2, 6), ProtocolError::MalformedPdu("association PDU is too short")),
        (vec![1, 0, 0xff, 0xff, 0xff, 0xff], (2, 6), ProtocolError::PduTooLong { length: u32::MAX, limit: 1 << 20 }),
    ] {
        let mut peer = RawPeer::connect(node.address).await;
        peer.send(&bytes).await;
        assert_eq!(peer.aborted().await, abort, "{error}");
        assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::Protocol(error)));
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off() {
    let mut node = Node::start().await;
    let request = associate_request(&[(1, CT, &[EXPLICIT])], &[max_length(0)]);
    for cut in [0, 3, 6, 50, request.len() - 1] {
        let mut peer = RawPeer::connect(node.address).await;
        peer.send(&request[..cut]).await;
        drop(peer);
        assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::PeerClosed), "{cut}");
    }
}

#[tokio::test]
async fn requests_that_are_refused_whoever_asks() {
    let mut node = Node::start().await;
    let context: &[(u8, &str, &[&str])] = &[(1, CT, &[EXPLICIT])];
    for (titles, version, application_context, rejection) in [
        (b"DOKUEI          HOSP1           ", 2, "1.2.840.10008.3.1.1.1", Rejection::PROTOCOL_VERSION_NOT_SUPPORTED),
        (b"DOKUEI          HOSP1           ", 1, "1.2.840.10008.3.1.1.2", Rejection::APPLICATION_CONTEXT_NOT_SUPPORTED),
        (b"DOKUEI          HOSP1           ", 1, "", Rejection::APPLICATION_CONTEXT_NOT_SUPPORTED),
        (b"DOKUEI                          ", 1, "1.2.840.10008.3.1.1.1", Rejection::CALLING_AE_NOT_RECOGNIZED),
        (b"                HOSP1           ", 1, "1.2.840.10008.3.1.1.1", Rejection::CALLED_AE_NOT_RECOGNIZED),
        (b"DOKUEI          HO\\SP\x01          ", 1, "1.2.840.10008.3.1.1.1", Rejection::CALLING_AE_NOT_RECOGNIZED),
    ] {
        let mut peer = RawPeer::connect(node.address).await;
        peer.send(&associate_request_of(titles, version, application_context, context, &[max_length(0)])).await;
        assert_eq!(peer.rejected().await, (rejection.result, rejection.source, rejection.reason));
        assert!(matches!(node.event().await, Event::Rejected { rejection: told, .. } if told == rejection));
    }
}

#[tokio::test]
async fn context_ids_that_are_doubled_or_even() {
    let mut node = Node::start().await;
    for (ids, wrong) in [(&[1, 1][..], 1), (&[2], 2), (&[0], 0)] {
        let contexts: Vec<_> = ids.iter().map(|id| (*id, CT, &[EXPLICIT][..])).collect();
        let mut peer = RawPeer::connect(node.address).await;
        peer.send(&associate_request(&contexts, &[max_length(0)])).await;
        assert_eq!(peer.aborted().await, (2, 6));
        assert_eq!(
            node.event().await,
            Event::ConnectionFailed(EndCause::Protocol(ProtocolError::IllegalContextId(wrong)))
        );
    }
}

#[tokio::test]
async fn a_request_of_38_kilobytes_is_nothing_special() {
    let node = Node::start().await;
    let transfer_syntaxes: Vec<_> = (0..10).map(|n| format!("1.2.840.10008.1.2.4.{}", n + 50)).collect();
    let transfer_syntaxes: Vec<_> = transfer_syntaxes.iter().map(String::as_str).collect();
    let contexts: Vec<_> = (0..128u8).map(|n| (n * 2 + 1, CT, &transfer_syntaxes[..])).collect();
    let request = associate_request(&contexts, &[max_length(0)]);
    assert!(request.len() > 38_000);
    let mut peer = RawPeer::connect(node.address).await;
    peer.send(&request).await;

    let (pdu_type, accept) = peer.receive().await;
    assert_eq!(pdu_type, 2);
    // The only lossless one of the ten.
    let chosen = accept.windows(22).filter(|window| *window == b"1.2.840.10008.1.2.4.57").count();
    assert_eq!(chosen, 128);
    peer.send(&[&command(255, &store(1, "1.2.3"))[..], &data(255, true, b"bytes")].concat()).await;
    assert_eq!(peer.receive_command().await.status(), Ok(Status::SUCCESS));
    peer.release().await;
}

#[tokio::test]
async fn a_message_byte_by_byte() {
    let node = Node::start().await;
    let mut peer = RawPeer::associated(node.address).await;
    let command = store(9, "1.2.3").encode();
    let count = command.len();
    // One byte of the command in each PDV, one PDV in each PDU, one byte of the PDU in each segment.
    for (number, byte) in command.iter().enumerate() {
        let control = if number + 1 == count { 3 } else { 1 };
        for byte in pdu(4, &pdv(1, control, &[*byte])) {
            peer.send(&[byte]).await;
        }
    }
    for byte in data(1, false, b"abc")
        .into_iter()
        .chain(data(1, false, b""))
        .chain(data(1, false, b"def"))
        .chain(data(1, true, b""))
    {
        peer.send(&[byte]).await;
    }

    let response = peer.receive_command().await;
    assert_eq!(response.status(), Ok(Status::SUCCESS));
    assert_eq!(response.message_id_being_responded_to(), Ok(9));
    assert_eq!((response.sop_class(), response.sop_instance()), (Some(sop_class(CT)), Some(sop_instance("1.2.3"))));
    assert_eq!(node.stored()[0].bytes, b"abcdef");
    peer.release().await;
}

#[tokio::test]
async fn command_and_data_in_one_pdu_and_messages_in_one_segment() {
    let node = Node::start().await;
    let mut peer = RawPeer::associated(node.address).await;
    let whole = pdu(4, &[pdv(1, 3, &store(1, "1.2.3").encode()), pdv(1, 0, b"ab"), pdv(1, 2, b"cd")].concat());
    peer.send(&[whole, command(3, &echo(2)), command(1, &store(3, "1.2.4")), data(1, true, b"ef")].concat()).await;

    for message_id in 1..=3 {
        let response = peer.receive_command().await;
        assert_eq!(
            (response.message_id_being_responded_to(), response.status()),
            (Ok(message_id), Ok(Status::SUCCESS))
        );
    }
    let bytes: Vec<_> = node.stored().into_iter().map(|object| object.bytes).collect();
    assert_eq!(bytes, [b"abcd".to_vec(), b"ef".to_vec()]);
    peer.release().await;
}

#[tokio::test]
async fn pdus_that_break_the_rules() {
    let store = command(1, &store(1, "1.2.3"));
    let after = |bytes: &[u8]| [&store[..], bytes].concat();
    use ProtocolError::*;
    check_abort(b"garbage", Abort::UNRECOGNIZED_PDU, UnknownPdu(b'g')).await;
    check_abort(&associate_request(&[], &[]), Abort::UNEXPECTED_PDU, UnexpectedPdu(1)).await;
    check_abort(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0], Abort::UNEXPECTED_PDU, UnexpectedPdu(6)).await;
    check_abort(&[4, 0, 0, 2, 0, 1], Abort::INVALID_PARAMETER, PduTooLong { length: 131_073, limit: 131_072 }).await;
    check_abort(&pdu(4, &[0, 0, 0]), Abort::INVALID_PARAMETER, MalformedPdu("P-DATA-TF without a PDV")).await;
    check_abort(
        &pdu(4, &[0, 0, 0, 99, 1, 3]),
        Abort::INVALID_PARAMETER,
        MalformedPdu("PDV length does not fit its PDU"),
    )
    .await;
    check_abort(
        &pdu(5, b"long release"),
        Abort::INVALID_PARAMETER,
        MalformedPdu("PDU of fixed length has another length"),
    )
    .await;
    check_abort(&after(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]), Abort::UNEXPECTED_PDU, UnexpectedPdu(5)).await;
}

#[tokio::test]
async fn messages_that_break_the_rules() {
    let store_rq = command(1, &store(1, "1.2.3"));
    let after = |bytes: &[u8]| [&store_rq[..], bytes].concat();
    use ProtocolError::*;
    check_abort(&command(5, &echo(1)), Abort::INVALID_PARAMETER, UnacceptedContext(5)).await;
    check_abort(&command(0, &echo(1)), Abort::INVALID_PARAMETER, UnacceptedContext(0)).await;
    check_abort(&data(1, true, b"xx"), Abort::UNEXPECTED_PDU, UnexpectedDataSet).await;
    check_abort(&[command(3, &echo(1)), data(3, true, b"xx")].concat()[..], Abort::UNEXPECTED_PDU, UnexpectedDataSet)
        .await;
    check_abort(&after(&command(1, &echo(2))), Abort::UNEXPECTED_PDU, UnexpectedCommand).await;
    check_abort(&after(&data(3, true, b"xx")), Abort::UNEXPECTED_PARAMETER, InterleavedContext { expected: 1, got: 3 })
        .await;
    check_abort(&after(&data(7, true, b"xx")), Abort::INVALID_PARAMETER, UnacceptedContext(7)).await;
    let response = echo(1).response(Status::SUCCESS).unwrap();
    check_abort(&command(3, &response), Abort::UNEXPECTED_PARAMETER, UnexpectedResponse(0x8030)).await;
    let missing = |number| MalformedCommand(dokuei_dimse::command::CommandError::Missing(number));
    let bare = CommandSet::default().with_u16(element::MESSAGE_ID, 1);
    check_abort(&command(3, &bare), Abort::INVALID_PARAMETER, missing(element::COMMAND_FIELD)).await;
    let nameless = CommandSet::new(CommandField::C_ECHO_RQ).with_data_set(false);
    check_abort(&command(3, &nameless), Abort::INVALID_PARAMETER, missing(element::MESSAGE_ID)).await;
    let truncated = pdu(4, &pdv(3, 3, &echo(1).encode()[..30]));
    let error = MalformedCommand(dokuei_dimse::command::CommandError::Truncated);
    check_abort(&truncated, Abort::INVALID_PARAMETER, error).await;
    let endless = pdu(4, &pdv(3, 1, &[0; 70_000]));
    check_abort(&endless, Abort::INVALID_PARAMETER, CommandTooLong { limit: 65_536 }).await;
}

#[tokio::test]
async fn requests_that_are_not_for_us_are_refused_and_the_association_goes_on() {
    let mut node = Node::start().await;
    let mut peer = RawPeer::associated(node.address).await;
    let find = CommandSet::new(CommandField::C_FIND_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, "1.2.840.10008.5.1.4.1.2.2.1")
        .with_u16(element::MESSAGE_ID, 1)
        .with_data_set(true);
    let delete = CommandSet::new(CommandField::N_DELETE_RQ)
        .with_uid(element::REQUESTED_SOP_CLASS_UID, CT)
        .with_uid(element::REQUESTED_SOP_INSTANCE_UID, "1.2.3")
        .with_u16(element::MESSAGE_ID, 2)
        .with_data_set(false);
    let unknown = CommandSet::new(CommandField(0x0777)).with_u16(element::MESSAGE_ID, 3).with_data_set(false);
    let cancel = CommandSet::new(CommandField::C_CANCEL_RQ)
        .with_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, 1)
        .with_data_set(false);
    let no_data = store(7, "1.2.9").with_data_set(false);
    let bytes = data(1, true, b"data");
    for (context, request, with_data, status) in [
        (1, find, true, Status::UNRECOGNIZED_OPERATION),
        (1, delete, false, Status::UNRECOGNIZED_OPERATION),
        (1, unknown, false, Status::UNRECOGNIZED_OPERATION),
        (1, echo(4), false, Status::UNRECOGNIZED_OPERATION),
        (3, store(5, "1.2.3"), true, Status::SOP_CLASS_NOT_SUPPORTED),
        (1, store(6, "1.2.not-a-uid"), true, Status::INVALID_SOP_INSTANCE),
        (1, no_data, false, Status::CANNOT_UNDERSTAND),
        (3, echo(8), false, Status::SUCCESS),
    ] {
        peer.send(&command(context, &cancel)).await;
        peer.send(&command(context, &request)).await;
        if with_data {
            peer.send(&if context == 1 { bytes.clone() } else { data(3, true, b"data") }).await;
        }
        let response = peer.receive_command().await;
        assert_eq!(response.status(), Ok(status), "{request:?}");
        assert_eq!(response.message_id_being_responded_to(), request.message_id());
        assert_eq!(response.command_field(), Ok(request.command_field().unwrap().response()));
        assert_eq!((response.sop_class(), response.sop_instance()), (request.sop_class(), request.sop_instance()));
    }
    peer.release().await;

    let mut refused = Vec::new();
    let counts = loop {
        match node.event().await {
            Event::Refused { sop_instance, status } => refused.push((sop_instance, status)),
            Event::Ended { cause: EndCause::Released, counts, abandoned: None } => break counts,
            Event::Accepted { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused,
        [
            ("1.2.3".to_owned(), Status::SOP_CLASS_NOT_SUPPORTED),
            ("1.2.not-a-uid".to_owned(), Status::INVALID_SOP_INSTANCE),
            ("1.2.9".to_owned(), Status::CANNOT_UNDERSTAND),
        ]
    );
    assert_eq!((counts.failed, counts.other_requests, counts.echoes), (3, 4, 1));
}

#[tokio::test]
async fn a_peer_that_gave_up_its_role_stores_nothing() {
    let node = Node::start().await;
    let role = [&u16::try_from(CT.len()).unwrap().to_be_bytes()[..], CT.as_bytes(), &[0, 1]].concat();
    let mut peer = RawPeer::associated_with(node.address, &[max_length(0), user_item(0x54, &role)]).await;
    peer.send(&[command(1, &store(1, "1.2.3")), data(1, true, b"xx")].concat()).await;
    assert_eq!(peer.receive_command().await.status(), Ok(Status::UNRECOGNIZED_OPERATION));
    assert!(node.stored().is_empty());
    peer.release().await;
}

#[tokio::test]
async fn responses_fit_into_tiny_pdus() {
    for limit in [8, 9, 128, 1018, 0] {
        let node = Node::start().await;
        let mut peer = RawPeer::associated_with(node.address, &[max_length(limit)]).await;
        peer.send(&[command(1, &store(1, "1.2.3")), data(1, true, b"xx")].concat()).await;
        let (is_command, bytes, largest) = peer.receive_message().await;
        assert!(is_command && (limit == 0 || largest <= limit as usize), "{largest} > {limit}");
        assert_eq!(CommandSet::parse(bytes.into()).unwrap().status(), Ok(Status::SUCCESS));
        peer.release().await;
    }
    let mut node = Node::start().await;
    let mut peer = RawPeer::connect(node.address).await;
    peer.send(&associate_request(&[(1, CT, &[EXPLICIT])], &[max_length(7)])).await;
    assert_eq!(peer.aborted().await, (2, 6));
    assert_eq!(
        node.event().await,
        Event::ConnectionFailed(EndCause::Protocol(ProtocolError::MaximumLengthTooSmall(7)))
    );
}

#[tokio::test]
async fn a_sender_that_gives_up_in_the_middle() {
    for hang_up in [&b""[..], &[7, 0, 0, 0, 0, 4, 0, 0, 0, 0], &[7, 0, 0, 0, 0, 4, 0, 0, 2, 6]] {
        let mut node = Node::start().await;
        let mut peer = RawPeer::associated(node.address).await;
        peer.send(&[command(1, &store(1, "1.2.3")), data(1, false, &pattern(100_000))].concat()).await;
        if hang_up.is_empty() {
            // Within a PDV.
            peer.send(&data(1, true, b"cut off here")[..20]).await;
        } else {
            peer.send(hang_up).await;
        }
        drop(peer);

        let cause = match hang_up {
            [.., source, reason] => EndCause::PeerAborted(Abort::new(*source, *reason)),
            _ => EndCause::PeerClosed,
        };
        assert!(matches!(node.event().await, Event::Accepted { .. }));
        assert_eq!(node.event().await, Event::Begun("1.2.3".into()));
        let bytes = if hang_up.is_empty() { 100_008 } else { 100_000 };
        assert_eq!(node.event().await, Event::Abandoned { sop_instance: "1.2.3".into(), bytes });
        let (seen, counts, abandoned) = node.ended().await;
        assert_eq!((seen, counts.stored, counts.failed), (cause, 0, 0));
        assert_eq!(abandoned.unwrap().sop_instance, sop_instance("1.2.3"));
        assert!(node.stored().is_empty());
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent() {
    let short = Duration::from_millis(150);
    let long = Duration::from_secs(600);
    // Before the request: the connection is closed without a word.
    let mut node = Node::with(ServerConfig { artim: short, ..quick() }, Behaviour::Keep).await;
    let mut peer = RawPeer::connect(node.address).await;
    peer.send(&associate_request(&[], &[])[..20]).await;
    peer.closed().await;
    assert_eq!(node.event().await, Event::ConnectionFailed(EndCause::Timeout(Waiting::AssociationRequest)));

    // Between messages.
    let mut node =
        Node::with(ServerConfig { idle_timeout: short, dimse_timeout: long, ..quick() }, Behaviour::Keep).await;
    let mut peer = RawPeer::associated(node.address).await;
    assert_eq!(peer.aborted().await, (0, 0));
    assert_eq!(node.ended().await.0, EndCause::Timeout(Waiting::NextMessage));

    // Inside a command, and inside an object.
    for bytes in [
        pdu(4, &pdv(3, 1, &echo(1).encode()[..8])),
        [command(1, &store(1, "1.2.3")), data(1, false, b"start")].concat(),
    ] {
        let mut node =
            Node::with(ServerConfig { idle_timeout: long, dimse_timeout: short, ..quick() }, Behaviour::Keep).await;
        let mut peer = RawPeer::associated(node.address).await;
        peer.send(&bytes).await;
        assert_eq!(peer.aborted().await, (0, 0));
        assert_eq!(node.ended().await.0, EndCause::Timeout(Waiting::RestOfMessage));
        assert!(node.stored().is_empty());
    }
}

#[tokio::test]
async fn a_refused_object_is_not_read_forever() {
    let config = ServerConfig { max_drained_bytes: 100_000, ..quick() };
    let mut node = Node::with(config, Behaviour::RefuseAtOnce(Status::OUT_OF_RESOURCES)).await;
    let mut peer = RawPeer::associated(node.address).await;
    peer.send(&[command(1, &store(1, "1.2.3")), data(1, true, &pattern(100_000))].concat()).await;
    assert_eq!(peer.receive_command().await.status(), Ok(Status::OUT_OF_RESOURCES));
    peer.send(&[command(1, &store(2, "1.2.3")), data(1, false, &pattern(100_001))].concat()).await;
    assert_eq!(peer.aborted().await, (2, 0));
    assert_eq!(node.ended().await.0, EndCause::Protocol(ProtocolError::RefusedObjectTooLong { limit: 100_000 }));
}

#[tokio::test]
async fn user_items_are_answered() {
    let node = Node::start().await;
    let role = [&u16::try_from(CT.len()).unwrap().to_be_bytes()[..], CT.as_bytes(), &[1, 1]].concat();
    let identity = [&[2, 1, 0, 4][..], b"user", &[0, 6], b"secret"].concat();
    let mut peer = RawPeer::connect(node.address).await;
    let items = [
        max_length(16_384),
        user_item(0x53, &[0, 8, 0, 8]),
        user_item(0x54, &role),
        user_item(0x58, &identity),
        user_item(0x6f, b"?"),
    ];
    peer.send(&associate_request(&[(1, CT, &[EXPLICIT])], &items)).await;
    let (pdu_type, accept) = peer.receive().await;
    assert_eq!(pdu_type, 2);
    let contains = |bytes: &[u8]| accept.windows(bytes.len()).any(|window| window == bytes);
    assert!(contains(&max_length(131_072)));
    assert!(contains(&user_item(0x52, dokuei_dimse::IMPLEMENTATION_CLASS_UID.as_bytes())));
    assert!(contains(&user_item(0x55, b"DOKUEI_0_1")));
    assert!(contains(&user_item(0x53, &[0, 1, 0, 1])));
    assert!(contains(&user_item(0x54, &[&role[..role.len() - 2], &[1, 0]].concat())));
    assert!(contains(&user_item(0x59, &[0, 0])));

    peer.send(&[command(1, &store(1, "1.2.3")), data(1, true, b"xx")].concat()).await;
    assert_eq!(peer.receive_command().await.status(), Ok(Status::SUCCESS));
    let user = node.stored()[0].user.clone().unwrap();
    assert_eq!((user.kind, &user.primary[..], &user.secondary[..]), (2, &b"user"[..], &b"secret"[..]));
    assert_eq!(format!("{user:?}"), "UserIdentity { kind: 2, .. }");
    peer.release().await;
}
