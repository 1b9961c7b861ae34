//! Which route takes a request, and what becomes of one that none takes.

mod support;

use http::Method;
use serde_json::{Value, json};
use support::{Config, FORGED, Idp, Protocol, Reply, Tollgate, Upstream, claims, config};
use tollgate::base::Algorithm;

/// Routes that are open to all. Each one's upstream says its own name, so that an answer tells which route it took.
async fn routes(patterns: &[(&str, Value)]) -> (Config, Vec<Upstream>) {
    let mut file = config();
    let mut upstreams = Vec::new();
    for (name, pattern) in patterns {
        let said = (*name).to_owned();
        let upstream = Upstream::start(move |_| Reply::new(200, said.clone())).await;
        file = file.push_route(
            json!({ "name": name, "match": pattern, "auth": "none", "upstream": upstream.url() }),
        );
        upstreams.push(upstream);
    }
    (file, upstreams)
}

/// The route that took the request, or the status where none did.
async fn taken(gate: &Tollgate, method: Method, host: &str, path: &str) -> String {
    let mut answers = Vec::new();
    for protocol in Protocol::BOTH {
        let answer = gate.client(protocol).request(method.clone(), path).host(host).await;
        answers.push(if answer.status == 200 { answer.text() } else { answer.status.as_str().to_owned() });
    }
    assert_eq!(answers[0], answers[1], "both protocols take the same route");
    answers.remove(0)
}

#[tokio::test]
async fn an_exact_path_is_that_path_and_a_prefix_ends_on_segment_borders() {
    let (file, _upstreams) = routes(&[
        ("exact", json!({ "path": "/exact" })),
        ("slash", json!({ "path": "/exact/" })),
        ("below", json!({ "path": "/api/*" })),
        ("deeper", json!({ "path": "/api/v1/*" })),
        ("one", json!({ "path": "/api/v1/users" })),
        ("escaped", json!({ "path": "/caf%C3%A9/*" })),
    ])
    .await;
    let gate = Tollgate::start(file).await;
    for (path, route) in [
        ("/exact", "exact"),
        ("/exact?x=/api", "exact"),
        ("/exact/", "slash"),
        ("/exact/x", "404"),
        ("/exac", "404"),
        ("/EXACT", "404"),
        ("/api", "below"),
        ("/api/", "below"),
        ("/api/x/y", "below"),
        ("/apix", "404"),
        ("/api.json", "404"),
        ("/api/v1", "deeper"),
        ("/api/v10", "below"),
        ("/api/v1/users", "one"),
        ("/api/v1/users/", "deeper"),
        ("/api/v1/users/7", "deeper"),
        ("/api/v1/usersx", "deeper"),
        ("/api/v2/../v1/users", "one"),
        ("/caf%c3%a9/x", "escaped"),
        ("/", "404"),
    ] {
        assert_eq!(taken(&gate, Method::GET, "any.example", path).await, route, "{path}");
    }
}

#[tokio::test]
async fn the_most_specific_host_decides_before_the_path_and_the_order_counts_for_nothing() {
    let patterns = [
        ("any", json!({ "path": "/*" })),
        ("star", json!({ "host": "*.example.com", "path": "/*" })),
        ("star-long-path", json!({ "path": "/api/v1/orders/*" })),
        ("deep-star", json!({ "host": "*.a.example.com", "path": "/*" })),
        ("exact", json!({ "host": "a.example.com", "path": "/api/*" })),
        ("exact-get", json!({ "host": "a.example.com", "path": "/api/get", "methods": ["GET"] })),
    ];
    let mut reversed = patterns.clone();
    reversed.reverse();
    for patterns in [patterns, reversed] {
        let (file, _upstreams) = routes(&patterns).await;
        let gate = Tollgate::start(file).await;
        for (host, path, route) in [
            ("other.org", "/", "any"),
            ("other.org", "/api/v1/orders/1", "star-long-path"),
            ("example.com", "/", "any"),
            ("x.example.com", "/", "star"),
            ("X.Example.COM", "/", "star"),
            ("x.example.com:8443", "/", "star"),
            ("x.example.com.", "/", "star"),
            ("x.y.example.com", "/", "star"),
            ("notexample.com", "/", "any"),
            ("x.example.com.evil.org", "/", "any"),
            ("b.a.example.com", "/", "deep-star"),
            ("a.example.com", "/api/x", "exact"),
            ("a.example.com", "/api/get", "exact-get"),
            // No path of the exact host fits: the next host's do.
            ("a.example.com", "/else", "star"),
            ("x.example.com", "/api/v1/orders/1", "star"),
        ] {
            assert_eq!(taken(&gate, Method::GET, host, path).await, route, "{host}{path}");
        }
    }
}

#[tokio::test]
async fn another_method_is_405_with_allow_and_never_a_shorter_paths_route() {
    let (file, upstreams) = routes(&[
        ("all", json!({ "path": "/*" })),
        ("read", json!({ "path": "/orders/*", "methods": ["GET"] })),
        ("write", json!({ "path": "/orders/*", "methods": ["POST", "PUT"] })),
        ("drop", json!({ "path": "/orders/trash", "methods": "DELETE" })),
        ("other-host", json!({ "host": "a.example.com", "path": "/orders/*", "methods": ["PATCH"] })),
        ("any-method", json!({ "path": "/both" })),
        ("one-method", json!({ "path": "/both", "methods": ["POST"] })),
    ])
    .await;
    let gate = Tollgate::start(file).await;
    for (method, host, path, route) in [
        ("GET", "x", "/orders/1", "read"),
        ("POST", "x", "/orders/1", "write"),
        ("PUT", "x", "/orders", "write"),
        ("DELETE", "x", "/orders/1", "405"),
        ("OPTIONS", "x", "/orders/1", "405"),
        ("GET", "x", "/orders/trash", "405"),
        ("DELETE", "x", "/orders/trash", "drop"),
        ("PATCH", "a.example.com", "/orders/1", "other-host"),
        ("GET", "a.example.com", "/orders/1", "405"),
        ("DELETE", "x", "/else", "all"),
        ("GET", "x", "/both", "any-method"),
        ("POST", "x", "/both", "one-method"),
    ] {
        assert_eq!(taken(&gate, method.parse().unwrap(), host, path).await, route, "{method} {host}{path}");
    }
    let answer = gate.client(Protocol::Http1).request(Method::DELETE, "/orders/1").await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT"));
    assert_eq!(answer.json()["code"], "method_not_allowed");
    let line = gate.log_line("the refusal", |line| line["status"] == 405).await;
    assert_eq!(line["reason"], "method_not_allowed");
    assert!(upstreams[0].requests().iter().all(|request| request.target() == "/else"));
}

#[tokio::test]
async fn head_goes_where_get_goes() {
    let (file, upstreams) = routes(&[
        ("read", json!({ "path": "/a", "methods": ["GET"] })),
        ("write", json!({ "path": "/b", "methods": ["POST"] })),
        ("own", json!({ "path": "/a", "methods": ["POST"] })),
    ])
    .await;
    let gate = Tollgate::start(file).await;
    for protocol in Protocol::BOTH {
        let client = gate.client(protocol);
        assert_eq!(client.request(Method::HEAD, "/a").await.status, 200);
        assert_eq!(client.request(Method::HEAD, "/b").await.status, 405);
    }
    assert_eq!(upstreams[0].requests_seen(), 2);
    assert!(upstreams[0].requests().iter().all(|request| request.method() == "HEAD"));
}

#[tokio::test]
async fn what_no_route_takes_is_404_for_everybody_and_tells_nobody_who_asked() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let gate = Tollgate::start(config().provider("idp", &idp).route("/app/*", "idp", &app)).await;
    for protocol in Protocol::BOTH {
        for token in [None, Some(idp.sign(claims("ada"))), Some("garbage".to_owned())] {
            let mut request = gate.client(protocol).get("/elsewhere").header("x-user-id", FORGED);
            if let Some(token) = &token {
                request = request.bearer(token);
            }
            let answer = request.await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()),
                (404, json!({ "detail": "Not found.", "code": "not_found" }))
            );
            assert_eq!(answer.header("www-authenticate"), None);
        }
    }
    let line = gate.log_line("the refusal", |line| line["status"] == 404).await;
    assert_eq!((&line["reason"], line.get("subject"), line.get("route")), (&json!("no_route"), None, None));
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_requests_total", &[("route", "-"), ("status", "404")]), 6.0);
    assert_eq!(metrics.sum("tollgate_authentications_total", &[]), 0.0, "nobody was asked who they are");
    assert_eq!(app.requests_seen(), 0);
}

#[tokio::test]
async fn routes_may_share_an_upstream_by_its_name() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(
        config()
            .set("upstreams", json!({ "app": { "endpoints": [app.url()] } }))
            .push_route(
                json!({ "name": "one", "match": { "path": "/one" }, "auth": "none", "upstream": "app" }),
            )
            .push_route(
                json!({ "name": "two", "match": { "path": "/two" }, "auth": "none", "upstream": "app" }),
            ),
    )
    .await;
    for name in ["one", "two"] {
        assert_eq!(gate.get(&format!("/{name}")).await.json()["target"], format!("/{name}"));
        let line = gate.log_line("the request", |line| line["route"] == name).await;
        assert_eq!(line["upstream"], "app");
    }
    let metrics = gate.metrics().await;
    assert_eq!(metrics.sum("tollgate_upstream_duration_seconds_count", &[("upstream", "app")]), 2.0);
}
