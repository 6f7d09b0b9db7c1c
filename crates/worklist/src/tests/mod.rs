//! Stories of the worklist, each on both databases.

mod assigning;
mod claims;
mod listing;
mod opening;
mod signed;

use std::{future::Future, sync::Arc, time::Duration};

use dokuei_database::{
    AccountRow, AuditRow, CaseHead, Database, NewInstance, NewJob, ReaderRow, WorkitemRow as Workitem,
};
use dokuei_domain::{
    AccountId, Actor, Ambient, CaseId, FacilityId, InstanceId, JobId, PatientPk, PersonName, Role, SeriesPk, StudyPk,
    Timestamp,
    event::Event,
    facts::{InstanceFacts, PatientFacts},
    patient::PatientIdentity,
    uid::{SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid},
};
use dokuei_jobs::{Runner, RunnerSettings};
use dokuei_testkit::FakeClock;

use crate::{Worklist, WorklistEntry, WorklistFilter, WorklistSettings, WorklistView};

/// Runs a story on a fresh SQLite file and on a fresh PostgreSQL database.
async fn both<F, Fut>(story: F)
where
    F: Fn(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Database::open(&format!("sqlite://{}", folder.path().join("dokuei.db").display())).await.unwrap();
    story(World::new(sqlite).await).await;

    let Some(postgres) = dokuei_testkit::TestDatabase::postgres() else { return };
    let database = Database::open(postgres.url()).await.unwrap();
    story(World::new(database.clone()).await).await;
    database.close().await;
}

/// A node with two hospitals, on a Sunday at nine in the morning in Japan.
#[derive(Clone)]
struct World {
    database: Database,
    clock: FakeClock,
    ambient: Ambient,
    worklist: Arc<Worklist>,
}

const HOSPITALS: [&str; 2] = ["HOSP1", "HOSP2"];

impl World {
    async fn new(database: Database) -> Self {
        let (clock, ambient) = dokuei_testkit::test_ambient(11);
        let worklist = Arc::new(Worklist::new(database.clone(), ambient.clone(), WorklistSettings::default()));
        let mut tx = database.write().await.unwrap();
        for (n, id) in HOSPITALS.iter().enumerate() {
            tx.facility_insert(&facility(id), &format!("{id}病院"), &format!("1.2.392.{n}"), ambient.now())
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        Self { database, clock, ambient, worklist }
    }

    fn now(&self) -> Timestamp {
        self.ambient.now()
    }

    fn pass_minutes(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
    }

    /// Does what is due in the background, until nothing is.
    async fn settle_down(&self) {
        let settings = RunnerSettings::new("test");
        let (handlers, periodics) = (self.worklist.handlers(), self.worklist.periodics());
        Runner::new(self.database.clone(), self.ambient.clone(), handlers, periodics, settings)
            .run_until_idle()
            .await
            .unwrap();
        assert_eq!(
            self.database.read().await.unwrap().job_list(10).await.unwrap(),
            [],
            "no job failed or is left over"
        );
    }

    /// Only jobs; no reconciler may repair what an event should have done.
    async fn handle_events(&self) {
        let settings = RunnerSettings::new("test");
        Runner::new(self.database.clone(), self.ambient.clone(), self.worklist.handlers(), Vec::new(), settings)
            .run_until_idle()
            .await
            .unwrap();
        assert_eq!(
            self.database.read().await.unwrap().job_list(10).await.unwrap(),
            [],
            "no job failed or is left over"
        );
    }

    async fn account(&self, id: &str, role: Role, facility: Option<FacilityId>) -> Actor {
        let id = AccountId::parse(id).unwrap();
        let row = AccountRow {
            id: id.clone(),
            role,
            facility: facility.clone(),
            display_name: format!("利用者{id}"),
            language: "ja".into(),
            password_hash: "x".into(),
            password_changed_at: self.now(),
            totp_secret: vec![1],
            totp_last_step: 0,
            created_at: self.now(),
            disabled_at: None,
        };
        let mut tx = self.database.write().await.unwrap();
        assert!(tx.account_insert(&row).await.unwrap());
        tx.commit().await.unwrap();
        Actor::Account { id, role, facility }
    }

    async fn reader(&self, id: &str, modalities: &[&str], hours: &str) -> Actor {
        let actor = self.account(id, Role::Reader, None).await;
        let mut tx = self.database.write().await.unwrap();
        tx.reader_insert(&ReaderRow {
            account: AccountId::parse(id).unwrap(),
            name: PersonName::parse("Sato^Hanako=佐藤^花子"),
            organisation: "NPO".into(),
            hours: hours.into(),
            accepting_since: Some(self.now()),
            modalities: modalities.iter().map(|m| (*m).to_owned()).collect(),
            disabled_at: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        actor
    }

    async fn office(&self) -> Actor {
        self.account("O1", Role::Office, None).await
    }

    async fn disable(&self, actor: &Actor) {
        let mut tx = self.database.write().await.unwrap();
        assert!(tx.account_disable(actor.account().unwrap(), self.now()).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// Receives one more instance of a study.
    async fn receive(&self, hospital: &str, n: u32, modality: &str, opens_case: bool) -> StudyPk {
        let facility = facility(hospital);
        let instance = InstanceId(self.ambient.new_uuid());
        let series = modality.bytes().map(u32::from).sum::<u32>();
        let facts = InstanceFacts {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: SopInstanceUid::new(dokuei_domain::Uid::from_uuid(instance.0)),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            study: StudyUid::parse(&format!("1.2.3.{n}")).unwrap(),
            series: SeriesUid::parse(&format!("1.2.3.{n}.{series}")).unwrap(),
            patient: PatientFacts {
                id: format!("P{n}"),
                name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
                ..PatientFacts::default()
            },
            accession_number: String::new(),
            study_date: "20261122".into(),
            study_time: "0900".into(),
            study_id: String::new(),
            study_description: String::new(),
            referring_physician: PersonName::default(),
            modality: modality.into(),
            series_number: None,
            series_description: String::new(),
            body_part: "CHEST".into(),
            instance_number: None,
            number_of_frames: None,
            rows: None,
            columns: None,
            slice_position: None,
            window: None,
            charset_repaired: false,
        };
        let identity = PatientIdentity::Established { issuer: "1.2.392".into(), id: format!("P{n}") };
        let (now, patient_pk) = (self.now(), PatientPk(self.ambient.new_uuid()));
        let (study_pk, series_pk) = (StudyPk(self.ambient.new_uuid()), SeriesPk(self.ambient.new_uuid()));
        let mut tx = self.database.write().await.unwrap();
        let patient =
            tx.patient_find_or_insert(patient_pk, &facility, &identity, &facts.patient, false, now).await.unwrap();
        let (study, _) = tx.study_find_or_insert(study_pk, &facility, patient, &facts, opens_case, now).await.unwrap();
        let (series, _, is_new) = tx.series_find_or_insert(series_pk, &facility, study, &facts).await.unwrap();
        let key = format!("v1/{hospital}/{instance}");
        let new = NewInstance {
            id: instance,
            facility: &facility,
            facts: &facts,
            blob_key: &key,
            size_bytes: 1,
            dataset_offset: 0,
            dataset_sha256: [0; 32],
            calling_aet: "SENDER",
            received_at: now,
        };
        assert!(tx.instance_insert(study, series, &new).await.unwrap());
        tx.study_received(study, series, is_new, opens_case, "CHEST", now).await.unwrap();
        tx.commit().await.unwrap();
        study
    }

    /// Settles a study as ingest does: state and event in one transaction.
    async fn settle(&self, hospital: &str, study: StudyPk) {
        let mut tx = self.database.write().await.unwrap();
        assert!(tx.study_settle(study, self.now(), self.now()).await.unwrap());
        let event = Event::StudySettled { study, facility: facility(hospital) };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, self.now())).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Withdraws a study as ingest does.
    async fn withdraw(&self, hospital: &str, study: StudyPk) {
        let mut tx = self.database.write().await.unwrap();
        assert!(tx.study_withdraw(study, "患者違い", self.now()).await.unwrap());
        let event = Event::StudyWithdrawn { study, facility: facility(hospital) };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, self.now())).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// An open case of one study of HOSP1, received, settled, opened and assigned if anybody is eligible.
    async fn open_case(&self, n: u32, modality: &str) -> (StudyPk, CaseId) {
        let study = self.receive("HOSP1", n, modality, true).await;
        self.settle("HOSP1", study).await;
        self.handle_events().await;
        let case = self.database.read().await.unwrap().case_of_study(study).await.unwrap().unwrap();
        (study, case)
    }

    async fn head(&self, case: CaseId) -> CaseHead {
        self.database.read().await.unwrap().case_head(case).await.unwrap().unwrap()
    }

    async fn open_workitem(&self, case: CaseId) -> Option<Workitem> {
        self.database.read().await.unwrap().workitem_open(case).await.unwrap()
    }

    async fn assigned(&self, case: CaseId) -> Option<String> {
        self.open_workitem(case).await.unwrap().assigned_reader.map(|reader| reader.to_string())
    }

    async fn audit(&self) -> Vec<AuditRow> {
        self.database.read().await.unwrap().audit_latest(1_000).await.unwrap()
    }

    /// `action outcome` of the latest events, oldest first, without views.
    async fn audited_actions(&self) -> Vec<String> {
        let rows = self.audit().await;
        let rows = rows.iter().rev().filter(|row| row.action != "case.view" || row.outcome != "success");
        rows.map(|row| format!("{} {}", row.action, row.outcome)).collect()
    }

    async fn entries(&self, actor: &Actor) -> Vec<WorklistEntry> {
        self.worklist.entries(actor, &WorklistFilter::default()).await.unwrap()
    }

    async fn everything(&self, actor: &Actor) -> Vec<WorklistEntry> {
        let filter = WorklistFilter { view: Some(WorklistView::All), ..WorklistFilter::default() };
        self.worklist.entries(actor, &filter).await.unwrap()
    }
}

fn facility(id: &str) -> FacilityId {
    FacilityId::parse(id).unwrap()
}
