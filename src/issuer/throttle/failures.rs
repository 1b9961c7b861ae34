//! How often something failed lately.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::Rate;

/// Counts by the generic cell rate algorithm: for each key the time at which its whole allowance is there again.
pub(super) struct Failures {
    interval: u64,
    per: u64,
    start: Instant,
    /// Nanoseconds after `start`.
    whole_at: Cache<u64, Arc<AtomicU64>>,
}

impl Failures {
    pub(super) fn new(rate: Rate, counted: u64) -> Self {
        let whole_at = Cache::builder()
            .max_capacity(counted)
            .eviction_policy(EvictionPolicy::lru())
            // After that long without a failure the allowance is whole, as that of a new key is.
            .time_to_idle(rate.per());
        Self {
            interval: nanoseconds(rate.interval()),
            per: nanoseconds(rate.per()),
            start: Instant::now(),
            whole_at: whole_at.build(),
        }
    }

    /// Spends one of the key's allowance, or says how long it takes until there is one.
    pub(super) fn count(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let place = self.whole_at.get_with(key, || Arc::new(AtomicU64::new(0)));
        let spend = |whole_at| self.spent(whole_at, now).ok();
        match place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Ok(()),
            Err(whole_at) => self.spent(whole_at, now).map(drop),
        }
    }

    /// Whether there is one to spend.
    pub(super) fn look(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let whole_at = self.whole_at.get(&key).map_or(0, |place| place.load(Ordering::Relaxed));
        self.spent(whole_at, now).map(drop)
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn size(&self) -> u64 {
        self.whole_at.run_pending_tasks();
        self.whole_at.entry_count()
    }

    pub(super) fn take_back(&self, key: u64) {
        if let Some(place) = self.whole_at.get(&key) {
            let earlier = |whole_at: u64| Some(whole_at.saturating_sub(self.interval));
            // The closure never declines.
            let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
        }
    }

    fn spent(&self, whole_at: u64, now: u64) -> Result<u64, Duration> {
        let later = whole_at.max(now).saturating_add(self.interval);
        match later.saturating_sub(now).checked_sub(self.per) {
            None | Some(0) => Ok(later),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// Good for 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
