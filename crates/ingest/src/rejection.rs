//! IOCM rejection notes (IHE RAD TF-3 4.66): what they name is hidden at every door, whether it came before the note or comes after it.
//!
//! A note takes back instances of its own facility only, and only in the study under which it names them. The note itself is kept and hidden too: it is no
//! image. A study of which nothing is left is treated as withdrawn until an image comes that no note names.

use std::{collections::BTreeMap, sync::Arc};

use dokuei_database::{AuditEvent, AuditOutcome, DatabaseError, NewJob, WriteTx};
use dokuei_dataset::{RejectionNote, RejectionNoteReader, RejectionTitle};
use dokuei_domain::{Actor, JobId, StudyPk, event::Event};
use dokuei_jobs::Periodic;

use crate::{Ingest, filer::Filer, filing::Candidate, incoming::with_causes};

impl Filer {
    /// Hides what the note names, as far as it is there, and remembers the rest.
    pub(crate) async fn take_back(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        note: &RejectionNote,
    ) -> Result<(), DatabaseError> {
        let (facility, note_uid, now) =
            (&candidate.facility.facility, &candidate.facts.sop_instance, candidate.received_at);
        let named: Vec<_> = note
            .references
            .iter()
            .map(|reference| (reference.study.as_str(), reference.sop_instance.as_str()))
            .collect();
        tx.rejections_insert(facility, note_uid, note.title.code(), &named, now).await?;
        let studies = tx.rejections_apply(facility, note_uid, note.title.code(), now).await?;
        let hidden: usize = studies.values().sum();
        let event = AuditEvent::new(
            self.ambient.now(),
            &Actor::System("rejection_note"),
            "instance.reject",
            AuditOutcome::Success,
        );
        tx.audit(event.facility(facility).subject(note_uid).detail(format!(
            "{} {}: {} named, {hidden} hidden now",
            note.title.code(),
            note.title.meaning(),
            named.len()
        )));
        for study in studies.into_keys() {
            self.hide_if_empty(tx, study, note.title.code()).await?;
        }
        Ok(())
    }

    /// Counts what may still be seen of the study; if that is nothing, the study is withdrawn and `worklist` told.
    pub(crate) async fn hide_if_empty(
        &self,
        tx: &mut WriteTx,
        study: StudyPk,
        code: &str,
    ) -> Result<(), DatabaseError> {
        tx.study_recount(study).await?;
        let now = self.ambient.now();
        let meaning = RejectionTitle::from_code(code).map_or("rejected", RejectionTitle::meaning);
        if !tx.study_reject_entirely(study, &format!("IOCM {code} {meaning}"), now).await? {
            return Ok(());
        }
        let Some(row) = tx.study_by_pk(study).await? else { return Ok(()) };
        let event = Event::StudyWithdrawn { study, facility: row.facility.clone() };
        tx.job_enqueue(NewJob::event(JobId(self.ambient.new_uuid()), &event, now).dedup(study)).await?;
        let audit = AuditEvent::new(now, &Actor::System("rejection_note"), "study.withdraw", AuditOutcome::Success);
        tx.audit(
            audit
                .facility(&row.facility)
                .subject(&row.uid)
                .detail(format!("every instance is rejected: {code} {meaning}")),
        );
        Ok(())
    }
}

/// The note that an object is, if it is one. One that cannot be read is stored like any object and takes nothing back; the log says why.
pub(crate) fn read(reader: RejectionNoteReader) -> Option<RejectionNote> {
    match reader.finish() {
        Ok(note) => note,
        Err(error) => {
            tracing::error!(
                error = with_causes(&error),
                "a key object selection cannot be read; if it rejects instances, they are not hidden"
            );
            None
        }
    }
}

/// Hides what slipped through: on PostgreSQL one node may file an image in the moment in which another files the note that names it.
pub(crate) struct RejectionReconciler(pub(crate) Arc<Ingest>);

#[async_trait::async_trait]
impl Periodic for RejectionReconciler {
    fn name(&self) -> &'static str {
        "rejections"
    }

    fn every_seconds(&self) -> i64 {
        60
    }

    async fn run(&self) -> Result<(), String> {
        let ingest = &self.0;
        let missed = async {
            let since = ingest.ambient.now().plus_seconds(-24 * 3600);
            let missed = ingest.database.read().await?.rejections_missed(since).await?;
            if missed.is_empty() {
                return Ok(());
            }
            tracing::warn!(instances = missed.len(), "instances named by rejection notes are hidden late");
            let mut tx = ingest.database.write().await?;
            for rejection in &missed {
                tx.instance_reject(rejection.instance, &rejection.code, ingest.ambient.now()).await?;
            }
            let studies: BTreeMap<_, _> = missed.iter().map(|rejection| (rejection.study, &rejection.code)).collect();
            for (study, code) in studies {
                ingest.filer.hide_if_empty(&mut tx, study, code).await?;
            }
            tx.commit().await
        };
        missed.await.map_err(|error: DatabaseError| error.chain())
    }
}
