//! What is on the page.

use jiff::Zoned;

/// Language of the labels; the report's own text is printed as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    Ja,
    En,
}

impl Language {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }
}

/// Everything that is printed, already worded for people: dates, sex, priority and status are texts in the language of
/// the page. Empty texts are printed as a dash or leave their section out; `patient_name`, `patient_id`, `report_id`
/// and `impression` must not be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPage {
    pub language: Language,
    /// Requesting facility, in the header of every page.
    pub facility_name: String,
    pub reading_organisation: String,
    /// Ideographic name, or the only form there is. In the header of every page.
    pub patient_name: String,
    pub patient_name_kana: String,
    pub patient_name_romaji: String,
    pub patient_id: String,
    pub birth_date: String,
    pub sex: String,
    pub age: Option<String>,
    pub accession_number: String,
    pub modality: String,
    pub body_part: String,
    pub study_date: String,
    pub study_description: String,
    pub priority: String,
    pub requesting_physician: String,
    /// Line breaks are kept here and in the four texts that follow.
    pub clinical_question: String,
    pub findings: String,
    pub impression: String,
    /// The section is left out when empty.
    pub recommendation: String,
    /// What an addendum or correction replaces, and why.
    pub predecessor_note: Option<String>,
    /// 確定, 訂正 and the like.
    pub status: String,
    pub report_id: String,
    pub version: u32,
    pub signer_name: String,
    pub signer_organisation: String,
    /// Time of signature with its zone, as text. Empty means unsigned: the page then says so in red instead of
    /// claiming a signature.
    pub signed_at: String,
    pub image_count: u32,
    pub study_uid: String,
    /// Creation time in the PDF's metadata, to the second, with its offset to the minute.
    pub created: Zoned,
}
