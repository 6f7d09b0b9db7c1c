//! Parameters and rows in the few types that both databases share, so that one repository function serves both.

use dokuei_domain::{
    AccountId, AeTitle, BlobId, CaseId, DeliveryId, FacilityId, InstanceId, JobId, PatientPk, ReportVersionId,
    SeriesPk, SeriesUid, SopClassUid, SopInstanceUid, StudyPk, StudyUid, Timestamp, TransferSyntaxUid,
};
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::DatabaseError;

/// One bound parameter.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
}

macro_rules! arg_from {
    ($($type:ty, $value:ident => $arg:expr;)*) => {$(
        impl From<$type> for Arg {
            fn from($value: $type) -> Self {
                $arg
            }
        }
    )*};
}

arg_from! {
    i64, value => Self::Integer(Some(value));
    i32, value => Self::Integer(Some(value.into()));
    u32, value => Self::Integer(Some(value.into()));
    Option<i64>, value => Self::Integer(value);
    Option<f64>, value => Self::Real(value);
    Timestamp, value => Self::Integer(Some(value.0));
    Option<Timestamp>, value => Self::Integer(value.map(|at| at.0));
    String, value => Self::Text(Some(value));
    &str, value => Self::Text(Some(value.to_owned()));
    &String, value => Self::Text(Some(value.clone()));
    Option<String>, value => Self::Text(value);
    Option<&str>, value => Self::Text(value.map(str::to_owned));
    Vec<u8>, value => Self::Bytes(Some(value));
    &[u8], value => Self::Bytes(Some(value.to_vec()));
    [u8; 32], value => Self::Bytes(Some(value.to_vec()));
    &[u8; 32], value => Self::Bytes(Some(value.to_vec()));
    Option<Vec<u8>>, value => Self::Bytes(value);
    Uuid, value => Self::Uuid(Some(value));
    Option<Uuid>, value => Self::Uuid(value);
}

macro_rules! arg_from_text {
    ($($type:ty),*) => {$(
        impl From<&$type> for Arg {
            fn from(value: &$type) -> Self {
                Self::Text(Some(value.as_str().to_owned()))
            }
        }
        impl From<Option<&$type>> for Arg {
            fn from(value: Option<&$type>) -> Self {
                Self::Text(value.map(|value| value.as_str().to_owned()))
            }
        }
    )*};
}
arg_from_text!(AccountId, AeTitle, FacilityId, SeriesUid, SopClassUid, SopInstanceUid, StudyUid, TransferSyntaxUid);

macro_rules! arg_from_uuid {
    ($($type:ty),*) => {$(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self {
                Self::Uuid(Some(value.0))
            }
        }
    )*};
}
arg_from_uuid!(PatientPk, StudyPk, SeriesPk, InstanceId, BlobId, CaseId, ReportVersionId, DeliveryId, JobId);

/// Parameters in the order of `$1 … $n`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Arg::from($value)),*] };
}
pub(crate) use args;

/// One row of either database.
pub(crate) enum Row {
    Lite(SqliteRow),
    Pg(PgRow),
}

/// A type that both databases decode.
pub(crate) trait Column:
    for<'r> sqlx::Decode<'r, sqlx::Sqlite>
    + sqlx::Type<sqlx::Sqlite>
    + for<'r> sqlx::Decode<'r, sqlx::Postgres>
    + sqlx::Type<sqlx::Postgres>
{
}
impl Column for i64 {}
impl Column for f64 {}
impl Column for String {}
impl Column for Vec<u8> {}
impl Column for Uuid {}
impl<T> Column for Option<T>
where
    T: Column,
    Option<T>: for<'r> sqlx::Decode<'r, sqlx::Sqlite>
        + sqlx::Type<sqlx::Sqlite>
        + for<'r> sqlx::Decode<'r, sqlx::Postgres>
        + sqlx::Type<sqlx::Postgres>,
{
}

impl Row {
    /// The value of a column by its name in the statement.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T, DatabaseError> {
        match self {
            Self::Lite(row) => row.try_get(column),
            Self::Pg(row) => row.try_get(column),
        }
        .map_err(|source| DatabaseError::sqlx(column, source))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, DatabaseError> {
        self.get(column).map(Timestamp)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, DatabaseError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp))
    }

    pub(crate) fn uuid(&self, column: &'static str) -> Result<Uuid, DatabaseError> {
        self.get(column)
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, DatabaseError> {
        Ok(self.get::<i64>(column)? != 0)
    }

    pub(crate) fn hash(&self, column: &'static str) -> Result<[u8; 32], DatabaseError> {
        self.get::<Vec<u8>>(column)?
            .try_into()
            .map_err(|_| DatabaseError::inconsistent(column, format!("column {column} does not hold 32 bytes")))
    }

    /// A text column that must parse, such as a UID or an enumeration.
    pub(crate) fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, DatabaseError> {
        let text = self.text(column)?;
        parse(&text)
            .ok_or_else(|| DatabaseError::inconsistent(column, format!("column {column} holds an impossible value")))
    }

    pub(crate) fn facility(&self, column: &'static str) -> Result<FacilityId, DatabaseError> {
        self.parsed(column, |text| FacilityId::parse(text).ok())
    }

    pub(crate) fn account(&self, column: &'static str) -> Result<AccountId, DatabaseError> {
        self.parsed(column, |text| AccountId::parse(text).ok())
    }

    pub(crate) fn optional_account(&self, column: &'static str) -> Result<Option<AccountId>, DatabaseError> {
        match self.get::<Option<String>>(column)? {
            None => Ok(None),
            Some(text) => AccountId::parse(&text)
                .map(Some)
                .map_err(|_| DatabaseError::inconsistent(column, format!("column {column} holds an impossible value"))),
        }
    }
}
