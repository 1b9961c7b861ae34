//! What a provider asks of the claims of a genuine token.

use std::time::Duration;

use serde_json::Value;

use crate::base::{ClaimPath, ReasonCode, UnixTime};
use crate::config::{Audiences, IssuerRule, Provider};

use super::claims::Claims;

/// Kinds of tokens that are never good for access, whoever signed them (RFC 8725, section 3.11): logout tokens
/// (OpenID Connect Back-Channel Logout, section 2.4), security events (RFC 8417), proofs of possession (RFC 9449).
const FOREIGN_TYPES: [&str; 3] = ["logout+jwt", "secevent+jwt", "dpop+jwt"];

/// The rules of one provider for the claims of its tokens.
#[derive(Debug, Clone)]
pub struct Policy {
    issuer: IssuerRule,
    audiences: Audiences,
    leeway: Duration,
    token_type: Option<String>,
    required_claims: Vec<ClaimPath>,
}

/// Why a genuine token is not good here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The second of `exp`, or that much later with leeway, has come.
    #[error("expired {}s ago", ago.as_secs())]
    Expired {
        /// How long before now `exp` was, leeway not counted.
        ago: Duration,
    },
    /// There is no `exp`: such a token could never be got rid of.
    #[error("the token has no \"exp\"")]
    MissingExpiry,
    /// `nbf` is to come.
    #[error("not valid for another {}s", wait.as_secs())]
    NotYetValid {
        /// How long after now `nbf` is, leeway not counted.
        wait: Duration,
    },
    /// `iat` is to come: the clocks differ, or the token was not made by an honest issuer.
    #[error("issued {}s in the future", ahead.as_secs())]
    IssuedInTheFuture {
        /// How long after now `iat` is, leeway not counted.
        ahead: Duration,
    },
    /// `iss` is another, or absent.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// `aud` names none of the provider's audiences, or is absent.
    #[error("the token is for another audience")]
    WrongAudience,
    /// There is no `token_type`, and the provider asks for one.
    #[error("the token has no \"token_type\"")]
    MissingTokenType,
    /// `token_type` is another than the provider asks for, or `refresh`.
    #[error("the token is of another type than an access token")]
    WrongTokenType,
    /// `typ` of the header names a kind of token that is never good for access.
    #[error("the header's \"typ\" names another kind of token")]
    WrongTyp,
    /// A claim that the provider requires is absent or `null`.
    #[error("the token has no claim {path}")]
    MissingClaim {
        /// Which.
        path: ClaimPath,
    },
}

impl PolicyError {
    /// The word for log and metric.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::Expired { .. } => ReasonCode::Expired,
            Self::MissingExpiry => ReasonCode::MissingExpiry,
            Self::NotYetValid { .. } => ReasonCode::NotYetValid,
            Self::IssuedInTheFuture { .. } => ReasonCode::IssuedInTheFuture,
            Self::WrongIssuer => ReasonCode::UnknownIssuer,
            Self::WrongAudience => ReasonCode::WrongAudience,
            Self::MissingTokenType | Self::WrongTokenType => ReasonCode::WrongTokenType,
            Self::WrongTyp => ReasonCode::WrongTyp,
            Self::MissingClaim { .. } => ReasonCode::MissingClaim,
        }
    }
}

impl Policy {
    /// The rules that the file gives for a provider.
    #[must_use]
    pub fn new(provider: &Provider) -> Self {
        Self {
            issuer: provider.issuer.clone(),
            audiences: provider.audiences.clone(),
            leeway: provider.leeway,
            token_type: provider.token_type.clone(),
            required_claims: provider.required_claims.clone(),
        }
    }

    /// Whether a token with this `iss` is for this provider to judge.
    #[must_use]
    pub fn issuer_matches(&self, issuer: Option<&str>) -> bool {
        match &self.issuer {
            IssuerRule::Exactly(expected) => issuer == Some(expected),
            IssuerRule::Any => true,
        }
    }

    /// Judges `typ` of the header and the claims of a token whose signature was verified.
    ///
    /// The order of the checks is `PyJWT`'s and then SimpleJWT's, since the first that fails is the one that their
    /// clients hear of: times, issuer, audience, then that there is an expiry at all, the type, and what this
    /// provider requires besides.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, typ: Option<&str>, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        self.check_times(claims, now)?;
        if !self.issuer_matches(claims.issuer()) {
            return Err(PolicyError::WrongIssuer);
        }
        self.check_audience(claims)?;
        if claims.expires_at().is_none() {
            return Err(PolicyError::MissingExpiry);
        }
        self.check_token_type(claims)?;
        if typ.is_some_and(is_foreign) {
            return Err(PolicyError::WrongTyp);
        }
        match self.required_claims.iter().find(|path| claims.get(path).is_none_or(Value::is_null)) {
            None => Ok(()),
            Some(path) => Err(PolicyError::MissingClaim { path: path.clone() }),
        }
    }

    /// A token is void from the very second of `exp` on (RFC 7519, section 4.1.4: "on or after").
    fn check_times(&self, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        let latest = now.plus(self.leeway);
        match claims.issued_at() {
            Some(iat) if iat > latest => {
                return Err(PolicyError::IssuedInTheFuture { ahead: iat.since(now) });
            }
            _ => {}
        }
        match claims.not_before() {
            Some(nbf) if nbf > latest => return Err(PolicyError::NotYetValid { wait: nbf.since(now) }),
            _ => {}
        }
        match claims.expires_at() {
            Some(exp) if exp.plus(self.leeway) <= now => Err(PolicyError::Expired { ago: now.since(exp) }),
            _ => Ok(()),
        }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), PolicyError> {
        match &self.audiences {
            Audiences::Any => Ok(()),
            Audiences::OneOf(ours)
                if claims.audiences().any(|theirs| ours.iter().any(|our| our == theirs)) =>
            {
                Ok(())
            }
            Audiences::OneOf(_) => Err(PolicyError::WrongAudience),
        }
    }

    fn check_token_type(&self, claims: &Claims) -> Result<(), PolicyError> {
        let token_type = claims.members().get("token_type");
        match (&self.token_type, token_type) {
            (Some(_), None) => Err(PolicyError::MissingTokenType),
            (Some(expected), Some(found)) if found == expected.as_str() => Ok(()),
            (Some(_), Some(_)) => Err(PolicyError::WrongTokenType),
            (None, Some(Value::String(found))) if found.eq_ignore_ascii_case("refresh") => {
                Err(PolicyError::WrongTokenType)
            }
            (None, _) => Ok(()),
        }
    }
}

/// `application/` may be left out (RFC 7515, section 4.1.9), and media types have no case.
fn is_foreign(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let subtype = match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(PREFIX) => subtype,
        _ => typ,
    };
    FOREIGN_TYPES.iter().any(|foreign| foreign.eq_ignore_ascii_case(subtype))
}
