//! The files of a version, made from the facts and never touched again: a Basic Text SR (UTF-8, TID 2000) and the printed page in a DICOM envelope.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_database::ReportFileKind;
use dokuei_dataset::{
    objects::{
        self, BASIC_TEXT_SR_STORAGE, ENCAPSULATED_PDF_STORAGE, EncapsulatedPdfDocument, EquipmentModule,
        InstanceReference, ReportAuthor, ReportDocument, ReportLanguage, ReportSection, SectionHeading, SeriesEvidence,
        SeriesModule, StudyEvidence, StudyModule,
    },
    part10::{self, FileMeta, Receipt},
};
use dokuei_domain::{
    Ambient, ReportVersionId, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, Timestamp, TransferSyntaxUid,
    facts::PatientFacts,
};
use dokuei_report_pdf::{ReportPage, ReportPdfError};
use tokio::sync::Semaphore;

use crate::{
    ReportError, ReportSettings,
    facts::{CaseFacts, StudyFacts},
    manifest::{FileFacts, Hash, Language},
    page,
    signature::sha256,
};

/// Explicit VR little endian (PS3.5 A.2), in which our objects are written.
pub(crate) const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.1";

/// What is decided before anything is frozen.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) version: ReportVersionId,
    pub(crate) number: u32,
    pub(crate) signed_at: Timestamp,
    pub(crate) author_organisation: String,
    /// The structured report that this version succeeds.
    pub(crate) predecessor: Option<Predecessor>,
    structured_report: SopInstanceUid,
    structured_report_series: SeriesUid,
    pdf: SopInstanceUid,
    pdf_series: SeriesUid,
}

/// The structured report of the version before.
#[derive(Debug, Clone)]
pub(crate) struct Predecessor {
    pub(crate) version: ReportVersionId,
    pub(crate) study: StudyUid,
    pub(crate) series: SeriesUid,
    pub(crate) sop_class: SopClassUid,
    pub(crate) sop_instance: SopInstanceUid,
}

impl Identity {
    /// A new version with UIDs of its own, signed now.
    pub(crate) fn new(
        ambient: &Ambient,
        facts: &CaseFacts,
        predecessor: Option<Predecessor>,
        settings: &ReportSettings,
    ) -> Self {
        let organisation = facts.author.organisation.trim();
        Self {
            version: ReportVersionId(ambient.new_uuid()),
            number: facts.last.as_ref().map_or(1, |last| u32::try_from(last.number + 1).unwrap_or(u32::MAX)),
            signed_at: ambient.now(),
            author_organisation: if organisation.is_empty() {
                settings.organisation.clone()
            } else {
                organisation.to_owned()
            },
            predecessor,
            structured_report: SopInstanceUid::new(ambient.new_uid()),
            structured_report_series: SeriesUid::new(ambient.new_uid()),
            pdf: SopInstanceUid::new(ambient.new_uid()),
            pdf_series: SeriesUid::new(ambient.new_uid()),
        }
    }
}

/// A frozen file: a complete Part 10 file and what the manifest says of it.
#[derive(Debug, Clone)]
pub(crate) struct FrozenFile {
    pub(crate) bytes: Bytes,
    pub(crate) facts: FileFacts,
}

/// The two objects of a version.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) structured_report: FrozenFile,
    pub(crate) pdf: FrozenFile,
}

/// Makes both files. Runs off the runtime's workers, one page after the other, and gives up after the time in the settings.
pub(crate) async fn freeze(
    facts: &Arc<CaseFacts>,
    identity: &Identity,
    settings: &Arc<ReportSettings>,
    printing: &Arc<Semaphore>,
) -> Result<Frozen, ReportError> {
    let (facts, identity, settings_inside, printing) =
        (Arc::clone(facts), identity.clone(), Arc::clone(settings), Arc::clone(printing));
    let work = async move {
        // The place is held by the work, not by who waits for it: a page that hangs must not be joined by a second one.
        let place = printing.acquire_owned().await.map_err(|_| ReportError::PrintTimedOut)?;
        let made = tokio::task::spawn_blocking(move || {
            let frozen = freeze_now(&facts, &identity, &settings_inside);
            drop(place);
            frozen
        });
        made.await.map_err(|_| ReportError::PrintTimedOut)?
    };
    tokio::time::timeout(settings.print_timeout, work).await.map_err(|_| ReportError::PrintTimedOut)?
}

fn freeze_now(facts: &CaseFacts, identity: &Identity, settings: &ReportSettings) -> Result<Frozen, ReportError> {
    let signed_at = identity.signed_at.to_jiff().to_zoned(settings.time_zone.clone());
    let study = facts.studies.first().map(study_module).ok_or(ReportError::NoImages)?;
    let pdf = print(page::report_page(facts, identity, &signed_at, settings))?;
    let equipment = EquipmentModule {
        manufacturer: "Dokuei".to_owned(),
        institution_name: single_line(&settings.organisation),
        model_name: "Dokuei".to_owned(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let title = match settings.language {
        Language::Ja => "画像診断報告書",
        Language::En => "Diagnostic imaging report",
    };
    let report = ReportDocument {
        language: match settings.language {
            Language::Ja => ReportLanguage::Japanese,
            Language::En => ReportLanguage::English,
        },
        patient: patient_module(facts),
        study: study.clone(),
        series: SeriesModule {
            series: identity.structured_report_series.clone(),
            number: 9001,
            description: title.to_owned(),
        },
        sop_instance: identity.structured_report.clone(),
        instance_number: identity.number,
        equipment: equipment.clone(),
        signed_at: signed_at.clone(),
        author: ReportAuthor {
            name: facts.author.name.clone(),
            organization: single_line(&identity.author_organisation),
            identification: None,
        },
        sections: sections(facts),
        evidence: facts.studies.iter().map(evidence).collect(),
        predecessors: identity.predecessor.iter().map(predecessor_reference).collect(),
    };
    let document = EncapsulatedPdfDocument {
        patient: report.patient.clone(),
        study,
        series: SeriesModule {
            series: identity.pdf_series.clone(),
            number: 9002,
            description: format!("{title} (PDF)"),
        },
        sop_instance: identity.pdf.clone(),
        instance_number: identity.number,
        equipment,
        signed_at,
        title: title.to_owned(),
        pdf: pdf.clone(),
        sources: vec![InstanceReference {
            sop_class: class(BASIC_TEXT_SR_STORAGE)?,
            sop_instance: identity.structured_report.clone(),
        }],
    };
    let files = Files { facts, identity, settings };
    Ok(Frozen {
        structured_report: files.file(
            ReportFileKind::StructuredReport,
            BASIC_TEXT_SR_STORAGE,
            (&identity.structured_report, &identity.structured_report_series),
            objects::basic_text_sr(&report)?,
            None,
        )?,
        pdf: files.file(
            ReportFileKind::EncapsulatedPdf,
            ENCAPSULATED_PDF_STORAGE,
            (&identity.pdf, &identity.pdf_series),
            objects::encapsulated_pdf(&document)?,
            Some(Hash(sha256(&pdf))),
        )?,
    })
}

/// Prints the page; a character that cannot be printed is marked where it was given, and refused where the author wrote it.
fn print(mut page: ReportPage) -> Result<Vec<u8>, ReportError> {
    // Each round removes one character from the page for good.
    for _ in 0..1_000 {
        match dokuei_report_pdf::render(&page) {
            Ok(pdf) => return Ok(pdf),
            Err(
                error @ (ReportPdfError::MissingGlyph { character, .. }
                | ReportPdfError::InvisibleCharacter { character, .. }),
            ) => {
                if !page::mark_unprintable(&mut page, character) {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ReportError::PrintTimedOut)
}

struct Files<'a> {
    facts: &'a CaseFacts,
    identity: &'a Identity,
    settings: &'a ReportSettings,
}

impl Files<'_> {
    fn file(
        &self,
        kind: ReportFileKind,
        sop_class: &'static str,
        (sop_instance, series): (&SopInstanceUid, &SeriesUid),
        data_set: Vec<u8>,
        document_sha256: Option<Hash>,
    ) -> Result<FrozenFile, ReportError> {
        let sop_class = class(sop_class)?;
        let header = part10::build_header(&FileMeta {
            sop_class: sop_class.clone(),
            sop_instance: sop_instance.clone(),
            transfer_syntax: transfer_syntax()?,
            source_ae_title: Some(self.settings.calling_aet.clone()),
            receipt: Some(Receipt {
                facility: self.facts.facility.id.clone(),
                issuer: self.facts.facility.issuer.clone(),
                received_at: self.identity.signed_at,
                opens_case: false,
            }),
        });
        let dataset_sha256 = Hash(sha256(&data_set));
        let bytes = Bytes::from([header, data_set].concat());
        Ok(FrozenFile {
            facts: FileFacts {
                kind,
                sha256: Hash(sha256(&bytes)),
                size_bytes: bytes.len() as u64,
                sop_class,
                sop_instance: sop_instance.clone(),
                series: series.clone(),
                dataset_sha256,
                document_sha256,
            },
            bytes,
        })
    }
}

fn class(uid: &'static str) -> Result<SopClassUid, ReportError> {
    SopClassUid::parse(uid).map_err(|_| ReportError::Internal("a UID of ours is none"))
}

pub(crate) fn transfer_syntax() -> Result<TransferSyntaxUid, ReportError> {
    TransferSyntaxUid::parse(TRANSFER_SYNTAX).map_err(|_| ReportError::Internal("a UID of ours is none"))
}

fn sections(facts: &CaseFacts) -> Vec<ReportSection> {
    let question = facts.request.as_ref().map(|request| request.clinical_question.clone()).unwrap_or_default();
    let draft = &facts.draft;
    let texts = [
        (SectionHeading::Request, question),
        (SectionHeading::Findings, draft.findings.clone()),
        (SectionHeading::Impressions, draft.impression.clone()),
        (SectionHeading::Recommendations, draft.recommendation.clone()),
    ];
    texts.into_iter().map(|(heading, text)| ReportSection { heading, text }).collect()
}

fn patient_module(facts: &CaseFacts) -> PatientFacts {
    let patient = &facts.patient;
    PatientFacts {
        id: patient.id.clone(),
        issuer: patient.issuer.clone(),
        name: patient.name.clone(),
        birth_date: single_line(&patient.birth_date),
        sex: single_line(&patient.sex),
    }
}

fn study_module(study: &StudyFacts) -> StudyModule {
    let row = &study.row;
    StudyModule {
        study: row.uid.clone(),
        date: single_line(&row.study_date),
        time: single_line(&row.study_time),
        id: single_line(&row.study_id),
        accession_number: single_line(&row.accession_number),
        description: single_line(&row.description),
        referring_physician: row.referring_physician.clone(),
    }
}

/// A hospital's own short text may hold control characters, which no element for such texts may: they say nothing and are left out.
fn single_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Every instance of the study, in the order of series and number.
fn evidence(study: &StudyFacts) -> StudyEvidence {
    let series = study.series.iter().map(|(series, instances)| SeriesEvidence {
        series: series.uid.clone(),
        instances: instances
            .iter()
            .map(|instance| InstanceReference {
                sop_class: instance.sop_class.clone(),
                sop_instance: instance.sop_instance.clone(),
            })
            .collect(),
    });
    StudyEvidence { study: study.row.uid.clone(), series: series.collect() }
}

fn predecessor_reference(before: &Predecessor) -> StudyEvidence {
    let instance = InstanceReference { sop_class: before.sop_class.clone(), sop_instance: before.sop_instance.clone() };
    StudyEvidence {
        study: before.study.clone(),
        series: vec![SeriesEvidence { series: before.series.clone(), instances: vec![instance] }],
    }
}

/// The document inside an Encapsulated PDF that this module wrote: explicit VR little endian, all lengths defined. `None`: it is not one.
pub(crate) fn embedded_document(data_set: &[u8]) -> Option<&[u8]> {
    let number =
        |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
    let (mut rest, mut document) = (data_set, None);
    while !rest.is_empty() {
        let (tag, vr) = (rest.get(0..4)?, rest.get(4..6)?);
        let long = matches!(
            vr,
            b"OB" | b"OW" | b"OF" | b"OD" | b"OL" | b"OV" | b"SQ" | b"UT" | b"UC" | b"UR" | b"UN" | b"SV" | b"UV"
        );
        let (header, length) = if long {
            (12, number(rest.get(8..12)?)?)
        } else {
            (8, usize::from(u16::from_le_bytes(rest.get(6..8)?.try_into().ok()?)))
        };
        let value = rest.get(header..)?.get(..length)?;
        match tag {
            // (0042,0011) and its true length, (0042,0015), which comes after it.
            [0x42, 0, 0x11, 0] => document = Some(value),
            [0x42, 0, 0x15, 0] => return document?.get(..number(value)?),
            _ => {}
        }
        rest = rest.get(header + length..)?;
    }
    None
}
