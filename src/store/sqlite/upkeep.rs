//! Rows that leave, and the table `secrets`.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use crate::base::{Secret, UnixTime};

/// Rows stay this long after the expiry of what they are about, so that no leeway and no clock that is slow outlives
/// them.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(86_400);

/// Removes a few rows of each table, so that nobody who writes waits long for it. A session's row stays as long as any
/// of its tokens could be good: with it goes the knowledge that it was ended. The rows of its tokens go before it, a few
/// at a time too.
pub(super) fn purge(writer: &Connection, now: UnixTime) -> Result<u64> {
    let before = now.minus(KEPT_AFTER_EXPIRY).0;
    let mut removed = 0;
    for statement in [
        "DELETE FROM revocations \
          WHERE number IN (SELECT number FROM revocations WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM blacklist WHERE jti IN (SELECT jti FROM blacklist WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM access_tokens \
          WHERE jti IN (SELECT jti FROM access_tokens WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM refresh_tokens \
          WHERE jti IN (SELECT jti FROM refresh_tokens WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM login_networks \
          WHERE digest IN (SELECT digest FROM login_networks WHERE known_until < ?1 LIMIT 500)",
        "DELETE FROM sessions WHERE sid IN \
          (SELECT sid FROM sessions s WHERE ends_at < ?1 AND access_ends_at < ?1 \
             AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.sid = s.sid) \
             AND NOT EXISTS (SELECT 1 FROM access_tokens a WHERE a.sid = s.sid) LIMIT 500)",
    ] {
        removed += writer.prepare_cached(statement)?.execute([before])?;
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
