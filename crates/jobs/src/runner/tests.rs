use std::sync::Mutex;

use dokuei_database::NewJob;
use dokuei_domain::JobId;

use super::*;

/// Answers with what the test planned and remembers what it was asked.
struct Planned {
    outcomes: Mutex<Vec<Outcome>>,
    seen: Mutex<Vec<(String, i64)>>,
}

#[async_trait::async_trait]
impl Handler for Planned {
    fn queue(&self) -> &'static str {
        "planned"
    }

    async fn run(&self, job: &JobRow, _: &JobContext) -> Outcome {
        self.seen.lock().unwrap().push((job.payload.clone(), job.attempt));
        let planned = self.outcomes.lock().unwrap().pop();
        match planned {
            Some(outcome) => outcome,
            None => panic!("nothing planned"),
        }
    }
}

struct Scene {
    clock: dokuei_testkit::FakeClock,
    database: Database,
    runner: Runner,
    handler: Arc<Planned>,
    ambient: Ambient,
    _folder: tempfile::TempDir,
}

async fn scene(mut outcomes: Vec<Outcome>) -> Scene {
    outcomes.reverse();
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&format!("sqlite://{}", folder.path().join("jobs.db").display())).await.unwrap();
    let (clock, ambient) = dokuei_testkit::test_ambient(1);
    let handler = Arc::new(Planned { outcomes: Mutex::new(outcomes), seen: Mutex::default() });
    let handlers: Vec<Arc<dyn Handler>> = vec![handler.clone()];
    let runner = Runner::new(database.clone(), ambient.clone(), handlers, vec![], RunnerSettings::new("test"));
    Scene { clock, database, runner, handler, ambient, _folder: folder }
}

impl Scene {
    async fn enqueue(&self, queue: &'static str, max_attempts: u32) {
        let now = self.ambient.now();
        let id = JobId(self.ambient.new_uuid());
        let job = NewJob { id, queue, payload: "{}".into(), dedup_key: None, run_at: now, max_attempts, now };
        let mut tx = self.database.write().await.unwrap();
        tx.job_enqueue(job).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn states(&self) -> Vec<(String, Option<String>)> {
        let jobs = self.database.read().await.unwrap().job_list(10).await.unwrap();
        jobs.into_iter().map(|job| (job.state, job.last_error)).collect()
    }
}

#[tokio::test]
async fn a_job_is_retried_after_its_back_off_and_then_gone() {
    let scene = scene(vec![Outcome::retry("peer is down"), Outcome::Done]).await;
    scene.enqueue("planned", 5).await;

    scene.runner.run_until_idle().await.unwrap();
    assert_eq!(scene.states().await, [("ready".to_owned(), Some("peer is down".to_owned()))]);

    scene.clock.advance(Duration::from_secs(10));
    scene.runner.run_until_idle().await.unwrap();
    assert_eq!(scene.states().await, []);
    assert_eq!(scene.handler.seen.lock().unwrap().iter().map(|seen| seen.1).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn the_last_attempt_a_refusal_a_panic_and_an_unknown_queue_are_visible_on_the_dead_list() {
    let scene = scene(vec![Outcome::retry("still down"), Outcome::Fail { reason: "refused".into() }]).await;
    for queue in ["planned", "planned", "planned", "of another version"] {
        scene.enqueue(queue, 1).await;
        scene.clock.advance(Duration::from_millis(5));
    }

    scene.runner.run_until_idle().await.unwrap();

    let mut reasons: Vec<_> =
        scene.states().await.into_iter().map(|(state, error)| (state, error.unwrap_or_default())).collect();
    reasons.sort();
    assert!(reasons.iter().all(|(state, _)| state == "dead"), "{reasons:?}");
    let reasons: Vec<_> = reasons.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons,
        [
            "no handler for the queue 'of another version' in this version",
            "refused",
            "still down",
            "the handler panicked"
        ]
    );
}

#[tokio::test]
async fn a_running_node_picks_work_up_and_stops_when_told() {
    let mut scene = scene(vec![Outcome::Done]).await;
    scene.runner.settings.poll = Duration::from_secs(3600);
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let runner = scene.runner.clone();
    let running = tokio::spawn({
        let soft = soft.clone();
        async move { runner.run(soft, hard).await }
    });

    scene.enqueue("planned", 1).await;
    let handler = Arc::clone(&scene.handler);
    let seen = dokuei_testkit::eventually("the job was run", Duration::from_secs(10), || {
        let seen = handler.seen.lock().unwrap().len();
        async move { (seen == 1).then_some(()) }
    })
    .await;
    assert!(seen.is_ok(), "the commit wakes the runner although it polls once an hour");

    soft.cancel();
    running.await.unwrap();
}
