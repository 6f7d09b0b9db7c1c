//! DIMSE-N: requests, their responses, and their limits.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_dimse::{
    Association, AssociationCounts, EndCause, NormalizedCommand, NormalizedOperation, NormalizedRequest,
    NormalizedResponse, ServerConfig, Status,
    command::{CommandField, CommandSet, element},
};

use crate::{desk::*, support::*};

const STEP: &str = "1.2.826.0.1.3680043.10.9999.77";

fn step(operation: NormalizedOperation) -> NormalizedCommand {
    NormalizedCommand::new(operation, sop_class(PROCEDURE_STEP), Some(sop_instance(STEP)))
}

#[tokio::test]
async fn every_operation_arrives_as_it_was_asked_and_its_answer_comes_back() {
    let mut desk = Desk::with(quick(), 0, |request: &NormalizedRequest| NormalizedResponse {
        status: if request.operation == NormalizedOperation::Set {
            Status::ATTRIBUTE_LIST_ERROR
        } else {
            Status::SUCCESS
        },
        sop_instance: request.sop_instance.is_none().then(|| sop_instance("1.2.99")),
        data_set: (request.operation == NormalizedOperation::Get).then(|| Bytes::from_static(b"attributes")),
        comment: (request.operation == NormalizedOperation::Set).then(|| "step \\ 検査".repeat(9)),
    })
    .await;
    let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
    let large = pattern(300_000);
    let create = NormalizedCommand::create(sop_class(PROCEDURE_STEP), Some(sop_instance(STEP)), large.clone());
    let nameless = NormalizedCommand::create(sop_class(PROCEDURE_STEP), None, b"data".to_vec());
    let set = NormalizedCommand::set(sop_class(PROCEDURE_STEP), sop_instance(STEP), b"data".to_vec());
    let attributes = vec![0x0008_0018, 0x0040_0252];
    let get = NormalizedCommand { attribute_identifiers: attributes.clone(), ..step(NormalizedOperation::Get) };
    let action = NormalizedCommand::action(
        sop_class(COMMITMENT),
        sop_instance(COMMITMENT_INSTANCE),
        1,
        b"transaction".repeat(2),
    );

    for (context, command) in
        [(3, create), (3, nameless), (3, set), (3, get), (1, action), (3, step(NormalizedOperation::Delete))]
    {
        let operation = command.operation;
        let named = command.sop_instance.clone();
        let reply = association.normalized(context, command).await.unwrap();
        let is_set = operation == NormalizedOperation::Set;
        assert_eq!(reply.status, if is_set { Status::ATTRIBUTE_LIST_ERROR } else { Status::SUCCESS }, "{operation:?}");
        assert_eq!(reply.sop_instance, Some(named.unwrap_or_else(|| sop_instance("1.2.99"))));
        assert_eq!(reply.data_set.is_some(), operation == NormalizedOperation::Get);
        match reply.comment {
            Some(comment) => assert!(is_set && comment.starts_with("step ? ??step") && comment.len() == 64),
            None => assert!(!is_set),
        }
    }
    association.release().await.unwrap();

    let seen = desk.requests();
    let facts: Vec<_> =
        seen.iter().map(|request| (request.operation, request.context_id, request.message_id)).collect();
    use NormalizedOperation::{Action, Create, Delete, Get, Set};
    assert_eq!(facts, [(Create, 3, 1), (Create, 3, 2), (Set, 3, 3), (Get, 3, 4), (Action, 1, 5), (Delete, 3, 6)]);
    assert!(seen[0].data_set.as_deref() == Some(&large[..]), "the data set differs");
    assert_eq!((&seen[1].sop_instance, seen[1].data_set.as_deref()), (&None, Some(&b"data"[..])));
    assert_eq!(seen[3].attribute_identifiers, attributes);
    assert_eq!((seen[4].type_id, seen[4].sop_instance.as_ref().unwrap().as_str()), (Some(1), COMMITMENT_INSTANCE));
    assert_eq!((seen[4].sop_class.as_str(), seen[4].transfer_syntax.as_str()), (COMMITMENT, EXPLICIT));
    assert_eq!((seen[5].type_id, &seen[5].data_set, seen[5].transfer_syntax.as_str()), (None, &None, IMPLICIT));
    let (cause, counts, _) = desk.node.ended().await;
    assert_eq!((cause, counts.normalized, counts.other_requests), (EndCause::Released, 6, 0));
}

fn request(field: CommandField, message_id: u16) -> CommandSet {
    CommandSet::new(field)
        .with_uid(element::REQUESTED_SOP_CLASS_UID, PROCEDURE_STEP)
        .with_uid(element::REQUESTED_SOP_INSTANCE_UID, STEP)
        .with_u16(element::MESSAGE_ID, message_id)
        .with_data_set(false)
}

#[tokio::test]
async fn requests_that_lack_something_are_refused_before_any_service_sees_them() {
    let mut desk = Desk::open(0).await;
    let mut peer = raw_desk_peer(&desk, &[max_length(16_384)]).await;
    let without = |number: u16| request(CommandField::N_SET_RQ, 1).with(number, Bytes::new());
    let not_a_uid = |number: u16| request(CommandField::N_SET_RQ, 2).with(number, Bytes::from_static(b"1.2.x\0"));
    let action = request(CommandField::N_ACTION_RQ, 3);
    let event = CommandSet::new(CommandField::N_EVENT_REPORT_RQ)
        .with_uid(element::AFFECTED_SOP_CLASS_UID, PROCEDURE_STEP)
        .with_uid(element::AFFECTED_SOP_INSTANCE_UID, STEP)
        .with_u16(element::EVENT_TYPE_ID, 1)
        .with_u16(element::MESSAGE_ID, 4)
        .with_data_set(false);
    let odd_list =
        request(CommandField::N_GET_RQ, 5).with(element::ATTRIBUTE_IDENTIFIER_LIST, Bytes::from_static(b"abc"));
    let long_type = action.clone().with(element::ACTION_TYPE_ID, Bytes::from_static(&[1, 0, 0, 0]));
    for (context, refused, status) in [
        (3, without(element::REQUESTED_SOP_CLASS_UID), Status::NO_SUCH_SOP_CLASS),
        (3, without(element::REQUESTED_SOP_INSTANCE_UID), Status::INVALID_SOP_INSTANCE),
        (3, not_a_uid(element::REQUESTED_SOP_INSTANCE_UID), Status::INVALID_SOP_INSTANCE),
        (3, action, Status::NO_SUCH_ACTION_TYPE),
        (3, long_type, Status::MISTYPED_ARGUMENT),
        (3, event, Status::UNRECOGNIZED_OPERATION),
        (3, odd_list, Status::MISTYPED_ARGUMENT),
        (7, request(CommandField::N_GET_RQ, 6), Status::UNRECOGNIZED_OPERATION),
    ] {
        peer.send(&command(context, &refused)).await;
        let response = peer.receive_command().await;
        assert_eq!(response.status(), Ok(status), "{refused:?}");
        assert_eq!(response.message_id_being_responded_to(), refused.message_id());
        assert_eq!(response.command_field(), Ok(refused.command_field().unwrap().response()));
    }
    peer.release().await;
    assert!(desk.requests().is_empty());
    let (_, counts, _) = desk.node.ended().await;
    assert_eq!(counts, AssociationCounts { other_requests: 8, ..AssociationCounts::default() });
}

#[tokio::test]
async fn a_data_set_beyond_the_limits_is_refused_and_the_association_goes_on() {
    for config in [
        ServerConfig { max_normalized_bytes: 200_000, ..quick() },
        ServerConfig { max_collected_bytes: 128 << 10, ..quick() },
    ] {
        let desk = Desk::with(config, 0, |_| NormalizedResponse::new(Status::SUCCESS)).await;
        let mut association = Association::request(desk.node.address, &desk_options()).await.unwrap();
        for (length, status) in
            [(190_000, Status::SUCCESS), (300_000, Status::RESOURCE_LIMITATION), (100, Status::SUCCESS)]
        {
            let create = NormalizedCommand::create(sop_class(PROCEDURE_STEP), None, pattern(length));
            assert_eq!(association.normalized(3, create).await.unwrap().status, status, "{length}");
        }
        association.release().await.unwrap();
        assert_eq!(desk.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_node_without_services_refuses_the_operation() {
    // The contexts are accepted; what is missing is who would answer.
    let node = Node::offering(quick(), Behaviour::Keep, policy(), Arc::new(()), Arc::new(())).await;
    let mut association = Association::request(node.address, &desk_options()).await.unwrap();
    let reply = association.normalized(3, step(NormalizedOperation::Get)).await.unwrap();
    assert_eq!(reply.status, Status::UNRECOGNIZED_OPERATION);
    let operation = find_operation(b"anything");
    assert_eq!(association.find_all(&operation, 1).await.unwrap().status, Status::UNRECOGNIZED_OPERATION);
    association.release().await.unwrap();
}

fn find_operation(identifier: &[u8]) -> dokuei_dimse::FindOperation {
    let (sop_class, identifier) = (sop_class(STUDY_ROOT_FIND), identifier.to_vec());
    dokuei_dimse::FindOperation { context_id: 5, sop_class, priority: 0, identifier }
}
