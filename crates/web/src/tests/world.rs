//! A whole node behind the router, without sockets: real use cases on SQLite, a hospital that sends, people who sign in.

use std::{collections::HashMap, net::Ipv4Addr, path::Path, sync::Arc};

use bytes::Bytes;
use dokuei_access::{
    Access, AccessSettings, Enrolment, Language, NewAccount, NewFacility, NewReader, NodeKeys, PasswordCost,
    ReturnTarget,
};
use dokuei_archive::{
    Archive,
    custody::{AdoptionWalk, CopyTarget, Custody, CustodySettings, UnindexedBlobs},
};
use dokuei_database::Database;
use dokuei_domain::{
    AccountId, Actor, AeTitle, Ambient, FacilityId, JobId, PersonName, Role, SopClassUid, SopInstanceUid,
    TransferSyntaxUid, hours::OnDutyHours,
};
use dokuei_image_store::{ImageStore, StoreOptions};
use dokuei_ingest::{Ingest, IngestError, IngestSettings, ObjectHead, Origin, Stored};
use dokuei_jobs::{Runner, RunnerSettings};
use dokuei_report::{ReportSettings, Reports};
use dokuei_testkit::data_set::{Tag, data_set_of, value_of};
use dokuei_web::{DeadJob, Operations, WebSettings, WebState};
use dokuei_worklist::{Worklist, WorklistSettings};

const QUIET_SECONDS: i64 = 0;

pub(crate) struct World {
    pub(crate) state: WebState,
    pub(crate) database: Database,
    pub(crate) ambient: Ambient,
    pub(crate) people: HashMap<&'static str, Enrolment>,
}

/// The node's operations as a test sets them.
struct Calm(Database);

#[async_trait::async_trait]
impl Operations for Calm {
    async fn ready(&self) -> Result<(), String> {
        self.0.read().await.map(drop).map_err(|error| error.chain())
    }

    async fn dead_jobs(&self, _: &Actor) -> Result<Vec<DeadJob>, String> {
        let id = JobId(uuid::Uuid::from_u128(9));
        Ok(vec![DeadJob { id, queue: "deliver".to_owned(), ended_at: None, error: "connection refused".to_owned() }])
    }

    async fn retry_dead_job(&self, _: &Actor, job: JobId) -> Result<bool, String> {
        Ok(job == JobId(uuid::Uuid::from_u128(9)))
    }
}

/// Nothing is outside of this world's index.
struct Nothing;

#[async_trait::async_trait]
impl UnindexedBlobs for Nothing {
    async fn begin(&self, _: Option<dokuei_domain::Timestamp>) -> Result<Box<dyn AdoptionWalk>, String> {
        Err("nothing is adopted here".to_owned())
    }
}

/// With a second copy beside the store.
fn custody(folder: &Path, database: &Database, store: &ImageStore, ambient: &Ambient) -> Arc<Custody> {
    let copy =
        CopyTarget { url: format!("file://{}", folder.join("copy").display()), options: StoreOptions::default() };
    let settings = CustodySettings {
        scrub_days: 30,
        bytes_per_second: 0,
        reconcile_full_days: 7,
        copy: Some(copy),
        copy_low_water_bytes: 0,
        worker: "test".to_owned(),
        only_node: true,
    };
    let (database, store, ambient) = (database.clone(), store.clone(), ambient.clone());
    Custody::new(database, store, ambient, settings, Arc::new(Nothing), Arc::new(|| false))
}

impl World {
    /// Two hospitals, two readers, and everybody else.
    pub(crate) async fn new(folder: &Path, ambient: Ambient) -> Self {
        let database = Database::open(&format!("sqlite://{}", folder.join("dokuei.db").display())).await.unwrap();
        let store = ImageStore::connect(&format!("file://{}", folder.join("store").display())).await.unwrap();
        let keys = Arc::new(NodeKeys::create(&folder.join("keys"), &ambient, "読影テストNPO").unwrap());
        let title = AeTitle::parse("DOKUEI").unwrap();
        let mut settings = AccessSettings::new(title.clone());
        settings.password_cost = PasswordCost { memory_kib: 64, passes: 1, lanes: 1 };
        settings.sign_in_links = true;
        let access = Arc::new(Access::new(database.clone(), ambient.clone(), keys, settings));
        let reception = IngestSettings {
            settle_quiet_seconds: QUIET_SECONDS,
            settle_patience_seconds: 5 * QUIET_SECONDS,
            max_object_bytes: 1 << 30,
            low_water_bytes: 0,
        };
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), reception);
        let worklist = Arc::new(Worklist::new(database.clone(), ambient.clone(), WorklistSettings::default()));
        let returns = ReportSettings::new(title, "読影テストNPO");
        let reports = Reports::new(database.clone(), store.clone(), ambient.clone(), Arc::clone(&access), returns);
        let state = WebState {
            access,
            ingest,
            archive: Arc::new(Archive::new(database.clone(), store.clone())),
            custody: custody(folder, &database, &store, &ambient),
            worklist,
            reports,
            operations: Arc::new(Calm(database.clone())),
            claim_key: [5; 32],
            settings: WebSettings::new("読影テストNPO", "0.1.0"),
        };
        let mut world = Self { state, database, ambient, people: HashMap::new() };
        world.hospital("HOSP1", "みなと中央病院", "1.2.392.1").await;
        world.hospital("HOSP2", "さくら台クリニック", "1.2.392.2").await;
        world.reader("R1", "Yamada^Taro=山田^太郎=やまだ^たろう").await;
        world.reader("R2", "Suzuki^Hanako=鈴木^花子=すずき^はなこ").await;
        world.person("F1", Role::Facility, Some("HOSP1")).await;
        world.person("F2", Role::Facility, Some("HOSP2")).await;
        world.person("O1", Role::Office, None).await;
        world.person("A1", Role::Administrator, None).await;
        world.person("A2", Role::Administrator, None).await;
        world
    }

    async fn hospital(&mut self, id: &str, name: &str, issuer: &str) {
        let new = NewFacility {
            id: facility(id),
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            aliases: Vec::new(),
            peers: vec![dokuei_access::PeerSpecification::parse(id, None).unwrap()],
            // Nobody listens there: deliveries fail until a person looks.
            return_targets: vec![ReturnTarget::parse("dicom:PACS@127.0.0.1:1").unwrap()],
        };
        self.state.access.facility_add(&Actor::CommandLine, new).await.unwrap();
    }

    async fn reader(&mut self, id: &'static str, name: &str) {
        let new = NewReader {
            id: account(id),
            name: PersonName::parse(name),
            organisation: "読影テストNPO".to_owned(),
            modalities: vec!["CT".to_owned(), "MR".to_owned()],
            hours: OnDutyHours::always(),
            language: Language::Japanese,
        };
        let enrolment = self.state.access.reader_add(&Actor::CommandLine, new).await.unwrap();
        self.people.insert(id, enrolment);
    }

    async fn person(&mut self, id: &'static str, role: Role, of: Option<&str>) {
        let display_name = format!("{id} さん");
        let new = NewAccount {
            id: account(id),
            role,
            facility: of.map(facility),
            display_name,
            language: Language::Japanese,
        };
        let enrolment = self.state.access.account_add(&Actor::CommandLine, new).await.unwrap();
        self.people.insert(id, enrolment);
    }

    /// The code that the person's authenticator shows now.
    pub(crate) fn code(&self, person: &str) -> String {
        let secret = totp_rs::Secret::try_from_base32(&self.people[person].totp_secret_base32).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        totp.generate((self.ambient.now().micros() / 1_000_000).try_into().unwrap()).to_string()
    }

    /// Sends Part 10 files of one study over one association and does the work that follows.
    pub(crate) async fn send(&self, from: &str, files: &[Vec<u8>]) {
        for (number, sent) in self.try_send(from, files).await.into_iter().enumerate() {
            assert!(sent.is_ok(), "file {number} was refused: {sent:?}");
        }
    }

    /// Sends files, whatever becomes of each.
    pub(crate) async fn try_send(&self, from: &str, files: &[Vec<u8>]) -> Vec<Result<Stored, IngestError>> {
        let mut outcomes = Vec::new();
        let issuer = self.state.access.facility_issuer(&facility(from)).await.unwrap().unwrap();
        let origin = Origin {
            facility: issuer,
            calling: AeTitle::parse(from).unwrap(),
            called: AeTitle::parse("DOKUEI").unwrap(),
            address: Ipv4Addr::LOCALHOST.into(),
            opens_case: true,
            association: 1,
        };
        for file in files {
            let text = |tag| String::from_utf8(value_of(file, tag).unwrap().unwrap().to_vec()).unwrap();
            let uid = |tag| text(tag).trim_end_matches(['\0', ' ']).to_owned();
            let head = ObjectHead {
                sop_class: SopClassUid::parse(&uid(Tag(0x0008, 0x0016))).unwrap(),
                sop_instance: SopInstanceUid::parse(&uid(Tag(0x0008, 0x0018))).unwrap(),
                transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            };
            let mut incoming = self.state.ingest.begin(&origin, head).await.unwrap();
            incoming.write(Bytes::from(data_set_of(file).unwrap().to_vec())).await.unwrap();
            outcomes.push(incoming.finish().await);
        }
        self.state.ingest.association_ended(1).await;
        self.work().await;
        outcomes
    }

    /// Runs every job that is due.
    pub(crate) async fn work(&self) {
        let WebState { ingest, worklist, reports, .. } = &self.state;
        let handlers = [ingest.handlers(), worklist.handlers(), reports.handlers()].concat();
        let runner =
            Runner::new(self.database.clone(), self.ambient.clone(), handlers, Vec::new(), RunnerSettings::new("test"));
        runner.run_until_idle().await.unwrap();
    }
}

pub(crate) fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub(crate) fn facility(id: &str) -> FacilityId {
    FacilityId::parse(id).unwrap()
}
