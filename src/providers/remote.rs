//! A source on another server: how it is asked, and by whom.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::budget::Budget;
use super::demand::Demand;
use super::schedule::shortest_rest;
use crate::base::ProviderName;
use crate::config;
use crate::egress::client_options;
use crate::http::client::{Client, ClientTlsError, Origin};
use crate::jwt::{Token, VerifyError};

/// So long a request waits for keys at most.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The server that the file names for a source's keys: a document found there may name another one.
fn named_server(location: &config::KeyLocation) -> Option<Origin> {
    match location {
        config::KeyLocation::Url(url) => Origin::of(url),
        config::KeyLocation::Discovery(issuer) => Origin::of(&issuer.parse().ok()?),
    }
}

/// A client for the servers of a provider's tenants.
pub(super) fn client_of_tenants(keys: &config::TenantKeys) -> Result<Client, ClientTlsError> {
    let mut options = client_options(&keys.fetch);
    let pattern = match &keys.location {
        config::TenantKeyLocation::Url(pattern) | config::TenantKeyLocation::Discovery(pattern) => pattern,
    };
    // A host of which the token names a part may be any stranger's: it is not one that the file names.
    if pattern.place() == config::TenantPlace::Path {
        options.known.extend(pattern.url_of("tenant").and_then(|url| Origin::of(&url.parse().ok()?)));
    }
    Client::new(options)
}

/// What is known of a source beside its keys.
#[derive(Debug)]
pub(super) struct Remote {
    /// The first provider of the file that has this source: what logs and metrics call it.
    pub(super) name: ProviderName,
    /// What that provider says of its issuer, to tell kept keys from those of others.
    pub(super) issuer: String,
    /// Whose keys they are, where each tenant has its own.
    pub(super) tenant: Option<Arc<str>>,
    /// How far it lets clocks differ.
    pub(super) leeway: Duration,
    pub(super) keys: config::RemoteKeys,
    pub(super) client: Arc<Client>,
    pub(super) demand: Demand,
    hasher: RandomState,
}

/// What the sources of all tenants of a provider have in common.
#[derive(Debug)]
pub(super) struct OfTenants {
    pub(super) name: ProviderName,
    pub(super) leeway: Duration,
    pub(super) client: Arc<Client>,
    /// For fetches that tokens with unknown keys ask for.
    pub(super) refetches: Arc<Budget>,
    pub(super) hasher: RandomState,
}

impl Remote {
    /// Nothing is fetched yet.
    pub(super) fn new(
        provider: &config::Provider,
        keys: &config::RemoteKeys,
    ) -> Result<Self, ClientTlsError> {
        let issuer = match &provider.issuer {
            config::IssuerRule::Exactly(issuer) => issuer.clone(),
            config::IssuerRule::OneOf(issuers) => issuers.join(" "),
            config::IssuerRule::Tenants(tenants) => {
                tenants.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            config::IssuerRule::Any => "any".to_owned(),
        };
        let mut options = client_options(&keys.fetch);
        options.known.extend(named_server(&keys.location));
        Ok(Self {
            name: provider.name.clone(),
            issuer,
            tenant: None,
            leeway: provider.leeway,
            keys: keys.clone(),
            client: Arc::new(Client::new(options)?),
            demand: Demand::new(shortest_rest(&keys.refresh), keys.refresh.cooldown, None),
            hasher: RandomState::new(),
        })
    }

    /// That of one tenant among many, who share what can be shared.
    pub(super) fn of_tenant(
        shared: &OfTenants,
        tenant: Arc<str>,
        issuer: String,
        keys: config::RemoteKeys,
    ) -> Self {
        let budget = Some(Arc::clone(&shared.refetches));
        Self {
            name: shared.name.clone(),
            issuer,
            tenant: Some(tenant),
            leeway: shared.leeway,
            client: Arc::clone(&shared.client),
            demand: Demand::new(shortest_rest(&keys.refresh), keys.refresh.cooldown, budget),
            keys,
            hasher: shared.hasher.clone(),
        }
    }

    /// Waits for a fetch that may bring the key of a token, if one may be now.
    pub(super) async fn ask_for_key(&self, token: &Token<'_>, why: &VerifyError) {
        let name = match why {
            VerifyError::UnknownKey { .. } => {
                Some(self.hasher.hash_one((token.kid(), token.algorithm().name())))
            }
            // The provider may have put another key in the place of the old one under its name.
            VerifyError::BadSignature => None,
            VerifyError::AlgorithmNotAllowed { .. } => return,
        };
        let Some(fetch) = self.demand.ask(name, Instant::now()) else { return };
        let ended = timeout(LONGEST_WAIT, fetch.end()).await.is_ok();
        if let Some(name) = name.filter(|_| ended) {
            self.demand.remember(name, Instant::now());
        }
    }
}
