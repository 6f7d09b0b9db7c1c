//! What templates show: use cases' answers turned into texts of one language and time zone.

use dokuei_access::{Action, Language, Resource, can};
use dokuei_database::{PatientRow, StudyRow, StudyState};
use dokuei_domain::{Actor, PersonName, Priority, Role, workitem::WorkitemState};
use dokuei_worklist::{CaseState, CaseStudyRow, Person, ReadingRequestRow, Reason, WorkitemRow, WorklistEntry};
use jiff::tz::TimeZone;

use crate::{format, text::Words, visitor::User};

/// Whose eyes: language, time zone and actor.
#[derive(Clone, Copy)]
pub(crate) struct Eyes<'a> {
    pub(crate) t: &'static Words,
    pub(crate) zone: &'a TimeZone,
    pub(crate) actor: &'a Actor,
    pub(crate) role: Role,
}

impl<'a> Eyes<'a> {
    pub(crate) fn of(user: &'a User) -> Self {
        Self { t: user.t(), zone: user.zone(), actor: user.actor(), role: user.session.role }
    }
}

pub(crate) struct PatientView {
    /// Kanji, else romaji, else kana.
    pub(crate) name: String,
    pub(crate) kana: String,
    pub(crate) romaji: String,
    pub(crate) id: String,
    pub(crate) birth_date: String,
    pub(crate) age: String,
    pub(crate) sex: String,
    pub(crate) provisional: bool,
    pub(crate) repaired: bool,
    pub(crate) differs: bool,
}

impl PatientView {
    pub(crate) fn new(patient: &PatientRow, study_date: &str, t: &Words) -> Self {
        let PersonNameView { name, kana, romaji } = PersonNameView::new(&patient.name, t);
        Self {
            name,
            kana,
            romaji,
            id: patient.id.clone(),
            birth_date: format::date(&patient.birth_date),
            age: format::age(&patient.birth_date, study_date, t),
            sex: format::sex(&patient.sex, t),
            provisional: patient.provisional,
            repaired: patient.charset_repaired,
            differs: patient.differs_from_earlier,
        }
    }
}

/// A name in each script once.
pub(crate) struct PersonNameView {
    /// Kanji, else romaji, else kana.
    pub(crate) name: String,
    pub(crate) kana: String,
    pub(crate) romaji: String,
}

impl PersonNameView {
    pub(crate) fn new(name: &PersonName, t: &Words) -> Self {
        let shown = name.display();
        let beside = |group: String| if group == shown { String::new() } else { group };
        Self {
            kana: beside(name.display_phonetic()),
            romaji: beside(name.display_alphabetic()),
            name: if shown.is_empty() { t.unnamed.to_owned() } else { shown },
        }
    }

    /// In one line.
    pub(crate) fn joined(&self) -> String {
        let parts = [&self.name, &self.kana, &self.romaji];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" / ")
    }
}

/// `482 / 500`, or `482` when nobody said how many there are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CountView {
    pub(crate) text: String,
    pub(crate) incomplete: bool,
}

impl CountView {
    pub(crate) fn new(received: i64, expected: Option<i64>, receiving: bool) -> Self {
        let text = expected.map_or_else(|| received.to_string(), |expected| format!("{received} / {expected}"));
        let incomplete = receiving || expected.is_some_and(|expected| expected > received);
        Self { text: if receiving { format!("{text} …") } else { text }, incomplete }
    }
}

pub(crate) struct CaseView {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) state_label: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) priority_label: &'static str,
    pub(crate) patient: PatientView,
    pub(crate) study_date: String,
    pub(crate) description: String,
    pub(crate) modalities: String,
    pub(crate) body_part: String,
    pub(crate) count: CountView,
    pub(crate) facility: String,
    pub(crate) has_request: bool,
    pub(crate) waiting: String,
    pub(crate) opened: String,
    pub(crate) due: String,
    pub(crate) overdue: bool,
    pub(crate) assigned: String,
    pub(crate) performer: String,
    /// One a line.
    pub(crate) reasons: String,
    /// The viewer holds it.
    pub(crate) mine: bool,
    pub(crate) can_claim: bool,
    pub(crate) can_continue: bool,
    pub(crate) report: Option<String>,
    pub(crate) images_added: bool,
    /// How many of them, when the case is open again for them; 0 otherwise.
    pub(crate) added_instances: i64,
}

impl CaseView {
    pub(crate) fn new(entry: &WorklistEntry, eyes: Eyes<'_>) -> Self {
        let Eyes { t, zone, actor, role } = eyes;
        let current: Vec<&CaseStudyRow> = entry.studies.iter().filter(|study| study.withdrawn_at.is_none()).collect();
        let shown = if current.is_empty() { entry.studies.iter().collect() } else { current };
        let study_date = shown.first().map(|study| study.study_date.as_str()).unwrap_or_default();
        let dates: Vec<String> = distinct(shown.iter().map(|study| format::date(&study.study_date)));
        let descriptions = distinct(shown.iter().map(|study| study.description.clone()));
        let receiving = entry.state.is_open() && shown.iter().any(|study| study.settled_at.is_none());
        let mine = entry.performer.as_ref().is_some_and(|person| Some(&person.account) == actor.account());
        let claimed_by = entry.performer.as_ref().map(|person| &person.account);
        let case = Resource::Case { facility: &entry.facility, claimed_by };
        Self {
            id: entry.case.to_string(),
            state: entry.state.as_str(),
            state_label: state_label(entry.state, t),
            priority: entry.priority.as_str(),
            priority_label: priority_label(entry.priority, t),
            patient: PatientView::new(&entry.patient, study_date, t),
            study_date: dates.join(", "),
            description: descriptions.join(", "),
            modalities: entry.modalities.join(" "),
            body_part: entry.body_part.clone(),
            count: CountView::new(entry.received, entry.expected, receiving),
            facility: entry.facility_name.clone(),
            has_request: entry.has_request,
            waiting: format::duration(entry.waiting_seconds, t),
            opened: format::minute(zone, entry.opened_at),
            due: format::minute(zone, entry.due_at),
            overdue: entry.overdue,
            assigned: match (&entry.assigned, &entry.report) {
                (Some(person), _) => name(person),
                (None, Some(report)) if !entry.state.is_open() => report.author_name.clone(),
                (None, _) => t.nobody.to_owned(),
            },
            performer: entry.performer.as_ref().map(name).unwrap_or_default(),
            reasons: reasons(&entry.reasons, t).join("\n"),
            mine,
            can_claim: entry.state.is_open() && claimed_by.is_none() && can(actor, Action::ClaimCase, case).is_ok(),
            can_continue: mine && role == Role::Reader && entry.state == CaseState::Reading,
            report: entry.report.as_ref().map(|report| report.latest.to_string()),
            images_added: entry.images_added_after_signing_at.is_some(),
            added_instances: entry.added_instances.unwrap_or(0),
        }
    }
}

fn name(person: &Person) -> String {
    if person.name.is_empty() { person.account.to_string() } else { person.name.clone() }
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

pub(crate) fn reasons(reasons: &[Reason], t: &Words) -> Vec<String> {
    match t.language() {
        Language::Japanese => reasons.iter().map(Reason::japanese).collect(),
        Language::English => reasons.iter().map(Reason::english).collect(),
    }
}

pub(crate) fn state_label(state: CaseState, t: &Words) -> &'static str {
    match t.language() {
        Language::Japanese => state.japanese(),
        Language::English => state.english(),
    }
}

pub(crate) fn priority_label(priority: Priority, t: &Words) -> &'static str {
    match priority {
        Priority::Emergency => t.priority_emergency,
        Priority::Urgent => t.priority_urgent,
        Priority::Routine => t.priority_routine,
    }
}

#[derive(Default)]
pub(crate) struct RequestView {
    pub(crate) question: String,
    pub(crate) callback: String,
    pub(crate) physician: String,
    pub(crate) priority_label: &'static str,
    pub(crate) entered: String,
}

impl RequestView {
    pub(crate) fn new(row: &ReadingRequestRow, eyes: Eyes<'_>) -> Self {
        Self {
            question: row.clinical_question.clone(),
            callback: row.callback_number.clone(),
            physician: row.requesting_physician.clone(),
            priority_label: priority_label(row.priority, eyes.t),
            entered: format!(
                "{} {}",
                format::minute(eyes.zone, row.entered_at),
                match row.entered_by.as_str() {
                    "cli" => eyes.t.command_line,
                    account => account.trim_start_matches("account:"),
                }
            ),
        }
    }
}

/// A study within a case.
pub(crate) struct CaseStudyView {
    pub(crate) date: String,
    pub(crate) modalities: String,
    pub(crate) body_part: String,
    pub(crate) description: String,
    pub(crate) accession_number: String,
    pub(crate) series: i64,
    pub(crate) count: CountView,
    pub(crate) received: String,
    pub(crate) withdrawn: bool,
}

impl CaseStudyView {
    pub(crate) fn new(row: &CaseStudyRow, eyes: Eyes<'_>) -> Self {
        let withdrawn = row.withdrawn_at.is_some();
        Self {
            date: format::date(&row.study_date),
            modalities: row.modalities.replace(',', " "),
            body_part: row.body_part.clone(),
            description: row.description.clone(),
            accession_number: row.accession_number.clone(),
            series: row.series_count,
            count: CountView::new(row.instance_count, row.expected_instances, row.settled_at.is_none() && !withdrawn),
            received: format::minute(eyes.zone, row.last_received_at),
            withdrawn,
        }
    }
}

pub(crate) struct WorkitemView {
    pub(crate) created: String,
    pub(crate) state: &'static str,
    pub(crate) assigned: String,
    pub(crate) performer: String,
    pub(crate) ended: String,
    pub(crate) reason: String,
}

impl WorkitemView {
    pub(crate) fn new(row: &WorkitemRow, eyes: Eyes<'_>) -> Self {
        let t = eyes.t;
        let text = |account: Option<&dokuei_domain::AccountId>| account.map(ToString::to_string).unwrap_or_default();
        Self {
            created: format::minute(eyes.zone, row.created_at),
            state: match row.state {
                WorkitemState::Scheduled => t.workitem_scheduled,
                WorkitemState::InProgress => t.workitem_in_progress,
                WorkitemState::Completed => t.workitem_completed,
                WorkitemState::Canceled => t.workitem_canceled,
            },
            assigned: text(row.assigned_reader.as_ref()),
            performer: text(row.performer.as_ref()),
            ended: format::optional_minute(eyes.zone, row.ended_at),
            reason: row.discontinuation_reason.clone().unwrap_or_default(),
        }
    }
}

/// A study as its facility sees it.
pub(crate) struct StudyView {
    pub(crate) pk: String,
    pub(crate) patient: PatientView,
    pub(crate) facility: String,
    pub(crate) date: String,
    pub(crate) modalities: String,
    pub(crate) body_part: String,
    pub(crate) description: String,
    pub(crate) accession_number: String,
    pub(crate) series: i64,
    pub(crate) count: CountView,
    pub(crate) received: String,
    pub(crate) declared: String,
    pub(crate) state: &'static str,
    pub(crate) state_label: &'static str,
    pub(crate) withdrawn: bool,
    pub(crate) withdrawn_reason: String,
    pub(crate) case: Option<CaseLink>,
    /// Without a case: why.
    pub(crate) no_case_reason: &'static str,
    pub(crate) can_declare: bool,
    pub(crate) can_withdraw: bool,
}

pub(crate) struct CaseLink {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) state_label: &'static str,
    pub(crate) report: Option<String>,
}

impl StudyView {
    pub(crate) fn new(row: &StudyRow, case: Option<&WorklistEntry>, eyes: Eyes<'_>) -> Self {
        let Eyes { t, zone, actor, .. } = eyes;
        let may = |action| can(actor, action, Resource::Facility(&row.facility)).is_ok();
        let receiving = row.state == StudyState::Receiving;
        let withdrawn = row.state == StudyState::Withdrawn;
        let (state, label) = match row.state {
            StudyState::Receiving => ("receiving", t.study_receiving),
            StudyState::Settled => ("settled", t.study_settled),
            StudyState::Withdrawn => ("withdrawn", t.study_withdrawn),
        };
        Self {
            pk: row.pk.to_string(),
            patient: PatientView::new(&row.patient, &row.study_date, t),
            facility: row.facility.to_string(),
            date: format::date(&row.study_date),
            modalities: row.modalities.replace(',', " "),
            body_part: row.body_part.clone(),
            description: row.description.clone(),
            accession_number: row.accession_number.clone(),
            series: row.series_count,
            count: CountView::new(row.instance_count, row.expected_instances, receiving),
            received: format::minute(zone, row.last_received_at),
            declared: format::optional_minute(zone, row.declared_complete_at),
            state,
            state_label: label,
            withdrawn,
            withdrawn_reason: row.withdrawn_reason.clone().unwrap_or_default(),
            case: case.map(|entry| CaseLink {
                id: entry.case.to_string(),
                state: entry.state.as_str(),
                state_label: state_label(entry.state, t),
                report: entry.report.as_ref().map(|report| report.latest.to_string()),
            }),
            no_case_reason: match (withdrawn, row.held, row.opens_case) {
                (true, _, _) => "",
                (false, true, _) => t.study_held,
                (false, false, true) => t.case_follows,
                (false, false, false) => t.not_for_reading,
            },
            can_declare: receiving && may(Action::DeclareComplete),
            can_withdraw: !withdrawn && may(Action::WithdrawStudy),
        }
    }
}

#[cfg(test)]
mod tests {
    use dokuei_domain::PatientPk;

    use super::*;
    use crate::text::{ENGLISH, JAPANESE};

    fn patient(name: &str) -> PatientRow {
        PatientRow {
            pk: PatientPk(uuid::Uuid::nil()),
            issuer: String::new(),
            id: "K-77".into(),
            provisional: false,
            name: PersonName::parse(name),
            birth_date: "19500314".into(),
            sex: "F".into(),
            charset_repaired: false,
            differs_from_earlier: false,
        }
    }

    #[test]
    fn a_name_is_shown_in_each_script_once() {
        let all = PatientView::new(&patient("Yamada^Hanako=山田^花子=やまだ^はなこ"), "20261122", &JAPANESE);
        assert_eq!(
            (all.name.as_str(), all.kana.as_str(), all.romaji.as_str()),
            ("山田 花子", "やまだ はなこ", "Yamada Hanako")
        );
        assert_eq!((all.birth_date.as_str(), all.age.as_str(), all.sex.as_str()), ("1950-03-14", "76歳", "女"));

        let romaji = PatientView::new(&patient("DOE^JANE"), "", &ENGLISH);
        assert_eq!((romaji.name.as_str(), romaji.romaji.as_str(), romaji.age.as_str()), ("DOE JANE", "", ""));
        assert_eq!(PatientView::new(&patient(""), "", &ENGLISH).name, "(no name)");
    }

    #[test]
    fn counts_say_when_something_is_missing() {
        let count = |received, expected, receiving| {
            let view = CountView::new(received, expected, receiving);
            (view.text, view.incomplete)
        };
        assert_eq!(count(482, Some(500), false), ("482 / 500".into(), true));
        assert_eq!(count(500, Some(500), false), ("500 / 500".into(), false));
        assert_eq!(count(482, None, false), ("482".into(), false));
        assert_eq!(count(12, None, true), ("12 …".into(), true));
    }
}
