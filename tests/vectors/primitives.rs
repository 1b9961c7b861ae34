//! Project Wycheproof's signatures over arbitrary bytes, against our prepared keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate::base::Algorithm;
use tollgate::jwt::{Key, Origin};

use crate::{list, text, vectors};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// The key of a group in every form that we read; all must give the same verdicts.
fn public_keys(group: &Value) -> Vec<Key> {
    let pem = Key::from_pem(text(group, "publicKeyPem").as_bytes()).expect("the PEM form");
    let mut keys = vec![pem];
    if let Some(jwk) = group.get("publicKeyJwk").or(group.get("keyJwk")) {
        keys.push(Key::from_jwk(jwk, Origin::Fetched).expect("the JWK form"));
    }
    if let Some(pkcs1) = group.get("publicKeyAsn").and_then(Value::as_str) {
        let body = base64::engine::general_purpose::STANDARD.encode(bytes(pkcs1));
        let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{body}\n-----END RSA PUBLIC KEY-----\n");
        keys.push(Key::from_pem(pem.as_bytes()).expect("the PKCS#1 form"));
    }
    keys
}

/// `acceptable` cases are legacy encodings: a strict verifier refuses them.
fn run(
    file: &str,
    algorithm: Algorithm,
    count: usize,
    keys: impl Fn(&Value, &Value) -> Vec<Key>,
    signature: &str,
) {
    let file = format!("wycheproof/{file}_test.json");
    let vectors = vectors(&file);
    let (mut seen, mut wrong) = (0, Vec::new());
    for group in list(&vectors, "testGroups") {
        for test in list(group, "tests") {
            seen += 1;
            let expected = match text(test, "result") {
                "valid" => true,
                "invalid" | "acceptable" => false,
                other => panic!("verdict {other}"),
            };
            // A cut HMAC tag is no HS256 (RFC 7518, section 3.2), however right its bytes are.
            let cut = group.get("tagSize").is_some_and(|bits| bits != 256);
            for key in keys(group, test) {
                let verdict =
                    key.verifies(algorithm, &bytes(text(test, "msg")), &bytes(text(test, signature)));
                if verdict != (expected && !cut) {
                    wrong.push((test["tcId"].clone(), verdict));
                }
            }
        }
    }
    assert_eq!(seen, count, "cases of {file}");
    assert_eq!(wrong, [], "{file}: case and our verdict");
}

fn run_public(file: &str, algorithm: Algorithm, count: usize) {
    run(file, algorithm, count, |group, _| public_keys(group), "sig");
}

#[test]
fn es256_signatures_have_their_published_verdicts() {
    run_public("ecdsa_secp256r1_sha256_p1363", Algorithm::ES256, 262);
}

#[test]
fn es384_signatures_have_their_published_verdicts() {
    run_public("ecdsa_secp384r1_sha384_p1363", Algorithm::ES384, 280);
}

#[test]
fn es512_signatures_have_their_published_verdicts() {
    run_public("ecdsa_secp521r1_sha512_p1363", Algorithm::ES512, 318);
}

#[test]
fn eddsa_signatures_have_their_published_verdicts() {
    run_public("ed25519", Algorithm::EdDSA, 151);
}

#[test]
fn rs256_signatures_have_their_published_verdicts() {
    run_public("rsa_signature_2048_sha256", Algorithm::RS256, 259);
}

#[test]
fn rs512_signatures_have_their_published_verdicts() {
    run_public("rsa_signature_2048_sha512", Algorithm::RS512, 259);
}

#[test]
fn ps256_signatures_have_their_published_verdicts() {
    run_public("rsa_pss_2048_sha256_mgf1_32", Algorithm::PS256, 108);
}

#[test]
fn hs256_tags_have_their_published_verdicts() {
    let key = |_: &Value, test: &Value| {
        let secret = tollgate::base::Secret::new(bytes(text(test, "key")));
        let k = URL_SAFE_NO_PAD.encode(secret.expose());
        let mut keys =
            vec![Key::hmac(&secret, None, [Algorithm::HS256].into_iter().collect()).expect("a key")];
        // Shorter than the hash: only the file may let such a secret pass.
        if secret.len() >= 32 {
            keys.push(Key::from_jwk(&json!({ "kty": "oct", "k": k }), Origin::Local).expect("a key"));
        }
        keys
    };
    run("hmac_sha256", Algorithm::HS256, 174, key, "tag");
}
