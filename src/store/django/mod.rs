//! A Django site's users, read in place: `auth_user` or a table of its own, in SQLite, PostgreSQL or MySQL.
//!
//! The site keeps its tables; Tollgate writes two columns, as Django does at a login: `last_login`, and `password` where
//! a hash is renewed. `statements` writes the SQL for the site's names and the type of its key.

mod blacklist;
mod statements;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::OnceCell;

pub use self::blacklist::{DjangoBlacklist, MirroredToken};
use self::statements::{MANY, Statements};
use super::known_users::words;
use super::presence::{self, Presences};
use super::sql::{Row, Sql};
use super::{Answer, OpenError, PasswordHash, Scheme, StoreError, User, UserId, UserRows};
use crate::base::{UnixTime, with_causes};
use crate::config::{DjangoPasswords, DjangoUsers, RolesFrom};

/// The tables of one site.
pub struct DjangoTables {
    sql: Sql,
    users: DjangoUsers,
    passwords: Arc<DjangoPasswords>,
    /// Known once the database answered: it tells the type of the key.
    statements: OnceCell<Statements>,
}

impl fmt::Debug for DjangoTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DjangoTables").field("database", &self.users.database).finish_non_exhaustive()
    }
}

impl DjangoTables {
    /// Looks whether the tables are as the file says. A database that does not answer keeps nothing from starting:
    /// it is asked again at the first login.
    ///
    /// # Errors
    /// [`OpenError::Users`]: the database knows no such table or column or does not let Tollgate at it, or its URL is
    /// none.
    pub async fn open(users: &DjangoUsers) -> Result<Self, OpenError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Users {
            database: users.database.to_string(),
            source,
        };
        let sql = Sql::open(&users.database).map_err(|error| refused(error.into()))?;
        let tables = Self {
            sql,
            users: users.clone(),
            passwords: Arc::clone(&users.passwords),
            statements: OnceCell::new(),
        };
        match tables.sql.call(async { Ok(tables.statements().await.map(drop)) }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if tables.sql.is_final(&error) => return Err(refused(error.into())),
            Ok(Err(error)) => warn(&tables.sql.unavailable(error)),
            Err(error) => warn(&error),
        }
        Ok(tables)
    }

    async fn statements(&self) -> Result<&Statements, sqlx::Error> {
        self.statements.get_or_try_init(|| Statements::prepare(&self.sql, &self.users)).await
    }

    /// The one user that a look-up found. Of two that share a name it can't be told who is meant.
    fn user(&self, statements: &Statements, found: Vec<Row>) -> Option<User> {
        let [mut row] = <[Row; 1]>::try_from(found).ok()?;
        let further = row.split_off(row.len().min(7));
        let [id, username, password, email, active, superuser, last_login] =
            <[Option<String>; 7]>::try_from(row).ok()?;
        let mut more = Map::new();
        if self.users.columns.is_superuser.is_some() {
            more.insert(SUPERUSER.to_owned(), Value::Bool(superuser.as_deref() == Some("1")));
        }
        let further = statements.more.iter().zip(further);
        more.extend(further.filter_map(|((name, kind), text)| Some((name.clone(), kind.value(text?)))));
        Some(User {
            id: UserId::new(statements.key.shown(&id?)?),
            username: username?,
            email: email.unwrap_or_default(),
            password: password.map(PasswordHash::from_stored),
            roles: String::new(),
            scopes: String::new(),
            claims: Map::new(),
            more,
            active: active.as_deref() == Some("1"),
            last_login: last_login.and_then(|seconds| seconds.parse().ok()).map(UnixTime),
        })
    }

    async fn with_roles(&self, mut user: User) -> Result<User, sqlx::Error> {
        let statements = self.statements().await?;
        let Some(id) = statements.key.parameter(user.id.as_str()) else { return Ok(user) };
        let names: Vec<String> = match self.users.roles_from {
            RolesFrom::None => return Ok(user),
            RolesFrom::Groups => {
                let found = self.sql.rows(&statements.groups, &[&id]).await?;
                let names: Vec<String> = found.into_iter().flatten().flatten().collect();
                more_groups(&mut user, &names);
                names
            }
            // As Django has it: nobody who is kept out may do anything.
            RolesFrom::Permissions if !user.active => Vec::new(),
            RolesFrom::Permissions => {
                let has_all = user.more.get(SUPERUSER) == Some(&Value::Bool(true));
                let found = match has_all {
                    true => self.sql.rows(&statements.all_permissions, &[]).await?,
                    false => self.sql.rows(&statements.permissions, &[&id, &id]).await?,
                };
                found.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(".")).collect()
            }
        };
        user.roles = words(names.iter().map(String::as_str));
        Ok(user)
    }
}

/// The name of this fact in [`User::more`].
const SUPERUSER: &str = "is_superuser";

fn more_groups(user: &mut User, names: &[String]) {
    user.more.insert("groups".to_owned(), names.iter().map(String::as_str).collect());
}

fn warn(error: &StoreError) {
    tracing::warn!(error = with_causes(error), "nobody can log in until the users' database answers");
}

impl UserRows for DjangoTables {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        self.sql.call(async move {
            // PostgreSQL has no such text.
            if username.contains('\0') {
                return Ok(None);
            }
            let statements = self.statements().await?;
            let found = self.sql.rows(&statements.by_name, &[username]).await?;
            Ok(self.user(statements, found))
        })
    }

    fn complete(&self, user: User) -> Answer<'_, User> {
        self.sql.call(self.with_roles(user))
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.sql.call(async move {
            let statements = self.statements().await?;
            let Some(id) = statements.key.parameter(id) else { return Ok(None) };
            let found = self.sql.rows(&statements.by_id, &[&id]).await?;
            match self.user(statements, found) {
                Some(user) => self.with_roles(user).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        self.sql.call(async move {
            let statements = self.statements().await?;
            let parameters: Vec<String> =
                ids.iter().filter_map(|id| statements.key.parameter(id.as_str())).collect();
            let mut rows = Vec::with_capacity(ids.len());
            for some in parameters.chunks(MANY) {
                // Fewer than the statement has room for: the last is asked for more than once.
                let last = some.last().map(String::as_str).unwrap_or_default();
                let mut asked = [last; MANY];
                asked.iter_mut().zip(some).for_each(|(place, id)| *place = id);
                for row in self.sql.rows(&statements.presence, &asked).await? {
                    let Ok([Some(id), active]) = <[Option<String>; 2]>::try_from(row) else { continue };
                    let Some(id) = statements.key.shown(&id) else { continue };
                    rows.push((UserId::new(id), active.as_deref() == Some("1")));
                }
            }
            Ok(presence::of_rows(ids, rows))
        })
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.sql.call(async move {
            let statements = self.statements().await?;
            if let (Some(note), Some(id)) = (&statements.note_login, statements.key.parameter(id.as_str())) {
                self.sql.execute(note, &[&now.0.to_string(), &id]).await?;
            }
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
            let statements = self.statements().await?;
            if let Some(id) = statements.key.parameter(id.as_str()) {
                self.sql.execute(&statements.renew_hash, &[new.as_stored(), &id, old.as_stored()]).await?;
            }
            Ok(())
        })
    }

    fn scheme(&self) -> Scheme {
        Scheme::Django(Arc::clone(&self.passwords))
    }
}
