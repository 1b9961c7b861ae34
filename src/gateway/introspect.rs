//! Tokens that no key of the route could vouch for: the route's introspection endpoints are asked.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::authenticate::{Principal, refused_by_policy};
use super::snapshot::Providers;
use super::token_cache::{KnownToken, VerifiedToken};
use super::worker::Worker;
use crate::base::{ReasonCode, UnixTime};
use crate::http::Refusal;
use crate::jwt::{self, ParseError, Token};
use crate::providers::{Asking, NoAnswer, Provider, Standing};

/// Each may cost the request a call; a token must not buy more.
const MOST_ASKED: usize = 4;

/// The providers to ask about a token; none where it is for keys to judge.
///
/// A token that says who issued it is shown to nobody else, however broken it is: not where a provider of the route has
/// keys for that issuer, and not to an endpoint of another.
pub(super) fn to_ask<'p>(
    providers: &'p Providers,
    text: &[u8],
    parsed: &Result<Token<'_>, ParseError>,
) -> Vec<&'p Arc<Provider>> {
    let Providers { with_keys, introspecting } = providers;
    // Whose an encrypted token is, nobody here can tell.
    if introspecting.is_empty() || matches!(parsed, Err(ParseError::TooLong | ParseError::Encrypted)) {
        return Vec::new();
    }
    let issuer = match parsed {
        Ok(token) => token.claims().issuer().map(str::to_owned),
        Err(_) => jwt::claimed_issuer(text),
    };
    let issuer = issuer.as_deref();
    let is_named =
        |providers: &[Arc<Provider>]| providers.iter().any(|provider| provider.names_issuer(issuer));
    let for_keys_of_any = parsed.is_ok()
        && !is_named(introspecting)
        && with_keys.iter().any(|provider| provider.takes_any_issuer());
    if is_named(with_keys) || for_keys_of_any {
        return Vec::new();
    }
    let may_see = |provider: &&Arc<Provider>| {
        issuer.is_none() || provider.takes_any_issuer() || provider.names_issuer(issuer)
    };
    introspecting.iter().filter(may_see).take(MOST_ASKED).collect()
}

/// Asks all of them at once, so that one that hangs holds nobody up whom another vouches for.
pub(super) async fn introspect(
    worker: &Worker,
    asked: Vec<&Arc<Provider>>,
    text: &[u8],
    now: UnixTime,
) -> Result<Principal, Refusal> {
    let asking = Asking { control: &worker.control, metrics: &worker.metrics, now };
    let mut answers: FuturesUnordered<_> = asked
        .into_iter()
        .filter_map(|provider| Some((provider, provider.introspection()?)))
        .map(|(provider, introspection)| async move { (provider, introspection.ask(text, asking).await) })
        .collect();
    let (mut by_policy, mut no_answer) = (None, None);
    while let Some((provider, answer)) = answers.next().await {
        let claims = match answer {
            Ok(Standing::Active(claims)) => claims,
            Ok(Standing::Inactive) => continue,
            Err(why) => {
                no_answer = Some(why);
                continue;
            }
        };
        match provider.check_introspected(&claims, now) {
            Ok(()) => {
                let token = VerifiedToken {
                    text: text.into(),
                    typ: None,
                    claims: claims.as_ref().clone(),
                    key: None,
                    source: provider.key_source(),
                    names: worker.snapshot.revocations.names(&claims, text),
                };
                return Ok(Principal {
                    token: KnownToken::unremembered(token),
                    provider: Arc::clone(provider),
                });
            }
            Err(error) => by_policy = Some(error),
        }
    }
    // While one of them does not say, nobody can tell whether the token is bad.
    Err(match (by_policy, no_answer) {
        (Some(error), _) => refused_by_policy(&error),
        (None, Some(NoAnswer::Busy)) => Refusal::IntrospectionBusy,
        (None, Some(NoAnswer::Unavailable)) => Refusal::IntrospectionUnavailable,
        (None, None) => Refusal::invalid_token(ReasonCode::InactiveToken),
    })
}
