//! The end of sessions, and the tables `revocations` and `counters` that tell all replicas of it.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use crate::base::UnixTime;
use crate::store::{Ended, Ending, Revocation, RevocationPage, Revoked, UserId, Which};

/// So many revocations are read in one step.
const PAGE: u32 = 10_000;

pub(super) async fn end(store: &Sqlite, which: Which<'_>, ending: Ending<'_>) -> Result<Ended, sqlx::Error> {
    let mut write = store.write().await?;
    let mut ended = Ended::default();
    match which {
        Which::Session(sid) => end_session(&mut write, sid, ending, &mut ended).await?,
        Which::User(user) => ended = end_oldest(&mut write, user, 0, ending).await?,
    }
    write.commit().await?;
    Ok(ended)
}

/// Leaves a user the newest sessions, so many.
pub(super) async fn end_oldest(
    write: &mut SqliteConnection,
    user: &UserId,
    left: u32,
    ending: Ending<'_>,
) -> Result<Ended, sqlx::Error> {
    let sids: Vec<String> = sqlx::query_scalar(
        "SELECT sid FROM sessions WHERE user_id = ? AND ended_at IS NULL AND (ends_at > ? OR access_ends_at > ?) \
          ORDER BY created_at DESC, sid DESC",
    )
    .bind(user.as_str())
    .bind(ending.now.minus(ending.leeway).0)
    .bind(ending.now.minus(ending.leeway).0)
    .fetch_all(&mut *write)
    .await?;
    let mut ended = Ended::default();
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    for sid in sids.iter().skip(left) {
        end_session(write, sid, ending, &mut ended).await?;
    }
    Ok(ended)
}

/// Ends a session, unless it was ended before, and adds what that revokes.
pub(super) async fn end_session(
    write: &mut SqliteConnection,
    sid: &str,
    ending: Ending<'_>,
    ended: &mut Ended,
) -> Result<(), sqlx::Error> {
    let now = ending.now;
    let done = sqlx::query("UPDATE sessions SET ended_at = ? WHERE sid = ? AND ended_at IS NULL")
        .bind(now.0)
        .bind(sid)
        .execute(&mut *write)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let issuer = ending.issuer.map(str::to_owned);
    let until = |expires_at: i64| UnixTime(expires_at).plus(ending.leeway);
    let access_ends_at: i64 = sqlx::query_scalar("SELECT access_ends_at FROM sessions WHERE sid = ?")
        .bind(sid)
        .fetch_one(&mut *write)
        .await?;
    let mut revocations = Vec::new();
    if until(access_ends_at) > now {
        let what = Revoked::Session { issuer: issuer.clone(), sid: sid.to_owned() };
        revocations.push(Revocation { what, expires_at: until(access_ends_at) });
    }
    let tokens: Vec<(String, i64)> =
        sqlx::query_as("SELECT jti, expires_at FROM access_tokens WHERE sid = ?")
            .bind(sid)
            .fetch_all(&mut *write)
            .await?;
    for (jti, expires_at) in tokens {
        if until(expires_at) > now {
            let what = Revoked::Token { issuer: issuer.clone(), jti };
            revocations.push(Revocation { what, expires_at: until(expires_at) });
        }
    }
    insert(write, &revocations).await?;
    ended.sessions.push(sid.to_owned());
    ended.revocations.append(&mut revocations);
    Ok(())
}

pub(super) async fn revoke(store: &Sqlite, revocations: &[Revocation]) -> Result<(), sqlx::Error> {
    let mut write = store.write().await?;
    insert(&mut write, revocations).await?;
    write.commit().await
}

/// The counter's row stays locked until the transaction ends, in every database: so numbers come into sight in their
/// order.
async fn insert(write: &mut SqliteConnection, revocations: &[Revocation]) -> Result<(), sqlx::Error> {
    for Revocation { what, expires_at } in revocations {
        sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'revocations'")
            .execute(&mut *write)
            .await?;
        let (kind, issuer, name, before) = match what {
            Revoked::Token { issuer, jti } => ("token", issuer.as_deref(), jti, None),
            Revoked::Session { issuer, sid } => ("session", issuer.as_deref(), sid, None),
            Revoked::Subject { issuer, subject, before } => {
                ("subject", issuer.as_deref(), subject, Some(before.0))
            }
            Revoked::Input { digest } => ("input", None, digest, None),
        };
        sqlx::query(
            "INSERT INTO revocations (number, kind, issuer, name, issued_before, expires_at) \
             SELECT value, ?, ?, ?, ?, ? FROM counters WHERE name = 'revocations'",
        )
        .bind(kind)
        .bind(issuer)
        .bind(name)
        .bind(before)
        .bind(expires_at.0)
        .execute(&mut *write)
        .await?;
    }
    Ok(())
}

pub(super) async fn revocations_after(store: &Sqlite, number: i64) -> Result<RevocationPage, sqlx::Error> {
    let mut reader = store.reader().await?;
    // Asked for first: rows that come between the two are above it, and found the next time.
    let highest = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'revocations'")
        .fetch_one(&mut *reader)
        .await?;
    if highest == number {
        return Ok(RevocationPage { revocations: Vec::new(), last: number, highest });
    }
    let rows = sqlx::query(
        "SELECT number, kind, issuer, name, issued_before, expires_at FROM revocations \
          WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
    )
    .bind(number)
    .bind(highest)
    .bind(PAGE)
    .fetch_all(&mut *reader)
    .await?;
    let last = match rows.last() {
        Some(row) => row.try_get("number")?,
        None => number.max(highest),
    };
    let revocations = rows.iter().map(revocation).collect::<Result<_, _>>()?;
    Ok(RevocationPage { revocations, last, highest })
}

fn revocation(row: &SqliteRow) -> Result<Revocation, sqlx::Error> {
    let (issuer, name) = (row.try_get("issuer")?, row.try_get("name")?);
    let what = match row.try_get("kind")? {
        "token" => Revoked::Token { issuer, jti: name },
        "session" => Revoked::Session { issuer, sid: name },
        "subject" => {
            let before = UnixTime(row.try_get::<Option<i64>, _>("issued_before")?.unwrap_or(i64::MAX));
            Revoked::Subject { issuer, subject: name, before }
        }
        _ => Revoked::Input { digest: name },
    };
    Ok(Revocation { what, expires_at: UnixTime(row.try_get("expires_at")?) })
}
