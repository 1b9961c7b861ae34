//! Reads a token that a client handed in, and names its fault as SimpleJWT does.
//!
//! The order counts, since the first fault is the one that is told: structure and algorithm, signature, the
//! registered claims, the blacklist, then that `exp` and `jti` are there at all, and the type last.

use serde_json::{Map, Value};

use super::Issuer;
use super::refused::{Refused, TokenFault};
use crate::base::{AlgorithmSet, ProviderName, UnixTime};
use crate::config::{self, Audiences, IssuerRule, KeySource, OwnTokenRules, Provider, TokenRules};
use crate::jwt::{Claims, Limits, Policy, PolicyError, parse, verify};
use crate::store::{OldToken, RefreshRecord, RefreshState, SessionRecord, StoreError};

/// A genuine token that is within its time and meant for us.
pub(super) struct Presented {
    claims: Claims,
    /// What is wrong with it beyond that.
    remaining: Option<PolicyError>,
    revoked: bool,
}

/// A refresh token that is good, but perhaps blacklisted.
pub(super) struct RefreshPresented {
    pub(super) blacklisted: Blacklisted,
    jti: String,
    expires_at: UnixTime,
    user: UserClaim,
    claims: Claims,
    /// What the store knows of it.
    pub(super) record: Option<RefreshRecord>,
    foreign: bool,
}

/// Who ended or exchanged a refresh token. The two differ where a token is to be ended: the site is told before anything is
/// done here, so a token that only the site knows as ended may be one whose session goes on here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blacklisted {
    /// Nobody.
    No,
    /// This store has it on its blacklist.
    Here,
    /// The site has, and this store has not.
    BySiteAlone,
}

/// The rules for refresh tokens, or for sliding ones. Tokens of other types are judged by them too: their type is the
/// last rule.
pub(super) fn policy(config: &config::Issuer, token_type: &str) -> Policy {
    Policy::new(&Provider {
        name: ProviderName::new("issuer"),
        issuer: config.issuer.clone().map_or(IssuerRule::Any, IssuerRule::Exactly),
        keys: KeySource::Own,
        algorithms: AlgorithmSet::EMPTY.with(config.algorithm),
        audiences: match config.audiences.as_slice() {
            [] => Audiences::Any,
            audiences => Audiences::OneOf(audiences.to_vec()),
        },
        leeway: config.leeway,
        required_claims: Vec::new(),
        token_type: None,
        rules: TokenRules {
            own: Some(OwnTokenRules {
                token_type_claim: config.form.token_type_claim.clone(),
                token_types: vec![token_type.to_owned()],
                // Looked for when the blacklist was: see `complete`.
                id_claim: None,
            }),
            ..TokenRules::default()
        },
    })
}

impl Issuer {
    /// Structure, signature and registered claims.
    pub(super) fn read(&self, text: &str, now: UnixTime) -> Result<Presented, TokenFault> {
        self.read_by(&self.policy, text, now)
    }

    fn read_by(&self, policy: &Policy, text: &str, now: UnixTime) -> Result<Presented, TokenFault> {
        let token = parse(text.as_bytes(), &Limits::default()).map_err(|_| TokenFault::Invalid)?;
        verify(&token, &self.keys.set, self.keys.algorithms).map_err(|_| TokenFault::Invalid)?;
        let remaining = match policy.check(token.typ(), token.claims(), now) {
            Ok(()) => None,
            Err(PolicyError::Expired { .. }) => return Err(TokenFault::Expired),
            Err(
                PolicyError::NotYetValid { .. }
                | PolicyError::IssuedInTheFuture { .. }
                | PolicyError::ProviderEnded { .. }
                | PolicyError::WrongIssuer
                | PolicyError::WrongAudience
                | PolicyError::WrongTyp
                | PolicyError::MissingIssuedAt
                | PolicyError::TooOld { .. }
                | PolicyError::LifetimeTooLong { .. }
                | PolicyError::WrongAuthorizedParty
                | PolicyError::WrongClaimValue { .. }
                | PolicyError::MissingId
                | PolicyError::MissingClaim { .. },
            ) => return Err(TokenFault::Invalid),
            Err(
                rest @ (PolicyError::MissingExpiry
                | PolicyError::MissingTokenType
                | PolicyError::WrongTokenType),
            ) => Some(rest),
        };
        let names = self.revocations.names(token.claims(), token.signing_input());
        let revoked = self.revocations.is_revoked(&names, now);
        Ok(Presented { claims: token.into_claims(), remaining, revoked })
    }

    /// A sliding token, as [`Self::look_at_refresh`]. It counts as long as its copies can be renewed.
    pub(super) async fn look_at_sliding(
        &self,
        text: &str,
        now: UnixTime,
    ) -> Result<RefreshPresented, Refused> {
        let token = self.read_by(&self.sliding_policy, text, now)?;
        let mut token = self.look_up(token).await?;
        let end = token.members().get(&self.form.sliding.refresh_exp_claim).and_then(Value::as_i64);
        // One may be renewed just before.
        let last = UnixTime(end.unwrap_or_default()).plus(self.form.sliding.lifetime);
        token.expires_at = token.expires_at.max(last);
        Ok(token)
    }

    /// A refresh token. Whether it is blacklisted, and whether its session lives, is the caller's to ask.
    pub(super) async fn look_at_refresh(
        &self,
        text: &str,
        now: UnixTime,
    ) -> Result<RefreshPresented, Refused> {
        let token = self.read(text, now)?;
        self.look_up(token).await
    }

    async fn look_up(&self, token: Presented) -> Result<RefreshPresented, Refused> {
        let state = match self.name_of(&token.claims) {
            Some(jti) => self.sessions.refresh_state(jti).await?,
            None => RefreshState { blacklisted: false, record: None },
        };
        // One that was exchanged may come again, and its faults are then told in this order too.
        let blacklisted = match self.name_of(&token.claims) {
            Some(jti) => self.who_blacklisted(jti, &state).await?,
            None => Blacklisted::No,
        };
        let is_whole = self.complete(&token).is_ok() && token.remaining.is_none();
        if token.revoked || (blacklisted != Blacklisted::No && !is_whole) {
            return Err(TokenFault::Blacklisted.into());
        }
        let (jti, expires_at) = self.complete(&token)?;
        match token.remaining {
            Some(PolicyError::MissingTokenType) => Err(TokenFault::NoType.into()),
            Some(_) => Err(TokenFault::WrongType.into()),
            None => {
                let jti = jti.to_owned();
                Ok(RefreshPresented {
                    blacklisted,
                    jti,
                    expires_at,
                    user: self.user_of(&token.claims),
                    claims: token.claims,
                    record: state.record,
                    foreign: false,
                })
            }
        }
    }

    /// Whether a token with this `jti` was ended or exchanged, and by whom.
    pub(super) async fn who_blacklisted(
        &self,
        jti: &str,
        state: &RefreshState,
    ) -> Result<Blacklisted, StoreError> {
        Ok(if state.blacklisted {
            Blacklisted::Here
        } else if self.is_blacklisted_by_site(jti).await? {
            Blacklisted::BySiteAlone
        } else {
            Blacklisted::No
        })
    }

    /// A token's name and `exp`, which every token must have.
    pub(super) fn complete<'t>(&self, token: &'t Presented) -> Result<(&'t str, UnixTime), TokenFault> {
        let expires_at = token.claims.expires_at().ok_or(TokenFault::NoExpiry)?;
        Ok((self.name_of(&token.claims).ok_or(TokenFault::NoId)?, expires_at))
    }

    pub(super) fn name_of<'t>(&self, claims: &'t Claims) -> Option<&'t str> {
        claims.members().get(&self.form.jti_claim).and_then(Value::as_str)
    }

    pub(super) fn user_of(&self, claims: &Claims) -> UserClaim {
        UserClaim::of(claims.members().get(&self.form.user_id_claim))
    }

    /// What a token says about its user.
    pub(super) fn user(&self, token: &Presented) -> UserClaim {
        self.user_of(&token.claims)
    }
}

impl Presented {
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// It, its session or its user was revoked.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked
    }
}

impl RefreshPresented {
    /// One that another issuer handed out.
    pub(super) fn foreign(
        jti: String,
        expires_at: UnixTime,
        user: UserClaim,
        claims: Claims,
        blacklisted: Blacklisted,
    ) -> Self {
        Self { blacklisted, jti, expires_at, user, claims, record: None, foreign: true }
    }

    /// Another issuer handed it out.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign
    }

    pub(super) fn jti(&self) -> &str {
        &self.jti
    }

    /// The session that the store knows of it.
    pub(super) fn session(&self) -> Option<&SessionRecord> {
        self.record.as_ref()?.session.as_ref()
    }

    pub(super) fn old(&self) -> OldToken<'_> {
        OldToken { jti: &self.jti, expires_at: self.expires_at }
    }

    pub(super) fn user(&self) -> UserClaim {
        self.user.clone()
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Its claims, in their order.
    pub(super) fn members(&self) -> &Map<String, Value> {
        self.claims.members()
    }
}

/// What a token says about its user.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum UserClaim {
    /// Nothing, or what Python takes for nothing. SimpleJWT then asks for no user.
    Unsaid,
    /// An id.
    Id(String),
    /// Something that can be no id.
    Impossible,
}

impl UserClaim {
    fn of(claim: Option<&Value>) -> Self {
        match claim {
            None | Some(Value::Null | Value::Bool(false)) => Self::Unsaid,
            Some(Value::String(id)) if id.is_empty() => Self::Unsaid,
            Some(Value::Array(list)) if list.is_empty() => Self::Unsaid,
            Some(Value::Object(members)) if members.is_empty() => Self::Unsaid,
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Self::Unsaid,
            Some(Value::String(id)) => Self::Id(id.clone()),
            // Older releases wrote the database's integer.
            Some(Value::Number(number)) if !number.is_f64() => Self::Id(number.to_string()),
            Some(_) => Self::Impossible,
        }
    }

    /// The text, if it is one.
    pub(super) fn into_id(self) -> Option<String> {
        match self {
            Self::Id(id) => Some(id),
            Self::Unsaid | Self::Impossible => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tells_no_user_from_an_impossible_one() {
        let user = |value: Value| UserClaim::of(Some(&value));
        assert_eq!(UserClaim::of(None), UserClaim::Unsaid);
        for nothing in [json!(null), json!(""), json!(0), json!(0.0), json!(false), json!([]), json!({})] {
            assert_eq!(user(nothing.clone()), UserClaim::Unsaid, "{nothing}");
        }
        for impossible in [json!(true), json!([1]), json!({"a": 1}), json!(1.5)] {
            assert_eq!(user(impossible.clone()), UserClaim::Impossible, "{impossible}");
        }
        assert_eq!(user(json!("7")), UserClaim::Id("7".to_owned()));
        assert_eq!(user(json!(7)), UserClaim::Id("7".to_owned()));
    }
}
