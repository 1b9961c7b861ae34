//! The tables `sessions`, `refresh_tokens` and `blacklist`.

use std::time::Duration;

use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use crate::base::UnixTime;
use crate::store::{
    NewSession, OldToken, RefreshRecord, RefreshState, RefreshToken, Rotated, Rotation, SessionRecord, UserId,
};

/// Rows stay this long after the expiry of what they are about, so that no leeway outlives them.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(86_400);

pub(super) async fn start(
    store: &Sqlite,
    session: &NewSession,
    token: &RefreshToken,
) -> Result<(), sqlx::Error> {
    let now = session.started_at;
    let user = session.user.as_str();
    let mut write = store.write().await?;
    sqlx::query("INSERT INTO sessions (sid, user_id, created_at, ends_at) VALUES (?, ?, ?, ?)")
        .bind(&session.sid)
        .bind(user)
        .bind(now.0)
        .bind(token.expires_at.0)
        .execute(&mut *write)
        .await?;
    hand_out(&mut write, token, Some(&session.sid), Some(user), now).await?;
    forget_expired(&mut write, now).await?;
    write.commit().await
}

pub(super) async fn refresh_state(store: &Sqlite, jti: &str) -> Result<RefreshState, sqlx::Error> {
    let mut reader = store.reader().await?;
    // One statement sees one state of the database.
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM blacklist WHERE jti = ?1) AS blacklisted, \
                t.hash, s.sid, s.user_id, s.ended_at IS NOT NULL AS ended \
           FROM (SELECT 1) LEFT JOIN refresh_tokens t ON t.jti = ?1 LEFT JOIN sessions s ON s.sid = t.sid",
    )
    .bind(jti)
    .fetch_one(&mut *reader)
    .await?;
    let session = match (row.try_get("sid")?, row.try_get::<Option<String>, _>("user_id")?) {
        (Some(sid), Some(user)) => {
            Some(SessionRecord { sid, user: UserId::new(user), ended: row.try_get("ended")? })
        }
        _ => None,
    };
    Ok(RefreshState {
        blacklisted: row.try_get("blacklisted")?,
        record: row.try_get::<Option<Vec<u8>>, _>("hash")?.map(|hash| RefreshRecord { hash, session }),
    })
}

pub(super) async fn rotate(store: &Sqlite, rotation: &Rotation<'_>) -> Result<Rotated, sqlx::Error> {
    let Rotation { old, new, user, retire, require_session, now } = *rotation;
    let mut write = store.write().await?;
    if retire && !put_on_blacklist(&mut write, old).await? {
        return Ok(Rotated::AlreadyBlacklisted);
    }
    // Looked up under the write lock: a log-out that came between the caller's look and this must win.
    let session: Option<String> = sqlx::query_scalar(
        "SELECT s.sid FROM refresh_tokens t JOIN sessions s ON s.sid = t.sid \
          WHERE t.jti = ? AND s.ended_at IS NULL",
    )
    .bind(old.jti)
    .fetch_optional(&mut *write)
    .await?;
    if session.is_none() && require_session {
        return Ok(Rotated::NoSession);
    }
    if retire {
        sqlx::query("UPDATE refresh_tokens SET state = 'rotated' WHERE jti = ?")
            .bind(old.jti)
            .execute(&mut *write)
            .await?;
    }
    if let Some(sid) = &session {
        sqlx::query("UPDATE sessions SET ends_at = max(ends_at, ?) WHERE sid = ?")
            .bind(new.expires_at.0)
            .bind(sid)
            .execute(&mut *write)
            .await?;
    }
    hand_out(&mut write, new, session.as_deref(), user.map(UserId::as_str), now).await?;
    write.commit().await?;
    Ok(Rotated::Done)
}

pub(super) async fn blacklist(
    store: &Sqlite,
    token: OldToken<'_>,
    end_session: bool,
    now: UnixTime,
) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    if !put_on_blacklist(&mut write, token).await? {
        return Ok(false);
    }
    sqlx::query("UPDATE refresh_tokens SET state = 'ended' WHERE jti = ?")
        .bind(token.jti)
        .execute(&mut *write)
        .await?;
    if end_session {
        sqlx::query(
            "UPDATE sessions SET ended_at = ? \
              WHERE ended_at IS NULL AND sid = (SELECT sid FROM refresh_tokens WHERE jti = ?)",
        )
        .bind(now.0)
        .bind(token.jti)
        .execute(&mut *write)
        .await?;
    }
    write.commit().await?;
    Ok(true)
}

/// `false` if it stands there already.
async fn put_on_blacklist(write: &mut SqliteConnection, token: OldToken<'_>) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query("INSERT INTO blacklist (jti, expires_at) VALUES (?, ?) ON CONFLICT (jti) DO NOTHING")
            .bind(token.jti)
            .bind(token.expires_at.0)
            .execute(write)
            .await?;
    Ok(done.rows_affected() == 1)
}

async fn hand_out(
    write: &mut SqliteConnection,
    token: &RefreshToken,
    sid: Option<&str>,
    user: Option<&str>,
    now: UnixTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO refresh_tokens (jti, sid, user_id, hash, created_at, expires_at, state) \
         VALUES (?, ?, ?, ?, ?, ?, 'live')",
    )
    .bind(&token.jti)
    .bind(sid)
    .bind(user)
    .bind(&token.hash[..])
    .bind(now.0)
    .bind(token.expires_at.0)
    .execute(write)
    .await?;
    Ok(())
}

/// Each login takes away a few of the rows that matter no more, so that no table grows without end and no
/// login waits for a long clean-up.
async fn forget_expired(write: &mut SqliteConnection, now: UnixTime) -> Result<(), sqlx::Error> {
    let before = now.minus(KEPT_AFTER_EXPIRY).0;
    for statement in [
        "DELETE FROM blacklist WHERE jti IN (SELECT jti FROM blacklist WHERE expires_at < ? LIMIT 20)",
        "DELETE FROM refresh_tokens \
          WHERE jti IN (SELECT jti FROM refresh_tokens WHERE expires_at < ? LIMIT 20)",
        "DELETE FROM sessions WHERE sid IN (SELECT sid FROM sessions WHERE ends_at < ? LIMIT 20)",
    ] {
        sqlx::query(statement).bind(before).execute(&mut *write).await?;
    }
    Ok(())
}
