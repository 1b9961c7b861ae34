//! The table `users`.

use serde_json::Map;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Sqlite;
use crate::base::UnixTime;
use crate::store::users::claims_of;
use crate::store::{NewUser, PasswordHash, User, UserAttributes, UserId};

pub(super) async fn by_name(store: &Sqlite, username: &str) -> Result<Option<User>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query("SELECT * FROM users WHERE username = ?")
        .bind(username)
        .try_map(|row| user(&row))
        .fetch_optional(&mut *reader)
        .await
}

pub(super) async fn by_id(store: &Sqlite, id: &str) -> Result<Option<User>, sqlx::Error> {
    let Ok(id) = id.parse::<i64>() else { return Ok(None) };
    let mut reader = store.reader().await?;
    sqlx::query("SELECT * FROM users WHERE id = ?")
        .bind(id)
        .try_map(|row| user(&row))
        .fetch_optional(&mut *reader)
        .await
}

fn user(row: &SqliteRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: id(row.try_get("id")?),
        username: row.try_get("username")?,
        email: row.try_get("email")?,
        password: Some(PasswordHash::from_stored(row.try_get("password")?)),
        roles: row.try_get("roles")?,
        scopes: row.try_get("scopes")?,
        claims: claims_of(row.try_get("claims")?),
        more: Map::new(),
        active: row.try_get("active")?,
        last_login: row.try_get::<Option<i64>, _>("last_login")?.map(UnixTime),
    })
}

fn id(number: i64) -> UserId {
    UserId::new(number.to_string())
}

pub(super) async fn note_login(store: &Sqlite, id: &UserId, now: UnixTime) -> Result<(), sqlx::Error> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    let mut write = store.write().await?;
    sqlx::query("UPDATE users SET last_login = ? WHERE id = ?")
        .bind(now.0)
        .bind(id)
        .execute(&mut *write)
        .await?;
    write.commit().await
}

pub(super) async fn renew_hash(
    store: &Sqlite,
    id: &UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<(), sqlx::Error> {
    let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
    let mut write = store.write().await?;
    sqlx::query("UPDATE users SET password = ? WHERE id = ? AND password = ?")
        .bind(new.as_stored())
        .bind(id)
        .bind(old.as_stored())
        .execute(&mut *write)
        .await?;
    write.commit().await
}

pub(super) async fn add(store: &Sqlite, user: &NewUser, now: UnixTime) -> Result<UserId, sqlx::Error> {
    let mut write = store.write().await?;
    let done = sqlx::query(
        "INSERT INTO users (username, password, email, roles, scopes, claims, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&user.username)
    .bind(user.password.as_stored())
    .bind(&user.attributes.email)
    .bind(&user.attributes.roles)
    .bind(&user.attributes.scopes)
    .bind(user.attributes.claims_text())
    .bind(now.0)
    .execute(&mut *write)
    .await?;
    write.commit().await?;
    Ok(id(done.last_insert_rowid()))
}

pub(super) async fn set_attributes(
    store: &Sqlite,
    username: &str,
    attributes: &UserAttributes,
) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    let done =
        sqlx::query("UPDATE users SET email = ?, roles = ?, scopes = ?, claims = ? WHERE username = ?")
            .bind(&attributes.email)
            .bind(&attributes.roles)
            .bind(&attributes.scopes)
            .bind(attributes.claims_text())
            .bind(username)
            .execute(&mut *write)
            .await?;
    write.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn after(store: &Sqlite, username: &str) -> Result<Vec<User>, sqlx::Error> {
    let mut reader = store.reader().await?;
    sqlx::query("SELECT * FROM users WHERE username > ? ORDER BY username LIMIT 1000")
        .bind(username)
        .try_map(|row| user(&row))
        .fetch_all(&mut *reader)
        .await
}

pub(super) async fn set_password(
    store: &Sqlite,
    username: &str,
    password: &PasswordHash,
) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    let done = sqlx::query("UPDATE users SET password = ? WHERE username = ?")
        .bind(password.as_stored())
        .bind(username)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn set_active(store: &Sqlite, username: &str, active: bool) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    let done = sqlx::query("UPDATE users SET active = ? WHERE username = ?")
        .bind(active)
        .bind(username)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn remove(store: &Sqlite, username: &str) -> Result<bool, sqlx::Error> {
    let mut write = store.write().await?;
    let id: Option<i64> = sqlx::query_scalar("DELETE FROM users WHERE username = ? RETURNING id")
        .bind(username)
        .fetch_optional(&mut *write)
        .await?;
    if let Some(id) = id {
        sqlx::query("DELETE FROM sessions WHERE user_id = ?")
            .bind(id.to_string())
            .execute(&mut *write)
            .await?;
    }
    write.commit().await?;
    Ok(id.is_some())
}
