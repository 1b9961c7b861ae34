//! The trial of a new tenant, and what tenants cost.

use std::sync::Barrier;

use super::*;
use crate::base::{Algorithm, AlgorithmSet};
use crate::config::{IssuerRule, KeySource as Keys};
use crate::jwt::{HeaderForm, Limits, SigningKey};
use crate::telemetry::Metrics;
use serde_json::{Map, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

const NOW: UnixTime = UnixTime(1_000_000);

/// The tenants of a server whose answer is always the same key set, and the number of tenants that may be known.
async fn tenants(max: u32, key: &SigningKey) -> (Arc<Tenants>, Fetching) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = format!(
        "providers: {{ p: {{ issuer: 'http://login.test/{{tenant}}', keys: {{ jwks_url: 'http://{}/{{tenant}}' }}, \
         audiences: a, tenants: {{ allow: any, max: {max} }}, fetch: {{ allow_http: true, \
         allow_private_addresses: true }} }} }}\nissuer: {{}}",
        listener.local_addr().unwrap()
    );
    Handle::current().spawn(serve(listener, key_set(key)));
    let config = config::read_text(&file, std::path::Path::new("f"), &|_| None).unwrap();
    let provider = &config.providers[0];
    let (IssuerRule::Tenants(issuers), Keys::RemoteByTenant(keys)) = (&provider.issuer, &provider.keys)
    else {
        panic!("{provider:?}")
    };
    let tenants = Tenants::new(KeySourceId(0), provider, issuers, keys).unwrap();
    let control = Handle::current();
    let fetching =
        Fetching { control, metrics: Arc::new(Metrics::new()), state_directory: None, clock: || NOW };
    tenants.start_fetching(&fetching);
    (Arc::new(tenants), fetching)
}

/// The key, and as a second one the same under another name.
fn key_set(key: &SigningKey) -> String {
    let own = key.public_jwk().unwrap();
    let mut other = own.clone();
    other["kid"] = "another-key-of-the-same-length-as-a-thumbprint".into();
    json!({ "keys": [own, other] }).to_string()
}

async fn serve(listener: TcpListener, set: String) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len());
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Its first keys are fetched, without asking the budget.
fn begin(tenants: &Arc<Tenants>, tenant: &Arc<str>, fetching: &Fetching) -> watch::Receiver<Progress> {
    let (sender, progress) = watch::channel(Progress::Fetching);
    let newcomer = Arc::new(Newcomer { progress: sender, vouched: Notify::new() });
    let mut new = tenants.new_tenants();
    new.tenants.insert(Arc::clone(tenant), Arc::clone(&newcomer));
    new.fetching += 1;
    let place = Place { tenants: Arc::clone(tenants), tenant: Arc::clone(tenant), is_fetching: true };
    fetching.control.spawn(introduce(place, newcomer, fetching.clone()));
    progress
}

async fn source_of(mut progress: watch::Receiver<Progress>) -> Arc<KeySource> {
    match &*progress.wait_for(|progress| !matches!(progress, Progress::Fetching)).await.unwrap() {
        Progress::There(source) => Arc::clone(source),
        _ => panic!("no keys came"),
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_vouches_for_end_with_the_trial() {
    let (tenants, fetching) = tenants(10, &SigningKey::generate(Algorithm::ES256).unwrap()).await;
    let source = source_of(begin(&tenants, &"a".into(), &fetching)).await;
    assert!(matches!(tenants.keys_of("a", NOW), KeysOf::Source(_)), "a token may be tried with them");
    tokio::time::sleep(ON_TRIAL * 2).await;
    assert!(source.is_closed() && !tenants.knows("a"));
    tenants.vouch_for(&source, NOW);
    assert!(matches!(tenants.keys_of("a", NOW), KeysOf::ToCome), "too late");
}

#[tokio::test]
async fn keys_that_a_token_vouched_for_stay() {
    let (tenants, fetching) = tenants(10, &SigningKey::generate(Algorithm::ES256).unwrap()).await;
    let source = source_of(begin(&tenants, &"a".into(), &fetching)).await;
    tenants.vouch_for(&source, NOW);
    assert!(tenants.knows("a") && !source.is_closed());
    assert!(tenants.has(&source, "a", NOW) && !tenants.has(&source, "b", NOW));
}

#[tokio::test]
async fn keys_that_two_tokens_vouch_for_at_once_stay() {
    let (tenants, fetching) = tenants(100, &SigningKey::generate(Algorithm::ES256).unwrap()).await;
    for number in 0..20 {
        let source = source_of(begin(&tenants, &number.to_string().into(), &fetching)).await;
        let together = Barrier::new(3);
        let new = tenants.new_tenants();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    together.wait();
                    tenants.vouch_for(&source, NOW);
                });
            }
            together.wait();
            // Both get their turn to see that the tenant is not known, and to wait for the lock.
            for _ in 0..1_000 {
                std::thread::yield_now();
            }
            drop(new);
        });
        tenants.known.run_pending_tasks();
        assert!(tenants.knows(&number.to_string()) && !source.is_closed());
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// With all that is held for each: two RSA keys of 2048 bits, of which one verified a token, the source, and the
/// task that refreshes.
#[tokio::test]
#[ignore = "measures the memory of the whole process, so it must run alone"]
async fn ten_thousand_tenants_fit_in_64_mib() {
    let key = SigningKey::generate(Algorithm::RS256).unwrap();
    let token = key.sign(&Map::new(), HeaderForm::WithKid).unwrap();
    let token = crate::jwt::parse(token.as_bytes(), &Limits::default()).unwrap();
    let (tenants, fetching) = tenants(10_000, &key).await;
    let names: Vec<Arc<str>> =
        (0..10_000).map(|number| format!("{number:08x}-2222-3333-4444-555555555555").into()).collect();
    let before = resident();
    for some in names.chunks(MOST_FETCHES) {
        let fetches: Vec<_> = some.iter().map(|name| begin(&tenants, name, &fetching)).collect();
        for fetch in fetches {
            let source = source_of(fetch).await;
            let only = AlgorithmSet::EMPTY.with(Algorithm::RS256);
            assert!(crate::jwt::verify(&token, &source.keys(), only).is_ok());
            tenants.vouch_for(&source, NOW);
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    tenants.known.run_pending_tasks();
    let used = resident() - before;
    assert_eq!((tenants.known.entry_count(), tenants.new_tenants().tenants.len()), (10_000, 0));
    assert!(names.iter().all(|name| tenants.knows(name)));
    println!("{used} bytes, {} for each tenant", used / 10_000);
    assert!(used <= 64 << 20, "{} MiB", used >> 20);
}
