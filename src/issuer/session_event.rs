//! What happens to sessions besides logins and refreshes: each is counted and told in the event log, for the audit.

use super::Issuer;
use crate::store::UserId;

/// An event in the life of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// A refresh token that was exchanged came again within its grace, and its successor went out once more.
    GraceUsed,
    /// One came again when that is no mishap any more: the session ended.
    EndedByReuse,
    /// A client logged out.
    EndedByLogout,
    /// The user began more sessions than the file allows.
    EndedByLimit,
    /// The user was shut out where users live.
    EndedWithUser,
}

impl SessionEvent {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::GraceUsed, Self::EndedByReuse, Self::EndedByLogout, Self::EndedByLimit, Self::EndedWithUser];

    /// The label of `tollgate_session_events_total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GraceUsed => "reuse_grace",
            Self::EndedByReuse => "ended_by_reuse",
            Self::EndedByLogout => "ended_by_logout",
            Self::EndedByLimit => "ended_by_limit",
            Self::EndedWithUser => "ended_with_user",
        }
    }
}

impl Issuer {
    /// Counts an event and tells it.
    pub(super) fn note(&self, event: SessionEvent, user: Option<&UserId>, sid: Option<&str>) {
        let (name, user) = (event.as_str(), user.map(UserId::as_str));
        self.metrics.session_events.with_label_values(&[name]).inc();
        match event {
            SessionEvent::EndedByReuse => tracing::warn!(
                event = name,
                user,
                sid,
                "a refresh token was used again: somebody has a copy, so its session was ended"
            ),
            SessionEvent::GraceUsed => {
                tracing::info!(event = name, user, sid, "a refresh was repeated within its grace");
            }
            SessionEvent::EndedByLogout | SessionEvent::EndedByLimit | SessionEvent::EndedWithUser => {
                tracing::info!(event = name, user, sid, "a session was ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_event_has_a_label_of_its_own() {
        let labels: HashSet<_> = SessionEvent::ALL.into_iter().map(SessionEvent::as_str).collect();
        assert_eq!(labels.len(), SessionEvent::ALL.len());
    }
}
