//! Rows that leave: when, and in which order.

use std::time::Duration;

/// Rows stay this long after the expiry of what they are about, so that no leeway and no clock that is slow outlives
/// them.
pub(super) const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(86_400);

/// So many rows of a table leave in one step, so that nobody who writes waits long for it.
pub(super) const AT_ONCE: u32 = 500;

/// Which rows of a table say nothing any more.
pub(super) struct Expiring {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    /// Each `?` in it stands for the time before which things must have expired.
    pub(super) condition: &'static str,
}

impl Expiring {
    /// How many values the condition takes.
    pub(super) fn places(&self) -> usize {
        self.condition.matches('?').count()
    }
}

/// A session's row stays as long as any of its tokens could be good: with it goes the knowledge that it was ended.
pub(super) const LEAVING: [Expiring; 6] = [
    Expiring { table: "revocations", key: "number", condition: "expires_at < ?" },
    Expiring { table: "blacklist", key: "jti", condition: "expires_at < ?" },
    Expiring { table: "access_tokens", key: "jti", condition: "expires_at < ?" },
    Expiring { table: "refresh_tokens", key: "jti", condition: "expires_at < ?" },
    Expiring { table: "login_networks", key: "digest", condition: "known_until < ?" },
    // The rows of its tokens go before it, a few at a time too.
    Expiring {
        table: "sessions",
        key: "sid",
        condition: "ends_at < ? AND access_ends_at < ? \
                    AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.sid = sessions.sid) \
                    AND NOT EXISTS (SELECT 1 FROM access_tokens a WHERE a.sid = sessions.sid)",
    },
];
