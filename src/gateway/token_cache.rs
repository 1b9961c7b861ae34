//! Tokens whose signature was found good, so that it need not be checked again.
//!
//! Two levels: a table of each worker's own ([`KnownTokens`]), where a hit costs a hash of 32 bytes and a comparison of
//! the whole token; behind it one cache for all workers. An entry says nothing of routes: it holds what the signature vouches
//! for. Whoever finds one still checks that its key is live, and the policy of a provider over that key.
//!
//! Tokens with a bad signature are remembered apart, in a few places, under the key set that refused them: a client
//! that repeats a bad token must not cost a signature check each time, and a new key must get its chance.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use super::identify::PreparedHeaders;
use super::known_tokens::KnownTokens;
use crate::base::ByteSize;
use crate::jwt::{Claims, Key, KeySetId};
use crate::providers::KeySource;
use crate::revocations::{Epoch, TokenNames};

/// Places for tokens with a bad signature.
const REFUSED_PLACES: usize = 128;
const LONGEST_REFUSED: usize = 4 * 1024;

/// A token whose signature is good.
#[derive(Debug)]
pub struct VerifiedToken {
    /// The whole token.
    pub text: Box<[u8]>,
    /// `typ` of its header.
    pub typ: Option<Box<str>>,
    /// What it says.
    pub claims: Claims,
    /// The key that made the signature. When it is retired, so is the entry. `None`: the provider itself vouches for
    /// the token, which is never kept here.
    pub key: Option<Arc<Key>>,
    /// Where that key came from.
    pub source: Arc<KeySource>,
    /// What it can be revoked by.
    pub names: TokenNames,
}

impl VerifiedToken {
    fn is_live(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.is_live())
    }

    /// About how many bytes it holds: the claims as parsed take a few times their text.
    pub(super) fn weight(&self) -> usize {
        self.text.len() * 4 + 512
    }
}

/// The level that all workers share.
#[derive(Debug)]
pub struct SharedTokens {
    memory: ByteSize,
    tokens: moka::sync::Cache<Box<[u8]>, Arc<VerifiedToken>>,
}

impl SharedTokens {
    /// Holds about so many bytes.
    #[must_use]
    pub fn new(memory: ByteSize) -> Self {
        let tokens = moka::sync::Cache::builder()
            .max_capacity(memory.0)
            .weigher(|_, token: &Arc<VerifiedToken>| u32::try_from(token.weight()).unwrap_or(u32::MAX))
            .build_with_hasher(RandomState::new());
        Self { memory, tokens }
    }

    /// How much of it one worker may hold on to, evicted here or not.
    fn share_of_worker(&self) -> usize {
        usize::try_from(self.memory.0 / 2).unwrap_or(usize::MAX)
    }
}

/// What a worker keeps of a verified token: the token, and the headers that routes made of it.
#[derive(Debug)]
pub struct KnownToken {
    /// The token.
    pub token: Arc<VerifiedToken>,
    /// The state of the index in which it was last found not to be revoked.
    pub(super) cleared_at: Cell<Epoch>,
    pub(super) prepared: RefCell<Vec<PreparedHeaders>>,
}

impl KnownToken {
    fn new(token: Arc<VerifiedToken>) -> Rc<Self> {
        Rc::new(Self { token, cleared_at: Cell::new(Epoch::NEVER), prepared: RefCell::default() })
    }

    /// A token that is good for this request, and no longer.
    pub(super) fn unremembered(token: VerifiedToken) -> Rc<Self> {
        Self::new(Arc::new(token))
    }
}

/// A worker's view of both levels.
#[derive(Debug)]
pub struct TokenCache {
    hasher: RandomState,
    known: RefCell<KnownTokens>,
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
pub enum Level {
    /// In the worker's own table.
    Worker,
    /// In the cache that all workers share.
    Shared,
}

impl TokenCache {
    /// Without a shared level it remembers nothing.
    #[must_use]
    pub fn new(shared: Option<Arc<SharedTokens>>) -> Self {
        let most = shared.as_ref().map_or(0, |shared| shared.share_of_worker());
        let refused_places = if shared.is_some() { REFUSED_PLACES } else { 0 };
        Self {
            hasher: RandomState::new(),
            known: RefCell::new(KnownTokens::new(most)),
            refused: RefCell::new(std::iter::repeat_with(|| None).take(refused_places).collect()),
            shared,
        }
    }

    /// A keyed hash over the last bytes, where a signature is: strangers can't choose tokens that share places
    /// with another's. Tokens that do only take them from each other.
    fn hash(&self, text: &[u8]) -> u64 {
        self.hasher.hash_one(&text[text.len().saturating_sub(32)..])
    }

    fn refused_place(&self, text: &[u8]) -> usize {
        // Truncation keeps the low bits, as good as any.
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hash(text) as usize;
        hash % REFUSED_PLACES
    }

    /// Finds a token by its whole text. One whose key was retired is not there any more.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<(Rc<KnownToken>, Level)> {
        let shared = self.shared.as_ref()?;
        let hash = self.hash(text);
        if let Some(known) = self.known.borrow().find(hash, text) {
            return known.token.is_live().then(|| (Rc::clone(known), Level::Worker));
        }
        let token = shared.tokens.get(text)?;
        if !token.is_live() {
            shared.tokens.invalidate(text);
            return None;
        }
        Some((self.keep_at_worker(hash, token), Level::Shared))
    }

    /// Remembers a token in both levels.
    pub fn insert(&self, token: VerifiedToken) -> Rc<KnownToken> {
        let token = Arc::new(token);
        let Some(shared) = &self.shared else { return KnownToken::new(token) };
        shared.tokens.insert(token.text.clone(), Arc::clone(&token));
        let hash = self.hash(&token.text);
        self.keep_at_worker(hash, token)
    }

    fn keep_at_worker(&self, hash: u64, token: Arc<VerifiedToken>) -> Rc<KnownToken> {
        let known = KnownToken::new(token);
        self.known.borrow_mut().keep(hash, &known);
        known
    }

    /// Whether these very keys refused this very text.
    #[must_use]
    pub fn was_refused(&self, text: &[u8], keys: KeySetId) -> bool {
        if self.shared.is_none() {
            return false;
        }
        let refused = self.refused.borrow();
        refused[self.refused_place(text)]
            .as_ref()
            .is_some_and(|refused| refused.keys == keys && *refused.text == *text)
    }

    /// Remembers that these keys refused this text for its signature.
    pub fn refuse(&self, text: &[u8], keys: KeySetId) {
        if self.shared.is_none() || text.len() > LONGEST_REFUSED {
            return;
        }
        let place = self.refused_place(text);
        self.refused.borrow_mut()[place] = Some(RefusedToken { text: text.into(), keys });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Algorithm, Secret};
    use crate::jwt::{HeaderForm, KeySet, Limits, SigningKey, parse};
    use crate::providers;
    use crate::revocations::Revocations;
    use serde_json::json;

    struct Tokens {
        signing: SigningKey,
        key: Arc<Key>,
        source: Arc<KeySource>,
        revocations: Arc<Revocations>,
    }

    fn tokens() -> Tokens {
        let file = "
server: { listeners: { address: 127.0.0.1:0 } }
providers: { p: { issuer: any, keys: { secret: \"${S}\" }, algorithms: HS256, audiences: any } }
routes: [ { match: { path: /* }, auth: { providers: p }, upstream: \"http://127.0.0.1:1\" } ]";
        let secret = "0123456789abcdef0123456789abcdef";
        let environment = |_: &str| Some(secret.to_owned());
        let config = crate::config::read_text(file, std::path::Path::new("f"), &environment).expect("valid");
        let provider = &providers::load(&config.providers, None).expect("loaded")[0];
        let signing = SigningKey::hmac(Algorithm::HS256, &Secret::new(secret)).expect("a key");
        let source = provider.key_source();
        let key = Arc::clone(&source.keys().keys()[0]);
        Tokens { signing, key, source, revocations: Revocations::new(true) }
    }

    impl Tokens {
        fn verified(&self, subject: &str) -> VerifiedToken {
            let claims = serde_json::Map::from_iter([("sub".to_owned(), json!(subject))]);
            let text = self.signing.sign(&claims, HeaderForm::Plain).expect("signed");
            let claims = parse(text.as_bytes(), &Limits::default()).expect("a token").into_claims();
            let names = self.revocations.names(&claims, b"");
            let (text, key) = (text.into_bytes().into(), Some(Arc::clone(&self.key)));
            VerifiedToken { text, typ: None, claims, key, source: Arc::clone(&self.source), names }
        }
    }

    fn cache() -> (TokenCache, TokenCache) {
        let shared = Arc::new(SharedTokens::new(ByteSize(1 << 20)));
        (TokenCache::new(Some(Arc::clone(&shared))), TokenCache::new(Some(shared)))
    }

    fn level(cache: &TokenCache, text: &[u8]) -> Option<Level> {
        cache.find(text).map(|(_, level)| level)
    }

    #[test]
    fn another_worker_finds_a_token_in_the_shared_level_and_then_in_its_own() {
        let ((one, other), tokens) = (cache(), tokens());
        let text = one.insert(tokens.verified("ada")).token.text.clone();
        assert_eq!(level(&one, &text), Some(Level::Worker));
        assert_eq!(level(&other, &text), Some(Level::Shared));
        assert_eq!(level(&other, &text), Some(Level::Worker));
    }

    #[test]
    fn the_whole_text_is_compared() {
        let ((cache, _), tokens) = (cache(), tokens());
        let text = cache.insert(tokens.verified("ada")).token.text.clone();
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert_eq!(level(&cache, &other), None, "byte {at}");
        }
        assert_eq!(level(&cache, &text[1..]), None);
    }

    #[test]
    fn a_retired_key_takes_its_tokens_with_it() {
        let ((one, other), tokens) = (cache(), tokens());
        let text = one.insert(tokens.verified("ada")).token.text.clone();
        tokens.key.retire();
        assert_eq!((level(&one, &text), level(&other, &text)), (None, None));
    }

    #[test]
    fn of_ten_thousand_tokens_in_turn_nearly_all_are_found_at_the_worker() {
        let (cache, tokens) =
            (TokenCache::new(Some(Arc::new(SharedTokens::new(ByteSize(1 << 30))))), tokens());
        let texts: Vec<_> = (0..10_000)
            .map(|number| cache.insert(tokens.verified(&number.to_string())).token.text.clone())
            .collect();
        let at_worker = texts.iter().filter(|text| {
            let (known, level) = cache.find(text).expect("known");
            assert_eq!(known.token.text, **text);
            level == Level::Worker
        });
        let at_worker = at_worker.count();
        assert!(at_worker > 9_900, "{at_worker}");
    }

    #[test]
    fn a_worker_holds_no_more_than_its_share_and_always_the_newest() {
        let tokens = tokens();
        let one = tokens.verified("0").weight();
        let shared = Arc::new(SharedTokens::new(ByteSize(20 * one as u64)));
        let cache = TokenCache::new(Some(shared));
        for number in 0..1_000 {
            cache.insert(tokens.verified(&(number % 10).to_string()));
            let newest = cache.insert(tokens.verified(&number.to_string()));
            let text = &newest.token.text;
            assert!(cache.known.borrow().find(cache.hash(text), text).is_some(), "token {number}");
            let weight = cache.known.borrow().weight();
            assert!(weight <= 10 * one && (number < 20 || weight > 7 * one), "token {number}: {weight}");
        }
    }

    #[test]
    fn a_refusal_counts_only_under_the_keys_that_refused() {
        let (cache, _) = cache();
        let (old, new) = (KeySet::new(Vec::new()), KeySet::new(Vec::new()));
        cache.refuse(b"a.b.c", old.id());
        assert!(cache.was_refused(b"a.b.c", old.id()));
        assert!(!cache.was_refused(b"a.b.c", new.id()) && !cache.was_refused(b"a.b.d", old.id()));
    }

    #[test]
    fn switched_off_it_remembers_nothing() {
        let (cache, tokens) = (TokenCache::new(None), tokens());
        let text = cache.insert(tokens.verified("ada")).token.text.clone();
        cache.refuse(b"a.b.c", KeySet::new(Vec::new()).id());
        assert_eq!(level(&cache, &text), None);
    }
}
