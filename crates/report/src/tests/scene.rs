//! A hospital with a study, a reader who has claimed its case, a store and a database.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use dokuei_access::SignInError;
use dokuei_database::{AccountRow, AuditRow, Database, NewCase, NewInstance, ReaderRow, ReadingRequestRow, WriteTx};
use dokuei_domain::{
    AccountId, Actor, AeTitle, Ambient, CaseId, FacilityId, InstanceId, PatientPk, PersonName, Priority, Role,
    SeriesPk, SeriesUid, SopClassUid, SopInstanceUid, StudyPk, StudyUid, TransferSyntaxUid,
    facts::{InstanceFacts, PatientFacts},
    patient::PatientIdentity,
};
use dokuei_image_store::ImageStore;
use dokuei_jobs::{Runner, RunnerSettings};
use dokuei_testkit::{FakeClock, TestDatabase};

use super::authority::Authority;
use crate::{DraftText, KeyHolder, ReportSettings, Reports, SignRequest, signature::ReportSigner};

pub(super) const ISSUER: &str = "1.2.392.100495.20.3.51.13610001234";
pub(super) const CLAIM: &str = "2.25.1001";
pub(super) const PASSWORD: &str = "correct horse";
pub(super) const CODE: &str = "123456";
pub(super) const STUDY: &str = "1.2.392.9.1";
pub(super) const PATIENT: &str = "Suzuki^Hanako=鈴木^花子=すずき^はなこ";

/// Gives the reader's key to whoever knows password and code.
pub(super) struct Keys(pub(super) Authority);

#[async_trait]
impl KeyHolder for Keys {
    async fn unlock(
        &self,
        account: &AccountId,
        password: &str,
        code: &str,
        _: &str,
    ) -> Result<Arc<dyn ReportSigner>, SignInError> {
        if password != PASSWORD || code != CODE {
            return Err(SignInError::WrongCredentials);
        }
        Ok(Arc::new(self.0.issue(account.as_str(), "山田 太郎")))
    }
}

pub(super) struct Scene {
    pub(super) clock: FakeClock,
    pub(super) ambient: Ambient,
    pub(super) database: Database,
    pub(super) store: ImageStore,
    pub(super) reports: Arc<Reports>,
    pub(super) authority_pem: String,
    pub(super) case: CaseId,
    pub(super) study: StudyPk,
    pub(super) workitem: String,
    /// Differs between scenes whose images have other content under the same UIDs.
    content: u8,
    _folder: tempfile::TempDir,
}

pub(super) fn facility() -> FacilityId {
    FacilityId::parse("HOSP1").unwrap()
}

pub(super) fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub(super) fn reader() -> Actor {
    actor("R1", Role::Reader)
}

pub(super) fn actor(id: &str, role: Role) -> Actor {
    let facility = (role == Role::Facility).then(|| FacilityId::parse(id.split('-').next().unwrap()).unwrap());
    Actor::Account { id: account(id), role, facility }
}

pub(super) fn draft() -> DraftText {
    DraftText {
        findings: "右肺上葉に5 mm大の結節を認める。\n髙吸収域なし。葛\u{e0100}城市より紹介。".into(),
        impression: "1. 右上葉結節\n2. 胸水なし".into(),
        recommendation: "3か月後のCTを推奨する。".into(),
    }
}

pub(super) fn settings() -> ReportSettings {
    ReportSettings {
        connect_timeout: std::time::Duration::from_secs(20),
        response_timeout: std::time::Duration::from_secs(20),
        ..ReportSettings::new(AeTitle::parse("DOKUEI").unwrap(), "徳島遠隔読影センター")
    }
}

/// On a fresh database of each kind, one after the other.
pub(super) async fn both<F, Fut>(story: F)
where
    F: Fn(Scene) -> Fut,
    Fut: Future<Output = ()>,
{
    story(Scene::new().await).await;
    let Some((scene, _postgres)) = Scene::on_postgres().await else { return };
    let database = scene.database.clone();
    story(scene).await;
    database.close().await;
}

impl Scene {
    /// On SQLite; the reader R1 has claimed the case and saved a draft.
    pub(super) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(super) async fn with(settings: ReportSettings) -> Self {
        Self::sqlite(settings, PATIENT, 0).await
    }

    /// On PostgreSQL, where there is one; its database goes with the second value.
    pub(super) async fn on_postgres() -> Option<(Self, TestDatabase)> {
        let postgres = TestDatabase::postgres()?;
        let database = Database::open(postgres.url()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Some((Self::on(folder, database, settings(), PATIENT, 0).await, postgres))
    }

    /// Another node, whose images have other content under the same UIDs.
    pub(super) async fn elsewhere() -> Self {
        Self::sqlite(settings(), PATIENT, 128).await
    }

    pub(super) async fn of_patient(patient: &str) -> Self {
        Self::sqlite(settings(), patient, 0).await
    }

    async fn sqlite(settings: ReportSettings, patient: &str, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&format!("sqlite://{}", folder.path().join("dokuei.db").display())).await.unwrap();
        Self::on(folder, database, settings, patient, seed).await
    }

    async fn on(
        folder: tempfile::TempDir,
        database: Database,
        settings: ReportSettings,
        patient: &str,
        seed: u64,
    ) -> Self {
        let (clock, ambient) = dokuei_testkit::test_ambient(seed);
        let store = ImageStore::connect(&format!("file://{}", folder.path().join("store").display())).await.unwrap();
        let authority = Authority::new();
        let (authority_pem, authority_der) = (authority.pem(), authority.der.clone());
        let keys = Arc::new(Keys(authority));
        let reports =
            Reports::with_keys(database.clone(), store.clone(), ambient.clone(), keys, authority_der, settings);
        let workitem = ambient.new_uid().to_string();
        let mut scene = Self {
            clock,
            ambient,
            database,
            store,
            reports,
            authority_pem,
            case: CaseId(uuid::Uuid::nil()),
            study: StudyPk(uuid::Uuid::nil()),
            workitem,
            content: u8::try_from(seed).unwrap(),
            _folder: folder,
        };
        scene.populate(patient).await;
        scene.reports.save_draft(&reader(), scene.case, CLAIM, draft(), 0).await.unwrap();
        scene
    }

    async fn populate(&mut self, patient: &str) {
        let now = self.ambient.now();
        let mut tx = self.database.write().await.unwrap();
        tx.facility_insert(&facility(), "デモ病院", ISSUER, now).await.unwrap();
        tx.facility_insert(&FacilityId::parse("HOSP2").unwrap(), "他病院", "1.2.392.2", now).await.unwrap();
        tx.commit().await.unwrap();
        for (id, role) in [
            ("R1", Role::Reader),
            ("R2", Role::Reader),
            ("O1", Role::Office),
            ("HOSP1-U", Role::Facility),
            ("HOSP2-U", Role::Facility),
        ] {
            self.add_account(id, role).await;
        }
        for number in 1..=3 {
            self.study = self.receive(patient, number).await;
        }
        let mut tx = self.database.write().await.unwrap();
        assert!(tx.study_settle(self.study, now, now).await.unwrap());
        let request = ReadingRequestRow {
            id: self.ambient.new_uuid(),
            facility: facility(),
            study: self.study,
            clinical_question: "咳嗽が続く。肺癌の有無は。".into(),
            callback_number: "088-000-0000".into(),
            requesting_physician: "佐藤 一郎".into(),
            priority: Priority::Urgent,
            entered_by: "account:HOSP1-U".into(),
            entered_at: now,
        };
        tx.request_insert(&request).await.unwrap();
        self.case = CaseId(self.ambient.new_uuid());
        let patient = tx.study_by_pk(self.study).await.unwrap().unwrap().patient.pk;
        let case = NewCase {
            id: self.case,
            study: self.study,
            facility: &facility(),
            patient,
            priority: Priority::Urgent,
            opened_at: now,
            due_at: now.plus_seconds(3600),
        };
        assert!(tx.case_insert(&case).await.unwrap());
        tx.workitem_insert(&self.workitem, self.case, None, now).await.unwrap();
        assert!(
            tx.workitem_claim(&self.workitem, &account("R1"), CLAIM, now, Some(now.plus_seconds(1800))).await.unwrap()
        );
        tx.commit().await.unwrap();
    }

    async fn add_account(&self, id: &str, role: Role) {
        let now = self.ambient.now();
        let mut tx = self.database.write().await.unwrap();
        let Actor::Account { id, facility, .. } = actor(id, role) else { unreachable!() };
        let row = AccountRow {
            id: id.clone(),
            role,
            facility,
            display_name: format!("利用者{id}"),
            language: "ja".into(),
            password_hash: "x".into(),
            password_changed_at: now,
            totp_secret: vec![],
            totp_last_step: 0,
            created_at: now,
            disabled_at: None,
        };
        assert!(tx.account_insert(&row).await.unwrap());
        if role == Role::Reader {
            tx.reader_insert(&ReaderRow {
                account: id,
                name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
                organisation: "徳島遠隔読影センター".into(),
                hours: String::new(),
                accepting_since: Some(now),
                modalities: vec!["CT".into()],
                disabled_at: None,
            })
            .await
            .unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// One more image of the study.
    pub(super) async fn receive(&self, patient: &str, number: u8) -> StudyPk {
        let mut tx = self.database.write().await.unwrap();
        let study = self.receive_in(&mut tx, patient, number).await;
        tx.commit().await.unwrap();
        study
    }

    pub(super) async fn receive_in(&self, tx: &mut WriteTx, patient: &str, number: u8) -> StudyPk {
        let now = self.ambient.now();
        let patient_facts = PatientFacts {
            id: "0001234567".into(),
            issuer: ISSUER.into(),
            name: PersonName::parse(patient),
            birth_date: "19600401".into(),
            sex: "F".into(),
        };
        let facts = InstanceFacts {
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: SopInstanceUid::parse(&format!("{STUDY}.1.{number}")).unwrap(),
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            study: StudyUid::parse(STUDY).unwrap(),
            series: SeriesUid::parse(&format!("{STUDY}.1")).unwrap(),
            patient: patient_facts.clone(),
            accession_number: "A0001".into(),
            study_date: "20261121".into(),
            study_time: "183000".into(),
            study_id: "1".into(),
            study_description: "胸部CT".into(),
            referring_physician: PersonName::parse("Sato^Ichiro=佐藤^一郎"),
            modality: "CT".into(),
            series_number: Some(1),
            series_description: "AXIAL".into(),
            body_part: "CHEST".into(),
            instance_number: Some(i32::from(number)),
            number_of_frames: None,
            rows: Some(16),
            columns: Some(16),
            slice_position: None,
            window: None,
            charset_repaired: false,
        };
        let identity = PatientIdentity::Established { issuer: ISSUER.into(), id: patient_facts.id.clone() };
        let patient = PatientPk(self.ambient.new_uuid());
        let patient =
            tx.patient_find_or_insert(patient, &facility(), &identity, &patient_facts, false, now).await.unwrap();
        let study = StudyPk(self.ambient.new_uuid());
        let (study, _) = tx.study_find_or_insert(study, &facility(), patient, &facts, true, now).await.unwrap();
        let series = SeriesPk(self.ambient.new_uuid());
        let (series, _, is_new) = tx.series_find_or_insert(series, &facility(), study, &facts).await.unwrap();
        let id = InstanceId(self.ambient.new_uuid());
        let key = format!("v1/HOSP1/{id}");
        let new = NewInstance {
            id,
            facility: &facility(),
            facts: &facts,
            blob_key: &key,
            size_bytes: 1,
            dataset_offset: 0,
            dataset_sha256: [number + self.content; 32],
            calling_aet: "HOSP1",
            received_at: now,
        };
        assert!(tx.instance_insert(study, series, &new).await.unwrap());
        tx.study_received(study, series, is_new, true, "CHEST", now).await.unwrap();
        study
    }

    pub(super) fn request(&self) -> SignRequest {
        SignRequest {
            case: self.case,
            transaction_uid: CLAIM.into(),
            draft_version: Some(1),
            password: PASSWORD.into(),
            code: CODE.into(),
            address: "127.0.0.1".into(),
            confirm_incomplete: false,
        }
    }

    /// Where a facility's reports go.
    pub(super) async fn add_target(&self, called: &str, port: u16) -> uuid::Uuid {
        let called = AeTitle::parse(called).unwrap();
        let mut tx = self.database.write().await.unwrap();
        let id = self.ambient.new_uuid();
        tx.return_target_add(id, &facility(), &called, "127.0.0.1", port, self.ambient.now()).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Runs the jobs and reconcilers of this crate until nothing is due.
    pub(super) async fn work(&self) {
        self.runner().run_until_idle().await.unwrap();
    }

    pub(super) fn runner(&self) -> Runner {
        let settings = RunnerSettings::new("test");
        Runner::new(
            self.database.clone(),
            self.ambient.clone(),
            self.reports.handlers(),
            self.reports.periodics(),
            settings,
        )
    }

    /// Every blob of reports, by key.
    pub(super) async fn blobs(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut list = self.store.list("reports/");
        while let Some((key, _)) = list.next().await.unwrap() {
            keys.push(key.as_str().to_owned());
        }
        keys
    }

    pub(super) async fn audit(&self, action: &str) -> Vec<AuditRow> {
        let rows = self.database.read().await.unwrap().audit_latest(1000).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).collect()
    }
}
