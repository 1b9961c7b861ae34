//! The site whose place Tollgate took: its blacklist, and its refresh tokens.
//!
//! A refresh token of the old key is exchanged for a session of ours, once. Its successor is derived as any other's, so of
//! many who come with the same old token one makes the session, and who lost the answer gets it again within the grace.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Issuer;
use super::answer::{Granted, Outcome};
use super::fingerprint;
use super::hook::Occasion;
use super::mint::{self, Stamp};
use super::mirror::Mirror;
use super::presented::{Blacklisted, RefreshPresented};
use super::refused::{Refused, TokenFault};
use crate::base::UnixTime;
use crate::config::{self, Compatibility, Predecessor, TokenForm};
use crate::jwt::{Claims, Limits, Policy, PolicyError, parse};
use crate::providers::{self, KeysOf, Provider, ProviderError};
use crate::store::{
    AccessToken, DjangoBlacklist, Ended, Ending, Login, MirroredToken, NewSession, OldToken, OpenError,
    RefreshToken, Revocation, Revoked, Sessions, StoreError, User, UserId, Which,
};
use crate::telemetry::Metrics;

/// The site in whose tables users are looked up, where its blacklist counts.
pub(super) enum Site {
    /// What it blacklisted is refused here.
    Heeded(DjangoBlacklist),
    /// It is told besides of what is issued and ended here.
    Mirrored(Mirror),
}

impl Site {
    /// The site of the file, if there is one.
    pub(super) async fn open(users: &config::Users, metrics: &Metrics) -> Result<Option<Self>, OpenError> {
        let blacklist = open_blacklist(users).await?;
        Ok(blacklist.map(|blacklist| match blacklist.mirrors() {
            true => Self::Mirrored(Mirror::new(blacklist, metrics)),
            false => Self::Heeded(blacklist),
        }))
    }

    fn blacklist(&self) -> &DjangoBlacklist {
        match self {
            Self::Heeded(blacklist) => blacklist,
            Self::Mirrored(mirror) => mirror.blacklist(),
        }
    }
}

/// What ends all tokens of a user that other issuers handed out, whether or not they were exchanged. Those of an issuer of
/// our own name are ended if they were issued `before` this time, like ours.
pub(super) fn of_predecessors(
    predecessors: &[Predecessor],
    user: &UserId,
    ending: Ending<'_>,
    before: UnixTime,
) -> Vec<Revocation> {
    let revocation = |Predecessor { issuer, .. }: &Predecessor, expires_at: UnixTime| {
        // Nobody logs in there any more, in this second neither.
        let is_ours = issuer.as_deref() == ending.issuer;
        let before = if is_ours { before } else { ending.now.plus(Duration::from_secs(1)) };
        let what = Revoked::Subject { issuer: issuer.clone(), subject: user.to_string(), before };
        Revocation { what, expires_at: expires_at.plus(ending.leeway) }
    };
    predecessors.iter().map(|issuer| revocation(issuer, issuer.end(ending.now))).collect()
}

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

    /// Begins a session for a refresh token that the site made with the same key, in whose manner it is taken, and that is
    /// used here for the first time: so it can be logged out as any other. Tells whether there is a session now.
    pub(super) async fn adopt(
        &self,
        text: &str,
        token: &RefreshPresented,
        now: UnixTime,
    ) -> Result<bool, Refused> {
        if self.compatibility == Compatibility::Tollgate || token.record.is_some() {
            return Ok(false);
        }
        let Some(user) = self.claimed_user(token.user()).await? else { return Ok(false) };
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
            Ok(_) | Err(StoreError::Conflict) => Ok(true),
            Err(error) => Err(error.into()),
        }
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

    /// The queue of what the site is told, where it is told anything.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        match &self.site {
            Some(Site::Mirrored(mirror)) => Some(mirror),
            Some(Site::Heeded(_)) | None => None,
        }
    }

    /// Whether the site ended this token, where its blacklist is looked at.
    pub(super) async fn is_blacklisted_by_site(&self, jti: &str) -> Result<bool, StoreError> {
        match &self.site {
            Some(site) => Ok(site.blacklist().is_blacklisted(jti).await?),
            None => Ok(false),
        }
    }

    /// Makes a new refresh token known to the site, before anybody has it.
    pub(super) async fn show_site(
        &self,
        text: &str,
        jti: &str,
        user: Option<&UserId>,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<(), Refused> {
        if let Some(mirror) = self.mirror() {
            mirror.blacklist().add(MirroredToken { jti, text, user, expires_at }, now).await?;
        }
        Ok(())
    }

    /// Ends at the site what was exchanged here, which is done here already: a site that does not answer is told later.
    pub(super) async fn end_at_site(
        &self,
        text: &str,
        old: &RefreshPresented,
        user: Option<&UserId>,
        now: UnixTime,
    ) {
        let Some(mirror) = self.mirror() else { return };
        let token = MirroredToken { jti: old.jti(), text, user, expires_at: old.old().expires_at };
        mirror.end_token(token, now).await;
    }

    /// Ends a token at the site before it is ended here: where the site does not answer, nothing is done.
    pub(super) async fn end_at_site_first(
        &self,
        text: &str,
        token: &RefreshPresented,
        now: UnixTime,
    ) -> Result<(), Refused> {
        let Some(mirror) = self.mirror() else { return Ok(()) };
        let user = token.user().into_id().map(UserId::new);
        let user = match &user {
            // Of a user who is gone the site would refuse the row.
            Some(user) => self.users.by_id(user.as_str()).await?.map(|user| user.id),
            None => None,
        };
        let mirrored =
            MirroredToken { jti: token.jti(), text, user: user.as_ref(), expires_at: token.old().expires_at };
        Ok(mirror.blacklist().blacklist(mirrored, now).await?)
    }

    /// Ends at the site the refresh tokens of sessions that are about to end here, and tells which.
    pub(super) async fn end_sessions_at_site(
        &self,
        which: Which<'_>,
        now: UnixTime,
    ) -> Result<Told, Refused> {
        let Some(mirror) = self.mirror() else { return Ok(Told::default()) };
        Ok(end_at(mirror.blacklist(), &*self.sessions, &self.form, which, now).await?)
    }

    /// Tells the site later of sessions that ended here.
    pub(super) fn tell_site_later(&self, ended: &Ended, now: UnixTime) {
        let Some(mirror) = self.mirror() else { return };
        for sid in &ended.sessions {
            mirror.end_session(sid, now);
        }
    }

    /// Ends at the site what came between its being told of sessions and their end here, such as the successor of a token
    /// that was refreshed at that moment: it is told later if need be.
    pub(super) async fn end_newer_at_site(&self, told: &Told, ended: &Ended, now: UnixTime) {
        let Some(mirror) = self.mirror() else { return };
        for sid in &ended.sessions {
            match self.sessions.live_refresh_tokens(Which::Session(sid), now).await {
                Ok(tokens) => {
                    for (jti, expires_at) in tokens.iter().filter(|(jti, _)| !told.0.contains(jti)) {
                        let token = MirroredToken { jti, text: "", user: None, expires_at: *expires_at };
                        mirror.end_token(token, now).await;
                    }
                }
                Err(_) => mirror.end_session(sid, now),
            }
        }
    }
}

/// The blacklist of the site in whose tables users are looked up.
async fn open_blacklist(users: &config::Users) -> Result<Option<DjangoBlacklist>, OpenError> {
    let config::Users::Django(django) = users else { return Ok(None) };
    match &django.token_blacklist {
        Some(tables) => DjangoBlacklist::open(django, tables).await.map(Some),
        None => Ok(None),
    }
}

/// The same for a command, and only where rows are written to it: what a command ends the site must be told of, so that a
/// roll-back does not revive it.
///
/// # Errors
/// [`OpenError`], if the file names tables that are not there.
pub async fn open_mirror(users: &config::Users) -> Result<Option<DjangoBlacklist>, OpenError> {
    Ok(open_blacklist(users).await?.filter(DjangoBlacklist::mirrors))
}

/// Ends all refresh tokens of a user at the site.
///
/// # Errors
/// [`StoreError`]; it may have been done in part, and can be done again, also when the user's sessions have ended here.
pub async fn end_user_at_site(
    site: &DjangoBlacklist,
    sessions: &dyn Sessions,
    form: &TokenForm,
    user: &UserId,
    now: UnixTime,
) -> Result<(), StoreError> {
    end_at(site, sessions, form, Which::User(user), now).await.map(drop)
}

/// The refresh tokens of sessions that the site knows as ended, by their `jti`.
#[derive(Debug, Default)]
pub(super) struct Told(HashSet<String>);

/// Ends the refresh tokens of sessions at the site; of a user also those of which no session is known.
async fn end_at(
    site: &DjangoBlacklist,
    sessions: &dyn Sessions,
    form: &TokenForm,
    which: Which<'_>,
    now: UnixTime,
) -> Result<Told, StoreError> {
    if let Which::User(user) = which {
        // Copies of a sliding token outlive its row.
        site.blacklist_user(user, now.minus(form.sliding.longest_life()), now).await?;
    }
    let mut told = HashSet::new();
    for (jti, expires_at) in sessions.live_refresh_tokens(which, now).await? {
        // Of one that was issued before rows were mirrored the site knows nothing.
        if !site.is_blacklisted(&jti).await? {
            let token = MirroredToken { jti: &jti, text: "", user: None, expires_at };
            site.blacklist(token, now).await?;
        }
        told.insert(jti);
    }
    Ok(Told(told))
}
