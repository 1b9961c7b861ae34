//! The keys of `issuer:` about sessions, and `revocations:`, as meant.

use std::time::Duration;

/// How sessions live and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRules {
    /// What becomes of the session when a refresh token comes again that was exchanged; SimpleJWT refuses it.
    pub on_reuse: OnReuse,
    /// `reuse_grace:` so long the predecessor of an unused refresh token gets it once more, in whole seconds; default
    /// 10s, SimpleJWT's 0s.
    pub reuse_grace: Duration,
    /// `session_lifetime:` from login to the end, however often it is refreshed. `None`: without end.
    pub lifetime: Option<Duration>,
    /// `max_sessions_per_user:` one more login ends the oldest. `None`: without limit.
    pub most_per_user: Option<u32>,
    /// `purge_interval:` how often rows that say nothing any more are removed; default 1m.
    pub purge_interval: Duration,
    /// `user_poll_interval:` how often users with access tokens are looked up, for those who were shut out where they
    /// live; default 30s.
    pub user_poll_interval: Duration,
}

/// `on_reuse:` of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReuse {
    /// The session ends (RFC 9700, section 4.14.2): somebody has a copy.
    EndSession,
    /// The token is refused, as SimpleJWT does.
    Refuse,
}

impl SessionRules {
    /// What a file gets that says nothing of it, in Tollgate's own manner.
    pub const TOLLGATE: Self = Self {
        on_reuse: OnReuse::EndSession,
        reuse_grace: Duration::from_secs(10),
        lifetime: None,
        most_per_user: None,
        purge_interval: Duration::from_secs(60),
        user_poll_interval: Duration::from_secs(30),
    };

    /// The same in SimpleJWT's.
    pub const SIMPLEJWT: Self =
        Self { on_reuse: OnReuse::Refuse, reuse_grace: Duration::ZERO, ..Self::TOLLGATE };
}

/// `revocations:`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevocationRules {
    /// Tokens are taken while nobody knows yet which of them are revoked; default false.
    pub start_without: bool,
}
