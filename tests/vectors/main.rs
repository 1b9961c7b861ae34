//! Published test vectors, all of them, and jsonwebtoken as a second opinion.
//!
//! `tests/data/vectors/README.md` says where the vectors come from and which of them are slips. Every case is run;
//! where our verdict is not the published one, a table beside the test names the case and the reason.

mod jose;
mod mutations;
mod oracle;
mod primitives;
mod rfc;

use std::path::PathBuf;

use serde_json::{Value, json};
use tollgate::base::{Algorithm, AlgorithmSet};
use tollgate::jwt::{Jws, KeySet, Limits, Origin, verify_jws};

/// Reads one of the files in `tests/data/vectors`.
fn vectors(file: &str) -> Value {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/vectors", file].iter().collect();
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("the vectors are JSON")
}

/// Every algorithm there is.
fn all() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

/// The set that holds this JWK, or that this set is.
fn key_set(key: &Value) -> KeySet {
    let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
    KeySet::from_jwks(set.to_string().as_bytes(), Origin::Local).expect("a JWK set")
}

/// Our verdict on a signed text, whatever its payload.
fn is_genuine(text: &str, keys: &KeySet) -> bool {
    Jws::parse(text.as_bytes(), &Limits::default()).is_ok_and(|jws| verify_jws(&jws, keys, all()).is_ok())
}

/// The list under a member.
fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("a list {name:?}"))
}

/// The text under a member.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("a text {name:?} in {value}"))
}
