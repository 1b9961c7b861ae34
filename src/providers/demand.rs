//! Who wants a source's keys to be fetched again, and when that may be.
//!
//! A token whose key is not known asks here. The first who asks starts a fetch, whoever comes while it runs waits for
//! the same one; after a fetch that brought nothing new nobody starts one for a while, and the while grows. So a flood
//! of made-up names costs the provider one fetch in each while, and the gateway a look at the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Budget;

/// So many names are remembered that a fetch did not bring. Beyond them the cool-down alone protects.
const MOST_UNKNOWN: usize = 1024;

/// The meeting place of workers that miss a key and the task that fetches.
#[derive(Debug)]
pub(super) struct Demand {
    /// Held for a few instructions, and only by workers that found no key; never across an `await`.
    state: Mutex<State>,
    wanted: Notify,
    /// What many sources of one server may ask of it together.
    budget: Option<Arc<Budget>>,
    /// Told at the end of each fetch. Not a channel: there are as many of these as tenants, and it is small.
    ended: Notify,
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// A key that was not there before.
    NewKey,
    /// The keys that were there.
    NothingNew,
    /// No answer that counts.
    Failure,
}

#[derive(Debug)]
struct State {
    /// A fetch runs, or was asked for.
    busy: bool,
    asked_for: bool,
    /// Whoever waits for somebody to ask shall look around.
    woken: bool,
    cooling_until: Option<Instant>,
    /// The length of the next cool-down.
    next: Duration,
    shortest: Duration,
    longest: Duration,
    /// Nobody knows what the last fetch would have brought.
    failed: bool,
    /// How many fetches came to their end.
    finished: u64,
    /// What a fetch did not bring, and until when it is not asked for again.
    unknown: HashMap<u64, Instant>,
}

/// A fetch that is on its way.
#[derive(Debug)]
pub(super) struct Awaited<'d> {
    demand: &'d Demand,
    before: u64,
}

impl Demand {
    /// Cool-downs grow from `shortest` to `longest`.
    pub(super) fn new(shortest: Duration, longest: Duration, budget: Option<Arc<Budget>>) -> Self {
        let state = State {
            busy: false,
            asked_for: false,
            woken: false,
            cooling_until: None,
            next: shortest,
            shortest,
            longest,
            failed: false,
            finished: 0,
            unknown: HashMap::new(),
        };
        Self { state: Mutex::new(state), wanted: Notify::new(), budget, ended: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step: a panic can't leave a half of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a fetch or joins the one that runs. `None`: not now, or not for this name.
    pub(super) fn ask(&self, name: Option<u64>, now: Instant) -> Option<Awaited<'_>> {
        let mut state = self.state();
        if !state.busy {
            let known_to_miss = name.and_then(|name| state.unknown.get(&name));
            if state.cooling_until.is_some_and(|until| now < until)
                || known_to_miss.is_some_and(|until| now < *until)
            {
                return None;
            }
            if self.budget.as_ref().is_some_and(|budget| !budget.take(now)) {
                return None;
            }
            (state.busy, state.asked_for) = (true, true);
            self.wanted.notify_one();
        }
        Some(Awaited { demand: self, before: state.finished })
    }

    /// Waits until there was a fetch at all.
    pub(super) async fn first(&self) {
        Awaited { demand: self, before: 0 }.end().await;
    }

    /// Notes that the last fetch did not bring this name, unless it failed.
    pub(super) fn remember(&self, name: u64, now: Instant) {
        let mut state = self.state();
        if state.failed {
            return;
        }
        if state.unknown.len() >= MOST_UNKNOWN {
            state.unknown.retain(|_, until| now < *until);
        }
        if state.unknown.len() < MOST_UNKNOWN {
            let until = now + state.longest;
            state.unknown.insert(name, until);
        }
    }

    /// Ends the wait for somebody who asks, whether or not one does.
    pub(super) fn wake(&self) {
        self.state().woken = true;
        self.wanted.notify_one();
    }

    /// Waits until somebody asks.
    pub(super) async fn wanted(&self) {
        loop {
            self.wanted.notified().await;
            // The fetch that was asked for may have run already, because its time had come.
            let state = self.state();
            if state.asked_for || state.woken {
                return;
            }
        }
    }

    /// A fetch begins. Tells whether somebody asked for it.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state();
        state.busy = true;
        std::mem::take(&mut state.asked_for)
    }

    /// The fetch came to its end.
    pub(super) fn finish(&self, brought: Brought, was_asked_for: bool, now: Instant) {
        let mut state = self.state();
        state.busy = false;
        state.failed = brought == Brought::Failure;
        if brought == Brought::NewKey {
            (state.cooling_until, state.next) = (None, state.shortest);
            state.unknown.clear();
        } else {
            state.cooling_until = Some(now + state.next);
            if was_asked_for {
                state.next = state.next.saturating_mul(2).min(state.longest);
            }
        }
        // Within the lock: whoever asks next must not take this end for that of his own fetch.
        state.finished += 1;
        self.ended.notify_waiters();
    }
}

impl Awaited<'_> {
    /// Waits for the end of the fetch.
    pub(super) async fn end(self) {
        loop {
            // From here on it hears of an end, so that none is missed between the look and the wait.
            let ended = self.demand.ended.notified();
            if self.demand.state().finished > self.before {
                return;
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn demand() -> (Demand, Instant) {
        (Demand::new(SECOND, SECOND * 4, None), Instant::now())
    }

    /// A whole fetch that was asked for, which brings nothing.
    fn fetch_in_vain(demand: &Demand, now: Instant) {
        assert!(demand.ask(None, now).is_some(), "a fetch may be");
        assert!(demand.begin(), "it was asked for");
        demand.finish(Brought::NothingNew, true, now);
    }

    #[tokio::test]
    async fn all_who_ask_while_a_fetch_runs_wait_for_the_same_one() {
        let (demand, now) = demand();
        let waiting: Vec<_> = (0..10).map(|name| demand.ask(Some(name), now).unwrap()).collect();
        demand.wanted().await;
        assert!(demand.begin());
        let late = demand.ask(Some(11), now).unwrap();
        demand.finish(Brought::NewKey, true, now);
        for awaited in waiting.into_iter().chain([late]) {
            awaited.end().await;
        }
        assert!(!demand.begin(), "nobody asked for a second one");
    }

    #[test]
    fn the_cool_down_doubles_up_to_its_bound_and_a_new_key_ends_it() {
        let (demand, mut now) = demand();
        for seconds in [1, 2, 4, 4] {
            fetch_in_vain(&demand, now);
            now += SECOND * seconds;
            assert!(demand.ask(None, now - Duration::from_millis(1)).is_none(), "{seconds}");
        }
        demand.ask(None, now).unwrap();
        demand.begin();
        demand.finish(Brought::NewKey, true, now);
        fetch_in_vain(&demand, now);
        assert!(demand.ask(None, now + SECOND).is_some(), "it is short again");
    }

    #[test]
    fn a_fetch_that_nobody_asked_for_lengthens_no_cool_down() {
        let (demand, now) = demand();
        for _ in 0..5 {
            assert!(!demand.begin());
            demand.finish(Brought::NothingNew, false, now);
        }
        assert!(demand.ask(None, now).is_none());
        assert!(demand.ask(None, now + SECOND).is_some());
    }

    #[test]
    fn a_name_that_was_not_brought_is_not_asked_for_again_at_once() {
        let (demand, now) = demand();
        fetch_in_vain(&demand, now);
        demand.remember(7, now);
        assert!(demand.ask(Some(7), now + SECOND * 2).is_none());
        assert!(demand.ask(Some(8), now + SECOND * 2).is_some(), "another is");
        demand.begin();
        demand.finish(Brought::NewKey, true, now);
        assert!(demand.ask(Some(7), now + SECOND * 2).is_some(), "new keys came: it may be among the next");
    }

    #[test]
    fn a_fetch_that_failed_says_nothing_of_a_name() {
        let (demand, now) = demand();
        demand.ask(Some(7), now).unwrap();
        demand.begin();
        demand.finish(Brought::Failure, true, now);
        demand.remember(7, now);
        assert!(demand.ask(Some(7), now).is_none(), "it cools down all the same");
        assert!(demand.ask(Some(7), now + SECOND).is_some());
    }

    #[test]
    fn names_are_remembered_in_bounded_memory() {
        let (demand, now) = demand();
        (0..100_000).for_each(|name| demand.remember(name, now));
        assert_eq!(demand.state().unknown.len(), MOST_UNKNOWN);
        demand.remember(1, now + SECOND * 5);
        assert_eq!(demand.state().unknown.len(), 1, "the old ones make room");
    }
}
