//! The files of `testdata/` and what their manifest says of them.

use std::path::{Path, PathBuf};

/// The path of a file below `testdata/`. Does not look whether it is there.
pub fn testdata(relative: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(relative)
}

/// One line of `testdata/MANIFEST.csv`. Texts are as found in the file; empty means absent or unreadable.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Below `testdata/`, also the best name for a test's message.
    pub path: String,
    pub sha256: String,
    pub modality: String,
    pub transfer_syntax: String,
    pub specific_character_set: String,
    pub study_uid: String,
    pub series_uid: String,
    pub sop_uid: String,
    /// `DICM` after the preamble.
    pub part10: bool,
}

impl TestFile {
    pub fn location(&self) -> PathBuf {
        testdata(&self.path)
    }

    /// # Panics
    ///
    /// When the file cannot be read.
    pub fn bytes(&self) -> Vec<u8> {
        let path = self.location();
        std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Under `malformed/`: must be survived, may be refused.
    pub fn malformed(&self) -> bool {
        self.path.starts_with("malformed/")
    }

    /// A well-formed composite object with its UIDs: must be stored and come back byte for byte. DICOMDIRs and fragments are not.
    pub fn storable(&self) -> bool {
        !self.malformed() && !self.sop_uid.is_empty() && !self.study_uid.is_empty() && !self.series_uid.is_empty()
    }
}

/// Every line of the manifest, in the order of the paths.
///
/// # Panics
///
/// When the manifest is missing or lacks a column.
pub fn testdata_files() -> Vec<TestFile> {
    let path = testdata("MANIFEST.csv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let mut lines = text.lines();
    let header = csv_fields(lines.next().unwrap_or_default());
    let column = |name: &str| {
        let found = header.iter().position(|field| field == name);
        found.unwrap_or_else(|| panic!("{} has no column {name}", path.display()))
    };
    let [file, sha256, modality, transfer_syntax, charset, study, series, sop, dicm] =
        ["path", "sha256", "modality", "transfer_syntax", "charset", "study_uid", "series_uid", "sop_uid", "has_DICM"]
            .map(column);
    let files = lines.map(|line| {
        let fields = csv_fields(line);
        assert_eq!(fields.len(), header.len(), "malformed line in the manifest: {line}");
        TestFile {
            path: fields[file].clone(),
            sha256: fields[sha256].clone(),
            modality: fields[modality].clone(),
            transfer_syntax: fields[transfer_syntax].clone(),
            specific_character_set: fields[charset].clone(),
            study_uid: fields[study].clone(),
            series_uid: fields[series].clone(),
            sop_uid: fields[sop].clone(),
            part10: fields[dicm] == "1",
        }
    });
    files.collect()
}

/// The fields of one line of CSV; quotes as in RFC 4180, no line breaks within a field.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields.last_mut().expect("never empty").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("never empty").push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn quotes_keep_commas() {
        assert_eq!(csv_fields(r#"a,"b, ""c""",,d"#), ["a", r#"b, "c""#, "", "d"]);
    }

    #[test]
    fn the_manifest_lists_the_folder_exactly() {
        let listed: BTreeSet<PathBuf> = testdata_files().iter().map(|file| PathBuf::from(&file.path)).collect();
        let mut present = BTreeSet::new();
        let mut total = 0;
        let mut folders = vec![testdata("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path().strip_prefix(testdata("")).unwrap().to_owned();
                total += entry.metadata().unwrap().len();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if path.components().count() > 1 && !path.starts_with("LICENSES") {
                    present.insert(path);
                }
            }
        }
        // Folders of other kinds (stored-format samples) have no upstream and need no line.
        let upstream: BTreeSet<_> = listed.iter().filter_map(|path| path.iter().next()).collect();
        present.retain(|path| path.iter().next().is_some_and(|top| upstream.contains(top)));

        assert_eq!(listed, present);
        assert!(total < 25 * 1024 * 1024, "testdata has grown to {total} bytes");
    }

    #[test]
    fn storable_files_are_told_from_fragments_and_directories() {
        let files = testdata_files();
        let find = |path: &str| files.iter().find(|file| file.path == path).unwrap();

        assert!(find("ct_series_GE_HiSpeed/01.dcm").storable());
        assert!(!find("charset/chrSQEncoding.dcm").storable(), "has no UIDs");
        assert!(!find("dicomdir/dicomdirtests/DICOMDIR").storable());
        assert!(!find("malformed/badVR.dcm").storable());
        assert_eq!(find("charset/chrJapMulti.dcm").specific_character_set, r"\ISO 2022 IR 87");
    }
}
