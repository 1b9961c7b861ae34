//! `routes:`: which requests go where, and who may make them.

use http::Method;

use crate::base::{ClaimPath, RouteName};

use super::identity;
use super::issuer::JWKS_PATH;
use super::manner;
use super::mistake::{MistakeKind, nearest};
use super::model::{
    AllowInPath, AllowedTenants, AuthMode, HostPattern, Identity, IdentitySource, Issuer, IssuerRule,
    KeySource, PathPattern, Provider, Route, RouteAuth, Tenants,
};
use super::providers::{Providers, refuse_repeated};
use super::token_from;
use super::upstreams::Upstreams;
use super::value::{NAME_EXPECTED, is_name};
use super::walk::{Node, Section};
use super::written::Value;

/// What `auth:` must be.
const WHO: &str =
    "say who may pass: `auth: { providers: [NAME] }`, or `auth: none` for a route that is open to all";

/// Reads `routes:`.
pub(super) fn read<'r>(
    node: &Node<'r>,
    providers: &Providers<'r>,
    issuer: Option<&Issuer>,
    upstreams: &mut Upstreams<'r>,
) -> Option<Vec<Route>> {
    if !matches!(node.value(), Value::List(_) | Value::Map(_)) {
        return node.expected("a list of routes");
    }
    let mut before = Before::default();
    let routes: Vec<Option<Route>> = node
        .items()
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let route = route(node, index, &mut before.names, (providers, issuer), upstreams)?;
            before.refuse_second(node, &route);
            Some(route)
        })
        .collect();
    token_from::refuse_identity_headers(&routes, &node.items());
    routes.into_iter().collect()
}

fn route<'r>(
    node: &Node<'r>,
    index: usize,
    names: &mut Vec<String>,
    (providers, issuer): (&Providers<'r>, Option<&Issuer>),
    upstreams: &mut Upstreams<'r>,
) -> Option<Route> {
    node.section(|section| {
        section.not_available(&["rate_limit"]);
        let name = match section.key("name") {
            Some(node) => name(&node, names),
            None => Some(format!("routes[{index}]")),
        };
        let matched = section.required("match", |node| node.section(matched));
        let auth = match section.key("auth") {
            Some(node) => auth(&node, providers, issuer),
            None => node.refuse_key(MistakeKind::RouteWithoutAuth, Some(WHO.to_owned())),
        };
        let identity = identity::read(section.key("identity").as_ref(), auth.as_ref(), providers, issuer);
        if let (Some(auth), Some(identity)) = (&auth, &identity) {
            let node = section.key("identity").or_else(|| section.key("auth"));
            warn_of_one_name_for_two(
                &node.unwrap_or_else(|| section.node().clone()),
                auth,
                identity,
                providers,
            );
        }
        let allow_in_path = section.optional("allow_in_path", allow_in_path).unwrap_or_default();
        let upstream = section.required("upstream", |node| upstreams.find(node));
        let Matched { host, path, methods } = matched?;
        Some(Route {
            name: RouteName::new(&name?),
            host,
            path,
            methods,
            auth: auth?,
            identity: identity?,
            allow_in_path,
            upstream: upstream?,
        })
    })
}

fn name(node: &Node<'_>, taken: &mut Vec<String>) -> Option<String> {
    let name = node.parse(NAME_EXPECTED, |text| is_name(text).then(|| text.to_owned()))?;
    if taken.contains(&name) {
        return node.refuse(MistakeKind::NameTaken(node.as_written()));
    }
    taken.push(name.clone());
    Some(name)
}

struct Matched {
    host: HostPattern,
    path: PathPattern,
    methods: Vec<Method>,
}

fn matched(section: &Section<'_, '_>) -> Option<Matched> {
    let host = match section.key("host") {
        Some(node) => node.host_pattern(),
        None => Some(HostPattern::Any),
    };
    let path = section.required("path", Node::path_pattern);
    let methods = match section.key("methods") {
        Some(node) => node.filled_list("at least one method", Node::method).inspect(|methods| {
            refuse_repeated(&node, methods);
        }),
        None => Some(Vec::new()),
    };
    Some(Matched { host: host?, path: path?, methods: methods? })
}

fn auth(node: &Node<'_>, providers: &Providers<'_>, issuer: Option<&Issuer>) -> Option<RouteAuth> {
    if matches!(node.value(), Value::Text(_)) && node.text("none, or a section")? == "none" {
        return Some(RouteAuth::Public);
    }
    if !matches!(node.value(), Value::Map(_)) {
        let kind = MistakeKind::Expected { expected: "none, or a section".to_owned(), found: node.shown() };
        return node.refuse_with(kind, WHO);
    }
    node.section(|section| {
        section.not_available(&["require"]);
        let token_from = match section.key("token_from") {
            Some(node) => token_from::read(&node),
            None => Some(token_from::default()),
        };
        let expires_in_header = section.optional("expires_in_header", Node::boolean).unwrap_or(false);
        let mode = section.optional("mode", mode).unwrap_or(AuthMode::Enforce);
        let allowed = section.required("providers", |node| {
            let indices = node.filled_list("at least one provider", |node| provider(node, providers))?;
            refuse_repeated(node, &indices);
            Some(indices)
        });
        let is_own = |index: &usize| {
            providers.get(*index).is_some_and(|provider| matches!(provider.keys, KeySource::Own))
        };
        let takes_own = allowed.as_ref().is_some_and(|allowed| allowed.iter().any(is_own));
        let manner = manner::read(section, issuer.filter(|_| takes_own));
        Some(RouteAuth::Required {
            providers: allowed?,
            mode,
            token_from: token_from?,
            expires_in_header,
            manner: manner?,
        })
    })
}

/// Two issuers may give the same `sub` to different people. Warns where the application could not tell them apart.
fn warn_of_one_name_for_two(
    node: &Node<'_>,
    auth: &RouteAuth,
    identity: &Identity,
    providers: &Providers<'_>,
) {
    let RouteAuth::Required { providers: indices, .. } = auth else { return };
    let allowed: Vec<&Provider> = indices.iter().filter_map(|&index| providers.get(index)).collect();
    let apart =
        |one: &Provider, other: &Provider| one.issuer == IssuerRule::Any || one.issuer != other.issuer;
    let pair = allowed.iter().enumerate().find_map(|(at, one)| {
        allowed[at + 1..]
            .iter()
            .find(|other| apart(one, other))
            .map(|other| format!("{} and {}", one.name, other.name))
    });
    let tenants = allowed.iter().find(|provider| has_tenants(&provider.issuer));
    let of_tenants = || tenants.map(|provider| format!("two tenants of {}", provider.name));
    let Some(parties) = pair.clone().or_else(of_tenants) else { return };
    // Of those that have no issuer to tell of only one may be there: it is the one without the header.
    let issuers_differ = allowed.iter().filter(|provider| provider.issuer == IssuerRule::Any).count() < 2;
    let iss = ClaimPath::name("iss");
    let (mut tells_who, mut tells_issuer) = (false, false);
    for header in &identity.headers {
        match &header.source {
            IdentitySource::Claims(paths) if paths.first() == Some(&iss) => tells_issuer = true,
            IdentitySource::Claims(_) => tells_who = true,
            IdentitySource::ConfiguredIssuer => tells_issuer |= issuers_differ,
            // It says nothing of other providers.
            IdentitySource::Tenant => tells_issuer |= pair.is_none(),
        }
    }
    if tells_who && !tells_issuer {
        node.warn(format!(
            "{parties} may give one subject to two people, and the application can't tell whose it is: \
             add `X-Auth-Issuer: {{ from: issuer }}` to identity.headers, and name the issuer of each provider"
        ));
    }
}

/// Whether tokens of more than one tenant are taken.
fn has_tenants(issuer: &IssuerRule) -> bool {
    match issuer {
        IssuerRule::Tenants(Tenants { allow: AllowedTenants::Only(allowed), .. }) => allowed.len() > 1,
        IssuerRule::Tenants(_) => true,
        IssuerRule::Exactly(_) | IssuerRule::OneOf(_) | IssuerRule::Any => false,
    }
}

fn mode(node: &Node<'_>) -> Option<AuthMode> {
    if matches!(node.value(), Value::Text(text) if text == "observe") {
        return node.refuse_with(MistakeKind::NotAvailable, "use enforce or optional");
    }
    node.choice(&[("enforce", AuthMode::Enforce), ("optional", AuthMode::Optional)])
}

fn provider(node: &Node<'_>, providers: &Providers<'_>) -> Option<usize> {
    let text = node.text("the name of a provider")?;
    match providers.names().iter().position(|name| *name == text) {
        Some(index) => Some(index),
        None => {
            let help = nearest(&text, providers.names(), "providers");
            node.refuse_with(MistakeKind::NoSuchProvider(node.as_written()), help)
        }
    }
}

fn allow_in_path(node: &Node<'_>) -> Option<AllowInPath> {
    let mut allowed = AllowInPath::default();
    let choices = [("encoded_slash", 0), ("double_encoding", 1), ("parameters", 2)];
    let read = node.list(|node| node.choice(&choices))?;
    refuse_repeated(node, &read);
    for choice in read {
        match choice {
            0 => allowed.encoded_slash = true,
            1 => allowed.double_encoding = true,
            _ => allowed.parameters = true,
        }
    }
    Some(allowed)
}

/// What the routes further up in the file have taken.
#[derive(Default)]
struct Before {
    names: Vec<String>,
    claims: Vec<Claim>,
}

/// The requests that a route takes.
struct Claim {
    name: RouteName,
    host: HostPattern,
    path: PathPattern,
    methods: Vec<Method>,
}

impl Before {
    /// Refuses a route for requests that another one takes already. A route that names a method goes before
    /// one of the same host and path that takes all, so these two do not compete.
    fn refuse_second(&mut self, node: &Node<'_>, route: &Route) {
        let rival = self.claims.iter().find(|other| {
            other.host == route.host && other.path == route.path && overlap(&other.methods, &route.methods)
        });
        if let Some(rival) = rival {
            node.refuse_with::<()>(
                MistakeKind::RouteTwice(rival.name.to_string()),
                "routes of one host and path must differ in their methods; HEAD goes with GET",
            );
        }
        self.claims.push(Claim {
            name: route.name.clone(),
            host: route.host.clone(),
            path: route.path.clone(),
            methods: route.methods.clone(),
        });
    }
}

fn overlap(some: &[Method], others: &[Method]) -> bool {
    if some.is_empty() || others.is_empty() {
        return some.is_empty() && others.is_empty();
    }
    let as_get = |method: &Method| if method == Method::HEAD { Method::GET } else { method.clone() };
    some.iter().any(|method| others.iter().any(|other| as_get(method) == as_get(other)))
}

/// Refuses routes for paths at which the issuer answers: no request would take them.
pub(super) fn refuse_issuer_paths(routes: &[Route], nodes: &[Node<'_>], issuer: &Issuer) {
    for (route, node) in routes.iter().zip(nodes) {
        if let PathPattern::Exact(path) = &route.path
            && (issuer.paths.all().any(|taken| taken == path) || path == JWKS_PATH)
        {
            node.refuse_with::<()>(
                MistakeKind::RouteOfIssuer(path.clone()),
                "take the route out, or set issuer.paths",
            );
        }
    }
}
