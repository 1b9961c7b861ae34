//! The tables `sessions`, `refresh_tokens`, `access_tokens` and `blacklist`.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Sqlite;
use super::ending::{end_oldest, end_session};
use crate::base::UnixTime;
use crate::store::{
    AccessToken, Ended, Ending, Login, OldToken, RefreshRecord, RefreshState, RefreshToken, Rotated,
    Rotation, SessionRecord, Usage, UserId, Which,
};

/// So many users are looked at in one step.
const USERS: u32 = 200;

pub(super) async fn start(store: &Sqlite, login: &Login<'_>) -> Result<Ended, sqlx::Error> {
    let Login { session, refresh, access, most, ending } = login;
    let now = session.started_at;
    let mut write = store.write().await?;
    let ended = match most {
        Some(most) => end_oldest(&mut write, &session.user, most.saturating_sub(1), *ending).await?,
        None => Ended::default(),
    };
    insert_session(&mut write, &session.sid, session.user.as_str(), refresh.expires_at, *access, now).await?;
    hand_out(&mut write, refresh, Some(&session.sid), Some(session.user.as_str()), now).await?;
    note(&mut write, &session.sid, *access).await?;
    write.commit().await?;
    Ok(ended)
}

async fn insert_session(
    write: &mut SqliteConnection,
    sid: &str,
    user: &str,
    ends_at: UnixTime,
    access: AccessToken<'_>,
    now: UnixTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sessions (sid, user_id, created_at, ends_at, access_ends_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(sid)
    .bind(user)
    .bind(now.0)
    .bind(ends_at.0)
    .bind(access.expires_at.0)
    .execute(write)
    .await?;
    Ok(())
}

pub(super) async fn refresh_state(store: &Sqlite, jti: &str) -> Result<RefreshState, sqlx::Error> {
    let mut reader = store.reader().await?;
    // One statement sees one state of the database.
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM blacklist WHERE jti = ?1) AS blacklisted, \
                t.hash, t.state, t.created_at AS handed_out_at, t.claims, \
                s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at IS NOT NULL AS ended \
           FROM (SELECT 1) LEFT JOIN refresh_tokens t ON t.jti = ?1 LEFT JOIN sessions s ON s.sid = t.sid",
    )
    .bind(jti)
    .fetch_one(&mut *reader)
    .await?;
    let blacklisted = row.try_get("blacklisted")?;
    let Some(hash) = row.try_get("hash")? else { return Ok(RefreshState { blacklisted, record: None }) };
    let session = match row.try_get::<Option<String>, _>("sid")? {
        Some(_) => Some(session(&row)?),
        None => None,
    };
    let record = RefreshRecord {
        hash,
        usage: match row.try_get("state")? {
            "live" => Usage::Live,
            "rotated" => Usage::Rotated,
            _ => Usage::Ended,
        },
        handed_out_at: UnixTime(row.try_get("handed_out_at")?),
        claims: row.try_get("claims")?,
        session,
    };
    Ok(RefreshState { blacklisted, record: Some(record) })
}

/// A row with the columns of a session.
fn session(row: &SqliteRow) -> Result<SessionRecord, sqlx::Error> {
    Ok(SessionRecord {
        sid: row.try_get("sid")?,
        user: UserId::new(row.try_get::<String, _>("user_id")?),
        started_at: UnixTime(row.try_get("created_at")?),
        ends_at: UnixTime(row.try_get("ends_at")?),
        ended: row.try_get("ended")?,
    })
}

pub(super) async fn by_sid(store: &Sqlite, sid: &str) -> Result<Option<SessionRecord>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query(
        "SELECT sid, user_id, created_at, ends_at, ended_at IS NOT NULL AS ended FROM sessions WHERE sid = ?",
    )
    .bind(sid)
    .try_map(|row| session(&row))
    .fetch_optional(&mut *reader)
    .await
}

pub(super) async fn of_access(store: &Sqlite, jti: &str) -> Result<Option<SessionRecord>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query(
        "SELECT s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at IS NOT NULL AS ended \
           FROM access_tokens t JOIN sessions s ON s.sid = t.sid WHERE t.jti = ?",
    )
    .bind(jti)
    .try_map(|row| session(&row))
    .fetch_optional(&mut *reader)
    .await
}

pub(super) async fn of_user(
    store: &Sqlite,
    user: &UserId,
    now: UnixTime,
) -> Result<Vec<SessionRecord>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query(
        "SELECT sid, user_id, created_at, ends_at, 0 AS ended FROM sessions \
          WHERE user_id = ? AND ended_at IS NULL AND ends_at > ? ORDER BY created_at, sid",
    )
    .bind(user.as_str())
    .bind(now.0)
    .try_map(|row| session(&row))
    .fetch_all(&mut *reader)
    .await
}

pub(super) async fn live_refresh_tokens(
    store: &Sqlite,
    which: Which<'_>,
    now: UnixTime,
) -> Result<Vec<(String, UnixTime)>, sqlx::Error> {
    let (sid, user) = match which {
        Which::Session(sid) => (Some(sid), None),
        Which::User(user) => (None, Some(user.as_str())),
    };
    let mut reader = store.reader().await?;
    sqlx::query(
        "SELECT t.jti, t.expires_at FROM refresh_tokens t JOIN sessions s ON s.sid = t.sid \
          WHERE (s.sid = ?1 OR s.user_id = ?2) AND t.state = 'live' AND t.expires_at > ?3",
    )
    .bind(sid)
    .bind(user)
    .bind(now.0)
    .try_map(|row: SqliteRow| Ok((row.try_get(0)?, UnixTime(row.try_get(1)?))))
    .fetch_all(&mut *reader)
    .await
}

pub(super) async fn users_with_access(
    store: &Sqlite,
    after: &str,
    now: UnixTime,
) -> Result<Vec<UserId>, sqlx::Error> {
    let mut reader = store.reader().await?;
    let users: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT user_id FROM sessions \
          WHERE user_id > ? AND ended_at IS NULL AND access_ends_at > ? ORDER BY user_id LIMIT ?",
    )
    .bind(after)
    .bind(now.0)
    .bind(USERS)
    .fetch_all(&mut *reader)
    .await?;
    Ok(users.into_iter().map(UserId::new).collect())
}

pub(super) async fn rotate(store: &Sqlite, rotation: &Rotation<'_>) -> Result<Rotated, sqlx::Error> {
    let Rotation { old, new, access, user, retire, require_session, now } = *rotation;
    let mut write = store.write().await?;
    // Each query is a message to the connection's thread and back, which costs more than what it asks for: so several
    // statements go at once. Looked up under the write lock: a log-out that came between the caller's look and this
    // must win.
    let found = sqlx::query(
        "INSERT INTO blacklist (jti, expires_at) SELECT ?, ? WHERE ? ON CONFLICT (jti) DO NOTHING; \
         SELECT changes() AS retired, s.sid, s.ended_at IS NOT NULL AS ended FROM (SELECT 1) \
           LEFT JOIN refresh_tokens t ON t.jti = ? LEFT JOIN sessions s ON s.sid = t.sid",
    )
    .bind(old.jti)
    .bind(old.expires_at.0)
    .bind(retire)
    .bind(old.jti)
    .fetch_one(&mut *write)
    .await?;
    if retire && found.try_get::<i64, _>("retired")? == 0 {
        return Ok(Rotated::AlreadyBlacklisted);
    }
    let session: Option<String> = found.try_get("sid")?;
    if found.try_get("ended")? || (session.is_none() && require_session) {
        return Ok(Rotated::NoSession);
    }
    let user = user.map(UserId::as_str);
    // Whoever has the new token needs no predecessor's help any more: its claims go.
    sqlx::query(
        "UPDATE refresh_tokens SET state = 'rotated', claims = NULL WHERE jti = ? AND ?; \
         UPDATE sessions SET ends_at = max(ends_at, ?), access_ends_at = max(access_ends_at, ?) WHERE sid = ?; \
         INSERT INTO access_tokens (jti, sid, expires_at) SELECT ?, ?, ? WHERE ? IS NOT NULL AND ? IS NOT NULL; \
         INSERT INTO refresh_tokens (jti, sid, user_id, hash, created_at, expires_at, state, claims) \
         VALUES (?, ?, ?, ?, ?, ?, 'live', ?)",
    )
    .bind(old.jti)
    .bind(retire)
    .bind(new.expires_at.0)
    .bind(access.expires_at.0)
    .bind(&session)
    .bind(access.jti)
    .bind(&session)
    .bind(access.expires_at.0)
    .bind(access.jti)
    .bind(&session)
    .bind(&new.jti)
    .bind(&session)
    .bind(user)
    .bind(&new.hash[..])
    .bind(now.0)
    .bind(new.expires_at.0)
    .bind(&new.claims)
    .execute(&mut *write)
    .await?;
    write.commit().await?;
    Ok(Rotated::Done)
}

pub(super) async fn note_access(
    store: &Sqlite,
    sid: &str,
    access: AccessToken<'_>,
) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    let living: Option<String> =
        sqlx::query_scalar("SELECT sid FROM sessions WHERE sid = ? AND ended_at IS NULL")
            .bind(sid)
            .fetch_optional(&mut *write)
            .await?;
    if living.is_none() {
        return Ok(false);
    }
    note(&mut write, sid, access).await?;
    write.commit().await?;
    Ok(true)
}

pub(super) async fn blacklist(
    store: &Sqlite,
    token: OldToken<'_>,
    ending: Option<Ending<'_>>,
) -> Result<Option<Ended>, sqlx::Error> {
    let mut write = store.write().await?;
    if !put_on_blacklist(&mut write, token).await? {
        return Ok(None);
    }
    sqlx::query("UPDATE refresh_tokens SET state = 'ended', claims = NULL WHERE jti = ?")
        .bind(token.jti)
        .execute(&mut *write)
        .await?;
    let mut ended = Ended::default();
    if let Some(ending) = ending {
        let sid: Option<String> =
            sqlx::query_scalar::<_, Option<String>>("SELECT sid FROM refresh_tokens WHERE jti = ?")
                .bind(token.jti)
                .fetch_optional(&mut *write)
                .await?
                .flatten();
        if let Some(sid) = sid {
            end_session(&mut write, &sid, ending, &mut ended).await?;
        }
    }
    write.commit().await?;
    Ok(Some(ended))
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
        "INSERT INTO refresh_tokens (jti, sid, user_id, hash, created_at, expires_at, state, claims) \
         VALUES (?, ?, ?, ?, ?, ?, 'live', ?)",
    )
    .bind(&token.jti)
    .bind(sid)
    .bind(user)
    .bind(&token.hash[..])
    .bind(now.0)
    .bind(token.expires_at.0)
    .bind(&token.claims)
    .execute(write)
    .await?;
    Ok(())
}

/// Records an access token with its session.
async fn note(write: &mut SqliteConnection, sid: &str, access: AccessToken<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sessions SET access_ends_at = ? WHERE sid = ? AND access_ends_at < ?")
        .bind(access.expires_at.0)
        .bind(sid)
        .bind(access.expires_at.0)
        .execute(&mut *write)
        .await?;
    if let Some(jti) = access.jti {
        sqlx::query("INSERT INTO access_tokens (jti, sid, expires_at) VALUES (?, ?, ?)")
            .bind(jti)
            .bind(sid)
            .bind(access.expires_at.0)
            .execute(write)
            .await?;
    }
    Ok(())
}
