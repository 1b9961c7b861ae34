//! `identity:` of a route: what the upstream learns of the caller.

use http::HeaderName;

use crate::base::ClaimPath;

use super::mistake::MistakeKind;
use super::model::{
    Identity, IdentityHeader, IdentitySource, Issuer, IssuerRule, KeySource, Provider, RouteAuth,
    TokenForwarding,
};
use super::providers::Providers;
use super::walk::{Node, Section};
use super::written::Value;

/// Reads `identity:` of a route, or says what a route without it does.
///
/// A route that is open to all has no caller to tell of; `auth` is `None` where it has a mistake.
pub(super) fn read(
    node: Option<&Node<'_>>,
    auth: Option<&RouteAuth>,
    providers: &Providers<'_>,
    issuer: Option<&Issuer>,
) -> Option<Identity> {
    let is_public = matches!(auth, Some(RouteAuth::Public));
    let knows = |source: &IdentitySource| match source {
        IdentitySource::Claims(_) => true,
        IdentitySource::ConfiguredIssuer => {
            any_provider(auth, providers, |issuer| *issuer != IssuerRule::Any)
        }
        IdentitySource::Tenant => {
            any_provider(auth, providers, |issuer| matches!(issuer, IssuerRule::Tenants(_)))
        }
    };
    let default_headers = || match is_public {
        true => Vec::new(),
        false => default_headers(issuer.filter(|_| takes_own_alone(auth, providers))),
    };
    // On a route that is open to all the application may have an `Authorization` of its own, which is not the
    // gateway's to take away.
    let default_token = if is_public { TokenForwarding::Forward } else { TokenForwarding::Remove };
    let Some(node) = node else {
        return Some(Identity { headers: default_headers(), token: default_token });
    };
    node.section(|section| {
        let headers = match section.key("headers") {
            Some(node) if is_public => node.refuse_key(
                MistakeKind::NoEffect("on a route that is open to all"),
                Some("no caller is known there".to_owned()),
            ),
            Some(node) => headers(&node, &knows),
            None => Some(default_headers()),
        };
        let token = section.optional("token", token).unwrap_or(default_token);
        Some(Identity { headers: headers?, token })
    })
}

/// Whether any provider of the route has such an issuer; one with a mistake may.
fn any_provider(
    auth: Option<&RouteAuth>,
    providers: &Providers<'_>,
    is_such: impl Fn(&IssuerRule) -> bool,
) -> bool {
    let Some(RouteAuth::Required { providers: indices, .. }) = auth else { return true };
    indices.iter().any(|&index| providers.get(index).is_none_or(|provider| is_such(&provider.issuer)))
}

fn token(node: &Node<'_>) -> Option<TokenForwarding> {
    if matches!(node.value(), Value::Text(text) if text == "assertion") {
        return node.refuse_with(MistakeKind::NotAvailable, "use forward or remove");
    }
    node.choice(&[("forward", TokenForwarding::Forward), ("remove", TokenForwarding::Remove)])
}

/// Whether all tokens that the route takes are the gateway's own.
fn takes_own_alone(auth: Option<&RouteAuth>, providers: &Providers<'_>) -> bool {
    let Some(RouteAuth::Required { providers: indices, .. }) = auth else { return false };
    let is_own = |provider: &Provider| matches!(provider.keys, KeySource::Own);
    indices.iter().all(|&index| providers.get(index).is_some_and(is_own))
}

/// What every application can use, whoever issued the token. `own` is the issuer where all tokens are its own, which
/// names users as its settings say.
fn default_headers(own: Option<&Issuer>) -> Vec<IdentityHeader> {
    let claims =
        |names: &[&str]| IdentitySource::Claims(names.iter().copied().map(ClaimPath::name).collect());
    let usual = ["sub", "user_id"];
    let own = own.map(|own| own.form.user_id_claim.as_str()).filter(|claim| !usual.contains(claim));
    let user: Vec<&str> = own.into_iter().chain(usual).collect();
    let header =
        |name, source| IdentityHeader { name: HeaderName::from_static(name), source, optional: true };
    vec![
        header("x-user-id", claims(&user)),
        header("x-user-name", claims(&["username", "preferred_username"])),
        header("x-auth-issuer", IdentitySource::ConfiguredIssuer),
    ]
}

fn headers(node: &Node<'_>, knows: &impl Fn(&IdentitySource) -> bool) -> Option<Vec<IdentityHeader>> {
    let mut before: Vec<&str> = Vec::new();
    let headers: Vec<Option<IdentityHeader>> = node
        .named()?
        .into_iter()
        .map(|(name, node)| {
            let other = before.iter().find(|other| **other != name && fold(other) == fold(name));
            if let Some(other) = other {
                let kind = MistakeKind::SameSpelling { name: name.to_owned(), other: (*other).to_owned() };
                node.refuse_key::<()>(
                    kind,
                    Some("they fold case, \"-\", \"_\" and the like into one".to_owned()),
                );
            }
            before.push(name);
            let (name, source) = (header_name(&node, name), source(&node));
            let (source, optional) = source?;
            if !optional && !knows(&source) {
                let (kind, what) = match source {
                    IdentitySource::Tenant => {
                        (MistakeKind::NoTenantToTell, "give a provider `{tenant}` in its issuer")
                    }
                    _ => (MistakeKind::NoIssuerToTell, "name the issuer at a provider"),
                };
                let hint = format!("every request would be refused: {what}, or write `optional: true`");
                return node.refuse_with(kind, hint);
            }
            Some(IdentityHeader { name: name?, source, optional })
        })
        .collect();
    headers.into_iter().collect()
}

fn header_name(node: &Node<'_>, text: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= 128);
    // A name that folds to nothing would be removed from requests together with all others like it.
    let Some(name) = name.filter(|_| !fold(text).is_empty()) else {
        let kind = MistakeKind::Expected {
            expected: "the name of a header such as X-User-Id".to_owned(),
            found: format!("{:?}", text.chars().take(64).collect::<String>()),
        };
        return node.refuse_key(kind, None);
    };
    if is_reserved(&name) {
        return node.refuse_key(
            MistakeKind::ReservedHeader(text.to_owned()),
            Some("choose a name of its own, such as X-User-Id".to_owned()),
        );
    }
    Some(name)
}

/// A claim, a list of claims of which the first that is there counts, `{ claim: …, optional: true }`, or
/// `{ from: issuer }`, or `{ from: tenant }`.
fn source(node: &Node<'_>) -> Option<(IdentitySource, bool)> {
    if !matches!(node.value(), Value::Map(_)) {
        return Some((IdentitySource::Claims(claims(node)?), false));
    }
    node.section(|section| {
        let optional = section.optional("optional", Node::boolean).unwrap_or(false);
        Some((section_source(section)?, optional))
    })
}

fn section_source(section: &Section<'_, '_>) -> Option<IdentitySource> {
    match (section.key("claim"), section.key("from")) {
        (Some(claim), None) => Some(IdentitySource::Claims(claims(&claim)?)),
        (None, Some(from)) => {
            let tenant = from.choice(&[("issuer", false), ("tenant", true)])?;
            Some(if tenant { IdentitySource::Tenant } else { IdentitySource::ConfiguredIssuer })
        }
        (Some(_), Some(from)) => from.refuse_key(MistakeKind::Conflict("\"claim\"".to_owned()), None),
        (None, None) => {
            let kind = MistakeKind::Expected {
                expected: "{ claim: NAME }, { from: issuer } or { from: tenant }".to_owned(),
                found: "neither of them".to_owned(),
            };
            section.node().refuse_key(kind, None)
        }
    }
}

fn claims(node: &Node<'_>) -> Option<Vec<ClaimPath>> {
    node.filled_list("the name of a claim, or a list of them", Node::claim_path)
}

/// The spelling to which CGI, WSGI and PHP reduce a header's name.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Whether a name is in any spelling one that HTTP, the gateway or most applications read already. What any route
/// injects is removed from all requests, so a name that clients use for something else would break them.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: [&str; 38] = [
        "authorization",
        "connection",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "earlydata",
        "expect",
        "forwarded",
        "from",
        "host",
        "http2settings",
        "ifmatch",
        "ifmodifiedsince",
        "ifnonematch",
        "ifrange",
        "ifunmodifiedsince",
        "keepalive",
        "maxforwards",
        "origin",
        "pragma",
        "prefer",
        "proxy",
        "range",
        "referer",
        "setcookie",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transferencoding",
        "upgrade",
        "useragent",
        "via",
        "warning",
        "wwwauthenticate",
        "xrealip",
        "xrequestid",
    ];
    const PREFIXES: [&str; 8] = [
        "accept",
        "accesscontrol",
        "cache",
        "content",
        "proxyauth",
        "proxyconnection",
        "secfetch",
        "xforwarded",
    ];
    let folded = fold(name.as_str());
    NAMES.contains(&folded.as_str()) || PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn reserved(name: &str) -> bool {
        is_reserved(&HeaderName::from_bytes(name.as_bytes()).expect("a name"))
    }

    #[test]
    fn names_of_http_and_of_the_gateway_are_reserved_in_every_spelling() {
        for name in [
            "Host",
            "Content-Length",
            "content_type",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_User",
            "X-Request-Id",
            "X-Real-IP",
            "Proxy",
            "If-Match",
            "Accept-Language",
        ] {
            assert!(reserved(name), "{name}");
        }
        for name in ["X-User-Id", "Remote-User", "X-Auth-Issuer", "Tenant", "X-Ifs", "Iffy"] {
            assert!(!reserved(name), "{name}");
        }
    }

    #[test]
    fn the_default_set_passes_its_own_rules() {
        for header in default_headers(None) {
            assert!(!is_reserved(&header.name), "{}", header.name);
        }
    }

    #[test]
    fn the_user_of_our_own_tokens_is_told_by_the_claim_that_the_issuer_calls_so() {
        let file = |claim: &str, providers: &str| {
            format!(
                "issuer: {{ user_id_claim: {claim} }}\n\
                 providers: {{ p: {{ issuer: a, audiences: any, keys: {{ own: true }} }}, \
                 q: {{ issuer: b, audiences: any, algorithms: [RS256], keys: {{ jwks_url: 'https://b.example/keys' }} }} }}\n\
                 upstreams: {{ app: {{ endpoints: ['http://127.0.0.1:8000'] }} }}\n\
                 routes: [{{ match: {{ path: /* }}, auth: {{ providers: [{providers}] }}, upstream: app }}]\n"
            )
        };
        let told_by = |claim: &str, providers: &str| {
            let config =
                crate::config::read_text(&file(claim, providers), Path::new("gateway.yaml"), &|_| None);
            let header = config.expect("valid").routes[0].identity.headers[0].clone();
            let IdentitySource::Claims(claims) = header.source else { panic!("{header:?}") };
            claims.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = |providers: &str| told_by("account", providers);
        assert_eq!(told("p"), ["account", "sub", "user_id"]);
        assert_eq!(told_by("sub", "p"), ["sub", "user_id"]);
        assert_eq!(told("q"), ["sub", "user_id"]);
        // Another's `account` may be anything.
        assert_eq!(told("p, q"), ["sub", "user_id"]);
    }
}
