//! Who may log in: what the issuer asks of the place where users live, and what each such place has in common.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Answer, PasswordError, PasswordHash, Passwords, Scheme, StoreError, Verdict};
use crate::base::{Secret, UnixTime};

/// Where users live. Each call ends within a few seconds, with an error if need be.
pub trait Users: Send + Sync + 'static {
    /// The user of this name, if the password is right and the user is let in; else `None`, after the same time
    /// whatever the reason.
    fn log_in<'a>(&'a self, username: &'a str, password: Secret) -> LogIn<'a>;

    /// The user of this id, let in or not. A text that can be no id is nobody's.
    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>>;

    /// Records the time of a login, where the place has room for it.
    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()>;
}

/// What [`Users::log_in`] answers with.
pub type LogIn<'a> = futures_util::future::BoxFuture<'a, Result<Option<User>, LogInError>>;

/// Why nobody can say whether a password is right.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// The users can't be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password can't be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// A table of users with the hashes of their passwords.
pub trait UserRows: Send + Sync + 'static {
    /// The user of this name, compared as the database compares. What takes a second look-up is still missing: the
    /// time must not tell who exists.
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>>;

    /// Adds what [`UserRows::user_by_name`] left out, once it is known who logs in.
    fn complete(&self, user: User) -> Answer<'_, User> {
        Box::pin(std::future::ready(Ok(user)))
    }

    /// The user of this id, with all that is known. A text that can be no id is nobody's.
    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>>;

    /// Writes the time of last login.
    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()>;

    /// Puts another hash of the same password in the place of `old`, unless that was changed meanwhile.
    fn renew_hash<'a>(
        &'a self,
        id: &'a UserId,
        old: &'a PasswordHash,
        new: &'a PasswordHash,
    ) -> Answer<'a, ()>;

    /// How the passwords of this table are hashed.
    fn scheme(&self) -> Scheme;
}

/// Users whose passwords are compared here, with the hash in their row.
pub struct HashedUsers {
    rows: Arc<dyn UserRows>,
    passwords: Arc<Passwords>,
}

impl HashedUsers {
    /// The users of a table.
    #[must_use]
    pub fn new(rows: Arc<dyn UserRows>, passwords: Arc<Passwords>) -> Self {
        Self { rows, passwords }
    }
}

impl fmt::Debug for HashedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashedUsers").finish_non_exhaustive()
    }
}

impl Users for HashedUsers {
    fn log_in<'a>(&'a self, username: &'a str, password: Secret) -> LogIn<'a> {
        Box::pin(async move {
            let user = self.rows.user_by_name(username).await?;
            let hash = user.as_ref().and_then(|user| user.password.as_ref());
            let verdict = self.passwords.verify(password, hash, &self.rows.scheme()).await?;
            // Looked at after the password: the time must not tell who is kept out.
            let Some(mut user) = user.filter(|user| user.active) else { return Ok(None) };
            let Verdict::Right { renewed } = verdict else { return Ok(None) };
            if let (Some(new), Some(old)) = (renewed, &user.password) {
                match self.rows.renew_hash(&user.id, old, &new).await {
                    // The tokens of this login carry the fingerprint of what is stored now.
                    Ok(()) => user.password = Some(new),
                    // The old hash is as good as it was before.
                    Err(error) => {
                        tracing::warn!(user = %user.id, error = %error, "a password's hash could not be renewed");
                    }
                }
            }
            Ok(Some(self.rows.complete(user).await?))
        })
    }

    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.rows.user_by_id(id)
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.rows.note_login(id, now)
    }
}

/// Tollgate's own table of users, for whoever keeps it.
pub trait OwnUsers: UserRows {
    /// Adds a user; [`StoreError::Conflict`] if the name is taken.
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId>;

    /// Replaces what tokens say of a user; `false` if there is no such user.
    fn set_attributes<'a>(&'a self, username: &'a str, attributes: &'a UserAttributes) -> Answer<'a, bool>;

    /// Some users, in the order of their names and after the one given. None are left when the answer is empty.
    fn users_after<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>>;

    /// Replaces a password; `false` if there is no such user.
    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool>;

    /// Lets a user in or keeps it out; `false` if there is no such user.
    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool>;

    /// Removes a user and its sessions; `false` if there is no such user.
    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool>;
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
    /// To compare a password with. `None`: that is done elsewhere.
    pub password: Option<PasswordHash>,
    /// Names of roles joined by blanks, as a scope is written; may be empty.
    pub roles: String,
    /// Scopes joined by blanks; may be empty. Only the gateway's own users have some.
    pub scopes: String,
    /// What each of the user's tokens says besides. Only the gateway's own users have some.
    pub claims: Map<String, Value>,
    /// What else is known of the user, by the names that claims may be made from.
    pub more: Map<String, Value>,
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
    /// The hash of the password.
    pub password: PasswordHash,
    /// What tokens say of it.
    pub attributes: UserAttributes,
}

/// What tokens may say of one of the gateway's own users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAttributes {
    /// May be empty.
    pub email: String,
    /// Names of roles joined by blanks; may be empty.
    pub roles: String,
    /// Scopes joined by blanks; may be empty.
    pub scopes: String,
    /// Claims of each token, as they are.
    pub claims: Map<String, Value>,
}

impl UserAttributes {
    /// What is known of a user.
    #[must_use]
    pub fn of(user: &User) -> Self {
        Self {
            email: user.email.clone(),
            roles: user.roles.clone(),
            scopes: user.scopes.clone(),
            claims: user.claims.clone(),
        }
    }

    /// The claims as a database keeps them.
    pub(super) fn claims_text(&self) -> String {
        serde_json::to_string(&self.claims).expect("a JSON object has a text")
    }
}

/// What [`UserAttributes::claims_text`] wrote. What somebody else wrote there and is no object says nothing.
pub(super) fn claims_of(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}
