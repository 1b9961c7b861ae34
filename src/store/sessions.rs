//! Logins and their refresh tokens: what the issuer asks of the database that keeps them.

use super::{Answer, UserId};
use crate::base::UnixTime;

/// Sessions, refresh tokens and the blacklist. Each call ends within a few seconds, with
/// [`StoreError::Unavailable`](super::StoreError::Unavailable) if need be, and changes all that it says or nothing.
pub trait Sessions: Send + Sync + 'static {
    /// Records a login.
    fn start_session<'a>(&'a self, session: &'a NewSession, token: &'a RefreshToken) -> Answer<'a, ()>;

    /// What is known about a refresh token.
    fn refresh_state<'a>(&'a self, jti: &'a str) -> Answer<'a, RefreshState>;

    /// Puts a new refresh token in the place of an old one, in one step: of several callers with the same old
    /// token one gets [`Rotated::Done`] if `retire` is set.
    fn rotate<'a>(&'a self, rotation: &'a Rotation<'a>) -> Answer<'a, Rotated>;

    /// Blacklists a refresh token and, with `end_session`, ends its session; `false` if it stood there already.
    fn blacklist<'a>(&'a self, token: OldToken<'a>, end_session: bool, now: UnixTime) -> Answer<'a, bool>;
}

/// A login.
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
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// `exp`.
    pub expires_at: UnixTime,
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
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// Its session; `None` for a token that no login here made.
    pub session: Option<SessionRecord>,
}

/// The session of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// As in tokens.
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
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
