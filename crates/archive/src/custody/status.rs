//! Where the walks are, for pages, commands and checks.

use dokuei_database::{DamageCounts, NotCopied};
use dokuei_domain::Timestamp;
use serde::Serialize;

use super::{
    Custody, CustodyError, ReconcileSummary, ScrubSummary,
    copy::{self, CopyProgress},
    made_at,
    reconcile::{self, ReconcileProgress},
    scrub::{self, ScrubProgress, Stage},
    turn::parse,
};

/// How the stored blobs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StorageStatus {
    pub open_damages: i64,
    pub accepted_damages: i64,
    pub scrub: ScrubStatus,
    pub reconcile: ReconcileStatus,
    /// `None`: no second copy is configured.
    pub copy: Option<CopyStatus>,
}

/// The rolling scrub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScrubStatus {
    /// A round is under way, or waits for its node.
    pub under_way: bool,
    pub began_at: Option<Timestamp>,
    /// Objects received until then were read in this round; `None` while quarantine and reports are read, which come last.
    pub position: Option<Timestamp>,
    pub done: ScrubSummary,
    pub finished_at: Option<Timestamp>,
    pub last: ScrubSummary,
    /// The round takes longer than half of the promised time: the pace is too slow for what is stored.
    pub too_slow: bool,
    pub last_error: Option<String>,
}

/// The comparison of index and store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReconcileStatus {
    /// Everything that arrived before was compared at least once.
    pub complete_until: Option<Timestamp>,
    pub full_under_way: bool,
    pub full_finished_at: Option<Timestamp>,
    pub full: ReconcileSummary,
    pub last: ReconcileSummary,
    pub last_error: Option<String>,
}

/// The second copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyStatus {
    pub last_run_at: Option<Timestamp>,
    /// Instances that have no copy yet.
    pub waiting: i64,
    pub waiting_bytes: i64,
    /// When the oldest of them was received.
    pub waiting_since: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl StorageStatus {
    /// What somebody should look at, in one line each; for logs and checks.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.open_damages > 0 {
            warnings.push(format!("{} stored blobs are damaged; see the storage page", self.open_damages));
        }
        if self.last_unindexed_reports() > 0 {
            warnings.push(format!(
                "{} signed reports in the store are not in the index; run `dokuei rebuild-index`",
                self.last_unindexed_reports()
            ));
        }
        if self.scrub.too_slow {
            warnings
                .push("stored blobs are not read again in time; raise image_store.scrub_bytes_per_second".to_owned());
        }
        let walks = [("scrub", &self.scrub.last_error), ("comparison of index and store", &self.reconcile.last_error)];
        for (walk, error) in walks {
            if let Some(error) = error {
                warnings.push(format!("{walk}: {error}"));
            }
        }
        if let Some(CopyStatus { last_error: Some(error), waiting, .. }) = &self.copy {
            warnings.push(format!("second copy: {error}; {waiting} objects wait"));
        }
        warnings
    }

    pub fn last_unindexed_reports(&self) -> u64 {
        self.reconcile.last.unindexed_reports
    }
}

impl Custody {
    /// What is damaged, without the rest: cheap.
    pub async fn damage_counts(&self) -> Result<DamageCounts, CustodyError> {
        Ok(self.database.read().await?.damage_counts().await?)
    }

    /// How many things somebody should look at: cheap.
    pub async fn troubles(&self) -> Result<usize, CustodyError> {
        let mut tx = self.database.read().await?;
        let mut troubles = usize::try_from(tx.damage_counts().await?.open).unwrap_or(0);
        for name in [scrub::TASK, reconcile::TASK, copy::TASK] {
            let configured = name != copy::TASK || self.copy.is_some();
            let failed = tx.custody_task(name).await?.is_some_and(|row| row.last_error.is_some());
            troubles += usize::from(configured && failed);
        }
        Ok(troubles)
    }

    /// Where everything is. Counts the instances that have no copy, which takes its time while a new place is being filled.
    pub async fn status(&self) -> Result<StorageStatus, CustodyError> {
        let now = self.ambient.now();
        let mut tx = self.database.read().await?;
        let counts = tx.damage_counts().await?;
        let (row, error) = task(tx.custody_task(scrub::TASK).await?);
        let progress: ScrubProgress = parse(&row);
        let half = i64::from(self.settings.scrub_days.max(1)) * 24 * 3600 / 2;
        let position = progress.position.as_ref();
        let scrub = ScrubStatus {
            under_way: position.is_some(),
            began_at: progress.began_at,
            position: position
                .filter(|position| position.stage == Stage::Instances)
                .and_then(|position| position.after.parse().ok())
                .map(made_at),
            done: progress.done,
            finished_at: progress.finished_at,
            last: progress.last,
            too_slow: position.is_some() && progress.began_at.is_some_and(|began| now.seconds_since(began) > half),
            last_error: error,
        };
        let (row, error) = task(tx.custody_task(reconcile::TASK).await?);
        let progress: ReconcileProgress = parse(&row);
        let reconcile = ReconcileStatus {
            complete_until: progress.complete_until,
            full_under_way: progress.full_after.is_some(),
            full_finished_at: progress.full_finished_at,
            full: progress.full,
            last: progress.last,
            last_error: error,
        };
        let copy = if self.copy.is_some() {
            let row = tx.custody_task(copy::TASK).await?;
            let last_run_at = row.as_ref().and_then(|row| row.last_run_at);
            let (row, last_error) = task(row);
            let progress: CopyProgress = parse(&row);
            let NotCopied { count, bytes, oldest_received_at } = tx.custody_not_copied(progress.swept_to).await?;
            let (waiting, waiting_bytes) = (count, bytes);
            Some(CopyStatus { last_run_at, waiting, waiting_bytes, waiting_since: oldest_received_at, last_error })
        } else {
            None
        };
        Ok(StorageStatus { open_damages: counts.open, accepted_damages: counts.accepted, scrub, reconcile, copy })
    }
}

/// Progress and error of a walk that may never have begun.
fn task(row: Option<dokuei_database::CustodyTaskRow>) -> (String, Option<String>) {
    row.map(|row| (row.progress, row.last_error)).unwrap_or_default()
}
