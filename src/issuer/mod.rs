//! The token endpoints: log in, refresh, verify, log out, on the wire of djangorestframework-simplejwt.
//!
//! A request goes through [`Issuer::answer`]: media types → method → body → one of the actions. What it
//! gets instead of tokens is a value of one enum, `refused::Refused`. Everything here runs on the control plane:
//! it waits for a database and hashes passwords.

mod actions;
mod answer;
mod body;
mod ended;
mod endpoint;
mod exchange;
mod fields;
mod fingerprint;
mod fresh_claims;
mod hook;
mod keys;
mod logout;
mod media_type;
mod mint;
mod mirror;
mod presented;
mod refused;
mod rotation;
mod session_event;
mod site;
mod sliding;
mod standing;
mod successor;
mod throttle;
mod token_press;
mod upkeep;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use self::answer::Granted;
use self::body::Body;
use self::exchange::Exchange;
use self::keys::Keys;
use self::logout::Extent;
use self::media_type::{LONGEST, MediaType, latin1};
use self::mint::Mint;
use self::refused::Refused;
use self::site::Site;
use self::successor::Successors;
use self::throttle::Throttle;
use crate::base::UnixTime;
use crate::config::{self, Compatibility, Predecessor, SessionRules, TokenForm, TokenPaths};
use crate::http::client::ClientTlsError;
use crate::jwt::{KeyError, KeySet, Policy, SigningError};
use crate::providers::ProviderError;
use crate::revocations::Revocations;
use crate::store::{
    self, ClaimQueryError, Ending, KeyRingError, Missing, OwnUsers, PasswordError, Passwords, Sessions,
    Unanswered, Users,
};
use crate::telemetry::Metrics;

pub use answer::{Answer, Outcome};
pub use endpoint::{Action, Endpoint};
pub use fields::{UnusableCredential, check_credential};
pub use fresh_claims::{FreshClaims, FreshClaimsError};
pub use hook::HookError;
pub use session_event::SessionEvent;
pub use site::{end_user_at_site, open_mirror};
pub use standing::{Standing, Subject};
pub use token_press::TokenPress;
pub use upkeep::{ShuttingOut, shut_out};

/// The built-in issuer: one for the process, behind an `Arc`.
pub struct Issuer {
    compatibility: Compatibility,
    paths: TokenPaths,
    rotate: bool,
    blacklist_after_rotation: bool,
    rules: SessionRules,
    /// `iss` of its tokens.
    name: Option<String>,
    update_last_login: bool,
    form: TokenForm,
    leeway: Duration,
    /// So long after their `exp` its tokens may still be taken.
    longest_leeway: Duration,
    /// The `WWW-Authenticate` of each 401.
    challenge: HeaderValue,
    keys: Keys,
    mint: Mint,
    fresh_claims: FreshClaims,
    policy: Policy,
    sliding_policy: Policy,
    users: Box<dyn Users>,
    own_users: Arc<dyn OwnUsers>,
    passwords: Arc<Passwords>,
    throttle: Throttle,
    sessions: Arc<dyn Sessions>,
    /// Providers whose refresh tokens are exchanged.
    exchanges: Vec<Exchange>,
    predecessors: Vec<Predecessor>,
    site: Option<Site>,
    successors: OnceCell<Successors>,
    revocations: Arc<Revocations>,
    metrics: Arc<Metrics>,
}

/// What the issuer shares with the rest of the process.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Where the end of a session is made known.
    pub revocations: Arc<Revocations>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for Issuer {
    /// Neither keys nor users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// Why the issuer can't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The folder of keys.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// `issuer.signing_key`.
    #[error("`issuer.signing_key` can't be used")]
    SigningKey(#[from] SigningError),
    /// `issuer.verifying_key`.
    #[error("`issuer.verifying_key` is not the public half of `issuer.signing_key`")]
    OtherVerifyingKey,
    /// A key signs but does not verify.
    #[error("a signing key can't verify what it signs")]
    VerificationKey(#[from] KeyError),
    /// A query of `issuer.claims`.
    #[error(transparent)]
    Query(#[from] ClaimQueryError),
    /// Whom to trust with `issuer.hook`.
    #[error("issuer.hook.fetch.ca: {0}")]
    Hook(#[from] ClientTlsError),
    /// The keys of a provider whose refresh tokens are exchanged.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No memory or no randomness.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Issuer {
    /// Opens database and keys; with `make_missing` it makes them where there are none, and the database also if users
    /// live elsewhere. `cores` is how many
    /// passwords may be hashed at once. Must be called on the control plane's runtime, which then serves it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        config: &config::Issuer,
        make_missing: bool,
        cores: usize,
        now: UnixTime,
        shared: Shared,
    ) -> Result<Self, OpenError> {
        // Without users of its own in it, an empty database is no sign of a wrong path.
        let users_live_here = matches!(config.users, config::Users::Own);
        let missing = if make_missing || !users_live_here { Missing::Create } else { Missing::Refuse };
        let keys = Keys::open(config, make_missing, now)?;
        let store = store::open_store(&config.store, missing, Unanswered::Wait).await?;
        let passwords = Arc::new(Passwords::new(Handle::current(), cores));
        Ok(Self {
            compatibility: config.compatibility,
            paths: config.paths.clone(),
            rotate: config.rotate_refresh_tokens,
            blacklist_after_rotation: config.blacklist_after_rotation,
            rules: config.sessions.clone(),
            name: config.issuer.clone(),
            keys,
            mint: Mint::new(config),
            fresh_claims: FreshClaims::open(config).await?,
            policy: presented::policy(config, "refresh"),
            sliding_policy: presented::policy(config, "sliding"),
            update_last_login: config.update_last_login,
            form: config.form.clone(),
            leeway: config.leeway,
            challenge: answer::challenge(&config.scheme),
            longest_leeway: config.longest_leeway,
            users: store::open_users(
                &config.users,
                Arc::clone(&store) as _,
                Arc::clone(&store) as _,
                Arc::clone(&passwords),
            )
            .await?,
            own_users: Arc::clone(&store) as _,
            passwords,
            throttle: Throttle::new(&config.throttle, Arc::clone(&store) as _),
            sessions: store,
            exchanges: Exchange::open(&config.exchange)?,
            predecessors: config.predecessors(),
            site: Site::open(&config.users, &shared.metrics).await?,
            successors: OnceCell::new(),
            revocations: shared.revocations,
            metrics: shared.metrics,
        })
    }

    /// The endpoint that a normalized path names, if any.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> Option<Endpoint> {
        Endpoint::find(&self.paths, self.compatibility, path)
    }

    /// Answers a request to an endpoint. The caller has limited the body, knows the `client` behind trusted proxies
    /// and reads the clock. Takes a few seconds at most, whatever state the database is in.
    pub async fn answer(
        &self,
        endpoint: Endpoint,
        request: Request<Bytes>,
        client: IpAddr,
        now: UnixTime,
    ) -> Answer {
        if endpoint.redirect {
            return Answer::redirect(self.with_slash(endpoint.action, &request));
        }
        let is_head = request.method() == Method::HEAD;
        let answer = match self.grant(endpoint.action, &request, client, now).await {
            Ok(granted) => {
                let holds_tokens = matches!(granted.outcome, Outcome::Issued | Outcome::Refreshed);
                // SimpleJWT says nothing about caches; a POST is hardly ever kept, but these are tokens.
                let no_store = holds_tokens && self.compatibility == Compatibility::Tollgate;
                Answer::granted(granted, no_store)
            }
            Err(refused) => Answer::refused(refused, &self.challenge),
        };
        if is_head { answer.without_body() } else { answer }
    }

    async fn grant(
        &self,
        action: Action,
        request: &Request<Bytes>,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        let format = match self.compatibility {
            Compatibility::SimpleJwt => named_format(request.uri().query())?,
            Compatibility::Tollgate => None,
        };
        negotiate(request.headers(), format)?;
        match *request.method() {
            Method::POST => {}
            Method::OPTIONS => {
                return Ok(Granted { body: action.metadata(), outcome: Outcome::Described, subject: None });
            }
            ref other => return Err(Refused::Method(other.clone())),
        }
        let body = Body::read(request.headers(), request.body())?;
        if action.takes_tokens() && !self.revocations.is_loaded() {
            return Err(Refused::RevocationsUnread);
        }
        match action {
            Action::Obtain => self.obtain(&body, client, now).await,
            Action::Refresh => self.refresh(&body, now).await,
            Action::Verify => self.verify(&body, now).await,
            Action::Blacklist => self.blacklist(&body, now).await,
            Action::Logout => self.logout(request.headers(), &body, Extent::Session, now).await,
            Action::LogoutAll => self.logout(request.headers(), &body, Extent::User, now).await,
            Action::SlidingObtain => self.sliding_obtain(&body, client, now).await,
            Action::SlidingRefresh => self.sliding_refresh(&body, now).await,
        }
    }

    fn with_slash(&self, action: Action, request: &Request<Bytes>) -> HeaderValue {
        let path = action.path(&self.paths).unwrap_or("/");
        let query = request.uri().query().map(|query| format!("{path}?{query}"));
        query
            .and_then(|location| HeaderValue::try_from(location).ok())
            .or_else(|| HeaderValue::from_str(path).ok())
            .unwrap_or(HeaderValue::from_static("/"))
    }

    /// The public keys as a JWK set (RFC 7517, section 5); never a shared secret.
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.keys.jwks.clone()
    }

    /// The keys that verify our tokens, for the provider with own keys.
    #[must_use]
    pub fn key_set(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.set)
    }

    /// Which tokens are void before their time.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The database of sessions.
    #[must_use]
    pub fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }

    /// What the revocations of a session that ends now say.
    fn ending(&self, now: UnixTime) -> Ending<'_> {
        Ending { issuer: self.name.as_deref(), leeway: self.longest_leeway, now }
    }

    /// The gateway's own users.
    #[must_use]
    pub fn own_users(&self) -> &dyn OwnUsers {
        &*self.own_users
    }

    /// Hashes passwords, for whoever adds users.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }
}

/// The media types of Django REST framework's answers. Who asks for the second gets JSON here.
const RENDERED: [&str; 2] = ["application/json", "text/html"];

/// So many media ranges of an `Accept` are looked at, as Django REST framework does.
const MOST_RANGES: usize = 64;

/// The only one of [`RENDERED`] that a query leaves, as `?format=json` does.
fn named_format(query: Option<&str>) -> Result<Option<&'static str>, Refused> {
    let format = query.and_then(|query| body::last_of(query, "format")).unwrap_or_default();
    match format.as_str() {
        "" => Ok(None),
        "json" => Ok(Some(RENDERED[0])),
        "api" => Ok(Some(RENDERED[1])),
        _ => Err(Refused::UnknownFormat),
    }
}

/// Whether the client takes what is rendered, or the one of them that it named.
fn negotiate(headers: &HeaderMap, format: Option<&str>) -> Result<(), Refused> {
    let mut accepts = headers.get_all(ACCEPT).iter().peekable();
    if accepts.peek().is_none() {
        return Ok(());
    }
    let takes_ours = accepts.any(|value| {
        let value = latin1(value.as_bytes());
        let ranges = value.split(',').map(str::trim);
        let ranges = ranges.filter(|range| (1..=LONGEST).contains(&range.chars().count()));
        ranges.take(MOST_RANGES).map(MediaType::parse).any(|range| {
            RENDERED.iter().any(|ours| format.is_none_or(|only| only == *ours) && range.overlaps(ours))
        })
    });
    if takes_ours { Ok(()) } else { Err(Refused::NotAcceptable) }
}

#[cfg(test)]
mod tests;
