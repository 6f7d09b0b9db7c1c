//! Signing: from a draft to a version that never changes.
//!
//! The order is what makes it safe to stop anywhere. Everything is checked; the files are frozen; the key is unlocked; the manifest is signed; the four blobs
//! are made durable, the signature last; and one transaction, fenced by the claim, makes the version visible together with the completed workitem, the
//! ledger and the work that follows. Blobs without a row are harmless, and no row is without its blobs.

use std::sync::Arc;

use dokuei_access::{Action, Resource, can};
use dokuei_database::{
    AuditEvent, AuditOutcome, DatabaseError, DatabaseErrorKind, NewJob, ReportFileKind, ReportFileRow, ReportTexts,
    ReportVersionRow, StudyState, WriteTx,
};
use dokuei_domain::{
    AccountId, Actor, CaseId, DeliveryId, JobId, ReportVersionId, Role, SopInstanceUid, Timestamp, event::Event,
};
use dokuei_image_store::{BlobKey, ReportFile};

use crate::{
    Draft, ReportError, Reports,
    delivery::delivery_job,
    drafts::check_texts,
    error::with_causes,
    facts::{CaseFacts, StudyFingerprint},
    freeze::{self, Identity, Predecessor},
    manifest::{self, Manifest},
    prepare::Prepared,
    signature::{ReportSigner, sha256},
};

/// How often signing begins anew when images arrive between freezing and storing.
const ROUNDS: usize = 4;

/// What a reader asks for. `Debug` shows neither password nor code.
#[derive(Clone)]
pub struct SignRequest {
    pub case: CaseId,
    /// Of the claim.
    pub transaction_uid: String,
    /// The draft's version on the reader's screen; another one is a conflict. `None`: whatever is stored.
    pub draft_version: Option<i64>,
    pub password: String,
    /// A fresh one-time code.
    pub code: String,
    /// Where the request came from.
    pub address: String,
    /// The reader knows that images are missing or may be.
    pub confirm_incomplete: bool,
}

impl std::fmt::Debug for SignRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignRequest")
            .field("case", &self.case)
            .field("confirm_incomplete", &self.confirm_incomplete)
            .finish_non_exhaustive()
    }
}

/// A version that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedVersion {
    pub id: ReportVersionId,
    pub case: CaseId,
    /// Versions of a case are numbered from 1.
    pub number: i64,
    pub signed_at: Timestamp,
    pub structured_report: SopInstanceUid,
    pub pdf: SopInstanceUid,
}

/// How the attempt to store a version ended.
enum Stored {
    Committed,
    /// Images came or went since the files were frozen.
    Changed,
}

/// A version that the transaction did not store.
enum Unstored {
    Certainly(ReportError),
    /// The database may have done it and only its answer be lost: the blobs stay.
    Perhaps(DatabaseError),
}

impl Reports {
    /// Signs the draft of a claimed case: freezes and stores the version, completes the workitem and starts its return, or does nothing at all. A repeated
    /// request under the same claim gives the version that the first one made.
    ///
    /// # Errors
    /// Whatever [`ReportError`] names; all but [`ReportError::OutcomeUnknown`] leave the case as it was. Refusals are audited.
    pub async fn sign(&self, actor: &Actor, request: SignRequest) -> Result<SignedVersion, ReportError> {
        let mut result = self.try_sign(actor, &request).await;
        // Of two requests at once under one claim, the slower one finds the workitem completed by the other.
        if let (Err(ReportError::ClaimLost), Some(reader)) = (&result, actor.account())
            && let Ok(Some(version)) = self.signed_under(&request, reader).await
        {
            result = Ok(version);
        }
        if let Err(error) = &result {
            tracing::warn!(case.id = %request.case, actor = actor.label(), error = error.chain(), "report not signed");
            self.audit_refusal(actor, "report.sign", request.case, error).await;
        }
        result
    }

    async fn try_sign(&self, actor: &Actor, request: &SignRequest) -> Result<SignedVersion, ReportError> {
        let reader = self.reader_of(actor, request.case).await?;
        if let Some(version) = self.signed_under(request, reader).await? {
            return Ok(version);
        }
        let mut key: Option<Arc<dyn ReportSigner>> = None;
        for _ in 0..ROUNDS {
            let facts = Arc::new(self.load_checked(actor, request, reader).await?);
            let predecessor = self.predecessor(&facts).await?;
            let identity = Identity::new(&self.ambient, &facts, predecessor, &self.settings);
            // Before the key: a page that cannot be printed must not use up the reader's code.
            let frozen = freeze::freeze(&facts, &identity, &self.settings, &self.printing).await?;
            let signer = match &key {
                Some(signer) => Arc::clone(signer),
                None => self.keys.unlock(reader, &request.password, &request.code, &request.address).await?,
            };
            key = Some(Arc::clone(&signer));
            let prepared = self.prepare(facts, identity, frozen, &*signer)?;
            match self.store(actor, request, reader, &prepared).await? {
                Stored::Committed => return Ok(prepared.signed()),
                Stored::Changed => {
                    tracing::info!(case.id = %request.case, "images arrived while the report was being signed; freezing anew")
                }
            }
        }
        Err(ReportError::ImagesKeptArriving)
    }

    /// Only a reader signs; what claim they hold is checked with the facts.
    async fn reader_of<'a>(&self, actor: &'a Actor, case: CaseId) -> Result<&'a AccountId, ReportError> {
        if let Actor::Account { id, role: Role::Reader, .. } = actor {
            return Ok(id);
        }
        let head = self.database.read().await?.case_head(case).await?.ok_or(ReportError::NotFound)?;
        can(actor, Action::SignReport, Resource::Case { facility: &head.facility, claimed_by: None })?;
        // Whoever may and is no reader has no certificate either.
        Err(ReportError::CannotUnlock(dokuei_access::SignInError::NoCertificate))
    }

    async fn signed_under(
        &self,
        request: &SignRequest,
        reader: &AccountId,
    ) -> Result<Option<SignedVersion>, ReportError> {
        let mut read = self.database.read().await?;
        let Some(version) = read.report_version_signed_under(request.case, reader, &request.transaction_uid).await?
        else {
            return Ok(None);
        };
        let files = read.report_files(version.id).await?;
        signed_version(&version, &files).map(Some)
    }

    async fn load_checked(
        &self,
        actor: &Actor,
        request: &SignRequest,
        reader: &AccountId,
    ) -> Result<CaseFacts, ReportError> {
        let facts =
            CaseFacts::load(&mut self.database.read().await?, request.case, reader, &request.transaction_uid).await?;
        can(actor, Action::SignReport, Resource::Case { facility: &facts.head.facility, claimed_by: Some(reader) })?;
        if request.draft_version.is_some_and(|version| version != facts.draft.version) {
            return Err(ReportError::Conflict { stored: Box::new(Draft::from(facts.draft)) });
        }
        let draft = &facts.draft;
        let texts = ReportTexts {
            findings: &draft.findings,
            impression: &draft.impression,
            recommendation: &draft.recommendation,
        };
        check_texts(texts, self.settings.max_text_bytes)?;
        if draft.findings.trim().is_empty() && draft.impression.trim().is_empty() {
            return Err(ReportError::Empty);
        }
        if facts.instance_count() == 0 {
            return Err(ReportError::NoImages);
        }
        match facts.missing() {
            Some((received, expected)) if !request.confirm_incomplete => {
                Err(ReportError::IncompleteNotConfirmed { received, expected })
            }
            _ => Ok(facts),
        }
    }

    /// The structured report that the new version succeeds, as its own manifest names it.
    async fn predecessor(&self, facts: &CaseFacts) -> Result<Option<Predecessor>, ReportError> {
        let Some(last) = &facts.last else { return Ok(None) };
        let key = BlobKey::report_file(&last.facility, last.id, ReportFile::Manifest);
        let bytes = self.store.read_to_vec(&key, manifest::LONGEST_MANIFEST).await?;
        if sha256(&bytes) != last.manifest_sha256 {
            return Err(ReportError::Damaged { kind: ReportFileKind::Manifest });
        }
        let manifest = Manifest::parse(&bytes)?;
        let damaged = || ReportError::Damaged { kind: ReportFileKind::Manifest };
        let file = manifest.file(ReportFileKind::StructuredReport).ok_or_else(damaged)?;
        let study = manifest.evidence.studies.first().ok_or_else(damaged)?;
        Ok(Some(Predecessor {
            version: last.id,
            study: study.study.clone(),
            series: file.series.clone(),
            sop_class: file.sop_class.clone(),
            sop_instance: file.sop_instance.clone(),
        }))
    }

    /// Makes the blobs durable and the version visible. When it certainly is not, its blobs are removed.
    async fn store(
        &self,
        actor: &Actor,
        request: &SignRequest,
        reader: &AccountId,
        prepared: &Prepared,
    ) -> Result<Stored, ReportError> {
        if let Err(error) = self.put_blobs(prepared).await {
            self.remove_blobs(prepared).await;
            return Err(error);
        }
        let mut stored = self.write_and_commit(actor, request, reader, prepared).await;
        if let Err(Unstored::Certainly(ReportError::Database(error))) = &stored
            && error.kind == DatabaseErrorKind::Busy
        {
            // A deadlock, say. Once more with the same files and key: the reader's code is spent, and a new one takes half a minute.
            tracing::warn!(error = error.chain(), report.version = %prepared.identity.version, "storing the report once more");
            stored = self.write_and_commit(actor, request, reader, prepared).await;
        }
        match stored {
            Ok(Stored::Committed) => {
                let (case, version) = (request.case, prepared.identity.version);
                tracing::info!(case.id = %case, report.version = %version, report.number = prepared.identity.number, "report signed");
                Ok(Stored::Committed)
            }
            Ok(Stored::Changed) => {
                self.remove_blobs(prepared).await;
                Ok(Stored::Changed)
            }
            Err(Unstored::Certainly(error)) => {
                self.remove_blobs(prepared).await;
                Err(error)
            }
            Err(Unstored::Perhaps(error)) => self.after_lost_commit(prepared, error).await,
        }
    }

    /// One transaction, of which nothing stays unless it is committed.
    async fn write_and_commit(
        &self,
        actor: &Actor,
        request: &SignRequest,
        reader: &AccountId,
        prepared: &Prepared,
    ) -> Result<Stored, Unstored> {
        let mut tx = self.database.write().await.map_err(|error| Unstored::Certainly(error.into()))?;
        match self.write_version(&mut tx, actor, request, reader, prepared).await.map_err(Unstored::Certainly)? {
            Stored::Committed => {}
            Stored::Changed => return Ok(Stored::Changed),
        }
        match tx.commit().await {
            Ok(()) => Ok(Stored::Committed),
            // Said by the database itself: it has rolled back.
            Err(error) if error.kind == DatabaseErrorKind::Busy => Err(Unstored::Certainly(error.into())),
            Err(error) => Err(Unstored::Perhaps(error)),
        }
    }

    async fn after_lost_commit(&self, prepared: &Prepared, error: DatabaseError) -> Result<Stored, ReportError> {
        tracing::error!(error = error.chain(), report.version = %prepared.identity.version, "the end of signing was not confirmed");
        let found = async { self.database.read().await?.report_version_find(prepared.identity.version, None).await };
        match found.await {
            Ok(Some(_)) => Ok(Stored::Committed),
            Ok(None) | Err(_) => Err(ReportError::OutcomeUnknown(error)),
        }
    }

    async fn put_blobs(&self, prepared: &Prepared) -> Result<(), ReportError> {
        for (kind, bytes) in prepared.blobs() {
            self.store.put(prepared.key(kind), bytes).await?;
        }
        Ok(())
    }

    /// Best effort: what stays is harmless. Nothing is removed of a version that has a row, whoever wrote it.
    async fn remove_blobs(&self, prepared: &Prepared) {
        let known = async { self.database.read().await?.report_version_find(prepared.identity.version, None).await };
        if !matches!(known.await, Ok(None)) {
            tracing::warn!(report.version = %prepared.identity.version, "the files of a report that was not signed stay in the store");
            return;
        }
        for (kind, _) in prepared.blobs() {
            if let Err(error) = self.store.delete(&prepared.key(kind)).await {
                tracing::warn!(
                    error = with_causes(&error),
                    "a file of a report that was not signed stays in the store"
                );
            }
        }
    }

    async fn write_version(
        &self,
        tx: &mut WriteTx,
        actor: &Actor,
        request: &SignRequest,
        reader: &AccountId,
        prepared: &Prepared,
    ) -> Result<Stored, ReportError> {
        let (facts, identity, now) = (&prepared.facts, &prepared.identity, self.ambient.now());
        if !unchanged(tx, facts).await? {
            return Ok(Stored::Changed);
        }
        // The fence: nobody else completes this workitem, and nobody without the claim's Transaction UID.
        let completed = tx.workitem_complete(request.case, reader, &request.transaction_uid, now).await?;
        if completed.as_deref() != Some(facts.workitem.as_str()) {
            return Err(ReportError::ClaimLost);
        }
        let last = tx.report_version_last(request.case).await?.map_or(0, |last| last.number);
        if last + 1 != i64::from(identity.number) {
            return Ok(Stored::Changed);
        }
        tx.report_version_insert(&prepared.row()).await?;
        for (kind, bytes) in prepared.blobs() {
            tx.report_file_insert(identity.version, &prepared.file_row(kind, &bytes)).await?;
        }
        let targets = tx.return_target_list(&facts.facility.id).await?;
        for target in &targets {
            let delivery = DeliveryId(self.ambient.new_uuid());
            tx.delivery_insert(delivery, identity.version, &facts.facility.id, target.id, now).await?;
            tx.job_enqueue(delivery_job(JobId(self.ambient.new_uuid()), delivery, now, now)).await?;
        }
        let event = Event::ReportSigned { report_version: identity.version, case: request.case };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(identity.version)).await?;
        tx.audit(
            AuditEvent::new(now, actor, "report.sign", AuditOutcome::Success)
                .facility(&facts.facility.id)
                .subject(identity.version)
                .detail(prepared.audit_detail(request.case, targets.len())),
        );
        Ok(Stored::Committed)
    }
}

/// Takes the rows of the studies and of the case, and compares what was frozen with what is there now.
async fn unchanged(tx: &mut WriteTx, facts: &CaseFacts) -> Result<bool, ReportError> {
    let frozen = facts.fingerprints();
    for study in &frozen {
        tx.case_study_lock(study.study).await?;
    }
    tx.case_lock(facts.head.id).await?;
    let head = tx.case_head(facts.head.id).await?.ok_or(ReportError::NotFound)?;
    if head.withdrawn_at.is_some() {
        return Err(ReportError::Withdrawn);
    }
    let mut found = Vec::new();
    for study in tx.report_case_studies(facts.head.id).await? {
        let row = tx.study_by_pk(study).await?.ok_or(ReportError::NotFound)?;
        if row.state == StudyState::Withdrawn {
            return Err(ReportError::Withdrawn);
        }
        found.push(StudyFingerprint::of(&row));
    }
    let draft = tx.draft_find(facts.head.id).await?.ok_or(ReportError::Empty)?;
    if draft.version != facts.draft.version {
        return Err(ReportError::Conflict { stored: Box::new(Draft::from(draft)) });
    }
    Ok(found == frozen)
}

fn signed_version(version: &ReportVersionRow, files: &[ReportFileRow]) -> Result<SignedVersion, ReportError> {
    let object = |kind: ReportFileKind| {
        let file = files.iter().find(|file| file.kind == kind);
        file.and_then(|file| file.object.as_ref()).map(|(_, uid)| uid.clone()).ok_or(ReportError::Damaged { kind })
    };
    Ok(SignedVersion {
        id: version.id,
        case: version.case,
        number: version.number,
        signed_at: version.signed_at,
        structured_report: object(ReportFileKind::StructuredReport)?,
        pdf: object(ReportFileKind::EncapsulatedPdf)?,
    })
}
