//! The attacks that the module's documentation lists, tried.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::base::{Algorithm, KeyFamily, Secret};

use super::samples::{SECRET, all, hmac_token, only, public_pem, set_of, signing_input, signing_key, token};
use super::{HeaderForm, Jws, Key, KeySet, Limits, Origin, ParseError, VerifyError, parse, verify};

const PAYLOAD: &str = r#"{"sub":"mallory"}"#;

fn refusal(token: &str) -> ParseError {
    parse(token.as_bytes(), &Limits::default()).expect_err("a token to refuse")
}

fn judge(token: &str, keys: &KeySet, allowed: &[Algorithm]) -> Result<(), VerifyError> {
    let token = parse(token.as_bytes(), &Limits::default()).expect("well-formed");
    verify(&token, keys, allowed.iter().copied().collect()).map(|_| ())
}

#[test]
fn refuses_alg_none_in_any_spelling() {
    for alg in
        ["none", "None", "NONE", "nOnE", " none", "none\\u0000", "", "hs256", "HS256 ", "ES256K", "A128KW"]
    {
        for signature in ["", "AA"] {
            let text = signing_input(&format!(r#"{{"alg":"{alg}"}}"#), PAYLOAD);
            assert!(
                matches!(refusal(&format!("{text}.{signature}")), ParseError::UnknownAlgorithm { .. }),
                "{alg:?}"
            );
        }
    }
    for (header, expected) in [
        (r#"{"typ":"JWT"}"#, ParseError::MissingAlgorithm),
        (r#"{"alg":null}"#, ParseError::MalformedHeader { member: "alg" }),
        (r#"{"alg":["HS256"]}"#, ParseError::MalformedHeader { member: "alg" }),
        (r#"{"alg":"HS256","alg":"none"}"#, ParseError::DuplicateMember),
    ] {
        assert_eq!(refusal(&format!("{}.", signing_input(header, PAYLOAD))), expected, "{header}");
    }
}

#[test]
fn an_empty_signature_is_no_signature() {
    for algorithm in Algorithm::ALL {
        let key = signing_key(algorithm);
        let text = token(&key, HeaderForm::WithKid);
        let (input, _) = text.rsplit_once('.').unwrap();
        let keys = set_of(key.verification_key().unwrap());
        for signature in ["", "AA", "AAAA"] {
            let verdict = judge(&format!("{input}.{signature}"), &keys, &[algorithm]);
            assert_eq!(verdict, Err(VerifyError::BadSignature), "{algorithm}");
        }
    }
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let key = signing_key(algorithm);
        let pem = public_pem(&key);
        let jwk = key.public_jwk().unwrap();
        let modulus = jwk.get("n").or(jwk.get("x")).and_then(Value::as_str).unwrap();
        let spellings: [Vec<u8>; 4] = [
            pem.clone().into_bytes(),
            pem.trim_end().as_bytes().to_vec(),
            jwk.to_string().into_bytes(),
            URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        ];
        for keys in [set_of(Key::from_pem(pem.as_bytes()).unwrap()), set_of(key.verification_key().unwrap())]
        {
            for secret in &spellings {
                let forged = hmac_token(r#"{"alg":"HS256"}"#, PAYLOAD, secret);
                // Refused by the list of algorithms, and were HS256 on it, by the key's family.
                let refused = Err(VerifyError::AlgorithmNotAllowed { algorithm: Algorithm::HS256 });
                assert_eq!(judge(&forged, &keys, &[algorithm]), refused);
                let no_key = Err(VerifyError::UnknownKey { kid: None });
                assert_eq!(judge(&forged, &keys, &Algorithm::ALL), no_key);
            }
        }
    }
}

#[test]
fn a_key_never_serves_another_family() {
    for family in Algorithm::ALL {
        let key = signing_key(family);
        let pem = key.to_pem().map(|_| Key::from_pem(public_pem(&key).as_bytes()).unwrap());
        for key in [Some(key.verification_key().unwrap()), pem].into_iter().flatten() {
            for algorithm in Algorithm::ALL {
                let serves = key.algorithms().contains(algorithm);
                assert!(!serves || algorithm.family() == family.family(), "{family} key serves {algorithm}");
            }
        }
    }
}

#[test]
fn a_jwk_that_names_its_alg_serves_no_other() {
    let pss = signing_key(Algorithm::PS256);
    let signed_by_rs256 = token(&signing_key(Algorithm::RS256), HeaderForm::WithKid);
    let bound = set_of(pss.verification_key().unwrap());
    let unbound = set_of(Key::from_pem(public_pem(&pss).as_bytes()).unwrap());
    assert!(matches!(judge(&signed_by_rs256, &bound, &Algorithm::ALL), Err(VerifyError::UnknownKey { .. })));
    assert_eq!(judge(&signed_by_rs256, &unbound, &Algorithm::ALL), Ok(()), "it is the same RSA key");
}

#[test]
fn an_algorithm_that_is_not_listed_is_refused_before_any_key_is_tried() {
    for algorithm in Algorithm::ALL {
        let key = signing_key(algorithm);
        let keys = set_of(key.verification_key().unwrap());
        let others: Vec<_> = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        let text = token(&key, HeaderForm::WithKid);
        assert_eq!(judge(&text, &keys, &others), Err(VerifyError::AlgorithmNotAllowed { algorithm }));
        assert_eq!(judge(&text, &keys, &[]), Err(VerifyError::AlgorithmNotAllowed { algorithm }));
        assert_eq!(judge(&text, &keys, &[algorithm]), Ok(()));
    }
}

#[test]
fn a_token_never_brings_its_own_key() {
    let (ours, theirs) = (signing_key(Algorithm::ES256), signing_key(Algorithm::ES256));
    let our_keys = set_of(ours.verification_key().unwrap());
    let their_keys = set_of(Key::from_pem(public_pem(&theirs).as_bytes()).unwrap());
    let private = jsonwebtoken::EncodingKey::from_ec_pem(theirs.to_pem().unwrap().expose()).unwrap();
    for (name, value) in [
        ("jwk", theirs.public_jwk().unwrap()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let input = signing_input(&json!({ "alg": "ES256", name: value }).to_string(), PAYLOAD);
        let signature =
            jsonwebtoken::crypto::sign(input.as_bytes(), &private, jsonwebtoken::Algorithm::ES256).unwrap();
        let forged = format!("{input}.{signature}");
        assert_eq!(judge(&forged, &their_keys, &[Algorithm::ES256]), Ok(()), "{name}: well signed");
        assert_eq!(judge(&forged, &our_keys, &[Algorithm::ES256]), Err(VerifyError::BadSignature), "{name}");
    }
}

#[test]
fn a_kid_only_ever_names_a_key_of_the_set() {
    let (ours, other) = (signing_key(Algorithm::ES256), signing_key(Algorithm::ES256));
    let keys = set_of(ours.verification_key().unwrap());
    let text = token(&other, HeaderForm::WithKid);
    assert!(matches!(judge(&text, &keys, &[Algorithm::ES256]), Err(VerifyError::UnknownKey { .. })));
    for kid in ["../../etc/passwd", "' OR 1=1 --", "/dev/null", "\\u0000", "https://evil.example/key"] {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        let keys = KeySet::from_jwks(
            json!({ "keys": [{ "kty": "oct", "kid": "a", "k": URL_SAFE_NO_PAD.encode(SECRET) }] })
                .to_string()
                .as_bytes(),
            Origin::Local,
        );
        let verdict = judge(&hmac_token(&header, PAYLOAD, SECRET), &keys.unwrap(), &[Algorithm::HS256]);
        assert!(matches!(verdict, Err(VerifyError::UnknownKey { kid: Some(_) })), "{kid}");
    }
}

#[test]
fn a_fetched_secret_is_never_a_key() {
    let jwks =
        json!({ "keys": [{ "kty": "oct", "kid": "a", "k": URL_SAFE_NO_PAD.encode(SECRET) }] }).to_string();
    let forged = hmac_token(r#"{"alg":"HS256","kid":"a"}"#, PAYLOAD, SECRET);
    let local = KeySet::from_jwks(jwks.as_bytes(), Origin::Local).unwrap();
    let fetched = KeySet::from_jwks(jwks.as_bytes(), Origin::Fetched).unwrap();
    assert_eq!(judge(&forged, &local, &[Algorithm::HS256]), Ok(()));
    assert!(matches!(judge(&forged, &fetched, &[Algorithm::HS256]), Err(VerifyError::UnknownKey { .. })));
}

#[test]
fn curves_are_not_interchangeable() {
    let keys: Vec<_> = [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512]
        .into_iter()
        .map(|curve| (curve, signing_key(curve)))
        .collect();
    for (signed, key) in &keys {
        let text = token(key, HeaderForm::Plain);
        for (tried, other) in keys.iter().filter(|(tried, _)| tried != signed) {
            let set = set_of(other.verification_key().unwrap());
            assert_eq!(
                judge(&text, &set, &Algorithm::ALL),
                Err(VerifyError::UnknownKey { kid: None }),
                "{tried}"
            );
            // The header changed to the other curve's name: the key fits, the signature does not.
            let (_, signature) = text.rsplit_once('.').unwrap();
            let relabelled =
                format!("{}.{signature}", signing_input(&format!(r#"{{"alg":"{tried}"}}"#), PAYLOAD));
            assert_eq!(judge(&relabelled, &set, &Algorithm::ALL), Err(VerifyError::BadSignature), "{tried}");
        }
    }
}

#[test]
fn a_point_off_the_curve_is_no_key() {
    for (algorithm, coordinate) in [(Algorithm::ES256, "x"), (Algorithm::ES384, "y"), (Algorithm::ES512, "x")]
    {
        let mut jwk = signing_key(algorithm).public_jwk().unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(jwk[coordinate].as_str().unwrap()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        jwk[coordinate] = URL_SAFE_NO_PAD.encode(&bytes).into();
        assert!(Key::from_jwk(&jwk, Origin::Fetched).is_err(), "{algorithm}");
    }
}

#[test]
fn an_ecdsa_signature_in_asn1_form_is_refused() {
    let key =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING)
            .unwrap();
    let (x, y) = aws_lc_rs::signature::KeyPair::public_key(&key).as_ref()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    let input = signing_input(r#"{"alg":"ES256"}"#, PAYLOAD);
    let signature = key.sign(&aws_lc_rs::rand::SystemRandom::new(), input.as_bytes()).unwrap();
    let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    let keys = set_of(Key::from_jwk(&jwk, Origin::Fetched).unwrap());
    assert_eq!(judge(&text, &keys, &[Algorithm::ES256]), Err(VerifyError::BadSignature));
}

#[test]
fn an_ecdsa_signature_of_zeros_is_refused() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
        let keys = set_of(signing_key(algorithm).verification_key().unwrap());
        for length in [64, 96, 132] {
            let zeros = URL_SAFE_NO_PAD.encode(vec![0; length]);
            let text = format!("{}.{zeros}", signing_input(&format!(r#"{{"alg":"{algorithm}"}}"#), PAYLOAD));
            assert_eq!(judge(&text, &keys, &[algorithm]), Err(VerifyError::BadSignature), "{algorithm}");
        }
    }
}

#[test]
fn refuses_extensions_that_change_what_is_signed() {
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":false"#,
        r#""b64":null"#,
        r#""b64":"true""#,
    ] {
        let text = hmac_token(&format!(r#"{{"alg":"HS256",{member}}}"#), PAYLOAD, SECRET);
        assert_eq!(refusal(&text), ParseError::CriticalHeader, "{member}");
    }
    let harmless = hmac_token(r#"{"alg":"HS256","b64":true}"#, PAYLOAD, SECRET);
    assert!(parse(harmless.as_bytes(), &Limits::default()).is_ok());
}

#[test]
fn refuses_encrypted_tokens() {
    let five = format!("{}..AA.AA.AA", URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A128GCM"}"#));
    assert_eq!(refusal(&five), ParseError::Encrypted);
    assert_eq!(
        refusal(&hmac_token(r#"{"alg":"HS256","enc":"A128GCM"}"#, PAYLOAD, SECRET)),
        ParseError::Encrypted
    );
}

#[test]
fn two_texts_are_never_one_token() {
    let good = hmac_token(r#"{"alg":"HS256"}"#, PAYLOAD, SECRET);
    assert!(parse(good.as_bytes(), &Limits::default()).is_ok());
    let mut spellings: Vec<String> =
        [" ", "=", "==", "\n", "\0", ".", "%"].iter().map(|tail| format!("{good}{tail}")).collect();
    spellings.extend([" ", "\n", "Bearer "].iter().map(|head| format!("{head}{good}")));
    spellings.push(good.replace('.', "=."));
    spellings.push(good.replacen('.', "..", 1));
    // 32 bytes are 43 characters, of which the last carries four bits: a change of the two below is no other tag.
    let last = good.chars().next_back().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    spellings.push(format!("{}{}", &good[..good.len() - 1], alphabet.chars().nth(place | 1).unwrap()));
    spellings.push(format!("{}+", good.replace('-', "+").replace('_', "/")));
    for text in spellings {
        assert!(
            matches!(refusal(&text), ParseError::Base64 | ParseError::Segments | ParseError::Encrypted),
            "{text:?}"
        );
    }
}

#[test]
fn refuses_json_that_two_parsers_read_differently() {
    let header = r#"{"alg":"HS256"}"#;
    for payload in [
        r#"{"sub":"ada","sub":"mallory"}"#,
        r#"{"sub":"ada","\u0073ub":"mallory"}"#,
        r#"{"sub":"ada","realm":{"roles":[],"roles":["admin"]}}"#,
        r#"{"sub":"ada","list":[{"a":1,"a":2}]}"#,
    ] {
        assert_eq!(refusal(&hmac_token(header, payload, SECRET)), ParseError::DuplicateMember, "{payload}");
    }
    let twice = r#"{"alg":"HS256","kid":"a","kid":"b"}"#;
    assert_eq!(refusal(&hmac_token(twice, PAYLOAD, SECRET)), ParseError::DuplicateMember);
}

#[test]
fn a_huge_token_costs_a_look_at_its_length() {
    let limits = Limits::default();
    let huge = vec![b'A'; 1 << 20];
    assert_eq!(parse(&huge, &limits).unwrap_err(), ParseError::TooLong);
    let dots = vec![b'.'; limits.token];
    assert_eq!(parse(&dots, &limits).unwrap_err(), ParseError::Segments);

    let long_header = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "a".repeat(limits.header));
    assert_eq!(refusal(&hmac_token(&long_header, PAYLOAD, SECRET)), ParseError::TooLong);
    let longest = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "a".repeat(limits.header - 22));
    assert_eq!(longest.len(), limits.header);
    assert!(parse(hmac_token(&longest, PAYLOAD, SECRET).as_bytes(), &limits).is_ok());
}

#[test]
fn deep_nesting_and_huge_numbers_are_refused_without_harm() {
    let header = r#"{"alg":"HS256"}"#;
    let deep = format!(r#"{{"a":{}}}"#, "[".repeat(6_000));
    assert_eq!(refusal(&hmac_token(header, &deep, SECRET)), ParseError::TooDeep);
    let digits = "9".repeat(5_000);
    for number in [
        digits.clone(),
        format!("1e{digits}"),
        format!("-0.{digits}e-{digits}"),
        format!("{digits}e{digits}"),
    ] {
        let payload = format!(r#"{{"exp":{number}}}"#);
        let text = hmac_token(header, &payload, SECRET);
        let tiny = number.starts_with("-0");
        assert_eq!(parse(text.as_bytes(), &Limits::default()).is_ok(), tiny, "{}…", &number[..8]);
    }
}

#[test]
fn garbage_never_panics() {
    use proptest::prelude::*;
    proptest!(|(text in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        "[A-Za-z0-9_.=-]{0,200}".prop_map(String::into_bytes),
        ("\\PC{0,60}", "\\PC{0,60}").prop_map(|(header, payload)| hmac_token(&header, &payload, SECRET).into_bytes()),
    ])| {
        if let Ok(token) = parse(&text, &Limits::default()) {
            let keys = set_of(Key::hmac(&Secret::new(SECRET), None, all()).unwrap());
            let _ = verify(&token, &keys, all());
        }
    });
}

#[test]
fn a_retired_key_ends_its_tokens() {
    let key = signing_key(Algorithm::ES256);
    let keys = set_of(key.verification_key().unwrap());
    let text = token(&key, HeaderForm::WithKid);
    let jws = Jws::parse(text.as_bytes(), &Limits::default()).unwrap();
    let vouched = super::verify_jws(&jws, &keys, only([Algorithm::ES256])).unwrap();
    keys.retire_all();
    assert!(!vouched.is_live());
    assert!(matches!(judge(&text, &keys, &[Algorithm::ES256]), Err(VerifyError::UnknownKey { .. })));
}

#[test]
fn at_most_four_keys_are_tried() {
    let set = |position: usize| {
        let good = Secret::new(SECRET);
        let keys = (0..6).map(|at| {
            let other = Secret::new([SECRET, &[at]].concat());
            Key::hmac(
                if usize::from(at) == position { &good } else { &other },
                None,
                only([Algorithm::HS256]),
            )
            .unwrap()
        });
        KeySet::new(keys.collect())
    };
    let text = token(&signing_key(Algorithm::HS256), HeaderForm::Plain);
    assert_eq!(judge(&text, &set(3), &[Algorithm::HS256]), Ok(()));
    assert_eq!(judge(&text, &set(4), &[Algorithm::HS256]), Err(VerifyError::BadSignature));
}

#[test]
fn nothing_prints_a_key_or_a_token() {
    let secret = Key::hmac(&Secret::new(SECRET), Some("name"), all()).unwrap();
    let signing = signing_key(Algorithm::HS256);
    let text = token(&signing, HeaderForm::Plain);
    let read = parse(text.as_bytes(), &Limits::default()).unwrap();
    let printed = format!(
        "{secret:?} {signing:?} {read:?} {:?}",
        set_of(Key::hmac(&Secret::new(SECRET), None, all()).unwrap())
    );
    for hidden in ["a secret", "61, 20", "[97", "ada", text.as_str()] {
        assert!(!printed.contains(hidden), "{hidden:?} in {printed}");
    }
    assert!(
        printed.contains("name") && signing_key(Algorithm::HS256).algorithm().family() == KeyFamily::Hmac
    );
}

#[test]
fn every_test_that_the_documentation_names_is_there() {
    let sources = [
        include_str!("attacks.rs"),
        include_str!("claims.rs"),
        include_str!("key.rs"),
        include_str!("policy_tests.rs"),
        include_str!("../../tests/vectors/mutations.rs"),
        include_str!("../../tests/vectors/primitives.rs"),
    ]
    .concat();
    let rows = include_str!("mod.rs").lines().filter(|line| line.starts_with("//! | "));
    let tests: Vec<_> = rows
        .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
        .flat_map(|cell| cell.split('`').filter(|name| name.contains('_') && !name.contains('.')))
        .collect();
    assert!(tests.len() > 30, "{tests:?}");
    for name in tests {
        assert!(sources.contains(&format!("fn {name}(")), "{name}");
    }
}
