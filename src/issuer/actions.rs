//! What the four endpoints do with a request that could be read.

use serde_json::{Value, json};

use super::answer::{Granted, Outcome};
use super::body::Body;
use super::mint;
use super::presented::{RefreshPresented, UserClaim};
use super::refused::{Refused, TokenFault};
use super::{Issuer, fields, fingerprint};
use crate::base::{Secret, UnixTime};
use crate::config::Compatibility;
use crate::store::{NewSession, Rotated, Rotation, SessionRecord, User, UserId};

impl Issuer {
    /// User name and password for a pair of tokens.
    pub(super) async fn obtain(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let [username, password] = fields::both(body, ["username", "password"])?;
        let user = self.users.log_in(username, Secret::new(password)).await?.ok_or(Refused::Credentials)?;

        let session = NewSession { sid: mint::new_id(), user: user.id.clone(), started_at: now };
        let claims = self.mint.refresh_claims(&user, &session.sid, now);
        let access = self.mint.access(&self.keys, &claims, now)?;
        let refresh = self.mint.refresh(&self.keys, claims)?;
        self.sessions.start_session(&session, &refresh.record).await?;
        if self.update_last_login {
            self.users.note_login(&user.id, now).await?;
        }
        Ok(Granted {
            body: json!({"refresh": refresh.text, "access": access}),
            outcome: Outcome::Issued,
            subject: Some(user.id.to_string()),
        })
    }

    /// A refresh token for an access token and, with rotation, its successor.
    pub(super) async fn refresh(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let text = fields::only(body, "refresh")?;
        let old = self.read_refresh(text, now).await?;
        let (user, claims) = match self.compatibility {
            Compatibility::Tollgate => {
                let (user, sid) = self.session_user(text, &old).await?;
                let claims = self.mint.refresh_claims(&user, &sid, now);
                (Some(user.id), claims)
            }
            Compatibility::SimpleJwt => {
                let user = self.claimed_user(old.user()).await?;
                (user.map(|user| user.id), self.mint.renewed(old.members(), now))
            }
        };
        let access = self.mint.access(&self.keys, &claims, now)?;
        let subject = user.as_ref().map(UserId::to_string);
        if !self.rotate {
            return Ok(Granted { body: json!({"access": access}), outcome: Outcome::Refreshed, subject });
        }
        let refresh = self.mint.refresh(&self.keys, claims)?;
        let rotation = Rotation {
            old: old.old(),
            new: &refresh.record,
            user: user.as_ref(),
            retire: self.blacklist_after_rotation,
            require_session: self.compatibility == Compatibility::Tollgate,
            now,
        };
        match self.sessions.rotate(&rotation).await? {
            Rotated::Done => Ok(Granted {
                body: json!({"access": access, "refresh": refresh.text}),
                outcome: Outcome::Refreshed,
                subject,
            }),
            Rotated::AlreadyBlacklisted | Rotated::NoSession => Err(TokenFault::Blacklisted.into()),
        }
    }

    /// Whether a token of any type is good. Neither its type nor its user is looked at.
    pub(super) async fn verify(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let token = self.read(fields::only(body, "token")?, now)?;
        let (jti, _) = self.complete(&token)?;
        let asks = self.compatibility == Compatibility::Tollgate || self.blacklist_after_rotation;
        if asks && self.sessions.refresh_state(jti).await?.blacklisted {
            return Err(Refused::BlacklistedAtVerify);
        }
        Ok(Granted { body: json!({}), outcome: Outcome::Verified, subject: self.user(&token).into_id() })
    }

    /// Ends a refresh token and, in Tollgate's own manner, its session.
    pub(super) async fn blacklist(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let text = fields::only(body, "refresh")?;
        let token = self.read_refresh(text, now).await?;
        let end_session = self.compatibility == Compatibility::Tollgate;
        if end_session {
            living_session(text, &token)?;
        }
        if !self.sessions.blacklist(token.old(), end_session, now).await? {
            return Err(TokenFault::Blacklisted.into());
        }
        Ok(Granted { body: json!({}), outcome: Outcome::Blacklisted, subject: token.user().into_id() })
    }

    /// The user of the session that a refresh token belongs to, and the session's name.
    async fn session_user(&self, text: &str, token: &RefreshPresented) -> Result<(User, String), Refused> {
        let session = living_session(text, token)?;
        let user = self.users.by_id(session.user.as_str()).await?;
        let user = user.filter(|user| user.active).ok_or(Refused::Account)?;
        // A changed password ends what was made by the old one, and a refresh would make a new fingerprint.
        if let Some(claim) = &self.form.revoke_token_claim {
            let known = user.password.as_ref().map(fingerprint::of);
            let told = token.members().get(claim).and_then(Value::as_str);
            if told != known.as_deref() {
                return Err(Refused::Account);
            }
        }
        Ok((user, session.sid.clone()))
    }

    /// The user whom a token names. SimpleJWT lets one pass that names none.
    async fn claimed_user(&self, claim: UserClaim) -> Result<Option<User>, Refused> {
        let user = match claim {
            UserClaim::Unsaid => return Ok(None),
            UserClaim::Id(id) => self.users.by_id(&id).await?,
            UserClaim::Impossible => None,
        };
        let lets_in = |user: &User| user.active || !self.form.check_user_is_active;
        user.filter(lets_in).map(Some).ok_or(Refused::Account)
    }
}

/// The session of a refresh token that the store gave out, this very text, and that nobody ended. A token of our
/// key but not of our store is a forgery by whoever has the key.
fn living_session<'t>(text: &str, token: &'t RefreshPresented) -> Result<&'t SessionRecord, TokenFault> {
    let record = token.record.as_ref().ok_or(TokenFault::Invalid)?;
    if record.hash != mint::hash(text) {
        return Err(TokenFault::Invalid);
    }
    let session = record.session.as_ref().ok_or(TokenFault::Invalid)?;
    if session.ended { Err(TokenFault::Blacklisted) } else { Ok(session) }
}
