use dokuei_domain::{AeTitle, FacilityId};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

use crate::{
    AccessError, CertificateFingerprint, FacilityEdit, NewPeerCertificate, PeerRefusal, PeerSpecification,
    ReturnTarget, SpecificationError,
};

use super::{CLI, Node, both, new_facility};

const HERE: &str = "192.0.2.7";

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

fn pem(name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new(vec![format!("{name}.example.jp")]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_after = date_time_ymd(2090, 1, 1);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn certificate(name: &str, calling: Option<&str>) -> NewPeerCertificate {
    NewPeerCertificate::from_pem(pem(name, |_| {}).as_bytes(), calling.map(title)).unwrap()
}

/// A facility that calls by these titles, with these certificates.
async fn facility(node: &Node, name: &str, titles: &[&str], certificates: &[&NewPeerCertificate]) -> FacilityId {
    let mut new = new_facility(name, &format!("1.2.392.{}", name.len() * 100 + usize::from(name.as_bytes()[1])));
    new.peers = titles.iter().map(|title| PeerSpecification::parse(title, None).unwrap()).collect();
    let id = new.id.clone();
    node.access.facility_add(&CLI, new).await.unwrap();
    let certificates = certificates.iter().copied().cloned().collect();
    let edit = FacilityEdit { add_certificates: certificates, ..FacilityEdit::default() };
    node.access.facility_edit(&CLI, &id, edit).await.unwrap();
    id
}

async fn admit(
    node: &Node,
    calling: &str,
    certificate: Option<&NewPeerCertificate>,
) -> Result<FacilityId, PeerRefusal> {
    let fingerprint = certificate.map(|certificate| certificate.fingerprint);
    let here = HERE.parse().unwrap();
    let admitted = node.access.admit_peer(&title(calling), &title("DOKUEI"), here, fingerprint.as_ref()).await?;
    Ok(admitted.facility.facility)
}

#[tokio::test]
async fn the_certificate_decides_the_facility_and_the_title_must_be_one_of_its_own() {
    both(|node| async move {
        let (one, two, nobodys) = (certificate("h1", None), certificate("h2", None), certificate("x", None));
        let first = facility(&node, "H1", &["CT1", "MR1"], &[&one]).await;
        let second = facility(&node, "H2", &["CT2"], &[&two]).await;

        assert_eq!(admit(&node, "CT1", Some(&one)).await, Ok(first.clone()));
        assert_eq!(admit(&node, "MR1", Some(&one)).await, Ok(first.clone()));
        assert_eq!(admit(&node, "CT2", Some(&two)).await, Ok(second.clone()));

        let crossed = admit(&node, "CT2", Some(&one)).await.unwrap_err();
        assert_eq!(
            crossed,
            PeerRefusal::CertificateOfAnother { certificate_of: first.clone(), calling_of: Some(second) }
        );
        assert_eq!(
            crossed.to_string(),
            "certificate belongs to facility H1, and the calling AE title at this address to facility H2"
        );
        assert_eq!(crossed.facility(), Some(&first));
        let unknown = admit(&node, "CT9", Some(&one)).await.unwrap_err();
        assert_eq!(unknown, PeerRefusal::CertificateOfAnother { certificate_of: first.clone(), calling_of: None });
        assert_eq!(
            admit(&node, "CT1", Some(&nobodys)).await,
            Err(PeerRefusal::CertificateNotRegistered(nobodys.fingerprint))
        );

        node.access.facility_disable(&CLI, &first).await.unwrap();
        assert_eq!(admit(&node, "CT1", Some(&one)).await, Err(PeerRefusal::CertificateNotRegistered(one.fingerprint)));
    })
    .await;
}

#[tokio::test]
async fn a_facility_with_certificates_comes_without_one_only_when_that_is_allowed() {
    both(|node| async move {
        let one = certificate("h1", None);
        let id = facility(&node, "H1", &["CT1"], &[]).await;
        assert_eq!(admit(&node, "CT1", None).await, Ok(id.clone()), "none is registered yet");
        let edit = |change: fn(&mut FacilityEdit)| {
            let mut edit = FacilityEdit::default();
            change(&mut edit);
            edit
        };

        let add = FacilityEdit { add_certificates: vec![one.clone()], ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &id, add).await.unwrap();
        assert_eq!(admit(&node, "CT1", None).await, Err(PeerRefusal::CertificateMissing(id.clone())));

        node.access.facility_edit(&CLI, &id, edit(|edit| edit.allow_plain = Some(true))).await.unwrap();
        assert_eq!(admit(&node, "CT1", None).await, Ok(id.clone()));
        assert!(node.audit(1).await[0].detail.contains("may come without certificate"));
        assert!(node.access.facility_list(&CLI).await.unwrap()[0].plain_allowed);
        node.access.facility_edit(&CLI, &id, edit(|edit| edit.allow_plain = Some(false))).await.unwrap();
        assert_eq!(admit(&node, "CT1", None).await, Err(PeerRefusal::CertificateMissing(id.clone())));

        let remove = FacilityEdit { remove_certificates: vec![one.fingerprint], ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &id, remove.clone()).await.unwrap();
        assert_eq!(admit(&node, "CT1", None).await, Ok(id.clone()));
        assert_eq!(admit(&node, "CT1", Some(&one)).await, Err(PeerRefusal::CertificateNotRegistered(one.fingerprint)));
        let again = node.access.facility_edit(&CLI, &id, remove).await.unwrap_err();
        assert!(matches!(again, AccessError::NothingToRemove(_)), "{again}");
    })
    .await;
}

#[tokio::test]
async fn one_certificate_stands_for_one_facility_until_it_is_removed() {
    both(|node| async move {
        let (shared, renewed) = (certificate("h1", None), certificate("h1", Some("CT1")));
        let first = facility(&node, "H1", &["CT1", "MR1"], &[&shared]).await;
        let second = facility(&node, "H2", &["CT2"], &[]).await;
        let add = |certificate: &NewPeerCertificate| FacilityEdit {
            add_certificates: vec![certificate.clone()],
            ..FacilityEdit::default()
        };
        let taken = node.access.facility_edit(&CLI, &second, add(&shared)).await.unwrap_err();
        assert!(taken.to_string().ends_with("is registered for facility H1 already"), "{taken}");

        // A renewal: both hold until the old one goes, and the new one may be for one title.
        node.access.facility_edit(&CLI, &first, add(&renewed)).await.unwrap();
        let listed = node.access.facility_list(&CLI).await.unwrap().remove(0).certificates;
        assert_eq!(listed.iter().map(|row| (row.fingerprint, row.calling.clone())).collect::<Vec<_>>().len(), 2);
        assert!(listed.iter().all(|row| row.subject == "CN=h1"), "{listed:?}");
        assert_eq!(admit(&node, "CT1", Some(&shared)).await, Ok(first.clone()));
        assert_eq!(admit(&node, "CT1", Some(&renewed)).await, Ok(first.clone()));
        assert_eq!(
            admit(&node, "MR1", Some(&renewed)).await,
            Err(PeerRefusal::CertificateOfAnotherTitle { facility: first.clone(), calling: title("CT1") })
        );

        let remove = FacilityEdit { remove_certificates: vec![shared.fingerprint], ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &first, remove).await.unwrap();
        node.access.facility_edit(&CLI, &second, add(&shared)).await.unwrap();
        assert_eq!(admit(&node, "CT2", Some(&shared)).await, Ok(second));
    })
    .await;
}

#[tokio::test]
async fn a_return_target_is_reached_over_tls_when_it_says_so() {
    both(|node| async move {
        let id = facility(&node, "H1", &["CT1"], &[]).await;
        let texts = ["dicom-tls:PACS@pacs.example.jp:2762", "dicom:PACS@pacs.example.jp:104"];
        let targets = texts.iter().map(|text| ReturnTarget::parse(text).unwrap()).collect();
        let edit = FacilityEdit { add_return_targets: targets, ..FacilityEdit::default() };
        node.access.facility_edit(&CLI, &id, edit).await.unwrap();
        let listed = node.access.facility_list(&CLI).await.unwrap().remove(0).return_targets;
        let mut listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
        listed.sort();
        assert_eq!(listed, ["dicom-tls:PACS@pacs.example.jp:2762", "dicom:PACS@pacs.example.jp:104"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_certificate_of_equipment_is_not_registered() {
    let node = Node::new().await;
    let id = facility(&node, "H1", &["CT1"], &[]).await;
    let refused = |pem: &str| match NewPeerCertificate::from_pem(pem.as_bytes(), None).unwrap_err() {
        SpecificationError::Certificate(reason) => reason,
        other => panic!("{other}"),
    };
    assert!(refused("").contains("PEM"));
    assert!(refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("cannot be read"));
    let authority = pem("ca", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(refused(&authority).contains("authority"));

    let old = pem("old", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let old = NewPeerCertificate::from_pem(old.as_bytes(), None).unwrap();
    let edit = FacilityEdit { add_certificates: vec![old], ..FacilityEdit::default() };
    let expired = node.access.facility_edit(&CLI, &id, edit).await.unwrap_err();
    assert_eq!(expired.to_string(), "the certificate file has expired");
    // A chain file: the first is the equipment's.
    let own = pem("own", |_| {});
    let chain =
        NewPeerCertificate::from_pem(("Certificate:\n    Data:\n".to_owned() + &own + &authority).as_bytes(), None)
            .unwrap();
    assert_eq!(chain.fingerprint, NewPeerCertificate::from_pem(own.as_bytes(), None).unwrap().fingerprint);
    assert_eq!(CertificateFingerprint::parse(&chain.fingerprint.to_string()), Ok(chain.fingerprint));
}
