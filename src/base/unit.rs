//! Sizes and durations as the file writes them: `16KiB`, `5m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is no size or duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnit {
    /// No size as Tollgate writes them.
    #[error("expected a size such as 512B, 16KiB or 4MiB")]
    Size,
    /// No duration as Tollgate writes them.
    #[error("expected a duration such as 500ms, 30s, 5m, 24h or 1d")]
    Duration,
    /// No rate as Tollgate writes them.
    #[error("expected a rate such as 10/1m: so many in a time of 1s to 1d")]
    Rate,
    /// The number does not fit.
    #[error("the number is too large")]
    TooLarge,
}

impl ByteSize {
    /// As an index or a length; sizes beyond the address space are cut to its end.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (number, unit) = split(text).ok_or(InvalidUnit::Size)?;
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(InvalidUnit::Size),
        };
        number.checked_mul(factor).map(Self).ok_or(InvalidUnit::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Reads `500ms`, `30s`, `5m`, `24h`, `1d`. A number without a unit is refused: nobody would know
/// which one was meant.
///
/// # Errors
/// [`InvalidUnit::Duration`] for another form, [`InvalidUnit::TooLarge`] beyond 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidUnit> {
    let (number, unit) = split(text).ok_or(InvalidUnit::Duration)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidUnit::Duration),
    };
    let total = number.checked_mul(milliseconds).ok_or(InvalidUnit::TooLarge)?;
    // Keeps every later sum of a time and a duration within range.
    if total > 100 * 365 * 86_400_000 {
        return Err(InvalidUnit::TooLarge);
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        assert_eq!("16KiB".parse(), Ok(ByteSize(16_384)));
        assert_eq!("0B".parse(), Ok(ByteSize(0)));
        for text in ["", "16", "KiB", "-1B", "1.5MiB", "16kib"] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidUnit::Size), "{text:?}");
        }
        assert_eq!("18446744073709551615GiB".parse::<ByteSize>(), Err(InvalidUnit::TooLarge));
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["", "5", "s", "-5s", "5 years"] {
            assert_eq!(parse_duration(text), Err(InvalidUnit::Duration), "{text:?}");
        }
        assert_eq!(parse_duration("99999999999d"), Err(InvalidUnit::TooLarge));
    }

    #[test]
    fn prints_the_largest_even_unit() {
        assert_eq!(ByteSize(16 << 20).to_string(), "16MiB");
        assert_eq!(ByteSize(1_000).to_string(), "1000B");
    }
}
