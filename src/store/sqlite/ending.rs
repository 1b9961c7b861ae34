//! The end of sessions, and the tables `revocations` and `counters` that tell all replicas of it.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use crate::base::UnixTime;
use crate::store::limits::REVOCATIONS_AT_ONCE;
use crate::store::revocations::RevokedColumns;
use crate::store::{Ended, Ending, Revocation, RevocationPage, Revoked, UserId, Which};

pub(super) fn end(writer: &Connection, which: Which<'_>, ending: Ending<'_>) -> Result<Ended> {
    match which {
        Which::Session(sid) => {
            let mut ended = Ended::default();
            end_session(writer, sid, ending, &mut ended)?;
            Ok(ended)
        }
        Which::User(user) => end_oldest(writer, user, 0, ending),
    }
}

/// Leaves a user the newest sessions, so many.
pub(super) fn end_oldest(writer: &Connection, user: &UserId, left: u32, ending: Ending<'_>) -> Result<Ended> {
    let expired = ending.now.minus(ending.leeway).0;
    let sids: Vec<String> = writer
        .prepare_cached(
            "SELECT sid FROM sessions \
              WHERE user_id = ?1 AND ended_at IS NULL AND (ends_at > ?2 OR access_ends_at > ?2) \
              ORDER BY created_at DESC, sid DESC",
        )?
        .query_map(params![user.as_str(), expired], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut ended = Ended::default();
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    for sid in sids.iter().skip(left) {
        end_session(writer, sid, ending, &mut ended)?;
    }
    Ok(ended)
}

/// Ends a session, unless it was ended before, and adds what that revokes.
pub(super) fn end_session(
    writer: &Connection,
    sid: &str,
    ending: Ending<'_>,
    ended: &mut Ended,
) -> Result<()> {
    let now = ending.now;
    let access_ends_at: Option<i64> = writer
        .prepare_cached(
            "UPDATE sessions SET ended_at = ? WHERE sid = ? AND ended_at IS NULL RETURNING access_ends_at",
        )?
        .query_row(params![now.0, sid], |row| row.get(0))
        .optional()?;
    let Some(access_ends_at) = access_ends_at else { return Ok(()) };
    let since = now.minus(ending.leeway).0;
    let tokens: Vec<(String, UnixTime)> = writer
        .prepare_cached("SELECT jti, expires_at FROM access_tokens WHERE sid = ? AND expires_at > ?")?
        .query_map(params![sid, since], |row| Ok((row.get(0)?, UnixTime(row.get(1)?))))?
        .collect::<Result<_>>()?;
    let known = ended.revocations.len();
    ended.add(sid.to_owned(), UnixTime(access_ends_at), tokens, ending);
    revoke(writer, &ended.revocations[known..])
}

/// The write lock is held until the transaction ends, so numbers come into sight in their order.
pub(super) fn revoke(writer: &Connection, revocations: &[Revocation]) -> Result<()> {
    for Revocation { what, expires_at } in revocations {
        let number: i64 = writer
            .prepare_cached(
                "UPDATE counters SET value = value + 1 WHERE name = 'revocations' RETURNING value",
            )?
            .query_row([], |row| row.get(0))?;
        let RevokedColumns { kind, issuer, name, issued_before } = what.columns();
        writer
            .prepare_cached(
                "INSERT INTO revocations (number, kind, issuer, name, issued_before, expires_at) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![number, kind, issuer, name, issued_before, expires_at.0])?;
    }
    Ok(())
}

pub(super) fn revocations_after(reader: &Connection, number: i64) -> Result<RevocationPage> {
    // Asked for first: rows that come between the two are above it, and found the next time.
    let highest = reader
        .prepare_cached("SELECT value FROM counters WHERE name = 'revocations'")?
        .query_row([], |row| row.get(0))?;
    if highest == number {
        return Ok(RevocationPage { revocations: Vec::new(), last: number, highest });
    }
    let rows = reader
        .prepare_cached(
            "SELECT number, kind, issuer, name, issued_before, expires_at FROM revocations \
              WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
        )?
        .query_map(params![number, highest, REVOCATIONS_AT_ONCE], |row| Ok((row.get(0)?, revocation(row)?)))?
        .collect::<Result<Vec<(i64, Revocation)>>>()?;
    let last = rows.last().map_or(number.max(highest), |(last, _)| *last);
    let revocations = rows.into_iter().map(|(_, revocation)| revocation).collect();
    Ok(RevocationPage { revocations, last, highest })
}

fn revocation(row: &Row<'_>) -> Result<Revocation> {
    let what = Revoked::of_columns(row.get_ref(1)?.as_str()?, row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(Revocation { what, expires_at: UnixTime(row.get(5)?) })
}
