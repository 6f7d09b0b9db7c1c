//! Proves a version: row, files, manifest and signature must all say the same.

use dokuei_database::{ReadTx, ReportFileKind, ReportFileRow, ReportVersionRow};
use dokuei_dataset::part10;
use dokuei_domain::ReportVersionId;
use serde::Serialize;

use crate::{
    ReportError, Reports,
    error::with_causes,
    manifest::{FileFacts, Hash, LONGEST_MANIFEST, Manifest},
    signature::{self, VerifiedSigner, comparable_serial, sha256},
};

/// What was checked of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Every check holds.
    pub ok: bool,
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    pub ok: bool,
    /// One line for a person.
    pub detail: String,
}

impl Verification {
    fn of(checks: Vec<Check>) -> Self {
        Self { ok: !checks.is_empty() && checks.iter().all(|check| check.ok), checks }
    }

    /// The first check that does not hold, as a line.
    pub fn first_failure(&self) -> Option<String> {
        self.checks.iter().find(|check| !check.ok).map(|check| format!("{}: {}", check.name, check.detail))
    }
}

fn check(name: &'static str, ok: bool, detail: impl Into<String>) -> Check {
    Check { name, ok, detail: detail.into() }
}

/// The four files of a version as bytes; one that cannot be read is missing.
#[derive(Debug, Default)]
pub(crate) struct VersionFiles {
    pub(crate) structured_report: Option<Vec<u8>>,
    pub(crate) pdf: Option<Vec<u8>>,
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl VersionFiles {
    pub(crate) fn get(&self, kind: ReportFileKind) -> Option<&[u8]> {
        let file = match kind {
            ReportFileKind::StructuredReport => &self.structured_report,
            ReportFileKind::EncapsulatedPdf => &self.pdf,
            ReportFileKind::Manifest => &self.manifest,
            ReportFileKind::Signature => &self.signature,
        };
        file.as_deref()
    }

    pub(crate) fn set(&mut self, kind: ReportFileKind, bytes: Vec<u8>) {
        *match kind {
            ReportFileKind::StructuredReport => &mut self.structured_report,
            ReportFileKind::EncapsulatedPdf => &mut self.pdf,
            ReportFileKind::Manifest => &mut self.manifest,
            ReportFileKind::Signature => &mut self.signature,
        } = Some(bytes);
    }
}

/// Checks the files of a version against each other and against the authority; no index is needed. The manifest is given back when it can be read, and is to
/// be believed only when all checks hold.
pub(crate) fn check_files(files: &VersionFiles, authority_der: &[u8]) -> (Vec<Check>, Option<Manifest>) {
    let mut checks = Vec::new();
    let Some(manifest_bytes) = files.get(ReportFileKind::Manifest) else {
        return (vec![check("manifest", false, "the manifest is missing")], None);
    };
    let manifest = match Manifest::parse(manifest_bytes) {
        Ok(manifest) => manifest,
        Err(error) => return (vec![check("manifest", false, with_causes(&error))], None),
    };
    checks.push(check(
        "manifest",
        true,
        format!("{}, version {} of case {}", manifest.format, manifest.number, manifest.case.id),
    ));
    match files.get(ReportFileKind::Signature) {
        None => checks.push(check("signature", false, "the signature is missing")),
        Some(signature) => match signature::verify(manifest_bytes, signature, authority_der) {
            Err(error) => checks.push(check("signature", false, with_causes(&error))),
            Ok(signer) => {
                checks.push(check(
                    "signature",
                    true,
                    format!("made by {} with certificate {}", signer.name, signer.serial),
                ));
                checks.push(check_signer(&signer, &manifest));
            }
        },
    }
    for (kind, name) in
        [(ReportFileKind::StructuredReport, "structured_report"), (ReportFileKind::EncapsulatedPdf, "encapsulated_pdf")]
    {
        let (ok, detail) = match (manifest.file(kind), files.get(kind)) {
            (None, _) => (false, "the manifest does not name it".to_owned()),
            (_, None) => (false, "the file is missing".to_owned()),
            (Some(facts), Some(bytes)) => check_file(facts, bytes),
        };
        checks.push(check(name, ok, detail));
    }
    (checks, Some(manifest))
}

/// The certificate must be the author's, and the two times of signature the same to the second, which is all that a signature holds.
fn check_signer(signer: &VerifiedSigner, manifest: &Manifest) -> Check {
    let author = &manifest.author;
    let same_serial = comparable_serial(&signer.serial) == comparable_serial(&author.certificate_serial);
    let same_second = signer.signed_at.0.div_euclid(1_000_000) == manifest.signed_at.us.0.div_euclid(1_000_000);
    let (ok, detail) = if signer.account != author.account.as_str() || !same_serial {
        (false, format!("the manifest names author {}, the certificate belongs to {}", author.account, signer.account))
    } else if !same_second {
        (false, "the manifest and the signature have different times".to_owned())
    } else {
        (true, format!("author {}, signed at {}", author.account, manifest.signed_at.utc))
    };
    check("signer", ok, detail)
}

fn check_file(facts: &FileFacts, bytes: &[u8]) -> (bool, String) {
    if bytes.len() as u64 != facts.size_bytes || Hash(sha256(bytes)) != facts.sha256 {
        return (
            false,
            format!("the file is not what was signed ({} bytes, {} expected)", bytes.len(), facts.size_bytes),
        );
    }
    let data_set = part10::parse_header(bytes).ok().and_then(|(meta, offset)| {
        (meta.sop_instance.as_ref() == Some(&facts.sop_instance) && meta.sop_class.as_ref() == Some(&facts.sop_class))
            .then_some(offset)
    });
    match data_set.and_then(|offset| bytes.get(offset..)) {
        Some(data_set) if Hash(sha256(data_set)) == facts.dataset_sha256 => {
            (true, format!("SOP instance {}, SHA-256 {:?}", facts.sop_instance, facts.sha256))
        }
        _ => (false, "the file's header and the manifest do not agree".to_owned()),
    }
}

/// The row must say what was signed.
fn check_row(row: &ReportVersionRow, files: &[ReportFileRow], manifest: &Manifest) -> Check {
    let texts = (row.findings.as_str(), row.impression.as_str(), row.recommendation.as_str());
    let content = &manifest.content;
    let instances = i64::try_from(manifest.evidence.instance_count()).unwrap_or(i64::MAX);
    let facts = [
        ("id", row.id == manifest.report_version),
        ("case", row.case == manifest.case.id),
        ("facility", row.facility == manifest.facility.id),
        ("number", row.number == i64::from(manifest.number)),
        ("workitem", row.workitem_uid == manifest.case.workitem),
        ("author", row.author == manifest.author.account),
        ("text", texts == (content.findings.as_str(), content.impression.as_str(), content.recommendation.as_str())),
        ("time", row.signed_at == manifest.signed_at.us),
        (
            "certificate",
            comparable_serial(&row.certificate_serial) == comparable_serial(&manifest.author.certificate_serial),
        ),
        ("number of images", row.instance_count == instances),
        ("files", manifest.files.iter().all(|facts| files.iter().any(|file| same_file(file, facts)))),
    ];
    match facts.iter().find(|(_, same)| !same) {
        None => check("index", true, "the index says the same"),
        Some((what, _)) => check("index", false, format!("the index has another {what} than what was signed")),
    }
}

fn same_file(row: &ReportFileRow, facts: &FileFacts) -> bool {
    row.kind == facts.kind
        && row.sha256 == facts.sha256.0
        && row
            .object
            .as_ref()
            .is_some_and(|(class, instance)| *class == facts.sop_class && *instance == facts.sop_instance)
}

impl Reports {
    /// Checks a version: its files against the manifest, the manifest against its signature and the node's authority, the index and the images against the
    /// manifest. What does not hold is in the result; an error means that nothing could be checked.
    pub async fn verify(&self, version: ReportVersionId) -> Result<Verification, ReportError> {
        let mut read = self.database.read().await?;
        let row = read.report_version_find(version, None).await?.ok_or(ReportError::NotFound)?;
        let rows = read.report_files(version).await?;
        drop(read);
        let mut files = VersionFiles::default();
        let mut checks = Vec::new();
        for file in &rows {
            match self.read_any(file).await {
                Ok(bytes) => {
                    let same = sha256(&bytes) == file.sha256;
                    let detail = if same {
                        "the index has the hash of the stored file"
                    } else {
                        "the stored file is not the one in the index"
                    };
                    checks.push(check(stored_check_name(file.kind), same, detail));
                    files.set(file.kind, bytes);
                }
                Err(error) => checks.push(check(stored_check_name(file.kind), false, error.chain())),
            }
        }
        let (mut found, manifest) = check_files(&files, &self.authority_der);
        found.append(&mut checks);
        if let Some(manifest) = manifest {
            found.push(check_row(&row, &rows, &manifest));
            found.push(check_evidence(&mut self.database.read().await?, &manifest).await?);
        }
        if let Some(bytes) = files.get(ReportFileKind::Manifest) {
            let same = sha256(bytes) == row.manifest_sha256;
            found.push(check(
                "manifest_hash",
                same,
                if same { "the index has the manifest's hash" } else { "the index has another hash" },
            ));
        }
        Ok(Verification::of(found))
    }

    /// The file as it is, damaged or not.
    async fn read_any(&self, file: &ReportFileRow) -> Result<Vec<u8>, ReportError> {
        let key =
            dokuei_image_store::BlobKey::parse(&file.blob_key).map_err(|_| ReportError::Damaged { kind: file.kind })?;
        let limit = u64::try_from(file.size_bytes).unwrap_or(0).max(LONGEST_MANIFEST);
        Ok(self.store.read_to_vec(&key, limit).await?)
    }
}

const fn stored_check_name(kind: ReportFileKind) -> &'static str {
    match kind {
        ReportFileKind::StructuredReport => "stored_structured_report",
        ReportFileKind::EncapsulatedPdf => "stored_encapsulated_pdf",
        ReportFileKind::Manifest => "stored_manifest",
        ReportFileKind::Signature => "stored_signature",
    }
}

/// Every image that the report is based on is in the index, with the content that was signed.
async fn check_evidence(read: &mut ReadTx, manifest: &Manifest) -> Result<Check, ReportError> {
    let (mut same, mut other, mut missing) = (0usize, 0usize, 0usize);
    for study in &manifest.evidence.studies {
        let known = match read.study_owner(&manifest.facility.id, &study.study).await? {
            Some((pk, _)) => read.instances_of_study_with_rejected(pk).await?,
            None => Vec::new(),
        };
        let known: std::collections::HashMap<_, _> =
            known.iter().map(|instance| (&instance.sop_instance, instance.dataset_sha256)).collect();
        for instance in study.series.iter().flat_map(|series| &series.instances) {
            match known.get(&instance.sop_instance) {
                Some(hash) if *hash == instance.dataset_sha256.0 => same += 1,
                Some(_) => other += 1,
                None => missing += 1,
            }
        }
    }
    let ok = other == 0 && missing == 0;
    Ok(check(
        "evidence",
        ok,
        format!("{same} images as signed, {other} with other content, {missing} not in the index"),
    ))
}
