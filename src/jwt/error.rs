//! Why a token can't be read.

use crate::base::{ReasonCode, ShortText};

use super::json::JsonError;

/// Why a text is no token that Tollgate looks at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text, or its header, is longer than [`Limits`](super::Limits) allow.
    #[error("longer than any token that is looked at")]
    TooLong,
    /// Not three parts with dots between (RFC 7515, section 7.1).
    #[error("not three segments")]
    Segments,
    /// A segment is no canonical base64url: padding, other characters, or bits that do not count
    /// (RFC 7515, section 2).
    #[error("a segment is not canonical base64url without padding")]
    Base64,
    /// Header or payload is not UTF-8.
    #[error("header or payload is not UTF-8")]
    Utf8,
    /// Header or payload is no JSON.
    #[error("header or payload is no JSON")]
    Json,
    /// An object in header or payload has two members of one name (RFC 8725, section 2.4).
    #[error("header or payload has two members of one name")]
    DuplicateMember,
    /// Header or payload is nested deeper than [`Limits`](super::Limits) allow.
    #[error("header or payload is nested too deeply")]
    TooDeep,
    /// Header or payload is JSON, but no object (RFC 7519, section 7.2).
    #[error("header or payload is no JSON object")]
    NotAnObject,
    /// A JWE: five segments, or `enc` in the header (RFC 7516, section 9).
    #[error("the token is encrypted; only signed tokens are taken")]
    Encrypted,
    /// `alg` names nothing that is ever allowed; `none` in any spelling among them.
    #[error("unknown algorithm {alg}")]
    UnknownAlgorithm {
        /// As the token has it.
        alg: ShortText,
    },
    /// There is no `alg`.
    #[error("the header has no \"alg\"")]
    MissingAlgorithm,
    /// There is a `crit`, or `b64` is not `true`: extensions that change what is signed, none of which is
    /// understood (RFC 7515, section 4.1.11; RFC 7797).
    #[error("the header asks for an extension by \"crit\" or \"b64\"")]
    CriticalHeader,
    /// A member of the header that is looked at is no string.
    #[error("\"{member}\" in the header is no string")]
    MalformedHeader {
        /// Its name.
        member: &'static str,
    },
    /// A registered claim is of the wrong type or out of range (RFC 7519, section 4.1).
    #[error("the claim \"{claim}\" is of the wrong type or out of range")]
    MalformedClaim {
        /// Its name.
        claim: &'static str,
    },
}

impl ParseError {
    /// The word for log and metric.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::TooLong => ReasonCode::TokenTooLarge,
            Self::Encrypted => ReasonCode::EncryptedToken,
            Self::UnknownAlgorithm { .. } | Self::MissingAlgorithm => ReasonCode::AlgorithmNotAllowed,
            Self::CriticalHeader => ReasonCode::CriticalHeader,
            Self::MalformedClaim { .. } => ReasonCode::MalformedClaim,
            Self::Segments
            | Self::Base64
            | Self::Utf8
            | Self::Json
            | Self::DuplicateMember
            | Self::TooDeep
            | Self::NotAnObject
            | Self::MalformedHeader { .. } => ReasonCode::MalformedToken,
        }
    }
}

impl From<JsonError> for ParseError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Utf8 => Self::Utf8,
            JsonError::Syntax => Self::Json,
            JsonError::NotAnObject => Self::NotAnObject,
            JsonError::DuplicateMember => Self::DuplicateMember,
            JsonError::TooDeep => Self::TooDeep,
        }
    }
}
