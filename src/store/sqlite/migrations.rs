//! The steps from an empty database to this version's tables.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr};

use super::unavailable;
use crate::store::OpenError;
use crate::store::limits::LOCK_LIMIT;

/// Takes those steps that were not taken yet, on a connection of its own.
pub(super) async fn run(file: &Path) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(LOCK_LIMIT)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|source| unavailable(file, source))?;
    let done = migrations().run_direct(None, &mut connection, false).await.map_err(|source| match source {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) if is_busy(&source) => {
            OpenError::Store(unavailable(file, source))
        }
        source => OpenError::Migration { file: file.display().to_string(), source },
    });
    // Whatever it says: the tables have their form, or an error was told.
    let _ = connection.close().await;
    done
}

/// Never change one that was released: add another.
fn migrations() -> Migrator {
    let steps = [
        (1, "users and sessions", include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql")),
        (2, "revocations", include_str!("../../../migrations/sqlite/0002_revocations.sql")),
        (5, "known users", include_str!("../../../migrations/sqlite/0005_known_users.sql")),
        (
            6,
            "what tokens say of users",
            include_str!("../../../migrations/sqlite/0006_what_tokens_say_of_users.sql"),
        ),
        (7, "login networks", include_str!("../../../migrations/sqlite/0007_login_networks.sql")),
    ];
    Migrator::with_migrations(
        steps
            .into_iter()
            .map(|(version, description, sql)| {
                Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
            })
            .collect(),
    )
}

/// Whether another holds the lock: `SQLITE_BUSY` and `SQLITE_LOCKED` with their extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
