//! One request's way through the gateway: [`trip()`] shows it whole.
//!
//! Each step is a call whose type says what holds afterwards: a `CleanRequest` has one reading, a `Permit` proves that
//! the caller may pass, an `Outbound` holds nothing that a client forged and is all that `forward` takes. `?` carries
//! refusals to [`handle()`], the one place that answers, counts and logs.
//!
//! Everything here runs on a worker's thread and never waits for the control plane, but for the token endpoints and,
//! for two seconds at most, for keys that a token names and nobody knows and for the state of its user, where a route
//! asks for that and the last answer is too old.

mod activity;
mod answer;
mod authenticate;
mod authorize;
mod builtin;
#[cfg(test)]
mod cost_tests;
mod credentials;
mod echo;
mod expiry;
mod forward;
mod identify;
mod inbound;
mod introspect;
mod journey;
mod known_tokens;
mod request_id;
mod revoked;
mod router;
mod snapshot;
#[cfg(test)]
mod tests;
mod token_cache;
mod user_check;
mod worker;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use activity::{Activity, Deadlines, Multiplexing, OpenRequest, Phase};
pub use answer::GatewayBody;
pub use inbound::{Client, Inbound};
pub use router::{Found, Router};
pub use snapshot::Snapshot;
pub use token_cache::{KnownToken, Level, SharedTokens, TokenCache, VerifiedToken};
pub use worker::Worker;

use answer::Source;
use authenticate::{Caller, authenticate};
use authorize::authorize;
use expiry::tell_expiry;
use forward::{failure_answer, forward, identify};
use inbound::{CleanRequest, clean};
use journey::Journey;
use snapshot::Route;

use crate::base::UnixTime;
use crate::http::{Refusal, error_answer};
use crate::upstream::UpstreamFailure;

/// Why a trip ended without the upstream's answer.
#[derive(Debug)]
enum Stop {
    /// The gateway turned it away.
    Refused(Refusal),
    /// The upstream failed it.
    Failed(UpstreamFailure),
    /// The upstream changed the protocol, though nobody asked.
    UnaskedUpgrade,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Answers one request, whatever happens: a refusal, a failing upstream and even a defect of the gateway itself end
/// this request alone.
pub async fn handle(
    worker: &Rc<Worker>,
    client: &Client,
    inbound: Inbound,
    now: UnixTime,
) -> Response<GatewayBody> {
    let Inbound { request, open } = inbound;
    let is_head = request.method() == Method::HEAD;
    let journey = Journey::begin(worker, client, &request, open);
    // A panic leaves no half-changed state behind: what a trip changes it changes in one step.
    let outcome = AssertUnwindSafe(trip(worker, client, &journey, request, now)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_panic| {
        worker.metrics.request_panics.inc();
        Err(Stop::Refused(Refusal::Internal))
    });
    let mut answer = outcome.unwrap_or_else(|stop| stopped(&journey, stop).map(Source::Own));
    journey.answered(answer.status());
    answer.headers_mut().insert(request_id::X_REQUEST_ID, journey.request_id().clone());
    if is_head {
        answer = without_body(answer);
    }
    answer.map(|source| GatewayBody::new(source, journey))
}

/// The whole trip, in order.
async fn trip(
    worker: &Rc<Worker>,
    client: &Client,
    journey: &Journey,
    request: Request<Incoming>,
    now: UnixTime,
) -> Result<Response<Source>, Stop> {
    let snapshot = &worker.snapshot;
    let request = clean(snapshot, client, request)?;
    journey.client_is(request.client.address);
    if let Some(issuer) = &snapshot.issuer
        && let Some(builtin) = builtin::find(issuer, request.key())
    {
        return builtin::answer(worker, journey, issuer, builtin, request, now).await;
    }
    let route = route(snapshot, &request)?;
    journey.took_route(route);
    let caller = authenticate(worker, route, &request.head, now).await?;
    if let Caller::Known(principal) = &caller {
        journey.subject_is(principal.subject());
    }
    let permit = authorize(route, caller)?;
    let outbound = identify(worker, client, journey, route, request, &permit)?;
    let mut answer = forward(worker, journey, route, outbound).await?;
    tell_expiry(route, &permit, now, answer.headers_mut());
    Ok(answer)
}

/// The one route of a request. There is no default that lets through.
fn route<'s>(snapshot: &'s Snapshot, request: &CleanRequest) -> Result<&'s Arc<Route>, Refusal> {
    match snapshot.router.find(request.host_name(), request.key(), &request.head.method) {
        Found::Route(index) => {
            let route = &snapshot.routes[index];
            if request.is_allowed_by(route.allow_in_path) { Ok(route) } else { Err(Refusal::PathNotAllowed) }
        }
        Found::OtherMethods { allow } => Err(Refusal::MethodNotAllowed { allow }),
        Found::Nothing => Err(Refusal::NoRoute),
    }
}

fn stopped(journey: &Journey, stop: Stop) -> Response<Bytes> {
    match stop {
        Stop::Refused(refusal) => {
            journey.refused(&refusal);
            journey.answer_to(&refusal)
        }
        Stop::Failed(failure) => {
            journey.failed(&failure);
            failure_answer(&failure)
        }
        Stop::UnaskedUpgrade => {
            journey.broken("the upstream changed protocols, though nobody asked");
            error_answer(StatusCode::BAD_GATEWAY, "bad_gateway", "The upstream's answer is broken.")
        }
    }
}

/// HEAD tells the length of what GET would send, and sends nothing. HTTP/2 needs to be told.
fn without_body(mut answer: Response<Source>) -> Response<Source> {
    if let Source::Own(bytes) = answer.body_mut() {
        let length = bytes.len();
        bytes.clear();
        answer.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    answer
}
