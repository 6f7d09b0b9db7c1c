//! N-EVENT-REPORT in both directions, on the association that is there.

use std::time::Duration;

use dokuei_dimse::{
    Association, AssociationError, EndCause, LinkError, NormalizedCommand, NormalizedOperation, NormalizedResponse,
    PeerLink, ProposedContext, ProtocolError, Roles, ServerConfig, Status, StoreOperation,
    command::{CommandField, CommandSet, element},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{desk::*, support::*};

fn commitment_request(message_id: u16) -> CommandSet {
    CommandSet::new(CommandField::N_ACTION_RQ)
        .with_uid(element::REQUESTED_SOP_CLASS_UID, COMMITMENT)
        .with_uid(element::REQUESTED_SOP_INSTANCE_UID, COMMITMENT_INSTANCE)
        .with_u16(element::ACTION_TYPE_ID, 1)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_data_set(true)
}

fn event(message_id: u16) -> CommandSet {
    CommandSet::new(CommandField::N_EVENT_REPORT_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, COMMITMENT)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, COMMITMENT_INSTANCE)
        .with_u16(element::EVENT_TYPE_ID, 2)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_data_set(true)
}

/// Asks for a commitment and gives the way back of the service.
async fn committed(desk: &mut Desk, peer: &mut RawPeer) -> PeerLink {
    peer.send(&[command(1, &commitment_request(1)), data(1, true, b"transaction!")].concat()).await;
    assert_eq!(peer.receive_command().await.status(), Ok(Status::SUCCESS));
    desk.link().await
}

/// Reports success from a task of its own, as services do.
fn report(link: &PeerLink) -> JoinHandle<Result<Status, LinkError>> {
    let link = link.clone();
    tokio::spawn(async move {
        assert_eq!(link.transfer_syntax().as_str(), EXPLICIT);
        link.event_report(&sop_class(COMMITMENT), &sop_instance(COMMITMENT_INSTANCE), 1, b"committed!".to_vec()).await
    })
}

async fn received_event(peer: &mut RawPeer) -> CommandSet {
    let event = peer.receive_command().await;
    assert_eq!(event.command_field(), Ok(CommandField::N_EVENT_REPORT_RQ));
    assert_eq!((event.sop_class(), event.has_data_set()), (Some(sop_class(COMMITMENT)), Ok(true)));
    assert_eq!(event.text(element::AFFECTED_SOP_INSTANCE_UID), COMMITMENT_INSTANCE);
    assert_eq!(event.u16(element::EVENT_TYPE_ID), Ok(Some(1)));
    assert_eq!(peer.receive_message().await.1, b"committed!");
    event
}

#[tokio::test]
async fn an_event_crosses_with_requests_of_the_peer() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(64)]).await;
    let link = committed(&mut desk, &mut peer).await;
    let reporting = report(&link);
    let told = received_event(&mut peer).await;
    // Same message ID in the other direction, and more requests than one before the answer.
    let message_id = told.message_id().unwrap();
    for number in [message_id, message_id + 1] {
        peer.send(&command(7, &echo(number))).await;
        let response = peer.receive_command().await;
        assert_eq!((response.command_field(), response.status()), (Ok(CommandField::C_ECHO_RSP), Ok(Status::SUCCESS)));
    }
    assert!(!reporting.is_finished());
    peer.send(&command(1, &told.response(Status::PROCESSING_FAILURE).unwrap())).await;
    assert_eq!(soon("the answer", reporting).await.unwrap(), Ok(Status::PROCESSING_FAILURE));

    // The next one has another message ID; its response has a data set, which means nothing.
    let reporting = report(&link);
    let told = received_event(&mut peer).await;
    assert_eq!(told.message_id(), Ok(message_id + 1));
    let response = told.response(Status::SUCCESS).unwrap().with_data_set(true);
    peer.send(&[command(1, &response), data(1, true, b"reply!")].concat()).await;
    assert_eq!(soon("the answer", reporting).await.unwrap(), Ok(Status::SUCCESS));
    peer.release().await;
    let (cause, counts, _) = desk.node.ended().await;
    assert_eq!((cause, counts.normalized, counts.events, counts.echoes), (EndCause::Released, 1, 2, 2));
    assert_eq!(soon("the answer", report(&link)).await.unwrap(), Err(LinkError::Gone));
}

#[tokio::test]
async fn an_event_waits_for_the_message_under_way() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    let link = committed(&mut desk, &mut peer).await;
    peer.send(&[command(1, &commitment_request(2)), data(1, false, b"half of")].concat()).await;
    let reporting = report(&link);
    tokio::task::yield_now().await;
    peer.send(&data(1, true, b" it!!")).await;

    let response = peer.receive_command().await;
    // Whichever was first between the messages; nothing comes inside of one.
    let told = if response.command_field() == Ok(CommandField::N_ACTION_RQ.response()) {
        received_event(&mut peer).await
    } else {
        assert_eq!(peer.receive_message().await.1, b"committed!");
        assert_eq!(peer.receive_command().await.message_id_being_responded_to(), Ok(2));
        response
    };
    peer.send(&command(1, &told.response(Status::SUCCESS).unwrap())).await;
    assert_eq!(soon("the answer", reporting).await.unwrap(), Ok(Status::SUCCESS));
    peer.release().await;
}

#[tokio::test]
async fn an_event_that_is_not_answered_because_the_peer_leaves() {
    for leave in ["release", "abort", "close"] {
        let mut desk = Desk::open(0).await;
        let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
        let link = committed(&mut desk, &mut peer).await;
        let reporting = report(&link);
        received_event(&mut peer).await;
        match leave {
            "release" => peer.release().await,
            "abort" => peer.send(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await,
            _ => drop(peer),
        }
        assert_eq!(soon("the answer", reporting).await.unwrap(), Err(LinkError::Gone), "{leave}");
        let cause = desk.node.ended().await.0;
        assert_eq!(cause == EndCause::Released, leave == "release", "{cause:?}");
    }
}

#[tokio::test]
async fn an_event_that_is_answered_too_late_or_never() {
    let config = ServerConfig { dimse_timeout: Duration::from_millis(200), ..quick() };
    let mut desk = Desk::with(config, 0, |_| NormalizedResponse::new(Status::SUCCESS)).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
    let link = committed(&mut desk, &mut peer).await;
    let reporting = report(&link);
    let told = received_event(&mut peer).await;
    assert_eq!(soon("the end of patience", reporting).await.unwrap(), Err(LinkError::TimedOut));
    // Who does not answer is asked no more; the association goes on, and the late answer harms nobody.
    assert_eq!(soon("the refusal", report(&link)).await.unwrap(), Err(LinkError::Gone));
    peer.send(&[command(1, &told.response(Status::SUCCESS).unwrap()), command(7, &echo(5))].concat()).await;
    assert_eq!(peer.receive_command().await.message_id_being_responded_to(), Ok(5));
    peer.release().await;
    assert_eq!(desk.node.ended().await.0, EndCause::Released);
}

#[tokio::test]
async fn answers_to_no_question_end_the_association() {
    let wrong_id = |event: &CommandSet| {
        command(1, &event.response(Status::SUCCESS).unwrap().with_u16(element::MESSAGE_ID_BEING_RESPONDED_TO, 77))
    };
    let wrong_context = |event: &CommandSet| command(3, &event.response(Status::SUCCESS).unwrap());
    let wrong_kind = |event: &CommandSet| {
        let kind = CommandField::N_SET_RQ.response();
        command(1, &event.response(Status::SUCCESS).unwrap().with_u16(element::COMMAND_FIELD, kind.0))
    };
    type Answer = fn(&CommandSet) -> Vec<u8>;
    for (answer, field) in [(wrong_id as Answer, 0x8100), (wrong_context, 0x8100), (wrong_kind, 0x8120)] {
        let mut desk = Desk::open(0).await;
        let mut peer = raw_desk_peer(&desk, &[max_length(0)]).await;
        let link = committed(&mut desk, &mut peer).await;
        let reporting = report(&link);
        let told = received_event(&mut peer).await;
        peer.send(&answer(&told)).await;

        assert_eq!(peer.aborted().await, (2, 5));
        assert_eq!(soon("the answer", reporting).await.unwrap(), Err(LinkError::Gone));
        assert_eq!(desk.node.ended().await.0, EndCause::Protocol(ProtocolError::UnexpectedResponse(field)));
    }
}

#[tokio::test]
async fn a_provider_that_calls_delivers_its_event_and_cannot_ask() {
    for roles in [Some(Roles::PROVIDER), Some(Roles::BOTH), None] {
        let mut desk = Desk::open(0).await;
        let mut options = desk_options();
        let commitment = ProposedContext::new(sop_class(COMMITMENT), vec![transfer_syntax(EXPLICIT)]);
        options.contexts = vec![ProposedContext { roles, ..commitment }];
        let mut association = Association::request(desk.node.address, &options).await.unwrap();
        assert_eq!(association.contexts()[0].roles, roles.unwrap_or(Roles::USER));
        let (class, instance) = (sop_class(COMMITMENT), sop_instance(COMMITMENT_INSTANCE));
        let told = NormalizedCommand::event_report(class.clone(), instance.clone(), 2, b"failures".to_vec());
        let reply = association.normalized(1, told).await.unwrap();
        assert_eq!((reply.status, reply.sop_instance.as_ref()), (Status::SUCCESS, Some(&instance)), "{roles:?}");
        let asked = NormalizedCommand::action(class.clone(), instance, 1, b"question".to_vec());
        let may_ask = roles != Some(Roles::PROVIDER);
        let status = if may_ask { Status::SUCCESS } else { Status::UNRECOGNIZED_OPERATION };
        assert_eq!(association.normalized(1, asked).await.unwrap().status, status);
        association.release().await.unwrap();

        let seen = desk.requests();
        assert_eq!((seen[0].operation, seen[0].type_id), (NormalizedOperation::EventReport, Some(2)));
        assert_eq!((seen[0].data_set.as_deref(), seen.len()), (Some(&b"failures"[..]), if may_ask { 2 } else { 1 }));
        // A provider is told nothing.
        let link = desk.link().await;
        let expected = if may_ask { LinkError::Gone } else { LinkError::NotUser };
        assert_eq!(link.event_report(&class, &sop_instance("1.2"), 1, vec![]).await, Err(expected));
    }
}

#[tokio::test]
async fn our_requestor_takes_events_between_its_own_messages() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let archive = tokio::spawn(async move {
        let mut peer = RawPeer::accept(&listener).await;
        peer.receive().await;
        peer.send(&associate_accept(&[(1, EXPLICIT), (3, EXPLICIT), (5, IMPLICIT)], 0)).await;
        // The request for commitment is answered only after the event of an earlier one.
        let asked = peer.receive_command().await;
        peer.receive_message().await;
        peer.send(&[command(1, &event(41)), data(1, false, b"an earlier"), data(1, true, b" result!")].concat()).await;
        peer.send(&command(1, &asked.response(Status::SUCCESS).unwrap())).await;
        // One that cannot be understood, and one in the middle of an object.
        let nameless = event(42).with(element::EVENT_TYPE_ID, Default::default()).with_data_set(false);
        peer.send(&command(1, &nameless)).await;
        let stored = peer.receive_command().await;
        peer.send(&[command(1, &event(43)), data(1, true, b"the result")].concat()).await;
        peer.receive_message().await;
        peer.send(&command(3, &stored.response(Status::SUCCESS).unwrap())).await;
        let mut answers = Vec::new();
        for _ in 0..3 {
            let answer = peer.receive_command().await;
            assert_eq!(answer.command_field(), Ok(CommandField::N_EVENT_REPORT_RQ.response()));
            answers.push((answer.message_id_being_responded_to().unwrap(), answer.status().unwrap()));
        }
        peer.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        assert_eq!(peer.receive().await.0, 6, "no A-RELEASE-RP");
        answers
    });
    let mut options = options();
    options.contexts.insert(0, context(COMMITMENT, &[EXPLICIT]));
    let mut association = Association::request(address, &options).await.unwrap();
    let (class, instance) = (sop_class(COMMITMENT), sop_instance(COMMITMENT_INSTANCE));
    let action = NormalizedCommand::action(class, instance.clone(), 1, b"transaction!".to_vec());
    assert_eq!(association.normalized(1, action).await.unwrap().status, Status::SUCCESS);
    let store = StoreOperation::new(3, sop_class(CT), sop_instance("1.2.3"));
    let mut bytes = std::io::Cursor::new(pattern(100));
    assert_eq!(association.store(&store, &mut bytes, None).await.unwrap(), Status::SUCCESS);

    let long = Duration::from_secs(30);
    let first = association.wait_for_event(long).await.unwrap().unwrap();
    assert_eq!((first.data_set.as_deref(), first.type_id), (Some(&b"an earlier result!"[..]), 2));
    assert_eq!((&first.sop_instance, first.transfer_syntax.as_str()), (&instance, EXPLICIT));
    association.answer_event(&first, Status::SUCCESS).await.unwrap();
    let second = association.wait_for_event(long).await.unwrap().unwrap();
    assert_eq!(second.data_set.as_deref(), Some(&b"the result"[..]));
    association.answer_event(&second, Status::NO_SUCH_SOP_INSTANCE).await.unwrap();
    assert!(matches!(association.wait_for_event(long).await, Err(AssociationError::Released)));
    assert!(association.has_ended());
    let answers = soon("the archive", archive).await.unwrap();
    assert_eq!(answers, [(41, Status::SUCCESS), (42, Status::NO_SUCH_EVENT_TYPE), (43, Status::NO_SUCH_SOP_INSTANCE)]);
}

#[tokio::test]
async fn an_event_is_delivered_from_our_acceptor_to_our_requestor() {
    let mut desk = Desk::open(0).await;
    let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    assert!(association.wait_for_event(Duration::from_millis(1)).await.unwrap().is_none());
    let (class, instance) = (sop_class(COMMITMENT), sop_instance(COMMITMENT_INSTANCE));
    let action = NormalizedCommand::action(class, instance, 1, b"transaction!".to_vec());
    assert_eq!(association.normalized(1, action).await.unwrap().status, Status::SUCCESS);
    let reporting = report(&desk.link().await);
    let event = association.wait_for_event(Duration::from_secs(30)).await.unwrap().unwrap();
    assert_eq!((event.type_id, event.data_set.as_deref()), (1, Some(&b"committed!"[..])));
    association.answer_event(&event, Status::SUCCESS).await.unwrap();
    assert_eq!(soon("the answer", reporting).await.unwrap(), Ok(Status::SUCCESS));
    association.release().await.unwrap();
    assert_eq!(desk.node.ended().await.0, EndCause::Released);
}
