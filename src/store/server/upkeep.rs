//! Rows that leave, and the table `secrets`.

use std::sync::Arc;
use std::time::Duration;

use super::ServerStore;
use crate::base::{Secret, UnixTime};
use crate::store::sql::Dialect;

/// Rows stay this long after the expiry of what they are about, so that no leeway and no clock that is slow outlives
/// them.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(86_400);

/// Each table, its key, and what says of a row that it says nothing any more. A session's row stays as long as any of its
/// tokens could be good: with it goes the knowledge that it was ended.
const LEAVING: [(&str, &str, &str); 6] = [
    ("revocations", "number", "expires_at < ?"),
    ("blacklist", "jti", "expires_at < ?"),
    ("access_tokens", "jti", "expires_at < ?"),
    ("refresh_tokens", "jti", "expires_at < ?"),
    ("login_networks", "digest", "known_until < ?"),
    // The rows of its tokens go before it, a few at a time too.
    (
        "sessions",
        "sid",
        "ends_at < ? AND access_ends_at < ? \
         AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.sid = sessions.sid) \
         AND NOT EXISTS (SELECT 1 FROM access_tokens a WHERE a.sid = sessions.sid)",
    ),
];

/// Removes a few rows of each table, each in a transaction of its own, so that nobody waits long for it.
pub(super) async fn purge(store: &ServerStore, now: UnixTime) -> Result<u64, sqlx::Error> {
    let before = now.minus(KEPT_AFTER_EXPIRY);
    let mut link = store.link().await?;
    let mut removed = 0;
    for (table, key, condition) in LEAVING {
        let statement = match link.dialect() {
            // A statement that deletes reads what is there now, and not a state from before it waited.
            Dialect::MySql => format!("DELETE FROM {table} WHERE {condition} LIMIT 500"),
            // What another gateway is removing, or somebody is about to keep alive, is left for the next time.
            Dialect::Postgres | Dialect::Sqlite => format!(
                "DELETE FROM {table} WHERE {key} IN \
                 (SELECT {key} FROM {table} WHERE {condition} LIMIT 500 FOR UPDATE SKIP LOCKED)"
            ),
        };
        let values = vec![before.into(); condition.matches('?').count()];
        removed += link.execute(&statement, &values).await?;
    }
    Ok(removed)
}

pub(super) async fn minted_until(
    store: &ServerStore,
    another: Option<UnixTime>,
) -> Result<UnixTime, sqlx::Error> {
    let mut link = store.link().await?;
    if let Some(until) = another {
        let later = match link.dialect() {
            Dialect::MySql => "ON DUPLICATE KEY UPDATE value = GREATEST(value, VALUES(value))",
            Dialect::Postgres | Dialect::Sqlite => {
                "ON CONFLICT (name) DO UPDATE SET value = GREATEST(counters.value, excluded.value)"
            }
        };
        let statement = format!("INSERT INTO counters (name, value) VALUES ('minted_until', ?) {later}");
        link.execute(&statement, &[until.into()]).await?;
    }
    let row = link.row("SELECT value FROM counters WHERE name = 'minted_until'", &[]).await?;
    row.map_or(Ok(UnixTime(0)), |row| row.get(0).map(UnixTime))
}

pub(super) async fn secret(
    store: &ServerStore,
    name: &str,
    proposed: Arc<Secret>,
) -> Result<Secret, sqlx::Error> {
    let mut link = store.link().await?;
    let values = [name.into(), proposed.expose().into()];
    link.insert_new("INSERT INTO secrets (name, value) VALUES (?, ?)", &values).await?;
    let row = link.row("SELECT value FROM secrets WHERE name = ?", &[name.into()]).await?;
    Ok(Secret::new(row.ok_or(sqlx::Error::RowNotFound)?.get::<Vec<u8>>(0)?))
}
