//! What the site's blacklist is told of in the background: tokens that are ended here already, where the site could not
//! hear of it at once.
//!
//! The order of the two writes decides what a failure between them costs. A new token is shown to the site before anybody
//! has it, and what a client asks to be ended is ended there first: if either fails, nothing is done and the client hears of
//! it. A token that was exchanged is ended here first. The other way round, a failure would leave its owner with a token that
//! nobody takes; so it leaves one that the site would take once more after a roll-back, until this queue has told it. The
//! same holds for sessions that the gateway ends by itself. Whatever waits is told as soon as the site takes rows
//! again, for a while, and what is given up is said.

use std::collections::VecDeque;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Issuer;
use crate::base::{Secret, UnixTime, with_causes};
use crate::store::{DjangoBlacklist, MirroredToken, StoreError, UserId, Which};
use crate::telemetry::Metrics;

/// More than a site ends in the time after which it is given up, and a few MiB.
const MOST_WAITING: usize = 10_000;
/// As many as there are connections to the site's database: one at a time would be slower than logins are.
const AT_ONCE: usize = 8;
/// A site that is gone for longer is rolled back to or given up by then.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Between two attempts at the same.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The site's blacklist, into which is written what is issued and ended here, and what it is still to be told of.
pub(super) struct Mirror {
    blacklist: DjangoBlacklist,
    /// Those that are being told of are among the first.
    waiting: Mutex<VecDeque<Arc<Untold>>>,
    /// The last row that could have been written at once was, or one since. Otherwise no client waits for another.
    answers: AtomicBool,
    news: Notify,
    written: IntCounter,
    deferred: IntCounter,
    lost: IntCounter,
    pending: IntGauge,
}

/// What ended here.
#[derive(Debug)]
struct Untold {
    what: What,
    /// When.
    at: UnixTime,
    since: Instant,
    /// Changed under the queue's lock.
    is_being_told: AtomicBool,
}

#[derive(Debug)]
enum What {
    /// One refresh token. Its text is a credential: kept only where the site's row holds it.
    Token { jti: String, text: Option<Secret>, user: Option<UserId>, expires_at: UnixTime },
    /// The refresh tokens of a session.
    Session { sid: String },
}

/// How an attempt to tell of all went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing waits, or what does is being told of elsewhere.
    Done,
    /// Something could not be told, though others were.
    Partly,
    /// Nothing could.
    Failed,
}

impl Mirror {
    pub(super) fn new(blacklist: DjangoBlacklist, metrics: &Metrics) -> Self {
        let writes = |outcome| metrics.mirror_writes.with_label_values(&[outcome]);
        Self {
            blacklist,
            waiting: Mutex::default(),
            answers: AtomicBool::new(true),
            news: Notify::new(),
            written: writes("written"),
            deferred: writes("deferred"),
            lost: writes("lost"),
            pending: metrics.mirror_pending.clone(),
        }
    }

    /// The tables themselves.
    pub(super) fn blacklist(&self) -> &DjangoBlacklist {
        &self.blacklist
    }

    /// Tells the site at once of a token that was ended here, or later if that fails. Until it takes a row again no other
    /// client waits for it.
    pub(super) async fn end_token(&self, token: MirroredToken<'_>, now: UnixTime) {
        if self.answers.load(Ordering::Relaxed) {
            match self.write(token, now).await {
                Ok(()) => return self.written.inc(),
                Err(error) => {
                    if self.answers.swap(false, Ordering::Relaxed) {
                        tracing::warn!(
                            error = with_causes(&error),
                            "the site's blacklist can't be written: it is told later of what ends here"
                        );
                    }
                }
            }
        }
        let what = What::Token {
            jti: token.jti.to_owned(),
            text: self.blacklist.keeps_text().then(|| Secret::new(token.text)),
            user: token.user.cloned(),
            expires_at: token.expires_at,
        };
        self.defer(what, now);
    }

    /// Tells the site later of a session that was ended here.
    pub(super) fn end_session(&self, sid: &str, now: UnixTime) {
        self.defer(What::Session { sid: sid.to_owned() }, now);
    }

    async fn write(&self, token: MirroredToken<'_>, now: UnixTime) -> Result<(), StoreError> {
        self.blacklist.blacklist(token, now).await?;
        self.answers.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn defer(&self, what: What, now: UnixTime) {
        let (since, is_being_told) = (Instant::now(), AtomicBool::new(false));
        let untold = Arc::new(Untold { what, at: now, since, is_being_told });
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

    /// The first that nobody tells of.
    fn take(&self) -> Option<Telling<'_>> {
        let queue = self.queue();
        let untold = queue.iter().find(|untold| !untold.is_being_told.swap(true, Ordering::Relaxed))?;
        Some(Telling { mirror: self, untold: Arc::clone(untold) })
    }

    fn is_done(&self) -> bool {
        self.queue().is_empty()
    }

    /// Takes all out.
    fn give_all_up(&self, why: &str) {
        let all = std::mem::take(&mut *self.queue());
        self.pending.set(0);
        for untold in all {
            self.give_up(&untold, why);
        }
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

/// What the site is being told of; it still waits for its turn if that ends half-way.
struct Telling<'m> {
    mirror: &'m Mirror,
    untold: Arc<Untold>,
}

impl Telling<'_> {
    /// The site knows.
    fn done(self) {
        if self.remove().is_some() {
            self.mirror.written.inc();
        }
    }

    /// Others come first now: the reason may lie in this one.
    fn failed(self, error: &StoreError) {
        if self.untold.since.elapsed() <= LONGEST_WAIT {
            let mut queue = self.mirror.queue();
            if let Some(place) = self.place(&queue)
                && let Some(untold) = queue.remove(place)
            {
                queue.push_back(untold);
            }
        } else if let Some(untold) = self.remove() {
            self.mirror.give_up(&untold, &format!("it took too long: {error}"));
        }
    }

    /// Takes it out, unless another did.
    fn remove(&self) -> Option<Arc<Untold>> {
        let mut queue = self.mirror.queue();
        let removed = self.place(&queue).and_then(|place| queue.remove(place));
        self.mirror.pending.set(count(queue.len()));
        removed
    }

    fn place(&self, queue: &VecDeque<Arc<Untold>>) -> Option<usize> {
        queue.iter().position(|untold| Arc::ptr_eq(untold, &self.untold))
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let _queue = self.mirror.queue();
        self.untold.is_being_told.store(false, Ordering::Relaxed);
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
            match self.tell_site(mirror).await {
                Round::Done => {
                    pause = FIRST_PAUSE;
                    mirror.news.notified().await;
                    continue;
                }
                Round::Partly => pause = FIRST_PAUSE,
                Round::Failed => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells the site of what waits, several at a time since no row needs another, until nothing does or something fails.
    async fn tell_site(&self, mirror: &Mirror) -> Round {
        let (told, failed) = (&AtomicBool::new(false), &AtomicBool::new(false));
        let next = iter::from_fn(|| if failed.load(Ordering::Relaxed) { None } else { mirror.take() });
        let all = stream::iter(next).for_each_concurrent(AT_ONCE, |telling| async move {
            match self.tell_site_of(mirror, &telling.untold).await {
                Ok(()) => {
                    told.store(true, Ordering::Relaxed);
                    telling.done();
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    telling.failed(&error);
                }
            }
        });
        all.await;
        match (failed.load(Ordering::Relaxed), told.load(Ordering::Relaxed)) {
            (false, _) => Round::Done,
            (true, true) => Round::Partly,
            (true, false) => Round::Failed,
        }
    }

    async fn tell_site_of(&self, mirror: &Mirror, untold: &Untold) -> Result<(), StoreError> {
        match &untold.what {
            What::Token { jti, text, user, expires_at } => {
                let user = match user {
                    // Of a user who is gone by now the site would refuse the row for ever.
                    Some(user) => self.users.by_id(user.as_str()).await?.map(|user| user.id),
                    None => None,
                };
                let text =
                    text.as_ref().and_then(|text| str::from_utf8(text.expose()).ok()).unwrap_or_default();
                let token = MirroredToken { jti, text, user: user.as_ref(), expires_at: *expires_at };
                mirror.write(token, untold.at).await
            }
            What::Session { sid } => {
                for (jti, expires_at) in
                    self.sessions.live_refresh_tokens(Which::Session(sid), untold.at).await?
                {
                    let token = MirroredToken { jti: &jti, text: "", user: None, expires_at };
                    mirror.write(token, untold.at).await?;
                }
                Ok(())
            }
        }
    }

    /// Tells the site of all that still waits, in this time, and the log of what is left. For the end of the process, when
    /// nothing more will end.
    pub async fn finish_mirroring(&self, within: Duration) {
        let Some(mirror) = self.mirror() else { return };
        let all = async {
            while !mirror.is_done() {
                self.tell_site(mirror).await;
                if !mirror.is_done() {
                    sleep(FIRST_PAUSE).await;
                }
            }
        };
        if timeout(within, all).await.is_err() {
            mirror.give_all_up("the gateway stops");
        }
    }
}
