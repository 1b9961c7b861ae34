//! How much a client may send: heads, fields, bodies, connections, streams.

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
    gate.metrics_until("a free place", |metrics| metrics.sum("tollgate_open_connections", &[]) < 2.0).await;
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
