//! What a provider asks of the claims of a genuine token.

use std::time::Duration;

use serde_json::Value;

use crate::base::{ClaimPath, ReasonCode, UnixTime};
use crate::config::{
    Audiences, ClaimValue, IssuerRule, OwnTokenRules, Provider, RequiredClaim, TokenRules, TokenTyp,
};

use super::claims::Claims;

/// The rules of one provider for the claims of its tokens.
#[derive(Debug, Clone)]
pub struct Policy {
    issuer: IssuerRule,
    audiences: Audiences,
    leeway: Duration,
    token_type: Option<String>,
    required_claims: Vec<RequiredClaim>,
    rules: TokenRules,
}

/// Why a genuine token is not good here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The provider's tokens are not taken any more.
    #[error("the provider's tokens were taken until {}s ago", ago.as_secs())]
    ProviderEnded {
        /// How long before now that ended.
        ago: Duration,
    },
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
    /// There is no `iat`, from which the provider counts.
    #[error("the token has no \"iat\"")]
    MissingIssuedAt,
    /// `iat` is longer ago than the provider allows.
    #[error("issued {}s ago", age.as_secs())]
    TooOld {
        /// How long before now `iat` was, leeway not counted.
        age: Duration,
    },
    /// `exp` is longer after `iat` than the provider allows.
    #[error("made for {}s", lifetime.as_secs())]
    LifetimeTooLong {
        /// `exp - iat`.
        lifetime: Duration,
    },
    /// `iss` is another, or absent.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// `aud` names none of the provider's audiences, or not all where all are asked for, or is absent.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `azp` or `client_id` names none of the provider's authorized parties, or neither is there.
    #[error("the token was issued to another party")]
    WrongAuthorizedParty,
    /// There is no name of the token, and the provider asks for one.
    #[error("the token has no name of its own")]
    MissingId,
    /// There is no `token_type`, and the provider asks for one.
    #[error("the token has no \"token_type\"")]
    MissingTokenType,
    /// `token_type` is another than the provider asks for, or `refresh`.
    #[error("the token is of another type than an access token")]
    WrongTokenType,
    /// `typ` of the header names a kind of token that is never good for access, or none that the provider asks for.
    #[error("the header's \"typ\" names another kind of token")]
    WrongTyp,
    /// A claim that the provider requires is absent or `null`.
    #[error("the token has no claim {path}")]
    MissingClaim {
        /// Which.
        path: ClaimPath,
    },
    /// A claim that the provider requires has none of the values that it may have.
    #[error("the claim {path} has another value than is required")]
    WrongClaimValue {
        /// Which.
        path: ClaimPath,
    },
}

impl PolicyError {
    /// The word for log and metric.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::ProviderEnded { .. } => ReasonCode::ProviderEnded,
            Self::Expired { .. } => ReasonCode::Expired,
            Self::MissingExpiry => ReasonCode::MissingExpiry,
            Self::NotYetValid { .. } => ReasonCode::NotYetValid,
            Self::IssuedInTheFuture { .. } => ReasonCode::IssuedInTheFuture,
            Self::WrongIssuer => ReasonCode::UnknownIssuer,
            Self::WrongAudience => ReasonCode::WrongAudience,
            Self::MissingId => ReasonCode::MissingTokenId,
            Self::MissingTokenType => ReasonCode::MissingTokenType,
            Self::WrongTokenType => ReasonCode::WrongTokenType,
            Self::WrongTyp => ReasonCode::WrongTyp,
            Self::MissingIssuedAt | Self::MissingClaim { .. } => ReasonCode::MissingClaim,
            Self::TooOld { .. } => ReasonCode::TokenTooOld,
            Self::LifetimeTooLong { .. } => ReasonCode::LifetimeTooLong,
            Self::WrongAuthorizedParty => ReasonCode::WrongAuthorizedParty,
            Self::WrongClaimValue { .. } => ReasonCode::WrongClaimValue,
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
            rules: provider.rules.clone(),
        }
    }

    /// Whether a token with this `iss` is for this provider to judge.
    #[must_use]
    pub fn issuer_matches(&self, issuer: Option<&str>) -> bool {
        self.issuer == IssuerRule::Any || issuer.is_some_and(|issuer| self.issuer.names(issuer))
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
        self.check_end(now)?;
        self.check_audience(claims)?;
        if claims.expires_at().is_none() {
            return Err(PolicyError::MissingExpiry);
        }
        match &self.rules.own {
            Some(own) => check_own(own, claims)?,
            None => self.check_token_type(claims)?,
        }
        self.check_typ(typ)?;
        self.check_ages(claims, now)?;
        self.check_authorized_party(claims)?;
        self.required_claims.iter().try_for_each(|required| check_required(required, claims))
    }

    /// Judges what a provider said of a token that it called active (RFC 7662, section 2.2).
    ///
    /// All members of such an answer are optional: without `exp` the token is good for as long as the provider says
    /// so, and without `iss` it is the provider's own. `token_type` is `Bearer` there, of which no rule speaks.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_introspected(&self, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        self.check_times(claims, now)?;
        if claims.issuer().is_some() && !self.issuer_matches(claims.issuer()) {
            return Err(PolicyError::WrongIssuer);
        }
        self.check_end(now)?;
        self.check_audience(claims)?;
        self.check_ages(claims, now)?;
        self.check_authorized_party(claims)?;
        self.required_claims.iter().try_for_each(|required| check_required(required, claims))
    }

    /// No leeway: the date is ours, by our own clock.
    fn check_end(&self, now: UnixTime) -> Result<(), PolicyError> {
        match self.rules.until {
            Some(until) if until.at <= now => Err(PolicyError::ProviderEnded { ago: now.since(until.at) }),
            _ => Ok(()),
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
            Audiences::AllOf(ours) if ours.iter().all(|our| claims.audiences().any(|their| our == their)) => {
                Ok(())
            }
            Audiences::OneOf(_) | Audiences::AllOf(_) => Err(PolicyError::WrongAudience),
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

    fn check_typ(&self, typ: Option<&str>) -> Result<(), PolicyError> {
        let asked = &self.rules.typ;
        let fits = match typ {
            None => asked.is_empty(),
            Some(typ) if asked.is_empty() => !TokenTyp::is_foreign(typ),
            // What is never good for access is in no provider's list.
            Some(typ) => asked.iter().any(|asked| asked.is(typ)),
        };
        if fits { Ok(()) } else { Err(PolicyError::WrongTyp) }
    }

    /// Leeway counts for the age, where two clocks are compared, and not for the lifetime, where both times are of
    /// one clock.
    fn check_ages(&self, claims: &Claims, now: UnixTime) -> Result<(), PolicyError> {
        let TokenRules { max_age, max_lifetime, .. } = self.rules;
        if max_age.is_none() && max_lifetime.is_none() {
            return Ok(());
        }
        let issued_at = claims.issued_at().ok_or(PolicyError::MissingIssuedAt)?;
        if max_age.is_some_and(|max_age| issued_at.plus(max_age).plus(self.leeway) < now) {
            return Err(PolicyError::TooOld { age: now.since(issued_at) });
        }
        match claims.expires_at() {
            Some(exp) if max_lifetime.is_some_and(|longest| issued_at.plus(longest) < exp) => {
                Err(PolicyError::LifetimeTooLong { lifetime: exp.since(issued_at) })
            }
            _ => Ok(()),
        }
    }

    /// To whom the token was issued: OpenID Connect calls it `azp`, RFC 9068 `client_id`. Where both are there, both
    /// count.
    fn check_authorized_party(&self, claims: &Claims) -> Result<(), PolicyError> {
        let ours = &self.rules.authorized_parties;
        if ours.is_empty() {
            return Ok(());
        }
        let mut named =
            ["azp", "client_id"].into_iter().filter_map(|name| claims.members().get(name)).peekable();
        let is_ours = |party: &Value| ours.iter().any(|our| party == our.as_str());
        if named.peek().is_some() && named.all(is_ours) {
            Ok(())
        } else {
            Err(PolicyError::WrongAuthorizedParty)
        }
    }
}

/// As SimpleJWT looks at its own tokens, in its order: the name, then the type.
fn check_own(own: &OwnTokenRules, claims: &Claims) -> Result<(), PolicyError> {
    let members = claims.members();
    if own.id_claim.as_ref().is_some_and(|name| !members.contains_key(name)) {
        return Err(PolicyError::MissingId);
    }
    let token_type = members.get(&own.token_type_claim).ok_or(PolicyError::MissingTokenType)?;
    let fits = own.token_types.iter().any(|ours| token_type == ours.as_str());
    if fits { Ok(()) } else { Err(PolicyError::WrongTokenType) }
}

fn check_required(required: &RequiredClaim, claims: &Claims) -> Result<(), PolicyError> {
    let path = &required.path;
    let Some(value) = claims.get(path).filter(|value| !value.is_null()) else {
        return Err(PolicyError::MissingClaim { path: path.clone() });
    };
    let fits = |value: &Value| required.one_of.iter().any(|allowed| is_value(value, allowed));
    let holds = match value {
        _ if required.one_of.is_empty() => true,
        Value::Array(items) => items.iter().any(fits),
        value => fits(value),
    };
    if holds { Ok(()) } else { Err(PolicyError::WrongClaimValue { path: path.clone() }) }
}

fn is_value(value: &Value, allowed: &ClaimValue) -> bool {
    match allowed {
        ClaimValue::Text(text) => value == text.as_str(),
        ClaimValue::Bool(allowed) => value == allowed,
    }
}
