//! Index and store compared, both ways.
//!
//! Both are walked in the order of arrival, a window of the index at a time: what the store has and the window lacks is handed to adoption, what the window
//! has and the store lacks is a damage. At start and every ten minutes only what came since shortly before the last comparison; the whole every few days,
//! and when there never was one. Blobs of the last minutes are left alone: their filing may be in flight.
//!
//! Signed reports that the index lacks are only counted: putting them back needs their cases, which is `dokuei rebuild-index`'s work.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dokuei_database::{BlobPlace, DamageKind};
use dokuei_domain::{Actor, FacilityId, Timestamp};
use dokuei_image_store::{BlobKey, BlobKeyParts, ReportFile};
use dokuei_jobs::Periodic;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AdoptionWalk, Custody, CustodyError, Damage, NotAdoptable, first_uuid_at, made_at, pace::Pace, turn::Turn,
};

pub(super) const TASK: &str = "reconcile";
const WHO: Actor = Actor::System("reconcile");

/// Rows of the index that are compared at once: what bounds the memory, some two megabytes.
const WINDOW: u32 = 20_000;
/// Filing takes seconds; a large object from a slow sender takes this long at most from its first byte to its row, or it is adopted and filed once all the same.
const GRACE_SECONDS: i64 = 300;
/// How far a comparison reaches back before the end of the last one.
const OVERLAP_SECONDS: i64 = 600;
const EVERY_SECONDS: i64 = 600;
/// So many rows without a single blob are a wrong store and not a damaged one.
const SUSPICIOUS: usize = 100;

/// What a comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileSummary {
    /// Rows whose blob was looked for.
    pub compared: u64,
    /// Blobs that became part of the index.
    pub adopted: u64,
    /// Blobs that the index lacks and that could not become part of it.
    pub not_adopted: u64,
    /// Rows whose blob is missing or has another size.
    pub damaged: u64,
    /// Versions of reports that were signed and that the index does not know.
    pub unindexed_reports: u64,
}

/// The state of the walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ReconcileProgress {
    /// Everything that arrived before was compared.
    pub(super) complete_until: Option<Timestamp>,
    pub(super) last: ReconcileSummary,
    /// A comparison of the whole is under way and has come this far.
    pub(super) full_after: Option<Uuid>,
    pub(super) full_began_at: Option<Timestamp>,
    pub(super) full_finished_at: Option<Timestamp>,
    pub(super) full: ReconcileSummary,
}

/// The walk at start and on its timer.
pub(super) struct Reconciler {
    custody: Arc<Custody>,
    at_start: AtomicBool,
}

impl Reconciler {
    pub(super) fn new(custody: Arc<Custody>) -> Self {
        Self { custody, at_start: AtomicBool::new(true) }
    }
}

#[async_trait::async_trait]
impl Periodic for Reconciler {
    fn name(&self) -> &'static str {
        TASK
    }

    fn every_seconds(&self) -> i64 {
        EVERY_SECONDS
    }

    async fn run(&self) -> Result<(), String> {
        let at_start = self.at_start.load(Ordering::Relaxed);
        self.custody.reconcile_turn(at_start).await.map_err(|error| error.chain())?;
        self.at_start.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Custody {
    async fn reconcile_turn(&self, at_start: bool) -> Result<(), CustodyError> {
        let Some(mut turn) = Turn::<ReconcileProgress>::take(self, TASK).await? else { return Ok(()) };
        let walked = self.reconcile_steps(&mut turn, at_start).await;
        turn.end(walked).await
    }

    async fn reconcile_steps(
        &self,
        turn: &mut Turn<'_, ReconcileProgress>,
        at_start: bool,
    ) -> Result<bool, CustodyError> {
        let now = self.ambient.now();
        // What was begun before this process is in nobody's hands, if nobody else files.
        let until =
            if at_start && self.settings.only_node { self.started_at } else { now.plus_seconds(-GRACE_SECONDS) };
        if let Some(complete) = turn.progress.complete_until {
            let since = complete.plus_seconds(-OVERLAP_SECONDS);
            let mut found = self.compare(Some(since), first_uuid_at(since), first_uuid_at(until), &mut None).await?;
            if at_start {
                found.unindexed_reports = self.unindexed_reports(until).await?;
            } else {
                found.unindexed_reports = turn.progress.last.unindexed_reports;
            }
            turn.progress.last = found;
            turn.progress.complete_until = Some(complete.max(until));
            if !turn.keep().await? {
                return Ok(false);
            }
        }
        let every = i64::from(self.settings.reconcile_full_days.max(1)) * 24 * 3600;
        let due = turn.progress.full_finished_at.is_none_or(|at| now.seconds_since(at) >= every);
        if turn.progress.full_after.is_none() {
            if !due {
                return Ok(true);
            }
            turn.progress.full_after = Some(Uuid::nil());
            turn.progress.full_began_at = Some(now);
            turn.progress.full = ReconcileSummary::default();
        }
        let after = turn.progress.full_after.unwrap_or_default();
        let mut held = Some(turn);
        self.compare(None, after, first_uuid_at(until), &mut held).await?;
        let Some(turn) = held else { return Ok(false) };
        turn.progress.full.unindexed_reports = self.unindexed_reports(until).await?;
        turn.progress.last.unindexed_reports = turn.progress.full.unindexed_reports;
        turn.progress.full_after = None;
        turn.progress.full_finished_at = Some(self.ambient.now());
        turn.progress.complete_until = Some(turn.progress.complete_until.map_or(until, |at| at.max(until)));
        tracing::info!(
            compared = turn.progress.full.compared,
            adopted = turn.progress.full.adopted,
            damaged = turn.progress.full.damaged,
            "index and store were compared as a whole"
        );
        Ok(true)
    }

    /// Compares everything now, beside the walk and without touching its place.
    pub async fn reconcile_everything(&self) -> Result<ReconcileSummary, CustodyError> {
        let until = self.ambient.now().plus_seconds(-GRACE_SECONDS);
        let mut found = self.compare(None, Uuid::nil(), first_uuid_at(until), &mut None).await?;
        found.unindexed_reports = self.unindexed_reports(until).await?;
        Ok(found)
    }

    /// Compares what arrived between `after` and `before`. With a turn, records how far it came; `None` is left there when the turn was lost.
    async fn compare(
        &self,
        since: Option<Timestamp>,
        after: Uuid,
        before: Uuid,
        turn: &mut Option<&mut Turn<'_, ReconcileProgress>>,
    ) -> Result<ReconcileSummary, CustodyError> {
        let mut total = ReconcileSummary::default();
        let mut adoption = self.unindexed.begin(since).await.map_err(CustodyError::Adoption)?;
        let facilities = self.facilities_in_store().await?;
        let (pace, mut after) = (self.pace(), after);
        loop {
            let (rows, more) = self.database.read().await?.custody_window(after, before, WINDOW).await?;
            let end = rows.last().filter(|_| more).map(|(id, ..)| *id);
            let mut found = ReconcileSummary { compared: rows.len() as u64, ..ReconcileSummary::default() };
            let mut window: HashMap<Uuid, (String, i64)> =
                rows.into_iter().map(|(id, key, size)| (id, (key, size))).collect();
            let rows = window.len();
            for facility in &facilities {
                let range = Range { facility, after, end, before };
                self.compare_facility(&range, &mut window, adoption.as_mut(), &pace, &mut found).await?;
            }
            // The store does not have these, as far as its list says.
            if rows >= SUSPICIOUS && window.len() == rows {
                let around = made_at(after).max(made_at(end.unwrap_or(before))).to_jiff().to_string();
                return Err(CustodyError::WrongStore { rows, around });
            }
            self.missing(window, &mut found).await?;
            total.add(found);
            if let Some(held) = turn.as_deref_mut() {
                held.progress.full.add(found);
                held.progress.full_after = Some(end.unwrap_or(after));
                if !held.keep().await? {
                    *turn = None;
                    return Ok(total);
                }
            }
            match end {
                Some(end) => after = end,
                None => break,
            }
        }
        let (adopted, refused) = adoption.finish().await.map_err(CustodyError::Adoption)?;
        let mut found = ReconcileSummary { adopted, ..ReconcileSummary::default() };
        self.not_adopted(refused, &mut found).await?;
        if let Some(held) = turn {
            held.progress.full.add(found);
        }
        total.add(found);
        if total.adopted > 0 {
            tracing::warn!(adopted = total.adopted, "stored objects that the index had lost are part of it again");
        }
        Ok(total)
    }

    async fn compare_facility(
        &self,
        range: &Range<'_>,
        window: &mut HashMap<Uuid, (String, i64)>,
        adoption: &mut dyn AdoptionWalk,
        pace: &Pace,
        found: &mut ReconcileSummary,
    ) -> Result<(), CustodyError> {
        let prefix = format!("v1/{}/", range.facility);
        let mut list = self.store.list_after(&prefix, &format!("{prefix}{}", range.after.hyphenated()));
        while let Some((key, size)) = list.next().await.map_err(CustodyError::Store)? {
            let BlobKeyParts::Instance { blob, .. } = key.parts() else { continue };
            if range.is_behind(blob.0) {
                break;
            }
            match window.get(&blob.0) {
                Some((known, stored)) if known == key.as_str() => {
                    if u64::try_from(*stored).is_ok_and(|stored| stored == size) {
                        window.remove(&blob.0);
                    }
                }
                // Facilities do not share identifiers; a blob under another's key is nobody's row.
                _ => {
                    let refused = adoption.take(&key, size).await.map_err(CustodyError::Adoption)?;
                    pace.spent(size).await;
                    self.not_adopted(refused, found).await?;
                }
            }
        }
        Ok(())
    }

    /// Rows whose blob the list did not show, or showed with another size: looked at one by one before anything is said.
    async fn missing(
        &self,
        window: HashMap<Uuid, (String, i64)>,
        found: &mut ReconcileSummary,
    ) -> Result<(), CustodyError> {
        for (key, _) in window.into_values() {
            let Ok(key) = BlobKey::parse(&key) else { continue };
            let mut tx = self.database.read().await?;
            let Some(blob) = tx.custody_blob(key.as_str()).await? else { continue };
            drop(tx);
            let wanted = u64::try_from(blob.size_bytes).unwrap_or(0);
            let (kind, detail) = match self.store.open(&key).await {
                Ok(reader) if reader.size() == wanted => continue,
                Ok(reader) => {
                    (DamageKind::Altered, format!("the blob has {} bytes, it should have {wanted}", reader.size()))
                }
                Err(error) => {
                    let fault = super::examine::blame(&self.store, error).await.map_err(CustodyError::Store)?;
                    (fault.kind, fault.detail)
                }
            };
            found.damaged += 1;
            let fault = super::examine::Fault::new(kind, None, detail);
            let mut tx = self.database.write().await?;
            self.report(&mut tx, &WHO, &Damage::of(&blob, &key, BlobPlace::Store, fault)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn not_adopted(&self, refused: Vec<NotAdoptable>, found: &mut ReconcileSummary) -> Result<(), CustodyError> {
        if refused.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.write().await?;
        for NotAdoptable { key, reason } in refused {
            found.not_adopted += 1;
            let damage = Damage {
                key: &key,
                place: BlobPlace::Store,
                kind: DamageKind::NotAdopted,
                subject: "",
                expected: None,
                found: None,
                detail: reason,
            };
            self.report(&mut tx, &WHO, &damage).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Leaps from facility to facility: two looks into the store for each.
    async fn facilities_in_store(&self) -> Result<Vec<FacilityId>, CustodyError> {
        let (mut facilities, mut after) = (Vec::new(), "v1/".to_owned());
        while let Some((key, _)) = self.store.list_after("v1/", &after).next().await.map_err(CustodyError::Store)? {
            // '0' is the sign after '/': behind every blob of this facility, and before those of the next.
            after = format!("v1/{}0", key.facility());
            facilities.push(key.facility().clone());
        }
        Ok(facilities)
    }

    /// Versions whose signature lies in the store and that the index does not know, begun before `until`.
    async fn unindexed_reports(&self, until: Timestamp) -> Result<u64, CustodyError> {
        let (mut list, mut unknown) = (self.store.list("reports/v1/"), 0);
        while let Some((key, _)) = list.next().await.map_err(CustodyError::Store)? {
            let BlobKeyParts::ReportFile { version, file: ReportFile::Signature, .. } = key.parts() else { continue };
            if version.0 < first_uuid_at(until) && !self.database.read().await?.custody_report_known(version.0).await? {
                unknown += 1;
            }
        }
        if unknown > 0 {
            tracing::warn!(
                reports = unknown,
                "signed reports in the store are not in the index; run `dokuei rebuild-index`"
            );
        }
        Ok(unknown)
    }
}

/// A part of one facility's blobs.
struct Range<'a> {
    facility: &'a FacilityId,
    after: Uuid,
    /// The last identifier of the window, if the index goes on behind it.
    end: Option<Uuid>,
    before: Uuid,
}

impl Range<'_> {
    fn is_behind(&self, id: Uuid) -> bool {
        self.end.is_some_and(|end| id > end) || id >= self.before
    }
}

impl ReconcileSummary {
    fn add(&mut self, step: Self) {
        self.compared += step.compared;
        self.adopted += step.adopted;
        self.not_adopted += step.not_adopted;
        self.damaged += step.damaged;
        self.unindexed_reports += step.unindexed_reports;
    }
}
