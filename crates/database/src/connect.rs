//! Opening a database by URL: SQLite with one writer and several readers, or PostgreSQL.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    PgPool, Postgres, SqlitePool,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{runtime::Handle, sync::Notify};

use crate::{
    DatabaseError, DatabaseErrorKind,
    sqlite_writer::SqliteWriter,
    transaction::{ReadTx, WriteTx},
};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

#[derive(Clone)]
enum Pools {
    Lite { writer: SqliteWriter, readers: SqlitePool },
    Pg(PgPool),
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pools: Pools,
    job_wakeup: Arc<Notify>,
    /// Where connections to PostgreSQL live, whoever asks for one: a runtime whose thread waits for a disk would make all who share the connection wait.
    home: Handle,
}

impl Database {
    /// Opens `sqlite:///path/to/file` (created if absent) or `postgres://…` and brings the schema up to date. On PostgreSQL an advisory lock keeps two
    /// nodes from migrating at once; on SQLite the writer's lock does.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let pools = if url.starts_with("sqlite://") {
            open_sqlite(url).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url).await?
        } else {
            return Err(DatabaseError::other(
                DatabaseErrorKind::Unavailable,
                "open",
                "database.url must begin with sqlite:// or postgres://",
            ));
        };
        Ok(Self { pools, job_wakeup: Arc::new(Notify::new()), home: Handle::current() })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<ReadTx, DatabaseError> {
        match &self.pools {
            Pools::Lite { readers, .. } => readers.acquire().await.map(ReadTx::sqlite),
            Pools::Pg(pool) => self.acquire(pool).await.map(ReadTx::postgres),
        }
        .map_err(|source| DatabaseError::sqlx("acquire a reader", source))
    }

    /// A write transaction. On SQLite it takes the write lock at once: a deferred one that upgrades later fails without waiting.
    pub async fn write(&self) -> Result<WriteTx, DatabaseError> {
        let wakeup = Arc::clone(&self.job_wakeup);
        match &self.pools {
            Pools::Lite { writer, .. } => writer.begin().await.map(|writer| WriteTx::sqlite(writer, wakeup)),
            Pools::Pg(pool) => {
                let pool = pool.clone();
                let begun = self.home.spawn(async move { pool.begin().await }).await;
                begun.unwrap_or(Err(sqlx::Error::WorkerCrashed)).map(|tx| WriteTx::postgres(tx, wakeup))
            }
        }
        .map_err(|source| DatabaseError::sqlx("begin", source))
    }

    /// A connection whose statements commit one by one: for one statement that is a transaction by itself.
    pub(crate) async fn write_alone(&self) -> Result<ReadTx, DatabaseError> {
        match &self.pools {
            Pools::Lite { writer, .. } => writer.turn().await.map(ReadTx::sqlite_turn),
            Pools::Pg(pool) => self.acquire(pool).await.map(ReadTx::postgres),
        }
        .map_err(|source| DatabaseError::sqlx("acquire a writer", source))
    }

    async fn acquire(&self, pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let pool = pool.clone();
        self.home.spawn(async move { pool.acquire().await }).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Notified after a commit that enqueued jobs in this process. A hint only: other processes enqueue too.
    pub fn job_wakeup(&self) -> Arc<Notify> {
        Arc::clone(&self.job_wakeup)
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Lite { .. })
    }

    /// Waits until all connections are returned and closes them.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Lite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Pg(pool) => pool.close().await,
        }
    }

    #[cfg(test)]
    pub(crate) async fn prepare(&self, statement: crate::statements::Statement) -> Result<(), sqlx::Error> {
        use sqlx::Executor as _;
        match &self.pools {
            Pools::Lite { writer, .. } => {
                let mut writer = writer.turn().await?;
                writer.connection()?.prepare(sqlx::SqlStr::from_static(statement.sqlite)).await.map(drop)
            }
            Pools::Pg(pool) => {
                pool.acquire().await?.prepare(sqlx::SqlStr::from_static(statement.postgres)).await.map(drop)
            }
        }
    }
}

async fn open_sqlite(url: &str) -> Result<Pools, DatabaseError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|source| DatabaseError::sqlx("read the SQLite URL", source))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged object must survive power loss: NORMAL may lose the last commits.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-65536")
        .optimize_on_close(true, None);
    let opened = |source| DatabaseError::sqlx("open the SQLite database", source);
    let writer = SqliteWriter::open(&options).await.map_err(opened)?;
    let mut turn = writer.turn().await.map_err(opened)?;
    SQLITE_MIGRATIONS.run(turn.connection().map_err(opened)?).await.map_err(migration_error)?;
    drop(turn);
    let readers = SqlitePoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options.read_only(true))
        .await
        .map_err(|source| DatabaseError::sqlx("open the SQLite database for reading", source))?;
    Ok(Pools::Lite { writer, readers })
}

async fn open_postgres(url: &str) -> Result<Pools, DatabaseError> {
    let options =
        PgConnectOptions::from_str(url).map_err(|source| DatabaseError::sqlx("read the PostgreSQL URL", source))?;
    // A node that hangs in the middle of a transaction must not hold up the others for ever.
    let options = options.options([("lock_timeout", "20s"), ("idle_in_transaction_session_timeout", "60s")]);
    let pool = PgPoolOptions::new()
        .max_connections(16)
        // A sender waits for the answer: better told to try again than kept past its own time limit.
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options)
        .await
        .map_err(|source| DatabaseError::sqlx("connect to PostgreSQL", source))?;
    POSTGRES_MIGRATIONS.run(&pool).await.map_err(migration_error)?;
    Ok(Pools::Pg(pool))
}

fn migration_error(source: sqlx::migrate::MigrateError) -> DatabaseError {
    DatabaseError::other(DatabaseErrorKind::Unavailable, "bring the schema up to date", source.to_string())
}
