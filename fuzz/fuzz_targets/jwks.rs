//! The reader of JWK sets, local and fetched: `cargo fuzz run jwks`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::base::KeyFamily;
use tollgate::jwt::{KeySet, Origin};

fuzz_target!(|text: &[u8]| {
    let local = KeySet::from_jwks(text, Origin::Local);
    let fetched = KeySet::from_jwks(text, Origin::Fetched);
    assert_eq!(local.is_ok(), fetched.is_ok());
    let (Ok(local), Ok(fetched)) = (local, fetched) else { return };
    // The network brings no secrets, and nothing that a file would not bring.
    assert!(fetched.keys().len() <= local.keys().len());
    for key in fetched.keys() {
        assert!(key.algorithms().iter().all(|algorithm| algorithm.family() != KeyFamily::Hmac));
        assert!(!key.algorithms().is_empty() && key.is_live());
    }
});
