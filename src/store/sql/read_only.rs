//! Statements that the owner of the gateway's file wrote: carried out where nothing can be written, for a short time, and
//! for a few rows of one value each, which keeps the type that its database gives it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use rusqlite::OpenFlags;
use serde_json::{Number, Value};
use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Column as _, Executor, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _,
    ValueRef as _,
};
use tokio::runtime::Handle;

use super::{CALL_LIMIT, Dialect, LOCK_LIMIT, Pool, Server, Sql, Statement, current, query};
use crate::config::Database;

/// More rows than this are asked for by nobody who reads them in a token.
const MOST_ROWS: usize = 256;
/// A server ends a statement after this many milliseconds, a little before nobody waits for it any more.
const SERVER_LIMIT: &str = "1400";
/// SQLite looks at the clock after so many steps of its machine: a small part of a millisecond.
const STEPS: i32 = 10_000;
/// So many characters of a value are fetched.
const MOST_CHARACTERS: &str = "4097";

/// A statement with one column, and with the same parameter at each of its places.
pub(in crate::store) struct Question {
    /// As it is carried out.
    statement: Statement,
    /// As it was written, but for the parameters: what the database is asked to judge.
    plain: Statement,
    parameters: usize,
}

/// Why a statement gives no value.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum QuestionError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("it has {0} columns, where one is needed")]
    Columns(usize),
    #[error("it does not only read")]
    Writes,
    #[error("it is no query that could be a part of another: {0}")]
    NoQuery(sqlx::Error),
    #[error("it gives more than {MOST_ROWS} rows")]
    Rows,
    #[error("it gives a value of the type {0}, which has no place in a token: cast it to a text")]
    Type(String),
}

impl Question {
    /// A statement in pieces, in whose gaps the parameter stands.
    pub(in crate::store) fn new(dialect: Dialect, pieces: &[String]) -> Self {
        let plain = dialect.joined(pieces);
        let statement = match dialect {
            // The database writes each value as a text, whatever its type, and says which it was.
            Dialect::Postgres => format!(
                "SELECT left(CAST(t.v AS text), {MOST_CHARACTERS}), CAST(pg_typeof(t.v) AS text) \
                 FROM (\n{plain}\n) AS t(v) LIMIT {}",
                MOST_ROWS + 1
            )
            .into(),
            Dialect::Sqlite | Dialect::MySql => plain.clone(),
        };
        Self { statement, plain, parameters: pieces.len().saturating_sub(1) }
    }
}

impl Dialect {
    fn joined(self, pieces: &[String]) -> Statement {
        let mut pieces = pieces.iter();
        let mut joined = pieces.next().cloned().unwrap_or_default();
        for (number, piece) in (1..).zip(pieces) {
            match self {
                Self::Postgres => write!(joined, "CAST(${number} AS text){piece}"),
                Self::Sqlite | Self::MySql => write!(joined, "?{piece}"),
            }
            .expect("a string takes all text");
        }
        joined.into()
    }
}

impl Sql {
    /// Prepares connections on which nothing is done but [`Sql::judge`] and [`Sql::ask`]. Needs a tokio runtime, which must
    /// outlive it.
    ///
    /// # Errors
    /// As [`Sql::open`].
    pub(in crate::store) fn open_for_questions(database: &Database) -> Result<Self, sqlx::Error> {
        let Database::MySql(url) = database else { return Self::open(database) };
        // The limit on time has two names. Each server takes the other's for a comment.
        let limits = format!(
            "SET SESSION TRANSACTION READ ONLY; SET /*M! max_statement_time = {SERVER_LIMIT} / 1000, */ \
             /*!50708 max_execution_time = {SERVER_LIMIT}, */ sql_select_limit = {}",
            MOST_ROWS + 1
        );
        let pool = Pool::Server(Server::mysql_limited(url, &limits)?);
        Ok(Self { shown: database.to_string(), pool })
    }

    /// Which database, for messages.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }

    /// What comes of it within the time that a call may take.
    pub(in crate::store) async fn within_limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(CALL_LIMIT, work).await.ok()
    }

    /// Asks the database whether it would carry this out, and does not.
    pub(in crate::store) async fn judge(&self, question: &Question) -> Result<(), QuestionError> {
        let text = AssertSqlSafe(question.plain.clone()).into_sql_str();
        let columns = match &self.pool {
            Pool::Sqlite { file, open } => {
                let mut connection = current(file, open)?.acquire().await?;
                let columns = connection.prepare(text).await?.columns().len();
                if columns == 1 && !only_reads(file, question.plain.clone()).await? {
                    return Err(QuestionError::Writes);
                }
                columns
            }
            Pool::Server(Server::Postgres(pool)) => {
                let mut connection = pool.acquire().await?;
                let columns = connection.prepare(text).await?.columns().len();
                if columns == 1 {
                    // A statement that writes can't be a part of a query.
                    let statement = AssertSqlSafe(question.statement.clone()).into_sql_str();
                    connection.prepare(statement).await.map_err(|error| {
                        match has_code(&error, &["42", "0A"]) {
                            true => QuestionError::NoQuery(error),
                            false => error.into(),
                        }
                    })?;
                }
                columns
            }
            Pool::Server(Server::MySql(pool)) => {
                let mut connection = pool.acquire().await?;
                // MariaDB has statements that write and give columns; it looks at them in the session that only reads.
                let statement =
                    connection.prepare(text).await.map_err(|error| match has_code(&error, &["25006"]) {
                        true => QuestionError::Writes,
                        false => error.into(),
                    })?;
                if let [column] = statement.columns() {
                    let given = column.type_info().name();
                    if is_packed(given) {
                        return Err(QuestionError::Type(given.to_owned()));
                    }
                }
                statement.columns().len()
            }
        };
        if columns == 1 { Ok(()) } else { Err(QuestionError::Columns(columns)) }
    }

    /// The values that a statement gives for this parameter, without those that are null.
    pub(in crate::store) async fn ask(
        &self,
        question: &Question,
        parameter: &str,
    ) -> Result<Vec<Value>, QuestionError> {
        let parameters = vec![parameter; question.parameters];
        let found = match &self.pool {
            Pool::Sqlite { file, open } => {
                let mut connection = current(file, open)?.acquire().await?;
                let deadline = Instant::now() + CALL_LIMIT;
                connection
                    .lock_handle()
                    .await?
                    .set_progress_handler(STEPS, move || Instant::now() < deadline);
                connection.execute("PRAGMA query_only = 1").await?;
                let rows = query::<sqlx::Sqlite>(&question.statement, &parameters).fetch(&mut *connection);
                bounded(rows.map_err(QuestionError::from).and_then(async |row| sqlite_value(&row))).await?
            }
            Pool::Server(Server::Postgres(pool)) => {
                let begin =
                    AssertSqlSafe(format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {SERVER_LIMIT}"));
                let mut transaction = pool.begin_with(begin).await?;
                let rows = query::<sqlx::Postgres>(&question.statement, &parameters);
                let rows = rows.fetch_all(&mut *transaction).await?;
                transaction.rollback().await?;
                rows.iter()
                    .map(|row| postgres_value(row.try_get(0)?, row.try_get(1)?))
                    .collect::<Result<Vec<_>, QuestionError>>()?
            }
            Pool::Server(Server::MySql(pool)) => {
                // Each connection has its limits from its beginning.
                let rows = query::<sqlx::MySql>(&question.statement, &parameters).fetch(pool);
                bounded(rows.map_err(QuestionError::from).and_then(async |row| mysql_value(&row))).await?
            }
        };
        if found.len() > MOST_ROWS {
            return Err(QuestionError::Rows);
        }
        Ok(found.into_iter().filter(|value| !value.is_null()).collect())
    }
}

/// Whether the SQLSTATE of an error begins with one of these.
fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| codes.iter().any(|begin| code.starts_with(begin)))
}

/// Whether SQLite would carry a statement out without a change to the file, which sqlx does not tell.
async fn only_reads(file: &Path, statement: Statement) -> Result<bool, sqlx::Error> {
    let file = file.to_owned();
    let looking = Handle::current().spawn_blocking(move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(LOCK_LIMIT)?;
        Ok::<_, rusqlite::Error>(connection.prepare(&statement)?.readonly())
    });
    let looked = looking.await.map_err(std::io::Error::other)?;
    Ok(looked.map_err(std::io::Error::other)?)
}

/// One row more than is taken, at most.
async fn bounded(
    rows: impl futures_util::Stream<Item = Result<Value, QuestionError>>,
) -> Result<Vec<Value>, QuestionError> {
    use futures_util::StreamExt as _;
    rows.take(MOST_ROWS + 1).try_collect().await
}

/// Of the type that the value has. SQLite has no truth values: a column that was declared as such holds 0 and 1.
fn sqlite_value(row: &SqliteRow) -> Result<Value, QuestionError> {
    let [column] = row.columns() else { return Err(QuestionError::Columns(row.len())) };
    let raw = row.try_get_raw(0)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let given = raw.type_info().name().to_owned();
    match given.as_str() {
        "INTEGER" if column.type_info().name() == "BOOLEAN" => {
            Ok(Value::Bool(row.try_get_unchecked::<i64, _>(0)? != 0))
        }
        "INTEGER" => Ok(row.try_get_unchecked::<i64, _>(0)?.into()),
        "REAL" => float(row.try_get_unchecked(0)?, given),
        "TEXT" => Ok(row.try_get_unchecked::<String, _>(0)?.into()),
        _ => Err(QuestionError::Type(given)),
    }
}

/// Of the type that it had before it became a text.
fn postgres_value(text: Option<String>, given: String) -> Result<Value, QuestionError> {
    let Some(text) = text else { return Ok(Value::Null) };
    match given.as_str() {
        "smallint" | "integer" | "bigint" => match text.parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(QuestionError::Type(given)),
        },
        "real" | "double precision" => match text.parse() {
            Ok(number) => float(number, given),
            Err(_) => Err(QuestionError::Type(given)),
        },
        "boolean" => Ok(Value::Bool(text == "true")),
        _ => Ok(text.into()),
    }
}

/// Of the type of its column.
fn mysql_value(row: &MySqlRow) -> Result<Value, QuestionError> {
    let [column] = row.columns() else { return Err(QuestionError::Columns(row.len())) };
    if row.try_get_raw(0)?.is_null() {
        return Ok(Value::Null);
    }
    let given = column.type_info().name();
    match given {
        "BOOLEAN" => Ok(Value::Bool(row.try_get_unchecked(0)?)),
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
        | "BIGINT UNSIGNED" => Ok(row.try_get_unchecked::<u64, _>(0)?.into()),
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            Ok(row.try_get_unchecked::<i64, _>(0)?.into())
        }
        "FLOAT" | "DOUBLE" => float(row.try_get_unchecked(0)?, given.to_owned()),
        _ if is_packed(given) => Err(QuestionError::Type(given.to_owned())),
        // Texts, and what is sent as one: decimals, and texts that are compared by their bytes.
        _ => match String::from_utf8(row.try_get_unchecked(0)?) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(QuestionError::Type(given.to_owned())),
        },
    }
}

/// Whether MySQL's answer to a prepared statement has a value of this type as bits of its own.
fn is_packed(given: &str) -> bool {
    matches!(given, "DATE" | "TIME" | "DATETIME" | "TIMESTAMP" | "YEAR" | "BIT" | "GEOMETRY")
}

/// JSON has neither infinities nor what is no number.
fn float(number: f64, given: String) -> Result<Value, QuestionError> {
    Number::from_f64(number).map(Value::Number).ok_or(QuestionError::Type(given))
}
