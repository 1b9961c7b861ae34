//! What follows when the store has ended sessions: their access tokens are refused, the site hears of it, and so does the
//! audit.

use super::Issuer;
use super::session_event::SessionEvent;
use crate::base::UnixTime;
use crate::store::{Ended, UserId};

impl Issuer {
    /// Makes it known that sessions ended: their access tokens are refused from here on. The site, which hears of a logout
    /// before it is done, is told of all else.
    pub(super) fn sessions_ended(&self, event: SessionEvent, user: &UserId, ended: &Ended, now: UnixTime) {
        self.revocations.add(&ended.revocations, now);
        if event != SessionEvent::EndedByLogout {
            self.tell_site_later(ended, now);
        }
        for sid in &ended.sessions {
            self.note(event, Some(user), Some(sid));
        }
    }
}
