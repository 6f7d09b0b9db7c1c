use std::net::IpAddr;

use dokuei_database::PeerRole;
use dokuei_domain::{AeTitle, FacilityId, Role};

use crate::{AccessError, FacilityEdit, PeerRefusal, PeerSpecification, ReturnTarget, SpecificationError};

use super::{CLI, Node, both, id, new_facility};

const CALLED: &str = "DOKUEI";

fn peer(text: &str, address: Option<&str>) -> PeerSpecification {
    PeerSpecification::parse(text, address).unwrap()
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

async fn admit(node: &Node, calling: &str, called: &str, address: &str) -> Result<(String, PeerRole), PeerRefusal> {
    let address: IpAddr = address.parse().unwrap();
    let admitted = node.access.admit_peer(&title(calling), &title(called), address, None).await?;
    assert_eq!(admitted.calling.as_str(), calling);
    Ok((admitted.facility.facility.to_string(), admitted.role))
}

#[tokio::test]
async fn a_peer_is_admitted_for_its_facility_with_its_role() {
    both(|node| async move {
        let mut hospital = new_facility("HOSP1", "1.2.392.1");
        hospital.aliases = vec!["HIS-1".to_owned()];
        hospital.peers = vec![peer("CT1", None), peer("ARCHIVE:prior", Some("10.0.0.5"))];
        node.access.facility_add(&CLI, hospital).await.unwrap();

        let admitted =
            node.access.admit_peer(&title("CT1"), &title(CALLED), "192.0.2.7".parse().unwrap(), None).await.unwrap();
        assert_eq!(
            (admitted.facility.issuer.as_str(), admitted.facility.aliases),
            ("1.2.392.1", vec!["HIS-1".to_owned()])
        );
        assert_eq!(admit(&node, "CT1", CALLED, "2001:db8::7").await, Ok(("HOSP1".to_owned(), PeerRole::Reading)));
        assert_eq!(admit(&node, "ARCHIVE", CALLED, "10.0.0.5").await, Ok(("HOSP1".to_owned(), PeerRole::Prior)));
        assert_eq!(admit(&node, "ARCHIVE", CALLED, "::ffff:10.0.0.5").await, Ok(("HOSP1".to_owned(), PeerRole::Prior)));

        assert_eq!(admit(&node, "ARCHIVE", CALLED, "10.0.0.6").await, Err(PeerRefusal::CallingNotRecognized));
        assert_eq!(admit(&node, "ct1", CALLED, "192.0.2.7").await, Err(PeerRefusal::CallingNotRecognized));
        assert_eq!(admit(&node, "NOBODY", CALLED, "192.0.2.7").await, Err(PeerRefusal::CallingNotRecognized));
        assert_eq!(admit(&node, "CT1", "OTHER", "192.0.2.7").await, Err(PeerRefusal::CalledNotRecognized));
    })
    .await;
}

#[tokio::test]
async fn one_title_can_be_two_facilities_by_address_and_the_address_wins() {
    both(|node| async move {
        for (name, issuer, entry) in [
            ("ANY", "1.2.1", peer("STORESCU:both", None)),
            ("ONE", "1.2.2", peer("STORESCU:reading", Some("10.0.0.1"))),
            ("TWO", "1.2.3", peer("STORESCU:prior", Some("10.0.0.2"))),
        ] {
            let mut facility = new_facility(name, issuer);
            facility.peers = vec![entry];
            node.access.facility_add(&CLI, facility).await.unwrap();
        }

        assert_eq!(admit(&node, "STORESCU", CALLED, "10.0.0.1").await, Ok(("ONE".to_owned(), PeerRole::Reading)));
        assert_eq!(admit(&node, "STORESCU", CALLED, "10.0.0.2").await, Ok(("TWO".to_owned(), PeerRole::Prior)));
        assert_eq!(admit(&node, "STORESCU", CALLED, "10.0.0.3").await, Ok(("ANY".to_owned(), PeerRole::Both)));
    })
    .await;
}

#[tokio::test]
async fn a_disabled_facility_is_not_recognised_until_it_is_enabled() {
    let node = Node::new().await;
    let mut hospital = new_facility("HOSP1", "1.2.392.1");
    hospital.peers = vec![peer("CT1", None)];
    let facility = hospital.id.clone();
    node.access.facility_add(&CLI, hospital).await.unwrap();

    node.access.facility_disable(&CLI, &facility).await.unwrap();
    assert_eq!(admit(&node, "CT1", CALLED, "192.0.2.7").await, Err(PeerRefusal::CallingNotRecognized));
    assert_eq!(node.last_audit().await, "facility.disable success HOSP1");
    node.access.facility_enable(&CLI, &facility).await.unwrap();
    assert!(admit(&node, "CT1", CALLED, "192.0.2.7").await.is_ok());

    let nobody = FacilityId::parse("H9").unwrap();
    assert!(matches!(node.access.facility_disable(&CLI, &nobody).await, Err(AccessError::UnknownFacility(_))));
}

#[tokio::test]
async fn a_database_that_is_gone_refuses_for_now() {
    let node = Node::new().await;
    node.db.close().await;
    assert_eq!(admit(&node, "CT1", CALLED, "192.0.2.7").await, Err(PeerRefusal::Unavailable));
}

#[tokio::test]
async fn what_two_facilities_cannot_share_is_refused_by_name() {
    both(|node| async move {
        let mut first = new_facility("H1", "1.2.1");
        first.peers = vec![peer("CT1", None)];
        node.access.facility_add(&CLI, first.clone()).await.unwrap();

        assert!(matches!(node.access.facility_add(&CLI, first).await, Err(AccessError::FacilityExists(_))));
        let issuer = node.access.facility_add(&CLI, new_facility("H2", "1.2.1")).await.unwrap_err();
        assert_eq!(issuer.to_string(), "the issuer belongs to facility H1 already; every facility needs its own");
        let mut second = new_facility("H2", "1.2.2");
        second.peers = vec![peer("CT2", None), peer("CT1:prior", None)];
        let taken = node.access.facility_add(&CLI, second).await.unwrap_err();
        assert_eq!(taken.to_string(), "calling AE title CT1 from any address belongs to facility H1 already");
        assert_eq!(node.access.facility_list(&CLI).await.unwrap().len(), 1, "nothing of it stays");

        let wrong = node.access.facility_add(&CLI, new_facility("H3", "HOSP")).await.unwrap_err();
        assert!(matches!(wrong, AccessError::Specification(SpecificationError::Issuer(_))), "{wrong}");
        let mut nameless = new_facility("H3", "1.2.3");
        nameless.name = String::new();
        assert!(matches!(node.access.facility_add(&CLI, nameless).await, Err(AccessError::Text { .. })));
    })
    .await;
}

#[tokio::test]
async fn an_edit_moves_a_title_from_one_facility_to_another() {
    both(|node| async move {
        let target = ReturnTarget::parse("dicom:PACS@127.0.0.1:11113").unwrap();
        let mut first = new_facility("H1", "1.2.1");
        first.peers = vec![peer("CT1", None)];
        first.return_targets = vec![target.clone()];
        first.aliases = vec!["OLD".to_owned()];
        let (one, two) = (first.id.clone(), FacilityId::parse("H2").unwrap());
        node.access.facility_add(&CLI, first).await.unwrap();
        node.access.facility_add(&CLI, new_facility("H2", "1.2.2")).await.unwrap();

        let leave = FacilityEdit {
            name: Some("第一病院".to_owned()),
            remove_peers: vec![peer("CT1", None)],
            remove_aliases: vec!["OLD".to_owned()],
            add_aliases: vec!["NEW".to_owned()],
            remove_return_targets: vec![target.clone()],
            ..FacilityEdit::default()
        };
        node.access.facility_edit(&CLI, &one, leave.clone()).await.unwrap();
        let arrive = FacilityEdit { add_peers: vec![peer("CT1:both", None)], ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &two, arrive).await.unwrap();

        assert_eq!(admit(&node, "CT1", CALLED, "192.0.2.7").await, Ok(("H2".to_owned(), PeerRole::Both)));
        let listed = node.access.facility_list(&CLI).await.unwrap();
        assert_eq!((listed[0].name.as_str(), &listed[0].aliases), ("第一病院", &vec!["NEW".to_owned()]));
        assert_eq!((listed[0].peers.len(), listed[0].return_targets.len(), listed[1].peers.len()), (0, 0, 1));
        assert!(matches!(node.access.facility_edit(&CLI, &one, leave).await, Err(AccessError::NothingToRemove(_))));

        // A target that comes back is the same one: the ledger keeps naming it.
        let back = FacilityEdit { add_return_targets: vec![target], ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &one, back).await.unwrap();
        assert_eq!(node.access.facility_list(&CLI).await.unwrap()[0].return_targets.len(), 1);
        // A role changes in one step.
        let role = FacilityEdit {
            remove_peers: vec![peer("CT1", None)],
            add_peers: vec![peer("CT1:prior", None)],
            ..FacilityEdit::default()
        };
        node.access.facility_edit(&CLI, &two, role).await.unwrap();
        assert_eq!(admit(&node, "CT1", CALLED, "192.0.2.7").await, Ok(("H2".to_owned(), PeerRole::Prior)));
    })
    .await;
}

#[tokio::test]
async fn a_facilitys_user_sees_its_own_and_a_reader_sees_none() {
    let node = Node::new().await;
    let own = node.facility("H1", "1.2.1").await;
    node.facility("H2", "1.2.2").await;
    let user = node.add("U1", Role::Facility, Some(own.clone())).await;
    let reader = node.reader("R1").await;
    let (user, reader) = (node.sign_in(&user).await.session.actor, node.sign_in(&reader).await.session.actor);

    let seen = node.access.facility_list(&user).await.unwrap();
    assert_eq!(seen.iter().map(|facility| &facility.id).collect::<Vec<_>>(), [&own]);
    assert!(matches!(node.access.facility_list(&reader).await, Err(AccessError::Denied(_))));
    assert!(matches!(node.access.facility_add(&user, new_facility("H3", "1.2.3")).await, Err(AccessError::Denied(_))));
    assert_eq!(node.access.facility_issuer(&own).await.unwrap().unwrap().issuer, "1.2.1");
    assert_eq!(
        node.access.account_list(&CLI).await.unwrap().iter().find(|account| account.id == id("U1")).unwrap().facility,
        Some(own)
    );
}
