//! Sliding tokens, as SimpleJWT has them: one token that renews itself as long as it is used, and no longer than its
//! `refresh_exp`. They are there for sites that move; only the profile has these endpoints.

use std::net::IpAddr;

use serde_json::json;

use super::Issuer;
use super::answer::{Granted, Outcome};
use super::body::Body;
use super::hook::Occasion;
use super::presented::Blacklisted;
use super::refused::{Refused, TokenFault};
use super::{fields, mint};
use crate::base::{Secret, UnixTime};
use crate::store::AccessToken;

impl Issuer {
    /// User name and password for a sliding token.
    pub(super) async fn sliding_obtain(
        &self,
        body: &Body,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        let [username, password] = fields::both(body, ["username", "password"])?;
        let user = self.log_in(username, Secret::new(password), client, now).await?;
        let mut claims = self.mint.sliding_claims(&user, now);
        self.add_fresh_claims(&mut claims, &user, Occasion::Login).await?;
        let mut token = self.mint.refresh(&self.keys, claims)?;
        // Each copy has this name, however often it was renewed.
        token.record.expires_at = now.plus(self.form.sliding.longest_life());
        let access =
            AccessToken { expires_at: token.record.expires_at, jti: self.kept_jti(&token.record.jti) };
        self.begin_session(&user, mint::new_id(), &token, access, now).await?;
        Ok(Granted {
            body: json!({"token": token.text}),
            outcome: Outcome::Issued,
            subject: Some(user.id.to_string()),
        })
    }

    /// The same token with a later end. Its name stays, so the old text stays good, and nothing is written. Its user
    /// is looked up where it is used.
    pub(super) async fn sliding_refresh(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let token = self.look_at_sliding(fields::only(body, "token")?, now).await?;
        if token.blacklisted != Blacklisted::No {
            return Err(TokenFault::Blacklisted.into());
        }
        let claim = &self.form.sliding.refresh_exp_claim;
        let end = match token.members().get(claim) {
            None => return Err(Refused::NoSlidingEnd(claim.clone())),
            Some(end) => end.as_f64().ok_or(TokenFault::Invalid)?,
        };
        // The fraction is cut, as of `exp`.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is beyond the range is far from now either way"
        )]
        let end = UnixTime(end as i64);
        if end.plus(self.leeway) <= now {
            return Err(Refused::SlidingEnded(claim.clone()));
        }
        let subject = token.user().into_id();
        let text = self.mint.slide(&self.keys, token.members(), now)?;
        Ok(Granted { body: json!({"token": text}), outcome: Outcome::Refreshed, subject })
    }
}
