//! How the issuer's tokens look and how they are looked at, where SimpleJWT lets a site choose.

use std::time::Duration;

use crate::base::TokenClass;

/// The names of the claims that the issuer writes, and what else of its tokens is checked. Each field is the setting
/// of `SIMPLE_JWT` of that name, in lower case.
#[derive(Debug, Clone)]
pub struct TokenForm {
    /// Names the user; default `user_id`.
    pub user_id_claim: String,
    /// Tells access tokens from refresh tokens; default `token_type`.
    pub token_type_claim: String,
    /// The token's own name, by which it is blacklisted; default `jti`.
    pub jti_claim: String,
    /// `revoke_token_claim`, if `check_revoke_token` is set: a fingerprint of the stored password. Tokens that have
    /// another are refused on routes that ask about users.
    pub revoke_token_claim: Option<String>,
    /// Users that are kept out are refused on routes that ask about users; default true.
    pub check_user_is_active: bool,
    /// Which tokens are good on protected routes, never empty; default access tokens alone.
    pub auth_token_classes: Vec<TokenClass>,
    /// Of sliding tokens.
    pub sliding: Sliding,
}

/// `sliding_token_…:` of the issuer.
#[derive(Debug, Clone)]
pub struct Sliding {
    /// `exp - iat`, new at each refresh; default 5m.
    pub lifetime: Duration,
    /// From the login until no refresh is granted any more; default 1d.
    pub refresh_lifetime: Duration,
    /// The claim that holds that end; default `refresh_exp`.
    pub refresh_exp_claim: String,
}

impl Sliding {
    /// From the login until the last copy of a token expires: one may be renewed just before the end of that.
    #[must_use]
    pub fn longest_life(&self) -> Duration {
        self.refresh_lifetime.saturating_add(self.lifetime)
    }
}

impl TokenForm {
    /// As SimpleJWT has it unless told otherwise.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            user_id_claim: "user_id".to_owned(),
            token_type_claim: "token_type".to_owned(),
            jti_claim: "jti".to_owned(),
            revoke_token_claim: None,
            check_user_is_active: true,
            auth_token_classes: vec![TokenClass::Access],
            sliding: Sliding {
                lifetime: Duration::from_secs(300),
                refresh_lifetime: Duration::from_secs(86_400),
                refresh_exp_claim: "refresh_exp".to_owned(),
            },
        }
    }

    /// Whether the issuer sets a claim itself, so that nothing else may: what RFC 7519, section 4.1 registers, and
    /// SimpleJWT's own under their usual names and under those that they have here.
    #[must_use]
    pub fn is_reserved(&self, name: &str) -> bool {
        const USUAL: [&str; 10] =
            ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "token_type", "user_id"];
        let own = [&self.user_id_claim, &self.token_type_claim, &self.jti_claim];
        let own = own.into_iter().chain([&self.sliding.refresh_exp_claim]).chain(&self.revoke_token_claim);
        USUAL.contains(&name) || own.into_iter().any(|own| own == name)
    }
}
