//! The report objects as other people's tools see them: dicom3tools' `dciodvfy`, DCMTK's `dsrdump`, `dsr2html` and `dcmdump`.
//!
//! The suite's `make test` installs both; without them the checks by those tools fail rather than pass unseen.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dokuei_dataset::encoding::EXPLICIT_VR_LITTLE_ENDIAN;
use dokuei_dataset::objects::*;
use dokuei_dataset::part10::{self, FileMeta};
use dokuei_dataset::{Body, HeadLimits, HeadReader};
use dokuei_domain::facts::{InstanceFacts, PatientFacts};
use dokuei_domain::{PersonName, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid};

fn instance(class: &str, uid: &str) -> InstanceReference {
    InstanceReference {
        sop_class: SopClassUid::parse(class).unwrap(),
        sop_instance: SopInstanceUid::parse(uid).unwrap(),
    }
}

fn patient() -> PatientFacts {
    PatientFacts {
        id: "0001234567".into(),
        issuer: "1.2.392.100495.20.3.51.13610001234".into(),
        name: PersonName::parse("Aizumi^Sakae=藍住^榮=あいずみ^さかえ"),
        birth_date: "19500102".into(),
        sex: "F".into(),
    }
}

fn study() -> StudyModule {
    StudyModule {
        study: StudyUid::parse("1.2.3").unwrap(),
        date: "20261121".into(),
        time: "101500".into(),
        id: "77".into(),
        accession_number: "A0001".into(),
        description: "頭部CT".into(),
        referring_physician: PersonName::parse("Abe^Hanako=阿部^花子"),
    }
}

fn series(uid: &str, number: u32) -> SeriesModule {
    SeriesModule { series: SeriesUid::parse(uid).unwrap(), number, description: "読影レポート".into() }
}

fn equipment() -> EquipmentModule {
    EquipmentModule {
        manufacturer: "Dokuei".into(),
        institution_name: "NPO法人 遠隔読影".into(),
        model_name: "Dokuei".into(),
        software_version: "0.1.0".into(),
    }
}

fn evidence() -> Vec<StudyEvidence> {
    let ct = "1.2.840.10008.5.1.4.1.1.2";
    let series = |uid: &str, instances| SeriesEvidence { series: SeriesUid::parse(uid).unwrap(), instances };
    vec![
        StudyEvidence {
            study: study().study,
            series: vec![
                series("1.2.3.1", (1..=28).map(|n| instance(ct, &format!("1.2.3.1.{n}"))).collect()),
                series("1.2.3.2", vec![instance(ct, "1.2.3.2.1")]),
                series("1.2.3.3", vec![]),
            ],
        },
        StudyEvidence {
            study: StudyUid::parse("1.2.4").unwrap(),
            series: vec![series("1.2.4.1", vec![instance(ct, "1.2.4.1.1")])],
        },
    ]
}

fn report() -> ReportDocument {
    let section = |heading, text: &str| ReportSection { heading, text: text.into() };
    ReportDocument {
        language: ReportLanguage::Japanese,
        patient: patient(),
        study: study(),
        series: series("2.25.1", 9001),
        sop_instance: SopInstanceUid::parse("2.25.2").unwrap(),
        instance_number: 1,
        equipment: equipment(),
        signed_at: "2026-11-22T20:30:45+09:00[Asia/Tokyo]".parse().unwrap(),
        author: ReportAuthor {
            name: PersonName::parse("Yamada^Taro=山田^太郎=やまだ^たろう"),
            organization: "NPO法人 遠隔読影".into(),
            identification: Some(Code {
                value: "123456".into(),
                scheme: "99MHLW".into(),
                meaning: "医籍登録番号".into(),
            }),
        },
        sections: vec![
            section(SectionHeading::Request, "突然の頭痛。出血の有無は？"),
            section(SectionHeading::ClinicalInformation, ""),
            section(SectionHeading::Findings, "くも膜下腔に高吸収域を認めない。\n髙﨑式スケール 2 / 𠮷\\美^住=本|目"),
            section(SectionHeading::Impressions, "明らかな出血なし。"),
            section(SectionHeading::Recommendations, "症状が続くときは MRI を勧める。"),
        ],
        evidence: evidence(),
        predecessors: vec![],
    }
}

fn pdf() -> EncapsulatedPdfDocument {
    EncapsulatedPdfDocument {
        patient: patient(),
        study: study(),
        series: series("2.25.3", 9002),
        sop_instance: SopInstanceUid::parse("2.25.4").unwrap(),
        instance_number: 1,
        equipment: equipment(),
        signed_at: report().signed_at,
        title: "読影レポート".into(),
        pdf: b"%PDF-1.7\n%of odd length".to_vec(),
        sources: vec![instance(BASIC_TEXT_SR_STORAGE, "2.25.2")],
    }
}

fn facts(dataset: &[u8]) -> InstanceFacts {
    let transfer_syntax = TransferSyntaxUid::parse(EXPLICIT_VR_LITTLE_ENDIAN).unwrap();
    let mut reader = HeadReader::new(&transfer_syntax, HeadLimits::default());
    reader.push(dataset).unwrap();
    let head = reader.finish().unwrap();
    assert_eq!(head.body, Body::Absent);
    head.facts(&transfer_syntax).unwrap()
}

/// Writes the data set as a file with our own header.
fn file(folder: &Path, name: &str, dataset: &[u8]) -> PathBuf {
    let facts = facts(dataset);
    let meta = FileMeta {
        sop_class: facts.sop_class,
        sop_instance: facts.sop_instance,
        transfer_syntax: facts.transfer_syntax,
        source_ae_title: None,
        receipt: None,
    };
    let path = folder.join(name);
    std::fs::write(&path, [part10::build_header(&meta), dataset.to_vec()].concat()).unwrap();
    path
}

/// Both streams of a tool that must succeed.
fn run(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"));
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[track_caller]
fn no_validation_error(file: &Path) {
    let text = run("dciodvfy", &[], file);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("Error")).collect();
    assert!(errors.is_empty(), "{text}");
    assert!(text.contains("BasicTextSR") || text.contains("EncapsulatedPDF"), "{text}");
}

#[test]
fn the_report_is_a_sound_basic_text_sr_that_others_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = basic_text_sr(&report()).unwrap();
    let path = file(folder.path(), "report.dcm", &dataset);
    no_validation_error(&path);

    let dump = run("dsrdump", &["+Pc", "+Pl"], &path);
    for expected in [
        "Aizumi^Sakae=藍住^榮=あいずみ^さかえ",
        "くも膜下腔に高吸収域を認めない。",
        "髙﨑式スケール 2 / 𠮷\\美^住=本|目",
        "明らかな出血なし。",
        "突然の頭痛",
        "(59776-5,LN,\"Findings\")",
        "(121049,DCM,\"Language of Content Item and Descendants\")",
        "(ja,RFC5646,\"Japanese\")",
        "VERIFIED",
    ] {
        assert!(dump.contains(expected), "no {expected} in\n{dump}");
    }
    assert!(!dump.contains("Clinical Information"), "an empty section is left out\n{dump}");
    let html = run("dsr2html", &[], &path);
    assert!(html.contains("明らかな出血なし。") && html.contains("髙﨑式スケール"), "{html}");

    let elements = run("dcmdump", &["-q", "+U8"], &path);
    assert_eq!(elements.matches("ReferencedSOPInstanceUID").count(), 30, "every instance is evidence");
    assert!(elements.contains("20261122203045+0900"), "{elements}");
}

#[test]
fn a_second_version_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = SeriesEvidence {
        series: SeriesUid::parse("2.25.1").unwrap(),
        instances: vec![instance(BASIC_TEXT_SR_STORAGE, "2.25.2")],
    };
    let second = ReportDocument {
        sop_instance: SopInstanceUid::parse("2.25.22").unwrap(),
        language: ReportLanguage::English,
        author: ReportAuthor { identification: None, ..report().author },
        sections: vec![
            ReportSection { heading: SectionHeading::Impressions, text: "No bleeding.".into() },
            ReportSection { heading: SectionHeading::Addendum, text: "See MRI of today.".into() },
        ],
        predecessors: vec![StudyEvidence { study: study().study, series: vec![first] }],
        ..report()
    };
    let path = file(folder.path(), "second.dcm", &basic_text_sr(&second).unwrap());
    no_validation_error(&path);
    let dump = run("dsrdump", &["+Pc"], &path);
    assert!(dump.contains("Predecessor Docs    : 1") && dump.contains("(55107-7,LN,\"Addendum\")"), "{dump}");
}

#[test]
fn the_pdf_comes_out_with_its_own_length() {
    let folder = tempfile::tempdir().unwrap();
    let document = pdf();
    assert!(!document.pdf.len().is_multiple_of(2));
    let path = file(folder.path(), "pdf.dcm", &encapsulated_pdf(&document).unwrap());
    no_validation_error(&path);
    let elements = run("dcmdump", &["-q", "+U8"], &path);
    assert!(elements.contains("EncapsulatedDocumentLength") && elements.contains("UL 23 "), "{elements}");
    assert!(elements.contains("読影レポート") && elements.contains("2.25.2"), "{elements}");
    let extracted = folder.path().join("out.pdf");
    run("dcm2pdf", &[path.to_str().unwrap()], &extracted);
    assert_eq!(std::fs::read(extracted).unwrap(), document.pdf);
}

#[test]
fn an_object_of_a_patient_about_whom_little_is_known_is_sound_too() {
    let folder = tempfile::tempdir().unwrap();
    let bare_study = StudyModule {
        study: study().study,
        date: String::new(),
        time: String::new(),
        id: String::new(),
        accession_number: String::new(),
        description: String::new(),
        referring_physician: PersonName::default(),
    };
    let bare = ReportDocument { patient: PatientFacts::default(), study: bare_study.clone(), ..report() };
    no_validation_error(&file(folder.path(), "sr.dcm", &basic_text_sr(&bare).unwrap()));
    let bare = EncapsulatedPdfDocument { patient: PatientFacts::default(), study: bare_study, ..pdf() };
    no_validation_error(&file(folder.path(), "pdf.dcm", &encapsulated_pdf(&bare).unwrap()));
}

#[test]
fn the_identity_comes_back_as_it_was_given() {
    for dataset in [basic_text_sr(&report()).unwrap(), encapsulated_pdf(&pdf()).unwrap()] {
        let facts = facts(&dataset);
        assert_eq!(facts.patient, patient());
        assert_eq!(facts.referring_physician, study().referring_physician);
        assert_eq!((facts.accession_number, facts.study), (study().accession_number, study().study));
    }
}

#[test]
fn a_report_without_its_essential_parts_is_not_made() {
    let without = |change: fn(&mut ReportDocument)| {
        let mut document = report();
        change(&mut document);
        basic_text_sr(&document).unwrap_err()
    };
    assert_eq!(without(|d| d.sections.iter_mut().for_each(|s| s.text = " \n".into())), ObjectError::EmptyReport);
    assert_eq!(without(|d| d.evidence.clear()), ObjectError::NoEvidence);
    assert_eq!(without(|d| d.evidence.iter_mut().for_each(|s| s.series.clear())), ObjectError::NoEvidence);
    assert_eq!(without(|d| d.author.name = PersonName::default()), ObjectError::NoAuthor);
    assert_eq!(without(|d| d.author.organization.clear()), ObjectError::NoOrganization);
    let mut empty = pdf();
    empty.pdf.clear();
    assert_eq!(encapsulated_pdf(&empty), Err(ObjectError::DocumentLength));
    assert!(matches!(without(|d| d.sections[0].text = "\u{0}".into()), ObjectError::Write(_)));
}
