//! The token parser, and verification with keys of several families: `cargo fuzz run token`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tollgate::base::{Algorithm, AlgorithmSet, Secret};
use tollgate::jwt::{Claims, Key, KeySet, Limits, SigningKey, parse, verify};

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let public =
        |algorithm| SigningKey::generate(algorithm).expect("a key").verification_key().expect("a key");
    let secret = Secret::new([7; 64]);
    KeySet::new(vec![
        Key::hmac(&secret, None, all()).expect("a key"),
        public(Algorithm::ES256),
        public(Algorithm::EdDSA),
    ])
});

fn all() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

fuzz_target!(|text: &[u8]| {
    let limits = Limits::default();
    let Ok(token) = parse(text, &limits) else { return };
    assert!(text.len() <= limits.token);
    assert!(text.starts_with(token.signing_input()));
    assert!(verify(&token, &KEYS, AlgorithmSet::EMPTY).is_err());
    let _ = verify(&token, &KEYS, all());
    // What was read once is read again.
    let claims = token.into_claims();
    assert_eq!(Claims::from_members(claims.members().clone()), Ok(claims));
});
