use dokuei_domain::{Actor, Priority, Role, StudyPk, workitem::WorkitemState};

use super::{World, both, facility};
use crate::{CaseState, NewRequest, WorklistError};

fn request(priority: Priority) -> NewRequest {
    NewRequest {
        clinical_question: " 肺炎の疑い ".into(),
        callback_number: "088-000-0000".into(),
        requesting_physician: "田中".into(),
        priority,
    }
}

async fn hospital_user(world: &World, hospital: &str) -> Actor {
    world.account(&format!("U-{hospital}"), Role::Facility, Some(facility(hospital))).await
}

#[tokio::test]
async fn a_settled_study_opens_one_case_that_is_assigned_at_once() {
    both(|world| async move {
        world.reader("R1", &["CT"], "").await;
        let study = world.receive("HOSP1", 1, "CT", true).await;
        world.receive("HOSP1", 1, "CT", true).await;
        let opened_at = world.now();

        world.settle("HOSP1", study).await;
        world.handle_events().await;

        let entries = world.entries(&Actor::CommandLine).await;
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        assert_eq!((entry.state, entry.priority, entry.opened_at), (CaseState::Assigned, Priority::Routine, opened_at));
        assert_eq!(entry.due_at, opened_at.plus_seconds(24 * 3600));
        assert_eq!((entry.received, entry.expected, entry.has_request, entry.overdue), (2, None, false, false));
        assert_eq!((entry.modalities.as_slice(), entry.body_part.as_str()), (["CT".to_owned()].as_slice(), "CHEST"));
        assert_eq!(entry.assigned.as_ref().unwrap().name, "利用者R1");
        let workitem = world.open_workitem(entry.case).await.unwrap();
        assert_eq!((workitem.state, workitem.replaces), (WorkitemState::Scheduled, None));
        assert!(workitem.uid.starts_with("2.25."));
        assert_eq!(world.audited_actions().await, ["case.open success", "case.assign success"]);

        // The event again, and everything the reconcilers know of.
        world.clock.advance(std::time::Duration::from_secs(1));
        let again = world.worklist.study_settled(study).await;
        assert!(again.is_ok());
        world.settle_down().await;
        assert_eq!(world.audited_actions().await.len(), 2, "nothing more happened");
        assert_eq!(world.open_workitem(entry.case).await.unwrap().uid, workitem.uid);
    })
    .await;
}

#[tokio::test]
async fn priors_and_withdrawn_studies_open_nothing_and_an_unknown_study_is_an_error() {
    both(|world| async move {
        let prior = world.receive("HOSP1", 1, "CT", false).await;
        world.settle("HOSP1", prior).await;
        let withdrawn = world.receive("HOSP1", 2, "CT", true).await;
        world.settle("HOSP1", withdrawn).await;
        world.withdraw("HOSP1", withdrawn).await;

        world.settle_down().await;

        assert_eq!(world.entries(&Actor::CommandLine).await, []);
        assert_eq!(world.audited_actions().await, [] as [&str; 0]);
        let unknown = StudyPk(world.ambient.new_uuid());
        assert!(matches!(world.worklist.study_settled(unknown).await, Err(WorklistError::StudyNotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn a_lost_event_is_found_by_the_reconciler() {
    both(|world| async move {
        let study = world.receive("HOSP1", 1, "CT", true).await;
        let mut tx = world.database.write().await.unwrap();
        tx.study_settle(study, world.now(), world.now()).await.unwrap();
        tx.commit().await.unwrap();

        world.settle_down().await;
        assert_eq!(world.entries(&Actor::CommandLine).await.len(), 1);

        let mut tx = world.database.write().await.unwrap();
        tx.study_withdraw(study, "患者違い", world.now()).await.unwrap();
        tx.commit().await.unwrap();
        world.settle_down().await;
        assert_eq!(world.entries(&Actor::CommandLine).await[0].state, CaseState::Withdrawn);
    })
    .await;
}

#[tokio::test]
async fn events_of_the_same_moment_open_one_case() {
    both(|world| async move {
        let study = world.receive("HOSP1", 1, "CT", true).await;
        world.settle("HOSP1", study).await;
        let mut handlers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let worklist = world.worklist.clone();
            handlers.spawn(async move { worklist.study_settled(study).await.unwrap() });
        }
        handlers.join_all().await;
        world.settle_down().await;
        assert_eq!(world.entries(&Actor::CommandLine).await.len(), 1);
        let opened = world.audited_actions().await.into_iter().filter(|action| action == "case.open success").count();
        assert_eq!(opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_before_the_case_sets_its_urgency_and_one_after_it_changes_it() {
    both(|world| async move {
        let user = hospital_user(&world, "HOSP1").await;
        let study = world.receive("HOSP1", 1, "CT", true).await;
        let entered = world.worklist.enter_request(&user, study, request(Priority::Urgent)).await.unwrap();
        assert_eq!((entered.case, entered.due_at), (None, None));
        world.settle("HOSP1", study).await;
        world.handle_events().await;
        let opened_at = world.now();
        let entry = world.entries(&user).await.remove(0);
        assert_eq!((entry.priority, entry.due_at), (Priority::Urgent, opened_at.plus_seconds(4 * 3600)));
        assert!(entry.has_request);

        world.pass_minutes(30);
        let entered = world.worklist.enter_request(&user, study, request(Priority::Emergency)).await.unwrap();
        assert_eq!(entered.case, Some(entry.case));
        assert_eq!(entered.due_at, Some(opened_at.plus_seconds(3600)), "counted from the opening");
        let head = world.head(entry.case).await;
        assert_eq!((head.priority, head.due_at), (Priority::Emergency, opened_at.plus_seconds(3600)));

        // The same urgency again changes the texts only.
        world.pass_minutes(40);
        world.worklist.enter_request(&user, study, request(Priority::Emergency)).await.unwrap();
        assert_eq!(
            world.audited_actions().await,
            [
                "request.enter success",
                "case.open success",
                "case.assign failed",
                "request.enter success",
                "case.priority success",
                "request.enter success"
            ]
        );
        let detail = world.worklist.case(&user, entry.case).await.unwrap();
        assert_eq!(detail.requests.len(), 3);
        assert_eq!(detail.request().unwrap().clinical_question, "肺炎の疑い");
        assert!(detail.entry.overdue, "an hour and ten minutes after opening");
        assert_eq!(detail.entry.waiting_seconds, 70 * 60);
        let latest = world.worklist.latest_request(&user, study).await.unwrap().unwrap();
        assert_eq!(latest.entered_by, "account:U-HOSP1");
    })
    .await;
}

#[tokio::test]
async fn a_request_for_another_facilitys_study_is_refused_and_audited() {
    both(|world| async move {
        let stranger = hospital_user(&world, "HOSP2").await;
        let (study, case) = world.open_case(1, "CT").await;
        let entered = world.worklist.enter_request(&stranger, study, request(Priority::Emergency)).await;
        assert!(matches!(entered, Err(WorklistError::Denied(_))), "{entered:?}");
        assert!(matches!(world.worklist.case(&stranger, case).await, Err(WorklistError::Denied(_))));
        assert!(matches!(world.worklist.latest_request(&stranger, study).await, Err(WorklistError::Denied(_))));
        assert_eq!(world.entries(&stranger).await, []);

        assert_eq!(world.head(case).await.priority, Priority::Routine);
        let rows = world.audit().await;
        assert_eq!((rows[2].action.as_str(), rows[2].outcome.as_str()), ("request.enter", "refused"));
        assert_eq!((rows[2].actor.as_str(), rows[2].facility.as_deref()), ("account:U-HOSP2", Some("HOSP1")));
        assert_eq!(rows[2].subject, study.to_string());
        assert_eq!((rows[1].action.as_str(), rows[1].outcome.as_str()), ("case.view", "refused"));
    })
    .await;
}

#[tokio::test]
async fn a_request_is_bounded_and_a_withdrawn_study_takes_none() {
    both(|world| async move {
        let user = hospital_user(&world, "HOSP1").await;
        let (study, _) = world.open_case(1, "CT").await;
        let long = NewRequest { clinical_question: "肺".repeat(4_001), ..NewRequest::default() };
        let entered = world.worklist.enter_request(&user, study, long).await;
        assert!(matches!(entered, Err(WorklistError::TooLong { limit: 4_000, .. })), "{entered:?}");

        world.withdraw("HOSP1", study).await;
        let entered = world.worklist.enter_request(&user, study, request(Priority::Routine)).await;
        assert!(matches!(entered, Err(WorklistError::Withdrawn)), "{entered:?}");
        let unknown = StudyPk(world.ambient.new_uuid());
        let entered = world.worklist.enter_request(&user, unknown, request(Priority::Routine)).await;
        assert!(matches!(entered, Err(WorklistError::StudyNotFound(_))), "{entered:?}");
        let refused =
            world.audited_actions().await.into_iter().filter(|action| action == "request.enter refused").count();
        assert_eq!(refused, 3);
    })
    .await;
}

#[tokio::test]
async fn withdrawing_a_study_takes_the_case_out_of_the_readers_hands() {
    both(|world| async move {
        let office = world.office().await;
        let user = hospital_user(&world, "HOSP1").await;
        let reader = world.reader("R1", &["CT"], "").await;
        let (study, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();

        world.withdraw("HOSP1", study).await;
        world.handle_events().await;

        assert!(matches!(world.worklist.keep_claim(&reader, case, "1.2.3").await, Err(WorklistError::Withdrawn)));
        assert!(matches!(world.worklist.claim(&reader, case, "1.2.4").await, Err(WorklistError::Withdrawn)));
        assert!(matches!(world.worklist.case(&reader, case).await, Err(WorklistError::Withdrawn)));
        assert!(matches!(world.worklist.case(&user, case).await, Err(WorklistError::Withdrawn)));
        assert_eq!((world.everything(&reader).await, world.everything(&user).await), (vec![], vec![]));
        assert_eq!(world.open_workitem(case).await, None);

        let entry = world.entries(&office).await.remove(0);
        assert_eq!((entry.state, entry.withdrawn_at), (CaseState::Withdrawn, Some(world.now())));
        let detail = world.worklist.case(&office, case).await.unwrap();
        assert_eq!(detail.workitems[0].state, WorkitemState::Canceled);
        assert_eq!(detail.workitems[0].discontinuation_code.as_deref(), Some("110514"));
        assert_eq!(detail.workitems[0].performer.as_ref(), reader.account(), "who had it stays known");
        assert!(world.audited_actions().await.contains(&"case.withdraw success".to_owned()));

        world.pass_minutes(60);
        world.settle_down().await;
        assert_eq!(world.open_workitem(case).await, None, "no reconciler brings it back");
    })
    .await;
}
