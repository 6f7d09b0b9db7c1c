//! A PDF in a DICOM envelope (PS3.3 A.45.1, C.24).

use dokuei_domain::SopInstanceUid;
use dokuei_domain::facts::PatientFacts;

use super::{
    DIAGNOSTIC_IMAGING_REPORT, ENCAPSULATED_PDF_STORAGE, EquipmentModule, InstanceReference, ObjectError, SeriesModule,
    StudyModule, code, date, put_equipment, put_patient, put_series, put_sop_common, put_study, time,
};
use crate::tag;
use crate::vr::Vr;
use crate::writer::DataSetWriter;

/// All that goes into an Encapsulated PDF of a verified report.
#[derive(Clone, PartialEq, Debug)]
pub struct EncapsulatedPdfDocument {
    pub patient: PatientFacts,
    /// The study in which the document is filed.
    pub study: StudyModule,
    pub series: SeriesModule,
    pub sop_instance: SopInstanceUid,
    pub instance_number: u32,
    pub equipment: EquipmentModule,
    /// When the report was signed, in the zone of the reading organisation.
    pub signed_at: jiff::Zoned,
    /// (0042,0010), shown in the viewer's list.
    pub title: String,
    pub pdf: Vec<u8>,
    /// What the document shows: the structured report (PS3.3 C.24.2, Source Instance Sequence).
    pub sources: Vec<InstanceReference>,
}

/// Encodes the document.
///
/// # Errors
///
/// When the PDF is empty or does not fit an element, or a text cannot be encoded.
pub fn encapsulated_pdf(document: &EncapsulatedPdfDocument) -> Result<Vec<u8>, ObjectError> {
    let length =
        u32::try_from(document.pdf.len()).ok().filter(|length| *length != 0).ok_or(ObjectError::DocumentLength)?;
    let mut data_set = DataSetWriter::utf8();
    put_sop_common(&mut data_set, ENCAPSULATED_PDF_STORAGE, &document.sop_instance, &document.signed_at);
    put_patient(&mut data_set, &document.patient);
    put_study(&mut data_set, &document.study);
    put_series(&mut data_set, "DOC", &document.series, document.instance_number);
    put_equipment(&mut data_set, &document.equipment);
    data_set
        .text(tag::CONVERSION_TYPE, Vr::CS, "WSD")
        .text(tag::CONTENT_DATE, Vr::DA, &date(&document.signed_at))
        .text(tag::CONTENT_TIME, Vr::TM, &time(&document.signed_at))
        .empty(tag::ACQUISITION_DATE_TIME, Vr::DT)
        // The page shows the patient's name.
        .text(tag::BURNED_IN_ANNOTATION, Vr::CS, "YES")
        .text(tag::VERIFICATION_FLAG, Vr::CS, "VERIFIED")
        .text(tag::DOCUMENT_TITLE, Vr::ST, &document.title)
        .item(tag::CONCEPT_NAME_CODE_SEQUENCE, code(DIAGNOSTIC_IMAGING_REPORT))
        .text(tag::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, Vr::LO, "application/pdf")
        .bytes(tag::ENCAPSULATED_DOCUMENT, Vr::OB, document.pdf.clone())
        // Tells the PDF from its padding.
        .unsigned_long(tag::ENCAPSULATED_DOCUMENT_LENGTH, length);
    if !document.sources.is_empty() {
        data_set.items(tag::SOURCE_INSTANCE_SEQUENCE, document.sources.iter().map(InstanceReference::item).collect());
    }
    Ok(data_set.encode()?)
}
