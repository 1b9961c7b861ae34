//! The public half of a signing key, as it is published (RFC 7517, RFC 7518).

use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::Pair;
use crate::base::Algorithm;
use crate::jwt::jwk::thumbprint;

/// The public half of a key under its name.
pub(super) struct PublicJwk {
    pub(super) kid: String,
    pub(super) jwk: Value,
}

/// The members that make up the public key, and no others.
pub(super) fn public_jwk(pair: &Pair) -> Option<Map<String, Value>> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = match pair {
        Pair::Hmac(..) => return None,
        Pair::Rsa(pair, _) => {
            let key = pair.public_key();
            json!({
                "kty": "RSA",
                "n": encode(key.modulus().big_endian_without_leading_zero()),
                "e": encode(key.exponent().big_endian_without_leading_zero()),
            })
        }
        Pair::Ec(pair) => {
            // SEC 1: the byte 4, then both coordinates at full length.
            let (x, y) =
                pair.public_key().as_ref().split_first().map(|(_, point)| point.split_at(point.len() / 2))?;
            let crv = match x.len() {
                32 => "P-256",
                48 => "P-384",
                _ => "P-521",
            };
            json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })
        }
        Pair::Ed25519(pair) => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
        }
    };
    match jwk {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

pub(super) fn with_kid(algorithm: Algorithm, mut members: Map<String, Value>) -> PublicJwk {
    let kid = thumbprint(&Value::Object(members.clone()))
        .expect("the members that a thumbprint needs were just made");
    members.insert("kid".to_owned(), kid.clone().into());
    members.insert("alg".to_owned(), algorithm.name().into());
    members.insert("use".to_owned(), "sig".into());
    PublicJwk { kid, jwk: Value::Object(members) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KeyFamily;
    use crate::jwt::samples::signing_key;

    #[test]
    fn what_is_published_holds_no_private_member() {
        for algorithm in Algorithm::ALL {
            let key = signing_key(algorithm);
            let Some(jwk) = key.public_jwk() else {
                assert_eq!((algorithm.family(), key.kid()), (KeyFamily::Hmac, None));
                assert!(key.to_pem().is_none());
                continue;
            };
            let names: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            let expected: &[&str] = match algorithm.family() {
                KeyFamily::Rsa => &["kty", "n", "e", "kid", "alg", "use"],
                KeyFamily::Ed25519 => &["kty", "crv", "x", "kid", "alg", "use"],
                _ => &["kty", "crv", "x", "y", "kid", "alg", "use"],
            };
            assert_eq!(names, expected, "{algorithm}");
            assert_eq!(thumbprint(&jwk).as_deref(), key.kid());
        }
    }
}
