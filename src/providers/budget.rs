//! How much may be asked of one server on behalf of strangers.
//!
//! A token costs nothing to make up, and so does the name of a tenant in it. What a made-up token may cause is therefore
//! paid from a budget that fills at a steady rate, and a question that was in vain costs many times one that was not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many may be asked at once after a rest.
const LARGEST: i64 = 100;
/// So many come back in a second.
const PER_SECOND: i64 = 20;
/// What one more costs that was asked in vain: so there is about one of these in a second.
const IN_VAIN: i64 = 19;

/// A budget of questions.
#[derive(Debug)]
pub(super) struct Budget {
    /// Held for a few instructions, on the way to a question only; never across an `await`.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: i64,
    /// Up to here what came back is in `left`.
    counted: Instant,
}

impl Budget {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { state: Mutex::new(State { left: LARGEST, counted: now }) }
    }

    /// Pays for one question; `false` if there is nothing left to pay with.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fill(now);
        let enough = state.left > 0;
        if enough {
            state.left -= 1;
        }
        enough
    }

    /// Pays for a question that was in vain, after all.
    pub(super) fn was_in_vain(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left -= IN_VAIN;
    }
}

impl State {
    fn fill(&mut self, now: Instant) {
        const STEP: Duration = Duration::from_nanos(1_000_000_000 / PER_SECOND.unsigned_abs());
        let steps = now.saturating_duration_since(self.counted).as_nanos() / STEP.as_nanos();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(i64::from(steps)).min(LARGEST);
        self.counted = if self.left == LARGEST { now } else { self.counted + STEP * steps };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many questions in each of some seconds are asked.
    fn asked(seconds: u64, each: u32, in_vain: bool) -> u32 {
        let start = Instant::now();
        let budget = Budget::new(start);
        let ask = |at: Instant| {
            let may = budget.take(at);
            if may && in_vain {
                budget.was_in_vain();
            }
            u32::from(may)
        };
        (0..seconds)
            .map(|second| (0..each).map(|_| ask(start + Duration::from_secs(second))).sum::<u32>())
            .sum()
    }

    #[test]
    fn a_flood_of_questions_is_held_to_the_rate() {
        assert_eq!(asked(1, 10_000, false), 100);
        assert_eq!(asked(61, 10_000, false), 100 + 60 * 20);
    }

    #[test]
    fn questions_in_vain_are_rare_after_the_first_few() {
        assert_eq!(asked(1, 10_000, true), 5);
        assert!(asked(61, 10_000, true) <= 5 + 60, "{}", asked(61, 10_000, true));
    }

    #[test]
    fn who_asks_little_always_may() {
        assert_eq!(asked(100, 20, false), 2000);
    }
}
