//! A node's storing half with a second place, and a clock that stands still.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dokuei_database::BlobDamageRow;
use dokuei_domain::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid, patient::FacilityIssuer};
use dokuei_ingest::{Adoption, Ingest, IngestSettings, NotAdopted, ObjectHead, Origin};
use dokuei_testkit::{FakeClock, TestDatabase, data_set::Encoding, synthetic::CtImage};

use super::super::*;

/// A node's storing half, and a second place.
pub(super) struct Scene {
    pub(super) clock: FakeClock,
    pub(super) ambient: Ambient,
    pub(super) database: Database,
    pub(super) store: ImageStore,
    pub(super) ingest: Arc<Ingest>,
    pub(super) custody: Arc<Custody>,
    pub(super) folder: tempfile::TempDir,
    _postgres: Option<TestDatabase>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const OFFICE: Actor = Actor::CommandLine;

pub(super) async fn on_both<F: Future<Output = ()>>(story: impl Fn(Scene) -> F) {
    story(Scene::on(None).await).await;
    if let Some(postgres) = TestDatabase::postgres() {
        story(Scene::on(Some(postgres)).await).await;
    }
}

struct Adopter(Arc<Ingest>);
struct Walk(Adoption);

#[async_trait::async_trait]
impl UnindexedBlobs for Adopter {
    async fn begin(&self, since: Option<Timestamp>) -> Result<Box<dyn AdoptionWalk>, String> {
        let adoption = Adoption::begin(Arc::clone(&self.0), since).await.map_err(|error| error.to_string())?;
        Ok(Box::new(Walk(adoption)))
    }
}

impl Walk {
    fn refused(&mut self) -> Vec<NotAdoptable> {
        let refused = self.0.drain_not_adopted();
        refused.into_iter().map(|NotAdopted { key, reason }| NotAdoptable { key, reason }).collect()
    }
}

#[async_trait::async_trait]
impl AdoptionWalk for Walk {
    async fn take(&mut self, key: &BlobKey, size: u64) -> Result<Vec<NotAdoptable>, String> {
        self.0.take(key, size).await.map_err(|error| error.to_string())?;
        Ok(self.refused())
    }

    async fn finish(mut self: Box<Self>) -> Result<(u64, Vec<NotAdoptable>), String> {
        let summary = self.0.finish().await.map_err(|error| error.to_string())?;
        Ok((summary.added + summary.quarantined, self.refused()))
    }
}

impl Scene {
    pub(super) async fn on(postgres: Option<TestDatabase>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, ambient) = dokuei_testkit::test_ambient(8);
        let store = ImageStore::connect(&format!("file://{}", folder.path().join("store").display())).await.unwrap();
        let sqlite = format!("sqlite://{}", folder.path().join("dokuei.db").display());
        let url = postgres.as_ref().map_or(sqlite, |postgres| postgres.url().to_owned());
        let database = open(&url, &ambient).await;
        let ingest = Ingest::new(database.clone(), store.clone(), ambient.clone(), reception());
        let custody = custody(&database, &store, &ambient, &ingest, settings(folder.path()));
        Self { clock, ambient, database, store, ingest, custody, folder, _postgres: postgres }
    }

    /// The same store with an index that knows nothing, as after a restore from before everything.
    pub(super) async fn with_lost_index(&self, settings: CustodySettings) -> (Database, Arc<Ingest>, Arc<Custody>) {
        let url = format!("sqlite://{}", self.folder.path().join("new.db").display());
        let database = Database::open(&url).await.unwrap();
        let ingest = Ingest::new(database.clone(), self.store.clone(), self.ambient.clone(), reception());
        let custody = custody(&database, &self.store, &self.ambient, &ingest, settings);
        (database, ingest, custody)
    }

    pub(super) async fn send(&self, sop: &str, spoil: bool) -> String {
        let head = ObjectHead {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: SopInstanceUid::parse(sop).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        };
        let mut data_set = CtImage::new("1.2.1", "1.2.1.1", sop).data_set(Encoding::ExplicitLittleEndian);
        if spoil {
            *data_set.last_mut().unwrap() ^= 1;
        }
        let mut incoming = self.ingest.begin(&origin(), head).await.unwrap();
        incoming.write(data_set.into()).await.unwrap();
        let stored = incoming.finish().await;
        assert_eq!(stored.is_err(), spoil, "{stored:?}");
        self.clock.advance(Duration::from_secs(1));
        if spoil { String::new() } else { self.key(sop).await }
    }

    pub(super) async fn key(&self, sop: &str) -> String {
        let (facility, sop) = (FacilityId::parse("HOSP1").unwrap(), SopInstanceUid::parse(sop).unwrap());
        let row = self.database.read().await.unwrap().instance_by_uid(&facility, &sop).await.unwrap();
        row.unwrap().blob_key
    }

    /// The file of a blob in one of the two places.
    pub(super) fn file(&self, place: &str, key: &str) -> PathBuf {
        let (start, name) = key.rsplit_once('/').unwrap();
        self.folder.path().join(place).join(start).join(&name[..6]).join(name)
    }

    pub(super) async fn open_damages(&self) -> Vec<BlobDamageRow> {
        self.custody.damages(&OFFICE).await.unwrap().0
    }

    pub(super) async fn run(&self, name: &str) {
        run(&self.custody, name).await.unwrap();
    }

    /// Everything is read again, as when its time has come.
    pub(super) async fn scrub(&self) {
        self.clock.advance(16 * DAY);
        self.run("scrub").await;
    }

    pub(super) async fn audited(&self, action: &str) -> Vec<String> {
        let rows = self.database.read().await.unwrap().audit_latest(100).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).map(|row| row.detail).collect()
    }
}

async fn open(url: &str, ambient: &Ambient) -> Database {
    let database = Database::open(url).await.unwrap();
    let mut tx = database.write().await.unwrap();
    tx.facility_ensure(&issuer(), ambient.now()).await.unwrap();
    tx.commit().await.unwrap();
    database
}

pub(super) fn custody(
    database: &Database,
    store: &ImageStore,
    ambient: &Ambient,
    ingest: &Arc<Ingest>,
    settings: CustodySettings,
) -> Arc<Custody> {
    let adopter = Arc::new(Adopter(Arc::clone(ingest)));
    Custody::new(database.clone(), store.clone(), ambient.clone(), settings, adopter, Arc::new(|| false))
}

pub(super) fn settings(folder: &Path) -> CustodySettings {
    let copy =
        CopyTarget { url: format!("file://{}", folder.join("copy").display()), options: StoreOptions::default() };
    CustodySettings {
        scrub_days: 30,
        bytes_per_second: 0,
        reconcile_full_days: 7,
        copy: Some(copy),
        copy_low_water_bytes: 0,
        worker: "one".to_owned(),
        only_node: true,
    }
}

fn reception() -> IngestSettings {
    IngestSettings {
        settle_quiet_seconds: 60,
        settle_patience_seconds: 300,
        max_object_bytes: 1 << 30,
        low_water_bytes: 0,
    }
}

fn issuer() -> FacilityIssuer {
    FacilityIssuer { facility: FacilityId::parse("HOSP1").unwrap(), issuer: "1.2.392.1".to_owned(), aliases: vec![] }
}

fn origin() -> Origin {
    Origin {
        facility: issuer(),
        calling: AeTitle::parse("HOSP1").unwrap(),
        called: AeTitle::parse("DOKUEI").unwrap(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        opens_case: true,
        association: 1,
    }
}

pub(super) async fn run(custody: &Arc<Custody>, name: &str) -> Result<(), String> {
    let walk = custody.periodics().into_iter().find(|walk| walk.name() == name).unwrap();
    walk.run().await
}

pub(super) fn flip(file: &Path, from_end: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

pub(super) fn kinds(damages: &[BlobDamageRow]) -> Vec<(&str, &str, &str)> {
    let mut kinds: Vec<_> =
        damages.iter().map(|damage| (damage.subject.as_str(), damage.place.as_str(), damage.kind.as_str())).collect();
    kinds.sort_unstable();
    kinds
}
