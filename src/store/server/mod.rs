//! The issuer's store on a PostgreSQL, MySQL or MariaDB server, which any number of gateways share.
//!
//! What SQLite's one writer does is done by the locks of rows here, always taken in this order: `login_locks`, `users`,
//! `sessions`, `blacklist`, `refresh_tokens`, `access_tokens`, `counters`. Whoever gives tokens to a session or ends it has the row
//! of that session locked until the end of the transaction. Transactions run at READ COMMITTED, so that each statement
//! sees what was committed before it, a wait for a lock included. Where the database breaks a deadlock all the same, the
//! call begins anew, within its limit.
//!
//! Keys of up to [`LONGEST_ID`] bytes can be kept. Those of our own tokens are short; of another's token, whose longer
//! one can't be blacklisted, it is said that it is.

mod ending;
mod known_users;
mod login_networks;
mod migrations;
mod sessions;
mod upkeep;
mod users;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::login_networks::KEY_NAME;
use super::sql::{Link, Server, limited, unavailable};
use super::{
    AccessToken, Answer, AttributesChange, AttributesChanged, Ended, Ending, KnownUsers, Login,
    LoginNetworks, NetworkDigest, NewUser, OldToken, OpenError, OwnUsers, PasswordHash, Presences,
    RefreshState, Revocation, RevocationPage, Rotated, Rotation, Scheme, SessionRecord, Sessions, StoreError,
    Unanswered, User, UserId, UserRows, Which,
};
use crate::base::{Secret, UnixTime};
use crate::config::Database;

/// A `jti` or `sid` of more bytes is nobody's.
const LONGEST_ID: usize = 255;
/// A user's id of more bytes is nobody's.
const LONGEST_USER_ID: usize = 1_024;
/// So often a call is begun anew that the database broke off in favour of another.
const RETRIES: u32 = 10;
/// Before that; longer each time, so that those who met do not meet again.
const PAUSE: Duration = Duration::from_millis(3);

/// Users and sessions in a database on a server.
pub struct ServerStore {
    tables: Arc<Tables>,
}

impl fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStore").field("database", &self.tables.shown).finish_non_exhaustive()
    }
}

struct Tables {
    shown: String,
    server: Server,
    /// Whether they have this version's form.
    are_ready: AtomicBool,
}

impl ServerStore {
    /// Connects, and brings the tables to the form of this version. Needs a tokio runtime, which must outlive it.
    ///
    /// # Errors
    /// [`OpenError`], also if the tables were made by a newer version, or the database is an SQLite file. With
    /// [`Unanswered::Wait`] a server that does not answer is none; it is asked again in the background until it does.
    pub async fn open(database: &Database, unanswered: Unanswered) -> Result<Self, OpenError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Refused {
            database: database.to_string(),
            source,
        };
        let server = match database {
            Database::Postgres(url) => Server::postgres(url),
            Database::MySql(url) => Server::mysql(url),
            Database::Sqlite(_) => return Err(refused("it is on no server".into())),
        };
        let server = server.map_err(|error| refused(error.into()))?;
        let shown = database.to_string();
        let tables = Arc::new(Tables { shown, server, are_ready: AtomicBool::new(false) });
        migrations::run(&tables, unanswered).await?;
        Ok(Self { tables })
    }

    /// A connection on which each statement is a transaction of its own.
    async fn link(&self) -> Result<Link, sqlx::Error> {
        self.tables.ready()?.link().await
    }

    /// A connection in a transaction, of which nothing is left unless it is committed.
    async fn begin(&self) -> Result<Link, sqlx::Error> {
        self.tables.ready()?.begin().await
    }

    /// Gives a call its limit and its errors a meaning, and carries it out again where it met another.
    fn call<'a, T, Work>(&'a self, work: impl Fn() -> Work + Send + Sync + 'a) -> Answer<'a, T>
    where
        T: Send + 'a,
        Work: Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    {
        let trying = async move {
            for retry in 1..=RETRIES {
                match work().await {
                    Err(error) if is_broken_off(&error) => {}
                    done => return done,
                }
                tokio::time::sleep(PAUSE * retry).await;
            }
            work().await
        };
        Box::pin(limited(&self.tables.shown, trying))
    }
}

impl Tables {
    /// The server, unless its tables may have another form.
    fn ready(&self) -> Result<&Server, sqlx::Error> {
        if self.are_ready.load(Ordering::Acquire) {
            return Ok(&self.server);
        }
        let why = "it did not answer when its tables were to be looked at";
        Err(sqlx::Error::Io(std::io::Error::other(why)))
    }

    fn unavailable(&self, source: sqlx::Error) -> StoreError {
        unavailable(&self.shown, source)
    }
}

/// Whether the transaction was ended so that another could go on: by SQLSTATE, a serialization failure or a deadlock. MySQL
/// has no SQLSTATE of its own for a wait for a lock that took too long.
fn is_broken_off(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(error) => matches!(error.number(), 1205 | 1213),
        None => error.code().is_some_and(|code| matches!(&*code, "40001" | "40P01")),
    }
}

/// Whether it can be the `jti` or `sid` of a row. PostgreSQL has no text with a NUL.
fn is_id(id: &str) -> bool {
    id.len() <= LONGEST_ID && !id.contains('\0')
}

/// Whether it can be the id of a user in a row.
fn is_user_id(id: &str) -> bool {
    id.len() <= LONGEST_USER_ID && !id.contains('\0')
}

impl UserRows for ServerStore {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        self.call(move || users::by_name(self, username))
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.call(move || users::by_id(self, id))
    }

    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        self.call(move || users::presence(self, ids))
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.call(move || users::note_login(self, id, now))
    }

    fn renew_hash<'a>(
        &'a self,
        id: &'a UserId,
        old: &'a PasswordHash,
        new: &'a PasswordHash,
    ) -> Answer<'a, ()> {
        self.call(move || users::renew_hash(self, id, old, new))
    }

    fn scheme(&self) -> Scheme {
        Scheme::Own
    }
}

impl OwnUsers for ServerStore {
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId> {
        self.call(move || users::add(self, user, now))
    }

    fn change_attributes<'a>(
        &'a self,
        username: &'a str,
        change: AttributesChange,
    ) -> Answer<'a, AttributesChanged> {
        self.call(move || users::change_attributes(self, username, Arc::clone(&change)))
    }

    fn users_after<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        self.call(move || users::after(self, username))
    }

    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool> {
        self.call(move || users::set_password(self, username, password))
    }

    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool> {
        self.call(move || users::set_active(self, username, active))
    }

    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool> {
        self.call(move || users::remove(self, username))
    }
}

impl KnownUsers for ServerStore {
    fn remember<'a>(&'a self, user: &'a User) -> Answer<'a, ()> {
        self.call(move || known_users::remember(self, user))
    }

    fn recall<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.call(move || known_users::recall(self, id))
    }
}

impl LoginNetworks for ServerStore {
    fn network_key(&self, proposed: Secret) -> Answer<'_, Secret> {
        self.secret(KEY_NAME, proposed)
    }

    fn note_network<'a>(&'a self, digest: &'a NetworkDigest, until: UnixTime) -> Answer<'a, ()> {
        self.call(move || login_networks::note(self, digest, until))
    }

    fn knows_network<'a>(&'a self, digest: &'a NetworkDigest, now: UnixTime) -> Answer<'a, bool> {
        self.call(move || login_networks::knows(self, digest, now))
    }
}

impl Sessions for ServerStore {
    fn start_session<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Ended> {
        let started = self.call(move || sessions::start(self, login));
        Box::pin(async move { started.await?.ok_or(StoreError::Conflict) })
    }

    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState> {
        self.call(move || sessions::refresh_state(self, jti))
    }

    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated> {
        self.call(move || sessions::rotate(self, rotation))
    }

    fn note_access<'a>(&'a self, sid: &'a str, access: AccessToken<'a>) -> Answer<'a, bool> {
        self.call(move || sessions::note_access(self, sid, access))
    }

    fn blacklist<'a>(&'a self, token: OldToken<'a>, ending: Option<Ending<'a>>) -> Answer<'a, Option<Ended>> {
        self.call(move || sessions::blacklist(self, token, ending))
    }

    fn end<'a>(&'a self, which: Which<'a>, ending: Ending<'a>) -> Answer<'a, Ended> {
        self.call(move || ending::end(self, which, ending))
    }

    fn session_of_access<'a>(&'a self, jti: &'a str) -> Answer<'a, Option<SessionRecord>> {
        self.call(move || sessions::of_access(self, jti))
    }

    fn session<'a>(&'a self, sid: &'a str) -> Answer<'a, Option<SessionRecord>> {
        self.call(move || sessions::by_sid(self, sid))
    }

    fn sessions_of<'a>(&'a self, user: &'a UserId, now: UnixTime) -> Answer<'a, Vec<SessionRecord>> {
        self.call(move || sessions::of_user(self, user, now))
    }

    fn users_with_sessions<'a>(
        &'a self,
        after: &'a str,
        idle: bool,
        now: UnixTime,
    ) -> Answer<'a, Vec<UserId>> {
        self.call(move || sessions::users_with_sessions(self, after, idle, now))
    }

    fn live_refresh_tokens<'a>(
        &'a self,
        which: Which<'a>,
        now: UnixTime,
    ) -> Answer<'a, Vec<(String, UnixTime)>> {
        self.call(move || sessions::live_refresh_tokens(self, which, now))
    }

    fn revoke<'a>(&'a self, revocations: &'a [Revocation]) -> Answer<'a, ()> {
        self.call(move || ending::revoke(self, revocations))
    }

    fn revocations_after<'a>(&'a self, number: i64) -> Answer<'a, RevocationPage> {
        self.call(move || ending::revocations_after(self, number))
    }

    fn minted_until(&self, another: Option<UnixTime>) -> Answer<'_, UnixTime> {
        self.call(move || upkeep::minted_until(self, another))
    }

    fn purge<'a>(&'a self, now: UnixTime) -> Answer<'a, u64> {
        self.call(move || upkeep::purge(self, now))
    }

    fn secret<'a>(&'a self, name: &'a str, proposed: Secret) -> Answer<'a, Secret> {
        let proposed = Arc::new(proposed);
        self.call(move || upkeep::secret(self, name, Arc::clone(&proposed)))
    }
}
