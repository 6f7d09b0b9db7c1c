//! Texts are made printable, or refused, before any layout.

use typst::text::Font;

use crate::{ReportPage, ReportPdfError};

/// Longest text of a field that may span pages, in characters; forty dense pages.
const MAX_CHARACTERS: usize = 50_000;
/// Longest text of any other field. The patient's name and identifier stand in the header of every page.
const MAX_SHORT_CHARACTERS: usize = 200;
const LONG_FIELDS: [&str; 5] = ["clinical_question", "findings", "impression", "recommendation", "predecessor_note"];
/// Longest line. The typesetter counts bytes of a run in 16 bits.
const MAX_LINE_BYTES: usize = 60_000;

/// Names and texts for the template, cleaned and checked.
pub(crate) fn checked_fields(page: &ReportPage, font: &Font) -> Result<Vec<(&'static str, String)>, ReportPdfError> {
    for (field, value) in [
        ("patient_name", &page.patient_name),
        ("patient_id", &page.patient_id),
        ("report_id", &page.report_id),
        ("impression", &page.impression),
    ] {
        if value.trim().is_empty() {
            return Err(ReportPdfError::Empty { field });
        }
    }
    let checked = |(field, value): (&'static str, &str)| Ok((field, printable(field, value, font)?));
    fields(page).into_iter().map(checked).chain(numbers(page)).collect()
}

fn numbers(page: &ReportPage) -> impl Iterator<Item = Result<(&'static str, String), ReportPdfError>> {
    [
        ("language", page.language.code().to_owned()),
        ("version", page.version.to_string()),
        ("image_count", page.image_count.to_string()),
    ]
    .into_iter()
    .map(Ok)
}

fn fields(page: &ReportPage) -> [(&'static str, &str); 27] {
    [
        ("facility_name", &page.facility_name),
        ("reading_organisation", &page.reading_organisation),
        ("patient_name", &page.patient_name),
        ("patient_name_kana", &page.patient_name_kana),
        ("patient_name_romaji", &page.patient_name_romaji),
        ("patient_id", &page.patient_id),
        ("birth_date", &page.birth_date),
        ("sex", &page.sex),
        ("age", page.age.as_deref().unwrap_or_default()),
        ("accession_number", &page.accession_number),
        ("modality", &page.modality),
        ("body_part", &page.body_part),
        ("study_date", &page.study_date),
        ("study_description", &page.study_description),
        ("priority", &page.priority),
        ("requesting_physician", &page.requesting_physician),
        ("clinical_question", &page.clinical_question),
        ("findings", &page.findings),
        ("impression", &page.impression),
        ("recommendation", &page.recommendation),
        ("predecessor_note", page.predecessor_note.as_deref().unwrap_or_default()),
        ("status", &page.status),
        ("report_id", &page.report_id),
        ("signer_name", &page.signer_name),
        ("signer_organisation", &page.signer_organisation),
        ("signed_at", &page.signed_at),
        ("study_uid", &page.study_uid),
    ]
}

/// Line ends become LF and tabs spaces; trailing space goes. Everything else is kept or refused.
fn printable(field: &'static str, value: &str, font: &Font) -> Result<String, ReportPdfError> {
    let long = LONG_FIELDS.contains(&field);
    let limit = if long { MAX_CHARACTERS } else { MAX_SHORT_CHARACTERS };
    if value.chars().count() > limit {
        return Err(ReportPdfError::TooLong { field, limit });
    }
    let mut value = value.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
    if !long {
        value = value.replace('\n', " ");
    }
    let value = value.trim_end();
    if value.lines().any(|line| line.len() > MAX_LINE_BYTES) {
        return Err(ReportPdfError::TooLong { field, limit: MAX_LINE_BYTES / 3 });
    }
    for character in value.chars().filter(|&character| character != '\n') {
        if character.is_control() || is_invisible(character) {
            return Err(ReportPdfError::InvisibleCharacter { character, field });
        }
        if !is_variation_selector(character) && !font.info().coverage.contains(character.into()) {
            return Err(ReportPdfError::MissingGlyph { character, field });
        }
    }
    Ok(value.to_owned())
}

/// Zero-width and direction-changing characters (Unicode general category Cf, as far as people paste them).
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// A selector the font does not know leaves the base character in its usual form, as Unicode wants it (section 23.4).
pub(crate) fn is_variation_selector(character: char) -> bool {
    matches!(character, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}
