//! The words on the printed page.

use dokuei_domain::{PersonName, Priority};
use dokuei_report_pdf::ReportPage;
use jiff::{Zoned, civil::Date};

use crate::{ReportSettings, facts::CaseFacts, freeze::Identity, manifest::Language};

/// What stands for a character that the font lacks: the mark that Japanese print uses for it, and which one it was. The objects and the manifest keep the
/// text itself.
fn unprintable(character: char) -> String {
    format!("〓(U+{:04X})", u32::from(character))
}

/// Texts that the author of the report did not write and cannot change: a character in one of them that cannot be printed must not keep a report from being
/// signed.
fn given_texts(page: &mut ReportPage) -> [&mut String; 16] {
    [
        &mut page.facility_name,
        &mut page.reading_organisation,
        &mut page.patient_name,
        &mut page.patient_name_kana,
        &mut page.patient_name_romaji,
        &mut page.patient_id,
        &mut page.birth_date,
        &mut page.sex,
        &mut page.accession_number,
        &mut page.modality,
        &mut page.body_part,
        &mut page.study_description,
        &mut page.requesting_physician,
        &mut page.clinical_question,
        &mut page.signer_name,
        &mut page.signer_organisation,
    ]
}

/// Marks a character that cannot be printed wherever it was given. `false`: it stands nowhere there, so the author wrote it.
pub(crate) fn mark_unprintable(page: &mut ReportPage, character: char) -> bool {
    let mut found = false;
    for text in given_texts(page) {
        if character != '〓' && text.contains(character) {
            *text = text.replace(character, &unprintable(character));
            found = true;
        }
    }
    found
}

pub(crate) fn report_page(
    facts: &CaseFacts,
    identity: &Identity,
    signed_at: &Zoned,
    settings: &ReportSettings,
) -> ReportPage {
    let words = Words(settings.language);
    let first = facts.studies.first().map(|study| &study.row);
    let joined =
        |of: &dyn Fn(&dokuei_database::StudyRow) -> String| distinct(facts.studies.iter().map(|study| of(&study.row)));
    let patient = &facts.patient;
    let name = Some(patient.name.display()).filter(|name| !name.is_empty());
    let requesting_physician = match &facts.request {
        Some(request) if !request.requesting_physician.is_empty() => request.requesting_physician.clone(),
        _ => joined(&|study| study.referring_physician.display()),
    };
    ReportPage {
        language: words.page_language(),
        facility_name: facts.facility.name.clone(),
        reading_organisation: settings.organisation.clone(),
        patient_name: name.unwrap_or_else(|| words.no_name().to_owned()),
        patient_name_kana: other_form(patient.name.display_phonetic(), &patient.name),
        patient_name_romaji: other_form(patient.name.display_alphabetic(), &patient.name),
        patient_id: if patient.id.trim().is_empty() { words.no_id().to_owned() } else { patient.id.clone() },
        birth_date: words.date(&patient.birth_date),
        sex: words.sex(&patient.sex),
        age: first.and_then(|study| age(&patient.birth_date, &study.study_date)).map(|years| words.years(years)),
        accession_number: joined(&|study| study.accession_number.clone()),
        modality: joined(&|study| study.modalities.replace(',', ", ")),
        body_part: joined(&|study| study.body_part.clone()),
        study_date: joined(&|study| words.date_and_time(&study.study_date, &study.study_time)),
        study_description: joined(&|study| study.description.clone()),
        priority: words.priority(facts.head.priority).to_owned(),
        requesting_physician,
        clinical_question: facts.request.as_ref().map(|request| request.clinical_question.clone()).unwrap_or_default(),
        findings: facts.draft.findings.clone(),
        impression: if facts.draft.impression.trim().is_empty() {
            words.none_written().to_owned()
        } else {
            facts.draft.impression.clone()
        },
        recommendation: facts.draft.recommendation.clone(),
        predecessor_note: facts.last.as_ref().map(|last| {
            let before = last.signed_at.to_jiff().to_zoned(settings.time_zone.clone());
            words.succeeds(last.number, &words.moment(&before))
        }),
        status: words.status(facts.last.is_some()).to_owned(),
        report_id: identity.version.to_string(),
        version: identity.number,
        signer_name: facts.author.name.display(),
        signer_organisation: identity.author_organisation.clone(),
        signed_at: words.moment(signed_at),
        image_count: u32::try_from(facts.instance_count()).unwrap_or(u32::MAX),
        study_uid: joined(&|study| study.uid.to_string()),
        created: signed_at.clone(),
    }
}

/// A form of the name, unless it is the one already shown.
fn other_form(form: String, name: &PersonName) -> String {
    if form == name.display() { String::new() } else { form }
}

fn distinct(values: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for value in values.filter(|value| !value.trim().is_empty()) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept.join(", ")
}

/// A DA value (PS3.5 6.2).
fn parse_date(da: &str) -> Option<Date> {
    let da = da.trim();
    (da.len() == 8 && da.bytes().all(|b| b.is_ascii_digit())).then(|| Date::strptime("%Y%m%d", da).ok())?
}

/// Full years at the day of the study.
fn age(birth: &str, study: &str) -> Option<i16> {
    let (birth, study) = (parse_date(birth)?, parse_date(study)?);
    let had_birthday = (study.month(), study.day()) >= (birth.month(), birth.day());
    let years = study.year() - birth.year() - i16::from(!had_birthday);
    (0..=130).contains(&years).then_some(years)
}

/// The words of one language.
struct Words(Language);

impl Words {
    fn page_language(&self) -> dokuei_report_pdf::Language {
        match self.0 {
            Language::Ja => dokuei_report_pdf::Language::Ja,
            Language::En => dokuei_report_pdf::Language::En,
        }
    }

    fn pick<'a>(&self, japanese: &'a str, english: &'a str) -> &'a str {
        match self.0 {
            Language::Ja => japanese,
            Language::En => english,
        }
    }

    fn no_name(&self) -> &str {
        self.pick("（氏名なし）", "(no name)")
    }

    fn no_id(&self) -> &str {
        self.pick("（IDなし）", "(no ID)")
    }

    fn none_written(&self) -> &str {
        self.pick("（記載なし）", "(none written)")
    }

    fn status(&self, succeeds_another: bool) -> &str {
        if succeeds_another { self.pick("改訂", "Revised") } else { self.pick("確定", "Final") }
    }

    fn succeeds(&self, number: i64, signed_at: &str) -> String {
        match self.0 {
            Language::Ja => format!("第{number}版（{signed_at}）に代わるものです。"),
            Language::En => format!("Succeeds version {number} of {signed_at}."),
        }
    }

    fn sex(&self, sex: &str) -> String {
        match sex.trim() {
            "M" => self.pick("男", "male").to_owned(),
            "F" => self.pick("女", "female").to_owned(),
            "O" => self.pick("その他", "other").to_owned(),
            other => other.to_owned(),
        }
    }

    fn years(&self, years: i16) -> String {
        match self.0 {
            Language::Ja => format!("{years}歳"),
            Language::En => format!("{years} y"),
        }
    }

    fn priority(&self, priority: Priority) -> &'static str {
        match (self.0, priority) {
            (Language::Ja, priority) => priority.japanese(),
            (Language::En, Priority::Emergency) => "Emergency",
            (Language::En, Priority::Urgent) => "Urgent",
            (Language::En, Priority::Routine) => "Routine",
        }
    }

    /// What is not a date is shown as it was written.
    fn date(&self, da: &str) -> String {
        match parse_date(da) {
            Some(date) => date.strftime(self.pick("%Y年%-m月%-d日", "%Y-%m-%d")).to_string(),
            None => da.trim().to_owned(),
        }
    }

    fn date_and_time(&self, da: &str, tm: &str) -> String {
        let clock = match (tm.get(0..2), tm.get(2..4)) {
            (Some(hour), Some(minute)) if tm.bytes().take(4).all(|b| b.is_ascii_digit()) => format!(" {hour}:{minute}"),
            _ => String::new(),
        };
        format!("{}{clock}", self.date(da)).trim().to_owned()
    }

    /// With the offset, because a page travels.
    fn moment(&self, at: &Zoned) -> String {
        at.strftime(self.pick("%Y年%-m月%-d日 %H:%M:%S（UTC%:z）", "%Y-%m-%d %H:%M:%S (UTC%:z)")).to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn dates_are_worded_and_what_is_no_date_is_shown_as_written() {
        let words = Words(Language::Ja);
        assert_eq!(words.date("19600401"), "1960年4月1日");
        assert_eq!(Words(Language::En).date("19600401"), "1960-04-01");
        for odd in ["", "1960", "19601301", "1960.04.01", "昭和35年"] {
            assert_eq!(words.date(odd), odd);
        }
        assert_eq!(words.date_and_time("20261122", "093015.123"), "2026年11月22日 09:30");
        assert_eq!(words.date_and_time("20261122", "9"), "2026年11月22日");
        assert_eq!(words.date_and_time("", "あい"), "");
    }

    #[test]
    fn the_moment_of_signature_says_its_zone() {
        let at = jiff::Timestamp::from_microsecond(1_795_305_600_123_456)
            .unwrap()
            .to_zoned(TimeZone::get("Asia/Tokyo").unwrap());
        assert_eq!(Words(Language::Ja).moment(&at), "2026年11月22日 09:00:00（UTC+09:00）");
        assert_eq!(Words(Language::En).moment(&at), "2026-11-22 09:00:00 (UTC+09:00)");
    }

    #[test]
    fn the_age_is_that_of_the_day_of_the_study() {
        assert_eq!(age("19600401", "20260331"), Some(65));
        assert_eq!(age("19600401", "20260401"), Some(66));
        assert_eq!(age("20260402", "20260401"), None);
        assert_eq!(age("", "20260401"), None);
        assert_eq!(age("17000101", "20260401"), None);
    }
}
