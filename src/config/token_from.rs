//! `auth.token_from`: where a request may carry its token.

use http::HeaderName;

use super::identity::is_reserved;
use super::mistake::MistakeKind;
use super::model::{Route, RouteAuth, TokenSource};
use super::providers::refuse_repeated;
use super::walk::{Node, Section};
use super::written::Value;

/// `Authorization: Bearer`, as RFC 6750, section 2.1 has it.
pub(super) fn default() -> Vec<TokenSource> {
    vec![TokenSource::Header { name: http::header::AUTHORIZATION, schemes: vec!["Bearer".to_owned()] }]
}

/// Reads `token_from:`.
pub(super) fn read(node: &Node<'_>) -> Option<Vec<TokenSource>> {
    let sources = node.filled_list("at least one place", |node| node.section(source))?;
    for (index, (item, source)) in node.items().iter().zip(&sources).enumerate() {
        if sources[..index].iter().any(|other| other.is_place_of(source)) {
            item.refuse_with::<()>(
                MistakeKind::Repeated("this place".to_owned()),
                "a header may have several schemes: `scheme: [Bearer, JWT]`",
            );
        }
    }
    Some(sources)
}

impl TokenSource {
    fn is_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, .. }, Self::Header { name: other, .. }) => name == other,
            // Both would take the same entry for theirs.
            (Self::WebSocketProtocol { .. }, Self::WebSocketProtocol { .. }) => true,
            _ => self == other,
        }
    }
}

fn source(section: &Section<'_, '_>) -> Option<TokenSource> {
    let places = ["header", "cookie", "query", "websocket_protocol"];
    let scheme = section.key("scheme");
    let mut given =
        places.into_iter().filter_map(|name| Some((name, section.key(name)?))).collect::<Vec<_>>();
    if let Some((_, second)) = given.get(1) {
        return second.refuse_key(MistakeKind::Conflict(format!("{:?}", given[0].0)), None);
    }
    let Some((place, node)) = given.pop() else {
        let expected = "one of header, cookie, query and websocket_protocol".to_owned();
        let kind = MistakeKind::Expected { expected, found: "none of them".to_owned() };
        return section.node().refuse_key(kind, None);
    };
    if let Some(scheme) = scheme.as_ref().filter(|_| place != "header") {
        return scheme.refuse_key(MistakeKind::NoEffect("without a header"), None);
    }
    match place {
        "header" => {
            let schemes = scheme.map_or(Some(Vec::new()), |node| schemes(&node));
            Some(TokenSource::Header { name: header(&node)?, schemes: schemes? })
        }
        "cookie" => Some(TokenSource::Cookie(node.parse("the name of a cookie", name)?)),
        "query" => {
            Some(TokenSource::Query(node.parse("the name of a parameter, such as access_token", parameter)?))
        }
        _ => Some(TokenSource::WebSocketProtocol { after: protocol(&node)? }),
    }
}

fn header(node: &Node<'_>) -> Option<HeaderName> {
    let expected = "the name of a header such as Authorization";
    let name = node
        .parse(expected, |text| HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= 128))?;
    if name != http::header::AUTHORIZATION
        && (is_reserved(&name) || name == http::header::SEC_WEBSOCKET_PROTOCOL)
    {
        return node.refuse_with(
            MistakeKind::ReservedHeader(name.to_string()),
            "use Authorization, a name of its own such as X-Api-Token, or `cookie` or `websocket_protocol`",
        );
    }
    Some(name)
}

fn schemes(node: &Node<'_>) -> Option<Vec<String>> {
    let schemes =
        node.filled_list("at least one scheme", |node| node.parse("a scheme such as Bearer", name))?;
    let folded: Vec<String> = schemes.iter().map(|scheme| scheme.to_ascii_lowercase()).collect();
    refuse_repeated(node, &folded);
    Some(schemes)
}

/// `true`, or the name of the entry before the token.
fn protocol(node: &Node<'_>) -> Option<Option<String>> {
    let expected = "true, or the name of the protocol before the token";
    match node.value() {
        Value::Bool(true) => Some(None),
        Value::Bool(false) => node.expected(expected),
        _ => node.parse(expected, name).map(Some),
    }
}

/// A token of RFC 9110, section 5.6.2.
fn name(text: &str) -> Option<String> {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(is_tchar)).then(|| text.to_owned())
}

/// A name that stands for itself in every query.
fn parameter(text: &str) -> Option<String> {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(is_unreserved)).then(|| text.to_owned())
}

/// Refuses a header that carries a token on one route and an identity on another: what clients send under the name of
/// an identity header is removed from every request.
pub(super) fn refuse_identity_headers(routes: &[Option<Route>], nodes: &[Node<'_>]) {
    use super::identity::fold;
    let told = || routes.iter().flatten().flat_map(|route| &route.identity.headers);
    for (route, node) in routes.iter().zip(nodes) {
        let Some(Route { auth: RouteAuth::Required { token_from, .. }, .. }) = route else { continue };
        for source in token_from {
            let TokenSource::Header { name, .. } = source else { continue };
            if let Some(identity) = told().find(|told| fold(told.name.as_str()) == fold(name.as_str())) {
                node.refuse_with::<()>(
                    MistakeKind::TokenInIdentityHeader(name.to_string()),
                    format!(
                        "what clients send as {} is removed: choose another name for one of them",
                        identity.name
                    ),
                );
            }
        }
    }
}
