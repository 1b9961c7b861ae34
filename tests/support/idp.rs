//! An identity provider: one key, and tokens that say whatever a test wants.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollgate::base::{Algorithm, KeyFamily};

/// A party that issues tokens.
pub struct Idp {
    /// Its `iss`.
    pub issuer: String,
    /// The `aud` that it puts into [`claims`] and that a gateway expects.
    pub audience: String,
    /// The algorithm that it signs with.
    pub algorithm: Algorithm,
    /// The `kid` of its key, in the key set and in each token's header.
    pub kid: String,
    key: Key,
}

enum Key {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of an ordinary token for `subject`, good for five minutes: change what a test is about.
/// [`Idp::sign`] adds `iss` and `aud` where they are absent.
pub fn claims(subject: &str) -> Value {
    json!({ "sub": subject, "preferred_username": subject, "iat": now(), "exp": now() + 300 })
}

impl Idp {
    /// One with a new key for `algorithm`.
    pub fn new(algorithm: Algorithm) -> Self {
        let key = match algorithm.family() {
            KeyFamily::Hmac => Key::Secret(random_text(64)),
            KeyFamily::Rsa => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            KeyFamily::P256 => Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            KeyFamily::P384 => Key::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            KeyFamily::P521 => Key::Ec(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap()),
            KeyFamily::Ed25519 => Key::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        Self {
            issuer: "https://id.example.test".to_owned(),
            audience: "test-api".to_owned(),
            algorithm,
            kid: String::from_utf8(random_text(8)).unwrap(),
            key,
        }
    }

    /// The same key under another algorithm of its family, such as PS256 instead of RS256.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        assert_eq!(self.algorithm.family(), algorithm.family());
        self.algorithm = algorithm;
        self
    }

    /// A good token with these claims.
    pub fn sign(&self, claims: Value) -> String {
        self.sign_with(json!({ "alg": self.algorithm.name(), "typ": "JWT", "kid": self.kid }), claims)
    }

    /// A token with this header, whatever it says, signed with the key and algorithm of this provider.
    #[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
    pub fn sign_with(&self, header: Value, mut claims: Value) -> String {
        if let Some(claims) = claims.as_object_mut() {
            claims.entry("iss").or_insert_with(|| self.issuer.clone().into());
            claims.entry("aud").or_insert_with(|| self.audience.clone().into());
        }
        token(&header.to_string(), &claims.to_string(), |input| self.signature(input))
    }

    /// The signature over `input`, in the form that RFC 7518 wants.
    pub fn signature(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Secret(secret) => {
                let algorithm = match self.algorithm {
                    Algorithm::HS256 => hmac::HMAC_SHA256,
                    Algorithm::HS384 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), input).as_ref().to_vec()
            }
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                match self.algorithm {
                    Algorithm::RS256 => key.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature),
                    Algorithm::RS384 => key.sign(&RSA_PKCS1_SHA384, &random, input, &mut signature),
                    Algorithm::RS512 => key.sign(&RSA_PKCS1_SHA512, &random, input, &mut signature),
                    Algorithm::PS256 => key.sign(&RSA_PSS_SHA256, &random, input, &mut signature),
                    Algorithm::PS384 => key.sign(&RSA_PSS_SHA384, &random, input, &mut signature),
                    _ => key.sign(&RSA_PSS_SHA512, &random, input, &mut signature),
                }
                .unwrap();
                signature
            }
            Key::Ec(key) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(input).as_ref().to_vec(),
        }
    }

    /// The public key as PEM (SPKI).
    pub fn public_pem(&self) -> String {
        let der = match &self.key {
            Key::Secret(_) => panic!("a secret has no public key"),
            Key::Rsa(key) => key.public_key().as_der().unwrap(),
            Key::Ec(key) => key.public_key().as_der().unwrap(),
            Key::Ed25519(key) => key.public_key().as_der().unwrap(),
        };
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private key as PEM (PKCS #8), for an `issuer.signing_key`.
    pub fn private_pem(&self) -> String {
        match &self.key {
            Key::Secret(_) => panic!("a secret is no key pair"),
            Key::Rsa(key) => pem("PRIVATE KEY", key.as_der().unwrap().as_ref()),
            Key::Ec(key) => pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref()),
            Key::Ed25519(key) => pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref()),
        }
    }

    /// The shared secret, which is visible ASCII.
    pub fn secret(&self) -> &str {
        match &self.key {
            Key::Secret(secret) => std::str::from_utf8(secret).unwrap(),
            _ => panic!("{} takes no secret", self.algorithm),
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Secret(_) => panic!("a secret has no public key"),
            Key::Rsa(key) => json!({
                "kty": "RSA",
                "n": base64(key.public_key().modulus().big_endian_without_leading_zero()),
                "e": base64(key.public_key().exponent().big_endian_without_leading_zero()),
            }),
            Key::Ec(key) => {
                // 0x04, then both coordinates.
                let (x, y) =
                    key.public_key().as_ref()[1..].split_at((key.public_key().as_ref().len() - 1) / 2);
                let curve = match self.algorithm.family() {
                    KeyFamily::P256 => "P-256",
                    KeyFamily::P384 => "P-384",
                    _ => "P-521",
                };
                json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y) })
            }
            Key::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key().as_ref()) })
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }
}

impl fmt::Debug for Idp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idp")
            .field("issuer", &self.issuer)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A compact token of these two texts, signed by `sign`, with no regard for what they say.
pub fn token(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", base64(header), base64(payload));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", base64(signature))
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn random_text(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    base64(bytes).into_bytes()[..length].to_vec()
}
