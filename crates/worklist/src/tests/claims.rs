use std::sync::Arc;

use dokuei_domain::{
    Actor,
    workitem::{Refusal, WorkitemState},
};
use tokio::sync::Barrier;

use super::both;
use crate::{CaseState, WorklistError};

#[tokio::test]
async fn of_64_concurrent_claims_exactly_one_wins() {
    both(|world| async move {
        let (_, case) = world.open_case(1, "CT").await;
        let readers = [world.reader("R1", &["CT"], "").await, world.reader("R2", &["CT"], "").await];
        let before = world.audited_actions().await.len();
        let start = Arc::new(Barrier::new(64));
        let mut claims = tokio::task::JoinSet::new();
        for n in 0..64 {
            let (worklist, start, reader) = (world.worklist.clone(), start.clone(), readers[n % 2].clone());
            claims.spawn(async move {
                start.wait().await;
                let uid = format!("1.2.777.{n}");
                let claimed = worklist.claim(&reader, case, &uid).await;
                (reader, uid, claimed)
            });
        }
        let mut winners = Vec::new();
        for (reader, uid, claimed) in claims.join_all().await {
            match claimed {
                Ok(claim) => winners.push((reader, uid, claim)),
                Err(error) => assert_eq!(error.workitem_status(), Some(0xC302), "{error:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let (reader, uid, claim) = winners.remove(0);
        assert!(!claim.repeated);

        // The winner's response may have been lost: the same request again gives the same answer.
        let again = world.worklist.claim(&reader, case, &uid).await.unwrap();
        assert!(again.repeated);
        assert_eq!((again.workitem, again.expires_at), (claim.workitem, claim.expires_at));
        let other = readers.iter().find(|other| **other != reader).unwrap();
        let stolen = world.worklist.claim(other, case, &uid).await;
        assert!(
            matches!(&stolen, Err(WorklistError::ClaimedByOther { by }) if Some(by) == reader.account()),
            "{stolen:?}"
        );

        let actions = world.audited_actions().await.split_off(before);
        assert_eq!(actions.iter().filter(|action| *action == "case.claim success").count(), 1);
        assert_eq!(actions.iter().filter(|action| *action == "case.claim refused").count(), 64);
        assert!(!format!("{:?}", world.audit().await).contains("1.2.777"), "no Transaction UID in the audit trail");
        assert_eq!(
            world.database.read().await.unwrap().audit_verify().await.unwrap(),
            Ok(actions.len() as i64 + before as i64)
        );
    })
    .await;
}

#[tokio::test]
async fn an_assigned_case_is_its_readers_until_the_pickup_time_has_passed() {
    both(|world| async move {
        let first = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let second = world.reader("R2", &["CT"], "").await;
        let unskilled = world.reader("R3", &["MR"], "").await;
        assert_eq!(world.assigned(case).await.as_deref(), Some("R1"));
        assert_eq!(world.entries(&second).await, []);

        let free_at = world.now().plus_seconds(30 * 60);
        let early = world.worklist.claim(&second, case, "1.2.3").await;
        assert!(
            matches!(&early, Err(WorklistError::AssignedToOther { reader, free_at: at }) if Some(reader) == first.account() && *at == free_at),
            "{early:?}"
        );

        world.pass_minutes(30);
        let lacking = world.worklist.claim(&unskilled, case, "1.2.4").await;
        assert!(matches!(&lacking, Err(WorklistError::LacksSkill(missing)) if missing == &["CT"]), "{lacking:?}");
        assert_eq!(world.entries(&unskilled).await, []);
        assert_eq!(world.entries(&second).await.len(), 1);
        world.worklist.claim(&second, case, "1.2.3").await.unwrap();
        assert_eq!(world.entries(&first).await, [], "never another reader's claim");
        let entry = world.entries(&second).await.remove(0);
        assert_eq!((entry.state, entry.performer.unwrap().name.as_str()), (CaseState::Reading, "利用者R2"));
    })
    .await;
}

#[tokio::test]
async fn only_readers_claim_and_refusals_are_audited() {
    both(|world| async move {
        let office = world.office().await;
        let reader = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        assert!(matches!(world.worklist.claim(&office, case, "1.2.3").await, Err(WorklistError::Denied(_))));
        assert!(matches!(
            world.worklist.claim(&Actor::CommandLine, case, "1.2.3").await,
            Err(WorklistError::OnlyReaders)
        ));
        for bad in ["", "not a UID", "1..2"] {
            let claimed = world.worklist.claim(&reader, case, bad).await;
            assert!(matches!(&claimed, Err(error) if error.workitem_status() == Some(0xC301)), "{claimed:?}");
        }
        let unknown = dokuei_domain::CaseId(world.ambient.new_uuid());
        assert!(matches!(world.worklist.claim(&reader, unknown, "1.2.3").await, Err(WorklistError::CaseNotFound(_))));
        world.disable(&reader).await;
        assert!(matches!(world.worklist.claim(&reader, case, "1.2.3").await, Err(WorklistError::ReaderNotFound(_))));
        let actions = world.audited_actions().await;
        assert_eq!(actions.iter().filter(|action| *action == "case.claim refused").count(), 7);
        assert_eq!(world.open_workitem(case).await.unwrap().state, WorkitemState::Scheduled);
    })
    .await;
}

#[tokio::test]
async fn a_released_case_gets_a_new_workitem_and_another_reader() {
    both(|world| async move {
        let first = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let claim = world.worklist.claim(&first, case, "1.2.3").await.unwrap();
        world.reader("R2", &["CT"], "").await;

        for wrong in ["1.2.4", "1.2"] {
            let released = world.worklist.release(&first, case, wrong, "").await;
            assert!(matches!(released, Err(WorklistError::Workitem(Refusal::WrongTransactionUid))), "{released:?}");
        }
        let long = world.worklist.release(&first, case, "1.2.3", &"長".repeat(401)).await;
        assert!(matches!(long, Err(WorklistError::TooLong { .. })), "{long:?}");
        world.worklist.release(&first, case, "1.2.3", "専門外").await.unwrap();
        let released = world.worklist.release(&first, case, "1.2.3", "").await;
        assert!(matches!(released, Err(WorklistError::Workitem(Refusal::NotInProgress))), "{released:?}");
        world.handle_events().await;

        let open = world.open_workitem(case).await.unwrap();
        assert_eq!((open.replaces.as_ref(), open.state), (Some(&claim.workitem), WorkitemState::Scheduled));
        assert_eq!(open.assigned_reader.unwrap().as_str(), "R2", "not the one who gave it back");
        let office = world.office().await;
        let history = world.worklist.case(&office, case).await.unwrap().workitems;
        assert_eq!(history.len(), 2);
        assert_eq!(history[1].discontinuation_code.as_deref(), Some("110513"));
        assert_eq!(history[1].discontinuation_reason.as_deref(), Some("専門外"));
        assert!(world.audited_actions().await.contains(&"case.release success".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_kept_lives_and_one_that_is_not_expires() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let claim = world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        assert_eq!(claim.expires_at, world.now().plus_seconds(30 * 60));

        world.pass_minutes(20);
        let kept = world.worklist.keep_claim(&reader, case, "1.2.3").await.unwrap();
        assert_eq!(kept, world.now().plus_seconds(30 * 60));
        world.pass_minutes(20);
        world.settle_down().await;
        assert_eq!(world.open_workitem(case).await.unwrap().uid, claim.workitem, "kept");

        world.pass_minutes(10);
        world.settle_down().await;
        let open = world.open_workitem(case).await.unwrap();
        assert_eq!((open.state, open.replaces.as_ref()), (WorkitemState::Scheduled, Some(&claim.workitem)));
        assert_eq!(open.assigned_reader.as_ref(), reader.account(), "again, being the only one");
        let late = world.worklist.keep_claim(&reader, case, "1.2.3").await;
        assert!(matches!(late, Err(WorklistError::Workitem(Refusal::NotInProgress))), "{late:?}");
        let office = world.office().await;
        let history = world.worklist.case(&office, case).await.unwrap().workitems;
        assert_eq!(history[1].discontinuation_code.as_deref(), Some("110533"));
        let actions = world.audited_actions().await;
        assert!(
            actions.contains(&"case.claim_expired success".to_owned())
                && !actions.contains(&"case.keep_claim success".to_owned())
        );

        // The old Transaction UID opens the replacement like any other.
        let again = world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        assert_eq!((again.repeated, again.workitem), (false, open.uid));
    })
    .await;
}

#[tokio::test]
async fn a_reader_takes_over_from_a_closed_page_but_not_from_a_colleague() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let (_, case) = world.open_case(1, "CT").await;
        let other = world.reader("R2", &["CT"], "").await;
        let free = world.worklist.take_over(&reader, case, "1.2.4").await;
        assert!(matches!(free, Err(WorklistError::Workitem(Refusal::NotInProgress))), "{free:?}");
        let first = world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
        let elsewhere = world.worklist.claim(&reader, case, "1.2.4").await;
        assert!(matches!(elsewhere, Err(WorklistError::Workitem(Refusal::AlreadyInProgress))), "{elsewhere:?}");

        let second = world.worklist.take_over(&reader, case, "1.2.4").await.unwrap();
        assert_ne!(first.workitem, second.workitem);
        assert!(world.worklist.take_over(&reader, case, "1.2.4").await.unwrap().repeated);
        let stolen = world.worklist.take_over(&other, case, "1.2.5").await;
        assert!(matches!(stolen, Err(WorklistError::ClaimedByOther { .. })), "{stolen:?}");
        let old_page = world.worklist.keep_claim(&reader, case, "1.2.3").await;
        assert!(matches!(old_page, Err(WorklistError::Workitem(Refusal::WrongTransactionUid))), "{old_page:?}");
        world.worklist.keep_claim(&reader, case, "1.2.4").await.unwrap();
        let foreign = world.worklist.keep_claim(&other, case, "1.2.4").await;
        assert!(matches!(foreign, Err(WorklistError::ClaimedByOther { .. })), "{foreign:?}");
        world.handle_events().await;
        assert_eq!(world.open_workitem(case).await.unwrap().performer.as_ref(), reader.account());
    })
    .await;
}

#[tokio::test]
async fn claims_expiries_and_withdrawal_of_the_same_moment_leave_one_truth() {
    both(|world| async move {
        let reader = world.reader("R1", &["CT"], "").await;
        let office = world.office().await;
        // Several times, since the database decides who comes first.
        for n in 1..=8 {
            let (study, case) = world.open_case(n, "CT").await;
            world.worklist.claim(&reader, case, "1.2.3").await.unwrap();
            world.pass_minutes(31);
            world.withdraw("HOSP1", study).await;
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..4 {
                let (worklist, reader) = (world.worklist.clone(), reader.clone());
                let (expiring, withdrawing) = (worklist.clone(), worklist.clone());
                tasks.spawn(async move { expiring.expire_claims().await.map(drop) });
                tasks.spawn(async move { withdrawing.study_withdrawn(study).await });
                tasks.spawn(async move { worklist.release(&reader, case, "1.2.3", "").await.or(Ok(())) });
            }
            for done in tasks.join_all().await {
                done.unwrap();
            }
            world.handle_events().await;
            assert_eq!(world.open_workitem(case).await, None, "round {n}");
            assert!(world.head(case).await.withdrawn_at.is_some());
            let chain = world.worklist.case(&office, case).await.unwrap().workitems;
            assert!(chain.iter().all(|workitem| workitem.state == WorkitemState::Canceled) && chain.len() <= 2);
        }
        let actions = world.audited_actions().await;
        assert_eq!(actions.iter().filter(|action| *action == "case.withdraw success").count(), 8);
    })
    .await;
}
