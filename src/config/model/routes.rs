//! `routes:` as meant.

use http::{HeaderName, Method};

use std::time::Duration;

use crate::base::{ClaimPath, RouteName, TokenClass};

/// One of `routes:`.
#[derive(Debug, Clone)]
pub struct Route {
    /// `name`, or `routes[3]` where none is given.
    pub name: RouteName,
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; empty: all. HEAD goes with GET.
    pub methods: Vec<Method>,
    /// Who may pass.
    pub auth: RouteAuth,
    /// What the upstream learns of the caller.
    pub identity: Identity,
    /// Bytes in a path that are refused unless named here.
    pub allow_in_path: AllowInPath,
    /// Index into [`super::Config::upstreams`].
    pub upstream: usize,
}

/// `match.host` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// No host said: all.
    Any,
    /// This name, lower case, without port.
    Exact(String),
    /// `*.example.com` as `example.com`: one label or more before it.
    Suffix(String),
}

/// `match.path` of a route, in the form that requests are compared in: decoded once, but for `%2F`, `%5C` and
/// `%25`, without dot segments or empty ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// This path and no other.
    Exact(String),
    /// `/api/*` as `/api`: that path and all below it, on segment borders; `/*` as the empty text.
    Prefix(String),
}

/// `auth:` of a route.
#[derive(Debug, Clone)]
pub enum RouteAuth {
    /// `auth: none`: open to all.
    Public,
    /// A token of one of these providers (indices into [`super::Config::providers`], at least one).
    Required {
        /// Any of these.
        providers: Vec<usize>,
        /// What becomes of a request without a token.
        mode: AuthMode,
        /// Where the token is; at least one place, no two the same.
        token_from: Vec<TokenSource>,
        /// Whether answers say in `Tollgate-Token-Expires-In` how many seconds the token has left; default false.
        expires_in_header: bool,
        /// How it is looked at, and refused.
        manner: Manner,
    },
}

/// How a route looks at credentials and refuses them, beyond whose they may be.
#[derive(Debug, Clone)]
pub struct Manner {
    /// `auth.refusals:` the form of a 401.
    pub refusals: RefusalForm,
    /// Headers are read as SimpleJWT reads them: schemes with case, exactly two words. Only in its profile.
    pub exact_header: bool,
    /// What of the issuer's tokens is asked of its store. `None`: nothing, a good token is good until it expires.
    pub standing_check: Option<StandingCheck>,
}

/// `auth.refusals` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalForm {
    /// `standard`, the default: RFC 6750's challenge, and a body that says no more.
    Standard,
    /// `drf`, the default in SimpleJWT's profile: Django REST framework's body, with SimpleJWT's wording.
    Drf {
        /// Those that the route's tokens may be of, as the body lists them.
        classes: Vec<TokenClass>,
    },
}

/// What is asked of the issuer's store about a token that it signed, and how old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingCheck {
    /// `auth.user_check`: whether the user exists, is let in and has the same password still. False: only whether a
    /// sliding token is blacklisted.
    pub users: bool,
    /// `max_age:` an older answer is asked for again; default 5s. Zero: each request asks.
    pub max_age: Duration,
    /// `stale_if_error:` how old an answer may be where the store gives none; default 1m.
    pub stale_if_error: Duration,
}

/// One of `auth.token_from` of a route; default `Authorization: Bearer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// `{ header: NAME, scheme: Bearer }`.
    Header {
        /// Its name.
        name: HeaderName,
        /// The words before the token, compared without case. Empty: the token is the whole value.
        schemes: Vec<String>,
    },
    /// `{ cookie: NAME }`.
    Cookie(String),
    /// `{ query: NAME }`, a name of unreserved characters.
    Query(String),
    /// `{ websocket_protocol: NAME }`: an entry of `Sec-WebSocket-Protocol`.
    WebSocketProtocol {
        /// The entry before it. `None`, written as `true`: the entry has the form of a JWT.
        after: Option<String>,
    },
}

impl TokenSource {
    /// What credentials in these places are called in a challenge: the first scheme of the file.
    #[must_use]
    pub fn scheme(places: &[Self]) -> Option<&str> {
        places.iter().find_map(|place| match place {
            Self::Header { schemes, .. } => schemes.first().map(String::as_str),
            Self::Cookie(_) | Self::Query(_) | Self::WebSocketProtocol { .. } => None,
        })
    }
}

/// `auth.mode` of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// `enforce`, the default: it is refused.
    Enforce,
    /// `optional`: it passes, and the upstream is told of nobody. A bad token is refused all the same.
    Optional,
}

/// `identity:` of a route.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Headers in the order of the file, or the default set; none on a route that is open to all.
    pub headers: Vec<IdentityHeader>,
    /// Whether the token goes to the upstream; default `forward` on a route that is open to all, else `remove`.
    pub token: TokenForwarding,
}

/// One header that tells the upstream about the caller.
#[derive(Debug, Clone)]
pub struct IdentityHeader {
    /// Its name.
    pub name: HeaderName,
    /// Where its value comes from.
    pub source: IdentitySource,
    /// Absent claim: `true` leaves the header out, `false` refuses the request (403).
    pub optional: bool,
}

/// Where an identity header's value comes from.
#[derive(Debug, Clone)]
pub enum IdentitySource {
    /// The first of these claims that is there.
    Claims(Vec<ClaimPath>),
    /// The issuer configured for the provider whose key verified the token.
    ConfiguredIssuer,
    /// The tenant that its issuer names, of a provider whose issuer is a pattern. No claim can stand in its place.
    Tenant,
}

/// `identity.token` of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenForwarding {
    /// `forward`: the upstream gets it as it came, but for one in the query.
    Forward,
    /// `remove`: neither `Authorization` nor what stands in any place of `token_from`.
    Remove,
}

/// `allow_in_path` of a route: what is let through, left as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllowInPath {
    /// `encoded_slash`: `%2F`, and raw or encoded backslashes.
    pub encoded_slash: bool,
    /// `double_encoding`: `%25` before two hex digits.
    pub double_encoding: bool,
    /// `parameters`: `;` in a segment.
    pub parameters: bool,
}
