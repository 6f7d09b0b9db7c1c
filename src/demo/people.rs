//! Who takes part in the demonstration, and how they get in.

use std::net::SocketAddr;

use dokuei_access::{Enrolment, Language, NewAccount, NewFacility, NewReader, PeerSpecification, ReturnTarget};
use dokuei_domain::{AccountId, Actor, FacilityId, PersonName, Priority, Role, hours::OnDutyHours};
use dokuei_worklist::NewRequest;
use serde_json::json;

use super::{Stage, hospital, until};
use crate::{compose::Node, output::Output};

pub(crate) const FACILITY: &str = "HOSP1";
const WHO: Actor = Actor::CommandLine;
const LINK_SECONDS: i64 = 12 * 3600;

/// Everybody's way in.
pub(crate) struct People {
    pub(crate) reader: Enrolment,
    pub(crate) facility: Enrolment,
    pub(crate) office: Enrolment,
    pub(crate) administrators: [Enrolment; 2],
}

impl People {
    fn all(&self) -> [(&'static str, &Enrolment); 5] {
        [
            ("reader", &self.reader),
            ("facility", &self.facility),
            ("office", &self.office),
            ("administrator", &self.administrators[0]),
            ("administrator", &self.administrators[1]),
        ]
    }
}

/// Adds the hospital, whose reports go to its archive, and five people.
pub(crate) async fn enrol(node: &Node, archive: SocketAddr) -> anyhow::Result<People> {
    let access = &node.access;
    let facility = FacilityId::parse(FACILITY)?;
    let new = NewFacility {
        id: facility.clone(),
        name: "デモ病院".to_owned(),
        issuer: "1.2.392.100495.20.3.51.13610001234".to_owned(),
        aliases: Vec::new(),
        peers: vec![PeerSpecification::parse(hospital::SENDER, Some("127.0.0.1"))?],
        return_targets: vec![ReturnTarget::parse(&format!("dicom:{}@{archive}", hospital::ARCHIVE))?],
    };
    access.facility_add(&WHO, new).await?;
    let reader = NewReader {
        id: AccountId::parse("R1")?,
        name: PersonName::parse("Sato^Hanako=佐藤^花子=さとう^はなこ"),
        organisation: node.organisation().to_owned(),
        modalities: vec!["CT".to_owned(), "MR".to_owned()],
        hours: OnDutyHours::always(),
        language: Language::Japanese,
    };
    let account = |id: &str, role: Role, name: &str| -> anyhow::Result<NewAccount> {
        let facility = (role == Role::Facility).then(|| facility.clone());
        Ok(NewAccount {
            id: AccountId::parse(id)?,
            role,
            facility,
            display_name: name.to_owned(),
            language: Language::Japanese,
        })
    };
    Ok(People {
        reader: access.reader_add(&WHO, reader).await?,
        facility: access.account_add(&WHO, account("H1", Role::Facility, "デモ病院 放射線科")?).await?,
        office: access.account_add(&WHO, account("O1", Role::Office, "事務局")?).await?,
        administrators: [
            access.account_add(&WHO, account("A1", Role::Administrator, "管理者 1")?).await?,
            access.account_add(&WHO, account("A2", Role::Administrator, "管理者 2")?).await?,
        ],
    })
}

/// What the requesting clinician would have written.
pub(crate) async fn enter_request(node: &Node, study: &hospital::PreparedStudy) -> anyhow::Result<()> {
    let facility = FacilityId::parse(FACILITY)?;
    let study = until("the study in the index", async || {
        Ok(node.database.read().await?.study_by_uid(&facility, &study.study).await?)
    })
    .await?;
    let request = NewRequest {
        clinical_question: "頭痛、めまい。出血・腫瘤性病変の有無をお願いします。".to_owned(),
        callback_number: "088-000-0000".to_owned(),
        requesting_physician: "内科 外来".to_owned(),
        priority: Priority::Urgent,
    };
    node.worklist.enter_request(&WHO, study.pk, request).await?;
    Ok(())
}

/// Waits for the case and prints how to get to it.
pub(crate) async fn show(node: &Node, stage: &Stage, output: Output) -> anyhow::Result<()> {
    let entries = until("the case on the worklist", async || {
        let entries = node.worklist.entries(&WHO, &dokuei_worklist::WorklistFilter::default()).await?;
        Ok((!entries.is_empty()).then_some(entries))
    })
    .await?;
    let mut accounts = Vec::new();
    for (role, enrolment) in stage.people.all() {
        let token = node.access.sign_in_link_create(&enrolment.account, LINK_SECONDS).await?;
        let link = format!("{}/sign-in/link/{token}", stage.url);
        accounts.push(json!({
            "role": role, "account": enrolment.account, "password": enrolment.password, "totp_secret": enrolment.totp_secret_base32,
            "sign_in_link": link,
        }));
    }
    if output.json {
        return output.line(&json!({ "url": format!("{}/", stage.url), "dicom": stage.node_dicom, "data_dir": stage.folder, "accounts": accounts }));
    }
    let entry = &entries[0];
    let mut text = format!(
        "\n読影 Dokuei is running.\n\n  pages   {}/\n  DICOM   {} as {}\n  data    {}\n\non the worklist: {} {}  {} {}  {} images  from {}\n\n",
        stage.url,
        stage.node_dicom,
        stage.ae_title,
        stage.folder.display(),
        entry.patient.id,
        entry.patient.name.display(),
        entry.modalities.join(","),
        entry.body_part,
        entry.received,
        entry.facility_name,
    );
    for account in &accounts {
        let field = |key: &str| account[key].as_str().unwrap_or_default();
        text.push_str(&format!(
            "{:<14} {}\n    sign in once without a code: {}\n    password {}   TOTP secret {}\n",
            field("role"),
            field("account"),
            field("sign_in_link"),
            field("password"),
            field("totp_secret"),
        ));
    }
    text.push_str(&format!("\nTo sign, the reader needs the password and a code: `dokuei totp SECRET` shows it.\nReports that were returned appear in {}.\nStop with Ctrl-C.", stage.received.display()));
    output.text(&text);
    Ok(())
}
