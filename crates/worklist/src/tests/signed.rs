//! What the worklist says of cases that `report` has signed and returned.

use dokuei_database::{NewReportVersion, ReportTexts};
use dokuei_domain::{Actor, AeTitle, CaseId, DeliveryId, Priority, ReportVersionId, Role};

use super::{World, both, facility};
use crate::{CaseState, NewRequest, WorklistFilter, WorklistView};

const TEXTS: ReportTexts<'static> = ReportTexts { findings: "異常なし", impression: "", recommendation: "" };

/// Signs as `report` does: the workitem completes in the transaction that stores the version; each port gets a ledger row.
async fn sign(world: &World, reader: &Actor, case: CaseId, transaction_uid: &str, ports: &[u16]) -> Vec<DeliveryId> {
    sign_version(world, reader, case, transaction_uid, (1, 1), ports).await
}

async fn sign_version(
    world: &World,
    reader: &Actor,
    case: CaseId,
    transaction_uid: &str,
    (number, instance_count): (i64, i64),
    ports: &[u16],
) -> Vec<DeliveryId> {
    let author = reader.account().unwrap();
    let hospital = facility("HOSP1");
    let now = world.now();
    let mut tx = world.database.write().await.unwrap();
    let workitem = tx.workitem_complete(case, author, transaction_uid, now).await.unwrap().unwrap();
    let id = ReportVersionId(world.ambient.new_uuid());
    tx.report_version_insert(&NewReportVersion {
        id,
        case,
        facility: &hospital,
        number,
        workitem_uid: &workitem,
        author,
        texts: TEXTS,
        signed_at: now,
        manifest_sha256: [0; 32],
        certificate_serial: "1",
        instance_count,
    })
    .await
    .unwrap();
    let mut deliveries = Vec::new();
    for port in ports {
        let called = AeTitle::parse("PACS").unwrap();
        tx.return_target_add(world.ambient.new_uuid(), &hospital, &called, "127.0.0.1", *port, now).await.unwrap();
        let targets = tx.return_target_list(&hospital).await.unwrap();
        let target = targets.iter().find(|target| target.port == *port).unwrap().id;
        let delivery = DeliveryId(world.ambient.new_uuid());
        assert!(tx.delivery_insert(delivery, id, &hospital, target, now).await.unwrap());
        deliveries.push(delivery);
    }
    tx.commit().await.unwrap();
    deliveries
}

#[tokio::test]
async fn the_state_follows_the_report_to_the_hospital() {
    both(|world| async move {
        let office = world.office().await;
        let user = world.account("U1", Role::Facility, Some(facility("HOSP1"))).await;
        let reader = world.reader("R1", &["CT"], "").await;
        let (study, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        world.pass_minutes(10);
        let deliveries = sign(&world, &reader, case, "1.2.3", &[104, 105]).await;
        world.pass_minutes(60);
        world.settle_down().await;

        let urgent = NewRequest { priority: Priority::Emergency, ..NewRequest::default() };
        world.pass_minutes(60);
        world.worklist.enter_request(&user, study, urgent).await.unwrap();
        let entry = world.entries(&office).await.remove(0);
        assert_eq!(entry.priority, Priority::Routine, "a request after the signature does not make it late");
        assert_eq!(
            (entry.state, entry.waiting_seconds, entry.overdue),
            (CaseState::Signed, 600, false),
            "the clock stopped"
        );
        assert_eq!(entry.report.as_ref().map(|report| (report.number, report.deliveries)), Some((1, 2)));
        assert_eq!(world.entries(&reader).await, []);
        let finished = WorklistFilter { view: Some(WorklistView::Finished), ..WorklistFilter::default() };
        let own = world.worklist.entries(&reader, &finished).await.unwrap();
        assert_eq!(own.iter().map(|entry| entry.case).collect::<Vec<_>>(), [case]);

        let mut tx = world.database.write().await.unwrap();
        assert!(tx.delivery_accept(deliveries[0], world.now()).await.unwrap());
        assert!(tx.delivery_fail(deliveries[1], "refused").await.unwrap());
        tx.commit().await.unwrap();
        world.open_case(2, "CT").await;
        let states: Vec<_> = world.entries(&office).await.into_iter().map(|entry| entry.state).collect();
        assert_eq!(states, [CaseState::DeliveryFailed, CaseState::Assigned], "what needs somebody comes first");

        let mut tx = world.database.write().await.unwrap();
        assert!(tx.delivery_accept(deliveries[1], world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let states: Vec<_> = world.entries(&user).await.into_iter().map(|entry| entry.state).collect();
        assert_eq!(states, [CaseState::Assigned, CaseState::Returned]);

        world.pass_minutes(32 * 24 * 60);
        assert_eq!(world.entries(&office).await.len(), 1, "finished cases leave the list after a month");
    })
    .await;
}

#[tokio::test]
async fn images_after_the_signature_bring_the_case_back_to_a_reader() {
    both(|world| async move {
        let office = world.office().await;
        let reader = world.reader("R1", &["CT"], "").await;
        let (study, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        world.pass_minutes(1);
        sign(&world, &reader, case, "1.2.3", &[]).await;

        // The facility says 送信完了 again, with nothing new.
        world.worklist.study_settled(study).await.unwrap();
        world.settle_down().await;
        assert_eq!(world.entries(&office).await[0].images_added_after_signing_at, None);
        assert_eq!(world.open_workitem(case).await, None);

        world.pass_minutes(24 * 60);
        world.receive("HOSP1", 1, "CT", true).await;
        let late = world.now();
        world.pass_minutes(1);
        world.settle("HOSP1", study).await;
        world.handle_events().await;
        world.worklist.study_settled(study).await.unwrap();
        world.settle_down().await;

        let entry = world.entries(&office).await.remove(0);
        assert_eq!((entry.state, entry.images_added_after_signing_at), (CaseState::Assigned, Some(late)));
        assert_eq!((entry.added_instances, entry.waiting_seconds, entry.overdue), (Some(1), 60, false));
        assert_eq!(entry.report.map(|report| report.number), Some(1), "what was signed stays");
        let noted = || async {
            world.audited_actions().await.into_iter().filter(|action| action == "case.images_added success").count()
        };
        assert_eq!(noted().await, 1);

        // More of them while it waits: the same workitem says how many.
        let waiting = world.open_workitem(case).await.unwrap();
        world.receive("HOSP1", 1, "CT", true).await;
        world.settle("HOSP1", study).await;
        world.settle_down().await;
        let open = world.open_workitem(case).await.unwrap();
        assert_eq!((open.uid, open.added_instances), (waiting.uid, Some(2)));

        // Given back, it is still for these images.
        world.worklist.claim(&reader, case, "1.2.4").await.unwrap();
        world.worklist.release(&reader, case, "1.2.4", "").await.unwrap();
        world.settle_down().await;
        assert_eq!(world.open_workitem(case).await.unwrap().added_instances, Some(2));

        // A lost event is found as well.
        world.receive("HOSP1", 1, "CT", true).await;
        let mut tx = world.database.write().await.unwrap();
        tx.study_settle(study, world.now(), world.now()).await.unwrap();
        tx.commit().await.unwrap();
        world.settle_down().await;
        assert_eq!(world.open_workitem(case).await.unwrap().added_instances, Some(3));

        // The next version has seen them all.
        world.worklist.claim(&reader, case, "1.2.5").await.unwrap();
        world.pass_minutes(1);
        sign_version(&world, &reader, case, "1.2.5", (2, 4), &[]).await;
        world.worklist.study_settled(study).await.unwrap();
        world.settle_down().await;
        let entry = world.entries(&office).await.remove(0);
        assert_eq!((entry.state, entry.added_instances), (CaseState::Signed, None));
        assert_eq!(entry.images_added_after_signing_at, None);
        assert_eq!(world.open_workitem(case).await, None);
    })
    .await;
}

#[tokio::test]
async fn an_image_received_before_a_signature_and_filed_after_it_is_not_overlooked() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let (study, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        // Received now, it says; what is signed a minute later has one image all the same.
        world.receive("HOSP1", 1, "CT", true).await;
        let mut tx = world.database.write().await.unwrap();
        assert!(tx.study_settle(study, world.now(), world.now()).await.unwrap());
        tx.commit().await.unwrap();
        world.pass_minutes(1);
        sign(&world, &reader, case, "1.2.3", &[]).await;

        world.settle_down().await;

        let entry = world.entries(&reader).await.remove(0);
        assert_eq!((entry.case, entry.added_instances), (case, Some(1)));
        assert!(entry.images_added_after_signing_at.is_some());
        let noted = world.audited_actions().await.len();
        world.settle_down().await;
        assert_eq!(world.audited_actions().await.len(), noted, "noticed once");
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_case_keeps_its_report() {
    both(|world| async move {
        let office = world.office().await;
        let reader = world.reader("R1", &["CT"], "").await;
        let (study, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        sign(&world, &reader, case, "1.2.3", &[]).await;
        world.withdraw("HOSP1", study).await;
        world.handle_events().await;

        let entry = world.entries(&office).await.remove(0);
        assert_eq!((entry.state, entry.report.map(|report| report.number)), (CaseState::Withdrawn, Some(1)));
        let row = world.audit().await.into_iter().find(|row| row.action == "case.withdraw").unwrap();
        assert_eq!(row.detail, "no open workitem; 1 signed versions stay");
    })
    .await;
}

#[tokio::test]
async fn the_draft_survives_release_and_expiry() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        let mut tx = world.database.write().await.unwrap();
        tx.draft_save(case, 0, TEXTS, reader.account().unwrap(), world.now()).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let before = world.database.read().await.unwrap().draft_find(case).await.unwrap();

        world.worklist.release(&reader, case, "1.2.3", "").await.unwrap();
        world.worklist.claim(&reader, case, "1.2.4").await.unwrap();
        world.pass_minutes(31);
        world.settle_down().await;

        assert_eq!(world.database.read().await.unwrap().draft_find(case).await.unwrap(), before);
        assert!(world.entries(&reader).await[0].has_draft);
        assert_eq!(world.worklist.case(&Actor::CommandLine, case).await.unwrap().workitems.len(), 3);
    })
    .await;
}
