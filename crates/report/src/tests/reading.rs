use dokuei_domain::Role;

use super::scene::{Scene, actor, reader};
use crate::{DeliverySelection, ReportError, ReportErrorKind, ReportFileKind};

#[tokio::test]
async fn a_facility_reads_its_own_reports_and_nothing_else_exists_for_it() {
    let scene = Scene::new().await;
    scene.add_target("PACS", 9).await;
    let signed = scene.reports.sign(&reader(), scene.request()).await.unwrap();
    let (own, other) = (actor("HOSP1-U", Role::Facility), actor("HOSP2-U", Role::Facility));

    let pdf = scene.reports.pdf(&own, signed.id).await.unwrap();
    assert!(pdf.bytes.starts_with(b"%PDF") && pdf.media_type == "application/pdf" && pdf.file_name.is_ascii());
    let signature = scene.reports.file(&own, signed.id, ReportFileKind::Signature).await.unwrap();
    assert_eq!(signature.media_type, "application/pkcs7-signature");
    let detail = scene.reports.version(&own, signed.id).await.unwrap();
    assert_eq!(detail.openings.iter().map(|opening| opening.kind.as_str()).collect::<Vec<_>>(), ["pdf", "signature"]);
    assert_eq!((detail.deliveries.len(), detail.version.number), (1, 1));
    assert_eq!(scene.reports.versions(&own, scene.case).await.unwrap().len(), 1);

    assert!(matches!(scene.reports.pdf(&other, signed.id).await, Err(ReportError::NotFound)));
    assert!(matches!(scene.reports.version(&other, signed.id).await, Err(ReportError::NotFound)));
    assert!(matches!(
        scene.reports.file(&other, signed.id, ReportFileKind::Manifest).await,
        Err(ReportError::NotFound)
    ));
    let versions = scene.reports.versions(&other, scene.case).await.unwrap_err();
    assert_eq!(versions.kind(), ReportErrorKind::Denied);
    let reads = scene.audit("report.read").await;
    assert_eq!(reads.len(), 3);
    assert!(reads.iter().all(|row| row.outcome == "refused" && row.actor == "account:HOSP2-U"), "{reads:?}");
    let openings = scene.reports.version(&own, signed.id).await.unwrap().openings;
    assert_eq!(openings.len(), 2, "a refusal opens nothing");
}

#[tokio::test]
async fn the_ledger_is_the_offices_and_each_facilitys_own() {
    let scene = Scene::new().await;
    scene.add_target("PACS", 9).await;
    scene.reports.sign(&reader(), scene.request()).await.unwrap();
    let all = DeliverySelection { limit: 10, ..DeliverySelection::default() };
    let of_hosp1 = DeliverySelection { facility: Some(super::scene::facility()), ..all.clone() };

    for (who, role, selection, expected) in [
        ("O1", Role::Office, &all, Some(1)),
        ("O1", Role::Office, &of_hosp1, Some(1)),
        ("HOSP1-U", Role::Facility, &all, Some(1)),
        ("HOSP2-U", Role::Facility, &all, Some(0)),
        ("HOSP2-U", Role::Facility, &of_hosp1, None),
        ("R1", Role::Reader, &all, None),
        ("A1", Role::Administrator, &all, None),
    ] {
        let rows = scene.reports.deliveries(&actor(who, role), selection).await;
        assert_eq!(rows.ok().map(|rows| rows.len()), expected, "{who}");
    }
    assert_eq!(scene.audit("delivery.list").await.len(), 3);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let scene = Scene::new().await;
    let nothing = dokuei_domain::ReportVersionId(scene.ambient.new_uuid());
    assert!(matches!(scene.reports.version(&reader(), nothing).await, Err(ReportError::NotFound)));
    assert!(matches!(scene.reports.verify(nothing).await, Err(ReportError::NotFound)));
    let office = actor("O1", Role::Office);
    let delivery = dokuei_domain::DeliveryId(scene.ambient.new_uuid());
    assert!(matches!(scene.reports.retry_delivery(&office, delivery).await, Err(ReportError::NotFound)));
    assert!(scene.reports.versions(&reader(), scene.case).await.unwrap().is_empty());
}
