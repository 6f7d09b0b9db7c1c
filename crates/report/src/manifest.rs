//! The manifest: what a signature covers. One JSON document per report version that states the content, the people, the time, the evidence and the
//! hash of each frozen file, and from which the version can be made again without the index.
//!
//! The encoding is canonical: fields in the order below, no white space, no floating point numbers. [`Manifest::parse`] refuses bytes that are not
//! exactly what [`Manifest::to_bytes`] writes, so that one manifest has one hash.
//!
//! The format is versioned by its first field. A change of meaning, or a new field, gets the next number and a struct of its own beside this one; every
//! format ever written stays readable and has a sample in `testdata/`.

use dokuei_domain::{
    AccountId, CaseId, FacilityId, PersonName, Priority, ReportVersionId, SeriesUid, SopClassUid, SopInstanceUid,
    StudyUid, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::ReportFileKind;

/// The format this version writes.
pub const FORMAT: &str = "dokuei-report-manifest/1";
/// Longest manifest that is read. An instance takes about 240 bytes; the largest studies have some ten thousand.
pub const LONGEST_MANIFEST: u64 = 64 * 1024 * 1024;

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is not readable")]
    Json(#[source] serde_json::Error),
    #[error("the manifest has format '{0}', which this version does not know")]
    Format(String),
    #[error("the manifest is not in its canonical encoding")]
    NotCanonical,
}

/// One signed report version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub report_version: ReportVersionId,
    /// Versions of a case are numbered from 1.
    pub number: u32,
    /// The version that this one succeeds.
    pub supersedes: Option<ReportVersionId>,
    pub case: CaseFacts,
    pub facility: FacilityFacts,
    pub patient: PatientIdentityFacts,
    pub author: AuthorFacts,
    pub signed_at: SignedAt,
    pub language: Language,
    pub content: Content,
    pub evidence: Evidence,
    pub files: Vec<FileFacts>,
}

/// The case and the workitem under which the version was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFacts {
    pub id: CaseId,
    pub priority: Priority,
    pub opened_at_us: Timestamp,
    pub due_at_us: Timestamp,
    /// SOP Instance UID of the workitem.
    pub workitem: String,
}

/// The requesting facility.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilityFacts {
    pub id: FacilityId,
    pub name: String,
    /// Its issuer of patient IDs.
    pub issuer: String,
}

/// Whom the report is about: (issuer, ID), or a patient of one study only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientIdentityFacts {
    pub issuer: String,
    pub id: String,
    /// The ID names nobody we know; the patient exists within its studies only.
    pub provisional: bool,
    pub name: PersonName,
    /// As DICOM wrote it (DA).
    pub birth_date: String,
    pub sex: String,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorFacts {
    pub account: AccountId,
    pub name: PersonName,
    pub organisation: String,
    /// Hexadecimal, upper case.
    pub certificate_serial: String,
}

/// The moment of signature, for people and for machines; both say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedAt {
    /// RFC 3339, UTC, six digits of a second.
    pub utc: String,
    pub us: Timestamp,
}

impl SignedAt {
    pub fn new(at: Timestamp) -> Self {
        Self { utc: at.to_jiff().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(), us: at }
    }
}

/// The language of the printed page and of the headings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Ja,
    En,
}

/// The report itself, exactly as typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub findings: String,
    pub impression: String,
    pub recommendation: String,
}

/// What the report is based on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The author was told that images were missing, or might be, and confirmed.
    pub signed_although_incomplete: bool,
    pub studies: Vec<StudyEvidence>,
}

impl Evidence {
    pub fn instance_count(&self) -> usize {
        self.studies.iter().map(StudyEvidence::instance_count).sum()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyEvidence {
    pub study: StudyUid,
    pub accession_number: String,
    /// What the facility said would come, where it did.
    pub expected_instances: Option<i64>,
    pub series: Vec<SeriesEvidence>,
}

impl StudyEvidence {
    pub fn instance_count(&self) -> usize {
        self.series.iter().map(|series| series.instances.len()).sum()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesEvidence {
    pub series: SeriesUid,
    pub instances: Vec<InstanceEvidence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceEvidence {
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    /// SHA-256 of the data set as it was received, hexadecimal.
    pub dataset_sha256: Hash,
}

/// One frozen file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    pub kind: ReportFileKind,
    /// Of the file as stored.
    pub sha256: Hash,
    pub size_bytes: u64,
    pub sop_class: SopClassUid,
    pub sop_instance: SopInstanceUid,
    pub series: SeriesUid,
    /// Of the data set alone: what a recipient of a C-STORE can compare, whose file has a header of its own.
    pub dataset_sha256: Hash,
    /// Of the document inside, for the PDF.
    pub document_sha256: Option<Hash>,
}

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hex::encode(hash.0)
    }
}

impl TryFrom<String> for Hash {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes))
    }
}

impl Manifest {
    /// The bytes that are signed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        serde_json::to_vec(self).map_err(ManifestError::Json)
    }

    /// Reads a manifest of any known format.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if head.format != FORMAT {
            return Err(ManifestError::Format(head.format.chars().take(80).collect()));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if manifest.to_bytes()? != bytes || manifest.signed_at != SignedAt::new(manifest.signed_at.us) {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The facts of one frozen file.
    pub fn file(&self, kind: ReportFileKind) -> Option<&FileFacts> {
        self.files.iter().find(|file| file.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by the first version; must stay readable for as long as reports must be kept.
    const SAMPLE: &[u8] = include_bytes!("../testdata/manifest-1.json");

    #[test]
    fn the_stored_sample_of_format_1_still_reads_and_writes_the_same() {
        let manifest = Manifest::parse(SAMPLE).unwrap();

        assert_eq!(manifest.number, 2);
        assert!(manifest.supersedes.is_some());
        assert_eq!(manifest.patient.name.display(), "髙橋 太郎");
        assert_eq!(manifest.signed_at.us, Timestamp(1_795_305_600_123_456));
        assert_eq!(manifest.signed_at.utc, "2026-11-22T00:00:00.123456Z");
        assert_eq!(manifest.content.findings, "右肺上葉に5 mm大の結節を認める。\n葛\u{e0100}城市より紹介。\\");
        assert_eq!((manifest.evidence.instance_count(), manifest.evidence.studies.len()), (3, 1));
        assert_eq!(manifest.file(ReportFileKind::StructuredReport).unwrap().size_bytes, 2_048);
        assert!(manifest.file(ReportFileKind::EncapsulatedPdf).unwrap().document_sha256.is_some());
        assert_eq!(manifest.to_bytes().unwrap(), SAMPLE);
    }

    #[test]
    fn another_spelling_of_the_same_manifest_is_refused() {
        let text = std::str::from_utf8(SAMPLE).unwrap();
        let spaced = text.replacen("\"number\":2", "\"number\": 2", 1);
        assert!(matches!(Manifest::parse(spaced.as_bytes()), Err(ManifestError::NotCanonical)));
        let upper = text.replacen("aaaa", "AAAA", 1);
        assert_ne!(upper, text);
        assert!(matches!(Manifest::parse(upper.as_bytes()), Err(ManifestError::NotCanonical)));
        let contradicting = text.replacen("00.123456Z", "00.123457Z", 1);
        assert!(matches!(Manifest::parse(contradicting.as_bytes()), Err(ManifestError::NotCanonical)));
        let more = text.replacen("\"number\":2", "\"number\":2,\"note\":\"x\"", 1);
        assert!(matches!(Manifest::parse(more.as_bytes()), Err(ManifestError::Json(_))));
        let later = text.replacen("manifest/1", "manifest/9", 1);
        assert!(
            matches!(Manifest::parse(later.as_bytes()), Err(ManifestError::Format(format)) if format.ends_with("/9"))
        );
        assert!(matches!(Manifest::parse(b"{}"), Err(ManifestError::Json(_))));
    }
}
