//! The one place that reads the wall clock. Everything below is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::UnixTime;

/// The present second. A clock before 1970 reads as 1970: every token is then from the future and refused.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
pub fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}
