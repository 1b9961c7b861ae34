//! Tollgate's own table of users in PostgreSQL, MySQL or MariaDB.

use std::fmt;

use serde_json::Map;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::sql::{Dialect, Row, Sql, Statement};
use super::users::claims_of;
use super::{
    Answer, NewUser, OpenError, OwnUsers, PasswordHash, Scheme, User, UserAttributes, UserId, UserRows,
};
use crate::base::UnixTime;
use crate::config::Database;

/// The table `users` of one database, which replicas share.
pub struct ServerUsers {
    sql: Sql,
    statements: Statements,
}

impl fmt::Debug for ServerUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerUsers").finish_non_exhaustive()
    }
}

struct Statements {
    by_name: Statement,
    by_id: Statement,
    note_login: Statement,
    renew_hash: Statement,
    after: Statement,
    add: Statement,
    set_attributes: Statement,
    set_password: Statement,
    set_active: Statement,
    remove: Statement,
}

impl ServerUsers {
    /// Connects, and brings the table to the form of this version.
    ///
    /// # Errors
    /// [`OpenError`], also if the table was made by a newer version, or the database is an SQLite file.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Users {
            database: database.to_string(),
            source,
        };
        let sql = Sql::open(database).map_err(|error| unusable(error.into()))?;
        let Some(migrations) = migrations(sql.dialect()) else {
            return Err(unusable("an SQLite file has its users in the issuer's store".into()));
        };
        sql.migrate(&migrations)
            .await
            .map_err(|source| OpenError::Migration { file: database.to_string(), source })?;
        let statements = Statements::write(sql.dialect());
        Ok(Self { sql, statements })
    }

    async fn one(&self, statement: &Statement, value: &str) -> Result<Option<User>, sqlx::Error> {
        Ok(self.sql.rows(statement, &[value]).await?.into_iter().next().and_then(user))
    }

    async fn changes(&self, statement: &Statement, values: &[&str]) -> Result<bool, sqlx::Error> {
        Ok(self.sql.execute(statement, values).await? == 1)
    }
}

/// The steps from an empty database to this version's tables. Never change one that was released: add another.
fn migrations(dialect: Dialect) -> Option<Migrator> {
    let sql = match dialect {
        Dialect::Sqlite => return None,
        Dialect::Postgres => include_str!("../../migrations/postgres/0001_users.sql"),
        Dialect::MySql => include_str!("../../migrations/mysql/0001_users.sql"),
    };
    let users = Migration::new(1, "users".into(), MigrationType::Simple, sql.into_sql_str(), false);
    Some(Migrator::with_migrations(vec![users]))
}

impl Statements {
    fn write(dialect: Dialect) -> Self {
        let select = format!(
            "SELECT {}, username, email, password, roles, scopes, claims, CASE WHEN active THEN '1' ELSE '0' END, {} \
             FROM users",
            dialect.text("id"),
            dialect.text("last_login"),
        );
        let number = dialect.integer("?");
        let truth = format!("CASE WHEN {number} = 1 THEN true ELSE false END");
        let statement = |text: &str| dialect.statement(text);
        Self {
            by_name: statement(&format!("{select} WHERE username = ?")),
            by_id: statement(&format!("{select} WHERE id = {number}")),
            note_login: statement(&format!("UPDATE users SET last_login = {number} WHERE id = {number}")),
            renew_hash: statement(&format!(
                "UPDATE users SET password = ? WHERE id = {number} AND password = ?"
            )),
            after: statement(&format!("{select} WHERE username > ? ORDER BY username LIMIT 1000")),
            add: statement(&format!(
                "INSERT INTO users (username, password, email, roles, scopes, claims, created_at) \
                 VALUES (?, ?, ?, ?, ?, ?, {number})"
            )),
            set_attributes: statement(
                "UPDATE users SET email = ?, roles = ?, scopes = ?, claims = ? WHERE username = ?",
            ),
            set_password: statement("UPDATE users SET password = ? WHERE username = ?"),
            set_active: statement(&format!("UPDATE users SET active = {truth} WHERE username = ?")),
            remove: statement("DELETE FROM users WHERE username = ?"),
        }
    }
}

fn user(row: Row) -> Option<User> {
    let [id, username, email, password, roles, scopes, claims, active, last_login] =
        <[Option<String>; 9]>::try_from(row).ok()?;
    Some(User {
        id: UserId::new(id?),
        username: username?,
        email: email?,
        password: Some(PasswordHash::from_stored(password?)),
        roles: roles?,
        scopes: scopes?,
        claims: claims_of(&claims?),
        more: Map::new(),
        active: active.as_deref() == Some("1"),
        last_login: last_login.and_then(|seconds| seconds.parse().ok()).map(UnixTime),
    })
}

/// What the database would refuse, or another database take for another name, is nobody's.
fn is_name(username: &str) -> bool {
    !username.contains('\0') && username.trim_end() == username
}

impl UserRows for ServerUsers {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        self.sql.call(async move {
            if !is_name(username) {
                return Ok(None);
            }
            self.one(&self.statements.by_name, username).await
        })
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.sql.call(async move {
            let Ok(id) = id.parse::<i64>() else { return Ok(None) };
            self.one(&self.statements.by_id, &id.to_string()).await
        })
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.sql.call(async move {
            let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
            self.sql.execute(&self.statements.note_login, &[&now.0.to_string(), &id.to_string()]).await?;
            Ok(())
        })
    }

    fn renew_hash<'a>(
        &'a self,
        id: &'a UserId,
        old: &'a PasswordHash,
        new: &'a PasswordHash,
    ) -> Answer<'a, ()> {
        self.sql.call(async move {
            let Ok(id) = id.as_str().parse::<i64>() else { return Ok(()) };
            let values = [new.as_stored(), &id.to_string(), old.as_stored()];
            self.sql.execute(&self.statements.renew_hash, &values).await?;
            Ok(())
        })
    }

    fn scheme(&self) -> Scheme {
        Scheme::Own
    }
}

impl OwnUsers for ServerUsers {
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId> {
        self.sql.call(async move {
            let (attributes, claims) = (&user.attributes, user.attributes.claims_text());
            let values = [
                &user.username,
                user.password.as_stored(),
                &attributes.email,
                &attributes.roles,
                &attributes.scopes,
                &claims,
                &now.0.to_string(),
            ];
            self.sql.execute(&self.statements.add, &values).await?;
            let added = self.one(&self.statements.by_name, &user.username).await?;
            added.map(|user| user.id).ok_or(sqlx::Error::RowNotFound)
        })
    }

    fn set_attributes<'a>(&'a self, username: &'a str, attributes: &'a UserAttributes) -> Answer<'a, bool> {
        self.sql.call(async move {
            if !is_name(username) {
                return Ok(false);
            }
            let UserAttributes { email, roles, scopes, .. } = attributes;
            let values = [email, roles, scopes, &attributes.claims_text(), username];
            self.changes(&self.statements.set_attributes, &values).await
        })
    }

    fn users_after<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        self.sql.call(async move {
            let rows = self.sql.rows(&self.statements.after, &[username]).await?;
            Ok(rows.into_iter().filter_map(user).collect())
        })
    }

    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool> {
        self.sql.call(self.changes_of(username, &self.statements.set_password, password.as_stored()))
    }

    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool> {
        let active = if active { "1" } else { "0" };
        self.sql.call(self.changes_of(username, &self.statements.set_active, active))
    }

    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool> {
        self.sql.call(async move {
            if !is_name(username) {
                return Ok(false);
            }
            self.changes(&self.statements.remove, &[username]).await
        })
    }
}

impl ServerUsers {
    /// Sets one value of the user of this name.
    async fn changes_of(
        &self,
        username: &str,
        statement: &Statement,
        value: &str,
    ) -> Result<bool, sqlx::Error> {
        if !is_name(username) {
            return Ok(false);
        }
        self.changes(statement, &[value, username]).await
    }
}
