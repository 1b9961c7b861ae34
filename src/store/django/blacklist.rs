//! The tables of SimpleJWT's `token_blacklist`, read and written in place: what the site ended before the cut-over stays
//! ended, and what is ended here is ended there too after a roll-back.

use std::fmt;

use tokio::sync::OnceCell;

use super::statements::{Key, key_type};
use crate::base::UnixTime;
use crate::config::{DjangoUsers, Mirror, TokenBlacklist};
use crate::store::sql::{Sql, Statement};
use crate::store::{Answer, OpenError, StoreError, UserId};

/// A refresh token for the site to know.
#[derive(Debug, Clone, Copy)]
pub struct MirroredToken<'a> {
    /// Its identity.
    pub jti: &'a str,
    /// The token itself; kept only where the file asks for it.
    pub text: &'a str,
    /// Whose it is, where that is known.
    pub user: Option<&'a UserId>,
    /// `exp`.
    pub expires_at: UnixTime,
}

/// The two tables of one site.
pub struct DjangoBlacklist {
    sql: Sql,
    users: DjangoUsers,
    tables: TokenBlacklist,
    /// Known once the database answered: it tells the type of a user's key.
    statements: OnceCell<Statements>,
}

struct Statements {
    key: Key,
    is_blacklisted: Statement,
    add_of_user: Statement,
    add: Statement,
    blacklist: Statement,
}

impl fmt::Debug for DjangoBlacklist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DjangoBlacklist").field("database", &self.users.database).finish_non_exhaustive()
    }
}

impl DjangoBlacklist {
    /// Looks whether the tables are there. A database that does not answer keeps nothing from starting.
    ///
    /// # Errors
    /// [`OpenError::Users`]: there are no such tables, or Tollgate is not let at them.
    pub async fn open(users: &DjangoUsers, tables: &TokenBlacklist) -> Result<Self, OpenError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Users {
            database: users.database.to_string(),
            source,
        };
        let sql = Sql::open(&users.database).map_err(|error| refused(error.into()))?;
        let blacklist =
            Self { sql, users: users.clone(), tables: tables.clone(), statements: OnceCell::new() };
        match blacklist.sql.call(async { Ok(blacklist.statements().await.map(drop)) }).await {
            Ok(Err(error)) if blacklist.sql.is_final(&error) => Err(refused(error.into())),
            // The look-up of users warns of the same database.
            Ok(_) | Err(_) => Ok(blacklist),
        }
    }

    /// Whether rows are written at all.
    #[must_use]
    pub fn mirrors(&self) -> bool {
        self.tables.mirror != Mirror::Off
    }

    async fn statements(&self) -> Result<&Statements, sqlx::Error> {
        self.statements.get_or_try_init(|| self.prepare()).await
    }

    async fn prepare(&self) -> Result<Statements, sqlx::Error> {
        let dialect = self.sql.dialect();
        let key = key_type(&self.sql, &self.users).await?;
        let (outstanding, blacklisted) =
            (dialect.table(&self.tables.outstanding), dialect.table(&self.tables.blacklisted));
        let (created, expires) = (dialect.moment("?"), dialect.moment("?"));
        let add = |user: &str| {
            dialect.statement(&format!(
                "INSERT INTO {outstanding} (user_id, jti, token, created_at, expires_at) \
                 VALUES ({user}, ?, ?, {created}, {expires})"
            ))
        };
        let statements = Statements {
            key,
            is_blacklisted: dialect.statement(&format!(
                "SELECT {} FROM {blacklisted} b JOIN {outstanding} o ON o.id = b.token_id WHERE o.jti = ?",
                dialect.text("b.id")
            )),
            add_of_user: add(&key.placeholder(dialect)),
            add: add("NULL"),
            blacklist: dialect.statement(&format!(
                "INSERT INTO {blacklisted} (token_id, blacklisted_at) \
                 SELECT o.id, {created} FROM {outstanding} o WHERE o.jti = ?"
            )),
        };
        self.sql.rows(&statements.is_blacklisted, &[""]).await?;
        Ok(statements)
    }

    /// Whether the site ended the token of this `jti`, or Tollgate did on the site's behalf.
    pub fn is_blacklisted<'a>(&'a self, jti: &'a str) -> Answer<'a, bool> {
        self.sql.call(async move {
            // No such text was ever stored, and PostgreSQL refuses it.
            if jti.contains('\0') {
                return Ok(false);
            }
            let statements = self.statements().await?;
            Ok(!self.sql.rows(&statements.is_blacklisted, &[jti]).await?.is_empty())
        })
    }

    /// Makes a token known to the site, unless it is.
    pub fn add<'a>(&'a self, token: MirroredToken<'a>, now: UnixTime) -> Answer<'a, ()> {
        let added = self.sql.call(async move {
            let statements = self.statements().await?;
            let text = if self.tables.mirror == Mirror::WithText { token.text } else { "" };
            let (now, expires_at) = (now.0.to_string(), token.expires_at.0.to_string());
            let user = token.user.and_then(|user| statements.key.parameter(user.as_str()));
            match user {
                Some(user) => {
                    let values = [user.as_str(), token.jti, text, &now, &expires_at];
                    self.sql.execute(&statements.add_of_user, &values).await
                }
                None => self.sql.execute(&statements.add, &[token.jti, text, &now, &expires_at]).await,
            }
        });
        Box::pin(async move { known_is_fine(added.await) })
    }

    /// Ends a token for the site, which hears of it here for the first time if need be.
    pub fn blacklist<'a>(&'a self, token: MirroredToken<'a>, now: UnixTime) -> Answer<'a, ()> {
        Box::pin(async move {
            self.add(token, now).await?;
            let ended = self.sql.call(async move {
                let statements = self.statements().await?;
                self.sql.execute(&statements.blacklist, &[&now.0.to_string(), token.jti]).await
            });
            known_is_fine(ended.await)
        })
    }
}

/// `jti` and `token_id` are unique: of two who write the same row one finds it there.
fn known_is_fine(written: Result<u64, StoreError>) -> Result<(), StoreError> {
    match written {
        Ok(_) | Err(StoreError::Conflict) => Ok(()),
        Err(error @ StoreError::Unavailable { .. }) => Err(error),
    }
}
