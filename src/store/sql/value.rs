//! Typed values: those that a statement is given, and those of the rows that it selects.

use sqlx::mysql::{MySql, MySqlRow};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{AssertSqlSafe, Decode, Encode, IntoArguments, Row as _, Type};

use crate::base::UnixTime;

/// A value for a `?` of a statement.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Value<'v> {
    Text(Option<&'v str>),
    Integer(Option<i64>),
    Bytes(Option<&'v [u8]>),
    Truth(bool),
}

/// A row that a statement selected.
pub(in crate::store) enum Selected {
    Postgres(PgRow),
    MySql(MySqlRow),
}

impl Selected {
    /// How many columns it has.
    pub(in crate::store) fn len(&self) -> usize {
        match self {
            Self::Postgres(row) => row.len(),
            Self::MySql(row) => row.len(),
        }
    }

    /// The value of a column.
    pub(in crate::store) fn get<T>(&self, column: usize) -> Result<T, sqlx::Error>
    where
        T: for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, MySql> + Type<MySql>,
    {
        match self {
            Self::Postgres(row) => row.try_get(column),
            // A text is kept as bytes there, so that it is compared as bytes, and the driver takes those for no text.
            Self::MySql(row) => row.try_get_unchecked(column),
        }
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl<'v> From<Option<&'v [u8]>> for Value<'v> {
    fn from(bytes: Option<&'v [u8]>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<UnixTime> for Value<'_> {
    fn from(time: UnixTime) -> Self {
        Self::Integer(Some(time.0))
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

/// `?` as PostgreSQL counts them. No statement has one in a text.
pub(super) fn numbered(statement: &str) -> String {
    let mut parts = statement.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        numbered.push('$');
        numbered.push_str(&usize::to_string(&number));
        numbered.push_str(part);
    }
    numbered
}

/// A statement with its values.
pub(super) fn query<'q, DB>(
    statement: String,
    values: &[Value<'_>],
) -> sqlx::query::Query<'q, DB, DB::Arguments>
where
    DB: sqlx::Database,
    DB::Arguments: IntoArguments<DB>,
    for<'v> Option<&'v str>: Encode<'v, DB> + Type<DB>,
    for<'v> Option<&'v [u8]>: Encode<'v, DB> + Type<DB>,
    for<'v> Option<i64>: Encode<'v, DB> + Type<DB>,
    for<'v> bool: Encode<'v, DB> + Type<DB>,
{
    // Made of fixed words and of names that the file's reader let through.
    let query = sqlx::query::<DB>(AssertSqlSafe(statement));
    values.iter().fold(query, |query, value| match *value {
        Value::Text(text) => query.bind(text),
        Value::Integer(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Truth(truth) => query.bind(truth),
    })
}
