//! Rows that leave, and the table `secrets`.

use std::sync::Arc;

use super::ServerStore;
use crate::base::{Secret, UnixTime};
use crate::store::purge::{AT_ONCE, Expiring, KEPT_AFTER_EXPIRY, LEAVING};
use crate::store::sql::Dialect;

/// Removes a few rows of each table, each in a transaction of its own, so that nobody waits long for it.
pub(super) async fn purge(store: &ServerStore, now: UnixTime) -> Result<u64, sqlx::Error> {
    let before = now.minus(KEPT_AFTER_EXPIRY);
    let mut link = store.link().await?;
    let mut removed = 0;
    for leaving in LEAVING {
        let Expiring { table, key, condition } = leaving;
        let statement = match link.dialect() {
            // A statement that deletes reads what is there now, and not a state from before it waited.
            Dialect::MySql => format!("DELETE FROM {table} WHERE {condition} LIMIT {AT_ONCE}"),
            // What another gateway is removing, or somebody is about to keep alive, is left for the next time.
            Dialect::Postgres | Dialect::Sqlite => format!(
                "DELETE FROM {table} WHERE {key} IN \
                 (SELECT {key} FROM {table} WHERE {condition} LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED)"
            ),
        };
        let values = vec![before.into(); leaving.places()];
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
