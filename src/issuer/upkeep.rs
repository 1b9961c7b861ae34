//! What the issuer does without being asked: rows that say nothing any more leave, and users who were shut out where
//! they live lose their sessions here.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::Issuer;
use super::session_event::SessionEvent;
use super::site::of_predecessors;
use crate::base::UnixTime;
use crate::config::{self, Predecessor};
use crate::store::{Ended, Ending, Presence, Revocation, Revoked, Sessions, StoreError, UserId, Which};

/// Between two batches of a purge, so that those who wait to write get their turn.
const BETWEEN_BATCHES: Duration = Duration::from_millis(20);

impl Issuer {
    /// Starts these tasks, which run until the runtime ends.
    pub fn start_upkeep(self: &Arc<Self>, control: &Handle, clock: fn() -> UnixTime) {
        control.spawn(Arc::clone(self).purge_always(clock));
        control.spawn(Arc::clone(self).poll_users(clock));
        control.spawn(Arc::clone(self).mirror_always());
    }

    async fn purge_always(self: Arc<Self>, clock: fn() -> UnixTime) {
        loop {
            sleep(self.rules.purge_interval).await;
            // Whatever keeps the database from it is told by those who need an answer.
            while let Ok(1..) = self.sessions.purge(clock()).await {
                sleep(BETWEEN_BATCHES).await;
            }
        }
    }

    async fn poll_users(self: Arc<Self>, clock: fn() -> UnixTime) {
        let mut failing = false;
        loop {
            sleep(self.rules.user_poll_interval).await;
            match self.end_sessions_of_the_shut_out(clock).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!("can't look for users who were shut out: {error}");
                }
                Err(_) => {}
            }
        }
    }

    /// Looks at each user with a session, once; where each costs a question of its own, at those with access tokens out.
    ///
    /// # Errors
    /// What kept it from some of them, if anything did.
    pub(super) async fn end_sessions_of_the_shut_out(
        &self,
        clock: impl Fn() -> UnixTime,
    ) -> Result<(), StoreError> {
        let mut after = String::new();
        let mut failed = None;
        loop {
            let idle = self.users.answers_many();
            let users = self.sessions.users_with_sessions(&after, idle, clock()).await?;
            let Some(last) = users.last() else { break };
            after = last.to_string();
            let mut could_be_told = false;
            for (id, presence) in self.users.presence(&users).await? {
                match presence {
                    Ok(presence) => {
                        could_be_told = true;
                        if self.is_shut_out(presence) {
                            let now = clock();
                            let ended = shut_out(&*self.sessions, &self.shutting_out(now), &id).await?;
                            self.sessions_ended(SessionEvent::EndedWithUser, &id, &ended, now);
                        }
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if !could_be_told {
                break;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn is_shut_out(&self, presence: Presence) -> bool {
        match presence {
            Presence::Gone => true,
            Presence::KeptOut => self.form.check_user_is_active,
            Presence::LetIn => false,
        }
    }

    fn shutting_out(&self, now: UnixTime) -> ShuttingOut<'_> {
        ShuttingOut {
            ending: self.ending(now),
            predecessors: self.predecessors.clone(),
            longest: self.mint.longest_lifetime(),
            this_second: true,
        }
    }
}

/// How a user's tokens are ended, whether or not a session knows of them.
#[derive(Debug, Clone)]
pub struct ShuttingOut<'a> {
    ending: Ending<'a>,
    predecessors: Vec<Predecessor>,
    /// No token lives longer, unless an operator made it.
    longest: Duration,
    /// End tokens issued in this very second too. A login in the same second would then be in vain.
    this_second: bool,
}

impl<'a> ShuttingOut<'a> {
    /// For a user who is not let in any more.
    #[must_use]
    pub fn for_good(config: &'a config::Issuer, now: UnixTime) -> Self {
        let ending = Ending { issuer: config.issuer.as_deref(), leeway: config.longest_leeway, now };
        let (predecessors, longest) = (config.predecessors(), config.longest_lifetime());
        Self { ending, predecessors, longest, this_second: true }
    }

    /// For one who may log in again at once.
    #[must_use]
    pub fn for_now(config: &'a config::Issuer, now: UnixTime) -> Self {
        Self { this_second: false, ..Self::for_good(config, now) }
    }
}

/// Ends all sessions of a user, and all tokens that name it, those without a session included.
///
/// # Errors
/// [`StoreError`]; it may have been done in part, and can be done again.
pub async fn shut_out(
    sessions: &dyn Sessions,
    how: &ShuttingOut<'_>,
    user: &UserId,
) -> Result<Ended, StoreError> {
    let Ending { issuer, leeway, now } = how.ending;
    let before = if how.this_second { now.plus(Duration::from_secs(1)) } else { now };
    let what = Revoked::Subject { issuer: issuer.map(str::to_owned), subject: user.to_string(), before };
    let last = now.plus(how.longest).max(sessions.minted_until(None).await?);
    let mut by_name = vec![Revocation { what, expires_at: last.plus(leeway) }];
    by_name.extend(of_predecessors(&how.predecessors, user, how.ending, before));
    sessions.revoke(&by_name).await?;
    let mut ended = sessions.end(Which::User(user), how.ending).await?;
    ended.revocations.append(&mut by_name);
    Ok(ended)
}
