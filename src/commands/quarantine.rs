//! `dokuei quarantine|identity`: what waits for a person because it cannot be filed or says two things, and the person's answers.

use anyhow::Context as _;
use dokuei_database::{HoldDecision, NamedVersion, QuarantineRow, StudyHoldRow};
use dokuei_domain::Actor;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    cli::{IdentityCommand, IdentityDecision, QuarantineCommand},
    compose::Node,
    output::{Output, local_time},
};

const WHO: Actor = Actor::CommandLine;
const NOT_AN_ID: &str = "not an id; see the list";

pub(crate) async fn quarantine(node: &Node, output: Output, command: QuarantineCommand) -> anyhow::Result<()> {
    let zone = node.time_zone()?;
    match command {
        QuarantineCommand::List { all } => {
            let found =
                if all { node.ingest.quarantine_history(&WHO).await? } else { node.ingest.quarantine(&WHO).await? };
            let rows: Vec<_> = found.iter().map(|row| quarantined(row, &zone)).collect();
            let header = ["id", "received", "facility", "SOP instance", "state", "why"];
            output.table(&rows, &header, "nothing is in quarantine", |row| {
                ["id", "received_at", "facility", "sop_instance", "state", "detail"].map(|key| text(row, key)).to_vec()
            })
        }
        QuarantineCommand::Show { object } => {
            let detail = node.ingest.quarantine_detail(&WHO, object.parse().context(NOT_AN_ID)?).await?;
            let mut shown = quarantined(&detail.row, &zone);
            shown["object"] = json!(detail.object);
            shown["stored_study"] = match &detail.study {
                None => Value::Null,
                Some(study) => json!({
                    "study": study.uid, "patient_id": study.patient.id, "name": study.patient.name.display(),
                    "birth_date": study.patient.birth_date, "sex": study.patient.sex, "study_date": study.study_date,
                    "modalities": study.modalities, "instances": study.instance_count, "state": study.state.as_str(),
                }),
            };
            shown["stored_sha256"] = json!(detail.stored.map(|stored| hex::encode(stored.dataset_sha256)));
            shown["not_releasable"] = json!(detail.not_releasable.map(|reason| reason.to_string()));
            let pretty = serde_json::to_string_pretty(&shown)?;
            output.show(&shown, || pretty)
        }
        QuarantineCommand::Release { object, reason } => {
            node.ingest.quarantine_release(&WHO, object.parse().context(NOT_AN_ID)?, &reason).await?;
            output.show(&json!({ "id": object, "state": "released" }), || format!("{object} is filed"))
        }
        QuarantineCommand::Reject { object, reason } => {
            node.ingest.quarantine_reject(&WHO, object.parse().context(NOT_AN_ID)?, &reason).await?;
            let kept = || format!("{object} is rejected; it is kept and shown nowhere");
            output.show(&json!({ "id": object, "state": "rejected" }), kept)
        }
    }
}

fn quarantined(row: &QuarantineRow, zone: &TimeZone) -> Value {
    json!({
        "id": row.id, "facility": row.facility, "calling_aet": row.calling_aet, "sop_instance": row.sop_instance, "study": row.study,
        "reason": row.reason, "detail": row.detail, "received_at": local_time(row.received_at, zone), "blob_key": row.blob_key,
        "size_bytes": row.size_bytes, "sha256": hex::encode(row.dataset_sha256), "state": row.state.as_str(), "decided_by": row.decided_by,
        "decided_at": row.decided_at.map(|at| local_time(at, zone)), "decision_reason": row.decision_reason,
    })
}

pub(crate) async fn identity(node: &Node, output: Output, command: IdentityCommand) -> anyhow::Result<()> {
    let zone = node.time_zone()?;
    match command {
        IdentityCommand::List => {
            let found = node.ingest.held_studies(&WHO).await?;
            let rows: Vec<_> = found.iter().map(|row| held(row, &zone)).collect();
            let header = ["id", "received", "facility", "patient ID", "study", "why"];
            output.table(&rows, &header, "no study waits to be identified", |row| {
                ["id", "opened_at", "facility", "patient_id", "study", "reason"].map(|key| text(row, key)).to_vec()
            })
        }
        IdentityCommand::Show { hold } => {
            let row = held(&node.ingest.held_study(&WHO, hold.parse().context(NOT_AN_ID)?).await?, &zone);
            let pretty = serde_json::to_string_pretty(&row)?;
            output.show(&row, || pretty)
        }
        IdentityCommand::Decide { hold, decision, reason } => {
            let decision = match decision {
                IdentityDecision::SamePerson => HoldDecision::SamePerson,
                IdentityDecision::AnotherPerson => HoldDecision::AnotherPerson,
                IdentityDecision::Reject => HoldDecision::Rejected,
            };
            node.ingest.decide_hold(&WHO, hold.parse().context(NOT_AN_ID)?, decision, &reason).await?;
            let word = decision.as_str();
            output.show(&json!({ "id": hold, "decision": word }), || format!("{hold}: {}", word.replace('_', " ")))
        }
    }
}

fn held(row: &StudyHoldRow, zone: &TimeZone) -> Value {
    let version = |version: &NamedVersion| {
        json!({
            "name": version.name.to_dicom(), "birth_date": version.birth_date, "sex": version.sex, "study_date": version.study_date,
            "modalities": version.modalities, "description": version.description, "accession_number": version.accession_number,
            "calling_aet": version.calling_aet,
        })
    };
    json!({
        "id": row.id, "facility": row.facility, "patient_id": row.patient_id, "study": row.study_uid, "reason": row.reason,
        "instances": row.instance_count, "opened_at": local_time(row.opened_at, zone), "this_study": version(&row.held),
        "known_as": version(&row.known), "decision": row.decision.map(HoldDecision::as_str), "decided_by": row.decided_by,
        "decided_at": row.decided_at.map(|at| local_time(at, zone)), "decision_reason": row.decision_reason,
    })
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}
