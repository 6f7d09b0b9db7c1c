use std::sync::atomic::{AtomicBool, Ordering};

use dokuei_dataset::normalized::FailedReference;
use dokuei_domain::{TransferSyntaxUid, Uid, patient::FacilityIssuer};
use dokuei_image_store::BlobKey;
use dokuei_ingest::{Ingest, IngestSettings, ObjectHead, Origin};
use dokuei_jobs::{Runner, RunnerSettings};
use dokuei_testkit::{FakeClock, TestDatabase, data_set::Encoding, synthetic::CtImage};

use super::*;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";

/// An archive with stored objects, on either database, without a network.
struct Scene {
    clock: FakeClock,
    ambient: Ambient,
    database: Database,
    store: ImageStore,
    ingest: Arc<Ingest>,
    commitments: Arc<Commitments>,
    folder: tempfile::TempDir,
    _postgres: Option<TestDatabase>,
}

async fn on_both<F: Future<Output = ()>>(story: impl Fn(Scene) -> F) {
    story(Scene::on(None).await).await;
    if let Some(postgres) = TestDatabase::postgres() {
        story(Scene::on(Some(postgres)).await).await;
    }
}

impl Scene {
    async fn on(postgres: Option<TestDatabase>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ambient) = dokuei_testkit::test_ambient(5);
        let store = ImageStore::connect(&format!("file://{}", folder.path().join("store").display())).await.unwrap();
        let sqlite = format!("sqlite://{}", folder.path().join("dokuei.db").display());
        let url = postgres.as_ref().map_or(sqlite, |postgres| postgres.url().to_owned());
        let database = Database::open(&url).await.unwrap();
        let mut tx = database.write().await.unwrap();
        for facility in ["HOSP1", "HOSP2"] {
            tx.facility_ensure(&issuer(facility), ambient.now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let reception = IngestSettings {
            settle_quiet_seconds: 60,
            settle_patience_seconds: 300,
            max_object_bytes: 1 << 30,
            low_water_bytes: 0,
        };
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), reception);
        let commitments = Commitments::new(database.clone(), store.clone(), ambient.clone(), settings());
        Self { clock, ambient, database, store, ingest, commitments, folder, _postgres: postgres }
    }

    /// Another process on the same database and store: a second node, or this one after a restart.
    fn another(&self) -> Arc<Commitments> {
        Commitments::new(self.database.clone(), self.store.clone(), self.ambient.clone(), settings())
    }

    async fn store(&self, facility: &str, sop: &str) {
        let origin = Origin {
            facility: issuer(facility),
            calling: AeTitle::parse(facility).unwrap(),
            called: AeTitle::parse("DOKUEI").unwrap(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            opens_case: true,
            association: 1,
        };
        let head = ObjectHead {
            sop_class: SopClassUid::parse(CT).unwrap(),
            sop_instance: SopInstanceUid::parse(sop).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        };
        let mut incoming = self.ingest.begin(&origin, head).await.unwrap();
        let image = CtImage::new("1.2.1", "1.2.1.1", sop);
        incoming.write(image.data_set(Encoding::ExplicitLittleEndian).into()).await.unwrap();
        incoming.finish().await.unwrap();
    }

    /// The file of a stored object.
    async fn file(&self, facility: &str, sop: &str) -> std::path::PathBuf {
        let (facility, sop) = (FacilityId::parse(facility).unwrap(), SopInstanceUid::parse(sop).unwrap());
        let row = self.database.read().await.unwrap().instance_by_uid(&facility, &sop).await.unwrap().unwrap();
        let key = BlobKey::parse(&row.blob_key).unwrap();
        let name = key.as_str().rsplit('/').next().unwrap().to_owned();
        let mut folders = vec![self.folder.path().join("store")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.to_string_lossy().contains(&name) => return path,
                    false => {}
                }
            }
        }
        panic!("no file for {key}")
    }

    async fn run(&self, commitments: &Arc<Commitments>) {
        let (handlers, periodics) = (commitments.handlers(), commitments.periodics());
        let settings = RunnerSettings::new("test");
        let runner = Runner::new(self.database.clone(), self.ambient.clone(), handlers, periodics, settings);
        runner.run_until_idle().await.unwrap();
    }

    async fn row(&self) -> CommitmentRow {
        let mut rows = self.commitments.list(&Actor::CommandLine, false, 100).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    async fn dead_jobs(&self) -> Vec<String> {
        let jobs = self.database.read().await.unwrap().job_list(100).await.unwrap();
        jobs.into_iter()
            .filter(|job| job.queue == QUEUE && job.state == "dead")
            .map(|job| job.last_error.unwrap_or_default())
            .collect()
    }
}

fn settings() -> CommitmentSettings {
    CommitmentSettings { max_attempts: 3, ..CommitmentSettings::new(AeTitle::parse("DOKUEI").unwrap()) }
}

fn issuer(facility: &str) -> FacilityIssuer {
    FacilityIssuer {
        facility: FacilityId::parse(facility).unwrap(),
        issuer: format!("1.2.392.{}", &facility[4..]),
        aliases: vec![],
    }
}

fn peer(facility: &str) -> CommitmentPeer {
    CommitmentPeer {
        facility: FacilityId::parse(facility).unwrap(),
        calling: AeTitle::parse(facility).unwrap(),
        association: 1,
    }
}

fn reference(class: &str, sop: &str) -> InstanceReference {
    InstanceReference {
        sop_class: SopClassUid::parse(class).unwrap(),
        sop_instance: SopInstanceUid::parse(sop).unwrap(),
    }
}

fn request(transaction: &str, sops: &[&str]) -> CommitmentRequest {
    CommitmentRequest {
        transaction: Uid::parse(transaction).unwrap(),
        references: sops.iter().map(|sop| reference(CT, sop)).collect(),
    }
}

/// An association that remembers what it was given.
#[derive(Default)]
struct Recorded {
    results: Mutex<Vec<CommitmentResult>>,
    gone: AtomicBool,
}

impl Recorded {
    fn link(self: &Arc<Self>) -> Option<Arc<dyn ResultLink>> {
        Some(Arc::clone(self) as Arc<dyn ResultLink>)
    }

    fn take(&self) -> Vec<CommitmentResult> {
        std::mem::take(&mut self.results.lock().unwrap())
    }
}

#[async_trait]
impl ResultLink for Recorded {
    async fn report(&self, result: &CommitmentResult) -> Result<(), UndeliveredResult> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(UndeliveredResult::Gone);
        }
        self.results.lock().unwrap().push(result.clone());
        Ok(())
    }
}

#[tokio::test]
async fn only_what_was_read_again_and_is_equal_is_committed() {
    on_both(|scene| async move {
        for sop in ["1.1", "1.2", "1.3", "1.4"] {
            scene.store("HOSP1", sop).await;
        }
        scene.store("HOSP2", "2.1").await;
        let damaged = scene.file("HOSP1", "1.2").await;
        let mut bytes = std::fs::read(&damaged).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let mut permissions = damaged.metadata().unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&damaged, permissions).unwrap();
        std::fs::write(&damaged, bytes).unwrap();
        std::fs::remove_file(scene.file("HOSP1", "1.3").await).unwrap();
        let association = Arc::new(Recorded::default());
        let mut asked = request("2.25.1", &["1.1", "1.2", "1.3", "9.9", "2.1"]);
        asked.references.push(reference(MR, "1.4"));

        scene.commitments.request(&peer("HOSP1"), &asked, association.link()).await.unwrap();
        scene.run(&scene.commitments).await;

        let results = association.take();
        assert_eq!(results.len(), 1);
        assert_eq!((results[0].transaction.as_str(), results[0].event_type()), ("2.25.1", 2));
        assert_eq!(results[0].committed, [reference(CT, "1.1")]);
        let failed = |class, sop, reason| FailedReference { reference: reference(class, sop), reason };
        assert_eq!(
            results[0].failed,
            [
                failed(CT, "1.2", 0x0110),
                failed(CT, "1.3", 0x0110),
                failed(CT, "9.9", 0x0112),
                failed(CT, "2.1", 0x0112),
                failed(MR, "1.4", 0x0119),
            ]
        );
        assert_eq!(scene.row().await.state, CommitmentState::Answered);
        assert_eq!(scene.dead_jobs().await, [] as [String; 0]);
        // A second run of everything says nothing twice.
        scene.run(&scene.commitments).await;
        assert_eq!(association.take(), []);
    })
    .await;
}

#[tokio::test]
async fn what_is_hidden_is_not_committed() {
    on_both(|scene| async move {
        scene.store("HOSP1", "1.1").await;
        let facility = FacilityId::parse("HOSP1").unwrap();
        let study = dokuei_domain::StudyUid::parse("1.2.1").unwrap();
        let study = scene.database.read().await.unwrap().study_by_uid(&facility, &study).await.unwrap().unwrap();
        scene.ingest.withdraw(&Actor::CommandLine, study.pk, "wrong patient").await.unwrap();
        let association = Arc::new(Recorded::default());

        scene.commitments.request(&peer("HOSP1"), &request("2.25.1", &["1.1"]), association.link()).await.unwrap();
        scene.run(&scene.commitments).await;

        let failed = &association.take()[0].failed;
        assert_eq!((failed.len(), failed[0].reason), (1, 0x0112));
    })
    .await;
}

#[tokio::test]
async fn the_same_request_is_answered_again_and_another_under_its_uid_is_refused() {
    on_both(|scene| async move {
        scene.store("HOSP1", "1.1").await;
        let association = Arc::new(Recorded::default());
        let ask = |sops: &'static [&'static str]| {
            let (commitments, link) = (Arc::clone(&scene.commitments), association.link());
            async move { commitments.request(&peer("HOSP1"), &request("2.25.1", sops), link).await }
        };

        ask(&["1.1"]).await.unwrap();
        // Twice before the first was looked at: one request.
        ask(&["1.1"]).await.unwrap();
        scene.run(&scene.commitments).await;
        assert_eq!(association.take().len(), 1);

        ask(&["1.1"]).await.unwrap();
        scene.run(&scene.commitments).await;
        let again = association.take();
        assert_eq!((again.len(), again[0].event_type()), (1, 1));

        let refused = ask(&["1.1", "1.2"]).await;
        assert!(matches!(refused, Err(CommitmentError::DuplicateTransaction)), "{refused:?}");
        scene.run(&scene.commitments).await;
        assert_eq!(association.take(), [], "nothing is said about a refused request");
        assert_eq!(scene.row().await.instance_count, 1);

        // What was true then is not true any more, and the answer says so.
        std::fs::remove_file(scene.file("HOSP1", "1.1").await).unwrap();
        ask(&["1.1"]).await.unwrap();
        scene.run(&scene.commitments).await;
        assert_eq!(association.take()[0].failed[0].reason, 0x0110);
    })
    .await;
}

#[tokio::test]
async fn a_result_without_a_way_waits_until_the_peer_comes_back() {
    on_both(|scene| async move {
        scene.store("HOSP1", "1.1").await;
        let gone = Arc::new(Recorded::default());
        gone.gone.store(true, Ordering::Relaxed);

        scene.commitments.request(&peer("HOSP1"), &request("2.25.1", &["1.1"]), gone.link()).await.unwrap();
        scene.run(&scene.commitments).await;

        let row = scene.row().await;
        assert_eq!(row.state, CommitmentState::Waiting);
        let said = row.last_error.unwrap();
        assert!(said.contains("dokuei facility edit --id HOSP1 --commitment-target dicom:HOSP1@HOST:PORT"), "{said}");
        assert_eq!(scene.dead_jobs().await, [said]);

        // A restart later it asks about something else.
        let node = scene.another();
        let association = Arc::new(Recorded::default());
        node.request(&peer("HOSP1"), &request("2.25.2", &["1.1"]), association.link()).await.unwrap();
        scene.run(&node).await;
        let mut told: Vec<_> = association.take().iter().map(|result| result.transaction.to_string()).collect();
        told.sort();
        assert_eq!(told, ["2.25.1", "2.25.2"]);
        assert_eq!(scene.dead_jobs().await, [] as [String; 0]);
        assert_eq!(scene.commitments.list(&Actor::CommandLine, true, 10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_is_down_is_tried_again_and_given_up_visibly() {
    on_both(|scene| async move {
        scene.store("HOSP1", "1.1").await;
        // A port that was just free.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut tx = scene.database.write().await.unwrap();
        let at = peer("HOSP1");
        let target = dokuei_database::CommitmentTargetRow {
            calling: at.calling.clone(),
            host: "127.0.0.1".to_owned(),
            port,
            tls: false,
        };
        tx.commitment_target_set(&at.facility, &target, scene.ambient.now()).await.unwrap();
        tx.commit().await.unwrap();

        scene.commitments.request(&at, &request("2.25.1", &["1.1"]), None).await.unwrap();
        for attempt in 1..=3 {
            scene.run(&scene.commitments).await;
            let row = scene.row().await;
            let expected = if attempt < 3 { CommitmentState::Answering } else { CommitmentState::Failed };
            assert_eq!(row.state, expected, "{attempt}");
            assert!(row.last_error.unwrap().contains(&format!("HOSP1 at 127.0.0.1:{port}")));
            scene.clock.advance(std::time::Duration::from_secs(700));
        }
        let dead = scene.dead_jobs().await;
        assert!(dead.len() == 1 && dead[0].contains("after 3 attempts"), "{dead:?}");
        scene.run(&scene.commitments).await;
        assert_eq!(scene.row().await.state, CommitmentState::Failed, "nothing tries for ever");

        // The button of the dead list.
        let jobs = scene.database.read().await.unwrap().job_list(10).await.unwrap();
        let job = jobs.into_iter().find(|job| job.queue == QUEUE).unwrap();
        let mut tx = scene.database.write().await.unwrap();
        assert!(tx.job_revive(job.id, scene.ambient.now()).await.unwrap());
        tx.commit().await.unwrap();
        scene.run(&scene.commitments).await;
        assert_eq!(scene.row().await.state, CommitmentState::Answering);
    })
    .await;
}

#[tokio::test]
async fn another_node_leaves_the_result_to_the_one_that_holds_the_association() {
    on_both(|scene| async move {
        scene.store("HOSP1", "1.1").await;
        let other = scene.another();
        let association = Arc::new(Recorded::default());
        scene.commitments.request(&peer("HOSP1"), &request("2.25.1", &["1.1"]), association.link()).await.unwrap();

        // The other node is faster: it reads the objects, and leaves the answer.
        scene.run(&other).await;
        assert_eq!(scene.row().await.state, CommitmentState::Answering);
        scene.clock.advance(std::time::Duration::from_secs(2));
        scene.run(&scene.commitments).await;
        assert_eq!(association.take().len(), 1);

        // The node that held the next one dies: after a while the other one does what it can.
        scene.commitments.request(&peer("HOSP1"), &request("2.25.2", &["1.1"]), association.link()).await.unwrap();
        scene.run(&other).await;
        scene.clock.advance(std::time::Duration::from_secs(61));
        scene.run(&other).await;
        let rows = scene.commitments.list(&Actor::CommandLine, true, 10).await.unwrap();
        assert_eq!((rows.len(), rows[0].state), (1, CommitmentState::Waiting));
    })
    .await;
}

#[tokio::test]
async fn a_check_that_was_interrupted_goes_on_where_it_stopped() {
    on_both(|scene| async move {
        let sops: Vec<String> = (0..300).map(|number| format!("1.{number}")).collect();
        for sop in &sops {
            scene.store("HOSP1", sop).await;
        }
        let sops: Vec<&str> = sops.iter().map(String::as_str).collect();
        let association = Arc::new(Recorded::default());
        scene.commitments.request(&peer("HOSP1"), &request("2.25.1", &sops), association.link()).await.unwrap();
        let row = scene.row().await;
        // The node stopped after the first batch, in which one was found damaged that is whole now.
        let mut outcome = vec![0u8; 512];
        outcome[2..4].copy_from_slice(&0x0110u16.to_le_bytes());
        let mut tx = scene.database.write().await.unwrap();
        tx.commitment_progress(row.id, &outcome).await.unwrap();
        tx.commit().await.unwrap();

        scene.run(&scene.commitments).await;

        let result = association.take().remove(0);
        assert_eq!((result.committed.len(), result.failed.len()), (299, 1));
        assert_eq!(result.failed[0].reference, reference(CT, "1.1"), "what was read was not read again");
    })
    .await;
}
