//! Looking at versions, files and the ledger. A facility sees its own and learns nothing of others: what is not its own does not exist for it.

use dokuei_access::{Action, Resource, can};
use dokuei_database::{
    AttemptRow, AuditEvent, AuditOutcome, DeliveryRow, DeliverySelection, ReadTx, ReportFileKind, ReportFileRow,
    ReportOpeningRow, ReportVersionRow,
};
use dokuei_dataset::part10;
use dokuei_domain::{Actor, CaseId, ReportVersionId, Role};
use dokuei_image_store::BlobKey;

use crate::{ReportError, Reports, freeze::embedded_document, manifest::LONGEST_MANIFEST, signature::sha256};

/// The most rows of the ledger that are given at once.
const MOST_DELIVERIES: u32 = 500;

/// A version with everything that hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportVersionDetail {
    pub version: ReportVersionRow,
    pub files: Vec<ReportFileRow>,
    pub deliveries: Vec<Delivery>,
    /// Who at the facility opened which file, first to last.
    pub openings: Vec<ReportOpeningRow>,
}

/// A row of the ledger with its attempts, first to last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub row: DeliveryRow,
    pub attempts: Vec<AttemptRow>,
}

/// A file to be handed out.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportDownload {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    /// ASCII, without a path and without anything about the patient.
    pub file_name: String,
}

impl std::fmt::Debug for ReportDownload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportDownload")
            .field("file_name", &self.file_name)
            .field("size_bytes", &self.bytes.len())
            .finish()
    }
}

impl Reports {
    /// All versions of a case, first to last; empty before the first signature.
    pub async fn versions(&self, actor: &Actor, case: CaseId) -> Result<Vec<ReportVersionRow>, ReportError> {
        let result = self.try_versions(actor, case).await;
        if let Err(error) = &result {
            self.audit_refusal(actor, "report.list", case, error).await;
        }
        result
    }

    async fn try_versions(&self, actor: &Actor, case: CaseId) -> Result<Vec<ReportVersionRow>, ReportError> {
        let mut read = self.database.read().await?;
        let head = read.case_head(case).await?.ok_or(ReportError::NotFound)?;
        let versions = read.report_version_list(case, actor.facility()).await?;
        // The versions know of withdrawn studies before the case does.
        let withdrawn = head.withdrawn_at.is_some() || versions.iter().any(|version| version.withdrawn_at.is_some());
        may_view(&mut read, actor, case, &head.facility, withdrawn).await?;
        Ok(versions)
    }

    /// One version with its files, deliveries and openings.
    pub async fn version(&self, actor: &Actor, version: ReportVersionId) -> Result<ReportVersionDetail, ReportError> {
        let result = async {
            let mut read = self.database.read().await?;
            let row = visible_version(&mut read, actor, version).await?;
            let selection = DeliverySelection {
                facility: actor.facility().cloned(),
                version: Some(version),
                limit: MOST_DELIVERIES,
                ..Default::default()
            };
            let deliveries = read.delivery_list(&selection).await?;
            Ok(ReportVersionDetail {
                files: read.report_files(version).await?,
                deliveries: deliveries.into_iter().map(|(row, attempts)| Delivery { row, attempts }).collect(),
                openings: read.report_openings(version, MOST_DELIVERIES).await?,
                version: row,
            })
        };
        let result = result.await;
        if let Err(error) = &result {
            self.audit_refusal(actor, "report.read", version, error).await;
        }
        result
    }

    /// A frozen file, byte for byte. When a facility's user asks, the opening is written down.
    pub async fn file(
        &self,
        actor: &Actor,
        version: ReportVersionId,
        kind: ReportFileKind,
    ) -> Result<ReportDownload, ReportError> {
        let result = self.try_file(actor, version, kind, kind.as_str()).await.map(|bytes| ReportDownload {
            bytes,
            media_type: match kind {
                ReportFileKind::StructuredReport | ReportFileKind::EncapsulatedPdf => "application/dicom",
                ReportFileKind::Manifest => "application/json",
                ReportFileKind::Signature => "application/pkcs7-signature",
            },
            file_name: format!("report-{version}-{}", crate::prepare::stored_as(kind).file_name()),
        });
        if let Err(error) = &result {
            self.audit_refusal(actor, "report.read", version, error).await;
        }
        result
    }

    /// The printed page itself, as a browser shows it. When a facility's user asks, the opening is written down.
    pub async fn pdf(&self, actor: &Actor, version: ReportVersionId) -> Result<ReportDownload, ReportError> {
        let kind = ReportFileKind::EncapsulatedPdf;
        let result = async {
            let bytes = self.try_file(actor, version, kind, "pdf").await?;
            let (_, offset) = part10::parse_header(&bytes).map_err(|_| ReportError::Damaged { kind })?;
            let document = bytes.get(offset..).and_then(embedded_document).ok_or(ReportError::Damaged { kind })?;
            Ok(ReportDownload {
                bytes: document.to_vec(),
                media_type: "application/pdf",
                file_name: format!("report-{version}.pdf"),
            })
        };
        let result = result.await;
        if let Err(error) = &result {
            self.audit_refusal(actor, "report.read", version, error).await;
        }
        result
    }

    async fn try_file(
        &self,
        actor: &Actor,
        version: ReportVersionId,
        kind: ReportFileKind,
        opened_as: &str,
    ) -> Result<Vec<u8>, ReportError> {
        let mut read = self.database.read().await?;
        let row = visible_version(&mut read, actor, version).await?;
        let files = read.report_files(version).await?;
        drop(read);
        let file = files.iter().find(|file| file.kind == kind).ok_or(ReportError::Damaged { kind })?;
        let bytes = self.read_file(file).await?;
        if let Actor::Account { id, role: Role::Facility, .. } = actor {
            let now = self.ambient.now();
            let mut tx = self.database.write().await?;
            tx.report_opening_insert(self.ambient.new_uuid(), version, id, opened_as, now).await?;
            let event = AuditEvent::new(now, actor, "report.open", AuditOutcome::Success);
            tx.audit(event.facility(&row.facility).subject(version).detail(opened_as));
            tx.commit().await?;
        }
        Ok(bytes)
    }

    /// Reads a frozen file and makes sure that it is what was signed.
    pub(crate) async fn read_file(&self, file: &ReportFileRow) -> Result<Vec<u8>, ReportError> {
        let damaged = || ReportError::Damaged { kind: file.kind };
        let key = BlobKey::parse(&file.blob_key).map_err(|_| damaged())?;
        let limit = u64::try_from(file.size_bytes).unwrap_or(0).max(LONGEST_MANIFEST);
        let bytes = self.store.read_to_vec(&key, limit).await?;
        if sha256(&bytes) == file.sha256 { Ok(bytes) } else { Err(damaged()) }
    }

    /// The ledger: of all facilities for the office, of its own for a facility's user.
    pub async fn deliveries(&self, actor: &Actor, selection: &DeliverySelection) -> Result<Vec<Delivery>, ReportError> {
        let mut selection = selection.clone();
        selection.limit = selection.limit.clamp(1, MOST_DELIVERIES);
        let allowed = match actor.facility() {
            Some(own) => {
                let theirs = selection.facility.replace(own.clone()).is_none_or(|asked| asked == *own);
                let own = if theirs { Resource::Facility(own) } else { Resource::Node };
                can(actor, Action::ViewReport, own)
            }
            None => can(actor, Action::ViewOffice, Resource::Node),
        };
        if let Err(denied) = allowed {
            let error = ReportError::Denied(denied);
            self.audit_refusal(actor, "delivery.list", "", &error).await;
            return Err(error);
        }
        let rows = self.database.read().await?.delivery_list(&selection).await?;
        Ok(rows.into_iter().map(|(row, attempts)| Delivery { row, attempts }).collect())
    }
}

async fn visible_version(
    read: &mut ReadTx,
    actor: &Actor,
    version: ReportVersionId,
) -> Result<ReportVersionRow, ReportError> {
    let row = read.report_version_find(version, actor.facility()).await?.ok_or(ReportError::NotFound)?;
    may_view(read, actor, row.case, &row.facility, row.withdrawn_at.is_some()).await?;
    Ok(row)
}

/// A withdrawn study is hidden from readers and its facility; the office keeps it in view.
async fn may_view(
    read: &mut ReadTx,
    actor: &Actor,
    case: CaseId,
    facility: &dokuei_domain::FacilityId,
    withdrawn: bool,
) -> Result<(), ReportError> {
    let performer = read.workitem_open(case).await?.and_then(|workitem| workitem.performer);
    can(actor, Action::ViewReport, Resource::Case { facility, claimed_by: performer.as_ref() })?;
    match actor {
        Actor::Account { role: Role::Reader | Role::Facility, .. } if withdrawn => Err(ReportError::Withdrawn),
        _ => Ok(()),
    }
}
