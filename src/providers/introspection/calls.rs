//! How much the endpoint may be asked.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Digest, Outcome};

/// The questions that are open, and those that may still be asked.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) open: HashMap<Digest, watch::Receiver<Option<Outcome>>>,
    max_concurrent: usize,
    max_per_second: f64,
    /// So many may be asked at once.
    allowance: f64,
    /// When the allowance was last reckoned.
    reckoned: Instant,
}

impl Calls {
    pub(super) fn new(max_concurrent: u32, max_per_second: u32, now: Instant) -> Self {
        let max_per_second = f64::from(max_per_second);
        Self {
            open: HashMap::new(),
            max_concurrent: usize::try_from(max_concurrent).unwrap_or(usize::MAX),
            max_per_second,
            allowance: max_per_second,
            reckoned: now,
        }
    }

    /// Takes one from the allowance, if another question may be asked.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.reckoned).as_secs_f64() * self.max_per_second;
        self.allowance = (self.allowance + earned).min(self.max_per_second);
        self.reckoned = now;
        let admitted = self.open.len() < self.max_concurrent && self.allowance >= 1.0;
        if admitted {
            self.allowance -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_is_asked_in_a_second_than_is_allowed() {
        let start = Instant::now();
        let mut calls = Calls::new(1000, 3, start);
        let admitted = |calls: &mut Calls, now| (0..10).filter(|_| calls.admit(now)).count();
        assert_eq!(admitted(&mut calls, start), 3);
        assert_eq!(admitted(&mut calls, start + Duration::from_millis(400)), 1);
        assert_eq!(admitted(&mut calls, start + Duration::from_secs(60)), 3);
    }

    #[test]
    fn no_more_is_asked_at_once_than_is_allowed() {
        let now = Instant::now();
        let mut calls = Calls::new(2, 100, now);
        for name in 0..2 {
            assert!(calls.admit(now));
            calls.open.insert([name; 32], watch::channel(None).1);
        }
        assert!(!calls.admit(now));
        calls.open.remove(&[0; 32]);
        assert!(calls.admit(now));
    }
}
