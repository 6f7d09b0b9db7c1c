//! The objects this node makes itself, as data sets in explicit VR little endian and UTF-8.
//!
//! To add one: a file with its input struct and a function that returns the bytes; take the common modules from here; show it to `dciodvfy`
//! in `tests/objects.rs`.

mod encapsulated_pdf;
mod report_sr;

pub use encapsulated_pdf::{EncapsulatedPdfDocument, encapsulated_pdf};
pub use report_sr::{ReportAuthor, ReportDocument, ReportLanguage, ReportSection, SectionHeading, basic_text_sr};

use dokuei_domain::facts::PatientFacts;
use dokuei_domain::{PersonName, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, Uid};

use crate::tag;
use crate::vr::Vr;
use crate::writer::{DataSetWriter, Item, WriteError};

/// Basic Text SR Storage (PS3.4 B.5).
pub const BASIC_TEXT_SR_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.88.11";
/// Encapsulated PDF Storage (PS3.4 B.5).
pub const ENCAPSULATED_PDF_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.104.1";

/// Why an object cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("could not encode the object")]
    Write(#[from] WriteError),
    #[error("the report has no text")]
    EmptyReport,
    #[error("the report lists no instance as evidence")]
    NoEvidence,
    #[error("the author has no name")]
    NoAuthor,
    #[error("the author has no organisation")]
    NoOrganization,
    #[error("the document is empty or longer than 4 GiB")]
    DocumentLength,
}

/// The study an object belongs to, with the requesting hospital's own values (PS3.3 C.7.2.1). Texts may be empty; dates and times are DA and
/// TM as received.
#[derive(Clone, PartialEq, Debug)]
pub struct StudyModule {
    pub study: StudyUid,
    pub date: String,
    pub time: String,
    pub id: String,
    pub accession_number: String,
    pub description: String,
    pub referring_physician: PersonName,
}

/// The series of an object that is alone in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesModule {
    pub series: SeriesUid,
    /// (0020,0011)
    pub number: u32,
    /// (0008,103E); may be empty.
    pub description: String,
}

/// What made the object (PS3.3 C.7.5.1). Texts may be empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EquipmentModule {
    pub manufacturer: String,
    pub institution_name: String,
    pub model_name: String,
    pub software_version: String,
}

/// A concept as code value, coding scheme designator and meaning (PS3.3 8.8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    pub value: String,
    pub scheme: String,
    pub meaning: String,
}

/// One referenced object (PS3.3 10.8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceReference {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
}

/// Objects of one series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesEvidence {
    pub series: SeriesUid,
    pub instances: Vec<InstanceReference>,
}

/// Objects of one study (PS3.3 C.17.2.1, Hierarchical SOP Instance Reference).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StudyEvidence {
    pub study: StudyUid,
    pub series: Vec<SeriesEvidence>,
}

/// (18748-4, LN), the title of a report and of the document that shows it (CID 7000).
const DIAGNOSTIC_IMAGING_REPORT: [&str; 3] = ["18748-4", "LN", "Diagnostic Imaging Report"];

/// A code sequence item.
fn code([value, scheme, meaning]: [&str; 3]) -> Item {
    let mut item = Item::new();
    item.text(tag::CODE_VALUE, Vr::SH, value).text(tag::CODING_SCHEME_DESIGNATOR, Vr::SH, scheme).text(
        tag::CODE_MEANING,
        Vr::LO,
        meaning,
    );
    item
}

impl Code {
    fn item(&self) -> Item {
        code([&self.value, &self.scheme, &self.meaning])
    }
}

impl InstanceReference {
    fn item(&self) -> Item {
        let mut item = Item::new();
        item.text(tag::REFERENCED_SOP_CLASS_UID, Vr::UI, self.sop_class.as_str()).text(
            tag::REFERENCED_SOP_INSTANCE_UID,
            Vr::UI,
            self.sop_instance.as_str(),
        );
        item
    }
}

impl StudyEvidence {
    fn item(&self) -> Item {
        let series = self.series.iter().filter(|series| !series.instances.is_empty()).map(|series| {
            let mut item = Item::new();
            item.text(tag::SERIES_INSTANCE_UID, Vr::UI, series.series.as_str())
                .items(tag::REFERENCED_SOP_SEQUENCE, series.instances.iter().map(InstanceReference::item).collect());
            item
        });
        let mut item = Item::new();
        item.text(tag::STUDY_INSTANCE_UID, Vr::UI, self.study.as_str())
            .items(tag::REFERENCED_SERIES_SEQUENCE, series.collect());
        item
    }
}

/// One item per study that has instances.
fn evidence_items(evidence: &[StudyEvidence]) -> Vec<Item> {
    let has_instances = |study: &&StudyEvidence| study.series.iter().any(|series| !series.instances.is_empty());
    evidence.iter().filter(has_instances).map(StudyEvidence::item).collect()
}

/// A type 3 element: absent when it has no value.
fn text_if_any(data_set: &mut DataSetWriter, tag: crate::Tag, vr: Vr, text: &str) {
    if !text.is_empty() {
        data_set.text(tag, vr, text);
    }
}

/// SOP Common (PS3.3 C.12.1).
fn put_sop_common(data_set: &mut DataSetWriter, sop_class: &str, sop_instance: &SopInstanceUid, created: &jiff::Zoned) {
    data_set
        .text(tag::SOP_CLASS_UID, Vr::UI, sop_class)
        .text(tag::SOP_INSTANCE_UID, Vr::UI, sop_instance.as_str())
        .text(tag::INSTANCE_CREATION_DATE, Vr::DA, &date(created))
        .text(tag::INSTANCE_CREATION_TIME, Vr::TM, &time(created));
}

/// Patient (PS3.3 C.7.1.1): the patient exactly as the hospital's images say.
fn put_patient(data_set: &mut DataSetWriter, patient: &PatientFacts) {
    data_set
        .joined(tag::PATIENT_NAME, Vr::PN, &patient.name.to_dicom())
        .joined(tag::PATIENT_ID, Vr::LO, &patient.id)
        .joined(tag::PATIENT_BIRTH_DATE, Vr::DA, &patient.birth_date)
        .joined(tag::PATIENT_SEX, Vr::CS, &patient.sex);
    if patient.issuer.is_empty() {
        return;
    }
    data_set.joined(tag::ISSUER_OF_PATIENT_ID, Vr::LO, &patient.issuer);
    // Table 10-18: an OID is said again where its kind can be said.
    if Uid::parse(&patient.issuer).is_ok() {
        let mut qualifiers = Item::new();
        qualifiers.text(tag::UNIVERSAL_ENTITY_ID, Vr::UT, &patient.issuer).text(
            tag::UNIVERSAL_ENTITY_ID_TYPE,
            Vr::CS,
            "ISO",
        );
        data_set.item(tag::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, qualifiers);
    }
}

/// General Study (PS3.3 C.7.2.1).
fn put_study(data_set: &mut DataSetWriter, study: &StudyModule) {
    data_set
        .text(tag::STUDY_INSTANCE_UID, Vr::UI, study.study.as_str())
        .joined(tag::STUDY_DATE, Vr::DA, &study.date)
        .joined(tag::STUDY_TIME, Vr::TM, &study.time)
        .joined(tag::STUDY_ID, Vr::SH, &study.id)
        .joined(tag::ACCESSION_NUMBER, Vr::SH, &study.accession_number)
        .joined(tag::REFERRING_PHYSICIAN_NAME, Vr::PN, &study.referring_physician.to_dicom());
    if !study.description.is_empty() {
        data_set.joined(tag::STUDY_DESCRIPTION, Vr::LO, &study.description);
    }
}

/// SR Document Series and Encapsulated Document Series (PS3.3 C.17.1, C.24.1).
fn put_series(data_set: &mut DataSetWriter, modality: &str, series: &SeriesModule, instance_number: u32) {
    data_set
        .text(tag::MODALITY, Vr::CS, modality)
        .text(tag::SERIES_INSTANCE_UID, Vr::UI, series.series.as_str())
        .text(tag::SERIES_NUMBER, Vr::IS, &series.number.to_string())
        .text(tag::INSTANCE_NUMBER, Vr::IS, &instance_number.to_string());
    text_if_any(data_set, tag::SERIES_DESCRIPTION, Vr::LO, &series.description);
}

/// General Equipment (PS3.3 C.7.5.1).
fn put_equipment(data_set: &mut DataSetWriter, equipment: &EquipmentModule) {
    data_set.text(tag::MANUFACTURER, Vr::LO, &equipment.manufacturer);
    text_if_any(data_set, tag::INSTITUTION_NAME, Vr::LO, &equipment.institution_name);
    text_if_any(data_set, tag::MANUFACTURER_MODEL_NAME, Vr::LO, &equipment.model_name);
    text_if_any(data_set, tag::SOFTWARE_VERSIONS, Vr::LO, &equipment.software_version);
}

/// DA of the local day.
fn date(at: &jiff::Zoned) -> String {
    at.strftime("%Y%m%d").to_string()
}

/// TM of the local time, to the second.
fn time(at: &jiff::Zoned) -> String {
    at.strftime("%H%M%S").to_string()
}

/// DT with the offset from UTC (PS3.5 6.2).
fn date_time(at: &jiff::Zoned) -> String {
    at.strftime("%Y%m%d%H%M%S%z").to_string()
}
