//! The way to the upstream and back.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use super::answer::Source;
use super::authorize::Permit;
use super::inbound::{CleanRequest, Client, set_host};
use super::journey::Journey;
use super::request_id::X_REQUEST_ID;
use super::snapshot::Route;
use super::worker::{Target, Worker};
use super::{Stop, echo};
use crate::base::ReasonCode;
use crate::http::{Refusal, strip_hop_by_hop};
use crate::upstream::{BodyFault, ClientBody, SendError, UpstreamFailure};

/// A request ready for its upstream: cleaned of what a client could forge, and with what the permit says of the
/// caller. It has no other maker than [`identify`].
#[derive(Debug)]
pub(super) struct Outbound {
    request: Request<ClientBody>,
}

/// Makes the upstream's request of the client's.
///
/// # Errors
/// [`Refusal::MissingIdentity`] where the token lacks what the route passes on.
pub(super) fn identify(
    worker: &Worker,
    client: &Client,
    journey: &Journey,
    route: &Route,
    mut request: CleanRequest,
    permit: &Permit,
) -> Result<Outbound, Refusal> {
    let uri = route.auth.without_token_in_query(request.forwarded_uri());
    strip_hop_by_hop(&mut request.head.headers);
    request.describe_way(client);
    let replacement = match &worker.targets[route.upstream] {
        Target::Pool(pool) => pool.endpoint().host.as_ref(),
        Target::Echo => None,
    };
    let limits = &worker.snapshot.limits;
    let body = ClientBody::new(request.body, limits.request_body.0, limits.idle_timeout);
    let mut headers = request.head.headers;
    set_host(&mut headers, &request.host, replacement);
    frame(&mut headers, &request.head.method, &body);
    join_cookies(&mut headers, request.head.version);
    headers.insert(X_REQUEST_ID, journey.request_id().clone());
    route.auth.settle_credentials(route.token, &mut headers);
    if let Some(principal) = permit.principal() {
        // After everything that removes headers: nothing the client says can take these away.
        route.identity.inject(principal, &mut headers)?;
    }
    let mut outbound = Request::new(body);
    *outbound.method_mut() = request.head.method;
    *outbound.uri_mut() = uri;
    *outbound.version_mut() = Version::HTTP_11;
    *outbound.headers_mut() = headers;
    Ok(Outbound { request: outbound })
}

/// Frames the body anew: whatever the client said of its length, the upstream hears what was really read.
fn frame(headers: &mut HeaderMap, method: &Method, body: &ClientBody) {
    match body.size_hint().exact() {
        Some(0) if !headers.contains_key(CONTENT_LENGTH) && !expects_body(method) => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

fn expects_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// HTTP/2 clients may split the cookie field; HTTP/1.1 has one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap, version: Version) {
    use http::header::COOKIE;
    if version != Version::HTTP_2 || headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    headers.insert(COOKIE, joined.expect("field values joined by visible text are a field value"));
}

/// Sends the request and takes the answer's head; bodies stream both ways.
///
/// # Errors
/// [`Stop`] for a body that broke its limits, or an upstream that did not answer.
pub(super) async fn forward(
    worker: &Worker,
    journey: &Journey,
    route: &Route,
    outbound: Outbound,
) -> Result<Response<Source>, Stop> {
    let mut answer = match &worker.targets[route.upstream] {
        Target::Pool(pool) => {
            let (answer, took) = pool.send(outbound.request).await.map_err(stop)?;
            journey.upstream_took(took);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                // Nobody asked for it: `Upgrade` is not forwarded.
                pool.broke_off(ReasonCode::UpstreamBroken);
                return Err(Stop::UnaskedUpgrade);
            }
            answer.map(Source::Upstream)
        }
        Target::Echo => {
            let answer =
                echo::answer(outbound.request).await.map_err(|fault| Stop::Refused(refusal(fault)))?;
            answer.map(Source::Own)
        }
    };
    if answer.headers().contains_key(TRANSFER_ENCODING) {
        // The chunks were what counted (RFC 9112, section 6.3): a length beside them would cut the answer.
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(answer.headers_mut());
    if answer.body().size_hint().exact().is_none() {
        // A length beside a body that is not framed by it would frame it wrongly for the client.
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(answer)
}

fn stop(error: SendError) -> Stop {
    match error {
        SendError::Upstream(failure) => Stop::Failed(failure),
        SendError::Body(fault) => Stop::Refused(refusal(fault)),
    }
}

/// What a client hears of its own body.
pub(super) fn refusal(fault: BodyFault) -> Refusal {
    match fault {
        BodyFault::TooLarge => Refusal::BodyTooLarge,
        BodyFault::Stalled => Refusal::BodyTimeout,
        BodyFault::Unreadable => Refusal::BodyUnreadable,
    }
}

/// The answer for an upstream that did not give one.
pub(super) fn failure_answer(failure: &UpstreamFailure) -> Response<Bytes> {
    crate::http::error_answer(failure.status(), failure.code(), failure.detail())
}
