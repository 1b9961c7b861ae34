//! What a token endpoint answers, and what is counted and logged of it.

use std::error::Error;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::refused::Refused;

/// The answer to one request, and what the caller counts and logs.
pub struct Answer {
    /// What the client gets.
    pub response: Response<Bytes>,
    /// For the metric.
    pub outcome: Outcome,
    /// Whom it was about, where that is certain: a user's id.
    pub subject: Option<String>,
    /// More on the outcome, for the log.
    pub detail: Option<&'static str>,
    /// Why our own side failed, for the log.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

/// How a request to a token endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A login: tokens were made.
    Issued,
    /// A refresh token was exchanged.
    Refreshed,
    /// A token was found good.
    Verified,
    /// A refresh token was ended.
    Blacklisted,
    /// A session was ended, or all of a user.
    LoggedOut,
    /// The endpoint described itself, or pointed to its right path.
    Described,
    /// The request could not be understood.
    InvalidRequest,
    /// No such user, or a wrong password.
    RefusedCredentials,
    /// Too many logins failed before it.
    Throttled,
    /// The user of a good token is gone or not let in.
    RefusedAccount,
    /// A token that is not good.
    RefusedToken,
    /// Too many logins at once.
    Busy,
    /// The database did not answer.
    StoreUnavailable,
    /// The service that knows more claims did not answer.
    ClaimsUnavailable,
    /// A defect.
    InternalError,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Issued,
        Self::Refreshed,
        Self::Verified,
        Self::Blacklisted,
        Self::LoggedOut,
        Self::Described,
        Self::InvalidRequest,
        Self::RefusedCredentials,
        Self::Throttled,
        Self::RefusedAccount,
        Self::RefusedToken,
        Self::Busy,
        Self::StoreUnavailable,
        Self::ClaimsUnavailable,
        Self::InternalError,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refreshed => "refreshed",
            Self::Verified => "verified",
            Self::Blacklisted => "blacklisted",
            Self::LoggedOut => "logged_out",
            Self::Described => "described",
            Self::InvalidRequest => "invalid_request",
            Self::RefusedCredentials => "refused_credentials",
            Self::Throttled => "throttled",
            Self::RefusedAccount => "refused_account",
            Self::RefusedToken => "refused_token",
            Self::Busy => "busy",
            Self::StoreUnavailable => "store_unavailable",
            Self::ClaimsUnavailable => "claims_unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

/// A request that was granted.
pub(super) struct Granted {
    pub(super) body: Value,
    pub(super) outcome: Outcome,
    pub(super) subject: Option<String>,
}

impl Answer {
    /// `no_store`: the body holds tokens that no cache may keep.
    pub(super) fn granted(granted: Granted, no_store: bool) -> Self {
        let mut response = json(StatusCode::OK, &granted.body);
        if no_store {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Self { response, outcome: granted.outcome, subject: granted.subject, detail: None, cause: None }
    }

    /// `challenge` goes with a 401.
    pub(super) fn refused(refused: Refused, challenge: &HeaderValue) -> Self {
        let mut response = json(refused.status(), &refused.body());
        if refused.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(seconds) = refused.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Self {
            response,
            outcome: refused.outcome(),
            subject: None,
            detail: refused.log_detail(),
            cause: refused.into_cause(),
        }
    }

    /// Django's answer to a path without its last slash.
    pub(super) fn redirect(location: HeaderValue) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(LOCATION, location);
        Self { response, outcome: Outcome::Described, subject: None, detail: None, cause: None }
    }

    /// As an answer to HEAD.
    pub(super) fn without_body(mut self) -> Self {
        *self.response.body_mut() = Bytes::new();
        self
    }
}

/// Compact, with the fields that every answer of a token endpoint has.
fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    response
}

/// How Django REST framework asks for credentials of this scheme, a token of RFC 9110, section 5.6.2.
pub(super) fn challenge(scheme: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("{scheme} realm=\"api\"")).expect("a scheme is visible text")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_outcome_has_a_label_of_its_own() {
        let labels: HashSet<_> = Outcome::ALL.into_iter().map(Outcome::as_str).collect();
        assert_eq!(labels.len(), Outcome::ALL.len());
    }
}
