//! Who may issue tokens: each provider's policy and its keys as they are now.
//!
//! Keys in files and secrets are read when `gateway.yaml` is taken, and files again when they change. Keys that are fetched
//! come later, by a task for each source on the control plane ([`start_fetching`]): a source that can't be reached keeps nothing else from working, and
//! the task outlives every failure. A request waits only where its token names a key that is not known, and not for long
//! ([`Provider::newer_keys`]).
//!
//! A provider that introspects has no keys: it is asked about each token ([`Introspection`]).
//!
//! Providers that name the same source share one, so that a token verified for one need not be verified again for the
//! other: its policy alone is looked at.

mod budget;
mod clock_skew;
mod demand;
mod discovery;
mod fetch_failure;
mod fetcher;
mod fetching;
mod file_watch;
mod introspection;
mod kept_keys;
mod key_file;
mod load;
mod remote;
mod schedule;
mod source;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::base::{Algorithm, AlgorithmSet, ProviderName, UnixTime};
use crate::config::IssuerRule;
use crate::jwt::{Claims, Key, KeySetId, Policy, PolicyError, Token, VerifyError};

pub use fetching::{Fetching, first_fetches, start_fetching};
pub use introspection::{Asking, Introspection, NoAnswer, Standing};
pub use load::{KeyProblem, ProviderError, load};
pub use source::{KeySource, KeySourceId};
pub use tenants::KeysOf;

use clock_skew::TokenAges;
use tenants::Tenants;

/// One party whose tokens are taken.
#[derive(Debug)]
pub struct Provider {
    name: ProviderName,
    index: usize,
    issuer: IssuerRule,
    issuer_header: Option<HeaderValue>,
    algorithms: AlgorithmSet,
    policy: Policy,
    leeway: Duration,
    token_ages: TokenAges,
    /// Empty for good where it introspects, and where each tenant has keys of its own.
    keys: Arc<KeySource>,
    tenants: Option<Arc<Tenants>>,
    introspection: Option<Arc<Introspection>>,
}

impl Provider {
    /// Its key in the file.
    #[must_use]
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// Its place among the providers of the file.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The issuer of a token that is one of the provider's, as a header tells it: by the first of its spellings in the
    /// file. `None` for `issuer: any`.
    #[must_use]
    pub fn issuer_header(&self, issuer: Option<&str>) -> Option<HeaderValue> {
        let IssuerRule::Tenants(tenants) = &self.issuer else { return self.issuer_header.clone() };
        let issuer = tenants.issuer_of(tenants.tenant_of(issuer?)?)?;
        HeaderValue::try_from(issuer).ok()
    }

    /// The tenant that the issuer of a token names, where the provider has tenants.
    #[must_use]
    pub fn tenant_of<'i>(&self, issuer: Option<&'i str>) -> Option<&'i str> {
        self.issuer.tenant_of(issuer?)
    }

    /// The source of its keys, where all its tokens have one.
    #[must_use]
    pub fn key_source(&self) -> Arc<KeySource> {
        Arc::clone(&self.keys)
    }

    /// Whether its file entry names this very issuer.
    #[must_use]
    pub fn names_issuer(&self, issuer: Option<&str>) -> bool {
        issuer.is_some_and(|issuer| self.issuer.names(issuer))
    }

    /// Whether it takes any issuer.
    #[must_use]
    pub fn takes_any_issuer(&self) -> bool {
        self.issuer == IssuerRule::Any
    }

    /// The keys by which it judges a token of this issuer.
    #[must_use]
    pub fn keys_of(&self, issuer: Option<&str>, now: UnixTime) -> KeysOf {
        match (&self.tenants, self.tenant_of(issuer)) {
            (None, _) => KeysOf::Source(Arc::clone(&self.keys)),
            (Some(tenants), Some(tenant)) => tenants.keys_of(tenant, now),
            (Some(_), None) => KeysOf::NoTenant,
        }
    }

    /// Whether these are the keys by which it judges a token of this issuer.
    #[must_use]
    pub fn judges_by(&self, source: &KeySource, issuer: Option<&str>, now: UnixTime) -> bool {
        match &self.tenants {
            None => source.id() == self.keys.id(),
            Some(tenants) => self.tenant_of(issuer).is_some_and(|tenant| tenants.has(source, tenant, now)),
        }
    }

    /// For a token of a tenant whose keys are to come: waits until they came, if they may be fetched now, and tells
    /// whether more is known of them since.
    pub async fn first_keys(&self, issuer: Option<&str>) -> bool {
        match (&self.tenants, self.tenant_of(issuer)) {
            (Some(tenants), Some(tenant)) => tenants.first_keys(tenant).await,
            _ => false,
        }
    }

    /// For a token that the key set `seen` of a source does not vouch for: waits until keys were fetched again, if that
    /// may be now, and tells whether the set is another one since. Keys that are not fetched are never others.
    pub async fn newer_keys(
        &self,
        token: &Token<'_>,
        why: &VerifyError,
        source: &KeySource,
        seen: KeySetId,
    ) -> bool {
        let Some(remote) = &source.remote else { return false };
        if source.is_closed() {
            // The tenant was forgotten while the token was looked at.
            return self.first_keys(token.claims().issuer()).await;
        }
        // What a new tenant's keys are was asked only just now.
        let is_new = match (&self.tenants, source.tenant()) {
            (Some(tenants), Some(tenant)) => !tenants.knows(tenant),
            _ => false,
        };
        // They may have come while the token was looked at.
        if source.keys().id() == seen && !is_new {
            remote.ask_for_key(token, why).await;
        }
        source.keys().id() != seen
    }

    /// Its introspection endpoint, where it has that in place of keys.
    #[must_use]
    pub fn introspection(&self) -> Option<&Arc<Introspection>> {
        self.introspection.as_ref()
    }

    /// Checks the claims of a token that the provider called active.
    ///
    /// # Errors
    /// [`PolicyError`] names the first rule that does not hold.
    pub fn check_introspected(&self, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        self.policy.check_introspected(claims, now)
    }

    /// Whether its tokens may be signed with this.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(algorithm)
    }

    /// Checks a token's signature with the keys of a source, which [`Provider::keys_of`] gave for it.
    ///
    /// # Errors
    /// [`VerifyError`] where no key of the source made it.
    pub fn verify(
        &self,
        token: &Token<'_>,
        source: &Arc<KeySource>,
        now: UnixTime,
    ) -> Result<Arc<Key>, VerifyError> {
        let key = crate::jwt::verify(token, &source.keys(), self.algorithms)?;
        if let Some(tenants) = &self.tenants {
            tenants.vouch_for(source, now);
        }
        Ok(key)
    }

    /// Notes when a token was issued of which the signature was just found good: it tells of the provider's clock.
    pub fn note_age(&self, claims: &Claims, now: UnixTime) {
        if let Some(issued_at) = claims.issued_at() {
            self.token_ages.note(issued_at, now);
        }
    }

    /// Checks the claims of a token whose signature is good.
    ///
    /// # Errors
    /// [`PolicyError`] names the first rule that does not hold.
    pub fn check(&self, typ: Option<&str>, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        self.policy.check(typ, claims, now)
    }
}

/// Which of a route's providers a token may be from: those that name its issuer, or else those that take any.
pub fn candidates<'p, 'i>(
    providers: &'p [Arc<Provider>],
    issuer: Option<&'i str>,
) -> impl Iterator<Item = &'p Arc<Provider>> + use<'p, 'i> {
    /// Each costs a signature check at most; a token must not buy more.
    const MOST_CANDIDATES: usize = 4;
    let named = providers.iter().any(|provider| provider.names_issuer(issuer));
    let fits = move |provider: &&Arc<Provider>| {
        if named { provider.names_issuer(issuer) } else { provider.takes_any_issuer() }
    };
    providers.iter().filter(fits).take(MOST_CANDIDATES)
}
