//! What the gateway's own parts cost on a request's way: finding the route, finding a token that was verified before.

use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::header::AUTHORIZATION;
use http::{Method, Request};
use serde_json::{Map, json};
use tollgate::base::{Algorithm, ByteSize, Secret, UnixTime};
use tollgate::config::{Config, read_text};
use tollgate::gateway::{Router, SharedTokens, Snapshot, TokenCache, VerifiedToken, Worker};
use tollgate::jwt::{HeaderForm, Limits, SigningKey, parse};
use tollgate::providers::{self, Provider};
use tollgate::revocations::Revocations;
use tollgate::telemetry::Metrics;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn config(routes: &str) -> Config {
    let file = format!(
        "
providers: {{ p: {{ issuer: any, keys: {{ secret: \"${{S}}\" }}, algorithms: HS256, audiences: any }} }}
server: {{ listeners: {{ address: 127.0.0.1:0 }} }}
upstreams: {{ app: {{ endpoints: [http://127.0.0.1:1] }} }}
routes:
{routes}"
    );
    read_text(&file, Path::new("bench.yaml"), &|_| Some(SECRET.to_owned())).expect("a valid file")
}

fn many_routes(count: usize) -> Router {
    let line = |number| {
        format!(
            "  - {{ match: {{ path: /service-{number}/api/* }}, auth: {{ providers: p }}, upstream: app }}\n"
        )
    };
    Router::new(&config(&(0..count).map(line).collect::<String>()).routes)
}

fn route_match(criterion: &mut Criterion) {
    let three = many_routes(3);
    let thousand = many_routes(1000);
    let cases = [
        ("route_match_3_routes", &three, "/service-1/api/users/17"),
        ("route_match_1000_routes", &thousand, "/service-617/api/users/17"),
        ("route_match_1000_routes_none_matches", &thousand, "/elsewhere/api/users/17"),
    ];
    for (name, router, path) in cases {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| router.find(black_box("api.example.com"), black_box(path), &Method::GET));
        });
    }
}

/// Tokens of about 500 bytes, as identity providers make them.
fn verified(provider: &Provider, signing: &SigningKey, subject: usize) -> VerifiedToken {
    let claims = Map::from_iter([
        ("sub".to_owned(), json!(format!("user-{subject}"))),
        ("iss".to_owned(), json!("https://id.example.com/realms/shop")),
        ("aud".to_owned(), json!(["shop-api", "account"])),
        ("exp".to_owned(), json!(4_000_000_000_u64)),
        ("scope".to_owned(), json!("openid profile email orders:read orders:write")),
        ("padding".to_owned(), json!("x".repeat(120))),
    ]);
    let text = signing.sign(&claims, HeaderForm::Plain).expect("signed");
    let claims = parse(text.as_bytes(), &Limits::default()).expect("a token").into_claims();
    let names = Revocations::new(true).names(&claims, b"");
    VerifiedToken {
        text: text.into_bytes().into(),
        typ: Some("JWT".into()),
        claims,
        key: Some(Arc::clone(&provider.key_source().keys().keys()[0])),
        source: provider.key_source(),
        names,
    }
}

fn token_cache(criterion: &mut Criterion) {
    let config = config("  - { match: { path: /* }, auth: { providers: p }, upstream: app }");
    let provider = providers::load(&config.providers, None).expect("a secret needs no file").remove(0);
    let signing = SigningKey::hmac(Algorithm::HS256, &Secret::new(SECRET)).expect("a key");
    let shared = Arc::new(SharedTokens::new(ByteSize(256 << 20)));
    let filler = TokenCache::new(Some(Arc::clone(&shared)));
    let texts: Vec<_> = (0..10_000)
        .map(|subject| filler.insert(verified(&provider, &signing, subject)).token.text.clone())
        .collect();

    criterion.bench_function("token_cache_worker_hit_500b", |bencher| {
        let cache = TokenCache::new(Some(Arc::clone(&shared)));
        let text = &texts[17];
        black_box(cache.find(text));
        bencher.iter(|| cache.find(black_box(text)).is_some());
    });
    criterion.bench_function("token_cache_hit_10000_tokens_in_turn_500b", |bencher| {
        let cache = TokenCache::new(Some(Arc::clone(&shared)));
        let mut next = texts.iter().cycle();
        bencher.iter(|| cache.find(black_box(next.next().expect("it never ends"))).is_some());
    });
    criterion.bench_function("token_cache_shared_hit_500b", |bencher| {
        let mut next = texts.iter().cycle();
        bencher.iter_batched_ref(
            || TokenCache::new(Some(Arc::clone(&shared))),
            |cache| cache.find(black_box(next.next().expect("it never ends"))).is_some(),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("token_cache_miss_500b", |bencher| {
        let cache = TokenCache::new(Some(Arc::clone(&shared)));
        let mut unknown = texts[17].clone();
        let last = unknown.len() - 1;
        unknown[last] ^= 1;
        bencher.iter(|| cache.find(black_box(&unknown)).is_some());
    });
}

/// From the header of a request to who is calling, with a token that was verified before: cache, key, policy and
/// revocations.
fn authentication(criterion: &mut Criterion) {
    let config = config("  - { match: { path: /* }, auth: { providers: p }, upstream: app }");
    let providers = providers::load(&config.providers, None).expect("a secret needs no file");
    let signing = SigningKey::hmac(Algorithm::HS256, &Secret::new(SECRET)).expect("a key");
    let text = verified(&providers[0], &signing, 17).text;
    let control = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let snapshot = Arc::new(Snapshot::new(&config, &providers, None));
    let worker = Worker::new(snapshot, Arc::new(Metrics::new()), None, control.handle().clone());
    let bearer = [b"Bearer ".as_slice(), &text].concat();
    let request =
        Request::get("http://localhost/").header(AUTHORIZATION, bearer).body(()).expect("a request");
    let (head, ()) = request.into_parts();
    let known = || {
        let mut outcome = pin!(worker.knows_caller(0, black_box(&head), UnixTime(1_800_000_000)));
        // A known token waits for nothing.
        outcome.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert_eq!(known(), Poll::Ready(true));
    criterion.bench_function("header_to_principal_hot_500b", |bencher| bencher.iter(known));
}

criterion_group!(benches, route_match, token_cache, authentication);
criterion_main!(benches);
