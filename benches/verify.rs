//! What it costs to verify a token that was not seen before, and to refuse what is none.
//!
//! For each algorithm three figures over the same bytes: `verify_…_cold_512b` is ours, parse, signature and policy;
//! `raw_…_512b` is aws-lc-rs' signature check alone, which nothing can beat; `jsonwebtoken_…_512b` is
//! jsonwebtoken's `decode`.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use rcgen::PublicKeyData as _;
use serde_json::{Map, Value, json};
use tollgate::base::{Algorithm, AlgorithmSet, ClaimPath, KeyFamily, ProviderName, Secret, UnixTime};
use tollgate::config::{Audiences, IssuerRule, KeySource, Provider, TokenRules};
use tollgate::jwt::{HeaderForm, KeySet, Limits, Policy, SigningKey, parse, verify};

const SECRET: &[u8] = b"a secret that is long enough for the longest hash, of 64 bytes and more";
const NOW: UnixTime = UnixTime(1_800_000_000);

/// Claims as an identity provider writes them: header and payload come to about 512 bytes of token.
fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://id.example.com/realms/shop", "aud": ["shop-api", "account"],
        "sub": "6f2c1f0e-7a0b-4c53-9a55-0d1b7c3a9d10", "exp": NOW.0 + 300, "iat": NOW.0, "nbf": NOW.0,
        "jti": "b8f0a3f1-2f54-4f0c-8d5c-94b6a7d0f7c2", "azp": "shop-web", "scope": "openid email",
        "realm_access": { "roles": ["user", "buyer"] }, "preferred_username": "ada",
    });
    claims.as_object().expect("an object").clone()
}

fn signing_key(algorithm: Algorithm) -> SigningKey {
    match algorithm.family() {
        KeyFamily::Hmac => SigningKey::hmac(algorithm, &Secret::new(SECRET)),
        _ => SigningKey::generate(algorithm),
    }
    .expect("a key")
}

fn policy() -> Policy {
    Policy::new(&Provider {
        name: ProviderName::new("company"),
        issuer: IssuerRule::Exactly("https://id.example.com/realms/shop".to_owned()),
        keys: KeySource::Own,
        algorithms: Algorithm::ALL.into_iter().collect(),
        audiences: Audiences::OneOf(vec!["shop-api".to_owned()]),
        leeway: Duration::from_secs(30),
        required_claims: vec![ClaimPath::name("sub").into()],
        token_type: None,
        rules: TokenRules::default(),
    })
}

/// aws-lc-rs' check alone, its key prepared.
enum Raw {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Raw {
    fn new(key: &SigningKey) -> Self {
        let verification: &'static dyn VerificationAlgorithm = match key.algorithm() {
            Algorithm::HS256 => return Self::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, SECRET))),
            Algorithm::HS384 => return Self::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA384, SECRET))),
            Algorithm::HS512 => return Self::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA512, SECRET))),
            Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED,
            Algorithm::EdDSA => &ED25519,
        };
        let pem = key.to_pem().expect("a private key");
        let pem = std::str::from_utf8(pem.expose()).expect("PEM is text");
        let info = rcgen::KeyPair::from_pem(pem).expect("a key pair").subject_public_key_info();
        Self::Public(ParsedPublicKey::new(verification, info).expect("a public key"))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

fn verification(criterion: &mut Criterion) {
    let (limits, policy) = (Limits::default(), policy());
    for algorithm in Algorithm::ALL {
        let name = algorithm.name().to_ascii_lowercase();
        let signing = signing_key(algorithm);
        let text = signing.sign(&claims(), HeaderForm::WithKid).expect("a token");
        let keys = KeySet::new(vec![signing.verification_key().expect("a key")]);
        let allowed = AlgorithmSet::EMPTY.with(algorithm);

        criterion.bench_function(&format!("verify_{name}_cold_512b"), |bencher| {
            bencher.iter(|| {
                let token = parse(black_box(text.as_bytes()), &limits).expect("well-formed");
                let key = verify(&token, &keys, allowed).expect("genuine");
                policy.check(token.typ(), token.claims(), NOW).expect("good");
                (key, token.into_claims())
            });
        });

        let raw = Raw::new(&signing);
        let token = parse(text.as_bytes(), &limits).expect("well-formed");
        criterion.bench_function(&format!("raw_{name}_512b"), |bencher| {
            bencher.iter(|| assert!(raw.verifies(black_box(token.signing_input()), token.signature())));
        });

        // jsonwebtoken knows no ES512.
        let Ok(theirs) = algorithm.name().parse() else { continue };
        let mut validation = Validation::new(theirs);
        validation.set_audience(&["shop-api"]);
        validation.set_issuer(&["https://id.example.com/realms/shop"]);
        let decoding = signing.public_jwk().map_or_else(
            || DecodingKey::from_secret(SECRET),
            |jwk| {
                let jwk: Jwk = serde_json::from_value(jwk).expect("a JWK");
                DecodingKey::from_jwk(&jwk).expect("a key")
            },
        );
        criterion.bench_function(&format!("jsonwebtoken_{name}_512b"), |bencher| {
            #[expect(clippy::disallowed_methods, reason = "what it is compared with")]
            bencher.iter(|| {
                jsonwebtoken::decode::<Map<String, Value>>(black_box(text.as_bytes()), &decoding, &validation)
                    .expect("good")
            });
        });
    }
}

fn refusal(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut refuse = |name: &str, text: Vec<u8>| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| parse(black_box(&text), &limits).expect_err("no token"));
        });
    };
    let garbage = |length: usize| (0..length).map(|at| b"qZ7-_xKe"[at * 5 % 8]).collect::<Vec<u8>>();
    refuse("refuse_garbage_1kib", garbage(1 << 10));
    refuse("refuse_garbage_16kib", garbage(16 << 10));
    refuse("refuse_garbage_1mib", garbage(1 << 20));
    // Of a token's form, but no base64url of JSON.
    let formed = [garbage(64), garbage(900), garbage(43)].join(&b'.');
    refuse("refuse_garbage_of_three_segments_1kib", formed);
}

fn claims_policy(criterion: &mut Criterion) {
    let signing = signing_key(Algorithm::HS256);
    let text = signing.sign(&claims(), HeaderForm::Plain).expect("a token");
    let token = parse(text.as_bytes(), &Limits::default()).expect("well-formed");
    let policy = policy();
    criterion.bench_function("check_policy_hot", |bencher| {
        bencher.iter(|| policy.check(black_box(token.typ()), black_box(token.claims()), NOW));
    });
    criterion.bench_function("parse_512b", |bencher| {
        bencher.iter(|| parse(black_box(text.as_bytes()), &Limits::default()).expect("well-formed"));
    });
}

criterion_group!(benches, verification, refusal, claims_policy);
criterion_main!(benches);
