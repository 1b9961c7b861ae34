//! Requests that the gateway answers itself: the token endpoints and the published keys.
//!
//! They run on the control plane, where a database or a password hash may take its time; the worker only waits, with
//! a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use tokio::time::timeout;

use super::Stop;
use super::answer::Source;
use super::forward::refusal;
use super::inbound::CleanRequest;
use super::journey::Journey;
use super::worker::Worker;
use crate::base::UnixTime;
use crate::config::JWKS_PATH;
use crate::http::Refusal;
use crate::issuer::{Endpoint, Issuer};
use crate::upstream::ClientBody;

/// No honest request to a token endpoint is larger.
const TOKEN_REQUEST_BODY: u64 = 64 * 1024;
/// Longer than the issuer's own deadlines: it ends a wait only where those failed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A place in the gateway itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Builtin {
    /// One of the token endpoints.
    Token(Endpoint),
    /// The published keys.
    Jwks,
}

/// Finds the endpoint of a path. They come before all routes.
pub(super) fn find(issuer: &Issuer, path: &str) -> Option<Builtin> {
    if path == JWKS_PATH {
        return Some(Builtin::Jwks);
    }
    issuer.endpoint(path).map(Builtin::Token)
}

/// Answers a request to one of them.
///
/// # Errors
/// [`Stop`] for a body that can't be read, or a control plane that does not answer.
pub(super) async fn answer(
    worker: &Worker,
    journey: &Journey,
    issuer: &Arc<Issuer>,
    builtin: Builtin,
    request: CleanRequest,
    now: UnixTime,
) -> Result<Response<Source>, Stop> {
    match builtin {
        Builtin::Jwks => {
            journey.took_builtin("jwks");
            jwks(issuer, &request.head.method).map_err(Stop::Refused)
        }
        Builtin::Token(endpoint) => {
            journey.took_builtin("token");
            token(worker, journey, issuer, endpoint, request, now).await
        }
    }
}

fn jwks(issuer: &Issuer, method: &Method) -> Result<Response<Source>, Refusal> {
    let allow = HeaderValue::from_static("GET, HEAD");
    if method != Method::GET && method != Method::HEAD {
        return Err(Refusal::MethodNotAllowed { allow });
    }
    let mut answer = Response::new(Source::Own(issuer.jwks()));
    let headers = answer.headers_mut();
    headers.insert(ALLOW, allow);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(answer)
}

async fn token(
    worker: &Worker,
    journey: &Journey,
    issuer: &Arc<Issuer>,
    endpoint: Endpoint,
    request: CleanRequest,
    now: UnixTime,
) -> Result<Response<Source>, Stop> {
    let idle = worker.snapshot.limits.idle_timeout;
    let body = ClientBody::new(request.body, TOKEN_REQUEST_BODY, idle);
    let body = body.collect(TOKEN_REQUEST_BODY).await.map_err(|fault| Stop::Refused(refusal(fault)))?;
    let client = request.client.address;
    let request = Request::from_parts(request.head, body);
    let issuer = Arc::clone(issuer);
    let answering = worker.control.spawn(async move { issuer.answer(endpoint, request, client, now).await });
    let answer = match timeout(LONGEST_WAIT, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(defect)) => {
            tracing::error!("a token endpoint panicked: {defect}");
            worker.metrics.request_panics.inc();
            return Err(Stop::Refused(Refusal::Internal));
        }
        Err(_) => return Err(Stop::Refused(Refusal::StoreUnavailable)),
    };
    worker.metrics.token_endpoints.with_label_values(&[endpoint.as_str(), answer.outcome.as_str()]).inc();
    journey.subject_is(answer.subject.as_deref());
    journey.token_outcome(answer.outcome.as_str(), answer.detail, answer.cause.as_deref());
    Ok(answer.response.map(|body: Bytes| Source::Own(body)))
}
