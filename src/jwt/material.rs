//! What verifies a signature: aws-lc-rs' keys, parsed once and kept.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};

use crate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret};

use super::der;
use super::key::KeyError;

/// The sizes of an RSA modulus that are taken, in bits: 2048 is RFC 7518's least (section 3.3); above 8192 a
/// verification takes so long that a key would be a weapon.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A prepared key for each algorithm that it serves; these are of one family.
pub(super) enum Material {
    Secret(Vec<(Algorithm, hmac::Key)>),
    Public(PublicKey),
}

/// A public key. It is prepared for the first of its algorithms at once, and for each of the others when the first
/// signature by it comes: an RSA key serves six, and mostly signs by one.
pub(super) struct PublicKey {
    first: (Algorithm, ParsedPublicKey),
    others: Vec<(Algorithm, OnceLock<Option<Box<ParsedPublicKey>>>)>,
}

impl PublicKey {
    fn new(bytes: &[u8], algorithms: impl Iterator<Item = Algorithm>) -> Result<Self, KeyError> {
        let mut algorithms = algorithms;
        let first = algorithms.next().ok_or(KeyError::NoAlgorithm)?;
        // What is a key for one algorithm of its family is one for all of them.
        let key = prepare(first, bytes).ok_or(KeyError::Rejected)?;
        Ok(Self { first: (first, key), others: algorithms.map(|other| (other, OnceLock::new())).collect() })
    }

    fn algorithms(&self) -> AlgorithmSet {
        let others = self.others.iter().map(|(algorithm, _)| *algorithm);
        std::iter::once(self.first.0).chain(others).collect()
    }

    fn prepared(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        let (first, key) = &self.first;
        if *first == algorithm {
            return Some(key);
        }
        let other = prepared(&self.others, algorithm)?;
        other.get_or_init(|| prepare(algorithm, key.as_ref()).map(Box::new)).as_deref()
    }
}

fn prepare(algorithm: Algorithm, bytes: &[u8]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(verification_algorithm(algorithm)?, bytes).ok()
}

impl Material {
    /// A secret for those of the algorithms that are HMAC. Its length is for the caller to judge.
    pub(super) fn secret(secret: &Secret, allowed: AlgorithmSet) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::EmptySecret);
        }
        let keys: Vec<_> = allowed
            .iter()
            .filter_map(|algorithm| {
                Some((algorithm, hmac::Key::new(hmac_algorithm(algorithm)?, secret.expose())))
            })
            .collect();
        if keys.is_empty() { Err(KeyError::NoAlgorithm) } else { Ok(Self::Secret(keys)) }
    }

    /// An RSA key from modulus and exponent, big-endian.
    pub(super) fn rsa_components(
        modulus: &[u8],
        exponent: &[u8],
        allowed: AlgorithmSet,
    ) -> Result<Self, KeyError> {
        // RFC 7518, section 6.3.1.1 forbids the leading zero that some libraries write all the same; the number
        // is no other for it.
        let components = RsaPublicKeyComponents { n: without_zeros(modulus), e: without_zeros(exponent) };
        let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyError::Rejected)?;
        Self::subject_public_key_info(der.as_ref(), allowed)
    }

    /// An EC key from the coordinates of its point, each as long as the curve's field.
    pub(super) fn ec_point(
        family: KeyFamily,
        x: &[u8],
        y: &[u8],
        allowed: AlgorithmSet,
    ) -> Result<Self, KeyError> {
        Self::public(family, &[&[4], x, y].concat(), allowed)
    }

    /// An Ed25519 key from its 32 bytes.
    pub(super) fn ed25519(x: &[u8], allowed: AlgorithmSet) -> Result<Self, KeyError> {
        if x.len() != aws_lc_rs::signature::ED25519_PUBLIC_KEY_LEN {
            return Err(KeyError::Rejected);
        }
        Self::public(KeyFamily::Ed25519, x, allowed)
    }

    /// A key in the form of RFC 5280, section 4.1.2.7.
    pub(super) fn subject_public_key_info(der: &[u8], allowed: AlgorithmSet) -> Result<Self, KeyError> {
        let info = der::subject_public_key_info(der)?;
        match info.family {
            KeyFamily::Rsa => Self::rsa_public_key(info.key, allowed),
            KeyFamily::Ed25519 => Self::ed25519(info.key, allowed),
            family => Self::public(family, info.key, allowed),
        }
    }

    /// An RSA key in the form of PKCS#1 (RFC 8017, appendix A.1.1).
    pub(super) fn rsa_public_key(der: &[u8], allowed: AlgorithmSet) -> Result<Self, KeyError> {
        let bits = RsaParameters::public_modulus_len(der).map_err(|_| KeyError::Rejected)?;
        let bits = usize::try_from(bits).unwrap_or(usize::MAX);
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaSize { bits });
        }
        Self::public(KeyFamily::Rsa, der, allowed)
    }

    fn public(family: KeyFamily, bytes: &[u8], allowed: AlgorithmSet) -> Result<Self, KeyError> {
        let served = allowed.iter().filter(|algorithm| algorithm.family() == family);
        let key = PublicKey::new(bytes, served)?;
        Ok(Self::Public(key))
    }

    pub(super) fn algorithms(&self) -> AlgorithmSet {
        match self {
            Self::Secret(keys) => keys.iter().map(|(algorithm, _)| *algorithm).collect(),
            Self::Public(key) => key.algorithms(),
        }
    }

    /// Whether the signature is the key's. HMAC tags are compared in constant time.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(keys) => {
                prepared(keys, algorithm).is_some_and(|key| hmac::verify(key, message, signature).is_ok())
            }
            Self::Public(key) => {
                key.prepared(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok())
            }
        }
    }
}

fn prepared<K>(keys: &[(Algorithm, K)], algorithm: Algorithm) -> Option<&K> {
    keys.iter().find(|(served, _)| *served == algorithm).map(|(_, key)| key)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

/// aws-lc-rs' name of an HMAC algorithm.
pub(super) const fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::ES512
        | Algorithm::EdDSA => None,
    }
}

fn verification_algorithm(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED),
        Algorithm::ES512 => Some(&ECDSA_P521_SHA512_FIXED),
        Algorithm::EdDSA => Some(&ED25519),
    }
}
