//! The tables `sessions`, `refresh_tokens`, `access_tokens` and `blacklist`.

use super::ending::{add_revocations, end_oldest, end_these, lock_logins_of};
use super::{ServerStore, is_id, is_user_id};
use crate::base::UnixTime;
use crate::store::limits::USERS_WITH_SESSIONS_AT_ONCE;
use crate::store::sql::{Link, Selected, Value};
use crate::store::{
    AccessToken, Ended, Ending, Login, OldToken, RefreshRecord, RefreshState, RefreshToken, Rotated,
    Rotation, SessionRecord, Usage, UserId, Which,
};

/// `None` if the token that it replaces is blacklisted.
pub(super) async fn start(store: &ServerStore, login: &Login<'_>) -> Result<Option<Ended>, sqlx::Error> {
    let Login { session, refresh, access, replaces, most, ending } = login;
    if replaces.is_some_and(|old| !is_id(old.jti)) {
        return Ok(None);
    }
    let now = session.started_at;
    let mut write = store.begin().await?;
    if let Some(old) = replaces
        && !put_on_blacklist(&mut write, *old).await?
    {
        write.roll_back().await?;
        return Ok(None);
    }
    let ended = match most {
        Some(most) => {
            lock_logins_of(&mut write, &session.user).await?;
            end_oldest(&mut write, &session.user, most.saturating_sub(1), *ending).await?
        }
        None => Ended::default(),
    };
    let values = [
        session.sid.as_str().into(),
        session.user.as_str().into(),
        now.into(),
        refresh.expires_at.into(),
        access.expires_at.into(),
    ];
    let insert =
        "INSERT INTO sessions (sid, user_id, created_at, ends_at, access_ends_at) VALUES (?, ?, ?, ?, ?)";
    write.execute(insert, &values).await?;
    hand_out(&mut write, refresh, Some(&session.sid), Some(&session.user), now).await?;
    note(&mut write, &session.sid, *access).await?;
    add_revocations(&mut write, &ended.revocations).await?;
    write.commit().await?;
    Ok(Some(ended))
}

pub(super) async fn refresh_state(store: &ServerStore, jti: &str) -> Result<RefreshState, sqlx::Error> {
    if !is_id(jti) {
        return Ok(RefreshState { blacklisted: true, record: None });
    }
    // One statement sees one state of the database.
    let statement = "SELECT b.jti, t.hash, t.state, t.created_at, t.claims, \
                            s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at \
                       FROM (SELECT 1 AS one) asked LEFT JOIN blacklist b ON b.jti = ? \
                       LEFT JOIN refresh_tokens t ON t.jti = ? LEFT JOIN sessions s ON s.sid = t.sid";
    let row = store.link().await?.row(statement, &[jti.into(), jti.into()]).await?;
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    let blacklisted = row.get::<Option<String>>(0)?.is_some();
    let Some(hash) = row.get(1)? else { return Ok(RefreshState { blacklisted, record: None }) };
    let session = match row.get::<Option<String>>(5)? {
        Some(_) => Some(session(&row, 5)?),
        None => None,
    };
    let record = RefreshRecord {
        hash,
        usage: match row.get::<String>(2)?.as_str() {
            "live" => Usage::Live,
            "rotated" => Usage::Rotated,
            _ => Usage::Ended,
        },
        handed_out_at: UnixTime(row.get(3)?),
        claims: row.get(4)?,
        session,
    };
    Ok(RefreshState { blacklisted, record: Some(record) })
}

/// The columns of a session, as [`session`] reads them.
const SESSION: &str = "s.sid, s.user_id, s.created_at, s.ends_at, s.ended_at";

/// A row with the columns of a session, beginning with this one.
fn session(row: &Selected, first: usize) -> Result<SessionRecord, sqlx::Error> {
    Ok(SessionRecord {
        sid: row.get(first)?,
        user: UserId::new(row.get::<String>(first + 1)?),
        started_at: UnixTime(row.get(first + 2)?),
        ends_at: UnixTime(row.get(first + 3)?),
        ended: row.get::<Option<i64>>(first + 4)?.is_some(),
    })
}

pub(super) async fn by_sid(store: &ServerStore, sid: &str) -> Result<Option<SessionRecord>, sqlx::Error> {
    one(store, &format!("SELECT {SESSION} FROM sessions s WHERE s.sid = ?"), sid).await
}

pub(super) async fn of_access(store: &ServerStore, jti: &str) -> Result<Option<SessionRecord>, sqlx::Error> {
    let statement =
        format!("SELECT {SESSION} FROM access_tokens t JOIN sessions s ON s.sid = t.sid WHERE t.jti = ?");
    one(store, &statement, jti).await
}

async fn one(store: &ServerStore, statement: &str, id: &str) -> Result<Option<SessionRecord>, sqlx::Error> {
    if !is_id(id) {
        return Ok(None);
    }
    let row = store.link().await?.row(statement, &[id.into()]).await?;
    row.map(|row| session(&row, 0)).transpose()
}

pub(super) async fn of_user(
    store: &ServerStore,
    user: &UserId,
    now: UnixTime,
) -> Result<Vec<SessionRecord>, sqlx::Error> {
    if !is_user_id(user.as_str()) {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT {SESSION} FROM sessions s \
          WHERE s.user_id = ? AND s.ended_at IS NULL AND s.ends_at > ? ORDER BY s.created_at, s.sid"
    );
    let rows = store.link().await?.rows(&statement, &[user.as_str().into(), now.into()]).await?;
    rows.iter().map(|row| session(row, 0)).collect()
}

pub(super) async fn live_refresh_tokens(
    store: &ServerStore,
    which: Which<'_>,
    now: UnixTime,
) -> Result<Vec<(String, UnixTime)>, sqlx::Error> {
    let (of, value, is_known) = match which {
        Which::Session(sid) => ("s.sid = ?", sid, is_id(sid)),
        Which::User(user) => ("s.user_id = ?", user.as_str(), is_user_id(user.as_str())),
    };
    if !is_known {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT t.jti, t.expires_at FROM refresh_tokens t JOIN sessions s ON s.sid = t.sid \
          WHERE {of} AND t.state = 'live' AND t.expires_at > ?"
    );
    let rows = store.link().await?.rows(&statement, &[value.into(), now.into()]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, UnixTime(row.get(1)?)))).collect()
}

pub(super) async fn users_with_sessions(
    store: &ServerStore,
    after: &str,
    idle: bool,
    now: UnixTime,
) -> Result<Vec<UserId>, sqlx::Error> {
    if !is_user_id(after) {
        return Ok(Vec::new());
    }
    let statement = "SELECT DISTINCT user_id FROM sessions \
          WHERE user_id > ? AND ended_at IS NULL AND (access_ends_at > ? OR (? AND ends_at > ?)) \
          ORDER BY user_id LIMIT ?";
    let values = [
        after.into(),
        now.into(),
        Value::Truth(idle),
        now.into(),
        i64::from(USERS_WITH_SESSIONS_AT_ONCE).into(),
    ];
    let rows = store.link().await?.rows(statement, &values).await?;
    rows.iter().map(|row| Ok(UserId::new(row.get::<String>(0)?))).collect()
}

pub(super) async fn rotate(store: &ServerStore, rotation: &Rotation<'_>) -> Result<Rotated, sqlx::Error> {
    let Rotation { old, new, access, user, retire, require_session, now } = *rotation;
    if !is_id(old.jti) {
        return Ok(Rotated::AlreadyBlacklisted);
    }
    let mut write = store.begin().await?;
    // Looked up under its lock: a log-out that came between the caller's look and this must win.
    let session = lock_session_of(&mut write, old.jti).await?;
    if retire && !put_on_blacklist(&mut write, old).await? {
        write.roll_back().await?;
        return Ok(Rotated::AlreadyBlacklisted);
    }
    let sid = match &session {
        Some(session) if session.ended => None,
        Some(session) => Some(session.sid.as_str()),
        None => None,
    };
    let was_ended = session.is_some() && sid.is_none();
    if was_ended || (sid.is_none() && require_session) {
        write.roll_back().await?;
        return Ok(Rotated::NoSession);
    }
    if retire {
        // Whoever has the new token needs no predecessor's help any more: its claims go.
        let used = "UPDATE refresh_tokens SET state = 'rotated', claims = NULL WHERE jti = ?";
        write.execute(used, &[old.jti.into()]).await?;
    }
    if let Some(sid) = sid {
        let values = [new.expires_at.into(), access.expires_at.into(), sid.into()];
        let lives_on = "UPDATE sessions SET ends_at = greatest(ends_at, ?), \
                               access_ends_at = greatest(access_ends_at, ?) WHERE sid = ?";
        write.execute(lives_on, &values).await?;
        note(&mut write, sid, access).await?;
    }
    hand_out(&mut write, new, sid, user, now).await?;
    write.commit().await?;
    Ok(Rotated::Done)
}

struct Locked {
    sid: String,
    ended: bool,
    access_ends_at: UnixTime,
}

/// The session of a refresh token. Nobody else changes it until the transaction ends.
async fn lock_session_of(write: &mut Link, jti: &str) -> Result<Option<Locked>, sqlx::Error> {
    let statement = "SELECT sid, ended_at, access_ends_at FROM sessions \
                      WHERE sid = (SELECT sid FROM refresh_tokens WHERE jti = ?) FOR UPDATE";
    let Some(row) = write.row(statement, &[jti.into()]).await? else { return Ok(None) };
    Ok(Some(Locked {
        sid: row.get(0)?,
        ended: row.get::<Option<i64>>(1)?.is_some(),
        access_ends_at: UnixTime(row.get(2)?),
    }))
}

pub(super) async fn note_access(
    store: &ServerStore,
    sid: &str,
    access: AccessToken<'_>,
) -> Result<bool, sqlx::Error> {
    if !is_id(sid) {
        return Ok(false);
    }
    let mut write = store.begin().await?;
    let living = "UPDATE sessions SET access_ends_at = greatest(access_ends_at, ?) \
                   WHERE sid = ? AND ended_at IS NULL";
    if write.execute(living, &[access.expires_at.into(), sid.into()]).await? == 0 {
        write.roll_back().await?;
        return Ok(false);
    }
    note(&mut write, sid, access).await?;
    write.commit().await?;
    Ok(true)
}

pub(super) async fn blacklist(
    store: &ServerStore,
    token: OldToken<'_>,
    ending: Option<Ending<'_>>,
) -> Result<Option<Ended>, sqlx::Error> {
    if !is_id(token.jti) {
        return Ok(None);
    }
    let mut write = store.begin().await?;
    let session = lock_session_of(&mut write, token.jti).await?;
    if !put_on_blacklist(&mut write, token).await? {
        write.roll_back().await?;
        return Ok(None);
    }
    let ended = "UPDATE refresh_tokens SET state = 'ended', claims = NULL WHERE jti = ?";
    write.execute(ended, &[token.jti.into()]).await?;
    let ended = match (ending, session.filter(|session| !session.ended)) {
        (Some(ending), Some(session)) => {
            end_these(&mut write, vec![(session.sid, session.access_ends_at)], ending).await?
        }
        _ => Ended::default(),
    };
    add_revocations(&mut write, &ended.revocations).await?;
    write.commit().await?;
    Ok(Some(ended))
}

/// `false` if it stands there already. Who is about to put it there is waited for.
async fn put_on_blacklist(write: &mut Link, token: OldToken<'_>) -> Result<bool, sqlx::Error> {
    let values = [token.jti.into(), token.expires_at.into()];
    write.insert_new("INSERT INTO blacklist (jti, expires_at) VALUES (?, ?)", &values).await
}

async fn hand_out(
    write: &mut Link,
    token: &RefreshToken,
    sid: Option<&str>,
    user: Option<&UserId>,
    now: UnixTime,
) -> Result<(), sqlx::Error> {
    let values = [
        token.jti.as_str().into(),
        sid.into(),
        user.map(UserId::as_str).into(),
        token.hash[..].into(),
        now.into(),
        token.expires_at.into(),
        token.claims.as_deref().into(),
    ];
    let insert = "INSERT INTO refresh_tokens (jti, sid, user_id, hash, created_at, expires_at, state, claims) \
                  VALUES (?, ?, ?, ?, ?, ?, 'live', ?)";
    write.execute(insert, &values).await?;
    Ok(())
}

/// Keeps an access token with its session, if that is not named in it.
async fn note(write: &mut Link, sid: &str, access: AccessToken<'_>) -> Result<(), sqlx::Error> {
    if let Some(jti) = access.jti {
        let values = [jti.into(), sid.into(), access.expires_at.into()];
        write.execute("INSERT INTO access_tokens (jti, sid, expires_at) VALUES (?, ?, ?)", &values).await?;
    }
    Ok(())
}
