//! Logins and their tokens: what the issuer asks of the database that keeps them.

use std::time::Duration;

use super::{Answer, Revocation, RevocationPage, Revoked, UserId};
use crate::base::{Secret, UnixTime};

/// Sessions, refresh tokens, the blacklist and revocations. Each call ends within a few seconds, with
/// [`StoreError::Unavailable`](super::StoreError::Unavailable) if need be, and changes all that it says or nothing.
pub trait Sessions: Send + Sync + 'static {
    /// Records a login. With `most` it ends the user's oldest sessions, so that no more than that many are left. With
    /// `replaces` it blacklists that token; [`StoreError::Conflict`](super::StoreError::Conflict) if it stands there already,
    /// or if one has the `jti` of the refresh token, and nothing is recorded.
    fn start_session<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Ended>;

    /// What is known about a refresh token.
    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState>;

    /// Puts a new refresh token in the place of an old one, in one step: of several callers with the same old
    /// token one gets [`Rotated::Done`] if `retire` is set.
    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated>;

    /// Records an access token that was handed out without a new refresh token; `false` if its session was ended.
    fn note_access<'a>(&'a self, sid: &'a str, access: AccessToken<'a>) -> Answer<'a, bool>;

    /// Blacklists a refresh token and, with `ending`, ends its session; `None` if it stood there already.
    fn blacklist<'a>(&'a self, token: OldToken<'a>, ending: Option<Ending<'a>>) -> Answer<'a, Option<Ended>>;

    /// Ends sessions, and revokes their access tokens. Those that were ended before are no news.
    fn end<'a>(&'a self, which: Which<'a>, ending: Ending<'a>) -> Answer<'a, Ended>;

    /// The session of an access token that does not name it.
    fn session_of_access<'a>(&'a self, jti: &'a str) -> Answer<'a, Option<SessionRecord>>;

    /// A session by its name.
    fn session<'a>(&'a self, sid: &'a str) -> Answer<'a, Option<SessionRecord>>;

    /// The sessions of a user that neither ended nor expired, the oldest first.
    fn sessions_of<'a>(&'a self, user: &'a UserId, now: UnixTime) -> Answer<'a, Vec<SessionRecord>>;

    /// Some users who have a living session with access tokens that have not expired or, with `idle`, any living session,
    /// in the order of their ids and after the one given. None are left when the answer is empty.
    fn users_with_sessions<'a>(
        &'a self,
        after: &'a str,
        idle: bool,
        now: UnixTime,
    ) -> Answer<'a, Vec<UserId>>;

    /// The refresh tokens of sessions, neither used nor expired: `jti` and `exp` of each.
    fn live_refresh_tokens<'a>(
        &'a self,
        which: Which<'a>,
        now: UnixTime,
    ) -> Answer<'a, Vec<(String, UnixTime)>>;

    /// Adds revocations.
    fn revoke<'a>(&'a self, revocations: &'a [Revocation]) -> Answer<'a, ()>;

    /// Revocations whose number is higher, as many as one answer holds. Every replica sees all: numbers come into sight
    /// in their order.
    fn revocations_after<'a>(&'a self, number: i64) -> Answer<'a, RevocationPage>;

    /// When the last token expires that an operator made and that lives longer than the file lets others live: 1970 if
    /// none did. With `another`, one more is about to be made that lives until then.
    fn minted_until(&self, another: Option<UnixTime>) -> Answer<'_, UnixTime>;

    /// Removes some of the rows that say nothing any more, and tells how many.
    fn purge<'a>(&'a self, now: UnixTime) -> Answer<'a, u64>;

    /// The secret of this name: the proposed one, unless there is one already. All replicas get the same.
    fn secret<'a>(&'a self, name: &'a str, proposed: Secret) -> Answer<'a, Secret>;
}

/// A login.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// The session that begins.
    pub session: &'a NewSession,
    /// Its first refresh token.
    pub refresh: &'a RefreshToken,
    /// Its first access token.
    pub access: AccessToken<'a>,
    /// The token that was handed in for it in place of a password.
    pub replaces: Option<OldToken<'a>>,
    /// So many living sessions may the user have with this one.
    pub most: Option<u32>,
    /// What to say of those that end for it.
    pub ending: Ending<'a>,
}

/// A session that begins.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Names the session in tokens (`sid`).
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
    /// When it began.
    pub started_at: UnixTime,
}

/// A refresh token that is handed out, without its text.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// Its identity.
    pub jti: String,
    /// SHA-256 of its payload.
    pub hash: [u8; 32],
    /// `exp`.
    pub expires_at: UnixTime,
    /// Its claims, sealed; only where its predecessor may come again for them.
    pub claims: Option<Vec<u8>>,
}

/// An access token that is handed out.
#[derive(Debug, Clone, Copy)]
pub struct AccessToken<'a> {
    /// `exp`.
    pub expires_at: UnixTime,
    /// Its identity, to be kept with the session where the token does not name that itself.
    pub jti: Option<&'a str>,
}

/// A refresh token that came back.
#[derive(Debug, Clone, Copy)]
pub struct OldToken<'a> {
    /// Its identity.
    pub jti: &'a str,
    /// `exp`: until then the blacklist must remember it.
    pub expires_at: UnixTime,
}

/// What is known about a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshState {
    /// It is refused.
    pub blacklisted: bool,
    /// The record made when it was handed out; `None` for one that this store never saw.
    pub record: Option<RefreshRecord>,
}

/// The record of a refresh token that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRecord {
    /// SHA-256 of its payload.
    pub hash: Vec<u8>,
    /// What became of it.
    pub usage: Usage,
    /// When it was handed out.
    pub handed_out_at: UnixTime,
    /// Its claims as they were given to [`Sessions::rotate`]; gone when it was used.
    pub claims: Option<Vec<u8>>,
    /// Its session; `None` for a token that names no user.
    pub session: Option<SessionRecord>,
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Nothing yet.
    Live,
    /// It was exchanged for its successor.
    Rotated,
    /// Somebody ended it.
    Ended,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// As in tokens.
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
    /// When it began.
    pub started_at: UnixTime,
    /// When its last refresh token expires.
    pub ends_at: UnixTime,
    /// Somebody ended it.
    pub ended: bool,
}

/// An exchange of refresh tokens.
#[derive(Debug, Clone)]
pub struct Rotation<'a> {
    /// The one that came.
    pub old: OldToken<'a>,
    /// The one that is handed out for it.
    pub new: &'a RefreshToken,
    /// The access token that goes with it.
    pub access: AccessToken<'a>,
    /// Whose it is, where the token says so.
    pub user: Option<&'a UserId>,
    /// Blacklist the old one.
    pub retire: bool,
    /// Refuse a token without a living session.
    pub require_session: bool,
    /// The time.
    pub now: UnixTime,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The new token is good.
    Done,
    /// Another was faster: the old token is blacklisted.
    AlreadyBlacklisted,
    /// The session was ended or never existed.
    NoSession,
}

/// Sessions to be ended.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// One, by its `sid`.
    Session(&'a str),
    /// All of a user.
    User(&'a UserId),
}

/// What the revocations of an ended session say.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// `iss` of the tokens.
    pub issuer: Option<&'a str>,
    /// How long after their `exp` tokens are still taken.
    pub leeway: Duration,
    /// The time.
    pub now: UnixTime,
}

/// Sessions that were ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Their names.
    pub sessions: Vec<String>,
    /// The revocations of their access tokens, which the store has and other replicas will see.
    pub revocations: Vec<Revocation>,
}

impl Ended {
    /// Adds a session, given with the expiry of its last access token, and those of its access tokens that do not name
    /// it. What has expired is left out.
    pub(super) fn add(
        &mut self,
        sid: String,
        access_ends_at: UnixTime,
        tokens: impl IntoIterator<Item = (String, UnixTime)>,
        ending: Ending<'_>,
    ) {
        let issuer = || ending.issuer.map(str::to_owned);
        let whole = (Revoked::Session { issuer: issuer(), sid: sid.clone() }, access_ends_at);
        let each = tokens.into_iter().map(|(jti, until)| (Revoked::Token { issuer: issuer(), jti }, until));
        let all = [whole].into_iter().chain(each);
        let all = all.map(|(what, until)| Revocation { what, expires_at: until.plus(ending.leeway) });
        self.revocations.extend(all.filter(|revocation| revocation.expires_at > ending.now));
        self.sessions.push(sid);
    }
}
