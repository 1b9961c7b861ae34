//! The task that fetches the keys of one source, for as long as the gateway runs.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Uri};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::clock_skew::{MeasuredBy, SkewGauge};
use super::demand::Brought;
use super::discovery::keys_url;
use super::fetch_failure::FetchFailure;
use super::fetching::Fetching;
use super::kept_keys::{KeptKeys, KeptSet};
use super::remote::Remote;
use super::schedule::{after_failures, after_success};
use super::source::{KeySource, good_until};
use crate::base::{ProviderName, ShortText, UnixTime};
use crate::config::{KeyLocation, Refresh};
use crate::http::client::Content;
use crate::jwt::{KeySet, Origin, SkippedKey};
use crate::telemetry::Metrics;

/// What media types a key set has; many servers have a third.
const ACCEPT: &str = "application/jwk-set+json, application/json";
/// So many skipped keys of one set are told of one by one.
const MOST_TOLD: usize = 16;

/// What a fetch brought.
struct Fetched {
    url: Uri,
    /// As read and as sent; `None`: what was there before is still right.
    keys: Option<(KeySet, Bytes)>,
    etag: Option<HeaderValue>,
    max_age: Option<Duration>,
    /// The server's clock when it answered, and ours.
    clocks: Option<(UnixTime, UnixTime)>,
}

/// Fetches for one source.
pub(super) struct Fetcher {
    source: Arc<KeySource>,
    metrics: Arc<Metrics>,
    clock: fn() -> UnixTime,
    control: Handle,
    kept: Option<KeptKeys>,
    /// The set that is in use, as it was sent.
    current: Option<KeptSet>,
    /// Of that set.
    etag: Option<HeaderValue>,
    /// One after another, up to the present.
    failures: u32,
    /// It was said that the keys are too old.
    told_stale: bool,
    /// It was said that they can't be kept.
    told_unkept: bool,
    skew: SkewGauge,
    /// The keys are of a tenant that nobody vouched for: they are not kept.
    on_trial: bool,
    /// The provider knows no such tenant.
    found_nobody: bool,
    /// How long to rest after a fetch before the first of [`Fetcher::run`].
    rest_first: Option<Duration>,
}

impl Fetcher {
    /// One that fetched nothing yet.
    pub(super) fn new(source: Arc<KeySource>, fetching: &Fetching) -> Self {
        let Fetching { control, metrics, state_directory, clock } = fetching.clone();
        let remote = source.remote.as_ref().expect("only sources on other servers have a fetcher");
        let longest = remote.keys.fetch.max_body.0;
        let (tenant, location) = (remote.tenant.as_deref(), &remote.keys.location);
        let kept = state_directory
            .map(|state| KeptKeys::new(&state, &remote.name, tenant, &remote.issuer, location, longest));
        let on_trial = tenant.is_some();
        let skew = SkewGauge::new(remote.name.clone(), remote.leeway, MeasuredBy::Date, Arc::clone(&metrics));
        let fetcher = Self {
            source,
            metrics,
            clock,
            control,
            kept,
            current: None,
            etag: None,
            failures: 0,
            told_stale: false,
            told_unkept: false,
            skew,
            on_trial,
            found_nobody: false,
            rest_first: None,
        };
        fetcher.gauge(None);
        fetcher
    }

    fn remote(&self) -> &Remote {
        self.source.remote.as_ref().expect("only sources on other servers have a fetcher")
    }

    /// Whose keys it fetches.
    pub(super) fn source(&self) -> &Arc<KeySource> {
        &self.source
    }

    /// When keys are fetched again.
    pub(super) fn refresh(&self) -> &Refresh {
        &self.remote().keys.refresh
    }

    /// Whether the last fetch failed since the provider knows no such tenant.
    pub(super) fn found_nobody(&self) -> bool {
        self.found_nobody
    }

    /// Fetches again and again, until the source is closed or, of a tenant, not used any more.
    pub(super) async fn run(&mut self) {
        loop {
            let rest = match self.rest_first.take() {
                Some(rest) => rest,
                None => self.once().await,
            };
            tokio::select! {
                // Either begins the same fetch; nothing is lost.
                () = sleep(rest) => {}
                () = self.remote().demand.wanted() => {}
            }
            if self.source.is_closed() || self.is_idle() {
                return;
            }
        }
    }

    /// A tenant that nobody uses is not fetched for beyond the time for which its keys would count anyway.
    fn is_idle(&self) -> bool {
        self.remote().tenant.is_some() && self.source.is_idle((self.clock)(), self.refresh().stale_if_error)
    }

    /// One fetch, to its end. Tells how long to rest.
    async fn once(&mut self) -> Duration {
        let asked_for = self.remote().demand.begin();
        if asked_for {
            self.metrics.key_refetches.with_label_values(&[self.remote().name.as_str()]).inc();
        }
        // Boxed, since it is large, and there are many who rest most of the time. A defect in here must not be the end
        // of refreshing.
        let fetched = Box::pin(AssertUnwindSafe(self.fetch()).catch_unwind()).await;
        let (brought, rest) = match fetched.unwrap_or(Err(FetchFailure::Defect)) {
            Ok(fetched) => Box::pin(self.succeeded(fetched)).await,
            Err(failure) => (Brought::Failure, self.failed(&failure)),
        };
        self.remote().demand.finish(brought, asked_for, Instant::now());
        rest
    }

    /// The first fetch for a tenant.
    pub(super) async fn first(&mut self) {
        self.rest_first = Some(self.once().await);
    }

    /// The tenant is a real one: its keys are kept from now on.
    pub(super) async fn stay(&mut self) {
        self.on_trial = false;
        if let Some(set) = self.current.take() {
            self.keep(&set).await;
        }
    }

    /// Removes what was kept for the next run.
    pub(super) fn forget_kept_keys(self) {
        if let Some(kept) = self.kept {
            self.control.spawn_blocking(move || kept.remove());
        }
    }

    async fn fetch(&self) -> Result<Fetched, FetchFailure> {
        let remote = self.remote();
        let url = match &remote.keys.location {
            KeyLocation::Url(url) => url.clone(),
            KeyLocation::Discovery(issuer) => keys_url(&remote.client, issuer).await?,
        };
        // An `ETag` of another place says nothing.
        let etag = self.etag.as_ref().filter(|_| self.current.as_ref().is_some_and(|set| set.url == url));
        let answer = remote.client.get(&url, ACCEPT, etag).await?;
        let keys = match answer.content {
            Content::Unchanged => None,
            Content::New(text) => Some((read(&text)?, text)),
        };
        let clocks = answer.date.map(|date| (date, (self.clock)()));
        Ok(Fetched { url, keys, etag: answer.etag, max_age: answer.max_age, clocks })
    }

    /// Those of an earlier run, where there are some that still count.
    pub(super) fn use_kept_keys(&mut self) {
        let (source, now) = (Arc::clone(&self.source), (self.clock)());
        let (name, tenant) = (self.remote().name.clone(), source.tenant());
        let Some(file) = &self.kept else { return };
        let kept = match file.read(now) {
            Ok(None) => return,
            Ok(Some(kept)) => kept,
            Err(error) => {
                let file = file.path().display();
                tracing::warn!(provider = %name, tenant, %file, "the keys of an earlier run are not used: {error}");
                return;
            }
        };
        let until = good_until(kept.fetched, self.remote().keys.refresh.stale_if_error);
        let age = now.since(kept.fetched);
        match read(&kept.text) {
            Ok(_) if now > until => {
                tracing::warn!(provider = %name, tenant, ?age, "the keys of an earlier run are too old");
            }
            Ok(keys) => {
                tell_skipped(&name, &keys, self.source.keys().skipped());
                self.source.replace(keys, until);
                self.gauge(Some(kept.fetched));
                self.current = Some(kept);
                if tenant.is_none() {
                    tracing::info!(provider = %name, ?age, "the keys of an earlier run are in use");
                }
            }
            Err(error) => {
                tracing::warn!(provider = %name, tenant, "the keys of an earlier run are not used: {error}");
            }
        }
    }

    /// Keeps a set for the next run. It must be done before the set is in use: a crash in between must not bring back
    /// what the provider has withdrawn.
    async fn keep(&mut self, set: &KeptSet) {
        let Some(file) = self.kept.clone() else { return };
        let (kept, set) = (file.clone(), set.clone());
        let written = self.control.spawn_blocking(move || kept.replace(&set)).await;
        match written.unwrap_or_else(|defect| Err(std::io::Error::other(defect))) {
            Ok(()) => self.told_unkept = false,
            Err(error) if !self.told_unkept => {
                let (file, tenant) = (file.path().display(), self.source.tenant());
                tracing::warn!(provider = %self.remote().name, tenant, %file, "can't keep keys for a restart: {error}");
                self.told_unkept = true;
            }
            Err(_) => {}
        }
    }

    /// Puts the keys into use. Tells what they brought, and how long to rest.
    async fn succeeded(&mut self, fetched: Fetched) -> (Brought, Duration) {
        let refresh = self.remote().keys.refresh;
        let name = self.remote().name.clone();
        let now = (self.clock)();
        let until = good_until(now, refresh.stale_if_error);
        let outcome = if fetched.keys.is_some() { "ok" } else { "unchanged" };
        if let Some((theirs, ours)) = fetched.clocks {
            // A clock is the provider's, whichever tenant it is looked at for: who warns of it looks at tokens.
            let is_told = self.source.tenant().is_none();
            self.skew.set(theirs.0.saturating_sub(ours.0), is_told);
        }
        let (keys, text) = fetched.keys.unzip();
        let text = text.or_else(|| self.current.as_ref().map(|set| set.text.clone()));
        if let Some(text) = text {
            let set = KeptSet { url: fetched.url, fetched: now, text };
            if !self.on_trial {
                self.keep(&set).await;
            }
            // Those of many tenants would fill the memory; so they are fetched whole each time.
            let is_held = self.on_trial || self.remote().tenant.is_none();
            self.current = is_held.then_some(set);
        }
        let brought_new_key = match keys {
            None => {
                self.source.confirm(until);
                false
            }
            Some(keys) => {
                tell_skipped(&name, &keys, self.source.keys().skipped());
                self.etag = fetched.etag;
                self.source.replace(keys, until)
            }
        };
        self.count(outcome);
        self.gauge(Some(now));
        // Whoever names a tenant has its keys fetched: that is no news.
        if brought_new_key && !self.on_trial {
            let tenant = self.source.tenant();
            tracing::info!(provider = %name, tenant, keys = self.source.keys().keys().len(), "new keys are in use");
        }
        if self.failures > 0 {
            let tenant = self.source.tenant();
            tracing::info!(provider = %name, tenant, failures = self.failures, "keys can be fetched again");
        }
        (self.failures, self.told_stale) = (0, false);
        let brought = if brought_new_key { Brought::NewKey } else { Brought::NothingNew };
        (brought, after_success(&refresh, fetched.max_age, chance()))
    }

    /// Leaves the keys as they are. Tells how long to rest.
    fn failed(&mut self, failure: &FetchFailure) -> Duration {
        let remote = self.remote();
        let (name, refresh) = (remote.name.clone(), remote.keys.refresh);
        self.count(failure.outcome());
        self.failures = self.failures.saturating_add(1);
        let tenant = self.source.tenant();
        self.found_nobody = tenant.is_some() && failure.names_nobody();
        let is_strangers = self.on_trial && self.found_nobody;
        if self.failures == 1 && !is_strangers {
            let serves = self.source.counts_at((self.clock)());
            tracing::warn!(provider = %name, tenant, old_keys_serve = serves, "can't fetch keys: {failure}");
        } else {
            tracing::debug!(provider = %name, tenant, failures = self.failures, "can't fetch keys: {failure}");
        }
        if !self.told_stale && self.source.has_keys() && !self.source.counts_at((self.clock)()) {
            tracing::error!(provider = %name, tenant, "the last keys are too old: tokens of this provider are answered 503");
            self.told_stale = true;
        }
        after_failures(&refresh, self.failures, chance())
    }

    fn count(&self, outcome: &str) {
        self.metrics.key_fetches.with_label_values(&[self.remote().name.as_str(), outcome]).inc();
    }

    fn gauge(&self, fetched: Option<UnixTime>) {
        // The gauges tell of one set.
        if self.source.tenant().is_some() {
            return;
        }
        let label = [self.remote().name.as_str()];
        let keys = self.source.keys();
        let number = |keys: usize| i64::try_from(keys).unwrap_or(i64::MAX);
        self.metrics.keys_usable.with_label_values(&label).set(number(keys.keys().len()));
        self.metrics.keys_skipped.with_label_values(&label).set(number(keys.skipped().len()));
        self.metrics.keys_fetched.with_label_values(&label).set(fetched.map_or(0, |time| time.0));
    }
}

/// Tells which keys of a set are not used, once for each set that differs from the one before.
pub(super) fn tell_skipped(name: &ProviderName, set: &KeySet, before: &[SkippedKey]) {
    if set.skipped() == before {
        return;
    }
    for skipped in set.skipped().iter().take(MOST_TOLD) {
        let kid = skipped.kid.as_ref().map(ShortText::as_str);
        tracing::warn!(provider = %name, kid, "skipped a key: {}", skipped.why);
    }
    if set.skipped().len() > MOST_TOLD {
        tracing::warn!(provider = %name, skipped = set.skipped().len(), "skipped more keys");
    }
}

/// A key set with at least one key that can be used.
fn read(text: &[u8]) -> Result<KeySet, FetchFailure> {
    let set = KeySet::from_jwks(text, Origin::Fetched)?;
    if set.keys().is_empty() {
        return Err(FetchFailure::NoUsableKey { skipped: set.skipped().len() });
    }
    Ok(set)
}

/// A number from 0 to 1, so that gateways started together do not stay in step.
fn chance() -> f64 {
    let mut byte = [0];
    // Without randomness they stay in step, and nothing worse.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
