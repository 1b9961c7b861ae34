//! The table `users`.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use serde_json::Map;

use crate::base::UnixTime;
use crate::store::limits::USERS_AT_ONCE;
use crate::store::presence;
use crate::store::user_attributes::claims_of;
use crate::store::{
    AttributesChange, AttributesChanged, NewUser, PasswordHash, Presences, User, UserAttributes, UserId,
};

const COLUMNS: &str = "id, username, email, password, roles, scopes, claims, active, last_login";

pub(super) fn by_name(reader: &Connection, username: &str) -> Result<Option<User>> {
    reader.prepare_cached(&select("WHERE username = ?"))?.query_row([username], user).optional()
}

pub(super) fn by_id(reader: &Connection, id: &str) -> Result<Option<User>> {
    let Ok(id) = id.parse::<i64>() else { return Ok(None) };
    reader.prepare_cached(&select("WHERE id = ?"))?.query_row([id], user).optional()
}

pub(super) fn presence(reader: &Connection, ids: &[UserId]) -> Result<Presences> {
    let mut statement = reader.prepare_cached("SELECT active FROM users WHERE id = ?")?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let Ok(number) = id.as_str().parse::<i64>() else { continue };
        let active: Option<bool> = statement.query_row([number], |row| row.get(0)).optional()?;
        rows.extend(active.map(|active| (id.clone(), active)));
    }
    Ok(presence::of_rows(ids, rows))
}

pub(super) fn after(reader: &Connection, username: &str) -> Result<Vec<User>> {
    reader
        .prepare_cached(&select("WHERE username > ? ORDER BY username LIMIT ?"))?
        .query_map(params![username, USERS_AT_ONCE], user)?
        .collect()
}

fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM users {which}")
}

fn user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: id(row.get(0)?),
        username: row.get(1)?,
        email: row.get(2)?,
        password: Some(PasswordHash::from_stored(row.get(3)?)),
        roles: row.get(4)?,
        scopes: row.get(5)?,
        claims: claims_of(row.get_ref(6)?.as_str()?),
        more: Map::new(),
        active: row.get(7)?,
        last_login: row.get::<_, Option<i64>>(8)?.map(UnixTime),
    })
}

fn id(number: i64) -> UserId {
    UserId::new(number.to_string())
}

pub(super) fn note_login(writer: &Connection, id: &UserId, now: UnixTime) -> Result<()> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    writer.prepare_cached("UPDATE users SET last_login = ? WHERE id = ?")?.execute(params![now.0, id])?;
    Ok(())
}

pub(super) fn renew_hash(
    writer: &Connection,
    id: &UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<()> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    writer
        .prepare_cached("UPDATE users SET password = ? WHERE id = ? AND password = ?")?
        .execute(params![new.as_stored(), id, old.as_stored()])?;
    Ok(())
}

pub(super) fn add(writer: &Connection, user: &NewUser, now: UnixTime) -> Result<UserId> {
    let NewUser { username, password, attributes } = user;
    let UserAttributes { email, roles, scopes, claims: _ } = attributes;
    let number = writer
        .prepare_cached(
            "INSERT INTO users (username, password, email, roles, scopes, claims, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            username,
            password.as_stored(),
            email,
            roles,
            scopes,
            attributes.claims_text(),
            now.0
        ])?;
    Ok(id(number))
}

/// The transaction holds the write lock already, so nobody else changes what is read here.
pub(super) fn change_attributes(
    writer: &Connection,
    username: &str,
    change: &AttributesChange,
) -> Result<AttributesChanged> {
    let Some(user) = by_name(writer, username)? else { return Ok(AttributesChanged::NoUser) };
    let mut attributes = UserAttributes::of(&user);
    if let Err(why) = change(&mut attributes) {
        return Ok(AttributesChanged::Refused(why));
    }
    let UserAttributes { email, roles, scopes, claims: _ } = &attributes;
    writer
        .prepare_cached("UPDATE users SET email = ?, roles = ?, scopes = ?, claims = ? WHERE username = ?")?
        .execute(params![email, roles, scopes, attributes.claims_text(), username])?;
    Ok(AttributesChanged::Done)
}

pub(super) fn set_password(writer: &Connection, username: &str, password: &PasswordHash) -> Result<bool> {
    let changed = writer
        .prepare_cached("UPDATE users SET password = ? WHERE username = ?")?
        .execute(params![password.as_stored(), username])?;
    Ok(changed == 1)
}

pub(super) fn set_active(writer: &Connection, username: &str, active: bool) -> Result<bool> {
    let changed = writer
        .prepare_cached("UPDATE users SET active = ? WHERE username = ?")?
        .execute(params![active, username])?;
    Ok(changed == 1)
}

pub(super) fn remove(writer: &Connection, username: &str) -> Result<bool> {
    let id: Option<i64> = writer
        .prepare_cached("DELETE FROM users WHERE username = ? RETURNING id")?
        .query_row([username], |row| row.get(0))
        .optional()?;
    if let Some(id) = id {
        writer.prepare_cached("DELETE FROM sessions WHERE user_id = ?")?.execute([id.to_string()])?;
    }
    Ok(id.is_some())
}
