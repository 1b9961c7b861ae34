//! A PostgreSQL, MySQL or MariaDB server: its connections, and statements with typed values.
//!
//! Both kinds run at READ COMMITTED, also where the server's default is another: who waited for the lock of a row then
//! sees what the other wrote. MySQL's own default, REPEATABLE READ, would show the state from before the wait.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow, PgSslMode, Postgres};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Decode, Encode, Executor, IntoArguments, Row as _, Type,
};

use super::{CALL_LIMIT, Dialect};
use crate::base::UnixTime;
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

/// A connection for one call.
pub(in crate::store) struct Link {
    connection: Connection,
    in_transaction: bool,
    /// Whether an answer is still to come.
    is_waiting: bool,
}

enum Connection {
    Postgres(PoolConnection<Postgres>),
    MySql(PoolConnection<MySql>),
}

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

impl Server {
    /// Prepares connections. Needs a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// A URL that the driver does not take.
    pub(in crate::store) fn postgres(url: &DatabaseUrl) -> Result<Self, sqlx::Error> {
        let options = postgres_options(url)?;
        Ok(Self::Postgres(pool(PgPoolOptions::new(), POSTGRES_SESSION).connect_lazy_with(options)))
    }

    /// As [`Server::postgres`].
    pub(in crate::store) fn mysql(url: &DatabaseUrl) -> Result<Self, sqlx::Error> {
        let options = mysql_options(url)?;
        Ok(Self::MySql(pool(MySqlPoolOptions::new(), MYSQL_SESSION).connect_lazy_with(options)))
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
        Ok(Link { connection, in_transaction: false, is_waiting: false })
    }

    /// A connection in a transaction, of which nothing is left unless it is committed.
    pub(in crate::store) async fn begin(&self) -> Result<Link, sqlx::Error> {
        let mut link = self.link().await?;
        link.in_transaction = true;
        link.command("BEGIN").await?;
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

impl Link {
    /// Whose SQL it takes.
    pub(in crate::store) fn dialect(&self) -> Dialect {
        match &self.connection {
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::MySql(_) => Dialect::MySql,
        }
    }

    /// The rows that a statement selects. Its parameters are written `?`.
    pub(in crate::store) async fn rows(
        &mut self,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<Selected>, sqlx::Error> {
        self.is_waiting = true;
        let rows = match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = query(numbered(statement), values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(Selected::Postgres).collect())
            }
            Connection::MySql(connection) => {
                let rows = query(statement.to_owned(), values).fetch_all(&mut **connection).await;
                rows.map(|rows| rows.into_iter().map(Selected::MySql).collect())
            }
        };
        self.is_waiting = false;
        rows
    }

    /// The first row of them.
    pub(in crate::store) async fn row(
        &mut self,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<Option<Selected>, sqlx::Error> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Carries out several statements without values that go in one message; answers the rows of all.
    pub(in crate::store) async fn script(
        &mut self,
        statements: String,
    ) -> Result<Vec<Selected>, sqlx::Error> {
        self.is_waiting = true;
        // Made of fixed words and of numbers.
        let script = sqlx::raw_sql(AssertSqlSafe(statements));
        let rows = match &mut self.connection {
            Connection::Postgres(connection) => {
                let rows = connection.fetch_all(script).await;
                rows.map(|rows| rows.into_iter().map(Selected::Postgres).collect())
            }
            Connection::MySql(connection) => {
                let rows = connection.fetch_all(script).await;
                rows.map(|rows| rows.into_iter().map(Selected::MySql).collect())
            }
        };
        self.is_waiting = false;
        rows
    }

    /// Carries a statement out; answers how many rows it was about. On MySQL too these are those that it found, whether
    /// they had the new values already or not.
    pub(in crate::store) async fn execute(
        &mut self,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        self.is_waiting = true;
        let done = match &mut self.connection {
            Connection::Postgres(connection) => query(numbered(statement), values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
            Connection::MySql(connection) => query(statement.to_owned(), values)
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected()),
        };
        self.is_waiting = false;
        done
    }

    /// Inserts a row; `false` if there is one with its key. Where another transaction is about to insert it, this waits
    /// for the end of that.
    pub(in crate::store) async fn insert_new(
        &mut self,
        insert: &str,
        values: &[Value<'_>],
    ) -> Result<bool, sqlx::Error> {
        match self.dialect() {
            // INSERT IGNORE would also cut what is too long. An error ends only its statement here.
            Dialect::MySql => match self.execute(insert, values).await {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
                done => Ok(done? == 1),
            },
            Dialect::Postgres | Dialect::Sqlite => {
                Ok(self.execute(&format!("{insert} ON CONFLICT DO NOTHING"), values).await? == 1)
            }
        }
    }

    /// Makes what the transaction did lasting and visible.
    pub(in crate::store) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    /// Takes back what the transaction did. Dropping it does so too, at the cost of the connection.
    pub(in crate::store) async fn roll_back(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, command: &'static str) -> Result<(), sqlx::Error> {
        self.command(command).await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn command(&mut self, command: &'static str) -> Result<(), sqlx::Error> {
        self.is_waiting = true;
        let done = match &mut self.connection {
            Connection::Postgres(connection) => connection.execute(sqlx::raw_sql(command)).await.map(drop),
            Connection::MySql(connection) => connection.execute(sqlx::raw_sql(command)).await.map(drop),
        };
        self.is_waiting = false;
        done
    }
}

impl Drop for Link {
    /// Nobody knows when a server answers that has not by now: the pool must not wait for it with the connection.
    fn drop(&mut self) {
        if self.in_transaction || self.is_waiting {
            match &mut self.connection {
                Connection::Postgres(connection) => connection.close_on_drop(),
                Connection::MySql(connection) => connection.close_on_drop(),
            }
        }
    }
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
fn numbered(statement: &str) -> String {
    let mut parts = statement.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        numbered.push('$');
        numbered.push_str(&usize::to_string(&number));
        numbered.push_str(part);
    }
    numbered
}

fn query<'q, DB>(statement: String, values: &[Value<'_>]) -> sqlx::query::Query<'q, DB, DB::Arguments>
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

fn pool<DB: sqlx::Database>(options: PoolOptions<DB>, session: &'static str) -> PoolOptions<DB>
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
            Box::pin(async move { connection.execute(sqlx::raw_sql(session)).await.map(drop) })
        })
}

/// A server elsewhere must prove who it is, unless the URL says otherwise: it is told what logs everybody in.
fn postgres_options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(text(url)?)?.disable_statement_logging();
    let must_prove = !url.says_tls && !url.is_local;
    Ok(if must_prove { options.ssl_mode(PgSslMode::VerifyFull) } else { options })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Database, Users};

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
