//! `issuer:` as meant.

use std::path::PathBuf;
use std::time::Duration;

use super::{ClaimHook, ClaimQuery, Database, IssuerRule, Provider, SessionRules, TokenForm, Users};
use crate::base::{Algorithm, Rate, Secret, UnixTime};

/// No lifetime that the file can say is longer: ten years are more than any session.
pub(in crate::config) const LONGEST_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// `issuer:`: the built-in token endpoints.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Whose behaviour it has where the two differ.
    pub compatibility: Compatibility,
    /// Sessions, blacklist, revocations, Tollgate's own users; default `tollgate.db` in the state directory.
    pub store: Database,
    /// Where those live who may log in; default `own`.
    pub users: Users,
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
    /// How sessions live and end.
    pub sessions: SessionRules,
    /// What tokens are signed with; default ES256, SimpleJWT's HS256.
    pub algorithm: Algorithm,
    /// `signing_key:` an HMAC secret, or a private key in PEM. `None`: the key ring.
    pub signing_key: Option<Secret>,
    /// `verifying_key:` the public half of `signing_key` in PEM, if it is said: the two must fit.
    pub verifying_key: Option<Secret>,
    /// `key_ring:` its folder; default `keys` below `state.directory`.
    pub key_ring: PathBuf,
    /// `update_last_login:` a login writes its time to the user's row; default true, SimpleJWT's false.
    pub update_last_login: bool,
    /// How tokens look and how they are looked at.
    pub form: TokenForm,
    /// Claims added to each user's tokens, in the order of the file.
    pub claims: Vec<(String, ClaimSource)>,
    /// `hook:` who knows more claims.
    pub hook: Option<ClaimHook>,
    /// `throttle:` which failed logins are slowed down.
    pub throttle: Throttle,
    /// The providers whose refresh tokens are exchanged for a session here.
    pub exchange: Vec<Provider>,
    /// `iss` of the tokens: that of the provider with own keys, unless it says `any`.
    pub issuer: Option<String>,
    /// `aud` of the tokens: the audiences of the provider with own keys.
    pub audiences: Vec<String>,
    /// How far clocks may differ when a refresh token is read: the leeway of the provider with own keys.
    pub leeway: Duration,
    /// So long after its `exp` may a token still be taken by some provider of the file.
    pub longest_leeway: Duration,
    /// What credentials are called in the challenge of a 401 (RFC 9110, section 11.6.1): as on the first route that takes
    /// the issuer's tokens, `Bearer` where none does or that one names no scheme.
    pub scheme: String,
}

impl Issuer {
    /// No token lives longer, unless an operator makes it.
    #[must_use]
    pub fn longest_lifetime(&self) -> Duration {
        let usual = self.access_token_lifetime.max(self.refresh_token_lifetime);
        if self.paths.sliding_obtain.is_some() { usual.max(self.form.sliding.longest_life()) } else { usual }
    }
}

impl Issuer {
    /// The other issuers under whose names tokens of the same users may be out: those whose refresh tokens are exchanged.
    #[must_use]
    pub fn predecessors(&self) -> Vec<Predecessor> {
        let mut all = Vec::new();
        for provider in &self.exchange {
            let until = provider.rules.until.map(|until| until.at);
            let issuers = match &provider.issuer {
                IssuerRule::Exactly(issuer) => vec![Some(issuer.clone())],
                IssuerRule::OneOf(spellings) => spellings.iter().cloned().map(Some).collect(),
                // What a provider of any issuer is told of, it finds under no name.
                IssuerRule::Any | IssuerRule::Tenants(_) => vec![None],
            };
            all.extend(issuers.into_iter().map(|issuer| Predecessor { issuer, until }));
        }
        all
    }
}

/// Who issued tokens to the users of an issuer before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// `iss` of its tokens; `None` if they name none.
    pub issuer: Option<String>,
    until: Option<UnixTime>,
}

impl Predecessor {
    /// When the last of its tokens that are out has expired or is taken no more.
    #[must_use]
    pub fn end(&self, now: UnixTime) -> UnixTime {
        // How long its tokens live is nowhere in the file.
        self.until.unwrap_or_else(|| now.plus(LONGEST_LIFETIME))
    }
}

/// `compatibility:` of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Tollgate's own, safer where the two differ.
    Tollgate,
    /// djangorestframework-simplejwt to the letter.
    SimpleJwt,
}

/// `paths:` of the issuer, each absolute. `None`, written as `off`: there is no such endpoint.
#[derive(Debug, Clone, Default)]
pub struct TokenPaths {
    /// Log in; default `/api/token/`.
    pub obtain: Option<String>,
    /// Trade a refresh token; default `/api/token/refresh/`.
    pub refresh: Option<String>,
    /// Ask whether a token is good; default `/api/token/verify/`.
    pub verify: Option<String>,
    /// End a refresh token; default `/api/token/blacklist/`.
    pub blacklist: Option<String>,
    /// End a session; default `/api/token/logout/`.
    pub logout: Option<String>,
    /// End all sessions of a user; default `/api/token/logout/all/`.
    pub logout_all: Option<String>,
    /// Log in for a sliding token; default off.
    pub sliding_obtain: Option<String>,
    /// Renew a sliding token; default off.
    pub sliding_refresh: Option<String>,
}

impl TokenPaths {
    /// All that are there.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let Self { obtain, refresh, verify, blacklist, logout, logout_all, sliding_obtain, sliding_refresh } =
            self;
        let paths = [obtain, refresh, verify, blacklist, logout, logout_all, sliding_obtain, sliding_refresh];
        paths.into_iter().flatten().map(String::as_str)
    }
}

/// `throttle:` of the issuer: how many failed logins are taken before one has to wait. `None`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle {
    /// With one name from one network; default 10/1m.
    pub per_account: Option<Rate>,
    /// From one address, whatever the name; default 30/1m.
    pub per_address: Option<Rate>,
    /// With one name, from all networks together that never logged in with it; default 100/10m.
    pub account_ceiling: Option<Rate>,
}

/// Where the value of an added claim comes from.
#[derive(Debug, Clone)]
pub enum ClaimSource {
    /// `{ from: username }`.
    Username,
    /// `{ from: email }`.
    Email,
    /// `{ from: roles }`: names joined by blanks, as a scope is written.
    Roles,
    /// `{ from: groups }`: names of roles as a list.
    Groups,
    /// `{ from: scopes }`: those of a user of the gateway's own, joined by blanks.
    Scopes,
    /// `{ column: NAME }`: what else the place of users knows by this name; left out of a user's tokens where nothing
    /// is known.
    Column(String),
    /// `{ query: … }`: what a database says of the user.
    Query(Box<ClaimQuery>),
    /// `{ value: … }`: this text.
    Constant(String),
}
