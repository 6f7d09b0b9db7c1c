//! `dokuei worklist`.

use anyhow::Context as _;
use dokuei_domain::{Actor, CaseId, Priority, StudyUid};
use dokuei_worklist::{NewRequest, WorklistEntry, WorklistFilter};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::accounts::{account_id, facility_id};
use crate::{
    cli::{RequestArgs, WorklistCommand},
    compose::Node,
    output::{Output, local_time},
};

const WHO: Actor = Actor::CommandLine;

pub(crate) async fn run(node: &Node, output: Output, command: WorklistCommand) -> anyhow::Result<()> {
    match command {
        WorklistCommand::List => list(node, output).await,
        WorklistCommand::Show { case } => show(node, output, &case).await,
        WorklistCommand::Assign { case, reader } => assign(node, output, &case, reader.as_deref()).await,
        WorklistCommand::Request(request) => enter_request(node, output, request).await,
    }
}

async fn list(node: &Node, output: Output) -> anyhow::Result<()> {
    let zone = node.time_zone()?;
    let entries = node.worklist.entries(&WHO, &WorklistFilter::default()).await?;
    let rows: Vec<_> = entries.iter().map(|entry| entry_json(entry, &zone)).collect();
    let header = ["case", "state", "priority", "facility", "patient", "what", "images", "reader", "due"];
    output.table(&rows, &header, "the worklist is empty", |row| {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let images = row["expected"]
            .as_i64()
            .map_or_else(|| row["received"].to_string(), |expected| format!("{} of {expected}", row["received"]));
        let late = if row["overdue"].as_bool().unwrap_or_default() { " LATE" } else { "" };
        vec![
            text("case"),
            text("state"),
            text("priority"),
            text("facility_name"),
            format!("{} ({})", text("patient_name"), text("patient_id")),
            format!("{} {}", text("modalities"), text("body_part")),
            images,
            text("reader"),
            format!("{}{late}", text("due_at")),
        ]
    })
}

fn entry_json(entry: &WorklistEntry, zone: &TimeZone) -> Value {
    let reader = entry.performer.as_ref().or(entry.assigned.as_ref());
    json!({
        "case": entry.case,
        "state": entry.state.as_str(),
        "priority": entry.priority,
        "facility": entry.facility,
        "facility_name": entry.facility_name,
        "patient_name": entry.patient.name.display(),
        "patient_id": entry.patient.id,
        "studies": entry.studies.iter().map(|study| study.uid.to_string()).collect::<Vec<_>>(),
        "modalities": entry.modalities.join(","),
        "body_part": entry.body_part,
        "received": entry.received,
        "expected": entry.expected,
        "added_instances": entry.added_instances,
        "reader": reader.map(|person| person.account.to_string()),
        "opened_at": local_time(entry.opened_at, zone),
        "due_at": local_time(entry.due_at, zone),
        "overdue": entry.overdue,
        "waiting_seconds": entry.waiting_seconds,
        "reasons": entry.reasons.iter().map(dokuei_worklist::Reason::english).collect::<Vec<_>>(),
        "report": entry.report.as_ref().map(|report| report.latest),
    })
}

async fn show(node: &Node, output: Output, case: &str) -> anyhow::Result<()> {
    let zone = node.time_zone()?;
    let detail = node.worklist.case(&WHO, case_id(case)?).await?;
    let mut value = entry_json(&detail.entry, &zone);
    value["request"] = detail.request().map_or(Value::Null, |request| {
        json!({ "clinical_question": request.clinical_question, "callback_number": request.callback_number,
                "requesting_physician": request.requesting_physician, "priority": request.priority })
    });
    value["workitems"] = detail
        .workitems
        .iter()
        .map(|item| json!({ "uid": item.uid, "state": item.state, "performer": item.performer, "assigned": item.assigned_reader }))
        .collect();
    output.show(&value, || serde_json::to_string_pretty(&value).unwrap_or_default())
}

async fn assign(node: &Node, output: Output, case: &str, reader: Option<&str>) -> anyhow::Result<()> {
    let reader = reader.map(account_id).transpose()?;
    let decision = node.worklist.assign(&WHO, case_id(case)?, reader).await?;
    let reasons: Vec<_> = decision.reasons.iter().map(dokuei_worklist::Reason::english).collect();
    output.show(&json!({ "reader": decision.reader, "reasons": reasons }), || {
        let who = decision.reader.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        format!("assigned to {who}: {}", reasons.join("; "))
    })
}

async fn enter_request(node: &Node, output: Output, args: RequestArgs) -> anyhow::Result<()> {
    let facility = facility_id(&args.facility)?;
    let uid = StudyUid::parse(&args.study).with_context(|| format!("'{}' is not a UID", args.study))?;
    let study =
        node.database.read().await?.study_by_uid(&facility, &uid).await?.context("the facility has no such study")?;
    let request = NewRequest {
        clinical_question: args.question,
        callback_number: args.callback,
        requesting_physician: args.physician,
        priority: Priority::parse(&args.priority).context("the priority is emergency, urgent or routine")?,
    };
    let entered = node.worklist.enter_request(&WHO, study.pk, request).await?;
    output.show(&json!({ "case": entered.case }), || "request entered".to_owned())
}

pub(crate) fn case_id(text: &str) -> anyhow::Result<CaseId> {
    text.parse().with_context(|| format!("'{text}' is not a case id; see `dokuei worklist list`"))
}
