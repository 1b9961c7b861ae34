//! The keys of a source as they are now, and until when they count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::key_file::KeyFile;
use super::remote::Remote;
use crate::base::UnixTime;
use crate::jwt::KeySet;

/// Where keys come from, and the keys that came.
///
/// Written by whoever loads keys, read by all workers at each token that is not cached; a reader sees either the old
/// set or the new one. Whether the keys count at all is asked at every token, cached or not: one atomic load.
#[derive(Debug)]
pub struct KeySource {
    id: KeySourceId,
    current: ArcSwap<KeySet>,
    /// The last second in which the keys count. Before the first keys came it is the least of all numbers, for keys
    /// that are not fetched the largest.
    good_until: AtomicI64,
    pub(super) remote: Option<Remote>,
    /// Where the first keys were in a file, which may change.
    pub(super) file: Option<KeyFile>,
    /// The last second in which the keys of a tenant were used, about: see [`KeySource::note_use`].
    used: AtomicI64,
    /// Nobody keeps these keys up to date any more.
    closed: AtomicBool,
}

/// A use of a tenant's keys is noted once in so many seconds, so that a busy tenant costs no more than an idle one.
const USES_APART: i64 = 10;

/// Names a key source within the process; the keys of all tenants of a provider are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySourceId(pub(super) usize);

impl KeySource {
    /// Keys that do not change.
    pub(super) fn local(id: KeySourceId, keys: Arc<KeySet>) -> Self {
        Self::new(id, keys, i64::MAX, None)
    }

    /// Keys of a file, which others replace when it changes.
    pub(super) fn in_file(id: KeySourceId, file: KeyFile, keys: KeySet) -> Self {
        Self { file: Some(file), ..Self::local(id, Arc::new(keys)) }
    }

    /// Keys that are still to come.
    pub(super) fn remote(id: KeySourceId, remote: Remote) -> Self {
        Self::new(id, Arc::new(KeySet::new(Vec::new())), i64::MIN, Some(remote))
    }

    fn new(id: KeySourceId, keys: Arc<KeySet>, good_until: i64, remote: Option<Remote>) -> Self {
        Self {
            id,
            current: ArcSwap::new(keys),
            good_until: AtomicI64::new(good_until),
            remote,
            file: None,
            used: AtomicI64::new(i64::MIN),
            closed: AtomicBool::new(false),
        }
    }

    /// Which source it is.
    pub(super) fn id(&self) -> KeySourceId {
        self.id
    }

    /// Its keys as they are now.
    pub fn keys(&self) -> Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Whether keys came, and not too long ago. Asked for every token, remembered ones too.
    #[must_use]
    pub fn counts_at(&self, now: UnixTime) -> bool {
        // Acquire: whoever sees that keys came sees the keys, too.
        now.0 <= self.good_until.load(Ordering::Acquire)
    }

    /// Whether keys ever came.
    pub(super) fn has_keys(&self) -> bool {
        self.good_until.load(Ordering::Acquire) > i64::MIN
    }

    /// The tenant whose keys these are.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.remote.as_ref()?.tenant.as_deref()
    }

    /// Notes that the keys are used. Tells, for one of many calls, that somebody has to hear of it.
    pub(super) fn note_use(&self, now: UnixTime) -> bool {
        // Relaxed: a use that is noted twice, or a little late, does no harm.
        let is_due = now.0.saturating_sub(self.used.load(Ordering::Relaxed)) >= USES_APART;
        if is_due {
            self.used.store(now.0, Ordering::Relaxed);
        }
        is_due
    }

    /// Whether nobody used the keys for that long.
    pub(super) fn is_idle(&self, now: UnixTime, longest: Duration) -> bool {
        UnixTime(self.used.load(Ordering::Relaxed)).plus(longest) < now
    }

    /// Ends the keys for good, and with them the tokens that they vouched for and the task that fetches.
    pub(super) fn close(&self) {
        // SeqCst, here and in `replace`: of two that meet at least one sees the other.
        self.closed.store(true, Ordering::SeqCst);
        self.current.load().retire_all();
        if let Some(remote) = &self.remote {
            remote.demand.wake();
        }
    }

    /// Whether the keys ended for good.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Lets the keys that are there count until `good_until`.
    pub(super) fn confirm(&self, good_until: UnixTime) {
        self.good_until.store(good_until.0, Ordering::Release);
    }

    /// Puts a newer set in the place of the current one. Keys that stay are the same as before; those that went end
    /// at once, and so do the tokens that they vouched for. Tells whether a key came that was not there.
    ///
    /// Only the one task that fetches or reads for the source may call it.
    pub(super) fn replace(&self, newer: KeySet, good_until: UnixTime) -> bool {
        let old = self.current.load_full();
        let new = Arc::new(newer.keeping(&old));
        let brought = new.keys().iter().any(|key| !old.contains(key));
        let lost = old.keys().iter().any(|key| !new.contains(key));
        if brought || lost || new.skipped() != old.skipped() {
            self.current.store(Arc::clone(&new));
            old.retire_missing_from(&new);
        }
        if self.is_closed() {
            new.retire_all();
        }
        self.confirm(good_until);
        brought
    }
}

/// A time after `fetched` up to which keys count without another fetch.
pub(super) fn good_until(fetched: UnixTime, stale_if_error: Duration) -> UnixTime {
    fetched.plus(stale_if_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Origin;
    use serde_json::json;

    fn set(names: &[&str]) -> KeySet {
        let keys: Vec<_> = names
            .iter()
            .map(|kid| {
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" })
            })
            .collect();
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), Origin::Fetched).unwrap()
    }

    fn source() -> KeySource {
        let source = KeySource::local(KeySourceId(0), Arc::new(KeySet::new(Vec::new())));
        source.confirm(UnixTime(i64::MIN));
        source
    }

    #[test]
    fn keys_count_from_the_first_that_came_until_they_are_too_old() {
        let source = source();
        assert!(!source.has_keys() && !source.counts_at(UnixTime(0)));
        assert!(source.replace(set(&["a"]), UnixTime(100)));
        assert!(source.has_keys() && source.counts_at(UnixTime(100)) && !source.counts_at(UnixTime(101)));
        source.confirm(UnixTime(200));
        assert!(source.counts_at(UnixTime(200)));
    }

    #[test]
    fn keys_of_a_closed_source_end_whenever_they_came() {
        let source = source();
        source.replace(set(&["a"]), UnixTime(1));
        let before = source.keys().clone();
        source.close();
        source.replace(set(&["b"]), UnixTime(2));
        let dead = |set: &KeySet| set.keys().iter().all(|key| !key.is_live());
        assert!(source.is_closed() && dead(&before) && dead(&source.keys()));
    }

    #[test]
    fn a_use_is_noted_once_in_a_while() {
        let source = source();
        let noted: Vec<_> = [100, 101, 109, 110, 111].map(|now| source.note_use(UnixTime(now))).into();
        assert_eq!(noted, [true, false, false, true, false]);
        assert!(!source.is_idle(UnixTime(170), Duration::from_secs(60)));
        assert!(source.is_idle(UnixTime(171), Duration::from_secs(60)));
    }

    #[test]
    fn a_set_of_the_same_keys_changes_nothing_and_one_without_a_key_ends_it() {
        let source = source();
        source.replace(set(&["a", "b"]), UnixTime(1));
        let before = source.keys().clone();
        assert!(!source.replace(set(&["b", "a"]), UnixTime(2)));
        assert_eq!(source.keys().id(), before.id());
        assert!(!source.replace(set(&["b"]), UnixTime(3)));
        assert_eq!(before.keys().iter().map(|key| key.is_live()).collect::<Vec<_>>(), [false, true]);
        assert!(source.replace(set(&["b", "c"]), UnixTime(4)));
        assert!(before.keys()[1].is_live());
    }
}
