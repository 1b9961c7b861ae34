//! What one valid file became: everything that a request needs, resolved once.

use std::sync::Arc;

use ipnet::IpNet;

use super::credentials::Credentials;
use super::identify::IdentityPlan;
use super::inbound::Removed;
use super::router::Router;
use super::token_cache::SharedTokens;
use crate::base::{RouteName, UpstreamName};
use crate::config::{
    self, AllowInPath, AuthMode, Config, Limits, RefusalForm, RouteAuth, StandingCheck, TokenForwarding,
};
use crate::issuer::Issuer;
use crate::providers::Provider;
use crate::revocations::Revocations;
use crate::upstream::Endpoint;

/// Immutable, and shared by all workers.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) router: Router,
    pub(super) routes: Vec<Arc<Route>>,
    /// One for each upstream of the file; `None`: the gateway itself answers.
    pub(super) endpoints: Vec<Option<Arc<Endpoint>>>,
    pub(super) removed: Removed,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) issuer: Option<Arc<Issuer>>,
    pub(super) revocations: Arc<Revocations>,
    /// `None`: switched off.
    pub(super) tokens: Option<Arc<SharedTokens>>,
}

/// A route with everything that it names.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) index: usize,
    pub(super) name: RouteName,
    pub(super) auth: Auth,
    pub(super) identity: IdentityPlan,
    pub(super) token: TokenForwarding,
    pub(super) allow_in_path: AllowInPath,
    pub(super) upstream: usize,
    pub(super) upstream_name: UpstreamName,
}

/// Who may take a route.
#[derive(Debug)]
pub(super) enum Auth {
    /// Everybody.
    Public,
    /// Bearers of a token of one of these.
    Required {
        /// Any of these.
        providers: Providers,
        /// What becomes of those without a token.
        mode: AuthMode,
        /// Where the token is.
        credentials: Credentials,
        /// Whether answers say how long the token is still good.
        expires_in_header: bool,
        /// The form of a 401.
        refusals: RefusalForm,
        /// What is asked about tokens of the built-in issuer, and the index of the provider whose they are.
        standing_check: Option<(usize, StandingCheck)>,
    },
}

/// The providers of a route, by how they vouch for a token.
#[derive(Debug, Default)]
pub(super) struct Providers {
    /// By their signature.
    pub(super) with_keys: Vec<Arc<Provider>>,
    /// By their word.
    pub(super) introspecting: Vec<Arc<Provider>>,
}

impl Providers {
    fn new(allowed: &[usize], all: &[Arc<Provider>]) -> Self {
        let allowed = allowed.iter().map(|&provider| Arc::clone(&all[provider]));
        let (introspecting, with_keys) = allowed.partition(|provider| provider.introspection().is_some());
        Self { with_keys, introspecting }
    }
}

impl Snapshot {
    /// The token endpoints, where the file has an issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.issuer.as_ref()
    }

    /// Which tokens are void before their time.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Resolves the file. `providers` are those of the file, in its order.
    #[must_use]
    pub fn new(config: &Config, providers: &[Arc<Provider>], issuer: Option<Arc<Issuer>>) -> Self {
        let routes: Vec<_> = config
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| Arc::new(resolve(index, route, config, providers)))
            .collect();
        let identity =
            config.routes.iter().flat_map(|route| &route.identity.headers).map(|header| &header.name);
        Self {
            router: Router::new(&config.routes),
            routes,
            endpoints: config
                .upstreams
                .iter()
                .map(|upstream| Endpoint::new(upstream).map(Arc::new))
                .collect(),
            removed: Removed::new(identity),
            limits: config.server.limits.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            revocations: issuer
                .as_ref()
                .map_or_else(|| Revocations::new(true), |issuer| Arc::clone(issuer.revocations())),
            issuer,
            tokens: config.server.token_cache.map(|memory| Arc::new(SharedTokens::new(memory))),
        }
    }
}

/// The provider with the gateway's own keys.
fn own_provider(config: &Config) -> Option<usize> {
    config.providers.iter().position(|provider| matches!(provider.keys, config::KeySource::Own))
}

fn resolve(index: usize, route: &config::Route, config: &Config, providers: &[Arc<Provider>]) -> Route {
    Route {
        index,
        name: route.name.clone(),
        auth: match &route.auth {
            RouteAuth::Public => Auth::Public,
            RouteAuth::Required { providers: allowed, mode, token_from, expires_in_header, manner } => {
                Auth::Required {
                    providers: Providers::new(allowed, providers),
                    mode: *mode,
                    credentials: Credentials::new(token_from).read_exactly(manner.exact_header),
                    expires_in_header: *expires_in_header,
                    refusals: manner.refusals.clone(),
                    standing_check: own_provider(config).zip(manner.standing_check),
                }
            }
        },
        identity: IdentityPlan::new(index, &route.identity),
        token: route.identity.token,
        allow_in_path: route.allow_in_path,
        upstream: route.upstream,
        upstream_name: config.upstreams[route.upstream].name.clone(),
    }
}
