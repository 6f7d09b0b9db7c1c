//! A synthetic identity put into real objects, as a demonstration hospital does.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::path::Path;

use dokuei_dataset::edit::{Edit, SpliceError, splice};
use dokuei_dataset::{HeadLimits, HeadReader, Vr, part10, tag};
use dokuei_domain::facts::InstanceFacts;
use dokuei_domain::{PersonName, TransferSyntaxUid};

fn facts(dataset: &[u8], transfer_syntax: &TransferSyntaxUid) -> InstanceFacts {
    let mut reader = HeadReader::new(transfer_syntax, HeadLimits::default());
    reader.push(dataset).unwrap();
    reader.finish().unwrap().facts(transfer_syntax).unwrap()
}

fn identity() -> [Edit; 5] {
    [
        Edit::set(tag::SPECIFIC_CHARACTER_SET, Vr::CS, "ISO_IR 192"),
        Edit::set(tag::PATIENT_NAME, Vr::PN, "Aizumi^Sakae=藍住^榮=あいずみ^さかえ"),
        Edit::set(tag::PATIENT_ID, Vr::LO, "0001234567"),
        Edit::set(tag::PATIENT_SEX, Vr::CS, "F"),
        Edit::remove(tag::PATIENT_BIRTH_DATE),
    ]
}

#[test]
fn every_real_object_takes_another_identity_and_keeps_the_rest() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/expected.tsv")).unwrap();
    let mut edited = 0;
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        if columns[2..6].iter().any(|uid| uid.is_empty()) {
            continue;
        }
        let bytes = fs::read(testdata.join(columns[0])).unwrap();
        let transfer_syntax = TransferSyntaxUid::parse(columns[1]).unwrap();
        let dataset = &bytes[part10::parse_header(&bytes).map_or(0, |(_, offset)| offset)..];
        let new = match splice(dataset, &transfer_syntax, &identity()) {
            Ok(new) => new,
            Err(SpliceError::Unsupported(uid)) => {
                assert!(["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"].contains(&uid.as_str()), "{uid}");
                continue;
            }
            Err(error) => panic!("{}: {error:?}", columns[0]),
        };
        let (before, after) = (facts(dataset, &transfer_syntax), facts(&new, &transfer_syntax));
        assert_eq!(after.patient.name, PersonName::parse("Aizumi^Sakae=藍住^榮=あいずみ^さかえ"));
        assert_eq!((after.patient.id.as_str(), after.patient.birth_date.as_str()), ("0001234567", ""));
        assert_eq!((&after.sop_instance, &after.study, after.rows), (&before.sop_instance, &before.study, before.rows));
        // Nothing behind the patient's elements has moved a bit: the last thousand bytes at least are pixels or other content.
        let tail = dataset.len().min(1000) / 2;
        assert_eq!(new[new.len() - tail..], dataset[dataset.len() - tail..], "{}", columns[0]);
        // Editing again changes nothing.
        assert_eq!(splice(&new, &transfer_syntax, &identity()).unwrap(), new, "{}", columns[0]);
        edited += 1;
    }
    assert!(edited > 100, "only {edited} objects edited");
}

#[test]
fn only_the_edited_elements_of_a_real_slice_differ() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ct_series_GE_HiSpeed/01.dcm");
    let bytes = fs::read(file).unwrap();
    let (meta, offset) = part10::parse_header(&bytes).unwrap();
    let dataset = &bytes[offset..];
    // The name `REMOVED ` and the ID `QMNx85rKkkg ` stand next to each other.
    let at = dataset.windows(8).position(|window| window == b"REMOVED ").unwrap() - 8;
    let edits = [Edit::set(tag::PATIENT_NAME, Vr::PN, "A^B"), Edit::set(tag::PATIENT_ID, Vr::LO, "1")];
    let new = splice(dataset, &meta.transfer_syntax, &edits).unwrap();
    let replaced =
        [&dataset[..at], b"\x10\0\x10\0PN\x04\0A^B \x10\0\x20\0LO\x02\x001 ", &dataset[at + 16 + 20..]].concat();
    assert_eq!(new, replaced);
}
