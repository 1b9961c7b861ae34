//! Tokens that only their provider knows: asked about once, remembered within bounds, and never mistaken for bad ones
//! while nobody answers.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Answer, Config, Idp, Message, Protocol, Reply, Step, Tollgate, Upstream, claims, config, now, within,
};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

const ISSUER: &str = "https://opaque.example.test";

/// An introspection endpoint, whose answers can be changed while it runs.
struct Endpoint {
    server: Upstream,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
}

impl Endpoint {
    /// It knows no token.
    async fn start() -> Self {
        let replies: Arc<Mutex<HashMap<String, Reply>>> = Arc::default();
        let current = Arc::clone(&replies);
        let server = Upstream::start(move |request| {
            let reply = current.lock().unwrap().get(&token_asked(request)).cloned();
            reply.unwrap_or_else(|| Reply::json(json!({ "active": false })))
        })
        .await;
        Self { server, replies }
    }

    fn answer(&self, token: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(token.to_owned(), reply);
    }

    /// An active token.
    fn active(&self, token: &str, members: Value) {
        self.answer(token, Reply::json(active(members)));
    }

    fn calls(&self) -> usize {
        self.server.requests_seen()
    }
}

/// The members of a token that the gateway takes, with changes.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn active(changes: Value) -> Value {
    let mut members = json!({
        "active": true, "iss": ISSUER, "aud": "api", "sub": "ada", "client_id": "web", "token_type": "refresh",
        "exp": now() + 300,
    });
    members.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    members
}

/// The tokens of the tests need no decoding.
fn token_asked(request: &Message) -> String {
    let form = String::from_utf8(request.body.clone()).unwrap();
    form.strip_prefix("token=").unwrap().strip_suffix("&token_type_hint=access_token").unwrap().to_owned()
}

/// The file's entry for an endpoint, over plain HTTP on loopback.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn introspected(url: &str, options: Value) -> Value {
    let mut introspection = json!({
        "endpoint": format!("{url}/introspect"), "client_id": "gate way", "client_secret": "${CLIENT_SECRET}",
    });
    introspection.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    json!({
        "issuer": ISSUER,
        "introspection": introspection,
        "audiences": ["api"],
        "fetch": { "timeout": "1s", "allow_http": true, "allow_private_addresses": true },
    })
}

/// A gateway whose routes take tokens of `opaque` at `/`, and at `/both` those of `idp` too.
fn gateway(url: &str, options: Value, idp: &Idp, app: &Upstream) -> Config {
    config()
        .env("CLIENT_SECRET", "s3cret+of the:gate")
        .provider("idp", idp)
        .set("providers.opaque", introspected(url, options))
        .push_route(json!({
            "match": { "path": "/*" }, "auth": { "providers": ["opaque"] }, "upstream": app.url(),
            "identity": { "headers": {
                "X-User-Id": "sub", "X-Client": "client_id", "X-Auth-Issuer": { "from": "issuer" },
            } },
        }))
        .push_route(json!({
            "match": { "path": "/both" }, "auth": { "providers": ["idp", "opaque"] }, "upstream": app.url(),
        }))
}

fn idp() -> Idp {
    Idp::new(Algorithm::ES256)
}

struct Scene {
    app: Upstream,
    idp: Idp,
    endpoint: Endpoint,
    gate: Tollgate,
}

impl Scene {
    async fn with(options: Value) -> Self {
        let (app, idp, endpoint) = (Upstream::echo().await, idp(), Endpoint::start().await);
        let gate = Tollgate::start(gateway(&endpoint.server.url(), options, &idp, &app)).await;
        Self { app, idp, endpoint, gate }
    }

    async fn ask(&self, token: &str) -> Answer {
        self.gate.get("/").bearer(token).await
    }

    async fn count(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.gate.metrics().await.sum(name, labels)
    }

    async fn refusals(&self, reason: &str) -> f64 {
        self.count("tollgate_refusals_total", &[("reason", reason)]).await
    }
}

fn is_503(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), (Some("1"), None));
}

#[tokio::test]
async fn an_active_token_passes_with_its_members_as_claims() {
    let scene = Scene::with(json!({})).await;
    scene.endpoint.active("opaque-1", json!({}));
    assert_eq!(scene.ask("opaque-1").await.status, 200);
    let seen = scene.app.only_request();
    let header = |name| seen.header(name).unwrap_or_default().to_owned();
    assert_eq!(
        [header("x-user-id"), header("x-client"), header("x-auth-issuer")],
        ["ada", "web", ISSUER].map(str::to_owned)
    );
    let asked = scene.endpoint.server.only_request();
    assert_eq!((asked.method(), asked.target()), ("POST", "/introspect"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.body, b"token=opaque-1&token_type_hint=access_token");
    // base64 of `gate+way:s3cret%2Bof+the%3Agate`.
    let basic = "Basic Z2F0ZSt3YXk6czNjcmV0JTJCb2YrdGhlJTNBZ2F0ZQ==";
    assert_eq!(asked.header("authorization"), Some(basic));
}

#[tokio::test]
async fn neither_tokens_nor_credentials_are_printed() {
    let scene = Scene::with(json!({})).await;
    scene.endpoint.active("opaque-good", json!({}));
    scene.endpoint.answer("opaque-failing", Reply::new(401, "s3cret+of the:gate opaque-failing"));
    for token in ["opaque-good", "opaque-bad", "opaque-failing"] {
        scene.ask(token).await;
    }
    let lines = scene.gate.stop().await.lines.join("\n");
    assert!(lines.contains("can't introspect tokens"), "{lines}");
    for secret in ["s3cret", "czNjcmV0", "Z2F0ZSt3YXk6", "opaque-good", "opaque-bad", "opaque-failing"] {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
}

#[tokio::test]
async fn an_inactive_token_is_401_with_a_reason_of_its_own_and_remembered_for_a_while() {
    let scene = Scene::with(json!({ "negative_cache": "2s" })).await;
    for _ in 0..5 {
        let answer = scene.ask("opaque-1").await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    assert_eq!(scene.endpoint.calls(), 1);
    assert!(scene.refusals("inactive_token").await >= 5.0);
    scene.endpoint.active("opaque-1", json!({}));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(scene.ask("opaque-1").await.status, 200);
}

#[tokio::test]
async fn a_hundred_requests_at_once_cause_one_call() {
    let (app, idp, go) = (Upstream::echo().await, idp(), Arc::new(Notify::new()));
    let body = active(json!({})).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let server =
        Upstream::scripted([Step::Read, Step::Await(Arc::clone(&go)), Step::send(&answer), Step::Stall])
            .await;
    let mut file = gateway(&server.url(), json!({}), &idp, &app);
    file = file.set("providers.opaque.fetch.timeout", json!("20s"));
    let gate = Tollgate::start(file).await;
    let client = gate.client(Protocol::Http2);
    let connections = [client.connect().await, client.connect().await];
    let requests: Vec<_> =
        (0..100).map(|number| connections[number % 2].get("/").bearer("opaque-1").spawn()).collect();
    gate.metrics_until("99 wait with the first", |metrics| {
        metrics.sum("tollgate_introspection_lookups_total", &[("result", "joined")]) >= 99.0
    })
    .await;
    go.notify_one();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!((server.requests_seen(), server.connections_seen()), (1, 1));
}

#[tokio::test]
async fn an_answer_counts_for_cache_and_no_longer_than_exp() {
    let scene = Scene::with(json!({ "cache": "3s" })).await;
    scene.endpoint.active("lasting", json!({}));
    scene.endpoint.active("ending", json!({ "exp": now() + 3 }));
    for token in ["lasting", "lasting", "ending", "ending"] {
        assert_eq!(scene.ask(token).await.status, 200);
    }
    assert_eq!(scene.endpoint.calls(), 2);
    assert!(
        (scene.count("tollgate_introspection_lookups_total", &[("result", "hit")]).await - 2.0).abs() < 0.1
    );
    scene.endpoint.replies.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    for token in ["lasting", "ending"] {
        assert_eq!(scene.ask(token).await.status, 401, "{token} was revoked");
    }
    // A long cache does not outlive the token either.
    let scene = Scene::with(json!({ "cache": "1h" })).await;
    scene.endpoint.active("ending", json!({ "exp": now() + 3 }));
    assert_eq!(scene.ask("ending").await.status, 200);
    scene.endpoint.replies.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(scene.ask("ending").await.status, 401);
}

#[tokio::test]
async fn caches_of_no_time_remember_nothing() {
    let scene = Scene::with(json!({ "cache": "0s", "negative_cache": "0s" })).await;
    scene.endpoint.active("opaque-1", json!({}));
    for _ in 0..2 {
        assert_eq!(scene.ask("opaque-1").await.status, 200);
        assert_eq!(scene.ask("opaque-2").await.status, 401);
    }
    assert_eq!(scene.endpoint.calls(), 4);
}

#[tokio::test]
async fn keys_of_any_issuer_judge_all_jwts_but_those_of_the_endpoints_own_issuer() {
    let (app, idp, endpoint) = (Upstream::echo().await, idp(), Endpoint::start().await);
    let mut file = gateway(&endpoint.server.url(), json!({}), &idp, &app);
    file = file.set("providers.idp.issuer", json!("any"));
    let gate = Tollgate::start(file).await;
    let mut stranger = Idp::new(Algorithm::ES256);
    "https://stranger.example.test".clone_into(&mut stranger.issuer);
    assert_eq!(gate.get("/both").bearer(&idp.sign(claims("ada"))).await.status, 200);
    assert_eq!(gate.get("/both").bearer(&stranger.sign(claims("ada"))).await.status, 401);
    assert_eq!(endpoint.calls(), 0);
    ISSUER.clone_into(&mut stranger.issuer);
    assert_eq!(gate.get("/both").bearer(&stranger.sign(claims("ada"))).await.status, 401);
    assert_eq!(gate.get("/both").bearer("opaque-1").await.status, 401);
    assert_eq!(endpoint.calls(), 2);
}

#[tokio::test]
async fn the_rules_of_the_provider_hold_for_an_active_token() {
    let scene = Scene::with(json!({})).await;
    for (number, (reason, changes)) in [
        ("wrong_audience", json!({ "aud": "shop" })),
        ("wrong_audience", json!({ "aud": null })),
        ("unknown_issuer", json!({ "iss": "https://other.example.test" })),
        ("expired", json!({ "exp": now() - 60 })),
        ("not_yet_valid", json!({ "nbf": now() + 600 })),
    ]
    .into_iter()
    .enumerate()
    {
        let (token, before) = (format!("opaque-{number}"), scene.refusals(reason).await);
        scene.endpoint.active(&token, changes);
        assert_eq!(scene.ask(&token).await.status, 401, "{reason}");
        assert!(scene.refusals(reason).await > before, "{reason}");
    }
    scene.endpoint.active("bare", json!({ "iss": null, "exp": null, "token_type": "Bearer" }));
    assert_eq!(scene.ask("bare").await.status, 200);
}

#[tokio::test]
async fn what_is_no_answer_is_503_and_nobody_follows_a_redirect() {
    let elsewhere = Upstream::echo().await;
    let scene = Scene::with(json!({})).await;
    let good = active(json!({})).to_string();
    let replies = [
        ("status", Reply::new(500, good.clone())),
        ("status", Reply::new(401, r#"{"error":"invalid_client"}"#)),
        ("status", Reply::new(204, "")),
        ("redirect", Reply::new(307, "").field("Location", &elsewhere.url())),
        ("malformed", Reply::new(200, "<!doctype html><title>Maintenance</title>")),
        ("malformed", Reply::new(200, "")),
        ("malformed", Reply::new(200, "[]")),
        ("malformed", Reply::json(json!({}))),
        ("malformed", Reply::json(active(json!({ "sub": 7 })))),
        ("malformed", Reply::json(active(json!({ "exp": "soon" })))),
        ("malformed", Reply::json(json!({ "keys": [] }))),
        ("malformed", Reply::json(json!({ "sub": "ada" }))),
        ("malformed", Reply::json(json!({ "active": "true", "sub": "ada" }))),
        ("malformed", Reply::new(200, r#"{"active":false,"active":true}"#)),
        ("too_large", Reply::new(200, vec![b' '; 10 << 20])),
    ];
    for (number, (outcome, reply)) in replies.into_iter().enumerate() {
        let token = format!("opaque-{number}");
        scene.endpoint.answer(&token, reply);
        is_503(&scene.ask(&token).await);
        let labels = [("provider", "opaque"), ("outcome", outcome)];
        assert!(scene.count("tollgate_introspection_calls_total", &labels).await >= 1.0, "{outcome}");
        scene.endpoint.answer(&token, Reply::new(200, good.clone()));
        assert_eq!(scene.ask(&token).await.status, 200, "no failure is remembered: {outcome}");
    }
    assert_eq!(elsewhere.connections_seen(), 0);
    assert!(scene.refusals("introspection_unavailable").await >= 10.0);
}

#[tokio::test]
async fn an_endpoint_that_hangs_drips_breaks_off_or_is_gone_is_503_and_harms_nobody_else() {
    let never = Arc::new(Notify::new());
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let drip = [Step::Read, Step::send(head)]
        .into_iter()
        .chain((0..40).flat_map(|_| [Step::send(" "), Step::Await(Arc::clone(&never))]));
    let gone = Upstream::echo().await.url();
    let much = " ".repeat(0x100_000);
    let endless_body =
        Step::send(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{much}\r\n"));
    let endless_head = Step::send(&format!("HTTP/1.1 200 OK\r\nX-Much: {much}"));
    let servers = [
        Upstream::scripted([Step::Stall]).await,
        Upstream::scripted([Step::Read, Step::Stall]).await,
        Upstream::scripted(drip.collect::<Vec<_>>()).await,
        Upstream::scripted([Step::Read, Step::send(head), Step::send("{\"active\":true")]).await,
        Upstream::scripted([Step::Read, Step::send("SSH-2.0-OpenSSH_9.9\r\n\r\n")]).await,
        Upstream::scripted([Step::Read, endless_body, Step::Stall]).await,
        Upstream::scripted([Step::Read, endless_head, Step::Stall]).await,
    ];
    let dripping = tokio::spawn(async move {
        loop {
            never.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for url in servers.iter().map(Upstream::url).chain([gone]) {
        let (app, idp) = (Upstream::echo().await, idp());
        let gate = Tollgate::start(gateway(&url, json!({}), &idp, &app)).await;
        let opaque = gate.get("/both").bearer("opaque-1").spawn();
        let jwt = within("a JWT", async { gate.get("/both").bearer(&idp.sign(claims("ada"))).await }).await;
        assert_eq!(jwt.status, 200, "{url}");
        is_503(&opaque.await.unwrap());
        assert_eq!(gate.get("/both").await.status, 401, "no token at all");
    }
    dripping.abort();
}

#[tokio::test]
async fn the_last_answer_counts_while_the_endpoint_is_down_if_the_file_says_so() {
    let options = json!({ "cache": "0s", "on_error": "stale", "stale_if_error": "8s" });
    let scene = Scene::with(options).await;
    scene.endpoint.active("lasting", json!({}));
    scene.endpoint.active("ending", json!({ "exp": now() + 4 }));
    scene.endpoint.active("revoked", json!({}));
    let asked = std::time::Instant::now();
    for token in ["lasting", "ending", "revoked"] {
        assert_eq!(scene.ask(token).await.status, 200, "{token}");
    }
    scene.endpoint.answer("revoked", Reply::json(json!({ "active": false })));
    assert_eq!(scene.ask("revoked").await.status, 401);

    for token in ["lasting", "ending", "revoked", "unknown"] {
        scene.endpoint.answer(token, Reply::new(500, ""));
    }
    assert_eq!(scene.ask("lasting").await.status, 200);
    assert_eq!(scene.ask("ending").await.status, 200);
    is_503(&scene.ask("unknown").await);
    assert!(scene.count("tollgate_introspection_lookups_total", &[("result", "stale")]).await >= 2.0);
    // What was said to be inactive does not come back, whatever was said before.
    within("the end of the negative answer", async {
        while scene.ask("revoked").await.status != 503 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(4500).saturating_sub(asked.elapsed())).await;
    is_503(&scene.ask("ending").await);
    within("the end of the bound", async {
        while scene.ask("lasting").await.status == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(asked.elapsed() >= Duration::from_secs(8), "{:?}", asked.elapsed());
    is_503(&scene.ask("lasting").await);
    scene.endpoint.active("lasting", json!({}));
    assert_eq!(scene.ask("lasting").await.status, 200);
}

#[tokio::test]
async fn nobody_waits_for_an_endpoint_that_hangs_where_there_is_a_last_answer() {
    let (app, idp) = (Upstream::echo().await, idp());
    let (answer, down) = (active(json!({})).to_string(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let server = hanging_after(&answer, Arc::clone(&down)).await;
    let options = json!({ "cache": "0s", "on_error": "stale", "max_concurrent": 1 });
    let mut file = gateway(&server, options, &idp, &app);
    file = file.set("providers.opaque.fetch.timeout", json!("2s"));
    let gate = Tollgate::start(file).await;
    assert_eq!(gate.get("/").bearer("opaque-1").await.status, 200);
    down.store(1, std::sync::atomic::Ordering::SeqCst);
    // The first one finds out.
    assert_eq!(gate.get("/").bearer("opaque-1").await.status, 200);
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(gate.get("/").bearer("opaque-1").await.status, 200, "also beyond the caps");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    is_503(&gate.get("/").bearer("opaque-2").await);
}

/// Answers each connection with this body, until `down` is not 0: then it reads and says nothing.
async fn hanging_after(body: &str, down: Arc<std::sync::atomic::AtomicUsize>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, hangs) = (answer.clone(), down.load(std::sync::atomic::Ordering::SeqCst) != 0);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                if !hangs {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                stream.read_to_end(&mut Vec::new()).await.ok();
            });
        }
    });
    url
}

#[tokio::test]
async fn beyond_the_caps_a_token_is_503_and_the_endpoint_hears_nothing_of_it() {
    let (app, idp) = (Upstream::echo().await, idp());
    let hanging = Upstream::scripted([Step::Read, Step::Stall]).await;
    let options = json!({ "max_concurrent": 2 });
    let mut file = gateway(&hanging.url(), options, &idp, &app);
    file = file.set("providers.opaque.fetch.timeout", json!("5s"));
    let gate = Tollgate::start(file).await;
    let open: Vec<_> = (0..2).map(|n| gate.get("/").bearer(&format!("opaque-{n}")).spawn()).collect();
    hanging.request(2).await;
    is_503(&gate.get("/").bearer("opaque-3").await);
    assert_eq!(hanging.requests_seen(), 2);
    let busy = [("reason", "introspection_busy")];
    assert!(gate.metrics().await.sum("tollgate_refusals_total", &busy) >= 1.0);
    open.iter().for_each(tokio::task::JoinHandle::abort);

    let scene = Scene::with(json!({ "max_per_second": 1 })).await;
    let started = std::time::Instant::now();
    let mut busy = 0;
    for number in 0..20 {
        let status = scene.ask(&format!("opaque-{number}")).await.status;
        busy += usize::from(status == 503);
    }
    let allowed = 2 + usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(scene.endpoint.calls() <= allowed, "{} of {allowed}", scene.endpoint.calls());
    assert_eq!(scene.endpoint.calls() + busy, 20);
}

#[tokio::test]
async fn a_jwt_of_another_provider_is_never_shown_to_the_endpoint() {
    let scene = Scene::with(json!({})).await;
    let idp = &scene.idp;
    let mut stranger = Idp::new(Algorithm::ES256);
    "https://stranger.example.test".clone_into(&mut stranger.issuer);
    let mut forger = Idp::new(Algorithm::ES256);
    forger.issuer.clone_from(&idp.issuer);
    let good = idp.sign(claims("ada"));
    assert_eq!(scene.gate.get("/both").bearer(&good).await.status, 200);
    let mut expired = claims("ada");
    expired["exp"] = json!(now() - 600);
    let unsigned =
        support::token(r#"{"alg":"none"}"#, &json!({ "iss": idp.issuer, "sub": "ada" }).to_string(), |_| {
            Vec::new()
        });
    let bad = [idp.sign(expired), forger.sign(claims("ada")), unsigned, stranger.sign(claims("ada"))];
    for token in &bad {
        assert_eq!(scene.gate.get("/both").bearer(token).await.status, 401, "{token}");
    }
    assert_eq!(scene.endpoint.calls(), 0);
    let encrypted = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a2V5.aXY.dGV4dA.dGFn";
    assert_eq!(scene.gate.get("/both").bearer(encrypted).await.status, 401);
    assert_eq!(scene.endpoint.calls(), 0);
    // One that names the provider itself is its business.
    let mut own = Idp::new(Algorithm::ES256);
    ISSUER.clone_into(&mut own.issuer);
    let token = own.sign(claims("ada"));
    scene.endpoint.active(&token, json!({}));
    assert_eq!(scene.gate.get("/both").bearer(&token).await.status, 200);
    assert_eq!(scene.endpoint.calls(), 1);
}

/// By its text, which is its only name.
#[tokio::test]
async fn an_opaque_token_without_a_jti_is_revoked_on_this_side() {
    let (app, idp, endpoint) = (Upstream::echo().await, idp(), Endpoint::start().await);
    let file = gateway(&endpoint.server.url(), json!({}), &idp, &app)
        .set("issuer", json!({}))
        .set("providers.local", json!({ "issuer": "https://gateway.example.test", "keys": { "own": true } }));
    let home = file.write();
    home.generate_key();
    home.add_user("ada", "correct-horse");
    let scene = Scene { gate: Tollgate::start(home).await, app, idp, endpoint };
    let of_jwt = scene.idp.sign(json!({ "iss": ISSUER, "sub": "ada", "exp": now() + 300, "jti": "unsaid" }));
    for token in ["stolen", "other", &of_jwt] {
        scene.endpoint.active(token, json!({}));
        assert_eq!(scene.ask(token).await.status, 200);
    }
    let revoke = |arguments: &[&str], token: &str| {
        let arguments: Vec<&str> = ["token", "revoke"].iter().chain(arguments).copied().collect();
        scene.gate.home.run(&arguments, token)
    };
    let unending = revoke(&[], "stolen");
    assert!(!unending.status.success());
    assert!(String::from_utf8_lossy(&unending.stderr).contains("--expires-in"), "{unending:?}");
    for (arguments, token) in [(&["--expires-in", "30d"][..], "stolen"), (&[], of_jwt.as_str())] {
        let done = revoke(arguments, token);
        assert!(done.status.success(), "{done:?}");
        within("the token to be refused", async {
            while scene.ask(token).await.status != 401 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    assert!(scene.refusals("revoked").await >= 2.0);
    assert_eq!(scene.ask("other").await.status, 200);
}
