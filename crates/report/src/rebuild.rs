//! Versions back from the store alone.
//!
//! Every version lies in the store as four files that prove themselves, and its manifest says all that the index needs. Return targets and the ledger are no
//! objects and do not come back: a restored version has no deliveries.
//!
//! Runs after `rebuild-index` has brought the images back and before the node serves, so that the studies are filed under their old cases and not under new
//! ones. It may also run beside a working node: what the index has is passed over, and so is a version whose case is open for reading.

use std::collections::BTreeMap;

use dokuei_database::{
    AccountRow, AuditEvent, AuditOutcome, NewReportVersion, ReportFileKind, ReportFileRow, ReportTexts, RestoredCase,
    RestoredWorkitem, WriteTx,
};
use dokuei_domain::{
    Actor, CaseId, FacilityId, PatientPk, ReportVersionId, Role, Timestamp,
    facts::PatientFacts,
    patient::{FacilityIssuer, PatientIdentity, ProvisionalReason},
};
use dokuei_image_store::{BlobKey, BlobKeyParts};
use serde::Serialize;

use crate::{
    ReportError, Reports,
    manifest::{LONGEST_MANIFEST, Manifest},
    prepare::stored_as,
    signature::sha256,
    verify::{VersionFiles, check_files},
};

const PREFIX: &str = "reports/v1/";
/// Longest file of a version that is read.
const LONGEST_FILE: u64 = 512 * 1024 * 1024;

/// What a rebuild found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RebuildSummary {
    /// Versions in the store.
    pub seen: u64,
    pub restored: u64,
    pub already_indexed: u64,
    /// Versions that were signed but never became visible: another one has their number.
    pub passed_over: u64,
    /// Files of a signing that ended before the signature was made: nobody signed them, and they stay where they are.
    pub unfinished: u64,
    /// Versions that do not prove themselves, or cannot be filed, with the reason; they stay where they are.
    pub not_restored: Vec<String>,
    /// Studies that are filed under another case now.
    pub studies_elsewhere: Vec<String>,
}

/// A version that the index lacks; of one number, the last one signed comes last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    signed_at: Timestamp,
    version: ReportVersionId,
    facility: FacilityId,
}

/// A version whose files prove themselves.
struct Proven {
    manifest: Manifest,
    manifest_sha256: [u8; 32],
    files: Vec<ReportFileRow>,
}

impl Reports {
    /// Walks all versions in the store and puts back those that the index lacks. A second run changes nothing.
    pub async fn rebuild(&self) -> Result<RebuildSummary, ReportError> {
        let mut summary = RebuildSummary::default();
        // Only what decides is kept: manifests are long, and there may be many.
        let mut cases: BTreeMap<(CaseId, u32), Vec<Candidate>> = BTreeMap::new();
        for (version, (facility, signed)) in self.versions_in_store().await? {
            summary.seen += 1;
            if !signed {
                summary.unfinished += 1;
                continue;
            }
            if self.database.read().await?.report_version_find(version, None).await?.is_some() {
                summary.already_indexed += 1;
                continue;
            }
            match self.prove(version, &facility).await {
                Ok(Proven { manifest, .. }) => {
                    let candidate = Candidate { signed_at: manifest.signed_at.us, version, facility };
                    cases.entry((manifest.case.id, manifest.number)).or_default().push(candidate);
                }
                Err(reason) => summary.not_restored.push(format!("{version}: {reason}")),
            }
        }
        // By case and number, so that a version comes after the one it succeeds.
        for ((case, number), mut candidates) in cases {
            // A crash between files and index leaves an unfinished version; the one signed last is the one that went on.
            candidates.sort();
            let taken = self.database.read().await?.report_version_numbered(case, i64::from(number)).await?.is_some();
            let chosen = if taken { None } else { candidates.pop() };
            summary.passed_over += candidates.len() as u64;
            let Some(Candidate { version, facility, .. }) = chosen else { continue };
            let restored = match self.prove(version, &facility).await {
                Ok(proven) => self.restore(&proven, &mut summary).await,
                Err(reason) => Err(Restoring::Refused(reason)),
            };
            match restored {
                Ok(()) => {}
                Err(Restoring::Refused(reason)) => summary.not_restored.push(format!("{version}: {reason}")),
                Err(Restoring::Failed(error)) => return Err(error),
            }
        }
        Ok(summary)
    }

    /// Each version with its facility, and whether its signature is there: that is written last, so without it nothing was ever signed.
    async fn versions_in_store(&self) -> Result<BTreeMap<ReportVersionId, (FacilityId, bool)>, ReportError> {
        let mut versions = BTreeMap::new();
        let mut blobs = self.store.list(PREFIX);
        while let Some((key, _)) = blobs.next().await? {
            if let BlobKeyParts::ReportFile { facility, version, file } = key.parts() {
                let entry = versions.entry(*version).or_insert_with(|| (facility.clone(), false));
                entry.1 |= *file == stored_as(ReportFileKind::Signature);
            }
        }
        Ok(versions)
    }

    /// Reads the four files and checks them against each other and the node's authority.
    async fn prove(&self, version: ReportVersionId, facility: &FacilityId) -> Result<Proven, String> {
        let mut files = VersionFiles::default();
        for kind in ReportFileKind::ALL {
            let limit = if kind == ReportFileKind::Manifest { LONGEST_MANIFEST } else { LONGEST_FILE };
            let key = BlobKey::report_file(facility, version, stored_as(kind));
            match self.store.read_to_vec(&key, limit).await {
                Ok(bytes) => files.set(kind, bytes),
                Err(error) => return Err(format!("its files are not complete: {}", crate::error::with_causes(&error))),
            }
        }
        let (checks, manifest) = check_files(&files, &self.authority_der);
        if let Some(failed) = checks.iter().find(|check| !check.ok) {
            return Err(format!("{}: {}", failed.name, failed.detail));
        }
        let manifest = manifest.ok_or_else(|| "the manifest is missing".to_owned())?;
        if manifest.report_version != version || manifest.facility.id != *facility {
            return Err("the files are stored under another version's key".to_owned());
        }
        let row = |kind: ReportFileKind| {
            let bytes = files.get(kind).unwrap_or_default();
            ReportFileRow {
                kind,
                blob_key: BlobKey::report_file(facility, version, stored_as(kind)).as_str().to_owned(),
                sha256: sha256(bytes),
                size_bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
                object: manifest.file(kind).map(|facts| (facts.sop_class.clone(), facts.sop_instance.clone())),
            }
        };
        let files_rows = ReportFileKind::ALL.into_iter().map(row).collect();
        let manifest_sha256 = sha256(files.get(ReportFileKind::Manifest).unwrap_or_default());
        Ok(Proven { manifest, manifest_sha256, files: files_rows })
    }

    async fn restore(&self, proven: &Proven, summary: &mut RebuildSummary) -> Result<(), Restoring> {
        let manifest = &proven.manifest;
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        tx.case_lock(manifest.case.id).await?;
        let state = tx.report_workitem_state(&manifest.case.workitem).await?;
        // However old the files are: they may be what a signature left that never came to its end, and the reader still has the case.
        if tx.workitem_open(manifest.case.id).await?.is_some() {
            let reason = "its case is open for reading in this index; run this again when the case has ended";
            return Err(Restoring::Refused(reason.to_owned()));
        }
        if state.as_deref() == Some("CANCELED") {
            return Err(Restoring::Refused("its workitem was given back; the case went on without it".to_owned()));
        }
        let facility = FacilityIssuer {
            facility: manifest.facility.id.clone(),
            issuer: manifest.facility.issuer.clone(),
            aliases: Vec::new(),
        };
        tx.facility_ensure(&facility, now).await?;
        // What the images alone tell of a facility has its ID for a name.
        let known = tx.facility_find(&manifest.facility.id).await?;
        if known.is_some_and(|row| row.name == row.id.as_str()) {
            tx.facility_rename(&manifest.facility.id, &manifest.facility.name).await?;
        }
        self.ensure_author(&mut tx, manifest, now).await?;
        let patient = self.patient(&mut tx, manifest, now).await?;
        tx.report_case_restore(&RestoredCase {
            id: manifest.case.id,
            facility: &manifest.facility.id,
            patient,
            priority: manifest.case.priority,
            opened_at: manifest.case.opened_at_us,
            due_at: manifest.case.due_at_us,
        })
        .await?;
        let mut elsewhere = Vec::new();
        for study in &manifest.evidence.studies {
            match tx.report_study_attach(manifest.case.id, &manifest.facility.id, &study.study).await? {
                Some(case) if case != manifest.case.id => {
                    elsewhere.push(format!("{}: filed under case {case}", study.study))
                }
                _ => {}
            }
        }
        let transaction_uid = self.ambient.new_uid();
        tx.report_workitem_restore(&RestoredWorkitem {
            uid: &manifest.case.workitem,
            case: manifest.case.id,
            performer: &manifest.author.account,
            transaction_uid: transaction_uid.as_str(),
            created_at: manifest.case.opened_at_us,
            ended_at: manifest.signed_at.us,
        })
        .await?;
        let content = &manifest.content;
        tx.report_version_insert(&NewReportVersion {
            id: manifest.report_version,
            case: manifest.case.id,
            facility: &manifest.facility.id,
            number: i64::from(manifest.number),
            workitem_uid: &manifest.case.workitem,
            author: &manifest.author.account,
            texts: ReportTexts {
                findings: &content.findings,
                impression: &content.impression,
                recommendation: &content.recommendation,
            },
            signed_at: manifest.signed_at.us,
            manifest_sha256: proven.manifest_sha256,
            certificate_serial: &manifest.author.certificate_serial,
            instance_count: i64::try_from(manifest.evidence.instance_count()).unwrap_or(i64::MAX),
        })
        .await?;
        for file in &proven.files {
            tx.report_file_insert(manifest.report_version, file).await?;
        }
        tx.audit(
            AuditEvent::new(now, &Actor::System("rebuild"), "report.restore", AuditOutcome::Success)
                .facility(&manifest.facility.id)
                .subject(manifest.report_version)
                .detail(format!("case {}, version {}, from the store", manifest.case.id, manifest.number)),
        );
        tx.commit().await?;
        summary.restored += 1;
        summary.studies_elsewhere.append(&mut elsewhere);
        Ok(())
    }

    /// An account for the author that nobody can sign in with, where there is none.
    async fn ensure_author(&self, tx: &mut WriteTx, manifest: &Manifest, now: Timestamp) -> Result<(), ReportError> {
        let author = &manifest.author;
        let stub = AccountRow {
            id: author.account.clone(),
            role: Role::Reader,
            facility: None,
            display_name: author.name.display(),
            language: "ja".to_owned(),
            // No text that a password hashes to.
            password_hash: "!".to_owned(),
            password_changed_at: now,
            totp_secret: Vec::new(),
            totp_last_step: 0,
            created_at: now,
            disabled_at: Some(now),
        };
        if tx.account_insert(&stub).await? {
            tx.account_disable(&author.account, now).await?;
        }
        Ok(())
    }

    /// The patient under whom the studies are filed; where there are none, the one the manifest names.
    async fn patient(&self, tx: &mut WriteTx, manifest: &Manifest, now: Timestamp) -> Result<PatientPk, Restoring> {
        for study in &manifest.evidence.studies {
            if let Some((_, patient)) = tx.study_owner(&manifest.facility.id, &study.study).await? {
                return Ok(patient);
            }
        }
        let named = &manifest.patient;
        let identity = if named.provisional {
            let study = manifest.evidence.studies.first().map(|study| study.study.clone());
            let study = study.ok_or_else(|| Restoring::Refused("it names no study and no patient".to_owned()))?;
            PatientIdentity::Provisional { study, reason: ProvisionalReason::ForeignIssuer }
        } else {
            PatientIdentity::Established { issuer: named.issuer.clone(), id: named.id.clone() }
        };
        let facts = PatientFacts {
            id: named.id.clone(),
            issuer: named.issuer.clone(),
            name: named.name.clone(),
            birth_date: named.birth_date.clone(),
            sex: named.sex.clone(),
        };
        let pk = PatientPk(self.ambient.new_uuid());
        Ok(tx.patient_find_or_insert(pk, &manifest.facility.id, &identity, &facts, false, now).await?)
    }
}

enum Restoring {
    /// This version stays in the store; the others go on.
    Refused(String),
    Failed(ReportError),
}

impl<E: Into<ReportError>> From<E> for Restoring {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
