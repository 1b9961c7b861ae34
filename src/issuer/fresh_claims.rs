//! Claims that are not in the user's row: what databases say to the queries of `issuer.claims`, and what the site's service
//! says. Both are asked at each login and each refresh, before anything is written.

use serde_json::{Map, Value};

use super::Issuer;
use super::hook::Occasion;
use super::refused::Refused;
use crate::store::User;

impl Issuer {
    /// Adds them to the claims of a new token. The service is asked last, so that its word counts.
    pub(super) async fn add_fresh_claims(
        &self,
        claims: &mut Map<String, Value>,
        user: &User,
        occasion: Occasion<'_>,
    ) -> Result<(), Refused> {
        for (name, value) in self.claim_queries.of(&user.id).await? {
            // In SimpleJWT's manner the claims are those of the old token, whose value may be no longer so.
            match value {
                Some(value) => claims.insert(name.to_owned(), value),
                None => claims.remove(name),
            };
        }
        self.add_hook_claims(claims, user, occasion).await
    }
}
