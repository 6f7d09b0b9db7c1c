//! The one connection that writes to SQLite. A pool of one would do, but asks the connection whether it lives before and after each use: two more changes of
//! thread for every group of objects.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// The longest wait for the writers before.
const TURN: Duration = Duration::from_secs(30);

/// The node's writers take turns, in the order in which they asked.
#[derive(Clone)]
pub(crate) struct SqliteWriter {
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None` once closed.
    connection: Option<SqliteConnection>,
    /// A transaction may be open: set before BEGIN, cleared when its end is confirmed.
    in_transaction: bool,
}

/// The turn of one writer. Dropping it without [`Self::commit`] rolls back before the next has its turn.
pub(crate) struct WriterGuard {
    /// `None` only while it is being dropped.
    state: Option<OwnedMutexGuard<State>>,
    /// Dropped for the second time: a runtime that is shutting down drops what is spawned on it at once.
    rolling_back: bool,
}

impl SqliteWriter {
    pub(crate) async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = SqliteConnection::connect_with(options).await?;
        Ok(Self { state: Arc::new(Mutex::new(State { connection: Some(connection), in_transaction: false })) })
    }

    /// A turn without a transaction: each statement commits by itself.
    pub(crate) async fn turn(&self) -> Result<WriterGuard, sqlx::Error> {
        let state = timeout(TURN, Arc::clone(&self.state).lock_owned()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let mut guard = WriterGuard { state: Some(state), rolling_back: false };
        if guard.in_transaction() {
            // Whoever had the turn before ended outside of a runtime.
            guard.roll_back().await;
        }
        guard.connection()?;
        Ok(guard)
    }

    /// A turn within a transaction that holds the database's write lock from the start: a deferred one that upgrades later fails without waiting.
    pub(crate) async fn begin(&self) -> Result<WriterGuard, sqlx::Error> {
        let mut guard = self.turn().await?;
        guard.set_in_transaction(true);
        sqlx::query("BEGIN IMMEDIATE").execute(guard.connection()?).await?;
        Ok(guard)
    }

    pub(crate) async fn close(&self) {
        let connection = self.state.lock().await.connection.take();
        if let Some(connection) = connection {
            // What was committed is safe; a log that could not be folded in is read again at the next start.
            let _ = connection.close().await;
        }
    }
}

impl WriterGuard {
    /// # Errors
    /// [`sqlx::Error::PoolClosed`] after [`SqliteWriter::close`].
    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.state.as_mut().and_then(|state| state.connection.as_mut()).ok_or(sqlx::Error::PoolClosed)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(self.connection()?).await?;
        self.set_in_transaction(false);
        Ok(())
    }

    async fn roll_back(&mut self) {
        if let Ok(connection) = self.connection() {
            // Fails when the transaction has ended already, which is what is wanted.
            let _ = sqlx::query("ROLLBACK").execute(connection).await;
        }
        self.set_in_transaction(false);
    }

    fn in_transaction(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.in_transaction)
    }

    /// Says that a transaction may be open now, or that none is.
    pub(crate) fn set_in_transaction(&mut self, in_transaction: bool) {
        if let Some(state) = &mut self.state {
            state.in_transaction = in_transaction;
        }
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        if !state.in_transaction || self.rolling_back {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut guard = Self { state: Some(state), rolling_back: true };
            runtime.spawn(async move { guard.roll_back().await });
        }
    }
}
