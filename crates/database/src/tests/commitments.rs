use dokuei_domain::{AeTitle, FacilityId, SopInstanceUid, StudyUid, patient::FacilityIssuer};
use uuid::Uuid;

use super::{World, both};
use crate::{
    CommitmentState, CommitmentTargetRow, Database, NewCommitment, NewJob, NewProcedureStep, commitment_job_key,
};

async fn facility(db: &Database, world: &World, id: &str) -> FacilityId {
    let facility = FacilityId::parse(id).unwrap();
    let issuer = FacilityIssuer {
        facility: facility.clone(),
        issuer: format!("1.2.392.{}", id.len()) + &id[4..],
        aliases: vec![],
    };
    let mut tx = db.write().await.unwrap();
    tx.facility_ensure(&issuer, world.now()).await.unwrap();
    tx.commit().await.unwrap();
    facility
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

fn new<'a>(world: &World, facility: &'a FacilityId, calling: &'a AeTitle, transaction: &'a str) -> NewCommitment<'a> {
    NewCommitment {
        id: world.ambient.new_uuid(),
        facility,
        calling,
        transaction,
        requested: b"1.2 1.3\n".to_vec(),
        requested_sha256: [7; 32],
        instance_count: 1,
        link_node: "node-a",
        link_until: world.now().plus_seconds(60),
        now: world.now(),
    }
}

#[tokio::test]
async fn a_transaction_uid_is_one_of_its_peer_and_facility() {
    both(|db, world| async move {
        let (first, second) = (facility(&db, &world, "HOSP1").await, facility(&db, &world, "HOSP2").await);
        let (ct, mr) = (title("CT1"), title("MR1"));
        let mut tx = db.write().await.unwrap();
        for (facility, calling, added) in
            [(&first, &ct, true), (&first, &mr, true), (&second, &ct, true), (&first, &ct, false)]
        {
            assert_eq!(tx.commitment_insert(&new(&world, facility, calling, "2.25.1")).await.unwrap(), added);
        }
        tx.commit().await.unwrap();
        let mut read = db.read().await.unwrap();
        let row = read.commitment_by_transaction(&first, &ct, "2.25.1").await.unwrap().unwrap();
        assert_eq!((row.state, row.instance_count, row.requested_sha256), (CommitmentState::Checking, 1, [7; 32]));
        assert_eq!(read.commitment_work(row.id).await.unwrap().unwrap(), (b"1.2 1.3\n".to_vec(), vec![]));
        assert_eq!(read.commitment_list(true, 10).await.unwrap().len(), 3);
        drop(read);
    })
    .await;
}

#[tokio::test]
async fn a_result_goes_through_its_states_and_never_back() {
    both(|db, world| async move {
        let (facility, calling) = (facility(&db, &world, "HOSP1").await, title("CT1"));
        let request = new(&world, &facility, &calling, "2.25.1");
        let id = request.id;
        let mut tx = db.write().await.unwrap();
        tx.commitment_insert(&request).await.unwrap();
        assert!(!tx.commitment_not_answered(id, CommitmentState::Waiting, "not checked yet").await.unwrap());
        assert!(tx.commitment_progress(id, &[0, 0]).await.unwrap());
        assert!(tx.commitment_checked(id, &[0x12, 1], 1, world.now()).await.unwrap());
        assert!(!tx.commitment_progress(id, &[]).await.unwrap(), "a result is not overwritten by a late worker");
        assert!(!tx.commitment_checked(id, &[0, 0], 0, world.now()).await.unwrap());
        assert!(tx.commitment_not_answered(id, CommitmentState::Waiting, "no address").await.unwrap());
        assert!(tx.commitment_relink(id, "node-b", world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let row = db.read().await.unwrap().commitment_find(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.link_node.as_str()), (CommitmentState::Answering, "node-b"));
        assert_eq!(row.last_error.as_deref(), Some("no address"));

        let mut tx = db.write().await.unwrap();
        assert!(tx.commitment_answered(id, world.now()).await.unwrap());
        assert!(!tx.commitment_answered(id, world.now()).await.unwrap());
        assert!(!tx.commitment_not_answered(id, CommitmentState::Failed, "late").await.unwrap());
        assert!(!tx.commitment_relink(id, "node-c", world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let mut read = db.read().await.unwrap();
        assert_eq!(read.commitment_list(true, 10).await.unwrap(), []);
        assert_eq!(read.commitment_list(false, 10).await.unwrap()[0].last_error, None);
        assert_eq!(read.commitment_work(id).await.unwrap().unwrap().1, [0x12, 1]);
        drop(read);

        let mut tx = db.write().await.unwrap();
        assert!(tx.commitment_check_again(id, "node-d", world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let row = db.read().await.unwrap().commitment_find(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.checked_at, row.answered_at), (CommitmentState::Checking, None, None));
    })
    .await;
}

#[tokio::test]
async fn unfinished_requests_without_a_job_are_found_once_something_can_be_done() {
    both(|db, world| async move {
        let (facility, calling) = (facility(&db, &world, "HOSP1").await, title("CT1"));
        let request = new(&world, &facility, &calling, "2.25.1");
        let id = request.id;
        let mut tx = db.write().await.unwrap();
        tx.commitment_insert(&request).await.unwrap();
        tx.commit().await.unwrap();
        let missing = || async { db.read().await.unwrap().commitments_without_job("q", 10).await.unwrap() };
        assert_eq!(missing().await, [id]);

        let job = NewJob {
            id: dokuei_domain::JobId(world.ambient.new_uuid()),
            queue: "q",
            payload: "{}".into(),
            dedup_key: Some(commitment_job_key(id)),
            run_at: world.now(),
            max_attempts: 1,
            now: world.now(),
        };
        let mut tx = db.write().await.unwrap();
        tx.job_enqueue(job).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(missing().await, [] as [Uuid; 0]);

        // Given up for want of an address: found again only when there is one.
        let mut tx = db.write().await.unwrap();
        let claimed = tx.job_claim("w", world.now(), world.now().plus_seconds(30), 1).await.unwrap().remove(0);
        tx.job_dead(claimed.id, claimed.attempt, world.now(), "no address").await.unwrap();
        tx.commitment_checked(id, &[0, 0], 0, world.now()).await.unwrap();
        tx.commitment_not_answered(id, CommitmentState::Waiting, "no address").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(missing().await, [] as [Uuid; 0]);
        assert_eq!(db.read().await.unwrap().commitment_target_of(&facility, &calling).await.unwrap(), None);

        let mut tx = db.write().await.unwrap();
        let target = world.ambient.new_uuid();
        tx.return_target_add(target, &facility, &calling, "10.0.0.9", 104, world.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(missing().await, [id]);
        let found = db.read().await.unwrap().commitment_target_of(&facility, &calling).await.unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.port), ("10.0.0.9", 104), "where reports go, results go too");

        let mut tx = db.write().await.unwrap();
        for host in ["10.0.0.7", "10.0.0.8"] {
            let target =
                CommitmentTargetRow { calling: calling.clone(), host: host.to_owned(), port: 11112, tls: true };
            tx.commitment_target_set(&facility, &target, world.now()).await.unwrap();
        }
        assert_eq!(tx.commitment_clear_dead_jobs("q", id, world.now()).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let mut read = db.read().await.unwrap();
        let found = read.commitment_target_of(&facility, &calling).await.unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.port), ("10.0.0.8", 11112), "what was set wins");
        assert_eq!(read.commitment_target_list(&facility).await.unwrap(), [found]);
        assert_eq!(read.job_list(10).await.unwrap(), []);
        drop(read);
        let mut tx = db.write().await.unwrap();
        assert!(tx.commitment_target_remove(&facility, &calling).await.unwrap());
        assert!(!tx.commitment_target_remove(&facility, &calling).await.unwrap());
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn lists_are_replaced_by_their_source_and_counted_once() {
    both(|db, world| async move {
        let (facility, calling) = (facility(&db, &world, "HOSP1").await, title("CT1"));
        let study = StudyUid::parse("1.2.1").unwrap();
        let step = SopInstanceUid::parse("1.2.9").unwrap();
        let uids = |range: std::ops::Range<usize>| -> Vec<SopInstanceUid> {
            range.map(|number| SopInstanceUid::parse(&format!("1.2.1.1.{number}")).unwrap()).collect()
        };
        let new = NewProcedureStep {
            facility: &facility,
            uid: &step,
            calling: &calling,
            step_id: "P1",
            station: "CT1",
            modality: "CT",
            started: "20260102 0910",
            studies: std::slice::from_ref(&study),
            now: world.now(),
        };
        let mut tx = db.write().await.unwrap();
        assert!(tx.procedure_step_insert(&new).await.unwrap());
        assert!(!tx.procedure_step_insert(&new).await.unwrap());
        assert_eq!(
            tx.procedure_step_lock(&facility, &step).await.unwrap().unwrap().studies,
            std::slice::from_ref(&study)
        );
        tx.expected_add(&facility, &study, step.as_str(), &uids(0..10)).await.unwrap();
        tx.expected_clear(&facility, &study, step.as_str()).await.unwrap();
        tx.expected_add(&facility, &study, step.as_str(), &uids(0..24_000)).await.unwrap();
        tx.expected_add(&facility, &study, "availability", &uids(23_999..24_002)).await.unwrap();
        tx.expected_remove(&facility, &study, "availability", &uids(24_001..24_002)).await.unwrap();
        tx.commit().await.unwrap();

        let found = db.read().await.unwrap().study_completeness(&facility, &study).await.unwrap();
        assert_eq!((found.listed, found.missing, found.announced), (24_001, 24_001, 2));
        assert_eq!((found.steps_in_progress, found.steps_completed, found.steps_discontinued), (1, 0, 0));

        let mut tx = db.write().await.unwrap();
        let change = ("COMPLETED", "20260102 0930", "");
        assert!(tx.procedure_step_change(&facility, &step, change.0, change.1, change.2, world.now()).await.unwrap());
        assert!(!tx.procedure_step_change(&facility, &step, "DISCONTINUED", "", "", world.now()).await.unwrap());
        tx.commit().await.unwrap();
        let found = db.read().await.unwrap().study_completeness(&facility, &study).await.unwrap();
        assert_eq!((found.steps_in_progress, found.steps_completed), (0, 1));
    })
    .await;
}
