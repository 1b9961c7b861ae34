//! Keys that are fetched from a provider's server: rotated, refused, missing, late, and the server gone.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, Config, Home, Idp, Message, Reply, Step, Tollgate, Upstream, claims, config, within};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

/// A provider's server, whose answer can be changed while it runs.
struct KeyServer {
    server: Upstream,
    reply: Arc<Mutex<Reply>>,
}

impl KeyServer {
    async fn start(reply: Reply) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let current = Arc::clone(&reply);
        let server = Upstream::start(move |_| current.lock().unwrap().clone()).await;
        Self { server, reply }
    }

    async fn with(idps: &[&Idp]) -> Self {
        Self::start(key_set(idps)).await
    }

    fn answer(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn url(&self) -> String {
        format!("{}/keys", self.server.url())
    }

    fn fetches(&self) -> usize {
        self.server.requests_seen()
    }
}

fn key_set(idps: &[&Idp]) -> Reply {
    Reply::json(json!({ "keys": idps.iter().map(|idp| idp.jwk()).collect::<Vec<_>>() }))
}

/// An issuer with a name of its own.
fn idp(name: &str) -> Idp {
    let mut idp = Idp::new(Algorithm::ES256);
    idp.issuer = format!("https://{name}.example.test");
    idp
}

/// A key of the same issuer.
fn another_key(idp: &Idp) -> Idp {
    let mut other = Idp::new(Algorithm::ES256);
    other.issuer.clone_from(&idp.issuer);
    other
}

/// A provider whose keys are fetched from here, over plain HTTP on loopback.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn fetched(idp: &Idp, url: &str, refresh: Value) -> Value {
    json!({
        "issuer": idp.issuer,
        "keys": { "jwks_url": url },
        "algorithms": ["ES256"],
        "audiences": [idp.audience],
        "refresh": refresh,
        "fetch": { "timeout": "5s", "allow_http": true, "allow_private_addresses": true },
    })
}

/// Rarely enough that only what a test does starts a fetch.
fn rarely() -> Value {
    json!({ "every": "1d", "cooldown": "100ms" })
}

fn often() -> Value {
    json!({ "every": "100ms", "cooldown": "100ms" })
}

/// A gateway with one provider, `idp`, at `/`.
fn one_provider(idp: &Idp, url: &str, refresh: Value, app: &Upstream) -> Config {
    config().set("providers.idp", fetched(idp, url, refresh)).route("/*", "idp", app)
}

async fn ask(gate: &Tollgate, idp: &Idp) -> Answer {
    gate.get("/").bearer(&idp.sign(claims("ada"))).await
}

/// Asks with a fresh token again and again.
async fn until_status(gate: &Tollgate, idp: &Idp, status: u16) -> Answer {
    within(&format!("an answer {status}"), async {
        loop {
            let answer = ask(gate, idp).await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn until_fetched(gate: &Tollgate, provider: &str, outcome: &str, times: f64) {
    let labels = [("provider", provider), ("outcome", outcome)];
    gate.metrics_until(&format!("{outcome} of {provider}"), |metrics| {
        metrics.sum("tollgate_key_fetches_total", &labels) >= times
    })
    .await;
}

async fn fetches_so_far(gate: &Tollgate, outcome: &str) -> f64 {
    gate.metrics().await.sum("tollgate_key_fetches_total", &[("outcome", outcome)])
}

#[tokio::test]
async fn the_first_request_after_a_start_finds_the_keys() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    assert_eq!(ask(&gate, &another_key(&idp)).await.status, 401);
    let request = server.server.request(1).await;
    assert_eq!((request.method(), request.target()), ("GET", "/keys"));
    let metrics = gate.metrics().await;
    assert!((metrics.sum("tollgate_keys_usable", &[("provider", "idp")]) - 1.0).abs() < 0.1);
    assert!(metrics.sum("tollgate_keys_fetched_timestamp_seconds", &[("provider", "idp")]) > 1e9);
}

#[tokio::test]
async fn a_rotation_under_load_refuses_no_good_token_and_ends_those_of_the_removed_key() {
    let (app, staying) = (Upstream::echo().await, idp("id"));
    let (leaving, coming) = (another_key(&staying), another_key(&staying));
    let server = KeyServer::with(&[&staying, &leaving]).await;
    let gate = Arc::new(Tollgate::start(one_provider(&staying, &server.url(), rarely(), &app)).await);

    let old = leaving.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    let (stop, mut load) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), Vec::new());
    for number in 0..4 {
        let client = gate.client(support::Protocol::Http1);
        let tokens: Vec<String> = (0..50).map(|n| staying.sign(claims(&format!("{number}-{n}")))).collect();
        let stop = Arc::clone(&stop);
        load.push(tokio::spawn(async move {
            let connection = client.connect().await;
            let mut sent = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = connection.get("/").bearer(&tokens[sent % tokens.len()]).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                sent += 1;
            }
            sent
        }));
    }
    server.answer(key_set(&[&staying, &coming]));
    let new = gate.get("/").bearer(&coming.sign(claims("ada"))).await;
    assert_eq!(new.status, 200, "the first token of a new key waits for it: {}", new.text());
    assert_eq!(gate.get("/").bearer(&old).await.status, 401, "verified before, and remembered");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    let (before, refused) = (server.fetches(), gate.get("/").bearer(&old).await);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    assert!(
        (2..=3).contains(&before),
        "{before}: one at start, one for the new key, one for the old at most"
    );
}

#[tokio::test]
async fn keys_outlive_the_server_that_they_came_from() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    let old = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    drop(server);
    until_fetched(&gate, "idp", "unreachable", 3.0).await;
    assert_eq!(gate.get("/").bearer(&old).await.status, 200);
    assert_eq!(ask(&gate, &idp).await.status, 200, "a token that nobody has seen");
    let warnings = gate.lines().iter().filter(|line| line.contains("can't fetch keys")).count();
    assert_eq!(warnings, 1, "once for each change of state");
}

#[tokio::test]
async fn a_provider_without_keys_is_503_and_concerns_nobody_else() {
    let (app, up, down) = (Upstream::echo().await, idp("up"), idp("down"));
    let server = KeyServer::with(&[&up]).await;
    let late = KeyServer::start(Reply::new(500, "")).await;
    let both = config()
        .set("providers.up", fetched(&up, &server.url(), rarely()))
        .set("providers.down", fetched(&down, &late.url(), often()))
        .push_route(json!({ "match": { "path": "/*" }, "auth": { "providers": ["up", "down"] }, "upstream": app.url() }));
    let gate = Tollgate::start(both).await;
    let answer = ask(&gate, &down).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), (Some("1"), None));
    assert_eq!(ask(&gate, &up).await.status, 200);
    assert_eq!(gate.get("/").await.status, 401, "no token at all");
    late.answer(key_set(&[&down]));
    until_status(&gate, &down, 200).await;
}

#[tokio::test]
async fn a_gateway_is_ready_while_a_provider_s_server_is_down_from_the_start() {
    let (app, idp) = (Upstream::echo().await, idp("down"));
    // Nobody listens there any more.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = one_provider(&idp, &format!("http://{nowhere}/keys"), often(), &app).issuer();
    let home: Home = file.into();
    home.generate_key();
    home.add_user("ada", "the-long-password-of-ada");
    let gate = Tollgate::start(home).await;
    until_fetched(&gate, "idp", "unreachable", 2.0).await;
    assert_eq!(gate.admin().get("/readyz").await.status, 200);
    assert!(gate.metrics().await.sum("tollgate_ready", &[]) >= 1.0);
    assert_eq!(ask(&gate, &idp).await.status, 503);
    assert_eq!(gate.admin().get("/readyz").await.status, 200, "nor does a token change that");
}

#[tokio::test]
async fn keys_that_are_too_old_count_no_more_even_for_remembered_tokens() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let refresh = json!({ "every": "100ms", "cooldown": "100ms", "stale_if_error": "2s" });
    let gate = Tollgate::start(one_provider(&idp, &server.url(), refresh, &app)).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    server.answer(Reply::new(500, ""));
    until_status(&gate, &idp, 503).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503, "a remembered one");
    server.answer(key_set(&[&idp]));
    until_status(&gate, &idp, 200).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
}

/// What is no key set, and the word for it.
fn bad_replies(elsewhere: &Upstream) -> Vec<(&'static str, Reply)> {
    let secret =
        json!({ "keys": [{ "kty": "oct", "kid": "a", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8" }] });
    vec![
        ("status", Reply::new(500, "")),
        ("status", Reply::new(404, key_set(&[&idp("id")]).body)),
        ("redirect", Reply::new(302, "").field("Location", &format!("{}/keys", elsewhere.url()))),
        ("no_key_set", Reply::new(200, "<!doctype html><title>Maintenance</title>")),
        ("no_key_set", Reply::json(json!({ "issuer": "https://id.example.test" }))),
        ("no_usable_key", Reply::json(json!({ "keys": [] }))),
        ("no_usable_key", Reply::json(secret)),
        ("too_large", Reply::new(200, vec![b' '; 10 << 20])),
        ("status", Reply::new(304, "")),
    ]
}

#[tokio::test]
async fn only_a_key_set_with_a_usable_key_takes_the_place_of_keys() {
    let (app, idp, elsewhere) = (Upstream::echo().await, idp("id"), Upstream::echo().await);
    let server = KeyServer::with(&[&idp]).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    for (outcome, reply) in bad_replies(&elsewhere) {
        let before = fetches_so_far(&gate, outcome).await;
        let good = fetches_so_far(&gate, "ok").await;
        server.answer(reply);
        until_fetched(&gate, "idp", outcome, before + 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 200, "{outcome}");
        server.answer(key_set(&[&idp]));
        until_fetched(&gate, "idp", "ok", good + 1.0).await;
    }
    assert_eq!(elsewhere.connections_seen(), 0, "nobody follows a redirect");
}

/// More than any answer may have, with no end in sight.
fn endless_body() -> Step {
    let chunk = " ".repeat(0x100_000);
    Step::send(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{chunk}\r\n"))
}

fn endless_head() -> Step {
    Step::send(&format!("HTTP/1.1 200 OK\r\nX-Much: {}", "x".repeat(0x100_000)))
}

#[tokio::test]
async fn a_server_that_hangs_drips_or_breaks_off_holds_nobody_up() {
    let (app, good) = (Upstream::echo().await, idp("good"));
    let key_server = KeyServer::with(&[&good]).await;
    let never = Arc::new(Notify::new());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    let drip = std::iter::once(Step::Read)
        .chain([Step::send(head)])
        .chain((0..40).flat_map(|_| [Step::send(" "), Step::Await(Arc::clone(&never))]));
    let servers = [
        ("timeout", Upstream::scripted([Step::Stall]).await),
        ("timeout", Upstream::scripted([Step::Read, Step::Stall]).await),
        ("timeout", Upstream::scripted(drip.collect::<Vec<_>>()).await),
        ("broken", Upstream::scripted([Step::Read, Step::send(head), Step::send("{\"keys\"")]).await),
        ("broken", Upstream::scripted([Step::Read, Step::send("SSH-2.0-OpenSSH_9.9\r\n\r\n")]).await),
        ("broken", Upstream::scripted([Step::Read, endless_head(), Step::Stall]).await),
        ("too_large", Upstream::scripted([Step::Read, endless_body(), Step::Stall]).await),
    ];
    let dripping = tokio::spawn(async move {
        loop {
            never.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut file = config().set("providers.good", fetched(&good, &key_server.url(), rarely()));
    file = file.route("/good", "good", &app);
    let idps: Vec<Idp> = (0..servers.len()).map(|number| idp(&format!("bad-{number}"))).collect();
    for (number, (_, server)) in servers.iter().enumerate() {
        let name = format!("bad-{number}");
        let mut provider = fetched(&idps[number], &format!("{}/keys", server.url()), often());
        provider["fetch"]["timeout"] = "500ms".into();
        file = file.set(&format!("providers.{name}"), provider).route(&format!("/{name}"), &name, &app);
    }
    let gate = Tollgate::start(file).await;
    for (number, (outcome, _)) in servers.iter().enumerate() {
        let name = format!("bad-{number}");
        until_fetched(&gate, &name, outcome, 2.0).await;
        let answer = gate.get(&format!("/{name}")).bearer(&idps[number].sign(claims("ada"))).await;
        assert_eq!(answer.status, 503, "{name}");
    }
    assert_eq!(gate.get("/good").bearer(&good.sign(claims("ada"))).await.status, 200);
    dripping.abort();
}

#[tokio::test]
async fn one_broken_key_leaves_the_others_of_its_set_in_use() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::start(Reply::json(json!({ "keys": [
        { "kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-65", "pub": "AA" },
        { "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" },
        7,
        idp.jwk(),
    ] })))
    .await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    until_fetched(&gate, "idp", "ok", 4.0).await;
    let metrics = gate.metrics().await;
    assert!((metrics.sum("tollgate_keys_skipped", &[("provider", "idp")]) - 3.0).abs() < 0.1);
    assert_eq!(gate.lines().iter().filter(|line| line.contains("skipped a key")).count(), 3, "each once");
}

#[tokio::test]
async fn a_private_address_is_not_connected_to_unless_the_file_says_so() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    for url in [server.url(), server.url().replace("127.0.0.1", "localhost")] {
        let mut provider = fetched(&idp, &url, often());
        provider["fetch"] = json!({ "allow_http": true });
        let gate = Tollgate::start(config().set("providers.idp", provider).route("/*", "idp", &app)).await;
        until_fetched(&gate, "idp", "forbidden", 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 503);
    }
    assert_eq!(server.server.connections_seen(), 0);
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let keys = key_set(&[&idp]).field("ETag", "\"one\"");
    let server = Upstream::start(move |request: &Message| match request.header("if-none-match") {
        Some("\"one\"") => Reply::new(304, "").field("ETag", "\"one\""),
        _ => keys.clone(),
    })
    .await;
    let refresh = json!({ "every": "100ms", "cooldown": "100ms", "stale_if_error": "2s" });
    let url = format!("{}/keys", server.url());
    let gate = Tollgate::start(one_provider(&idp, &url, refresh, &app)).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    // Longer than keys count without being confirmed.
    until_fetched(&gate, "idp", "unchanged", 40.0).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    assert!((fetches_so_far(&gate, "ok").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_server_with_tls_needs_a_certificate_of_an_authority_that_is_trusted() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let keys = KeyServer::with(&[&idp]).await;
    // Another gateway is the provider's server.
    let server = Tollgate::start(config().open_route("/*", &keys.server)).await;
    let url = format!("https://localhost:{}/keys", server.address().port());
    let provider = |fetch: Value| {
        let mut provider = fetched(&idp, &url, often());
        provider["fetch"] = fetch;
        provider
    };
    let trusting = json!({ "allow_private_addresses": true, "ca": "ca.pem" });
    let gate = Tollgate::start(
        config()
            .file("ca.pem", server.home.authority_pem())
            .set("providers.trusting", provider(trusting))
            .set("providers.other", provider(json!({ "allow_private_addresses": true })))
            .route("/trusting", "trusting", &app)
            .route("/other", "other", &app),
    )
    .await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/trusting").bearer(&token).await.status, 200);
    until_fetched(&gate, "other", "tls", 1.0).await;
    assert_eq!(gate.get("/other").bearer(&token).await.status, 503);
}

#[tokio::test]
async fn many_tokens_of_one_new_key_cost_one_fetch() {
    let (app, old) = (Upstream::echo().await, idp("id"));
    let new = another_key(&old);
    let server = KeyServer::with(&[&old]).await;
    let gate = Tollgate::start(one_provider(&old, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &old).await.status, 200);
    server.answer(key_set(&[&old, &new]));
    let requests: Vec<_> =
        (0..40).map(|n| gate.get("/").bearer(&new.sign(claims(&n.to_string()))).spawn()).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(server.fetches(), 2);
    let refetches = gate.metrics().await.sum("tollgate_key_refetches_total", &[("provider", "idp")]);
    assert!((refetches - 1.0).abs() < 0.1, "{refetches}");
}

#[tokio::test]
async fn a_key_that_was_replaced_under_its_name_is_found() {
    let (app, old) = (Upstream::echo().await, idp("id"));
    let mut new = another_key(&old);
    new.kid.clone_from(&old.kid);
    let server = KeyServer::with(&[&old]).await;
    let gate = Tollgate::start(one_provider(&old, &server.url(), rarely(), &app)).await;
    assert_eq!(ask(&gate, &old).await.status, 200);
    server.answer(key_set(&[&new]));
    assert_eq!(ask(&gate, &new).await.status, 200);
    assert_eq!(ask(&gate, &old).await.status, 401);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_per_cool_down() {
    const TASKS: usize = 8;
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let refresh = json!({ "every": "1d", "cooldown": "4s" });
    let gate = Tollgate::start(one_provider(&idp, &server.url(), refresh, &app)).await;
    let begun = tokio::time::Instant::now();
    let mut flood = Vec::new();
    for task in 0..TASKS {
        let client = gate.client(support::Protocol::Http1);
        let issuer = idp.issuer.clone();
        flood.push(tokio::spawn(async move {
            let connection = client.connect().await;
            for number in 0..10_000 / TASKS {
                let header = json!({ "alg": "ES256", "kid": format!("{task}-{number}") }).to_string();
                let mut payload = claims("eve");
                payload["iss"] = issuer.clone().into();
                let token = support::token(&header, &payload.to_string(), |_| vec![1; 64]);
                assert_eq!(connection.get("/").bearer(&token).await.status, 401);
            }
        }));
    }
    for task in flood {
        within("the flood's end", task).await.unwrap();
    }
    // After 0, 1, 3, 7, 11, … seconds.
    let seconds = begun.elapsed().as_secs_f64();
    let most = 1
        + [0.0, 1.0, 3.0].iter().filter(|at| seconds >= **at).count()
        + usize::try_from((begun.elapsed().as_secs() + 1) / 4).unwrap();
    assert!((2..=most).contains(&server.fetches()), "{} in {seconds} s", server.fetches());
    let metrics = gate.metrics().await;
    let refused = metrics.sum("tollgate_refusals_total", &[("reason", "unknown_key")]);
    assert!((refused - 10_000.0).abs() < 0.1, "{refused}");

    let new = another_key(&idp);
    server.answer(key_set(&[&idp, &new]));
    let before = tokio::time::Instant::now();
    until_status(&gate, &new, 200).await;
    // The flood's last fetch may have come just before the key did: one cool-down, and what a busy machine adds.
    assert!(before.elapsed() < Duration::from_millis(5_500), "{:?}", before.elapsed());
    assert_eq!(ask(&gate, &idp).await.status, 200);
}

/// What an issuer says of itself, by the origin of its server.
type Document = fn(&str) -> Value;

/// A server that has the discovery document in one form alone, made by `document` from its own URL.
async fn discovery_server(path: &'static str, keys: Reply, document: Document) -> Upstream {
    Upstream::start(move |request: &Message| {
        let origin = format!("http://{}", request.header("host").unwrap());
        match request.target() {
            "/keys" => keys.clone(),
            target if target == path => Reply::json(document(&origin)),
            _ => Reply::new(404, ""),
        }
    })
    .await
}

fn discovered(idp: &Idp) -> Value {
    let mut provider = fetched(idp, "", often());
    provider["keys"] = json!({ "discovery": true });
    provider.as_object_mut().unwrap().remove("algorithms");
    provider
}

fn own_document(origin: &str) -> Value {
    json!({ "issuer": format!("{origin}/realms/shop"), "jwks_uri": format!("{origin}/keys") })
}

#[tokio::test]
async fn keys_are_found_by_the_issuers_document_in_both_forms() {
    let app = Upstream::echo().await;
    for path in [
        "/realms/shop/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/shop",
    ] {
        let mut idp = idp("id");
        let server = discovery_server(path, key_set(&[&idp]), own_document).await;
        idp.issuer = format!("{}/realms/shop", server.url());
        let gate =
            Tollgate::start(config().set("providers.idp", discovered(&idp)).route("/*", "idp", &app)).await;
        assert_eq!(ask(&gate, &idp).await.status, 200, "{path}");
        until_fetched(&gate, "idp", "ok", 2.0).await;
        let documents = server.requests().iter().filter(|request| request.target() == path).count();
        assert!(documents >= 2, "the document is fetched again as the keys are: {documents}");
    }
}

#[tokio::test]
async fn a_document_of_another_issuer_leads_to_no_keys() {
    let app = Upstream::echo().await;
    let documents: [(&str, Document); 3] = [
        ("other_issuer", |origin| json!({ "issuer": origin, "jwks_uri": format!("{origin}/keys") })),
        ("no_keys_url", |origin| json!({ "issuer": format!("{origin}/realms/shop") })),
        (
            "forbidden",
            |origin| json!({ "issuer": format!("{origin}/realms/shop"), "jwks_uri": "ftp://127.0.0.1/keys" }),
        ),
    ];
    for (outcome, document) in documents {
        let mut idp = idp("id");
        let path = "/realms/shop/.well-known/openid-configuration";
        let server = discovery_server(path, key_set(&[&idp]), document).await;
        idp.issuer = format!("{}/realms/shop", server.url());
        let gate =
            Tollgate::start(config().set("providers.idp", discovered(&idp)).route("/*", "idp", &app)).await;
        until_fetched(&gate, "idp", outcome, 1.0).await;
        assert_eq!(ask(&gate, &idp).await.status, 503, "{outcome}");
        assert!(server.requests().iter().all(|request| request.target() != "/keys"), "{outcome}");
    }
}

#[tokio::test]
async fn a_document_server_that_misbehaves_leads_to_no_keys_and_concerns_nobody_else() {
    let (app, good, elsewhere) = (Upstream::echo().await, idp("good"), Upstream::echo().await);
    let key_server = KeyServer::with(&[&good]).await;
    let answers = |reply: Reply| Upstream::start(move |_| reply.clone());
    let redirect = Reply::new(302, "").field("Location", &elsewhere.url());
    let servers = [
        ("timeout", Upstream::scripted([Step::Read, Step::Stall]).await),
        ("too_large", Upstream::scripted([Step::Read, endless_body(), Step::Stall]).await),
        ("too_large", answers(Reply::new(200, vec![b' '; 10 << 20])).await),
        ("redirect", answers(redirect).await),
        ("no_document", answers(Reply::new(200, "<!doctype html><title>Maintenance</title>")).await),
        ("other_issuer", answers(Reply::json(json!({}))).await),
        ("status", answers(Reply::new(500, "")).await),
    ];
    let mut file = config().set("providers.good", fetched(&good, &key_server.url(), rarely()));
    file = file.route("/good", "good", &app);
    let mut idps = Vec::new();
    for (number, (_, server)) in servers.iter().enumerate() {
        let mut idp = idp("bad");
        idp.issuer = server.url();
        let mut provider = discovered(&idp);
        provider["fetch"]["timeout"] = "500ms".into();
        let name = format!("bad-{number}");
        file = file.set(&format!("providers.{name}"), provider).route(&format!("/{name}"), &name, &app);
        idps.push(idp);
    }
    let gate = Tollgate::start(file).await;
    for (number, (outcome, _)) in servers.iter().enumerate() {
        let name = format!("bad-{number}");
        until_fetched(&gate, &name, outcome, 2.0).await;
        let answer = gate.get(&format!("/{name}")).bearer(&idps[number].sign(claims("ada"))).await;
        assert_eq!(answer.status, 503, "{name}");
    }
    assert_eq!(gate.get("/good").bearer(&good.sign(claims("ada"))).await.status, 200);
    assert_eq!(elsewhere.connections_seen(), 0, "nobody follows a redirect");
}

#[tokio::test]
async fn a_restart_while_the_server_is_down_still_serves() {
    let (app, idp, state) = (Upstream::echo().await, idp("id"), tempfile::tempdir().unwrap());
    let (removed, server) = (another_key(&idp), KeyServer::with(&[&idp]).await);
    server.answer(key_set(&[&idp, &removed]));
    let file = |url: &str, refresh: Value| {
        one_provider(&idp, url, refresh, &app).set("state.directory", state.path().to_str().unwrap().into())
    };
    let url = server.url();
    let gate = Tollgate::start(file(&url, often())).await;
    let token = idp.sign(claims("ada"));
    assert_eq!(gate.get("/").bearer(&token).await.status, 200);
    server.answer(key_set(&[&idp]));
    until_status(&gate, &removed, 401).await;
    drop(server);
    gate.stop().await;

    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 200, "{}", gate.lines().join("\n"));
    assert_eq!(ask(&gate, &removed).await.status, 401, "it was withdrawn before");
    until_fetched(&gate, "idp", "unreachable", 2.0).await;
    assert_eq!(ask(&gate, &idp).await.status, 200);
    gate.stop().await;

    // Keys of one URL are not those of another.
    let gate = Tollgate::start(file(&format!("{url}/others"), often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
    gate.stop().await;

    // Their age runs on.
    let kept = state.path().join("keys-cache/idp.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    text["fetched_at"] = (support::now() - 86_500).into();
    std::fs::write(&kept, text.to_string()).unwrap();
    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
    gate.stop().await;

    // What a server may not send, a file may not hold.
    text["fetched_at"] = support::now().into();
    text["key_set"] = r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8"}]}"#.into();
    std::fs::write(&kept, text.to_string()).unwrap();
    let gate = Tollgate::start(file(&url, often())).await;
    assert_eq!(gate.get("/").bearer(&token).await.status, 503);
}

#[tokio::test]
async fn a_provider_whose_clock_differs_is_told_of_once() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(120));
    let server = KeyServer::start(key_set(&[&idp]).field("Date", &date)).await;
    let gate = Tollgate::start(one_provider(&idp, &server.url(), often(), &app)).await;
    until_fetched(&gate, "idp", "ok", 3.0).await;
    let labels = [("provider", "idp"), ("by", "date")];
    let ahead = gate.metrics().await.sum("tollgate_provider_clock_skew_seconds", &labels);
    assert!((80.0..=120.0).contains(&ahead), "{ahead}");
    assert_eq!(gate.lines().iter().filter(|line| line.contains("clock differs")).count(), 1);
}

#[tokio::test]
async fn tokens_from_the_future_tell_of_the_clock_before_they_are_refused() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let mut file = config().provider("idp", &idp).route("/*", "idp", &app);
    file = file.set("providers.idp.leeway", json!("60s"));
    let gate = Tollgate::start(file).await;
    let issued = |ahead: i64| {
        let mut claims = claims("ada");
        claims["iat"] = json!(i64::try_from(support::now()).unwrap() + ahead);
        idp.sign(claims)
    };
    let ahead = |metrics: &support::Metrics| {
        metrics.sum("tollgate_provider_clock_skew_seconds", &[("provider", "idp"), ("by", "tokens")])
    };
    let warnings = |lines: &[String]| lines.iter().filter(|line| line.contains("clock differs")).count();
    for (seconds, warned) in [(-7, 0), (20, 0), (45, 1), (50, 1)] {
        assert_eq!(gate.get("/").bearer(&issued(seconds)).await.status, 200, "{seconds}");
        gate.metrics_until(&format!("{seconds} ahead"), |metrics| {
            let floor = f64::from(i32::try_from(seconds).unwrap());
            (floor - 5.0..=floor).contains(&ahead(metrics))
        })
        .await;
        let lines = gate.lines_until("the warning", |lines| warnings(lines) >= warned).await;
        assert_eq!(warnings(&lines), warned, "{seconds}");
    }
    assert_eq!(gate.get("/").bearer(&issued(-290)).await.status, 200);
    assert_eq!(gate.get("/").bearer(&issued(600)).await.status, 401);
    gate.metrics_until("what is refused tells too", |metrics| ahead(metrics) > 500.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_fetches_keys_and_keeps_none() {
    let (app, idp) = (Upstream::echo().await, idp("id"));
    let server = KeyServer::with(&[&idp]).await;
    let home = one_provider(&idp, &server.url(), rarely(), &app).write();
    let inspect = |token: String| {
        let output = home.command(["token", "inspect", "--config", "gateway.yaml", &token]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (good, bad) = (idp.sign(claims("ada")), another_key(&idp).sign(claims("ada")));
    let (taken, shown) = tokio::task::block_in_place(|| inspect(good.clone()));
    assert!(taken && shown.contains("provider idp: accepted"), "{shown}");
    let (taken, shown) = tokio::task::block_in_place(|| inspect(bad));
    assert!(!taken && shown.contains("unknown_key"), "{shown}");
    assert!(!home.path("data").exists(), "nothing was kept");
    server.answer(Reply::new(500, ""));
    let (taken, shown) = tokio::task::block_in_place(|| inspect(good));
    assert!(!taken && shown.contains("keys_unavailable"), "{shown}");
}
