//! What our tokens are signed with and read with.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Map, json};

use super::OpenError;
use crate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret, UnixTime};
use crate::config::{self, Compatibility};
use crate::jwt::{HeaderForm, Key, KeySet, SigningKey};
use crate::store::{KeyRing, KeyRingError};

/// The issuer's keys as they were at start.
pub(super) struct Keys {
    pub(super) signing: SigningKey,
    /// The public halves of all, or the shared secret.
    pub(super) set: Arc<KeySet>,
    /// The algorithms of the keys in `set`.
    pub(super) algorithms: AlgorithmSet,
    /// The public halves as a JWK set; never a shared secret.
    pub(super) jwks: Bytes,
}

impl Keys {
    pub(super) fn open(
        config: &config::Issuer,
        make_missing: bool,
        now: UnixTime,
    ) -> Result<Self, OpenError> {
        match &config.signing_key {
            Some(secret) if config.algorithm.family() == KeyFamily::Hmac => {
                Self::new(SigningKey::hmac(config.algorithm, secret)?, &[], config.compatibility)
            }
            Some(pem) => {
                let signing = SigningKey::from_pem(config.algorithm, pem)?;
                let keys = Self::new(signing, &[], config.compatibility)?;
                if let Some(public) = &config.verifying_key {
                    keys.must_fit(config.algorithm, public)?;
                }
                Ok(keys)
            }
            None => {
                let mut ring = KeyRing::open(&config.key_ring, config.algorithm);
                if make_missing && matches!(ring, Err(KeyRingError::NoKey { .. })) {
                    KeyRing::generate(&config.key_ring, config.algorithm, now)?;
                    ring = KeyRing::open(&config.key_ring, config.algorithm);
                }
                let (signing, others) = ring?.into_parts();
                Self::new(signing, &others, config.compatibility)
            }
        }
    }

    /// A public key of another pair would let the applications that hold it refuse every token.
    fn must_fit(&self, algorithm: Algorithm, public: &Secret) -> Result<(), OpenError> {
        let probe = self.signing.sign(&Map::new(), HeaderForm::Plain)?;
        let key = Key::from_pem(public.expose())?;
        let (message, signature) = probe.rsplit_once('.').unwrap_or_default();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if key.verifies(algorithm, message.as_bytes(), &signature) {
            Ok(())
        } else {
            Err(OpenError::OtherVerifyingKey)
        }
    }

    fn new(
        signing: SigningKey,
        others: &[SigningKey],
        compatibility: Compatibility,
    ) -> Result<Self, OpenError> {
        let all = || std::iter::once(&signing).chain(others);
        let jwks = json!({"keys": all().filter_map(SigningKey::public_jwk).collect::<Vec<_>>()});
        let mut keys = all().map(SigningKey::verification_key).collect::<Result<Vec<_>, _>>()?;
        // SimpleJWT names no key in its tokens, and looks at no name in others.
        if compatibility == Compatibility::SimpleJwt {
            keys = keys.into_iter().map(Key::nameless).collect();
        }
        let algorithms = all().map(SigningKey::algorithm).collect();
        Ok(Self { set: Arc::new(KeySet::new(keys)), algorithms, jwks: jwks.to_string().into(), signing })
    }
}
