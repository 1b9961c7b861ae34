//! Opens the database that keeps logins, and the place where users live.

use std::sync::Arc;

use super::{
    DjangoTables, HashedUsers, HttpUsers, KnownUsers, LdapUsers, LoginNetworks, Missing, OpenError, OwnUsers,
    Passwords, ServerStore, Sessions, Sqlite, UserFile, UserRows, Users,
};
use crate::config::{self, Database};

/// What `issuer.store` names: one database with the sessions, Tollgate's own users, what is known of others,
/// and from where all of them logged in.
pub trait Store: Sessions + OwnUsers + KnownUsers + LoginNetworks {}

impl<T: Sessions + OwnUsers + KnownUsers + LoginNetworks> Store for T {}

/// What to do where the database is there and does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// Say so: for a command, which has nothing else to do.
    Refuse,
    /// Go on without it, and use it from when it answers.
    Wait,
}

/// Opens what `issuer.store` names, and brings its tables to the form of this version. Needs a tokio runtime, which must
/// outlive it. `missing` is for an SQLite file: whoever runs a server has made the database there, and its tables are
/// made here.
///
/// # Errors
/// [`OpenError`], with [`Unanswered::Wait`] for everything that waiting does not mend.
pub async fn open_store(
    database: &Database,
    missing: Missing,
    unanswered: Unanswered,
) -> Result<Arc<dyn Store>, OpenError> {
    match database {
        Database::Sqlite(file) => Ok(Arc::new(match unanswered {
            Unanswered::Refuse => Sqlite::open(file, missing).await?,
            Unanswered::Wait => Sqlite::open_patiently(file, missing).await?,
        })),
        Database::Postgres(_) | Database::MySql(_) => {
            Ok(Arc::new(ServerStore::open(database, unanswered).await?))
        }
    }
}

/// Opens what `users:` names. `own` has the table in the issuer's store, `known` what is kept there of users who live
/// elsewhere.
///
/// # Errors
/// [`OpenError::Users`] where it is not as the file says. A server that does not answer is no error: it is asked again at
/// the first login.
pub async fn open_users(
    users: &config::Users,
    own: Arc<dyn UserRows>,
    known: Arc<dyn KnownUsers>,
    passwords: Arc<Passwords>,
) -> Result<Box<dyn Users>, OpenError> {
    let hashed = |rows| Box::new(HashedUsers::new(rows, passwords));
    Ok(match users {
        config::Users::Own => hashed(own),
        config::Users::Django(django) => hashed(Arc::new(DjangoTables::open(django).await?)),
        config::Users::File(path) => hashed(Arc::new(UserFile::open(path).await?)),
        config::Users::Http(http) => Box::new(HttpUsers::open(http, known)?),
        config::Users::Ldap(ldap) => Box::new(LdapUsers::open(ldap, known)?),
    })
}
