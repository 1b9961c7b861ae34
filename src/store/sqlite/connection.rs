//! A thread's connection to the file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use rusqlite::{Connection, OpenFlags};

use super::job::Failure;

/// How often a lock that another process holds is tried again, and how many times: 1.3 s, with what sleeping costs
/// besides. SQLite's own handler soon tries only ten times a second, and could miss each moment between two transactions
/// of a busy process.
const BETWEEN_TRIES: Duration = Duration::from_millis(2);
const TRIES: i32 = 600;
/// More than there are statements: each is prepared once.
const STATEMENTS: usize = 64;
/// So many pages of 4 KiB, the write-ahead log is copied into the database by whoever committed last, if no reader needs
/// an older state; otherwise after the next commit. Then it is written from its start again. One table of its index, which
/// readers look through, holds so many.
const CHECKPOINT_PAGES: u32 = 4_000;
/// What a write-ahead log keeps of the disk after it had to grow beyond that, in bytes.
const LOG_LIMIT: u32 = 32 << 20;

/// Which file lies at the path: a moved or removed one stays open and would swallow all writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(in crate::store) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It can't change anything.
    Reading,
    /// As [`Self::Reading`], and it waits for no lock.
    LookingUp,
    Writing,
}

/// A connection to whatever file lies at the path, made at first use.
pub(super) struct FileConnection {
    file: PathBuf,
    purpose: Purpose,
    open: Option<(FileId, Connection)>,
}

impl FileConnection {
    pub(super) fn new(file: &Path, purpose: Purpose) -> Self {
        Self { file: file.to_owned(), purpose, open: None }
    }

    /// The connection; another one than before if another file lies at the path.
    pub(super) fn current(&mut self) -> Result<&Connection, Failure> {
        let id = FileId::of(&self.file)?;
        if self.open.as_ref().is_some_and(|(open, _)| *open != id) {
            self.open = None;
        }
        let connection = match self.open.take() {
            Some((_, connection)) => connection,
            None => open(&self.file, self.purpose)?,
        };
        Ok(&self.open.insert((id, connection)).1)
    }

    /// Undoes what was not committed.
    pub(super) fn roll_back(&mut self) {
        // One that can't even do that is given up, and its transaction with it.
        self.open.take_if(|(_, connection)| {
            !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err()
        });
    }
}

fn open(file: &Path, purpose: Purpose) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_handler((purpose != Purpose::LookingUp).then_some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = {LOG_LIMIT};"
    ))?;
    if purpose != Purpose::Writing {
        connection.execute_batch("PRAGMA query_only = ON")?;
    }
    Ok(connection)
}

/// Whether to try a lock once more, after so many tries.
#[expect(clippy::disallowed_methods, reason = "SQLite tells nobody when another process lets its lock go")]
fn wait_for_lock(tries: i32) -> bool {
    if tries >= TRIES {
        return false;
    }
    thread::sleep(BETWEEN_TRIES);
    true
}
