//! Peers that break the rules, one way each: the right word on the wire, a line in the log, a row in the audit trail, nothing half-stored, and another
//! association that is in the middle of an object does not notice.

use dokuei_dimse::Status;
use dokuei_testkit::data_set::{DataSetWriter, Encoding, Tag};

use crate::harness::{CT, Index, Object, Peer, SlowSender, TestNode, command, data, pdu, scu, send, synthetic, uid};

/// What a peer does, and the source and reason of the A-ABORT for it.
struct Fault {
    name: &'static str,
    bytes: Vec<u8>,
    abort: (u8, u8),
    /// In the audit row of the association's end.
    audited: &'static str,
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_aborted_with_the_reason() {
    let node = TestNode::start(Index::Sqlite).await;
    let witness = SlowSender::begin(&node, "HOSP1", 21).await;
    let image = synthetic(1, 22).remove(0);
    let bytes = Object::ct(&image).data_set;
    let begin = command(1, &image.sop_instance_uid);
    let in_the_middle = [&begin[..], &data(1, false, &bytes[..bytes.len() / 2])].concat();
    let faults = [
        Fault { name: "garbage", bytes: b"GET / HTTP/1.1\r\n\r\n".to_vec(), abort: (2, 1), audited: "does not exist" },
        Fault {
            name: "a second request",
            bytes: pdu(1, &[0; 100]),
            abort: (2, 2),
            audited: "not allowed in this state",
        },
        Fault {
            name: "a PDU of 4 GiB",
            bytes: vec![4, 0, 0xff, 0xff, 0xff, 0xff],
            abort: (2, 6),
            audited: "exceeds the limit",
        },
        Fault {
            name: "a fragment longer than its PDU",
            bytes: pdu(4, &[0, 0, 1, 0, 1, 3]),
            abort: (2, 6),
            audited: "malformed",
        },
        Fault {
            name: "a context that was not accepted",
            bytes: command(9, "1.2.3"),
            abort: (2, 6),
            audited: "context 9 was not accepted",
        },
        Fault {
            name: "a data set without command",
            bytes: data(1, true, b"xx"),
            abort: (2, 2),
            audited: "none is expected",
        },
        Fault {
            name: "the other context within an object",
            bytes: [&in_the_middle[..], &data(3, true, b"xx")].concat(),
            abort: (2, 5),
            audited: "inside a message of context 1",
        },
        Fault {
            name: "a command within an object",
            bytes: [&in_the_middle[..], &begin].concat(),
            abort: (2, 2),
            audited: "was not received whole and is not kept",
        },
        Fault {
            name: "garbage within an object",
            bytes: [&in_the_middle[..], &[0x99; 64]].concat(),
            abort: (2, 1),
            audited: "was not received whole and is not kept",
        },
    ];

    for Fault { name, bytes, abort, audited } in faults {
        let mut peer = Peer::associated(node.dicom()).await;
        peer.send(&bytes).await;
        assert_eq!(peer.aborted().await, abort, "{name}");
        let row = node.audited("association.end", "failed", audited).await;
        assert_eq!(row.facility.as_deref(), Some("HOSP1"), "{name}");
    }

    assert!(node.export_instance("HOSP1", &image.sop_instance_uid).await.is_none());
    node.audited("association.end", "failed", &image.sop_instance_uid).await;
    witness.finish_unharmed(&node, "HOSP1").await;
    node.nothing_half_stored().await;
    assert_eq!(node.indexed_objects().await, 1);
}

#[tokio::test]
async fn what_is_no_association_request_is_turned_away_at_the_door() {
    let node = TestNode::start(Index::Sqlite).await;
    let witness = SlowSender::begin(&node, "HOSP1", 31).await;
    for (bytes, abort) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), (2, 1)),
        (vec![0; 4096], (2, 1)),
        (pdu(5, &[0; 4]), (2, 2)),
        (pdu(1, b"short"), (2, 6)),
        (vec![1, 0, 0x7f, 0xff, 0xff, 0xff], (2, 6)),
    ] {
        let mut peer = Peer::connect(node.dicom()).await;
        peer.send(&bytes).await;
        assert_eq!(peer.aborted().await, abort, "{:?}", &bytes[..6]);
    }
    // Cut off in the middle of its request.
    let mut cut = Peer::connect(node.dicom()).await;
    cut.send(&[1, 0, 0, 0, 0, 200, 0, 1]).await;
    drop(cut);

    node.logged("connection failed before an association").await;
    witness.finish_unharmed(&node, "HOSP1").await;
}

/// An explicit little endian data set of a CT, without pixel data, with these UIDs.
fn header_of(study: Option<&str>, series: Option<&str>, instance: Option<&str>) -> Vec<u8> {
    let mut out = DataSetWriter::new(Encoding::ExplicitLittleEndian);
    out.text(Tag(0x0008, 0x0016), b"UI", CT);
    if let Some(uid) = instance {
        out.text(Tag(0x0008, 0x0018), b"UI", uid);
    }
    out.text(Tag(0x0008, 0x0060), b"CS", "CT").text(Tag(0x0010, 0x0010), b"PN", "Test^Patient").text(
        Tag(0x0010, 0x0020),
        b"LO",
        "P1",
    );
    if let Some(uid) = study {
        out.text(Tag(0x0020, 0x000D), b"UI", uid);
    }
    if let Some(uid) = series {
        out.text(Tag(0x0020, 0x000E), b"UI", uid);
    }
    out.into_bytes()
}

on_both_databases!(an_object_that_cannot_be_filed_is_refused_and_the_next_one_is_taken);

async fn an_object_that_cannot_be_filed_is_refused_and_the_next_one_is_taken(index: Index) {
    let mut node = TestNode::init(index).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.set("dicom.max_object_bytes", 1 << 20).serve().await;
    let (study, series, instance, other) = (uid(1), uid(2), uid(3), uid(4));
    let (study, series, instance) = (Some(study.as_str()), Some(series.as_str()), Some(instance.as_str()));
    let mut another_class = header_of(study, series, instance);
    let at = another_class.windows(CT.len()).position(|window| window == CT.as_bytes()).unwrap();
    // MR instead of CT, of the same length with its padding.
    another_class[at..at + CT.len()].copy_from_slice(b"1.2.840.10008.5.1.4.1.1.4");
    let mut large = synthetic(1, 5).remove(0);
    large.size = 1024;
    large.sop_instance_uid = instance.unwrap().to_owned();

    let refusals = [
        ("no Study Instance UID", header_of(None, series, instance), 0xC001),
        ("an empty Series Instance UID", header_of(study, Some(""), instance), 0xC001),
        ("no SOP Instance UID", header_of(study, series, None), 0xC001),
        ("a Study Instance UID of letters", header_of(Some("1.2.abc"), series, instance), 0xC001),
        ("a Series Instance UID of 70 characters", header_of(study, Some(&"1".repeat(70)), instance), 0xC001),
        ("another SOP Instance UID than the command's", header_of(study, series, Some(&other)), 0xC002),
        ("another SOP class than the command's", another_class, 0xA900),
        ("no data set at all", b"this is no data set, whatever else it is".to_vec(), 0xC000),
        ("a data set cut off within an element", header_of(study, series, instance)[..60].to_vec(), 0xC000),
        ("nothing", Vec::new(), 0xC001),
        ("an object of 2 MiB", Object::ct(&large).data_set, 0xC003),
    ];
    let mut association = scu(&node, "HOSP1").await;
    let mut wrong = Vec::new();
    for (name, data_set, expected) in refusals {
        let object = Object { data_set, sop_instance: instance.unwrap().to_owned(), ..Object::ct(&large) };
        let status = send(&mut association, &object).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        if status != Status(expected) && !(expected == 0xC001 && status == Status(0xC000)) {
            wrong.push(format!("{name}: {status}"));
        }
        let row = node.audited("instance.receive", "refused", instance.unwrap()).await;
        assert_eq!(row.facility.as_deref(), Some("HOSP1"), "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let rows = node.audit().await.into_iter().filter(|row| row.action == "instance.receive").count();
    assert_eq!(rows, 11, "one audit row for each refusal");

    // The association goes on.
    let good = Object::ct(&synthetic(1, 6).remove(0));
    assert_eq!(send(&mut association, &good).await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
    assert!(node.export_instance("HOSP1", &good.sop_instance).await.as_ref() == Some(&good.data_set));
    assert_eq!(node.indexed_objects().await, 1);
    node.nothing_half_stored().await;
    node.stop().await;
}

#[tokio::test]
async fn a_sender_that_gives_up_in_the_middle_leaves_nothing() {
    let node = TestNode::start(Index::Sqlite).await;
    let witness = SlowSender::begin(&node, "HOSP1", 41).await;
    let images = synthetic(2, 42);
    let half = |number: usize| {
        let bytes = Object::ct(&images[number]).data_set;
        [command(1, &images[number].sop_instance_uid), data(1, false, &bytes[..bytes.len() / 2])].concat()
    };

    let mut aborting = Peer::associated(node.dicom()).await;
    aborting.send(&half(0)).await;
    aborting.send(&pdu(7, &[0, 0, 0, 0])).await;
    aborting.closed().await;
    node.audited("association.end", "failed", "peer aborted").await;
    node.audited("association.end", "failed", &images[0].sop_instance_uid).await;

    let mut vanishing = Peer::associated(node.dicom()).await;
    vanishing.send(&half(1)).await;
    // And half a PDU.
    vanishing.send(&data(1, true, &[0; 1000])[..500]).await;
    drop(vanishing);
    node.audited("association.end", "failed", &images[1].sop_instance_uid).await;

    witness.finish_unharmed(&node, "HOSP1").await;
    node.nothing_half_stored().await;
    assert_eq!(node.indexed_objects().await, 1);
}

#[tokio::test]
async fn a_silent_sender_is_given_up() {
    let mut node = TestNode::init(Index::Sqlite).await;
    node.add_facility("HOSP1", &["HOSP1"]).await;
    node.set("dicom.artim_seconds", 1).set("dicom.dimse_timeout_seconds", 1).set("dicom.idle_timeout_seconds", 2);
    node.serve().await;
    let image = synthetic(1, 51).remove(0);

    // Connects and says nothing: closed without a word (PS3.8 9.2.3, AA-2).
    let mut mute = Peer::connect(node.dicom()).await;
    // Associates and then sends nothing.
    let mut idle = Peer::associated(node.dicom()).await;
    // Stops in the middle of an object.
    let mut stuck = Peer::associated(node.dicom()).await;
    stuck.send(&command(1, &image.sop_instance_uid)).await;
    stuck.send(&data(1, false, &Object::ct(&image).data_set[..300])).await;

    mute.closed().await;
    assert_eq!(stuck.aborted().await, (0, 0));
    assert_eq!(idle.aborted().await, (0, 0));
    node.audited("association.end", "failed", "timed out waiting for the next message").await;
    let row = node.audited("association.end", "failed", "timed out waiting for the rest of a message").await;
    assert!(row.detail.contains(&image.sop_instance_uid), "{row:?}");
    node.nothing_half_stored().await;
    assert_eq!(node.indexed_objects().await, 0);
    node.stop().await;
}
