//! Project Wycheproof's tokens: signatures, keys, encrypted tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate::jwt::{Jws, Limits, ParseError, parse};

use crate::{is_genuine, key_set, list, oracle, text, vectors};

/// A case whose published verdict is not ours.
struct Exception {
    case: u64,
    genuine: bool,
    reason: &'static str,
}

const fn exception(case: u64, genuine: bool, reason: &'static str) -> Exception {
    Exception { case, genuine, reason }
}

const SAME_AS_357: &str = "byte for byte the valid token of case 357";
const NO_BASE64URL: &str = "`?` inside a segment is no base64url (RFC 7515, section 2)";
const POLICY_MIXED: &str = "a set may mix secrets and public keys: a key serves its own family only, and a fetched \
                            secret is never used";
const POLICY_SAME_KID: &str = "two keys of one name are both tried";
const POLICY_ROCA: &str =
    "the fingerprint of ROCA is not looked for: whoever runs the provider chose the key";

const SIGNATURE_EXCEPTIONS: &[Exception] = &[
    exception(367, true, SAME_AS_357),
    exception(370, true, SAME_AS_357),
    exception(372, false, NO_BASE64URL),
    exception(373, false, NO_BASE64URL),
];
const KEY_EXCEPTIONS: &[Exception] =
    &[exception(1, true, POLICY_MIXED), exception(4, true, POLICY_SAME_KID), exception(7, true, POLICY_ROCA)];
const CRYPTO_EXCEPTIONS: &[Exception] =
    &[exception(46, true, POLICY_ROCA), exception(47, true, POLICY_MIXED)];

/// Valid cases whose JWK carries an `alg` that is not the token's: 347 and 351 write ES521 and mean ES512, 346 and
/// 350 write PS256 beside a token by PS384. Cases 332 to 340 want that very difference refused, so the key's `alg`
/// is dropped here.
const SLIPPED_ALG: [u64; 4] = [346, 347, 350, 351];

/// One token of a file, with its key.
struct Case {
    number: u64,
    valid: bool,
    key: Value,
    token: Value,
}

fn cases(file: &str, member: &str) -> Vec<Case> {
    let vectors = vectors(file);
    let mut cases = Vec::new();
    for group in list(&vectors, "testGroups") {
        let mut key = group.get("public").unwrap_or(&group["private"]).clone();
        for test in list(group, "tests").iter().filter(|test| test.get(member).is_some()) {
            let number = test["tcId"].as_u64().expect("a number");
            if file.ends_with("json_web_signature_test.json") && SLIPPED_ALG.contains(&number) {
                key.as_object_mut().expect("a JWK").remove("alg");
            }
            let valid = match text(test, "result") {
                "valid" => true,
                "invalid" => false,
                other => panic!("verdict {other}"),
            };
            cases.push(Case { number, valid, key: key.clone(), token: test[member].clone() });
        }
    }
    cases
}

/// A token in JSON serialization is a text too, and must be refused as one.
fn token_text(token: &Value) -> String {
    token.as_str().map_or_else(|| token.to_string(), ToOwned::to_owned)
}

fn run(file: &str, count: usize, exceptions: &[Exception]) {
    let cases = cases(file, "jws");
    assert_eq!(cases.len(), count, "cases of {file}");
    let mut wrong = Vec::new();
    for case in &cases {
        let exception = exceptions.iter().find(|exception| exception.case == case.number);
        let expected = exception.map_or(case.valid, |exception| exception.genuine);
        if let Some(exception) = exception {
            assert_ne!(exception.genuine, case.valid, "{}: no exception: {}", case.number, exception.reason);
        }
        let verdict = is_genuine(&token_text(&case.token), &key_set(&case.key));
        if verdict != expected {
            wrong.push((case.number, verdict));
        }
    }
    assert_eq!(wrong, [], "{file}: case and our verdict");
}

#[test]
fn every_signature_case_has_its_published_verdict() {
    run("wycheproof/json_web_signature_test.json", 401, SIGNATURE_EXCEPTIONS);
}

#[test]
fn every_key_case_has_its_published_verdict() {
    run("wycheproof/json_web_key_test.json", 26, KEY_EXCEPTIONS);
}

#[test]
fn every_case_of_the_older_mixture_has_its_published_verdict() {
    run("wycheproof/json_web_crypto_test.json", 49, CRYPTO_EXCEPTIONS);
}

#[test]
fn every_encrypted_token_is_refused() {
    let mut seen = 0;
    for file in ["wycheproof/json_web_encryption_test.json", "wycheproof/json_web_crypto_test.json"] {
        for case in cases(file, "jwe") {
            seen += 1;
            let token = token_text(&case.token);
            let refusal = parse(token.as_bytes(), &Limits::default()).expect_err("no signed token");
            // The malformed ones among them need not be recognized.
            if case.valid && case.token.is_string() {
                assert_eq!(refusal, ParseError::Encrypted, "{file} {}", case.number);
            }
            assert!(!is_genuine(&token, &key_set(&case.key)), "{file} {}", case.number);
        }
    }
    assert_eq!(seen, 139 + 34);
}

/// Where jsonwebtoken's verdict on a vector is not ours, and which rule makes ours the stricter.
fn stricter_rule(token: &str, key: &Value) -> Option<&'static str> {
    match Jws::parse(token.as_bytes(), &Limits::default()) {
        Err(ParseError::CriticalHeader) => Some("extensions are refused"),
        Err(ParseError::Base64) if token.split('.').nth(1).is_some_and(|payload| !is_base64url(payload)) => {
            Some("jsonwebtoken looks at the payload's encoding only after the signature")
        }
        Ok(_) if key_set(key).keys().is_empty() => Some("the key itself is not taken"),
        _ => None,
    }
}

fn is_base64url(segment: &str) -> bool {
    URL_SAFE_NO_PAD.decode(segment).is_ok()
}

#[test]
fn jsonwebtoken_agrees_on_every_vector() {
    let files = [
        "wycheproof/json_web_signature_test.json",
        "wycheproof/json_web_key_test.json",
        "wycheproof/json_web_crypto_test.json",
    ];
    let (mut compared, mut stricter) = (0, 0);
    for file in files {
        for case in cases(file, "jws") {
            let token = token_text(&case.token);
            let Some(theirs) = oracle::is_genuine(&token, &case.key) else { continue };
            let ours = is_genuine(&token, &key_set(&case.key));
            compared += 1;
            if ours == theirs {
                continue;
            }
            assert!(!ours, "{file} {}: jsonwebtoken refuses what we take", case.number);
            assert!(stricter_rule(&token, &case.key).is_some(), "{file} {}: only we refuse", case.number);
            stricter += 1;
        }
    }
    println!("{compared} compared, {stricter} where our rules are stricter");
    assert!(compared > 400);
}

#[test]
fn a_key_set_case_says_why_its_key_is_skipped() {
    let skipped = |number: u64| {
        let cases = cases("wycheproof/json_web_key_test.json", "jws");
        let case = cases.iter().find(|case| case.number == number).expect("the case");
        let set = key_set(&case.key);
        set.skipped().first().map(|skipped| skipped.why.to_string())
    };
    let expected = [
        (6, "the key is not for verifying signatures, says its \"use\""),
        (8, "the RSA modulus has 1024 bits; 2048 to 8192 are taken"),
        (9, "the key is malformed"),
        (10, "the secret is 31 bytes long, 32 are needed"),
        (16, "the secret is empty"),
        (19, "the key is bound to \"ES521\", which it can't serve"),
        (22, "the key is malformed"),
        (23, "\"x\" of the key is malformed"),
        (24, "the key has no \"n\""),
        (25, "the key is bound to \"A256GCM\", which it can't serve"),
    ];
    for (number, why) in expected {
        assert_eq!(skipped(number).as_deref(), Some(why), "case {number}");
    }
    assert_eq!(json!(skipped(5)), Value::Null);
}
