//! Tokens with something changed: none may verify, and jsonwebtoken must say the same of each.
//!
//! `TOLLGATE_MUTATIONS` sets how many are tried per test.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate::base::{Algorithm, KeyFamily, Secret};
use tollgate::jwt::{HeaderForm, KeySet, Limits, ParseError, SigningKey, parse, verify};

use crate::{all, oracle};

const SECRET: &[u8] = b"a secret that is long enough for the longest hash, of 64 bytes and more";

/// One algorithm with its key, ours and jsonwebtoken's, and a good token.
struct Signer {
    theirs: jsonwebtoken::Algorithm,
    decoding: DecodingKey,
    keys: KeySet,
    token: String,
}

/// All but ES512, which jsonwebtoken does not know.
static SIGNERS: LazyLock<Vec<Signer>> = LazyLock::new(|| {
    let rsa = SigningKey::generate(Algorithm::RS256).expect("a key").to_pem().expect("a private key");
    Algorithm::ALL
        .into_iter()
        .filter(|algorithm| *algorithm != Algorithm::ES512)
        .map(|algorithm| {
            let key = match algorithm.family() {
                KeyFamily::Hmac => SigningKey::hmac(algorithm, &Secret::new(SECRET)),
                KeyFamily::Rsa => SigningKey::from_pem(algorithm, &rsa),
                _ => SigningKey::generate(algorithm),
            };
            signer(&key.expect("a key"))
        })
        .collect()
});

fn signer(key: &SigningKey) -> Signer {
    let claims =
        json!({ "iss": "https://id.example.com", "sub": "ada", "aud": ["api"], "exp": 4_000_000_000_u64 });
    let decoding = match key.public_jwk() {
        None => DecodingKey::from_secret(SECRET),
        Some(jwk) => {
            let jwk: Jwk = serde_json::from_value(jwk).expect("jsonwebtoken reads our JWK");
            DecodingKey::from_jwk(&jwk).expect("jsonwebtoken takes our key")
        }
    };
    Signer {
        theirs: key.algorithm().name().parse().expect("an algorithm that jsonwebtoken knows"),
        decoding,
        keys: KeySet::new(vec![key.verification_key().expect("a key")]),
        token: key.sign(claims.as_object().expect("an object"), HeaderForm::WithKid).expect("a token"),
    }
}

fn cases() -> ProptestConfig {
    let cases =
        std::env::var("TOLLGATE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Our verdict, and the parser's reason if it was the parser's.
fn our_verdict(token: &[u8], signer: &Signer) -> Result<bool, ParseError> {
    let token = parse(token, &Limits::default())?;
    Ok(verify(&token, &signer.keys, all()).is_ok())
}

/// The rule that makes us refuse what jsonwebtoken takes. `None`: there both must agree.
fn stricter_rule(error: &ParseError) -> Option<&'static str> {
    match error {
        ParseError::TooLong => Some("a token has a largest size"),
        ParseError::DuplicateMember => Some("no two members of one name (RFC 8725, section 2.4)"),
        ParseError::TooDeep => Some("nesting has a limit"),
        ParseError::Encrypted => Some("a header with `enc` is that of an encrypted token"),
        ParseError::CriticalHeader => Some("no extension is understood"),
        ParseError::MalformedHeader { .. } => {
            Some("`kid` and `typ` are strings where they are present, not null")
        }
        ParseError::MalformedClaim { .. } => {
            Some("registered claims have their types (RFC 7519, section 4.1)")
        }
        ParseError::Segments
        | ParseError::Base64
        | ParseError::Utf8
        | ParseError::Json
        | ParseError::NotAnObject
        | ParseError::UnknownAlgorithm { .. }
        | ParseError::MissingAlgorithm => None,
    }
}

/// Members of a header that jsonwebtoken reads by type, and that we never read.
const NEVER_READ: [&str; 10] = ["cty", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "zip", "url", "nonce"];

/// A change to the bytes of a text.
#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Delete(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Truncate(prop::sample::Index),
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let length = text.len();
        match self {
            Self::Replace(at, byte) => text[at.index(length)] = *byte,
            Self::Insert(at, bytes) => {
                let at = at.index(length + 1);
                text.splice(at..at, bytes.iter().copied());
            }
            Self::Delete(at) => drop(text.remove(at.index(length))),
            Self::Swap(one, other) => text.swap(one.index(length), other.index(length)),
            Self::Truncate(at) => text.truncate(at.index(length)),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    // Half of the bytes come from the alphabet of tokens and of JSON, so that more than the first check is met.
    let byte = || prop_oneof![any::<u8>(), prop::sample::select(b"AZaz09-_.=+/ \"{}[]:,e".to_vec())];
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (at(), prop::collection::vec(byte(), 1..4)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        at().prop_map(Edit::Delete),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        at().prop_map(Edit::Truncate),
    ]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_mutated_token_verifies_and_jsonwebtoken_agrees(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let signer = which.get(&SIGNERS);
        let mut token = signer.token.clone().into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut token));
        if token == signer.token.as_bytes() {
            return Ok(());
        }
        prop_assert!(!our_verdict(&token, signer).unwrap_or(false), "we take {:?}", token);
        prop_assert!(!oracle::takes(&token, &signer.decoding, signer.theirs), "jsonwebtoken takes {:?}", token);
    }

    /// Here the signature is right, and what was signed is odd: the readers themselves are compared.
    #[test]
    fn both_read_odd_but_signed_tokens_alike(
        header_edits in prop::collection::vec(edit(), 0..2),
        payload_edits in prop::collection::vec(edit(), 0..3),
        header_member in prop::option::of(header_member()),
        payload_member in prop::option::of(payload_member()),
    ) {
        let mut header = br#"{"alg":"HS256","typ":"JWT","kid":"k"}"#.to_vec();
        let mut payload = br#"{"iss":"i","sub":"s","aud":["a"],"exp":4000000000,"nested":{"x":[1,2.5,null,true]}}"#.to_vec();
        insert_member(&mut header, header_member);
        insert_member(&mut payload, payload_member);
        header_edits.iter().for_each(|edit| edit.apply(&mut header));
        payload_edits.iter().for_each(|edit| edit.apply(&mut payload));

        let signer = SIGNERS.iter().find(|signer| signer.theirs == jsonwebtoken::Algorithm::HS256).expect("HS256");
        let token = signed(&header, &payload);
        let theirs = oracle::takes(token.as_bytes(), &signer.decoding, signer.theirs);
        match our_verdict(token.as_bytes(), signer) {
            Ok(true) if !theirs => prop_assert!(has_member_that_we_never_read(&header), "only we take {}", token),
            Ok(false) => prop_assert!(!theirs, "our signature check refuses {}", token),
            Err(error) if theirs => prop_assert!(stricter_rule(&error).is_some(), "only we refuse {}: {}", token, error),
            Ok(true) | Err(_) => {}
        }
    }
}

/// Signed with the right key, whatever the header says.
fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{input}.{}", signature.expect("a signature"))
}

fn has_member_that_we_never_read(header: &[u8]) -> bool {
    let header: Value = serde_json::from_slice(header).unwrap_or_default();
    NEVER_READ.iter().any(|name| header.get(name).is_some())
}

fn insert_member(object: &mut Vec<u8>, member: Option<String>) {
    if let Some(member) = member {
        let last = object.pop();
        object.extend_from_slice(format!(",{member}").as_bytes());
        object.extend(last);
    }
}

fn value() -> impl Strategy<Value = String> {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1e400",
            "1e300",
            "18446744073709551616",
            "1.5",
            "-0",
            "\"\"",
            "\"x\"",
            "\"\\u0061\"",
            "\"\\ud800\"",
            "[]",
            "{}",
            "[\"a\",\"b\"]",
            "{\"a\":1,\"a\":2}",
            "{\"kty\":\"oct\",\"k\":\"AA\"}",
        ])
        .prop_map(ToOwned::to_owned),
        (1_usize..40).prop_map(deep),
        "[ -~]{0,8}",
    ]
}

fn header_member() -> impl Strategy<Value = String> {
    let names = ["alg", "kid", "typ", "crit", "b64", "enc", "x", "\\u0061lg"];
    let names: Vec<_> = names.into_iter().chain(NEVER_READ).collect();
    (prop::sample::select(names), value()).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

fn payload_member() -> impl Strategy<Value = String> {
    let names = vec!["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "x", "nested", "\\u0073ub"];
    (prop::sample::select(names), value()).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

#[test]
fn both_take_the_tokens_that_nothing_was_done_to() {
    for signer in SIGNERS.iter() {
        let token = signer.token.as_bytes();
        assert_eq!(our_verdict(token, signer), Ok(true), "{:?}", signer.theirs);
        assert!(oracle::takes(token, &signer.decoding, signer.theirs), "{:?}", signer.theirs);
    }
}

/// Every token with one character left out, doubled or changed in case: exhaustive where chance might miss.
#[test]
fn no_token_verifies_with_one_character_changed() {
    for signer in SIGNERS.iter() {
        let good = signer.token.as_bytes();
        for at in 0..good.len() {
            let mut left_out = good.to_vec();
            left_out.remove(at);
            let mut doubled = good.to_vec();
            doubled.insert(at, good[at]);
            let mut other_bits = good.to_vec();
            other_bits[at] ^= 1;
            let mut other_case = good.to_vec();
            other_case[at] ^= 0x20;
            for spoilt in [left_out, doubled, other_bits, other_case] {
                assert_ne!(our_verdict(&spoilt, signer), Ok(true), "{:?} at {at}", signer.theirs);
            }
        }
    }
}

/// An ECDSA signature has a twin, `(r, n - s)`, that any reader of a token can make. It verifies, as RFC 7518 has it;
/// so nothing may take the text of a token for its name.
#[test]
fn the_twin_of_an_ecdsa_signature_is_judged_as_jsonwebtoken_judges_it() {
    /// The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let signer =
        SIGNERS.iter().find(|signer| signer.theirs == jsonwebtoken::Algorithm::ES256).expect("ES256");
    let (input, signature) = signer.token.rsplit_once('.').expect("dots");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrow = false;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let (one, under) = order.overflowing_sub(*digit);
        let (two, under_again) = one.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (two, under || under_again);
    }
    let twin = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(our_verdict(twin.as_bytes(), signer), Ok(true));
    assert!(oracle::takes(twin.as_bytes(), &signer.decoding, signer.theirs));
}
