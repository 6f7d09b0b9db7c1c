use dokuei_domain::{Actor, Role};

use super::{both, facility};
use crate::{CaseState, WorklistError, WorklistFilter, WorklistView};

#[tokio::test]
async fn a_facility_sees_its_own_cases_and_not_how_readers_are_chosen() {
    both(|world| async move {
        world.reader("R1", &["CT"], "").await;
        let user = world.account("U1", Role::Facility, Some(facility("HOSP1"))).await;
        let (_, own) = world.open_case(1, "CT").await;
        let foreign = world.receive("HOSP2", 1, "CT", true).await;
        world.settle("HOSP2", foreign).await;
        world.handle_events().await;

        let entries = world.entries(&user).await;
        assert_eq!(entries.iter().map(|entry| entry.case).collect::<Vec<_>>(), [own]);
        assert_eq!((entries[0].state, entries[0].reasons.len()), (CaseState::Assigned, 0));
        let detail = world.worklist.case(&user, own).await.unwrap();
        assert_eq!((detail.entry.reasons.len(), detail.workitems.len()), (0, 0));
        let filter = WorklistFilter { facility: Some(facility("HOSP2")), ..WorklistFilter::default() };
        let other = world.worklist.entries(&user, &filter).await;
        assert!(matches!(other, Err(WorklistError::Denied(_))), "{other:?}");

        let all = world.entries(&Actor::CommandLine).await;
        assert_eq!(all.len(), 2, "the same Study UID of two hospitals is two cases");
        let filter = WorklistFilter { facility: Some(facility("HOSP2")), ..WorklistFilter::default() };
        assert_eq!(world.worklist.entries(&Actor::CommandLine, &filter).await.unwrap().len(), 1);
        let filter = WorklistFilter { limit: Some(1), ..WorklistFilter::default() };
        assert_eq!(world.worklist.entries(&Actor::CommandLine, &filter).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_has_no_business_here_is_refused_and_audited() {
    both(|world| async move {
        let administrator = world.account("A1", Role::Administrator, None).await;
        let (_, case) = world.open_case(1, "CT").await;
        let listed = world.worklist.entries(&administrator, &WorklistFilter::default()).await;
        assert!(matches!(listed, Err(WorklistError::Denied(_))), "{listed:?}");
        let viewed = world.worklist.case(&administrator, case).await;
        assert!(matches!(viewed, Err(WorklistError::Denied(_))), "{viewed:?}");
        let actions = world.audited_actions().await;
        assert_eq!(actions[actions.len() - 2..], ["worklist.view refused", "case.view refused"]);
    })
    .await;
}

#[tokio::test]
async fn looking_at_a_case_is_audited_and_another_readers_claim_is_not_shown() {
    both(|world| async move {
        let holder = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let other = world.reader("R2", &["CT"], "").await;
        world.worklist.case(&other, case).await.unwrap();
        world.worklist.claim(&holder, case, "1.2.3").await.unwrap();

        let detail = world.worklist.case(&holder, case).await.unwrap();
        assert_eq!(detail.open_workitem().unwrap().performer.as_ref(), holder.account());
        assert!(detail.entry.claim_expires_at.is_some());
        let refused = world.worklist.case(&other, case).await;
        assert!(matches!(refused, Err(WorklistError::Denied(_))), "{refused:?}");
        let views: Vec<_> = world
            .audit()
            .await
            .into_iter()
            .rev()
            .filter(|row| row.action == "case.view")
            .map(|row| format!("{} {}", row.actor, row.outcome))
            .collect();
        assert_eq!(views, ["account:R2 success", "account:R1 success", "account:R2 refused"]);
    })
    .await;
}

#[tokio::test]
async fn a_readers_views_hold_open_work_and_nothing_unsigned_as_finished() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        world.open_case(1, "CT").await;
        let view = |view| WorklistFilter { view: Some(view), ..WorklistFilter::default() };
        let count = async |filter| world.worklist.entries(&reader, &filter).await.unwrap().len();
        assert_eq!(count(view(WorklistView::Open)).await, 1);
        assert_eq!(count(view(WorklistView::Finished)).await, 0);
        assert_eq!(count(view(WorklistView::All)).await, 1);
    })
    .await;
}
