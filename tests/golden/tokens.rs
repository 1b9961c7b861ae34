//! Makes and takes apart tokens, good and bad, without the code that is tested.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::case::{TestKeys, TokenSpec};

/// Header, claims and signature of a token.
pub(crate) struct Parts {
    pub(crate) header: Vec<u8>,
    pub(crate) claims: Map<String, Value>,
}

pub(crate) fn take_apart(token: &str, keys: &TestKeys) -> Result<Parts, String> {
    let segments: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = segments[..] else {
        return Err(format!("not three segments: {token}"));
    };
    if token.contains('=') {
        return Err(format!("padding: {token}"));
    }
    if signature != sign("HS256", &keys.hs256_secret, &format!("{header}.{claims}")) {
        return Err(format!("not signed by the configured key: {token}"));
    }
    let decode = |segment| URL_SAFE_NO_PAD.decode(segment).map_err(|error| error.to_string());
    let claims = serde_json::from_slice(&decode(claims)?).map_err(|error| error.to_string())?;
    Ok(Parts { header: decode(header)?, claims })
}

/// Makes the token of a specification whose placeholders are filled in.
pub(crate) fn make(spec: &TokenSpec, keys: &TestKeys, jti: &str, now: Duration) -> String {
    let header = spec.header.clone().unwrap_or(json!({"alg": "$alg", "typ": "JWT"}));
    let header = header.to_string().replace("$alg", "HS256");
    let payload = match (&spec.base, &spec.payload_json, &spec.payload_text) {
        (Some(token_type), None, None) => base(token_type, spec, jti, now).to_string(),
        (None, Some(json), None) => json.to_string(),
        (None, None, Some(text)) => text.clone(),
        _ => panic!("one of base, payload_json, payload_text"),
    };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(payload));
    let named = serde_json::from_str::<Value>(&header).expect("a header")["alg"].as_str().map(str::to_owned);
    let algorithm = spec.alg.clone().or(named.filter(|named| named.starts_with("HS")));
    let algorithm = algorithm.as_deref().unwrap_or("HS256");
    let signature = match spec.key.as_deref().unwrap_or("signing") {
        "signing" | "hs256_secret" => sign(algorithm, &keys.hs256_secret, &input),
        "another" => sign(algorithm, &keys.another_hs256_secret, &input),
        "none" => String::new(),
        other => panic!("the key {other} belongs to another profile"),
    };
    format!("{input}.{signature}")
}

fn base(token_type: &str, spec: &TokenSpec, jti: &str, now: Duration) -> Value {
    let mut claims = Map::new();
    claims.insert("token_type".to_owned(), json!(token_type));
    claims.insert("exp".to_owned(), json!(now.as_secs() + 3600));
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("jti".to_owned(), json!(jti));
    claims.insert("user_id".to_owned(), json!("1"));
    claims.extend(spec.set.clone());
    for name in &spec.drop {
        claims.shift_remove(name);
    }
    Value::Object(claims)
}

/// Spoils a good token.
pub(crate) fn spoil(token: &str, spec: &TokenSpec) -> String {
    let mut segments: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(header) = &spec.header {
        segments[0] = URL_SAFE_NO_PAD.encode(header.to_string());
    }
    if !spec.set.is_empty() {
        let payload = URL_SAFE_NO_PAD.decode(&segments[1]).expect("base64url");
        let mut claims: Map<String, Value> = serde_json::from_slice(&payload).expect("claims");
        claims.extend(spec.set.clone());
        segments[1] = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
    }
    if let Some(signature) = &spec.signature {
        segments[2].clone_from(signature);
    }
    if let Some(index) = spec.change_signature_character {
        let other = if segments[2][index..].starts_with('A') { "B" } else { "A" };
        segments[2].replace_range(index..=index, other);
    }
    segments.truncate(spec.keep_segments.unwrap_or(3));
    segments.join(".")
}

fn sign(algorithm: &str, secret: &str, input: &str) -> String {
    let algorithm = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => panic!("{other} belongs to another profile"),
    };
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes()))
}
