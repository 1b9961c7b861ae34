//! Claims that are not in the user's row: what databases say to the queries of `issuer.claims`, and what the site's service
//! says. Both are asked at each login and each refresh, before anything is written.

use std::fmt;

use serde_json::{Map, Value};

use super::hook::{Hook, HookError, Occasion};
use super::mint::Mint;
use super::refused::Refused;
use super::{Issuer, OpenError};
use crate::config;
use crate::store::{ClaimQueries, ClaimQueryError, User};

/// Who knows such claims.
pub struct FreshClaims {
    queries: ClaimQueries,
    hook: Option<Hook>,
}

/// Why it is not known what a token should say.
#[derive(Debug, thiserror::Error)]
pub enum FreshClaimsError {
    /// A database.
    #[error(transparent)]
    Query(#[from] ClaimQueryError),
    /// The site's service.
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl fmt::Debug for FreshClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshClaims").field("queries", &self.queries).finish_non_exhaustive()
    }
}

impl FreshClaims {
    /// Prepares connections, and lets each database look at its queries: one that does not answer is only warned of.
    /// Needs a tokio runtime, which must outlive this.
    ///
    /// # Errors
    /// [`OpenError`] of a query that its database will never carry out, or of whom to trust with `issuer.hook`.
    pub async fn open(config: &config::Issuer) -> Result<Self, OpenError> {
        let (queries, unseen) = ClaimQueries::open(&config.claims).await?;
        for error in unseen {
            tracing::warn!("no tokens are issued until this query can be carried out: {error}");
        }
        let hook = config.hook.as_ref().map(|hook| Hook::new(hook, &config.form)).transpose()?;
        Ok(Self { queries, hook })
    }

    /// Adds them to the claims of a new token. The service is asked last, so that its word counts. Answers with why it
    /// added none, where the file lets that pass.
    pub(super) async fn add(
        &self,
        claims: &mut Map<String, Value>,
        mint: &Mint,
        user: &User,
        occasion: Occasion<'_>,
    ) -> Result<Option<HookError>, FreshClaimsError> {
        for (name, value) in self.queries.of(&user.id).await? {
            // In SimpleJWT's manner the claims are those of the old token, whose value may be no longer so.
            match value {
                Some(value) => claims.insert(name.to_owned(), value),
                None => claims.remove(name),
            };
        }
        match &self.hook {
            Some(hook) => Ok(hook.add(claims, mint, user, occasion).await?),
            None => Ok(None),
        }
    }
}

impl Issuer {
    pub(super) async fn add_fresh_claims(
        &self,
        claims: &mut Map<String, Value>,
        user: &User,
        occasion: Occasion<'_>,
    ) -> Result<(), Refused> {
        // The log was told of a service that gave none.
        self.fresh_claims.add(claims, &self.mint, user, occasion).await?;
        Ok(())
    }
}
