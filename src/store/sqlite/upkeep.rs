//! Rows that leave, and the table `secrets`.

use rusqlite::{Connection, OptionalExtension as _, Result, params, params_from_iter};

use crate::base::{Secret, UnixTime};
use crate::store::purge::{AT_ONCE, Expiring, KEPT_AFTER_EXPIRY, LEAVING};

/// Removes a few rows of each table.
pub(super) fn purge(writer: &Connection, now: UnixTime) -> Result<u64> {
    let before = now.minus(KEPT_AFTER_EXPIRY).0;
    let mut removed = 0;
    for leaving in LEAVING {
        let Expiring { table, key, condition } = leaving;
        let statement = format!(
            "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {AT_ONCE})"
        );
        let values = params_from_iter(vec![before; leaving.places()]);
        removed += writer.prepare_cached(&statement)?.execute(values)?;
    }
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

pub(super) fn minted_until(writer: &Connection, another: Option<UnixTime>) -> Result<UnixTime> {
    if let Some(UnixTime(until)) = another {
        writer
            .prepare_cached(
                "INSERT INTO counters (name, value) VALUES ('minted_until', ?) \
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute([until])?;
    }
    let until = writer
        .prepare_cached("SELECT value FROM counters WHERE name = 'minted_until'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(UnixTime(until.unwrap_or_default()))
}

pub(super) fn secret(writer: &Connection, name: &str, proposed: &Secret) -> Result<Secret> {
    writer
        .prepare_cached("INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")?
        .execute(params![name, proposed.expose()])?;
    let value: Vec<u8> = writer
        .prepare_cached("SELECT value FROM secrets WHERE name = ?")?
        .query_row([name], |row| row.get(0))?;
    Ok(Secret::new(value))
}
