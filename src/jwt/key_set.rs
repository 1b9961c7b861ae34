//! The keys of one provider at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ShortText;

use super::json::{self, Element, JsonError};
use super::key::{Key, KeyError, Origin};

/// How deep a JWK set may be nested: itself, its list, a key, `x5c` or `oth` within, and room for extensions.
const NESTING: usize = 16;

/// An immutable set of keys. When a provider's keys change, a new set takes its place, and keys that are gone
/// from it are retired.
#[derive(Debug)]
pub struct KeySet {
    id: KeySetId,
    keys: Vec<Arc<Key>>,
    skipped: Vec<SkippedKey>,
}

/// Which set, unique in this process: what was verified against one set is not thereby good under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySetId(u64);

/// A key of a JWK set that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its `kid`, cut for the log.
    pub kid: Option<ShortText>,
    /// Why not.
    pub why: KeyError,
}

/// Why a text is no JWK set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not UTF-8, no JSON, or `keys` is no list.
    #[error("no JWK set: not a JSON object with a list \"keys\"")]
    Malformed,
    /// No member `keys` (RFC 7517, section 5.1), or two of them.
    #[error("no JWK set: the object has no single member \"keys\"")]
    NoKeys,
    /// Nested deeper than any key needs.
    #[error("the JWK set is nested too deeply")]
    TooDeep,
}

impl KeySet {
    /// A set of these keys.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self::with_skipped(keys, Vec::new())
    }

    /// Reads a JWK set (RFC 7517, section 5), key by key: one that can't be used is skipped, and the rest serves.
    /// So the set may be empty.
    ///
    /// # Errors
    /// See [`JwksError`].
    pub fn from_jwks(text: &[u8], origin: Origin) -> Result<Self, JwksError> {
        let elements = json::elements(text, "keys", NESTING)?.ok_or(JwksError::NoKeys)?;
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for Element { value: jwk, duplicate } in elements {
            let key = if duplicate { Err(KeyError::DuplicateMember) } else { Key::from_jwk(&jwk, origin) };
            match key {
                Ok(key) => keys.push(key),
                Err(why) => {
                    let kid =
                        jwk.get("kid").and_then(|kid| kid.as_str()).map(|kid| ShortText::new(kid.as_bytes()));
                    skipped.push(SkippedKey { kid, why });
                }
            }
        }
        Ok(Self::with_skipped(keys, skipped))
    }

    fn with_skipped(keys: Vec<Key>, skipped: Vec<SkippedKey>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only that no two are alike counts.
        let id = KeySetId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, keys: keys.into_iter().map(Arc::new).collect(), skipped }
    }

    /// Which set it is.
    #[must_use]
    pub const fn id(&self) -> KeySetId {
        self.id
    }

    /// Its keys, in the order of the file; retired ones too.
    #[must_use]
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// What was passed over.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Ends all its keys.
    pub fn retire_all(&self) {
        for key in &self.keys {
            key.retire();
        }
    }
}

impl From<JsonError> for JwksError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Utf8 | JsonError::Syntax | JsonError::NotAnObject => Self::Malformed,
            JsonError::DuplicateMember => Self::NoKeys,
            JsonError::TooDeep => Self::TooDeep,
        }
    }
}
