//! Refresh tokens of the site whose place Tollgate took.
//!
//! One of the old key is exchanged for a session of ours, once. Its successor is derived as any other's, so of many who come
//! with the same old token one makes the session, and who lost the answer gets it again within the grace. Where the key is
//! still the site's, its tokens are ours, and their first use begins a session.

use std::sync::Arc;

use serde_json::json;

use super::Issuer;
use super::answer::{Granted, Outcome};
use super::fingerprint;
use super::hook::Occasion;
use super::mint::{self, Stamp};
use super::presented::{Blacklisted, RefreshPresented};
use super::refused::{Refused, TokenFault};
use super::session_event::SessionEvent;
use crate::base::UnixTime;
use crate::config;
use crate::jwt::{Claims, Limits, Policy, PolicyError, parse};
use crate::providers::{self, KeysOf, Provider, ProviderError};
use crate::store::{AccessToken, Login, NewSession, OldToken, RefreshToken, StoreError, Usage, User, Which};

/// A provider whose refresh tokens are exchanged.
pub(super) struct Exchange {
    provider: Arc<Provider>,
    policy: Policy,
}

impl Exchange {
    /// Those that the file names.
    pub(super) fn open(config: &[config::Provider]) -> Result<Vec<Self>, ProviderError> {
        let loaded = providers::load(config, None)?;
        let exchanges = loaded.into_iter().zip(config).map(|(provider, config)| {
            // A refresh token lives longer than the file lets an access token.
            let rules = config::TokenRules { max_age: None, max_lifetime: None, ..config.rules.clone() };
            let config = config::Provider { token_type: Some("refresh".to_owned()), rules, ..config.clone() };
            Self { provider, policy: Policy::new(&config) }
        });
        Ok(exchanges.collect())
    }
}

impl Issuer {
    /// Exchanges a refresh token of another issuer; `None` if it is of none whose tokens are exchanged.
    pub(super) async fn exchange_foreign(
        &self,
        text: &str,
        now: UnixTime,
    ) -> Result<Option<Granted>, Refused> {
        let Some(old) = self.look_at_foreign(text, now).await? else { return Ok(None) };
        match old.blacklisted {
            Blacklisted::No => {}
            Blacklisted::Here => return self.repeat(text, &old, now).await.map(Some),
            Blacklisted::BySiteAlone => return Err(TokenFault::Blacklisted.into()),
        }
        match self.start_from(&old, text, now).await {
            Err(Refused::Conflict) => {
                // Another was faster.
                self.repeat(text, &old, now).await.map(Some)
            }
            answer => answer.map(Some),
        }
    }

    /// In SimpleJWT's manner a refresh token that the site made with the same key is good here too. One that is used for the
    /// first time begins a session, so that it can be logged out as any other. All others are given back as they are.
    pub(super) async fn adopted(
        &self,
        text: &str,
        token: RefreshPresented,
        now: UnixTime,
    ) -> Result<RefreshPresented, Refused> {
        if self.requires_session() || token.record.is_some() || token.blacklisted != Blacklisted::No {
            return Ok(token);
        }
        let Some(user) = self.claimed_user(token.user()).await? else { return Ok(token) };
        let session = NewSession { sid: mint::new_id(), user: user.id, started_at: now };
        let OldToken { jti, expires_at } = token.old();
        let login = Login {
            session: &session,
            refresh: &RefreshToken { jti: jti.to_owned(), hash: mint::hash(text), expires_at, claims: None },
            // Those of the site are not known.
            access: AccessToken { expires_at: now, jti: None },
            replaces: None,
            most: None,
            ending: self.ending(now),
        };
        match self.sessions.start_session(&login).await {
            // Or another was faster.
            Ok(_) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        let state = self.sessions.refresh_state(jti).await?;
        if state.blacklisted && state.record.is_some_and(|record| record.usage == Usage::Live) {
            // It was ended before its session began.
            let ended = self.sessions.end(Which::Session(&session.sid), self.ending(now)).await?;
            self.sessions_ended(SessionEvent::EndedByLogout, &session.user, &ended, now);
        }
        self.look_at_refresh(text, now).await
    }

    /// A refresh token of ours or of another whose tokens are exchanged.
    pub(super) async fn look_at_any_refresh(
        &self,
        text: &str,
        now: UnixTime,
    ) -> Result<RefreshPresented, Refused> {
        match self.look_at_foreign(text, now).await? {
            Some(token) => Ok(token),
            None => self.look_at_refresh(text, now).await,
        }
    }

    async fn look_at_foreign(&self, text: &str, now: UnixTime) -> Result<Option<RefreshPresented>, Refused> {
        let Some(claims) = self.read_foreign(text, now)? else { return Ok(None) };
        let (Some(jti), Some(expires_at)) = (self.name_of(&claims).map(str::to_owned), claims.expires_at())
        else {
            return Err(TokenFault::NoId.into());
        };
        let state = self.sessions.refresh_state(&jti).await?;
        if state.record.is_some() {
            // One of ours: the two have the same key.
            return Ok(None);
        }
        let blacklisted = self.who_blacklisted(&jti, &state).await?;
        let user = self.user_of(&claims);
        Ok(Some(RefreshPresented::foreign(jti, expires_at, user, claims, blacklisted)))
    }

    /// The claims of a good refresh token of another issuer.
    fn read_foreign(&self, text: &str, now: UnixTime) -> Result<Option<Claims>, TokenFault> {
        if self.exchanges.is_empty() {
            return Ok(None);
        }
        let Ok(token) = parse(text.as_bytes(), &Limits::default()) else { return Ok(None) };
        let issuer = token.claims().issuer();
        let mut exchanges = self.exchanges.iter();
        let genuine = exchanges.find(|exchange| {
            let KeysOf::Source(source) = exchange.provider.keys_of(issuer, now) else { return false };
            exchange.policy.issuer_matches(issuer) && exchange.provider.verify(&token, &source, now).is_ok()
        });
        let Some(exchange) = genuine else { return Ok(None) };
        match exchange.policy.check(token.typ(), token.claims(), now) {
            Ok(()) => {}
            Err(PolicyError::Expired { .. }) => return Err(TokenFault::Expired),
            Err(PolicyError::WrongTokenType) => return Err(TokenFault::WrongType),
            Err(_) => return Err(TokenFault::Invalid),
        }
        // Where any issuer will do, a user's tokens are ended under no name, and this one may have one.
        for name in [issuer, None] {
            let names = self.revocations.names_under(name, token.claims(), token.signing_input());
            if self.revocations.is_revoked(&names, now) {
                return Err(TokenFault::Blacklisted);
            }
        }
        Ok(Some(token.into_claims()))
    }

    /// A session that begins with a refresh token from elsewhere in place of a password.
    async fn start_from(
        &self,
        old: &RefreshPresented,
        text: &str,
        now: UnixTime,
    ) -> Result<Granted, Refused> {
        let user = self.claimed_user(old.user()).await?.ok_or(Refused::Account)?;
        if self.tells_another_password(old, &user) {
            return Err(Refused::Account);
        }
        let session = NewSession { sid: mint::new_id(), user: user.id.clone(), started_at: now };
        let end = self.absolute_end(now);
        let mut claims = self.mint.refresh_claims(&user, &session.sid, now);
        self.add_fresh_claims(&mut claims, &user, Occasion::Refresh(old.members())).await?;
        mint::cap(&mut claims, end);
        let successors = self.successors().await?;
        claims.insert(self.form.jti_claim.clone(), json!(successors.refresh_id(old.jti())));
        let stamp = Stamp { jti: successors.access_id(old.jti()), issued_at: now, end };
        let access = self.mint.access(&self.keys, &claims, stamp)?;
        let sealed = match self.rules.reuse_grace.is_zero() {
            true => None,
            false => successors.seal(old.jti(), &claims),
        };
        let mut refresh = self.mint.refresh(&self.keys, claims)?;
        refresh.record.claims = sealed;
        self.show_site(&refresh.text, &refresh.record.jti, Some(&user.id), refresh.record.expires_at, now)
            .await?;
        let login = Login {
            session: &session,
            refresh: &refresh.record,
            access: AccessToken { expires_at: access.expires_at, jti: self.kept_jti(&access.jti) },
            replaces: Some(old.old()),
            // Nobody logged in: sessions that are only carried over end no others.
            most: None,
            ending: self.ending(now),
        };
        match self.sessions.start_session(&login).await {
            Ok(_) => {}
            Err(StoreError::Conflict) => return Err(Refused::Conflict),
            Err(error) => return Err(error.into()),
        }
        self.end_at_site(text, old, Some(&user.id), now).await;
        Ok(Granted {
            body: json!({"access": access.text, "refresh": refresh.text}),
            outcome: Outcome::Refreshed,
            subject: Some(user.id.to_string()),
        })
    }

    /// Whether a token was made by a password that its user has no more. A site that did not look at the claim did not set
    /// it either: what tells nothing passes, as it did there.
    fn tells_another_password(&self, token: &RefreshPresented, user: &User) -> bool {
        let told = self.form.revoke_token_claim.as_ref().and_then(|claim| token.members().get(claim));
        told.is_some_and(|told| {
            let known = user.password.as_ref().map(fingerprint::of);
            told.as_str().is_none_or(|told| Some(told) != known.as_deref())
        })
    }
}
