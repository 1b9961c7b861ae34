//! The admin listener: metrics, and that it can be left out.

use super::*;

#[tokio::test]
async fn metrics_are_prometheus_text_and_count_what_happened() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let gate = Tollgate::start(
        config()
            .provider("idp", &idp)
            .set("upstreams", json!({ "app": { "endpoints": [app.url()] } }))
            .push_route(json!({
                "name": "api", "match": { "path": "/api/*" }, "auth": { "providers": ["idp"] }, "upstream": "app",
            }))
            .push_route(json!({ "name": "open", "match": { "path": "/open" }, "auth": "none", "upstream": "app" })),
    )
    .await;
    let connection = gate.client(Protocol::Http1).connect().await;
    let token = idp.sign(claims("ada"));
    for _ in 0..3 {
        assert_eq!(connection.get("/api/x").bearer(&token).await.status, 200);
    }
    assert_eq!(connection.get("/api/x").await.status, 401);
    assert_eq!(connection.get("/open").await.status, 200);
    assert_eq!(connection.get("/none").await.status, 404);

    let answer = gate.admin().get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    // A scrape asks the workers first: nothing is a second late.
    let metrics = gate.metrics().await;
    for (name, labels, value) in [
        ("tollgate_requests_total", vec![("route", "api"), ("status", "200")], 3.0),
        ("tollgate_requests_total", vec![("route", "api"), ("status", "401")], 1.0),
        ("tollgate_requests_total", vec![("route", "open"), ("status", "200")], 1.0),
        ("tollgate_requests_total", vec![("route", "-"), ("status", "404")], 1.0),
        ("tollgate_request_duration_seconds_count", vec![("route", "api")], 4.0),
        ("tollgate_request_duration_seconds_bucket", vec![("route", "api"), ("le", "+Inf")], 4.0),
        ("tollgate_upstream_duration_seconds_count", vec![("upstream", "app")], 4.0),
        ("tollgate_refusals_total", vec![("route", "api"), ("reason", "no_token")], 1.0),
        ("tollgate_refusals_total", vec![("route", "-"), ("reason", "no_route")], 1.0),
        ("tollgate_authentications_total", vec![("outcome", "accepted")], 3.0),
        ("tollgate_authentications_total", vec![("outcome", "no_token")], 1.0),
        ("tollgate_token_cache_lookups_total", vec![("result", "miss")], 1.0),
        ("tollgate_token_cache_lookups_total", vec![("result", "worker_hit")], 2.0),
        ("tollgate_upstream_connections_total", vec![("upstream", "app"), ("kind", "opened")], 1.0),
        ("tollgate_open_connections", vec![("listener", "server.listeners[0]")], 1.0),
        ("tollgate_connections_total", vec![("listener", "server.listeners[0]")], 1.0),
        ("tollgate_tls_handshakes_total", vec![("outcome", "ok")], 1.0),
        ("tollgate_tls_handshake_duration_seconds_count", vec![], 1.0),
        ("tollgate_ready", vec![], 1.0),
        ("tollgate_request_panics_total", vec![], 0.0),
        ("tollgate_worker_restarts_total", vec![], 0.0),
        ("tollgate_access_log_dropped_total", vec![], 0.0),
        ("tollgate_build_info", vec![("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert!(metrics.has(name, &labels), "{name} {labels:?} is missing in\n{}", metrics.text);
        assert_eq!(metrics.sum(name, &labels), value, "{name} {labels:?}");
    }
    drop(connection);
    gate.metrics_until("the closed connection", |metrics| {
        metrics.sum("tollgate_open_connections", &[]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn a_path_or_a_subject_never_becomes_a_label() {
    let idp = Idp::new(Algorithm::EdDSA);
    let app = Upstream::echo().await;
    let gate = Tollgate::start(config().provider("idp", &idp).route("/app/*", "idp", &app)).await;
    for number in 0..20 {
        let token = idp.sign(claims(&format!("subject-{number}")));
        gate.get(&format!("/app/path-{number}")).bearer(&token).host(&format!("host-{number}")).await;
        gate.get(&format!("/path-{number}")).await;
    }
    let text = gate.metrics().await.text;
    for word in ["subject-", "path-", "host-"] {
        assert!(!text.contains(word), "{word} in\n{text}");
    }
}

#[tokio::test]
async fn the_admin_listener_can_be_left_out() {
    let app = Upstream::echo().await;
    let gate = Tollgate::start(Config::text(&format!(
        "server: {{ listeners: [{{ address: '127.0.0.1:0', tls: {{ certificates: [{{ certificate: certs/server.pem, \
         key: certs/server.key }}] }} }}] }}\nadmin: off\nroutes: [{{ match: {{ path: /* }}, auth: none, upstream: '{}' }}]\n",
        app.url()
    )))
    .await;
    assert_eq!(gate.get("/").await.status, 200);
    let finished = gate.stop().await;
    assert!(!finished.lines.iter().any(|line| line.contains("(admin)")), "{:#?}", finished.lines);
}
