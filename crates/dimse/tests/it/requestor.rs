//! Our requestor with acceptors that are strange, and the sending of many objects.

use std::{io::Cursor, time::Duration};

use async_trait::async_trait;
use dokuei_dimse::{
    Abort, Association, AssociationError, DataSetSource, EndCause, OutgoingObject, ProtocolError, RequestOptions,
    SendOutcome, Status, StoreOperation, Target, Waiting,
    command::{CommandField, CommandSet},
    send_objects,
};
use dokuei_domain::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// An acceptor that has accepted CT on context 1, and the association on the other side.
async fn pair(options: &RequestOptions, accept: &[u8]) -> (Result<Association, AssociationError>, RawPeer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = async {
        let mut peer = RawPeer::accept(&listener).await;
        assert_eq!(peer.receive().await.0, 1);
        peer.send(accept).await;
        peer
    };
    tokio::join!(Association::request(address, options), acceptor)
}

fn accepting(max_pdu: u32) -> Vec<u8> {
    associate_accept(&[(1, EXPLICIT), (3, IMPLICIT)], max_pdu)
}

fn operation() -> StoreOperation {
    StoreOperation::new(1, sop_class(CT), sop_instance("1.2.3"))
}

#[tokio::test]
async fn what_we_send_fits_the_peer() {
    for (limit, length) in
        [(0, 1_000_000), (8, 100), (128, 10_000), (1018, 100_000), (131_072, 1_000_000), (u32::MAX, 1_000_000)]
    {
        let (association, mut peer) = pair(&options(), &accepting(limit)).await;
        let mut association = association.unwrap();
        let sent = pattern(length);
        let (mut source, operation) = (Cursor::new(sent.clone()), operation());
        let acceptor = async {
            let (is_command, request, mut largest) = peer.receive_message().await;
            assert!(is_command);
            let request = CommandSet::parse(request.into()).unwrap();
            let (is_command, data, most) = peer.receive_message().await;
            assert!(!is_command && data == sent, "{limit}");
            largest = largest.max(most);
            assert!(largest <= 131_078 && (limit == 0 || largest <= limit as usize), "{largest} > {limit}");
            peer.send(&command(1, &request.response(Status::SUCCESS).unwrap())).await;
        };
        let (status, ()) = tokio::join!(association.store(&operation, &mut source, None), acceptor);
        assert_eq!(status.unwrap(), Status::SUCCESS);
    }
}

#[tokio::test]
async fn a_peer_that_gives_up_in_the_middle_is_understood() {
    let (association, mut peer) = pair(&options(), &accepting(16_384)).await;
    let mut association = association.unwrap();
    let (mut endless, operation) = (tokio::io::repeat(7), operation());
    let acceptor = async {
        assert!(peer.receive_message().await.0);
        peer.receive().await;
        peer.send(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 1]).await;
    };
    let (result, ()) = tokio::join!(association.store(&operation, &mut endless, None), acceptor);
    assert!(matches!(result, Err(AssociationError::Aborted(Abort::UNRECOGNIZED_PDU))), "{result:?}");
    assert!(association.has_ended());
    assert!(matches!(association.echo().await, Err(AssociationError::Ended)));
    assert!(matches!(association.release().await, Err(AssociationError::Ended)));
}

#[tokio::test]
async fn a_response_before_the_end_is_kept_until_the_object_is_whole() {
    let (association, mut peer) = pair(&options(), &accepting(16_384)).await;
    let mut association = association.unwrap();
    let sent = pattern(3_000_000);
    let (mut source, operation) = (Cursor::new(sent.clone()), operation());
    let acceptor = async {
        let request = peer.receive_command().await;
        peer.send(&command(1, &request.response(Status::OUT_OF_RESOURCES).unwrap())).await;
        let (_, data, _) = peer.receive_message().await;
        assert!(data == sent);
    };
    let (status, ()) = tokio::join!(association.store(&operation, &mut source, None), acceptor);
    assert_eq!(status.unwrap(), Status::OUT_OF_RESOURCES);
}

#[tokio::test]
async fn a_source_of_the_wrong_length_never_becomes_an_object() {
    for (length, announced) in [(300_000, 300_001), (300_000, 299_999), (0, 1), (10, 9)] {
        let mut node = Node::start().await;
        let mut association = Association::request(node.address, &options()).await.unwrap();
        let result = association.store(&operation(), &mut Cursor::new(pattern(length)), Some(announced)).await;
        assert!(matches!(result, Err(AssociationError::SourceLength { .. })), "{result:?}");
        assert_eq!(node.ended().await.0, EndCause::PeerAborted(Abort::USER));
        assert!(node.stored().is_empty());
    }
}

#[tokio::test]
async fn answers_that_make_no_sense() {
    let respond = |response: CommandSet| command(3, &response);
    let request = echo(1);
    for (answer, expected) in [
        (respond(echo(2).response(Status::SUCCESS).unwrap()), ProtocolError::UnexpectedMessage(0x8030)),
        (respond(store(1, "1.2").response(Status::SUCCESS).unwrap()), ProtocolError::UnexpectedMessage(0x8001)),
        (respond(request.clone()), ProtocolError::UnexpectedMessage(0x0030)),
        (
            respond(CommandSet::new(CommandField::C_ECHO_RSP).with_u16(0x0120, 1)),
            ProtocolError::MalformedCommand(dokuei_dimse::command::CommandError::Missing(0x0900)),
        ),
        (data(3, true, b"xx"), ProtocolError::UnexpectedDataSet),
        (
            command(1, &echo(1).response(Status::SUCCESS).unwrap()),
            ProtocolError::InterleavedContext { expected: 3, got: 1 },
        ),
        (b"garbage".to_vec(), ProtocolError::UnknownPdu(b'g')),
    ] {
        let (association, mut peer) = pair(&options(), &accepting(16_384)).await;
        let mut association = association.unwrap();
        let acceptor = async move {
            peer.receive_command().await;
            peer.send(&answer).await;
            peer.aborted().await
        };
        let (result, abort) = tokio::join!(association.echo(), acceptor);
        let Err(AssociationError::Protocol(error)) = result else { panic!("{result:?}") };
        assert_eq!(abort, (error.abort().source, error.abort().reason));
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn an_acceptor_that_chooses_what_was_not_offered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = options();
    let acceptor = async {
        let mut peer = RawPeer::accept(&listener).await;
        peer.receive().await;
        peer.send(&associate_accept(&[(1, JPEG_BASELINE)], 0)).await;
        peer.aborted().await
    };
    let (association, abort) = tokio::join!(Association::request(address, &options), acceptor);
    assert!(matches!(association, Err(AssociationError::Protocol(_))), "{association:?}");
    assert_eq!(abort, (2, 6));
}

#[tokio::test]
async fn silence_is_not_waited_for_forever() {
    let mut impatient = options();
    impatient.timeouts.association = Duration::from_millis(150);
    let (association, _peer) = pair(&impatient, b"").await;
    assert!(matches!(association, Err(AssociationError::Timeout(Waiting::AssociationResponse))), "{association:?}");

    let mut options = options();
    options.timeouts.response = Duration::from_millis(150);
    let (association, mut peer) = pair(&options, &accepting(0)).await;
    let mut association = association.unwrap();
    let (result, abort) = tokio::join!(association.echo(), async move {
        peer.receive_command().await;
        peer.aborted().await
    });
    assert!(matches!(result, Err(AssociationError::Timeout(Waiting::Response))), "{result:?}");
    assert_eq!(abort, (0, 0));

    // A peer that does not read.
    let (association, _peer) = pair(&options, &accepting(0)).await;
    let result = association.unwrap().store(&operation(), &mut tokio::io::repeat(1), None).await;
    assert!(matches!(result, Err(AssociationError::Timeout(Waiting::Write))), "{result:?}");
}

#[tokio::test]
async fn a_release_collision_is_resolved() {
    let (association, mut peer) = pair(&options(), &accepting(0)).await;
    let acceptor = async {
        assert_eq!(peer.receive().await.0, 5);
        // As if both had asked at the same moment: the requestor answers first (PS3.8 9.2.3).
        peer.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        assert_eq!(peer.receive().await.0, 6);
        peer.send(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
    };
    let (released, ()) = tokio::join!(association.unwrap().release(), acceptor);
    released.unwrap();
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Association::request(address, &options()).await.unwrap_err();
    assert!(matches!(error, AssociationError::Connect { .. }) && error.is_transient(), "{error}");
}

struct Object {
    sop_class: SopClassUid,
    sop_instance: SopInstanceUid,
    transfer_syntaxes: Vec<TransferSyntaxUid>,
    bytes: Option<Vec<u8>>,
}

fn object(class: &str, instance: usize, transfer_syntaxes: &[&str]) -> Object {
    Object {
        sop_class: sop_class(class),
        sop_instance: sop_instance(&format!("1.2.{instance}")),
        transfer_syntaxes: transfer_syntaxes.iter().map(|ts| transfer_syntax(ts)).collect(),
        bytes: Some(pattern(1000 + instance)),
    }
}

#[async_trait]
impl OutgoingObject for Object {
    fn sop_class(&self) -> &SopClassUid {
        &self.sop_class
    }

    fn sop_instance(&self) -> &SopInstanceUid {
        &self.sop_instance
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntaxUid] {
        &self.transfer_syntaxes
    }

    async fn open(&self, _transfer_syntax: &TransferSyntaxUid) -> std::io::Result<DataSetSource> {
        let bytes = self.bytes.clone().ok_or(std::io::ErrorKind::NotFound)?;
        let length = Some(bytes.len() as u64);
        Ok(DataSetSource { reader: Box::new(Cursor::new(bytes)), length })
    }
}

fn target(address: std::net::SocketAddr) -> Target {
    Target { address: address.to_string(), calling: ae("HOSP1"), called: ae("DOKUEI"), timeouts: patient(), tls: None }
}

#[tokio::test]
async fn more_kinds_than_one_association_carries_are_split() {
    let node = Node::start().await;
    let objects = (0..300).map(|number| object(&format!("1.3.6.1.4.1.9999.{}", number % 150), number, &[EXPLICIT]));
    let mut heard = 0;
    let report = send_objects(&target(node.address), objects, &CancellationToken::new(), |index, outcome| {
        assert_eq!(index, heard);
        assert!(outcome.is_accepted());
        heard += 1;
    })
    .await;

    assert!(report.all_accepted() && report.error.is_none());
    // 0..128 on the first association, 128..256 on the second, 256..300 on the third.
    assert_eq!((report.outcomes.len(), report.associations, heard), (300, 3, 300));
    let stored: Vec<_> =
        node.stored().iter().map(|object| (object.request.sop_instance.to_string(), object.bytes.len())).collect();
    let expected: Vec<_> = (0..300).map(|number| (format!("1.2.{number}"), 1000 + number)).collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn each_object_has_its_own_outcome() {
    let node = Node::start().await;
    let mut unreadable = object(CT, 2, &[EXPLICIT]);
    unreadable.bytes = None;
    let objects = [
        object("1.2.840.10008.5.1.4.31", 0, &[EXPLICIT]),
        object(CT, 1, &[JPEG_BASELINE, EXPLICIT]),
        unreadable,
        object(CT, 3, &[]),
        object(CT, 4, &[EXPLICIT]),
    ];
    let target = target(node.address);
    // As background work does: on another task.
    let sending =
        tokio::spawn(async move { send_objects(&target, objects, &CancellationToken::new(), |_, _| {}).await });
    let report = sending.await.unwrap();

    assert!(matches!(
        &report.outcomes[..],
        [
            SendOutcome::NotNegotiated,
            SendOutcome::Answered(Status::SUCCESS),
            SendOutcome::Failed(AssociationError::Source(_)),
            SendOutcome::NotNegotiated,
            SendOutcome::Answered(Status::SUCCESS),
        ]
    ));
    assert_eq!((report.associations, report.error.is_none()), (1, true));
    assert_eq!(node.stored()[0].request.transfer_syntax.as_str(), JPEG_BASELINE);
}

#[tokio::test]
async fn an_association_that_breaks_is_replaced_until_it_is_hopeless() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Accepts, then aborts at the first object; each time.
    let acceptor = tokio::spawn(async move {
        loop {
            let mut peer = RawPeer::accept(&listener).await;
            peer.receive().await;
            peer.send(&associate_accept(&[(1, EXPLICIT)], 0)).await;
            peer.receive_message().await;
            peer.send(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
            peer.drained().await;
        }
    });
    let objects = (0..5).map(|number| object(CT, number, &[EXPLICIT]));
    let report = send_objects(&target(address), objects, &CancellationToken::new(), |_, _| {}).await;
    acceptor.abort();

    assert_eq!(report.associations, 3);
    assert!(matches!(report.error, Some(AssociationError::KeepsFailing(3))));
    let (failed, not_sent) = report.outcomes.split_at(3);
    assert!(
        failed.iter().all(|outcome| matches!(outcome, SendOutcome::Failed(AssociationError::Aborted(Abort::USER)))),
        "{failed:?}"
    );
    assert!(not_sent.iter().all(|outcome| matches!(outcome, SendOutcome::NotSent)));
}

#[tokio::test]
async fn a_stopped_sending_leaves_the_rest() {
    let node = Node::start().await;
    let stop = CancellationToken::new();
    let objects = (0..5).map(|number| object(CT, number, &[EXPLICIT]));
    let report = send_objects(&target(node.address), objects, &stop, |index, _| {
        if index == 1 {
            stop.cancel();
        }
    })
    .await;
    assert_eq!(node.stored().len(), 2);
    assert!(matches!(&report.outcomes[1..3], [SendOutcome::Answered(_), SendOutcome::NotSent]));
    assert!(report.error.is_none() && !report.all_accepted());
}
