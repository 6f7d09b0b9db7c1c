//! The second copy: new blobs are brought to another place, checked on the way.
//!
//! The walk follows the instances in the order of their identifiers. A row may appear behind it (its object began earlier and took longer), so every ten
//! minutes it goes back by a day; what is missed even then is brought over by the scrub. Facts are few and compared as a whole.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use dokuei_database::{BlobPlace, CustodyBlob, DamageKind};
use dokuei_domain::{Actor, FacilityId, Timestamp};
use dokuei_image_store::{BlobKey, ImageStore, StoreErrorKind};
use dokuei_jobs::Periodic;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    CopyTarget, Custody, CustodyError, Damage,
    examine::{Failed, Read, Verdict, blame, examine, read},
    first_uuid_at,
    pace::Pace,
    turn::Turn,
};

pub(super) const TASK: &str = "copy";
const WHO: Actor = Actor::System("copy");
const BATCH: u32 = 32;
const SWEEP_EVERY_SECONDS: i64 = 600;
/// How far a sweep goes back.
const SWEEP_BACK_SECONDS: i64 = 24 * 3600;
/// Longest fact that is copied.
const LONGEST_FACT: u64 = 1 << 20;

/// The second place. Opened when it is needed, and again after it was away.
pub(super) struct CopyPlace {
    target: CopyTarget,
    store: Mutex<Option<ImageStore>>,
}

/// Where the walk is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CopyProgress {
    /// A fact that was written into the copy when it was first used: what lacks it is another place, or one that is not mounted.
    pub(super) mark: Option<Uuid>,
    /// Everything before was tried at least once.
    pub(super) instances: Uuid,
    pub(super) swept_at: Option<Timestamp>,
    /// Everything up to here has a copy or a damage that says why not.
    pub(super) swept_to: Uuid,
}

impl CopyPlace {
    pub(super) fn new(target: CopyTarget) -> Self {
        Self { target, store: Mutex::new(None) }
    }

    /// The place, if it answers and is the one that was used before.
    pub(super) async fn connect(&self, custody: &Custody) -> Result<ImageStore, CustodyError> {
        let mut known = self.store.lock().await;
        if let Some(store) = known.as_ref() {
            match store.answers().await {
                Ok(()) => return Ok(store.clone()),
                Err(error) => {
                    *known = None;
                    return Err(CustodyError::Copy(error));
                }
            }
        }
        let store = ImageStore::connect_with(&self.target.url, self.target.options.clone())
            .await
            .map_err(CustodyError::Copy)?;
        store.answers().await.map_err(CustodyError::Copy)?;
        self.recognise(custody, &store).await?;
        *known = Some(store.clone());
        Ok(store)
    }

    async fn recognise(&self, custody: &Custody, store: &ImageStore) -> Result<(), CustodyError> {
        let row = custody.database.read().await?.custody_task(TASK).await?;
        let progress: CopyProgress = row.map(|row| super::turn::parse(&row.progress)).unwrap_or_default();
        let Some(mark) = progress.mark else { return Ok(()) };
        if store.exists(&mark_key(mark)?).await.map_err(CustodyError::Copy)? {
            return Ok(());
        }
        Err(CustodyError::CopyPlace(
            "the place of the second copy is not the one that was used before; mount it, or begin anew with `dokuei storage restart-copy`"
                .to_owned(),
        ))
    }
}

/// The mark lies among the facts of a facility that cannot send.
fn mark_key(mark: Uuid) -> Result<BlobKey, CustodyError> {
    let nobody = FacilityId::parse("COPY").map_err(|_| CustodyError::CopyPlace("no mark".to_owned()))?;
    Ok(BlobKey::fact(&nobody, mark))
}

/// The walk on its timer.
pub(super) struct Copier(pub(super) Arc<Custody>);

#[async_trait::async_trait]
impl Periodic for Copier {
    fn name(&self) -> &'static str {
        TASK
    }

    fn every_seconds(&self) -> i64 {
        5
    }

    async fn run(&self) -> Result<(), String> {
        self.0.copy_turn().await.map_err(|error| error.chain())
    }
}

/// What became of one blob.
pub(super) enum Copied {
    Yes {
        head: [u8; 32],
    },
    /// It cannot be copied, and that is recorded as a damage.
    Damaged,
}

impl Custody {
    async fn copy_turn(&self) -> Result<(), CustodyError> {
        let Some(place) = &self.copy else { return Ok(()) };
        if self.nothing_to_copy().await? {
            return Ok(());
        }
        let Some(mut turn) = Turn::<CopyProgress>::take(self, TASK).await? else { return Ok(()) };
        let walked = match place.connect(self).await {
            Ok(copy) => self.copy_what_is_new(&copy, &mut turn).await,
            Err(error) => Err(error),
        };
        turn.end(walked).await
    }

    /// A look first: taking the turn is a write, and most of the time nothing is new.
    async fn nothing_to_copy(&self) -> Result<bool, CustodyError> {
        let mut tx = self.database.read().await?;
        let Some(row) = tx.custody_task(TASK).await?.filter(|row| row.last_error.is_none()) else { return Ok(false) };
        let progress: CopyProgress = super::turn::parse(&row.progress);
        let sweep = self.is_sweep_due(&progress);
        Ok(!sweep && tx.custody_instances_not_copied(progress.instances, 1).await?.is_empty())
    }

    fn is_sweep_due(&self, progress: &CopyProgress) -> bool {
        progress.swept_at.is_none_or(|at| self.ambient.now().seconds_since(at) >= SWEEP_EVERY_SECONDS)
    }

    async fn copy_what_is_new(
        &self,
        copy: &ImageStore,
        turn: &mut Turn<'_, CopyProgress>,
    ) -> Result<bool, CustodyError> {
        if turn.progress.mark.is_none() {
            let mark = self.ambient.new_uuid();
            let text = Bytes::from_static(br#"{"fact":"copy_place"}"#);
            copy.put(mark_key(mark)?, text).await.map_err(CustodyError::Copy)?;
            turn.progress.mark = Some(mark);
            turn.keep().await?;
        }
        let now = self.ambient.now();
        let pace = self.pace();
        let sweep = self.is_sweep_due(&turn.progress);
        let passed_over = self.known_damages().await?;
        let mut after = if sweep { turn.progress.swept_to } else { turn.progress.instances };
        loop {
            let blobs = self.database.read().await?.custody_instances_not_copied(after, BATCH).await?;
            let Some(last) = blobs.last().map(|blob| blob.id) else { break };
            self.copy_batch(copy, &blobs, &passed_over, &pace).await?;
            after = last;
            turn.progress.instances = turn.progress.instances.max(after);
            if !turn.keep().await? {
                return Ok(false);
            }
        }
        if sweep {
            if !self.copy_the_others(copy, turn, &passed_over, &pace).await? {
                return Ok(false);
            }
            self.copy_facts(copy).await?;
            turn.progress.swept_at = Some(now);
            turn.progress.swept_to = turn.progress.swept_to.max(first_uuid_at(now.plus_seconds(-SWEEP_BACK_SECONDS)));
        }
        Ok(true)
    }

    /// Files of signed reports and objects in quarantine.
    async fn copy_the_others(
        &self,
        copy: &ImageStore,
        turn: &Turn<'_, CopyProgress>,
        passed_over: &HashSet<String>,
        pace: &Pace,
    ) -> Result<bool, CustodyError> {
        for reports in [true, false] {
            let mut after = String::new();
            loop {
                let mut tx = self.database.read().await?;
                let mut blobs = if reports {
                    tx.custody_report_files(&after, 256).await?
                } else {
                    tx.custody_quarantined(&after, 256).await?
                };
                drop(tx);
                let Some(last) = blobs.last() else { break };
                after = last.blob_key.clone();
                blobs.retain(|blob| blob.copied_at.is_none());
                self.copy_batch(copy, &blobs, passed_over, pace).await?;
                if !turn.keep().await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn copy_facts(&self, copy: &ImageStore) -> Result<(), CustodyError> {
        let (mut here, mut there) = (self.store.list("facts/v1/"), copy.list("facts/v1/"));
        let mut present = there.next().await.map_err(CustodyError::Copy)?;
        while let Some((key, _)) = here.next().await.map_err(CustodyError::Store)? {
            while present.as_ref().is_some_and(|(copied, _)| copied.as_str() < key.as_str()) {
                present = there.next().await.map_err(CustodyError::Copy)?;
            }
            if present.as_ref().is_some_and(|(copied, _)| *copied == key) {
                continue;
            }
            let bytes = match self.store.read_to_vec(&key, LONGEST_FACT).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Adoption says so as well, with what it means.
                    tracing::warn!(blob.key = %key, %error, "a fact was not copied");
                    continue;
                }
            };
            match copy.put(key, Bytes::from(bytes)).await {
                Err(error) if error.kind != StoreErrorKind::AlreadyExists => return Err(CustodyError::Copy(error)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn copy_batch(
        &self,
        copy: &ImageStore,
        blobs: &[CustodyBlob],
        passed_over: &HashSet<String>,
        pace: &Pace,
    ) -> Result<(), CustodyError> {
        let mut copied = Vec::with_capacity(blobs.len());
        let mut ended = Ok(());
        for blob in blobs.iter().filter(|blob| !passed_over.contains(&blob.blob_key)) {
            let Ok(key) = BlobKey::parse(&blob.blob_key) else { continue };
            match self.copy_one(copy, &key, blob, pace).await {
                Ok(Copied::Yes { head }) => copied.push((blob, head)),
                Ok(Copied::Damaged) => {}
                Err(error) => {
                    // What was copied before is remembered all the same.
                    ended = Err(error);
                    break;
                }
            }
        }
        if !copied.is_empty() {
            let now = self.ambient.now();
            let mut tx = self.database.write().await?;
            for (blob, head) in copied {
                tx.custody_copied(blob, Some(now), Some(head)).await?;
            }
            tx.commit().await?;
        }
        ended
    }

    /// One blob, recorded.
    pub(super) async fn copy_blob(
        &self,
        copy: &ImageStore,
        key: &BlobKey,
        blob: &CustodyBlob,
        pace: &Pace,
    ) -> Result<(), CustodyError> {
        if let Copied::Yes { head } = self.copy_one(copy, key, blob, pace).await? {
            let mut tx = self.database.write().await?;
            tx.custody_copied(blob, Some(self.ambient.now()), Some(head)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn copy_one(
        &self,
        copy: &ImageStore,
        key: &BlobKey,
        blob: &CustodyBlob,
        pace: &Pace,
    ) -> Result<Copied, CustodyError> {
        let low_water = self.settings.copy_low_water_bytes;
        if copy.free_bytes().await.is_some_and(|free| free < low_water) {
            return Err(CustodyError::CopyPlace(
                "the place of the second copy is short of space; make room".to_owned(),
            ));
        }
        let fault = match read(&self.store, key, blob, pace, Some(copy)).await {
            Ok(Read::Sound { head, staged }) => {
                let Some(staged) = staged else { return Ok(Copied::Damaged) };
                return match staged.commit().await {
                    Ok(_) => Ok(Copied::Yes { head }),
                    Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
                        self.recognise_copy(copy, key, blob, pace).await
                    }
                    Err(error) => Err(CustodyError::Copy(error)),
                };
            }
            Ok(Read::Faulty(fault)) => fault,
            Err(Failed::Reading(error)) => blame(&self.store, error).await.map_err(CustodyError::Store)?,
            Err(Failed::Writing(error)) if error.kind == StoreErrorKind::AlreadyExists => {
                return self.recognise_copy(copy, key, blob, pace).await;
            }
            Err(Failed::Writing(error)) => return Err(CustodyError::Copy(error)),
        };
        self.record_fault(Damage::of(blob, key, BlobPlace::Store, fault)).await
    }

    /// The copy has a blob of this key already: a run before this one was interrupted, or somebody brought it there.
    async fn recognise_copy(
        &self,
        copy: &ImageStore,
        key: &BlobKey,
        blob: &CustodyBlob,
        pace: &Pace,
    ) -> Result<Copied, CustodyError> {
        match examine(copy, key, blob, pace).await.map_err(CustodyError::Copy)? {
            Verdict::Sound { head } => Ok(Copied::Yes { head }),
            Verdict::Damaged(fault) => self.record_fault(Damage::of(blob, key, BlobPlace::Copy, fault)).await,
        }
    }

    async fn record_fault(&self, damage: Damage<'_>) -> Result<Copied, CustodyError> {
        let mut tx = self.database.write().await?;
        self.report(&mut tx, &WHO, &damage).await?;
        tx.commit().await?;
        Ok(Copied::Damaged)
    }

    /// Blobs that were found damaged and wait for a person: reading them again every few minutes would find the same.
    async fn known_damages(&self) -> Result<HashSet<String>, CustodyError> {
        let open = self.database.read().await?.damages_open(10_000).await?;
        let lasting = |kind| !matches!(kind, DamageKind::NotAdopted);
        Ok(open.into_iter().filter(|damage| lasting(damage.kind)).map(|damage| damage.blob_key).collect())
    }

    /// Forgets the second copy, so that a new place is filled from the beginning. Gives how many blobs were copied.
    pub async fn restart_copy(&self) -> Result<u64, CustodyError> {
        let Some(place) = &self.copy else {
            return Err(CustodyError::CopyPlace("no second copy is configured; set image_store.copy_url".to_owned()));
        };
        let Some(mut turn) =
            Turn::<CopyProgress>::take_as(self, TASK, format!("cli-{}", self.ambient.new_uuid())).await?
        else {
            return Err(CustodyError::CopyPlace("the copy is being written now; try again in some minutes".to_owned()));
        };
        let mut forgotten = 0;
        loop {
            let mut tx = self.database.write().await?;
            let some = tx.custody_copies_forget(Uuid::nil(), 1000).await?;
            tx.commit().await?;
            forgotten += some;
            if some == 0 {
                break;
            }
        }
        let mut tx = self.database.write().await?;
        forgotten += tx.custody_copies_forget_others().await?;
        tx.commit().await?;
        turn.progress = CopyProgress::default();
        turn.end(Ok(true)).await?;
        *place.store.lock().await = None;
        Ok(forgotten)
    }

    pub(super) async fn copy_store(&self) -> Result<ImageStore, CustodyError> {
        match &self.copy {
            Some(place) => place.connect(self).await,
            None => Err(CustodyError::CopyPlace("no second copy is configured; set image_store.copy_url".to_owned())),
        }
    }
}
