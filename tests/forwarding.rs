//! A request's way to its upstream and the answer's way back, as a real application needs it.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::{
    Config, FORGED, Idp, Message, Protocol, RawConnection, Reply, Step, Tollgate, Upstream, claims, config,
    within,
};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tollgate::base::Algorithm;

/// All paths are open and lead to `app`.
fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}

/// As [`open`], with settings of the upstream.
#[expect(clippy::needless_pass_by_value, reason = "tests write `json!` in place")]
fn open_with(app: &Upstream, settings: Value) -> Config {
    let mut upstream = json!({ "endpoints": [app.url()] });
    upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    config()
        .set("upstreams", json!({ "app": upstream }))
        .push_route(json!({ "match": { "path": "/*" }, "auth": "none", "upstream": "app" }))
}

/// An upstream that answers the only request of each connection with these bytes, and then does `after`.
async fn answering(bytes: &str, after: Step) -> Upstream {
    let bytes = match bytes.split_once("\r\n") {
        Some((status, rest)) if status.ends_with("200 OK") && !rest.contains("Connection:") => {
            format!("{status}\r\nConnection: close\r\n{rest}")
        }
        _ => bytes.to_owned(),
    };
    Upstream::scripted([Step::Read, Step::send(&bytes), after]).await
}

async fn ask(raw: &mut RawConnection, head: &str) -> Message {
    raw.send(head).await;
    raw.answer().await.expect("an answer")
}

/// The fields of this name in what an echoing upstream got.
fn got(answer: &Value, name: &str) -> Vec<String> {
    let fields = answer["fields"].as_array().expect("fields");
    let same = fields.iter().filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
    same.map(|field| field[1].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_built_in_application_shows_the_request_that_an_upstream_would_get() {
    let idp = Idp::new(Algorithm::EdDSA);
    let gate = Tollgate::start(
        config().provider("idp", &idp).set("upstreams", json!({ "echo": { "builtin": "echo" } })).push_route(
            json!({ "match": { "path": "/*" }, "auth": { "providers": ["idp"] }, "upstream": "echo" }),
        ),
    )
    .await;
    for protocol in Protocol::BOTH {
        let request =
            gate.client(protocol).post("/a/../b?c=d").host("shop.example").header("x-user-id", FORGED);
        let shown = request.bearer(&idp.sign(claims("ada"))).body("hello").await.json();
        assert_eq!(
            (&shown["method"], &shown["path"], &shown["query"], &shown["body_length"]),
            (&json!("POST"), &json!("/b"), &json!("c=d"), &json!(5))
        );
        let headers = &shown["headers"];
        assert_eq!((&headers["host"], &headers["x-user-id"]), (&json!("shop.example"), &json!("ada")));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers.get("authorization"), None);
        assert_eq!(gate.client(protocol).get("/b").await.status, 401);
    }
}

mod fields {
    use super::*;

    #[tokio::test]
    async fn what_belongs_to_one_hop_is_dropped_on_the_way_to_the_upstream() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let answer = ask(
            &mut gate.raw().await,
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, X-Named , x-second\r\nX-Named: 1\r\n\
             X-Second: 1\r\nX-Stays: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
             Trailer: X-T\r\nUpgrade: websocket\r\nProxy-Authorization: Basic eA==\r\n\r\n",
        )
        .await
        .json();
        for name in [
            "connection",
            "x-named",
            "x-second",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
            "proxy-authorization",
            "transfer-encoding",
        ] {
            assert_eq!(got(&answer, name), Vec::<String>::new(), "{name}");
        }
        assert_eq!(got(&answer, "x-stays"), ["1"]);
    }

    #[tokio::test]
    async fn what_belongs_to_one_hop_is_dropped_on_the_way_back() {
        let app = answering(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Named\r\nX-Named: 1\r\nX-Stays: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
            Step::Stall,
        )
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").await;
            assert_eq!((answer.text().as_str(), answer.header("x-stays")), ("ok", Some("1")));
            for name in ["x-named", "keep-alive", "proxy-authenticate", "upgrade", "trailer", "connection"] {
                assert_eq!(answer.header(name), None, "{protocol:?}: {name}");
            }
        }
    }

    #[tokio::test]
    async fn connection_can_take_away_neither_identity_nor_what_makes_a_request() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let gate = Tollgate::start(config().provider("idp", &idp).push_route(json!({
            "match": { "path": "/*" }, "auth": { "providers": ["idp"] }, "upstream": app.url(),
            "identity": { "headers": { "X-User-Id": "sub" }, "token": "forward" },
        })))
        .await;
        let token = idp.sign(claims("ada"));
        let answer = ask(
            &mut gate.raw().await,
            &format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nAuthorization: Bearer {token}\r\n\
                 Connection: X-User-Id, X_User_Id, Host, Authorization, Content-Length, X-Forwarded-For, Forwarded, \
                 X-Request-Id\r\nX-User-Id: {FORGED}\r\n\r\nhi"
            ),
        )
        .await
        .json();
        assert_eq!(answer["body"], "hi");
        assert_eq!(got(&answer, "x-user-id"), ["ada"]);
        assert_eq!(got(&answer, "host"), ["localhost"]);
        assert_eq!(got(&answer, "authorization"), [format!("Bearer {token}")]);
        for name in ["content-length", "x-forwarded-for", "forwarded", "x-request-id"] {
            assert_eq!(got(&answer, name).len(), 1, "{name}");
        }
    }

    #[tokio::test]
    async fn other_fields_pass_untouched_in_both_directions() {
        let app = Upstream::start(|request| {
            let mut reply = Reply::new(200, "");
            for value in request.headers("x-many") {
                reply = reply.field("X-Many", value);
            }
            reply.field("Set-Cookie", "a=1; Path=/").field("Set-Cookie", "b=2").field("Server", "app/1")
        })
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").header("x-many", "1").header("x-many", "a, b").await;
            let all = |name: &str| -> Vec<_> { answer.headers.get_all(name).iter().cloned().collect() };
            assert_eq!(all("x-many"), ["1", "a, b"]);
            assert_eq!(all("set-cookie"), ["a=1; Path=/", "b=2"]);
            assert_eq!(all("server"), ["app/1"]);
        }
    }

    #[tokio::test]
    async fn host_is_as_received_unless_a_setting_replaces_it() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").host("Shop.example:8443").await.json();
            assert_eq!(got(&answer, "host"), ["Shop.example:8443"], "{protocol:?}");
        }
        let gate = Tollgate::start(open_with(&app, json!({ "host": "app.internal:8000" }))).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").host("shop.example").await.json();
            assert_eq!(got(&answer, "host"), ["app.internal:8000"], "{protocol:?}");
            assert_eq!(got(&answer, "x-forwarded-host"), ["shop.example"], "{protocol:?}");
        }
    }

    #[tokio::test]
    async fn cookies_that_http_2_split_are_joined() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let request = gate.client(Protocol::Http2).get("/");
        let answer =
            request.header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3").await.json();
        assert_eq!(got(&answer, "cookie"), ["a=1; b=2; c=3"]);
    }

    #[tokio::test]
    async fn the_request_id_goes_to_upstream_client_and_log_and_only_a_harmless_one_is_believed() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let answer = gate.get("/").header("x-request-id", "Trace-1.a:b").await;
        assert_eq!(answer.header("x-request-id"), Some("Trace-1.a:b"));
        assert_eq!(got(&answer.json(), "x-request-id"), ["Trace-1.a:b"]);
        gate.log_line("the request", |line| line["request_id"] == "Trace-1.a:b").await;

        let long = "a".repeat(200);
        for harmful in ["a b", "<script>", "a\"b", "\u{1b}[31m", long.as_str(), ""] {
            let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {harmful}\r\n\r\n");
            let mut raw = gate.raw().await;
            raw.send(request).await;
            let answer = raw.answer().await.unwrap();
            if answer.status() == 400 {
                continue;
            }
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{harmful:?} became {id}"
            );
            assert_eq!(got(&answer.json(), "x-request-id"), [id]);
        }
        let doubled = gate.get("/").header("x-request-id", "one").header("x-request-id", "two").await.json();
        assert_eq!(got(&doubled, "x-request-id").len(), 1);
    }
}

mod way {
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
        assert!(
            forwarded.starts_with("for=198.51.100.9;") && forwarded.ends_with(";proto=https"),
            "{forwarded}"
        );
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
}

mod connections {
    use super::*;

    #[tokio::test]
    async fn one_connection_to_the_upstream_serves_many_clients_in_turn() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        for number in 0..30 {
            let protocol = Protocol::BOTH[number % 2];
            assert_eq!(gate.client(protocol).post("/").body("hello").await.status, 200);
        }
        assert_eq!(app.connections_seen(), 1);
        let metrics = gate.metrics().await;
        let kind = |kind| metrics.sum("tollgate_upstream_connections_total", &[("kind", kind)]);
        assert_eq!((kind("opened"), kind("reused"), kind("stale")), (1.0, 29.0, 0.0));
    }

    #[tokio::test]
    async fn a_connection_that_the_upstream_closed_meanwhile_is_found_before_it_is_used() {
        const CLIENTS: usize = 8;
        const ROUNDS: usize = 12;
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            clients.push(gate.client(Protocol::BOTH[number % 2]).connect().await);
        }
        for _ in 0..ROUNDS {
            let asking: Vec<_> = clients.iter().map(|client| client.post("/").body("x").spawn()).collect();
            for answer in asking {
                assert_eq!(within("an answer", answer).await.unwrap().status, 200);
            }
            app.close_idle_connections();
            app.connections_closed(app.connections_seen()).await;
        }
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_upstream_failures_total", &[]), 0.0);
        assert_eq!(metrics.sum("tollgate_requests_total", &[("status", "200")]), 96.0);
        assert!(metrics.sum("tollgate_upstream_connections_total", &[("kind", "opened")]) >= 12.0);
    }

    #[tokio::test]
    async fn a_connection_that_closes_behind_a_request_which_came_first_is_not_used_for_it() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
        let mut client = gate.raw().await;
        assert_eq!(ask(&mut client, request).await.status(), 200);
        for round in 1..=5 {
            // The worker finds both at once, the request first: only the kernel knows of the other yet.
            gate.freeze().await;
            client.send(request).await;
            app.close_idle_connections();
            app.connections_closed(round).await;
            gate.thaw();
            let answer = client.answer().await.expect("an answer");
            assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
        }
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_upstream_connections_total", &[("kind", "stale")]), 5.0);
    }

    #[tokio::test]
    async fn a_connection_on_which_the_upstream_spoke_unasked_is_not_used_again() {
        let spoke = Arc::new(Notify::new());
        let app = Upstream::scripted([
            Step::Read,
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"),
            Step::Tell(Arc::clone(&spoke)),
            Step::Read,
            Step::Stall,
        ])
        .await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        for _ in 0..3 {
            assert_eq!(gate.get("/").await.text(), "ok");
            within("the upstream's unasked word", spoke.notified()).await;
        }
        assert_eq!(app.connections_seen(), 3);
    }

    #[tokio::test]
    async fn an_upstream_that_wants_its_connection_closed_gets_no_second_request_on_it() {
        let app =
            answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Step::Stall)
                .await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        for _ in 0..3 {
            assert_eq!(gate.get("/").await.text(), "ok");
        }
        app.connections_closed(3).await;
    }

    #[tokio::test]
    async fn an_idle_connection_to_the_upstream_is_closed_after_its_time() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "idle": "100ms" } }))).await;
        assert_eq!(gate.get("/").await.status, 200);
        app.connections_closed(1).await;
        assert_eq!(gate.get("/").await.status, 200);
    }

    #[tokio::test]
    async fn a_client_that_leaves_takes_its_upstream_connection_along() {
        let app = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Step::Stall).await;
        let gate = Tollgate::start(open(&app)).await;
        for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
            let mut answer = gate.client(protocol).get("/").head().await;
            assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
            drop(answer);
            app.connections_closed(number + 1).await;
        }
        gate.log_line("the abandoned answer", |line| line["reason"] == "client_gone").await;
    }
}

mod streaming {
    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_the_client_piece_by_piece() {
        for framing in ["Transfer-Encoding: chunked", "Content-Length: 10"] {
            let chunked = framing.starts_with('T');
            let piece = |text: &str| if chunked { format!("5\r\n{text}\r\n") } else { text.to_owned() };
            let word = Arc::new(Notify::new());
            let app = Upstream::scripted([
                Step::Read,
                Step::send(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{framing}\r\n\r\n")),
                Step::Await(Arc::clone(&word)),
                Step::send(&piece("first")),
                Step::Await(Arc::clone(&word)),
                Step::send(&piece("later")),
                Step::send(if chunked { "0\r\n\r\n" } else { "" }),
                Step::Stall,
            ])
            .await;
            let gate = Tollgate::start(open(&app)).await;
            for protocol in Protocol::BOTH {
                let mut answer = gate.client(protocol).get("/").head().await;
                assert_eq!(answer.status, 200);
                word.notify_one();
                assert_eq!(answer.next().await.unwrap().unwrap(), "first");
                word.notify_one();
                assert_eq!(answer.rest().await.unwrap(), "later");
            }
        }
    }

    #[tokio::test]
    async fn a_request_reaches_the_upstream_piece_by_piece() {
        let word = Arc::new(Notify::new());
        let app = Upstream::scripted([
            Step::ReadUntil(b"first".to_vec()),
            Step::Tell(Arc::clone(&word)),
            Step::ReadUntil(b"later".to_vec()),
            Step::ReadUntil(b"0\r\n\r\n".to_vec()),
            Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
            Step::Stall,
        ])
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let (pieces, body) = mpsc::channel(1);
            let asking = gate.client(protocol).post("/").pieces(body).spawn();
            pieces.send("first".into()).await.unwrap();
            within("the first piece at the upstream", word.notified()).await;
            pieces.send("later".into()).await.unwrap();
            drop(pieces);
            assert_eq!(within("an answer", asking).await.unwrap().text(), "ok");
        }
    }

    #[tokio::test]
    async fn both_directions_stream_at_once() {
        let app = Upstream::scripted([
            Step::ReadUntil(b"one".to_vec()),
            Step::send(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n",
            ),
            Step::ReadUntil(b"two".to_vec()),
            Step::send("3\r\nTWO\r\n"),
            Step::ReadUntil(b"0\r\n\r\n".to_vec()),
            Step::send("0\r\n\r\n"),
            Step::Stall,
        ])
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let (pieces, body) = mpsc::channel(1);
            pieces.send("one".into()).await.unwrap();
            let mut answer = gate.client(protocol).post("/").pieces(body).head().await;
            assert_eq!(answer.next().await.unwrap().unwrap(), "ONE");
            pieces.send("two".into()).await.unwrap();
            assert_eq!(answer.next().await.unwrap().unwrap(), "TWO");
            drop(pieces);
            assert_eq!(answer.rest().await.unwrap(), "");
        }
    }

    #[tokio::test]
    async fn large_bodies_pass_whole_both_ways() {
        let app = Upstream::start(|request| Reply::new(200, request.body.clone())).await;
        let gate = Tollgate::start(open(&app)).await;
        let body: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).post("/").body(body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, body.len()));
            assert!(answer.body == body);
        }
    }

    #[tokio::test]
    async fn expect_100_continue_is_answered_once_the_upstream_takes_the_body() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let mut raw = gate.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let interim = raw.interim_answer().await;
        assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
        raw.send("hello").await;
        let answer = raw.answer().await.unwrap().json();
        assert_eq!(answer["body"], "hello");
        assert_eq!(got(&answer, "expect"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_request_that_is_refused_never_asks_for_its_body() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(config().open_route("/open", &app)).await;
        let mut raw = gate.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        assert_eq!(raw.answer().await.unwrap().status(), 404);
    }

    #[tokio::test]
    async fn a_request_body_that_breaks_off_is_never_whole_at_the_upstream() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for head in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
            app.forget();
            let mut raw = gate.raw().await;
            raw.send(format!("POST /broken HTTP/1.1\r\nHost: localhost\r\n{head}")).await;
            raw.half_close().await;
            raw.rest().await;
            assert!(!app.request(1).await.complete, "{head}");
        }
    }
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
        for after in [Step::HalfClose, Step::Reset] {
            for head in [
                "Content-Length: 10\r\n\r\nabc",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            ] {
                let taken = Arc::new(Notify::new());
                let app = Upstream::scripted([
                    Step::Read,
                    Step::send(&format!("HTTP/1.1 200 OK\r\n{head}")),
                    Step::Await(Arc::clone(&taken)),
                    after.clone(),
                ])
                .await;
                let gate = Tollgate::start(open(&app)).await;
                for protocol in Protocol::BOTH {
                    let mut answer = gate.client(protocol).get("/").head().await;
                    assert_eq!(answer.status, 200);
                    assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
                    taken.notify_one();
                    answer.rest().await.expect_err("a shortened success");
                }
                let mut raw = gate.raw().await;
                raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
                taken.notify_one();
                let answer = raw.answer().await.unwrap();
                assert!(!answer.complete, "{head:?}: {}", answer.text());
                let line = gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
                assert_eq!(line["status"], 200);
                let failures = gate.metrics().await;
                assert_eq!(
                    failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_broken")]),
                    3.0
                );
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_stalls_breaks_off_after_the_idle_timeout() {
        let app = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Step::Stall).await;
        let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "idle": "200ms" } }))).await;
        for protocol in Protocol::BOTH {
            let mut answer = gate.client(protocol).get("/").head().await;
            assert_eq!(answer.next().await.unwrap().unwrap(), "abc");
            answer.rest().await.expect_err("a shortened success");
        }
        gate.log_line("the failure", |line| line["reason"] == "upstream_timeout").await;
        app.connections_closed(2).await;
        let failures = gate.metrics().await;
        assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_timeout")]), 2.0);
    }

    #[tokio::test]
    async fn an_unreachable_upstream_is_502_and_does_not_tell_where_it_is() {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let gate = Tollgate::start(config().push_route(json!({
            "match": { "path": "/*" }, "auth": "none", "upstream": format!("http://{address}"),
        })))
        .await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").await;
            assert_eq!(answer.status, 502);
            assert_eq!(answer.json()["code"], "bad_gateway");
            assert!(!answer.text().contains(&address.port().to_string()));
        }
        let line = gate.log_line("the failure", |line| line["status"] == 502).await;
        assert_eq!(line["reason"], "upstream_unreachable");
        let failures = gate.metrics().await;
        assert_eq!(
            failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_unreachable")]),
            2.0
        );
    }

    #[tokio::test]
    async fn a_slow_upstream_is_504_after_the_response_timeout() {
        let app = Upstream::scripted([Step::Read, Step::Stall]).await;
        let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "response": "200ms" } }))).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).post("/").body("x").await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (504, &json!("gateway_timeout")));
        }
        let line = gate.log_line("the failure", |line| line["status"] == 504).await;
        assert_eq!(line["reason"], "upstream_timeout");
        app.connections_closed(2).await;
        let failures = gate.metrics().await;
        assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_timeout")]), 2.0);
    }

    #[tokio::test]
    async fn an_upload_that_moves_is_not_cut_by_the_response_timeout() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open_with(&app, json!({ "timeouts": { "response": "400ms" } }))).await;
        let (pieces, body) = mpsc::channel(1);
        let asking = gate.client(Protocol::Http1).post("/").pieces(body).spawn();
        // The only clock here: four pieces, each well within the timeout, all of them together beyond it.
        for _ in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            pieces.send("x".into()).await.unwrap();
        }
        drop(pieces);
        assert_eq!(within("an answer", asking).await.unwrap().json()["body"], "xxxx");
    }

    #[tokio::test]
    async fn what_is_no_answer_of_http_is_502() {
        for garbage in [
            "no http at all\r\n\r\n",
            "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/3.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}",
        ] {
            let app = answering(garbage, Step::HalfClose).await;
            let gate = Tollgate::start(open(&app)).await;
            for protocol in Protocol::BOTH {
                let answer = gate.client(protocol).get("/").await;
                assert_eq!(answer.status, 502, "{garbage:?}: {answer:?}");
                assert_eq!(answer.json()["code"], "bad_gateway");
            }
            gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
        }
    }

    #[tokio::test]
    async fn an_answer_with_two_framings_reaches_the_client_whole_or_not_at_all() {
        for head in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
        ] {
            let app =
                answering(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"), Step::Stall)
                    .await;
            let gate = Tollgate::start(open(&app)).await;
            for protocol in Protocol::BOTH {
                let answer = gate.client(protocol).get("/").await;
                assert!(answer.status == 502 || answer.text() == "abcdef", "{protocol:?}: {answer:?}");
            }
            let mut raw = gate.raw().await;
            raw.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
            let answer = raw.answer().await.unwrap();
            assert!(answer.status() == 502 || answer.body == b"abcdef", "{}", answer.text());
            assert_eq!(raw.rest().await, b"");
        }
    }

    #[tokio::test]
    async fn a_change_of_protocol_that_nobody_asked_for_is_502() {
        let app = answering(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx",
            Step::Stall,
        )
        .await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        let request =
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut raw = gate.raw().await;
        assert_eq!(ask(&mut raw, request).await.status(), 502);
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/").await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (502, &json!("bad_gateway")));
        }
        assert_eq!(app.connections_seen(), 3, "none of these connections serves a second request");
        gate.log_line("the failure", |line| line["reason"] == "upstream_broken").await;
        let failures = gate.metrics().await;
        assert_eq!(failures.sum("tollgate_upstream_failures_total", &[("reason", "upstream_broken")]), 3.0);
    }

    #[tokio::test]
    async fn interim_answers_of_the_upstream_are_passed_over() {
        let app = answering(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
             HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            Step::Stall,
        )
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            assert_eq!(gate.client(protocol).get("/").await.text(), "ok");
        }
    }

    #[tokio::test]
    async fn answers_without_a_body_have_none_and_their_connections_go_on() {
        let app = Upstream::start(|request| match request.target() {
            "/204" => Reply::new(204, ""),
            "/304" => Reply::new(304, "").field("ETag", "\"x\""),
            _ => Reply::new(200, "four"),
        })
        .await;
        let gate = Tollgate::start(open(&app).set("server.workers", json!(1))).await;
        for protocol in Protocol::BOTH {
            let connection = gate.client(protocol).connect().await;
            let head = connection.request(Method::HEAD, "/").await;
            assert_eq!(
                (head.status.as_u16(), head.header("content-length"), head.text().as_str()),
                (200, Some("4"), "")
            );
            let not_modified = connection.get("/304").await;
            assert_eq!((not_modified.status.as_u16(), not_modified.header("etag")), (304, Some("\"x\"")));
            assert_eq!(connection.get("/204").await.status, 204);
            assert_eq!(connection.get("/").await.text(), "four");
            let missing = connection.request(Method::HEAD, "/%00").await;
            assert_eq!((missing.status.as_u16(), missing.text().as_str()), (400, ""));
            assert_eq!(connection.get("/").await.text(), "four");
        }
        let mut raw = gate.raw().await;
        raw.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let head = raw.answer_to_head().await.unwrap();
        assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (Some("4"), None));
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().body, b"four");
        assert_eq!(app.connections_seen(), 1);
    }

    #[tokio::test]
    async fn an_answer_may_end_with_its_connection() {
        let app = answering("HTTP/1.1 200 OK\r\n\r\nuntil the end", Step::HalfClose).await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            assert_eq!(gate.client(protocol).get("/").await.text(), "until the end");
        }
        let old = answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Step::Stall).await;
        let gate = Tollgate::start(open(&old)).await;
        for protocol in Protocol::BOTH {
            assert_eq!(gate.client(protocol).get("/").await.text(), "ok");
        }
    }

    #[tokio::test]
    async fn an_answer_may_have_many_fields_and_a_large_head() {
        let fields: String = (0..90).map(|number| format!("X-{number}: {}\r\n", "v".repeat(1000))).collect();
        let app =
            answering(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok"), Step::Stall).await;
        let gate = Tollgate::start(open(&app)).await;
        let answer = gate.get("/").await;
        assert_eq!((answer.text().as_str(), answer.header("x-89").map(str::len)), ("ok", Some(1000)));
    }

    #[tokio::test]
    async fn an_answer_before_the_upload_has_ended_is_passed_on() {
        let app = Upstream::scripted([
            Step::ReadUntil(b"first".to_vec()),
            Step::send("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
            Step::HalfClose,
        ])
        .await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let (pieces, body) = mpsc::channel(1);
            pieces.send(Bytes::from_static(b"first")).await.unwrap();
            let answer = gate.client(protocol).post("/").pieces(body).head().await;
            assert_eq!(answer.status, 403, "{protocol:?}");
            assert_eq!(answer.rest().await.unwrap(), "no", "{protocol:?}");
            drop(pieces);
        }
    }

    #[tokio::test]
    async fn a_body_of_any_method_is_forwarded_and_a_request_without_one_has_none() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            for method in ["GET", "DELETE", "OPTIONS", "PATCH", "PUT", "PROPFIND"] {
                let method: Method = method.parse().unwrap();
                let answer = gate.client(protocol).request(method.clone(), "/").body("hi").await.json();
                assert_eq!((&answer["method"], &answer["body"]), (&json!(method.as_str()), &json!("hi")));
            }
            let answer = gate.client(protocol).get("/").await.json();
            assert_eq!(got(&answer, "content-length").len() + got(&answer, "transfer-encoding").len(), 0);
            let answer = gate.client(protocol).post("/").await.json();
            assert_eq!(got(&answer, "content-length"), ["0"]);
        }
    }
}
