//! The four profiles of settings that the recording was made under.

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
}

impl Profile {
    pub(crate) const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::S];

    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::S => "S",
        }
    }

    pub(crate) const fn algorithm(self) -> &'static str {
        match self {
            Self::A | Self::B | Self::S => "HS256",
            Self::C => "RS256",
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
        };
        if let (Value::Object(issuer), Value::Object(more)) = (&mut issuer, more) {
            issuer.extend(more);
        }
        issuer
    }

    /// The gateway's provider of its own tokens.
    pub(crate) fn provider(self) -> Value {
        match self {
            Self::A | Self::B | Self::S => json!({ "issuer": "any", "keys": { "own": true } }),
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
            Self::A | Self::B | Self::S => &keys.hs256_secret,
            Self::C => &keys.rs256_private_pem,
        }
    }
}
