//! The end of sessions, and the tables `revocations` and `counters` that tell all replicas of it.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};

use super::{ServerStore, is_id, is_user_id};
use crate::base::UnixTime;
use crate::store::limits::REVOCATIONS_AT_ONCE;
use crate::store::revocations::RevokedColumns;
use crate::store::sql::{Dialect, Link, Selected, Value};
use crate::store::{Ended, Ending, Revocation, RevocationPage, Revoked, UserId, Which};

const HIGHEST: &str = "SELECT value FROM counters WHERE name = 'revocations'";
/// The key of an advisory lock of PostgreSQL, "tollgate" in bytes.
const QUEUE: i64 = i64::from_be_bytes(*b"tollgate");
/// So many rows one statement is about: few sizes, since each is one more statement for the server to remember.
const SIZES: [usize; 3] = [64, 8, 1];

pub(super) async fn end(
    store: &ServerStore,
    which: Which<'_>,
    ending: Ending<'_>,
) -> Result<Ended, sqlx::Error> {
    let is_known = match which {
        Which::Session(sid) => is_id(sid),
        Which::User(user) => is_user_id(user.as_str()),
    };
    if !is_known {
        return Ok(Ended::default());
    }
    let mut write = store.begin().await?;
    let ended = match which {
        Which::Session(sid) => {
            let statement =
                "SELECT sid, access_ends_at FROM sessions WHERE sid = ? AND ended_at IS NULL FOR UPDATE";
            let living = living(&write.rows(statement, &[sid.into()]).await?)?;
            end_these(&mut write, living, ending).await?
        }
        Which::User(user) => end_oldest(&mut write, user, 0, ending).await?,
    };
    add_revocations(&mut write, &ended.revocations).await?;
    write.commit().await?;
    Ok(ended)
}

/// Of two logins of one user that count his sessions the second waits for the end of the first: no row of a session could
/// be locked that is not there yet.
pub(super) async fn lock_logins_of(write: &mut Link, user: &UserId) -> Result<(), sqlx::Error> {
    let number = i64::from(digest(&SHA256, user.as_str().as_bytes()).as_ref()[0]);
    write.rows("SELECT number FROM login_locks WHERE number = ? FOR UPDATE", &[number.into()]).await?;
    Ok(())
}

/// Leaves a user the newest sessions, so many, as [`end_these`] does.
pub(super) async fn end_oldest(
    write: &mut Link,
    user: &UserId,
    left: u32,
    ending: Ending<'_>,
) -> Result<Ended, sqlx::Error> {
    let since = ending.now.minus(ending.leeway);
    let statement = "SELECT sid, access_ends_at FROM sessions \
          WHERE user_id = ? AND ended_at IS NULL AND (ends_at > ? OR access_ends_at > ?) \
          ORDER BY created_at DESC, sid DESC FOR UPDATE";
    let rows = write.rows(statement, &[user.as_str().into(), since.into(), since.into()]).await?;
    let mut living = living(&rows)?;
    let too_many = living.split_off(usize::try_from(left).unwrap_or(usize::MAX).min(living.len()));
    end_these(write, too_many, ending).await
}

fn living(rows: &[Selected]) -> Result<Vec<(String, UnixTime)>, sqlx::Error> {
    rows.iter().map(|row| Ok((row.get(0)?, UnixTime(row.get(1)?)))).collect()
}

/// Ends living sessions whose rows are locked, given with the expiry of their last access tokens. What that revokes is
/// for the caller to insert, as the last that its transaction does.
pub(super) async fn end_these(
    write: &mut Link,
    sessions: Vec<(String, UnixTime)>,
    ending: Ending<'_>,
) -> Result<Ended, sqlx::Error> {
    let mut tokens: HashMap<String, Vec<(String, UnixTime)>> = HashMap::new();
    for some in portions(&sessions) {
        let places = repeated("?", some.len());
        let sids = || some.iter().map(|(sid, _)| Value::from(sid.as_str()));
        let values: Vec<Value<'_>> = [ending.now.into()].into_iter().chain(sids()).collect();
        write.execute(&format!("UPDATE sessions SET ended_at = ? WHERE sid IN ({places})"), &values).await?;
        let statement = format!(
            "SELECT sid, jti, expires_at FROM access_tokens WHERE sid IN ({places}) AND expires_at > ?"
        );
        let since = ending.now.minus(ending.leeway);
        let values: Vec<Value<'_>> = sids().chain([since.into()]).collect();
        for row in write.rows(&statement, &values).await? {
            tokens.entry(row.get(0)?).or_default().push((row.get(1)?, UnixTime(row.get(2)?)));
        }
    }
    let mut ended = Ended::default();
    for (sid, access_ends_at) in sessions {
        let tokens = tokens.remove(&sid).unwrap_or_default();
        ended.add(sid, access_ends_at, tokens, ending);
    }
    Ok(ended)
}

pub(super) async fn revoke(store: &ServerStore, revocations: &[Revocation]) -> Result<(), sqlx::Error> {
    let mut write = store.begin().await?;
    add_revocations(&mut write, revocations).await?;
    write.commit().await
}

/// The last that a transaction does before its commit: all others that revoke wait meanwhile.
pub(super) async fn add_revocations(write: &mut Link, revocations: &[Revocation]) -> Result<(), sqlx::Error> {
    let Some(count) = i64::try_from(revocations.len()).ok().filter(|count| *count > 0) else {
        return Ok(());
    };
    let mut number = take_numbers(write, count).await?;
    for some in portions(revocations) {
        let mut values = Vec::with_capacity(some.len() * 6);
        for Revocation { what, expires_at } in some {
            number += 1;
            let RevokedColumns { kind, issuer, name, issued_before } = what.columns();
            values.extend::<[Value<'_>; 6]>([
                number.into(),
                kind.into(),
                issuer.map(str::as_bytes).into(),
                name.as_bytes().into(),
                issued_before.into(),
                (*expires_at).into(),
            ]);
        }
        let rows = repeated("(?, ?, ?, ?, ?, ?)", some.len());
        let statement = format!(
            "INSERT INTO revocations (number, kind, issuer, name, issued_before, expires_at) VALUES {rows}"
        );
        write.execute(&statement, &values).await?;
    }
    Ok(())
}

/// Takes so many numbers for revocations; answers the one before the first of them. The counter's row stays locked until
/// the transaction ends: so numbers come into sight in their order. It is the last that a transaction locks.
async fn take_numbers(write: &mut Link, count: i64) -> Result<i64, sqlx::Error> {
    // Those who wait for a row of PostgreSQL race for it anew each time that it is free; for this lock they queue.
    let queue = match write.dialect() {
        Dialect::Postgres => format!("SELECT pg_advisory_xact_lock({QUEUE}); "),
        Dialect::MySql | Dialect::Sqlite => String::new(),
    };
    let take = format!("UPDATE counters SET value = value + {count} WHERE name = 'revocations'");
    let rows = write.script(format!("{queue}{take}; {HIGHEST}")).await?;
    let highest: i64 = rows.last().ok_or(sqlx::Error::RowNotFound)?.get(0)?;
    Ok(highest - count)
}

async fn highest(link: &mut Link) -> Result<i64, sqlx::Error> {
    let row = link.row(HIGHEST, &[]).await?;
    row.ok_or(sqlx::Error::RowNotFound)?.get(0)
}

pub(super) async fn revocations_after(
    store: &ServerStore,
    number: i64,
) -> Result<RevocationPage, sqlx::Error> {
    let mut link = store.link().await?;
    // Asked for first: rows that come between the two are above it, and found the next time.
    let highest = highest(&mut link).await?;
    if highest == number {
        return Ok(RevocationPage { revocations: Vec::new(), last: number, highest });
    }
    let statement = "SELECT kind, issuer, name, issued_before, expires_at, number FROM revocations \
                      WHERE number > ? AND number <= ? ORDER BY number LIMIT ?";
    let rows =
        link.rows(statement, &[number.into(), highest.into(), i64::from(REVOCATIONS_AT_ONCE).into()]).await?;
    let last = match rows.last() {
        Some(row) => row.get(5)?,
        None => number.max(highest),
    };
    let revocations = rows.iter().map(revocation).collect::<Result<_, _>>()?;
    Ok(RevocationPage { revocations, last, highest })
}

fn revocation(row: &Selected) -> Result<Revocation, sqlx::Error> {
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(error.utf8_error().into()))
    };
    let issuer = row.get::<Option<Vec<u8>>>(1)?.map(text).transpose()?;
    let name = text(row.get(2)?)?;
    let what = Revoked::of_columns(&row.get::<String>(0)?, issuer, name, row.get(3)?);
    Ok(Revocation { what, expires_at: UnixTime(row.get(4)?) })
}

/// All of them, in portions of a few sizes.
pub(super) fn portions<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= all.len())?;
        let (some, others) = all.split_at(size);
        all = others;
        Some(some)
    })
}

pub(super) fn repeated(place: &str, times: usize) -> String {
    vec![place; times].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_of_few_sizes_and_leave_nothing_out() {
        let all: Vec<usize> = (0..150).collect();
        let sizes: Vec<usize> = portions(&all).map(<[usize]>::len).collect();
        assert_eq!(sizes, [64, 64, 8, 8, 1, 1, 1, 1, 1, 1]);
        assert_eq!(portions(&all).flatten().copied().collect::<Vec<_>>(), all);
        assert_eq!(portions(&all[..0]).count(), 0);
    }
}
