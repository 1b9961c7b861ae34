//! Who is calling: from a request's credentials to a [`Caller`].
//!
//! "Sent nothing" and "sent something bad" are different facts with different answers (RFC 6750, section 3.1). A
//! token's signature is checked once and then remembered; the policy of the provider is asked on every request.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;
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
use crate::providers::{Provider, candidates};

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
        if provider.key_source() != token.source {
            continue;
        }
        if !provider.has_keys_at(now) {
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
    let (provider, key) = vouched.map_err(|unvouched| unvouched.refusal(&token))?;
    let verified = VerifiedToken {
        text: text.into(),
        typ: token.typ().map(Into::into),
        key: Some(key),
        source: provider.key_source(),
        names: worker.snapshot.revocations.names(token.claims(), token.signing_input()),
        claims: token.into_claims(),
    };
    Ok(Principal { token: worker.tokens.insert(verified), provider: Arc::clone(provider) })
}

/// Why no provider vouches for a token.
#[derive(Debug, Default)]
struct Unvouched<'p> {
    /// A provider's key made the signature, and its rules do not hold.
    by_policy: Option<PolicyError>,
    /// A provider that could have made it has no keys at present.
    keys_unavailable: bool,
    /// The keys, by their set, that did not make it.
    by_keys: Vec<(&'p Provider, KeySetId, VerifyError)>,
}

impl Unvouched<'_> {
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
            Some((provider, _, error)) => refused_by_keys(provider, error),
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
) -> Result<(&'p Arc<Provider>, Arc<Key>), Unvouched<'p>> {
    let mut unvouched = Unvouched::default();
    for provider in candidates(providers, token.claims().issuer()) {
        if !provider.has_keys_at(now) {
            unvouched.keys_unavailable = true;
            continue;
        }
        let keys = provider.keys().id();
        if worker.tokens.was_refused(text, keys) {
            worker.cache_lookups.refused_hit();
            unvouched.by_keys.push((provider, keys, VerifyError::BadSignature));
            continue;
        }
        worker.cache_lookups.miss();
        let key = match provider.verify(token) {
            Ok(key) => key,
            Err(error) => {
                if matches!(error, VerifyError::BadSignature) {
                    worker.tokens.refuse(text, keys);
                }
                unvouched.by_keys.push((provider, keys, error));
                continue;
            }
        };
        match provider.check(token.typ(), token.claims(), now) {
            Ok(()) => return Ok((provider, key)),
            Err(error) => unvouched.by_policy = Some(error),
        }
    }
    Err(unvouched)
}

/// Whether any of the key sets that refused a token is replaced by another, for which the token may wait.
async fn newer_keys(unvouched: &Unvouched<'_>, token: &Token<'_>) -> bool {
    if unvouched.by_policy.is_some() {
        return false;
    }
    let asked = unvouched.by_keys.iter().map(|(provider, seen, why)| provider.newer_keys(token, why, *seen));
    // At once, so that a request waits for the slowest of them and not for one after another.
    join_all(asked).await.contains(&true)
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
