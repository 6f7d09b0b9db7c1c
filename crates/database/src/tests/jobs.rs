use dokuei_domain::JobId;

use super::{World, both};
use crate::{Database, NewJob};

fn job(world: &World, key: Option<&str>) -> NewJob {
    NewJob {
        id: JobId(world.ambient.new_uuid()),
        queue: "test",
        payload: "{}".into(),
        dedup_key: key.map(str::to_owned),
        run_at: world.now(),
        max_attempts: 3,
        now: world.now(),
    }
}

async fn enqueue(db: &Database, job: NewJob) -> bool {
    let mut tx = db.write().await.unwrap();
    let added = tx.job_enqueue(job).await.unwrap();
    tx.commit().await.unwrap();
    added
}

async fn claim(db: &Database, world: &World, worker: &str) -> Vec<crate::JobRow> {
    let mut tx = db.write().await.unwrap();
    let claimed = tx.job_claim(worker, world.now(), world.now().plus_seconds(30), 10).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

#[tokio::test]
async fn a_waiting_key_is_not_added_twice_but_a_running_one_is_queued_behind_it() {
    both(|db, world| async move {
        assert!(enqueue(&db, job(&world, Some("a"))).await);
        assert!(!enqueue(&db, job(&world, Some("a"))).await);
        let running = claim(&db, &world, "w1").await;
        assert_eq!(running.len(), 1);

        assert!(enqueue(&db, job(&world, Some("a"))).await, "the running one may have read too early");
        assert_eq!(claim(&db, &world, "w2").await, [], "never two of one key at once");

        let mut tx = db.write().await.unwrap();
        assert!(tx.job_done(running[0].id, running[0].attempt, world.now()).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, &world, "w2").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_expired_lease_is_claimed_again_and_the_first_worker_is_fenced_out() {
    both(|db, world| async move {
        enqueue(&db, job(&world, None)).await;
        let first = claim(&db, &world, "w1").await.remove(0);
        assert_eq!(claim(&db, &world, "w2").await, []);

        world.clock.advance(std::time::Duration::from_secs(31));
        let second = claim(&db, &world, "w2").await.remove(0);
        assert_eq!((first.id, first.attempt + 1), (second.id, second.attempt));

        let mut tx = db.write().await.unwrap();
        assert!(!tx.job_done(first.id, first.attempt, world.now()).await.unwrap());
        assert!(!tx.job_extend(first.id, first.attempt, world.now()).await.unwrap());
        assert!(tx.job_done(second.id, second.attempt, world.now()).await.unwrap());
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn retries_wait_die_and_can_be_revived() {
    both(|db, world| async move {
        enqueue(&db, job(&world, Some("a"))).await;
        let claimed = claim(&db, &world, "w").await.remove(0);
        let mut tx = db.write().await.unwrap();
        assert!(tx.job_retry(claimed.id, claimed.attempt, world.now().plus_seconds(60), "peer is down").await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, &world, "w").await, []);

        world.clock.advance(std::time::Duration::from_secs(60));
        let again = claim(&db, &world, "w").await.remove(0);
        assert_eq!(again.last_error.as_deref(), Some("peer is down"));
        let mut tx = db.write().await.unwrap();
        assert!(tx.job_dead(again.id, again.attempt, world.now(), "gave up").await.unwrap());
        tx.commit().await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(3600));
        assert_eq!(claim(&db, &world, "w").await, []);

        let mut tx = db.write().await.unwrap();
        assert!(tx.job_revive(again.id, world.now()).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(claim(&db, &world, "w").await[0].attempt, 1);
    })
    .await;
}

#[tokio::test]
async fn eight_workers_claim_each_job_exactly_once() {
    both(|db, world| async move {
        for _ in 0..100 {
            enqueue(&db, job(&world, None)).await;
        }
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let (db, world) = (db.clone(), world.clone());
            workers.spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed = claim(&db, &world, &format!("w{worker}")).await;
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed.into_iter().map(|job| job.id));
                }
            });
        }
        let mut all: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
        all.sort_by_key(|id| id.0);
        let count = all.len();
        all.dedup();
        assert_eq!((count, all.len()), (100, 100));
    })
    .await;
}
