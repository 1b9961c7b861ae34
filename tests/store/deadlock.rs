//! Another transaction that locks the rows of a call in the opposite order, or holds one for too long: the call begins anew,
//! its caller sees success, and it is done once.

use futures_util::future::join;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tollgate::store::{Missing, Rotated, Store, Unanswered, UserId, Which, open_store};

use crate::support::{DatabaseKind, DatabaseServer, within};
use crate::{LATER, NOW, database, log_in, rotation, token};

/// How the deadlock is always found by the store's own connection: before the other's would look, which begins to wait
/// later, and with time enough to begin anew.
const STORE_LOOKS: &str = "&options[deadlock_timeout]=600ms";

/// A connection of somebody else.
enum Other {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

impl Other {
    async fn connect(kind: DatabaseKind, server: &DatabaseServer) -> Self {
        match kind {
            DatabaseKind::Postgres => Self::Postgres(PgConnection::connect(&server.url()).await.unwrap()),
            DatabaseKind::MariaDb => Self::MariaDb(MySqlConnection::connect(&server.url()).await.unwrap()),
        }
    }

    async fn execute(&mut self, statement: &str) {
        let done = match self {
            Self::Postgres(connection) => connection.execute(statement_of(statement)).await.map(drop),
            Self::MariaDb(connection) => connection.execute(statement_of(statement)).await.map(drop),
        };
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    async fn number(&mut self, statement: &str) -> i64 {
        let query = AssertSqlSafe(statement.to_owned());
        let number = match self {
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
            Self::MariaDb(connection) => sqlx::query_scalar(query).fetch_one(connection).await,
        };
        number.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// How many deadlocks the server has found.
    async fn deadlocks(&mut self) -> i64 {
        match self {
            Self::Postgres(_) => {
                self.number("SELECT deadlocks FROM pg_stat_database WHERE datname = 'site'").await
            }
            Self::MariaDb(_) => self.status("innodb_deadlocks").await,
        }
    }

    /// How often somebody had to wait for a lock of another; on PostgreSQL how many wait now.
    async fn waits(&mut self) -> i64 {
        match self {
            Self::Postgres(_) => self.number("SELECT count(*) FROM pg_locks WHERE NOT granted").await,
            Self::MariaDb(_) => self.status("innodb_row_lock_waits").await,
        }
    }

    async fn status(&mut self, variable: &str) -> i64 {
        let statement = format!(
            "SELECT CAST(variable_value AS signed) FROM information_schema.global_status \
             WHERE variable_name = '{variable}'"
        );
        self.number(&statement).await
    }

    async fn until_waits(&mut self, waits: i64) {
        within("the store waits for a lock", async { while self.waits().await < waits {} }).await;
    }
}

fn statement_of(statement: &str) -> sqlx::RawSql {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
}

async fn start(kind: DatabaseKind) -> (DatabaseServer, std::sync::Arc<dyn Store>) {
    let server = DatabaseServer::start(kind).await;
    let settings = if kind == DatabaseKind::Postgres { STORE_LOOKS } else { "" };
    let here = database(&format!("{}{settings}", server.url()));
    let store = open_store(&here, Missing::Create, Unanswered::Refuse).await.unwrap();
    log_in(&*store, "s1", &UserId::new("7"), &token("j1")).await;
    (server, store)
}

/// That the exchange of `j1` for `j2` was done, and once.
async fn assert_done_once(store: &dyn Store, other: &mut Other) {
    let live = store.live_refresh_tokens(Which::Session("s1"), NOW).await.unwrap();
    assert_eq!(live, [("j2".to_owned(), LATER)]);
    for (table, rows) in [("sessions", 1), ("blacklist", 1), ("refresh_tokens", 2)] {
        assert_eq!(other.number(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
}

pub(crate) async fn in_opposite_order(kind: Option<DatabaseKind>) {
    let kind = kind.expect("a server");
    let (server, store) = start(kind).await;
    let (mut other, mut watch) = (Other::connect(kind, &server).await, Other::connect(kind, &server).await);
    // Of two, InnoDB ends the one that did less.
    other.execute("CREATE TABLE ballast (number integer)").await;
    other.execute("BEGIN").await;
    let rows: Vec<String> = (0..200).map(|number| format!("({number})")).collect();
    other.execute(&format!("INSERT INTO ballast VALUES {}", rows.join(", "))).await;
    other.execute("UPDATE refresh_tokens SET expires_at = expires_at WHERE jti = 'j1'").await;
    assert_eq!(watch.deadlocks().await, 0);

    let new = token("j2");
    let exchange = rotation("j1", &new);
    let waits = watch.waits().await;
    let crossing = async {
        watch.until_waits(waits + 1).await;
        // The exchange has this row, and is broken off in favour of this.
        other.execute("UPDATE sessions SET ends_at = ends_at WHERE sid = 's1'").await;
        other.execute("COMMIT").await;
    };
    let (rotated, ()) = join(store.rotate(&exchange), crossing).await;
    assert_eq!(rotated.unwrap(), Rotated::Done);
    assert_done_once(&*store, &mut other).await;
    // PostgreSQL tells it a little later.
    within("the deadlock is counted", async { while watch.deadlocks().await != 1 {} }).await;
}

/// MySQL ends a wait of a second. PostgreSQL would end one only when the time of the call is almost over.
pub(crate) async fn a_long_wait(kind: Option<DatabaseKind>) {
    let kind = kind.expect("a server");
    let (server, store) = start(kind).await;
    let (mut other, mut watch) = (Other::connect(kind, &server).await, Other::connect(kind, &server).await);
    other.execute("BEGIN").await;
    other.execute("UPDATE refresh_tokens SET expires_at = expires_at WHERE jti = 'j1'").await;

    let new = token("j2");
    let exchange = rotation("j1", &new);
    let waits = watch.waits().await;
    let holding = async {
        watch.until_waits(waits + 2).await;
        other.execute("COMMIT").await;
    };
    let (rotated, ()) = join(store.rotate(&exchange), holding).await;
    assert_eq!(rotated.unwrap(), Rotated::Done);
    assert_done_once(&*store, &mut other).await;
}
