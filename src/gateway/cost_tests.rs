//! What a bad token costs: never more than one signature check beyond what a good one does, which is what an attacker could
//! buy with it. Counted, since time tells little on a busy machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Handle, LocalOptions};

use super::{Activity, Client, Inbound, Multiplexing, Snapshot, Worker, handle};
use crate::base::{Algorithm, UnixTime};
use crate::jwt::{HeaderForm, SigningKey, signature_checks};
use crate::providers;
use crate::store::{Revocation, Revoked};
use crate::telemetry::Metrics;

const NOW: i64 = 1_000_000_000;
const ISSUER: &str = "https://id.example.test";

/// Six keys of one issuer, of whose tokens four providers take one audience each.
struct Scene {
    keys: Vec<SigningKey>,
    worker: Rc<Worker>,
}

impl Scene {
    fn new(token_cache: &Value) -> Self {
        let keys: Vec<_> = (0..6).map(|_| SigningKey::generate(Algorithm::ES256).expect("a key")).collect();
        let set: Vec<Value> = keys.iter().map(|key| key.public_jwk().expect("a public key")).collect();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("set.json"), json!({ "keys": set }).to_string()).expect("written");
        let provider = |audience: &str| json!({ "issuer": ISSUER, "keys": { "jwks_file": "set.json" }, "algorithms": ["ES256"], "audiences": [audience] });
        let file = json!({
            "server": { "listeners": { "address": "127.0.0.1:0" }, "token_cache": token_cache },
            "upstreams": { "echo": { "builtin": "echo" } },
            "providers": { "a": provider("a"), "b": provider("b"), "c": provider("c"), "d": provider("d") },
            "routes": [{ "match": { "path": "/*" }, "auth": { "providers": ["a", "b", "c", "d"] }, "upstream": "echo" }],
        });
        let path = folder.path().join("gateway.yaml");
        let config = crate::config::read_text(&file.to_string(), Path::new(&path), &|_| None);
        let config = config.expect("a valid file");
        let providers = providers::load(&config.providers, None).expect("keys");
        let snapshot = Arc::new(Snapshot::new(&config, &providers, None));
        let worker = Worker::new(snapshot, Arc::new(Metrics::new()), None, Handle::current());
        Self { keys, worker }
    }

    fn sign(&self, key: usize, header: HeaderForm, changes: &Value) -> String {
        self.keys[key].sign(&claims(changes), header).expect("a token")
    }

    /// The status of the answer, and how many signature checks it took.
    async fn cost(&self, token: &str) -> (String, usize) {
        let (mut ours, theirs) = duplex(64 * 1024);
        let worker = Rc::clone(&self.worker);
        let client = Rc::new(Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), false));
        let activity = Activity::new(Multiplexing::OneRequest);
        let service = service_fn(move |request: Request<Incoming>| {
            let (worker, client) = (Rc::clone(&worker), Rc::clone(&client));
            let inbound = Inbound { request, open: activity.begin_request() };
            async move {
                Ok::<_, std::convert::Infallible>(handle(&worker, &client, inbound, UnixTime(NOW)).await)
            }
        });
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
        let before = signature_checks();
        let head = format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        ours.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.expect("an answer");
        (String::from_utf8_lossy(&answer)[9..12].to_owned(), signature_checks() - before)
    }
}

fn claims(changes: &Value) -> Map<String, Value> {
    let mut claims = json!({ "iss": ISSUER, "aud": "a", "sub": "ada", "exp": NOW + 300 });
    let claims = claims.as_object_mut().expect("an object");
    claims.extend(changes.as_object().expect("an object").clone());
    claims.clone()
}

fn run(test: impl Future<Output = ()>) {
    let runtime =
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    runtime.block_on(test);
}

/// A token with this header, and a signature that is none.
fn forged(header: &Value, changes: &Value) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = encode(Value::Object(claims(changes)));
    format!("{}.{payload}.{}", encode(header.clone()), URL_SAFE_NO_PAD.encode([1; 64]))
}

#[test]
fn a_good_token_costs_one_check_whichever_of_the_providers_takes_it() {
    run(async {
        for cache in [json!({}), json!("off")] {
            let scene = Scene::new(&cache);
            for (key, audience) in ["a", "b", "c", "d"].into_iter().enumerate() {
                let token = scene.sign(key, HeaderForm::WithKid, &json!({ "aud": audience }));
                assert_eq!(scene.cost(&token).await, ("200".to_owned(), 1), "{audience} {cache}");
            }
        }
    });
}

#[test]
fn a_bad_token_costs_at_most_one_check_more_than_a_good_one() {
    run(async {
        for cache in [json!({}), json!("off")] {
            let scene = Scene::new(&cache);
            let kid = scene.keys[0].kid().expect("it has a name");
            let with_kid = |changes: Value| scene.sign(0, HeaderForm::WithKid, &changes);
            let es256 = json!({ "alg": "ES256", "kid": kid });
            let with = |name: &str, value: Value| {
                let mut header = es256.clone();
                header[name] = value;
                forged(&header, &json!({}))
            };
            let good = scene.cost(&with_kid(json!({}))).await.1;
            let stranger = SigningKey::generate(Algorithm::ES256).expect("a key");
            for (token, most) in [
                // The signature is good, the rest is not.
                (with_kid(json!({ "aud": "e" })), 1),
                (with_kid(json!({ "exp": NOW - 600 })), 1),
                (with_kid(json!({ "nbf": NOW + 600 })), 1),
                (with_kid(json!({ "token_type": "refresh" })), 1),
                // The signature is bad.
                (forged(&es256, &json!({})), 1),
                (with("jwk", stranger.public_jwk().expect("a public key")), 1),
                (with("jku", json!("https://evil.example.test")), 1),
                // No key is looked for, or none is found.
                (stranger.sign(&claims(&json!({})), HeaderForm::WithKid).expect("a token"), 0),
                (with("kid", json!("../../dev/null")), 0),
                (with("alg", json!("none")), 0),
                (with("alg", json!("HS256")), 0),
                (with("alg", json!("ES384")), 0),
                (with("crit", json!(["exp"])), 0),
                (with_kid(json!({ "iss": "https://evil.example.test" })), 0),
                ("x".to_owned(), 0),
                ("a.b.c".to_owned(), 0),
                (format!("{}.{}", with_kid(json!({})), "a.b"), 0),
                ("e".repeat(20_000), 0),
            ] {
                let (status, checks) = scene.cost(&token).await;
                assert_eq!((status.as_str(), checks), ("401", most), "{token} {cache}");
                assert!(checks <= good + 1);
            }
        }
    });
}

#[test]
fn a_token_without_kid_costs_four_checks_at_most_good_or_bad() {
    run(async {
        for cache in [json!({}), json!("off")] {
            let scene = Scene::new(&cache);
            for place in 0..4 {
                let good = scene.sign(place, HeaderForm::Plain, &json!({ "aud": "d" }));
                assert_eq!(scene.cost(&good).await, ("200".to_owned(), place + 1), "{cache}");
            }
            let beyond = scene.sign(4, HeaderForm::Plain, &json!({}));
            let forged = forged(&json!({ "alg": "ES256" }), &json!({ "aud": ["c", "d"] }));
            for token in [&beyond, &forged] {
                assert_eq!(scene.cost(token).await, ("401".to_owned(), 4), "{cache}");
            }
        }
    });
}

#[test]
fn a_bad_signature_that_comes_again_costs_nothing() {
    run(async {
        let scene = Scene::new(&json!({}));
        for header in [json!({ "alg": "ES256" }), json!({ "alg": "ES256", "kid": scene.keys[0].kid() })] {
            let token = forged(&header, &json!({}));
            assert!(scene.cost(&token).await.1 > 0);
            assert_eq!(scene.cost(&token).await, ("401".to_owned(), 0), "{header}");
        }
    });
}

#[test]
fn a_remembered_token_is_looked_up_again_after_a_revocation_and_its_signature_is_not_checked() {
    run(async {
        let scene = Scene::new(&json!({}));
        let [kept, revoked] =
            ["kept", "revoked"].map(|jti| scene.sign(0, HeaderForm::WithKid, &json!({ "jti": jti })));
        for checks in [1, 0] {
            for token in [&kept, &revoked] {
                assert_eq!(scene.cost(token).await, ("200".to_owned(), checks));
            }
        }
        let what = Revoked::Token { issuer: Some(ISSUER.to_owned()), jti: "revoked".to_owned() };
        let revocation = Revocation { what, expires_at: UnixTime(NOW + 300) };
        scene.worker.snapshot.revocations.add(&[revocation], UnixTime(NOW));
        for _ in 0..2 {
            assert_eq!(scene.cost(&kept).await, ("200".to_owned(), 0));
            assert_eq!(scene.cost(&revoked).await, ("401".to_owned(), 0));
        }
    });
}
