//! Databases of one of three kinds, and statements of texts for those that are not ours alone.
//!
//! What they share is small. A statement is written once, with `?` for its parameters, and brought into the words of
//! the database when it is opened ([`Dialect`]). Parameters and columns of a table that is not ours are all texts,
//! converted by the database itself, so that an integer, a `uuid` and a `timestamptz` need no type of their own here.
//! Our own tables on a server are asked through [`Server`] itself, with typed values.

mod dialect;
mod link;
mod options;
mod read_only;
mod server;
mod value;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Encode, Row as _, Type};

pub(super) use self::dialect::Dialect;
pub(super) use self::link::Link;
pub(super) use self::read_only::{Question, QuestionError};
pub(super) use self::server::Server;
pub(super) use self::value::{Selected, Value};
use super::limits::{CALL_LIMIT, LOCK_LIMIT};
use super::sqlite::FileId;
use super::{Answer, StoreError};
use crate::config::Database;

/// Each serves hundreds of look-ups a second; the password hash is what takes time.
const CONNECTIONS: u32 = 8;

/// One row: a text for each column, or null.
pub(super) type Row = Vec<Option<String>>;

/// A statement in the words of its database.
pub(super) type Statement = Arc<str>;

/// Connections to one database, made at first use.
pub(super) struct Sql {
    shown: String,
    pool: Pool,
}

enum Pool {
    /// With the file that lay at the path when it was opened.
    Sqlite {
        file: PathBuf,
        open: ArcSwap<(FileId, sqlx::SqlitePool)>,
    },
    Server(Server),
}

impl Sql {
    /// Prepares connections. Needs a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// A URL that the driver does not take, or an SQLite file that is not there.
    pub(super) fn open(database: &Database) -> Result<Self, sqlx::Error> {
        let pool = match database {
            Database::Sqlite(file) => {
                let id = FileId::of(file)?;
                Pool::Sqlite { file: file.clone(), open: ArcSwap::from_pointee((id, sqlite(file))) }
            }
            Database::Postgres(url) => Pool::Server(Server::postgres(url)?),
            Database::MySql(url) => Pool::Server(Server::mysql(url)?),
        };
        Ok(Self { shown: database.to_string(), pool })
    }

    /// How statements are written for it.
    pub(super) fn dialect(&self) -> Dialect {
        match &self.pool {
            Pool::Sqlite { .. } => Dialect::Sqlite,
            Pool::Server(server) => server.dialect(),
        }
    }

    /// The rows that a statement selects.
    pub(super) async fn rows(&self, statement: &Statement, values: &[&str]) -> Result<Vec<Row>, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite { file, open } => {
                let found = query(statement, values).fetch_all(&current(file, open)?).await?;
                found.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect()).collect()
            }
            Pool::Server(server) => {
                let found = server.link().await?.rows(statement, &texts(values)).await?;
                found.iter().map(|row| (0..row.len()).map(|column| row.get(column)).collect()).collect()
            }
        }
    }

    /// Carries a statement out, alone in its transaction; answers how many rows it changed.
    pub(super) async fn execute(&self, statement: &Statement, values: &[&str]) -> Result<u64, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite { file, open } => {
                Ok(query(statement, values).execute(&current(file, open)?).await?.rows_affected())
            }
            Pool::Server(server) => server.link().await?.execute(statement, &texts(values)).await,
        }
    }

    /// Gives a call its limit and its errors a meaning.
    pub(super) fn call<'a, T: 'a>(
        &'a self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(limited(&self.shown, work))
    }

    /// Whether the database answered that it will never do what it was asked, unlike one that is busy or starts.
    pub(super) fn is_final(&self, error: &sqlx::Error) -> bool {
        match (error, &self.pool) {
            (_, Pool::Server(_)) => Server::is_final(error),
            (sqlx::Error::Configuration(_) | sqlx::Error::ColumnNotFound(_), _) => true,
            // SQLITE_ERROR: no such table or column.
            (sqlx::Error::Database(error), _) => error.code().is_some_and(|code| code == "1"),
            _ => false,
        }
    }

    /// The error of a database that does not answer as it should.
    pub(super) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        unavailable(&self.shown, source)
    }
}

/// Gives a call its limit and its errors a meaning.
pub(super) async fn limited<T>(
    shown: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_LIMIT, work).await {
        Ok(done) => done.map_err(|error| match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => StoreError::Conflict,
            _ => unavailable(shown, error),
        }),
        Err(elapsed) => Err(unavailable(shown, elapsed)),
    }
}

pub(super) fn unavailable(
    shown: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable { database: shown.to_owned(), source: source.into() }
}

fn texts<'v>(values: &[&'v str]) -> Vec<Value<'v>> {
    values.iter().map(|value| Value::from(*value)).collect()
}

/// A moved or removed file stays open, and would answer with users of the past.
fn current(file: &Path, open: &ArcSwap<(FileId, sqlx::SqlitePool)>) -> Result<sqlx::SqlitePool, sqlx::Error> {
    let id = FileId::of(file)?;
    let known = open.load();
    if known.0 == id {
        return Ok(known.1.clone());
    }
    let pool = sqlite(file);
    open.store(Arc::new((id, pool.clone())));
    Ok(pool)
}

/// In whatever journal mode its owner chose.
fn sqlite(file: &Path) -> sqlx::SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .busy_timeout(LOCK_LIMIT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CALL_LIMIT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn query<'q, DB>(statement: &Statement, values: &[&str]) -> sqlx::query::Query<'q, DB, DB::Arguments>
where
    DB: sqlx::Database,
    for<'v> String: Encode<'v, DB> + Type<DB>,
{
    // Made of fixed words and of names that the file's reader let through.
    let query = sqlx::query::<DB>(AssertSqlSafe(Arc::clone(statement)));
    values.iter().fold(query, |query, value| query.bind((*value).to_owned()))
}
