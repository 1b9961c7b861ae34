//! How often something may happen, as the file writes it: `10/1m`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::unit::{InvalidUnit, parse_duration};

/// So many in such a time. All of them may come at once; then one more each [`Rate::interval`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

impl Rate {
    /// So many, each so long.
    ///
    /// # Errors
    /// [`InvalidUnit::Rate`] for none at all, or for a time of less than a second or more than a day.
    pub fn new(count: u32, per: Duration) -> Result<Self, InvalidUnit> {
        let sound = (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&per);
        match NonZeroU32::new(count) {
            Some(count) if sound => Ok(Self { count, per }),
            _ => Err(InvalidUnit::Rate),
        }
    }

    /// The time in which [`Rate::new`]'s count may happen.
    #[must_use]
    pub const fn per(self) -> Duration {
        self.per
    }

    /// The time from one to the next where they are spread evenly.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.count.get()
    }
}

impl FromStr for Rate {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (count, per) = text.split_once('/').ok_or(InvalidUnit::Rate)?;
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidUnit::Rate);
        }
        let count = count.parse().map_err(|_| InvalidUnit::Rate)?;
        Self::new(count, parse_duration(per).map_err(|_| InvalidUnit::Rate)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.per.as_secs();
        for (factor, unit) in [(3_600, "h"), (60, "m")] {
            if seconds >= factor && seconds.is_multiple_of(factor) && self.per.subsec_nanos() == 0 {
                return write!(f, "{}/{}{unit}", self.count, seconds / factor);
            }
        }
        write!(f, "{}/{}ms", self.count, self.per.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rates() {
        let rate: Rate = "10/1m".parse().expect("a rate");
        assert_eq!((rate.per(), rate.interval()), (Duration::from_secs(60), Duration::from_secs(6)));
        assert_eq!("100/1s".parse::<Rate>().map(Rate::interval), Ok(Duration::from_millis(10)));
        assert_eq!("3/1500ms".parse::<Rate>().map(Rate::interval), Ok(Duration::from_millis(500)));
        for text in
            ["", "10", "10/", "/1m", "0/1m", "+1/1m", "10/0s", "10/999ms", "10/2d", "10/1", "4294967296/1m"]
        {
            assert_eq!(text.parse::<Rate>(), Err(InvalidUnit::Rate), "{text:?}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["10/1m", "100/10m", "5/1h", "3/1500ms", "2/90m"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
    }
}
