//! Key servers that are reached through a proxy: the file's own, or that of the environment.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{Config, Idp, Reply, Tollgate, Upstream, claims, config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tollgate::base::Algorithm;

async fn key_server(idp: &Idp) -> Upstream {
    let keys = Reply::json(json!({ "keys": [idp.jwk()] }));
    Upstream::start(move |_| keys.clone()).await
}

fn idp() -> Idp {
    Idp::new(Algorithm::ES256)
}

/// A provider whose keys are fetched from here, with more in `fetch`.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn fetched(idp: &Idp, url: &str, fetch: Value) -> Value {
    let mut provider = json!({
        "issuer": idp.issuer,
        "keys": { "jwks_url": url },
        "algorithms": ["ES256"],
        "audiences": [idp.audience],
        "refresh": { "every": "100ms", "cooldown": "100ms" },
        "fetch": { "allow_http": true },
    });
    provider["fetch"].as_object_mut().unwrap().extend(fetch.as_object().unwrap().clone());
    provider
}

async fn until_fetched(gate: &Tollgate, provider: &str, outcome: &str) {
    let labels = [("provider", provider), ("outcome", outcome)];
    gate.metrics_until(&format!("{outcome} of {provider}"), |metrics| {
        metrics.sum("tollgate_key_fetches_total", &labels) >= 1.0
    })
    .await;
}

async fn is_served(gate: &Tollgate, path: &str, idp: &Idp) {
    let answer = gate.get(path).bearer(&idp.sign(claims("ada"))).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gate.lines().join("\n"));
}

/// A proxy that connects to `address`, whatever it is asked for, and notes the heads that it gets; or refuses.
async fn proxy(address: Option<SocketAddr>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            noted.lock().unwrap().push(head);
            let Some(address) = address else {
                client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                continue;
            };
            let mut server = TcpStream::connect(address).await.unwrap();
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (url, asked)
}

fn asked_only_for(asked: &Mutex<Vec<String>>, authority: &str) {
    let asked = asked.lock().unwrap().clone();
    let line = format!("CONNECT {authority} HTTP/1.1\r\n");
    assert!(!asked.is_empty() && asked.iter().all(|head| head.starts_with(&line)), "{asked:?}");
}

#[tokio::test]
async fn keys_are_fetched_through_a_proxy_that_resolves_the_name() {
    let (app, idp) = (Upstream::echo().await, idp());
    let server = key_server(&idp).await;
    let (open, asked) = proxy(Some(server.address())).await;
    let (closed, _) = proxy(None).await;
    let through = |proxy: &str, url: &str| fetched(&idp, url, json!({ "proxy": proxy }));
    let gate = Tollgate::start(
        config()
            .set("providers.open", through(&open, "http://keys.example.test/keys"))
            .set("providers.address", through(&open, "http://10.0.0.1/keys"))
            .set("providers.closed", through(&closed, "http://keys.example.test/keys"))
            .route("/open", "open", &app),
    )
    .await;
    is_served(&gate, "/open", &idp).await;
    assert_eq!(server.request(1).await.header("host"), Some("keys.example.test"));
    until_fetched(&gate, "address", "forbidden").await;
    until_fetched(&gate, "closed", "proxy").await;
    asked_only_for(&asked, "keys.example.test:80");
}

/// A gateway whose environment names these proxies and no others.
fn environment(config: Config, set: &[(&str, &str)]) -> Config {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    names.into_iter().fold(config, |config, name| {
        let value = set.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        config.env(name, value).env(&name.to_lowercase(), value)
    })
}

#[tokio::test]
async fn without_a_word_of_the_file_the_environment_names_the_proxy() {
    let (app, idp) = (Upstream::echo().await, idp());
    let server = key_server(&idp).await;
    let (plain, asked_plainly) = proxy(Some(server.address())).await;
    let (secure, asked_securely) = proxy(None).await;
    let secret = plain.replace("http://", "http://gate:pass%3Aword@");
    let file = config()
        .set("providers.plain", fetched(&idp, "http://keys.example.test/keys", json!({})))
        .set("providers.secure", fetched(&idp, "https://keys.example.test/keys", json!({})))
        .route("/", "plain", &app);
    let gate = Tollgate::start(environment(file, &[("HTTP_PROXY", &secret), ("HTTPS_PROXY", &secure)])).await;
    is_served(&gate, "/", &idp).await;
    until_fetched(&gate, "secure", "proxy").await;
    asked_only_for(&asked_plainly, "keys.example.test:80");
    asked_only_for(&asked_securely, "keys.example.test:443");
    let heads = asked_plainly.lock().unwrap().clone();
    // base64 of `gate:pass:word`.
    assert!(heads[0].contains("\r\nProxy-Authorization: Basic Z2F0ZTpwYXNzOndvcmQ=\r\n"), "{heads:?}");
    assert!(server.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
    let lines = gate.stop().await.lines.join("\n");
    assert!(!lines.contains("pass%3Aword") && !lines.contains("Z2F0Z"), "{lines}");
}

#[tokio::test]
async fn the_environments_exceptions_and_loopback_and_the_files_none_go_without_it() {
    let (app, idp) = (Upstream::echo().await, idp());
    let server = key_server(&idp).await;
    let (url, asked) = proxy(Some(server.address())).await;
    let private = json!({ "allow_private_addresses": true });
    let none = json!({ "proxy": "none" });
    let file = config()
        .set("providers.loopback", fetched(&idp, &format!("{}/keys", server.url()), private))
        .set("providers.excepted", fetched(&idp, "http://keys.excepted.test/keys", json!({})))
        .set("providers.none", fetched(&idp, "http://keys.none.test/keys", none))
        .set("providers.usual", fetched(&idp, "http://keys.example.test/keys", json!({})))
        .route("/", "loopback", &app);
    let set = [("ALL_PROXY", url.as_str()), ("NO_PROXY", "10.0.0.0/8, excepted.test")];
    let gate = Tollgate::start(environment(file, &set)).await;
    is_served(&gate, "/", &idp).await;
    for provider in ["excepted", "none"] {
        // Nobody knows these names.
        until_fetched(&gate, provider, "unreachable").await;
    }
    until_fetched(&gate, "usual", "ok").await;
    asked_only_for(&asked, "keys.example.test:80");
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_not_passed_by() {
    let (app, idp) = (Upstream::echo().await, idp());
    let file = config()
        .set("providers.idp", fetched(&idp, "http://keys.example.test/keys", json!({})))
        .route("/", "idp", &app);
    let gate = Tollgate::start(environment(file, &[("ALL_PROXY", "socks5://127.0.0.1:1")])).await;
    until_fetched(&gate, "idp", "proxy").await;
    gate.lines_until("the remedy", |lines| lines.iter().any(|line| line.contains("`fetch.proxy: none`")))
        .await;
}
