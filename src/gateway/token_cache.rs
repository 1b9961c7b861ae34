//! Tokens whose signature was found good, so that it need not be checked again.
//!
//! Two levels: a small table of each worker's own, where a hit costs a hash of 32 bytes and a comparison of the whole
//! token; behind it one cache for all workers. An entry says nothing of routes: it holds what the signature vouches
//! for. Whoever finds one still checks that its key is live, and the policy of a provider over that key.
//!
//! Tokens with a bad signature are remembered apart, in a few places, under the key set that refused them: a client
//! that repeats a bad token must not cost a signature check each time, and a new key must get its chance.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use super::identify::PreparedHeaders;
use crate::base::ByteSize;
use crate::jwt::{Claims, Key, KeySetId};
use crate::providers::KeySourceId;

/// Places in a worker's own table; each token has one.
const WORKER_PLACES: usize = 1024;
/// Longer tokens are not kept by workers, so that a table has a bound in bytes too: 8 MiB and the claims.
const LONGEST_AT_WORKER: usize = 8 * 1024;
/// Places for tokens with a bad signature.
const REFUSED_PLACES: usize = 128;
const LONGEST_REFUSED: usize = 4 * 1024;

/// A token whose signature is good.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) text: Box<[u8]>,
    pub(super) typ: Option<Box<str>>,
    pub(super) claims: Claims,
    /// The key that made the signature. When it is retired, so is the entry.
    pub(super) key: Arc<Key>,
    pub(super) source: KeySourceId,
}

impl VerifiedToken {
    /// About how many bytes it holds: the claims as parsed take a few times their text.
    fn weight(&self) -> u32 {
        u32::try_from(self.text.len() * 4 + 512).unwrap_or(u32::MAX)
    }
}

/// The level that all workers share.
#[derive(Debug)]
pub(super) struct SharedTokens {
    tokens: moka::sync::Cache<Box<[u8]>, Arc<VerifiedToken>>,
}

impl SharedTokens {
    pub(super) fn new(memory: ByteSize) -> Self {
        let tokens = moka::sync::Cache::builder()
            .max_capacity(memory.0)
            .weigher(|_, token: &Arc<VerifiedToken>| token.weight())
            .build_with_hasher(RandomState::new());
        Self { tokens }
    }
}

/// What a worker keeps of a verified token: the token, and the headers that routes made of it.
#[derive(Debug)]
pub(super) struct KnownToken {
    pub(super) token: Arc<VerifiedToken>,
    pub(super) prepared: RefCell<Vec<PreparedHeaders>>,
}

impl KnownToken {
    fn new(token: Arc<VerifiedToken>) -> Rc<Self> {
        Rc::new(Self { token, prepared: RefCell::default() })
    }
}

/// A worker's view of both levels.
#[derive(Debug)]
pub(super) struct TokenCache {
    hasher: RandomState,
    known: RefCell<Vec<Option<Rc<KnownToken>>>>,
    refused: RefCell<Vec<Option<RefusedToken>>>,
    shared: Option<Arc<SharedTokens>>,
}

#[derive(Debug)]
struct RefusedToken {
    text: Box<[u8]>,
    keys: KeySetId,
}

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Worker,
    Shared,
}

impl TokenCache {
    /// Without a shared level it remembers nothing.
    pub(super) fn new(shared: Option<Arc<SharedTokens>>) -> Self {
        let places = if shared.is_some() { WORKER_PLACES } else { 0 };
        let refused_places = if shared.is_some() { REFUSED_PLACES } else { 0 };
        Self {
            hasher: RandomState::new(),
            known: RefCell::new(std::iter::repeat_with(|| None).take(places).collect()),
            refused: RefCell::new(std::iter::repeat_with(|| None).take(refused_places).collect()),
            shared,
        }
    }

    /// A keyed hash over the last bytes, where a signature is: strangers can't choose tokens that share a place
    /// with another's. Two tokens that do only take it from each other.
    fn hash(&self, text: &[u8]) -> usize {
        let tail = &text[text.len().saturating_sub(32)..];
        // Truncation keeps the low bits, as good as any.
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(tail) as usize;
        hash
    }

    /// Finds a token by its whole text. One whose key was retired is not there any more.
    pub(super) fn find(&self, text: &[u8]) -> Option<(Rc<KnownToken>, Level)> {
        let shared = self.shared.as_ref()?;
        let place = self.hash(text) % WORKER_PLACES;
        if let Some(known) = &self.known.borrow()[place]
            && *known.token.text == *text
        {
            return known.token.key.is_live().then(|| (Rc::clone(known), Level::Worker));
        }
        let token = shared.tokens.get(text)?;
        if !token.key.is_live() {
            shared.tokens.invalidate(text);
            return None;
        }
        Some((self.keep_at_worker(place, token), Level::Shared))
    }

    /// Remembers a token in both levels.
    pub(super) fn insert(&self, token: VerifiedToken) -> Rc<KnownToken> {
        let token = Arc::new(token);
        let Some(shared) = &self.shared else { return KnownToken::new(token) };
        shared.tokens.insert(token.text.clone(), Arc::clone(&token));
        let place = self.hash(&token.text) % WORKER_PLACES;
        self.keep_at_worker(place, token)
    }

    fn keep_at_worker(&self, place: usize, token: Arc<VerifiedToken>) -> Rc<KnownToken> {
        let known = KnownToken::new(token);
        if known.token.text.len() <= LONGEST_AT_WORKER {
            self.known.borrow_mut()[place] = Some(Rc::clone(&known));
        }
        known
    }

    /// Whether these very keys refused this very text.
    pub(super) fn was_refused(&self, text: &[u8], keys: KeySetId) -> bool {
        if self.shared.is_none() {
            return false;
        }
        let refused = self.refused.borrow();
        refused[self.hash(text) % REFUSED_PLACES]
            .as_ref()
            .is_some_and(|refused| refused.keys == keys && *refused.text == *text)
    }

    /// Remembers that these keys refused this text for its signature.
    pub(super) fn refuse(&self, text: &[u8], keys: KeySetId) {
        if self.shared.is_none() || text.len() > LONGEST_REFUSED {
            return;
        }
        let place = self.hash(text) % REFUSED_PLACES;
        self.refused.borrow_mut()[place] = Some(RefusedToken { text: text.into(), keys });
    }
}
