//! Who is calling: from a request's credentials to a [`Caller`].
//!
//! "Sent nothing" and "sent something bad" are different facts with different answers (RFC 6750, section 3.1). A
//! token's signature is checked once and then remembered; the policy of the provider is asked on every request.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use http::request;

use super::credentials::Presented;
use super::introspect::{introspect, to_ask};
use super::revoked::{refuse_revoked, refuse_unloaded};
use super::snapshot::{Auth, Providers, Route};
use super::token_cache::{KnownToken, Level, VerifiedToken};
use super::user_check::user_check;
use super::worker::Worker;
use crate::base::{ReasonCode, ShortText, UnixTime};
use crate::config::AuthMode;
use crate::http::Refusal;
use crate::jwt::{self, Key, KeySetId, PolicyError, Token, VerifyError};
use crate::providers::{KeySource, KeysOf, Provider, candidates};

/// Who sent a request, as far as is known.
#[derive(Debug)]
pub(super) enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// The subject of a good token.
    Known(Principal),
}

/// A good token and the provider whose policy it meets. Only this file and `introspect.rs` make one.
#[derive(Debug)]
pub(super) struct Principal {
    pub(super) token: Rc<KnownToken>,
    pub(super) provider: Arc<Provider>,
}

impl Principal {
    /// The subject for the log: `sub`, or SimpleJWT's `user_id`.
    pub(super) fn subject(&self) -> Option<&str> {
        let claims = &self.token.token.claims;
        claims.subject().or_else(|| claims.members().get("user_id")?.as_str())
    }
}

impl Worker {
    /// Whether a request to the route of this index in the file shows a good token: the part of its way from the header
    /// to who is calling, for those who measure that alone.
    pub async fn knows_caller(&self, route: usize, head: &request::Parts, now: UnixTime) -> bool {
        let Some(route) = self.snapshot.routes.get(route) else { return false };
        matches!(authenticate(self, route, head, now).await, Ok(Caller::Known(_)))
    }
}

/// Finds out who sent a request. On a public route nobody asks.
///
/// # Errors
/// Credentials that were sent and are not good.
pub(super) async fn authenticate(
    worker: &Worker,
    route: &Route,
    head: &request::Parts,
    now: UnixTime,
) -> Result<Caller, Refusal> {
    let Auth::Required { providers, mode, credentials, standing_check, .. } = &route.auth else {
        return Ok(Caller::Anonymous);
    };
    let outcome = match credentials.presented(head) {
        Presented::Nothing => {
            if *mode == AuthMode::Enforce {
                worker.authentications.refused(ReasonCode::NoToken);
            }
            return Ok(Caller::Anonymous);
        }
        Presented::Unusable => Err(Refusal::invalid_token(ReasonCode::MalformedCredentials)),
        Presented::Several => Err(Refusal::AmbiguousCredentials),
        Presented::Token(text) => match (principal(worker, providers, &text, now).await, standing_check) {
            (Ok(principal), Some((own, check))) if principal.provider.index() == *own => {
                user_check(worker, *check, &principal).await.map(|()| principal)
            }
            (outcome, _) => outcome,
        },
    };
    match &outcome {
        Ok(_) => worker.authentications.accepted(),
        Err(refusal) => worker.authentications.refused(refusal.reason()),
    }
    outcome.map(Caller::Known)
}

async fn principal(
    worker: &Worker,
    providers: &Providers,
    text: &[u8],
    now: UnixTime,
) -> Result<Principal, Refusal> {
    refuse_unloaded(worker)?;
    let principal = known_or_verified(worker, providers, text, now).await?;
    refuse_revoked(worker, &principal.token, now)?;
    Ok(principal)
}

async fn known_or_verified(
    worker: &Worker,
    providers: &Providers,
    text: &[u8],
    now: UnixTime,
) -> Result<Principal, Refusal> {
    if let Some((token, level)) = worker.tokens.find(text)
        && let Some(outcome) = check_known(&providers.with_keys, &token, now)
    {
        match level {
            Level::Worker => worker.cache_lookups.worker_hit(),
            Level::Shared => worker.cache_lookups.shared_hit(),
        }
        return Ok(Principal { token, provider: Arc::clone(outcome?) });
    }
    verify(worker, providers, text, now).await
}

/// The policies of those providers whose keys made the signature; `None` if the route has none of them.
fn check_known<'p>(
    providers: &'p [Arc<Provider>],
    known: &KnownToken,
    now: UnixTime,
) -> Option<Result<&'p Arc<Provider>, Refusal>> {
    let token = &known.token;
    let mut refusal = None;
    for provider in candidates(providers, token.claims.issuer()) {
        if !provider.judges_by(&token.source, token.claims.issuer(), now) {
            continue;
        }
        if !token.source.counts_at(now) {
            refusal.get_or_insert(Err(Refusal::KeysUnavailable));
            continue;
        }
        match provider.check(token.typ.as_deref(), &token.claims, now) {
            Ok(()) => return Some(Ok(provider)),
            Err(error) => refusal = Some(Err(refused_by_policy(&error))),
        }
    }
    refusal
}

/// The long way: parse, choose providers by issuer, check the signature, then the policy. A token whose key is not
/// known waits for the provider's keys to be fetched again, where that may be, and gets a second try with them.
async fn verify(
    worker: &Worker,
    providers: &Providers,
    text: &[u8],
    now: UnixTime,
) -> Result<Principal, Refusal> {
    let parsed = jwt::parse(text, &worker.token_limits);
    let asked = to_ask(providers, text, &parsed);
    if !asked.is_empty() {
        // Boxed, so that requests with other tokens do not carry its state.
        return Box::pin(introspect(worker, asked, text, now)).await;
    }
    let providers = providers.with_keys.as_slice();
    let token = parsed.map_err(|error| Refusal::InvalidToken {
        reason: error.reason(),
        detail: Some(error.to_string().into()),
    })?;
    let vouched = match vouching_provider(worker, providers, text, &token, now) {
        Err(unvouched) if newer_keys(&unvouched, &token).await => {
            vouching_provider(worker, providers, text, &token, now)
        }
        outcome => outcome,
    };
    let Vouched { provider, source, key } = vouched.map_err(|unvouched| unvouched.refusal(&token))?;
    let verified = VerifiedToken {
        text: text.into(),
        typ: token.typ().map(Into::into),
        key: Some(key),
        source,
        names: worker.snapshot.revocations.names(token.claims(), token.signing_input()),
        claims: token.into_claims(),
    };
    Ok(Principal { token: worker.tokens.insert(verified), provider: Arc::clone(provider) })
}

/// A provider that vouches for a token, by one of its keys.
struct Vouched<'p> {
    provider: &'p Arc<Provider>,
    source: Arc<KeySource>,
    key: Arc<Key>,
}

/// Why no provider vouches for a token.
#[derive(Debug, Default)]
struct Unvouched<'p> {
    /// A provider's key made the signature, and its rules do not hold.
    by_policy: Option<PolicyError>,
    /// A provider that could have made it has no keys at present.
    keys_unavailable: bool,
    /// The providers that have such a tenant, whose keys are to come.
    to_come: Vec<&'p Provider>,
    /// The keys that did not make it.
    by_keys: Vec<UnfitKeys<'p>>,
    /// The keys, by their set, that did, where the rules of their provider do not hold.
    signed_by: Vec<(KeySetId, Arc<Key>)>,
}

/// Keys that did not make a token.
#[derive(Debug)]
struct UnfitKeys<'p> {
    provider: &'p Provider,
    source: Arc<KeySource>,
    set: KeySetId,
    why: VerifyError,
}

impl Unvouched<'_> {
    /// What was found of these keys: providers that share them share the finding, so that a token does not cost a signature
    /// check for each.
    fn finding(&self, keys: KeySetId) -> Option<Result<Arc<Key>, VerifyError>> {
        if let Some((_, key)) = self.signed_by.iter().find(|(set, _)| *set == keys) {
            return Some(Ok(Arc::clone(key)));
        }
        // What one provider does not allow, another may.
        let of_keys = |error: &VerifyError| !matches!(error, VerifyError::AlgorithmNotAllowed { .. });
        let refused = self.by_keys.iter().find(|unfit| unfit.set == keys && of_keys(&unfit.why));
        refused.map(|unfit| Err(unfit.why.clone()))
    }

    /// A good signature says more than an absent one; and while some keys are not there, nobody can tell whether the
    /// token is bad.
    fn refusal(self, token: &Token<'_>) -> Refusal {
        if let Some(error) = self.by_policy {
            return refused_by_policy(&error);
        }
        if self.keys_unavailable {
            return Refusal::KeysUnavailable;
        }
        match self.by_keys.first() {
            Some(UnfitKeys { provider, why, .. }) => refused_by_keys(provider, why),
            None => no_provider(token.claims().issuer()),
        }
    }
}

/// The provider whose key made the signature and whose policy holds, with that key.
fn vouching_provider<'p>(
    worker: &Worker,
    providers: &'p [Arc<Provider>],
    text: &[u8],
    token: &Token<'_>,
    now: UnixTime,
) -> Result<Vouched<'p>, Unvouched<'p>> {
    let mut unvouched = Unvouched::default();
    for provider in candidates(providers, token.claims().issuer()) {
        let source = match provider.keys_of(token.claims().issuer(), now) {
            KeysOf::Source(source) if source.counts_at(now) => source,
            KeysOf::Source(_) => {
                unvouched.keys_unavailable = true;
                continue;
            }
            KeysOf::ToCome => {
                unvouched.keys_unavailable = true;
                unvouched.to_come.push(provider);
                continue;
            }
            KeysOf::NoTenant => continue,
        };
        let set = source.keys().id();
        let finding = unvouched.finding(set).filter(|_| provider.allows(token.algorithm()));
        let check = || check_signature(worker, provider, &source, set, text, token, now);
        let key = match finding.unwrap_or_else(check) {
            Ok(key) => key,
            Err(why) => {
                unvouched.by_keys.push(UnfitKeys { provider, source, set, why });
                continue;
            }
        };
        provider.note_age(token.claims(), now);
        match provider.check(token.typ(), token.claims(), now) {
            Ok(()) => return Ok(Vouched { provider, source, key }),
            Err(error) => {
                unvouched.by_policy = Some(error);
                unvouched.signed_by.push((set, key));
            }
        }
    }
    Err(unvouched)
}

fn check_signature(
    worker: &Worker,
    provider: &Provider,
    source: &Arc<KeySource>,
    set: KeySetId,
    text: &[u8],
    token: &Token<'_>,
    now: UnixTime,
) -> Result<Arc<Key>, VerifyError> {
    if worker.tokens.was_refused(text, set) {
        worker.cache_lookups.refused_hit();
        return Err(VerifyError::BadSignature);
    }
    worker.cache_lookups.miss();
    provider.verify(token, source, now).inspect_err(|error| {
        if matches!(error, VerifyError::BadSignature) {
            worker.tokens.refuse(text, set);
        }
    })
}

/// Whether any of the key sets that refused a token is replaced by another, or a tenant's first one came, for which the
/// token may wait.
async fn newer_keys(unvouched: &Unvouched<'_>, token: &Token<'_>) -> bool {
    if unvouched.by_policy.is_some() {
        return false;
    }
    let asked = unvouched
        .by_keys
        .iter()
        .map(|UnfitKeys { provider, source, set, why }| provider.newer_keys(token, why, source, *set));
    let first = unvouched.to_come.iter().map(|provider| provider.first_keys(token.claims().issuer()));
    // At once, so that a request waits for the slowest of them and not for one after another.
    let (asked, first) = join(join_all(asked), join_all(first)).await;
    asked.contains(&true) || first.contains(&true)
}

fn no_provider(issuer: Option<&str>) -> Refusal {
    let detail = match issuer {
        Some(issuer) => {
            format!("no provider of the route has the issuer {}", ShortText::new(issuer.as_bytes()))
        }
        None => "the token names no issuer".to_owned(),
    };
    Refusal::InvalidToken { reason: ReasonCode::UnknownIssuer, detail: Some(detail.into()) }
}

pub(super) fn refused_by_policy(error: &PolicyError) -> Refusal {
    Refusal::InvalidToken { reason: error.reason(), detail: Some(error.to_string().into()) }
}

fn refused_by_keys(provider: &Provider, error: &VerifyError) -> Refusal {
    let detail = format!("{error} (provider {})", provider.name());
    Refusal::InvalidToken { reason: error.reason(), detail: Some(detail.into()) }
}
