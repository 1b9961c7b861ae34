//! The examples printed in RFCs 7515, 7517, 7519, 7520, 7638, 7797 and 8037.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tollgate::base::{Algorithm, ProviderName, UnixTime};
use tollgate::config::{Audiences, IssuerRule, KeySource, Provider, TokenRules};
use tollgate::jwt::{Key, Limits, Origin, ParseError, Policy, PolicyError, parse, thumbprint, verify};

use crate::{all, key_set, list, text, vectors};

const SIGNED: [(&str, usize); 5] = [
    ("rfc/rfc7515_appendix.json", 8),
    ("rfc/rfc7519_examples.json", 4),
    ("rfc/rfc7520_section4.json", 20),
    ("rfc/rfc7797_b64.json", 9),
    ("rfc/rfc8037_appendix.json", 1),
];

fn signed_cases() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (file, count) in SIGNED {
        let cases: Vec<_> = list(&vectors(file), "cases")
            .iter()
            .filter(|case| case.get("token").is_some())
            .cloned()
            .collect();
        assert_eq!(cases.len(), count, "cases of {file}");
        all.extend(cases.into_iter().map(|case| (format!("{file} {}", text(&case, "id")), case)));
    }
    all
}

/// A signature of a case, with all that it takes to check it: each serialization comes down to this.
struct Signed {
    algorithm: Algorithm,
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn decode(segment: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(segment).expect("base64url")
}

fn signed(
    protected: &str,
    unprotected: &Value,
    payload: Option<&str>,
    case: &Value,
    signature: &str,
) -> Signed {
    let header: Value = serde_json::from_slice(&decode(protected)).unwrap_or_default();
    let alg = header["alg"].as_str().or(unprotected["alg"].as_str()).expect("an alg");
    let detached = case["payload"].as_str();
    let payload = match (header["b64"] == Value::Bool(false), payload.filter(|payload| !payload.is_empty())) {
        (true, payload) => detached.or(payload).expect("a payload").to_owned(),
        (false, Some(payload)) => payload.to_owned(),
        (false, None) => URL_SAFE_NO_PAD.encode(detached.expect("a payload")),
    };
    Signed {
        algorithm: alg.parse().expect("an algorithm"),
        message: format!("{protected}.{payload}").into_bytes(),
        signature: decode(signature),
    }
}

fn signatures(case: &Value) -> Vec<Signed> {
    match &case["token"] {
        Value::String(token) => {
            let (rest, signature) = token.rsplit_once('.').expect("dots");
            let (protected, payload) = rest.split_once('.').expect("dots");
            vec![signed(protected, &Value::Null, Some(payload), case, signature)]
        }
        token => {
            let one = std::slice::from_ref(token);
            let each = token.get("signatures").and_then(Value::as_array).map_or(one, Vec::as_slice);
            let payload = token["payload"].as_str();
            each.iter()
                .map(|part| {
                    let protected = part["protected"].as_str().unwrap_or_default();
                    signed(protected, &part["header"], payload, case, text(part, "signature"))
                })
                .collect()
        }
    }
}

#[test]
fn every_valid_signature_is_its_keys() {
    let mut checked = 0;
    for (name, case) in signed_cases().iter().filter(|(_, case)| case["verdict"] == "valid") {
        let keys: Vec<&Value> = match case.get("keys").and_then(Value::as_array) {
            Some(keys) => keys.iter().collect(),
            None => vec![&case["key"]],
        };
        let signatures = signatures(case);
        assert_eq!(signatures.len(), keys.len(), "{name}");
        for (signed, jwk) in signatures.iter().zip(keys) {
            let mut jwk = jwk.clone();
            // RFC 7520 writes one RSA key for examples of several algorithms, and EC keys for no certain one.
            jwk.as_object_mut().expect("a JWK").remove("alg");
            let key = Key::from_jwk(&jwk, Origin::Local).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(key.verifies(signed.algorithm, &signed.message, &signed.signature), "{name}");
            let mut spoilt = signed.message.clone();
            spoilt[0] ^= 1;
            assert!(!key.verifies(signed.algorithm, &spoilt, &signed.signature), "{name}, spoilt");
            checked += 1;
        }
    }
    assert_eq!(checked, 38, "signatures");
}

/// A provider that takes everything but an expired token.
fn lenient_policy() -> Policy {
    Policy::new(&Provider {
        name: ProviderName::new("rfc"),
        issuer: IssuerRule::Any,
        keys: KeySource::Own,
        algorithms: all(),
        audiences: Audiences::Any,
        leeway: std::time::Duration::ZERO,
        required_claims: Vec::new(),
        token_type: None,
        rules: TokenRules::default(),
    })
}

#[test]
fn every_token_is_refused_for_the_reason_that_the_vectors_name() {
    for (name, case) in signed_cases() {
        let token = case["token"].as_str().map_or_else(|| case["token"].to_string(), ToOwned::to_owned);
        let outcome = parse(token.as_bytes(), &Limits::default());
        let why =
            text(&case, "gateway").strip_prefix("reject: ").expect("none of them is a live access token");
        let unencoded_payload_with_dots = name == "rfc/rfc7797_b64.json extra/compact";
        match why {
            "expired" => {
                let token = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                verify(&token, &key_set(&case["key"]), all())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let verdict = lenient_policy().check(token.typ(), token.claims(), UnixTime(1_790_000_000));
                assert!(matches!(verdict, Err(PolicyError::Expired { .. })), "{name}: {verdict:?}");
            }
            "alg none" => {
                assert!(matches!(outcome, Err(ParseError::UnknownAlgorithm { .. })), "{name}: {outcome:?}");
            }
            "payload is not a JSON object" | "the payload is missing" => {
                let expected = [ParseError::Json, ParseError::NotAnObject, ParseError::Utf8];
                assert!(outcome.as_ref().is_err_and(|error| expected.contains(error)), "{name}: {outcome:?}");
            }
            "JSON serialization in an Authorization header" => {
                // Whether it has dots or not, its first byte is no base64url.
                let expected = [ParseError::Segments, ParseError::Base64];
                assert!(outcome.as_ref().is_err_and(|error| expected.contains(error)), "{name}: {outcome:?}");
            }
            "encrypted token (five parts)" => {
                assert_eq!(outcome.err(), Some(ParseError::Encrypted), "{name}");
            }
            "crit names an unknown header" => {
                assert_eq!(outcome.err(), Some(ParseError::CriticalHeader), "{name}");
            }
            _ if why.starts_with("b64=false")
                && case["token"].is_string()
                && !unencoded_payload_with_dots =>
            {
                assert_eq!(outcome.err(), Some(ParseError::CriticalHeader), "{name}");
            }
            _ if why.starts_with("b64=false") => assert!(outcome.is_err(), "{name}"),
            _ => panic!("{name}: unknown reason {why:?}"),
        }
    }
}

#[test]
fn every_printed_key_is_read() {
    let seventeen = vectors("rfc/rfc7517_appendix.json");
    let set = |at: usize| key_set(&list(&seventeen, "cases")[at]["jwks"]);
    // A.1: the EC key is marked for encryption.
    assert_eq!((set(0).keys().len(), set(0).skipped().len()), (1, 1));
    // A.2: private keys, of which the public half serves; the EC key is again for encryption.
    assert_eq!((set(1).keys().len(), set(1).skipped().len()), (1, 1));
    // A.3: a key for AES key wrapping, and one for HMAC.
    assert_eq!((set(2).keys().len(), set(2).skipped().len()), (1, 1));
    let with_certificate = &list(&seventeen, "cases")[3]["key"];
    assert!(Key::from_jwk(with_certificate, Origin::Fetched).is_ok(), "x5c is ignored");

    let twenty = vectors("rfc/rfc7520_section3_keys.json");
    let read: Vec<_> = list(&twenty, "cases")
        .iter()
        .map(|case| {
            (
                text(case, "id"),
                Key::from_jwk(&case["key"], Origin::Local).map(|_| ()).map_err(|e| e.to_string()),
            )
        })
        .collect();
    assert_eq!(read.len(), 6);
    for (id, outcome) in read {
        // 3.6 is a key for content encryption.
        assert_eq!(outcome.is_ok(), id != "3.6", "{id}: {outcome:?}");
    }
}

#[test]
fn thumbprints_are_as_printed() {
    let mut seen = 0;
    for file in ["rfc/rfc7638_thumbprint.json", "rfc/rfc8037_appendix.json"] {
        for case in list(&vectors(file), "cases").iter().filter(|case| case["kind"] == "jwk-thumbprint") {
            assert_eq!(thumbprint(&case["key"]).as_deref(), Some(text(case, "thumbprint_sha256")), "{file}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}
