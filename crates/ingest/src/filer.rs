//! Carries decisions out: one look-up, one insert and its share of the counters for each further object of a known series.
//!
//! Several nodes file at once on PostgreSQL. Unique constraints decide who was first; who was not drops the transaction, looks again and decides again, so
//! that nothing half-decided is left behind.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use dokuei_database::{
    AuditEvent, AuditOutcome, Database, DatabaseError, FilingContext, FilingKey, FurtherInstance, NewInstance,
    NewQuarantinedObject, NewStudyHold, QuarantineInsertion, StudyReceived, StudyState, WriteTx,
};
use dokuei_domain::{Actor, Ambient, JobId, PatientPk, SeriesPk, StudyPk, Timestamp, patient::PatientIdentity};

use crate::{
    QuarantineReason,
    committer::settle_job,
    filing::{Candidate, Decision, Filed, Visibility, decide},
    identity::Difference,
};

/// Attempts at one group when other nodes are faster.
const ATTEMPTS: usize = 5;
/// Studies whose settle job is remembered to be waiting.
const MOST_ARMED: usize = 10_000;

/// Files durable blobs.
pub(crate) struct Filer {
    pub(crate) database: Database,
    pub(crate) ambient: Ambient,
    quiet_seconds: i64,
    /// When the settle job that this process enqueued for a study is due. While it waits, more images need no second one: it looks at the last of them.
    armed: Mutex<HashMap<StudyPk, Timestamp>>,
}

/// What one transaction adds, counted once for each study and series at its end, in the order of their keys: two nodes that wait for each other's rows
/// would otherwise do so in a circle.
#[derive(Default)]
struct Added {
    studies: BTreeMap<StudyPk, AddedToStudy>,
}

#[derive(Default)]
struct AddedToStudy {
    received: StudyReceived,
    series: BTreeMap<SeriesPk, i64>,
    /// The study had settled, or is new: a job must wait for it.
    arm: bool,
    /// Sent before as a prior, now to be read.
    reopen: bool,
    /// Something came that is hidden: whether anything is left to be seen must be counted.
    hidden: Option<String>,
}

impl Filer {
    pub(crate) fn new(database: Database, ambient: Ambient, quiet_seconds: i64) -> Self {
        Self { database, ambient, quiet_seconds, armed: Mutex::default() }
    }

    /// Files those that are plainly further images of known series: `None` for the others.
    pub(crate) async fn file_further(&self, candidates: &[Candidate]) -> Result<Vec<Option<Filed>>, DatabaseError> {
        let identities: Vec<_> = candidates.iter().map(Candidate::identity).collect();
        let further: Vec<_> = candidates
            .iter()
            .zip(&identities)
            .filter_map(|(candidate, identity)| further(candidate, identity))
            .collect();
        if further.is_empty() {
            return Ok(vec![None; candidates.len()]);
        }
        let filed: HashMap<_, _> = self.database.further_instances_file(&further).await?.into_iter().collect();
        let now = self.ambient.now();
        let to_arm: BTreeSet<_> = filed.values().copied().filter(|study| !self.is_armed(*study, now)).collect();
        if !to_arm.is_empty() {
            self.arm(&to_arm, now).await?;
        }
        Ok(candidates
            .iter()
            .map(|candidate| filed.get(&candidate.id).map(|study| Filed::New { study: *study }))
            .collect())
    }

    async fn arm(&self, studies: &BTreeSet<StudyPk>, now: Timestamp) -> Result<(), DatabaseError> {
        let due = now.plus_seconds(self.quiet_seconds);
        let mut tx = self.database.write().await?;
        for study in studies {
            tx.job_enqueue(settle_job(JobId(self.ambient.new_uuid()), *study, now, due)).await?;
        }
        tx.commit().await?;
        self.remember(studies.iter().map(|study| (*study, due)).collect());
        Ok(())
    }

    /// Files the candidates in one transaction; one result for each.
    pub(crate) async fn file_all(&self, candidates: &[Candidate]) -> Result<Vec<Filed>, DatabaseError> {
        for _ in 0..ATTEMPTS {
            let mut tx = self.database.write().await?;
            if let Some(filed) = self.file_all_in(&mut tx, candidates).await? {
                let armed = filed.armed;
                tx.commit().await?;
                self.remember(armed);
                return Ok(filed.outcomes);
            }
        }
        Err(DatabaseError::raced("file a group of objects"))
    }

    /// As [`Self::file_all`], in the caller's transaction. `None`: another node was faster, and the transaction must be dropped.
    pub(crate) async fn file_all_in(
        &self,
        tx: &mut WriteTx,
        candidates: &[Candidate],
    ) -> Result<Option<FiledGroup>, DatabaseError> {
        let mut added = Added::default();
        let mut outcomes = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(outcome) = Box::pin(self.file_one(tx, candidate, &mut added)).await? else { return Ok(None) };
            outcomes.push(outcome);
        }
        let armed = Box::pin(self.count(tx, added)).await?;
        for (candidate, filed) in candidates.iter().zip(&outcomes) {
            if matches!(filed, Filed::New { .. })
                && let Some(note) = &candidate.rejection_note
            {
                Box::pin(self.take_back(tx, candidate, note)).await?;
            }
        }
        Ok(Some(FiledGroup { outcomes, armed }))
    }

    /// `None`: another node was faster.
    async fn file_one(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        added: &mut Added,
    ) -> Result<Option<Filed>, DatabaseError> {
        let (facts, now) = (&candidate.facts, candidate.received_at);
        let facility = &candidate.facility.facility;
        let identity = candidate.identity();
        let key = FilingKey {
            facility,
            sop_instance: &facts.sop_instance,
            study: &facts.study,
            series: &facts.series,
            identity: &identity,
        };
        let mut known = tx.filing_context(key).await?;
        let mut decision = decide(&known, candidate);
        if let Decision::InNewStudy { patient: Some(patient), .. } = decision {
            // Two first studies of one patient must see each other.
            tx.patient_lock(patient).await?;
            known = tx.filing_context(key).await?;
            decision = decide(&known, candidate);
        }
        let (study, series, visibility, series_changed, arm) = match decision {
            Decision::Ours { study } => return Ok(Some(Filed::New { study })),
            Decision::OwnReport => return Ok(Some(Filed::OwnReport)),
            Decision::AlreadyStored { id, study, reopen } => {
                added.studies.entry(study).or_default().reopen |= reopen;
                return Ok(Some(Filed::AlreadyStored { id, study }));
            }
            Decision::Quarantine(reason) => return self.quarantine(tx, candidate, reason).await.map(Some),
            Decision::InSeries { study, series, series_was_empty, visibility } => {
                (study, series, visibility, series_was_empty, settled(&known))
            }
            Decision::InNewSeries { study, visibility } => {
                let series = SeriesPk(self.ambient.new_uuid());
                if !tx.series_insert(series, facility, study, facts).await? {
                    return Ok(None);
                }
                (study, series, visibility, true, settled(&known))
            }
            Decision::InNewStudy { patient, hold, visibility } => {
                let Some(study) = self.begin_study(tx, candidate, patient).await? else { return Ok(None) };
                if let Some(difference) = hold {
                    self.hold(tx, candidate, study, &known, difference).await?;
                }
                let series = SeriesPk(self.ambient.new_uuid());
                if !tx.series_insert(series, facility, study, facts).await? {
                    return Ok(None);
                }
                (study, series, visibility, true, true)
            }
        };
        if !tx.instance_insert(study, series, &new_instance(candidate)).await? {
            return Ok(None);
        }
        let added = added.studies.entry(study).or_default();
        match visibility {
            Visibility::Rejected(code) => {
                tx.instance_reject(candidate.id, &code, now).await?;
                added.hidden = Some(code);
            }
            Visibility::Visible => {
                added.arm |= arm;
                *added.series.entry(series).or_default() += 1;
                let received = &mut added.received;
                received.instances += 1;
                received.last_received_at = received.last_received_at.max(now);
                received.opens_case |= candidate.opens_case;
                received.series_changed |= series_changed;
                if received.body_part.is_empty() {
                    received.body_part.clone_from(&facts.body_part);
                }
            }
        }
        Ok(Some(Filed::New { study }))
    }

    /// Adds the study, and its patient if that is new too. `None`: another node was faster.
    async fn begin_study(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        patient: Option<PatientPk>,
    ) -> Result<Option<StudyPk>, DatabaseError> {
        let (facility, facts, now) = (&candidate.facility.facility, &candidate.facts, candidate.received_at);
        let patient = match patient {
            Some(patient) => patient,
            None => {
                let new = PatientPk(self.ambient.new_uuid());
                let (identity, repaired) = (candidate.identity(), facts.charset_repaired);
                if !tx.patient_insert(new, facility, &identity, &facts.patient, repaired, now).await? {
                    return Ok(None);
                }
                new
            }
        };
        let study = StudyPk(self.ambient.new_uuid());
        let inserted = tx.study_insert(study, facility, patient, facts, candidate.opens_case, now).await?;
        Ok(inserted.then_some(study))
    }

    /// A person must say whether it is the same person. The sender is told success: nothing is wrong with the object.
    async fn hold(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        study: StudyPk,
        known: &FilingContext,
        difference: Difference,
    ) -> Result<(), DatabaseError> {
        let (facility, patient) = (&candidate.facility.facility, &candidate.facts.patient);
        let known_as = |value: fn(&dokuei_database::BirthDateAndSex) -> &String| {
            known.patient_known_as.iter().map(value).find(|value| !value.is_empty()).cloned().unwrap_or_default()
        };
        tx.study_hold_open(&NewStudyHold {
            id: self.ambient.new_uuid(),
            facility,
            study,
            reason: difference.as_str(),
            study_birth_date: &patient.birth_date,
            study_sex: &patient.sex,
            known_birth_date: &known_as(|known| &known.birth_date),
            known_sex: &known_as(|known| &known.sex),
            opened_at: candidate.received_at,
        })
        .await?;
        let event =
            AuditEvent::new(self.ambient.now(), &Actor::System("identity"), "study.hold", AuditOutcome::Success);
        tx.audit(event.facility(facility).subject(&candidate.facts.study).detail(difference.as_str()));
        tracing::warn!(study.uid = %candidate.facts.study, facility.id = %facility, reason = difference.as_str(), "study held for the office");
        Ok(())
    }

    /// Writes the counters; gives the studies for which a settle job was enqueued, with its time.
    async fn count(&self, tx: &mut WriteTx, added: Added) -> Result<Vec<(StudyPk, Timestamp)>, DatabaseError> {
        let now = self.ambient.now();
        let due = now.plus_seconds(self.quiet_seconds);
        let mut armed = Vec::new();
        for (study, added) in added.studies {
            let reopened = added.reopen && tx.study_reopen_for_reading(study).await?;
            if added.received.instances > 0 {
                tx.study_received_all(study, &added.received, &added.series).await?;
            }
            if let Some(code) = &added.hidden {
                self.hide_if_empty(tx, study, code).await?;
            }
            let received = added.received.instances > 0 && (added.arm || !self.is_armed(study, now));
            if reopened || received {
                tx.job_enqueue(settle_job(JobId(self.ambient.new_uuid()), study, now, due)).await?;
                armed.push((study, due));
            }
        }
        Ok(armed)
    }

    async fn quarantine(
        &self,
        tx: &mut WriteTx,
        candidate: &Candidate,
        reason: QuarantineReason,
    ) -> Result<Filed, DatabaseError> {
        let facts = &candidate.facts;
        let object = NewQuarantinedObject {
            id: candidate.id.0,
            facility: &candidate.facility.facility,
            sop_instance: facts.sop_instance.as_str(),
            study: facts.study.as_str(),
            reason: reason.as_str(),
            detail: reason.sentence(),
            blob_key: candidate.blob_key.as_str(),
            size_bytes: candidate.size_bytes,
            dataset_sha256: candidate.dataset_sha256,
            calling_aet: &candidate.calling,
            received_at: candidate.received_at,
        };
        Ok(match tx.quarantine_insert(&object).await? {
            QuarantineInsertion::Added | QuarantineInsertion::Ours => Filed::Quarantined(reason),
            QuarantineInsertion::SameContentKnown => Filed::AlreadyQuarantined(reason),
        })
    }

    fn is_armed(&self, study: StudyPk, now: Timestamp) -> bool {
        self.lock_armed().get(&study).is_some_and(|due| *due > now)
    }

    /// After the commit only: a job of a transaction that came to nothing does not wait.
    pub(crate) fn remember(&self, armed: Vec<(StudyPk, Timestamp)>) {
        if armed.is_empty() {
            return;
        }
        let mut known = self.lock_armed();
        if known.len() + armed.len() > MOST_ARMED {
            let now = self.ambient.now();
            known.retain(|_, due| *due > now);
        }
        if known.len() + armed.len() <= MOST_ARMED {
            known.extend(armed);
        }
    }

    /// The study's job runs now: the next image needs one of its own.
    pub(crate) fn disarm(&self, study: StudyPk) {
        self.lock_armed().remove(&study);
    }

    fn lock_armed(&self) -> std::sync::MutexGuard<'_, HashMap<StudyPk, Timestamp>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of one transaction, before its commit.
pub(crate) struct FiledGroup {
    pub(crate) outcomes: Vec<Filed>,
    /// For [`Filer::remember`].
    pub(crate) armed: Vec<(StudyPk, Timestamp)>,
}

/// The candidate as one that may need no decision; `None` when it needs one for what it is itself.
fn further<'a>(candidate: &'a Candidate, identity: &'a PatientIdentity) -> Option<FurtherInstance<'a>> {
    let PatientIdentity::Established { issuer, id } = identity else { return None };
    let plain = candidate.rejection_note.is_none() && !candidate.released;
    plain.then(|| FurtherInstance {
        instance: new_instance(candidate),
        issuer,
        patient_id: id,
        opens_case: candidate.opens_case,
    })
}

fn new_instance(candidate: &Candidate) -> NewInstance<'_> {
    NewInstance {
        id: candidate.id,
        facility: &candidate.facility.facility,
        facts: &candidate.facts,
        blob_key: candidate.blob_key.as_str(),
        size_bytes: candidate.size_bytes,
        dataset_offset: candidate.dataset_offset,
        dataset_sha256: candidate.dataset_sha256,
        calling_aet: &candidate.calling,
        received_at: candidate.received_at,
    }
}

/// An image to a settled or withdrawn study begins a reception of its own.
fn settled(known: &FilingContext) -> bool {
    known.study.as_ref().is_none_or(|study| study.state != StudyState::Receiving)
}
