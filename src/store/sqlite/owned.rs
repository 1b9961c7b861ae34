//! Copies of a call's arguments, which go along to another thread: a caller may be gone before the work is done.

use std::time::Duration;

use crate::base::UnixTime;
use crate::store::{AccessToken, Ending, Login, NewSession, OldToken, RefreshToken, Rotation, UserId, Which};

pub(super) struct OwnedRotation {
    old: OwnedOldToken,
    new: RefreshToken,
    access: OwnedAccessToken,
    user: Option<UserId>,
    retire: bool,
    require_session: bool,
    now: UnixTime,
}

impl OwnedRotation {
    pub(super) fn of(rotation: &Rotation<'_>) -> Self {
        let Rotation { old, new, access, ref user, retire, require_session, now } = *rotation;
        let (old, access) = (OwnedOldToken::of(old), OwnedAccessToken::of(access));
        Self { old, new: new.clone(), access, user: user.cloned(), retire, require_session, now }
    }

    pub(super) fn borrow(&self) -> Rotation<'_> {
        let Self { old, new, access, user, retire, require_session, now } = self;
        Rotation {
            old: old.borrow(),
            new,
            access: access.borrow(),
            user: user.as_ref(),
            retire: *retire,
            require_session: *require_session,
            now: *now,
        }
    }
}

pub(super) struct OwnedLogin {
    session: NewSession,
    refresh: RefreshToken,
    access: OwnedAccessToken,
    replaces: Option<OwnedOldToken>,
    most: Option<u32>,
    ending: OwnedEnding,
}

impl OwnedLogin {
    pub(super) fn of(login: &Login<'_>) -> Self {
        let Login { session, refresh, access, replaces, most, ending } = *login;
        let (session, refresh) = (session.clone(), refresh.clone());
        let replaces = replaces.map(OwnedOldToken::of);
        Self {
            session,
            refresh,
            access: OwnedAccessToken::of(access),
            replaces,
            most,
            ending: OwnedEnding::of(ending),
        }
    }

    pub(super) fn borrow(&self) -> Login<'_> {
        let Self { session, refresh, access, replaces, most, ending } = self;
        let replaces = replaces.as_ref().map(OwnedOldToken::borrow);
        Login { session, refresh, access: access.borrow(), replaces, most: *most, ending: ending.borrow() }
    }
}

pub(super) struct OwnedAccessToken {
    expires_at: UnixTime,
    jti: Option<String>,
}

impl OwnedAccessToken {
    pub(super) fn of(token: AccessToken<'_>) -> Self {
        Self { expires_at: token.expires_at, jti: token.jti.map(str::to_owned) }
    }

    pub(super) fn borrow(&self) -> AccessToken<'_> {
        AccessToken { expires_at: self.expires_at, jti: self.jti.as_deref() }
    }
}

pub(super) struct OwnedOldToken {
    jti: String,
    expires_at: UnixTime,
}

impl OwnedOldToken {
    pub(super) fn of(token: OldToken<'_>) -> Self {
        Self { jti: token.jti.to_owned(), expires_at: token.expires_at }
    }

    pub(super) fn borrow(&self) -> OldToken<'_> {
        OldToken { jti: &self.jti, expires_at: self.expires_at }
    }
}

pub(super) struct OwnedEnding {
    issuer: Option<String>,
    leeway: Duration,
    now: UnixTime,
}

impl OwnedEnding {
    pub(super) fn of(ending: Ending<'_>) -> Self {
        Self { issuer: ending.issuer.map(str::to_owned), leeway: ending.leeway, now: ending.now }
    }

    pub(super) fn borrow(&self) -> Ending<'_> {
        Ending { issuer: self.issuer.as_deref(), leeway: self.leeway, now: self.now }
    }
}

pub(super) enum OwnedWhich {
    Session(String),
    User(UserId),
}

impl OwnedWhich {
    pub(super) fn of(which: Which<'_>) -> Self {
        match which {
            Which::Session(sid) => Self::Session(sid.to_owned()),
            Which::User(user) => Self::User(user.clone()),
        }
    }

    pub(super) fn borrow(&self) -> Which<'_> {
        match self {
            Self::Session(sid) => Which::Session(sid),
            Self::User(user) => Which::User(user),
        }
    }
}
