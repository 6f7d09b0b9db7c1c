//! The worklist for programs, as the signed-in person sees it. Times are microseconds since 1970 UTC.

use axum::Json;
use dokuei_domain::Timestamp;
use dokuei_worklist::{CaseState, Person, WorklistEntry, WorklistFilter};
use serde::Serialize;

use crate::{problem::Problem, visitor::User};

#[derive(Serialize)]
pub(crate) struct Entry {
    case: String,
    state: CaseState,
    priority: &'static str,
    facility: String,
    facility_name: String,
    patient: Patient,
    studies: Vec<Study>,
    modalities: Vec<String>,
    body_part: String,
    received: i64,
    expected: Option<i64>,
    opened_at_us: Timestamp,
    due_at_us: Timestamp,
    waiting_seconds: i64,
    overdue: bool,
    assigned: Option<String>,
    performer: Option<String>,
    /// The latest signed version.
    report: Option<String>,
}

#[derive(Serialize)]
struct Patient {
    id: String,
    provisional: bool,
    alphabetic: String,
    ideographic: String,
    phonetic: String,
    birth_date: String,
    sex: String,
}

#[derive(Serialize)]
struct Study {
    uid: String,
    date: String,
    description: String,
    accession_number: String,
    received: i64,
    expected: Option<i64>,
}

impl From<WorklistEntry> for Entry {
    fn from(entry: WorklistEntry) -> Self {
        let account = |person: Option<Person>| person.map(|person| person.account.to_string());
        let study = |study: dokuei_worklist::CaseStudyRow| Study {
            uid: study.uid.to_string(),
            date: study.study_date,
            description: study.description,
            accession_number: study.accession_number,
            received: study.instance_count,
            expected: study.expected_instances,
        };
        let patient = entry.patient;
        Self {
            case: entry.case.to_string(),
            state: entry.state,
            priority: entry.priority.as_str(),
            facility: entry.facility.to_string(),
            facility_name: entry.facility_name,
            patient: Patient {
                id: patient.id,
                provisional: patient.provisional,
                alphabetic: patient.name.alphabetic,
                ideographic: patient.name.ideographic,
                phonetic: patient.name.phonetic,
                birth_date: patient.birth_date,
                sex: patient.sex,
            },
            studies: entry.studies.into_iter().filter(|study| study.withdrawn_at.is_none()).map(study).collect(),
            modalities: entry.modalities,
            body_part: entry.body_part,
            received: entry.received,
            expected: entry.expected,
            opened_at_us: entry.opened_at,
            due_at_us: entry.due_at,
            waiting_seconds: entry.waiting_seconds,
            overdue: entry.overdue,
            assigned: account(entry.assigned),
            performer: account(entry.performer),
            report: entry.report.map(|report| report.latest.to_string()),
        }
    }
}

pub(crate) async fn list(user: User) -> Result<Json<Vec<Entry>>, Problem> {
    let entries = user.state().worklist.entries(user.actor(), &WorklistFilter::default()).await?;
    Ok(Json(entries.into_iter().map(Entry::from).collect()))
}
