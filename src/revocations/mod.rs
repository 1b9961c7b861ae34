//! Tokens that are void before their time: the index that every request with a token is checked against.
//!
//! Workers read it, cached tokens included, so a look-up takes no lock and follows two pointers. The control plane
//! writes it: the issuer when a session ends, and [`Keeper`] with what the database brings from elsewhere. It knows
//! names of tokens and times, and nothing of who ended them or why.
//!
//! Names are 16 bytes of HMAC-SHA-256 under a key of the process, in place of texts of any length. An entry is found
//! by the very name that it was put under, so no collision lets a revoked token in. One could only refuse a good token:
//! two texts must share 128 bits under a key that nobody outside knows and that no answer tells anything of, so none
//! can be looked for.

mod keep;
mod names;
mod shard;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use self::names::NameKey;
use self::shard::{Entry, Shard};
use crate::base::UnixTime;
use crate::store::{Revocation, Revoked};

pub use keep::Keeper;
pub use names::{Naming, TokenNames};

/// Adding an entry copies its shard, which holds this part of all.
const SHARDS: usize = 4096;
/// The first bits of a name choose the shard; the table within uses the last.
const SHARD_SHIFT: u32 = u128::BITS - SHARDS.trailing_zeros();

/// Which tokens are void. One for the process, behind an `Arc`: written by the control plane, read by every worker,
/// which sees an entry from the moment that [`Self::add`] returns.
pub struct Revocations {
    key: NameKey,
    naming: Naming,
    shards: Box<[ArcSwap<Shard>]>,
    /// Held by those who write, one at a time; never by a reader.
    writing: Mutex<()>,
    /// Moves when an entry is there that was not.
    epoch: AtomicU64,
    entries: AtomicUsize,
    loaded: AtomicBool,
}

impl fmt::Debug for Revocations {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// The state of the index at some time: while it is the same, a look-up would say the same of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    /// Before any look-up.
    pub const NEVER: Self = Self(u64::MAX);
}

impl Revocations {
    /// Empty. It counts as loaded where there is no database to load it from, or where the file says that tokens are
    /// taken without.
    #[must_use]
    pub fn new(loaded: bool) -> Arc<Self> {
        Self::named(Naming::default(), loaded)
    }

    /// As [`Self::new`], for tokens that name themselves and their users in other claims.
    #[must_use]
    pub fn named(naming: Naming, loaded: bool) -> Arc<Self> {
        let none = Arc::new(Shard::default());
        Arc::new(Self {
            key: NameKey::new(),
            naming,
            shards: (0..SHARDS).map(|_| ArcSwap::new(Arc::clone(&none))).collect(),
            writing: Mutex::new(()),
            epoch: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            loaded: AtomicBool::new(loaded),
        })
    }

    /// Whether it holds what the database knew at start. Until then nobody can tell whether a token is void.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// How many entries it holds, some of which may have expired since the last sweep.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its tables take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let tables: usize = self.shards.iter().map(|shard| shard.load().memory()).sum();
        tables + size_of_val(&*self.shards)
    }

    /// The present state. Ask before a look-up, and keep it with what the look-up said.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Whether a token is void.
    #[must_use]
    pub fn is_revoked(&self, token: &TokenNames, now: UnixTime) -> bool {
        if self.is_empty() {
            return false;
        }
        let issued_at = token.issued_at().map_or(i64::MIN, |time| time.0);
        token.names().any(|name| {
            let shard = self.shards[shard_of(name)].load();
            shard.find(name).is_some_and(|entry| now.0 < entry.expires_at && issued_at < entry.before)
        })
    }

    /// Takes revocations in, and tells how many were news. When it returns, every worker sees them.
    pub fn add(&self, revocations: &[Revocation], now: UnixTime) -> usize {
        let mut entries: Vec<Entry> = revocations
            .iter()
            .filter(|revocation| revocation.expires_at > now)
            .map(|revocation| self.entry(revocation))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.name);
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = 0;
        for entries in entries.chunk_by(|one, other| shard_of(one.name) == shard_of(other.name)) {
            let place = &self.shards[shard_of(entries[0].name)];
            let old = place.load_full();
            if let Some((shard, added)) = old.with(entries, now) {
                self.count(old.len(), shard.len());
                place.store(Arc::new(shard));
                news += added;
            }
        }
        if news > 0 {
            // After the entries: who sees the new epoch finds them.
            self.epoch.fetch_add(1, Ordering::Release);
        }
        drop(writing);
        news
    }

    /// Drops what has expired.
    pub fn sweep(&self, now: UnixTime) {
        for place in &self.shards {
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let old = place.load_full();
            if let Some(shard) = old.without_expired(now) {
                self.count(old.len(), shard.len());
                place.store(Arc::new(shard));
            }
        }
    }

    /// Under the lock, so that no count is lost.
    fn count(&self, before: usize, after: usize) {
        let entries = self.entries.load(Ordering::Relaxed) + after - before;
        self.entries.store(entries, Ordering::Relaxed);
    }

    fn entry(&self, revocation: &Revocation) -> Entry {
        let before = match &revocation.what {
            Revoked::Subject { before, .. } => before.0,
            Revoked::Token { .. } | Revoked::Session { .. } | Revoked::Input { .. } => i64::MAX,
        };
        let name = self.key.of(&revocation.what);
        Entry { name, before, expires_at: revocation.expires_at.0 }
    }
}

fn shard_of(name: u128) -> usize {
    usize::try_from(name >> SHARD_SHIFT).expect("a few bits")
}

#[cfg(test)]
mod tests;
