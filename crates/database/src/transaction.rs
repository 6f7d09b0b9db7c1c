//! Connections and transactions: the only door to the tables.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::{Postgres, Sqlite, Transaction, pool::PoolConnection};
use tokio::sync::Notify;

use crate::{
    DatabaseError,
    audit::{self, AuditEvent},
    sqlite_writer::WriterGuard,
    statements::Statement,
    value::{Arg, Row},
};

enum Inner {
    Lite(PoolConnection<Sqlite>),
    Pg(PoolConnection<Postgres>),
    LiteWriter(WriterGuard),
    PgTransaction(Transaction<'static, Postgres>),
}

/// A connection for reading. Each statement sees what is committed when it runs.
pub struct ReadTx {
    inner: Inner,
}

macro_rules! bind {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match arg.clone() {
                Arg::Integer(value) => query.bind(value),
                Arg::Real(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::Uuid(value) => query.bind(value),
            };
        }
        query
    }};
}

impl ReadTx {
    /// The writer's connection for statements that commit by themselves.
    pub(crate) fn sqlite_turn(writer: WriterGuard) -> Self {
        Self { inner: Inner::LiteWriter(writer) }
    }

    pub(crate) fn sqlite(connection: PoolConnection<Sqlite>) -> Self {
        Self { inner: Inner::Lite(connection) }
    }

    pub(crate) fn postgres(connection: PoolConnection<Postgres>) -> Self {
        Self { inner: Inner::Pg(connection) }
    }

    /// Runs a statement and gives the number of rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement, args: &[Arg]) -> Result<u64, DatabaseError> {
        let changed = match &mut self.inner {
            Inner::Lite(c) => bind!(statement.sqlite, args).execute(&mut **c).await.map(|done| done.rows_affected()),
            Inner::LiteWriter(c) => match c.connection() {
                Ok(c) => bind!(statement.sqlite, args).execute(c).await.map(|done| done.rows_affected()),
                Err(closed) => Err(closed),
            },
            Inner::Pg(c) => bind!(statement.postgres, args).execute(&mut **c).await.map(|done| done.rows_affected()),
            Inner::PgTransaction(c) => {
                bind!(statement.postgres, args).execute(&mut **c).await.map(|done| done.rows_affected())
            }
        };
        changed.map_err(|source| DatabaseError::sqlx(statement.name, source))
    }

    /// All rows of a statement. Statements that could return without bound carry a LIMIT.
    pub(crate) async fn rows(&mut self, statement: Statement, args: &[Arg]) -> Result<Vec<Row>, DatabaseError> {
        let rows = match &mut self.inner {
            Inner::Lite(c) => bind!(statement.sqlite, args).fetch_all(&mut **c).await.map(lite),
            Inner::LiteWriter(c) => match c.connection() {
                Ok(c) => bind!(statement.sqlite, args).fetch_all(c).await.map(lite),
                Err(closed) => Err(closed),
            },
            Inner::Pg(c) => bind!(statement.postgres, args).fetch_all(&mut **c).await.map(pg),
            Inner::PgTransaction(c) => bind!(statement.postgres, args).fetch_all(&mut **c).await.map(pg),
        };
        rows.map_err(|source| DatabaseError::sqlx(statement.name, source))
    }

    /// All rows of a text that is a whole transaction: on SQLite it begins and commits by itself.
    pub(crate) async fn rows_of_transaction(
        &mut self,
        statement: Statement,
        args: &[Arg],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.mark_transaction(true);
        let rows = self.rows(statement, args).await?;
        self.mark_transaction(false);
        Ok(rows)
    }

    /// What fails half way is rolled back before the next writer's turn.
    fn mark_transaction(&mut self, open: bool) {
        if let Inner::LiteWriter(writer) = &mut self.inner {
            writer.set_in_transaction(open);
        }
    }

    /// The only row of a statement, or none. More than one is an inconsistency.
    pub(crate) async fn optional(&mut self, statement: Statement, args: &[Arg]) -> Result<Option<Row>, DatabaseError> {
        let mut rows = self.rows(statement, args).await?;
        if rows.len() > 1 {
            return Err(DatabaseError::inconsistent(statement.name, "more than one row where one was expected"));
        }
        Ok(rows.pop())
    }

    /// The only row of a statement that always has one.
    pub(crate) async fn one(&mut self, statement: Statement, args: &[Arg]) -> Result<Row, DatabaseError> {
        self.optional(statement, args)
            .await?
            .ok_or_else(|| DatabaseError::inconsistent(statement.name, "no row where one was expected"))
    }
}

fn lite(rows: Vec<sqlx::sqlite::SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Lite).collect()
}

fn pg(rows: Vec<sqlx::postgres::PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Pg).collect()
}

/// A write transaction. Use cases share it by `&mut`; nothing is visible to others before [`WriteTx::commit`], and dropping it undoes everything.
///
/// It is never held across I/O to a peer: on SQLite it is the only writer of the whole node.
pub struct WriteTx {
    read: ReadTx,
    audit: Vec<AuditEvent>,
    wake_jobs: bool,
    wakeup: Arc<Notify>,
}

impl WriteTx {
    pub(crate) fn sqlite(writer: WriterGuard, wakeup: Arc<Notify>) -> Self {
        Self { read: ReadTx { inner: Inner::LiteWriter(writer) }, audit: Vec::new(), wake_jobs: false, wakeup }
    }

    pub(crate) fn postgres(transaction: Transaction<'static, Postgres>, wakeup: Arc<Notify>) -> Self {
        Self { read: ReadTx { inner: Inner::PgTransaction(transaction) }, audit: Vec::new(), wake_jobs: false, wakeup }
    }

    /// Remembers an audit event; it is written at commit, so that the chain's head is locked for a moment only.
    pub fn audit(&mut self, event: AuditEvent) {
        self.audit.push(event);
    }

    pub(crate) fn wake_jobs_on_commit(&mut self) {
        self.wake_jobs = true;
    }

    /// Makes everything durable and visible.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        let events = std::mem::take(&mut self.audit);
        audit::append(&mut self.read, events).await?;
        match self.read.inner {
            Inner::LiteWriter(mut writer) => writer.commit().await,
            Inner::PgTransaction(transaction) => transaction.commit().await,
            Inner::Lite(_) | Inner::Pg(_) => Ok(()),
        }
        .map_err(|source| DatabaseError::sqlx("commit", source))?;
        if self.wake_jobs {
            self.wakeup.notify_waiters();
        }
        Ok(())
    }
}

impl Deref for WriteTx {
    type Target = ReadTx;
    fn deref(&self) -> &ReadTx {
        &self.read
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.read
    }
}
