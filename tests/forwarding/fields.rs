//! Fields that a hop keeps, drops and adds.

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
    let answer = request.header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3").await.json();
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
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{harmful:?} became {id}");
        assert_eq!(got(&answer.json(), "x-request-id"), [id]);
    }
    let doubled = gate.get("/").header("x-request-id", "one").header("x-request-id", "two").await.json();
    assert_eq!(got(&doubled, "x-request-id").len(), 1);
}
