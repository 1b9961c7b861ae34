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
    is_known: Statement,
    blacklist: Statement,
    blacklist_user: Statement,
}

/// So often a user's tokens are ended before another who writes the same rows is taken for a database out of order.
const ATTEMPTS: u32 = 3;

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

    /// Whether these rows hold tokens' texts.
    #[must_use]
    pub fn keeps_text(&self) -> bool {
        self.tables.mirror == Mirror::WithText
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
            is_known: dialect.statement(&format!(
                "SELECT {} FROM {outstanding} o WHERE o.jti = ?",
                dialect.text("o.id")
            )),
            blacklist_user: dialect.statement(&format!(
                "INSERT INTO {blacklisted} (token_id, blacklisted_at) \
                 SELECT o.id, {created} FROM {outstanding} o WHERE o.user_id = {} AND o.expires_at > {created} \
                 AND NOT EXISTS (SELECT 1 FROM {blacklisted} b WHERE b.token_id = o.id)",
                key.placeholder(dialect)
            )),
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
        Box::pin(async move {
            let added = self.insert(token, now).await;
            self.taken_or_there(added, |statements| &statements.is_known, token.jti).await
        })
    }

    /// Ends a token for the site, which hears of it here for the first time if need be.
    pub fn blacklist<'a>(&'a self, token: MirroredToken<'a>, now: UnixTime) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.insert(token, now).await {
                // Whether it is there then, the next statement tells.
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error @ StoreError::Unavailable { .. }) => return Err(error),
            }
            let ended = self.sql.call(async move {
                let statements = self.statements().await?;
                self.sql.execute(&statements.blacklist, &[&now.0.to_string(), token.jti]).await
            });
            self.taken_or_there(ended.await, |statements| &statements.is_blacklisted, token.jti).await
        })
    }

    /// Ends all tokens of a user that the site knows.
    pub fn blacklist_user<'a>(&'a self, user: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        let ended = move || {
            self.sql.call(async move {
                let statements = self.statements().await?;
                // No row of the table can be about one whose id is no key of it.
                let Some(user) = statements.key.parameter(user.as_str()) else { return Ok(0) };
                let now = now.0.to_string();
                self.sql.execute(&statements.blacklist_user, &[&now, &user, &now]).await
            })
        };
        Box::pin(async move {
            for _ in 1..ATTEMPTS {
                match ended().await {
                    // Another ended one of them meanwhile, and nothing was done.
                    Err(StoreError::Conflict) => {}
                    done => return done.map(drop),
                }
            }
            ended().await.map(drop).map_err(|error| match error {
                StoreError::Conflict => self.sql.unavailable(REFUSED),
                error @ StoreError::Unavailable { .. } => error,
            })
        })
    }

    fn insert<'a>(&'a self, token: MirroredToken<'a>, now: UnixTime) -> Answer<'a, u64> {
        self.sql.call(async move {
            let statements = self.statements().await?;
            let text = if self.keeps_text() { token.text } else { "" };
            let (now, expires_at) = (now.0.to_string(), token.expires_at.0.to_string());
            let user = token.user.and_then(|user| statements.key.parameter(user.as_str()));
            match user {
                Some(user) => {
                    let values = [user.as_str(), token.jti, text, &now, &expires_at];
                    self.sql.execute(&statements.add_of_user, &values).await
                }
                None => self.sql.execute(&statements.add, &[token.jti, text, &now, &expires_at]).await,
            }
        })
    }

    /// Of two who write the same row one finds it there. A row that is not there afterwards was refused for another reason,
    /// such as a sequence of keys that is behind its table.
    async fn taken_or_there(
        &self,
        written: Result<u64, StoreError>,
        look: fn(&Statements) -> &Statement,
        jti: &str,
    ) -> Result<(), StoreError> {
        match written {
            Ok(1..) => Ok(()),
            Ok(0) | Err(StoreError::Conflict) => {
                let found = self.sql.call(async move {
                    let statements = self.statements().await?;
                    self.sql.rows(look(statements), &[jti]).await
                });
                if found.await?.is_empty() { Err(self.sql.unavailable(REFUSED)) } else { Ok(()) }
            }
            Err(error @ StoreError::Unavailable { .. }) => Err(error),
        }
    }
}

const REFUSED: &str = "it did not take a row of `token_blacklist`, and no other row is in its place";
