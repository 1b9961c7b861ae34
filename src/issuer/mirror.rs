//! What the site's blacklist is told of in the background: tokens that are ended here already, where the site could not
//! hear of it at once.
//!
//! The order of the two writes decides what a failure between them costs. A new token is shown to the site before anybody
//! has it, and what a client asks to be ended is ended there first: if either fails, nothing is done and the client hears of
//! it. A token that was exchanged is ended here first. The other way round, a failure would leave its owner with a token that
//! nobody takes; so it leaves one that the site would take once more after a roll-back, until this queue has told it. The
//! same holds for sessions that the gateway ends by itself. Whatever waits is told in its order, for a while, and what is
//! given up is said.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Issuer;
use crate::base::{Secret, UnixTime};
use crate::store::{DjangoBlacklist, MirroredToken, StoreError, UserId, Which};
use crate::telemetry::Metrics;

/// More than a site ends in the time after which it is given up, and a few MiB.
const MOST_WAITING: usize = 10_000;
/// A site that is gone for longer is rolled back to or given up by then.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Between two attempts at the same.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The site's tables, and what they are still to be told of where they are written.
pub(super) struct Mirror {
    site: DjangoBlacklist,
    waiting: Mutex<VecDeque<Arc<Untold>>>,
    news: Notify,
    written: IntCounter,
    deferred: IntCounter,
    lost: IntCounter,
    pending: IntGauge,
}

/// What ended here.
#[derive(Debug)]
pub(super) struct Untold {
    what: What,
    /// When.
    at: UnixTime,
    since: Instant,
}

#[derive(Debug)]
enum What {
    /// One refresh token.
    Token { jti: String, text: Secret, user: Option<UserId>, expires_at: UnixTime },
    /// The refresh tokens of a session.
    Session { sid: String },
}

impl Mirror {
    pub(super) fn new(site: DjangoBlacklist, metrics: &Metrics) -> Self {
        let writes = |outcome| metrics.mirror_writes.with_label_values(&[outcome]);
        Self {
            site,
            waiting: Mutex::default(),
            news: Notify::new(),
            written: writes("written"),
            deferred: writes("deferred"),
            lost: writes("lost"),
            pending: metrics.mirror_pending.clone(),
        }
    }

    /// The tables themselves.
    pub(super) fn site(&self) -> &DjangoBlacklist {
        &self.site
    }

    /// Tells the site at once of a token that was ended here, or later if that fails. While others wait it waits too: the
    /// site hears of all in their order, and no client waits for a site that does not answer.
    pub(super) async fn end_token(&self, token: MirroredToken<'_>, now: UnixTime) {
        let is_first = self.queue().is_empty();
        if is_first {
            match self.site.blacklist(token, now).await {
                Ok(()) => return self.written.inc(),
                Err(error) => {
                    tracing::warn!(%error, "the site's blacklist can't be written: it is told later of what ends here");
                }
            }
        }
        let what = What::Token {
            jti: token.jti.to_owned(),
            text: Secret::new(token.text),
            user: token.user.cloned(),
            expires_at: token.expires_at,
        };
        self.defer(what, now);
    }

    /// Tells the site of sessions that were ended here without a client's asking.
    pub(super) fn end_sessions(&self, sids: &[String], now: UnixTime) {
        for sid in sids {
            self.defer(What::Session { sid: sid.clone() }, now);
        }
    }

    fn defer(&self, what: What, now: UnixTime) {
        let untold = Arc::new(Untold { what, at: now, since: Instant::now() });
        {
            let mut queue = self.queue();
            if queue.len() < MOST_WAITING {
                queue.push_back(untold);
                self.deferred.inc();
                self.pending.set(count(queue.len()));
                drop(queue);
                self.news.notify_one();
                return;
            }
        }
        self.give_up(&untold, "too many wait");
    }

    fn first(&self) -> Option<Arc<Untold>> {
        self.queue().front().cloned()
    }

    /// Takes one out, unless another did.
    fn remove(&self, untold: &Arc<Untold>) -> bool {
        let mut queue = self.queue();
        let is_there = queue.front().is_some_and(|first| Arc::ptr_eq(first, untold));
        if is_there {
            queue.pop_front();
            self.pending.set(count(queue.len()));
        }
        is_there
    }

    fn give_up(&self, untold: &Untold, why: &str) {
        self.lost.inc();
        match &untold.what {
            What::Token { jti, user, .. } => {
                let user = user.as_ref().map(UserId::as_str);
                tracing::error!(
                    jti,
                    user,
                    why,
                    "a refresh token that ended here is not in the site's blacklist: after a roll-back it would pass"
                );
            }
            What::Session { sid } => tracing::error!(
                sid,
                why,
                "the refresh tokens of a session that ended here are not in the site's blacklist: after a roll-back they \
                 would pass"
            ),
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Untold>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Issuer {
    /// Tells the site what it could not hear of at once, until the runtime ends.
    pub(super) async fn mirror_always(self: Arc<Self>) {
        let Some(mirror) = self.mirror() else { return };
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(untold) = mirror.first() else {
                mirror.news.notified().await;
                continue;
            };
            match self.tell_site(mirror, &untold).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) if untold.since.elapsed() > LONGEST_WAIT => {
                    if mirror.remove(&untold) {
                        mirror.give_up(&untold, &format!("it took too long: {error}"));
                    }
                }
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The site's tables, where they are written.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.site.as_ref().filter(|mirror| mirror.site.mirrors())
    }

    async fn tell_site(&self, mirror: &Mirror, untold: &Arc<Untold>) -> Result<(), StoreError> {
        match &untold.what {
            What::Token { jti, text, user, expires_at } => {
                let user = match user {
                    // Of a user who is gone by now the site would refuse the row for ever.
                    Some(user) => self.users.by_id(user.as_str()).await?.map(|user| user.id),
                    None => None,
                };
                let text = str::from_utf8(text.expose()).unwrap_or_default();
                let token = MirroredToken { jti, text, user: user.as_ref(), expires_at: *expires_at };
                mirror.site.blacklist(token, untold.at).await?;
            }
            What::Session { sid } => {
                for (jti, expires_at) in
                    self.sessions.live_refresh_tokens(Which::Session(sid), untold.at).await?
                {
                    let token = MirroredToken { jti: &jti, text: "", user: None, expires_at };
                    mirror.site.blacklist(token, untold.at).await?;
                }
            }
        }
        if mirror.remove(untold) {
            mirror.written.inc();
        }
        Ok(())
    }

    /// Tells the site of all that still waits, in this time, and the log of what is left. For the end of the process, when
    /// nothing more will end.
    pub async fn finish_mirroring(&self, within: Duration) {
        let Some(mirror) = self.mirror() else { return };
        let all = async {
            while let Some(untold) = mirror.first() {
                if self.tell_site(mirror, &untold).await.is_err() {
                    sleep(FIRST_PAUSE).await;
                }
            }
        };
        if timeout(within, all).await.is_err() {
            while let Some(untold) = mirror.first() {
                if mirror.remove(&untold) {
                    mirror.give_up(&untold, "the gateway stops");
                }
            }
        }
    }
}
