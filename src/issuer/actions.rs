//! What three of the endpoints do with a request that could be read; `rotation` and `logout` have the others.

use std::net::IpAddr;

use serde_json::json;
use tokio::time::Instant;

use super::answer::{Granted, Outcome};
use super::body::Body;
use super::hook::Occasion;
use super::mint::{self, NewRefresh, Stamp};
use super::presented::Blacklisted;
use super::refused::{Refused, TokenFault};
use super::rotation::living_session;
use super::session_event::SessionEvent;
use super::site::Told;
use super::throttle::Moment;
use super::{Issuer, fields};
use crate::base::{Secret, UnixTime};
use crate::config::Compatibility;
use crate::store::{AccessToken, LogInError, Login, NewSession, User, Which};

impl Issuer {
    /// User name and password for a pair of tokens.
    pub(super) async fn obtain(
        &self,
        body: &Body,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        let [username, password] = fields::both(body, ["username", "password"])?;
        let user = self.log_in(username, Secret::new(password), client, now).await?;

        let sid = mint::new_id();
        let mut claims = self.mint.refresh_claims(&user, &sid, now);
        self.add_fresh_claims(&mut claims, &user, Occasion::Login).await?;
        let end = self.absolute_end(now);
        mint::cap(&mut claims, end);
        let stamp = Stamp { jti: mint::new_id(), issued_at: now, end };
        let access = self.mint.access(&self.keys, &claims, stamp)?;
        let refresh = self.mint.refresh(&self.keys, claims)?;
        let noted = AccessToken { expires_at: access.expires_at, jti: self.kept_jti(&access.jti) };
        self.begin_session(&user, sid, &refresh, noted, now).await?;
        Ok(Granted {
            body: json!({"refresh": refresh.text, "access": access.text}),
            outcome: Outcome::Issued,
            subject: Some(user.id.to_string()),
        })
    }

    /// Records a login, at the site first, and makes known which older sessions end for it.
    pub(super) async fn begin_session(
        &self,
        user: &User,
        sid: String,
        token: &NewRefresh,
        access: AccessToken<'_>,
        now: UnixTime,
    ) -> Result<(), Refused> {
        let NewRefresh { text, exp, record } = token;
        let session = NewSession { sid, user: user.id.clone(), started_at: now };
        let login = Login {
            session: &session,
            refresh: record,
            access,
            replaces: None,
            most: self.rules.most_per_user,
            ending: self.ending(now),
        };
        self.show_site(text, &record.jti, Some(&user.id), *exp, now).await?;
        // What may fail comes first: a session that ended for this login must have ended for something.
        if self.update_last_login {
            self.users.note_login(&user.id, now).await?;
        }
        let ended = self.sessions.start_session(&login).await?;
        self.sessions_ended(SessionEvent::EndedByLimit, &user.id, &ended, now);
        Ok(())
    }

    /// The user of a name and password, unless too many others were tried.
    pub(super) async fn log_in(
        &self,
        username: &str,
        password: Secret,
        client: IpAddr,
        now: UnixTime,
    ) -> Result<User, Refused> {
        let at = Moment { instant: Instant::now().into_std(), time: now };
        let attempt = self.throttle.admit(username, client, at).await?;
        match self.users.log_in(username, password, &attempt).await {
            Ok(Some(user)) => {
                attempt.succeeded().await;
                Ok(user)
            }
            Ok(None) => {
                attempt.failed();
                Err(Refused::Credentials)
            }
            Err(LogInError::NotAdmitted) => Err(attempt.turned_away()),
            Err(LogInError::Store(error)) => {
                attempt.could_not_be_judged();
                Err(error.into())
            }
            Err(LogInError::Password(error)) => {
                attempt.could_not_be_judged();
                Err(error.into())
            }
        }
    }

    /// Whether a token of any type is good. Neither its type nor its user is looked at.
    pub(super) async fn verify(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let token = self.read(fields::only(body, "token")?, now)?;
        let (jti, _) = self.complete(&token)?;
        let asks = self.compatibility == Compatibility::Tollgate || self.blacklist_after_rotation;
        let is_over = token.is_revoked()
            || asks && {
                let state = self.sessions.refresh_state(jti).await?;
                let session = state.record.and_then(|record| record.session);
                state.blacklisted
                    || session.is_some_and(|session| session.ended)
                    || self.is_blacklisted_by_site(jti).await?
            };
        if is_over {
            return Err(Refused::BlacklistedAtVerify);
        }
        Ok(Granted { body: json!({}), outcome: Outcome::Verified, subject: self.user(&token).into_id() })
    }

    /// Ends a refresh token and, in Tollgate's own manner, its session.
    pub(super) async fn blacklist(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let text = fields::only(body, "refresh")?;
        let token = self.look_at_any_refresh(text, now).await?;
        if token.blacklisted == Blacklisted::Here || token.session().is_some_and(|session| session.ended) {
            return Err(TokenFault::Blacklisted.into());
        }
        let ending = if self.requires_session() && !token.is_foreign() {
            living_session(text, &token)?;
            Some(self.ending(now))
        } else {
            None
        };
        self.end_at_site_first(text, &token, now).await?;
        let told = match (token.session(), &ending) {
            // Without `blacklist_after_rotation` others of the session may be good.
            (Some(session), Some(_)) => self.end_sessions_at_site(Which::Session(&session.sid), now).await?,
            _ => Told::default(),
        };
        let ended = self.sessions.blacklist(token.old(), ending).await?;
        let ended = ended.ok_or(TokenFault::Blacklisted)?;
        if token.is_foreign() {
            self.revoke(&[self.revocation_of(token.claims(), token.old().expires_at)], now).await?;
        }
        if let Some(session) = token.session() {
            self.sessions_ended(SessionEvent::EndedByLogout, &session.user, &ended, now);
            self.end_newer_at_site(&told, &ended, now).await;
        }
        Ok(Granted { body: json!({}), outcome: Outcome::Blacklisted, subject: token.user().into_id() })
    }
}
