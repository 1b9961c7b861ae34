//! The site whose place Tollgate took: its blacklist, which is heeded and perhaps written.

use std::collections::HashSet;
use std::time::Duration;

use super::Issuer;
use super::mirror::Mirror;
use super::presented::RefreshPresented;
use super::refused::Refused;
use crate::base::UnixTime;
use crate::config::{self, Predecessor, TokenForm};
use crate::store::{
    DjangoBlacklist, Ended, Ending, MirroredToken, OpenError, Revocation, Revoked, Sessions, StoreError,
    UserId, Which,
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

impl Issuer {
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
