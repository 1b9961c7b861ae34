//! Why a request to a token endpoint gets no token: one enum, one `match` per property.

use std::error::Error;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Outcome;
use super::fresh_claims::FreshClaimsError;
use super::hook::HookError;
use super::throttle::Limit;
use crate::jwt::SigningError;
use crate::store::{ClaimQueryError, PasswordError, StoreError};

/// Seconds after which a client may try again where the server could not.
const RETRY_AFTER: u32 = 1;

/// A request that is not granted. It holds no credentials: it may be logged.
#[derive(Debug)]
pub(super) enum Refused {
    /// The query names a format that is none of the answers'.
    UnknownFormat,
    /// `Accept` takes no JSON.
    NotAcceptable,
    /// Neither POST nor OPTIONS.
    Method(Method),
    /// The body's type is none that is read. `Content-Type` as it came.
    UnsupportedMediaType(String),
    /// The body can't be read; why, in the words of SimpleJWT's parser.
    Malformed(String),
    /// The body is JSON but no object; Python's name for its type.
    NotAnObject(&'static str),
    /// The body is `null`.
    NoData,
    /// Fields are missing or of no use: each with its complaints.
    Fields(Vec<(&'static str, Vec<String>)>),
    /// No such user, wrong password, or a user that is not let in: never say which.
    Credentials,
    /// Too many logins failed.
    Throttled {
        /// Which allowance is spent.
        limit: Limit,
        /// How long until the next login may be tried.
        wait: Duration,
    },
    /// The token is good, but its user is gone or not let in.
    Account,
    /// The token is not good.
    Token(TokenFault),
    /// A sliding token is good, but does not say until when it may be renewed; the claim that would.
    NoSlidingEnd(String),
    /// A sliding token is good, but may be renewed no more; the claim that says so.
    SlidingEnded(String),
    /// The token that was to be verified is blacklisted: SimpleJWT calls that a bad request.
    BlacklistedAtVerify,
    /// Somebody else did the same at the same time: the caller looks again.
    Conflict,
    /// Too many passwords wait to be hashed.
    Busy(PasswordError),
    /// Which tokens were ended is not read yet.
    RevocationsUnread,
    /// The database does not answer.
    Store(StoreError),
    /// The site's service does not say what the token should.
    Hook(HookError),
    /// A database does not say what the token should.
    Query(ClaimQueryError),
    /// What the token should say is more than a token holds.
    TooLong(SigningError),
    /// Something failed that never should.
    Internal(Box<dyn Error + Send + Sync>),
}

/// What is wrong with a token, as far as a client may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFault {
    Invalid,
    Expired,
    Blacklisted,
    NoExpiry,
    NoId,
    NoType,
    WrongType,
}

impl TokenFault {
    /// SimpleJWT's message.
    const fn message(self) -> &'static str {
        match self {
            Self::Invalid => "Token is invalid",
            Self::Expired => "Token is expired",
            Self::Blacklisted => "Token is blacklisted",
            Self::NoExpiry => "Token has no 'exp' claim",
            Self::NoId => "Token has no id",
            Self::NoType => "Token has no type",
            Self::WrongType => "Token has wrong type",
        }
    }
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::UnknownFormat => StatusCode::NOT_FOUND,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_)
            | Self::NotAnObject(_)
            | Self::NoData
            | Self::Fields(_)
            | Self::BlacklistedAtVerify => StatusCode::BAD_REQUEST,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Credentials
            | Self::Account
            | Self::Token(_)
            | Self::NoSlidingEnd(_)
            | Self::SlidingEnded(_) => StatusCode::UNAUTHORIZED,
            Self::Busy(_)
            | Self::RevocationsUnread
            | Self::Store(_)
            | Self::Hook(_)
            | Self::Query(_)
            | Self::TooLong(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Conflict | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn body(&self) -> Value {
        let detail = |text: String| json!({"detail": text});
        let with_code = |text: &str, code: &str| json!({"detail": text, "code": code});
        let non_field = |text: String| json!({"non_field_errors": [text]});
        match self {
            Self::UnknownFormat => detail("Not found.".to_owned()),
            Self::NotAcceptable => detail("Could not satisfy the request Accept header.".to_owned()),
            Self::Method(method) => detail(format!("Method \"{method}\" not allowed.")),
            Self::UnsupportedMediaType(named) => {
                detail(format!("Unsupported media type \"{named}\" in request."))
            }
            Self::Malformed(why) => detail(why.clone()),
            Self::NotAnObject(python_type) => {
                non_field(format!("Invalid data. Expected a dictionary, but got {python_type}."))
            }
            Self::NoData => non_field("No data provided".to_owned()),
            Self::Fields(fields) => {
                let fields = fields.iter().map(|(name, complaints)| ((*name).to_owned(), json!(complaints)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Self::Credentials => detail("No active account found with the given credentials".to_owned()),
            Self::Throttled { wait, .. } => {
                let seconds = whole_seconds(*wait);
                let unit = if seconds == 1 { "second" } else { "seconds" };
                detail(format!("Request was throttled. Expected available in {seconds} {unit}."))
            }
            Self::Account => detail("No active account found for the given token.".to_owned()),
            Self::Token(fault) => with_code(fault.message(), "token_not_valid"),
            Self::NoSlidingEnd(claim) => {
                with_code(&format!("Token has no '{claim}' claim"), "token_not_valid")
            }
            Self::SlidingEnded(claim) => {
                with_code(&format!("Token '{claim}' claim has expired"), "token_not_valid")
            }
            Self::BlacklistedAtVerify => non_field(TokenFault::Blacklisted.message().to_owned()),
            Self::Busy(_) => with_code("Too many logins at once. Try again in a moment.", "login_busy"),
            Self::RevocationsUnread => with_code(
                "Which tokens were ended is not known yet. Try again in a moment.",
                "revocations_unavailable",
            ),
            Self::Store(_) => with_code(
                "Users and sessions can't be looked up at present. Try again in a moment.",
                "store_unavailable",
            ),
            Self::Hook(_) | Self::Query(_) | Self::TooLong(_) => with_code(
                "What the token should say can't be asked for at present. Try again in a moment.",
                "claims_unavailable",
            ),
            Self::Conflict | Self::Internal(_) => with_code("Something went wrong here.", "internal_error"),
        }
    }

    /// `Retry-After`, in seconds.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Throttled { wait, .. } => Some(whole_seconds(*wait)),
            Self::Busy(_)
            | Self::RevocationsUnread
            | Self::Store(_)
            | Self::Hook(_)
            | Self::Query(_)
            | Self::TooLong(_) => Some(RETRY_AFTER),
            Self::UnknownFormat
            | Self::NotAcceptable
            | Self::Method(_)
            | Self::UnsupportedMediaType(_)
            | Self::Malformed(_)
            | Self::NotAnObject(_)
            | Self::NoData
            | Self::Fields(_)
            | Self::Credentials
            | Self::Account
            | Self::Token(_)
            | Self::Conflict
            | Self::NoSlidingEnd(_)
            | Self::SlidingEnded(_)
            | Self::BlacklistedAtVerify
            | Self::Internal(_) => None,
        }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownFormat
            | Self::NotAcceptable
            | Self::Method(_)
            | Self::UnsupportedMediaType(_)
            | Self::Malformed(_)
            | Self::NotAnObject(_)
            | Self::NoData
            | Self::Fields(_) => Outcome::InvalidRequest,
            Self::Credentials => Outcome::RefusedCredentials,
            Self::Throttled { .. } => Outcome::Throttled,
            Self::Account => Outcome::RefusedAccount,
            Self::Token(_) | Self::NoSlidingEnd(_) | Self::SlidingEnded(_) | Self::BlacklistedAtVerify => {
                Outcome::RefusedToken
            }
            Self::Busy(_) => Outcome::Busy,
            Self::RevocationsUnread | Self::Store(_) => Outcome::StoreUnavailable,
            Self::Hook(_) | Self::Query(_) | Self::TooLong(_) => Outcome::ClaimsUnavailable,
            Self::Conflict | Self::Internal(_) => Outcome::InternalError,
        }
    }

    /// More on the outcome for the access log, free of secrets.
    pub(super) const fn log_detail(&self) -> Option<&'static str> {
        match self {
            Self::Throttled { limit, .. } => Some(limit.as_str()),
            Self::UnknownFormat
            | Self::NotAcceptable
            | Self::Method(_)
            | Self::UnsupportedMediaType(_)
            | Self::Malformed(_)
            | Self::NotAnObject(_)
            | Self::NoData
            | Self::Fields(_)
            | Self::Credentials
            | Self::Account
            | Self::Token(_)
            | Self::Conflict
            | Self::NoSlidingEnd(_)
            | Self::SlidingEnded(_)
            | Self::BlacklistedAtVerify
            | Self::Busy(_)
            | Self::RevocationsUnread
            | Self::Store(_)
            | Self::Hook(_)
            | Self::Query(_)
            | Self::TooLong(_)
            | Self::Internal(_) => None,
        }
    }

    /// What the operator must know of and the client must not: a failure of our own side.
    pub(super) fn into_cause(self) -> Option<Box<dyn Error + Send + Sync>> {
        match self {
            Self::Busy(error) => Some(error.into()),
            Self::Store(error) => Some(error.into()),
            Self::Hook(error) => Some(error.into()),
            Self::Query(error) => Some(error.into()),
            Self::TooLong(error) => Some(error.into()),
            Self::Internal(error) => Some(error),
            Self::UnknownFormat
            | Self::NotAcceptable
            | Self::Method(_)
            | Self::UnsupportedMediaType(_)
            | Self::Malformed(_)
            | Self::NotAnObject(_)
            | Self::NoData
            | Self::Fields(_)
            | Self::Credentials
            | Self::Throttled { .. }
            | Self::Account
            | Self::Token(_)
            | Self::RevocationsUnread
            | Self::Conflict
            | Self::NoSlidingEnd(_)
            | Self::SlidingEnded(_)
            | Self::BlacklistedAtVerify => None,
        }
    }
}

/// Rounded up: who waits so long does not come too early.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

impl From<TokenFault> for Refused {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::Store(error),
            // Two tokens or sessions of one random name: a broken source of randomness.
            StoreError::Conflict => Self::Internal(error.into()),
        }
    }
}

impl From<FreshClaimsError> for Refused {
    fn from(error: FreshClaimsError) -> Self {
        match error {
            FreshClaimsError::Query(error) => Self::Query(error),
            FreshClaimsError::Hook(error) => Self::Hook(error),
        }
    }
}

impl From<PasswordError> for Refused {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy(error),
            PasswordError::Hashing => Self::Internal(error.into()),
        }
    }
}

impl From<SigningError> for Refused {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::TooLong(_) => Self::TooLong(error),
            error => Self::Internal(error.into()),
        }
    }
}
