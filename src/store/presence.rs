//! Who of many users is still let in where users live: looked at from time to time, for all who have a session.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::{Answer, StoreError, User, UserId};

/// So many are asked for at once where each takes a question of its own.
const AT_ONCE: usize = 8;

/// What the place where users live says of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// There is no such user.
    Gone,
    /// There is, and may not log in.
    KeptOut,
    /// May log in.
    LetIn,
}

/// What it says of several, in any order. A user who can't be looked up takes no other along.
pub type Presences = Vec<(UserId, Result<Presence, StoreError>)>;

impl Presence {
    /// Of the user that a look-up found.
    #[must_use]
    pub fn of(found: Option<&User>) -> Self {
        found.map_or(Self::Gone, |user| Self::of_active(user.active))
    }

    pub(super) const fn of_active(active: bool) -> Self {
        if active { Self::LetIn } else { Self::KeptOut }
    }
}

/// Of users that are looked up one by one.
pub(super) fn one_by_one<'a>(
    ids: &'a [UserId],
    look_up: impl Fn(&'a str) -> Answer<'a, Option<User>>,
) -> Answer<'a, Presences> {
    let ask = |id: &'a UserId| -> BoxFuture<'a, _> {
        let found = look_up(id.as_str());
        Box::pin(async move { (id.clone(), found.await.map(|user| Presence::of(user.as_ref()))) })
    };
    let asked: Vec<_> = ids.iter().map(ask).collect();
    Box::pin(async move { Ok(futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await) })
}

/// Of users of a table, given those of them that it has.
pub(super) fn of_rows(ids: &[UserId], rows: Vec<(UserId, bool)>) -> Presences {
    let rows: HashMap<UserId, bool> = rows.into_iter().collect();
    let presence = |id: &UserId| rows.get(id).map_or(Presence::Gone, |active| Presence::of_active(*active));
    ids.iter().map(|id| (id.clone(), Ok(presence(id)))).collect()
}
