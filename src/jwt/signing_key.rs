//! The key that our own tokens are signed with.

mod public_jwk;

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaSignatureEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use zeroize::Zeroizing;

use crate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret};

use self::public_jwk::{PublicJwk, public_jwk, with_kid};
use super::key::{Key, KeyError, Origin};
use super::material::hmac_algorithm;

/// A prepared private key or secret, for one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    /// The public half with `kid`; never for HMAC.
    public: Option<PublicJwk>,
    /// The header of each form, encoded.
    plain_header: String,
    header_with_kid: String,
}

/// Prepared, since reading a key costs as much again as signing with it.
enum Pair {
    Hmac(Box<hmac::Key>, Secret),
    Rsa(Box<RsaKeyPair>, &'static RsaSignatureEncoding),
    Ec(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// What the header of a new token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderForm {
    /// `alg`, `typ` and, unless the key is a shared secret, `kid`.
    WithKid,
    /// `alg` and `typ`, as SimpleJWT writes it.
    Plain,
}

/// Why a key can't be made, or nothing signed with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// A key pair was asked for, and the algorithm takes a shared secret.
    #[error("{0} takes a shared secret, not a private key")]
    TakesSecret(Algorithm),
    /// A secret was given, and the algorithm takes a private key.
    #[error("{0} takes a private key in PEM, not a shared secret")]
    TakesPrivateKey(Algorithm),
    /// The secret has no bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// No private key in the PEM text, or one with a passphrase.
    #[error("no private key without passphrase in the PEM text")]
    NoPrivateKey,
    /// The private key is of another family than the algorithm needs, too small, or malformed.
    #[error("the private key is not fit for {0}")]
    Unfit(Algorithm),
    /// The token has more bytes than a token may have.
    #[error("the claims make a token of {0} bytes, which is more than routes take")]
    TooLong(usize),
    /// The cryptographic library failed: no memory or no randomness.
    #[error("the cryptographic library failed")]
    Failed,
}

impl SigningKey {
    /// Makes a new key pair. RSA keys have 2048 bits.
    ///
    /// # Errors
    /// [`SigningError::TakesSecret`] for HMAC; [`SigningError::Failed`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningError> {
        let failed = |_| SigningError::Failed;
        let pair = match kind(algorithm) {
            Kind::Hmac => return Err(SigningError::TakesSecret(algorithm)),
            Kind::Rsa(encoding) => {
                Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?), encoding)
            }
            Kind::Ec(curve) => Pair::Ec(Box::new(EcdsaKeyPair::generate(curve).map_err(failed)?)),
            Kind::Ed25519 => Pair::Ed25519(Box::new(Ed25519KeyPair::generate().map_err(failed)?)),
        };
        Self::new(algorithm, pair)
    }

    /// Reads a private key: PKCS#8 (`PRIVATE KEY`), `RSA PRIVATE KEY` (RFC 8017) or `EC PRIVATE KEY` (RFC 5915).
    ///
    /// # Errors
    /// [`SigningError::TakesSecret`], [`SigningError::NoPrivateKey`], [`SigningError::Unfit`].
    pub fn from_pem(algorithm: Algorithm, pem: &Secret) -> Result<Self, SigningError> {
        if algorithm.family() == KeyFamily::Hmac {
            return Err(SigningError::TakesSecret(algorithm));
        }
        let der = PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| SigningError::NoPrivateKey)?;
        let unfit = SigningError::Unfit(algorithm);
        let pair = match (kind(algorithm), &der) {
            (Kind::Rsa(encoding), PrivateKeyDer::Pkcs1(der)) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(|pair| Pair::Rsa(Box::new(pair), encoding))
            }
            (Kind::Rsa(encoding), PrivateKeyDer::Pkcs8(der)) => {
                RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map(|pair| Pair::Rsa(Box::new(pair), encoding))
            }
            (Kind::Ec(curve), PrivateKeyDer::Sec1(_) | PrivateKeyDer::Pkcs8(_)) => {
                EcdsaKeyPair::from_private_key_der(curve, der.secret_der())
                    .map(|pair| Pair::Ec(Box::new(pair)))
            }
            (Kind::Ed25519, PrivateKeyDer::Pkcs8(der)) => {
                Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map(|pair| Pair::Ed25519(Box::new(pair)))
            }
            _ => return Err(unfit),
        };
        Self::new(algorithm, pair.map_err(|_| unfit)?)
    }

    /// Takes a shared secret. Its length is not looked at: the reader of the file did.
    ///
    /// # Errors
    /// [`SigningError::TakesPrivateKey`], [`SigningError::EmptySecret`].
    pub fn hmac(algorithm: Algorithm, secret: &Secret) -> Result<Self, SigningError> {
        let hash = hmac_algorithm(algorithm).ok_or(SigningError::TakesPrivateKey(algorithm))?;
        if secret.is_empty() {
            return Err(SigningError::EmptySecret);
        }
        Self::new(algorithm, Pair::Hmac(Box::new(hmac::Key::new(hash, secret.expose())), secret.clone()))
    }

    fn new(algorithm: Algorithm, pair: Pair) -> Result<Self, SigningError> {
        let public = public_jwk(&pair).map(|bare| with_kid(algorithm, bare));
        let header = |kid: Option<&str>| {
            let kid = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","typ":"JWT"{kid}}}"#))
        };
        let key = Self {
            algorithm,
            plain_header: header(None),
            header_with_kid: header(public.as_ref().map(|public| public.kid.as_str())),
            pair,
            public,
        };
        // What we would not verify we don't sign: the size of an RSA key among other things.
        match key.verification_key() {
            Ok(_) => Ok(key),
            Err(_) => Err(SigningError::Unfit(algorithm)),
        }
    }

    /// The algorithm that it signs by.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The thumbprint of the public key (RFC 7638). A shared secret has no name: its thumbprint would help to
    /// guess it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.public.as_ref().map(|public| public.kid.as_str())
    }

    /// The public half as a JWK, for publication. `None` for a shared secret.
    #[must_use]
    pub fn public_jwk(&self) -> Option<Value> {
        self.public.as_ref().map(|public| public.jwk.clone())
    }

    /// The private key as PKCS#8 in PEM. `None` for a shared secret.
    #[must_use]
    pub fn to_pem(&self) -> Option<Secret> {
        match &self.pair {
            Pair::Hmac(..) => None,
            Pair::Rsa(pair, _) => Some(private_pem(pair.as_der().ok()?.as_ref())),
            Pair::Ec(pair) => Some(private_pem(pair.to_pkcs8v1().ok()?.as_ref())),
            Pair::Ed25519(pair) => Some(private_pem(pair.to_pkcs8v1().ok()?.as_ref())),
        }
    }

    /// The key that verifies what this one signs; of the same `kid`.
    ///
    /// # Errors
    /// See [`KeyError`]; never for a key that is in use.
    pub fn verification_key(&self) -> Result<Key, KeyError> {
        match (&self.pair, &self.public) {
            (Pair::Hmac(_, secret), _) => Key::hmac(secret, None, AlgorithmSet::EMPTY.with(self.algorithm)),
            (_, Some(public)) => Key::from_jwk(&public.jwk, Origin::Local),
            (_, None) => Err(KeyError::Rejected),
        }
    }

    /// Signs a token with these claims, in their order.
    ///
    /// # Errors
    /// [`SigningError::Failed`].
    pub fn sign(&self, claims: &Map<String, Value>, header: HeaderForm) -> Result<String, SigningError> {
        let header = match header {
            HeaderForm::WithKid => &self.header_with_kid,
            HeaderForm::Plain => &self.plain_header,
        };
        let payload = serde_json::to_vec(claims).map_err(|_| SigningError::Failed)?;
        // Room for the longest usual signature, 2048 bits of RSA.
        let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 352);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Hmac(key, _) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| SigningError::Failed)?;
                Ok(signature)
            }
            Pair::Ec(pair) => match pair.sign(&random, message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SigningError::Failed),
            },
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

enum Kind {
    Hmac,
    Rsa(&'static RsaSignatureEncoding),
    Ec(&'static EcdsaSigningAlgorithm),
    Ed25519,
}

const fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Kind::Hmac,
        Algorithm::RS256 => Kind::Rsa(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Kind::Rsa(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Kind::Rsa(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Kind::Rsa(&RSA_PSS_SHA256),
        Algorithm::PS384 => Kind::Rsa(&RSA_PSS_SHA384),
        Algorithm::PS512 => Kind::Rsa(&RSA_PSS_SHA512),
        Algorithm::ES256 => Kind::Ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => Kind::Ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::ES512 => Kind::Ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDSA => Kind::Ed25519,
    }
}

/// RFC 7468: 64 characters a line.
fn private_pem(der: &[u8]) -> Secret {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(Vec::with_capacity(body.len() + body.len() / 64 + 64));
    pem.extend_from_slice(b"-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PRIVATE KEY-----\n");
    Secret::new(pem.as_slice())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::samples::{SECRET, all, members, set_of, signing_key};
    use crate::jwt::{Limits, parse, verify};

    fn claims() -> Map<String, Value> {
        members(
            json!({ "token_type": "access", "exp": 4_000_000_000_u64, "name": "Ünïcode", "a": [1.5, null] }),
        )
    }

    fn header_of(token: &str) -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_and_keeps_its_order() {
        for algorithm in Algorithm::ALL {
            let key = signing_key(algorithm);
            let keys = set_of(key.verification_key().unwrap());
            for form in [HeaderForm::WithKid, HeaderForm::Plain] {
                let text = key.sign(&claims(), form).unwrap();
                let token = parse(text.as_bytes(), &Limits::default()).unwrap();
                let vouched = verify(&token, &keys, all()).unwrap();
                assert_eq!(vouched.kid(), key.kid(), "{algorithm}");
                assert_eq!(token.kid(), key.kid().filter(|_| form == HeaderForm::WithKid));
                let names = |members: &Map<String, Value>| members.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(token.claims().members()), names(&claims()));
                assert_eq!(token.into_claims().into_members(), claims());
            }
        }
    }

    #[test]
    fn the_header_is_alg_typ_kid_in_this_order() {
        let key = signing_key(Algorithm::ES256);
        let header = |form| header_of(&key.sign(&claims(), form).unwrap());
        assert_eq!(header(HeaderForm::Plain), r#"{"alg":"ES256","typ":"JWT"}"#);
        let kid = key.kid().unwrap();
        assert_eq!(header(HeaderForm::WithKid), format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#));
        let secret = signing_key(Algorithm::HS256).sign(&claims(), HeaderForm::WithKid).unwrap();
        assert_eq!(header_of(&secret), r#"{"alg":"HS256","typ":"JWT"}"#);
    }

    #[test]
    fn a_key_survives_its_pem_form() {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() != KeyFamily::Hmac)
        {
            let key = signing_key(algorithm);
            let pem = key.to_pem().unwrap();
            let text = std::str::from_utf8(pem.expose()).unwrap();
            assert!(
                text.starts_with("-----BEGIN PRIVATE KEY-----\n")
                    && text.ends_with("-----END PRIVATE KEY-----\n")
            );
            assert!(text.lines().all(|line| line.len() <= 64));
            let again = SigningKey::from_pem(algorithm, &pem).unwrap();
            assert_eq!((again.kid(), again.public_jwk()), (key.kid(), key.public_jwk()), "{algorithm}");
        }
    }

    #[test]
    fn reads_the_older_private_forms() {
        let pem = |label: &str, der: &[u8]| {
            Secret::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)))
        };
        let ec = signing_key(Algorithm::ES384);
        let Pair::Ec(pair) = &ec.pair else { panic!("an EC key") };
        let der = pair.private_key().as_der().unwrap();
        let again = SigningKey::from_pem(Algorithm::ES384, &pem("EC PRIVATE KEY", der.as_ref())).unwrap();
        assert_eq!(again.kid(), ec.kid());

        let rsa = signing_key(Algorithm::PS256);
        let Pair::Rsa(pair, _) = &rsa.pair else { panic!("an RSA key") };
        let der = pair.as_der().unwrap();
        // PKCS#8 is PKCS#1 with 26 bytes before it.
        let again =
            SigningKey::from_pem(Algorithm::PS256, &pem("RSA PRIVATE KEY", &der.as_ref()[26..])).unwrap();
        assert_eq!(again.kid(), rsa.kid());
    }

    #[test]
    fn a_key_that_does_not_fit_its_algorithm_is_refused() {
        let pem = |algorithm| signing_key(algorithm).to_pem().unwrap();
        for (algorithm, other) in [
            (Algorithm::ES256, Algorithm::ES384),
            (Algorithm::ES256, Algorithm::EdDSA),
            (Algorithm::EdDSA, Algorithm::ES256),
            (Algorithm::RS256, Algorithm::ES256),
            (Algorithm::ES256, Algorithm::RS256),
        ] {
            let refused = SigningKey::from_pem(algorithm, &pem(other)).unwrap_err();
            assert_eq!(refused, SigningError::Unfit(algorithm), "{other} for {algorithm}");
        }
        let hmac = Algorithm::HS256;
        assert_eq!(
            SigningKey::from_pem(hmac, &pem(Algorithm::ES256)).unwrap_err(),
            SigningError::TakesSecret(hmac)
        );
        assert_eq!(SigningKey::generate(hmac).unwrap_err(), SigningError::TakesSecret(hmac));
        let secret = Secret::new(SECRET);
        let asymmetric = Algorithm::ES256;
        assert_eq!(
            SigningKey::hmac(asymmetric, &secret).unwrap_err(),
            SigningError::TakesPrivateKey(asymmetric)
        );
        assert_eq!(SigningKey::hmac(hmac, &Secret::new("")).unwrap_err(), SigningError::EmptySecret);
        assert_eq!(SigningKey::from_pem(asymmetric, &secret).unwrap_err(), SigningError::NoPrivateKey);
    }
}
