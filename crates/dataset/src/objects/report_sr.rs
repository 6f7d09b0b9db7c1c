//! A signed report as Basic Text SR (PS3.3 A.35.1) with the content of TID 2000 (PS3.16).

use dokuei_domain::facts::PatientFacts;
use dokuei_domain::{PersonName, SopInstanceUid};

use super::{
    BASIC_TEXT_SR_STORAGE, Code, DIAGNOSTIC_IMAGING_REPORT, EquipmentModule, ObjectError, SeriesModule, StudyEvidence,
    StudyModule, code, date, date_time, evidence_items, put_equipment, put_patient, put_series, put_sop_common,
    put_study, time,
};
use crate::tag;
use crate::vr::Vr;
use crate::writer::{DataSetWriter, Item};

/// The language of the content (TID 1204).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportLanguage {
    Japanese,
    English,
}

/// Headings of CID 7001.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionHeading {
    Request,
    ClinicalInformation,
    Findings,
    Impressions,
    Recommendations,
    Addendum,
}

impl SectionHeading {
    fn heading(self) -> [&'static str; 3] {
        match self {
            Self::Request => ["55115-0", "LN", "Request"],
            Self::ClinicalInformation => ["55752-0", "LN", "Clinical Information"],
            Self::Findings => ["59776-5", "LN", "Findings"],
            Self::Impressions => ["19005-8", "LN", "Impressions"],
            Self::Recommendations => ["18783-1", "LN", "Recommendations"],
            Self::Addendum => ["55107-7", "LN", "Addendum"],
        }
    }

    /// The concept of the text below the heading (CID 7002, which is extensible and has nothing for an addendum).
    fn element(self) -> [&'static str; 3] {
        match self {
            Self::Request => ["55115-0", "LN", "Request"],
            Self::ClinicalInformation => ["11329-0", "LN", "History"],
            Self::Findings => ["121071", "DCM", "Finding"],
            Self::Impressions => ["121073", "DCM", "Impression"],
            Self::Recommendations => ["121075", "DCM", "Recommendation"],
            Self::Addendum => ["55107-7", "LN", "Addendum"],
        }
    }
}

/// One heading with its text. Lines may end in any way. A section without text is left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportSection {
    pub heading: SectionHeading,
    pub text: String,
}

/// Who wrote and verified the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportAuthor {
    pub name: PersonName,
    /// The reading organisation.
    pub organization: String,
    /// Identification, such as the number in a register of physicians; `None` leaves the type 2 sequence empty.
    pub identification: Option<Code>,
}

/// All that goes into a final, verified report. Everything is given: this module decides nothing about the report.
#[derive(Clone, PartialEq, Debug)]
pub struct ReportDocument {
    pub language: ReportLanguage,
    pub patient: PatientFacts,
    /// The study in which the document is filed.
    pub study: StudyModule,
    pub series: SeriesModule,
    pub sop_instance: SopInstanceUid,
    pub instance_number: u32,
    pub equipment: EquipmentModule,
    /// When it was signed, in the zone of the reading organisation: Content Date and Time are local, the verification has the offset.
    pub signed_at: jiff::Zoned,
    pub author: ReportAuthor,
    /// In the order in which they are to be read.
    pub sections: Vec<ReportSection>,
    /// Every instance of the studies that were read.
    pub evidence: Vec<StudyEvidence>,
    /// Earlier versions that this one replaces, grouped by study and series.
    pub predecessors: Vec<StudyEvidence>,
}

/// Encodes the report: complete, verified and final.
///
/// # Errors
///
/// When a part without which the IOD is not sound is missing, or a text cannot be encoded.
pub fn basic_text_sr(document: &ReportDocument) -> Result<Vec<u8>, ObjectError> {
    let evidence = evidence_items(&document.evidence);
    if evidence.is_empty() {
        return Err(ObjectError::NoEvidence);
    }
    if document.author.name.is_empty() {
        return Err(ObjectError::NoAuthor);
    }
    if document.author.organization.trim().is_empty() {
        return Err(ObjectError::NoOrganization);
    }
    let mut data_set = DataSetWriter::utf8();
    put_sop_common(&mut data_set, BASIC_TEXT_SR_STORAGE, &document.sop_instance, &document.signed_at);
    put_patient(&mut data_set, &document.patient);
    put_study(&mut data_set, &document.study);
    put_series(&mut data_set, "SR", &document.series, document.instance_number);
    // Of the series module; type 2 in SR documents only.
    data_set.empty(tag::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vr::SQ);
    put_equipment(&mut data_set, &document.equipment);
    put_document_general(&mut data_set, document, evidence);
    put_content(&mut data_set, document)?;
    Ok(data_set.encode()?)
}

/// SR Document General (PS3.3 C.17.2).
fn put_document_general(data_set: &mut DataSetWriter, document: &ReportDocument, evidence: Vec<Item>) {
    let author = &document.author;
    let mut observer = Item::new();
    observer
        .text(tag::VERIFYING_ORGANIZATION, Vr::LO, &author.organization)
        .text(tag::VERIFICATION_DATE_TIME, Vr::DT, &date_time(&document.signed_at))
        .text(tag::VERIFYING_OBSERVER_NAME, Vr::PN, &author.name.to_dicom())
        .items(
            tag::VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE,
            author.identification.iter().map(Code::item).collect(),
        );
    data_set
        .text(tag::CONTENT_DATE, Vr::DA, &date(&document.signed_at))
        .text(tag::CONTENT_TIME, Vr::TM, &time(&document.signed_at))
        .text(tag::COMPLETION_FLAG, Vr::CS, "COMPLETE")
        .text(tag::VERIFICATION_FLAG, Vr::CS, "VERIFIED")
        .text(tag::PRELIMINARY_FLAG, Vr::CS, "FINAL")
        .item(tag::VERIFYING_OBSERVER_SEQUENCE, observer)
        .item(tag::REFERENCED_REQUEST_SEQUENCE, referenced_request(&document.study))
        .empty(tag::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vr::SQ)
        .items(tag::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, evidence);
    let predecessors = evidence_items(&document.predecessors);
    if !predecessors.is_empty() {
        data_set.items(tag::PREDECESSOR_DOCUMENTS_SEQUENCE, predecessors);
    }
}

/// The request as far as the images tell: its study and accession number; what is type 2 and unknown is empty.
fn referenced_request(study: &StudyModule) -> Item {
    let mut item = Item::new();
    item.text(tag::STUDY_INSTANCE_UID, Vr::UI, study.study.as_str())
        .empty(tag::REFERENCED_STUDY_SEQUENCE, Vr::SQ)
        .joined(tag::ACCESSION_NUMBER, Vr::SH, &study.accession_number)
        .empty(tag::REQUESTED_PROCEDURE_DESCRIPTION, Vr::LO)
        .empty(tag::REQUESTED_PROCEDURE_CODE_SEQUENCE, Vr::SQ)
        .empty(tag::REQUESTED_PROCEDURE_ID, Vr::SH)
        .empty(tag::PLACER_ORDER_NUMBER, Vr::LO)
        .empty(tag::FILLER_ORDER_NUMBER, Vr::LO);
    item
}

/// SR Document Content (PS3.3 C.17.3): TID 2000 with TID 1204 (language) and TID 1001 (observation context).
fn put_content(data_set: &mut DataSetWriter, document: &ReportDocument) -> Result<(), ObjectError> {
    let mut children = vec![language(document.language)];
    children.extend(observation_context(document));
    let sections = document.sections.iter().filter(|section| !section.text.trim().is_empty());
    let before = children.len();
    children.extend(sections.map(section_item));
    if children.len() == before {
        return Err(ObjectError::EmptyReport);
    }
    let mut template = Item::new();
    template.text(tag::MAPPING_RESOURCE, Vr::CS, "DCMR").text(tag::TEMPLATE_IDENTIFIER, Vr::CS, "2000");
    data_set
        .text(tag::VALUE_TYPE, Vr::CS, "CONTAINER")
        .item(tag::CONCEPT_NAME_CODE_SEQUENCE, code(DIAGNOSTIC_IMAGING_REPORT))
        .text(tag::CONTINUITY_OF_CONTENT, Vr::CS, "SEPARATE")
        .item(tag::CONTENT_TEMPLATE_SEQUENCE, template)
        .items(tag::CONTENT_SEQUENCE, children);
    Ok(())
}

fn language(language: ReportLanguage) -> Item {
    let value = match language {
        ReportLanguage::Japanese => ["ja", "RFC5646", "Japanese"],
        ReportLanguage::English => ["en", "RFC5646", "English"],
    };
    let mut item =
        content_item("HAS CONCEPT MOD", "CODE", ["121049", "DCM", "Language of Content Item and Descendants"]);
    item.item(tag::CONCEPT_CODE_SEQUENCE, code(value));
    item
}

/// TID 1002 and 1003 (who observed) and TID 1005 (of which procedure).
fn observation_context(document: &ReportDocument) -> Vec<Item> {
    let context = |value_type, name| content_item("HAS OBS CONTEXT", value_type, name);
    let mut observer_type = context("CODE", ["121005", "DCM", "Observer Type"]);
    observer_type.item(tag::CONCEPT_CODE_SEQUENCE, code(["121006", "DCM", "Person"]));
    let mut name = context("PNAME", ["121008", "DCM", "Person Observer Name"]);
    name.text(tag::PERSON_NAME, Vr::PN, &document.author.name.to_dicom());
    let mut organization = context("TEXT", ["121009", "DCM", "Person Observer's Organization Name"]);
    organization.text(tag::TEXT_VALUE, Vr::UT, &document.author.organization);
    let mut study = context("UIDREF", ["121018", "DCM", "Procedure Study Instance UID"]);
    study.text(tag::UID, Vr::UI, document.study.study.as_str());
    let mut items = vec![observer_type, name, organization, study];
    if !document.study.accession_number.is_empty() {
        let mut accession = context("TEXT", ["121022", "DCM", "Accession Number"]);
        accession.text(tag::TEXT_VALUE, Vr::UT, &document.study.accession_number);
        items.push(accession);
    }
    items
}

fn section_item(section: &ReportSection) -> Item {
    let mut text = content_item("CONTAINS", "TEXT", section.heading.element());
    text.text(tag::TEXT_VALUE, Vr::UT, &section.text);
    let mut container = content_item("CONTAINS", "CONTAINER", section.heading.heading());
    container.text(tag::CONTINUITY_OF_CONTENT, Vr::CS, "SEPARATE").item(tag::CONTENT_SEQUENCE, text);
    container
}

fn content_item(relationship: &str, value_type: &str, concept: [&str; 3]) -> Item {
    let mut item = Item::new();
    item.text(tag::RELATIONSHIP_TYPE, Vr::CS, relationship)
        .text(tag::VALUE_TYPE, Vr::CS, value_type)
        .item(tag::CONCEPT_NAME_CODE_SEQUENCE, code(concept));
    item
}
