//! The steps from an empty database to this version's tables, and what to do until the server lets them be taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use tokio::runtime::Handle;

use super::Tables;
use crate::base::with_causes;
use crate::store::sql::{Dialect, Server, unavailable};
use crate::store::{OpenError, Unanswered};

/// How often a server is asked again that did not answer at the start.
const AGAIN: Duration = Duration::from_millis(500);

/// Never change a step that was released: add another.
fn steps(dialect: Dialect) -> Migrator {
    let steps = match dialect {
        Dialect::Postgres | Dialect::Sqlite => [
            (1, "users", include_str!("../../../migrations/postgres/0001_users.sql")),
            (2, "sessions", include_str!("../../../migrations/postgres/0002_sessions.sql")),
            (3, "login networks", include_str!("../../../migrations/postgres/0003_login_networks.sql")),
        ],
        Dialect::MySql => [
            (1, "users", include_str!("../../../migrations/mysql/0001_users.sql")),
            (2, "sessions", include_str!("../../../migrations/mysql/0002_sessions.sql")),
            (3, "login networks", include_str!("../../../migrations/mysql/0003_login_networks.sql")),
        ],
    };
    let steps = steps.into_iter().map(|(version, description, sql)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

/// Brings the tables to their form, now or, if the server does not answer and that may be, later.
pub(super) async fn run(tables: &Arc<Tables>, unanswered: Unanswered) -> Result<(), OpenError> {
    match (migrate(Arc::clone(tables)).await, unanswered) {
        (Err(OpenError::Store(error)), Unanswered::Wait) => {
            let why = with_causes(&error);
            tracing::warn!("{why}");
            Handle::current().spawn(until_done(Arc::downgrade(tables), why));
            Ok(())
        }
        (done, _) => done,
    }
}

/// Ends when it is done, or with the store.
async fn until_done(tables: std::sync::Weak<Tables>, mut told: String) {
    loop {
        tokio::time::sleep(AGAIN).await;
        let Some(tables) = tables.upgrade() else { return };
        let shown = tables.shown.clone();
        match migrate(tables).await {
            Ok(()) => {
                tracing::info!("the database {shown} answers");
                return;
            }
            Err(error) => {
                let why = with_causes(&error);
                if why != told {
                    tracing::warn!("{why}");
                    told = why;
                }
            }
        }
    }
}

/// In a task of its own, which goes on if whoever waits for it does not: half a step is worse than none.
async fn migrate(tables: Arc<Tables>) -> Result<(), OpenError> {
    let shown = tables.shown.clone();
    let task = Handle::current().spawn(async move {
        let done = tables.server.migrate(&steps(tables.server.dialect())).await;
        done.map_err(|error| meant(&tables, error))?;
        tables.are_ready.store(true, Ordering::Release);
        Ok(())
    });
    // A runtime that ends breaks it off.
    task.await.unwrap_or_else(|broken_off| Err(OpenError::Store(unavailable(&shown, broken_off))))
}

fn meant(tables: &Tables, error: MigrateError) -> OpenError {
    let database = tables.shown.clone();
    match error {
        MigrateError::Execute(source) if Server::is_final(&source) => {
            OpenError::Refused { database, source: source.into() }
        }
        MigrateError::Execute(source) => OpenError::Store(tables.unavailable(source)),
        MigrateError::ExecuteMigration(source, _) if !Server::is_final(&source) => {
            OpenError::Store(tables.unavailable(source))
        }
        source => OpenError::Migration { file: database, source },
    }
}
