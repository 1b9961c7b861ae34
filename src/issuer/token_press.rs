//! Tokens made outside a login: for an operator who tries a route, or a script without a user.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::OpenError;
use super::fresh_claims::{FreshClaims, FreshClaimsError};
use super::hook::{HookError, Occasion};
use super::keys::Keys;
use super::mint::Mint;
use crate::base::UnixTime;
use crate::config;
use crate::jwt::{KeySet, SigningError};
use crate::store::User;

/// Signs access tokens with the issuer's key. It needs no database of its own, and its tokens belong to no session.
pub struct TokenPress {
    keys: Keys,
    mint: Mint,
}

impl fmt::Debug for TokenPress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPress").finish_non_exhaustive()
    }
}

impl TokenPress {
    /// Opens the issuer's keys; they must be there.
    ///
    /// # Errors
    /// [`OpenError`] of a key that is missing or can't be used.
    pub fn open(config: &config::Issuer, now: UnixTime) -> Result<Self, OpenError> {
        Ok(Self { keys: Keys::open(config, false, now)?, mint: Mint::new(config) })
    }

    /// The claims that a login of this user would put into its tokens, but for the session. Those who know more claims
    /// are asked as at a login; beside the claims stands why the site's service gave none, where the file lets that pass.
    ///
    /// # Errors
    /// [`FreshClaimsError`]: then a login would give no token.
    pub async fn user_claims(
        &self,
        fresh: &FreshClaims,
        user: &User,
        now: UnixTime,
    ) -> Result<(Map<String, Value>, Option<HookError>), FreshClaimsError> {
        let mut claims = self.mint.refresh_claims(user, "", now);
        claims.remove("sid");
        let missed = fresh.add(&mut claims, &self.mint, user, Occasion::Login).await?;
        Ok((claims, missed))
    }

    /// An access token with these claims. `lifetime` replaces the configured one.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn access_token(
        &self,
        claims: &Map<String, Value>,
        lifetime: Option<Duration>,
        now: UnixTime,
    ) -> Result<String, SigningError> {
        self.mint.access_for(&self.keys, claims, lifetime, now)
    }

    /// The keys that verify such tokens.
    #[must_use]
    pub fn key_set(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.set)
    }
}
