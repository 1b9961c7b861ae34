//! What outlives a restart: users, refresh sessions, the blacklist, the key ring.
//!
//! [`Store`] says what the rest of the program may ask of a database; `sqlite` answers it from one file. Time
//! comes in as an argument, passwords come in hashed (`password`), tokens by their `jti` and digest. Nothing
//! here knows what a token looks like or what a client is told.

mod key_ring;
mod password;
mod sqlite;

use std::fmt;

use futures_util::future::BoxFuture;

use crate::base::UnixTime;

pub use key_ring::{KeyRing, KeyRingError};
pub use password::{PasswordError, PasswordHash, Passwords};
pub use sqlite::{Missing, Sqlite};

/// What a database must be able to do. Each call ends within a few seconds, with [`StoreError::Unavailable`]
/// if need be, and changes all that it says or nothing.
pub trait Store: Send + Sync + 'static {
    /// The user of this name, compared byte by byte.
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>>;

    /// The user of this id. A text that can be no id is nobody's.
    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>>;

    /// Adds a user; [`StoreError::Conflict`] if the name is taken.
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId>;

    /// Replaces a password; `false` if there is no such user.
    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool>;

    /// Lets a user in or keeps it out; `false` if there is no such user.
    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool>;

    /// Removes a user and its sessions; `false` if there is no such user.
    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool>;

    /// Records a login. `note_login` writes the user's time of last login too.
    fn start_session<'a>(
        &'a self,
        session: &'a NewSession,
        token: &'a RefreshToken,
        note_login: bool,
    ) -> Answer<'a, ()>;

    /// What is known about a refresh token.
    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState>;

    /// Puts a new refresh token in the place of an old one, in one step: of several callers with the same old
    /// token one gets [`Rotated::Done`] if `retire` is set.
    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated>;

    /// Blacklists a refresh token and, with `end_session`, ends its session; `false` if it stood there already.
    fn blacklist<'a>(&'a self, token: OldToken<'a>, end_session: bool, now: UnixTime) -> Answer<'a, bool>;
}

/// What a [`Store`] answers with.
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
    /// It is there and does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user's id as tokens carry it: a text, whatever the database counts with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// Takes a database's id over.
    #[must_use]
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One who may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// Never given to another, even after the user is gone.
    pub id: UserId,
    /// The name to log in with; unique.
    pub username: String,
    /// May be empty.
    pub email: String,
    /// To compare a password with.
    pub password: PasswordHash,
    /// Names of roles joined by blanks, as a scope is written; may be empty.
    pub roles: String,
    /// Whether the user is let in.
    pub active: bool,
    /// The last login that was noted.
    pub last_login: Option<UnixTime>,
}

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name to log in with.
    pub username: String,
    /// May be empty.
    pub email: String,
    /// The hash of the password.
    pub password: PasswordHash,
    /// Names of roles joined by blanks; may be empty.
    pub roles: String,
}

/// A login.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Names the session in tokens (`sid`).
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
    /// When it began.
    pub started_at: UnixTime,
}

/// A refresh token that is handed out, without its text.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// Its identity.
    pub jti: String,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// `exp`.
    pub expires_at: UnixTime,
}

/// A refresh token that came back.
#[derive(Debug, Clone, Copy)]
pub struct OldToken<'a> {
    /// Its identity.
    pub jti: &'a str,
    /// `exp`: until then the blacklist must remember it.
    pub expires_at: UnixTime,
}

/// What is known about a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshState {
    /// It is refused.
    pub blacklisted: bool,
    /// The record made when it was handed out; `None` for one that this store never saw.
    pub record: Option<RefreshRecord>,
}

/// The record of a refresh token that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRecord {
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// Its session; `None` for a token that no login here made.
    pub session: Option<SessionRecord>,
}

/// The session of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// As in tokens.
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
    /// Somebody ended it.
    pub ended: bool,
}

/// An exchange of refresh tokens.
#[derive(Debug, Clone)]
pub struct Rotation<'a> {
    /// The one that came.
    pub old: OldToken<'a>,
    /// The one that is handed out for it.
    pub new: &'a RefreshToken,
    /// Whose it is, where the token says so.
    pub user: Option<&'a UserId>,
    /// Blacklist the old one.
    pub retire: bool,
    /// Refuse a token without a living session.
    pub require_session: bool,
    /// The time.
    pub now: UnixTime,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The new token is good.
    Done,
    /// Another was faster: the old token is blacklisted.
    AlreadyBlacklisted,
    /// The session was ended or never existed.
    NoSession,
}
