//! Makes tokens: their claims, in SimpleJWT's order, and their signature.

use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fingerprint;
use super::keys::Keys;
use crate::base::UnixTime;
use crate::config::{self, ClaimSource, Compatibility, TokenForm};
use crate::jwt::{HeaderForm, Limits, SigningError};
use crate::store::{RefreshToken, User};

/// How tokens are made.
pub(super) struct Mint {
    compatibility: Compatibility,
    access_lifetime: Duration,
    refresh_lifetime: Duration,
    longest_lifetime: Duration,
    form: TokenForm,
    claims: Vec<(String, ClaimSource)>,
    issuer: Option<String>,
    audience: Option<Value>,
}

/// What an access token does not take over from the refresh token beside it.
pub(super) struct Stamp {
    /// Its own `jti`.
    pub(super) jti: String,
    /// Its `iat`; it lives for the configured time from then on.
    pub(super) issued_at: UnixTime,
    /// When its session ends, if that is sooner.
    pub(super) end: Option<UnixTime>,
}

/// An access token.
pub(super) struct NewAccess {
    pub(super) text: String,
    pub(super) jti: String,
    pub(super) expires_at: UnixTime,
}

/// A refresh token: its text, and what the store keeps of it.
pub(super) struct NewRefresh {
    pub(super) text: String,
    /// Its `exp`. The record of a sliding token lives longer, as its copies do.
    pub(super) exp: UnixTime,
    pub(super) record: RefreshToken,
}

impl Mint {
    pub(super) fn new(config: &config::Issuer) -> Self {
        Self {
            compatibility: config.compatibility,
            access_lifetime: config.access_token_lifetime,
            refresh_lifetime: config.refresh_token_lifetime,
            longest_lifetime: config.longest_lifetime(),
            form: config.form.clone(),
            claims: config.claims.clone(),
            issuer: config.issuer.clone(),
            audience: match config.audiences.as_slice() {
                [] => None,
                [one] => Some(json!(one)),
                several => Some(json!(several)),
            },
        }
    }

    /// The claims of a user's refresh token. `sid` ties it to its session.
    pub(super) fn refresh_claims(&self, user: &User, sid: &str, now: UnixTime) -> Map<String, Value> {
        let mut claims = self.first_claims("refresh", self.refresh_lifetime, now);
        claims.insert(self.form.user_id_claim.clone(), json!(user.id.as_str()));
        if self.compatibility == Compatibility::Tollgate {
            claims.insert("sub".to_owned(), json!(user.id.as_str()));
            claims.insert("sid".to_owned(), json!(sid));
        }
        self.add_user_claims(user, &mut claims);
        claims
    }

    /// The claims of a user's sliding token.
    pub(super) fn sliding_claims(&self, user: &User, now: UnixTime) -> Map<String, Value> {
        let sliding = &self.form.sliding;
        let mut claims = self.first_claims("sliding", sliding.lifetime, now);
        let end = now.plus(sliding.refresh_lifetime).0;
        claims.insert(sliding.refresh_exp_claim.clone(), json!(end));
        claims.insert(self.form.user_id_claim.clone(), json!(user.id.as_str()));
        self.add_user_claims(user, &mut claims);
        claims
    }

    /// A sliding token with a later end, and all else as it was.
    pub(super) fn slide(
        &self,
        keys: &Keys,
        claims: &Map<String, Value>,
        now: UnixTime,
    ) -> Result<String, SigningError> {
        let mut claims = claims.clone();
        claims.insert("exp".to_owned(), json!(now.plus(self.form.sliding.lifetime).0));
        claims.insert("iat".to_owned(), json!(now.0));
        self.sign(keys, claims)
    }

    fn first_claims(&self, token_type: &str, lifetime: Duration, now: UnixTime) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert(self.form.token_type_claim.clone(), json!(token_type));
        claims.insert("exp".to_owned(), json!(now.plus(lifetime).0));
        claims.insert("iat".to_owned(), json!(now.0));
        claims.insert(self.form.jti_claim.clone(), json!(new_id()));
        claims
    }

    fn add_user_claims(&self, user: &User, claims: &mut Map<String, Value>) {
        if let (Some(name), Some(password)) = (&self.form.revoke_token_claim, &user.password) {
            claims.insert(name.clone(), json!(fingerprint::of(password)));
        }
        for (name, source) in &self.claims {
            let value = match source {
                ClaimSource::Username => json!(user.username),
                ClaimSource::Email => json!(user.email),
                ClaimSource::Roles => json!(user.roles),
                ClaimSource::Groups => user.roles.split_ascii_whitespace().collect(),
                ClaimSource::Scopes => json!(user.scopes),
                ClaimSource::Column(column) => match user.more.get(column) {
                    Some(value) if !value.is_null() => value.clone(),
                    _ => continue,
                },
                ClaimSource::Constant(value) => json!(value),
                // Asked for once it is known that there will be a token.
                ClaimSource::Query(_) => continue,
            };
            // What decides about the token itself is not the file's to set.
            claims.entry(name.clone()).or_insert(value);
        }
        for (name, value) in &user.claims {
            if !value.is_null() && !self.form.is_reserved(name) {
                claims.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Whether the file says where this claim comes from.
    pub(super) fn knows_claim(&self, name: &str) -> bool {
        self.claims.iter().any(|(known, _)| known == name)
    }

    /// The claims of a refresh token's successor, as SimpleJWT makes them: what the token says of its user and all
    /// else stays.
    pub(super) fn renewed(&self, claims: &Map<String, Value>, now: UnixTime) -> Map<String, Value> {
        let mut claims = claims.clone();
        claims.insert(self.form.jti_claim.clone(), json!(new_id()));
        claims.insert("exp".to_owned(), json!(now.plus(self.refresh_lifetime).0));
        claims.insert("iat".to_owned(), json!(now.0));
        claims
    }

    /// No token lives longer, unless an operator made it.
    pub(super) fn longest_lifetime(&self) -> Duration {
        self.longest_lifetime
    }

    /// The access token that goes with the claims of a refresh token: all others are copied.
    pub(super) fn access(
        &self,
        keys: &Keys,
        refresh: &Map<String, Value>,
        stamp: Stamp,
    ) -> Result<NewAccess, SigningError> {
        let Stamp { jti, issued_at, end } = stamp;
        let expires_at = issued_at.plus(self.access_lifetime);
        let expires_at = end.map_or(expires_at, |end| end.min(expires_at));
        let text = self.sign(keys, self.access_claims(refresh, &jti, issued_at, expires_at))?;
        Ok(NewAccess { text, jti, expires_at })
    }

    /// An access token of no session, with a lifetime of its own.
    pub(super) fn access_for(
        &self,
        keys: &Keys,
        refresh: &Map<String, Value>,
        lifetime: Option<Duration>,
        now: UnixTime,
    ) -> Result<String, SigningError> {
        let expires_at = now.plus(lifetime.unwrap_or(self.access_lifetime));
        self.sign(keys, self.access_claims(refresh, &new_id(), now, expires_at))
    }

    /// Signs a refresh token whose claims came from [`Self::refresh_claims`] or [`Self::renewed`].
    pub(super) fn refresh(
        &self,
        keys: &Keys,
        claims: Map<String, Value>,
    ) -> Result<NewRefresh, SigningError> {
        let jti = claims.get(&self.form.jti_claim).and_then(Value::as_str).unwrap_or_default().to_owned();
        let expires_at = UnixTime(claims.get("exp").and_then(Value::as_i64).unwrap_or_default());
        let text = self.sign(keys, claims)?;
        let record = RefreshToken { jti, hash: hash(&text), expires_at, claims: None };
        Ok(NewRefresh { text, exp: expires_at, record })
    }

    fn access_claims(
        &self,
        refresh: &Map<String, Value>,
        jti: &str,
        issued_at: UnixTime,
        expires_at: UnixTime,
    ) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert(self.form.token_type_claim.clone(), json!("access"));
        claims.insert("exp".to_owned(), json!(expires_at.0));
        claims.insert("iat".to_owned(), json!(issued_at.0));
        claims.insert(self.form.jti_claim.clone(), json!(jti));
        // A token that is known by another claim may still have a `jti`, which names the refresh token.
        for (name, value) in refresh.iter().filter(|(name, _)| *name != "jti") {
            claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
        claims
    }

    fn sign(&self, keys: &Keys, mut claims: Map<String, Value>) -> Result<String, SigningError> {
        if let Some(audience) = &self.audience {
            claims.insert("aud".to_owned(), audience.clone());
        }
        if let Some(issuer) = &self.issuer {
            claims.insert("iss".to_owned(), json!(issuer));
        }
        let header = match self.compatibility {
            Compatibility::Tollgate => HeaderForm::WithKid,
            Compatibility::SimpleJwt => HeaderForm::Plain,
        };
        let token = keys.signing.sign(&claims, header)?;
        // Whoever takes tokens would take none that is longer.
        if token.len() > Limits::default().token {
            return Err(SigningError::TooLong(token.len()));
        }
        Ok(token)
    }
}

/// Lets a refresh token end with its session, where that has an end.
pub(super) fn cap(claims: &mut Map<String, Value>, end: Option<UnixTime>) {
    if let (Some(end), Some(exp)) = (end, claims.get_mut("exp"))
        && exp.as_i64().is_none_or(|exp| exp > end.0)
    {
        *exp = json!(end.0);
    }
}

/// SHA-256 of a token's payload, by which the store knows it again: a token that is signed once more, also by a newer
/// key, says the same.
pub(super) fn hash(token: &str) -> [u8; 32] {
    let payload = token.split('.').nth(1).unwrap_or(token);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, payload.as_bytes()).as_ref());
    hash
}

/// A random name for a token or a session, as SimpleJWT writes it: a UUID of version 4 in 32 hexadecimal digits.
pub(super) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}
