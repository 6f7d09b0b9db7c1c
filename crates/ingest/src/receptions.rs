//! Which studies the nodes are receiving. Each node knows its own associations; what it tells the others is a row that it renews, so that none of them settles a
//! study that another one is in the middle of. A node that dies stops renewing, and the quiet time is all that counts again.

use std::sync::Arc;

use dokuei_database::DatabaseError;
use dokuei_domain::StudyPk;
use dokuei_jobs::Periodic;

use crate::Ingest;

/// Between two renewals. Shorter than the shortest sensible quiet time, so that a row is there before it is needed.
const EVERY_SECONDS: i64 = 10;
/// How long a row counts. Two renewals may be lost.
const HOLD_SECONDS: i64 = 3 * EVERY_SECONDS + 5;

impl Ingest {
    async fn tell_receptions(&self) -> Result<(), DatabaseError> {
        let studies: Vec<StudyPk> = self.lock_under_way().keys().copied().collect();
        if studies.is_empty() {
            return Ok(());
        }
        let now = self.ambient.now();
        let mut tx = self.database.write().await?;
        for study in studies {
            tx.reception_hold(study, &self.node, now.plus_seconds(HOLD_SECONDS)).await?;
        }
        tx.reception_purge(now.plus_seconds(-3600)).await?;
        tx.commit().await
    }

    /// Whether another node is receiving parts of the study.
    pub(crate) async fn is_under_way_elsewhere(&self, study: StudyPk) -> Result<bool, DatabaseError> {
        let until = self.database.read().await?.reception_elsewhere(study, &self.node).await?;
        Ok(until.is_some_and(|until| until > self.ambient.now()))
    }
}

/// Tells the other nodes what this one is receiving.
pub(crate) struct Receptions(pub(crate) Arc<Ingest>);

#[async_trait::async_trait]
impl Periodic for Receptions {
    fn name(&self) -> &'static str {
        "receptions"
    }

    fn every_seconds(&self) -> i64 {
        EVERY_SECONDS
    }

    async fn run(&self) -> Result<(), String> {
        self.0.tell_receptions().await.map_err(|error| error.chain())
    }
}
