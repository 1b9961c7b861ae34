//! Tokens that only their issuer knows: it is asked about each (RFC 7662), and its answers are kept for a while.
//!
//! Answers are found by the token's digest, so that no memory of them holds a token. Requests that bring the same token
//! while the provider is asked about it wait for the one answer. How many questions are open, and how many are asked in
//! a second, is bounded: a flood of made-up tokens costs the provider no more than that, and beyond it a token is
//! answered "not now", never "bad". While the provider does not answer, what it said last may count for longer, if the file
//! says so.

mod calls;
mod wire;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderValue, Uri};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::calls::Calls;
use self::wire::{CallFailure, basic, form, read};
use crate::base::{ProviderName, UnixTime};
use crate::config;
use crate::egress::client_options;
use crate::http::client::{Client, ClientTlsError, Origin};
use crate::jwt::Claims;
use crate::telemetry::Metrics;

const ACCEPT: &str = "application/json";
/// About so many bytes of answers about active tokens are kept for each provider.
const MEMORY: u64 = 16 << 20;
/// So many tokens that are not active are remembered for each provider.
const MOST_INACTIVE: u64 = 16_384;

/// SHA-256 of a token.
type Digest = [u8; 32];

/// A provider's introspection endpoint, with what it said.
pub struct Introspection {
    name: ProviderName,
    endpoint: Uri,
    client: Client,
    authorization: HeaderValue,
    /// So long the answer about an active token counts.
    cache: Duration,
    /// So long it counts while there is no other; zero where that is not wanted.
    stale: Duration,
    /// So long a request waits for an answer at most.
    deadline: Duration,
    active: moka::sync::Cache<Digest, Arc<Active>>,
    inactive: moka::sync::Cache<Digest, ()>,
    /// Held for a few instructions, by those that find no answer; never across an `await`.
    calls: Mutex<Calls>,
    /// The last call failed, and that was said.
    failing: AtomicBool,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the provider says of a token.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It is good, and this is what it says.
    Active(Arc<Claims>),
    /// It is none of the provider's, or not any more.
    Inactive,
}

/// Why nobody can tell what a token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The provider does not answer, or not what it should.
    Unavailable,
    /// The provider is being asked as much as the file allows.
    Busy,
}

/// What a call needs of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'g> {
    /// The control plane, on which the provider is called.
    pub control: &'g Handle,
    /// Where calls are counted.
    pub metrics: &'g Arc<Metrics>,
    /// The present second.
    pub now: UnixTime,
}

#[derive(Debug)]
struct Active {
    claims: Arc<Claims>,
    answered: Instant,
    weight: u32,
}

type Outcome = Result<Standing, NoAnswer>;

impl Introspection {
    /// Nobody is asked yet.
    pub(super) fn new(name: &ProviderName, file: &config::Introspection) -> Result<Self, ClientTlsError> {
        let mut options = client_options(&file.fetch);
        options.known.extend(Origin::of(&file.endpoint));
        let stale = match file.on_error {
            config::OnIntrospectionError::Refuse => Duration::ZERO,
            config::OnIntrospectionError::Stale(bound) => bound,
        };
        Ok(Self {
            name: name.clone(),
            endpoint: file.endpoint.clone(),
            client: Client::new(options)?,
            authorization: basic(&file.client_id, file.client_secret.expose()),
            cache: file.cache,
            stale,
            deadline: file.fetch.timeout,
            active: moka::sync::Cache::builder()
                .max_capacity(MEMORY)
                .weigher(|_, active: &Arc<Active>| active.weight)
                .time_to_live(file.cache.max(stale))
                .build(),
            inactive: moka::sync::Cache::builder()
                .max_capacity(MOST_INACTIVE)
                .time_to_live(file.negative_cache)
                .build(),
            calls: Mutex::new(Calls::new(file.max_concurrent, file.max_per_second, Instant::now())),
            failing: AtomicBool::new(false),
        })
    }

    /// What the provider says of a token, or said not long ago.
    ///
    /// # Errors
    /// [`NoAnswer`]: the token may be good or bad.
    pub async fn ask(self: &Arc<Self>, token: &[u8], asking: Asking<'_>) -> Result<Standing, NoAnswer> {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token).as_ref());
        if let Some(standing) = self.known(&name, asking) {
            return Ok(standing);
        }
        let called = self.join_or_call(name, token, asking);
        // While the provider fails nobody waits for what will hardly come. The call goes on: its end tells of a recovery.
        if self.failing.load(Ordering::Relaxed)
            && let Some(standing) = self.last_known(&name, asking)
        {
            return Ok(standing);
        }
        let outcome = self.outcome(called?).await;
        if outcome.is_err()
            && let Some(standing) = self.last_known(&name, asking)
        {
            return Ok(standing);
        }
        outcome
    }

    async fn outcome(&self, mut answer: watch::Receiver<Option<Outcome>>) -> Outcome {
        match timeout(self.deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(NoAnswer::Unavailable)),
            // Late, or ended by a defect.
            _ => Err(NoAnswer::Unavailable),
        }
    }

    /// What was said before and still counts.
    fn known(&self, token: &Digest, asking: Asking<'_>) -> Option<Standing> {
        if let Some(claims) = self.active_for(token, self.cache, asking.now) {
            self.count(asking, "hit");
            return Some(Standing::Active(claims));
        }
        self.inactive.get(token)?;
        self.count(asking, "negative_hit");
        Some(Standing::Inactive)
    }

    /// What was said last, for when nobody says anything else.
    fn last_known(&self, token: &Digest, asking: Asking<'_>) -> Option<Standing> {
        let claims = self.active_for(token, self.stale, asking.now)?;
        self.count(asking, "stale");
        Some(Standing::Active(claims))
    }

    /// The claims of an active token, if that was said not longer ago than `bound`.
    fn active_for(&self, token: &Digest, bound: Duration, now: UnixTime) -> Option<Arc<Claims>> {
        let active = self.active.get(token)?;
        let counts =
            active.answered.elapsed() < bound && active.claims.expires_at().is_none_or(|exp| now < exp);
        counts.then(|| Arc::clone(&active.claims))
    }

    fn join_or_call(
        self: &Arc<Self>,
        name: Digest,
        token: &[u8],
        asking: Asking<'_>,
    ) -> Result<watch::Receiver<Option<Outcome>>, NoAnswer> {
        let mut calls = self.calls();
        if let Some(open) = calls.open.get(&name) {
            self.count(asking, "joined");
            return Ok(open.clone());
        }
        // The call may have ended between the first look and the lock.
        if let Some(standing) = self.known(&name, asking) {
            return Ok(watch::channel(Some(Ok(standing))).1);
        }
        if !calls.admit(Instant::now()) {
            self.count(asking, "busy");
            return Err(NoAnswer::Busy);
        }
        self.count(asking, "called");
        let (sender, receiver) = watch::channel(None);
        calls.open.insert(name, receiver.clone());
        let open = OpenCall { introspection: Arc::clone(self), name };
        // On the control plane, so that it outlives the request that asks first.
        asking.control.spawn(open.run(form(token), sender, Arc::clone(asking.metrics)));
        Ok(receiver)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Every change is one step: a panic can't leave a half of it.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, asking: Asking<'_>, result: &str) {
        asking.metrics.introspection_lookups.with_label_values(&[self.name.as_str(), result]).inc();
    }

    async fn call(&self, form: Bytes) -> Result<(Standing, usize), CallFailure> {
        let answer = self.client.post_form(&self.endpoint, ACCEPT, &self.authorization, form).await?;
        Ok((read(&answer)?, answer.len()))
    }

    /// Keeps an answer. Tells the outcome to those who wait, and one word of it to the metric.
    fn conclude(
        &self,
        name: Digest,
        answer: Result<(Standing, usize), CallFailure>,
    ) -> (Outcome, &'static str) {
        let provider = &self.name;
        match answer {
            Ok((standing, length)) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(%provider, "tokens can be introspected again");
                }
                let outcome = match &standing {
                    Standing::Active(claims) => {
                        // Claims as read take a few times their text.
                        let weight = u32::try_from(length * 4 + 512).unwrap_or(u32::MAX);
                        let (claims, answered) = (Arc::clone(claims), Instant::now());
                        self.active.insert(name, Arc::new(Active { claims, answered, weight }));
                        "active"
                    }
                    Standing::Inactive => {
                        self.active.invalidate(&name);
                        self.inactive.insert(name, ());
                        "inactive"
                    }
                };
                (Ok(standing), outcome)
            }
            Err(failure) => {
                if self.failing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%provider, "can't introspect tokens: {failure}");
                } else {
                    let stale = (!self.stale.is_zero()).then_some(self.stale);
                    tracing::warn!(%provider, last_answers_count_for = ?stale, "can't introspect tokens: {failure}");
                }
                (Err(NoAnswer::Unavailable), failure.outcome())
            }
        }
    }
}

/// A question that is on its way. It is open until this is dropped, even by a panic.
struct OpenCall {
    introspection: Arc<Introspection>,
    name: Digest,
}

impl OpenCall {
    async fn run(self, form: Bytes, waiting: watch::Sender<Option<Outcome>>, metrics: Arc<Metrics>) {
        let introspection = &self.introspection;
        let answer = introspection.call(form).await;
        let (outcome, word) = introspection.conclude(self.name, answer);
        metrics.introspection_calls.with_label_values(&[introspection.name.as_str(), word]).inc();
        // Whoever comes from now on finds the answer where it is kept, or asks anew.
        drop(self);
        let _ = waiting.send(Some(outcome));
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.introspection.calls().open.remove(&self.name);
    }
}
