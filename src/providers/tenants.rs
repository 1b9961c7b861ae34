//! The keys of a provider's tenants: those of each are fetched when the first token of it comes.
//!
//! Whoever sends a token chooses which tenant it names, so a name alone gets little. It is fetched for within a budget,
//! and by a few at once. The keys that come are held for some seconds only, until a token shows that it was signed with
//! one of them: then the tenant is known, and its keys are kept up to date as those of any other source, until nobody
//! uses them any more or others were used later. So a flood of made-up names neither drives out the tenants that are
//! known nor costs the provider much. Names for which nothing came are remembered for a while, in bounded memory.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::KeySourceId;
use super::budget::Budget;
use super::fetcher::Fetcher;
use super::fetching::Fetching;
use super::kept_keys::KeptKeys;
use super::remote::{LONGEST_WAIT, OfTenants, Remote, client_of_tenants};
use super::source::KeySource;
use crate::base::UnixTime;
use crate::config;
use crate::http::client::ClientTlsError;

/// So long the keys of a tenant wait for a token that was signed with one of them.
const ON_TRIAL: Duration = Duration::from_secs(10);
/// So many tenants are fetched for or on trial at once: more than the budget allows in that time.
const MOST_NEW: usize = 256;
/// So many first fetches run at once.
const MOST_FETCHES: usize = 16;
/// So many names are remembered for which nothing came.
const MOST_MISSING: u64 = 4096;
/// A failed first fetch is not repeated for so long, so that a provider that is back is found soon.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The tenants of one provider, or of several that agree on where keys are.
///
/// Workers read `known` at each token that is not cached, and `new` where a tenant is not known. Tasks on the control
/// plane write both; a worker moves a tenant from `new` to `known`.
pub(super) struct Tenants {
    id: KeySourceId,
    issuers: config::Tenants,
    keys: config::TenantKeys,
    shared: OfTenants,
    /// For first fetches. What tokens of known tenants ask for has its own: made-up tenants take nothing from it.
    budget: Budget,
    known: moka::sync::Cache<Arc<str>, Arc<KeySource>>,
    /// Held for a few instructions, where a tenant is not known; never across an `await`.
    new: Mutex<New>,
    missing: moka::sync::Cache<Arc<str>, Missing>,
    fetching: OnceLock<Fetching>,
}

#[derive(Default)]
struct New {
    tenants: HashMap<Arc<str>, Arc<Newcomer>>,
    /// How many of them wait for their first fetch.
    fetching: usize,
}

/// A tenant that is not known yet.
struct Newcomer {
    progress: watch::Sender<Progress>,
    vouched: Notify,
}

#[derive(Clone)]
enum Progress {
    Fetching,
    There(Arc<KeySource>),
    Failed,
}

/// Why a tenant has no keys, and until when that counts.
#[derive(Clone, Copy)]
struct Missing {
    no_such_tenant: bool,
    until: Instant,
}

/// The keys that may have made a token.
#[derive(Debug)]
pub enum KeysOf {
    /// These. They need not have come yet, or count still: see [`KeySource::counts_at`].
    Source(Arc<KeySource>),
    /// Those of a tenant that is not known yet.
    ToCome,
    /// The provider says that it has no such tenant.
    NoTenant,
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Tenants {
    /// None is known yet.
    pub(super) fn new(
        id: KeySourceId,
        provider: &config::Provider,
        issuers: &config::Tenants,
        keys: &config::TenantKeys,
    ) -> Result<Self, ClientTlsError> {
        let shared = OfTenants {
            name: provider.name.clone(),
            leeway: provider.leeway,
            client: Arc::new(client_of_tenants(keys)?),
            refetches: Arc::new(Budget::new(Instant::now())),
            hasher: RandomState::new(),
        };
        // Whatever the reason: nobody keeps these keys up to date any more.
        let end = |_: Arc<Arc<str>>, source: Arc<KeySource>, _: RemovalCause| source.close();
        let known = moka::sync::Cache::builder()
            .max_capacity(u64::from(issuers.max))
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(end)
            .build();
        let missing = moka::sync::Cache::builder()
            .max_capacity(MOST_MISSING)
            .time_to_live(keys.refresh.cooldown)
            .build();
        Ok(Self {
            id,
            issuers: issuers.clone(),
            keys: keys.clone(),
            shared,
            budget: Budget::new(Instant::now()),
            known,
            new: Mutex::default(),
            missing,
            fetching: OnceLock::new(),
        })
    }

    /// Lets keys be fetched from now on.
    pub(super) fn start_fetching(&self, fetching: &Fetching) {
        if self.fetching.set(fetching.clone()).is_err() {
            return;
        }
        if let Some(folder) = fetching.state_directory.clone() {
            let (name, most) = (self.shared.name.clone(), self.issuers.max as usize);
            fetching.control.spawn_blocking(move || KeptKeys::thin_out(&folder, &name, most));
        }
    }

    fn new_tenants(&self) -> MutexGuard<'_, New> {
        // Every change is one step: a panic can't leave a half of it.
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of a tenant, as far as they are here.
    pub(super) fn keys_of(&self, tenant: &str, now: UnixTime) -> KeysOf {
        if let Some(source) = self.known.get(tenant) {
            source.note_use(now);
            return KeysOf::Source(source);
        }
        if let Some(newcomer) = self.new_tenants().tenants.get(tenant)
            && let Progress::There(source) = &*newcomer.progress.borrow()
        {
            return KeysOf::Source(Arc::clone(source));
        }
        // It may have come to be known between the two looks: it is among the known before it leaves the new ones.
        if let Some(source) = self.known.get(tenant) {
            return KeysOf::Source(source);
        }
        match self.missing.get(tenant) {
            Some(missing) if missing.no_such_tenant => KeysOf::NoTenant,
            _ => KeysOf::ToCome,
        }
    }

    /// Whether these are keys of the tenant. A use that counts.
    pub(super) fn has(&self, source: &KeySource, tenant: &str, now: UnixTime) -> bool {
        if source.id() != self.id || source.tenant() != Some(tenant) {
            return false;
        }
        if source.note_use(now) {
            // Looked up for its own sake: so the cache learns who is in use.
            let _ = self.known.get(tenant);
        }
        true
    }

    /// Whether a tenant is known.
    pub(super) fn knows(&self, tenant: &str) -> bool {
        self.known.contains_key(tenant)
    }

    /// A token was signed with one of these keys: the tenant is a real one, whose tokens come here.
    pub(super) fn vouch_for(&self, source: &Arc<KeySource>, now: UnixTime) {
        let Some(tenant) = source.tenant() else { return };
        if self.known.contains_key(tenant) {
            return;
        }
        let new = self.new_tenants();
        // Another may have been faster. Put in twice, the keys would end as those that were replaced.
        if self.known.contains_key(tenant) {
            return;
        }
        let Some((tenant, newcomer)) = new.tenants.get_key_value(tenant) else { return };
        if matches!(&*newcomer.progress.borrow(), Progress::There(own) if Arc::ptr_eq(own, source)) {
            source.note_use(now);
            self.known.insert(Arc::clone(tenant), Arc::clone(source));
            newcomer.vouched.notify_one();
        }
    }

    /// Waits for the first keys of a tenant, if they may be fetched now. Tells whether it is worth a second look.
    pub(super) async fn first_keys(self: &Arc<Self>, tenant: &str) -> bool {
        let mut progress = match self.ask(tenant) {
            Asked::Known => return true,
            Asked::NotNow => return false,
            Asked::Waiting(progress) => progress,
        };
        let ended = progress.wait_for(|progress| !matches!(progress, Progress::Fetching));
        matches!(timeout(LONGEST_WAIT, ended).await, Ok(Ok(_)))
    }

    /// Starts a first fetch or joins the one that runs.
    fn ask(self: &Arc<Self>, tenant: &str) -> Asked {
        let Some(fetching) = self.fetching.get() else { return Asked::NotNow };
        let now = Instant::now();
        let mut new = self.new_tenants();
        if let Some(newcomer) = new.tenants.get(tenant) {
            return Asked::Waiting(newcomer.progress.subscribe());
        }
        // It may have come to be known just now.
        if self.known.contains_key(tenant) {
            return Asked::Known;
        }
        let is_missing = self.missing.get(tenant).is_some_and(|missing| now < missing.until);
        let is_full = new.tenants.len() >= MOST_NEW || new.fetching >= MOST_FETCHES;
        if is_missing || is_full || !self.budget.take(now) {
            return Asked::NotNow;
        }
        let tenant: Arc<str> = tenant.into();
        let (sender, receiver) = watch::channel(Progress::Fetching);
        let newcomer = Arc::new(Newcomer { progress: sender, vouched: Notify::new() });
        new.tenants.insert(Arc::clone(&tenant), Arc::clone(&newcomer));
        new.fetching += 1;
        drop(new);
        let place = Place { tenants: Arc::clone(self), tenant, is_fetching: true };
        fetching.control.spawn(introduce(place, newcomer, fetching.clone()));
        Asked::Waiting(receiver)
    }

    fn source(&self, tenant: &Arc<str>) -> Option<KeySource> {
        let (issuer, keys) = (self.issuers.issuer_of(tenant)?, self.keys.of(tenant)?);
        Some(KeySource::remote(self.id, Remote::of_tenant(&self.shared, Arc::clone(tenant), issuer, keys)))
    }
}

enum Asked {
    Known,
    NotNow,
    Waiting(watch::Receiver<Progress>),
}

/// A tenant's place among the new ones, which it leaves however its task ends.
struct Place {
    tenants: Arc<Tenants>,
    tenant: Arc<str>,
    is_fetching: bool,
}

impl Place {
    fn fetched(&mut self) {
        if std::mem::take(&mut self.is_fetching) {
            self.tenants.new_tenants().fetching -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.fetched();
        self.tenants.new_tenants().tenants.remove(&self.tenant);
    }
}

/// A new tenant's way: its first keys, the trial, and then the fetches for as long as it is known.
async fn introduce(mut place: Place, newcomer: Arc<Newcomer>, fetching: Fetching) {
    let (tenants, tenant) = (Arc::clone(&place.tenants), Arc::clone(&place.tenant));
    let first = match tenants.source(&tenant) {
        Some(source) => first_fetch(Arc::new(source), &fetching).await,
        None => Err(Missing { no_such_tenant: true, until: Instant::now() + tenants.keys.refresh.cooldown }),
    };
    place.fetched();
    let mut fetcher = match first {
        Ok(fetcher) => fetcher,
        Err(missing) => {
            tenants.budget.was_in_vain();
            tenants.missing.insert(tenant, missing);
            newcomer.progress.send_replace(Progress::Failed);
            return;
        }
    };
    newcomer.progress.send_replace(Progress::There(Arc::clone(fetcher.source())));
    let vouched = timeout(ON_TRIAL, newcomer.vouched.notified()).await.is_ok();
    // From here on nobody can vouch for it any more.
    drop(place);
    drop(newcomer);
    if !vouched && !tenants.knows(&tenant) {
        fetcher.source().close();
        return;
    }
    fetcher.stay().await;
    // A task of its own, which is smaller than this one: there are as many as tenants.
    fetching.control.spawn(keep_up_to_date(fetcher, tenants, tenant));
}

/// The fetches for a tenant that is known, for as long as it is.
async fn keep_up_to_date(mut fetcher: Box<Fetcher>, tenants: Arc<Tenants>, tenant: Arc<str>) {
    fetcher.run().await;
    tenants.known.invalidate(&tenant);
    fetcher.source().close();
    let came_back =
        tenants.known.contains_key(&tenant) || tenants.new_tenants().tenants.contains_key(&tenant);
    if !came_back {
        fetcher.forget_kept_keys();
    }
}

/// Keys of an earlier run, or else from the provider.
async fn first_fetch(source: Arc<KeySource>, fetching: &Fetching) -> Result<Box<Fetcher>, Missing> {
    let failed = || Missing { no_such_tenant: false, until: Instant::now() + AFTER_FAILURE };
    let new = fetching.clone();
    let fetcher = fetching.control.spawn_blocking(move || {
        let mut fetcher = Fetcher::new(source, &new);
        fetcher.use_kept_keys();
        Box::new(fetcher)
    });
    let mut fetcher = fetcher.await.map_err(|_| failed())?;
    if fetcher.source().has_keys() {
        return Ok(fetcher);
    }
    fetcher.first().await;
    match fetcher.source().has_keys() {
        true => Ok(fetcher),
        false if fetcher.found_nobody() => {
            let cooldown = fetcher.refresh().cooldown;
            Err(Missing { no_such_tenant: true, until: Instant::now() + cooldown })
        }
        false => Err(failed()),
    }
}
