//! A connection to a server for one call, and what is asked on it.

use sqlx::mysql::MySql;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use sqlx::{AssertSqlSafe, Executor};

use super::Dialect;
use super::value::{Selected, Value, numbered, query};

/// A connection for one call.
pub(in crate::store) struct Link {
    connection: Connection,
    in_transaction: bool,
    /// Whether an answer is still to come.
    is_waiting: bool,
}

/// One of a pool.
pub(super) enum Connection {
    Postgres(PoolConnection<Postgres>),
    MySql(PoolConnection<MySql>),
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, in_transaction: false, is_waiting: false }
    }

    /// Begins a transaction, of which nothing is left unless it is committed.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        self.command("BEGIN").await
    }

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
