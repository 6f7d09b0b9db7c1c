//! `dokuei facility|reader|user`: the same operations that the web offers, for scripts. They work on the data of a running node without stopping it.

use std::path::PathBuf;

use anyhow::Context as _;
use dokuei_access::{
    CertificateFingerprint, Enrolment, FacilityEdit, Language, NewAccount, NewFacility, NewPeerCertificate, NewReader,
    PeerSpecification, ReturnTarget,
};
use dokuei_domain::{AccountId, Actor, AeTitle, FacilityId, PersonName, Role, hours::OnDutyHours};
use serde_json::json;

use crate::{
    cli::{FacilityAdd, FacilityCommand, LanguageArg, ReaderAdd, ReaderCommand, UserAdd, UserCommand, UserRole},
    compose::Node,
    output::Output,
};

const WHO: Actor = Actor::CommandLine;

pub(crate) async fn facility(node: &Node, output: Output, command: FacilityCommand) -> anyhow::Result<()> {
    match command {
        FacilityCommand::Add(add) => {
            let new = new_facility(&add)?;
            let id = new.id.clone();
            node.access.facility_add(&WHO, new).await?;
            output.show(&json!({ "facility": id }), || format!("facility {id} added"))
        }
        FacilityCommand::List => {
            let rows: Vec<_> = node.access.facility_list(&WHO).await?.iter().map(facility_json).collect();
            output.table(
                &rows,
                &["id", "name", "issuer", "sends as", "certificates", "reports to", "disabled"],
                "no facility yet; `dokuei facility add`",
                |row| {
                    let list = |key: &str| {
                        row[key]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(|v| v.as_str())
                            .collect::<Vec<_>>()
                            .join("\n")
                    };
                    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                    vec![
                        text("id"),
                        text("name"),
                        text("issuer"),
                        list("peers"),
                        certificates_in_lines(row),
                        list("return"),
                        row["disabled"].to_string(),
                    ]
                },
            )
        }
        FacilityCommand::Edit(edit) => {
            let id = facility_id(&edit.id)?;
            let change = FacilityEdit {
                name: edit.name,
                add_aliases: edit.issuer_alias,
                add_peers: peers(&edit.calling_aet, edit.address)?,
                add_return_targets: targets(&edit.return_to)?,
                remove_certificates: fingerprints(&edit.remove_certificate)?,
                add_certificates: certificates(&edit.add_certificate, edit.certificate_aet.as_deref())?,
                allow_plain: edit.allow_plain,
                ..FacilityEdit::default()
            };
            let commitment_targets = targets(&edit.commitment_target)?;
            let (asked, not_asked) = (targets(&edit.ask_commitment)?, targets(&edit.no_commitment)?);
            let without_target: Vec<AeTitle> =
                edit.remove_commitment_target.iter().map(|text| AeTitle::parse(text)).collect::<Result<_, _>>()?;
            node.access.facility_edit(&WHO, &id, change).await?;
            for (targets, asked) in [(&asked, true), (&not_asked, false)] {
                for target in targets {
                    node.access.return_target_ask_commitment(&WHO, &id, target, asked).await?;
                }
            }
            for calling in &without_target {
                node.access.commitment_target_remove(&WHO, &id, calling).await?;
            }
            for target in &commitment_targets {
                node.access.commitment_target_set(&WHO, &id, target).await?;
            }
            output.show(&json!({ "facility": id }), || format!("facility {id} changed"))
        }
        FacilityCommand::Disable { id } => {
            let id = facility_id(&id)?;
            node.access.facility_disable(&WHO, &id).await?;
            output.show(&json!({ "facility": id, "disabled": true }), || {
                format!("facility {id} disabled; its studies stay")
            })
        }
    }
}

/// Each certificate as its subject and fingerprint.
fn certificates_in_lines(row: &serde_json::Value) -> String {
    let text = |certificate: &serde_json::Value, key: &str| certificate[key].as_str().unwrap_or_default().to_owned();
    let lines = row["certificates"].as_array().into_iter().flatten();
    lines.map(|row| format!("{}\n{}", text(row, "subject"), text(row, "sha256"))).collect::<Vec<_>>().join("\n")
}

pub(crate) async fn reader(node: &Node, output: Output, command: ReaderCommand) -> anyhow::Result<()> {
    match command {
        ReaderCommand::Add(add) => {
            let enrolment = node.access.reader_add(&WHO, new_reader(node, &add)?).await?;
            show_enrolment(output, &enrolment)
        }
        ReaderCommand::List => {
            let readers = node.access.reader_list(&WHO).await?;
            let rows: Vec<_> = readers
                .iter()
                .map(|reader| {
                    json!({
                        "id": reader.account, "name": reader.name.to_dicom(), "modalities": reader.modalities, "hours": reader.hours,
                        "accepting": reader.accepting_since.is_some(), "disabled": reader.disabled_at.is_some(),
                        "certificate": reader.certificate_serial,
                    })
                })
                .collect();
            output.table(
                &rows,
                &["id", "name", "modalities", "hours", "accepting", "disabled"],
                "no reader yet; `dokuei reader add`",
                |row| {
                    let text = |key: &str| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned);
                    vec![
                        text("id"),
                        text("name"),
                        text("modalities"),
                        text("hours"),
                        text("accepting"),
                        text("disabled"),
                    ]
                },
            )
        }
        ReaderCommand::Disable { id } => disable(node, output, &id).await,
    }
}

pub(crate) async fn user(node: &Node, output: Output, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add(add) => {
            let enrolment = node.access.account_add(&WHO, new_account(&add)?).await?;
            show_enrolment(output, &enrolment)
        }
        UserCommand::List => {
            let accounts = node.access.account_list(&WHO).await?;
            let rows: Vec<_> = accounts
                .iter()
                .map(|account| {
                    json!({
                        "id": account.id, "role": account.role, "facility": account.facility, "name": account.display_name,
                        "disabled": account.disabled_at.is_some(), "recovery_codes_left": account.recovery_codes_left,
                    })
                })
                .collect();
            output.table(
                &rows,
                &["id", "role", "facility", "name", "disabled", "recovery codes left"],
                "no account yet",
                |row| {
                    let text = |key: &str| {
                        row[key].as_str().map_or_else(|| row[key].to_string().replace("null", ""), str::to_owned)
                    };
                    vec![
                        text("id"),
                        text("role"),
                        text("facility"),
                        text("name"),
                        text("disabled"),
                        text("recovery_codes_left"),
                    ]
                },
            )
        }
        UserCommand::Disable { id } => disable(node, output, &id).await,
    }
}

async fn disable(node: &Node, output: Output, id: &str) -> anyhow::Result<()> {
    let id = account_id(id)?;
    node.access.account_disable(&WHO, &id).await?;
    output.show(&json!({ "account": id, "disabled": true }), || format!("account {id} disabled and its sessions ended"))
}

fn new_facility(add: &FacilityAdd) -> anyhow::Result<NewFacility> {
    Ok(NewFacility {
        id: facility_id(&add.id)?,
        name: add.name.clone(),
        issuer: add.issuer.clone(),
        aliases: add.issuer_alias.clone(),
        peers: peers(&add.calling_aet, add.address)?,
        return_targets: targets(&add.return_to)?,
    })
}

fn new_reader(node: &Node, add: &ReaderAdd) -> anyhow::Result<NewReader> {
    Ok(NewReader {
        id: account_id(&add.id)?,
        name: PersonName::parse(&add.name),
        organisation: add.organisation.clone().unwrap_or_else(|| node.organisation().to_owned()),
        modalities: add.modality.clone(),
        hours: add.hours.as_deref().map_or_else(|| Ok(OnDutyHours::always()), OnDutyHours::parse)?,
        language: language(add.language),
    })
}

fn new_account(add: &UserAdd) -> anyhow::Result<NewAccount> {
    Ok(NewAccount {
        id: account_id(&add.id)?,
        role: match add.role {
            UserRole::Facility => Role::Facility,
            UserRole::Office => Role::Office,
            UserRole::Administrator => Role::Administrator,
        },
        facility: add.facility.as_deref().map(facility_id).transpose()?,
        display_name: add.name.clone(),
        language: language(add.language),
    })
}

fn language(language: LanguageArg) -> Language {
    match language {
        LanguageArg::Ja => Language::Japanese,
        LanguageArg::En => Language::English,
    }
}

fn peers(texts: &[String], address: Option<std::net::IpAddr>) -> anyhow::Result<Vec<PeerSpecification>> {
    let address = address.map(|address| address.to_string());
    texts.iter().map(|text| Ok(PeerSpecification::parse(text, address.as_deref())?)).collect()
}

fn targets(texts: &[String]) -> anyhow::Result<Vec<ReturnTarget>> {
    texts.iter().map(|text| Ok(ReturnTarget::parse(text)?)).collect()
}

fn fingerprints(texts: &[String]) -> anyhow::Result<Vec<CertificateFingerprint>> {
    texts.iter().map(|text| Ok(CertificateFingerprint::parse(text)?)).collect()
}

fn certificates(files: &[PathBuf], calling: Option<&str>) -> anyhow::Result<Vec<NewPeerCertificate>> {
    let calling = calling.map(AeTitle::parse).transpose()?;
    let read = |file: &PathBuf| {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        NewPeerCertificate::from_pem(&pem, calling.clone()).with_context(|| file.display().to_string())
    };
    files.iter().map(read).collect()
}

pub(crate) fn facility_id(text: &str) -> anyhow::Result<FacilityId> {
    FacilityId::parse(text).with_context(|| format!("'{text}' is not a facility id"))
}

pub(crate) fn account_id(text: &str) -> anyhow::Result<AccountId> {
    AccountId::parse(text).with_context(|| format!("'{text}' is not an account id"))
}

fn facility_json(facility: &dokuei_access::Facility) -> serde_json::Value {
    let peers: Vec<_> = facility
        .peers
        .iter()
        .map(|peer| {
            format!(
                "{}:{}{}",
                peer.calling,
                peer.role.as_str(),
                peer.address.map(|a| format!(" from {a}")).unwrap_or_default()
            )
        })
        .collect();
    let targets: Vec<_> = facility.return_targets.iter().map(ToString::to_string).collect();
    let certificates: Vec<_> = facility
        .certificates
        .iter()
        .map(|certificate| {
            json!({
                "sha256": certificate.fingerprint.to_string(), "subject": certificate.subject, "calling_aet": certificate.calling,
                "not_after": certificate.not_after.to_jiff().to_string(),
            })
        })
        .collect();
    json!({
        "id": facility.id, "name": facility.name, "issuer": facility.issuer, "aliases": facility.aliases, "peers": peers, "return": targets,
        "certificates": certificates, "plain_allowed": facility.plain_allowed,
        "disabled": facility.disabled_at.is_some(),
    })
}

/// Prints what its owner needs, once: nothing of it can be shown again.
pub(crate) fn show_enrolment(output: Output, enrolment: &Enrolment) -> anyhow::Result<()> {
    output.show(enrolment, || {
        format!(
            "account         {}\npassword        {}\nTOTP secret     {}\nTOTP URL        {}\nrecovery codes  {}\n\nHand these over in person. They are not shown again.",
            enrolment.account,
            enrolment.password,
            enrolment.totp_secret_base32,
            enrolment.otpauth_url,
            enrolment.recovery_codes.join(" ")
        )
    })
}
