//! A version before it is stored: the manifest over what was frozen, its signature, and the rows that will say so.

use std::sync::Arc;

use bytes::Bytes;
use dokuei_database::{NewReportVersion, ReportFileKind, ReportFileRow, ReportTexts};
use dokuei_domain::CaseId;
use dokuei_image_store::{BlobKey, ReportFile};

use crate::{
    ReportError, Reports, SignedVersion,
    facts::{CaseFacts, StudyFacts},
    freeze::{Frozen, Identity},
    manifest::{
        self, AuthorFacts, CaseFacts as ManifestCase, Content, Evidence, FacilityFacts, Hash, InstanceEvidence,
        Manifest, PatientIdentityFacts, SeriesEvidence, SignedAt, StudyEvidence,
    },
    signature::{self, ReportSigner, sha256},
};

/// Everything that a version consists of, before it is stored.
pub(crate) struct Prepared {
    pub(crate) facts: Arc<CaseFacts>,
    pub(crate) identity: Identity,
    pub(crate) frozen: Frozen,
    pub(crate) manifest: Bytes,
    pub(crate) manifest_sha256: [u8; 32],
    pub(crate) signature: Bytes,
    pub(crate) serial: String,
    pub(crate) incomplete: bool,
}

impl Reports {
    /// Writes the manifest and signs it.
    pub(crate) fn prepare(
        &self,
        facts: Arc<CaseFacts>,
        identity: Identity,
        frozen: Frozen,
        signer: &dyn ReportSigner,
    ) -> Result<Prepared, ReportError> {
        let incomplete = facts.missing().is_some();
        let manifest = self.manifest(&facts, &identity, &frozen, signer.serial(), incomplete).to_bytes()?;
        let signature = signature::sign_manifest(&manifest, signer, identity.signed_at)?;
        Ok(Prepared {
            manifest_sha256: sha256(&manifest),
            manifest: manifest.into(),
            signature: signature.into(),
            serial: signer.serial().to_owned(),
            facts,
            identity,
            frozen,
            incomplete,
        })
    }

    fn manifest(
        &self,
        facts: &CaseFacts,
        identity: &Identity,
        frozen: &Frozen,
        serial: &str,
        incomplete: bool,
    ) -> Manifest {
        let (facility, patient, draft) = (&facts.facility, &facts.patient, &facts.draft);
        Manifest {
            format: manifest::FORMAT.to_owned(),
            report_version: identity.version,
            number: identity.number,
            supersedes: identity.predecessor.as_ref().map(|before| before.version),
            case: ManifestCase {
                id: facts.head.id,
                priority: facts.head.priority,
                opened_at_us: facts.head.opened_at,
                due_at_us: facts.head.due_at,
                workitem: facts.workitem.clone(),
            },
            facility: FacilityFacts {
                id: facility.id.clone(),
                name: facility.name.clone(),
                issuer: facility.issuer.clone(),
            },
            patient: PatientIdentityFacts {
                issuer: patient.issuer.clone(),
                id: patient.id.clone(),
                provisional: patient.provisional,
                name: patient.name.clone(),
                birth_date: patient.birth_date.clone(),
                sex: patient.sex.clone(),
            },
            author: AuthorFacts {
                account: facts.author.account.clone(),
                name: facts.author.name.clone(),
                organisation: identity.author_organisation.clone(),
                certificate_serial: serial.to_owned(),
            },
            signed_at: SignedAt::new(identity.signed_at),
            language: self.settings.language,
            content: Content {
                findings: draft.findings.clone(),
                impression: draft.impression.clone(),
                recommendation: draft.recommendation.clone(),
            },
            evidence: evidence(facts, incomplete),
            files: vec![frozen.structured_report.facts.clone(), frozen.pdf.facts.clone()],
        }
    }
}

fn evidence(facts: &CaseFacts, signed_although_incomplete: bool) -> Evidence {
    let study = |study: &StudyFacts| StudyEvidence {
        study: study.row.uid.clone(),
        accession_number: study.row.accession_number.clone(),
        expected_instances: study.row.expected_instances,
        series: study
            .series
            .iter()
            .map(|(series, instances)| SeriesEvidence {
                series: series.uid.clone(),
                instances: instances
                    .iter()
                    .map(|instance| InstanceEvidence {
                        sop_class: instance.sop_class.clone(),
                        sop_instance: instance.sop_instance.clone(),
                        dataset_sha256: Hash(instance.dataset_sha256),
                    })
                    .collect(),
            })
            .collect(),
    };
    Evidence { signed_although_incomplete, studies: facts.studies.iter().map(study).collect() }
}

impl Prepared {
    /// In the order in which they are stored: the signature last, so that what is signed is complete.
    pub(crate) fn blobs(&self) -> [(ReportFileKind, Bytes); 4] {
        [
            (ReportFileKind::StructuredReport, self.frozen.structured_report.bytes.clone()),
            (ReportFileKind::EncapsulatedPdf, self.frozen.pdf.bytes.clone()),
            (ReportFileKind::Manifest, self.manifest.clone()),
            (ReportFileKind::Signature, self.signature.clone()),
        ]
    }

    pub(crate) fn key(&self, kind: ReportFileKind) -> BlobKey {
        BlobKey::report_file(&self.facts.facility.id, self.identity.version, stored_as(kind))
    }

    pub(crate) fn row(&self) -> NewReportVersion<'_> {
        let draft = &self.facts.draft;
        NewReportVersion {
            id: self.identity.version,
            case: self.facts.head.id,
            facility: &self.facts.facility.id,
            number: i64::from(self.identity.number),
            workitem_uid: &self.facts.workitem,
            author: &self.facts.author.account,
            texts: ReportTexts {
                findings: &draft.findings,
                impression: &draft.impression,
                recommendation: &draft.recommendation,
            },
            signed_at: self.identity.signed_at,
            manifest_sha256: self.manifest_sha256,
            certificate_serial: &self.serial,
            instance_count: i64::try_from(self.facts.instance_count()).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn file_row(&self, kind: ReportFileKind, bytes: &Bytes) -> ReportFileRow {
        let object = match kind {
            ReportFileKind::StructuredReport => Some(&self.frozen.structured_report.facts),
            ReportFileKind::EncapsulatedPdf => Some(&self.frozen.pdf.facts),
            ReportFileKind::Manifest | ReportFileKind::Signature => None,
        };
        ReportFileRow {
            kind,
            blob_key: self.key(kind).as_str().to_owned(),
            sha256: sha256(bytes),
            size_bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            object: object.map(|facts| (facts.sop_class.clone(), facts.sop_instance.clone())),
        }
    }

    pub(crate) fn signed(&self) -> SignedVersion {
        SignedVersion {
            id: self.identity.version,
            case: self.facts.head.id,
            number: i64::from(self.identity.number),
            signed_at: self.identity.signed_at,
            structured_report: self.frozen.structured_report.facts.sop_instance.clone(),
            pdf: self.frozen.pdf.facts.sop_instance.clone(),
        }
    }

    pub(crate) fn audit_detail(&self, case: CaseId, targets: usize) -> String {
        let incomplete = match (self.incomplete, self.facts.missing()) {
            (true, Some((received, Some(expected)))) => {
                format!(", confirmed although incomplete ({received} of {expected} images)")
            }
            (true, _) => ", confirmed although images may be missing".to_owned(),
            (false, _) => String::new(),
        };
        format!(
            "case {case}, version {}, workitem {}, certificate {}, {} images, {targets} recipients{incomplete}",
            self.identity.number,
            self.facts.workitem,
            self.serial,
            self.facts.instance_count()
        )
    }
}

/// Under which name the store keeps a file.
pub(crate) const fn stored_as(kind: ReportFileKind) -> ReportFile {
    match kind {
        ReportFileKind::StructuredReport => ReportFile::StructuredReport,
        ReportFileKind::EncapsulatedPdf => ReportFile::EncapsulatedPdf,
        ReportFileKind::Manifest => ReportFile::Manifest,
        ReportFileKind::Signature => ReportFile::Signature,
    }
}
