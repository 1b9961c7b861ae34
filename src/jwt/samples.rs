//! Keys and tokens for the tests of this folder.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::base::{Algorithm, AlgorithmSet, KeyFamily, Secret};

use super::{HeaderForm, Key, KeySet, SigningKey};

/// Long enough for every hash.
pub(super) const SECRET: &[u8] = b"a secret that is long enough for the longest hash, of 64 bytes and more";

/// Making an RSA key takes as long as all other tests together: one serves for all.
static RSA: LazyLock<Secret> = LazyLock::new(|| {
    SigningKey::generate(Algorithm::RS256).expect("a key").to_pem().expect("RSA keys have a PEM form")
});

/// A key for the algorithm; RSA keys are all the same one.
pub(super) fn signing_key(algorithm: Algorithm) -> SigningKey {
    let key = match algorithm.family() {
        KeyFamily::Hmac => SigningKey::hmac(algorithm, &Secret::new(SECRET)),
        KeyFamily::Rsa => SigningKey::from_pem(algorithm, &RSA),
        KeyFamily::P256 | KeyFamily::P384 | KeyFamily::P521 | KeyFamily::Ed25519 => {
            SigningKey::generate(algorithm)
        }
    };
    key.expect("a key")
}

/// Every algorithm.
pub(super) fn all() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

/// These algorithms.
pub(super) fn only<const N: usize>(algorithms: [Algorithm; N]) -> AlgorithmSet {
    algorithms.into_iter().collect()
}

/// The members of an object.
pub(super) fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => panic!("an object"),
    }
}

/// A token of an ordinary kind, good until 2096.
pub(super) fn token(key: &SigningKey, header: HeaderForm) -> String {
    let claims = json!({ "iss": "https://id.example.com", "sub": "ada", "exp": 4_000_000_000_u64 });
    key.sign(&members(claims), header).expect("a token")
}

/// Two segments of these texts, ready to be signed.
pub(super) fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// A token of these texts with an HMAC under `secret`.
pub(super) fn hmac_token(header: &str, payload: &str, secret: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let input = signing_input(header, payload);
    let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The set of one key.
pub(super) fn set_of(key: Key) -> KeySet {
    KeySet::new(vec![key])
}

/// A public key in PEM, from a JWK of RSA, EC or Ed25519, by way of a certificate request's own encoder.
pub(super) fn public_pem(key: &SigningKey) -> String {
    let private = key.to_pem().expect("a private key");
    let pair =
        rcgen::KeyPair::from_pem(std::str::from_utf8(private.expose()).expect("PEM")).expect("a key pair");
    pair.public_key_pem()
}

/// A self-signed certificate of the key, in PEM.
pub(super) fn certificate_pem(key: &SigningKey) -> String {
    let private = key.to_pem().expect("a private key");
    let pair =
        rcgen::KeyPair::from_pem(std::str::from_utf8(private.expose()).expect("PEM")).expect("a key pair");
    let params = rcgen::CertificateParams::new(vec!["id.example.com".to_owned()]).expect("a name");
    params.self_signed(&pair).expect("a certificate").pem()
}
