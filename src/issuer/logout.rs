//! The logout endpoints: they end one session or all of a user, and the access tokens that are already out.
//!
//! Who logs out shows the refresh token, also one whose successor got lost on its way, or the access token as bearer.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::Issuer;
use super::answer::{Granted, Outcome};
use super::body::Body;
use super::fields;
use super::presented::{Blacklisted, RefreshPresented};
use super::refused::{Refused, TokenFault};
use super::rotation::living_session;
use super::session_event::SessionEvent;
use super::site::{Told, of_predecessors};
use crate::base::{TokenClass, UnixTime};
use crate::config::Compatibility;
use crate::jwt::Claims;
use crate::revocations::Naming;
use crate::store::{Revocation, Revoked, SessionRecord, UserId, Which};

/// How much a logout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The session of the token.
    Session,
    /// All sessions of the token's user.
    User,
}

/// Who logs out.
enum Leaving {
    /// A session that lives.
    Session(SessionRecord),
    /// The bearer of a token that belongs to none.
    Token {
        /// Whom it names.
        user: Option<UserId>,
        /// What ends it.
        revocation: Revocation,
    },
    /// The bearer of a refresh token that belongs to none and was not used.
    Refresh {
        /// Whom it names.
        user: Option<UserId>,
        token: Box<RefreshPresented>,
    },
}

impl Leaving {
    fn user(&self) -> Option<&UserId> {
        match self {
            Self::Session(session) => Some(&session.user),
            Self::Token { user, .. } | Self::Refresh { user, .. } => user.as_ref(),
        }
    }
}

impl Issuer {
    /// Ends the session of the token that was shown, or all of its user's.
    pub(super) async fn logout(
        &self,
        headers: &HeaderMap,
        body: &Body,
        extent: Extent,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        let (leaving, text) = match bearer(headers) {
            // A client that sends its access token with every request means the refresh token in the body.
            Some(access) if body.field("refresh").is_none() => {
                (self.leaving_by_access(access, now).await?, access)
            }
            _ => {
                let text = fields::only(body, "refresh")?;
                (self.leaving_by_refresh(text, now).await?, text)
            }
        };
        // The token itself last: as long as it is good, what failed can be asked for again.
        if extent == Extent::User
            && let Some(user) = leaving.user()
        {
            self.end_all(user, now).await?;
        }
        match &leaving {
            Leaving::Session(session) if extent == Extent::Session => self.end_one(session, now).await?,
            Leaving::Session(_) => {}
            Leaving::Token { revocation, .. } => self.revoke(std::slice::from_ref(revocation), now).await?,
            Leaving::Refresh { token, .. } => self.end_unused(text, token, now).await?,
        }
        let subject = leaving.user().map(UserId::to_string);
        Ok(Granted { body: json!({}), outcome: Outcome::LoggedOut, subject })
    }

    async fn end_one(&self, session: &SessionRecord, now: UnixTime) -> Result<(), Refused> {
        self.end_these(Which::Session(&session.sid), &session.user, now).await
    }

    /// Ends a refresh token of no session; or the session, if one was begun with it meanwhile.
    async fn end_unused(&self, text: &str, token: &RefreshPresented, now: UnixTime) -> Result<(), Refused> {
        // The row keeps every gateway from an exchange that has begun already. A session may have begun without one.
        let Some(ended) = self.sessions.blacklist(token.old(), Some(self.ending(now))).await? else {
            let token = self.look_at_any_refresh(text, now).await?;
            let session = self.session_of_used(text, &token, now).await?;
            return self.end_one(&session, now).await;
        };
        if let Some(user) = token.user().into_id().map(UserId::new) {
            self.sessions_ended(SessionEvent::EndedByLogout, &user, &ended, now);
            self.end_newer_at_site(&Told::default(), &ended, now).await;
        }
        self.revoke(&[self.revocation_of(token.claims(), token.old().expires_at)], now).await
    }

    /// Ends sessions, at the site first.
    async fn end_these(&self, which: Which<'_>, user: &UserId, now: UnixTime) -> Result<(), Refused> {
        let told = self.end_sessions_at_site(which, now).await?;
        let ended = self.sessions.end(which, self.ending(now)).await?;
        self.sessions_ended(SessionEvent::EndedByLogout, user, &ended, now);
        self.end_newer_at_site(&told, &ended, now).await;
        Ok(())
    }

    async fn end_all(&self, user: &UserId, now: UnixTime) -> Result<(), Refused> {
        self.end_these(Which::User(user), user, now).await?;
        let mut revocations = of_predecessors(&self.predecessors, user, self.ending(now), now);
        if self.compatibility == Compatibility::SimpleJwt {
            // Tokens of SimpleJWT itself, of which no session knows.
            let what = Revoked::Subject { issuer: self.name.clone(), subject: user.to_string(), before: now };
            let last = now.plus(self.mint.longest_lifetime()).max(self.sessions.minted_until(None).await?);
            revocations.push(Revocation { what, expires_at: last.plus(self.longest_leeway) });
        }
        if revocations.is_empty() {
            return Ok(());
        }
        self.revoke(&revocations, now).await
    }

    pub(super) async fn revoke(&self, revocations: &[Revocation], now: UnixTime) -> Result<(), Refused> {
        self.sessions.revoke(revocations).await?;
        self.revocations.add(revocations, now);
        Ok(())
    }

    async fn leaving_by_refresh(&self, text: &str, now: UnixTime) -> Result<Leaving, Refused> {
        let token = self.look_at_any_refresh(text, now).await?;
        // One that the site alone knows as ended may be of a logout that could not be done here then.
        if token.blacklisted == Blacklisted::Here {
            return self.session_of_used(text, &token, now).await.map(Leaving::Session);
        }
        let needs_session = self.requires_session() && !token.is_foreign();
        if token.session().is_some() || needs_session {
            return Ok(Leaving::Session(living_session(text, &token)?.clone()));
        }
        self.end_at_site_first(text, &token, now).await?;
        let user = token.user().into_id().map(UserId::new);
        Ok(Leaving::Refresh { user, token: Box::new(token) })
    }

    /// The session of a token that was exchanged for one that nobody has used.
    async fn session_of_used(
        &self,
        text: &str,
        token: &RefreshPresented,
        now: UnixTime,
    ) -> Result<SessionRecord, Refused> {
        let again = self.came_again(text, token).await?.ok_or(TokenFault::Blacklisted)?;
        match again.session_of_predecessor() {
            Ok(session) => Ok(session.clone()),
            Err(session) => {
                if let Some(session) = session {
                    self.end_if_reused(session, now).await?;
                }
                Err(TokenFault::Blacklisted.into())
            }
        }
    }

    async fn leaving_by_access(&self, text: &str, now: UnixTime) -> Result<Leaving, Refused> {
        let token = self.read(text, now)?;
        let (jti, expires_at) = self.complete(&token)?;
        let token_type = token.claims().members().get(&self.form.token_type_claim).and_then(Value::as_str);
        let sliding = TokenClass::Sliding;
        if token_type == Some(sliding.token_type()) && self.form.auth_token_classes.contains(&sliding) {
            return self.leaving_by_sliding(text, now).await;
        }
        if token_type != Some(TokenClass::Access.token_type()) {
            return Err(TokenFault::WrongType.into());
        }
        if token.is_revoked() {
            return Err(TokenFault::Blacklisted.into());
        }
        let session = match token.claims().members().get("sid").and_then(Value::as_str) {
            Some(sid) => self.sessions.session(sid).await?,
            None => self.sessions.session_of_access(jti).await?,
        };
        match session {
            Some(session) if session.ended => Err(TokenFault::Blacklisted.into()),
            Some(session) => Ok(Leaving::Session(session)),
            None => Ok(Leaving::Token {
                user: self.user(&token).into_id().map(UserId::new),
                revocation: self.revocation_of(token.claims(), expires_at),
            }),
        }
    }

    /// Whoever has a sliding token has no other.
    async fn leaving_by_sliding(&self, text: &str, now: UnixTime) -> Result<Leaving, Refused> {
        let token = self.look_at_sliding(text, now).await?;
        if token.blacklisted == Blacklisted::Here || token.session().is_some_and(|session| session.ended) {
            return Err(TokenFault::Blacklisted.into());
        }
        self.end_at_site_first(text, &token, now).await?;
        if let Some(session) = token.session() {
            return Ok(Leaving::Session(session.clone()));
        }
        Ok(Leaving::Token {
            user: token.user().into_id().map(UserId::new),
            revocation: self.revocation_of(token.claims(), token.old().expires_at),
        })
    }

    /// What ends one token that has a name, whoever handed it out.
    pub(super) fn revocation_of(&self, claims: &Claims, expires_at: UnixTime) -> Revocation {
        let what = Naming::of(&self.form).token(claims, &[]);
        Revocation { what, expires_at: expires_at.plus(self.longest_leeway) }
    }
}

/// The token of an `Authorization` field, whatever its scheme is called; what it is worth its signature says.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    let (_, token) = field.to_str().ok()?.trim().split_once(' ')?;
    Some(token.trim())
}
