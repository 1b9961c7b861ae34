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

    /// The same set with the prepared keys of an older one, where they are the same and still live. What remembers
    /// such a key goes on to know it.
    #[must_use]
    pub fn keeping(mut self, older: &Self) -> Self {
        for key in &mut self.keys {
            let same = older.keys.iter().find(|known| known.is_live() && known.is_same(key));
            if let Some(known) = same {
                *key = Arc::clone(known);
            }
        }
        self
    }

    /// Whether this very prepared key is one of the set.
    #[must_use]
    pub fn contains(&self, key: &Arc<Key>) -> bool {
        self.keys.iter().any(|own| Arc::ptr_eq(own, key))
    }

    /// Ends those of its keys that the set after it does not have.
    pub fn retire_missing_from(&self, newer: &Self) {
        for key in self.keys.iter().filter(|key| !newer.contains(key)) {
            key.retire();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Algorithm;
    use crate::jwt::samples::{all, public_pem, signing_key, token};
    use crate::jwt::{HeaderForm, Limits, VerifyError, parse, verify};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn named(algorithm: Algorithm, kid: &str) -> Value {
        let mut jwk = signing_key(algorithm).public_jwk().unwrap();
        jwk["kid"] = kid.into();
        jwk
    }

    #[test]
    fn one_broken_key_leaves_the_others_in_use() {
        let text = format!(
            r#"{{"x":1,"keys":[{},7,{{"kid":"twice","kty":"EC","kty":"EC"}},{{"kid":"new","kty":"AKP"}},{}]}}"#,
            named(Algorithm::ES256, "a"),
            named(Algorithm::EdDSA, "b"),
        );
        let set = KeySet::from_jwks(text.as_bytes(), Origin::Fetched).unwrap();
        assert_eq!(set.keys().iter().map(|key| key.kid().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        let skipped: Vec<_> =
            set.skipped().iter().map(|skipped| (skipped.kid.clone(), skipped.why.clone())).collect();
        let kid = |kid: &str| Some(ShortText::new(kid.as_bytes()));
        assert_eq!(
            skipped,
            [
                (None, KeyError::NotAnObject),
                (kid("twice"), KeyError::DuplicateMember),
                (kid("new"), KeyError::UnknownType { kty: ShortText::new(b"AKP") }),
            ]
        );
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        let read =
            |text: &str| KeySet::from_jwks(text.as_bytes(), Origin::Fetched).map(|set| set.keys().len());
        for text in ["", "<html>", "[]", "{\"keys\":{}}", "{\"keys\":[]", "null"] {
            assert_eq!(read(text), Err(JwksError::Malformed), "{text}");
        }
        assert_eq!(read(r#"{"kty":"EC"}"#), Err(JwksError::NoKeys));
        assert_eq!(read(r#"{"keys":[],"keys":[]}"#), Err(JwksError::NoKeys));
        assert_eq!(read(&format!("{{\"keys\":{}}}", "[".repeat(10_000))), Err(JwksError::TooDeep));
        assert_eq!(read(r#"{"keys":[]}"#), Ok(0));
    }

    #[test]
    fn no_two_sets_are_the_same_one() {
        let ids: std::collections::HashSet<_> = (0..100).map(|_| KeySet::new(Vec::new()).id()).collect();
        assert_eq!(ids.len(), 100);
    }

    #[test]
    fn a_newer_set_keeps_the_keys_that_stay_and_ends_those_that_went() {
        let set = |keys: &[&Value]| {
            KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), Origin::Fetched).unwrap()
        };
        let (a, b, c) =
            (named(Algorithm::ES256, "a"), named(Algorithm::ES384, "b"), named(Algorithm::EdDSA, "c"));
        let renamed = named(Algorithm::ES384, "b2");
        let bound = {
            let mut bound = a.clone();
            bound["alg"] = "ES256".into();
            bound["x5t"] = "whatever".into();
            bound
        };
        let old = set(&[&a, &b]);
        let new = set(&[&c, &bound, &renamed]).keeping(&old);
        assert!(old.contains(&new.keys()[1]), "a member that changes nothing");
        assert!(!old.contains(&new.keys()[0]) && !old.contains(&new.keys()[2]));
        old.retire_missing_from(&new);
        assert_eq!(old.keys().iter().map(|key| key.is_live()).collect::<Vec<_>>(), [true, false]);
        let again = set(&[&b]).keeping(&old);
        assert!(again.keys()[0].is_live(), "a key that comes back is a new one");
    }

    #[test]
    fn keys_without_name_step_back_before_the_key_of_that_name() {
        let (named, nameless) = (signing_key(Algorithm::ES256), signing_key(Algorithm::ES256));
        let set = KeySet::new(vec![
            Key::from_pem(public_pem(&nameless).as_bytes()).unwrap(),
            named.verification_key().unwrap(),
        ]);
        let verdict = |text: String| {
            verify(&parse(text.as_bytes(), &Limits::default()).unwrap(), &set, all()).map(|_| ())
        };
        assert_eq!(verdict(token(&named, HeaderForm::WithKid)), Ok(()));
        assert_eq!(verdict(token(&nameless, HeaderForm::WithKid)), Ok(()), "its own name is unknown here");
        assert_eq!(verdict(token(&named, HeaderForm::Plain)), Ok(()), "without kid all are tried");

        // Both carry the name, one has the key: a signature of the nameless key under that name is not looked for.
        let only_nameless_signs = KeySet::new(vec![
            Key::from_pem(public_pem(&named).as_bytes()).unwrap(),
            signing_key(Algorithm::ES256).verification_key().unwrap(),
        ]);
        let stranger = only_nameless_signs.keys()[1].kid().unwrap().to_owned();
        let input =
            crate::jwt::samples::signing_input(&json!({ "alg": "ES256", "kid": stranger }).to_string(), "{}");
        let key = jsonwebtoken::EncodingKey::from_ec_pem(named.to_pem().unwrap().expose()).unwrap();
        let signature =
            jsonwebtoken::crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).unwrap();
        let text = format!("{input}.{signature}");
        let token = parse(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(verify(&token, &only_nameless_signs, all()).unwrap_err(), VerifyError::BadSignature);
    }

    proptest! {
        #[test]
        fn a_mutated_set_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), origin in any::<bool>()) {
            let mut text = json!({ "keys": [
                { "kty": "EC", "crv": "P-256", "kid": "a", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                  "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
                { "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" },
                { "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            ] }).to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = KeySet::from_jwks(&text, if origin { Origin::Local } else { Origin::Fetched });
        }
    }
}
