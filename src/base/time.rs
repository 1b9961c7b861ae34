//! A point in time as tokens and tables count it.

use std::time::Duration;

/// Whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted (RFC 7519, section 2,
/// `NumericDate`). Code that decides by time takes it as an argument; `server/` reads the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// Later by that much; stops at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Earlier by that much; stops at the end of the range.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_ends_of_its_range() {
        let second = Duration::from_secs(1);
        assert_eq!(UnixTime(i64::MAX).plus(second), UnixTime(i64::MAX));
        assert_eq!(UnixTime(i64::MIN).minus(second), UnixTime(i64::MIN));
        assert_eq!(UnixTime(5).since(UnixTime(2)), Duration::from_secs(3));
        assert_eq!(UnixTime(2).since(UnixTime(5)), Duration::ZERO);
    }
}
