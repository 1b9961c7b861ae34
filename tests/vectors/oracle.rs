//! What jsonwebtoken says of the same token and key.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, crypto, decode_header};
use serde_json::{Map, Value};
use tollgate::jwt::{Jws, Limits};

/// jsonwebtoken's verdict on the signature alone. `None` where it has no say: it knows no ES512, can't read the
/// key, or the set leaves open which key is meant.
pub(crate) fn is_genuine(token: &str, key: &Value) -> Option<bool> {
    let is_es512 = |jws: &Jws<'_>| jws.algorithm() == tollgate::base::Algorithm::ES512;
    if Jws::parse(token.as_bytes(), &Limits::default()).as_ref().is_ok_and(is_es512) {
        return None;
    }
    let Ok(header) = decode_header(token) else { return Some(false) };
    let jwk = match key.get("keys").and_then(Value::as_array) {
        None => key,
        Some(keys) => {
            let mut named = keys.iter().filter(|key| key["kid"].as_str() == header.kid.as_deref());
            match (named.next(), named.next()) {
                (Some(jwk), None) => jwk,
                (None, _) => return Some(false),
                (Some(_), Some(_)) => return None,
            }
        }
    };
    // jsonwebtoken leaves it to its user to compare `alg`, and the name of a single key.
    let bound = jwk.get("alg").and_then(Value::as_str);
    if bound.is_some_and(|alg| alg != format!("{:?}", header.alg)) {
        return Some(false);
    }
    if header.kid.is_some() && jwk.get("kid").is_some() && jwk["kid"].as_str() != header.kid.as_deref() {
        return Some(false);
    }
    let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let (message, signature) = token.rsplit_once('.')?;
    Some(crypto::verify(signature, message.as_bytes(), &key, header.alg).unwrap_or(false))
}

/// jsonwebtoken's verdict on a whole token, its claims not looked at.
pub(crate) fn takes(token: &[u8], key: &DecodingKey, algorithm: jsonwebtoken::Algorithm) -> bool {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    #[expect(clippy::disallowed_methods, reason = "this is the oracle")]
    jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation).is_ok()
}
