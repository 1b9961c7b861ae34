//! What an upstream is told of the way that a request took.

use super::*;

const CLAIMED: [(&str, &str); 7] = [
    ("x-forwarded-for", "203.0.113.66"),
    ("x-forwarded-for", "203.0.113.67"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=203.0.113.66;host=evil.example"),
    ("x_forwarded_for", "203.0.113.66"),
    ("x.forwarded.host", "evil.example"),
];

#[tokio::test]
async fn the_way_is_told_anew_and_a_clients_own_tale_is_gone_in_every_spelling() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).plain_listener()).await;
    for (client, proto) in [
        (gate.client(Protocol::Http1), "https"),
        (gate.client(Protocol::Http2), "https"),
        (gate.plain_client(), "http"),
    ] {
        let mut request = client.get("/").host("shop.example:8443");
        for (name, value) in CLAIMED {
            request = request.header(name, value);
        }
        let answer = request.await.json();
        assert_eq!(got(&answer, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(got(&answer, "x-forwarded-proto"), [proto]);
        assert_eq!(got(&answer, "x-forwarded-host"), ["shop.example:8443"]);
        let forwarded = format!("for=127.0.0.1;host=\"shop.example:8443\";proto={proto}");
        assert_eq!(got(&answer, "forwarded"), [forwarded]);
        let text = answer["fields"].to_string();
        assert!(!text.contains("203.0.113") && !text.contains("evil"), "{text}");
    }
}

/// What frameworks believe of a proxy before them, and what CGI programs take for their own settings.
const PROXIES_WORD: [&str; 7] = [
    "X-Real-IP",
    "X_Real_IP",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Original-URL",
    "X-Rewrite-URL",
];

#[tokio::test]
async fn a_client_cannot_speak_as_a_proxy_does() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).plain_listener()).await;
    let mut request = gate.plain_client().get("/").header("Proxy", "http://evil.example");
    for name in PROXIES_WORD {
        request = request.header(name, "evil.example");
    }
    let text = request.await.json()["fields"].to_string();
    assert!(!text.contains("evil"), "{text}");
}

#[tokio::test]
async fn a_trusted_proxys_word_passes_but_never_what_a_program_takes_for_its_setting() {
    let app = Upstream::echo().await;
    let file = open(&app).plain_listener().set("server.trusted_proxies", json!("127.0.0.1"));
    let gate = Tollgate::start(file).await;
    let request = gate.plain_client().get("/").header("Proxy", "http://evil.example");
    let request = request.header("X-Forwarded-Port", "443").header("X-Forwarded-Prefix", "/shop");
    let answer = request.header("X-Forwarded-Host", "shop.example").await.json();
    assert_eq!(got(&answer, "x-forwarded-port"), ["443"]);
    assert_eq!(got(&answer, "x-forwarded-prefix"), ["/shop"]);
    assert_eq!(got(&answer, "x-forwarded-host"), ["shop.example"]);
    assert!(got(&answer, "forwarded").concat().contains("host=\"shop.example\""));
    assert!(got(&answer, "proxy").is_empty());
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_for_upstream_and_log_up_to_the_first_stranger() {
    let app = Upstream::echo().await;
    let file =
        open(&app).plain_listener().set("server.trusted_proxies", json!(["127.0.0.0/8", "10.0.0.0/8"]));
    let gate = Tollgate::start(file).await;
    let answer = gate
        .plain_client()
        .get("/trusted")
        .header("x-forwarded-for", "203.0.113.66, 198.51.100.9")
        .header("x-forwarded-for", "10.0.0.2")
        .header("x-forwarded-proto", "https")
        .await
        .json();
    assert_eq!(got(&answer, "x-forwarded-for"), ["198.51.100.9"]);
    assert_eq!(got(&answer, "x-forwarded-proto"), ["https"]);
    let forwarded = got(&answer, "forwarded").concat();
    assert!(forwarded.starts_with("for=198.51.100.9;") && forwarded.ends_with(";proto=https"), "{forwarded}");
    let line = gate.log_line("the request", |line| line["path"] == "/trusted").await;
    assert_eq!(line["client"], "198.51.100.9");
}

#[tokio::test]
async fn a_stranger_is_not_believed_by_the_log_either() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(open(&app).set("server.trusted_proxies", json!(["10.0.0.0/8"]))).await;
    gate.get("/stranger").header("x-forwarded-for", "198.51.100.9").await;
    let line = gate.log_line("the request", |line| line["path"] == "/stranger").await;
    assert_eq!(line["client"], "127.0.0.1");
}
