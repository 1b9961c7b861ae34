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
    /// RFC 7638, of a key that came as a JWK: what makes it the same key when it comes again.
    thumbprint: Option<Box<str>>,
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
        let thumbprint = jwk::thumbprint(jwk).map(Into::into);
        Ok(Self { thumbprint, ..Self::new(kid.map(Into::into), material) })
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

    /// Without its name: it is tried for every token, whatever `kid` that names.
    #[must_use]
    pub fn nameless(self) -> Self {
        Self { kid: None, ..self }
    }

    fn new(kid: Option<Box<str>>, material: Material) -> Self {
        Self {
            kid,
            algorithms: material.algorithms(),
            material,
            thumbprint: None,
            live: AtomicBool::new(true),
        }
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

    /// Whether both are one key under one name, for the same algorithms. Keys that did not come as JWKs never are.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.thumbprint.is_some()
            && self.thumbprint == other.thumbprint
            && self.kid == other.kid
            && self.algorithms == other.algorithms
    }

    /// Whether the signature over the message is this key's. False for an algorithm that it does not serve.
    /// [`verify`](super::verify()) is the way for tokens; this one knows nothing of what was allowed.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        #[cfg(test)]
        SIGNATURE_CHECKS.with(|checks| checks.set(checks.get() + 1));
        self.material.verifies(algorithm, message, signature)
    }
}

#[cfg(test)]
thread_local! {
    static SIGNATURE_CHECKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many signatures this thread has checked.
#[cfg(test)]
pub(crate) fn signature_checks() -> usize {
    SIGNATURE_CHECKS.with(std::cell::Cell::get)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KeyFamily;
    use crate::jwt::samples::{SECRET, all, certificate_pem, only, public_pem, signing_key, token};
    use crate::jwt::{HeaderForm, KeySet, Limits, parse, verify};
    use serde_json::json;

    const ASYMMETRIC: [Algorithm; 5] =
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA];

    fn of_family(family: KeyFamily) -> AlgorithmSet {
        Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() == family).collect()
    }

    fn verifies(key: Key, token: &str) -> bool {
        let token = parse(token.as_bytes(), &Limits::default()).unwrap();
        verify(&token, &KeySet::new(vec![key]), all()).is_ok()
    }

    fn why(jwk: &Value) -> KeyError {
        Key::from_jwk(jwk, Origin::Local).expect_err("a key to skip")
    }

    /// The same key without what binds it.
    fn bare(algorithm: Algorithm) -> Value {
        let mut jwk = signing_key(algorithm).public_jwk().unwrap();
        for name in ["alg", "use", "kid"] {
            jwk.as_object_mut().unwrap().remove(name);
        }
        jwk
    }

    #[test]
    fn a_key_reads_alike_from_jwk_pem_and_certificate() {
        for algorithm in ASYMMETRIC {
            let signing = signing_key(algorithm);
            let text = token(&signing, HeaderForm::Plain);
            let (pem, certificate) = (public_pem(&signing), certificate_pem(&signing));
            let chain = format!("{certificate}{}", certificate_pem(&signing_key(Algorithm::ES256)));
            for pem in [pem.as_str(), certificate.as_str(), chain.as_str(), &format!("a remark\n{pem}")] {
                let key = Key::from_pem(pem.as_bytes()).unwrap();
                assert_eq!(key.algorithms(), of_family(algorithm.family()), "{algorithm}");
                assert!(verifies(key, &text), "{algorithm}");
            }
            assert!(verifies(signing.verification_key().unwrap(), &text), "{algorithm}");
        }
    }

    #[test]
    fn a_pem_file_holds_one_public_key_and_no_private_one() {
        let key = signing_key(Algorithm::ES256);
        let (pem, private) = (public_pem(&key), key.to_pem().unwrap());
        let refused = |pem: &[u8]| Key::from_pem(pem).expect_err("a file to refuse");
        assert_eq!(refused(b""), KeyError::NoKey);
        assert_eq!(
            refused(b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"),
            KeyError::NoKey
        );
        assert_eq!(refused(private.expose()), KeyError::PrivateKey);
        assert_eq!(refused(&[pem.as_bytes(), private.expose()].concat()), KeyError::PrivateKey);
        assert_eq!(refused(pem.repeat(2).as_bytes()), KeyError::SeveralKeys);
        assert_eq!(refused(format!("{pem}{}", certificate_pem(&key)).as_bytes()), KeyError::SeveralKeys);
        assert_eq!(refused(pem.replace("MF", "MG").as_bytes()), KeyError::Rejected);
        assert_eq!(refused(&pem.as_bytes()[..60]), KeyError::Rejected);
    }

    #[test]
    fn a_jwk_serves_its_family_or_what_it_is_bound_to() {
        for algorithm in ASYMMETRIC {
            let mut jwk = bare(algorithm);
            let unbound = Key::from_jwk(&jwk, Origin::Fetched).unwrap();
            assert_eq!(unbound.algorithms(), of_family(algorithm.family()));
            jwk["alg"] = algorithm.name().into();
            assert_eq!(Key::from_jwk(&jwk, Origin::Fetched).unwrap().algorithms(), only([algorithm]));
        }
    }

    #[test]
    fn skips_a_jwk_that_is_not_for_verifying() {
        let with = |name: &str, value: Value| {
            let mut jwk = bare(Algorithm::ES256);
            jwk[name] = value;
            jwk
        };
        assert_eq!(why(&with("use", json!("enc"))), KeyError::WrongUse("use"));
        assert_eq!(why(&with("use", json!(1))), KeyError::MalformedMember("use"));
        assert_eq!(why(&with("key_ops", json!(["sign"]))), KeyError::WrongUse("key_ops"));
        assert_eq!(why(&with("key_ops", json!([]))), KeyError::WrongUse("key_ops"));
        assert_eq!(why(&with("key_ops", json!("verify"))), KeyError::MalformedMember("key_ops"));
        assert!(Key::from_jwk(&with("key_ops", json!(["sign", "verify"])), Origin::Local).is_ok());
        assert!(Key::from_jwk(&with("use", json!("sig")), Origin::Local).is_ok());
        for alg in ["ES384", "RS256", "HS256", "none", "ECDH-ES", "ES256K"] {
            assert_eq!(
                why(&with("alg", json!(alg))),
                KeyError::WrongAlgorithm { alg: ShortText::new(alg.as_bytes()) }
            );
        }
    }

    #[test]
    fn skips_a_malformed_jwk_and_says_why() {
        let ec = bare(Algorithm::ES256);
        let change = |jwk: &Value, name: &str, value: Value| {
            let mut jwk = jwk.clone();
            jwk[name] = value;
            why(&jwk)
        };
        assert_eq!(why(&json!(7)), KeyError::NotAnObject);
        assert_eq!(why(&json!({})), KeyError::MissingMember("kty"));
        assert_eq!(change(&ec, "kty", json!("AKP")), KeyError::UnknownType { kty: ShortText::new(b"AKP") });
        assert_eq!(
            change(&ec, "crv", json!("secp256k1")),
            KeyError::UnknownCurve { crv: ShortText::new(b"secp256k1") }
        );
        assert_eq!(change(&ec, "kid", json!(7)), KeyError::MalformedMember("kid"));
        assert_eq!(change(&ec, "x", json!("AA")), KeyError::MalformedMember("x"));
        assert_eq!(change(&ec, "y", json!("+/=")), KeyError::MalformedMember("y"));
        assert_eq!(change(&ec, "crv", json!("P-384")), KeyError::MalformedMember("x"));
        let okp = bare(Algorithm::EdDSA);
        assert_eq!(
            change(&okp, "crv", json!("Ed448")),
            KeyError::UnknownCurve { crv: ShortText::new(b"Ed448") }
        );
        assert_eq!(
            change(&okp, "crv", json!("X25519")),
            KeyError::UnknownCurve { crv: ShortText::new(b"X25519") }
        );
        let rsa = bare(Algorithm::RS256);
        assert_eq!(change(&rsa, "n", json!("")), KeyError::Rejected);
        assert_eq!(change(&rsa, "e", json!("AA")), KeyError::Rejected);
        assert_eq!(change(&rsa, "e", json!("AQ")), KeyError::Rejected);
        assert_eq!(change(&rsa, "e", json!("AQAA")), KeyError::Rejected, "even");
    }

    #[test]
    fn an_rsa_modulus_has_2048_to_8192_bits() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let jwk = |bytes: usize| {
            let mut modulus = vec![0xff; bytes];
            modulus[0] = 0x80;
            json!({ "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus) })
        };
        assert_eq!(why(&jwk(255)), KeyError::RsaSize { bits: 2040 });
        assert_eq!(why(&jwk(1025)), KeyError::RsaSize { bits: 8200 });
        assert_eq!(why(&jwk(128)), KeyError::RsaSize { bits: 1024 });
        for bytes in [256, 512, 1024] {
            assert!(Key::from_jwk(&jwk(bytes), Origin::Fetched).is_ok(), "{bytes}");
        }
    }

    #[test]
    fn a_leading_zero_of_a_modulus_does_no_harm() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut jwk = bare(Algorithm::RS256);
        let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        jwk["n"] = URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat()).into();
        let text = token(&signing_key(Algorithm::RS256), HeaderForm::Plain);
        assert!(verifies(Key::from_jwk(&jwk, Origin::Fetched).unwrap(), &text));
    }

    #[test]
    fn an_oct_key_is_as_long_as_its_hash() {
        let oct = |length: usize, alg: Option<&str>| {
            use base64::Engine as _;
            let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(vec![7; length]);
            let mut jwk = json!({ "kty": "oct", "k": k });
            if let Some(alg) = alg {
                jwk["alg"] = alg.into();
            }
            Key::from_jwk(&jwk, Origin::Local).map(|key| key.algorithms())
        };
        assert_eq!(oct(0, None), Err(KeyError::EmptySecret));
        assert_eq!(oct(31, None), Err(KeyError::ShortSecret { length: 31, needed: 32 }));
        assert_eq!(oct(48, None), Ok(only([Algorithm::HS256, Algorithm::HS384])));
        assert_eq!(oct(63, Some("HS512")), Err(KeyError::ShortSecret { length: 63, needed: 64 }));
        assert_eq!(oct(64, Some("HS512")), Ok(only([Algorithm::HS512])));
    }

    #[test]
    fn a_private_key_on_the_network_is_nobodys() {
        let mut jwk = bare(Algorithm::ES256);
        jwk["d"] = "AA".into();
        assert_eq!(Key::from_jwk(&jwk, Origin::Fetched).unwrap_err(), KeyError::PrivateKey);
        assert!(Key::from_jwk(&jwk, Origin::Local).is_ok(), "of a local one the public half serves");
    }

    #[test]
    fn a_secret_serves_the_hmac_algorithms_that_were_asked_for() {
        let hmac = |secret: &[u8], algorithms| {
            Key::hmac(&Secret::new(secret), None, algorithms).map(|key| key.algorithms())
        };
        assert_eq!(hmac(SECRET, all()), Ok(of_family(KeyFamily::Hmac)));
        assert_eq!(hmac(b"short", only([Algorithm::HS512])), Ok(only([Algorithm::HS512])));
        assert_eq!(hmac(SECRET, only([Algorithm::RS256])), Err(KeyError::NoAlgorithm));
        assert_eq!(hmac(b"", all()), Err(KeyError::EmptySecret));
    }
}
