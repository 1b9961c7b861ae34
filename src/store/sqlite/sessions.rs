//! The tables `sessions`, `refresh_tokens`, `access_tokens` and `blacklist`.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::ending::{end_oldest, end_session};
use crate::base::UnixTime;
use crate::store::limits::USERS_WITH_SESSIONS_AT_ONCE;
use crate::store::{
    AccessToken, Ended, Ending, Login, OldToken, RefreshRecord, RefreshState, RefreshToken, Rotated,
    Rotation, SessionRecord, Usage, UserId, Which,
};

pub(super) fn start(writer: &Connection, login: &Login<'_>) -> Result<Ended> {
    let Login { session, refresh, access, replaces, most, ending } = login;
    if let Some(old) = replaces {
        // Of a token that stands there already the key is taken: that is the conflict to be told.
        writer
            .prepare_cached("INSERT INTO blacklist (jti, expires_at) VALUES (?, ?)")?
            .execute(params![old.jti, old.expires_at.0])?;
    }
    let ended = match most {
        Some(most) => end_oldest(writer, &session.user, most.saturating_sub(1), *ending)?,
        None => Ended::default(),
    };
    let user = session.user.as_str();
    writer
        .prepare_cached(
            "INSERT INTO sessions (sid, user_id, created_at, ends_at, access_ends_at) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            session.sid,
            user,
            session.started_at.0,
            refresh.expires_at.0,
            access.expires_at.0
        ])?;
    hand_out(writer, refresh, Some(&session.sid), Some(user), session.started_at)?;
    keep_access(writer, &session.sid, *access)?;
    Ok(ended)
}

pub(super) fn refresh_state(reader: &Connection, jti: &str) -> Result<RefreshState> {
    // One statement sees one state of the database.
    reader
        .prepare_cached(
            "SELECT s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at IS NOT NULL, \
                    EXISTS (SELECT 1 FROM blacklist WHERE jti = ?1), t.hash, t.state, t.created_at, t.claims \
               FROM (SELECT 1) LEFT JOIN refresh_tokens t ON t.jti = ?1 LEFT JOIN sessions s ON s.sid = t.sid",
        )?
        .query_row([jti], |row| {
            let blacklisted = row.get(5)?;
            let Some(hash) = row.get(6)? else { return Ok(RefreshState { blacklisted, record: None }) };
            let session = match row.get_ref(0)?.as_str_or_null()? {
                Some(_) => Some(session(row)?),
                None => None,
            };
            let record = RefreshRecord {
                hash,
                usage: match row.get_ref(7)?.as_str()? {
                    "live" => Usage::Live,
                    "rotated" => Usage::Rotated,
                    _ => Usage::Ended,
                },
                handed_out_at: UnixTime(row.get(8)?),
                claims: row.get(9)?,
                session,
            };
            Ok(RefreshState { blacklisted, record: Some(record) })
        })
}

/// A row that begins with the columns of a session.
fn session(row: &Row<'_>) -> Result<SessionRecord> {
    Ok(SessionRecord {
        sid: row.get(0)?,
        user: UserId::new(row.get::<_, String>(1)?),
        started_at: UnixTime(row.get(2)?),
        ends_at: UnixTime(row.get(3)?),
        ended: row.get(4)?,
    })
}

pub(super) fn by_sid(reader: &Connection, sid: &str) -> Result<Option<SessionRecord>> {
    reader
        .prepare_cached(
            "SELECT sid, user_id, created_at, ends_at, ended_at IS NOT NULL FROM sessions WHERE sid = ?",
        )?
        .query_row([sid], session)
        .optional()
}

pub(super) fn of_access(reader: &Connection, jti: &str) -> Result<Option<SessionRecord>> {
    reader
        .prepare_cached(
            "SELECT s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at IS NOT NULL \
               FROM access_tokens t JOIN sessions s ON s.sid = t.sid WHERE t.jti = ?",
        )?
        .query_row([jti], session)
        .optional()
}

pub(super) fn of_user(reader: &Connection, user: &UserId, now: UnixTime) -> Result<Vec<SessionRecord>> {
    reader
        .prepare_cached(
            "SELECT sid, user_id, created_at, ends_at, 0 FROM sessions \
              WHERE user_id = ? AND ended_at IS NULL AND ends_at > ? ORDER BY created_at, sid",
        )?
        .query_map(params![user.as_str(), now.0], session)?
        .collect()
}

pub(super) fn live_refresh_tokens(
    reader: &Connection,
    which: Which<'_>,
    now: UnixTime,
) -> Result<Vec<(String, UnixTime)>> {
    let (sid, user) = match which {
        Which::Session(sid) => (Some(sid), None),
        Which::User(user) => (None, Some(user.as_str())),
    };
    reader
        .prepare_cached(
            "SELECT t.jti, t.expires_at FROM refresh_tokens t JOIN sessions s ON s.sid = t.sid \
              WHERE (s.sid = ?1 OR s.user_id = ?2) AND t.state = 'live' AND t.expires_at > ?3",
        )?
        .query_map(params![sid, user, now.0], |row| Ok((row.get(0)?, UnixTime(row.get(1)?))))?
        .collect()
}

pub(super) fn users_with_sessions(
    reader: &Connection,
    after: &str,
    idle: bool,
    now: UnixTime,
) -> Result<Vec<UserId>> {
    reader
        .prepare_cached(
            "SELECT DISTINCT user_id FROM sessions \
              WHERE user_id > ?1 AND ended_at IS NULL AND (access_ends_at > ?2 OR ?3 AND ends_at > ?2) \
              ORDER BY user_id LIMIT ?4",
        )?
        .query_map(params![after, now.0, idle, USERS_WITH_SESSIONS_AT_ONCE], |row| {
            Ok(UserId::new(row.get::<_, String>(0)?))
        })?
        .collect()
}

/// Looks and writes under the write lock: a log-out that came between the caller's look and this must win.
pub(super) fn rotate(writer: &Connection, rotation: &Rotation<'_>) -> Result<Rotated> {
    let Rotation { old, new, access, user, retire, require_session, now } = *rotation;
    let (blacklisted, session, ended): (bool, Option<String>, bool) = writer
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM blacklist WHERE jti = ?1), s.sid, s.ended_at IS NOT NULL \
               FROM (SELECT 1) LEFT JOIN refresh_tokens t ON t.jti = ?1 LEFT JOIN sessions s ON s.sid = t.sid",
        )?
        .query_row([old.jti], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if retire && blacklisted {
        return Ok(Rotated::AlreadyBlacklisted);
    }
    if ended || (session.is_none() && require_session) {
        return Ok(Rotated::NoSession);
    }
    if retire {
        put_on_blacklist(writer, old)?;
        // Whoever has the new token needs no predecessor's help any more: its claims go.
        writer
            .prepare_cached("UPDATE refresh_tokens SET state = 'rotated', claims = NULL WHERE jti = ?")?
            .execute([old.jti])?;
    }
    if let Some(sid) = &session {
        writer
            .prepare_cached(
                "UPDATE sessions SET ends_at = max(ends_at, ?), access_ends_at = max(access_ends_at, ?) \
                  WHERE sid = ?",
            )?
            .execute(params![new.expires_at.0, access.expires_at.0, sid])?;
        keep_access(writer, sid, access)?;
    }
    hand_out(writer, new, session.as_deref(), user.map(UserId::as_str), now)?;
    Ok(Rotated::Done)
}

pub(super) fn note_access(writer: &Connection, sid: &str, access: AccessToken<'_>) -> Result<bool> {
    let living = writer
        .prepare_cached(
            "UPDATE sessions SET access_ends_at = max(access_ends_at, ?) WHERE sid = ? AND ended_at IS NULL",
        )?
        .execute(params![access.expires_at.0, sid])?
        == 1;
    if living {
        keep_access(writer, sid, access)?;
    }
    Ok(living)
}

pub(super) fn blacklist(
    writer: &Connection,
    token: OldToken<'_>,
    ending: Option<Ending<'_>>,
) -> Result<Option<Ended>> {
    if !put_on_blacklist(writer, token)? {
        return Ok(None);
    }
    let sid: Option<String> = writer
        .prepare_cached(
            "UPDATE refresh_tokens SET state = 'ended', claims = NULL WHERE jti = ? RETURNING sid",
        )?
        .query_row([token.jti], |row| row.get(0))
        .optional()?
        .flatten();
    let mut ended = Ended::default();
    if let (Some(ending), Some(sid)) = (ending, sid) {
        end_session(writer, &sid, ending, &mut ended)?;
    }
    Ok(Some(ended))
}

/// `false` if it stands there already.
fn put_on_blacklist(writer: &Connection, token: OldToken<'_>) -> Result<bool> {
    let added = writer
        .prepare_cached("INSERT INTO blacklist (jti, expires_at) VALUES (?, ?) ON CONFLICT (jti) DO NOTHING")?
        .execute(params![token.jti, token.expires_at.0])?;
    Ok(added == 1)
}

fn hand_out(
    writer: &Connection,
    token: &RefreshToken,
    sid: Option<&str>,
    user: Option<&str>,
    now: UnixTime,
) -> Result<()> {
    writer
        .prepare_cached(
            "INSERT INTO refresh_tokens (jti, sid, user_id, hash, created_at, expires_at, state, claims) \
             VALUES (?, ?, ?, ?, ?, ?, 'live', ?)",
        )?
        .execute(params![token.jti, sid, user, token.hash, now.0, token.expires_at.0, token.claims])?;
    Ok(())
}

/// Records an access token that does not name its session.
fn keep_access(writer: &Connection, sid: &str, access: AccessToken<'_>) -> Result<()> {
    if let Some(jti) = access.jti {
        writer
            .prepare_cached("INSERT INTO access_tokens (jti, sid, expires_at) VALUES (?, ?, ?)")?
            .execute(params![jti, sid, access.expires_at.0])?;
    }
    Ok(())
}
