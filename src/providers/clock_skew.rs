//! How far the clocks of providers are from ours, as their servers' answers and their tokens tell.
//!
//! A provider whose clock is ahead issues tokens that are not valid yet, one whose clock is behind such as expire too soon.
//! The leeway forgives it up to a point, of which a warning tells before it is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Fetching, Provider};
use crate::base::{ProviderName, UnixTime};
use crate::telemetry::Metrics;

/// An older token tells nothing of the clock that its `iat` is from.
const FRESH: i64 = 300;
/// How often workers' findings are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A finding counts for one to two of these.
const WINDOW: u32 = 300;

/// The least age of a provider's fresh tokens at their first use. Workers lower it, one task takes it.
#[derive(Debug)]
pub(super) struct TokenAges(AtomicI64);

impl TokenAges {
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }

    /// Notes when a token was issued, of which the signature is good.
    pub(super) fn note(&self, issued_at: UnixTime, now: UnixTime) {
        let age = now.0.saturating_sub(issued_at.0);
        if age <= FRESH {
            // Relaxed: it stands for nothing else.
            self.0.fetch_min(age, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Option<i64> {
        let least = self.0.swap(i64::MAX, Ordering::Relaxed);
        (least != i64::MAX).then_some(least)
    }
}

/// The least of the last while.
#[derive(Debug, Default)]
struct Least {
    current: Option<i64>,
    previous: Option<i64>,
}

impl Least {
    fn add(&mut self, age: i64) {
        self.current = Some(self.current.map_or(age, |least| least.min(age)));
    }

    fn get(&self) -> Option<i64> {
        self.current.into_iter().chain(self.previous).min()
    }

    fn begin_window(&mut self) {
        self.previous = self.current.take();
    }
}

/// What makes a difference known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasuredBy {
    /// `Date` of an answer of its server.
    Date,
    /// `iat` of its tokens. They come later than they are issued, so that a clock that is behind can't be told from a token
    /// that is not new.
    Tokens,
}

impl MeasuredBy {
    const fn word(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Tokens => "tokens",
        }
    }

    /// Whether clocks differ by more than half of what is forgiven; but a second or two may be the network's.
    fn tells_of(self, ahead: i64, leeway: Duration) -> bool {
        let sure = match self {
            Self::Date => ahead.unsigned_abs(),
            Self::Tokens => u64::try_from(ahead).unwrap_or(0),
        };
        Duration::from_secs(sure) > (leeway / 2).max(Duration::from_secs(2))
    }
}

/// Keeps the gauge of one provider, and warns once for each change.
#[derive(Debug)]
pub(super) struct SkewGauge {
    name: ProviderName,
    leeway: Duration,
    by: MeasuredBy,
    metrics: Arc<Metrics>,
    told: bool,
}

impl SkewGauge {
    pub(super) const fn new(
        name: ProviderName,
        leeway: Duration,
        by: MeasuredBy,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { name, leeway, by, metrics, told: false }
    }

    /// So many seconds the provider's clock is ahead of ours; the log tells of it if it `is_told`.
    pub(super) fn set(&mut self, ahead: i64, is_told: bool) {
        let Self { name, leeway, by, .. } = self;
        self.metrics.clock_skew.with_label_values(&[name.as_str(), by.word()]).set(ahead);
        let differs = is_told && by.tells_of(ahead, *leeway);
        if differs && !self.told {
            tracing::warn!(provider = %name, seconds_ahead = ahead, ?leeway, by = by.word(), "the provider's clock differs from ours");
        } else if !differs && self.told {
            tracing::info!(provider = %name, seconds_ahead = ahead, by = by.word(), "the provider's clock agrees with ours again");
        }
        self.told = differs;
    }
}

/// Starts the task that tells what tokens say of the clocks of their providers.
pub(super) fn start(providers: &[Arc<Provider>], fetching: &Fetching) {
    let with_keys = providers.iter().filter(|provider| provider.introspection.is_none());
    let mut watched: Vec<_> = with_keys
        .map(|provider| {
            let (name, leeway) = (provider.name.clone(), provider.leeway);
            let gauge = SkewGauge::new(name, leeway, MeasuredBy::Tokens, Arc::clone(&fetching.metrics));
            (Arc::clone(provider), gauge, Least::default())
        })
        .collect();
    if watched.is_empty() {
        return;
    }
    fetching.control.spawn(async move {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in (0..WINDOW).cycle() {
            ticks.tick().await;
            for (provider, gauge, least) in &mut watched {
                if tick == 0 {
                    least.begin_window();
                }
                if let Some(age) = provider.token_ages.take() {
                    least.add(age);
                }
                if let Some(age) = least.get() {
                    gauge.set(age.saturating_neg(), true);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_told_before_the_leeway_is_used_up() {
        let leeway = Duration::from_secs(30);
        for (ahead, by_date, by_tokens) in [
            (0, false, false),
            (15, false, false),
            (-15, false, false),
            (16, true, true),
            (-16, true, false),
            (i64::MIN, true, false),
            (i64::MAX, true, true),
        ] {
            assert_eq!(MeasuredBy::Date.tells_of(ahead, leeway), by_date, "{ahead}");
            assert_eq!(MeasuredBy::Tokens.tells_of(ahead, leeway), by_tokens, "{ahead}");
        }
        let tells = |ahead| MeasuredBy::Date.tells_of(ahead, Duration::ZERO);
        assert!(!tells(2) && tells(3));
    }

    #[test]
    fn the_least_age_of_fresh_tokens_is_taken_once() {
        let ages = TokenAges::new();
        assert_eq!(ages.take(), None);
        for issued_at in [900, 990, 1020, 699, i64::MIN] {
            ages.note(UnixTime(issued_at), UnixTime(1000));
        }
        assert_eq!(ages.take(), Some(-20));
        assert_eq!(ages.take(), None);
        ages.note(UnixTime(699), UnixTime(1000));
        assert_eq!(ages.take(), None, "an old token says nothing of the clock");
        ages.note(UnixTime(700), UnixTime(1000));
        assert_eq!(ages.take(), Some(300));
    }

    #[test]
    fn a_finding_counts_until_the_window_after_its_own_ends() {
        let mut least = Least::default();
        least.begin_window();
        least.add(5);
        least.add(-3);
        assert_eq!(least.get(), Some(-3));
        least.begin_window();
        least.add(4);
        assert_eq!(least.get(), Some(-3));
        least.begin_window();
        assert_eq!(least.get(), Some(4));
        least.begin_window();
        assert_eq!(least.get(), None);
    }
}
