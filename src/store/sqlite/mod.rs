//! The embedded database: one file, WAL, one writer.
//!
//! SQLite takes one writer at a time, and each commit waits for the disk. So all calls that write queue for one thread,
//! which commits what waits together ([`writer`]); calls that read go to a few others ([`threads`]), or stay where they are
//! if they find a row by its key ([`inline`]). A caller hands a closure over and waits for its answer no longer than
//! [`CALL_LIMIT`], whatever the disk does.

mod connection;
mod ending;
mod inline;
mod job;
mod known_users;
mod login_networks;
mod migrations;
mod owned;
mod queue;
mod sessions;
mod threads;
mod upkeep;
mod users;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::OnceCell;

pub(super) use self::connection::FileId;
use self::inline::Inline;
use self::job::Failure;
use self::owned::{OwnedAccessToken, OwnedEnding, OwnedLogin, OwnedOldToken, OwnedRotation, OwnedWhich};
use self::threads::{Jobs, Threads};
use super::limits::CALL_LIMIT;
use super::{
    AccessToken, Answer, AttributesChange, AttributesChanged, Ended, Ending, Login, NewUser, OldToken,
    OpenError, OwnUsers, PasswordHash, Presences, RefreshState, Revocation, RevocationPage, Rotated,
    Rotation, Scheme, SessionRecord, Sessions, StoreError, User, UserId, UserRows, Which,
};
use crate::base::{Secret, UnixTime, with_causes};

/// Users and sessions in an SQLite file.
pub struct Sqlite {
    file: PathBuf,
    threads: Threads,
    inline: Inline,
    /// Set when the tables have this version's form.
    migrated: OnceCell<()>,
}

/// What to do when there is no database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Make folder (0700) and file (0600).
    Create,
    /// Say so.
    Refuse,
}

impl Sqlite {
    /// Opens the database and brings its tables to the form of this version. Needs a tokio runtime, which must
    /// outlive it.
    ///
    /// # Errors
    /// [`OpenError`], also if the tables were made by a newer version.
    pub async fn open(file: &Path, missing: Missing) -> Result<Self, OpenError> {
        let store = Self::lazy(file, missing)?;
        // Here and not at the first use: a database that can't be opened should stop a command.
        store.migrate().await?;
        Ok(store)
    }

    /// As [`Self::open`], for who goes on where the database is there and does not answer: each call tries to bring the
    /// tables to their form, until one has.
    ///
    /// # Errors
    /// [`OpenError`] for everything that waiting does not mend.
    pub async fn open_patiently(file: &Path, missing: Missing) -> Result<Self, OpenError> {
        let store = Self::lazy(file, missing)?;
        match store.migrate().await {
            Err(OpenError::Store(error)) => {
                tracing::warn!("{}", with_causes(&error));
                Ok(store)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(store),
        }
    }

    fn lazy(file: &Path, missing: Missing) -> Result<Self, OpenError> {
        match missing {
            Missing::Create => create(file)?,
            Missing::Refuse if !file.exists() => {
                return Err(OpenError::Missing { file: file.display().to_string() });
            }
            Missing::Refuse => {}
        }
        let threads = Threads::start(file).map_err(|source| unavailable(file, source))?;
        Ok(Self { file: file.to_owned(), threads, inline: Inline::new(file), migrated: OnceCell::new() })
    }

    async fn migrate(&self) -> Result<(), OpenError> {
        self.migrated.get_or_try_init(|| migrations::run(&self.file)).await.copied()
    }

    /// Refuses to work on tables of another form.
    async fn ready(&self) -> Result<(), StoreError> {
        if self.migrated.initialized() {
            return Ok(());
        }
        self.migrate().await.map_err(|error| match error {
            OpenError::Store(error) => error,
            error => unavailable(&self.file, error),
        })
    }

    /// Finds something by its key. It sees what was committed before.
    fn look_up<'a, T: Send + 'static>(
        &'a self,
        look: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            if self.migrated.initialized()
                && let Some(found) = self.inline.look_up(&look)
            {
                return Ok(found);
            }
            self.read(look).await
        })
    }

    /// Does something that changes nothing. It sees what was committed before.
    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        self.call(&self.threads.reads, work)
    }

    /// Does something in a transaction that holds the write lock. It is on the disk when the answer comes; after an error
    /// nothing of it is.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        self.call(&self.threads.writes, work)
    }

    /// Gives a call its limit and its errors a meaning.
    fn call<'a, T: Send + 'static>(
        &'a self,
        jobs: &'a Jobs,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let done = async {
                self.ready().await?;
                let (job, answer) = job::job(work);
                if !jobs.push(job) {
                    return Err(unavailable(&self.file, Failure::Full));
                }
                answer.await.map_err(|failure| match failure {
                    failure if failure.is_conflict() => StoreError::Conflict,
                    failure => unavailable(&self.file, failure),
                })
            };
            match tokio::time::timeout(CALL_LIMIT, done).await {
                Ok(done) => done,
                Err(_elapsed) => Err(unavailable(&self.file, Failure::Late(CALL_LIMIT))),
            }
        })
    }
}

impl UserRows for Sqlite {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        let username = username.to_owned();
        self.look_up(move |reader| users::by_name(reader, &username))
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        let id = id.to_owned();
        self.look_up(move |reader| users::by_id(reader, &id))
    }

    fn presence<'a>(&'a self, ids: &'a [UserId]) -> Answer<'a, Presences> {
        let ids = ids.to_vec();
        self.read(move |reader| users::presence(reader, &ids))
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        let id = id.clone();
        self.write(move |writer| users::note_login(writer, &id, now))
    }

    fn renew_hash<'a>(
        &'a self,
        id: &'a UserId,
        old: &'a PasswordHash,
        new: &'a PasswordHash,
    ) -> Answer<'a, ()> {
        let (id, old, new) = (id.clone(), old.clone(), new.clone());
        self.write(move |writer| users::renew_hash(writer, &id, &old, &new))
    }

    fn scheme(&self) -> Scheme {
        Scheme::Own
    }
}

impl OwnUsers for Sqlite {
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId> {
        let user = user.clone();
        self.write(move |writer| users::add(writer, &user, now))
    }

    fn change_attributes<'a>(
        &'a self,
        username: &'a str,
        change: AttributesChange,
    ) -> Answer<'a, AttributesChanged> {
        let username = username.to_owned();
        self.write(move |writer| users::change_attributes(writer, &username, &change))
    }

    fn users_after<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        let username = username.to_owned();
        self.read(move |reader| users::after(reader, &username))
    }

    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool> {
        let (username, password) = (username.to_owned(), password.clone());
        self.write(move |writer| users::set_password(writer, &username, &password))
    }

    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool> {
        let username = username.to_owned();
        self.write(move |writer| users::set_active(writer, &username, active))
    }

    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool> {
        let username = username.to_owned();
        self.write(move |writer| users::remove(writer, &username))
    }
}

impl Sessions for Sqlite {
    fn start_session<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Ended> {
        let login = OwnedLogin::of(login);
        self.write(move |writer| sessions::start(writer, &login.borrow()))
    }

    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState> {
        let jti = jti.to_owned();
        self.look_up(move |reader| sessions::refresh_state(reader, &jti))
    }

    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated> {
        let rotation = OwnedRotation::of(rotation);
        self.write(move |writer| sessions::rotate(writer, &rotation.borrow()))
    }

    fn note_access<'a>(&'a self, sid: &'a str, access: AccessToken<'a>) -> Answer<'a, bool> {
        let (sid, access) = (sid.to_owned(), OwnedAccessToken::of(access));
        self.write(move |writer| sessions::note_access(writer, &sid, access.borrow()))
    }

    fn blacklist<'a>(&'a self, token: OldToken<'a>, ending: Option<Ending<'a>>) -> Answer<'a, Option<Ended>> {
        let (token, ending) = (OwnedOldToken::of(token), ending.map(OwnedEnding::of));
        self.write(move |writer| {
            sessions::blacklist(writer, token.borrow(), ending.as_ref().map(OwnedEnding::borrow))
        })
    }

    fn end<'a>(&'a self, which: Which<'a>, ending: Ending<'a>) -> Answer<'a, Ended> {
        let (which, ending) = (OwnedWhich::of(which), OwnedEnding::of(ending));
        self.write(move |writer| ending::end(writer, which.borrow(), ending.borrow()))
    }

    fn session_of_access<'a>(&'a self, jti: &'a str) -> Answer<'a, Option<SessionRecord>> {
        let jti = jti.to_owned();
        self.look_up(move |reader| sessions::of_access(reader, &jti))
    }

    fn session<'a>(&'a self, sid: &'a str) -> Answer<'a, Option<SessionRecord>> {
        let sid = sid.to_owned();
        self.look_up(move |reader| sessions::by_sid(reader, &sid))
    }

    fn sessions_of<'a>(&'a self, user: &'a UserId, now: UnixTime) -> Answer<'a, Vec<SessionRecord>> {
        let user = user.clone();
        self.read(move |reader| sessions::of_user(reader, &user, now))
    }

    fn users_with_sessions<'a>(
        &'a self,
        after: &'a str,
        idle: bool,
        now: UnixTime,
    ) -> Answer<'a, Vec<UserId>> {
        let after = after.to_owned();
        self.read(move |reader| sessions::users_with_sessions(reader, &after, idle, now))
    }

    fn live_refresh_tokens<'a>(
        &'a self,
        which: Which<'a>,
        now: UnixTime,
    ) -> Answer<'a, Vec<(String, UnixTime)>> {
        let which = OwnedWhich::of(which);
        self.read(move |reader| sessions::live_refresh_tokens(reader, which.borrow(), now))
    }

    fn revoke<'a>(&'a self, revocations: &'a [Revocation]) -> Answer<'a, ()> {
        let revocations = revocations.to_vec();
        self.write(move |writer| ending::revoke(writer, &revocations))
    }

    fn revocations_after<'a>(&'a self, number: i64) -> Answer<'a, RevocationPage> {
        self.read(move |reader| ending::revocations_after(reader, number))
    }

    fn minted_until(&self, another: Option<UnixTime>) -> Answer<'_, UnixTime> {
        self.write(move |writer| upkeep::minted_until(writer, another))
    }

    fn purge<'a>(&'a self, now: UnixTime) -> Answer<'a, u64> {
        self.write(move |writer| upkeep::purge(writer, now))
    }

    fn secret<'a>(&'a self, name: &'a str, proposed: Secret) -> Answer<'a, Secret> {
        let name = name.to_owned();
        self.write(move |writer| upkeep::secret(writer, &name, &proposed))
    }
}

/// Makes the folder and an empty file, unless they exist. SQLite takes the file's mode over to its companions
/// (`-wal`, `-shm`).
fn create(file: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path, source| OpenError::Create { path: path.display().to_string(), source };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed(folder, source))?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(File { .. }) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(failed(file, source)),
    }
}

fn unavailable(file: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { database: file.display().to_string(), source: source.into() }
}

#[cfg(test)]
mod tests;
