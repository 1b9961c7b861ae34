//! A PostgreSQL, MySQL or MariaDB server: its pool of connections, and the form of our own tables there.
//!
//! Both kinds run at READ COMMITTED, also where the server's default is another: who waited for the lock of a row then
//! sees what the other wrote. MySQL's own default, REPEATABLE READ, would show the state from before the wait.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor};

use super::link::{Connection, Link};
use super::options::{mysql_options, postgres_options};
use super::{CALL_LIMIT, Dialect};
use crate::config::DatabaseUrl;

/// Each serves hundreds of transactions a second; the password hash is what takes time.
const CONNECTIONS: u32 = 8;
/// A connection that lay longer than this is looked at before use: the server may have ended it.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// For the one connection that changes the form of tables, which waits for no call.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for another gateway that changes the tables.
const MIGRATION_LOCK_SECONDS: u32 = 30;

/// No wait for a lock outlives its call, and a gateway that died amid a transaction holds up the others for ten seconds
/// at most.
const POSTGRES_SESSION: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET lock_timeout = '1300ms'; SET idle_in_transaction_session_timeout = '10s'";
/// Strict, so that a text that is too long is refused and never cut.
const MYSQL_SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 1, sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";

/// Connections to a server, made at first use.
pub(in crate::store) enum Server {
    Postgres(PgPool),
    MySql(MySqlPool),
}

impl Server {
    /// Prepares connections. Needs a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// A URL that the driver does not take.
    pub(in crate::store) fn postgres(url: &DatabaseUrl) -> Result<Self, sqlx::Error> {
        let options = postgres_options(url)?;
        let pool = pool(PgPoolOptions::new(), POSTGRES_SESSION.to_owned());
        Ok(Self::Postgres(pool.connect_lazy_with(options)))
    }

    /// As [`Server::postgres`].
    pub(in crate::store) fn mysql(url: &DatabaseUrl) -> Result<Self, sqlx::Error> {
        Self::mysql_with(url, MYSQL_SESSION.to_owned())
    }

    /// As [`Server::mysql`], where each connection begins with these statements too.
    pub(in crate::store) fn mysql_limited(url: &DatabaseUrl, limits: &str) -> Result<Self, sqlx::Error> {
        Self::mysql_with(url, format!("{MYSQL_SESSION}; {limits}"))
    }

    fn mysql_with(url: &DatabaseUrl, session: String) -> Result<Self, sqlx::Error> {
        let options = mysql_options(url)?;
        Ok(Self::MySql(pool(MySqlPoolOptions::new(), session).connect_lazy_with(options)))
    }

    /// How statements are written for it.
    pub(in crate::store) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MySql(_) => Dialect::MySql,
        }
    }

    /// A connection on which each statement is a transaction of its own.
    pub(in crate::store) async fn link(&self) -> Result<Link, sqlx::Error> {
        let connection = match self {
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            Self::MySql(pool) => Connection::MySql(pool.acquire().await?),
        };
        Ok(Link::new(connection))
    }

    /// A connection in a transaction, of which nothing is left unless it is committed.
    pub(in crate::store) async fn begin(&self) -> Result<Link, sqlx::Error> {
        let mut link = self.link().await?;
        link.begin().await?;
        Ok(link)
    }

    /// Brings the tables of our own to the form of this version. Of several gateways that start at once, one does it and
    /// the others wait. It uses a connection of its own, on which a statement may take as long as a large table needs.
    ///
    /// MySQL does not undo a step that was broken off, by the death of the gateway or of the server: it is taken again as
    /// a whole, so that each of its statements must let stand what it finds.
    pub(in crate::store) async fn migrate(&self, migrations: &Migrator) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => {
                let mut connection = connected(pool.connect_options().connect()).await?;
                let wait = format!("SET lock_timeout = '{MIGRATION_LOCK_SECONDS}s'");
                sqlx::raw_sql(AssertSqlSafe(wait)).execute(&mut connection).await?;
                migrated(connection, migrations).await
            }
            Self::MySql(pool) => {
                let mut connection = connected(pool.connect_options().connect()).await?;
                // The lock that sqlx asks for without a limit is none on MariaDB, which takes a negative limit for no
                // wait at all.
                let lock = format!(
                    "SELECT get_lock(left(concat('tollgate/', database()), 64), {MIGRATION_LOCK_SECONDS})"
                );
                let locked: Option<i64> =
                    sqlx::query_scalar(AssertSqlSafe(lock)).fetch_one(&mut connection).await?;
                if locked != Some(1) {
                    let why = "another gateway has been changing the tables for too long";
                    return Err(sqlx::Error::Io(std::io::Error::other(why)).into());
                }
                if let Err(MigrateError::Dirty(_)) = migrations.run_direct(None, &mut connection, false).await
                {
                    let forget = "DELETE FROM _sqlx_migrations WHERE success = FALSE";
                    sqlx::raw_sql(forget).execute(&mut connection).await?;
                }
                migrated(connection, migrations).await
            }
        }
    }

    /// Whether the server answered that it will never do what it was asked, unlike one that is busy or starts.
    pub(in crate::store) fn is_final(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Configuration(_) | sqlx::Error::ColumnNotFound(_) => true,
            sqlx::Error::Database(error) if is_full(&**error) => false,
            // Classes of SQLSTATE: no such name or no right to it, no entry, no such database or schema.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["42", "28", "3D", "3F"].into_iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }
}

/// Whether this user has too many connections to a MySQL at this time: its SQLSTATE is that of a mistake in SQL.
fn is_full(error: &dyn sqlx::error::DatabaseError) -> bool {
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    error.is_some_and(|error| matches!(error.number(), 1203 | 1226))
}

async fn connected<C>(connecting: impl Future<Output = Result<C, sqlx::Error>>) -> Result<C, sqlx::Error> {
    match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn migrated<C>(mut connection: C, migrations: &Migrator) -> Result<(), MigrateError>
where
    C: sqlx::Connection + Migrate,
{
    let done = migrations.run_direct(None, &mut connection, false).await;
    // Locks go with their connection, however it ends.
    let _ = connection.close().await;
    done
}

fn pool<DB: sqlx::Database>(options: PoolOptions<DB>, session: String) -> PoolOptions<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    options
        .max_connections(CONNECTIONS)
        .acquire_timeout(CALL_LIMIT)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata: PoolConnectionMetadata| {
            Box::pin(async move {
                if metadata.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            // Made of fixed words and of numbers.
            let session = sqlx::raw_sql(AssertSqlSafe(session.clone()));
            Box::pin(async move { connection.execute(session).await.map(drop) })
        })
}
