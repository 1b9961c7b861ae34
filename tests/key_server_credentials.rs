//! What the gateway proves itself with to a provider's server, and to no other.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Authority, Config, Home, Idp, Message, Reply, Tollgate, Upstream, claims, config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate::base::Algorithm;

const TOKEN: &str = "the-token-of-the-gateway";

fn key_set(idp: &Idp) -> Reply {
    Reply::json(json!({ "keys": [idp.jwk()] }))
}

fn idp() -> Idp {
    Idp::new(Algorithm::ES256)
}

/// A server that answers with the keys whoever says this in `Authorization`, and with what it got anybody else.
async fn guarded(idp: &Idp, authorization: &'static str) -> Upstream {
    let keys = key_set(idp);
    Upstream::start(move |request: &Message| match request.header("authorization") {
        Some(got) if got == authorization => keys.clone(),
        got => Reply::new(401, got.unwrap_or("nothing").to_owned()),
    })
    .await
}

/// A provider whose keys are fetched with this credential.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn provider(idp: &Idp, keys: Value, credential: Value) -> Value {
    json!({
        "issuer": idp.issuer,
        "keys": keys,
        "algorithms": ["ES256"],
        "audiences": [idp.audience],
        "refresh": { "every": "100ms", "cooldown": "100ms" },
        "fetch": { "allow_http": true, "allow_private_addresses": true, "credential": credential },
    })
}

fn one_provider(idp: &Idp, url: &str, credential: Value, app: &Upstream) -> Config {
    let keys = json!({ "jwks_url": format!("{url}/keys") });
    config().set("providers.idp", provider(idp, keys, credential)).route("/*", "idp", app)
}

async fn until_fetched(gate: &Tollgate, outcome: &str) {
    gate.metrics_until(outcome, |metrics| {
        metrics.sum("tollgate_key_fetches_total", &[("provider", "idp"), ("outcome", outcome)]) >= 1.0
    })
    .await;
}

async fn is_served(gate: &Tollgate, idp: &Idp) {
    let answer = gate.get("/").bearer(&idp.sign(claims("ada"))).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gate.lines().join("\n"));
}

/// Ends the gateway and looks through all that it said.
async fn printed_nothing_of(gate: Tollgate, secrets: &[&str]) {
    let lines = gate.stop().await.lines.join("\n");
    for secret in secrets {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_sent_and_never_printed() {
    let (app, idp) = (Upstream::echo().await, idp());
    let server = guarded(&idp, "Bearer the-token-of-the-gateway").await;
    let file = one_provider(&idp, &server.url(), json!({ "bearer": "${TOKEN}" }), &app);
    let gate = Tollgate::start(file.clone().env("TOKEN", TOKEN)).await;
    is_served(&gate, &idp).await;
    printed_nothing_of(gate, &[TOKEN]).await;
    // What the server says of a token that it does not take holds the token.
    let gate = Tollgate::start(file.env("TOKEN", "the-wrong-token")).await;
    until_fetched(&gate, "status").await;
    printed_nothing_of(gate, &["the-wrong-token"]).await;
}

#[tokio::test]
async fn a_name_and_password_are_sent_by_basic_and_never_printed() {
    let (app, idp) = (Upstream::echo().await, idp());
    // base64 of `gate:pass:word`.
    let server = guarded(&idp, "Basic Z2F0ZTpwYXNzOndvcmQ=").await;
    let credential = json!({ "basic": { "username": "gate", "password": "${PASSWORD}" } });
    let file = one_provider(&idp, &server.url(), credential, &app).env("PASSWORD", "pass:word");
    let gate = Tollgate::start(file).await;
    is_served(&gate, &idp).await;
    printed_nothing_of(gate, &["pass:word", "Z2F0ZTp"]).await;
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_for_each_fetch() {
    let (app, idp) = (Upstream::echo().await, idp());
    let server = guarded(&idp, "Bearer second").await;
    let home: Home = one_provider(&idp, &server.url(), json!({ "bearer": "file:secrets/token" }), &app)
        .file("secrets/token", "first\n")
        .write();
    let gate = Tollgate::start(home).await;
    until_fetched(&gate, "status").await;
    assert_eq!(server.request(1).await.header("authorization"), Some("Bearer first"));
    gate.home.write("secrets/token", "second\n");
    until_fetched(&gate, "ok").await;
    is_served(&gate, &idp).await;
    std::fs::remove_file(gate.home.path("secrets/token")).unwrap();
    until_fetched(&gate, "credential").await;
    is_served(&gate, &idp).await;
}

/// Where an issuer's document is, which names keys on another server.
async fn document_server(keys: String) -> Upstream {
    Upstream::start(move |request: &Message| {
        let origin = format!("http://{}", request.header("host").unwrap());
        Reply::json(json!({ "issuer": origin, "jwks_uri": keys }))
    })
    .await
}

#[tokio::test]
async fn a_server_that_only_a_document_names_gets_no_credential() {
    let (app, mut idp) = (Upstream::echo().await, idp());
    let keys = guarded(&idp, "Bearer the-token-of-the-gateway").await;
    let documents = document_server(format!("{}/keys", keys.url())).await;
    idp.issuer = documents.url();
    let file = |credential: Value| {
        let provider = provider(&idp, json!({ "discovery": true }), credential);
        config().env("TOKEN", TOKEN).set("providers.idp", provider).route("/*", "idp", &app)
    };
    let gate = Tollgate::start(file(json!({ "bearer": "${TOKEN}" }))).await;
    until_fetched(&gate, "status").await;
    gate.lines_until("the remedy", |lines| lines.iter().any(|line| line.contains("also_to"))).await;
    assert_eq!(documents.request(1).await.header("authorization"), Some("Bearer the-token-of-the-gateway"));
    assert!(keys.requests().iter().all(|request| request.header("authorization").is_none()));
    drop(gate);

    let gate = Tollgate::start(file(json!({ "bearer": "${TOKEN}", "also_to": [keys.url()] }))).await;
    is_served(&gate, &idp).await;
}

#[tokio::test]
async fn a_client_certificate_opens_the_server_that_wants_one() {
    let (app, idp, authority) = (Upstream::echo().await, idp(), Authority::new());
    let url = server_for_clients(&authority, key_set(&idp).body).await;
    let own = authority.issue_to_client("gate");
    let fetch = |own: bool| {
        let mut fetch = json!({ "allow_private_addresses": true, "ca": "ca.pem" });
        if own {
            fetch["client_certificate"] = json!({ "certificate": "gate.pem", "key": "gate.key" });
        }
        fetch
    };
    for (with_own, outcome) in [(true, "ok"), (false, "broken")] {
        let mut file = one_provider(&idp, &url, json!(null), &app)
            .file("ca.pem", authority.pem())
            .file("gate.pem", own.certificate.clone())
            .file("gate.key", own.key.clone());
        file = file.set("providers.idp.fetch", fetch(with_own));
        let gate = Tollgate::start(file).await;
        until_fetched(&gate, outcome).await;
        let status = gate.get("/").bearer(&idp.sign(claims("ada"))).await.status;
        assert_eq!(status, if with_own { 200 } else { 503 });
    }
}

/// Answers each client of the authority with this body.
async fn server_for_clients(authority: &Authority, body: Vec<u8>) -> String {
    let acceptor = tokio_rustls::TlsAcceptor::from(authority.server_for_clients(&["localhost"]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let body = Arc::new(body);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, body) = (acceptor.clone(), Arc::clone(&body));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&body).await.unwrap();
                stream.shutdown().await.ok();
            });
        }
    });
    url
}
