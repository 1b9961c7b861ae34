//! What reaches an upstream and what does not, whatever a client writes: hosts, paths, limits, deadlines, framing.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use support::{
    Answer, Client, Config, Idp, Message, Protocol, Reply, Step, Tollgate, Upstream, claims, config, within,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tollgate::base::Algorithm;

/// All paths are open and lead to `app`.
fn open(app: &Upstream) -> Config {
    config().open_route("/*", app)
}

/// The answer to these bytes, on a connection of their own; `None` where the gateway closes instead.
async fn answer_to(gate: &Tollgate, bytes: impl AsRef<[u8]>) -> Option<Message> {
    let mut raw = gate.raw().await;
    raw.send(bytes).await;
    raw.answer().await
}

/// Asks for this target, with a Host that is in order.
async fn ask_for(gate: &Tollgate, target: &str) -> Message {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    answer_to(gate, request).await.expect("an answer")
}

/// The one form of all refusals: a status, and a JSON body of exactly two members.
#[track_caller]
fn assert_refused(answer: &Message, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_error_body(&answer.json(), code);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[track_caller]
fn assert_refusal(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_error_body(&answer.json(), code);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[track_caller]
fn assert_error_body(body: &Value, code: &str) {
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["detail", "code"]);
    assert_eq!(body["code"], code);
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

/// Whatever was on its way to the upstream has arrived once this returns.
async fn settle(gate: &Tollgate, app: &Upstream) -> Vec<Message> {
    let answer = ask_for(gate, "/fence").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    app.requests().into_iter().filter(|request| request.target() != "/fence").collect()
}

mod hosts {
    use super::*;

    #[tokio::test]
    async fn a_host_that_is_missing_doubled_or_malformed_is_400() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let heads = [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\nhOST: other\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost, other\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost/admin\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\u{fc}\r\n\r\n",
        ];
        for head in heads {
            let answer = answer_to(&gate, head).await.unwrap_or_else(|| panic!("no answer to {head:?}"));
            assert_refused(&answer, 400, "invalid_request");
        }
        let line = gate.log_line("the refusal", |line| line["reason"] == "bad_host").await;
        assert_eq!(line["status"], 400);
        let refused = gate.metrics().await.sum("tollgate_refusals_total", &[("reason", "bad_host")]);
        assert_eq!(refused, 12.0);
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }

    #[tokio::test]
    async fn an_absolute_target_that_differs_from_host_is_400() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for (target, host) in [
            ("http://evil.example/", "localhost"),
            ("http://localhost:81/", "localhost"),
            ("http://localhost@evil.example/", "localhost"),
            ("http://user@localhost/", "localhost"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_refused(&answer_to(&gate, request).await.unwrap(), 400, "invalid_request");
        }
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }

    #[tokio::test]
    async fn an_absolute_target_that_agrees_with_host_is_forwarded_in_origin_form() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for (target, forwarded) in [
            ("http://LocalHost/a?b=c", "/a?b=c"),
            ("http://localhost", "/"),
            ("http://localhost?q", "/?q"),
            ("http://localhost/x/%2e%2e/y?z=%2e%2e", "/y?z=%2e%2e"),
        ] {
            let answer = ask_for(&gate, target).await;
            assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
            assert_eq!(answer.json()["target"], forwarded, "{target}");
        }
        assert!(app.requests().iter().all(|request| request.header("host") == Some("localhost")));
    }

    #[tokio::test]
    async fn an_authority_of_http_2_that_differs_from_host_is_400() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let client = gate.client(Protocol::Http2);
        let answer = client.get("/").authority("localhost").host("evil.example").await;
        assert_refusal(&answer, 400, "invalid_request");
        let answer = client.get("/").authority("localhost:444").host("localhost").await;
        assert_refusal(&answer, 400, "invalid_request");
        assert_eq!(settle(&gate, &app).await.len(), 0);
        let answer = client.get("/").authority("localhost").host("localhost").await;
        assert_eq!(answer.status, 200);
    }

    #[tokio::test]
    async fn connect_and_trace_are_refused() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for head in [
            "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
        ] {
            let answer = answer_to(&gate, head).await.unwrap();
            assert_refused(&answer, 405, "method_not_allowed");
            let allow = answer.header("allow").expect("a list of methods");
            assert!(
                allow.contains("GET") && !allow.contains("TRACE") && !allow.contains("CONNECT"),
                "{allow}"
            );
        }
        let answer = gate.client(Protocol::Http2).request(Method::TRACE, "/").await;
        assert_refusal(&answer, 405, "method_not_allowed");
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }
}

mod paths {
    use super::*;

    /// Ways to write `/admin/secret`, or to climb there from `/public/`, that some server understands.
    const DISGUISES: [&str; 42] = [
        "/admin/secret",
        "/%61dmin/secret",
        "/%61%64%6d%69%6e/secret",
        "//admin/secret",
        "///admin//secret",
        "/./admin/secret",
        "/public/../admin/secret",
        "/public/%2e%2e/admin/secret",
        "/public/.%2E/admin/secret",
        "/public/%2e./admin/secret",
        "/public//../admin/secret",
        "/public/./../admin/secret",
        "/public/x/../../admin/secret",
        "/public/../public/../admin/secret",
        "/../admin/secret",
        "/../../admin/secret",
        "/public/..%2fadmin/secret",
        "/public/..%2Fadmin/secret",
        "/public%2f..%2fadmin/secret",
        "/public%2f../admin/secret",
        "/public/%2e%2e%2fadmin/secret",
        "/public/..%5cadmin/secret",
        "/public/..\\admin/secret",
        "/public\\..\\admin\\secret",
        "/public/%2e%2e%5cadmin%5csecret",
        "/public/%252e%252e/admin/secret",
        "/public/%252e%252e%252fadmin/secret",
        "/public/..%252fadmin/secret",
        "/public/..%255cadmin/secret",
        "/public/..%25%32%66admin/secret",
        "/public/..%25252fadmin/secret",
        "/public/%25%32%65%25%32%65/admin/secret",
        "/public/..;/admin/secret",
        "/public/..;x=y/admin/secret",
        "/public/..%3b/admin/secret",
        "/public/..%3Bx/admin/secret",
        "/public/..%253b/admin/secret",
        "/public/.;/../admin/secret",
        "/public/%2e%2e;/admin/secret",
        "/public/..%00/admin/secret",
        "/public/%c0%ae%c0%ae/admin/secret",
        "http://localhost/public/../admin/secret",
    ];

    /// What the most lenient server makes of a path: decoded again and again, with parameters cut, backslashes
    /// turned, and only then climbed.
    fn most_lenient_reading(target: &str) -> String {
        let mut path = target.split('?').next().unwrap_or_default().to_owned();
        loop {
            let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned();
            if decoded == path {
                break;
            }
            path = decoded;
        }
        let mut kept: Vec<String> = Vec::new();
        for segment in path.replace('\\', "/").split('/') {
            match segment.split(';').next().unwrap_or_default() {
                "" | "." => {}
                ".." => drop(kept.pop()),
                name => kept.push(name.to_owned()),
            }
        }
        format!("/{}", kept.join("/"))
    }

    #[test]
    fn the_disguises_are_disguises_of_one_path() {
        for disguise in DISGUISES {
            // An overlong encoding and a NUL are for servers that no decoder of today imitates.
            if !disguise.contains("%c0") && !disguise.contains("%00") {
                let path = disguise.strip_prefix("http://localhost").unwrap_or(disguise);
                assert_eq!(most_lenient_reading(path), "/admin/secret", "{disguise}");
            }
        }
    }

    #[tokio::test]
    async fn no_spelling_of_a_protected_path_passes_for_an_open_one() {
        let idp = Idp::new(Algorithm::EdDSA);
        let app = Upstream::echo().await;
        let everything = ["encoded_slash", "double_encoding", "parameters"];
        let below_public =
            config().provider("idp", &idp).route("/admin/*", "idp", &app).open_route("/public/*", &app);
        let lenient = config().provider("idp", &idp).route("/admin/*", "idp", &app).push_route(json!({
            "match": { "path": "/public/*" }, "auth": "none", "upstream": app.url(), "allow_in_path": everything,
        }));
        let all_else = config().provider("idp", &idp).route("/admin/*", "idp", &app).open_route("/*", &app);
        let other_way_round = config()
            .provider("idp", &idp)
            .route("/*", "idp", &app)
            .open_route("/public/*", &app)
            .open_route("/public", &app);
        let token = idp.sign(claims("ada"));
        for file in [below_public, lenient, all_else, other_way_round] {
            let gate = Tollgate::start(file).await;
            for disguise in DISGUISES {
                let answer = ask_for(&gate, disguise).await;
                if answer.status() == 200 {
                    // One reading of several that differ: then the upstream must have got that one.
                    let reading = most_lenient_reading(answer.json()["target"].as_str().unwrap());
                    assert!(!reading.starts_with("/admin"), "{disguise}: {}", answer.text());
                    continue;
                }
                assert!(matches!(answer.status(), 400 | 401 | 404), "{disguise}: {}", answer.text());
            }
            for request in app.requests() {
                let reading = most_lenient_reading(request.target());
                assert!(!reading.starts_with("/admin"), "{} reached the upstream", request.target());
            }
            // The same way is open to those who may.
            let answer = gate.get("/%61dmin/secret").bearer(&token).await;
            assert_eq!(answer.json()["target"], "/admin/secret");
            let seen = app.requests_seen();
            assert_eq!(app.requests()[seen - 1].target(), "/admin/secret");
            drop(gate);
            if seen > 0 {
                // What was allowed is no finding for the next file.
                app.forget();
            }
        }
    }

    #[tokio::test]
    async fn the_upstream_gets_the_path_that_the_router_compared() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for (sent, forwarded) in [
            ("/", "/"),
            ("/%61%62%63", "/abc"),
            ("/%7Euser/%2D%5F%2E", "/~user/-_."),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e/b/%2E%2e/c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/../../a", "/a"),
            ("//a///b//", "/a/b/"),
            ("/a%20b", "/a%20b"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%40me", "/%40me"),
            ("/@me", "/@me"),
            ("/a:b,c!$&'()*+=", "/a:b,c!$&'()*+="),
            ("/100%25", "/100%25"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a?x=%2e%2e/..//;%00\\", "/a?x=%2e%2e/..//;%00\\"),
            ("/%61?x", "/a?x"),
            ("/a?", "/a?"),
        ] {
            let answer = ask_for(&gate, sent).await;
            assert_eq!(answer.status(), 200, "{sent}: {}", answer.text());
            assert_eq!(answer.json()["target"], forwarded, "{sent}");
        }
    }

    #[tokio::test]
    async fn both_protocols_forward_the_same_path() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for protocol in Protocol::BOTH {
            let answer = gate.client(protocol).get("/%61/../b//c?d=%61").await;
            assert_eq!(answer.json()["target"], "/b/c?d=%61", "{protocol:?}");
            let answer = gate.client(protocol).get("/a%2fb").await;
            assert_refusal(&answer, 400, "invalid_request");
        }
    }

    #[tokio::test]
    async fn a_path_that_servers_read_differently_is_400() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for path in [
            "/%00",
            "/a%00b",
            "/%ff",
            "/%c3",
            "/%c3%28",
            "/%ed%a0%80",
            "/%c0%af",
            "/%",
            "/%4",
            "/%zz",
            "/a\\b",
            "/a%5cb",
            "/a%5Cb",
            "/a%2fb",
            "/a%2Fb",
            "/a%252fb",
            "/a%252e",
            "/%2561",
            "/a;b",
            "/a;b=c/d",
            "/;",
            "*",
            "a",
            "",
        ] {
            let answer = ask_for(&gate, path).await;
            assert_eq!(answer.status(), 400, "{path}: {}", answer.text());
        }
        let line = gate.log_line("a refusal", |line| line["path"] == "/a;b").await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(400), &json!("ambiguous_path")));
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }

    #[tokio::test]
    async fn a_route_lets_through_what_it_names_and_leaves_it_untouched() {
        let app = Upstream::echo().await;
        let mut file = config();
        for allowed in ["encoded_slash", "double_encoding", "parameters"] {
            file = file.push_route(json!({
                "match": { "path": format!("/{allowed}/*") }, "auth": "none", "upstream": app.url(),
                "allow_in_path": allowed,
            }));
        }
        let gate = Tollgate::start(file).await;
        let tails = [
            ("encoded_slash", "a%2Fb"),
            ("encoded_slash", "a%5Cb"),
            ("encoded_slash", "a\\b"),
            ("double_encoding", "a%252Fb"),
            ("double_encoding", "a%2541"),
            ("parameters", "a;b=c/d;e"),
        ];
        for (needed, tail) in tails {
            for route in ["encoded_slash", "double_encoding", "parameters"] {
                let path = format!("/{route}/{tail}");
                let answer = ask_for(&gate, &path).await;
                if route == needed {
                    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
                    assert_eq!(answer.json()["target"], path);
                } else {
                    assert_refused(&answer, 400, "invalid_request");
                }
            }
        }
    }
}

mod limits {
    use super::*;

    fn limited(app: &Upstream) -> Config {
        open(app).set(
            "server.limits",
            json!({ "request_head": "4KiB", "request_headers": 16, "request_body": "1000B" }),
        )
    }

    #[tokio::test]
    async fn a_head_over_its_limit_is_431_with_body_metric_and_log_line() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        for protocol in Protocol::BOTH {
            let client = gate.client(protocol);
            let answer = client.get("/").header("x-long", &"a".repeat(4096)).await;
            assert_refusal(&answer, 431, "head_too_large");
            let answer = client.get(&format!("/{}", "a".repeat(4096))).await;
            assert_refusal(&answer, 431, "head_too_large");
            let answer = client.get("/").header("x-long", &"a".repeat(3000)).await;
            assert_eq!(answer.status, 200);
        }
        let line = gate.log_line("the refusal", |line| line["status"] == 431).await;
        assert_eq!(line["reason"], "head_too_large");
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_refusals_total", &[("reason", "head_too_large")]), 4.0);
        assert_eq!(metrics.sum("tollgate_requests_total", &[("status", "431")]), 4.0);
        assert_eq!(settle(&gate, &app).await.len(), 2);
    }

    #[tokio::test]
    async fn too_many_header_fields_are_431() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        for protocol in Protocol::BOTH {
            for (fields, status) in [(10, 200), (17, 431)] {
                let mut request = gate.client(protocol).get("/");
                for number in 0..fields {
                    request = request.header("x-many", &number.to_string());
                }
                assert_eq!(request.await.status, status, "{protocol:?}, {fields}");
            }
        }
    }

    #[tokio::test]
    async fn a_head_far_beyond_the_limit_is_cut_off_before_it_is_read_whole() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        let mut raw = gate.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ").await;
        // There is no end of it: whatever comes back came before.
        raw.send("a".repeat(64 * 1024)).await;
        let answer = raw.answer().await.expect("an answer");
        assert_eq!(answer.status(), 431);
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }

    #[tokio::test]
    async fn a_body_whose_declared_length_is_over_the_limit_is_413_before_it_is_read() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
        let answer = answer_to(&gate, head).await.unwrap();
        assert_refused(&answer, 413, "body_too_large");
        let answer = gate.client(Protocol::Http2).post("/").body("a".repeat(1001)).await;
        assert_refusal(&answer, 413, "body_too_large");
        assert_eq!(settle(&gate, &app).await.len(), 0);
        for protocol in Protocol::BOTH {
            assert_eq!(gate.client(protocol).post("/").body("a".repeat(1000)).await.status, 200);
        }
        let line = gate.log_line("the refusal", |line| line["status"] == 413).await;
        assert_eq!(line["reason"], "body_too_large");
        let refused = gate.metrics().await.sum("tollgate_refusals_total", &[("reason", "body_too_large")]);
        assert_eq!(refused, 2.0);
    }

    #[tokio::test]
    async fn a_body_that_grows_over_the_limit_is_413_and_never_complete_at_the_upstream() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        for protocol in Protocol::BOTH {
            let (pieces, body) = mpsc::channel(8);
            for _ in 0..3 {
                pieces.send(Bytes::from(vec![b'a'; 400])).await.unwrap();
            }
            let answer = gate.client(protocol).post("/").pieces(body).await;
            assert_refusal(&answer, 413, "body_too_large");
        }
        for request in settle(&gate, &app).await {
            assert!(!request.complete, "{}", request.text());
        }
    }

    #[tokio::test]
    async fn a_client_in_the_midst_of_a_large_upload_still_reads_its_413() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(limited(&app)).await;
        let mut raw = gate.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n").await;
        raw.send(vec![b'a'; 4_000_000]).await;
        let answer = raw.answer().await.expect("an answer");
        assert_refused(&answer, 413, "body_too_large");
    }

    #[tokio::test]
    async fn no_more_connections_are_taken_than_the_limit_allows() {
        let app = Upstream::echo().await;
        let file = open(&app).plain_listener().set("server.limits", json!({ "connections": 2 }));
        let gate = Tollgate::start(file).await;
        let (first, second) = (gate.plain_client().connect().await, gate.plain_client().connect().await);
        assert_eq!(first.get("/").await.status, 200);
        assert_eq!(second.get("/").await.status, 200);

        let mut third = gate.plain_client().raw().await;
        assert_eq!(third.rest().await, b"", "closed without a word");
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_connections_refused_total", &[]), 1.0);
        assert_eq!(metrics.sum("tollgate_open_connections", &[]), 2.0);

        drop(first);
        gate.metrics_until("a free place", |metrics| metrics.sum("tollgate_open_connections", &[]) < 2.0)
            .await;
        assert_eq!(gate.plain_client().get("/").await.status, 200);
    }

    #[tokio::test]
    async fn an_http_2_connection_has_no_more_streams_at_once_than_the_limit_allows() {
        let word = Arc::new(Notify::new());
        let app = Upstream::scripted([
            Step::Read,
            Step::Await(Arc::clone(&word)),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ])
        .await;
        let quick = Upstream::echo().await;
        let file =
            open(&app).open_route("/fence", &quick).set("server.limits", json!({ "concurrent_streams": 2 }));
        let gate = Tollgate::start(file).await;
        let connection = gate.client(Protocol::Http2).connect().await;
        // From here on the client knows the limit.
        assert_eq!(connection.get("/fence").await.status, 200);
        let asking: Vec<_> = (0..5).map(|_| connection.get("/slow").spawn()).collect();
        app.request(2).await;
        assert_eq!(gate.get("/fence").await.status, 200);
        assert_eq!(app.requests_seen(), 2, "more streams than the limit");
        for number in 1..=5 {
            app.request(number).await;
            word.notify_one();
        }
        for answer in asking {
            assert_eq!(within("an answer", answer).await.unwrap().text(), "ok");
        }
    }
}

mod deadlines {
    use super::*;

    #[tokio::test]
    async fn a_head_that_drips_is_408_and_counted_while_an_idle_connection_stays() {
        let app = Upstream::echo().await;
        let gate =
            Tollgate::start(open(&app).set("server.limits", json!({ "header_read_timeout": "300ms" }))).await;
        let idle = gate.client(Protocol::Http1).connect().await;
        assert_eq!(idle.get("/").await.status, 200);
        let fresh = gate.client(Protocol::Http1).connect().await;

        // Its timer starts after those of the idle ones could have.
        let mut slow = gate.raw().await;
        slow.send("GET / HTTP/1.1\r\nHost: loc").await;
        let answer = slow.answer().await.expect("an answer");
        assert_refused(&answer, 408, "request_timeout");
        assert_eq!(slow.rest().await, b"", "the connection is closed");
        let timeouts = gate.metrics().await;
        assert_eq!(timeouts.sum("tollgate_connection_timeouts_total", &[("kind", "head")]), 1.0);

        assert_eq!(idle.get("/").await.status, 200);
        assert_eq!(fresh.get("/").await.status, 200);
        assert_eq!(app.requests_seen(), 3);
    }

    #[tokio::test]
    async fn a_second_head_that_drips_is_timed_too() {
        let app = Upstream::echo().await;
        let gate =
            Tollgate::start(open(&app).set("server.limits", json!({ "header_read_timeout": "300ms" }))).await;
        let mut raw = gate.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status(), 200);
        raw.send("GET / HT").await;
        assert_refused(&raw.answer().await.expect("an answer"), 408, "request_timeout");
    }

    #[tokio::test]
    async fn a_connection_that_lies_idle_for_too_long_is_closed_and_counted() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
        let mut used = gate.raw().await;
        used.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(used.answer().await.unwrap().status(), 200);
        assert_eq!(used.rest().await, b"");
        let mut unused = gate.raw().await;
        assert_eq!(unused.rest().await, b"");
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_connection_timeouts_total", &[("kind", "idle")]), 2.0);
    }

    #[tokio::test]
    async fn an_http_2_connection_that_lies_idle_is_closed_whatever_became_of_its_last_stream() {
        let word = Arc::new(Notify::new());
        let app = Upstream::scripted([Step::Read, Step::Await(Arc::clone(&word)), Step::Stall]).await;
        let quick = Upstream::echo().await;
        let file =
            open(&app).open_route("/quick", &quick).set("server.limits", json!({ "idle_timeout": "300ms" }));
        let gate = Tollgate::start(file).await;
        let answered = gate.client(Protocol::Http2).connect().await;
        assert_eq!(answered.get("/quick").await.status, 200);
        gate.metrics_until("the end of an answered connection", |metrics| {
            metrics.sum("tollgate_open_connections", &[]) == 0.0
        })
        .await;

        let cancelled = gate.client(Protocol::Http2).connect().await;
        let asking = cancelled.get("/stalls").spawn();
        app.request(1).await;
        asking.abort();
        gate.log_line("the abandoned request", |line| line["status"] == 499).await;
        gate.metrics_until("the end of a connection whose stream was cancelled", |metrics| {
            metrics.sum("tollgate_open_connections", &[]) == 0.0
        })
        .await;
        word.notify_one();
    }

    #[tokio::test]
    async fn a_tls_handshake_that_does_not_end_is_cut_and_counted() {
        let app = Upstream::echo().await;
        let gate =
            Tollgate::start(open(&app).set("server.limits", json!({ "tls_handshake_timeout": "300ms" })))
                .await;
        let mut silent = TcpStream::connect(gate.address()).await.unwrap();
        let mut nothing = Vec::new();
        within("the end of the connection", silent.read_to_end(&mut nothing)).await.ok();
        assert_eq!(nothing, b"");
        let metrics = gate.metrics().await;
        assert_eq!(metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "timeout")]), 1.0);
        assert_eq!(metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "ok")]), 0.0);
    }

    #[tokio::test]
    async fn a_handshake_that_is_no_tls_is_counted_as_failed() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let mut plain = Client::new(gate.address(), None, Protocol::Http1).raw().await;
        plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        plain.rest().await;
        let failed = |metrics: &support::Metrics| {
            metrics.sum("tollgate_tls_handshakes_total", &[("outcome", "failed")]) == 1.0
        };
        gate.metrics_until("the failed handshake", failed).await;
        assert_eq!(app.requests_seen(), 0);
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_is_let_go_and_counted() {
        let app = Upstream::start(|_| Reply::new(200, vec![b'a'; 50_000_000])).await;
        let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
        let mut raw = gate.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        // Nobody reads: what the sockets hold is all that moves.
        let stalled = |metrics: &support::Metrics| {
            metrics.sum("tollgate_connection_timeouts_total", &[("kind", "stalled")]) == 1.0
        };
        gate.metrics_until("the stalled connection", stalled).await;
        app.connections_closed(1).await;
        gate.log_line("the answer that was not taken", |line| line["reason"] == "client_gone").await;
        drop(raw);
    }

    #[tokio::test]
    async fn a_request_body_that_stops_coming_is_408() {
        let app = Upstream::start(|_| Reply::new(200, "")).await;
        let gate = Tollgate::start(open(&app).set("server.limits", json!({ "idle_timeout": "300ms" }))).await;
        let mut raw = gate.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc").await;
        assert_refused(&raw.answer().await.expect("an answer"), 408, "request_timeout");
        gate.log_line("the refusal", |line| line["reason"] == "body_timeout").await;
        assert!(settle(&gate, &app).await.iter().all(|request| !request.complete));
    }
}

mod framing {
    use super::*;

    /// A request that must never be understood as one.
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    fn post(fields: &str, body: &str) -> String {
        format!("POST /first HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}")
    }

    /// All answers to these bytes, up to the gateway's closing.
    async fn answers_to(gate: &Tollgate, bytes: &[u8]) -> Vec<Message> {
        let mut raw = gate.raw().await;
        raw.send(bytes).await;
        let mut answers = Vec::new();
        while let Some(answer) = raw.answer().await {
            answers.push(answer);
        }
        answers
    }

    #[tokio::test]
    async fn a_head_with_two_readings_is_400_and_nothing_is_forwarded() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let whole = |fields: &str| format!("GET /first HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        for (what, bytes) in [
            ("two lengths that differ", post("Content-Length: 5\r\nContent-Length: 6", "hello")),
            ("a list of lengths that differ", post("Content-Length: 5, 6", "hello")),
            ("a length with a sign", post("Content-Length: +5", "hello")),
            ("a negative length", post("Content-Length: -5", "hello")),
            ("a hexadecimal length", post("Content-Length: 0x5", "hello")),
            ("a length beyond all numbers", post("Content-Length: 99999999999999999999999", "hello")),
            ("a length that is no number", post("Content-Length: five", "hello")),
            ("an empty length", post("Content-Length:", "hello")),
            ("an unknown coding", post("Transfer-Encoding: gzip", "hello")),
            ("chunked is not the last coding", post("Transfer-Encoding: chunked, identity", "0\r\n\r\n")),
            ("a coding like chunked", post("Transfer-Encoding: xchunked", "0\r\n\r\n")),
            ("space before the colon", post("Transfer-Encoding : chunked", "0\r\n\r\n")),
            ("space before the colon of a length", post("Content-Length : 5", "hello")),
            ("a folded line", whole("X-A: b\r\n c")),
            ("a folded first line", "GET /first HTTP/1.1\r\n Host: localhost\r\n\r\n".to_owned()),
            ("a NUL in a value", whole("X-A: b\0c")),
            ("a bare CR in a value", whole("X-A: b\rX-B: c")),
            ("a NUL in a name", whole("X\0A: b")),
            ("a space in a name", whole("X A: b")),
            ("no colon", whole("X-A")),
            ("no name", whole(": b")),
            ("a version of the future", "GET /first HTTP/1.2\r\nHost: localhost\r\n\r\n".to_owned()),
            ("a version of the past", "GET /first HTTP/0.9\r\nHost: localhost\r\n\r\n".to_owned()),
            ("no version", "GET /first\r\nHost: localhost\r\n\r\n".to_owned()),
            ("two spaces", "GET  /first HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
            ("a space in the target", "GET /first /second HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
            ("a tab in the target", "GET /first\t HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
            (
                "chunked under HTTP/1.0",
                "POST /first HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    .to_owned(),
            ),
        ] {
            let answers = answers_to(&gate, format!("{bytes}{SMUGGLED}").as_bytes()).await;
            assert_eq!(answers.len(), 1, "{what}: {answers:#?}");
            assert!(matches!(answers[0].status(), 400 | 505), "{what}: {}", answers[0].text());
        }
        assert_eq!(settle(&gate, &app).await.len(), 0);
    }

    #[tokio::test]
    async fn a_head_that_is_repaired_leaves_as_one_request_of_one_framing() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let hidden = format!("0\r\n\r\n{SMUGGLED}");
        let covers = format!("Content-Length: {}\r\nTransfer-Encoding: chunked", hidden.len());
        for (what, bytes, body) in [
            ("a length that covers more than the chunks", post(&covers, &hidden), ""),
            (
                "a length that covers less than the chunks",
                post("Content-Length: 4\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
                "hello",
            ),
            (
                "chunks before the length",
                post("Transfer-Encoding: chunked\r\nContent-Length: 3", "5\r\nhello\r\n0\r\n\r\n"),
                "hello",
            ),
            ("two lengths that agree", post("Content-Length: 5\r\nContent-Length: 5", "hello"), "hello"),
            ("chunked in capitals", post("Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
            ("bare LF ends lines", "GET /first HTTP/1.1\nHost: localhost\nX-A: b\n\n".to_owned(), ""),
            (
                "one bare LF among others",
                "POST /first HTTP/1.1\r\nHost: localhost\r\nX-A: b\nContent-Length: 5\r\n\r\nhello"
                    .to_owned(),
                "hello",
            ),
        ] {
            app.forget();
            // Where the next request would be one like any other, there is none.
            let close = if bytes.contains("Transfer-Encoding") && bytes.contains("Content-Length") {
                ""
            } else {
                SMUGGLED
            };
            let answers = answers_to(&gate, format!("{bytes}{close}").as_bytes()).await;
            let answers = &answers[..answers.len().min(if close.is_empty() { 9 } else { 1 })];
            assert!(answers.len() <= 1, "{what}: {answers:#?}");
            let mut seen = settle(&gate, &app).await;
            if !close.is_empty() {
                seen.retain(|request| request.target() != "/smuggled");
            }
            if answers.iter().any(|answer| answer.status() == 400) {
                assert!(seen.is_empty(), "{what}: {}", seen[0].text());
                continue;
            }
            assert_eq!(answers.len(), 1, "{what}");
            assert_eq!(seen.len(), 1, "{what}");
            let request = &seen[0];
            assert!(request.complete, "{what}");
            assert_eq!(request.target(), "/first", "{what}");
            assert_eq!(String::from_utf8_lossy(&request.body), body, "{what}");
            let framings =
                request.headers("content-length").count() + request.headers("transfer-encoding").count();
            assert!(framings <= 1, "{what}: {}", request.text());
            let head = request.text();
            let head = head.split("\r\n\r\n").next().unwrap();
            assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{what}: {head:?}");
        }
    }

    #[tokio::test]
    async fn chunks_are_framed_anew_or_refused() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for (what, body) in [
            ("an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
            ("an extension with a quoted line end", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
            ("an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n"),
            ("leading zeros", "0000005\r\nhello\r\n0\r\n\r\n"),
            ("a size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
            ("data that end in LF", "5\r\nhello\n0\r\n\r\n"),
            ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
            ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
            ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
            ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
            ("a size with a space before", " 5\r\nhello\r\n0\r\n\r\n"),
            ("a size with a space after", "5 \r\nhello\r\n0\r\n\r\n"),
            ("a size with junk", "5g\r\nhello\r\n0\r\n\r\n"),
            ("no size", "\r\nhello\r\n0\r\n\r\n"),
            ("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            ("a size that is too small", "3\r\nhello\r\n0\r\n\r\n"),
            ("a size that is too large", "8\r\nhello\r\n0\r\n\r\n"),
            ("no end", "5\r\nhello\r\n"),
            ("trailers", "5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"),
            ("trailers that could be fields", "5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n"),
        ] {
            app.forget();
            let bytes = post("Transfer-Encoding: chunked", body);
            let answers = answers_to(&gate, format!("{bytes}{SMUGGLED}").as_bytes()).await;
            let seen = settle(&gate, &app).await;
            let good = answers.iter().filter(|answer| answer.status() == 200).count();
            // After a body that is in order the next request is a request like any other; after another one there
            // is no next request.
            let (first, next): (Vec<_>, Vec<_>) =
                seen.iter().partition(|request| request.target() == "/first");
            assert!(first.len() <= 1, "{what}: {seen:#?}");
            assert_eq!(next.len(), good.saturating_sub(1), "{what}: {seen:#?}\n{answers:#?}");
            for request in first {
                assert_eq!(request.complete, good >= 1, "{what}: {}", request.text());
                if request.complete {
                    assert_eq!(String::from_utf8_lossy(&request.body), "hello", "{what}");
                    assert_eq!(request.header("x-trailer"), None);
                    assert!(!request.text().contains(";a"), "{what}: {}", request.text());
                }
            }
            if good == 0 {
                assert!(answers.len() <= 1, "{what}: {answers:#?}");
                assert!(answers.iter().all(|answer| answer.status() == 400), "{what}: {answers:#?}");
            }
        }
    }

    #[tokio::test]
    async fn a_chunk_without_bounds_never_makes_a_whole_request() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for size in ["FFFFFFFFFFFFFFFF", "7FFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFB"] {
            let mut raw = gate.raw().await;
            raw.send(post("Transfer-Encoding: chunked", &format!("{size}\r\nhello\r\n0\r\n\r\n{SMUGGLED}")))
                .await;
            raw.half_close().await;
            raw.rest().await;
        }
        assert!(
            settle(&gate, &app).await.iter().all(|request| request.target() == "/first" && !request.complete)
        );
    }

    #[tokio::test]
    async fn a_length_of_http_2_that_its_data_belie_never_makes_a_whole_request() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        for length in ["3", "7"] {
            let (pieces, body) = mpsc::channel(1);
            pieces.send(Bytes::from_static(b"hello")).await.unwrap();
            drop(pieces);
            let request = gate.client(Protocol::Http2).post("/first").header("content-length", length);
            if let Ok(answer) = request.pieces(body).try_send().await {
                assert_refusal(&answer, 400, "invalid_request");
            }
        }
        assert!(settle(&gate, &app).await.iter().all(|request| !request.complete));
    }

    #[tokio::test]
    async fn a_refused_request_leaves_nothing_of_its_body_behind() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(config().open_route("/open", &app).open_route("/smuggled", &app)).await;
        let length = SMUGGLED.len();
        for (what, head) in [
            ("no route", "POST /none HTTP/1.1\r\nHost: localhost\r\n"),
            ("a bad host", "POST /open HTTP/1.1\r\nHost: a b\r\n"),
            ("a bad path", "POST /%00 HTTP/1.1\r\nHost: localhost\r\n"),
            ("CONNECT", "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n"),
            ("an upgrade", "GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n"),
        ] {
            app.forget();
            let next = "GET /open HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let bytes = format!("{head}Content-Length: {length}\r\n\r\n{SMUGGLED}{next}");
            let answers = answers_to(&gate, bytes.as_bytes()).await;
            // Its connection may be closed, or go on after the body: the body itself is never a request.
            assert!((400..500).contains(&answers[0].status()), "{what}");
            assert_eq!(gate.get("/open").await.status, 200);
            let seen = app.requests();
            assert!(seen.iter().all(|request| request.target() == "/open"), "{what}: {seen:#?}");
            assert_eq!(seen.len(), answers.len(), "{what}: {answers:#?}");
        }
    }

    #[tokio::test]
    async fn pipelined_requests_are_answered_in_their_order() {
        let app = Upstream::echo().await;
        let gate = Tollgate::start(open(&app)).await;
        let pipeline: String = (0..10)
            .map(|number| {
                format!("POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{number}")
            })
            .collect();
        let answers = answers_to(&gate, format!("{pipeline}{SMUGGLED}").as_bytes()).await;
        let seen: Vec<Value> = answers[..10].iter().map(|answer| answer.json()["body"].clone()).collect();
        assert_eq!(seen, (0..10).map(|number| json!(number.to_string())).collect::<Vec<_>>());
    }
}
