//! What can go wrong with the database, in the kinds that a caller acts on.

/// What a caller can do about a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// A uniqueness or check rule refused the change.
    Conflict,
    /// Another writer was in the way; the whole transaction may be tried again.
    Busy,
    /// The database cannot be reached, is full or is read-only.
    Unavailable,
    /// A stored value does not convert: somebody changed the database behind our back, or we have a defect.
    Inconsistent,
    /// Anything else.
    Internal,
}

/// An error of the database, naming the operation.
#[derive(Debug, thiserror::Error)]
#[error("database: {operation} failed")]
pub struct DatabaseError {
    pub kind: DatabaseErrorKind,
    pub operation: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl DatabaseError {
    pub(crate) fn sqlx(operation: &'static str, source: sqlx::Error) -> Self {
        Self { kind: kind_of(&source), operation, source: Box::new(source) }
    }

    pub(crate) fn inconsistent(operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind: DatabaseErrorKind::Inconsistent, operation, source: message.into().into() }
    }

    pub(crate) fn other(kind: DatabaseErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, source: message.into().into() }
    }

    /// Other nodes were faster several times in a row; the whole operation may be tried again.
    pub fn raced(operation: &'static str) -> Self {
        Self::other(DatabaseErrorKind::Busy, operation, "other writers were faster several times in a row")
    }

    pub fn is_conflict(&self) -> bool {
        self.kind == DatabaseErrorKind::Conflict
    }

    /// The error with its causes in one line, for logs.
    pub fn chain(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

/// SQLSTATE classes and SQLite result codes, in one place.
fn kind_of(error: &sqlx::Error) -> DatabaseErrorKind {
    match error {
        sqlx::Error::Database(database) => match database.kind() {
            sqlx::error::ErrorKind::UniqueViolation
            | sqlx::error::ErrorKind::ForeignKeyViolation
            | sqlx::error::ErrorKind::NotNullViolation
            | sqlx::error::ErrorKind::CheckViolation => DatabaseErrorKind::Conflict,
            _ => match database.code().as_deref() {
                // PostgreSQL: serialization failure, deadlock, lock not available. SQLite: BUSY, LOCKED and their extended codes.
                Some("40001" | "40P01" | "55P03" | "5" | "6" | "261" | "517" | "262") => DatabaseErrorKind::Busy,
                // PostgreSQL classes 53 (resources), 57 (shutdown), 08 (connection). SQLite: READONLY, IOERR, FULL, CANTOPEN.
                Some(code)
                    if code.len() == 5
                        && (code.starts_with("53") || code.starts_with("57") || code.starts_with("08")) =>
                {
                    DatabaseErrorKind::Unavailable
                }
                Some("8" | "10" | "13" | "14") => DatabaseErrorKind::Unavailable,
                _ => DatabaseErrorKind::Internal,
            },
        },
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => {
            DatabaseErrorKind::Unavailable
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            DatabaseErrorKind::Inconsistent
        }
        _ => DatabaseErrorKind::Internal,
    }
}
