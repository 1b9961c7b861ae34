//! Password hashing: argon2id, never on a thread that serves requests, never more at once than there are cores.
//!
//! A hash costs 19 MiB and some 20 ms of a core. A storm of logins must cost a bounded amount of both, so who
//! finds the queue full is told to come back.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::base::Secret;

/// OWASP's recommendation: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How many may wait beside those that are being hashed.
const QUEUE: usize = 64;

/// A password's hash as a PHC string. It prints as `[redacted]`: it is worth a guessing attack.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// What a database keeps. Not checked: one that can't be read matches no password.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
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
    #[error("the password can't be hashed: {0}")]
    Hashing(password_hash::Error),
}

/// Hashes and verifies passwords on the blocking pool of one runtime.
pub struct Passwords {
    runtime: Handle,
    /// Permits to hash: one per core.
    cores: Arc<Semaphore>,
    /// Permits to hash or to wait for it.
    queue: Semaphore,
    /// The hash of nobody's password. See [`Passwords::verify`].
    decoy: PasswordHash,
}

impl Passwords {
    /// Prepares hashing on this runtime's blocking pool, at most `cores` at a time. Takes as long as one hash.
    ///
    /// # Errors
    /// [`PasswordError::Hashing`] if there is no memory or no randomness.
    pub async fn new(runtime: Handle, cores: usize) -> Result<Self, PasswordError> {
        let cores = cores.max(1);
        let mut passwords = Self {
            runtime,
            cores: Arc::new(Semaphore::new(cores)),
            queue: Semaphore::new(cores + QUEUE),
            decoy: PasswordHash(String::new()),
        };
        passwords.decoy = passwords.hash(Secret::new(password_hash::generate_salt())).await?;
        Ok(passwords)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: Secret) -> Result<PasswordHash, PasswordError> {
        self.on_a_core(move || {
            let hash: phc::PasswordHash =
                argon2id().hash_password(password.expose()).map_err(PasswordError::Hashing)?;
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Whether this is the password of that hash. Without a hash (no such user) the answer is no, after the same
    /// work: the time must not tell who has an account.
    ///
    /// # Errors
    /// [`PasswordError`]; a wrong password and an unreadable hash are `Ok(false)`.
    pub async fn verify(&self, password: Secret, hash: Option<&PasswordHash>) -> Result<bool, PasswordError> {
        let known = hash.and_then(|hash| phc::PasswordHash::new(&hash.0).ok());
        let exists = known.is_some();
        let compared = match known {
            Some(hash) => hash,
            None => {
                phc::PasswordHash::new(&self.decoy.0).map_err(|error| PasswordError::Hashing(error.into()))?
            }
        };
        self.on_a_core(move || match argon2id().verify_password(password.expose(), &compared) {
            Ok(()) => Ok(exists),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(PasswordError::Hashing(error)),
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
            .map_err(|_| PasswordError::Hashing(password_hash::Error::Internal))?
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

fn argon2id() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("these parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    fn password(text: &str) -> Secret {
        Secret::new(text)
    }

    async fn passwords(cores: usize) -> Passwords {
        Passwords::new(Handle::current(), cores).await.expect("a hasher")
    }

    #[tokio::test]
    async fn verifies_the_password_it_hashed_and_no_other() {
        let passwords = passwords(1).await;
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(hash.as_stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the parameters are stored");
        assert!(passwords.verify(password("correct horse"), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(password("correct horsf"), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(password(""), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ() {
        let passwords = passwords(2).await;
        let one = passwords.hash(password("x")).await.unwrap();
        let two = passwords.hash(password("x")).await.unwrap();
        assert_ne!(one.as_stored(), two.as_stored());
    }

    #[tokio::test]
    async fn nobody_and_an_unreadable_hash_match_no_password() {
        let passwords = passwords(1).await;
        let unusable = PasswordHash::from_stored("!".to_owned());
        assert!(!passwords.verify(password("x"), None).await.unwrap());
        assert!(!passwords.verify(password("x"), Some(&unusable)).await.unwrap());
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_so() {
        let passwords = passwords(1).await;
        let _core = passwords.cores.acquire().await.unwrap();
        let mut waiting: Vec<_> = (0..=QUEUE).map(|_| Box::pin(passwords.hash(password("x")))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(matches!(passwords.hash(password("x")).await, Err(PasswordError::Busy)));
        drop(waiting);
        assert_eq!(passwords.queue.available_permits(), 1 + QUEUE, "who goes away leaves the queue");
    }

    #[test]
    fn a_hash_is_never_printed() {
        let hash = PasswordHash::from_stored("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned());
        assert_eq!(format!("{hash:?}"), "[redacted]");
    }
}
