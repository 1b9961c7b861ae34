//! Password hashing: never on a thread that serves requests, never more at once than there are cores.
//!
//! A hash costs up to 256 MiB and some hundred milliseconds of a core. A storm of logins must cost a bounded amount of
//! both, so who finds the queue full is told to come back. `encoded` reads the forms in which hashes are kept and
//! computes them, `scheme` says which of them a place of users takes, and which it makes.

mod encoded;
mod scheme;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::encoded::Encoded;
pub use self::scheme::Scheme;

use crate::base::Secret;

/// How many may wait beside those that are being hashed.
const QUEUE: usize = 64;

/// A password's hash as it is stored. It prints as `[redacted]`: it is worth a guessing attack.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// What a database keeps. Not checked: one that can't be read matches no password.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Of those that a file may hold, the one that takes the longest to compare with, by its parameters. Those that
    /// can't be read are passed over.
    #[must_use]
    pub fn dearest<'a>(hashes: impl Iterator<Item = &'a Self>) -> Option<&'a Self> {
        let read = |hash: &'a Self| Some((Encoded::read(hash.as_stored())?.work(), hash));
        hashes.filter_map(read).max_by_key(|(work, _)| *work).map(|(_, hash)| hash)
    }

    /// What a database keeps.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why there is no hash and no verdict.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full; a second later it may not be.
    #[error("{QUEUE} passwords wait to be hashed already")]
    Busy,
    /// The hash function failed, e.g. for lack of memory.
    #[error("the password can't be hashed")]
    Hashing,
}

/// What [`Passwords::verify`] found.
#[derive(Debug)]
pub enum Verdict {
    /// Another password, or no hash to compare with.
    Wrong,
    /// The password of that hash.
    Right {
        /// The same password's hash as it would be made today, where the stored one is not of that kind or cost.
        renewed: Option<PasswordHash>,
    },
}

/// Hashes and verifies passwords on the blocking pool of one runtime.
pub struct Passwords {
    runtime: Handle,
    /// Permits to hash: one per core.
    cores: Arc<Semaphore>,
    /// Permits to hash or to wait for it.
    queue: Semaphore,
}

impl Passwords {
    /// Prepares hashing on this runtime's blocking pool, at most `cores` at a time.
    #[must_use]
    pub fn new(runtime: Handle, cores: usize) -> Self {
        let cores = cores.max(1);
        Self { runtime, cores: Arc::new(Semaphore::new(cores)), queue: Semaphore::new(cores + QUEUE) }
    }

    /// The hash of a new password of the gateway's own users.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: Secret) -> Result<PasswordHash, PasswordError> {
        self.on_a_core(move || Scheme::Own.hash(password.expose()).ok_or(PasswordError::Hashing)).await
    }

    /// Whether this is the password of that hash. Without a hash (no such user, one that can't be read) the answer is
    /// no, after the work that the scheme's own kind of hash costs: the time must not tell who has an account.
    ///
    /// # Errors
    /// [`PasswordError`]; a wrong password and an unreadable hash are none.
    pub async fn verify(
        &self,
        password: Secret,
        hash: Option<&PasswordHash>,
        scheme: &Scheme,
    ) -> Result<Verdict, PasswordError> {
        let (hash, scheme) = (hash.cloned(), scheme.clone());
        self.on_a_core(move || {
            Ok(scheme.compare(password.expose(), hash.as_ref().map_or("", PasswordHash::as_stored)))
        })
        .await
    }

    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordError::Busy)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        self.runtime
            .spawn_blocking(move || {
                // Given back when the work is done, even if the caller has gone away meanwhile.
                let _core = core;
                give_way_to_traffic();
                work()
            })
            .await
            .map_err(|_| PasswordError::Hashing)?
    }
}

/// Lowers the priority of this thread, once: hashes may keep every core busy, and proxied traffic must not wait for
/// them.
fn give_way_to_traffic() {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !DONE.replace(true) {
        // Where the system refuses, hashing is only less polite.
        let _ = rustix::process::nice(10);
    }
}

#[cfg(test)]
mod tests;
