//! The embedded database: one file, WAL, one writer.
//!
//! SQLite takes one writer at a time. A transaction that reads first and writes later fails at once when another
//! wrote in between, so writers queue for the one writing connection and begin with `BEGIN IMMEDIATE`.

mod ending;
mod known_users;
mod sessions;
mod upkeep;
mod users;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr, Transaction};
use tokio::sync::OnceCell;

use super::{
    AccessToken, Answer, Ended, Ending, Login, NewUser, OldToken, OpenError, OwnUsers, PasswordHash,
    RefreshState, Revocation, RevocationPage, Rotated, Rotation, Scheme, SessionRecord, Sessions, StoreError,
    User, UserAttributes, UserId, UserRows, Which,
};
use crate::base::{Secret, UnixTime};

/// How long SQLite waits for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_300);
/// The longest that one call may take, the wait for a connection included: a request makes at most two or three.
const CALL_LIMIT: Duration = Duration::from_millis(1_600);
/// Reads are short and rarely wait; these serve thousands of them a second.
const READERS: u32 = 4;

/// Users and sessions in an SQLite file.
pub struct Sqlite {
    file: PathBuf,
    /// Swapped when the file at the path is another one than before.
    pools: ArcSwap<Pools>,
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

struct Pools {
    reader: SqlitePool,
    writer: SqlitePool,
    file: FileId,
}

/// Which file lies at the path: a moved or removed one stays open and would swallow all writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
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
                tracing::warn!("{error}: {}", cause(&error));
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
        let id = FileId::of(file).map_err(|source| unavailable(file, source))?;
        Ok(Self {
            file: file.to_owned(),
            pools: ArcSwap::from_pointee(Pools::lazy(file, id)),
            migrated: OnceCell::new(),
        })
    }

    async fn migrate(&self) -> Result<(), OpenError> {
        let migrate = async {
            let acquired = async { self.pools()?.writer.acquire().await }.await;
            let mut connection = acquired.map_err(|source| unavailable(&self.file, source))?;
            migrations().run_direct(None, &mut *connection, false).await.map_err(|source| match source {
                MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)
                    if is_busy(&source) =>
                {
                    OpenError::Store(unavailable(&self.file, source))
                }
                source => OpenError::Migration { file: self.file.display().to_string(), source },
            })
        };
        self.migrated.get_or_try_init(|| migrate).await.copied()
    }

    /// Refuses to work on tables of another form.
    async fn ready(&self) -> Result<(), sqlx::Error> {
        if self.migrated.initialized() {
            return Ok(());
        }
        self.migrate().await.map_err(|error| sqlx::Error::Configuration(error.into()))
    }

    /// The pools of the file that lies at the path now.
    fn pools(&self) -> Result<Arc<Pools>, sqlx::Error> {
        let id = FileId::of(&self.file)?;
        let pools = self.pools.load_full();
        if pools.file == id {
            return Ok(pools);
        }
        let fresh = Arc::new(Pools::lazy(&self.file, id));
        self.pools.store(Arc::clone(&fresh));
        Ok(fresh)
    }

    async fn reader(&self) -> Result<PoolConnection<sqlx::Sqlite>, sqlx::Error> {
        self.ready().await?;
        self.pools()?.reader.acquire().await
    }

    /// A transaction that holds the write lock. It is rolled back unless it is committed.
    async fn write(&self) -> Result<Transaction<'static, sqlx::Sqlite>, sqlx::Error> {
        self.ready().await?;
        self.pools()?.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Gives a call its limit and its errors a meaning.
    fn call<'a, T>(
        &'a self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            match tokio::time::timeout(CALL_LIMIT, work).await {
                Ok(done) => done.map_err(|error| match &error {
                    sqlx::Error::Database(database) if database.is_unique_violation() => StoreError::Conflict,
                    _ => unavailable(&self.file, error),
                }),
                Err(elapsed) => Err(unavailable(&self.file, elapsed)),
            }
        })
    }
}

impl UserRows for Sqlite {
    fn user_by_name<'a>(&'a self, username: &'a str) -> Answer<'a, Option<User>> {
        self.call(users::by_name(self, username))
    }

    fn user_by_id<'a>(&'a self, id: &'a str) -> Answer<'a, Option<User>> {
        self.call(users::by_id(self, id))
    }

    fn note_login<'a>(&'a self, id: &'a UserId, now: UnixTime) -> Answer<'a, ()> {
        self.call(users::note_login(self, id, now))
    }

    fn renew_hash<'a>(
        &'a self,
        id: &'a UserId,
        old: &'a PasswordHash,
        new: &'a PasswordHash,
    ) -> Answer<'a, ()> {
        self.call(users::renew_hash(self, id, old, new))
    }

    fn scheme(&self) -> Scheme {
        Scheme::Own
    }
}

impl OwnUsers for Sqlite {
    fn add_user<'a>(&'a self, user: &'a NewUser, now: UnixTime) -> Answer<'a, UserId> {
        self.call(users::add(self, user, now))
    }

    fn set_attributes<'a>(&'a self, username: &'a str, attributes: &'a UserAttributes) -> Answer<'a, bool> {
        self.call(users::set_attributes(self, username, attributes))
    }

    fn users_after<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>> {
        self.call(users::after(self, username))
    }

    fn set_password<'a>(&'a self, username: &'a str, password: &'a PasswordHash) -> Answer<'a, bool> {
        self.call(users::set_password(self, username, password))
    }

    fn set_active<'a>(&'a self, username: &'a str, active: bool) -> Answer<'a, bool> {
        self.call(users::set_active(self, username, active))
    }

    fn remove_user<'a>(&'a self, username: &'a str) -> Answer<'a, bool> {
        self.call(users::remove(self, username))
    }
}

impl Sessions for Sqlite {
    fn start_session<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Ended> {
        self.call(sessions::start(self, login))
    }

    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState> {
        self.call(sessions::refresh_state(self, jti))
    }

    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated> {
        self.call(sessions::rotate(self, rotation))
    }

    fn note_access<'a>(&'a self, sid: &'a str, access: AccessToken<'a>) -> Answer<'a, bool> {
        self.call(sessions::note_access(self, sid, access))
    }

    fn blacklist<'a>(&'a self, token: OldToken<'a>, ending: Option<Ending<'a>>) -> Answer<'a, Option<Ended>> {
        self.call(sessions::blacklist(self, token, ending))
    }

    fn end<'a>(&'a self, which: Which<'a>, ending: Ending<'a>) -> Answer<'a, Ended> {
        self.call(ending::end(self, which, ending))
    }

    fn session_of_access<'a>(&'a self, jti: &'a str) -> Answer<'a, Option<SessionRecord>> {
        self.call(sessions::of_access(self, jti))
    }

    fn session<'a>(&'a self, sid: &'a str) -> Answer<'a, Option<SessionRecord>> {
        self.call(sessions::by_sid(self, sid))
    }

    fn sessions_of<'a>(&'a self, user: &'a UserId, now: UnixTime) -> Answer<'a, Vec<SessionRecord>> {
        self.call(sessions::of_user(self, user, now))
    }

    fn users_with_access<'a>(&'a self, after: &'a str, now: UnixTime) -> Answer<'a, Vec<UserId>> {
        self.call(sessions::users_with_access(self, after, now))
    }

    fn live_refresh_tokens<'a>(
        &'a self,
        which: Which<'a>,
        now: UnixTime,
    ) -> Answer<'a, Vec<(String, UnixTime)>> {
        self.call(sessions::live_refresh_tokens(self, which, now))
    }

    fn revoke<'a>(&'a self, revocations: &'a [Revocation]) -> Answer<'a, ()> {
        self.call(ending::revoke(self, revocations))
    }

    fn revocations_after<'a>(&'a self, number: i64) -> Answer<'a, RevocationPage> {
        self.call(ending::revocations_after(self, number))
    }

    fn purge<'a>(&'a self, now: UnixTime) -> Answer<'a, u64> {
        self.call(upkeep::purge(self, now))
    }

    fn secret<'a>(&'a self, name: &'a str, proposed: Secret) -> Answer<'a, Secret> {
        self.call(upkeep::secret(self, name, proposed))
    }
}

impl Pools {
    /// Connects at first use. A lazy pool starts no task and opens no file.
    fn lazy(file: &Path, id: FileId) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(CALL_LIMIT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        Self {
            reader: pool
                .clone()
                .max_connections(READERS)
                .connect_lazy_with(options.clone().pragma("query_only", "ON")),
            writer: pool.max_connections(1).connect_lazy_with(options),
            file: id,
        }
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

/// The steps from an empty database to this version's tables. Never change one that was released: add another.
fn migrations() -> Migrator {
    let steps = [
        (1, "users and sessions", include_str!("../../../migrations/sqlite/0001_users_and_sessions.sql")),
        (2, "revocations", include_str!("../../../migrations/sqlite/0002_revocations.sql")),
        (5, "known users", include_str!("../../../migrations/sqlite/0005_known_users.sql")),
        (
            6,
            "what tokens say of users",
            include_str!("../../../migrations/sqlite/0006_what_tokens_say_of_users.sql"),
        ),
    ];
    Migrator::with_migrations(
        steps
            .into_iter()
            .map(|(version, description, sql)| {
                Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
            })
            .collect(),
    )
}

/// Whether another holds the lock: `SQLITE_BUSY` and `SQLITE_LOCKED` with their extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn unavailable(file: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { database: file.display().to_string(), source: source.into() }
}

#[cfg(test)]
mod tests;
