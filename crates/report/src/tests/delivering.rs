//! The return, to recipients of other people's making and to some that misbehave.

use std::{
    os::fd::OwnedFd,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use dokuei_dataset::part10;
use dokuei_dimse::{
    Admission, AssociationRequest, Decision, Handlers, Server, ServerConfig, Status, Stop, StoragePolicy, StoreRequest,
    StoreService, StoreSink,
};
use dokuei_domain::{DeliveryId, Role};
use dokuei_jobs::{Backoff, Handler, JobContext, JobRow, Outcome};
use dokuei_testkit::find_binary;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket},
    process::Command,
};

use super::scene::{Scene, actor, reader, settings};
use crate::{
    AttemptOutcome, AttemptStart, Delivery, DeliverySelection, DeliveryState, ReportError, ReportFileKind,
    ReportSettings, SignedVersion, manifest::Manifest, signature::sha256,
};

fn quick() -> ReportSettings {
    ReportSettings {
        delivery_backoff: Backoff { base_seconds: 30, cap_seconds: 60 },
        delivery_max_attempts: 3,
        ..settings()
    }
}

async fn sign(scene: &Scene) -> SignedVersion {
    scene.reports.sign(&reader(), scene.request()).await.unwrap()
}

async fn ledger(scene: &Scene) -> Vec<Delivery> {
    let all = DeliverySelection { limit: 100, ..DeliverySelection::default() };
    scene.reports.deliveries(&actor("O1", Role::Office), &all).await.unwrap()
}

async fn only(scene: &Scene) -> Delivery {
    let mut rows = ledger(scene).await;
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// DCMTK's storescp on a port of its own.
async fn storescp(folder: &Path, options: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    serve_with(listener, folder, options);
    port
}

/// DCMTK's storescp behind a listener, one process for each connection, as inetd starts it.
fn serve_with(listener: TcpListener, folder: &Path, options: &'static [&'static str]) {
    let (program, folder) = (find_binary("storescp").unwrap(), folder.to_owned());
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let mut command = Command::new(&program);
            command.arg("--inetd").arg("--bit-preserving").arg("--output-directory").arg(&folder).args(options);
            command.env("TCP_NODELAY", "1").kill_on_drop(true).stdin(Stdio::from(OwnedFd::from(stream)));
            tokio::spawn(async move { command.output().await });
        }
    });
}

#[tokio::test]
async fn storescp_holds_exactly_what_was_signed() {
    let scene = Scene::new().await;
    let received = tempfile::tempdir().unwrap();
    let port = storescp(received.path(), &[]).await;
    scene.add_target("PACS", port).await;
    let signed = sign(&scene).await;

    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!(
        (row.state, row.accepted_at, row.last_error),
        (DeliveryState::Accepted, Some(scene.ambient.now()), None)
    );
    assert_eq!(
        attempts.iter().map(|a| (a.number, a.outcome)).collect::<Vec<_>>(),
        [(1, Some(AttemptOutcome::Accepted))]
    );
    let manifest = scene.reports.file(&reader(), signed.id, ReportFileKind::Manifest).await.unwrap().bytes;
    let manifest = Manifest::parse(&manifest).unwrap();
    let files: Vec<_> = std::fs::read_dir(received.path())
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(files.len(), 2);
    for facts in &manifest.files {
        let same =
            |file: &&Vec<u8>| part10::parse_header(file).unwrap().0.sop_instance.as_ref() == Some(&facts.sop_instance);
        let file = files.iter().find(same).expect("the recipient has it");
        let (_, offset) = part10::parse_header(file).unwrap();
        assert_eq!(sha256(&file[offset..]), facts.dataset_sha256.0, "the data set is the one that was signed");
    }
    assert_eq!(scene.database.read().await.unwrap().job_list(10).await.unwrap(), [], "nothing is left to do");
    assert_eq!(scene.audit("report.deliver").await.len(), 1);

    // A second run of the job, as after a lost lease, changes nothing.
    scene.work().await;
    assert_eq!(only(&scene).await.attempts.len(), 1);
}

#[tokio::test]
async fn a_recipient_that_is_down_is_tried_again_given_up_and_revived_by_hand() {
    let scene = Scene::with(quick()).await;
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    scene.add_target("PACS", closed.local_addr().unwrap().port()).await;
    sign(&scene).await;

    scene.work().await;
    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts[0].outcome), (DeliveryState::Queued, Some(AttemptOutcome::Unreachable)));
    let wait = row.next_attempt_at.unwrap().seconds_since(scene.ambient.now());
    assert!((20..=40).contains(&wait), "{wait}");
    assert!(row.last_error.unwrap().contains("check host, port and firewall"));
    scene.work().await;
    assert_eq!(only(&scene).await.attempts.len(), 1, "not before its time");

    for _ in 0..2 {
        scene.clock.advance(Duration::from_secs(120));
        scene.work().await;
    }
    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts.len(), row.next_attempt_at), (DeliveryState::Failed, 3, None));
    let jobs = scene.database.read().await.unwrap().job_list(10).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.state.as_str()).collect::<Vec<_>>(), ["dead"], "visible on the dead list");

    // The facility's user may not; the office may, once.
    let refused = scene.reports.retry_delivery(&actor("HOSP1-U", Role::Facility), row.id).await.unwrap_err();
    assert!(matches!(refused, ReportError::Denied(_)), "{refused}");
    let received = tempfile::tempdir().unwrap();
    serve_with(closed.listen(16).unwrap(), received.path(), &[]);
    for _ in 0..2 {
        scene.reports.retry_delivery(&actor("O1", Role::Office), row.id).await.unwrap();
    }
    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts.len()), (DeliveryState::Accepted, 4));
    assert_eq!(attempts[3].started_by, AttemptStart::Manual);
    assert_eq!(scene.database.read().await.unwrap().job_list(10).await.unwrap(), [], "the dead job worked again");
    let audit = scene.audit("delivery.retry").await;
    assert_eq!(audit.iter().map(|row| row.outcome.as_str()).collect::<Vec<_>>(), ["success", "refused"]);
    let done = scene.reports.retry_delivery(&actor("O1", Role::Office), row.id).await.unwrap_err();
    assert!(matches!(done, ReportError::AlreadyAccepted));
}

#[tokio::test]
async fn refusals_and_aborts_are_told_as_they_are() {
    let table: [(&'static [&'static str], AttemptOutcome, DeliveryState); 3] = [
        (&["--refuse"], AttemptOutcome::Refused, DeliveryState::Queued),
        (&["--abort-during"], AttemptOutcome::Aborted, DeliveryState::Sent),
        (&["--abort-after"], AttemptOutcome::Aborted, DeliveryState::Sent),
    ];
    for (options, outcome, state) in table {
        let scene = Scene::with(quick()).await;
        let received = tempfile::tempdir().unwrap();
        scene.add_target("PACS", storescp(received.path(), options).await).await;
        sign(&scene).await;

        scene.work().await;

        let Delivery { row, attempts } = only(&scene).await;
        assert_eq!((attempts[0].outcome, row.state), (Some(outcome), state), "{options:?}: {:?}", attempts[0].detail);
        assert!(row.next_attempt_at.is_some() && row.accepted_at.is_none());
        assert_eq!(scene.audit("report.deliver").await[0].outcome, "failed");
    }
}

/// Answers each object with the next planned status, whatever comes.
#[derive(Clone)]
struct Planned(Arc<Mutex<Vec<Status>>>);

impl Admission for Planned {
    type Session = ();
    async fn admit(&self, _: &AssociationRequest) -> Decision<()> {
        Decision::Accept(())
    }
}

struct Sink(Status);

impl StoreService<()> for Planned {
    type Sink = Sink;
    async fn begin(&self, _: &Arc<()>, _: StoreRequest) -> Result<Sink, Status> {
        let mut planned = self.0.lock().unwrap();
        let status = if planned.is_empty() { Status::SUCCESS } else { planned.remove(0) };
        Ok(Sink(status))
    }
}

impl StoreSink for Sink {
    async fn write(&mut self, _: Bytes) -> Result<(), Status> {
        Ok(())
    }
    async fn finish(self) -> Status {
        self.0
    }
}

async fn answering(statuses: Vec<Status>) -> u16 {
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let port = server.local_addr().port();
    let planned = Planned(Arc::new(Mutex::new(statuses)));
    let handlers = Handlers {
        admission: planned.clone(),
        policy: Box::new(StoragePolicy),
        store: planned,
        normalized: Arc::new(()),
        query: Arc::new(()),
        observer: Box::new(()),
    };
    tokio::spawn(server.serve(handlers, Stop::default()));
    port
}

#[tokio::test]
async fn a_recipient_that_takes_one_object_and_refuses_the_other_has_not_accepted() {
    let scene = Scene::with(quick()).await;
    scene.add_target("PACS", answering(vec![Status::SUCCESS, Status::OUT_OF_RESOURCES]).await).await;
    let signed = sign(&scene).await;

    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts[0].outcome), (DeliveryState::Sent, Some(AttemptOutcome::Refused)));
    let detail = attempts[0].detail.clone().unwrap();
    assert!(detail.contains(&format!("SR {}: accepted (0000", signed.structured_report)), "{detail}");
    assert!(detail.contains(&format!("PDF {}: refused (A700", signed.pdf)), "{detail}");

    // The next attempt sends both again; a warning is an acceptance.
    scene.clock.advance(Duration::from_secs(120));
    scene.work().await;
    assert_eq!(only(&scene).await.row.state, DeliveryState::Accepted);
}

#[tokio::test]
async fn a_recipient_that_refuses_what_it_got_before_as_a_duplicate_has_accepted() {
    let scene = Scene::with(quick()).await;
    let answers = vec![
        Status::DUPLICATE_SOP_INSTANCE,
        Status::OUT_OF_RESOURCES,
        Status::SUCCESS,
        Status::OUT_OF_RESOURCES,
        Status::DUPLICATE_SOP_INSTANCE,
        Status::SUCCESS,
    ];
    scene.add_target("PACS", answering(answers).await).await;
    let signed = sign(&scene).await;

    for _ in 0..3 {
        scene.work().await;
        scene.clock.advance(Duration::from_secs(120));
    }

    let Delivery { row, attempts } = only(&scene).await;
    let told: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(told, [AttemptOutcome::Refused, AttemptOutcome::Refused, AttemptOutcome::Accepted]);
    assert_eq!(row.state, DeliveryState::Accepted);
    let detail = |index: usize| attempts[index].detail.clone().unwrap();
    let never_sent = format!("SR {}: refused (0111", signed.structured_report);
    assert!(detail(0).contains(&never_sent), "a duplicate of what was never sent is somebody else's: {}", detail(0));
    let had = format!("SR {}: accepted (0111", signed.structured_report);
    assert!(detail(2).contains(&had) && detail(2).contains("from an earlier attempt"), "{}", detail(2));
}

#[tokio::test]
async fn a_warning_is_an_acceptance() {
    let scene = Scene::with(quick()).await;
    scene
        .add_target("PACS", answering(vec![Status::COERCION_OF_DATA_ELEMENTS, Status::ELEMENTS_DISCARDED]).await)
        .await;
    sign(&scene).await;

    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!(row.state, DeliveryState::Accepted);
    assert!(attempts[0].detail.as_ref().unwrap().contains("accepted (B000"), "{attempts:?}");
}

#[tokio::test]
async fn one_recipient_that_is_down_delays_no_other() {
    let scene = Scene::with(quick()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    scene.add_target("SILENT", silent.local_addr().unwrap().port()).await;
    scene.add_target("PACS", answering(vec![]).await).await;
    sign(&scene).await;

    // A working node: the silent recipient holds its connection open and says nothing.
    let (soft, hard) = (tokio_util::sync::CancellationToken::new(), tokio_util::sync::CancellationToken::new());
    let running = tokio::spawn({
        let (runner, soft, hard) = (scene.runner(), soft.clone(), hard.clone());
        async move { runner.run(soft, hard).await }
    });
    let accepted = || async {
        let rows = ledger(&scene).await;
        rows.iter().any(|delivery| delivery.row.state == DeliveryState::Accepted).then_some(rows)
    };
    let rows = dokuei_testkit::eventually("one acceptance", Duration::from_secs(15), accepted).await.unwrap();

    let waiting = rows.iter().find(|delivery| delivery.row.target.called.as_str() == "SILENT").unwrap();
    assert!(waiting.attempts.iter().all(|attempt| attempt.ended_at.is_none()), "still under way");
    soft.cancel();
    hard.cancel();
    running.await.unwrap();
}

/// The job of the only delivery, to be run by hand.
async fn delivering(scene: &Scene) -> (Arc<dyn Handler>, JobRow, JobContext) {
    let handlers = scene.reports.handlers();
    let deliver = handlers.into_iter().find(|handler| handler.queue() == "deliver_report").unwrap();
    let jobs = scene.database.read().await.unwrap().job_list(10).await.unwrap();
    let job = jobs.into_iter().find(|job| job.queue == "deliver_report").unwrap();
    (deliver, job, JobContext { attempt: 1, max_attempts: 9, cancel: tokio_util::sync::CancellationToken::new() })
}

#[tokio::test]
async fn a_delivery_that_hangs_hears_of_a_stop_and_says_so_in_the_ledger() {
    // Not even the last attempt is given up because of a stop.
    let scene = Scene::with(ReportSettings { delivery_max_attempts: 1, ..quick() }).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    scene.add_target("PACS", silent.local_addr().unwrap().port()).await;
    sign(&scene).await;
    let (deliver, job, context) = delivering(&scene).await;
    let cancel = context.cancel.clone();
    let attempt = tokio::spawn(async move { deliver.run(&job, &context).await });
    let (mut connection, _) = silent.accept().await.unwrap();

    cancel.cancel();

    let outcome = attempt.await.unwrap();
    assert!(matches!(&outcome, Outcome::Retry { after_seconds: Some(1), .. }), "{outcome:?}");
    let mut rest = Vec::new();
    // To its end: the connection is closed, not left to time out.
    let _ = connection.read_to_end(&mut rest).await;
    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, row.next_attempt_at), (DeliveryState::Queued, Some(scene.ambient.now())));
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].outcome, attempts[0].ended_at),
        (Some(AttemptOutcome::Interrupted), Some(scene.ambient.now()))
    );
}

#[tokio::test]
async fn a_dead_job_that_is_put_back_delivers() {
    let scene = Scene::with(ReportSettings { delivery_max_attempts: 1, ..quick() }).await;
    scene.add_target("PACS", answering(vec![Status::OUT_OF_RESOURCES; 2]).await).await;
    sign(&scene).await;
    scene.work().await;
    assert_eq!(only(&scene).await.row.state, DeliveryState::Failed);
    let dead = scene.database.read().await.unwrap().job_list(10).await.unwrap().remove(0);
    assert_eq!(dead.state, "dead");

    let mut tx = scene.database.write().await.unwrap();
    assert!(tx.job_revive(dead.id, scene.ambient.now()).await.unwrap());
    tx.commit().await.unwrap();
    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts.len()), (DeliveryState::Accepted, 2));
    assert_eq!(attempts[1].started_by, AttemptStart::Manual);
    assert_eq!(scene.database.read().await.unwrap().job_list(10).await.unwrap(), []);
}

#[tokio::test]
async fn an_attempt_cut_off_by_a_stop_is_closed_and_made_again() {
    let scene = Scene::with(quick()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    scene.add_target("PACS", silent.local_addr().unwrap().port()).await;
    sign(&scene).await;
    let id = only(&scene).await.row.id;

    // The node dies while the recipient has the connection and has said nothing yet.
    let (deliver, job, context) = delivering(&scene).await;
    let attempt = tokio::spawn(async move { deliver.run(&job, &context).await });
    let (connection, _) = silent.accept().await.unwrap();
    attempt.abort();
    assert!(attempt.await.unwrap_err().is_cancelled());
    drop(connection);
    let open = only(&scene).await;
    assert_eq!((open.attempts.len(), open.attempts[0].ended_at), (1, None));

    let received = tempfile::tempdir().unwrap();
    serve_with(silent, received.path(), &[]);
    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.id, row.state), (id, DeliveryState::Accepted));
    let told: Vec<_> = attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(told, [AttemptOutcome::Interrupted, AttemptOutcome::Accepted]);
    assert_eq!(std::fs::read_dir(received.path()).unwrap().count(), 2, "one copy of each object");
}

#[tokio::test]
async fn the_share_of_one_recipient_is_bounded_and_given_back() {
    let scene = Scene::with(ReportSettings { deliveries_per_target: 1, ..quick() }).await;
    let target = scene.add_target("PACS", 9).await;
    let first = scene.reports.take_share(target).unwrap();
    assert!(scene.reports.take_share(target).is_none());
    assert!(scene.reports.take_share(scene.ambient.new_uuid()).is_some(), "another recipient has its own");

    sign(&scene).await;
    let (deliver, job, context) = delivering(&scene).await;
    let outcome = deliver.run(&job, &context).await;
    assert!(matches!(outcome, Outcome::Retry { after_seconds: Some(5), .. }), "{outcome:?}");
    assert_eq!(only(&scene).await.attempts, [], "putting off is no attempt");

    drop(first);
    assert!(scene.reports.take_share(target).is_some());
}

#[tokio::test]
async fn all_recipients_together_leave_room_for_other_work() {
    let scene = Scene::with(settings()).await;
    let mut taken: Vec<_> =
        (0..8).map(|_| scene.reports.take_share(scene.ambient.new_uuid()).expect("eight at once")).collect();
    assert!(scene.reports.take_share(scene.ambient.new_uuid()).is_none());

    taken.pop();
    assert!(scene.reports.take_share(scene.ambient.new_uuid()).is_some());
}

#[tokio::test]
async fn what_must_not_be_sent_is_given_up_with_its_reason() {
    let scene = Scene::with(quick()).await;
    scene.add_target("PACS", answering(vec![]).await).await;
    let signed = sign(&scene).await;
    let mut tx = scene.database.write().await.unwrap();
    assert!(tx.study_withdraw(scene.study, "患者取り違え", scene.ambient.now()).await.unwrap());
    // The case itself is withdrawn by a job, which has not run.
    tx.commit().await.unwrap();

    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts.len()), (DeliveryState::Failed, 0));
    assert!(row.last_error.unwrap().contains("withdrew"));
    for who in [reader(), actor("HOSP1-U", Role::Facility)] {
        assert!(matches!(scene.reports.pdf(&who, signed.id).await, Err(ReportError::Withdrawn)));
        assert!(matches!(scene.reports.versions(&who, scene.case).await, Err(ReportError::Withdrawn)));
    }
    assert!(scene.reports.pdf(&actor("O1", Role::Office), signed.id).await.is_ok(), "kept for the office");
}

#[tokio::test]
async fn a_damaged_file_is_not_sent() {
    let scene = Scene::with(quick()).await;
    let received = tempfile::tempdir().unwrap();
    scene.add_target("PACS", storescp(received.path(), &[]).await).await;
    let signed = sign(&scene).await;
    super::proving::flip_byte(&scene, signed.id, ReportFileKind::StructuredReport, 2_000).await;

    scene.work().await;

    let Delivery { row, attempts } = only(&scene).await;
    assert_eq!((row.state, attempts[0].outcome), (DeliveryState::Queued, Some(AttemptOutcome::Failed)));
    assert!(attempts[0].detail.as_ref().unwrap().contains("damaged"), "{attempts:?}");
    assert_eq!(std::fs::read_dir(received.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_delivery_whose_job_was_lost_is_found() {
    let scene = Scene::with(quick()).await;
    scene.add_target("PACS", answering(vec![]).await).await;
    sign(&scene).await;
    let id: DeliveryId = only(&scene).await.row.id;
    let mut tx = scene.database.write().await.unwrap();
    let claimed = tx.job_claim("other", scene.ambient.now(), scene.ambient.now().plus_seconds(1), 10).await.unwrap();
    for job in &claimed {
        assert!(tx.job_done(job.id, job.attempt, scene.ambient.now()).await.unwrap());
    }
    tx.commit().await.unwrap();
    assert_eq!(claimed.len(), 2, "the delivery and the event");

    scene.work().await;

    let delivery = only(&scene).await;
    assert_eq!((delivery.row.id, delivery.row.state), (id, DeliveryState::Accepted));
}
