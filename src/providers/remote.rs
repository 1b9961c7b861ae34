//! A source on another server: how it is asked, and by whom.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::demand::Demand;
use super::schedule::shortest_rest;
use crate::base::{ProviderName, Secret};
use crate::config::{self, ProxyVariables};
use crate::http::client::{
    Client, ClientCertificate, ClientOptions, ClientTlsError, Credential, Origin, Proxies,
};
use crate::jwt::{Token, VerifyError};

/// So long a request waits for keys at most.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What the file allows a client to do.
#[must_use]
pub fn client_options(fetch: &config::Fetch) -> ClientOptions {
    let config::Fetch { connect_timeout, timeout, max_body, allow_http, allow_private_addresses, ca, .. } =
        fetch.clone();
    let credential = fetch.credential.as_ref();
    ClientOptions {
        connect_timeout,
        timeout,
        max_body,
        allow_http,
        allow_private_addresses,
        ca,
        proxies: match &fetch.proxy {
            config::EgressProxy::None => Proxies::none(),
            config::EgressProxy::Through(url) => Proxies::through(url),
            config::EgressProxy::Environment(ProxyVariables { http, https, no }) => {
                let expose = |proxy: &Option<Secret>| proxy.as_ref().map(|proxy| proxy.expose().to_vec());
                Proxies::of_environment(expose(http).as_deref(), expose(https).as_deref(), no)
            }
        },
        credential: credential.map(|credential| match credential.kind.clone() {
            config::CredentialKind::Bearer(token) => Credential::Bearer(token),
            config::CredentialKind::Basic { username, password } => Credential::Basic { username, password },
        }),
        client_certificate: fetch
            .client_certificate
            .clone()
            .map(|own| ClientCertificate { certificate: own.certificate, key: own.key }),
        // Whoever makes the client adds the server that the file itself names.
        known: credential.into_iter().flat_map(|it| &it.also_to).filter_map(Origin::of).collect(),
    }
}

/// The server that the file names for a source's keys: a document found there may name another one.
fn named_server(location: &config::KeyLocation) -> Option<Origin> {
    match location {
        config::KeyLocation::Url(url) => Origin::of(url),
        config::KeyLocation::Discovery(issuer) => Origin::of(&issuer.parse().ok()?),
    }
}

/// What is known of a source beside its keys.
#[derive(Debug)]
pub(super) struct Remote {
    /// The first provider of the file that has this source: what logs and metrics call it.
    pub(super) name: ProviderName,
    /// What that provider says of its issuer.
    pub(super) issuer: config::IssuerRule,
    /// How far it lets clocks differ.
    pub(super) leeway: Duration,
    pub(super) keys: config::RemoteKeys,
    pub(super) client: Client,
    pub(super) demand: Demand,
    hasher: RandomState,
}

impl Remote {
    /// Nothing is fetched yet.
    pub(super) fn new(
        provider: &config::Provider,
        keys: &config::RemoteKeys,
    ) -> Result<Self, ClientTlsError> {
        let mut options = client_options(&keys.fetch);
        options.known.extend(named_server(&keys.location));
        Ok(Self {
            name: provider.name.clone(),
            issuer: provider.issuer.clone(),
            leeway: provider.leeway,
            keys: keys.clone(),
            client: Client::new(options)?,
            demand: Demand::new(shortest_rest(&keys.refresh), keys.refresh.cooldown),
            hasher: RandomState::new(),
        })
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
