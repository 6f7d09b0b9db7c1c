//! Every file of the repository's test data through the head reader, compared with what another implementation reads.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use dokuei_dataset::part10::{self, Part10Error};
use dokuei_dataset::{Body, Head, HeadError, HeadLimits, HeadReader};
use dokuei_domain::facts::InstanceFacts;
use dokuei_domain::{PersonName, TransferSyntaxUid};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

fn read_head(bytes: &[u8], transfer_syntax: &TransferSyntaxUid, chunk: usize) -> Result<Head, HeadError> {
    let mut reader = HeadReader::new(transfer_syntax, HeadLimits::default());
    for part in bytes.chunks(chunk) {
        reader.push(part)?;
    }
    reader.finish()
}

/// Where the data set begins; files without preamble have only a data set.
fn dataset_offset(path: &Path, bytes: &[u8], transfer_syntax: &TransferSyntaxUid) -> usize {
    match part10::parse_header(bytes) {
        Ok((meta, offset)) => {
            assert_eq!(meta.transfer_syntax, *transfer_syntax, "{}", path.display());
            offset
        }
        Err(Part10Error::NoPrefix) => 0,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// The compared facts as one row of the table.
fn row(path: &str, facts: &InstanceFacts) -> Vec<String> {
    let number = |number: Option<String>| number.unwrap_or_default();
    vec![
        path.to_owned(),
        facts.transfer_syntax.to_string(),
        facts.sop_class.to_string(),
        facts.sop_instance.to_string(),
        facts.study.to_string(),
        facts.series.to_string(),
        facts.patient.id.clone(),
        facts.modality.clone(),
        number(facts.rows.map(|rows| rows.to_string())),
        number(facts.instance_number.map(|instance| instance.to_string())),
        facts.patient.name.to_dicom(),
    ]
}

#[test]
fn facts_are_what_another_reader_finds() {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/expected.tsv")).unwrap();
    let mut compared = 0;
    for line in table.lines().skip(1) {
        let mut expected: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let path = testdata().join(&expected[0]);
        let bytes = fs::read(&path).unwrap();
        let transfer_syntax = TransferSyntaxUid::parse(&expected[1]).unwrap();
        let dataset = &bytes[dataset_offset(&path, &bytes, &transfer_syntax)..];

        let head = read_head(dataset, &transfer_syntax, 1 << 20)
            .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        for chunk in [8191, 61] {
            assert_eq!(
                read_head(dataset, &transfer_syntax, chunk).as_ref(),
                Ok(&head),
                "{} in chunks of {chunk}",
                path.display()
            );
        }
        assert!(!matches!(head.body, Body::Broken(_)), "{}: {:?}", path.display(), head.body);

        let storable = expected[2..6].iter().all(|uid| !uid.is_empty());
        match head.facts(&transfer_syntax) {
            Ok(facts) => {
                assert!(storable, "{} has no UIDs", path.display());
                // IS has no canonical form: `0048` is 48.
                expected[9] = expected[9].parse::<i64>().map(|number| number.to_string()).unwrap_or_default();
                expected[10] = PersonName::parse(&expected[10]).to_dicom();
                assert_eq!(row(&expected[0], &facts), expected);
                compared += 1;
            }
            Err(error) => assert!(!storable, "{}: {error}", path.display()),
        }
    }
    assert!(compared > 100, "only {compared} files compared");
}

#[test]
fn malformed_files_are_survived() {
    let mut folders = vec![testdata().join("malformed")];
    let (mut heads, mut refusals) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let (uid, dataset) = match part10::parse_header(&bytes) {
                Ok((meta, offset)) => (meta.transfer_syntax.to_string(), &bytes[offset..]),
                Err(_) => ("1.2.840.10008.1.2.1".to_owned(), bytes.as_slice()),
            };
            for uid in [uid.as_str(), "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"] {
                let transfer_syntax = TransferSyntaxUid::parse(uid).unwrap();
                match read_head(dataset, &transfer_syntax, 4096).map(|head| head.facts(&transfer_syntax)) {
                    Ok(Ok(_)) => heads += 1,
                    _ => refusals += 1,
                }
            }
        }
    }
    // Neither side of this may become everything by accident.
    assert!(heads > 10 && refusals > 10, "{heads} heads, {refusals} refusals");
}
