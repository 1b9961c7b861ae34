//! Makes and takes apart tokens, good and bad, without the code that is tested.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::case::{TestKeys, TokenSpec};
use crate::profile::Profile;

/// Header, claims and signature of a token.
pub(crate) struct Parts {
    pub(crate) header: Vec<u8>,
    pub(crate) claims: Map<String, Value>,
}

pub(crate) fn take_apart(token: &str, profile: Profile, keys: &TestKeys) -> Result<Parts, String> {
    let segments: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = segments[..] else {
        return Err(format!("not three segments: {token}"));
    };
    if token.contains('=') {
        return Err(format!("padding: {token}"));
    }
    let decode = |segment| URL_SAFE_NO_PAD.decode(segment).map_err(|error| error.to_string());
    let signed = format!("{header}.{claims}");
    let is_ours = match profile.algorithm() {
        "RS256" => {
            let key = der(&keys.rs256_public_pem);
            let key = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key);
            key.verify(signed.as_bytes(), &decode(signature)?).is_ok()
        }
        algorithm => signature == hmac(algorithm, keys.hs256_secret.as_bytes(), &signed),
    };
    if !is_ours {
        return Err(format!("not signed by the configured key: {token}"));
    }
    let claims = serde_json::from_slice(&decode(claims)?).map_err(|error| error.to_string())?;
    Ok(Parts { header: decode(header)?, claims })
}

/// Makes the token of a specification whose placeholders are filled in. `more` are claims that the profile's own tokens
/// have beside the usual ones.
pub(crate) fn make(
    spec: &TokenSpec,
    (profile, keys): (Profile, &TestKeys),
    jti: &str,
    more: &Map<String, Value>,
    now: Duration,
) -> String {
    let header = spec.header.clone().unwrap_or(json!({"alg": "$alg", "typ": "JWT"}));
    let header = header.to_string().replace("$alg", profile.algorithm());
    let payload = match (&spec.base, &spec.payload_json, &spec.payload_text) {
        (Some(token_type), None, None) => base(token_type, (profile, spec), jti, more, now).to_string(),
        (None, Some(json), None) => json.to_string(),
        (None, None, Some(text)) => text.clone(),
        _ => panic!("one of base, payload_json, payload_text"),
    };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(payload));
    let algorithm = spec.alg.as_deref().unwrap_or(profile.algorithm());
    let secret = keys.hs256_secret.as_bytes();
    let signature = match (spec.key.as_deref().unwrap_or("signing"), algorithm) {
        ("none", _) => String::new(),
        ("signing", "RS256") => rsa(&signing_pair(keys), &input),
        ("another", "RS256") => rsa(another_pair(), &input),
        ("another", algorithm) => hmac(algorithm, keys.another_hs256_secret.as_bytes(), &input),
        ("public_pem", algorithm) => hmac(algorithm, keys.rs256_public_pem.as_bytes(), &input),
        ("signing" | "hs256_secret", algorithm) => hmac(algorithm, secret, &input),
        (other, _) => panic!("unknown key {other}"),
    };
    format!("{input}.{signature}")
}

fn base(
    token_type: &str,
    (profile, spec): (Profile, &TokenSpec),
    jti: &str,
    more: &Map<String, Value>,
    now: Duration,
) -> Value {
    let [type_claim, jti_claim, user_claim] = profile.usual_claims().map(str::to_owned);
    let mut claims = Map::new();
    claims.insert(type_claim, json!(token_type));
    claims.insert("exp".to_owned(), json!(now.as_secs() + 3600));
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert(jti_claim, json!(jti));
    if token_type == "sliding" {
        claims.insert(profile.refresh_exp_claim().to_owned(), json!(now.as_secs() + 86_400));
    }
    claims.insert(user_claim, json!("1"));
    claims.extend(more.clone());
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

fn hmac(algorithm: &str, secret: &[u8], input: &str) -> String {
    let algorithm = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        other => panic!("{other} is no HMAC algorithm"),
    };
    URL_SAFE_NO_PAD.encode(hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes()))
}

fn rsa(pair: &RsaKeyPair, input: &str) -> String {
    let mut bytes = vec![0; pair.public_modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut bytes)
        .expect("a signature");
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signing_pair(keys: &TestKeys) -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(&der(&keys.rs256_private_pem)).expect("the published key")
}

fn another_pair() -> &'static RsaKeyPair {
    static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a new key"))
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).expect("PEM")
}
