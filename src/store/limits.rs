//! What every kind of store keeps to, so that the rest of the gateway meets the same limits whatever the file names.

use std::time::Duration;

/// The longest that one call may take, the wait for its turn or for a connection included: a request makes a few at most.
pub(super) const CALL_LIMIT: Duration = Duration::from_millis(1_600);

/// How long a call to an SQLite file waits for the lock of another process.
pub(super) const LOCK_LIMIT: Duration = Duration::from_millis(1_300);

/// So many revocations are in one [`RevocationPage`](super::RevocationPage).
pub(super) const REVOCATIONS_AT_ONCE: u32 = 10_000;

/// So many users one answer of [`Sessions::users_with_sessions`](super::Sessions::users_with_sessions) names.
pub(super) const USERS_WITH_SESSIONS_AT_ONCE: u32 = 200;

/// So many users one answer of [`OwnUsers::users_after`](super::OwnUsers::users_after) holds.
pub(super) const USERS_AT_ONCE: u32 = 1_000;

/// So many logins may wait at once for a server that compares passwords itself.
pub(super) const LOGINS_AT_ONCE: usize = 64;

/// The size in bytes of one claim that a place outside tells: more would not fit into a token that routes take.
pub(super) const LARGEST_CLAIM: usize = 4 << 10;
