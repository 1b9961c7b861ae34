//! When keys are fetched again. Pure: chance and time are arguments.

use std::time::Duration;

use crate::config::Refresh;

/// The first rest after a failure, and the least after a fetch that was asked for and brought nothing.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// A source that fails is asked at least this often, whatever `cooldown` says.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The rest after a fetch that went well: as long as the server says that its answer is fresh, within `cooldown` and
/// `every`; a little less by `chance` (0 to 1), so that many gateways do not ask at once, and ahead of time.
pub(super) fn after_success(refresh: &Refresh, max_age: Option<Duration>, chance: f64) -> Duration {
    let longest = max_age.unwrap_or(refresh.every);
    let rest = longest.max(refresh.cooldown).min(refresh.every);
    rest.mul_f64(0.95 - 0.15 * chance).max(refresh.cooldown.min(refresh.every))
}

/// The rest after so many failures one after another (at least 1): a second, then twice as long each time.
pub(super) fn after_failures(refresh: &Refresh, failures: u32, chance: f64) -> Duration {
    let longest = refresh.every.min(LONGEST_BACKOFF);
    let rest = doubled(shortest_rest(refresh), failures.saturating_sub(1), longest);
    rest.mul_f64(1.0 - 0.2 * chance)
}

/// The first cool-down.
pub(super) fn shortest_rest(refresh: &Refresh) -> Duration {
    SHORTEST_REST.min(refresh.cooldown)
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const REFRESH: Refresh = Refresh {
        every: Duration::from_secs(600),
        cooldown: Duration::from_secs(30),
        stale_if_error: SECOND,
    };

    #[test]
    fn a_refresh_comes_ahead_of_time_and_between_cooldown_and_every() {
        let rest = |max_age: Option<u64>, chance| {
            after_success(&REFRESH, max_age.map(Duration::from_secs), chance).as_secs()
        };
        assert_eq!((rest(None, 0.0), rest(None, 1.0)), (570, 480));
        assert_eq!(rest(Some(3600), 0.0), 570);
        assert_eq!(rest(Some(100), 0.0), 95);
        assert_eq!((rest(Some(0), 0.0), rest(Some(0), 1.0)), (30, 30));
    }

    #[test]
    fn failures_are_retried_in_seconds_with_a_bound() {
        let rests: Vec<_> =
            (1..=8).map(|failures| after_failures(&REFRESH, failures, 0.0).as_secs()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(after_failures(&REFRESH, u32::MAX, 1.0) >= Duration::from_secs(48));
        let often = Refresh { every: SECOND * 5, ..REFRESH };
        assert_eq!(after_failures(&often, 9, 0.0), SECOND * 5);
    }
}
