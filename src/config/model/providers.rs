//! `providers:` as meant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::base::{AlgorithmSet, ByteSize, ClaimPath, ProviderName, Secret, UnixTime};
use crate::config::tenant_pattern::TenantPattern;
use crate::config::token_typ::TokenTyp;

use super::fetch::{Credential, EgressProxy, OwnCertificate};

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
    /// `exchange_refresh_tokens:` its refresh tokens begin sessions at the built-in issuer.
    pub exchange_refresh_tokens: bool,
    /// `until:` from then on none of its tokens is taken.
    pub until: Option<Until>,
    /// `max_age:` the longest time since `iat`.
    pub max_age: Option<Duration>,
    /// `max_lifetime:` the longest time from `iat` to `exp`.
    pub max_lifetime: Option<Duration>,
    /// What the issuer says of its own tokens, for the provider with own keys; it takes the place of
    /// [`Provider::token_type`].
    pub own: Option<OwnTokenRules>,
}

/// How the built-in issuer's tokens are looked at.
#[derive(Debug, Clone)]
pub struct OwnTokenRules {
    /// The claim that tells the type.
    pub token_type_claim: String,
    /// What it may be.
    pub token_types: Vec<String>,
    /// The claim that must name the token. `None`: it may be absent.
    pub id_claim: Option<String>,
}

/// `until:` of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// The first moment at which its tokens are refused.
    pub at: UnixTime,
    /// Line and column in the file, from 1.
    pub place: (usize, usize),
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
    /// A list of these texts, which are spellings of one issuer: the first is the name by which others are told of it.
    /// Never less than two.
    OneOf(Vec<String>),
    /// One issuer for each tenant of a provider.
    Tenants(Tenants),
    /// `issuer: any`: whatever the token says, or nothing.
    Any,
}

/// The tenants of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenants {
    /// How the issuer of each is spelled; never empty. The first is the name by which others are told of it.
    pub patterns: Vec<TenantPattern>,
    /// `tenants.allow`: which of them count.
    pub allow: AllowedTenants,
    /// `tenants.max`: of how many the keys are held at once; default 1000.
    pub max: u32,
}

/// Which tenants count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedTenants {
    /// `any`: all that the provider has.
    Any,
    /// These.
    Only(BTreeSet<String>),
}

impl IssuerRule {
    /// Whether it names this very issuer. `issuer: any` names none.
    #[must_use]
    pub fn names(&self, issuer: &str) -> bool {
        match self {
            Self::Exactly(own) => own == issuer,
            Self::OneOf(own) => own.iter().any(|own| own == issuer),
            Self::Tenants(tenants) => tenants.tenant_of(issuer).is_some(),
            Self::Any => false,
        }
    }

    /// The tenant whose issuer this is, if it is one that counts.
    #[must_use]
    pub fn tenant_of<'i>(&self, issuer: &'i str) -> Option<&'i str> {
        match self {
            Self::Tenants(tenants) => tenants.tenant_of(issuer),
            Self::Exactly(_) | Self::OneOf(_) | Self::Any => None,
        }
    }
}

impl Tenants {
    /// The tenant whose issuer this is, if it is one that counts.
    #[must_use]
    pub fn tenant_of<'i>(&self, issuer: &'i str) -> Option<&'i str> {
        let counts = |tenant: &&str| match &self.allow {
            AllowedTenants::Any => true,
            AllowedTenants::Only(allowed) => allowed.contains(*tenant),
        };
        self.patterns.iter().filter_map(|pattern| pattern.tenant_of(issuer)).find(counts)
    }

    /// The name of a tenant's issuer by which others are told of it.
    #[must_use]
    pub fn issuer_of(&self, tenant: &str) -> Option<String> {
        self.patterns.first()?.url_of(tenant)
    }
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
    /// `jwks_url:` with `{tenant}`, or `discovery: true` with one in the issuer: a JWK set for each tenant.
    RemoteByTenant(Box<TenantKeys>),
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
    /// `fetch:`; the same for all tenants.
    pub fetch: Arc<Fetch>,
}

/// Keys that are fetched for each tenant by itself, when the first token of it comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantKeys {
    /// Where they are.
    pub location: TenantKeyLocation,
    /// `refresh:`.
    pub refresh: Refresh,
    /// `fetch:`.
    pub fetch: Arc<Fetch>,
}

/// Where a provider publishes the keys of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TenantKeyLocation {
    /// `jwks_url:`.
    Url(TenantPattern),
    /// `discovery: true`: where the document of the tenant's issuer says.
    Discovery(TenantPattern),
}

impl TenantKeys {
    /// The keys of one tenant; `None` where its name does not fit.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Option<RemoteKeys> {
        let location = match &self.location {
            TenantKeyLocation::Url(url) => KeyLocation::Url(url.url_of(tenant)?.parse().ok()?),
            TenantKeyLocation::Discovery(issuer) => KeyLocation::Discovery(issuer.url_of(tenant)?),
        };
        Some(RemoteKeys { location, refresh: self.refresh, fetch: Arc::clone(&self.fetch) })
    }
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
    /// `on_error:` with `stale_if_error:`.
    pub on_error: OnIntrospectionError,
    /// How it is asked.
    pub fetch: Fetch,
}

/// What becomes of a token while nobody says what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnIntrospectionError {
    /// `refuse`, the default: it is answered 503.
    Refuse,
    /// `stale`: the last answer about it counts for so long after it came, but never beyond its `exp`; default 10m, or `cache`
    /// where that is longer.
    Stale(Duration),
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
    /// Through which proxy the server is reached.
    pub proxy: EgressProxy,
    /// What the server wants to see; shown to the server that the file names, and not to one that a document names.
    pub credential: Option<Credential>,
    /// The gateway's own certificate, shown to the same servers.
    pub client_certificate: Option<OwnCertificate>,
}
