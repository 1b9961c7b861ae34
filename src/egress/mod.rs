//! Requests to other servers, as the file wants them: what `fetch:` says, in the terms of the control plane's client.

use crate::base::Secret;
use crate::config::{self, ProxyVariables};
use crate::http::client::{ClientCertificate, ClientOptions, Credential, Origin, Proxies};

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
