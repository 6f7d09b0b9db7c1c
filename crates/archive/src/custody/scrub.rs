//! The rolling scrub: every blob is read again, here and in the second copy.
//!
//! A round begins half of the promised time after the last one began. So what arrives behind the walk is reached by the next round, within the time.

use std::sync::Arc;

use dokuei_database::{BlobPlace, CustodyBlob};
use dokuei_domain::{Actor, Timestamp};
use dokuei_image_store::{BlobKey, ImageStore};
use dokuei_jobs::Periodic;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Custody, CustodyError, Damage,
    examine::{Fault, Verdict, examine},
    made_at,
    pace::Pace,
    turn::Turn,
};

pub(super) const TASK: &str = "scrub";
const WHO: Actor = Actor::System("scrub");

/// Blobs whose results share one transaction.
const BATCH: u32 = 32;
/// A blob that has had no copy for this long is copied when the scrub comes by.
const COPY_OVERDUE_SECONDS: i64 = 24 * 3600;

/// The kinds of blobs, in the order in which a round takes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    #[default]
    Instances,
    Quarantined,
    ReportFiles,
}

impl Stage {
    const fn next(self) -> Option<Self> {
        match self {
            Self::Instances => Some(Self::Quarantined),
            Self::Quarantined => Some(Self::ReportFiles),
            Self::ReportFiles => None,
        }
    }
}

/// Where a round is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    pub(super) stage: Stage,
    /// The last blob that was read: an identifier of an instance, otherwise a key.
    pub(super) after: String,
}

/// What a round has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubSummary {
    pub blobs: u64,
    pub bytes: u64,
    /// Second copies that were read.
    pub copies: u64,
    /// Damages seen, new and known.
    pub damaged: u64,
}

/// The state of the walk between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ScrubProgress {
    /// `None`: no round is under way.
    pub(super) position: Option<Position>,
    pub(super) began_at: Option<Timestamp>,
    pub(super) done: ScrubSummary,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) last: ScrubSummary,
}

/// The walk on its timer.
pub(super) struct Scrubber(pub(super) Arc<Custody>);

#[async_trait::async_trait]
impl Periodic for Scrubber {
    fn name(&self) -> &'static str {
        TASK
    }

    fn every_seconds(&self) -> i64 {
        60
    }

    async fn run(&self) -> Result<(), String> {
        self.0.scrub_turn().await.map_err(|error| error.chain())
    }
}

impl Custody {
    async fn scrub_turn(&self) -> Result<(), CustodyError> {
        // A look first: taking the turn is a write, and most of the time nothing is due.
        let row = self.database.read().await?.custody_task(TASK).await?;
        if row.is_some_and(|row| row.last_error.is_none() && !self.is_due(&super::turn::parse(&row.progress))) {
            return Ok(());
        }
        let Some(mut turn) = Turn::<ScrubProgress>::take(self, TASK).await? else { return Ok(()) };
        let walked = self.scrub_round(&mut turn).await;
        turn.end(walked).await
    }

    /// A round is under way, or it is time for the next one.
    fn is_due(&self, progress: &ScrubProgress) -> bool {
        let every = i64::from(self.settings.scrub_days.max(1)) * 24 * 3600 / 2;
        let waits = progress.began_at.is_some_and(|began| self.ambient.now().seconds_since(began) < every);
        progress.position.is_some() || !waits
    }

    /// Goes on with the round, or begins the next one if it is due. `false`: the lease was lost.
    async fn scrub_round(&self, turn: &mut Turn<'_, ScrubProgress>) -> Result<bool, CustodyError> {
        if !self.is_due(&turn.progress) {
            return Ok(true);
        }
        if turn.progress.position.is_none() {
            turn.progress.position = Some(Position::default());
            turn.progress.began_at = Some(self.ambient.now());
            turn.progress.done = ScrubSummary::default();
        }
        let pace = self.pace();
        // One that does not answer is passed over in this turn; what it holds is read in the next round.
        let copy = match &self.copy {
            Some(place) => place.connect(self).await.inspect_err(|error| {
                tracing::warn!(error = error.chain(), "the second copy is not read again in this turn");
            }),
            None => Err(CustodyError::CopyPlace("there is no second copy".to_owned())),
        }
        .ok();
        while let Some(position) = turn.progress.position.clone() {
            let (next, step) = self.scrub_batch(&position, copy.as_ref(), &pace).await?;
            turn.progress.done.add(step);
            turn.progress.position = next;
            if turn.progress.position.is_none() {
                turn.progress.finished_at = Some(self.ambient.now());
                turn.progress.last = turn.progress.done;
                tracing::info!(
                    blobs = turn.progress.done.blobs,
                    size_bytes = turn.progress.done.bytes,
                    damaged = turn.progress.done.damaged,
                    "every stored blob was read again"
                );
            }
            if !turn.keep().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads every blob once, now and as fast as it goes, beside the rolling walk and without touching its place.
    pub async fn scrub_everything(&self, mut progress: impl FnMut(ScrubSummary)) -> Result<ScrubSummary, CustodyError> {
        let mut copy = None;
        if let Some(place) = &self.copy {
            copy = Some(place.connect(self).await?);
        }
        let (mut done, mut position, pace) = (ScrubSummary::default(), Some(Position::default()), Pace::unlimited());
        while let Some(at) = position {
            let (next, step) = self.scrub_batch(&at, copy.as_ref(), &pace).await?;
            done.add(step);
            position = next;
            progress(done);
        }
        Ok(done)
    }

    pub(super) async fn scrub_batch(
        &self,
        at: &Position,
        copy: Option<&ImageStore>,
        pace: &Pace,
    ) -> Result<(Option<Position>, ScrubSummary), CustodyError> {
        let mut tx = self.database.read().await?;
        let blobs = match at.stage {
            Stage::Instances => tx.custody_instances(at.after.parse().unwrap_or(Uuid::nil()), BATCH).await?,
            Stage::Quarantined => tx.custody_quarantined(&at.after, BATCH).await?,
            Stage::ReportFiles => tx.custody_report_files(&at.after, BATCH).await?,
        };
        drop(tx);
        let Some(last) = blobs.last() else {
            let next = at.stage.next().map(|stage| Position { stage, after: String::new() });
            return Ok((next, ScrubSummary::default()));
        };
        let after = if at.stage == Stage::Instances { last.id.to_string() } else { last.blob_key.clone() };
        let mut found = Vec::with_capacity(blobs.len());
        let mut step = ScrubSummary::default();
        for blob in &blobs {
            let Ok(key) = BlobKey::parse(&blob.blob_key) else { continue };
            step.blobs += 1;
            step.bytes += u64::try_from(blob.size_bytes).unwrap_or(0);
            let here = examine(&self.store, &key, blob, pace).await.map_err(CustodyError::Store)?;
            let there = match copy {
                Some(copy) => self.look_at_copy(copy, &key, blob, &here, pace).await?,
                None => CopyFound::NotRead,
            };
            found.push((blob, key, here, there));
        }
        self.record(&found, &mut step).await?;
        Ok((Some(Position { stage: at.stage, after }), step))
    }

    async fn look_at_copy(
        &self,
        copy: &ImageStore,
        key: &BlobKey,
        blob: &CustodyBlob,
        here: &Verdict,
        pace: &Pace,
    ) -> Result<CopyFound, CustodyError> {
        if blob.copied_at.is_some() {
            let verdict = examine(copy, key, blob, pace).await.map_err(CustodyError::Copy)?;
            return Ok(CopyFound::Read(verdict));
        }
        let age = self.ambient.now().seconds_since(made_at(blob.id));
        if age > COPY_OVERDUE_SECONDS && matches!(here, Verdict::Sound { .. }) {
            self.copy_blob(copy, key, blob, pace).await?;
        }
        Ok(CopyFound::NotRead)
    }

    async fn record(
        &self,
        found: &[(&CustodyBlob, BlobKey, Verdict, CopyFound)],
        step: &mut ScrubSummary,
    ) -> Result<(), CustodyError> {
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        let counts = tx.damage_counts().await?;
        let anything_open = counts.open + counts.accepted > 0;
        for (blob, key, here, there) in found {
            let places = [(BlobPlace::Store, Some(here)), (BlobPlace::Copy, there.verdict())];
            for (place, verdict) in places {
                match verdict {
                    None => {}
                    Some(Verdict::Sound { head }) => {
                        if place == BlobPlace::Store {
                            tx.custody_verified(blob, now, head).await?;
                        } else {
                            step.copies += 1;
                        }
                        if anything_open {
                            let by = WHO.label();
                            tx.damage_repaired(key.as_str(), place, &by, now, "it was sound when it was read again")
                                .await?;
                        }
                    }
                    Some(Verdict::Damaged(fault)) => {
                        // The row may be gone since; what nobody vouches for cannot be damaged.
                        if tx.custody_blob(key.as_str()).await?.is_none() {
                            continue;
                        }
                        step.damaged += 1;
                        self.note_fault(&mut tx, blob, key, place, fault.clone()).await?;
                    }
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }

    async fn note_fault(
        &self,
        tx: &mut dokuei_database::WriteTx,
        blob: &CustodyBlob,
        key: &BlobKey,
        place: BlobPlace,
        fault: Fault,
    ) -> Result<(), CustodyError> {
        self.report(tx, &WHO, &Damage::of(blob, key, place, fault)).await?;
        Ok(())
    }
}

enum CopyFound {
    NotRead,
    Read(Verdict),
}

impl CopyFound {
    const fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::NotRead => None,
            Self::Read(verdict) => Some(verdict),
        }
    }
}

impl ScrubSummary {
    fn add(&mut self, step: Self) {
        self.blobs += step.blobs;
        self.bytes += step.bytes;
        self.copies += step.copies;
        self.damaged += step.damaged;
    }
}
