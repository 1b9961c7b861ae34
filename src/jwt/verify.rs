//! Whether a token is genuine.

use std::sync::Arc;

use crate::base::{Algorithm, AlgorithmSet, ReasonCode, ShortText};

use super::jws::Jws;
use super::key::Key;
use super::key_set::KeySet;
use super::token::Token;

/// So many keys are tried for one token, however many fit: a token without `kid` must not make the gateway
/// try a hundred.
const MOST_TRIED: usize = 4;

/// Why no key vouches for a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// `alg` is not among those of the provider.
    #[error("the algorithm {algorithm} is not allowed")]
    AlgorithmNotAllowed {
        /// What the token names.
        algorithm: Algorithm,
    },
    /// No live key of the set fits `kid` and `alg`.
    #[error("no key fits kid {kid:?} and the algorithm")]
    UnknownKey {
        /// What the token names.
        kid: Option<ShortText>,
    },
    /// The keys that fit did not make the signature.
    #[error("the signature does not verify")]
    BadSignature,
}

impl VerifyError {
    /// The word for log and metric.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::AlgorithmNotAllowed { .. } => ReasonCode::AlgorithmNotAllowed,
            Self::UnknownKey { .. } => ReasonCode::UnknownKey,
            Self::BadSignature => ReasonCode::BadSignature,
        }
    }
}

/// Finds the key that made the token's signature.
///
/// `alg` must be in `allowed`, and a key is tried only if it is live and serves that very algorithm. A token with
/// a `kid` is tried with the keys of that name; only if the set has none, with those that have no name (a PEM
/// file, a secret). A token without `kid` is tried with all, up to four.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(token: &Token<'_>, keys: &KeySet, allowed: AlgorithmSet) -> Result<Arc<Key>, VerifyError> {
    verify_jws(token.jws(), keys, allowed)
}

/// As [`verify`], for a signed text whose payload may be anything.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_jws(jws: &Jws<'_>, keys: &KeySet, allowed: AlgorithmSet) -> Result<Arc<Key>, VerifyError> {
    let algorithm = jws.algorithm();
    if !allowed.contains(algorithm) {
        return Err(VerifyError::AlgorithmNotAllowed { algorithm });
    }
    let named = jws.kid().is_some_and(|kid| keys.keys().iter().any(|key| key.kid() == Some(kid)));
    let fits = |key: &Key| match (jws.kid(), key.kid()) {
        (None, _) => true,
        (Some(wanted), Some(kid)) => wanted == kid,
        (Some(_), None) => !named,
    };
    let mut candidates = keys
        .keys()
        .iter()
        .filter(|key| fits(key) && key.algorithms().contains(algorithm) && key.is_live())
        .take(MOST_TRIED)
        .peekable();
    if candidates.peek().is_none() {
        return Err(VerifyError::UnknownKey { kid: jws.kid().map(|kid| ShortText::new(kid.as_bytes())) });
    }
    candidates
        .find(|key| key.verifies(algorithm, jws.signing_input(), jws.signature()))
        .cloned()
        .ok_or(VerifyError::BadSignature)
}
