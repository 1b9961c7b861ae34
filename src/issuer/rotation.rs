//! The refresh endpoint: exactly one successor for each refresh token, for those who ask once, for those who ask at the
//! same time or again since the answer was lost, and for a thief.

use serde_json::{Map, Value, json};

use super::Issuer;
use super::answer::{Granted, Outcome};
use super::body::Body;
use super::hook::Occasion;
use super::mint::{self, Stamp};
use super::presented::{Blacklisted, RefreshPresented, UserClaim};
use super::refused::{Refused, TokenFault};
use super::session_event::SessionEvent;
use super::{fields, fingerprint};
use crate::base::UnixTime;
use crate::config::{Compatibility, OnReuse};
use crate::store::{
    AccessToken, RefreshRecord, Rotated, Rotation, SessionRecord, Usage, User, UserId, Which,
};

/// A token that came again although it was exchanged.
pub(super) struct CameAgain {
    /// Its session, which lives; `None` for one that names no user.
    session: Option<SessionRecord>,
    /// The row of its successor, if nobody has used that.
    unused_successor: Option<RefreshRecord>,
}

impl Issuer {
    /// A refresh token for an access token and, with rotation, its successor.
    pub(super) async fn refresh(&self, body: &Body, now: UnixTime) -> Result<Granted, Refused> {
        let text = fields::only(body, "refresh")?;
        if let Some(granted) = self.exchange_foreign(text, now).await? {
            return Ok(granted);
        }
        let old = self.look_at_refresh(text, now).await?;
        let old = self.adopted(text, old, now).await?;
        if old.blacklisted != Blacklisted::No {
            return self.repeat(text, &old, now).await;
        }
        match self.exchange(text, &old, now).await? {
            Some(granted) => Ok(granted),
            // Another was faster.
            None => {
                let old = self.look_at_refresh(text, now).await?;
                self.repeat(text, &old, now).await
            }
        }
    }

    /// Makes new tokens; `None` if the old one was exchanged in the meantime.
    async fn exchange(
        &self,
        text: &str,
        old: &RefreshPresented,
        now: UnixTime,
    ) -> Result<Option<Granted>, Refused> {
        let (user, mut claims) = match self.compatibility {
            Compatibility::Tollgate => {
                let session = living_session(text, old)?;
                let user = self.session_user(session, old.members()).await?;
                let claims = self.mint.refresh_claims(&user, &session.sid, now);
                (Some(user), claims)
            }
            Compatibility::SimpleJwt => {
                let user = self.claimed_user(old.user()).await?;
                (user, self.mint.renewed(old.members(), now))
            }
        };
        let session = old.session();
        if session.is_some_and(|session| session.ended) {
            return Err(TokenFault::Blacklisted.into());
        }
        let end = session.and_then(|session| self.absolute_end(session.started_at));
        if end.is_some_and(|end| end <= now) {
            return Err(TokenFault::Expired.into());
        }
        // Nobody is asked for a session that is over.
        if let Some(user) = &user {
            self.add_fresh_claims(&mut claims, user, Occasion::Refresh(old.members())).await?;
        }
        let user = user.map(|user| user.id);
        mint::cap(&mut claims, end);
        let retire = self.rotate && self.blacklist_after_rotation;
        let mut stamp = Stamp { jti: mint::new_id(), issued_at: now, end };
        // An old token that stays good has many successors, so there is none to be made again.
        let successors = if retire { Some(self.successors().await?) } else { None };
        if let Some(successors) = successors {
            claims.insert(self.form.jti_claim.clone(), json!(successors.refresh_id(old.jti())));
            stamp.jti = successors.access_id(old.jti());
        }
        let access = self.mint.access(&self.keys, &claims, stamp)?;
        let subject = user.as_ref().map(UserId::to_string);
        let noted = AccessToken { expires_at: access.expires_at, jti: self.kept_jti(&access.jti) };
        if !self.rotate {
            if let Some(session) = session
                && !self.sessions.note_access(&session.sid, noted).await?
            {
                return Err(TokenFault::Blacklisted.into());
            }
            let body = json!({"access": access.text});
            return Ok(Some(Granted { body, outcome: Outcome::Refreshed, subject }));
        }
        let sealed = match successors {
            Some(successors) if !self.rules.reuse_grace.is_zero() => successors.seal(old.jti(), &claims),
            _ => None,
        };
        let mut refresh = self.mint.refresh(&self.keys, claims)?;
        refresh.record.claims = sealed;
        let rotation = Rotation {
            old: old.old(),
            new: &refresh.record,
            access: noted,
            user: user.as_ref(),
            retire: self.blacklist_after_rotation,
            require_session: self.requires_session(),
            now,
        };
        self.show_site(&refresh.text, &refresh.record.jti, user.as_ref(), refresh.record.expires_at, now)
            .await?;
        match self.sessions.rotate(&rotation).await? {
            Rotated::Done => {
                if retire {
                    self.end_at_site(text, old, user.as_ref(), now).await;
                }
                Ok(Some(Granted {
                    body: json!({"access": access.text, "refresh": refresh.text}),
                    outcome: Outcome::Refreshed,
                    subject,
                }))
            }
            Rotated::AlreadyBlacklisted => Ok(None),
            Rotated::NoSession => Err(TokenFault::Blacklisted.into()),
        }
    }

    /// Answers a token that was exchanged before: within the grace with the same successor, after it with the end of the
    /// session.
    pub(super) async fn repeat(
        &self,
        text: &str,
        old: &RefreshPresented,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        if self.rules.reuse_grace.is_zero() && self.rules.on_reuse == OnReuse::Refuse {
            return Err(TokenFault::Blacklisted.into());
        }
        let Some(again) = self.came_again(text, old).await? else {
            return Err(TokenFault::Blacklisted.into());
        };
        if let Some(successor) = &again.unused_successor
            && let Some(claims) = self.claims_within_grace(old, successor, now).await?
        {
            return self.hand_out_again(old, claims, again.session.as_ref()).await;
        }
        if let Some(session) = &again.session {
            self.end_if_reused(session, now).await?;
        }
        Err(TokenFault::Blacklisted.into())
    }

    /// What stands behind a blacklisted token; `None` if it was not exchanged, is no token of this store, or its session
    /// is over: then it says nothing about theft.
    pub(super) async fn came_again(
        &self,
        text: &str,
        old: &RefreshPresented,
    ) -> Result<Option<CameAgain>, Refused> {
        if let Some(record) = &old.record
            && (record.hash != mint::hash(text) || record.usage != Usage::Rotated)
        {
            return Ok(None);
        }
        let jti = self.successors().await?.refresh_id(old.jti());
        let state = self.sessions.refresh_state(&jti).await?;
        let session = old.session().or_else(|| state.record.as_ref()?.session.as_ref()).cloned();
        // A token that was ended and not exchanged has no successor.
        let is_over = session.as_ref().map_or(state.record.is_none(), |session| session.ended);
        if is_over {
            return Ok(None);
        }
        let unused = state.record.filter(|record| record.usage == Usage::Live && !state.blacklisted);
        Ok(Some(CameAgain { session, unused_successor: unused }))
    }

    /// The claims of the successor, as long as they may go out once more.
    async fn claims_within_grace(
        &self,
        old: &RefreshPresented,
        successor: &RefreshRecord,
        now: UnixTime,
    ) -> Result<Option<Map<String, Value>>, Refused> {
        let grace = self.rules.reuse_grace;
        if grace.is_zero() || now.since(successor.handed_out_at) > grace {
            return Ok(None);
        }
        let successors = self.successors().await?;
        Ok(successor.claims.clone().and_then(|sealed| successors.open(old.jti(), sealed)))
    }

    /// Signs the successor of a token once more, and the access token beside it: the same claims, not the same bytes.
    async fn hand_out_again(
        &self,
        old: &RefreshPresented,
        claims: Map<String, Value>,
        session: Option<&SessionRecord>,
    ) -> Result<Granted, Refused> {
        let user = match session {
            // The successor tells of the password even if the site's token, in whose place it came, told nothing.
            Some(session) => Some(self.session_user(session, &claims).await?),
            None => self.claimed_user(old.user()).await?,
        };
        let user = user.map(|user| user.id);
        let issued_at = claims.get("iat").and_then(Value::as_i64).map_or(UnixTime(0), UnixTime);
        let jti = self.successors().await?.access_id(old.jti());
        let end = session.and_then(|session| self.absolute_end(session.started_at));
        let stamp = Stamp { jti, issued_at, end };
        let access = self.mint.access(&self.keys, &claims, stamp)?;
        let refresh = self.mint.refresh(&self.keys, claims)?;
        self.note(SessionEvent::GraceUsed, user.as_ref(), session.map(|session| session.sid.as_str()));
        Ok(Granted {
            body: json!({"access": access.text, "refresh": refresh.text}),
            outcome: Outcome::Refreshed,
            subject: user.as_ref().map(UserId::to_string),
        })
    }

    /// Ends a session of which an exchanged token came again, where the file says so.
    pub(super) async fn end_if_reused(&self, session: &SessionRecord, now: UnixTime) -> Result<(), Refused> {
        if self.rules.on_reuse == OnReuse::EndSession {
            let ended = self.sessions.end(Which::Session(&session.sid), self.ending(now)).await?;
            self.sessions_ended(SessionEvent::EndedByReuse, &session.user, &ended, now);
        }
        Ok(())
    }

    /// Whether a refresh token counts only with a living session of ours, however good its signature is.
    pub(super) fn requires_session(&self) -> bool {
        self.compatibility == Compatibility::Tollgate
    }

    /// When a session ends, however often it is refreshed.
    pub(super) fn absolute_end(&self, started_at: UnixTime) -> Option<UnixTime> {
        self.rules.lifetime.map(|lifetime| started_at.plus(lifetime))
    }

    /// The name by which an access token is kept with its session: in SimpleJWT's manner it does not name that itself.
    pub(super) fn kept_jti<'j>(&self, jti: &'j str) -> Option<&'j str> {
        (self.compatibility == Compatibility::SimpleJwt).then_some(jti)
    }

    /// The user of a session, for a token of it with these claims.
    async fn session_user(
        &self,
        session: &SessionRecord,
        members: &Map<String, Value>,
    ) -> Result<User, Refused> {
        let user = self.users.by_id(session.user.as_str()).await?;
        let user = user.filter(|user| self.may_refresh(user)).ok_or(Refused::Account)?;
        // A changed password ends what was made by the old one, and a refresh would make a new fingerprint. In SimpleJWT's
        // manner it repeats the old one, and routes are asked.
        if let Some(claim) = &self.form.revoke_token_claim
            && self.compatibility == Compatibility::Tollgate
        {
            let known = user.password.as_ref().map(fingerprint::of);
            let told = members.get(claim).and_then(Value::as_str);
            if told != known.as_deref() {
                return Err(Refused::Account);
            }
        }
        Ok(user)
    }

    /// The user whom a token names. SimpleJWT lets one pass that names none.
    pub(super) async fn claimed_user(&self, claim: UserClaim) -> Result<Option<User>, Refused> {
        let user = match claim {
            UserClaim::Unsaid => return Ok(None),
            UserClaim::Id(id) => self.users.by_id(&id).await?,
            UserClaim::Impossible => None,
        };
        user.filter(|user| self.may_refresh(user)).map(Some).ok_or(Refused::Account)
    }

    /// Whether a user gets new tokens for old ones.
    fn may_refresh(&self, user: &User) -> bool {
        let all_may = self.compatibility == Compatibility::SimpleJwt && !self.form.check_user_is_active;
        user.active || all_may
    }
}

impl CameAgain {
    /// The session, if there is one and the token is the predecessor of one that nobody has used.
    pub(super) fn session_of_predecessor(&self) -> Result<&SessionRecord, Option<&SessionRecord>> {
        let session = self.session.as_ref();
        session.filter(|_| self.unused_successor.is_some()).ok_or(session)
    }
}

/// The session of a refresh token that the store gave out, with these very claims, and that nobody ended. A token of our
/// key but not of our store is a forgery by whoever has the key.
pub(super) fn living_session<'t>(
    text: &str,
    token: &'t RefreshPresented,
) -> Result<&'t SessionRecord, TokenFault> {
    let record = token.record.as_ref().ok_or(TokenFault::Invalid)?;
    if record.hash != mint::hash(text) {
        return Err(TokenFault::Invalid);
    }
    let session = record.session.as_ref().ok_or(TokenFault::Invalid)?;
    if session.ended { Err(TokenFault::Blacklisted) } else { Ok(session) }
}
