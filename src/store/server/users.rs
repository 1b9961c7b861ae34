//! The table `users`.

use serde_json::Map;

use super::ServerStore;
use super::ending::{portions, repeated};
use crate::base::UnixTime;
use crate::store::limits::USERS_AT_ONCE;
use crate::store::presence;
use crate::store::sql::{Link, Selected, Value};
use crate::store::user_attributes::claims_of;
use crate::store::{
    AttributesChange, AttributesChanged, NewUser, PasswordHash, Presences, User, UserAttributes, UserId,
};

const COLUMNS: &str = "id, username, email, password, roles, scopes, claims, active, last_login";

/// What the database would refuse, or take for another name, is nobody's: MySQL compares without blanks at the end.
fn is_username(username: &str) -> bool {
    !username.contains('\0') && username.trim_end() == username
}

pub(super) async fn by_name(store: &ServerStore, username: &str) -> Result<Option<User>, sqlx::Error> {
    if !is_username(username) {
        return Ok(None);
    }
    find(&mut store.link().await?, "username", username.into()).await
}

pub(super) async fn by_id(store: &ServerStore, id: &str) -> Result<Option<User>, sqlx::Error> {
    let Ok(id) = id.parse::<i64>() else { return Ok(None) };
    find(&mut store.link().await?, "id", id.into()).await
}

pub(super) async fn presence(store: &ServerStore, ids: &[UserId]) -> Result<Presences, sqlx::Error> {
    let numbers: Vec<i64> = ids.iter().filter_map(|id| id.as_str().parse().ok()).collect();
    let mut link = store.link().await?;
    let mut rows = Vec::with_capacity(ids.len());
    for some in portions(&numbers) {
        let statement = format!("SELECT id, active FROM users WHERE id IN ({})", repeated("?", some.len()));
        let values: Vec<Value<'_>> = some.iter().map(|number| (*number).into()).collect();
        for row in link.rows(&statement, &values).await? {
            rows.push((UserId::new(row.get::<i64>(0)?.to_string()), row.get(1)?));
        }
    }
    Ok(presence::of_rows(ids, rows))
}

async fn find(link: &mut Link, by: &str, value: Value<'_>) -> Result<Option<User>, sqlx::Error> {
    let found = link.row(&format!("SELECT {COLUMNS} FROM users WHERE {by} = ?"), &[value]).await?;
    found.map(|row| user(&row)).transpose()
}

fn user(row: &Selected) -> Result<User, sqlx::Error> {
    Ok(User {
        id: UserId::new(row.get::<i64>(0)?.to_string()),
        username: row.get(1)?,
        email: row.get(2)?,
        password: Some(PasswordHash::from_stored(row.get(3)?)),
        roles: row.get(4)?,
        scopes: row.get(5)?,
        claims: claims_of(&row.get::<String>(6)?),
        more: Map::new(),
        active: row.get(7)?,
        last_login: row.get::<Option<i64>>(8)?.map(UnixTime),
    })
}

pub(super) async fn note_login(store: &ServerStore, id: &UserId, now: UnixTime) -> Result<(), sqlx::Error> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    let values = [now.into(), id.into()];
    store.link().await?.execute("UPDATE users SET last_login = ? WHERE id = ?", &values).await?;
    Ok(())
}

pub(super) async fn renew_hash(
    store: &ServerStore,
    id: &UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<(), sqlx::Error> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    let values = [new.as_stored().into(), id.into(), old.as_stored().into()];
    store
        .link()
        .await?
        .execute("UPDATE users SET password = ? WHERE id = ? AND password = ?", &values)
        .await?;
    Ok(())
}

pub(super) async fn add(store: &ServerStore, user: &NewUser, now: UnixTime) -> Result<UserId, sqlx::Error> {
    let mut link = store.link().await?;
    let claims = user.attributes.claims_text();
    let UserAttributes { email, roles, scopes, claims: _ } = &user.attributes;
    let values = [
        user.username.as_str().into(),
        user.password.as_stored().into(),
        email.as_str().into(),
        roles.as_str().into(),
        scopes.as_str().into(),
        claims.as_str().into(),
        now.into(),
    ];
    let insert = "INSERT INTO users (username, password, email, roles, scopes, claims, created_at) \
                  VALUES (?, ?, ?, ?, ?, ?, ?)";
    link.execute(insert, &values).await?;
    let added = find(&mut link, "username", user.username.as_str().into()).await?;
    added.map(|user| user.id).ok_or(sqlx::Error::RowNotFound)
}

pub(super) async fn after(store: &ServerStore, username: &str) -> Result<Vec<User>, sqlx::Error> {
    let statement = format!("SELECT {COLUMNS} FROM users WHERE username > ? ORDER BY username LIMIT ?");
    let rows =
        store.link().await?.rows(&statement, &[username.into(), i64::from(USERS_AT_ONCE).into()]).await?;
    rows.iter().map(user).collect()
}

pub(super) async fn change_attributes(
    store: &ServerStore,
    username: &str,
    change: AttributesChange,
) -> Result<AttributesChanged, sqlx::Error> {
    if !is_username(username) {
        return Ok(AttributesChanged::NoUser);
    }
    let mut write = store.begin().await?;
    let statement = format!("SELECT {COLUMNS} FROM users WHERE username = ? FOR UPDATE");
    let Some(found) = write.row(&statement, &[username.into()]).await? else {
        write.roll_back().await?;
        return Ok(AttributesChanged::NoUser);
    };
    let mut attributes = UserAttributes::of(&user(&found)?);
    if let Err(why) = change(&mut attributes) {
        write.roll_back().await?;
        return Ok(AttributesChanged::Refused(why));
    }
    let claims = attributes.claims_text();
    let UserAttributes { email, roles, scopes, claims: _ } = &attributes;
    let values = [
        email.as_str().into(),
        roles.as_str().into(),
        scopes.as_str().into(),
        claims.as_str().into(),
        username.into(),
    ];
    let statement = "UPDATE users SET email = ?, roles = ?, scopes = ?, claims = ? WHERE username = ?";
    write.execute(statement, &values).await?;
    write.commit().await?;
    Ok(AttributesChanged::Done)
}

pub(super) async fn set_password(
    store: &ServerStore,
    username: &str,
    password: &PasswordHash,
) -> Result<bool, sqlx::Error> {
    set(store, "password", password.as_stored().into(), username).await
}

pub(super) async fn set_active(
    store: &ServerStore,
    username: &str,
    active: bool,
) -> Result<bool, sqlx::Error> {
    set(store, "active", Value::Truth(active), username).await
}

/// Sets one value of the user of this name.
async fn set(
    store: &ServerStore,
    column: &str,
    value: Value<'_>,
    username: &str,
) -> Result<bool, sqlx::Error> {
    if !is_username(username) {
        return Ok(false);
    }
    let statement = format!("UPDATE users SET {column} = ? WHERE username = ?");
    let done = store.link().await?.execute(&statement, &[value, username.into()]).await?;
    Ok(done == 1)
}

pub(super) async fn remove(store: &ServerStore, username: &str) -> Result<bool, sqlx::Error> {
    if !is_username(username) {
        return Ok(false);
    }
    let mut write = store.begin().await?;
    let found = write.row("SELECT id FROM users WHERE username = ? FOR UPDATE", &[username.into()]).await?;
    let Some(found) = found else {
        write.roll_back().await?;
        return Ok(false);
    };
    let id = found.get::<i64>(0)?;
    write.execute("DELETE FROM users WHERE id = ?", &[id.into()]).await?;
    write.execute("DELETE FROM sessions WHERE user_id = ?", &[id.to_string().as_str().into()]).await?;
    write.commit().await?;
    Ok(true)
}
