//! What the operator sees and does: start, metrics, health, the log, TLS, stop.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use support::{Config, Idp, Protocol, RawConnection, Step, Tollgate, Upstream, claims, config, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tollgate::base::Algorithm;

fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}

mod admin {
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
}

mod log {
    use super::*;

    #[tokio::test]
    async fn each_request_is_one_json_line_of_known_fields() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(
            config().provider("idp", &idp).route("/api/*", "idp", &app).set("routes.0.name", json!("api")),
        )
        .await;
        for (protocol, name) in Protocol::BOTH.into_iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
            let request = gate.client(protocol).post("/api/x?password=hunter2").host("shop.example");
            let answer = request.bearer(&idp.sign(claims("ada"))).body("hello").await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            let line = gate.log_line("the request", |line| line["request_id"] == id.as_str()).await;
            let mut fields: Vec<&String> = line.as_object().unwrap().keys().collect();
            fields.sort();
            assert_eq!(
                fields,
                [
                    "client",
                    "duration_ms",
                    "host",
                    "method",
                    "path",
                    "protocol",
                    "request_id",
                    "response_bytes",
                    "route",
                    "status",
                    "subject",
                    "timestamp",
                    "upstream",
                    "upstream_ms",
                ]
            );
            for (field, value) in [
                ("client", json!("127.0.0.1")),
                ("host", json!("shop.example")),
                ("method", json!("POST")),
                ("path", json!("/api/x")),
                ("protocol", json!(name)),
                ("response_bytes", json!(answer.body.len())),
                ("route", json!("api")),
                ("status", json!(200)),
                ("subject", json!("ada")),
                ("upstream", json!(app.url())),
            ] {
                assert_eq!(line[field], value, "{field}");
            }
            let (all, upstream) =
                (line["duration_ms"].as_f64().unwrap(), line["upstream_ms"].as_f64().unwrap());
            assert!(all >= upstream && upstream > 0.0, "{line}");
        }
        let finished = gate.stop().await;
        assert!(finished.lines.iter().all(|line| !line.contains("hunter2")), "a query was logged");
    }

    #[tokio::test]
    async fn a_clients_text_stays_within_its_field() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let mut raw = gate.raw().await;
        raw.send("GET /a\"b,{} HTTP/1.1\r\nHost: ev\"il\r\n\r\n").await;
        raw.answer().await;
        let line = gate.log_line("the request", |line| line["host"] == "ev\"il").await;
        assert_eq!((&line["path"], &line["status"]), (&json!("/a\"b,{}"), &json!(400)));
    }

    #[tokio::test]
    async fn the_access_log_can_be_switched_off_and_metrics_go_on() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).set("observability.access_log", json!({ "to": "off" }))).await;
        for _ in 0..5 {
            assert_eq!(gate.get("/").await.status, 200);
        }
        assert_eq!(gate.metrics().await.sum("tollgate_requests_total", &[]), 5.0);
        let finished = gate.stop().await;
        assert!(finished.lines.iter().all(|line| !line.starts_with('{')), "{:#?}", finished.lines);
    }

    #[tokio::test]
    async fn no_line_is_lost_when_the_gateway_stops() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let connection = gate.client(Protocol::Http2).connect().await;
        let asking: Vec<_> = (0..200).map(|number| connection.get(&format!("/{number}")).spawn()).collect();
        for answer in asking {
            assert_eq!(within("an answer", answer).await.unwrap().status, 200);
        }
        let finished = gate.stop().await;
        assert_eq!(finished.lines.iter().filter(|line| line.starts_with('{')).count(), 200);
    }

    #[tokio::test]
    async fn a_client_that_did_not_wait_is_logged_as_499() {
        let app = Upstream::scripted([Step::Read, Step::Stall]).await;
        let gate = Tollgate::start(open(&app)).await;
        for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
            let asking = gate.client(protocol).get(&format!("/{number}")).spawn();
            app.request(number + 1).await;
            asking.abort();
            let path = format!("/{number}");
            let line = gate.log_line("the request", |line| line["path"] == path.as_str()).await;
            assert_eq!((&line["status"], &line["reason"]), (&json!(499), &json!("client_gone")));
            app.connections_closed(number + 1).await;
        }
    }
}

mod tls {
    use super::*;

    #[tokio::test]
    async fn tls_1_2_and_1_3_are_spoken_unless_the_file_says_1_3() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let version = async |gate: &Tollgate, version| {
            gate.handshake("localhost", &[version], &[]).await.map(|done| done.version)
        };
        assert_eq!(version(&gate, &TLS12).await.unwrap(), ProtocolVersion::TLSv1_2);
        assert_eq!(version(&gate, &TLS13).await.unwrap(), ProtocolVersion::TLSv1_3);

        let gate =
            Tollgate::start(open(&app).set("server.listeners.0.tls.minimum_version", json!("1.3"))).await;
        version(&gate, &TLS12).await.expect_err("TLS 1.2 was spoken");
        assert_eq!(version(&gate, &TLS13).await.unwrap(), ProtocolVersion::TLSv1_3);
    }

    #[tokio::test]
    async fn alpn_chooses_the_protocol_and_without_it_http_1_1_is_spoken() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for (offered, chosen) in [
            (&[b"h2".as_slice(), b"http/1.1"][..], Some("h2")),
            (&[b"http/1.1", b"h2"], Some("h2")),
            (&[b"http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            for version in [&TLS12, &TLS13] {
                let done = gate.handshake("localhost", &[version], offered).await.unwrap();
                assert_eq!(done.alpn.as_deref(), chosen);
            }
        }
        gate.handshake("localhost", &[&TLS13], &[b"h3"]).await.expect_err("a protocol that is not spoken");
        for (protocol, version) in
            Protocol::BOTH.into_iter().zip([http::Version::HTTP_11, http::Version::HTTP_2])
        {
            assert_eq!(gate.client(protocol).get("/").await.version, version);
        }
    }

    #[tokio::test]
    async fn the_certificate_is_chosen_by_server_name_and_the_first_is_the_default() {
        let app = Upstream::echo().await;
        let certificate = |name: &str| json!({ "certificate": format!("certs/{name}.pem"), "key": format!("certs/{name}.key") });
        let all = ["server", "shop", "star"].map(certificate);
        let home = open(&app).set("server.listeners.0.tls.certificates", json!(all)).write();
        home.certificate("shop", &["shop.example.org", "www.shop.example.org"]);
        home.certificate("star", &["*.star.example.org"]);
        let gate = Tollgate::start(home).await;
        // A client refuses a certificate that is not good for the name that it asked for.
        let shown = async |name: &str| {
            gate.handshake(name, &[&TLS13, &TLS12], &[]).await.map(|done| done.certificate)
        };
        let first = shown("localhost").await.unwrap();
        let shop = shown("shop.example.org").await.unwrap();
        let star = shown("a.star.example.org").await.unwrap();
        assert_eq!(shown("www.shop.example.org").await.unwrap(), shop);
        assert_eq!(shown("127.0.0.1").await.unwrap(), first, "no server name: the first");
        assert!(first != shop && shop != star && star != first);
        shown("unknown.example.net").await.expect_err("the first is not good for it");
    }

    #[tokio::test]
    async fn a_plain_listener_serves_the_same_routes_beside_tls() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).plain_listener()).await;
        assert_eq!(gate.get("/tls").await.json()["target"], "/tls");
        let plain = gate.plain_client().connect().await;
        assert_eq!(plain.get("/plain").await.json()["target"], "/plain");
        let metrics = gate.metrics().await;
        for (listener, open) in [("server.listeners[0]", 0.0), ("server.listeners[1]", 1.0)] {
            assert_eq!(metrics.sum("tollgate_connections_total", &[("listener", listener)]), 1.0);
            assert!(metrics.sum("tollgate_open_connections", &[("listener", listener)]) >= open);
        }
    }

    #[tokio::test]
    async fn connections_that_crowd_one_worker_are_handed_to_another() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).plain_listener().set("server.workers", json!(16))).await;
        let mut connections = Vec::new();
        // By the kernel's hash alone the fullest of 16 workers would have some ten more of these than the emptiest.
        for _ in 0..200 {
            let connection = gate.plain_client().connect().await;
            assert_eq!(connection.get("/").await.status, 200);
            connections.push(connection);
        }
        let metrics = gate.metrics().await;
        assert!(metrics.sum("tollgate_connections_handed_over_total", &[]) >= 1.0, "{}", metrics.text);
        assert_eq!(metrics.sum("tollgate_open_connections", &[]), 200.0);
        for connection in connections {
            assert_eq!(connection.get("/").await.status, 200);
        }
        gate.metrics_until("the end of all", |metrics| metrics.sum("tollgate_open_connections", &[]) == 0.0)
            .await;
    }
}

mod start {
    use super::*;

    async fn fails(home: impl Into<support::Home>) -> (Option<i32>, String) {
        match Tollgate::try_start(home).await {
            Ok(_) => panic!("it started"),
            Err(finished) => (finished.status.code(), finished.lines.join("\n")),
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_the_key_that_changes_it() {
        let app = Upstream::echo().await;
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Tollgate::start(open(&app)).await;
        // Another program's, another gateway's, and that of the admin listener.
        for (address, key) in [
            (other.local_addr().unwrap(), "server.listeners[0].address"),
            (gate.address(), "server.listeners[0].address"),
            (other.local_addr().unwrap(), "admin.address"),
            (gate.admin_address(), "admin.address"),
        ] {
            let place = key.replace("[0]", ".0");
            let (code, text) = fails(open(&app).set(&place, json!(address.to_string()))).await;
            assert_eq!(code, Some(1), "{text}");
            for word in [address.to_string().as_str(), key, "gateway.yaml", "taken"] {
                assert!(text.contains(word), "{word} is missing in {text}");
            }
        }
        assert_eq!(gate.get("/").await.status, 200);
    }

    #[tokio::test]
    async fn without_development_nothing_is_made_and_what_is_missing_is_an_error() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        for (what, file, words) in [
            (
                "a certificate",
                open(&app).set("server.listeners.0.tls.certificates.0.certificate", json!("certs/none.pem")),
                ["server.listeners[0].tls", "certs/none.pem"],
            ),
            (
                "a key",
                open(&app).set("server.listeners.0.tls.certificates.0.key", json!("certs/none.key")),
                ["server.listeners[0].tls", "certs/none.key"],
            ),
            (
                "a certificate that is none",
                open(&app)
                    .file("certs/bad.pem", "no PEM")
                    .set("server.listeners.0.tls.certificates.0.certificate", json!("certs/bad.pem")),
                ["server.listeners[0].tls", "certs/bad.pem"],
            ),
            (
                "a provider's key",
                config()
                    .provider("idp", &idp)
                    .route("/*", "idp", &app)
                    .set("providers.idp.keys", json!({ "pem_file": "keys/none.pem" })),
                ["providers.idp.keys", "keys/none.pem"],
            ),
        ] {
            let (code, text) = fails(file).await;
            assert!(matches!(code, Some(1 | 2)), "{what}: {text}");
            for word in words {
                assert!(text.contains(word), "{what}: {word} is missing in {text}");
            }
        }
    }

    #[tokio::test]
    async fn development_makes_missing_certificates_once_and_keeps_their_keys_private() {
        use std::os::unix::fs::PermissionsExt;

        let app = Upstream::echo().await;
        let file = open(&app).set("development", json!(true)).set(
            "server.listeners.0.tls.certificates",
            json!([{ "certificate": "certs/made.pem", "key": "certs/made.key" }]),
        );
        let gate = Tollgate::start(file).await;
        let read = |name: &str| std::fs::read_to_string(gate.home.path(format!("certs/{name}"))).unwrap();
        let mode = |name: &str| {
            std::fs::metadata(gate.home.path(format!("certs/{name}"))).unwrap().permissions().mode() & 0o777
        };
        assert!(
            read("made.pem").contains("BEGIN CERTIFICATE") && read("ca.pem").contains("BEGIN CERTIFICATE")
        );
        assert_eq!(mode("made.key"), 0o600);
        // It signed this certificate and can sign no other: its key is nowhere.
        let keys = std::fs::read_dir(gate.home.path("certs")).unwrap().filter_map(|entry| {
            let path = entry.unwrap().path();
            (path.extension()? == "key").then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
        });
        assert_eq!(
            keys.collect::<std::collections::BTreeSet<_>>(),
            ["made".to_owned(), "server".to_owned()].into()
        );
        let made = (read("made.pem"), read("made.key"), read("ca.pem"));
        let command = |line: &String| line.starts_with("curl ") && line.ends_with("/metrics");
        gate.lines_until("a command to try", |lines| lines.iter().any(command)).await;

        let again = open(&app)
            .set("development", json!(true))
            .file("certs/made.pem", &made.0)
            .file("certs/made.key", &made.1)
            .set(
                "server.listeners.0.tls.certificates",
                json!([{ "certificate": "certs/made.pem", "key": "certs/made.key" }]),
            );
        let gate = Tollgate::start(again).await;
        let kept = std::fs::read_to_string(gate.home.path("certs/made.pem")).unwrap();
        assert_eq!(kept, made.0, "what is there is not made anew");
    }

    #[tokio::test]
    async fn development_is_refused_where_others_could_reach_it() {
        let app = Upstream::echo().await;
        for (key, address) in [
            ("server.listeners.0.address", "0.0.0.0:0"),
            ("server.listeners.0.address", "[::]:0"),
            ("admin.address", "0.0.0.0:0"),
        ] {
            let (code, text) =
                fails(open(&app).set("development", json!(true)).set(key, json!(address))).await;
            assert_eq!(code, Some(2), "{text}");
            assert!(text.contains("development") || text.contains("loopback"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_key_of_another_certificate_is_an_error() {
        let app = Upstream::echo().await;
        let home =
            open(&app).set("server.listeners.0.tls.certificates.0.key", json!("certs/other.key")).write();
        home.certificate("other", &["localhost"]);
        let (code, text) = fails(home).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("server.listeners[0].tls") && text.contains("other.key"), "{text}");
    }

    #[tokio::test]
    async fn it_says_where_it_listens_and_which_routes_lead_where() {
        let app = Upstream::echo().await;
        let idp = Idp::new(Algorithm::EdDSA);
        let gate = Tollgate::start(
            config()
                .provider("idp", &idp)
                .route("/api/*", "idp", &app)
                .open_route("/public", &app)
                .plain_listener(),
        )
        .await;
        let words = [
            format!("listening on https://{} (server.listeners[0])", gate.address()),
            format!("listening on http://{} (server.listeners[1])", gate.plain_address()),
            format!("listening on http://{} (admin)", gate.admin_address()),
            format!("routes[0]: /api/* -> {}, needs a token of idp", app.url()),
            format!("routes[1]: /public -> {}, open to all", app.url()),
        ];
        let said = |lines: &[String]| words.iter().all(|word| lines.iter().any(|line| line.contains(word)));
        gate.lines_until("where it listens and what leads where", said).await;
        let finished = gate.stop().await;
        assert!(!finished.lines.iter().any(|line| line.contains("curl")), "commands are for newcomers");
    }
}

mod stop {
    use super::*;

    /// An upstream whose answer waits for a word.
    async fn waiting(word: &Arc<Notify>) -> Upstream {
        Upstream::scripted([
            Step::Read,
            Step::Await(Arc::clone(word)),
            Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"),
        ])
        .await
    }

    async fn used(gate: &Tollgate) -> RawConnection {
        let mut raw = gate.raw().await;
        raw.send("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status(), 200);
        raw
    }

    #[tokio::test]
    async fn sigterm_lets_requests_in_flight_end_takes_no_new_ones_and_exits_0() {
        let word = Arc::new(Notify::new());
        let (app, quick) = (waiting(&word).await, Upstream::echo().await);
        let gate = Tollgate::start(
            open(&app).open_route("/quick", &quick).set("server.shutdown_grace", json!("60s")),
        )
        .await;
        let mut idle = used(&gate).await;
        let (mut http1, http2) = (gate.raw().await, gate.client(Protocol::Http2).connect().await);
        http1.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        app.request(1).await;
        let asking = http2.get("/slow").spawn();
        app.request(2).await;

        gate.terminate();
        assert_eq!(idle.rest().await, b"", "an idle connection is closed at once");
        let ready = within("the end of readiness", async {
            loop {
                let answer = gate.admin().get("/readyz").await;
                if answer.status != 200 {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(ready.status, 503);
        assert_eq!(gate.admin().get("/healthz").await.status, 200, "it still lives");
        within("connections to be refused", async {
            loop {
                match TcpStream::connect(gate.address()).await {
                    Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                    Ok(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;

        // Both scripts wait by now: each takes one word.
        word.notify_one();
        word.notify_one();
        let answer = http1.answer().await.expect("an answer");
        assert_eq!((answer.status(), answer.body.as_slice()), (200, b"late".as_slice()));
        assert_eq!(http1.rest().await, b"", "and then the connection is closed");
        let answer = within("an answer", asking).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "late"));
        let finished = gate.finish().await;
        assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
        let logged = |path: &str| finished.lines.iter().filter(|line| line.contains(path)).count();
        assert_eq!((logged("\"/slow\""), logged("\"/quick\"")), (2, 1), "{:#?}", finished.lines);
    }

    #[tokio::test]
    async fn the_grace_period_ends_what_does_not_end_by_itself() {
        let word = Arc::new(Notify::new());
        let app = waiting(&word).await;
        let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("300ms"))).await;
        let (http1, http2) = (gate.client(Protocol::Http1).get("/"), gate.client(Protocol::Http2).get("/"));
        let mut asking = tokio::task::JoinSet::new();
        asking.spawn(http1.try_send());
        asking.spawn(http2.try_send());
        app.request(2).await;
        let begin = Instant::now();
        gate.terminate();
        while let Some(outcome) = within("the end of a request", asking.join_next()).await {
            outcome.unwrap().expect_err("an answer from nowhere");
        }
        let finished = gate.finish().await;
        assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
        assert!(begin.elapsed().as_millis() >= 300, "the grace period was granted");
        assert!(finished.lines.iter().any(|line| line.contains("grace period")), "{:#?}", finished.lines);
    }

    #[tokio::test]
    async fn a_gateway_without_requests_stops_at_once_whatever_the_grace_period() {
        let app = Upstream::echo().await;
        for signal in ["TERM", "INT"] {
            let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("1h"))).await;
            let mut http1 = used(&gate).await;
            let http2 = gate.client(Protocol::Http2).connect().await;
            assert_eq!(http2.get("/").await.status, 200);
            gate.signal(signal);
            assert_eq!(http1.rest().await, b"");
            let finished = gate.finish().await;
            assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.lines);
        }
    }

    #[tokio::test]
    async fn a_request_in_the_midst_of_its_body_may_end_too() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).set("server.shutdown_grace", json!("60s"))).await;
        let mut raw = gate.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello").await;
        // Its head is in: the upstream has been connected to.
        within("the upstream's connection", async {
            while app.connections_seen() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gate.terminate();
        let ready = async { while gate.admin().request(Method::HEAD, "/readyz").await.status == 200 {} };
        within("the end of readiness", ready).await;
        raw.send("world").await;
        let answer: Value = raw.answer().await.expect("an answer").json();
        assert_eq!(answer["body"], "helloworld");
        assert_eq!(gate.finish().await.status.code(), Some(0));
    }
}
