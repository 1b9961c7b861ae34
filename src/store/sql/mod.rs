//! Databases that are not ours alone: one of three kinds, spoken to in statements of texts.
//!
//! What they share is small. A statement is written once, with `?` for its parameters, and brought into the words of
//! the database when it is opened ([`Dialect`]). Parameters and columns are all texts, converted by the database
//! itself, so that an integer, a `uuid` and a `timestamptz` need no type of their own here.

mod dialect;
mod read_only;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ColumnIndex, ConnectOptions, Decode, Encode, Executor, Row as _, Type};

pub(super) use self::dialect::Dialect;
pub(super) use self::read_only::{Question, Unanswered};
use super::sqlite::FileId;
use super::{Answer, StoreError};
use crate::config::{Database, DatabaseUrl};

/// The longest that one call may take, the wait for a connection included: a request makes at most three or four.
const CALL_LIMIT: Duration = Duration::from_millis(1_600);
/// How long SQLite waits for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_300);
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
    Postgres(sqlx::PgPool),
    MySql(sqlx::MySqlPool),
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
            Database::Postgres(url) => Pool::Postgres(postgres(url)?),
            Database::MySql(url) => Pool::MySql(mysql(url)?),
        };
        Ok(Self { shown: database.to_string(), pool })
    }

    /// How statements are written for it.
    pub(super) fn dialect(&self) -> Dialect {
        match &self.pool {
            Pool::Sqlite { .. } => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
            Pool::MySql(_) => Dialect::MySql,
        }
    }

    /// The rows that a statement selects.
    pub(super) async fn rows(&self, statement: &Statement, values: &[&str]) -> Result<Vec<Row>, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite { file, open } => rows(&current(file, open)?, statement, values).await,
            Pool::Postgres(pool) => rows(pool, statement, values).await,
            Pool::MySql(pool) => rows(pool, statement, values).await,
        }
    }

    /// Carries a statement out, alone in its transaction; answers how many rows it changed.
    pub(super) async fn execute(&self, statement: &Statement, values: &[&str]) -> Result<u64, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite { file, open } => {
                let pool = current(file, open)?;
                Ok(execute(&pool, statement, values).await?.rows_affected())
            }
            Pool::Postgres(pool) => Ok(execute(pool, statement, values).await?.rows_affected()),
            Pool::MySql(pool) => Ok(execute(pool, statement, values).await?.rows_affected()),
        }
    }

    /// Brings the tables of our own to the form of this version. Of several gateways that start at once, one does it and
    /// the others wait.
    pub(super) async fn migrate(&self, migrations: &Migrator) -> Result<(), MigrateError> {
        match &self.pool {
            Pool::Sqlite { file, open } => migrations.run(&current(file, open)?).await,
            Pool::Postgres(pool) => migrations.run(pool).await,
            Pool::MySql(pool) => migrate_mysql(pool, migrations).await,
        }
    }

    /// Gives a call its limit and its errors a meaning.
    pub(super) fn call<'a, T>(
        &'a self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            match tokio::time::timeout(CALL_LIMIT, work).await {
                Ok(done) => done.map_err(|error| match &error {
                    sqlx::Error::Database(database) if database.is_unique_violation() => StoreError::Conflict,
                    _ => self.unavailable(error),
                }),
                Err(elapsed) => Err(self.unavailable(elapsed)),
            }
        })
    }

    /// Whether the database answered that it will never do what it was asked, unlike one that is busy or starts.
    pub(super) fn is_final(&self, error: &sqlx::Error) -> bool {
        match (error, &self.pool) {
            (sqlx::Error::Configuration(_) | sqlx::Error::ColumnNotFound(_), _) => true,
            // SQLITE_ERROR: no such table or column.
            (sqlx::Error::Database(error), Pool::Sqlite { .. }) => {
                error.code().is_some_and(|code| code == "1")
            }
            // Classes of SQLSTATE: no such name or no right to it, no entry, no such database or schema.
            (sqlx::Error::Database(error), _) => error.code().is_some_and(|code| {
                ["42", "28", "3D", "3F"].into_iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }

    /// The error of a database that does not answer as it should.
    pub(super) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Unavailable { database: self.shown.clone(), source: source.into() }
    }
}

/// The lock that sqlx asks for without a limit is none on MariaDB, which takes a negative limit for no wait at all.
async fn migrate_mysql(pool: &sqlx::MySqlPool, migrations: &Migrator) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?;
    let locked: Option<i64> =
        sqlx::query_scalar("SELECT get_lock(left(concat('tollgate/', database()), 64), 30)")
            .fetch_one(&mut *connection)
            .await?;
    if locked != Some(1) {
        let why = "another gateway has been changing the tables for 30 seconds";
        return Err(sqlx::Error::Io(std::io::Error::other(why)).into());
    }
    let done = migrations.run(&mut *connection).await;
    // The lock goes with its connection.
    connection.close().await?;
    done
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
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CALL_LIMIT)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn postgres(url: &DatabaseUrl) -> Result<sqlx::PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CALL_LIMIT);
    Ok(pool.connect_lazy_with(postgres_options(url)?))
}

/// A server elsewhere must prove who it is, unless the URL says otherwise: it is told what logs everybody in.
fn postgres_options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(PgSslMode::VerifyFull) } else { options })
}

fn mysql(url: &DatabaseUrl) -> Result<sqlx::MySqlPool, sqlx::Error> {
    let pool = MySqlPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CALL_LIMIT);
    Ok(pool.connect_lazy_with(mysql_options(url)?))
}

/// As for PostgreSQL.
fn mysql_options(url: &DatabaseUrl) -> Result<MySqlConnectOptions, sqlx::Error> {
    let options = MySqlConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(MySqlSslMode::VerifyIdentity) } else { options })
}

fn text(url: &DatabaseUrl) -> Result<&str, sqlx::Error> {
    std::str::from_utf8(url.url.expose()).map_err(|error| sqlx::Error::Configuration(error.into()))
}

async fn rows<DB>(
    pool: &sqlx::Pool<DB>,
    statement: &Statement,
    values: &[&str],
) -> Result<Vec<Row>, sqlx::Error>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'v> String: Encode<'v, DB> + Decode<'v, DB> + Type<DB>,
    for<'v> Option<String>: Decode<'v, DB> + Type<DB>,
    DB::Arguments: sqlx::IntoArguments<DB>,
    usize: ColumnIndex<DB::Row>,
{
    let mut connection = pool.acquire().await?;
    let found = query::<DB>(statement, values).fetch_all(&mut *connection).await?;
    found.iter().map(|row| (0..row.len()).map(|column| row.try_get(column)).collect()).collect()
}

async fn execute<DB>(
    pool: &sqlx::Pool<DB>,
    statement: &Statement,
    values: &[&str],
) -> Result<DB::QueryResult, sqlx::Error>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'v> String: Encode<'v, DB> + Type<DB>,
    DB::Arguments: sqlx::IntoArguments<DB>,
{
    let mut connection = pool.acquire().await?;
    query::<DB>(statement, values).execute(&mut *connection).await
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Users};

    /// The mode of a URL as a `gateway.yaml` has it.
    fn mode(url: &str) -> String {
        let file = format!("issuer: {{ users: {{ django: {{ database: '{url}' }} }} }}");
        let config = config::read_text(&file, Path::new("gateway.yaml"), &|_| None).expect("valid");
        let Some(Users::Django(users)) = config.issuer.map(|issuer| issuer.users) else { panic!("no users") };
        match &users.database {
            Database::Postgres(url) => format!("{:?}", postgres_options(url).unwrap().get_ssl_mode()),
            Database::MySql(url) => format!("{:?}", mysql_options(url).unwrap().get_ssl_mode()),
            Database::Sqlite(_) => panic!("no server"),
        }
    }

    #[test]
    fn a_server_elsewhere_must_show_its_certificate() {
        for (url, expected) in [
            ("postgres://db.example.com/site", "VerifyFull"),
            ("postgres://a@db.example.com:5432/site?sslrootcert=ca.pem", "VerifyFull"),
            ("postgres://localhost/site?host=db.example.com", "VerifyFull"),
            ("postgres://localhost/site?hostaddr=10.0.0.1", "VerifyFull"),
            ("postgres://localhost.example.com/site", "VerifyFull"),
            ("postgres://localhost@db.example.com/site", "VerifyFull"),
            ("postgres://127.0.0.1.example.com/site", "VerifyFull"),
            ("mysql://db.example.com/site", "VerifyIdentity"),
            ("mariadb://10.0.0.1/site", "VerifyIdentity"),
            ("postgres://db.example.com/site?sslmode=disable", "Disable"),
            ("mysql://db.example.com/site?ssl-mode=REQUIRED", "Required"),
            ("postgres://localhost:5432/site", "Prefer"),
            ("postgres://[::1]:5432/site", "Prefer"),
            ("postgres://%2Frun%2Fpostgresql/site", "Prefer"),
            ("postgres:///site?host=/run/postgresql", "Prefer"),
            ("mysql://127.0.0.1/site", "Preferred"),
        ] {
            assert_eq!(mode(url), expected, "{url}");
        }
    }
}
