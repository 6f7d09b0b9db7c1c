//! Our requestor with our acceptor.

use std::io::Cursor;

use dokuei_dimse::{Association, AssociationCounts, AssociationError, EndCause, Rejection, Status, StoreOperation};

use crate::support::*;

#[tokio::test]
async fn objects_arrive_byte_for_byte() {
    let mut node = Node::start().await;
    let mut association = Association::request(node.address, &options()).await.unwrap();
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    // Around the fragment size of 131,066 bytes, one byte, and several read buffers.
    let sizes = [1, 2, 1000, 131_064, 131_066, 131_068, 262_132, 262_134, 3_000_000];
    for (number, size) in sizes.into_iter().enumerate() {
        let operation = StoreOperation::new(1, sop_class(CT), sop_instance(&format!("1.2.{number}")));
        let length = (number % 2 == 0).then_some(size as u64);
        let status = association.store(&operation, &mut Cursor::new(pattern(size)), length).await.unwrap();
        assert_eq!(status, Status::SUCCESS, "{size}");
    }
    association.release().await.unwrap();

    assert_eq!(
        node.event().await,
        Event::Accepted { calling: "HOSP1".into(), implementation_version: "DOKUEI_0_1".into() }
    );
    let (cause, counts, abandoned) = node.ended().await;
    assert_eq!((cause, abandoned), (EndCause::Released, None));
    let total = sizes.iter().sum::<usize>() as u64;
    assert_eq!(
        counts,
        AssociationCounts { stored: 9, echoes: 1, data_set_bytes: total, ..AssociationCounts::default() }
    );
    let stored = node.stored();
    assert_eq!(stored.len(), sizes.len());
    for (number, (object, size)) in stored.iter().zip(sizes).enumerate() {
        assert!(object.bytes == pattern(size), "{size} bytes differ");
        assert_eq!(object.calling, "HOSP1");
        assert_eq!(object.request.sop_instance.as_str(), format!("1.2.{number}"));
        assert_eq!(object.request.sop_class.as_str(), CT);
        assert_eq!(object.request.transfer_syntax.as_str(), EXPLICIT);
        assert_eq!(usize::from(object.request.message_id), number + 2);
    }
}

#[tokio::test]
async fn an_empty_data_set_is_an_object_of_no_bytes() {
    let node = Node::start().await;
    let mut association = Association::request(node.address, &options()).await.unwrap();
    let operation = StoreOperation::new(1, sop_class(CT), sop_instance("1.2.3"));
    assert_eq!(association.store(&operation, &mut Cursor::new(Vec::new()), Some(0)).await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
    assert!(node.stored()[0].bytes.is_empty());
}

#[tokio::test]
async fn a_move_originator_is_passed_on() {
    let node = Node::start().await;
    let mut association = Association::request(node.address, &options()).await.unwrap();
    let mut operation = StoreOperation::new(1, sop_class(CT), sop_instance("1.2.3"));
    operation.move_originator = Some((ae("PACS1"), 77));
    operation.priority = 1;
    association.store(&operation, &mut Cursor::new(pattern(10)), None).await.unwrap();
    association.release().await.unwrap();

    let request = node.stored()[0].request.clone();
    assert_eq!((request.move_originator, request.priority), (Some((ae("PACS1"), 77)), 1));
}

#[tokio::test]
async fn a_refused_object_costs_its_status_and_nothing_else() {
    for behaviour in [
        Behaviour::RefuseAtOnce(Status::OUT_OF_RESOURCES),
        Behaviour::RefuseAfter(200_000, Status::OUT_OF_RESOURCES),
        Behaviour::FinishWith(Status::OUT_OF_RESOURCES),
    ] {
        let mut node = Node::with(quick(), behaviour).await;
        let mut association = Association::request(node.address, &options()).await.unwrap();
        for number in 0..2 {
            let operation = StoreOperation::new(1, sop_class(CT), sop_instance(&format!("1.2.{number}")));
            let status = association.store(&operation, &mut Cursor::new(pattern(1_000_000)), None).await.unwrap();
            assert_eq!(status, Status::OUT_OF_RESOURCES);
        }
        assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
        association.release().await.unwrap();

        let (cause, counts, abandoned) = node.ended().await;
        assert_eq!((cause, abandoned), (EndCause::Released, None));
        assert_eq!(
            counts,
            AssociationCounts { failed: 2, echoes: 1, data_set_bytes: 2_000_000, ..AssociationCounts::default() }
        );
    }
}

#[tokio::test]
async fn a_warning_counts_as_kept() {
    let mut node = Node::with(quick(), Behaviour::FinishWith(Status::COERCION_OF_DATA_ELEMENTS)).await;
    let mut association = Association::request(node.address, &options()).await.unwrap();
    let operation = StoreOperation::new(1, sop_class(CT), sop_instance("1.2.3"));
    let status = association.store(&operation, &mut Cursor::new(pattern(10)), None).await.unwrap();
    assert!(status.is_accepted() && status.is_warning());
    association.release().await.unwrap();
    assert_eq!(node.ended().await.1.stored_with_warning, 1);
}

#[tokio::test]
async fn who_is_not_admitted_learns_why() {
    let mut node = Node::start().await;
    for (calling, called, rejection) in [
        ("STRANGER", "DOKUEI", Rejection::CALLING_AE_NOT_RECOGNIZED),
        ("HOSP1", "OTHER", Rejection::CALLED_AE_NOT_RECOGNIZED),
        ("BUSY", "DOKUEI", Rejection::TEMPORARY_CONGESTION),
    ] {
        let mut options = options();
        (options.calling, options.called) = (ae(calling), ae(called));
        let error = Association::request(node.address, &options).await.unwrap_err();
        assert!(matches!(error, AssociationError::Rejected(reason) if reason == rejection), "{error}");
        assert_eq!(error.is_transient(), rejection.is_transient());
        assert_eq!(node.event().await, Event::Rejected { calling: calling.into(), rejection });
    }
}

#[tokio::test]
async fn contexts_are_answered_one_by_one() {
    let node = Node::start().await;
    let mut options = options();
    options.contexts = vec![
        context(CT, &[JPEG_BASELINE, IMPLICIT, EXPLICIT]),
        context("1.2.840.10008.5.1.4.31", &[EXPLICIT]),
        context("1.2.840.113619.4.30", &["1.2.840.113619.5.2"]),
        context(VERIFICATION, &[JPEG_BASELINE]),
        context(CT, &[JPEG_BASELINE]),
    ];
    let association = Association::request(node.address, &options).await.unwrap();

    use dokuei_dimse::ContextRejection::{AbstractSyntaxNotSupported, TransferSyntaxesNotSupported};
    let answers: Vec<_> =
        association.contexts().iter().map(|context| (context.id, context.transfer_syntax.clone())).collect();
    assert_eq!(
        answers,
        [
            (1, Ok(transfer_syntax(IMPLICIT))),
            (3, Err(AbstractSyntaxNotSupported)),
            (5, Ok(transfer_syntax("1.2.840.113619.5.2"))),
            (7, Err(TransferSyntaxesNotSupported)),
            (9, Ok(transfer_syntax(JPEG_BASELINE))),
        ]
    );
    assert_eq!(association.context_for(&sop_class(CT), &transfer_syntax(JPEG_BASELINE)), Some(9));
    assert_eq!(association.context_for(&sop_class(CT), &transfer_syntax(EXPLICIT)), None);
    association.release().await.unwrap();
}

#[tokio::test]
async fn no_accepted_context_is_an_error_and_the_association_is_released() {
    let mut node = Node::start().await;
    let mut options = options();
    options.contexts = vec![context("1.2.840.10008.5.1.4.31", &[EXPLICIT])];
    let error = Association::request(node.address, &options).await.unwrap_err();
    assert!(matches!(error, AssociationError::NoContextAccepted), "{error}");
    assert_eq!(node.ended().await.0, EndCause::Released);
}

#[tokio::test]
async fn an_abort_ends_it() {
    let mut node = Node::start().await;
    let association = Association::request(node.address, &options()).await.unwrap();
    association.abort().await;
    assert_eq!(node.ended().await.0, EndCause::PeerAborted(dokuei_dimse::Abort::USER));
}

#[tokio::test]
async fn a_context_that_was_not_accepted_is_not_used() {
    let node = Node::start().await;
    let mut association = Association::request(node.address, &options()).await.unwrap();
    let operation = StoreOperation::new(5, sop_class(CT), sop_instance("1.2.3"));
    let error = association.store(&operation, &mut Cursor::new(pattern(10)), None).await.unwrap_err();
    assert!(matches!(error, AssociationError::NotAccepted(5)), "{error}");
    assert_eq!(association.echo().await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
}
