//! Stories over the whole service, with a real database, a clock that is moved by hand and cheap password hashes.

mod accounts;
mod approvals;
mod certificates;
mod facilities;
mod peer_certificates;
mod rights;
mod sessions;
mod sign_in;
mod step_up;

use std::{future::Future, sync::Arc, time::Duration};

use dokuei_database::{AuditRow, Database};
use dokuei_domain::{AccountId, Actor, AeTitle, FacilityId, PersonName, Role, hours::OnDutyHours};
use dokuei_testkit::{FakeClock, TestDatabase, test_ambient};

use crate::{Access, AccessSettings, Enrolment, Language, NewAccount, NewFacility, NewReader, NodeKeys, PasswordCost};

const CLI: Actor = Actor::CommandLine;
const ADDRESS: &str = "192.0.2.1";

/// A node's access service with nobody in it.
struct Node {
    access: Access,
    db: Database,
    clock: FakeClock,
    url: String,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("dokuei.db").display());
        Self::with(folder, &url, |_| {}).await
    }

    async fn with_settings(change: impl FnOnce(&mut AccessSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("dokuei.db").display());
        Self::with(folder, &url, change).await
    }

    async fn with(folder: tempfile::TempDir, url: &str, change: impl FnOnce(&mut AccessSettings)) -> Self {
        let (clock, ambient) = test_ambient(11);
        let db = Database::open(url).await.unwrap();
        let keys = NodeKeys::create(&folder.path().join("keys"), &ambient, "読影テストNPO").unwrap();
        let mut settings = AccessSettings::new(AeTitle::parse("DOKUEI").unwrap());
        settings.password_cost = PasswordCost { memory_kib: 64, passes: 1, lanes: 1 };
        change(&mut settings);
        let access = Access::new(db.clone(), ambient, Arc::new(keys), settings);
        Self { access, db, clock, url: url.to_owned(), _folder: folder }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Moves on to a fresh time step of TOTP.
    fn next_step(&self) {
        self.advance(30);
    }

    async fn office(&self, name: &str) -> Enrolment {
        self.add(name, Role::Office, None).await
    }

    async fn administrator(&self, name: &str) -> (Actor, Enrolment) {
        let enrolment = self.add(name, Role::Administrator, None).await;
        (Actor::Account { id: id(name), role: Role::Administrator, facility: None }, enrolment)
    }

    async fn add(&self, name: &str, role: Role, facility: Option<FacilityId>) -> Enrolment {
        let new = NewAccount {
            id: id(name),
            role,
            facility,
            display_name: format!("{name} さん"),
            language: Language::Japanese,
        };
        self.access.account_add(&CLI, new).await.unwrap()
    }

    async fn reader(&self, name: &str) -> Enrolment {
        self.access.reader_add(&CLI, new_reader(name)).await.unwrap()
    }

    async fn facility(&self, name: &str, issuer: &str) -> FacilityId {
        let id = FacilityId::parse(name).unwrap();
        self.access.facility_add(&CLI, new_facility(name, issuer)).await.unwrap();
        id
    }

    /// The code that the account's authenticator shows now.
    fn code(&self, enrolment: &Enrolment) -> String {
        let secret = totp_rs::Secret::try_from_base32(&enrolment.totp_secret_base32).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        let seconds = dokuei_domain::Clock::now(&self.clock).micros() / 1_000_000;
        totp.generate(seconds.try_into().unwrap()).to_string()
    }

    async fn sign_in(&self, enrolment: &Enrolment) -> crate::SignedIn {
        let code = self.code(enrolment);
        self.access.sign_in(enrolment.account.as_str(), &enrolment.password, &code, ADDRESS).await.unwrap()
    }

    /// The youngest audit rows, youngest first.
    async fn audit(&self, limit: u32) -> Vec<AuditRow> {
        self.db.read().await.unwrap().audit_latest(limit).await.unwrap()
    }

    /// The youngest audit row as `action outcome subject`.
    async fn last_audit(&self) -> String {
        let rows = self.audit(1).await;
        format!("{} {} {}", rows[0].action, rows[0].outcome, rows[0].subject)
    }
}

/// The same story on SQLite and, where it is installed, on PostgreSQL.
async fn both<F, Fut>(story: F)
where
    F: Fn(Arc<Node>) -> Fut,
    Fut: Future<Output = ()>,
{
    story(Arc::new(Node::new().await)).await;
    let Some(postgres) = TestDatabase::postgres() else { return };
    let node = Arc::new(Node::with(tempfile::tempdir().unwrap(), postgres.url(), |_| {}).await);
    story(Arc::clone(&node)).await;
    node.db.close().await;
}

fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn new_reader(name: &str) -> NewReader {
    NewReader {
        id: id(name),
        name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
        organisation: "読影テストNPO".to_owned(),
        modalities: vec!["mr".to_owned(), "CT".to_owned(), "CT".to_owned()],
        hours: OnDutyHours::parse("Mon-Fri 08:00-20:00").unwrap(),
        language: Language::Japanese,
    }
}

fn new_facility(name: &str, issuer: &str) -> NewFacility {
    NewFacility {
        id: FacilityId::parse(name).unwrap(),
        name: format!("{name} 病院"),
        issuer: issuer.to_owned(),
        aliases: Vec::new(),
        peers: Vec::new(),
        return_targets: Vec::new(),
    }
}
