//! A walk's turn: its place in the database and the lease on it.

use dokuei_database::DatabaseError;
use serde::{Serialize, de::DeserializeOwned};

use super::{Custody, CustodyError};

/// How long a turn that says nothing is another node's to take. Longer than the largest blob takes at the walk's pace.
const LEASE_SECONDS: i64 = 300;

/// Held while this node walks. Dropped without [`Self::end`] (the process died, the node stops), it ends with its lease.
pub(super) struct Turn<'c, P> {
    custody: &'c Custody,
    name: &'static str,
    worker: String,
    /// Why the turn before this one failed.
    last_error: Option<String>,
    pub(super) progress: P,
}

impl<'c, P: Serialize + DeserializeOwned + Default> Turn<'c, P> {
    /// `None`: another node walks.
    pub(super) async fn take(custody: &'c Custody, name: &'static str) -> Result<Option<Self>, DatabaseError> {
        Self::take_as(custody, name, custody.settings.worker.clone()).await
    }

    /// Under another name than the node's own walks, so that these are not taken from it.
    pub(super) async fn take_as(
        custody: &'c Custody,
        name: &'static str,
        worker: String,
    ) -> Result<Option<Self>, DatabaseError> {
        let now = custody.ambient.now();
        let mut tx = custody.database.write().await?;
        let until = now.plus_seconds(LEASE_SECONDS);
        let Some(row) = tx.custody_task_take(name, &worker, now, until).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(Self { custody, name, worker, progress: parse(&row.progress), last_error: row.last_error }))
    }

    /// Records how far it came; `false`: the lease has passed to another node, and this one stops.
    pub(super) async fn keep(&self) -> Result<bool, DatabaseError> {
        let now = self.custody.ambient.now();
        let mut tx = self.custody.database.write().await?;
        let until = now.plus_seconds(LEASE_SECONDS);
        let held = tx.custody_task_keep(self.name, &self.worker, now, until, &self.text()).await?;
        tx.commit().await?;
        Ok(held)
    }

    /// Gives the turn back. The reason of a failure is shown on the storage page; it is returned, for the log, only when it is news. `walked` is `false` for
    /// a turn that was lost and has nothing to give back.
    pub(super) async fn end(self, walked: Result<bool, CustodyError>) -> Result<(), CustodyError> {
        let error = match &walked {
            Ok(false) => return Ok(()),
            Ok(true) => None,
            Err(error) => Some(error.chain()),
        };
        let mut tx = self.custody.database.write().await?;
        let now = self.custody.ambient.now();
        tx.custody_task_release(self.name, &self.worker, now, &self.text(), error.as_deref()).await?;
        tx.commit().await?;
        if error.is_some() && error == self.last_error { Ok(()) } else { walked.map(drop) }
    }

    fn text(&self) -> String {
        // Plain fields, which cannot fail to become JSON.
        serde_json::to_string(&self.progress).unwrap_or_default()
    }
}

/// A place in a walk that does not parse (written by another version) begins the walk anew, which is safe.
pub(super) fn parse<P: DeserializeOwned + Default>(progress: &str) -> P {
    serde_json::from_str(progress).unwrap_or_default()
}
