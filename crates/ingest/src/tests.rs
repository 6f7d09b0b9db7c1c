mod adopting;

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use dokuei_database::StudyState;
use dokuei_domain::{FacilityId, Role, StudyUid};
use dokuei_jobs::{Runner, RunnerSettings};
use dokuei_testkit::{FakeClock, data_set::Encoding, synthetic::CtImage};

use super::*;

mod completeness;
mod identity;
mod quarantine;
mod rejections;

/// A node's receiving half with a clock that stands still.
pub(crate) struct Scene {
    clock: FakeClock,
    ambient: Ambient,
    database: Database,
    store: ImageStore,
    pub(crate) ingest: Arc<Ingest>,
    folder: tempfile::TempDir,
}

const QUIET: i64 = 60;

fn settings() -> IngestSettings {
    IngestSettings {
        settle_quiet_seconds: QUIET,
        settle_patience_seconds: 5 * QUIET,
        max_object_bytes: 1 << 30,
        low_water_bytes: 0,
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ambient) = dokuei_testkit::test_ambient(3);
        let store = ImageStore::connect(&format!("file://{}", folder.path().join("store").display())).await.unwrap();
        let database = Self::open_database(folder.path(), "dokuei.db", &ambient).await;
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), settings());
        Self { clock, ambient, database, store, ingest, folder }
    }

    /// The same on PostgreSQL.
    async fn on_postgres(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ambient) = dokuei_testkit::test_ambient(4);
        let store = ImageStore::connect(&format!("file://{}", folder.path().join("store").display())).await.unwrap();
        let database = Database::open(url).await.unwrap();
        Self::make_facilities(&database, &ambient).await;
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), settings());
        Self { clock, ambient, database, store, ingest, folder }
    }

    /// Another node of the same installation.
    fn second_node(&self) -> Arc<Ingest> {
        Ingest::new(self.database.clone(), self.store.clone(), self.ambient.clone(), settings())
    }

    async fn open_database(folder: &std::path::Path, name: &str, ambient: &Ambient) -> Database {
        let database = Database::open(&format!("sqlite://{}", folder.join(name).display())).await.unwrap();
        Self::make_facilities(&database, ambient).await;
        database
    }

    async fn make_facilities(database: &Database, ambient: &Ambient) {
        let mut tx = database.write().await.unwrap();
        for facility in ["HOSP1", "HOSP2"] {
            tx.facility_ensure(&issuer(facility), ambient.now()).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    fn image(&self, study: &str, sop: &str) -> CtImage {
        CtImage::new(study, &format!("{study}.1"), sop)
    }

    pub(crate) async fn send(&self, from: &Origin, image: &CtImage) -> Result<Stored, IngestError> {
        self.send_bytes(from, &image.sop_instance_uid, image.data_set(Encoding::ExplicitLittleEndian)).await
    }

    async fn send_bytes(&self, from: &Origin, sop: &str, bytes: Vec<u8>) -> Result<Stored, IngestError> {
        self.send_object(&self.ingest, from, "1.2.840.10008.5.1.4.1.1.2", sop, bytes).await
    }

    async fn send_object(
        &self,
        ingest: &Arc<Ingest>,
        from: &Origin,
        class: &str,
        sop: &str,
        bytes: Vec<u8>,
    ) -> Result<Stored, IngestError> {
        let object = ObjectHead {
            sop_class: SopClassUid::parse(class).unwrap(),
            sop_instance: SopInstanceUid::parse(sop).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        };
        let mut incoming = ingest.begin(from, object).await?;
        for chunk in bytes.chunks(1000) {
            incoming.write(Bytes::copy_from_slice(chunk)).await?;
        }
        incoming.finish().await
    }

    pub(crate) async fn study(&self, facility: &str, uid: &str) -> Option<dokuei_database::StudyRow> {
        let mut tx = self.database.read().await.unwrap();
        tx.study_by_uid(&FacilityId::parse(facility).unwrap(), &StudyUid::parse(uid).unwrap()).await.unwrap()
    }

    pub(crate) async fn blobs(&self) -> usize {
        let (mut list, mut count) = (self.store.list("v1/"), 0);
        while list.next().await.unwrap().is_some() {
            count += 1;
        }
        count
    }

    async fn run_jobs(&self) -> Vec<String> {
        let runner = Runner::new(
            self.database.clone(),
            self.ambient.clone(),
            self.ingest.handlers(),
            self.ingest.periodics(),
            RunnerSettings::new("test"),
        );
        runner.run_until_idle().await.unwrap();
        let jobs = self.database.read().await.unwrap().job_list(100).await.unwrap();
        jobs.into_iter().map(|job| job.queue).collect()
    }
}

fn issuer(facility: &str) -> FacilityIssuer {
    FacilityIssuer {
        facility: FacilityId::parse(facility).unwrap(),
        issuer: format!("1.2.392.{}", facility.len()) + &facility[4..],
        aliases: vec![],
    }
}

pub(crate) fn from(facility: &str, association: u64) -> Origin {
    Origin {
        facility: issuer(facility),
        calling: AeTitle::parse(facility).unwrap(),
        called: AeTitle::parse("DOKUEI").unwrap(),
        address: Ipv4Addr::LOCALHOST.into(),
        opens_case: true,
        association,
    }
}

fn facility_user(facility: &str) -> Actor {
    Actor::Account {
        id: "U1".parse().unwrap(),
        role: Role::Facility,
        facility: Some(FacilityId::parse(facility).unwrap()),
    }
}

fn office() -> Actor {
    Actor::Account { id: "O1".parse().unwrap(), role: Role::Office, facility: None }
}

/// On each kind of database, one after the other. PostgreSQL is skipped, loudly, only where it is not installed and not required.
async fn on_both<F, Fut>(test: F)
where
    F: Fn(Arc<Scene>) -> Fut,
    Fut: Future<Output = ()>,
{
    test(Arc::new(Scene::new().await)).await;
    let Some(postgres) = dokuei_testkit::TestDatabase::postgres() else { return };
    let scene = Arc::new(Scene::on_postgres(postgres.url()).await);
    test(Arc::clone(&scene)).await;
    scene.database.close().await;
}

#[tokio::test]
async fn an_acknowledged_object_is_indexed_and_its_data_set_is_kept_byte_for_byte() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");

    let stored = scene.send(&from("HOSP1", 1), &image).await.unwrap();

    let Stored::New { id, .. } = stored else { panic!("{stored:?}") };
    let instance = scene.database.read().await.unwrap().instance_by_id(id).await.unwrap().unwrap();
    let key = dokuei_image_store::BlobKey::parse(&instance.blob_key).unwrap();
    let file = scene.store.read_to_vec(&key, 1 << 20).await.unwrap();
    assert_eq!(
        &file[usize::try_from(instance.dataset_offset).unwrap()..],
        image.data_set(Encoding::ExplicitLittleEndian)
    );
    let study = scene.study("HOSP1", "1.2.1").await.unwrap();
    assert_eq!((study.instance_count, study.series_count, study.modalities.as_str()), (1, 1, "CT"));
    assert_eq!(study.state, StudyState::Receiving);
}

#[tokio::test]
async fn the_same_bytes_again_change_nothing_and_other_bytes_go_to_quarantine() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");
    scene.send(&from("HOSP1", 1), &image).await.unwrap();

    let again = scene.send(&from("HOSP1", 2), &image).await.unwrap();
    assert!(matches!(again, Stored::AlreadyStored { .. }), "{again:?}");
    assert_eq!((scene.blobs().await, scene.study("HOSP1", "1.2.1").await.unwrap().instance_count), (1, 1));

    let mut other = image.data_set(Encoding::ExplicitLittleEndian);
    *other.last_mut().unwrap() ^= 1;
    for _ in 0..2 {
        let refused = scene.send_bytes(&from("HOSP1", 2), "1.2.1.1.1", other.clone()).await;
        assert!(matches!(refused, Err(IngestError::Quarantined(QuarantineReason::SameUidOtherContent))), "{refused:?}");
    }
    let held = scene.ingest.quarantine(&Actor::System("test")).await.unwrap();
    assert_eq!((held.len(), held[0].sop_instance.as_str()), (1, "1.2.1.1.1"), "kept once, for the office");
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, 1);
}

#[tokio::test]
async fn the_same_uids_from_two_hospitals_are_two_studies_of_two_patients() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");

    scene.send(&from("HOSP1", 1), &image).await.unwrap();
    scene.send(&from("HOSP2", 2), &image).await.unwrap();

    let (first, second) = (scene.study("HOSP1", "1.2.1").await.unwrap(), scene.study("HOSP2", "1.2.1").await.unwrap());
    assert_eq!(first.patient.id, second.patient.id);
    assert_ne!(first.patient.pk, second.patient.pk);
}

#[tokio::test]
async fn an_image_of_another_patient_never_joins_a_study() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();

    let stranger = scene.image("1.2.1", "1.2.1.1.2").with_patient("777", b"SUZUKI^HANAKO", "");
    let refused = scene.send(&from("HOSP1", 1), &stranger).await;

    assert!(matches!(refused, Err(IngestError::Quarantined(QuarantineReason::StudyOfAnotherPatient))), "{refused:?}");
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, 1);
}

#[tokio::test]
async fn four_associations_with_the_first_images_of_a_patient_make_one_patient() {
    let scene = Arc::new(Scene::new().await);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..4u64 {
        let scene = Arc::clone(&scene);
        senders.spawn(async move {
            for number in 0..10 {
                let sop = format!("1.2.1.1.{sender}.{number}");
                scene.send(&from("HOSP1", sender), &scene.image("1.2.1", &sop)).await.unwrap();
            }
        });
    }
    senders.join_all().await;

    let study = scene.study("HOSP1", "1.2.1").await.unwrap();
    assert_eq!((study.instance_count, study.series_count), (40, 1));
}

#[tokio::test]
async fn what_cannot_be_filed_is_refused_and_kept_for_the_office() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");
    let whole = image.data_set(Encoding::ExplicitLittleEndian);

    let mismatch = scene.send_bytes(&from("HOSP1", 1), "1.2.1.1.9", whole.clone()).await;
    assert!(matches!(mismatch, Err(IngestError::SopInstanceMismatch)), "{mismatch:?}");
    let garbage = scene.send_bytes(&from("HOSP1", 1), "1.2.1.1.1", vec![0xFF; 5000]).await;
    assert!(matches!(garbage, Err(IngestError::NotADataSet(_))), "{garbage:?}");
    let cut = scene.send_bytes(&from("HOSP1", 1), "1.2.1.1.1", whole[..60].to_vec()).await;
    assert!(matches!(cut, Err(IngestError::NotADataSet(_) | IngestError::Unfileable(_))), "{cut:?}");

    assert_eq!((scene.blobs().await, scene.study("HOSP1", "1.2.1").await), (3, None));
    let mut reasons: Vec<_> =
        scene.ingest.quarantine(&office()).await.unwrap().into_iter().map(|row| row.reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["disagrees_with_command", "unreadable", "unreadable"]);
}

#[tokio::test]
async fn a_study_settles_when_it_is_quiet_and_its_association_has_ended() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();

    scene.clock.advance(Duration::from_secs(600));
    scene.run_jobs().await;
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().state, StudyState::Receiving, "the sender is still there");

    scene.ingest.association_ended(1).await;
    scene.clock.advance(Duration::from_secs(QUIET as u64));
    let left = scene.run_jobs().await;
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().state, StudyState::Settled);
    assert!(left.contains(&"study_settled".to_owned()), "worklist is told: {left:?}");

    scene.send(&from("HOSP1", 2), &scene.image("1.2.1", "1.2.1.1.2")).await.unwrap();
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().state, StudyState::Receiving, "a late image reopens it");
}

#[tokio::test]
async fn the_facility_declares_complete_and_withdraws_its_own_studies_only() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
    let study = scene.study("HOSP1", "1.2.1").await.unwrap().pk;

    let stranger = scene.ingest.declare_complete(&facility_user("HOSP2"), study).await;
    assert!(matches!(stranger, Err(IngestError::NoSuchStudy)), "{stranger:?}");

    scene.ingest.declare_complete(&facility_user("HOSP1"), study).await.unwrap();
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().state, StudyState::Settled);

    scene.ingest.withdraw(&facility_user("HOSP1"), study, "別の患者").await.unwrap();
    let row = scene.study("HOSP1", "1.2.1").await.unwrap();
    assert_eq!((row.state, row.withdrawn_reason.as_deref()), (StudyState::Withdrawn, Some("別の患者")));
    let left = scene.run_jobs().await;
    assert!(left.contains(&"study_withdrawn".to_owned()), "{left:?}");
}

#[tokio::test]
async fn the_index_comes_back_from_the_blobs_alone() {
    let scene = Scene::new().await;
    for sop in ["1.2.1.1.1", "1.2.1.1.2"] {
        scene.send(&from("HOSP1", 1), &scene.image("1.2.1", sop)).await.unwrap();
    }
    scene.send(&from("HOSP2", 2), &scene.image("1.2.9", "1.2.9.1.1")).await.unwrap();
    let before = scene.study("HOSP1", "1.2.1").await.unwrap();

    let empty = Database::open(&format!("sqlite://{}", scene.folder.path().join("second.db").display())).await.unwrap();
    let ingest = Ingest::new(empty.clone(), scene.store.clone(), scene.ambient.clone(), settings());
    let summary = ingest.rebuild_index(|_| {}).await.unwrap();

    assert_eq!((summary.seen, summary.added, summary.unreadable.len()), (3, 3, 0));
    let uid = StudyUid::parse("1.2.1").unwrap();
    let after = empty.read().await.unwrap().study_by_uid(&before.facility, &uid).await.unwrap().unwrap();
    assert_eq!((after.instance_count, &after.patient.name, after.opens_case), (2, &before.patient.name, true));
    let again = ingest.rebuild_index(|_| {}).await.unwrap();
    assert_eq!((again.added, again.already_indexed), (0, 3));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_no_duplicate_of_itself() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");
    let Stored::New { id, .. } = scene.send(&from("HOSP1", 1), &image).await.unwrap() else { panic!("not new") };
    let row = scene.database.read().await.unwrap().instance_by_id(id).await.unwrap().unwrap();
    let mut facts = dokuei_dataset::HeadReader::new(&row.transfer_syntax, dokuei_dataset::HeadLimits::default());
    facts.push(&image.data_set(Encoding::ExplicitLittleEndian)).unwrap();
    let candidate = filing::Candidate {
        id,
        facility: issuer("HOSP1"),
        facts: facts.finish().unwrap().facts(&row.transfer_syntax).unwrap(),
        blob_key: dokuei_image_store::BlobKey::parse(&row.blob_key).unwrap(),
        size_bytes: 1,
        dataset_offset: 1,
        dataset_sha256: row.dataset_sha256,
        calling: "HOSP1".into(),
        received_at: scene.ambient.now(),
        opens_case: true,
        rejection_note: None,
        released: false,
    };
    let filer = filer::Filer::new(scene.database.clone(), scene.ambient.clone(), QUIET);

    let again = filer.file_all(&[candidate]).await.unwrap();

    assert!(matches!(again[0], filing::Filed::New { .. }), "{again:?}");
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().instance_count, 1);
}

#[tokio::test]
async fn a_prior_that_is_sent_again_to_be_read_opens_its_case() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1");
    scene.send(&Origin { opens_case: false, ..from("HOSP1", 1) }, &image).await.unwrap();
    scene.ingest.association_ended(1).await;
    scene.clock.advance(Duration::from_secs(QUIET as u64));
    scene.run_jobs().await;
    assert_eq!(scene.study("HOSP1", "1.2.1").await.unwrap().state, StudyState::Settled);

    scene.send(&from("HOSP1", 2), &image).await.unwrap();

    let study = scene.study("HOSP1", "1.2.1").await.unwrap();
    assert_eq!((study.opens_case, study.state, study.instance_count), (true, StudyState::Receiving, 1));
}

#[tokio::test]
async fn what_comes_after_a_withdrawal_is_kept_for_the_office_and_refused() {
    let scene = Scene::new().await;
    scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.1")).await.unwrap();
    let study = scene.study("HOSP1", "1.2.1").await.unwrap().pk;
    scene.ingest.withdraw(&facility_user("HOSP1"), study, "別の患者").await.unwrap();

    let late = scene.send(&from("HOSP1", 1), &scene.image("1.2.1", "1.2.1.1.2")).await;

    assert!(matches!(late, Err(IngestError::Quarantined(QuarantineReason::StudyWithdrawn))), "{late:?}");
    assert_eq!(scene.ingest.quarantine(&Actor::System("test")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_study_shows_the_name_it_came_with_and_says_that_it_differs() {
    let scene = Scene::new().await;
    let first = scene.image("1.2.1", "1.2.1.1.1").with_patient("777", b"YAMADA^TARO", "");
    let second = scene.image("1.2.2", "1.2.2.1.1").with_patient("777", b"SUZUKI^HANAKO", "");
    scene.send(&from("HOSP1", 1), &first).await.unwrap();
    scene.send(&from("HOSP1", 1), &second).await.unwrap();

    let (first, second) = (scene.study("HOSP1", "1.2.1").await.unwrap(), scene.study("HOSP1", "1.2.2").await.unwrap());
    assert_eq!(first.patient.pk, second.patient.pk);
    assert_eq!((first.patient.name.display().as_str(), first.patient.differs_from_earlier), ("YAMADA TARO", false));
    assert_eq!((second.patient.name.display().as_str(), second.patient.differs_from_earlier), ("SUZUKI HANAKO", true));
}

#[tokio::test]
async fn an_endless_patient_id_is_refused_on_every_database() {
    let scene = Scene::new().await;
    let image = scene.image("1.2.1", "1.2.1.1.1").with_patient("7".repeat(300), b"A^B", "");
    let refused = scene.send(&from("HOSP1", 1), &image).await;
    assert!(matches!(refused, Err(IngestError::TooLong { .. })), "{refused:?}");
    assert_eq!(scene.ingest.quarantine(&office()).await.unwrap()[0].reason, "illegal_value");
}
