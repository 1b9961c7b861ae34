//! The checked file: what the program needs, in types that can't be wrong.
//!
//! Everything here was validated by the readers beside this file: names refer to things that exist
//! (by index into the lists of [`Config`]), paths are absolute or relative to the file's folder already,
//! limits are within range.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};
use ipnet::IpNet;

use crate::base::{
    Algorithm, AlgorithmSet, ByteSize, ClaimPath, ProviderName, RouteName, Secret, UpstreamName,
};

use super::token_typ::TokenTyp;

/// One valid `gateway.yaml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file itself, for messages.
    pub file: PathBuf,
    /// Make what is missing at start; only with listeners on loopback.
    pub development: bool,
    /// `server:`.
    pub server: Server,
    /// `admin:`; without it there is no admin listener.
    pub admin: Option<Admin>,
    /// `providers:`, in the order of the file.
    pub providers: Vec<Provider>,
    /// `issuer:`; without it Tollgate issues no tokens.
    pub issuer: Option<Issuer>,
    /// `upstreams:`, in the order of the file, then those that routes name by URL.
    pub upstreams: Vec<Upstream>,
    /// `routes:`, in the order of the file.
    pub routes: Vec<Route>,
    /// `state.directory`, by default `data` beside the file.
    pub state_directory: PathBuf,
    /// `observability:`.
    pub observability: Observability,
    /// What is allowed but deserves a word, e.g. `audiences: any`. Printed at start and by `check`.
    pub warnings: Vec<Warning>,
}

/// A remark on a valid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Line and column of what it is about, from 1.
    pub place: (usize, usize),
    /// The path of the key, e.g. `providers.legacy.audiences`.
    pub path: String,
    /// What to think of.
    pub message: String,
}

/// Without the file, whose name the one who prints it knows: `12:5: providers.legacy.audiences: …`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.place.0, self.place.1, self.path, self.message)
    }
}

/// `server:`: how clients reach Tollgate.
#[derive(Debug, Clone)]
pub struct Server {
    /// At least one; default plain text on `127.0.0.1:8080`.
    pub listeners: Vec<Listener>,
    /// `auto` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may take to end after a stop was asked for.
    pub shutdown_grace: Duration,
    /// `limits:`.
    pub limits: Limits,
    /// `token_cache: { memory: 64MiB }`, the default; `None` for `token_cache: off`.
    pub token_cache: Option<ByteSize>,
}

/// One of `server.listeners`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Without it the listener speaks plain HTTP.
    pub tls: Option<Tls>,
}

/// `tls:` of a listener.
#[derive(Debug, Clone)]
pub struct Tls {
    /// At least one; chosen by SNI, the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub minimum_version: TlsVersion,
}

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// `server.limits`: what one client may ask of the gateway.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The request line and all header fields together; default 32KiB.
    pub request_head: ByteSize,
    /// How many header fields; default 100.
    pub request_headers: usize,
    /// The longest request body; default 16MiB.
    pub request_body: ByteSize,
    /// From the first byte of a head to its last; default 10s.
    pub header_read_timeout: Duration,
    /// From accept to the end of the TLS handshake; default 10s.
    pub tls_handshake_timeout: Duration,
    /// How long a connection may lie idle between requests, or stall in the midst of one; default 75s.
    pub idle_timeout: Duration,
    /// HTTP/2 streams of one connection at once; default 100.
    pub concurrent_streams: u32,
    /// Open client connections of all workers together; default 20000.
    pub connections: usize,
}

/// `admin:`: metrics and health, apart from the traffic.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it listens; default `127.0.0.1:9900`.
    pub address: SocketAddr,
}

/// One of `providers:`: a party whose tokens are taken.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its key in the file.
    pub name: ProviderName,
    /// The `iss` of its tokens.
    pub issuer: IssuerRule,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The algorithms that its tokens may name; never empty, of the family of its keys where that is known.
    pub algorithms: AlgorithmSet,
    /// Whom its tokens must be meant for.
    pub audiences: Audiences,
    /// How far clocks may differ, for `exp`, `nbf` and `iat`; default 0s for own keys, else 30s.
    pub leeway: Duration,
    /// Claims that must be there, some with certain values.
    pub required_claims: Vec<RequiredClaim>,
    /// The value that the claim `token_type` must have: `access` for own keys, and by `token_type: access` for
    /// SimpleJWT's tokens. `None`: may be absent, but not `refresh`.
    pub token_type: Option<String>,
    /// What few providers ask for.
    pub rules: TokenRules,
}

/// Rules for a provider's tokens of which each is off unless the file names it.
#[derive(Debug, Clone, Default)]
pub struct TokenRules {
    /// `typ:` of the header, one of these. Empty: any, or none.
    pub typ: Vec<TokenTyp>,
    /// `authorized_parties:` to whom it may have been issued, as `azp` or `client_id` name them. Empty: anybody.
    pub authorized_parties: Vec<String>,
    /// `max_age:` the longest time since `iat`.
    pub max_age: Option<Duration>,
    /// `max_lifetime:` the longest time from `iat` to `exp`.
    pub max_lifetime: Option<Duration>,
}

/// One of `required_claims:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Which.
    pub path: ClaimPath,
    /// What it must be, or if it is a list hold, one of these. Empty: anything but `null`.
    pub one_of: Vec<ClaimValue>,
}

impl From<ClaimPath> for RequiredClaim {
    /// It must be there.
    fn from(path: ClaimPath) -> Self {
        Self { path, one_of: Vec::new() }
    }
}

/// A value that a claim may be required to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimValue {
    /// This text, byte by byte.
    Text(String),
    /// `true` or `false`, as in `email_verified`.
    Bool(bool),
}

/// Which `iss` is a provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerRule {
    /// This text, compared byte by byte.
    Exactly(String),
    /// `issuer: any`: whatever the token says, or nothing.
    Any,
}

/// Which `aud` a provider's tokens must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// `audiences: any`, or nothing said for the gateway's own keys: `aud` is not looked at.
    Any,
    /// At least one of these.
    OneOf(Vec<String>),
    /// `audiences: { all: [a, b] }`: each of these.
    AllOf(Vec<String>),
}

/// `keys:` of a provider.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// `own: true`: the issuer's key ring, or its `signing_key`.
    Own,
    /// `pem_file:` one public key or certificate.
    PemFile(PathBuf),
    /// `jwks_file:` a JWK set.
    JwksFile(PathBuf),
    /// `jwks:` a JWK set within the file, as JSON.
    Jwks(Secret),
    /// `secret:` a shared secret for HMAC.
    Secret(Secret),
    /// `jwks_url:` or `discovery: true`: a JWK set on another server.
    Remote(Box<RemoteKeys>),
    /// `introspection:` in place of keys: the provider itself says whether a token is good.
    Introspection(Box<Introspection>),
}

/// Keys that are fetched, and fetched again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteKeys {
    /// Where they are.
    pub location: KeyLocation,
    /// `refresh:`.
    pub refresh: Refresh,
    /// `fetch:`.
    pub fetch: Fetch,
}

/// Where a provider publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyLocation {
    /// `jwks_url:` an absolute URL with a host, `http` or `https`.
    Url(Uri),
    /// `discovery: true`: where the document of this issuer, an absolute URL without a query, says.
    Discovery(String),
}

/// `introspection:` of a provider: where it is asked about each token (RFC 7662), and how often.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// `endpoint:` an absolute URL with a host, `http` or `https`.
    pub endpoint: Uri,
    /// As whom the gateway asks.
    pub client_id: String,
    /// What it proves that with.
    pub client_secret: Secret,
    /// How long the answer about an active token counts, if its `exp` does not come first; default 60s.
    pub cache: Duration,
    /// How long the answer about any other token counts; default 5s.
    pub negative_cache: Duration,
    /// How many questions may be open at once; default 64.
    pub max_concurrent: u32,
    /// How many questions may be asked in a second; default 200.
    pub max_per_second: u32,
    /// How it is asked.
    pub fetch: Fetch,
}

/// `refresh:` of a provider: when its keys are fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refresh {
    /// The longest time between two fetches; default 10m.
    pub every: Duration,
    /// The longest rest after a fetch that brought nothing new, and the least `max-age` that counts; default 30s.
    pub cooldown: Duration,
    /// How long keys are used after the last fetch that went well, never less than `every`; default 24h.
    pub stale_if_error: Duration,
}

/// `fetch:` of a provider: how its keys are fetched, or its introspection endpoint asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fetch {
    /// To a connection, TLS included; default 2s.
    pub connect_timeout: Duration,
    /// To the answer's last byte; default 5s.
    pub timeout: Duration,
    /// The longest answer; default 512KiB.
    pub max_body: ByteSize,
    /// `http://` is taken.
    pub allow_http: bool,
    /// Loopback and private addresses are connected to.
    pub allow_private_addresses: bool,
    /// The only authorities to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// An `http://` proxy with host and port, through which the server is reached.
    pub proxy: Option<Uri>,
}

/// `issuer:`: the built-in token endpoints.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Whose behaviour it has where the two differ.
    pub compatibility: Compatibility,
    /// `sqlite://PATH`: users, sessions, blacklist.
    pub store: PathBuf,
    /// Where the endpoints are.
    pub paths: TokenPaths,
    /// `exp - iat` of an access token; default 5m.
    pub access_token_lifetime: Duration,
    /// `exp - iat` of a refresh token; default 1d.
    pub refresh_token_lifetime: Duration,
    /// A refresh answers with a new refresh token too; default true, SimpleJWT's false.
    pub rotate_refresh_tokens: bool,
    /// The rotated token is refused from then on; default true, SimpleJWT's false.
    pub blacklist_after_rotation: bool,
    /// What tokens are signed with; default ES256, SimpleJWT's HS256.
    pub algorithm: Algorithm,
    /// `signing_key:` an HMAC secret, or a private key in PEM. `None`: the key ring.
    pub signing_key: Option<Secret>,
    /// `key_ring:` its folder; default `keys` below `state.directory`.
    pub key_ring: PathBuf,
    /// Claims added to each user's tokens, in the order of the file.
    pub claims: Vec<(String, ClaimSource)>,
    /// `iss` of the tokens: that of the provider with own keys, unless it says `any`.
    pub issuer: Option<String>,
    /// `aud` of the tokens: the audiences of the provider with own keys.
    pub audiences: Vec<String>,
    /// How far clocks may differ when a refresh token is read: the leeway of the provider with own keys.
    pub leeway: Duration,
}

/// `compatibility:` of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Tollgate's own, safer where the two differ.
    Tollgate,
    /// djangorestframework-simplejwt to the letter.
    SimpleJwt,
}

/// `paths:` of the issuer, each absolute.
#[derive(Debug, Clone)]
pub struct TokenPaths {
    /// Log in; default `/api/token/`.
    pub obtain: String,
    /// Trade a refresh token; default `/api/token/refresh/`.
    pub refresh: String,
    /// Ask whether a token is good; default `/api/token/verify/`.
    pub verify: String,
    /// End a refresh token; default `/api/token/blacklist/`.
    pub blacklist: String,
}

/// Where the value of an added claim comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimSource {
    /// `{ from: username }`.
    Username,
    /// `{ from: email }`.
    Email,
    /// `{ from: roles }`: names joined by blanks, as a scope is written.
    Roles,
    /// `{ value: … }`: this text.
    Constant(String),
}

/// One of `upstreams:`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its key in the file, or the URL.
    pub name: UpstreamName,
    /// Where requests go.
    pub target: UpstreamTarget,
    /// `timeouts:`.
    pub timeouts: UpstreamTimeouts,
    /// `host:` replaces `Host` as received.
    pub host: Option<HeaderValue>,
}

/// What answers for an upstream.
#[derive(Debug, Clone)]
pub enum UpstreamTarget {
    /// `endpoints: [http://HOST:PORT]`.
    Http {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `builtin: echo`: shows the request that it got.
    Echo,
}

/// `timeouts:` of an upstream.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// To a connection; default 2s.
    pub connect: Duration,
    /// From the request's last byte to the answer's head; default 30s.
    pub response: Duration,
    /// Between two pieces of a body, and for a connection without work; default 60s.
    pub idle: Duration,
}

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
    /// Index into [`Config::upstreams`].
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
    /// A token of one of these providers (indices into [`Config::providers`], at least one).
    Required {
        /// Any of these.
        providers: Vec<usize>,
        /// What becomes of a request without a token.
        mode: AuthMode,
        /// Where the token is; at least one place, no two the same.
        token_from: Vec<TokenSource>,
    },
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

/// `observability:`.
#[derive(Debug, Clone)]
pub struct Observability {
    /// `access_log.to`: one JSON line a request, on standard output unless `off`.
    pub access_log: bool,
}
