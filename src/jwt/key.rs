//! One key that verifies tokens.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::base::{Algorithm, AlgorithmSet, Secret, ShortText};

use super::material::Material;
use super::{jwk, pem};

/// A prepared verification key: parsed once, used for every token that it vouches for.
///
/// It belongs to one [`KeyFamily`](crate::base::KeyFamily) and serves only algorithms of that family, or the
/// one algorithm that its JWK binds it to (RFC 8725, section 3.1).
pub struct Key {
    kid: Option<Box<str>>,
    algorithms: AlgorithmSet,
    material: Material,
    live: AtomicBool,
}

/// Where a JWK comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file that the operator wrote.
    Local,
    /// The network. A secret that was fetched is none, so an `oct` key is never taken; nor is a private key,
    /// for whoever can read it can sign.
    Fetched,
}

/// Why a key is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An element of a key set is no JSON object.
    #[error("a key is no JSON object")]
    NotAnObject,
    /// The JWK has two members of one name (RFC 7517, section 4).
    #[error("the key has two members of one name")]
    DuplicateMember,
    /// A member that its `kty` asks for is absent.
    #[error("the key has no \"{0}\"")]
    MissingMember(&'static str),
    /// A member is of the wrong type, no canonical base64url, or of the wrong length.
    #[error("\"{0}\" of the key is malformed")]
    MalformedMember(&'static str),
    /// `kty` is none of `RSA`, `EC`, `OKP`, `oct`.
    #[error("keys of type {kty} are not used")]
    UnknownType {
        /// As the key has it.
        kty: ShortText,
    },
    /// `crv` is none of `P-256`, `P-384`, `P-521`, `Ed25519`.
    #[error("keys on curve {crv} are not used")]
    UnknownCurve {
        /// As the key has it.
        crv: ShortText,
    },
    /// The key in a PEM file is neither RSA, nor EC on P-256, P-384 or P-521, nor Ed25519.
    #[error("the key is neither RSA, EC on P-256, P-384 or P-521, nor Ed25519")]
    UnknownFamily,
    /// `use` or `key_ops` says that the key is not for verifying.
    #[error("the key is not for verifying signatures, says its \"{0}\"")]
    WrongUse(&'static str),
    /// `alg` binds the key to an algorithm that is unknown or of another family.
    #[error("the key is bound to {alg}, which it can't serve")]
    WrongAlgorithm {
        /// As the key has it.
        alg: ShortText,
    },
    /// None of the algorithms asked for is one that this family of keys serves.
    #[error("the key serves none of the algorithms")]
    NoAlgorithm,
    /// An `oct` key from the network.
    #[error("a shared secret that came over the network is never used")]
    FetchedSecret,
    /// A private key where the public one belongs.
    #[error("this is a private key; give the public one")]
    PrivateKey,
    /// A secret of no bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// An `oct` key shorter than its hash (RFC 7518, section 3.2).
    #[error("the secret is {length} bytes long, {needed} are needed")]
    ShortSecret {
        /// How long it is, in bytes.
        length: usize,
        /// How long it must be, in bytes.
        needed: usize,
    },
    /// The RSA modulus is below 2048 or above 8192 bits (RFC 7518, section 3.3).
    #[error("the RSA modulus has {bits} bits; 2048 to 8192 are taken")]
    RsaSize {
        /// Its length in bits.
        bits: usize,
    },
    /// The PEM file holds no public key and no certificate.
    #[error("no public key and no certificate in the PEM file")]
    NoKey,
    /// The PEM file holds more than one public key.
    #[error("more than one public key in the PEM file")]
    SeveralKeys,
    /// The numbers are no key: a point that is not on the curve, an even exponent, broken DER.
    #[error("the key is malformed")]
    Rejected,
}

impl Key {
    /// Reads a JWK (RFC 7517; RFC 7518, section 6; RFC 8037). `x5c` and `x5u` are ignored.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_jwk(jwk: &Value, origin: Origin) -> Result<Self, KeyError> {
        let (kid, material) = jwk::read(jwk, origin)?;
        Ok(Self::new(kid.map(Into::into), material))
    }

    /// Reads a PEM file with one public key (`PUBLIC KEY`, `RSA PUBLIC KEY`) or a certificate; of a chain the
    /// first counts. The certificate's dates are not looked at.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(None, pem::public_key(pem)?))
    }

    /// Takes a shared secret for those of `algorithms` that are HMAC. Its length is not looked at: the reader of
    /// the file has refused a short one, or was told to let it pass.
    ///
    /// # Errors
    /// [`KeyError::EmptySecret`], [`KeyError::NoAlgorithm`].
    pub fn hmac(secret: &Secret, kid: Option<&str>, algorithms: AlgorithmSet) -> Result<Self, KeyError> {
        Ok(Self::new(kid.map(Into::into), Material::secret(secret, algorithms)?))
    }

    fn new(kid: Option<Box<str>>, material: Material) -> Self {
        Self { kid, algorithms: material.algorithms(), material, live: AtomicBool::new(true) }
    }

    /// Its name in the key set.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it can serve; never empty, and of one family.
    #[must_use]
    pub const fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// Whether it still vouches for tokens.
    #[must_use]
    pub fn is_live(&self) -> bool {
        // Relaxed: the flag goes down once and guards no other memory. A reader on another core sees it
        // within the time that a request in flight takes anyway.
        self.live.load(Ordering::Relaxed)
    }

    /// Ends it, for good: also the tokens that it vouched for before, wherever they are remembered.
    pub fn retire(&self) {
        self.live.store(false, Ordering::Relaxed);
    }

    /// Whether the signature over the message is this key's. False for an algorithm that it does not serve.
    /// [`verify`](super::verify) is the way for tokens; this one knows nothing of what was allowed.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.material.verifies(algorithm, message, signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &self.algorithms)
            .field("live", &self.is_live())
            .finish_non_exhaustive()
    }
}
