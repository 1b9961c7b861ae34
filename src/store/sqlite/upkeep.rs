//! Rows that leave, and the table `secrets`.

use std::time::Duration;

use super::Sqlite;
use crate::base::{Secret, UnixTime};

/// Rows stay this long after the expiry of what they are about, so that no leeway and no clock that is slow outlives
/// them.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(86_400);

/// Removes a few rows of each table, so that nobody who writes waits long for it. A session's row stays as long as any
/// of its tokens could be good: with it goes the knowledge that it was ended.
pub(super) async fn purge(store: &Sqlite, now: UnixTime) -> Result<u64, sqlx::Error> {
    let before = now.minus(KEPT_AFTER_EXPIRY).0;
    let mut write = store.write().await?;
    let mut removed = 0;
    for statement in [
        "DELETE FROM revocations \
          WHERE number IN (SELECT number FROM revocations WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM blacklist WHERE jti IN (SELECT jti FROM blacklist WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM access_tokens \
          WHERE jti IN (SELECT jti FROM access_tokens WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM refresh_tokens \
          WHERE jti IN (SELECT jti FROM refresh_tokens WHERE expires_at < ?1 LIMIT 500)",
        "DELETE FROM sessions WHERE sid IN \
          (SELECT sid FROM sessions WHERE ends_at < ?1 AND access_ends_at < ?1 LIMIT 500)",
    ] {
        removed += sqlx::query(statement).bind(before).execute(&mut *write).await?.rows_affected();
    }
    write.commit().await?;
    Ok(removed)
}

pub(super) async fn secret(store: &Sqlite, name: &str, proposed: Secret) -> Result<Secret, sqlx::Error> {
    let mut write = store.write().await?;
    sqlx::query("INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(proposed.expose())
        .execute(&mut *write)
        .await?;
    let value: Vec<u8> = sqlx::query_scalar("SELECT value FROM secrets WHERE name = ?")
        .bind(name)
        .fetch_one(&mut *write)
        .await?;
    write.commit().await?;
    Ok(Secret::new(value))
}
