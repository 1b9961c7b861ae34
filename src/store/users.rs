//! Who may log in: what the issuer asks of the place where users live, and what each such place has in common.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::presence::{self, Presences};
use super::{
    Answer, AttributesChange, AttributesChanged, PasswordError, PasswordHash, Passwords, Scheme, StoreError,
    UserAttributes, Verdict,
};
use crate::base::{Secret, UnixTime, with_causes};

/// Where users live. Each call ends within a few seconds, with an error if need be.
pub trait Users: Send + Sync + 'static {
    /// The user of this name, if the password is right and the user is let in; else `None`, after the same time
    /// whatever the reason. Where the user is looked up here before the password is compared, `admission` is asked.
    fn log_in<'a>(&'a self, username: &'a str, password: Secret, admission: &'a dyn Admission) -> LogIn<'a>;

    /// The user of this id, let in or not. A text that can be no id is nobody's.
    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>>;

    /// Whether many users cost one question, as in a table, and not one each.
    fn answers_many(&self) -> bool {
        false
    }

    /// Which of these users are there, and let in. Some hundreds at most.
    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        presence::one_by_one(ids, |id| self.by_id(id))
    }

    /// Records the time of a login, where the place has room for it.
    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()>;
}

/// What [`Users::log_in`] answers with.
pub type LogIn<'a> = BoxFuture<'a, Result<Option<User>, LogInError>>;

/// Who may still turn a login away when it is known whose password is about to be compared: the place of users may take
/// more spellings for one name than anybody else knows of.
pub trait Admission: Send + Sync {
    /// Whether a login may go on as the user whose name is this where it lives. Takes a few seconds at most.
    fn admits<'a>(&'a self, username: &'a str) -> BoxFuture<'a, bool>;
}

/// Why nobody can say whether a password is right.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// The users can't be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password can't be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// [`Admission::admits`] said no; the password was not looked at.
    #[error("the login was turned away")]
    NotAdmitted,
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

    /// Which of these users are there, and let in. Some hundreds at most.
    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        presence::one_by_one(ids, |id| self.user_by_id(id))
    }

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

impl HashedUsers {
    /// The hash that is stored after one was to be renewed. Another login may have been faster, or a change of the password:
    /// `None` if this is not the password any more.
    async fn stored_after(
        &self,
        id: &UserId,
        renewed: PasswordHash,
        password: Secret,
    ) -> Result<Option<PasswordHash>, LogInError> {
        let user = self.rows.user_by_id(id.as_str()).await?;
        let stored = user.filter(|user| user.active).and_then(|user| user.password);
        if stored.as_ref().is_some_and(|stored| stored.as_stored() == renewed.as_stored()) {
            return Ok(stored);
        }
        match self.passwords.verify(password, stored.as_ref(), &self.rows.scheme()).await? {
            Verdict::Right { .. } => Ok(stored),
            Verdict::Wrong => Ok(None),
        }
    }
}

impl Users for HashedUsers {
    fn log_in<'a>(&'a self, username: &'a str, password: Secret, admission: &'a dyn Admission) -> LogIn<'a> {
        Box::pin(async move {
            let user = self.rows.user_by_name(username).await?;
            if let Some(user) = &user
                && !admission.admits(&user.username).await
            {
                return Err(LogInError::NotAdmitted);
            }
            let hash = user.as_ref().and_then(|user| user.password.as_ref());
            let verdict = self.passwords.verify(password.clone(), hash, &self.rows.scheme()).await?;
            // Looked at after the password: the time must not tell who is kept out.
            let Some(mut user) = user.filter(|user| user.active) else { return Ok(None) };
            let Verdict::Right { renewed } = verdict else { return Ok(None) };
            if let (Some(new), Some(old)) = (renewed, &user.password) {
                match self.rows.renew_hash(&user.id, old, &new).await {
                    // The tokens of this login carry the fingerprint of what is stored now.
                    Ok(()) => match self.stored_after(&user.id, new, password).await? {
                        Some(stored) => user.password = Some(stored),
                        None => return Ok(None),
                    },
                    // The old hash is as good as it was before.
                    Err(error) => {
                        tracing::warn!(user = %user.id, error = with_causes(&error), "a password's hash could not be renewed");
                    }
                }
            }
            Ok(Some(self.rows.complete(user).await?))
        })
    }

    fn by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.rows.user_by_id(id)
    }

    fn answers_many(&self) -> bool {
        true
    }

    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        self.rows.presence(ids)
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.rows.note_login(id, now)
    }
}

/// Tollgate's own table of users, for whoever keeps it.
pub trait OwnUsers: UserRows {
    /// Adds a user; [`StoreError::Conflict`] if the name is taken.
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId>;

    /// Changes what tokens say of a user, in one step: of changes at the same time none is lost.
    fn change_attributes<'a>(
        &'a self,
        username: &'a str,
        change: AttributesChange,
    ) -> Answer<'a, AttributesChanged>;

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

impl User {
    /// One who is let in, and of whom nothing else is known yet.
    pub(super) fn named(id: UserId, username: String) -> Self {
        Self {
            id,
            username,
            email: String::new(),
            password: None,
            roles: String::new(),
            scopes: String::new(),
            claims: Map::new(),
            more: Map::new(),
            active: true,
            last_login: None,
        }
    }
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

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use md5::{Digest as _, Md5};
    use tokio::runtime::Handle;

    use super::*;
    use crate::config::{DjangoHasher, DjangoPasswords};

    /// Nobody is turned away.
    pub(in crate::store) struct Anybody;

    impl Admission for Anybody {
        fn admits<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
            Box::pin(std::future::ready(true))
        }
    }

    /// One user, whose hash is replaced by another just before it is renewed.
    struct Overtaken {
        stored: Mutex<String>,
        by: String,
    }

    fn md5(password: &str, salt: &str) -> String {
        let digest = Md5::digest(format!("{salt}{password}").as_bytes());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("md5${salt}${digits}")
    }

    impl UserRows for Overtaken {
        fn user_by_name<'a>(&'a self, name: &'a str) -> Answer<'a, Option<User>> {
            self.user_by_id(name)
        }

        fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
            let stored = self.stored.lock().unwrap().clone();
            let password = Some(PasswordHash::from_stored(stored));
            let user = User { password, ..User::named(UserId::new(id), id.to_lowercase()) };
            Box::pin(std::future::ready(Ok(Some(user))))
        }

        fn note_login<'a>(&'a self, _: &'a UserId, _: UnixTime) -> Answer<'a, ()> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn renew_hash<'a>(
            &'a self,
            _: &'a UserId,
            _: &'a PasswordHash,
            _: &'a PasswordHash,
        ) -> Answer<'a, ()> {
            self.stored.lock().unwrap().clone_from(&self.by);
            Box::pin(std::future::ready(Ok(())))
        }

        fn scheme(&self) -> Scheme {
            Scheme::Django(Arc::new(DjangoPasswords {
                hashers: vec![DjangoHasher::Pbkdf2Sha256, DjangoHasher::Md5],
                iterations: std::num::NonZeroU32::MIN,
                rewrite: true,
            }))
        }
    }

    async fn log_in_overtaken_by(by: String) -> Option<User> {
        let rows = Arc::new(Overtaken { stored: Mutex::new(md5("secret", "one")), by });
        let users = HashedUsers::new(rows, Arc::new(Passwords::new(Handle::current(), 1)));
        users.log_in("ada", Secret::new("secret"), &Anybody).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_hash_that_another_login_renewed_first_is_the_one_that_counts() {
        let by = md5("secret", "two");
        let user = log_in_overtaken_by(by.clone()).await.expect("the password is right");
        assert_eq!(user.password.expect("a hash").as_stored(), by);
    }

    #[tokio::test]
    async fn who_is_turned_away_is_asked_by_the_name_that_was_found() {
        /// Turns away who has this name.
        struct AllBut(&'static str);
        impl Admission for AllBut {
            fn admits<'a>(&'a self, username: &'a str) -> BoxFuture<'a, bool> {
                Box::pin(std::future::ready(username != self.0))
            }
        }
        let rows = Arc::new(Overtaken { stored: Mutex::new(md5("secret", "one")), by: md5("secret", "one") });
        let users = HashedUsers::new(rows, Arc::new(Passwords::new(Handle::current(), 1)));
        for password in ["secret", "another"] {
            let answer = users.log_in("ADA", Secret::new(password), &AllBut("ada")).await;
            assert!(matches!(answer, Err(LogInError::NotAdmitted)), "{password}: {answer:?}");
        }
        assert!(
            users.log_in("ADA", Secret::new("secret"), &AllBut("bob")).await.expect("an answer").is_some()
        );
    }

    #[tokio::test]
    async fn a_password_that_was_changed_meanwhile_lets_nobody_in() {
        assert!(log_in_overtaken_by(md5("changed", "two")).await.is_none());
    }
}
