//! The four profiles of settings that the recording was made under, and two more.

use serde_json::{Value, json};

use crate::case::{Lifetimes, TestKeys};

/// One of them. See the recording's own `profiles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Profile {
    /// Rotation and blacklist.
    A,
    /// The defaults.
    B,
    /// RS256, audience, issuer, leeway, last login, fingerprints of passwords.
    C,
    /// Sliding tokens.
    S,
    /// Names of the site's own: the header and its types, the claims of the fingerprint and of a sliding token's end.
    N,
    /// Names of the site's own for the claims that every token has, with rotation and blacklist.
    U,
}

impl Profile {
    pub(crate) const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::S, Self::N, Self::U];

    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::S => "S",
            Self::N => "N",
            Self::U => "U",
        }
    }

    pub(crate) const fn algorithm(self) -> &'static str {
        match self {
            Self::A | Self::B | Self::S | Self::N | Self::U => "HS256",
            Self::C => "RS256",
        }
    }

    /// The claim with the fingerprint of the user's password.
    pub(crate) const fn revoke_token_claim(self) -> Option<&'static str> {
        match self {
            Self::A | Self::B | Self::S | Self::U => None,
            Self::C => Some("hash_password"),
            Self::N => Some("hp"),
        }
    }

    /// The claim with the time until which a sliding token may be refreshed.
    pub(crate) const fn refresh_exp_claim(self) -> &'static str {
        match self {
            Self::A | Self::B | Self::C | Self::S | Self::U => "refresh_exp",
            Self::N => "rexp",
        }
    }

    /// The claims that say a token's type, its own name and its user.
    pub(crate) const fn usual_claims(self) -> [&'static str; 3] {
        match self {
            Self::A | Self::B | Self::C | Self::S | Self::N => ["token_type", "jti", "user_id"],
            Self::U => ["tt", "tid", "sub"],
        }
    }

    /// Where routes look for tokens, if not in the usual place.
    pub(crate) fn token_from(self) -> Option<Value> {
        match self {
            Self::A | Self::B | Self::C | Self::S | Self::U => None,
            Self::N => Some(json!({ "header": "X-Access-Token", "scheme": ["JWT", "Bearer"] })),
        }
    }

    /// The keys of the gateway's `issuer` beyond the profile's name and the store.
    pub(crate) fn issuer(self, lifetimes: Lifetimes) -> Value {
        let mut issuer = json!({
            "signing_key": "${SIMPLEJWT_SIGNING_KEY}",
            "access_token_lifetime": format!("{}s", lifetimes.access),
            "refresh_token_lifetime": format!("{}s", lifetimes.refresh),
        });
        let more = match self {
            Self::A => json!({ "rotate_refresh_tokens": true, "blacklist_after_rotation": true }),
            Self::B => json!({}),
            Self::C => json!({
                "algorithm": "RS256",
                "verifying_key": "${SIMPLEJWT_VERIFYING_KEY}",
                "update_last_login": true,
                "check_revoke_token": true,
            }),
            Self::S => json!({
                "blacklist_after_rotation": true,
                "auth_token_classes": ["sliding"],
                "sliding_token_lifetime": "300s",
                "sliding_token_refresh_lifetime": "86400s",
                "paths": {
                    "obtain": "off",
                    "refresh": "off",
                    "sliding_obtain": "/api/token/",
                    "sliding_refresh": "/api/token/refresh/",
                },
            }),
            Self::N => json!({
                "auth_token_classes": ["access", "sliding"],
                "sliding_token_lifetime": "300s",
                "sliding_token_refresh_lifetime": "86400s",
                "sliding_token_refresh_exp_claim": "rexp",
                "check_revoke_token": true,
                "revoke_token_claim": "hp",
                "paths": {
                    "sliding_obtain": "/api/token/sliding/",
                    "sliding_refresh": "/api/token/sliding/refresh/",
                },
            }),
            Self::U => json!({
                "rotate_refresh_tokens": true,
                "blacklist_after_rotation": true,
                "token_type_claim": "tt",
                "jti_claim": "tid",
                "user_id_claim": "sub",
            }),
        };
        if let (Value::Object(issuer), Value::Object(more)) = (&mut issuer, more) {
            issuer.extend(more);
        }
        issuer
    }

    /// The gateway's provider of its own tokens.
    pub(crate) fn provider(self) -> Value {
        match self {
            Self::A | Self::B | Self::S | Self::N | Self::U => {
                json!({ "issuer": "any", "keys": { "own": true } })
            }
            Self::C => json!({
                "issuer": "https://issuer.example.test",
                "audiences": ["wire-api"],
                "leeway": "10s",
                "keys": { "own": true },
            }),
        }
    }

    pub(crate) fn signing_key(self, keys: &TestKeys) -> &str {
        match self {
            Self::A | Self::B | Self::S | Self::N | Self::U => &keys.hs256_secret,
            Self::C => &keys.rs256_private_pem,
        }
    }
}
