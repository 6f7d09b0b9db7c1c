//! A case as its readers see it.

use dokuei_database::{CaseEntryRow, CaseReportRow, CaseStudyRow, PatientRow, ReadingRequestRow, WorkitemRow};
use dokuei_domain::{AccountId, CaseId, FacilityId, Priority, Timestamp, workitem::WorkitemState};

use crate::{CaseState, Reason, StateFacts, case_state, reason};

/// An account with the name to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub account: AccountId,
    pub name: String,
}

/// One line of a worklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorklistEntry {
    pub case: CaseId,
    pub state: CaseState,
    pub priority: Priority,
    pub facility: FacilityId,
    pub facility_name: String,
    pub patient: PatientRow,
    /// At least one, by study date. Withdrawn ones have `withdrawn_at`.
    pub studies: Vec<CaseStudyRow>,
    /// Distinct and sorted, of all studies.
    pub modalities: Vec<String>,
    /// Distinct, of all studies, separated by commas; may be empty.
    pub body_part: String,
    /// Instances received.
    pub received: i64,
    /// Instances announced, if anybody said how many: "482 of 500".
    pub expected: Option<i64>,
    pub opened_at: Timestamp,
    pub due_at: Timestamp,
    /// From opening until now, or until it was signed or withdrawn.
    pub waiting_seconds: i64,
    /// Not signed by the due time, or signed after it.
    pub overdue: bool,
    pub has_request: bool,
    pub has_draft: bool,
    /// Who is expected to claim it, or was when it was claimed.
    pub assigned: Option<Person>,
    pub assigned_at: Option<Timestamp>,
    /// Who has claimed it.
    pub performer: Option<Person>,
    pub claim_expires_at: Option<Timestamp>,
    /// Why this reader, or why nobody. Empty for facilities.
    pub reasons: Vec<Reason>,
    /// The latest signed version and how its return stands.
    pub report: Option<CaseReportRow>,
    /// Images came which the latest report has not seen.
    pub images_added_after_signing_at: Option<Timestamp>,
    /// How many, when the case is open again for them.
    pub added_instances: Option<i64>,
    pub withdrawn_at: Option<Timestamp>,
}

/// A case with everything a reading page or the office shows of it, without images and report texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseDetail {
    pub entry: WorklistEntry,
    /// Newest first; the first one counts.
    pub requests: Vec<ReadingRequestRow>,
    /// Newest first, the open one included. Empty for facilities.
    pub workitems: Vec<WorkitemRow>,
}

impl CaseDetail {
    /// The request that counts.
    pub fn request(&self) -> Option<&ReadingRequestRow> {
        self.requests.first()
    }

    /// The SCHEDULED or IN PROGRESS workitem.
    pub fn open_workitem(&self) -> Option<&WorkitemRow> {
        self.workitems.iter().find(|workitem| !workitem.state.is_final())
    }
}

impl WorklistEntry {
    pub(crate) fn new(row: CaseEntryRow, now: Timestamp) -> Self {
        let report = row.report;
        let open = row.open_workitem;
        let state = case_state(StateFacts {
            withdrawn: row.withdrawn_at.is_some(),
            open_workitem: open.as_ref().map(|workitem| (workitem.state, workitem.assigned.is_some())),
            report_versions: report.as_ref().map_or(0, |report| report.number),
            deliveries: report.as_ref().map_or(0, |report| report.deliveries),
            deliveries_accepted: report.as_ref().map_or(0, |report| report.deliveries_accepted),
            deliveries_failed: report.as_ref().map_or(0, |report| report.deliveries_failed),
        });
        let signed_at = report.as_ref().map(|report| report.signed_at);
        let added_instances = open.as_ref().and_then(|workitem| workitem.added_instances);
        // A case that is open again waits from when the images came.
        let reopened = row.images_added_after_signing_at.filter(|_| added_instances.is_some());
        let until = signed_at.filter(|_| reopened.is_none()).or(row.withdrawn_at).unwrap_or(now);
        let current: Vec<&CaseStudyRow> = row.studies.iter().filter(|study| study.withdrawn_at.is_none()).collect();
        // A wholly withdrawn case still says what it was.
        let counted = if current.is_empty() { row.studies.iter().collect() } else { current };
        let person = |person: Option<(AccountId, String)>| person.map(|(account, name)| Person { account, name });
        let images_added =
            row.images_added_after_signing_at.filter(|added| signed_at.is_some_and(|signed| *added > signed));
        let (assigned, assigned_at, stored_reasons, performer, claim_expires_at) = match open {
            Some(open) => {
                let expires = open.claim_expires_at.filter(|_| open.state == WorkitemState::InProgress);
                (open.assigned, open.assigned_at, open.assignment_reasons, open.performer, expires)
            }
            None => (None, None, None, None, None),
        };
        Self {
            case: row.case,
            state,
            priority: row.priority,
            facility: row.facility,
            facility_name: row.facility_name,
            patient: row.patient,
            modalities: distinct(counted.iter().flat_map(|study| study.modalities.split(','))),
            body_part: distinct(counted.iter().map(|study| study.body_part.as_str())).join(", "),
            received: counted.iter().map(|study| study.instance_count).sum(),
            expected: expected(&counted),
            has_request: counted.iter().any(|study| study.has_request),
            studies: row.studies,
            opened_at: row.opened_at,
            due_at: row.due_at,
            waiting_seconds: until.seconds_since(reopened.unwrap_or(row.opened_at)).max(0),
            overdue: until > row.due_at,
            has_draft: row.has_draft,
            assigned: person(assigned),
            assigned_at,
            performer: person(performer),
            claim_expires_at,
            reasons: reason::from_json(stored_reasons.as_deref()),
            report,
            images_added_after_signing_at: images_added,
            added_instances,
            withdrawn_at: row.withdrawn_at,
        }
    }

    /// What a facility is not told: how readers were chosen.
    pub(crate) fn for_facility(mut self) -> Self {
        self.reasons.clear();
        self
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut texts: Vec<String> = texts.filter(|text| !text.is_empty()).map(str::to_owned).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Unannounced studies count with what has come; nothing announced at all is `None`.
fn expected(studies: &[&CaseStudyRow]) -> Option<i64> {
    studies
        .iter()
        .any(|study| study.expected_instances.is_some())
        .then(|| studies.iter().map(|study| study.expected_instances.unwrap_or(study.instance_count)).sum())
}
