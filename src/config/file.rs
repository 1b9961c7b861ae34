//! The file as a whole: its sections, and what they must agree on.

use std::path::{Path, PathBuf};

use super::issuer;
use super::mistake::MistakeKind;
use super::model::{
    Admin, Config, Issuer, KeySource, Observability, Provider, RevocationRules, Route, RouteAuth, TokenRules,
    TokenSource,
};
use super::providers::{self, OwnTokens, Providers};
use super::routes;
use super::server::{self, Addresses};
use super::sessions;
use super::upstreams::{self, Upstreams};
use super::walk::{Node, Section};

const ROUTE: &str =
    "say what goes where, e.g. `- { match: { path: /* }, auth: none, upstream: \"http://127.0.0.1:8000\" }`";

/// Reads the value that the whole file is.
pub(super) fn read(root: &Node<'_>, file: &Path) -> Option<Config> {
    root.section(|section| {
        section.not_available(&["tests"]);
        let development = section.optional("development", Node::boolean).unwrap_or(false);
        let mut addresses = Addresses::new(development);
        let server = match section.key("server") {
            Some(node) => server::read(&node, &mut addresses),
            None => Some(server::default(&mut addresses)),
        };
        let admin = match section.key("admin") {
            Some(node) => server::read_admin(&node, &mut addresses),
            None => server::default_admin(root, &mut addresses).map(|address| Some(Admin { address })),
        };
        let state_directory = section
            .optional("state", |node| node.section(state))
            .unwrap_or_else(|| root.reader().beside("data"));
        let (issuer, providers) = issuer_and_providers(section, &state_directory);
        let revocations = match section.key("revocations") {
            Some(node) => node.section(sessions::read_revocations),
            None => Some(RevocationRules::default()),
        };
        let mut upstreams = match section.key("upstreams") {
            Some(node) => upstreams::read(&node),
            None => Some(Upstreams::default()),
        };
        let routes = section.key("routes");
        if routes.is_none() && section.key("issuer").is_none() {
            root.refuse_key::<()>(MistakeKind::Missing("routes"), Some(ROUTE.to_owned()));
        }
        let read_routes = match (&routes, &providers, &mut upstreams) {
            (None, _, _) => Some(Vec::new()),
            (Some(node), Some(providers), Some(upstreams)) => {
                let issuer = issuer.as_ref().and_then(Option::as_ref);
                routes::read(node, providers, issuer, upstreams)
            }
            // With no names to look up, every reference in a route would be called wrong.
            (Some(_), _, _) => None,
        };
        if let (Some(node), Some(routes), Some(Some(issuer))) = (&routes, &read_routes, &issuer) {
            routes::refuse_issuer_paths(routes, &node.items(), issuer);
        }
        let observability = section
            .optional("observability", |node| node.section(observability))
            .unwrap_or(Observability { access_log: true });
        let upstreams = upstreams.and_then(Upstreams::all);
        let providers = providers.and_then(Providers::all);
        let longest_leeway =
            providers.iter().flatten().map(|provider| provider.leeway).max().unwrap_or_default();
        let scheme =
            own_scheme(providers.as_deref().unwrap_or_default(), read_routes.as_deref().unwrap_or_default());
        let issuer = issuer.map(|issuer| {
            issuer.map(|issuer| Issuer {
                longest_leeway,
                scheme: scheme.map_or(issuer.scheme, str::to_owned),
                ..issuer
            })
        });
        Some(Config {
            file: file.to_owned(),
            development,
            server: server?,
            admin: admin?,
            providers: providers?,
            issuer: issuer?,
            revocations: revocations?,
            upstreams: upstreams?,
            routes: read_routes?,
            state_directory,
            observability,
            presets: Vec::new(),
            warnings: Vec::new(),
        })
    })
}

/// The two know each other: a provider with the gateway's own keys takes what the issuer signs, and says what
/// the tokens call their issuer and audience. The issuer's outer `None` is a mistake, the inner one no issuer.
fn issuer_and_providers<'r>(
    section: &Section<'_, 'r>,
    state_directory: &Path,
) -> (Option<Option<Issuer>>, Option<Providers<'r>>) {
    let node = section.key("issuer");
    let unnamed = node.as_ref().map(|node| issuer::read(node, state_directory));
    let own_tokens = match &unnamed {
        None => OwnTokens::None,
        Some(None) => OwnTokens::Unknown,
        Some(Some(issuer)) => OwnTokens::SignedWith(issuer.algorithm()),
    };
    let mut providers = match section.key("providers") {
        Some(node) => providers::read(&node, own_tokens),
        None => Some(Providers::default()),
    };
    if let (Some(Some(issuer)), Some(providers)) = (&unnamed, &mut providers) {
        providers.own_tokens_are(&issuer.token_rules());
    }
    let own = providers.as_ref().and_then(Providers::own);
    if let (Some(node), None, true) = (&node, own, providers.as_ref().is_some_and(Providers::all_read)) {
        node.warn("no provider has `keys: { own: true }`, so no route takes the tokens that are issued");
    }
    let issuer = match unnamed {
        None => Some(None),
        Some(None) => None,
        Some(Some(issuer)) => {
            let exchange = providers.as_ref().map(Providers::exchanged).unwrap_or_default();
            Some(Some(Issuer { exchange, ..issuer.named_by(own) }))
        }
    };
    if let (Some(node), Some(Some(issuer)), Some(own)) =
        (&node, &issuer, providers.as_ref().and_then(Providers::own))
    {
        warn_of_refused_own(node, issuer, own);
    }
    (issuer, providers)
}

/// What the first route that takes the issuer's own tokens calls them.
fn own_scheme<'r>(providers: &[Provider], routes: &'r [Route]) -> Option<&'r str> {
    let is_own = |&index: &usize| matches!(providers.get(index), Some(Provider { keys: KeySource::Own, .. }));
    let places = routes.iter().find_map(|route| match &route.auth {
        RouteAuth::Required { providers, token_from, .. } if providers.iter().any(is_own) => Some(token_from),
        RouteAuth::Required { .. } | RouteAuth::Public => None,
    })?;
    TokenSource::scheme(places)
}

/// Warns of rules that no token of the built-in issuer meets.
fn warn_of_refused_own(node: &Node<'_>, issuer: &Issuer, own: &Provider) {
    let TokenRules { typ, authorized_parties, max_lifetime, .. } = &own.rules;
    let is_added = |name: &str| issuer.claims.iter().any(|(claim, _)| claim == name);
    let broken = [
        ("typ", !typ.is_empty() && !typ.iter().any(|typ| typ.is("JWT"))),
        (
            "authorized_parties",
            !authorized_parties.is_empty() && !["azp", "client_id"].into_iter().any(is_added),
        ),
        ("max_lifetime", max_lifetime.is_some_and(|longest| longest < issuer.access_token_lifetime)),
    ];
    for (rule, _) in broken.into_iter().filter(|(_, is_broken)| *is_broken) {
        node.warn(format!("every access token that is issued breaks providers.{}.{rule}", own.name));
    }
}

fn state(section: &Section<'_, '_>) -> Option<PathBuf> {
    let default = || Some(section.node().reader().beside("data"));
    section.key("directory").map_or_else(default, |node| node.file_path("the path of a folder"))
}

fn observability(section: &Section<'_, '_>) -> Option<Observability> {
    section.not_available(&["tracing"]);
    let access_log = section.optional("access_log", |node| node.section(access_log)).unwrap_or(true);
    Some(Observability { access_log })
}

fn access_log(section: &Section<'_, '_>) -> Option<bool> {
    section.not_available(&["sample_success"]);
    section.optional("format", |node| node.choice(&[("json", ())]));
    Some(section.optional("to", |node| node.choice(&[("stdout", true), ("off", false)])).unwrap_or(true))
}
