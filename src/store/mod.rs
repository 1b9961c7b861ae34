//! What outlives a restart: users, refresh sessions, the blacklist, the key ring.
//!
//! [`Users`] says what may be asked of the place where users live, [`Sessions`] what of the database that keeps
//! logins; they may be two. `sqlite` answers both from one file, `server` from a database on a server, which replicas
//! share. Time comes in as an argument, tokens by their `jti` and digest. Nothing here knows what a token looks like or
//! what a client is told.

mod claim_queries;
mod django;
mod http_users;
mod key_ring;
mod known_users;
mod ldap_users;
mod limits;
mod login_networks;
mod open;
mod password;
mod presence;
mod purge;
mod revocations;
mod server;
mod sessions;
mod sql;
mod sqlite;
mod user_attributes;
mod user_file;
mod users;

use futures_util::future::BoxFuture;

pub use claim_queries::{ClaimQueries, ClaimQueryError};
pub use django::{DjangoBlacklist, DjangoTables, MirroredToken};
pub use http_users::HttpUsers;
pub use key_ring::{KeyRing, KeyRingError};
pub use known_users::KnownUsers;
pub use ldap_users::LdapUsers;
pub use login_networks::{LoginNetworks, NetworkDigest};
pub use open::{Store, Unanswered, open_store, open_users};
pub use password::{PasswordError, PasswordHash, Passwords, Scheme, Verdict};
pub use presence::{Presence, Presences};
pub use revocations::{Revocation, RevocationPage, Revoked};
pub use server::ServerStore;
pub use sessions::{
    AccessToken, Ended, Ending, Login, NewSession, OldToken, RefreshRecord, RefreshState, RefreshToken,
    Rotated, Rotation, SessionRecord, Sessions, Usage, Which,
};
pub use sqlite::{Missing, Sqlite};
pub use user_attributes::{AttributesChange, AttributesChanged, UserAttributes};
pub use user_file::UserFile;
pub use users::{
    Admission, HashedUsers, LogIn, LogInError, NewUser, OwnUsers, User, UserId, UserRows, Users,
};

/// What a store answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Locked by others for too long, gone, full, broken: the same call may succeed later.
    #[error("the database {database} does not answer")]
    Unavailable {
        /// Which one.
        database: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something of that name exists.
    #[error("that name is taken")]
    Conflict,
}

/// Why a store could not be opened at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database at that place.
    #[error("there is no database {file}: make it with `tollgate user add`, or check `issuer.store`")]
    Missing {
        /// The place.
        file: String,
    },
    /// The database was made by a newer Tollgate, or is none of Tollgate's.
    #[error("the database {file} can't be brought to this version's form")]
    Migration {
        /// The place.
        file: String,
        /// What stands in the way.
        source: sqlx::migrate::MigrateError,
    },
    /// The place can't be made or written.
    #[error("can't create {path}")]
    Create {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server does not let Tollgate at the database, or has none of that name.
    #[error("the database {database} can't be used as `issuer.store`")]
    Refused {
        /// The place.
        database: String,
        /// What stands in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Where users live is not as `issuer.users` says.
    #[error("the users in {database} can't be used as `issuer.users` says")]
    Users {
        /// The place.
        database: String,
        /// What stands in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is there and does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
