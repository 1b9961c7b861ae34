//! Every way in which the gateway itself turns a request away, with what each party learns of it.
//!
//! The client gets a status, a standard error code and a sentence; the operator gets the reason. One exhaustive
//! `match` per property: a new refusal must answer each question before it compiles.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::authority::BadHost;
use super::path::AmbiguousPath;
use crate::base::ReasonCode;

/// The scheme of RFC 6750, which all credentials have unless the file says otherwise.
pub const BEARER: &str = "Bearer";

/// Why a request was not let through. A failing upstream and a client that went away are no refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The path can be read in more than one way.
    AmbiguousPath(AmbiguousPath),
    /// The path holds bytes that the route does not allow by name.
    PathNotAllowed,
    /// `Host` is missing, doubled or malformed.
    BadHost(BadHost),
    /// The head has more bytes or fields than the file allows.
    HeadTooLarge,
    /// The body has more bytes than the file allows.
    BodyTooLarge,
    /// The body stopped coming.
    BodyTimeout,
    /// The body's framing is broken or its client stopped in its midst.
    BodyUnreadable,
    /// No route has this host and path.
    NoRoute,
    /// The route is not for this method.
    MethodNotAllowed {
        /// What it takes, as `Allow` lists it.
        allow: HeaderValue,
    },
    /// No credentials were sent to a route that needs some.
    NoToken,
    /// `Authorization` is sent twice or holds more than one token (RFC 6750, section 2).
    AmbiguousCredentials,
    /// There are credentials, but no good token.
    InvalidToken {
        /// What exactly is wrong, for the operator alone.
        reason: ReasonCode,
        /// More for the log, if there is more to say.
        detail: Option<Box<str>>,
    },
    /// The token is good but lacks a claim that the route turns into a header.
    MissingIdentity {
        /// The header that would have been empty.
        header: Box<str>,
    },
    /// The provider's keys are not known at present: nobody can tell whether the token is good.
    KeysUnavailable,
    /// Which tokens were revoked is not known yet.
    RevocationsUnavailable,
    /// The provider that would know the token does not say.
    IntrospectionUnavailable,
    /// The provider is being asked about as many tokens as the file allows.
    IntrospectionBusy,
    /// Nobody can tell whether the token's user is still let in: the database does not answer.
    UserCheckUnavailable,
    /// The token service has more logins waiting than it takes on.
    LoginBusy,
    /// The token service's database does not answer.
    StoreUnavailable,
    /// A defect of Tollgate ended the request.
    Internal,
}

impl Refusal {
    /// An invalid token without more to say.
    #[must_use]
    pub fn invalid_token(reason: ReasonCode) -> Self {
        Self::InvalidToken { reason, detail: None }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::AmbiguousPath(_)
            | Self::PathNotAllowed
            | Self::BadHost(_)
            | Self::BodyUnreadable
            | Self::AmbiguousCredentials => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::InvalidToken { .. } => StatusCode::UNAUTHORIZED,
            Self::MissingIdentity { .. } => StatusCode::FORBIDDEN,
            Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for log and metric.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::AmbiguousPath(_) | Self::PathNotAllowed => ReasonCode::AmbiguousPath,
            Self::BadHost(_) => ReasonCode::BadHost,
            Self::HeadTooLarge => ReasonCode::HeadTooLarge,
            Self::BodyTooLarge => ReasonCode::BodyTooLarge,
            Self::BodyTimeout => ReasonCode::BodyTimeout,
            Self::BodyUnreadable => ReasonCode::BodyUnreadable,
            Self::NoRoute => ReasonCode::NoRoute,
            Self::MethodNotAllowed { .. } => ReasonCode::MethodNotAllowed,
            Self::NoToken => ReasonCode::NoToken,
            Self::AmbiguousCredentials => ReasonCode::MalformedCredentials,
            Self::InvalidToken { reason, .. } => *reason,
            Self::MissingIdentity { .. } => ReasonCode::MissingIdentity,
            Self::KeysUnavailable => ReasonCode::KeysUnavailable,
            Self::RevocationsUnavailable => ReasonCode::RevocationsUnavailable,
            Self::IntrospectionUnavailable => ReasonCode::IntrospectionUnavailable,
            Self::IntrospectionBusy => ReasonCode::IntrospectionBusy,
            Self::LoginBusy => ReasonCode::LoginBusy,
            Self::UserCheckUnavailable | Self::StoreUnavailable => ReasonCode::StoreUnavailable,
            Self::Internal => ReasonCode::Internal,
        }
    }

    /// The `code` of the body: standard words where RFC 6750, section 3.1 has one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AmbiguousPath(_)
            | Self::PathNotAllowed
            | Self::BadHost(_)
            | Self::BodyUnreadable
            | Self::AmbiguousCredentials => "invalid_request",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "request_timeout",
            Self::NoRoute => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::NoToken => "not_authenticated",
            Self::InvalidToken { .. } => "invalid_token",
            Self::MissingIdentity { .. } => "insufficient_identity",
            Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable => "temporarily_unavailable",
            Self::Internal => "internal_error",
        }
    }

    /// The `detail` of the body. It never says more about a token than that it is not good.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match self {
            Self::AmbiguousPath(_) | Self::PathNotAllowed => "The path is malformed or ambiguous.",
            Self::BadHost(_) => "The Host header is missing, doubled or malformed.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::BodyTooLarge => "The request body is too large.",
            Self::BodyTimeout => "The request body did not arrive in time.",
            Self::BodyUnreadable => "The request body could not be read.",
            Self::NoRoute => "Not found.",
            Self::MethodNotAllowed { .. } => "Method not allowed.",
            Self::NoToken => "Authentication credentials were not provided.",
            Self::AmbiguousCredentials => "More than one set of credentials was sent.",
            Self::InvalidToken { .. } => "The access token is not valid.",
            Self::MissingIdentity { .. } => "The access token does not identify the caller well enough.",
            Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable => "The token can't be verified at present.",
            Self::LoginBusy => "Too many logins at once.",
            Self::StoreUnavailable => "The token service is temporarily unavailable.",
            Self::Internal => "Internal error.",
        }
    }

    /// What the challenge of a 401 says after its scheme (RFC 6750, section 3): without `error` where nothing was
    /// presented.
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some(r#"realm="api""#),
            Self::AmbiguousCredentials => Some(r#"realm="api", error="invalid_request""#),
            Self::InvalidToken { .. } => Some(r#"realm="api", error="invalid_token""#),
            Self::AmbiguousPath(_)
            | Self::PathNotAllowed
            | Self::BadHost(_)
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyUnreadable
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::MissingIdentity { .. }
            | Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable
            | Self::Internal => None,
        }
    }

    /// What the log line says beyond the reason.
    #[must_use]
    pub fn log_detail(&self) -> Option<String> {
        match self {
            Self::AmbiguousPath(why) => Some(why.to_string()),
            Self::BadHost(why) => Some(why.to_string()),
            Self::InvalidToken { detail, .. } => detail.as_deref().map(str::to_owned),
            Self::MissingIdentity { header } => Some(format!("no value for {header}")),
            Self::PathNotAllowed
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::BodyUnreadable
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::NoToken
            | Self::AmbiguousCredentials
            | Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable
            | Self::Internal => None,
        }
    }

    /// Whether the client may use its connection further. Where the body's end is unknown, the next request
    /// could not be told from it.
    #[must_use]
    pub fn closes_connection(&self) -> bool {
        match self {
            Self::HeadTooLarge | Self::BodyTooLarge | Self::BodyTimeout | Self::BodyUnreadable => true,
            Self::AmbiguousPath(_)
            | Self::PathNotAllowed
            | Self::BadHost(_)
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::NoToken
            | Self::AmbiguousCredentials
            | Self::InvalidToken { .. }
            | Self::MissingIdentity { .. }
            | Self::KeysUnavailable
            | Self::RevocationsUnavailable
            | Self::IntrospectionUnavailable
            | Self::IntrospectionBusy
            | Self::UserCheckUnavailable
            | Self::LoginBusy
            | Self::StoreUnavailable
            | Self::Internal => false,
        }
    }

    /// The whole answer, `{"detail": …, "code": …}`.
    #[must_use]
    pub fn answer(&self) -> Response<Bytes> {
        self.answer_by_scheme(BEARER)
    }

    /// The whole answer, where credentials go by another scheme. It is a token of RFC 9110, section 5.6.2.
    #[must_use]
    pub fn answer_by_scheme(&self, scheme: &str) -> Response<Bytes> {
        let mut answer = error_answer(self.status(), self.code(), self.detail());
        let headers = answer.headers_mut();
        if let Some(challenge) = self.challenge() {
            let challenge = HeaderValue::from_str(&format!("{scheme} {challenge}"));
            headers.insert(WWW_AUTHENTICATE, challenge.expect("a scheme is visible text"));
        }
        if let Self::MethodNotAllowed { allow } = self {
            headers.insert(ALLOW, allow.clone());
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.closes_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// An answer in the one form of all errors, never cached.
#[must_use]
pub fn error_answer(status: StatusCode, code: &'static str, detail: &'static str) -> Response<Bytes> {
    // Codes and details are plain texts of this project: nothing in them needs escaping.
    let mut answer = Response::new(Bytes::from(format!(r#"{{"detail":"{detail}","code":"{code}"}}"#)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> Vec<Refusal> {
        vec![
            Refusal::AmbiguousPath(AmbiguousPath::Nul),
            Refusal::PathNotAllowed,
            Refusal::BadHost(BadHost::Missing),
            Refusal::HeadTooLarge,
            Refusal::BodyTooLarge,
            Refusal::BodyTimeout,
            Refusal::BodyUnreadable,
            Refusal::NoRoute,
            Refusal::MethodNotAllowed { allow: HeaderValue::from_static("GET, HEAD") },
            Refusal::NoToken,
            Refusal::AmbiguousCredentials,
            Refusal::invalid_token(ReasonCode::Expired),
            Refusal::MissingIdentity { header: "x-user-id".into() },
            Refusal::KeysUnavailable,
            Refusal::RevocationsUnavailable,
            Refusal::IntrospectionUnavailable,
            Refusal::IntrospectionBusy,
            Refusal::UserCheckUnavailable,
            Refusal::LoginBusy,
            Refusal::StoreUnavailable,
            Refusal::Internal,
        ]
    }

    #[test]
    fn every_answer_is_an_error_with_a_json_body_of_two_members() {
        for refusal in each() {
            let answer = refusal.answer();
            assert!(answer.status().is_client_error() || answer.status().is_server_error(), "{refusal:?}");
            let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
            let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
            assert_eq!(members, ["detail", "code"], "{refusal:?}");
        }
    }

    #[test]
    fn every_401_challenges_and_names_an_error_only_where_credentials_came() {
        for refusal in each() {
            let challenge = refusal.answer().headers().get(WWW_AUTHENTICATE).cloned();
            assert_eq!(
                challenge.is_some(),
                refusal.status() == StatusCode::UNAUTHORIZED || refusal == Refusal::AmbiguousCredentials
            );
        }
        let challenge = |answer: Response<Bytes>| answer.headers()[WWW_AUTHENTICATE].clone();
        assert_eq!(challenge(Refusal::NoToken.answer()), r#"Bearer realm="api""#);
        assert_eq!(challenge(Refusal::NoToken.answer_by_scheme("JWT")), r#"JWT realm="api""#);
    }

    #[test]
    fn the_client_never_learns_why_a_token_is_bad() {
        let answers: Vec<Bytes> = [ReasonCode::Expired, ReasonCode::BadSignature, ReasonCode::UnknownKey]
            .map(|reason| Refusal::invalid_token(reason).answer().into_body())
            .to_vec();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn every_503_says_when_to_come_back() {
        for refusal in
            each().into_iter().filter(|refusal| refusal.status() == StatusCode::SERVICE_UNAVAILABLE)
        {
            assert!(refusal.answer().headers().contains_key(RETRY_AFTER), "{refusal:?}");
        }
    }
}
