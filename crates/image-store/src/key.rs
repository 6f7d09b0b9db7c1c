//! The names of blobs.
//!
//! ```text
//! v1/{facility}/{uuid}                      an instance as received
//! reports/v1/{facility}/{version}/{file}    one file of a signed report
//! facts/v1/{facility}/{uuid}                what was decided about instances and is no part of any of them (withdrawn, kept aside)
//! ```
//!
//! Facts lie beside the images so that the images alone are enough to make the index again: an image that a facility has taken back must not come
//! back with a lost database. A fact is a small JSON document, written once and never changed; a later decision is a later fact. Its UUID is of
//! version 7, so facts are listed in the order in which they were written.

use std::fmt;

use dokuei_domain::{BlobId, FacilityId, ReportVersionId};

/// A text that names no blob of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob key: expected v1/FACILITY/UUID, reports/v1/FACILITY/UUID/FILE or facts/v1/FACILITY/UUID")]
pub struct InvalidKey;

/// The files that a signed report version consists of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ReportFile {
    /// Basic Text SR (PS3.3 A.35.1).
    StructuredReport,
    /// Encapsulated PDF (PS3.3 A.45.1).
    EncapsulatedPdf,
    /// What was signed: content, people, time, evidence and the hash of each file.
    Manifest,
    /// Detached CMS signature over the manifest.
    Signature,
}

impl ReportFile {
    pub const ALL: [Self; 4] = [Self::StructuredReport, Self::EncapsulatedPdf, Self::Manifest, Self::Signature];

    /// The last part of the key.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::StructuredReport => "sr.dcm",
            Self::EncapsulatedPdf => "report-pdf.dcm",
            Self::Manifest => "manifest.json",
            Self::Signature => "signature.p7s",
        }
    }

    pub fn from_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.file_name() == name)
    }
}

/// What a key says.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BlobKeyParts {
    Instance { facility: FacilityId, blob: BlobId },
    ReportFile { facility: FacilityId, version: ReportVersionId, file: ReportFile },
    Fact { facility: FacilityId, fact: uuid::Uuid },
}

/// The name of one blob: `v1/{facility}/{uuid}` for an instance, `reports/v1/{facility}/{report version}/{file}` for a file of a signed report,
/// `facts/v1/{facility}/{uuid}` for a fact about instances.
///
/// Nothing that a peer sent is part of a key, and a key is fixed before the first byte arrives.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey {
    text: Box<str>,
    parts: BlobKeyParts,
}

impl BlobKey {
    pub fn instance(facility: &FacilityId, blob: BlobId) -> Self {
        Self {
            text: format!("v1/{facility}/{}", blob.0.hyphenated()).into(),
            parts: BlobKeyParts::Instance { facility: facility.clone(), blob },
        }
    }

    pub fn report_file(facility: &FacilityId, version: ReportVersionId, file: ReportFile) -> Self {
        Self {
            text: format!("reports/v1/{facility}/{}/{}", version.0.hyphenated(), file.file_name()).into(),
            parts: BlobKeyParts::ReportFile { facility: facility.clone(), version, file },
        }
    }

    /// `fact` is of version 7: the order of keys is the order of writing.
    pub fn fact(facility: &FacilityId, fact: uuid::Uuid) -> Self {
        Self {
            text: format!("facts/v1/{facility}/{}", fact.hyphenated()).into(),
            parts: BlobKeyParts::Fact { facility: facility.clone(), fact },
        }
    }

    /// Reads back what [`Self::as_str`] gave; refuses every other text, also other spellings of the same UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let parts: Vec<&str> = text.splitn(6, '/').collect();
        let key = match parts.as_slice() {
            ["v1", facility, uuid] => Self::instance(&parse_facility(facility)?, BlobId(parse_uuid(uuid)?)),
            ["reports", "v1", facility, uuid, name] => {
                let file = ReportFile::from_file_name(name).ok_or(InvalidKey)?;
                Self::report_file(&parse_facility(facility)?, ReportVersionId(parse_uuid(uuid)?), file)
            }
            ["facts", "v1", facility, uuid] => Self::fact(&parse_facility(facility)?, parse_uuid(uuid)?),
            _ => return Err(InvalidKey),
        };
        if key.as_str() == text { Ok(key) } else { Err(InvalidKey) }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn parts(&self) -> &BlobKeyParts {
        &self.parts
    }

    pub fn facility(&self) -> &FacilityId {
        match &self.parts {
            BlobKeyParts::Instance { facility, .. }
            | BlobKeyParts::ReportFile { facility, .. }
            | BlobKeyParts::Fact { facility, .. } => facility,
        }
    }
}

fn parse_facility(text: &str) -> Result<FacilityId, InvalidKey> {
    FacilityId::parse(text).map_err(|_| InvalidKey)
}

fn parse_uuid(text: &str) -> Result<uuid::Uuid, InvalidKey> {
    uuid::Uuid::try_parse(text).map_err(|_| InvalidKey)
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobKey({})", self.text)
    }
}

impl std::str::FromStr for BlobKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b";

    #[test]
    fn a_key_reads_back_as_what_it_was_made_of() {
        let facility = FacilityId::parse("HOSP1").unwrap();
        let uuid: uuid::Uuid = UUID.parse().unwrap();

        let instance = BlobKey::instance(&facility, BlobId(uuid));
        assert_eq!(instance.as_str(), format!("v1/HOSP1/{UUID}"));
        assert_eq!(BlobKey::parse(instance.as_str()), Ok(instance.clone()));
        assert_eq!(instance.facility(), &facility);

        let fact = BlobKey::fact(&facility, uuid);
        assert_eq!(fact.as_str(), format!("facts/v1/HOSP1/{UUID}"));
        assert_eq!(BlobKey::parse(fact.as_str()), Ok(fact.clone()));
        assert_eq!(fact.parts(), &BlobKeyParts::Fact { facility: facility.clone(), fact: uuid });

        let names = ["sr.dcm", "report-pdf.dcm", "manifest.json", "signature.p7s"];
        for (file, name) in ReportFile::ALL.into_iter().zip(names) {
            let key = BlobKey::report_file(&facility, ReportVersionId(uuid), file);
            assert_eq!(key.as_str(), format!("reports/v1/HOSP1/{UUID}/{name}"));
            assert_eq!(BlobKey::parse(key.as_str()), Ok(key.clone()));
            assert_eq!(
                key.parts(),
                &BlobKeyParts::ReportFile { facility: facility.clone(), version: ReportVersionId(uuid), file }
            );
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        let refused = [
            String::new(),
            "/".into(),
            "v1".into(),
            "v1/HOSP1".into(),
            "v1/HOSP1/".into(),
            format!("/v1/HOSP1/{UUID}"),
            format!("v1/HOSP1/{UUID}/"),
            format!("v1//{UUID}"),
            format!("v1/../{UUID}"),
            format!("v1/./{UUID}"),
            "v1/HOSP1/..".into(),
            "v1/HOSP1/../../etc/passwd".into(),
            format!("v1\\HOSP1\\{UUID}"),
            format!("v1/HOSP1/{UUID}\0"),
            format!("v2/HOSP1/{UUID}"),
            format!("staging/HOSP1/{UUID}"),
            format!("V1/HOSP1/{UUID}"),
            format!("v1/病院/{UUID}"),
            format!("v1/HOSP1/{}", UUID.to_uppercase()),
            format!("v1/HOSP1/{}", UUID.replace('-', "")),
            format!("v1/HOSP1/{{{UUID}}}"),
            format!("v1/HOSP1/urn:uuid:{UUID}"),
            "v1/HOSP1/1.2.840.10008.1.1".into(),
            format!("reports/v1/HOSP1/{UUID}"),
            format!("reports/v1/HOSP1/{UUID}/"),
            format!("reports/v1/HOSP1/{UUID}/other.pdf"),
            format!("reports/v1/HOSP1/{UUID}/SR.DCM"),
            format!("reports/v1/HOSP1/{UUID}/sr.dcm/x"),
            format!("reports/v1/HOSP1/../{UUID}/sr.dcm"),
            format!("v1/HOSP1/{UUID}/sr.dcm"),
            format!("reports/HOSP1/{UUID}/sr.dcm"),
            format!("facts/v1/HOSP1/{UUID}/x"),
            format!("facts/HOSP1/{UUID}"),
            format!("damaged/v1/HOSP1/{UUID}"),
        ];
        for text in refused {
            assert_eq!(BlobKey::parse(&text), Err(InvalidKey), "{text:?}");
        }
    }
}
