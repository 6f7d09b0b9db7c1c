use dokuei_domain::{AccountId, Priority, workitem::Refusal};

use super::both;
use crate::{Basis, NewRequest, Reason, WorklistError};

fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

#[tokio::test]
async fn cases_go_around_by_load_and_the_reasons_are_kept() {
    both(|world| async move {
        let office = world.office().await;
        world.reader("R1", &["CT"], "").await;
        world.reader("R2", &["CT"], "").await;
        world.reader("R3", &["MR"], "").await;
        let mut readers = Vec::new();
        for n in 1..=4 {
            let (_, case) = world.open_case(n, "CT").await;
            readers.push(world.assigned(case).await.unwrap());
            world.pass_minutes(1);
        }
        assert_eq!(readers, ["R1", "R2", "R1", "R2"]);
        let entry = world.entries(&office).await.remove(0);
        assert_eq!(
            entry.reasons,
            [
                Reason::Chosen { reader: id("R1"), basis: Basis::First, open_cases: 0, candidates: 2 },
                Reason::LacksSkill { reader: id("R3"), modalities: vec!["CT".into()] },
            ]
        );
        assert_eq!(entry.assigned_at, Some(entry.opened_at));
    })
    .await;
}

#[tokio::test]
async fn off_duty_nobody_is_chosen_until_somebody_comes_on_duty() {
    both(|world| async move {
        // It is Sunday, nine in the morning in Japan.
        let reader = world.reader("R1", &["CT"], "Sun 10:00-12:00").await;
        let (study, case) = world.open_case(1, "CT").await;
        let request = NewRequest { priority: Priority::Emergency, ..NewRequest::default() };
        world.worklist.enter_request(&dokuei_domain::Actor::CommandLine, study, request).await.unwrap();
        world.settle_down().await;
        assert_eq!(world.assigned(case).await, None);
        let entry = world.entries(&reader).await.remove(0);
        assert_eq!(
            entry.reasons,
            [Reason::NobodyEligible, Reason::OffDuty { reader: id("R1") }],
            "visible all the same"
        );

        world.pass_minutes(59);
        world.settle_down().await;
        assert_eq!(world.assigned(case).await, None);
        let failed = |actions: Vec<String>| actions.into_iter().filter(|action| action == "case.assign failed").count();
        assert_eq!(failed(world.audited_actions().await), 1, "said once, not every minute");

        world.pass_minutes(1);
        world.settle_down().await;
        assert_eq!(world.assigned(case).await.as_deref(), Some("R1"));
    })
    .await;
}

#[tokio::test]
async fn hours_that_cannot_be_read_stop_one_reader_and_no_other() {
    both(|world| async move {
        world.reader("R1", &["CT"], "whenever").await;
        world.reader("R2", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        assert_eq!(world.assigned(case).await.as_deref(), Some("R2"));
    })
    .await;
}

#[tokio::test]
async fn the_office_hands_over_what_nobody_is_reading() {
    both(|world| async move {
        let office = world.office().await;
        let first = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let second = world.reader("R2", &["MR"], "Mon 08:00-09:00").await;

        let decision = world.worklist.assign(&office, case, Some(id("R2"))).await.unwrap();
        let chosen = Reason::ChosenBy { reader: id("R2"), by: "account:O1".into(), lacking: vec!["CT".into()] };
        assert_eq!(decision.reasons, std::slice::from_ref(&chosen));
        assert_eq!(world.entries(&second).await[0].reasons, [chosen]);
        assert_eq!(world.entries(&first).await, []);
        world.settle_down().await;
        assert_eq!(world.assigned(case).await.as_deref(), Some("R2"), "the node does not overrule the office");

        // Off duty and unskilled, but asked by name.
        world.worklist.claim(&second, case, "1.2.3").await.unwrap();
        let refused = world.worklist.assign(&office, case, Some(id("R1"))).await;
        assert!(matches!(&refused, Err(WorklistError::ClaimedByOther { by }) if *by == id("R2")), "{refused:?}");
        world.worklist.release(&second, case, "1.2.3", "").await.unwrap();
        let again = world.worklist.assign(&office, case, None).await.unwrap();
        assert_eq!(again.reader, Some(id("R1")));

        let nobody = world.worklist.assign(&office, case, Some(id("R9"))).await;
        assert!(matches!(nobody, Err(WorklistError::ReaderNotFound(_))), "{nobody:?}");
        let reader_asks = world.worklist.assign(&first, case, Some(id("R1"))).await;
        assert!(matches!(reader_asks, Err(WorklistError::Denied(_))), "{reader_asks:?}");
        let refused =
            world.audited_actions().await.into_iter().filter(|action| action == "case.assign refused").count();
        assert_eq!(refused, 3);
    })
    .await;
}

#[tokio::test]
async fn a_case_of_a_reader_who_left_finds_another() {
    both(|world| async move {
        let first = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        world.disable(&first).await;
        world.settle_down().await;
        assert_eq!(world.assigned(case).await, None, "nobody else is there");
        world.reader("R2", &["CT"], "").await;
        world.settle_down().await;
        assert_eq!(world.assigned(case).await.as_deref(), Some("R2"));
    })
    .await;
}

#[tokio::test]
async fn a_completed_case_is_not_assigned() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        let mut tx = world.database.write().await.unwrap();
        let account = reader.account().unwrap();
        assert!(tx.workitem_complete(case, account, "1.2.3", world.now()).await.unwrap().is_some());
        tx.commit().await.unwrap();

        let assigned = world.worklist.assign(&dokuei_domain::Actor::CommandLine, case, None).await;
        assert!(matches!(assigned, Err(WorklistError::Workitem(Refusal::MayNoLongerBeUpdated))), "{assigned:?}");
        let claimed = world.worklist.claim(&reader, case, "1.2.4").await;
        assert!(matches!(claimed, Err(WorklistError::Workitem(Refusal::MayNoLongerBeUpdated))), "{claimed:?}");
        world.worklist.assign_waiting(case).await.unwrap();
        world.settle_down().await;
        assert_eq!(world.open_workitem(case).await, None);
    })
    .await;
}
