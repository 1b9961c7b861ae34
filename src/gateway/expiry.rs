//! Tells a client how long its token is still good, so that it can refresh before a 401 says so.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::authorize::Permit;
use super::snapshot::{Auth, Route};
use crate::base::UnixTime;

const TOLLGATE_TOKEN_EXPIRES_IN: HeaderName = HeaderName::from_static("tollgate-token-expires-in");

/// Adds `Tollgate-Token-Expires-In`, in whole seconds, where the route says so and a token came that expires. What an
/// upstream says in that field is never passed on there.
pub(super) fn tell_expiry(route: &Route, permit: &Permit, now: UnixTime, answer: &mut HeaderMap) {
    let Auth::Required { expires_in_header: true, .. } = route.auth else { return };
    answer.remove(TOLLGATE_TOKEN_EXPIRES_IN);
    let expiry = permit.principal().and_then(|principal| principal.token.token.claims.expires_at());
    if let Some(expiry) = expiry {
        answer.insert(TOLLGATE_TOKEN_EXPIRES_IN, HeaderValue::from(expiry.since(now).as_secs()));
    }
}
